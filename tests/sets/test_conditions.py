"""The set of a condition and its test on single packets say the same, for all matches of the registry."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from iptsim.extensions.context import Context
from iptsim.extensions.hidden import HiddenAddress
from iptsim.languages import message
from iptsim.packet import Packet
from iptsim.protocols import AH
from iptsim.sets.space import TRACKED, Known, Space
from iptsim.truth import Unknown
from tests.extensions.test_constraints import World, conditions, contexts
from tests.sets import ENGINES
from tests.sets.test_chains import values_of


def header(context: Context) -> dict[str, Any]:
    """The header of a context, as sets have it."""
    packet = context.packet
    values = values_of(context)
    values.pop("icmp_code", None)
    return values | {
        "icmp_type": (packet.icmp_type or 0) << 8 | (packet.icmp_code or 0),
        "src_mac": packet.src_mac or "",
        "pkttype": packet.pkttype,
        "tos": packet.tos,
        "length": packet.length,
        "ct.direction": context.direction.upper(),
        "physical_in": context.physical_in or "",
        "physical_out": context.physical_out or "",
        "local_socket": int(packet.local_socket),
    }


def agrees(space: Space, predicate: Any, context: Context) -> str:
    """Compare the set with the test; return what the test said, and "open" where the set leaves something undecided."""
    backend = "nf_tables" if context.backend == "nf_tables" else "legacy"
    merging = backend == "nf_tables" and context.version == "1.8.9"
    known: Known = {
        "backend": [(backend, space.everything)],
        "merges_ports": [(merging, space.everything)],
    }
    packets = space.condition(predicate.constraint, known=known, place=(predicate.text, 0))
    left = packets.substituted(space.reading(context)).having(header(context))
    truth = predicate.test(context)
    if isinstance(truth, Unknown):
        return "unknown"
    if left.function not in (space.engine.true, space.engine.false):
        return "open"
    assert left == (space.everything if truth else space.nothing), (predicate.text, context)
    return str(truth)


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ENGINES)
def test_sets_and_tests_say_the_same(engine: Any) -> None:
    spaces = {family: Space(family, engine=engine) for family in (4, 6)}
    counts: Counter[str] = Counter()
    opens: Counter[str] = Counter()
    for family, protocol, _, predicate in conditions():
        if predicate.constraint is None:
            continue
        for context in contexts(Random(predicate.text), family, protocol, 60):
            tracked = context.state in TRACKED.names
            # what connection tracking says is one thing: a packet of a connection has an entry
            if context.state is None or tracked is not (context.connection is not None):
                continue
            # nf_tables stops at an authentication header: the protocol is another one for `-p` than for the matches
            if any(kind == AH for kind, _ in context.packet.extension_headers):
                continue
            said = agrees(spaces[family], predicate, context)
            counts[said] += 1
            if said == "open":
                opens[predicate.text] += 1
    assert min(counts["True"], counts["False"]) > 2000
    # few conditions stay undecided where the test knows more than the header says
    assert counts["open"] < (counts["True"] + counts["False"]) / 20, opens


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("negated", [False, True])
def test_an_address_with_redacted_bytes(engine: Any, negated: bool) -> None:
    """What the visible bytes rule out is certain; equal texts are one decision."""
    space = Space(4, engine=engine)
    hidden = HiddenAddress(
        words="-s 95.xx.xx.xx", reason=message("the redacted bytes"), place=("redacted", "95.xx.xx.xx"), side="src",
        address=95 << 24, mask=0xFF << 24, negated=frozenset({"address"} if negated else ()),
    )  # fmt: skip
    (predicate,) = hidden.predicates()
    assert predicate.constraint is not None
    packets = space.condition(predicate.constraint, place=1)
    visible = space.where("src", ((95 << 24, (96 << 24) - 1),))
    assert (packets.must, packets.may) == (
        (~visible, space.everything) if negated else (space.nothing, visible)
    )
    for source in (95 << 24, 96 << 24):
        context = Context(Packet(4, source, 1), "INPUT", "filter", World(Random(0)))
        truth = predicate.test(context)
        assert isinstance(truth, Unknown) if source >> 24 == 95 else truth is negated
