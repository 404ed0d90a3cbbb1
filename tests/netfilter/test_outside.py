"""Which address "internet" represents, and which rules treat other addresses from outside differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.addresses import Family, address_text
from iptsim.asking import ask
from iptsim.host.model import Host, IpSet
from iptsim.question.model import Question

FERM = Path(__file__).parents[2] / "fixtures/captures/hosts/ferm"


def host_with(*rules: str, family: Family = 4, **more: Any) -> Host:
    host = iptsim.load_host(FERM)
    chains = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    text = f"*filter\n{chains}" + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"
    host.rulesets = {family: iptsim.loads(text, family=family)}
    for name, value in more.items():
        setattr(host, name, value)
    return host


def asked(host: Host, sender: str, to: str) -> iptsim.Explanation:
    """Ask about one address of the internet, as findings and tables do."""
    return ask(host, Question(sender=sender, to=to))


def source_of(answer: iptsim.Explanation) -> str:
    packet = answer.trace.legs[0].packet
    return address_text(packet.family, packet.src)


BANNED = IpSet(name="f2b-sshd", type="hash:net", family=4, entries=(("198.51.100.0/24", {}),))


@pytest.mark.parametrize(
    ("rules", "more"),
    [
        (["INPUT -s 198.51.100.7/32 -j DROP"], {}),
        (["INPUT ! -s 198.51.100.7/32 -j DROP"], {}),
        (["INPUT -m iprange --src-range 198.51.100.1-198.51.100.9 -j DROP"], {}),
        (["INPUT -m set --match-set f2b-sshd src -j DROP"], {"ipsets": {"f2b-sshd": BANNED}}),
        (["INPUT -m recent --name x --rcheck -j DROP"], {"recent": {"x": {0xC6336407: [1.0]}}}),
        (["OUTPUT -d 198.51.100.0/24 -j DROP"], {}),
    ],
)
def test_internet_is_an_address_that_nothing_names(rules: list[str], more: dict[str, Any]) -> None:
    answer = asked(host_with(*rules, **more), "internet", "host:22")
    assert source_of(answer) == "203.0.113.5"
    assert any("internet means 203.0.113.5" in one for one in map(str, answer.assumptions))
    assert answer.verdict == ("DROP" if "! -s" in rules[0] else "ACCEPT")


def test_where_all_documentation_addresses_are_dropped_internet_is_another() -> None:
    bogons = [f"INPUT -s {net} -j DROP" for net in ("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24")]
    answer = asked(host_with(*bogons), "internet", "host:22")
    assert answer.verdict == "ACCEPT"
    assert not source_of(answer).startswith(("198.51", "203.0.113", "192.0.2."))


def test_ipv6_alike() -> None:
    host = host_with("INPUT -s 2001:db8::/32 -j DROP", family=6)
    answer = asked(host, "internet", "[2001:db8:2::10]:22")
    assert (answer.verdict, source_of(answer)[:9] == "2001:db8:") == ("ACCEPT", False)


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        # other conditions hold: another source would be accepted
        (["INPUT -s 1.2.3.4/32 -p tcp -m tcp --dport 22 -j ACCEPT", "INPUT -j DROP"], True),
        # it is for another port, protocol or interface, and another source is treated no differently
        (["INPUT -s 1.2.3.4/32 -p tcp -m tcp --dport 80 -j ACCEPT", "INPUT -j DROP"], False),
        (["INPUT -s 1.2.3.4/32 -i eth1 -j ACCEPT", "INPUT -j DROP"], False),
        # no packet comes so far
        (["INPUT -j DROP", "INPUT -s 1.2.3.4/32 -j ACCEPT"], False),
        # these addresses are not outside
        (["INPUT -s 10.80.0.0/24 -j ACCEPT", "INPUT -j DROP"], False),
        # an address of the link is not outside
        (["INPUT -s 169.254.0.0/16 -j ACCEPT", "INPUT -j DROP"], False),
        # a log line is no other treatment
        (["INPUT -s 1.2.3.4/32 -j LOG", "INPUT -j DROP"], False),
    ],
)
def test_rules_that_treat_other_sources_differently_are_named(rules: list[str], named: bool) -> None:
    answer = asked(host_with(*rules), "internet", "host:22")
    told = [one for one in map(str, answer.assumptions) if "represents all outside addresses" in one]
    assert bool(told) == named
    if named:
        assert "filter INPUT 1 (-s 1.2.3.4/32)" in told[0]


def test_a_named_address_is_asked_about_as_it_is() -> None:
    answer = iptsim.explain(host_with("INPUT -s 198.51.100.7/32 -j DROP"), "198.51.100.7", "host:22")
    assert (answer.verdict, source_of(answer)) == ("DROP", "198.51.100.7")
    assert not any("stands for" in one for one in map(str, answer.assumptions))
