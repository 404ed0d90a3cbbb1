"""What people paste beside rules: addresses, routes, sockets, kernel parameters, what Docker says of its networks."""

from __future__ import annotations

import json
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path

import pytest

import iptsim
from iptsim import protocols
from iptsim.addresses import address_text, parse_address
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.lines import lines_of
from iptsim.paste.pieces import Listed
from iptsim.paste.splitting import split
from iptsim.question.model import Question
from iptsim.sources import loads_host

FIXTURES = Path(__file__).parents[2] / "fixtures" / "captures"
RULES = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"


def read(folder: Path, *texts: str) -> Host:
    path = folder / "paste.txt"
    path.write_text("\n".join((*texts, "# iptables-save", RULES)))
    return iptsim.load_host(path)


def forms(host: Host) -> list[str]:
    assert host.pasted is not None
    return [lines.form for lines in host.pasted.segments]


IP_ADDR = """\
$ ip addr
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP group default qlen 1000
    link/ether 52:54:00:12:34:56 brd ff:ff:ff:ff:ff:ff
    inet 192.0.2.10/24 brd 192.0.2.255 scope global dynamic noprefixroute eth0
       valid_lft 86000sec preferred_lft 86000sec
    inet6 2001:db8::10/64 scope global
       valid_lft forever preferred_lft forever
3: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default
    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0
7: veth123@if6: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master docker0 state UP group default
    link/ether 3e:7b:a7:9e:52:0f brd ff:ff:ff:ff:ff:ff link-netnsid 0
4: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420 qdisc noqueue state UNKNOWN group default qlen 1000
    link/none
    inet 10.8.0.1 peer 10.8.0.2/32 scope global wg0
"""


BRIEF = """\
$ ip -br -c a
lo               UNKNOWN        127.0.0.1/8 ::1/128
eth0             UP             192.0.2.10/24 metric 100 2001:db8::10/64 fe80::fc:ff:fe00:1/64
docker0          DOWN           172.17.0.1/16
veth123@if6      UP             fe80::6cb7:1ff:fe93:5d7a/64
wg0              UNKNOWN        10.8.0.1 peer 10.8.0.2/32
sit0@NONE        DOWN
"""
ONE_LINE = """\
$ ip -o addr
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet6 2001:db8::10/64 scope global tentative \\       valid_lft forever preferred_lft forever
3: docker0    inet 172.17.0.1/16 scope global docker0\\       valid_lft forever preferred_lft forever
4: wg0    inet 10.8.0.1 peer 10.8.0.2/32 scope global wg0\\       valid_lft forever preferred_lft forever
"""


@pytest.mark.parametrize("text", [BRIEF, ONE_LINE])
def test_ip_addr_in_one_line_per_interface_or_address(text: str, tmp_path: Path) -> None:
    host = read(tmp_path, text)
    assert forms(host) == ["ip addr", "iptables-save (filter)"]
    interfaces = host.namespace.interfaces
    own = {
        f"{name} {address_text(one.family, one.address)}/{one.prefix_length}"
        for name, interface in interfaces.items()
        for one in interface.addresses
        if one.scope == "global"
    }
    assert own == {
        *("eth0 192.0.2.10/24", "eth0 2001:db8::10/64", "docker0 172.17.0.1/16", "wg0 10.8.0.1/32")
    }
    kinds = {name: interfaces[name].kind for name in ("lo", "eth0", "docker0", "wg0")}
    assert kinds == {"lo": "loopback", "eth0": "physical", "docker0": "bridge", "wg0": "wireguard"}
    assert all(interfaces[name].up for name in kinds)


def test_a_list_that_ends_after_lo_does_not_tell_the_interfaces(tmp_path: Path) -> None:
    lo = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN\n    inet 127.0.0.1/8 scope host lo\n"
    card = "2: ens9: <BROADCAST,UP> mtu 1500 qdisc fq state UP\n    inet 192.0.2.7/24 scope global ens9\n"
    cut, whole = (read(folder, f"$ ip a\n{text}") for folder, text in ((tmp_path, lo), (tmp_path, lo + card)))
    assert cut.inferred
    assert not whole.inferred


