"""Rules for which a set once said something else than the walk of its packets, each with what it was about."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from iptsim.addresses import Family, parse_address
from iptsim.asking import ask
from iptsim.dump import loads
from iptsim.extensions.parameters import parse_protocol
from iptsim.host import load_host
from iptsim.netfilter.walk import Simulator
from iptsim.question.model import Question
from iptsim.sets.fates import Fates, fates
from iptsim.sources import loads_host
from tests.host.test_port_runs import with_range
from tests.sets.hunting import CAPTURES, Report, compare_all
from tests.sets.test_fates import some
from tests.thoroughness import all_but


class Case(NamedTuple):
    """A captured host with other rules, and the packets of one sender; if `unseen`, table nat is not shown."""

    capture: str
    rules: str
    sender: str
    family: Family = 4
    state: str = "new"
    unseen: bool = False


CASES = {
    "a rule that matches by chance": Case(
        "docker-26.1/ipv6",
        """*filter
:OUTPUT ACCEPT
-A OUTPUT -d 128.0.0.0/1 -m statistic --mode random --probability 0.5 -j REJECT
COMMIT""",
        "client",
    ),
    "endpoints that are picked by chance": Case(
        "docker-28.5/published",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -i eth0 -p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 172.17.0.2:80
-A PREROUTING -i eth0 -p tcp -j DNAT --to-destination 172.17.0.3:80
COMMIT""",
        "internet",
    ),
    "the template of CT, which has neither a mark nor ends (xt_ct_target)": Case(
        "docker-28.5/published",
        """*raw
:PREROUTING ACCEPT
-A PREROUTING -p tcp -j CT --zone 1
-A PREROUTING -m connmark --mark 0x1/0x1 -j DROP
-A PREROUTING -m conntrack --ctorigdst 128.0.0.0/1 -j DROP
-A PREROUTING -m conntrack --ctproto 6 -j DROP
COMMIT""",
        "internet",
    ),
    "IPv6 groups of one interface, which the kernel drops before any rule, and others (ip6_rcv_core)": Case(
        "docker-28.5/nft-drops-forward",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -m statistic --mode random --probability 0.5 -j UNHEARDOF
COMMIT
*filter
:INPUT DROP
COMMIT""",
        "internet",
        6,
    ),
    "IPv6 groups of the scopes for which REDIRECT picks another address (nf_nat_redirect_ipv6)": Case(
        "docker-28.5/icc-off-published",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -m addrtype --dst-type UNICAST -j NETMAP --to fe80::d8dc:b0ff:fe56:13d1/64
-A PREROUTING -p tcp -j REDIRECT --to-ports 8080
COMMIT
*filter
:INPUT ACCEPT
COMMIT""",
        "eth0",
        6,
        state="related",
    ),
    "a TTL that rules wrote in a request, and that its reply does not have": Case(
        "docker-28.5/two-networks",
        """*mangle
:INPUT ACCEPT
:POSTROUTING ACCEPT
-A INPUT -m conntrack --ctstate UNTRACKED -j MARK --set-xmark 0x1/0x1
-A POSTROUTING -d 128.0.0.0/1 -j TTL --ttl-set 7
COMMIT
*filter
:INPUT ACCEPT
-A INPUT -m ttl --ttl-eq 64 -j REJECT
COMMIT""",
        "host",
    ),
    "packets to a group, whose connection is in conntrack's table before INPUT": Case(
        "hosts/libvirt",
        """*nat
:INPUT ACCEPT
-A INPUT ! -i virbr0 -m limit --limit 10/sec -j SNAT --to-source 192.0.2.10-192.0.2.13
-A INPUT -p tcp -m tcp --dport 53 -j SNAT --to-source 192.168.122.11:80
-A INPUT -p tcp -j SNAT --to-source 192.168.150.1:2000-2003
COMMIT
*filter
:OUTPUT DROP
:FORWARD ACCEPT
-A FORWARD -p tcp -m tcp --sport 1024:65535 -j REJECT
-A OUTPUT -d 192.168.130.1 -j DROP
-A OUTPUT -m statistic --mode random --probability 0.5 -j RETURN
COMMIT""",
        "dev",
        state="established",
    ),
    "what conntrack keeps in place of the ports of ICMP and GRE": Case(
        "docker-28.5/published",
        """*filter
:INPUT ACCEPT
-A INPUT -m conntrack --ctorigdstport 2048 -j DROP
-A INPUT -m conntrack ! --ctorigsrcport 7 -j ACCEPT
-A INPUT -j DROP
COMMIT""",
        "internet",
    ),
    "a list of recent packets that rules ask several times, by the address of each end": Case(
        "docker-28.5/published",
        """*filter
:INPUT ACCEPT
:OUTPUT ACCEPT
:FORWARD ACCEPT
-A INPUT -m recent --rcheck --name X --mask 255.255.255.0 --rsource -j DROP
-A INPUT -m recent --rcheck --name X --rsource -j ACCEPT
-A FORWARD -m recent --rcheck --name X --rsource -j ACCEPT
-A FORWARD -m recent ! --rcheck --name X --rsource -j ACCEPT
-A FORWARD -j DROP
-A OUTPUT -m recent --rcheck --name X --rdest -j DROP
COMMIT""",
        "internet",
    ),
    "a list of recent packets that rules change": Case(
        "docker-28.5/published",
        """*filter
:INPUT ACCEPT
-A INPUT -p tcp -m recent --set --name X --rsource
-A INPUT -p tcp -m recent --update --seconds 60 --hitcount 4 --name X --rsource -j DROP
-A INPUT -m recent --rcheck --name X --rsource -j REJECT
COMMIT""",
        "client",
    ),
    "a rule that translates or does not": Case(
        "docker-28.5/published",
        """*nat
:INPUT ACCEPT
-A INPUT -p tcp -m limit --limit 10/sec -j SNAT --to-source 172.17.0.1:2000-2003
COMMIT""",
        "internet",
    ),
    "a destination that is the new one already": Case(
        "docker-28.5/published",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
COMMIT""",
        "client",
    ),
    "a broadcast of the host, of which it gets a copy": Case(
        "docker-28.5/published",
        """*nat
:POSTROUTING ACCEPT
-A POSTROUTING -j SNAT --to-source 198.51.100.7
COMMIT""",
        "host",
    ),
    "an open connection, which a SYN began": Case(
        "docker-28.5/published",
        """*nat
:POSTROUTING ACCEPT
-A POSTROUTING -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j MASQUERADE --to-ports 8080
COMMIT""",
        "client",
        state="established",
    ),
    "a related connection begins with a SYN, too": Case(
        "docker-28.5/published",
        """*filter
:FORWARD ACCEPT
-A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP
COMMIT""",
        "internet",
        state="related",
    ),
    "groups of each scope are sent to from another address": Case(
        "docker-28.5/ipv6",
        """*filter
:OUTPUT ACCEPT
-A OUTPUT -s 2001:db8::/32 -j DROP
COMMIT""",
        "host",
        6,
    ),
    "a loopback address is the source of what is sent to it": Case(
        "docker-28.5/published",
        """*filter
:OUTPUT ACCEPT
-A OUTPUT -s 127.0.0.53/32 -d 127.0.0.0/8 -j DROP
COMMIT""",
        "host",
    ),
    "a machine replies to another one on its own link": Case(
        "docker-28.5/published",
        """*filter
:FORWARD ACCEPT
-A FORWARD -m conntrack --ctdir REPLY -j DROP
COMMIT""",
        "internet",
    ),
    "replies that begin a connection of their own, as only some protocols' can": Case(
        "docker-26.1/published",
        """*raw
:OUTPUT ACCEPT
-A OUTPUT -j CT --notrack
COMMIT
*filter
:INPUT DROP
-A INPUT -m conntrack --ctstate NEW -j ACCEPT
COMMIT""",
        "host",
    ),
    "NETMAP in a chain of its own, which POSTROUTING calls": Case(
        "docker-28.5/published",
        """*nat
:POSTROUTING ACCEPT
:OWN -
-A POSTROUTING -j OWN
-A OWN -j NETMAP --to 203.0.113.0/24
COMMIT
*filter
:FORWARD DROP
-A FORWARD -d 203.0.113.0/24 -j ACCEPT
-A FORWARD -i docker0 -j ACCEPT
COMMIT""",
        "client",
    ),
    "a ping is longer than a SYN": Case(
        "docker-28.5/published",
        """*filter
:FORWARD DROP
-A FORWARD -m length --length 0:60 -j REJECT
-A FORWARD -p icmp -j ACCEPT
COMMIT""",
        "client",
    ),
    "a table nat that is not shown, but without which Docker publishes nothing": Case(
        "docker-20.10/published",
        """*filter
:FORWARD DROP
-A FORWARD -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT""",
        "internet",
        unseen=True,
    ),
    "UDP-Lite, whose checksum conntrack verifies wrongly": Case(
        "docker-28.5/dns",
        """*nat
:POSTROUTING ACCEPT
-A POSTROUTING -j SNAT --to-source 203.0.113.9
COMMIT
*filter
:FORWARD DROP
-A FORWARD -p udplite -j ACCEPT
COMMIT""",
        "eth0",
    ),
    "pings of a group, to which the kernel replies": Case(
        "docker-28.5/docker-user",
        """*raw
:PREROUTING ACCEPT
:OUTPUT ACCEPT
-A PREROUTING -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j CT --notrack
-A OUTPUT -p udp -j ACCEPT
COMMIT""",
        "eth0",
        6,
    ),
    "the protocol of a connection": Case(
        "hosts/podman-netavark",
        """*filter
:INPUT ACCEPT
-A INPUT -m conntrack --ctproto 6 --ctorigdstport 0:1023 -j REJECT
COMMIT""",
        "internet",
    ),
    "a network that is mapped onto containers, the sender among them": Case(
        "docker-28.5/published",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -j NETMAP --to 172.17.0.0/24
COMMIT""",
        "client",
    ),
    "messages of ICMP that open no connection": Case(
        "docker-28.5/network-disconnect",
        """*filter
:INPUT DROP
-A INPUT ! -i lo -p icmp -m icmp --icmp-type any -j ACCEPT
COMMIT""",
        "app",
        state="invalid",
    ),
    "the group of all nodes": Case(
        "docker-28.5/forward-off",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -j NETMAP --to ::1/120
COMMIT""",
        "eth0",
        6,
        state="established",
    ),
    "a rate that the first packet of a connection has met": Case(
        "docker-28.5/icc-off",
        """*nat
:PREROUTING ACCEPT
-A PREROUTING -p tcp -m conntrack ! --ctstate DNAT -j REDIRECT --to-ports 2000-2003
COMMIT
*filter
:INPUT ACCEPT
-A INPUT -m conntrack --ctdir ORIGINAL -m limit --limit 10/sec -j DROP
COMMIT""",
        "eth0",
        state="established",
    ),
    "packets that go on together, some of them marked": Case(
        "docker-20.10/host-firewall",
        """*mangle
:INPUT ACCEPT
-A INPUT -p tcp -j MARK --set-xmark 0x1/0x1
COMMIT
*filter
:INPUT DROP
-A INPUT ! -d 192.0.2.0/24 -m mark ! --mark 0x0 -j ACCEPT
COMMIT""",
        "client",
    ),
    "the source of the first packet of a related connection": Case(
        "docker-28.5/two-networks",
        """*filter
:OUTPUT ACCEPT
-A OUTPUT -m conntrack --ctrepldst 172.17.0.1 -j REJECT
COMMIT""",
        "host",
        state="related",
    ),
    "a rule that compares the source port of docker-proxy's connection": Case(
        "docker-28.5/bridge-nf-off",
        """*filter
:INPUT ACCEPT
:OUTPUT ACCEPT
-A INPUT -p tcp -m multiport --sports 443,8000:8100 -m limit --limit 10/sec -j REJECT
-A OUTPUT -p tcp -m tcp --sport 0:1023 -j DROP
COMMIT""",
        "web",
    ),
}


#: The base chains of a table nat without rules: one that is not shown might forward to containers.
NAT = "*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"


def fates_of(case: Case) -> Fates:
    host = load_host(CAPTURES / case.capture)
    rules = re.sub(r"\*nat\n(:[A-Z]+ ACCEPT\n)*", NAT, case.rules)
    if "*nat" not in rules and not case.unseen:
        rules += f"\n{NAT}COMMIT"
    host.rulesets[case.family] = loads(f"{rules}\n", family=case.family)
    return fates(host, case.family, senders=[case.sender], state=case.state)


#: Cases that take seconds each.
DEAR = (
    "the group of all nodes",
    "pings of a group, to which the kernel replies",
    "a rate that the first packet of a connection has met",
)


@pytest.mark.parametrize("what", all_but(CASES, DEAR))
def test_packets_walk_as_their_set_says(what: str) -> None:
    found, report = fates_of(CASES[what]), Report()
    assert compare_all(found, Random(20261128), report, 60, 4) == ""
    assert report.packets


def test_all_endpoints_of_a_service_may_get_its_packets() -> None:
    found = fates_of(CASES["endpoints that are picked by chance"])
    several = [one for one in found if len(one.reaches) > 1]
    assert several
    for fate in several:
        assert set(fate.reaches) == {("container", "web"), ("container", "client")}
        assert fate.delivered is None
        assert {made.get("dst", "172.17.0.2") for made in fate.translated} <= {"172.17.0.2", "172.17.0.3"}


def test_what_different_rules_drop_can_be_kept_apart() -> None:
    host = load_host(CAPTURES / "docker-28.5/published")
    rules = "*filter\n:FORWARD DROP\n-A FORWARD -p tcp -j DROP\n-A FORWARD -p udp -j DROP\nCOMMIT\n"
    host.rulesets[4] = loads(f"{rules}{NAT}COMMIT\n")
    for apart, expected in ((False, 1), (True, 3)):
        found = fates(host, senders=["client"], targets=["198.51.100.7"], apart=apart)
        assert [fate.verdict for fate in found] == ["DROP"] * expected
        assert len({str(fate.decides) for fate in found}) == expected


#: Rules of called chains block requests and replies, some by chance.
BLOCKING = """*filter
:FORWARD DROP
:sources - [0:0]
:replies - [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j replies
-A FORWARD -i docker0 -j sources
-A replies -p tcp -m tcp --sport 81 -j DROP
-A replies -p udp -j DROP
-A replies -m limit --limit 1/sec -j ACCEPT
-A sources -p tcp -m tcp --dport 80 -j DROP
-A sources -p tcp -m tcp --dport 22 -j REJECT
-A sources -p udp -m udp --dport 53 -j DROP
-A sources -p icmp -j DROP
-A sources -j ACCEPT
COMMIT
"""


def test_the_rule_that_blocks_packets_is_that_of_their_walk() -> None:
    host, chance = load_host(CAPTURES / "docker-28.5/published"), Random(20261129)
    host.rulesets[4] = loads(BLOCKING)
    found = fates(host, senders=["client"], targets=["198.51.100.0/24"], apart=True)
    simulator, blocked_by = Simulator(host), set()
    for fate in (one for one in found if one.verdict in ("DROP", "REJECT")):
        for _ in range(5):
            line, _ = found.classes.one(fate._sender, some(fate.packets, chance).function)
            step = ask(simulator, Question(**line)).trace.deciding_leg.deciding
            assert step is not None, line
            walked = (step.chain, step.rule.position if step.rule is not None else None)
            assert fate.blocked_at[2:4] == walked, line
            blocked_by.add(walked)
    assert blocked_by == {("replies", 1), ("replies", 2), *(("sources", number) for number in range(1, 5))}
    assert any(fate.verdict == "DEPENDS" for fate in found)


def test_ports_that_docker_proxy_passes_on_alike_are_one_fate_unless_a_rule_tells_them_apart(
    tmp_path: Path,
) -> None:
    with_range(tmp_path / "c", shift=100, count=12)
    dump = tmp_path / "c/iptables-save.txt"
    drop = "-A OUTPUT -d 172.17.0.2/32 -p udp -m udp --dport 20105 -j DROP\n"
    head, table, tail = dump.read_text().partition("*filter\n")
    dump.write_text(head + table + tail.replace("COMMIT\n", f"{drop}COMMIT\n", 1))
    host = load_host(tmp_path / "c")
    found = fates(host, senders=["client"], targets=["172.17.0.1"], proto="udp", dport=((20_000, 20_011),))
    assert len(found) == 2
    passed = next(one for one in found if one.proxied)
    simulator = Simulator(host)
    for fate in found:
        for port in (port for low, high in fate.packets.ranges("dport") for port in range(low, high + 1)):
            question = Question(**{"from": "client", "to": "172.17.0.1", "proto": "udp", "dport": port})
            legs = [leg for leg in simulator.walk(question).legs if leg.proxy and leg.direction == "original"]
            assert [leg.packet.dport for leg in legs] == [port + 100]
            assert (fate is passed) == all(leg.verdict == "ACCEPT" for leg in legs) == (port != 20_005)
    expected = {port: port + 100 for port in range(20_000, 20_012) if port != 20_005}
    ports = {packets.ranges("dport")[0][0]: int(made["dport"]) for packets, made in passed.by_arrival()}
    assert ports == expected
    assert passed.proxied == {"dst": "172.17.0.2", "dport": "*"}


def test_docker_proxy_connects_to_the_container_of_each_port(tmp_path: Path) -> None:
    """The rules of table nat say which container each port is for; containers on bridges of their own skip them."""
    shutil.copytree(CAPTURES / "hosts/docker-many", tmp_path / "c")
    dump = tmp_path / "c/iptables-save.txt"
    published = re.findall(r"--dport (\d+) -j DNAT --to-destination ([\d.]+):80", dump.read_text())
    drop = "-A OUTPUT -d 172.21.0.5/32 -p tcp -m tcp --dport 80 -j DROP\n"
    head, table, tail = dump.read_text().partition("*filter\n")
    dump.write_text(head + table + tail.replace("COMMIT\n", f"{drop}COMMIT\n", 1))
    host = load_host(tmp_path / "c")
    found = fates(host, senders=["c29"], targets=["192.0.2.10"], proto="tcp", dport=((8000, 8019),))
    to = {packets.ranges("dport"): made["dst"] for fate in found for packets, made in fate.passed_on}
    assert to == {((int(port),) * 2,): address for port, address in published if port != "8016"}
    assert [one.packets.ranges("dport") for one in found if one.verdict == "DROP"] == [((8016, 8016),)]


def test_docker_proxy_connects_to_nothing_for_broadcasts_so_that_one_walk_has_all_published_ports() -> None:
    """TCP drops what is not for a single machine (tcp_v4_rcv: only PACKET_HOST)."""
    host = load_host(CAPTURES / "hosts/docker-many")
    published = [port.host_port for one in host.containers.values() for port in one.published]
    assert len(published) > 1
    for target in ("255.255.255.255", "224.0.0.1"):
        asked = tuple((port, port) for port in sorted(published))
        found = fates(host, senders=["internet"], targets=[target], proto="tcp", dport=asked)
        assert len([one for ways in found.ways.values() for one in ways]) == 1
        for port in published:
            question = Question(**{"from": "internet", "to": target, "proto": "tcp", "dport": port})
            assert not any(leg.proxy for leg in Simulator(host).walk(question).legs)


def test_a_container_called_host_is_not_the_host() -> None:
    """A question names the container by its network, too, as `host` alone is the host."""
    host = loads_host("docker run -d --name host nginx\n")
    assert "host" in host.containers
    found = fates(host, 4, senders=["host"])
    assert {fate.witness["from"] for fate in found} == {"host", "host@bridge"}
    assert all(fate.confirmed for fate in found)


@pytest.mark.parametrize("sport", [40000, 52503])
def test_docker_proxy_does_not_take_the_port_of_a_client_on_the_host(sport: int) -> None:
    """Both connections are redirected to one socket, so that their replies differ in the client's port only."""
    host = load_host(CAPTURES / "docker-26.1/two-networks")
    host.rulesets[4] = loads(
        "*nat\n:OUTPUT ACCEPT\n-A OUTPUT -p tcp -m conntrack --ctstate NEW -j REDIRECT --to-ports 8080\nCOMMIT\n",
        family=4,
    )
    line = {"from": "host", "dst": "172.30.30.116", "proto": "tcp", "sport": sport, "dport": 8080}
    assert ask(host, Question(**line)).verdict == "ACCEPT"
    found = fates(host, 4, senders=["host"])
    packets = found.space.point({"dst": 0xAC1E1E74, "proto": 6, "sport": sport, "dport": 8080})
    assert {fate.verdict for fate in found if fate.packets & packets} == {"ACCEPT"}


def test_docker_proxy_connects_from_a_port_of_its_own() -> None:
    """Its socket is not bound, so that the kernel picks the port (moby cmd/docker-proxy/tcp_proxy_linux.go)."""
    found = fates_of(CASES["a rule that compares the source port of docker-proxy's connection"])
    for sport in (443, 1000, 40001):
        asked = Question(
            **{"from": "web", "dst": "172.17.0.1", "proto": "tcp", "sport": sport, "dport": 8080}
        )
        legs = ask(found.simulator, asked).trace.legs
        assert [leg.packet.sport for leg in legs if leg.proxy and leg.direction == "original"] == [40000]


@pytest.mark.parametrize("proto", ["icmp", "gre"])
def test_what_is_in_place_of_a_port_is_unknown(proto: str) -> None:
    """Conntrack keeps the type, the code and the identifier of ICMP, and keys of GRE (nf_conntrack_tuple.h)."""
    found = fates_of(CASES["what conntrack keeps in place of the ports of ICMP and GRE"])
    here = [one for one in found if one.packets.where("proto", ((parse_protocol(proto),) * 2,))]
    own = [one for one in here if one.reaches == (("host", "host"),)]
    assert own
    assert {one.verdict for one in own} == {"DEPENDS"}


def test_a_list_that_two_rules_ask_of_one_address_is_one_decision() -> None:
    found = fates_of(
        CASES["a list of recent packets that rules ask several times, by the address of each end"]
    )
    assert not [one for one in found if one.passes_through and one.verdict == "DEPENDS"]


@pytest.mark.parametrize("sender", ["internet", "client", "host"])
def test_a_saved_list_of_recent_packets_decides_unless_rules_change_it(sender: str) -> None:
    rules = """*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
-A INPUT -m recent --rcheck --seconds 60 --hitcount 2 --name X --rsource -j DROP
-A INPUT -m recent ! --rcheck --name X --mask 255.255.255.0 --rsource -j REJECT
-A FORWARD -m recent --rcheck --seconds 5 --name X --rsource -j DROP
-A OUTPUT -m recent --rcheck --name X --rdest -j DROP
-A OUTPUT -m recent --rcheck --name EMPTY --rdest -j REJECT
COMMIT
"""
    host = load_host(CAPTURES / "docker-28.5/published")
    seen = {
        "198.51.100.7": [1.0, 50.0, 90.0],
        "203.0.113.9": [3.0, 70.0],
        "198.51.100.0": [9.0],
        "172.17.0.3": [2.0],
    }
    host.recent = {"X": {parse_address(address)[1]: ages for address, ages in seen.items()}}
    host.rulesets[4] = loads(f"{rules}{NAT}COMMIT\n")
    found, report = fates(host, senders=[sender]), Report()
    assert compare_all(found, Random(20261129), report, 60, 4) == ""
    assert "DEPENDS" not in {one.verdict for one in found}
    changed = rules.replace("COMMIT", "-A OUTPUT -p tcp -m recent --set --name X --rdest\nCOMMIT")
    host.rulesets[4] = loads(f"{changed}{NAT}COMMIT\n")
    assert "DEPENDS" in {one.verdict for one in fates(host, senders=[sender])}


def test_nat_changes_nothing_of_a_connection_that_is_in_conntracks_table() -> None:
    """nf_nat_setup_info does nothing for a confirmed connection, and that of a flooded packet is (br_nf_local_in)."""
    found = fates_of(CASES["packets to a group, whose connection is in conntrack's table before INPUT"])
    group = found.space.where("dst", ((0xE0000001, 0xE0000001),))
    here = [part for one in found if (part := one.within(group)) is not None]
    assert here
    assert not any(one.translated for one in here)
