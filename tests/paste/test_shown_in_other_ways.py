"""Rules that a text shows twice, as a change, or wrapped; containers and routes that only commands name."""

from __future__ import annotations

import pytest

import iptsim
from iptsim.addresses import parse_address
from iptsim.errors import CaptureError
from iptsim.extensions.hidden import is_gap
from iptsim.findings import lint
from iptsim.host import fib
from iptsim.host.model import Host

POST_UP = (
    "PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE\n"
)
ECHO = """\
$ sudo wg-quick up wg0
[#] ip -4 address add 10.0.0.1/24 dev wg0
[#] iptables -A FORWARD -i wg0 -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
"""
DOWN = "[#] iptables -D FORWARD -i wg0 -j ACCEPT; iptables -t nat -D POSTROUTING -o eth0 -j MASQUERADE\n"
DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""


def host(text: str) -> Host:
    return iptsim.loads_host(text)


def rules(text: str, chain: str, table: str = "filter") -> list[str]:
    """Return the rules of an IPv4 chain, "..." for what is not shown."""
    found = host(text).rulesets[4].tables[table].chains[chain].rules
    return ["..." if is_gap(rule.target) else rule.specification for rule in found]


def codes(text: str) -> list[str]:
    return [finding.code for finding in lint(host(text))]


@pytest.mark.parametrize("text", [POST_UP + ECHO, ECHO + POST_UP, POST_UP + ECHO + DOWN + ECHO])
def test_the_echo_of_a_command_is_no_second_one(text: str) -> None:
    """wg-quick prints each command of a hook before it runs it (wg-quick(8), execute_hooks)."""
    assert rules(text, "FORWARD") == ["-i wg0 -j ACCEPT"]
    assert rules(text, "POSTROUTING", "nat") == ["-o eth0 -j MASQUERADE"]


def test_two_echoes_are_two_commands() -> None:
    assert len(rules(ECHO + ECHO, "FORWARD")) == 2


def test_a_script_and_its_trace() -> None:
    text = "#!/bin/sh -x\nIF=eth0\niptables -A INPUT -i $IF -j DROP\n\n+ IF=eth0\n+ iptables -A INPUT -i eth0 -j DROP\n"
    assert rules(text, "INPUT") == ["-i eth0 -j DROP"]


@pytest.mark.parametrize(
    "second", ["# iptables -S FORWARD\n-P FORWARD DROP\n", "# iptables-save | grep docker\n"]
)
def test_a_chain_that_is_listed_again(second: str) -> None:
    shown = "-A FORWARD -j LOG\n-A FORWARD -i docker0 -j ACCEPT\n"
    text = f"# iptables -S FORWARD\n-P FORWARD DROP\n{shown}{second}-A FORWARD -i docker0 -j ACCEPT\n"
    assert [one for one in rules(text, "FORWARD") if one != "..."] == ["-j LOG", "-i docker0 -j ACCEPT"]


def test_a_logged_line_that_backslashes_wrap() -> None:
    text = (
        "kernel: [UFW BLOCK] IN=eth0 OUT= MAC=00:11 \\\nSRC=203.0.113.9 DST=192.0.2.7 LEN=60 TTL=64 \\\n"
        "PROTO=TCP SPT=40000 DPT=22 WINDOW=64240 RES=0x00 SYN URGP=0\n"
    )
    pasted = host(text).pasted
    assert pasted is not None
    assert [(one.first, one.last) for one in pasted.segments] == [(1, 3)]
    assert pasted.asked[0]["dport"] == 22