LINKS = """\
$ ip -o link
2: eth0: <BROADCAST,MULTICAST,UP> mtu 1400 qdisc fq_codel state UP qlen 1000\\    link/ether 52:54:00:12:34:56 brd ff:ff
$ ip -br link
eth1             UP             52:54:00:12:34:57 <BROADCAST,MULTICAST,UP,LOWER_UP>
"""


@pytest.mark.parametrize("texts", [(IP_ADDR, LINKS), (LINKS, IP_ADDR)])
def test_outputs_about_the_same_interfaces_complete_each_other(
    texts: tuple[str, str], tmp_path: Path
) -> None:
    interfaces = read(tmp_path, *texts).namespace.interfaces
    assert [address_text(one.family, one.address) for one in interfaces["eth0"].addresses] == [
        "192.0.2.10",
        "2001:db8::10",
    ]
    assert interfaces["eth1"].mac == "52:54:00:12:34:57"


IN_CONTAINER = (
    "eth0@if6: <BROADCAST,UP> mtu 1500 qdisc noqueue state UP\n    inet 172.17.0.2/16 scope global eth0\n"
)


@pytest.mark.parametrize(
    "typed",
    [
        "# docker exec web ip addr\n",
        "# docker-compose exec web ip addr\n",
        "# kubectl -n a exec web -- ip addr\n".replace("-n a exec", "exec -n a"),
        "root@0a1b2c3d4e5f:/# ip addr\n",
        "# docker exec -it web sh\nroot@web:/# ip addr\n",
        "# nsenter -t 4711 -n ip addr\n",
        "# ip netns exec blue ip addr\n",
    ],
)
def test_what_a_container_prints_is_not_about_the_host(typed: str, tmp_path: Path) -> None:
    route = "# ip route\ndefault via 192.0.2.1 dev eth0\n"
    host = read(tmp_path, IP_ADDR, route.replace("# ", "$ "), f"{typed}5: {IN_CONTAINER}")
    assert [address_text(one.family, one.address) for one in host.namespace.interfaces["eth0"].addresses] == [
        "192.0.2.10",
        "2001:db8::10",
    ]
    assert host.pasted is not None
    assert forms(host) == ["ip addr", "ip route", "iptables-save (filter)"]
    assert host.pasted.left_out


@pytest.mark.parametrize(
    ("shown", "guessed"),
    [("", True), ("2: eth1: <UP> mtu 1500\n    inet 10.0.0.1/8 scope global eth1", False)],
)
def test_an_interface_is_guessed_only_if_none_is_shown(shown: str, guessed: bool, tmp_path: Path) -> None:
    """Ports are forwarded to a LAN; with the interfaces shown, the routes tell where it is."""
    path = tmp_path / "paste"
    path.write_text(
        f"{shown}\n# iptables -t nat -S\n-P PREROUTING ACCEPT\n-P POSTROUTING ACCEPT\n"
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.1.2.3:80\n"
        "-A POSTROUTING -o eth0 -j MASQUERADE\n"
    )
    assert ("lan0" in iptsim.load_host(path).namespace.interfaces) is guessed


@pytest.mark.parametrize("typed", ["nsenter --target 4711 --net", "ip netns exec blue"])
def test_the_rules_of_another_namespace_are_not_those_of_the_host(typed: str) -> None:
    """As in ip-netns(8) and nsenter(1); without -n, nsenter stays in the host's network."""
    listed = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
    text = f"$ sudo iptables -S\n{listed}$ sudo {typed} iptables -S\n{listed}-A INPUT -p tcp --dport 22 -j DROP\n"
    asked = Question(**{"from": "192.0.2.7", "to": "host", "proto": "tcp", "dport": 22})
    assert walk(loads_host(text), asked).verdict == "ACCEPT"
    in_host = text.replace(f"$ sudo {typed}", "$ sudo nsenter -t 4711 -m")
    assert walk(loads_host(in_host), asked).verdict == "DROP"


