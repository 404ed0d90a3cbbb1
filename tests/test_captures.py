"""iptsim against the kernel: every connection that was really made on the captured hosts.

`probes.json` of a capture holds what came of each connection and which rules the kernel's own trace says
that the first packet of each direction matched. The tests hold iptsim to all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.host import load_host
from iptsim.host.nft_chains import NftChain
from iptsim.netfilter.trace import Leg, Trace
from iptsim.netfilter.walk import Simulator
from iptsim.question.model import Question

FIXTURES = Path(__file__).parent.parent / "fixtures" / "captures"
CAPTURES = sorted(file.parent for file in FIXTURES.rglob("probes.json"))

#: A step as (table, chain, position), None for a policy.
Place = tuple[str, str, int | None]


@cache
def simulator(capture: Path) -> Simulator:
    return Simulator(load_host(capture))


def probes(capture: Path) -> list[dict[str, Any]]:
    """The probes that tell something: packets were seen, or an answer came."""
    found = json.loads((capture / "probes.json").read_text())
    return [probe for probe in found if probe.get("packets") or probe["outcome"] in ("open", "refused")]


def question_of(probe: dict[str, Any]) -> Question:
    """The question that a probe asks."""
    first = probe["packets"][0] if probe.get("packets") else {}
    sender = probe["from"]
    if sender in ("internet", "lan"):
        sender = probe.get("bind") or first.get("src") or probe.get("src")
    fields: dict[str, Any] = {"from": sender, "to": probe["dst_ip"], "assume": {"limit": True}}
    if probe["from"] in ("internet", "lan") and first.get("in"):
        fields["in_interface"] = first["in"]
    if probe.get("uid"):
        fields["uid"] = int(probe["uid"])
    if probe.get("proto") == "icmp":
        fields.update(proto="icmpv6" if probe.get("v6") else "icmp", icmp_type=128 if probe.get("v6") else 8)
    else:
        fields.update(proto=probe.get("proto", "tcp"), dport=probe["port"])
        if probe.get("sport"):
            fields["sport"] = probe["sport"]
    return Question(**fields)


def ask(capture: Path, probe: dict[str, Any]) -> Trace:
    return simulator(capture).walk(question_of(probe))


def rejects(event: dict[str, Any]) -> bool:
    """Whether the rule refuses the packet, as iptables or as nft prints it."""
    text = event.get("text", "")
    return "-j REJECT" in text or text.startswith("reject")


def verdict_of(probe: dict[str, Any]) -> str | None:
    """What the connection met, None where the packet was lost elsewhere than in a rule."""
    events = probe["packets"][0]["events"] if probe.get("packets") else []
    if any(rejects(event) for event in events):
        return "REJECT"
    if probe["outcome"] in ("open", "refused"):
        return "ACCEPT"
    dropped = any("-j DROP" in event.get("text", "") or event.get("policy") == "DROP" for event in events)
    return "DROP" if probe["outcome"] == "filtered" and dropped else None


def kernel_places(capture: Path, packet: dict[str, Any]) -> list[Place]:
    """The kernel's trace; the policy of an empty chain leaves none, and a resent packet leaves it twice."""
    ruleset = simulator(capture).host.rulesets[6 if packet["family"] == "ipv6" else 4]
    places: list[Place] = []
    for event in packet["events"]:
        if event["table"] not in BUILTIN_CHAINS:
            continue
        chain = ruleset.chain(event["table"], event["chain"])
        if event.get("rule") is None and not (chain and chain.rules):
            continue
        place = (event["table"], event["chain"], event.get("rule"))
        if not places or places[-1] != place:
            places.append(place)
    return places


def own_places(capture: Path, leg: Leg) -> list[tuple[Place, bool]]:
    ruleset = simulator(capture).host.rulesets[leg.packet.family]
    found = []
    for step in leg.steps:
        if step.table not in BUILTIN_CHAINS or step.chain is None:
            continue
        chain = ruleset.chain(step.table, step.chain)
        if step.rule is None and not (chain and chain.rules):
            continue
        found.append(((step.table, step.chain, step.rule.position if step.rule else None), step.maybe))
    return found


