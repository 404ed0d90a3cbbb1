"""Port forwards for some clients only, NOTRACK that stops nat, swarm's ingress gone, chains that only log."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.findings import Finding
from tests.findings.linting import lint as by_code

#: A router: its uplink and a LAN with a web server
ROUTER = """\
$ ip addr
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP
    inet 203.0.113.5/24 brd 203.0.113.255 scope global eth0
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP
    inet 192.168.1.1/24 brd 192.168.1.255 scope global eth1
$ ip route
default via 203.0.113.1 dev eth0
203.0.113.0/24 dev eth0 proto kernel scope link src 203.0.113.5
192.168.1.0/24 dev eth1 proto kernel scope link src 192.168.1.1
"""
NAT = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
{rules}
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
"""
FORWARD = (
    "-A PREROUTING -d 203.0.113.5/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80"
)
LOOPED = "-A POSTROUTING -s 192.168.1.0/24 -d 192.168.1.10/32 -j MASQUERADE"
OWN = "-A OUTPUT -d 203.0.113.5/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.168.1.10:80"


def lint(folder: Path, *texts: str) -> list[Finding]:
    path = folder / "paste.txt"
    path.write_text("\n".join(texts))
    return iptsim.lint(path)


def codes(findings: list[Finding]) -> set[str]:
    return {one.code for one in findings}


def test_a_masquerade_of_everything_forwards_nothing(tmp_path: Path) -> None:
    """MASQUERADE without an interface also translates what the host sends to itself."""
    rules = NAT.format(rules=FORWARD.replace("-d 203.0.113.5/32 ", "")).replace(" -o eth0 -j", " -j")
    assert "port-forward-not-for-host" in codes(lint(tmp_path, ROUTER, rules))


BESIDE_DOCKER = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
{nat}-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
{filter}-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""


@pytest.mark.parametrize(
    ("nat", "filtered", "cut_off"),
    [
        ("-A POSTROUTING -o eth0 -j MASQUERADE\n", "", True),
        ("-A POSTROUTING -s 192.168.1.0/24 -o eth0 -j MASQUERADE\n", "", True),
        # there, but not back
        ("", "-A FORWARD -i eth1 -j ACCEPT\n", True),
        # no rule shows that the host is the LAN's router: it may lead to storage
        ("", "", False),
        ("-A POSTROUTING -s 192.168.9.0/24 -o eth0 -j MASQUERADE\n", "", False),
        (
            "-A POSTROUTING -o eth0 -j MASQUERADE\n",
            "-A FORWARD -i eth1 -j ACCEPT\n-A FORWARD -o eth1 -j ACCEPT\n",
            False,
        ),
    ],
)
def test_a_second_lan_behind_dockers_forward_policy(
    tmp_path: Path, nat: str, filtered: str, cut_off: bool
) -> None:
    """The policy DROP that dockerd sets (moby, setup_ip_forwarding.go) is for every packet that is forwarded."""
    found = lint(tmp_path, ROUTER, "$ iptables-save", BESIDE_DOCKER.format(nat=nat, filter=filtered))
    others = [one for one in found if one.code == "forward-drop-hits-others"]
    assert bool(others) is cut_off
    if others:
        assert "eth1" in str(others[0].title)
        assert others[0].commands


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        # RFC 4787, hairpinning; PREROUTING is not a hook of local packets (iptables(8))
        ([FORWARD], {"hairpin", "port-forward-not-for-host"}),
        ([FORWARD, LOOPED], {"port-forward-not-for-host"}),
        ([FORWARD, OWN, LOOPED], set()),
        # for packets from outside alone
        ([FORWARD.replace("-d 203.0.113.5/32", "-i eth0")], set()),
    ],
)
def test_port_forwards_for_some_clients(rules: list[str], found: set[str], tmp_path: Path) -> None:
    findings = lint(tmp_path, ROUTER, NAT.format(rules="\n".join(rules)))
    ours = [one for one in findings if one.code in ("hairpin", "port-forward-not-for-host")]
    assert codes(ours) == found
    assert all(one.shown is not None for one in ours)


def test_the_remedy_of_a_hairpin_helps(tmp_path: Path) -> None:
    (one,) = [one for one in lint(tmp_path, ROUTER, NAT.format(rules=FORWARD)) if one.code == "hairpin"]
    assert one.commands == ("iptables -t nat -A POSTROUTING -s 192.168.1.0/24 -d 192.168.1.10 -j MASQUERADE",)
    assert one.shown is not None
    assert (one.shown.verdict, one.shown.reason.code) == ("DROP", "reply-not-recognised")
    assert "does not help" not in str(one.remedy)