def test_if_all_rules_are_those_of_a_container_so_is_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        f"$ docker exec vpn iptables -S\n-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
        f"$ docker exec vpn ip addr\n5: {IN_CONTAINER}"
    )
    assert "172.17.0.2" in [
        address_text(4, one) for one in iptsim.load_host(path).namespace.outer_addresses(4)
    ]


def test_if_a_text_shows_nothing_but_a_container_it_is_about_that_one() -> None:
    host = loads_host(
        "It can't reach the LAN:\n\ndocker exec -it vpn ip route\ndefault via 10.7.0.1 dev eth0\n"
        "10.8.0.0/24 dev tun0 proto kernel scope link src 10.8.0.2\n"
        "10.7.0.0/16 dev eth0 proto kernel scope link src 10.7.0.2\n"
    )
    assert host.namespace.has_address(*parse_address("10.8.0.2"))


def test_ip_addr(tmp_path: Path) -> None:
    host = read(tmp_path, IP_ADDR)
    assert forms(host) == ["ip addr", "iptables-save (filter)"]
    interfaces = host.namespace.interfaces
    assert list(interfaces) == ["lo", "eth0", "docker0", "veth123", "wg0"]
    own = {
        name: [address_text(one.family, one.address) for one in link.addresses]
        for name, link in interfaces.items()
    }
    assert own["eth0"] == ["192.0.2.10", "2001:db8::10"]
    assert interfaces["wg0"].addresses[0].peer == int(ip_address("10.8.0.2"))
    assert (interfaces["veth123"].master, interfaces["docker0"].kind, interfaces["wg0"].mtu) == (
        "docker0",
        "bridge",
        1420,
    )


def test_ip_route_and_rule(tmp_path: Path) -> None:
    host = read(
        tmp_path,
        IP_ADDR,
        "default via 192.0.2.1 dev eth0 proto dhcp src 192.0.2.10 metric 100",
        "blackhole 10.99.0.0/16",
        "172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 linkdown",
        "",
        "0:\tfrom all lookup local",
        "220:\tnot from 10.0.0.0/8 fwmark 0x1/0xff iif eth0 lookup 220",
        "32766:\tfrom all lookup main",
    )
    assert forms(host)[1:3] == ["ip route", "ip rule"]
    routes = host.namespace.routes
    assert [(route.prefix_length, route.device, route.type) for route in routes if route.family == 4][:3] == [
        (0, "eth0", "unicast"), (16, None, "blackhole"), (16, "docker0", "unicast"),
    ]  # fmt: skip
    rule = next(rule for rule in host.namespace.rules if rule.priority == 220)
    assert (rule.negated, rule.fwmark, rule.iif) == (True, 1, "eth0")


def test_what_net_tools_print_reads_as_what_ip_prints(tmp_path: Path) -> None:
    host = read(
        tmp_path,
        "docker0   Link encap:Ethernet  HWaddr 02:42:ac:11:00:01",
        "          inet addr:172.17.0.1  Bcast:0.0.0.0  Mask:255.255.0.0",
        "          UP BROADCAST RUNNING MULTICAST  MTU:1400  Metric:1",
        "",
        "eth0: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500",
        "        inet 192.0.2.10  netmask 255.255.255.0  broadcast 192.0.2.255",
        "        inet6 2001:db8::10  prefixlen 64  scopeid 0x0<global>",
        "        RX packets 1  bytes 2 (2.0 B)",
        "",
        "Kernel IP routing table",
        "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface",
        "0.0.0.0         192.0.2.1       0.0.0.0         UG    100    0        0 eth0",
        "172.17.0.0      0.0.0.0         255.255.0.0     U     0      0        0 docker0",
    )
    assert forms(host)[:2] == ["ifconfig", "route -n"]
    interfaces = host.namespace.interfaces
    assert [(one.family, one.prefix_length) for one in interfaces["eth0"].addresses] == [(4, 24), (6, 64)]
    assert (interfaces["docker0"].mtu, interfaces["docker0"].kind) == (1400, "bridge")
    assert {(route.prefix_length, route.device) for route in host.namespace.routes} >= {
        (0, "eth0"),
        (16, "docker0"),
    }


