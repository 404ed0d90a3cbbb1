"""Listings without -v of hosts with Docker: the interfaces of its rules are those that dockerd wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from iptsim.dump.reader import load
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.owners.docker import docker_role as role_of
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question

CAPTURES = Path(__file__).parent.parent.parent / "fixtures/captures"
#: A row of `iptables -nvL --line-numbers`: number, packets, bytes; target, protocol, options; interfaces; the rest.
ROW = re.compile(r"\d+ +\S+ +\S+ (\S* +\S+ +\S+) +\S+ +\S+ +(.*)")
#: All hosts with one network, by Docker's version.
ONE_NETWORK = [
    f"{version}/{name}"
    for version in ("docker-20.10", "docker-26.1", "docker-28.5")
    for name in ("icc-on", "icc-off", "icc-off-link", "published", "published-no-proxy", "icc-off-published")
    if (CAPTURES / version / name / "iptables-nvL.txt").exists()
]


def without_interfaces(listing: str) -> str:
    """Return a listing as iptables prints it without -v."""
    rows = [
        f"{found[1]} {found[2]}" if (found := ROW.fullmatch(line)) else line for line in listing.splitlines()
    ]
    header = "target     prot opt source               destination"
    return "\n".join(header if row.startswith("num ") else row for row in rows) + "\n"


def read(*texts: str) -> Host:
    return host_of_source(Source("paste", {}, "\n".join(texts).encode()))


def listed(capture: str) -> str:
    return without_interfaces((CAPTURES / capture / "iptables-nvL.txt").read_text())


def saved(capture: str) -> Ruleset:
    return load(CAPTURES / capture / "iptables-save.txt")


def verdict(host: Host, sender: str, to: str) -> str:
    return walk(host, Question(**{"from": sender, "to": to, "proto": "tcp"})).verdict


def by_place(ruleset: Ruleset) -> dict[tuple[str, str, int], Rule]:
    return {(rule.table, rule.chain, rule.position): rule for rule in ruleset.rules()}


@pytest.mark.parametrize("capture", ONE_NETWORK)
def test_rules_are_those_that_iptables_save_prints(capture: str) -> None:
    host, wanted = read(listed(capture)), by_place(saved(capture))
    own = {place: rule for place, rule in by_place(host.rulesets[4]).items() if place in wanted}
    assert len(own) > 10
    for place, rule in own.items():
        if "DOCKER" in rule.text or rule.chain in ("FORWARD", "POSTROUTING"):
            assert rule.specification == wanted[place].specification
    assert any("the bridges are docker0" in str(one) for one in host.assumptions)


@pytest.mark.parametrize("version", ["docker-20.10", "docker-26.1", "docker-28.5"])
def test_networks_are_told_apart_by_their_subnets(version: str) -> None:
    """As traced by the kernel on this host: containers on two networks do not reach each other, but the outside."""
    capture = f"{version}/two-networks"
    if not (CAPTURES / capture).exists():
        pytest.skip("not in the fixtures")
    host = read(listed(capture))
    assert verdict(host, "172.30.0.2", "172.31.0.2:5432") == "DROP"
    assert verdict(host, "172.30.0.3", "172.30.0.2:80") == "ACCEPT"
    assert verdict(host, "172.31.0.2", "203.0.113.5:443") == "ACCEPT"
    assert {network.bridge for network in host.networks.values()} == {
        "docker0", "br-172-30-0-0", "br-172-31-0-0",
    }  # fmt: skip


GROUP = """
Chain FORWARD (policy DROP)
target     prot opt source               destination
{before}DOCKER-USER  all  --  anywhere             anywhere
ACCEPT     all  --  anywhere             anywhere             ctstate RELATED,ESTABLISHED
DOCKER     all  --  anywhere             anywhere
ACCEPT     all  --  anywhere             anywhere
ACCEPT     all  --  anywhere             anywhere
{after}"""
CHAINS = """
Chain DOCKER (1 references)
target     prot opt source               destination
ACCEPT     tcp  --  anywhere             172.17.0.2           tcp dpt:http