UNIFIED = """\
--- before
+++ after
@@ -5,3 +5,3 @@
 :INPUT DROP [0:0]
--A INPUT -p tcp -m tcp --dport 22 -j DROP
+-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
 -A INPUT -i lo -j ACCEPT
@@ -30,1 +30,2 @@
 -A FORWARD -i docker0 -j ACCEPT
+-A FORWARD -o docker0 -j ACCEPT
"""
NORMAL = """\
$ diff before after
7c7
< -A INPUT -p tcp -m tcp --dport 22 -j DROP
---
> -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
31a32
> -A FORWARD -o docker0 -j ACCEPT
"""
BARE = """\
 Chain INPUT (policy DROP 0 packets, 0 bytes)
  pkts bytes target     prot opt in     out     source               destination
-    0     0 DROP       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:22
+    0     0 ACCEPT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:22
"""
SSH = "-p tcp -m tcp --dport 22 -j ACCEPT"


@pytest.mark.parametrize(
    ("text", "in_input", "in_forward"),
    [
        (
            UNIFIED,
            [SSH, "-i lo -j ACCEPT", "..."],
            ["...", "-i docker0 -j ACCEPT", "-o docker0 -j ACCEPT", "..."],
        ),
        (NORMAL, ["...", SSH, "..."], ["...", "-o docker0 -j ACCEPT", "..."]),
        (BARE, [SSH], ["..."]),
    ],
)
def test_a_change(text: str, in_input: list[str], in_forward: list[str]) -> None:
    """Between the parts of a change, rules may be missing; the rules are those after it."""
    assert rules(text, "INPUT") == in_input
    assert rules(text, "FORWARD") == in_forward
    assert any("diff" in str(one) for one in host(text).assumptions)


def test_a_change_that_takes_out_all_rules_of_docker() -> None:
    change = "# diff -u a b\n@@ -1,4 +1,1 @@\n-*nat\n--A PREROUTING -j DOCKER\n"
    text = f"# docker run nginx fails\n# systemctl restart iptables\n{change}"
    assert "docker-rules-flushed" in codes(text)


@pytest.mark.parametrize(
    "before",
    [
        "docker run -d --name web -p 8080:80 nginx\ndocker run -d --name db postgres\n",
        "$ docker ps\nCONTAINER ID   IMAGE      COMMAND   CREATED       STATUS       PORTS                  NAMES\n"
        '0123456789ab   nginx      "nginx"   2 hours ago   Up 2 hours   0.0.0.0:8080->80/tcp   web\n'
        '1123456789ab   postgres   "pg"      2 hours ago   Up 2 hours   5432/tcp               db\n',
    ],
)
def test_a_container_that_no_rule_mentions_has_a_name(before: str) -> None:
    """Docker gives it the next free address of the default bridge; the source names this as an assumption."""
    found = host(f"{before}\n# iptables-save\n{DOCKER}")
    assert set(found.containers) == {"web", "db"}
    assert iptsim.explain(found, "db", "internet:443").verdict == "ACCEPT"
    assert iptsim.explain(found, "db", "web:80").verdict == "DROP"  # no rule is for docker0 to docker0
    assert any("172.17.0.3" in str(one) for one in found.assumptions)


def test_a_container_that_may_be_another_one_stays_unknown() -> None:
    """A rule mentions an address without a published port, which may be that of the container."""
    other = DOCKER.replace(
        "-A FORWARD -i docker0", "-A DOCKER -d 172.17.0.5/32 -i docker0 -j ACCEPT\n-A FORWARD -i docker0"
    )
    assert "db" not in host(f"docker run -d --name db postgres\n\n# iptables-save\n{other}").containers


def test_networks_of_compose_alone() -> None:
    front = "  front:\n    ipam:\n      config:\n        - subnet: 172.28.0.0/16\n"
    found = host(f"networks:\n{front}  back:\n    internal: true\n")
    assert [str(subnet) for subnet in found.networks["project_front"].subnets] == ["172.28.0.0/16"]
    assert found.networks["project_back"].internal


@pytest.mark.parametrize("value", ["999.1.1.1/99", "''", "[1"])
def test_impossible_networks_are_an_error(value: str) -> None:
    with pytest.raises(CaptureError):
        host(f"networks:\n  front:\n    ipam:\n      config:\n        - subnet: {value}\n")


ROUTES = """\
# ip route
default via 192.168.1.1 dev eth0
192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.5
"""
POLICIES = "# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"


