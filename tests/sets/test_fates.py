"""Sets of packets against the walk of one packet, which the kernel judges in tests/kernel and test_captures.py."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from iptsim.addresses import Family
from iptsim.asking import ask
from iptsim.host import load_host
from iptsim.protocols import ICMP
from iptsim.question.model import Question
from iptsim.question.places import Outside
from iptsim.question.start import first_packet
from iptsim.sets import results, summaries
from iptsim.sets.fates import Fates, fates
from iptsim.sets.packets import PacketSet
from iptsim.sets.space import Space
from tests.test_captures import question_of, verdict_of

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"
#: Between them these have published ports with and without docker-proxy, IPv6, isolated networks, bridges that hide
#: packets from the rules, listening programs, nftables, policies, and nat by chance.
SAMPLE: list[tuple[str, Family]] = [
    ("docker-28.5/published", 4),
    ("docker-28.5/two-networks", 4),
    ("docker-28.5/ipv6", 6),
    ("docker-28.5/bridge-nf-off", 4),
    ("docker-28.5/nft-drops-forward", 4),
    ("docker-28.5/published-no-proxy", 4),
    ("docker-20.10/icc-off-link", 4),
    ("docker-20.10/listening", 4),
    ("hosts/kube", 4),
    ("hosts/libvirt", 4),
    ("hosts/ufw", 4),
    ("hosts/fail2ban", 4),
]


@cache
def all_fates(capture: str, family: Family = 4) -> Fates:
    return fates(load_host(CAPTURES / capture), family)


def some(packets: PacketSet, chance: random.Random) -> PacketSet:
    """Part of a set, halved at random bits of addresses and ports."""
    layout = packets.layout
    for key in ("dst", "src", "dport", "sport", "proto"):
        for number in layout.places[key].variables:
            bit = PacketSet(layout, layout.variable(number))
            half = packets & (bit if chance.random() < 0.5 else ~bit)
            packets = half or packets
    return packets


@pytest.mark.thorough
@pytest.mark.parametrize(("capture", "family"), SAMPLE)
def test_the_walk_of_a_packet_confirms_every_fate(capture: str, family: Family) -> None:
    found = all_fates(capture, family)
    assert [(fate.witness, fate.verdict) for fate in found if not fate.confirmed] == []


@pytest.mark.thorough
@pytest.mark.parametrize(("capture", "family"), SAMPLE)
def test_random_packets_of_a_fate_walk_as_it_says(capture: str, family: Family) -> None:
    found, chance = all_fates(capture, family), random.Random(20261128)
    for fate in chance.sample(list(found), min(25, len(found))):
        for _ in range(3):
            line, _ = found.classes.one(fate._sender, some(fate.packets, chance).function)
            walked = ask(found.simulator, Question(**line)).verdict
            # where no rule names UDP-Lite, it counts among other protocols
            assert line["proto"] == "udplite" or fate.verdict in (walked, "DEPENDS"), line


@pytest.mark.parametrize("state", ["established", "related", "invalid", "untracked"])
def test_packets_of_other_states_walk_as_their_fate_says(state: str) -> None:
    found, chance = fates(load_host(CAPTURES / "docker-28.5/published"), state=state), random.Random(20261128)
    for fate in found:
        line, _ = found.classes.one(fate._sender, some(fate.packets, chance).function)
        assert ask(found.simulator, Question(**line)).verdict == fate.verdict, line


IN_PARTS = """*filter
:INPUT DROP
:FORWARD ACCEPT
:few - [0:0]
-A INPUT -s 10.0.0.0/8 -j few
-A INPUT -p udp -m limit --limit 1/s -j few
-A INPUT -p udp -j ACCEPT
-A INPUT -s 192.0.2.0/24 -p icmp -j REJECT
-A few -p tcp -m tcp --dport 22 -j ACCEPT
-A few -p udp -m limit --limit 1/s -j ACCEPT
-A few -s 10.1.0.0/16 -j REJECT
-A few -p udp -m udp --dport 53 -j DROP
COMMIT
"""


@pytest.mark.parametrize(
    "capture",
    [None, *(pytest.param(one, marks=pytest.mark.thorough) for one in ("hosts/ufw", "hosts/kube"))],
)
def test_packets_in_parts_that_are_not_joined_have_the_same_fates(
    capture: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dump").write_text(IN_PARTS)
    host = load_host(CAPTURES / capture if capture is not None else tmp_path / "dump")
    space = Space(4)
    joined = fates(host, space=space, senders=["internet"])
    space.summarised.clear()
    monkeypatch.setattr(summaries, "MANY_PARTS", 1)
    monkeypatch.setattr(results, "MOST_NODES", -1)
    apart = fates(host, space=space, senders=["internet"])
    assert any(
        one.further
        for found in apart.land._results.values()
        if found is not None
        for group in found._groups
        for _, one in group._further
    )
    assert {one.verdict for one in apart} >= {"ACCEPT", "DROP"}
    assert [(one.verdict, one.packets) for one in apart] == [(one.verdict, one.packets) for one in joined]


@pytest.mark.thorough
def test_both_engines_find_the_same() -> None:
    pytest.importorskip("oxidd")
    host = load_host(CAPTURES / "docker-28.5/icc-off-link")
    one, other = (fates(host, space=Space(4, engine)) for engine in ("oxidd", "python"))
    assert [(fate.sender, fate.verdict, fate.witness) for fate in one] == [
        (fate.sender, fate.verdict, fate.witness) for fate in other
    ]
    for fate, same in zip(one, other, strict=True):
        assert fate.packets.lines() == same.packets.lines()


@pytest.mark.parametrize(("capture", "family"), SAMPLE)
@pytest.mark.thorough
def test_each_packet_has_one_fate(capture: str, family: Family) -> None:
    found = all_fates(capture, family)
    for sender, left in found.asked:
        for fate in found:
            if fate._sender is sender:
                assert fate.packets <= left
                left -= fate.packets


@pytest.mark.thorough
@pytest.mark.parametrize("capture", [capture for capture, family in SAMPLE if family == 4])
def test_real_connections_have_the_fate_of_their_set(capture: str) -> None:
    found = all_fates(capture)
    host, checked = found.host, 0
    for probe in json.loads((CAPTURES / capture / "probes.json").read_text()):
        expected = verdict_of(probe)
        if expected is None or probe.get("v6") or probe.get("uid") or ":" in probe["dst_ip"]:
            continue
        start = first_packet(host, question_of(probe))
        packet = start.packet
        source = packet.src
        if start.pick_source:
            source = ask(found.simulator, question_of(probe)).trace.legs[0].packet.src
        values: dict[str, Any] = {
            "src": source, "dst": packet.dst, "proto": packet.proto,
            "sport": packet.sport or 0, "dport": packet.dport or 0, "tcp_flags": packet.tcp_flags,
            **({"icmp_type": packet.icmp_type} if packet.proto == ICMP else {}),
        }  # fmt: skip
        if isinstance(start.origin, Outside):
            values["in_interface"] = start.origin.interface
        fates_ = [
            fate
            for fate in found
            if values in fate.packets
            and (fate._sender.namespace is None) is isinstance(start.origin, Outside)
            and fate.sender in (None, "internet", start.sender_name)
        ]
        assert len(fates_) == 1, probe
        assert fates_[0].verdict in (expected, "DEPENDS"), probe
        checked += 1
    assert checked > 5