Chain DOCKER-USER (1 references)
target     prot opt source               destination
{user}RETURN     all  --  anywhere             anywhere
"""
ANY = "{target}     all  --  anywhere             anywhere\n"


def forward(before: str = "", after: str = "", user: str = "") -> Host:
    return read(GROUP.format(before=before, after=after), CHAINS.format(user=user))


def test_rules_of_users_stay_unknown() -> None:
    assert verdict(forward(), "internet", "172.17.0.2:80") == "ACCEPT"
    assert verdict(forward(), "internet", "172.17.0.2:81") == "DROP"
    assert verdict(forward(before=ANY.format(target="DROP")), "internet", "172.17.0.2:80") == "DEPENDS"
    # the first RETURN may be for one interface, before rules for all others
    users = ANY.format(target="RETURN") + ANY.format(target="DROP")
    assert verdict(forward(user=users), "internet", "172.17.0.2:80") == "DEPENDS"
    # either the last ACCEPT or DROP is for packets within the bridge
    assert verdict(forward(after=ANY.format(target="DROP")), "172.17.0.2", "172.17.0.3:80") == "DEPENDS"


LAYOUT_28 = """
Chain FORWARD (policy DROP)
target     prot opt source               destination
DOCKER-FORWARD  all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER (1 references)
target     prot opt source               destination
{users}ACCEPT     tcp  --  0.0.0.0/0            172.17.0.2           tcp dpt:80
DROP       all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER-BRIDGE (1 references)
target     prot opt source               destination
DOCKER     all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER-CT (1 references)
target     prot opt source               destination
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED

Chain DOCKER-FORWARD (1 references)
target     prot opt source               destination
{first}DOCKER-CT  all  --  0.0.0.0/0            0.0.0.0/0
DOCKER-ISOLATION-STAGE-1  all  --  0.0.0.0/0            0.0.0.0/0
DOCKER-BRIDGE  all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER-ISOLATION-STAGE-1 (1 references)
target     prot opt source               destination
{stage}DOCKER-ISOLATION-STAGE-2  all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER-ISOLATION-STAGE-2 (1 references)
target     prot opt source               destination
DROP       all  --  0.0.0.0/0            0.0.0.0/0
"""
BARE_DROP = "DROP       all  --  0.0.0.0/0            0.0.0.0/0\n"
STAGE_2 = "DOCKER-ISOLATION-STAGE-2  all  --  0.0.0.0/0            0.0.0.0/0\n"
INTERNAL = "DROP       all  --  0.0.0.0/0           !172.20.0.0/16\n"


@pytest.mark.parametrize(
    ("more", "sender", "to", "expected"),
    [
        ({}, "172.17.0.2", "8.8.8.8:53", "ACCEPT"),
        ({}, "172.17.0.2", "172.17.0.3:80", "ACCEPT"),
        # one of the two is a user's, such as `-i wg0`
        ({"users": BARE_DROP}, "172.17.0.2", "172.17.0.3:80", "DEPENDS"),
        # not icc=false, which dockerd writes below its jumps
        ({"first": BARE_DROP}, "172.17.0.2", "172.17.0.3:80", "DEPENDS"),
        # the ACCEPT may be that of the internal network
        ({"stage": INTERNAL}, "172.17.0.2", "172.17.0.3:80", "DEPENDS"),
        # it is not known which packets reach stage 2
        ({"stage": STAGE_2}, "172.17.0.2", "8.8.8.8:53", "DEPENDS"),
    ],
)
def test_rules_that_leave_a_choice(more: dict[str, str], sender: str, to: str, expected: str) -> None:
    text = LAYOUT_28.format(**{"users": "", "first": "", "stage": "", **more})
    assert verdict(read(text), sender, to) == expected


def test_a_rule_between_those_of_two_networks() -> None:
    """Which network it precedes is not known: dockerd puts the newest one on top."""
    group = GROUP.format(before="", after="")
    rest = group.split("DOCKER-USER  all  --  anywhere             anywhere\n")[1]
    chains = CHAINS.format(user="").replace("172.17.0.2", "172.18.0.2")
    users = "DROP       tcp  --  anywhere             anywhere             tcp dpt:5432\n"
    assert verdict(read(group + rest, chains), "172.18.0.3", "172.18.0.2:5432") == "ACCEPT"
    assert verdict(read(group + users + rest, chains), "172.18.0.3", "172.18.0.2:5432") == "DEPENDS"


NAT = """
Chain POSTROUTING (policy ACCEPT)
target     prot opt source               destination
MASQUERADE  all  --  10.5.0.0/16          anywhere
MASQUERADE  all  --  172.17.0.0/16        anywhere
{more}
Chain DOCKER (2 references)
target     prot opt source               destination
RETURN     all  --  anywhere             anywhere
RETURN     all  --  anywhere             anywhere
"""


def test_subnets_of_others_are_masqueraded_too() -> None:
    """A VPN's rule may look like Docker's, so it is not known which of the three subnets are Docker's two."""
    group = GROUP.format(before="", after="")
    two = group + group.split("DOCKER-USER  all  --  anywhere             anywhere\n")[1]
    vpn = "MASQUERADE  all  --  192.168.50.0/24      anywhere\n"
    filter_ = (two, CHAINS.format(user=""))
    assert verdict(read(*filter_, NAT.format(more="")), "10.5.0.2", "10.5.0.3:80") == "ACCEPT"
    host = read(*filter_, NAT.format(more=vpn))
    assert verdict(host, "10.5.0.2", "10.5.0.3:80") == "DEPENDS"
    assert verdict(host, "192.168.50.2", "8.8.8.8:443") == "DEPENDS"