def test_routes_of_another_table_leave_the_usual_ones() -> None:
    """A part of `ip rule` and of the routes: the kernel's own rules (fib_default_rules_init) are there as well."""
    text = "# ip rule\n3:\tfrom 10.1.2.3 lookup lan\n\n# ip route show table lan\ndefault via 10.1.2.1 dev eth7\n"
    namespace = host(text + POLICIES).namespace
    to = parse_address("203.0.113.9")[1]
    assert fib.lookup(namespace, 4, to).device == "eth0"
    assert fib.lookup(namespace, 4, to, source=parse_address("10.1.2.3")[1]).device == "eth7"


@pytest.mark.parametrize(
    ("text", "gateways"),
    [
        (
            ROUTES + "# ip route del default\n# ip route add default via 192.168.1.2\n" + POLICIES,
            ["192.168.1.2"],
        ),
        ("# ip route del default\n" + ROUTES + POLICIES, ["192.168.1.1"]),
        (ROUTES + "# ip route del 999.1.1.1/99\n# ip route del\n" + POLICIES, ["192.168.1.1"]),
    ],
)
def test_routes_that_commands_change(text: str, gateways: list[str]) -> None:
    routes = host(text).namespace.routes
    shown = [one.gateway for one in routes if one.family == 4 and not one.prefix_length]
    assert shown == [parse_address(one)[1] for one in gateways]


def test_a_route_that_a_sentence_adds() -> None:
    text = "The next thing was `ip route add 10.9.0.0/16 via 192.0.2.7 dev lan3`, and it failed.\n"
    assert any(one.device == "lan3" for one in host(text).namespace.routes)
    with pytest.raises(CaptureError):
        host(text.replace("The next thing was", "I should rather"))


@pytest.mark.parametrize(
    ("lead", "family", "table"),
    [
        ("The output of `sudo ip6tables -L -n` on this host is:", 6, "filter"),
        ("and here is iptables -t nat -L -n -v:", 4, "nat"),
    ],
)
def test_a_sentence_that_introduces_output(lead: str, family: int, table: str) -> None:
    listing = "Chain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination\n"
    rulesets = host(f"{lead}\n{listing}").rulesets
    assert {of: list(one.tables) for of, one in rulesets.items()} == {family: [table]}


def test_many_marks_of_a_table_that_is_not_shown() -> None:
    rows = "".join(
        f"    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0      mark match 0x{mark:x}\n"
        for mark in range(1, 30)
    )
    text = (
        "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"
        f" pkts bytes target     prot opt in     out     source               destination\n{rows}"
    )
    answer = iptsim.explain(host(text), "10.0.0.5", "10.1.1.1:80")
    assert answer.verdict == "DEPENDS"
    assert "table mangle" in answer.reason.text


def test_a_line_of_a_file_that_lacks_its_jump() -> None:
    """iptables-restore: Bad argument `RETURN'."""
    text = "*nat\n:PREROUTING ACCEPT[0:0]\n:RED - [0:0]\n-A PREROUTING -j RED\n-A RED -d 10.0.0.0/8 RETURN\nCOMMIT\n"
    assert "refused-command" in codes(text)


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ('- WG_POST_UP="iptables -A FORWARD -i wg0 -j ACCEPT"', True),
        ('- "WG_POST_UP=iptables -A FORWARD -i wg0 -j ACCEPT"', False),
        ("- WG_POST_UP=iptables -A FORWARD -i wg0 -j ACCEPT", False),
    ],
)
def test_quotation_marks_in_a_list_of_compose(item: str, found: bool) -> None:
    """YAML: in a plain scalar, quotation marks are characters like others (YAML 1.2.2, 7.3.3)."""
    text = f"services:\n  wg:\n    image: weejewel/wg-easy\n    environment:\n      {item}\n"
    assert ("quoted-command" in codes(text)) is found


