"""What targets do to sets of packets: which packets continue, where the others end, and what is rewritten.

What a target does to one packet is in `iptsim/extensions/targets/`; here its :meth:`apply` is run on a packet for the
verdict, and on the bits of marks for the new marks. Sources: as named there.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import Any, NamedTuple

from iptsim.connection import ZONE_OF_MARK, Connection, Flow, Zone
from iptsim.extensions.base import Target
from iptsim.extensions.constraints import Allowed, Masked, named
from iptsim.extensions.context import Context
from iptsim.extensions.hidden import may_translate, rewrites
from iptsim.extensions.targets.ct import Ct, Notrack
from iptsim.extensions.verdicts import Translation, Verdict
from iptsim.languages import Text, message
from iptsim.netfilter.hooks import NAT_SIDE
from iptsim.packet import Packet
from iptsim.protocols import ACK, FIN, RST, SYN
from iptsim.sets.layout import ZONE_BITS
from iptsim.sets.packets import PacketSet
from iptsim.sets.rewriting import Bit, Rewriting, constant_bits, variable_bit
from iptsim.sets.space import TRACKED, Space
from iptsim.truth import Unknown

#: The targets that change fields bit by bit: the bits of these fields, wherever they come from.
_BITWISE = frozenset({"MARK", "CONNMARK", "TOS", "DSCP", "ECN", "TTL", "HL", "tproxy"})
_CHANGED = ("mark", "ct.mark", "tos", "ttl", "tcp_flags", "proxied")
#: Targets of which only the field that they change is known.
_OPAQUE = {"HMARK": "mark", "SET": "mark", "SNPT": "src", "DNPT": "dst"}
_NOWHERE = Flow(0, 0, 0, 0, 0)


class Effect(NamedTuple):
    """What a target does to some packets.

    Attributes:
        when: the packets to which it happens.
        kind: CONTINUE, ACCEPT, DROP, REJECT, RETURN, STOLEN, or TRANSLATE for nat; ELSEWHERE and LOST if rules that
            are not shown send them to a destination where they are accepted, or not.
        bits: the fields that change, with their new bits.
        translation: what nat does.
    """

    when: PacketSet
    kind: str
    bits: dict[str, tuple[Bit, ...]]
    translation: Translation | None = None


class Nothing:
    """Surroundings of which nothing is known; implements :class:`iptsim.extensions.context.Surroundings`."""

    def __getattr__(self, name: str) -> Any:
        if name in ("fact", "path_mtu", "recent"):
            return lambda name: None
        if name == "change_set":
            return lambda *what, overwrite=False: True
        return lambda *what, **options: Unknown("")


class Place(NamedTuple):
    """The place of a target: a hook that leads there, the table, and what makes a key for the decisions there."""

    hook: str
    table: str
    rule: Callable[[], Hashable]


def effects(space: Space, target: Target, place: Place, before: Rewriting) -> list[Effect]:
    """Return the effects of a target, each on other packets (`when`).

    Args:
        space: the space of the sets.
        target: the target.
        place: the place of its rule.
        before: the fields that were rewritten before.
    """
    everything = space.everything
    if target.name in _BITWISE:
        bits = _bitwise(space, target, place, before)
        # without a connection there is no mark to copy, and none to change
        when = _now(space, "ct.state", TRACKED, before) if target.name == "CONNMARK" else everything
        return [Effect(when, "CONTINUE", bits), Effect(~when, "CONTINUE", {})]
    if target.name in _OPAQUE:
        key = _OPAQUE[target.name]
        if target.name == "SET" and not getattr(target, "map_mark", False):
            return [Effect(everything, "CONTINUE", {})]
        return [Effect(everything, "CONTINUE", {key: _unknown_bits(space, key, target, place)})]
    if isinstance(target, Ct | Notrack):
        return _template(space, target, before)
    if target.name == "SYNPROXY":
        return _handshake(space, before)
    return list(_verdicts(space, target, place, before))


def touched(target: Target) -> frozenset[str]:
    """Return the fields that a target may change, or whose value determines its effect."""
    if target.name == "CONNMARK":
        return frozenset({*_CHANGED, "ct.state"})
    if target.name in _BITWISE or target.name == "TPROXY":
        return frozenset(_CHANGED)
    if target.name == "SYNPROXY":
        return frozenset({"tcp_flags"})
    if target.name in _OPAQUE:
        return frozenset({_OPAQUE[target.name]})
    return frozenset({"ct.state", "ct.zone"}) if isinstance(target, Ct | Notrack) else frozenset()


# -- verdicts -----------------------------------------------------------------------------------------


def _verdicts(space: Space, target: Target, place: Place, before: Rewriting) -> Iterator[Effect]:
    outcome = target.apply(_context(place, space.family))
    everything = space.everything
    if isinstance(outcome, Translation):
        yield Effect(everything, "TRANSLATE", {}, outcome)
        return
    if isinstance(outcome, Verdict) and outcome.kind != "QUEUE":
        yield Effect(everything, outcome.kind, {})
        return
    reason = outcome.reason if isinstance(outcome, Unknown) else message(
        "what the program that reads {detail} decides", detail=outcome.detail
    )  # fmt: skip
    if not target.terminal and target.status != "unknown":
        # only a value is unknown: the packet continues in any case
        yield Effect(everything, "CONTINUE", {})
        return
    passes = space.decision((), reason, (place.rule(), "passes"))
    if may_translate(place.table, target):
        yield from _unseen_nat(space, target, place, passes, reason)
        return
    # a packet that TPROXY hands to the proxy is marked
    bits = _bitwise(space, target, place, before) if target.name == "TPROXY" else {}
    yield Effect(passes, "ACCEPT" if target.terminal else "CONTINUE", bits)
    accepts = space.nothing
    if target.status == "unknown":
        accepts = space.decision((), reason, (place.rule(), "accepts"))
        yield Effect(accepts - passes, "ACCEPT", {})
    yield Effect(~(passes | accepts), "DROP", {})


def _unseen_nat(
    space: Space, target: Target, place: Place, passes: PacketSet, reason: Text
) -> Iterator[Effect]:
    """Yield what rules of nat that are not shown, or changes, may do: they keep the address (`passes`), or not."""
    if NAT_SIDE[place.hook] == "src" and not rewrites(target):
        space.keeping.update(passes.fields)
        yield Effect(passes, "CONTINUE", {})
        yield Effect(~passes, "TRANSLATE", {}, Translation("MASQUERADE", "src"))
        return
    yield Effect(passes, "ACCEPT" if target.terminal else "CONTINUE", {})
    accepts = space.nothing
    if target.status == "unknown":
        accepts = space.decision((), reason, (place.rule(), "accepts"))
        yield Effect(accepts - passes, "ELSEWHERE", {})
    yield Effect(~(passes | accepts), "LOST", {})


def _context(place: Place, family: Any) -> Context:
    """Return a context as a target sees it, of a packet that opens a TCP connection."""
    connection = None if place.table == "raw" else Connection(family, _NOWHERE, _NOWHERE)
    return Context(
        Packet(family, 0, 0),
        place.hook,
        place.table,
        Nothing(),
        state="NEW" if connection else None,
        connection=connection,
    )


def _handshake(space: Space, before: Rewriting) -> list[Effect]:
    """Return what SYNPROXY does: it keeps the packets of a handshake, and an ACK may drop or open a connection."""
    mask = FIN | SYN | RST | ACK
    syn, ack = (_now(space, "tcp_flags", Masked(flags, mask), before) for flags in (SYN, ACK))
    kept = syn | ack
    return [Effect(kept, "STOLEN", {}), Effect(~kept, "CONTINUE", {})]


def _template(space: Space, target: Ct | Notrack, before: Rewriting) -> list[Effect]:
    """Return what CT does: a packet that conntrack has not seen, which counts as INVALID, gets a template once."""
    untracked = isinstance(target, Notrack) or target.notrack
    unseen = _now(space, "ct.state", named("INVALID"), before)
    state = space.layout.places["ct.state"]
    number = state.codes(["UNTRACKED" if untracked else "NEW"])[0][0]
    bits = {"ct.state": constant_bits(number, state.bits)}
    if isinstance(target, Ct):
        bits["ct.zone"] = _zone_bits(target.tracked_in)
    return [Effect(unseen, "CONTINUE", bits), Effect(~unseen, "CONTINUE", {})]


def _zone_bits(zone: Zone) -> tuple[Bit, ...]:
    """Return a zone as the bits of a field: its number for each direction, modulo a number larger than all."""
    return tuple(bit for number in zone for bit in constant_bits(number, ZONE_BITS))


def zone_of(rewriting: Rewriting) -> Zone | None:
    """Return the zone that a CT rule has given; None if none has."""
    number, written = rewriting.number("ct.zone")
    if not written:
        return None
    numbers = divmod(number, 1 << ZONE_BITS)
    return Zone(*(ZONE_OF_MARK if one == ZONE_OF_MARK % (1 << ZONE_BITS) else one for one in numbers))


def _now(space: Space, field: str, allowed: Allowed, before: Rewriting) -> PacketSet:
    """Return the packets whose field, after what was rewritten, has an allowed value."""
    return space.where(field, allowed).substituted(before.replacements(space.layout))


# -- bits ---------------------------------------------------------------------------------------------


def _unknown_bits(space: Space, key: str, target: Target, place: Place) -> tuple[Bit, ...]:
    """Return bits that nothing decides."""
    why = message("what {target} does to it", target=target.name)
    name = f"{key} of {target.name} {place.rule()}"
    found = space.layout.places.get(name) or space.layout.add(name, space.layout.places[key].bits, why)
    return tuple(map(variable_bit, found.variables))


def _bitwise(space: Space, target: Target, place: Place, before: Rewriting) -> dict[str, tuple[Bit, ...]]:
    """Return the fields that a target changes, with their bits.

    It is run on all bits zero and on each single bit; what depends on several bits (a TTL that is counted down) is
    undecided.
    """
    layout = space.layout
    found = {}
    for key, sources in _sources(space, target, place).items():
        if sources is None:
            found[key] = _unknown_bits(space, key, target, place)
            continue
        bits = tuple(
            one if source is None else before.bits(layout, source[0])[source[1]] ^ one
            for one, source in sources
        )
        if bits != before.bits(layout, key):
            found[key] = bits
    return found


#: For each bit of a field, the highest first: its value if nothing is set, and the field and the place of the bit that
#: flips it, if one does; None if a bit depends on several.
_Sources = tuple[tuple[int, tuple[str, int] | None], ...] | None


def _sources(space: Space, target: Target, place: Place) -> dict[str, _Sources]:
    """Return where the bits of the fields that a target changes come from, found once for each target in a space."""
    key = id(target), place.hook, place.table
    known = space.sources.get(key)
    if known is None:
        # the target is kept as well, so that no other gets its identity
        known = space.sources[key] = target, _found_sources(space, target, place)
    return known[1]


def _found_sources(space: Space, target: Target, place: Place) -> dict[str, _Sources]:
    run = partial(_run, target, place, space.family)
    widths = {key: space.layout.places[key].bits for key in _CHANGED}
    zero = run(dict.fromkeys(_CHANGED, 0))
    flips: dict[str, dict[int, list[tuple[str, int]]]] = {key: {} for key in _CHANGED}
    for key, width in widths.items():
        for bit in range(width):
            made = run({**dict.fromkeys(_CHANGED, 0), key: 1 << bit})
            for other, other_width in widths.items():
                for place_ in range(other_width):
                    if (made[other] ^ zero[other]) >> place_ & 1:
                        flips[other].setdefault(place_, []).append((key, bit))
    found: dict[str, _Sources] = {}
    for key, width in widths.items():
        single = all(len(flips[key].get(bit, ())) <= 1 for bit in range(width))
        if not single or not _is_bitwise(run, zero, flips, key, widths):
            found[key] = None
            continue
        sources = (next(iter(flips[key].get(bit, ())), None) for bit in reversed(range(width)))
        found[key] = tuple(
            (zero[key] >> bit & 1, source and (source[0], widths[source[0]] - 1 - source[1]))
            for bit, source in zip(reversed(range(width)), sources, strict=True)
        )
    return found


def _is_bitwise(run: Any, zero: dict[str, int], flips: Any, key: str, widths: dict[str, int]) -> bool:
    """Return whether what was found on single bits holds for numbers of many bits."""
    numbers = random.Random(0)  # noqa: S311
    for _ in range(8):
        given = {name: numbers.getrandbits(width) for name, width in widths.items()}
        expected = zero[key]
        for bit, sources in flips[key].items():
            for from_key, from_bit in sources:
                expected ^= (given[from_key] >> from_bit & 1) << bit
        if run(given)[key] != expected:
            return False
    return True


def _run(target: Target, place: Place, family: Any, given: dict[str, int]) -> dict[str, int]:
    """Return what a target makes of the fields that it may change."""
    connection = Connection(family, _NOWHERE, _NOWHERE, mark=given["ct.mark"])
    packet = Packet(family, 0, 0)
    fields = [key for key in given if key != "ct.mark"]
    for key in fields:
        setattr(packet, key, given[key])
    context = Context(packet, place.hook, place.table, Nothing(), state="NEW", connection=connection)
    target.apply(context)
    return {key: getattr(packet, key) for key in fields} | {"ct.mark": connection.mark}