def assert_same(own: list[tuple[Place, bool]], kernel: list[Place], what: str) -> None:
    """Equal, but for own steps that are only maybe taken."""
    left = list(kernel)
    for place, maybe in own:
        if left and left[0] == place:
            left.pop(0)
        else:
            assert maybe, (
                f"{what}: iptsim takes {place}, the kernel {left[:1]}\nkernel: {kernel}\niptsim: {own}"
            )
    assert not left, f"{what}: the kernel goes on with {left}\niptsim: {own}"


def directions(probe: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The packets of a probe that are legs of it, numbered.

    Left out are what follows a REJECT, packets of an earlier probe that came late, and a reply that shows
    up a second time in INPUT, after its translation was undone.
    """
    packets = probe["packets"][:4]
    if not packets:
        return
    rejected = any(rejects(event) for event in packets[0]["events"])
    number = 0
    for index, packet in enumerate(packets):
        if index and (rejected or (packet["sport"] is None and probe.get("proto") != "icmp")):
            continue
        if probe.get("proto") == "icmp" and packet["sport"] is not None:
            continue
        ports = (packet["sport"], packet["dport"])
        if index > 1 and not packet["events"] and packet["sport"] == packets[0]["sport"]:
            continue  # a later one of the request's
        if index > 1 and not packet["events"] and ports == (packets[1]["sport"], packets[1]["dport"]):
            continue
        yield number, packet
        number += 1


def chains_of_nftables(capture: Path) -> tuple[NftChain, ...]:
    """The base chains there that iptables did not create."""
    nftables = simulator(capture).host.namespace.nftables
    return nftables.chains if nftables is not None else ()


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: f"{capture.parent.name}/{capture.name}")
def test_every_probe_goes_as_in_the_kernel(capture: Path) -> None:
    for probe in probes(capture):
        what = f"{probe['from']} -> {probe['dst_ip']} {probe.get('proto', 'tcp')} {probe.get('port', '')}"
        trace = ask(capture, probe)
        wanted = verdict_of(probe)
        filtered = bool(chains_of_nftables(capture)) and probe["outcome"] == "filtered"
        wanted = "DROP" if filtered else wanted
        if probe.get("stateful"):
            assert trace.verdict in (wanted, "DEPENDS"), what
        elif wanted is not None:
            assert trace.verdict == wanted, what
        if probe.get("stateful"):
            continue
        for number, packet in directions(probe):
            assert number < len(trace.legs), f"{what}: the kernel saw a further packet {packet['src']}"
            own, places = own_places(capture, trace.legs[number]), kernel_places(capture, packet)
            assert_same(own[: len(places)] if filtered else own, places, f"{what}, leg {number}")
        if not probe["packets"]:
            assert own_places(capture, trace.legs[0]) == [], what


LISTENING = [capture for capture in CAPTURES if (capture / "ss.txt").exists()]


@pytest.mark.parametrize("capture", LISTENING, ids=lambda capture: f"{capture.parent.name}/{capture.name}")
def test_whether_a_program_listens_is_as_each_connection_found(capture: Path) -> None:
    """A connection that is neither filtered nor open met no listening socket: the kernel sent an RST."""
    for probe in probes(capture):
        first = ask(capture, probe).legs[0]
        inside = first.delivered is not None and first.delivered.kind != "outside"
        if inside and probe.get("proto", "tcp") == "tcp" and probe["outcome"] in ("open", "refused"):
            assert first.listening is (probe["outcome"] == "open"), (
                probe["from"],
                probe["to"],
                probe["port"],
            )


NFTABLES = [capture for capture in LISTENING if chains_of_nftables(capture)]


@pytest.mark.parametrize("capture", NFTABLES, ids=lambda capture: f"{capture.parent.name}/{capture.name}")
def test_rules_of_nftables_match_where_the_kernel_says(capture: Path) -> None:
    could = {(chain.table, chain.name) for chain in chains_of_nftables(capture) if chain.effects}
    for probe in probes(capture):
        trace = ask(capture, probe)
        events = [event for packet in probe["packets"] for event in packet["events"]]
        passed = {(event["table"], event["chain"]) for event in events} & could
        own = {
            (step.table.split()[1], step.chain): step.verdict
            for leg in trace.legs
            for step in leg.all_steps
            if step.table is not None and step.table not in BUILTIN_CHAINS and not step.depth
        }
        # a rule that drops the packet may leave no event
        accepting = {place for place, verdict in own.items() if verdict != "DROP"}
        assert accepting <= passed <= set(own), (
            f"{probe['from']} -> {probe['dst_ip']} {probe.get('port', '')}"
        )
