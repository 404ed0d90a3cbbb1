"""Captured hosts whose listing lacks chains: the verdict is the kernel's or DEPENDS, or names what it assumes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from iptsim.dump.reader import loads
from iptsim.host.files import Source
from iptsim.netfilter.walk import Simulator
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question
from iptsim.render.listing import listing
from tests.test_captures import FIXTURES, probes, question_of, verdict_of

_RULES = ("iptables-save.txt", "ip6tables-save.txt", "nft-ruleset.json", "probes.json", "scenario.json")


def _chains(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield each chain of a captured host: its table, its name, and what iptables lists of it."""
    ruleset = loads((FIXTURES / name / "iptables-save.txt").read_text(), family=4)
    for table in ruleset.tables:
        parts = dict[str, list[str]]()
        for line in listing(ruleset, table, verbose=True):
            if line.chain is not None:
                parts[line.chain.name] = []
            parts[[*parts][-1]].append(line.text)
        yield from ((table, chain, "\n".join(lines).strip()) for chain, lines in parts.items())


def _without(name: str, left_out: tuple[str, str]) -> Simulator:
    """Return a captured host that is known by its listings, without one chain."""
    shown = dict[str, list[str]]()
    for table, chain, text in _chains(name):
        if (table, chain) != left_out:
            shown.setdefault(table, [f"# iptables -t {table} -nvL"]).append(f"{text}\n")
    text = "\n".join(line for lines in shown.values() for line in lines)
    folder = FIXTURES / name
    files = {
        one.name: one.read_bytes() for one in folder.iterdir() if one.is_file() and one.name not in _RULES
    }
    return Simulator(host_of_source(Source(name, {**files, "iptables-listing.txt": text.encode()})))


@pytest.mark.parametrize(
    "name",
    [
        "docker-28.5/published-no-proxy",
        pytest.param("docker-28.5/two-networks-no-proxy", marks=pytest.mark.thorough),
        pytest.param("docker-28.5/docker-user", marks=pytest.mark.thorough),
        pytest.param("hosts/podman-netavark", marks=pytest.mark.thorough),
    ],
)
def test_a_chain_that_is_left_out_gives_no_other_verdict(name: str) -> None:
    asked = [
        (question_of(probe), verdict_of(probe))
        for probe in probes(FIXTURES / name)
        if not probe.get("v6") and not probe.get("stateful") and verdict_of(probe)
    ]
    for table, chain, _ in _chains(name):
        simulator = _without(name, (table, chain))
        for question, wanted in asked:
            found = simulator.walk(question)
            got = found.verdict
            # a rule that is not shown blocks a packet in one way or the other
            blocked = {got, wanted} == {"DROP", "REJECT"}
            # of raw, no rule is listed, so it counts as not shown
            named = table == "raw" and any(
                f"{table} {chain}; it is assumed" in str(one) for one in found.assumptions
            )
            assert got in (wanted, "DEPENDS") or blocked or named, (table, chain, question)


@pytest.mark.parametrize(("sender", "to"), [("host", "127.0.0.1"), ("web", "192.0.2.10")])
def test_a_published_port_without_the_rules_that_change_the_source(sender: str, to: str) -> None:
    """Of the capture, the kernel's MASQUERADE is what brings the reply back: localhost, and hairpin NAT."""
    name = "docker-28.5/published-no-proxy"
    (probe,) = [
        one
        for one in probes(FIXTURES / name)
        if (one["from"], one["dst_ip"], one.get("port")) == (sender, to, 8080)
    ]
    assert verdict_of(probe) == "ACCEPT"
    simulator = _without(name, ("nat", "POSTROUTING"))
    assert simulator.walk(question_of(probe)).verdict == "DEPENDS"