def test_a_rule_of_a_user_is_no_link() -> None:
    users = "ACCEPT     tcp  --  10.0.0.5             172.17.0.2           tcp dpt:5432\n"
    host = read(LAYOUT_28.format(users=users, first="", stage=""))
    assert verdict(host, "10.0.0.5", "172.17.0.2:5432") == "DEPENDS"


def test_bridges_that_the_text_shows() -> None:
    addresses = """
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.0.0.5/24 scope global eth0
4: br-0123456789ab: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 172.17.0.1/16 scope global br-0123456789ab
"""
    host = read(GROUP.format(before="", after=""), CHAINS.format(user=""), "$ ip addr", addresses)
    rules = [rule.specification for rule in host.rulesets[4].rules() if rule.chain == "FORWARD"]
    assert "-o br-0123456789ab -j DOCKER" in rules


def test_networks_without_table_nat() -> None:
    """The address of a published port tells one subnet; the other network is the default one."""
    group = GROUP.format(before="", after="")
    two = group + group.split("DOCKER-USER  all  --  anywhere             anywhere\n")[1]
    host = read(two, CHAINS.format(user="").replace("172.17.0.2", "172.18.0.2"))
    assert verdict(host, "172.18.0.3", "172.18.0.2:5432") == "ACCEPT"
    assert verdict(host, "172.18.0.2", "8.8.8.8:53") == "ACCEPT"
    assert verdict(host, "internet", "172.18.0.2:5432") == "DROP"
    assert any("br-172-18-0-0" in str(one) and "made up" in str(one) for one in host.assumptions)


def test_findings_name_rules_with_interfaces() -> None:
    """With icc off, dockerd puts DROP for packets within the bridge last."""
    host = read(listed("docker-20.10/icc-off"))
    assert all("?" not in line for finding in lint(host) for line in map(str, finding.evidence))


EARLY = """
Chain FORWARD (policy ACCEPT)
target     prot opt source               destination
ACCEPT     tcp  --  172.17.0.2           172.17.0.3           tcp spt:80
ACCEPT     tcp  --  172.17.0.3           172.17.0.2           tcp dpt:80
{rest}DROP       all  --  0.0.0.0/0            0.0.0.0/0
"""
ANSWERED = "ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED\n"
OUTWARD = "ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0\n"