NETSTAT = """\
Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name
tcp        0      0 0.0.0.0:22              0.0.0.0:*               LISTEN      1234/sshd: /usr/sbi
tcp6       0      0 :::80                   :::*                    LISTEN      999/docker-proxy
tcp        0      0 192.0.2.10:22           198.51.100.7:51000      ESTABLISHED 77/sshd
"""
UDP = "udp        0      0 0.0.0.0:68              0.0.0.0:*                           555/dhclient\n"


def test_a_whole_list_of_sockets_tells_what_listens(tmp_path: Path) -> None:
    host = read(tmp_path, "$ netstat -tulnp", NETSTAT + UDP)
    assert host.namespace.listed == {protocols.TCP, protocols.UDP}
    assert {(one.proto, one.port, one.program) for one in host.namespace.listeners} == {
        (6, 22, "sshd"), (6, 80, "docker-proxy"), (17, 68, "dhclient"),
    }  # fmt: skip


SS = """\
State   Recv-Q  Send-Q   Local Address:Port   Peer Address:Port  Process
{state}  0       128            0.0.0.0:22          0.0.0.0:*      users:(("sshd",pid=8,fd=3))
{state}  0       128            0.0.0.0:25          0.0.0.0:*
"""
LISTEN, UNCONN = SS.format(state="LISTEN"), SS.format(state="UNCONN")


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        (f"$ netstat -tlnp\n{NETSTAT}", {protocols.TCP}),
        (f"$ netstat -tulnp\n{NETSTAT}", {protocols.TCP, protocols.UDP}),  # no program has a UDP socket
        (f"$ sudo ss -tlnp\n{LISTEN}", {protocols.TCP}),
        (f"$ ss -ltn\n{LISTEN}\n$ ss --udp --all -n\n{UNCONN}", {protocols.TCP, protocols.UDP}),
        (f"$ ss -lnp\n{NETSTAT}", {protocols.TCP, protocols.UDP}),
        (LISTEN, {protocols.TCP}),
        (UNCONN, {protocols.UDP}),
        # only some
        (f"$ netstat -tulnp | grep -v docker\n{NETSTAT}{UDP}", ()),
        (f"$ netstat -4tuln\n{NETSTAT}{UDP}", ()),  # a socket of both families is not in /proc/net/tcp
        (f"$ ss -tulnp sport = :22\n{NETSTAT}{UDP}", ()),
        (f"$ ss -tulnpf inet\n{NETSTAT}{UDP}", ()),
        (f"$ ss -lnx\n{LISTEN}", ()),
        (f"$ sh -c 'ss -tln | grep 22'\n{LISTEN}", ()),
        (LISTEN[: LISTEN.rindex("LISTEN")], ()),  # one port, for which somebody may have searched
        ((NETSTAT + UDP).partition("\n")[2], ()),  # without its heading: it may begin anywhere
        (f"$ ss -tln\n{LISTEN}...\n", ()),
        (f"$ ss -tln\n{LISTEN}        0.0.0.0:*  users:((\n", ()),  # a line that was wrapped
    ],
)
def test_the_protocols_of_which_all_sockets_are_listed(
    tmp_path: Path, text: str, listed: Collection[int]
) -> None:
    host = read(tmp_path, text)
    assert host.namespace.listed == {*listed}
    assert 22 in {one.port for one in host.namespace.listeners}


@pytest.mark.parametrize(
    "command", ["ip netns exec red netstat -tulnp", "ss -tulnpN red", "docker exec web ss -tuln"]
)
def test_sockets_of_another_namespace_are_not_those_of_the_host(tmp_path: Path, command: str) -> None:
    host = read(tmp_path, "# iptables -S\n-P INPUT ACCEPT\n", f"# {command}", NETSTAT + UDP)
    assert (host.namespace.listeners, host.namespace.listed) == ((), frozenset())