@pytest.mark.parametrize(
    ("chains", "verdict"),
    [
        (("INPUT", "FORWARD"), "DEPENDS"),  # OUTPUT would follow
        (("FORWARD",), "DROP"),  # as iptables -L FORWARD lists it
        (("INPUT", "FORWARD", "OUTPUT"), "DROP"),
    ],
)
def test_a_listing_that_ends_after_a_heading(chains: tuple[str, ...], verdict: str) -> None:
    policies = {"INPUT": "ACCEPT", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}
    text = "\n".join(
        f"Chain {one} (policy {policies[one]})\ntarget     prot opt source               destination\n"
        for one in chains
    )
    host = host_of_source(Source("paste", {}, text.encode()))
    (probe,) = [
        one
        for one in probes(FIXTURES / "docker-28.5/published-no-proxy")
        if (one["from"], one["dst_ip"], one.get("port")) == ("client", "203.0.113.5", 443)
    ]
    question = question_of({**probe, "from": "10.1.1.1"})
    assert Simulator(host).walk(question).verdict == verdict


@pytest.mark.parametrize(
    ("sender", "port", "proto", "verdict"),
    [
        ("198.51.100.7", 22, "tcp", "ACCEPT"),
        ("198.51.100.7", 23, "tcp", "DROP"),
        ("100.101.102.103", 23, "tcp", "DEPENDS"),  # a DROP unless it arrives on Tailscale's interface
        ("198.51.100.7", 41641, "udp", "DEPENDS"),  # the port of Tailscale is accepted
    ],
)
def test_what_tailscales_chain_does_not_concern_passes_it(
    sender: str, port: int, proto: str, verdict: str
) -> None:
    """Rules: tailscale/util/linuxfw, iptables_runner.go (AddBase)."""
    text = (
        "# iptables -S INPUT\n-P INPUT DROP\n-A INPUT -j ts-input\n"
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    )
    simulator = Simulator(host_of_source(Source("paste", {}, text.encode())))
    question = Question(sender=sender, to="host", proto=proto, dport=port)
    assert simulator.walk(question).verdict == verdict


LISTED = """\
# iptables -L
Chain INPUT (policy DROP)
target     prot opt source               destination
ts-input   all  --  anywhere             anywhere

Chain FORWARD (policy DROP)
target     prot opt source               destination
ts-forward  all  --  anywhere             anywhere

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination

Chain ts-forward (1 references)
target     prot opt source               destination
MARK       all  --  anywhere             anywhere             MARK xset 0x40000/0xff0000
ACCEPT     all  --  anywhere             anywhere             mark match 0x40000/0xff0000
DROP       all  --  100.64.0.0/10        anywhere
ACCEPT     all  --  anywhere             anywhere

Chain ts-input (1 references)
target     prot opt source               destination
ACCEPT     all  --  {own}                anywhere
ACCEPT     all  --  anywhere             anywhere
ACCEPT     udp  --  anywhere             anywhere             udp dpt:41641
RETURN     all  --  100.115.92.0/23      anywhere
DROP       all  --  100.64.0.0/10        anywhere
"""


@pytest.mark.parametrize("own", ["100.101.102.103", "gw.example"])
def test_tailscales_rules_in_a_listing_without_interfaces(own: str) -> None:
    """Those that a listing with -v has for them (tailscale/util/linuxfw, iptables_runner.go)."""
    host = host_of_source(Source("paste", {}, LISTED.format(own=own).encode()))
    rules = {
        name: [
            ("!" if "in_interface" in rule.parameters.negated else "")
            + (rule.parameters.in_interface or f">{rule.parameters.out_interface or ''}")
            for rule in host.rulesets[4].tables["filter"].chains[name].rules
        ]
        for name in ("ts-input", "ts-forward")
    }
    assert rules == {
        "ts-input": ["lo", "tailscale0", ">", "!tailscale0", "!tailscale0"],
        "ts-forward": ["tailscale0", ">", ">tailscale0", ">tailscale0"],
    }
    assert any("tailscale0" in str(one) and "without -v" in str(one) for one in host.assumptions)
    asked = Question(sender="198.51.100.7", to="host", proto="tcp", dport=80)
    assert Simulator(host).walk(asked).verdict == "DROP"


def test_a_rule_in_tailscales_chain_that_is_another_programs() -> None:
    """On lo, tailscaled accepts one of its own addresses; what a rule for other senders is for, -L does not show."""
    text = LISTED.format(own="192.168.8.0/24")
    host = host_of_source(Source("paste", {}, text.encode()))
    asked = Question(sender="192.168.8.9", to="host", proto="tcp", dport=80)
    assert Simulator(host).walk(asked).verdict == "DEPENDS"