@pytest.mark.parametrize(
    ("address", "found"),
    [("10.10.10.1/24", True), ("10.10.11.1/24", False), ("203.0.113.5/32", False)],
)
def test_the_same_address_on_two_interfaces(address: str, found: bool) -> None:
    first = address if found or address.endswith("/32") else "10.10.10.1/24"
    text = "".join(
        f"{place}: vmbr{place}: <BROADCAST,UP,LOWER_UP> mtu 1500 state UP\n    inet {one} scope global vmbr{place}\n"
        for place, one in ((2, first), (3, address))
    )
    assert ("same-address" in codes(f"{text}\n{POLICIES}")) is found


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("192.168.0.0     0.0.0.0         255.255.0.0     U         0 0          0 tun0", True),
        ("192.168.0.0     0.0.0.0         255.255.128.0   U         0 0          0 tun0", False),
        ("192.168.0.0     0.0.0.0         255.0.255.0     U         0 0          0 tun0", False),
        ("999.1.1.1       0.0.0.0         255.255.0.0     U         0 0          0 tun0", False),
    ],
)
def test_routes_over_all_address_pools(route: str, found: bool) -> None:
    pools = '{"default-address-pools": [{"base": "192.168.128.0/17", "size": 28}]}\n'
    assert ("address-pool-full" in codes(f"docker fails:\n{route}\n\n{pools}")) is found


POLICY = """\
netavark_portfwd (active)
  priority: -1
  target: CONTINUE
  ingress-zones: ANY
  egress-zones: ANY
  services:
  masquerade: no
  forward-ports:{ports}
"""
PORT = "\n        port=8000:proto=tcp:toport=80:toaddr=10.88.0.8"


def test_ports_of_podman_that_a_policy_has_lost() -> None:
    """firewall-cmd --reload keeps only what is permanent (firewall-cmd(1)); netavark adds its ports at runtime."""
    gone = f"before:\n{POLICY.format(ports=PORT)}\nafter:\n{POLICY.format(ports='')}"
    assert "podman-rules-flushed" in codes(gone)
    assert "podman-rules-flushed" not in codes(gone.replace("forward-ports:\n", f"forward-ports:{PORT}\n"))


ZONES = """\
public (default, active)
  target: default
  interfaces: eth0
  masquerade: no

vpn (active)
  target: default
  interfaces: wg0
  masquerade: no

out (active)
  target: {target}
  ingress-zones: {ingress}
  egress-zones: public
"""


@pytest.mark.parametrize(
    ("target", "ingress", "found"),
    [("ACCEPT", "vpn", False), ("ACCEPT", "ANY", False), ("CONTINUE", "vpn", True), ("ACCEPT", "dmz", True)],
)
def test_a_policy_that_lets_a_zone_pass(target: str, ingress: str, found: bool) -> None:
    """firewalld.policy(5): the target ACCEPT accepts all packets from the ingress zones to the egress zones."""
    assert ("zone-not-forwarded" in codes(ZONES.format(target=target, ingress=ingress))) is found


@pytest.mark.parametrize(
    ("half", "found"),
    [("128.0.0.0/1", True), ("128.0.0.0/2", False)],
    ids=["all pools", "not those in 192/8"],
)
def test_openvpn_replaces_the_default_route_by_two_halves(half: str, found: bool) -> None:
    """Versions before moby's InferReservedNetworks take no subnet that overlaps with any route but the default one."""
    text = f"docker network create fails:\n{ROUTES}{half} via 10.8.8.1 dev tun0\n10.8.8.0/24 dev tun0 scope link\n"
    told = [str(one.title) for one in lint(host(text)) if one.code == "address-pool-full"]
    assert bool(told) is found
    assert all("Older versions" in one and "tun0" in one and "eth0" not in one for one in told)
    error = "Error response from daemon: could not find an available, non-overlapping IPv4 address pool"
    [failed] = [one for one in lint(host(f"{error}\n{text}")) if one.code == "address-pool-full"]
    assert [one.text for one in failed.evidence if one.place == "ip route"] == [f"{half} dev tun0"] * found