@pytest.mark.parametrize(
    ("heading", "below"),
    [
        ("On the server:\n", "On the client:\n"),
        ("", "On the client:\n"),
        ("", "And these are the sockets in the nginx container:\n\n```\n"),
    ],
)
def test_sockets_below_the_name_of_another_machine(tmp_path: Path, heading: str, below: str) -> None:
    host = read(tmp_path, f"{heading}# iptables -S\n-P INPUT ACCEPT\n\n{below}# ss -tln", LISTEN)
    assert host.namespace.listeners == ()


def test_sockets_of_a_container() -> None:
    text = "$ docker run -d --name web -p 8080:80 nginx\n\n$ docker exec web ss -tln\n" + LISTEN
    web = loads_host(text).containers["web"].namespace
    assert {one.port for one in web.listeners} == {22, 25}
    assert web.listed == {protocols.TCP}


def test_kernel_parameters(tmp_path: Path) -> None:
    host = read(tmp_path, "$ cat /proc/sys/net/ipv4/ip_forward", "0", "", "net.ipv4.conf.all.rp_filter = 1")
    assert host.namespace.sysctls == {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "1"}


def test_an_excerpt_of_the_kernel_parameters(tmp_path: Path) -> None:
    """net.ipv4.conf.all.forwarding is net.ipv4.ip_forward; others that are not shown are not zero."""
    host = read(tmp_path, "net.ipv4.conf.all.forwarding = 0")
    assert host.namespace.sysctl("net.ipv4.ip_forward") == "0"
    assert host.namespace.sysctl("net.bridge.bridge-nf-call-iptables") == "1"
    assert any("bridge-nf-call-iptables=1" in str(one) for one in host.assumptions)
    for line in ("net.bridge.bridge-nf-call-iptables = 0", "net.ipv4.conf.all.rp_filter = 1"):
        host = read(tmp_path, line)
        assert host.namespace.sysctl("net.ipv4.ip_forward") == "1"


@pytest.mark.parametrize("name", ["docker-inspect", "docker-network-inspect", "docker-info"])
def test_the_json_of_docker(tmp_path: Path, name: str) -> None:
    text = (FIXTURES / "docker-28.5" / "published" / f"{name}.json").read_text()
    pretty = json.dumps(json.loads(text), indent=4)
    host = read(tmp_path, f"$ {name.replace('-', ' ')}", pretty)
    if name == "docker-info":
        assert host.daemon is not None
    else:
        assert "web" in host.containers
        assert host.containers["web"].address(4) is not None


def test_containers_of_a_network_reach_its_gateway(tmp_path: Path) -> None:
    networks = (FIXTURES / "docker-28.5" / "published" / "docker-network-inspect.json").read_text()
    host = read(tmp_path, networks)
    assert iptsim.explain(host, "web", "internet", dport=443).verdict == "ACCEPT"