@pytest.mark.parametrize("rest", ["", ANSWERED + OUTWARD])
def test_links_in_forward(rest: str) -> None:
    """Before 1.6 (LinkContainers and setupIPTables of 1.0), links preceded the other rules of FORWARD."""
    host = read(EARLY.format(rest=rest))
    within = "-i docker0 -o docker0"
    rules = host.rulesets[4].tables["filter"].chains["FORWARD"].rules
    assert [rule.specification for rule in rules] == [
        f"-s 172.17.0.2/32 -d 172.17.0.3/32 {within} -p tcp -m tcp --sport 80 -j ACCEPT",
        f"-s 172.17.0.3/32 -d 172.17.0.2/32 {within} -p tcp -m tcp --dport 80 -j ACCEPT",
        *(
            [
                "-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                "-i docker0 ! -o docker0 -j ACCEPT",
            ]
            if rest
            else []
        ),
        f"{within} -j DROP",
    ]
    assert verdict(host, "172.17.0.3", "172.17.0.2:80") == "ACCEPT"
    assert verdict(host, "172.17.0.3", "172.17.0.2:81") == "DROP"
    assert verdict(host, "172.17.0.2", "172.17.0.3:80") == "DROP"
    roles = [role_of(rule, host) for rule in rules]
    assert [role.code for role in roles if role] == [
        "link-answer", "link", *(["answers", "outgoing"] if rest else []), "icc-off",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("spt:80", "spt:81"),  # no pair
        ("172.17.0.3", "10.1.0.3"),  # not in the subnet of docker0
        ("DROP ", "LOG "),
        ("Chain FORWARD", f"Chain DOCKER (0 references)\n{EARLY.splitlines()[2]}\n\nChain FORWARD"),
    ],
)
def test_rules_in_forward_that_are_no_links(before: str, after: str) -> None:
    host = read(EARLY.format(rest=ANSWERED + OUTWARD).replace(before, after))
    assert not any("docker0" in rule.specification for rule in host.rulesets[4].rules())


ABRIDGED = """
Chain FORWARD (policy ACCEPT)
target     prot opt source               destination
DOCKER     all  --  0.0.0.0/0            0.0.0.0/0
DROP       all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER (1 references)
target     prot opt source               destination
"""
LINK = """ACCEPT     tcp  --  172.17.0.2           172.17.0.3           tcp spt:80
ACCEPT     tcp  --  172.17.0.3           172.17.0.2           tcp dpt:80
"""


@pytest.mark.parametrize(
    ("text", "linked", "other"),
    [
        (ABRIDGED, "DROP", "DROP"),
        (ABRIDGED + LINK, "ACCEPT", "DROP"),
        (ABRIDGED + LINK + "...\n", "ACCEPT", "DEPENDS"),
        (ABRIDGED + LINK.splitlines()[0], "DEPENDS", "DEPENDS"),  # no rule of a link
    ],
)
def test_links_as_the_documentation_shows_them(text: str, linked: str, other: str) -> None:
    """The page on links of Docker 1.6 to 1.12 leaves out all but the jump and the DROP of icc=false."""
    host = read(text)
    assert verdict(host, "172.17.0.3", "172.17.0.2:80") == linked
    assert verdict(host, "172.17.0.3", "172.17.0.2:81") == other


def test_a_users_rule_in_forward_is_no_link() -> None:
    """Docker with a chain of its own writes links there."""
    text = (CAPTURES / "docker-28.5" / "icc-off" / "iptables-save.txt").read_text()
    users = "-A FORWARD -s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"
    host = read(text.replace("[0:0] -A FORWARD -j DOCKER-USER", f"{users}\n[0:0] -A FORWARD -j DOCKER-USER"))
    (rule,) = (
        rule
        for rule in host.rulesets[4].rules()
        if "172.17.0.3/32" in rule.specification and rule.chain == "FORWARD"
    )
    assert role_of(rule, host) is None
