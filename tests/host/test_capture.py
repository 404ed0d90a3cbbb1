"""Whole captures of real hosts, partial ones, and damaged files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import iptsim
from iptsim.addresses import address_text
from iptsim.errors import CaptureError
from iptsim.host import load_host
from iptsim.host.containers import ExposedPort, Link, PublishedPort
from iptsim.protocols import TCP, UDP

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"


def copy(name: str, target: Path, *left_out: str) -> Path:
    shutil.copytree(CAPTURES / name, target, ignore=shutil.ignore_patterns(*left_out))
    return target


def test_published_ports() -> None:
    host = load_host(CAPTURES / "docker-28.5" / "published")
    assert host.assumptions == []
    web = host.containers["web"]
    assert {(p.proto, p.host_address, p.host_port, p.container_port, p.family) for p in web.published} == {
        (UDP, None, 5353, 53, 4),
        (UDP, None, 5353, 53, 6),
        (TCP, None, 8080, 80, 4),
        (TCP, None, 8080, 80, 6),
        (TCP, "127.0.0.1", 8081, 81, 4),
    }
    assert host.owner_of(4, 0xAC110002) == (web, web.endpoints["bridge"])
    assert host.owner_of(4, 0xC000020A) == "host"
    assert host.owner_of(4, 0x08080808) is None


def test_links_and_icc() -> None:
    host = load_host(CAPTURES / "docker-28.5" / "icc-off-link")
    assert host.containers["client"].links == [Link(target="web", alias="db")]
    assert not host.networks["bridge"].icc
    assert host.daemon is not None
    assert (host.daemon.icc, host.daemon.generation) == (False, "28")
    assert host.daemon.sources["icc"] == "dockerd-cmdline.txt"


def test_a_container_in_two_networks() -> None:
    host = load_host(CAPTURES / "docker-26.1" / "two-networks")
    app = host.containers["app"]
    links = json.loads((CAPTURES / "docker-26.1" / "two-networks" / "ip-link.json").read_text())
    inside = json.loads((CAPTURES / "docker-26.1" / "two-networks" / "container-netns.json").read_text())[
        "app"
    ]
    for network, endpoint in app.endpoints.items():
        entry = next(one for one in inside["addr"] if one["ifname"] == endpoint.interface)
        port = next(one for one in links if one["ifindex"] == entry["link_index"])
        assert endpoint.bridge_port == port["ifname"]
        assert port["master"] == host.networks[network].bridge
        assert entry["address"] == endpoint.mac
    assert host.container("app@back") == (app, app.endpoints["back"])
    assert host.container(app.id[:8]) == (app, None)
    assert host.container("app@nowhere") is None
    assert host.container("nobody") is None


def test_the_forwarding_table_tells_ports_where_indexes_do_not(tmp_path: Path) -> None:
    name = "docker-26.1/two-networks"
    expected = load_host(CAPTURES / name)
    path = copy(name, tmp_path / "c", "container-netns.json")
    forwarding = [
        {"mac": endpoint.mac, "ifname": endpoint.bridge_port, "master": "any", "state": ""}
        for container in expected.containers.values()
        for endpoint in container.endpoints.values()
    ]
    (path / "bridge-fdb.json").write_text(json.dumps(forwarding))
    host = load_host(path)
    for name, container in expected.containers.items():
        for network, endpoint in container.endpoints.items():
            assert host.containers[name].endpoints[network].bridge_port == endpoint.bridge_port
    assert len(host.assumptions) == 1
    assert "were not saved" in str(host.assumptions[0])


def test_only_the_dump_and_docker_inspect(tmp_path: Path) -> None:
    whole = load_host(CAPTURES / "docker-26.1" / "two-networks")
    path = tmp_path / "c"
    path.mkdir()
    for name in ("iptables-save.txt", "docker-inspect.json"):
        shutil.copy(CAPTURES / "docker-26.1" / "two-networks" / name, path)
    host = load_host(path)
    assert {n.name: n.bridge for n in host.networks.values()} == {
        name: whole.networks[name].bridge for name in ("bridge", "front", "back")
    }
    for name, container in whole.containers.items():
        ours = host.containers[name]
        assert {e.network: e.addresses for e in ours.endpoints.values()} == {
            e.network: e.addresses for e in container.endpoints.values()
        }
        default = [route for route in ours.namespace.routes if route.prefix_length == 0]
        theirs = [route for route in container.namespace.routes if route.prefix_length == 0]
        assert [route.gateway for route in default] == [route.gateway for route in theirs]
        assert all(e.bridge_port in host.namespace.interfaces for e in ours.endpoints.values())
    assert host.namespace.interfaces["br-back"].addresses[0].address == 0xAC1F0001
    assert host.namespace.sysctl("net.ipv4.ip_forward") == "1"
    assert any("ip_forward=1" in sentence for sentence in map(str, host.assumptions))


@pytest.mark.parametrize(
    "name", ["docker-20.10/icc-off", "docker-28.5/published", "docker-28.5/icc-off-link"]
)
def test_a_bare_dump_tells_the_host(name: str) -> None:
    whole, bare = load_host(CAPTURES / name), load_host(CAPTURES / name / "iptables-save.txt")
    assert bare.inferred
    network, real = bare.networks["bridge"], whole.networks["bridge"]
    assert (network.bridge, network.icc, network.internal, network.masquerade) == (
        real.bridge, real.icc, real.internal, real.masquerade,
    )  # fmt: skip
    assert [str(subnet) for subnet in network.subnets] == [str(subnet) for subnet in real.subnets]
    assert network.gateways == {4: whole.namespace.interfaces["docker0"].addresses[0].address}
    by_address = {container.address(4): container for container in whole.containers.values()}
    for container in bare.containers.values():
        address = container.address(4)
        assert address is not None
        assert container.name == address_text(4, address)
        published = [port for port in by_address[address].published if port.family == 4]
        assert sorted(container.published, key=repr) == sorted(published, key=repr)
        exposed = set(by_address[address].exposed)
        assert set(container.exposed) <= exposed | {
            ExposedPort(proto=p.proto, port=p.container_port) for p in published
        }
    assert len(bare.assumptions) >= 4


def test_a_bare_dump_tells_published_ports() -> None:
    host = load_host(CAPTURES / "docker-28.5" / "published" / "iptables-save.txt")
    assert PublishedPort(
        proto=TCP, container_port=81, host_address="127.0.0.1", host_port=8081, family=4
    ) in (host.containers["172.17.0.2"].published)
    assert host.daemon is not None
    assert (host.daemon.generation, host.daemon.userland_proxy) == ("28", True)


DAMAGE = [
    ("ip-addr.json", "[{", r":1:2: the text ends inside an object"),
    ("ip-addr.json", '[{"ifname": "a", "mtu": "x"}]', r"\[0\]\.mtu: "),
    ("ip-addr.json", '{"ifname": "a"}', "the whole file: "),
    (
        "ip-addr.json",
        '[{"ifname": "a", "addr_info": [{"family": "inet", "local": "10.0.0.1", "prefixlen": -1}]}]',
        r"\[0\].addr_info\[0\]: -1 is not a prefix length of IPv4",
    ),
    ("ip-route.json", '[{"dst": "10.0.0.0/64"}]', "64 is not a prefix length"),
    (
        "docker-network-inspect.json",
        '[{"Name": "a", "IPAM": {"Config": [{"Subnet": "::/129"}]}}]',
        "129 is not a prefix length",
    ),
    (
        "docker-inspect.json",
        '[{"Name": "/a", "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "10.0.0.1", "IPPrefixLen": 99}}}}]',
        "99 is not a prefix length",
    ),
    ("ip-route.json", '[{"dst": "10.0.0.0/8", "type": "odd"}]', "'odd' is not a route type"),
    ("ip-route.json", '[{"dst": "ten"}]', "'ten' is not an IP address"),
    (
        "docker-inspect.json",
        '[{"Name": "/a", "NetworkSettings": {"Ports": {"x/tcp": null}}}]',
        "'x' is not a number",
    ),
    (
        "docker-network-inspect.json",
        '[{"Name": "a", "IPAM": {"Config": [{"Subnet": "x"}]}}]',
        "'x' is not an IP address",
    ),
    ("container-netns.json", "[]", "the whole file: "),
    ("ipset-save.txt", "add nowhere 10.0.0.1", "line 1 adds to the set 'nowhere'"),
    (
        "ipset-save.txt",
        "create a hash:ip\nadd a here",
        "the set a of type hash:ip: 'here' is not an IP address",
    ),
    ("conntrack.txt", "tcp 6 1 ESTABLISHED src=10.0.0.1 dst=x", "line 1 is not a conntrack entry"),
    ("daemon.json", '{"icc": "maybe"}', "icc is 'maybe'"),
]


@pytest.mark.parametrize(("name", "text", "message"), DAMAGE)
def test_damaged_files(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = copy("docker-28.5/icc-on", tmp_path / "c")
    (path / name).write_text(text)
    with pytest.raises(CaptureError, match=message) as caught:
        load_host(path)
    assert name in str(caught.value)
    assert "save the file again with `" in str(caught.value)


def test_octets_that_are_no_text(tmp_path: Path) -> None:
    path = copy("docker-28.5/icc-on", tmp_path / "c")
    (path / "sysctl.txt").write_bytes(b"a = \xff")
    with pytest.raises(CaptureError, match=r"sysctl.txt: byte 5 is not UTF-8"):
        load_host(path)


def test_every_file_but_the_dump_is_optional(tmp_path: Path) -> None:
    names = {path.name for path in (CAPTURES / "docker-28.5" / "icc-on").iterdir()} - {"iptables-save.txt"}
    for name in names:
        host = load_host(copy("docker-28.5/icc-on", tmp_path / name, name))
        assert set(host.containers) == {"web", "client"}


def test_a_second_backend(tmp_path: Path) -> None:
    path = copy("docker-28.5/icc-on", tmp_path / "c")
    legacy = "# Generated by iptables-save v1.8.9 on Tue\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
    (path / "iptables-legacy-save.txt").write_text(legacy)
    host = load_host(path)
    assert host.rulesets[4].backend == "nf_tables"
    assert host.extra_rulesets[4].backend == "legacy"


def test_without_addresses_the_links_are_kept(tmp_path: Path) -> None:
    whole = load_host(CAPTURES / "docker-28.5" / "icc-on")
    host = load_host(copy("docker-28.5/icc-on", tmp_path / "c", "ip-addr.json"))
    ports = {endpoint.bridge_port for one in host.containers.values() for endpoint in one.endpoints.values()}
    assert ports == {port.name for port in whole.bridge_ports("docker0")}
    docker0, theirs = host.namespace.interfaces["docker0"], whole.namespace.interfaces["docker0"]
    assert docker0.mac == theirs.mac
    assert docker0.addresses[0].address == theirs.addresses[0].address


def test_the_bridge_has_the_ports_that_containers_of_rules_get(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(
        "*nat\n:DOCKER - [0:0]\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"
        "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.3:80\nCOMMIT\n"
    )
    host = load_host(tmp_path / "rules")
    ports = [endpoint.bridge_port for one in host.containers.values() for endpoint in one.endpoints.values()]
    assert len(ports) == 2
    assert ports == [port.name for port in host.bridge_ports("docker0")]


def reaches_outside_through(interface: str, path: Path) -> bool:
    """Return whether an interface is assumed to be the external one of a bare dump, with the usual address."""
    told = f"The host reaches the outside through {interface} and has the address 192.0.2.10/24 there."
    return told in map(str, load_host(path).assumptions)


def test_a_router_without_docker(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(
        "*nat\n-A POSTROUTING -o ppp0 -j MASQUERADE\n"
        "-A PREROUTING -d 203.0.113.5 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.7.0.9\nCOMMIT\n"
        "*filter\n:FORWARD DROP\n-A FORWARD -s 10.7.0.0/24 -i eth1 -o ppp0 -j ACCEPT\nCOMMIT\n"
    )
    host = load_host(tmp_path / "rules")
    interfaces = host.namespace.interfaces
    assert [address_text(4, one.address) for one in interfaces["ppp0"].addresses] == ["203.0.113.5"]
    assert [address_text(4, one.address) for one in interfaces["eth1"].addresses] == ["10.7.0.1"]
    assert host.containers == {}
    assert "According to the rules, eth1 leads to 10.7.0.0/24." in map(str, host.assumptions)
    assert any("203.0.113.1 by ppp0" in sentence for sentence in map(str, host.assumptions))


def test_the_uplink_is_where_a_chain_of_its_own_masquerades(tmp_path: Path) -> None:
    # as Shorewall writes it: a chain of nat for each interface, and rules for others before
    (tmp_path / "rules").write_text(
        "*nat\n:lan_nat - [0:0]\n:wan_masq - [0:0]\n-A POSTROUTING -o lan -j lan_nat\n"
        "-A POSTROUTING -o wan -j wan_masq\n-A wan_masq -s 10.7.0.0/24 -j MASQUERADE\nCOMMIT\n"
        "*filter\n:INPUT DROP\n-A INPUT -i lan -j ACCEPT\n-A INPUT -i wan -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    )
    host = load_host(tmp_path / "rules")
    assert any("The host reaches the outside through wan " in one for one in map(str, host.assumptions))


@pytest.mark.parametrize(
    ("masquerading", "filtering", "outside"),
    [
        ("-s 10.10.10.0/24 -o vmbr0 -j MASQUERADE", "-i vmbr0 -j ACCEPT", "vmbr0"),  # Proxmox
        ("-o br0 -j SNAT --to-source 192.0.2.10", "-i vmbr1 -o br0 -j ACCEPT", "br0"),
        ("-s 10.10.10.0/24 -o vmbr0 -j MASQUERADE", "-i eth0 -j ACCEPT", "eth0"),
        ("-s 10.10.10.0/24 -o br0 -j MASQUERADE", "-s 10.10.10.0/24 -i br0 -j ACCEPT", "eth0"),  # a hairpin
        ("-d 10.10.10.5 -o br0 -j MASQUERADE", "-i br0 -j ACCEPT", "eth0"),
        ("-s 172.17.0.2 -o docker0 -j MASQUERADE", "-i docker0 -j ACCEPT", "eth0"),
    ],
)
def test_a_bridge_is_the_uplink_if_what_leaves_by_it_is_masqueraded(
    masquerading: str, filtering: str, outside: str, tmp_path: Path
) -> None:
    nat = f"*nat\n-A POSTROUTING {masquerading}\nCOMMIT\n"
    (tmp_path / "rules").write_text(f"{nat}*filter\n-A FORWARD {filtering}\nCOMMIT\n")
    assert reaches_outside_through(outside, tmp_path / "rules")


@pytest.mark.parametrize(
    ("names", "outside"),
    [
        (["em1"], "em1"),  # systemd.net-naming-scheme(7) calls cards so on some machines
        (["p4p1", "docker0"], "p4p1"),
        (["vlan10"], "vlan10"),
        (["eth0.5"], "eth0.5"),
        (["vmbr0"], "vmbr0"),
        (["net0", "net1"], "eth0"),
        (["vlan10", "br-0123456789ab", "lan"], "vlan10"),
        (["weave"], "eth0"),
        (["wg0"], "eth0"),
        (["virbr0"], "eth0"),
        (["eth0:1"], "eth0"),  # an alias is no interface
    ],
)
def test_the_names_of_external_interfaces(names: list[str], outside: str, tmp_path: Path) -> None:
    rules = "".join(f"-A INPUT -i {name} -p tcp -m tcp --dport 22 -j ACCEPT\n" for name in names)
    (tmp_path / "rules").write_text(f"*filter\n:INPUT DROP\n-A INPUT -i lo -j ACCEPT\n{rules}COMMIT\n")
    assert reaches_outside_through(outside, tmp_path / "rules")


def test_a_vlan_of_a_router_may_lead_to_any_network(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(
        "*filter\n:INPUT DROP\n:FORWARD DROP\n-A INPUT -i eth1.96 -j ACCEPT\n"
        "-A FORWARD -o eth1.96 -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    )
    host = load_host(tmp_path / "rules")
    assert any("The host reaches the outside through eth0 " in one for one in map(str, host.assumptions))


@pytest.mark.parametrize(
    ("masquerading", "accepting", "outside"),
    [
        # a VPN's clients get the router's address in the LAN, and the internet is behind a VLAN
        ("-s 10.8.0.0/24 -o br0 -j MASQUERADE", "-i vlan2 -p udp -m udp --dport 1194 -j ACCEPT", "vlan2"),
        ("-s 10.8.0.0/24 -o br0 -j MASQUERADE", "-i br0 -j ACCEPT", "eth0"),
        ("-o vmbr0 -j MASQUERADE", "-i em2 -j ACCEPT\n-A INPUT -i em1 -p tcp -j ACCEPT", "em1"),
        ("-o tun0 -j MASQUERADE", "-i vlan10 -j ACCEPT", "tun0"),
        ("-s 10.0.1.0/24 -o vmbr1 -j MASQUERADE\n-A POSTROUTING -o vmbr0 -j MASQUERADE", "-p tcp", "vmbr0"),
        (
            "-s 10.0.1.0/24 -o br1 -j MASQUERADE\n-A POSTROUTING -s 10.0.2.0/24 -o br2 -j MASQUERADE\n"
            "-A PREROUTING -i br2 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.2.5",
            "-p tcp",
            "br2",
        ),
    ],
)
def test_an_interface_from_which_input_accepts_everything_leads_to_a_lan(
    masquerading: str, accepting: str, outside: str, tmp_path: Path
) -> None:
    nat = f"*nat\n-A POSTROUTING {masquerading}\nCOMMIT\n"
    (tmp_path / "rules").write_text(f"{nat}*filter\n:INPUT DROP\n-A INPUT {accepting}\nCOMMIT\n")
    assert reaches_outside_through(outside, tmp_path / "rules")


def test_a_port_forward_from_the_bridge_that_is_the_uplink(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(
        "*nat\n-A PREROUTING -i vmbr0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 10.10.10.5:443\n"
        "-A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE\nCOMMIT\n"
    )
    leg = iptsim.explain(tmp_path / "rules", "internet", "host:8443").trace.legs[0]
    assert leg.delivered is not None
    assert address_text(4, leg.delivered.packet.dst) == "10.10.10.5"


def test_the_only_tunnel_leads_to_what_gets_the_hosts_address(tmp_path: Path) -> None:
    # as the PostUp lines of WireGuard guides write it: no rule ties the subnet to wg0
    nat = "*nat\n-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE\nCOMMIT\n"
    rules = "*filter\n:FORWARD DROP\n-A FORWARD -i wg0 -o eth0 -j ACCEPT\n{more}COMMIT\n"
    told = "wg0 leads to 10.8.0.0/24: a guess, because rules masquerade the traffic from there."
    (tmp_path / "one").write_text(nat + rules.format(more=""))
    (tmp_path / "two").write_text(nat + rules.format(more="-A FORWARD -i tun0 -j ACCEPT\n"))
    assert told in map(str, load_host(tmp_path / "one").assumptions)
    assert told not in map(str, load_host(tmp_path / "two").assumptions)


@pytest.mark.parametrize("bridge", ["lxdbr0", "lxcbr0", "incusbr0"])
def test_the_only_bridge_leads_to_what_gets_the_hosts_address(bridge: str, tmp_path: Path) -> None:
    """LXD, Incus and lxc-net tie the subnet to the bridge by a comment, if at all."""
    nat = "*nat\n-A POSTROUTING -s 10.0.3.0/24 ! -d 10.0.3.0/24 -j MASQUERADE\nCOMMIT\n"
    rules = f"*filter\n:FORWARD DROP\n-A FORWARD -i {bridge} -j ACCEPT\n-A FORWARD -o {bridge} -j ACCEPT\nCOMMIT\n"
    (tmp_path / "rules").write_text(nat + rules)
    # the reply finds its way
    assert iptsim.explain(tmp_path / "rules", "10.0.3.5", "internet:443").verdict == "ACCEPT"


def test_dockers_bridge_does_not_lead_to_the_subnet_of_a_vpn(tmp_path: Path) -> None:
    nat = "*nat\n-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE\nCOMMIT\n"
    rules = "*filter\n:FORWARD DROP\n:DOCKER -\n-A FORWARD -o docker0 -j DOCKER\nCOMMIT\n"
    (tmp_path / "rules").write_text(nat + rules)
    host = iptsim.load_host(tmp_path / "rules")
    assert not any("10.8.0.0/24" in str(one) and "docker0" in str(one) for one in host.assumptions)


def test_a_rule_that_names_a_bridge_with_a_foreign_subnet(tmp_path: Path) -> None:
    # the bridge has an address, and none in that subnet: no network of containers is there
    capture = copy("docker-28.5/icc-on", tmp_path / "c", "docker-*.json", "container-netns.json")
    rules = "*nat\n-A POSTROUTING -s {subnet} ! -o docker0 -j MASQUERADE\nCOMMIT\n"
    dump = capture / "iptables-save.txt"
    dump.write_text(rules.format(subnet="10.99.0.0/24"))
    assert load_host(capture).networks == {}
    dump.write_text(rules.format(subnet="172.17.0.0/16"))
    assert list(load_host(capture).networks) == ["bridge"]