def test_routes_alone_tell_of_interfaces(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text("""default via 172.18.0.1 dev eth1
10.0.1.0/24 dev eth0 proto kernel scope link src 10.0.1.47
10.13.13.2 dev wg0 scope link
172.18.0.0/16 dev eth1 proto kernel scope link src 172.18.0.3
""")
    host = iptsim.load_host(path)
    assert [address_text(4, one.address) for one in host.namespace.interfaces["eth1"].addresses] == [
        "172.18.0.3"
    ]
    answer = iptsim.explain(host, "10.13.13.2", "8.8.8.8", dport=443).as_json()
    assert answer["legs"][0]["delivered"]["interface"] == "eth1"


def test_an_interface_with_a_subnet_has_an_address_in_it(tmp_path: Path) -> None:
    """`route -n` shows no addresses: MASQUERADE has one, though it is not known which."""
    path = tmp_path / "paste.txt"
    path.write_text("""Kernel IP routing table
Destination     Gateway         Genmask         Flags Metric Ref    Use Iface
0.0.0.0         10.0.1.254      0.0.0.0         UG    0      0        0 ens18
10.0.1.0        0.0.0.0         255.255.255.0   U     0      0        0 ens18
10.8.0.0        0.0.0.0         255.255.255.0   U     0      0        0 tun0
# iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -o ens18 -j MASQUERADE
""")
    answer = iptsim.explain(path, "10.8.0.2", "10.0.1.20", dport=22)
    assert answer.verdict == "ACCEPT"
    assert "The address of ens18 is not shown; it is assumed to be 10.0.1.253." in map(
        str, answer.assumptions
    )


def test_an_interface_whose_subnet_is_full_of_routers_gets_no_address(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text("""Kernel IP routing table
Destination     Gateway         Genmask         Flags Metric Ref    Use Iface
0.0.0.0         10.0.0.1        0.0.0.0         UG    0      0        0 eth0
10.9.0.0        10.0.0.2        255.255.0.0     UG    0      0        0 eth0
10.0.0.0        0.0.0.0         255.255.255.252 U     0      0        0 eth0
# iptables -P FORWARD DROP
""")
    assert not iptsim.load_host(path).namespace.interfaces["eth0"].addresses


def test_a_list_of_interfaces_without_the_loopback_is_a_part(tmp_path: Path) -> None:
    """It was cut off: a packet may arrive on an interface that it does not show."""
    host = read(
        tmp_path,
        "docker0   Link encap:Ethernet  HWaddr 02:42:ac:11:00:01",
        "          inet addr:172.17.0.1  Bcast:0.0.0.0  Mask:255.255.0.0",
    )
    answer = iptsim.explain(host, "10.8.0.6", "8.8.8.8", dport=443, **{"in": "tun0"})
    assert answer.verdict == "ACCEPT"
    assert [address_text(4, one.address) for one in host.namespace.interfaces["docker0"].addresses] == [
        "172.17.0.1"
    ]


def test_the_interfaces_of_another_system_are_not_the_hosts(tmp_path: Path) -> None:
    """As macOS and the BSDs print them."""
    host = read(
        tmp_path,
        "$ ifconfig en0",
        "en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500",
        "\tether 52:54:00:12:34:56",
        "\tinet 192.168.64.7 netmask 0xffffff00 broadcast 192.168.64.255",
        "",
    )
    assert "ifconfig" not in forms(host)
    assert "en0" not in host.namespace.interfaces


INTERFACES = """\
auto lo
iface lo inet loopback

auto vmbr0
iface vmbr0 inet static
        address 198.51.100.10
        netmask 255.255.255.0
        gateway 198.51.100.1
        bridge-ports eno1
        bridge_stp off

auto vmbr1
iface vmbr1 inet static
        address 10.10.10.1/24
        bridge-ports none
        post-up echo 1 > /proc/sys/net/ipv4/ip_forward
        post-up iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE
        post-down iptables -t nat -D POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE

iface vmbr1 inet6 static
        address 999::/200
        gateway none
iface eth7 inet dhcp
"""


def test_debians_interfaces_file(tmp_path: Path) -> None:
    """interfaces(5) and bridge-utils-interfaces(5): stanzas tell addresses, the default route and bridge ports."""
    path = tmp_path / "paste.txt"
    path.write_text(INTERFACES)
    host = iptsim.load_host(path)
    file = "/etc/network/interfaces"
    assert forms(host) == [file, "sysctl", "iptables commands (nat)", file]
    interfaces = host.namespace.interfaces
    assert interfaces["eno1"].master == "vmbr0"
    assert {
        name: [
            (address_text(one.family, one.address), one.prefix_length) for one in interfaces[name].addresses
        ]
        for name in ("vmbr0", "vmbr1")
    } == {"vmbr0": [("198.51.100.10", 24)], "vmbr1": [("10.10.10.1", 24)]}
    assert "eth7" not in interfaces
    assert host.namespace.sysctls["net.ipv4.ip_forward"] == "1"
    answer = iptsim.explain(host, sender="10.10.10.5", to="internet", proto="tcp", dport=443)
    delivered = answer.trace.legs[0].delivered
    assert delivered is not None
    assert address_text(4, delivered.packet.src) == "198.51.100.10"


def test_a_default_route_alone_leaves_the_others_open(tmp_path: Path) -> None:
    """`ip route | grep default`: the kernel has a route to each subnet of its interfaces nevertheless."""
    links = "".join(
        f"{at}: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n    inet {own}/24 scope global {name}\n"
        for at, name, own in ((2, "eth0", "10.1.1.1"), (3, "eth1", "192.168.1.50"))
    )
    host = read(tmp_path, "$ ip route | grep default\ndefault via 192.168.1.1 dev eth1\n$ ip a\n" + links)
    for to, interface in (("10.1.1.5", "eth0"), ("192.168.1.7", "eth1"), ("203.0.113.9", "eth1")):
        steps = iptsim.explain(host, sender="host", to=to, proto="udp", dport=53).trace.legs[0].all_steps
        assert {
            step.interfaces[1] for step in steps if step.hook == "POSTROUTING" or step.hook == "OUTPUT"
        } == {interface}


@pytest.mark.parametrize(
    "command",
    [
        "root@gw:~# sysctl -w net.ipv4.ip_forward=0",
        "sudo sysctl net/ipv4/ip_forward=0",
        "echo 0 > /proc/sys/net/ipv4/ip_forward",
        "sudo sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'",
        'echo "0" | sudo tee /proc/sys/net/ipv4/ip_forward',
    ],
)
def test_commands_that_set_a_kernel_parameter(tmp_path: Path, command: str) -> None:
    assert read(tmp_path, command).namespace.sysctls["net.ipv4.ip_forward"] == "0"


def test_netplan(tmp_path: Path) -> None:
    """The reference of netplan's YAML: `addresses`, `interfaces` of bridges, `routes` to default."""
    text = (
        "network:\n  version: 2\n  ethernets:\n    enp3s0: {dhcp4: no}\n    enp4s0:\n      addresses: [999.1.1.1/8]\n"
        "  bridges:\n    br0:\n      interfaces: [enp3s0]\n      addresses:\n        - 192.168.1.10/24\n"
        "      routes:\n        - to: default\n          via: 192.168.1.1\n"
    )
    host = read(tmp_path, text)
    assert forms(host) == ["netplan", "iptables-save (filter)"]
    assert host.namespace.interfaces["enp3s0"].master == "br0"
    assert [one.address for one in host.namespace.interfaces["br0"].addresses] == [0xC0A8010A]
    gateways = [route.gateway for route in host.namespace.routes if not route.prefix_length]
    assert gateways == [0xC0A80101]


@pytest.mark.parametrize(
    "text", ["network:\n", "network:\n  bridges: 3\n", "network:\n  - [\n", "network:\n  {\n"]
)
def test_what_is_not_netplan_is_left_out(tmp_path: Path, text: str) -> None:
    assert "netplan" not in forms(read(tmp_path, text))


def test_docker_ps_with_chosen_columns() -> None:
    """docker-ps(1): a table of chosen columns has the headings of the columns as well."""
    text = (
        "NAMES     PORTS                                         STATUS\n"
        "grafana   0.0.0.0:3000->3000/tcp, [::]:3000->3000/tcp   Up 2 hours\n"
        "worker                                                  Up 2 hours\n"
    )
    (segment,) = split(lines_of(text))[0]
    assert {one.name: one.ports for one in segment.pieces if isinstance(one, Listed)} == {
        "grafana": (("0.0.0.0", 3000, 3000, "tcp"), ("::", 3000, 3000, "tcp")),
        "worker": (),
    }


def test_a_heading_of_other_words_is_no_list_of_containers() -> None:
    assert (
        split(lines_of("NAMES of PORTS\ngrafana 3000\n\nNAMES PORTS\n\nNAMES  PORTS\nweb    of call\n"))[0]
        == []
    )