RAW = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport {port} -j CT --notrack
COMMIT
"""


def test_notrack_stops_nat(tmp_path: Path) -> None:
    found = lint(tmp_path, ROUTER, NAT.format(rules=FORWARD), RAW.format(port=8080))
    (one,) = [one for one in found if one.code == "notrack-stops-nat"]
    assert [evidence.rule.table for evidence in one.evidence if evidence.rule is not None] == ["raw", "nat"]
    other = lint(tmp_path, ROUTER, NAT.format(rules=FORWARD), RAW.format(port=53))
    assert "notrack-stops-nat" not in codes(other)


INGRESS = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER-INGRESS - [0:0]
{jump}-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.18.0.2:8080
-A DOCKER-INGRESS -j RETURN
COMMIT
"""


@pytest.mark.parametrize("jump", ["", "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS\n"])
def test_swarm_ingress_that_nothing_jumps_to(jump: str, tmp_path: Path) -> None:
    found = lint(tmp_path, INGRESS.format(jump=jump))
    assert ("swarm-ingress-gone" in codes(found)) is not bool(jump)


PART = """\
Only what is new:

...... in filter ......
Chain FORWARD (policy ACCEPT)
target     prot opt source     destination
DOCKER-INGRESS  all  --  anywhere   anywhere
DOCKER-ISOLATION  all  --  anywhere   anywhere

Chain DOCKER-INGRESS (1 references)
target     prot opt source     destination
ACCEPT     tcp  --  anywhere   anywhere   tcp dpt:8088
RETURN     all  --  anywhere   anywhere

...... in nat ......
Chain OUTPUT (policy ACCEPT)
target     prot opt source     destination
DOCKER-INGRESS  all  --  anywhere   anywhere    ADDRTYPE match dst-type LOCAL
DOCKER     all  --  anywhere   !loopback/8    ADDRTYPE match dst-type LOCAL

Chain DOCKER-INGRESS (2 references)
target     prot opt source     destination
DNAT       tcp  --  anywhere   anywhere   tcp dpt:8088 to:172.18.0.2:8088
RETURN     all  --  anywhere   anywhere
"""


def test_a_part_of_a_listing_of_a_swarm_lacks_no_rules(tmp_path: Path) -> None:
    """PREROUTING, which jumps to DOCKER-INGRESS, is not shown; before 17.06, FORWARD jumped to DOCKER-ISOLATION."""
    path = tmp_path / "part.txt"
    path.write_text(PART)
    assert not {"swarm-ingress-gone", "docker-rules-flushed"} & codes([*iptsim.lint(path)])


