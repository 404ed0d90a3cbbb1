"""Port forwards for some clients only, NOTRACK that stops nat, swarm's ingress gone, chains that only log."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.findings import Finding

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