LOGGED = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:LOGDROP - [0:0]
-A INPUT -p tcp -m tcp --dport 23 -j LOGDROP
-A LOGDROP -j LOG --log-prefix "dropped: "
{drop}COMMIT
"""


@pytest.mark.parametrize("drop", ["", "-A LOGDROP -j DROP\n"])
def test_a_chain_that_only_logs(drop: str, tmp_path: Path) -> None:
    found = [one for one in lint(tmp_path, LOGGED.format(drop=drop)) if one.code == "logs-only"]
    assert len(found) == (0 if drop else 1)
    assert all(one.shown is not None and one.shown.verdict == "ACCEPT" for one in found)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-i eth0 -p tcp --dport 80 -j DNAT --to-destination 192.168.1.50", True),
        (
            "-p tcp --dport 80 -j DNAT --to-destination 192.168.1.50",
            False,
        ),  # the reply comes directly: hairpin
        ("-i eth1 -p tcp --dport 80 -j DNAT --to-destination 192.168.1.50", False),
    ],
)
def test_a_port_forward_that_is_tested_from_its_own_network(rule: str, found: bool, tmp_path: Path) -> None:
    text = f"It does not work:\n{ROUTER}# iptables -t nat -A PREROUTING {rule}\n"
    path = tmp_path / "paste.txt"
    path.write_text(text)
    matching = [one for one in iptsim.lint(path) if one.code == "port-forward-from-outside-only"]
    assert bool(matching) is found
    for one in matching:
        assert one.shown is not None
        assert one.shown.question.in_interface == "eth1"


COUNTED = """\
# iptables -t nat -L PREROUTING -n -v
Chain PREROUTING (policy ACCEPT {others} packets, 6000 bytes)
 pkts bytes target     prot opt in     out     source               destination
{before}    {count}     0 DNAT       tcp  --  eth0   *       0.0.0.0/0  0.0.0.0/0  tcp dpt:80 to:192.168.1.50:8080
"""
EARLIER = "   40  2400 DNAT       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            to:192.168.1.9\n"


@pytest.mark.parametrize(
    ("others", "before", "count", "found"),
    [
        (100, "", 0, True),
        (100, "", 3, False),
        (0, "", 0, False),  # nothing has come in at all since the rules were loaded
        (100, EARLIER, 0, False),  # the rule before takes its packets
    ],
)
def test_a_port_forward_that_has_counted_nothing(
    others: int, before: str, count: int, found: bool, tmp_path: Path
) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(
        "No answer from my web server.\n" + COUNTED.format(others=others, before=before, count=count)
    )
    assert ("port-forward-not-reached" in codes(iptsim.lint(path))) is found


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (["-A INPUT -s 192.168.7.31 -j DROP"], True),
        (["-A INPUT -i eth0 -s 192.168.7.0/24 -j DROP"], False),  # spoofed: eth0 is the uplink
        (["-A INPUT -s 192.168.0.0/16 -j DROP"], False),
        (["-A INPUT -s 192.168.7.31 -j DROP", "-A FORWARD -s 192.168.7.31 -j DROP"], False),
        (["-A INPUT -i eth1 -s 192.168.7.2 -j ACCEPT", "-A INPUT -i eth1 -j DROP"], True),
        (["-A INPUT -i eth1 -p tcp --dport 22 -j ACCEPT", "-A INPUT -i eth1 -j DROP"], False),
    ],
)
@pytest.mark.parametrize("routes", [True, False])
def test_rules_of_input_for_what_a_router_forwards(
    rules: list[str], found: bool, routes: bool, tmp_path: Path
) -> None:
    """INPUT sees packets for the host itself, FORWARD those for others (iptables(8))."""
    shared = ["-t nat -A POSTROUTING -o eth0 -j MASQUERADE"] if routes else []
    path = tmp_path / "paste.txt"
    path.write_text("\n".join(f"iptables {rule}" for rule in (*shared, *rules)) + "\n")
    assert ("input-not-forward" in codes(iptsim.lint(path))) is (found and routes)


FORWARDED = "iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8443 -j DNAT --to 10.66.0.8:443\n"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("iptables -A FORWARD -s 10.77.0.0/24 -j ACCEPT\niptables -A FORWARD -j REJECT\n", True),
        ("iptables -P FORWARD DROP\niptables -A FORWARD -p tcp -d 10.66.0.8 --dport 443 -j ACCEPT\n", False),
        # by which interface it leaves is not shown
        ("iptables -P FORWARD DROP\niptables -A FORWARD -o eth1 -d 10.66.0.8 -j ACCEPT\n", False),
        ("iptables -P FORWARD DROP\niptables -A FORWARD -i eth1 -j ACCEPT\n", True),
        # another finding tells of the port before DNAT
        ("iptables -P FORWARD DROP\niptables -A FORWARD -p tcp -d 10.66.0.8 --dport 8443 -j ACCEPT\n", False),
    ],
)
def test_a_port_forward_that_forward_blocks(rules: str, found: bool, tmp_path: Path) -> None:
    one = by_code(tmp_path, rules + FORWARDED).get("dnat-without-accept")
    assert (one is not None) is found
    assert one is None or "iptables -I FORWARD -d 10.66.0.8 -p tcp --dport 443 -j ACCEPT" in str(one.remedy)


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-s 10.66.0.8 -p tcp --dport 3389", True),
        ("-d 10.66.0.8 -p tcp --dport 3389", True),
        ("-p tcp --dport 3389", False),  # which machines it is for is not shown
        ("-d 10.66.0.8 -p udp --dport 53", True),
        ("-d 10.66.0.8 -p udp --dport 514", False),  # nobody replies to syslog
    ],
)
def test_a_rule_of_forward_for_one_direction(rule: str, found: bool, tmp_path: Path) -> None:
    text = f"iptables -P FORWARD DROP\niptables -A FORWARD {rule} -j ACCEPT\n"
    one = by_code(tmp_path, text).get("forward-blocks-replies")
    assert (one is not None) is found
    assert one is None or one.commands
    both = f"{text}iptables -A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT\n"
    assert "forward-blocks-replies" not in by_code(tmp_path, both)
