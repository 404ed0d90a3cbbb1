"""Walks a packet together with all packets that take the same path.

The walk of one packet (`iptsim/netfilter/`) makes all decisions of the kernel outside the rules. Here the packet leads
a class: it carries which packets these are, and their current fields as functions of the packet on arrival. A base
chain divides the class by what it does, and the walk continues with the packets that are treated like the leading one;
where the kernel compares an address, one region remains. What is left at the end took the same path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from iptsim.connection import Connection
from iptsim.dump.ruleset import Chain
from iptsim.extensions.context import Context
from iptsim.extensions.matches.mac import NOT_STATED
from iptsim.extensions.verdicts import Translation
from iptsim.host.model import Host
from iptsim.host.namespace import RoutingRule
from iptsim.languages import Text, message
from iptsim.netfilter.hidden_nat import is_filtered, source_matters
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.program import Program
from iptsim.netfilter.trace import Leg
from iptsim.netfilter.translation import translate
from iptsim.packet import Packet
from iptsim.protocols import SYN, UDPLITE
from iptsim.sets import alike
from iptsim.sets.answers import answers
from iptsim.sets.blocked import Blocked
from iptsim.sets.effects import zone_of
from iptsim.sets.landscape import Landscape
from iptsim.sets.options import Option, from_pool, is_open, may_join, translated
from iptsim.sets.overlaps import Overlaps, any_of
from iptsim.sets.packets import OutsideError
from iptsim.sets.parts import Leader, Part
from iptsim.sets.policies import picked_bits, treated_alike
from iptsim.sets.proxied import Proxied
from iptsim.sets.results import Result, Results
from iptsim.sets.sources import picked
from iptsim.sets.translating import (
    Bits,
    Header,
    Rewritten,
    Tracked,
    renewed,
    translations,
    with_ends,
)


class ClassWalk:
    """A class of packets that accompanies the walk of its leading packet.

    Attributes:
        packets: the class: the packets, as they arrived, that have taken the same path so far.
        leading: those among them that do not differ from the leading packet in any field.
        opens: whether the packets open a connection.
        blocked: which rules block them.
        widest: their parts at the place where there were most.
        proxied: the published ports at which docker-proxy receives them.
    """

    def __init__(self, land: Landscape, packets: Any, leading: Any, *, opens: bool = True) -> None:
        self.land, self.bits, self.opens = land, land.bits, opens
        self.packets, self.leading, self.nothing = packets, leading, land.bits.false
        self.blocked, self.proxied = Blocked(self.nothing), Proxied(self.nothing)
        self.widest: tuple[Part, ...] = ()
        #: the parts of the packet that a connection has seen last, by connection
        self._seen: dict[int, tuple[Part, ...]] = {}
        self._overlaps: dict[int, Overlaps[Part]] = {}
        #: how often the rules that decide each packet by itself were passed, by the decision
        self._passed: Counter[str] = Counter()
        #: keeps the connections, so that no other gets the same identity
        self._connections: list[Connection] = []

    # -- what the walk asks ----------------------------------------------------------------------------

    def decide(self, key: tuple[Any, ...], why: Text) -> bool:
        """Decide something for the whole class; the opposite decision is another class."""
        decision = self.land.decision(key, why)
        value = bool(self.leading & decision != self.nothing)
        self.keep(decision if value else ~decision)
        return value

    def keep(self, packets: Any) -> None:
        """Reduce the class to some of its packets."""
        self.packets &= packets
        self.leading &= packets

    def leads(self, packet: Packet) -> bool:
        """Return whether a packet leads a class."""
        return isinstance(packet, Leader)

    def evaluate(self, kernel: Kernel, context: Context, program: Program, base: Chain) -> Outcome | None:
        """Evaluate a base chain for the class. Return None if the packets continue."""
        results = self.land.results(program, base, context.hook)
        if results is None:
            return None
        packet = self._joined(context)
        self._passed.update(self.land.space.anew.intersection(results.fields))
        context.table, context.backend, context.version = base.table, program.backend, program.version
        leading = next(self._options(kernel, context, packet, results, self.leading), None)
        if leading is None:
            raise OutsideError(message("a packet is not among those that are followed"))
        result = leading.result
        self.leading &= leading.packets
        chosen = partial(may_join, leading) if is_open(context) else None
        options = self._options(kernel, context, packet, results, self.packets, chosen, pooled=True)
        together = [one for one in options if one.effect == leading.effect]
        self.keep(any_of(self.bits.false, (one.packets for one in together)))
        if result.kind in ("ELSEWHERE", "LOST") and not is_filtered(kernel, context):
            return None
        if result.kind == "ELSEWHERE":
            kernel.passage.elsewhere = True
            return Outcome("ACCEPT", context=context)
        if result.kind != "ACCEPT":
            steps = {one.result.rule: one.result.step(context.hook, program, base) for one in together}
            kernel.add(steps[result.rule])
            self.blocked.add(steps[result.rule], [(one.packets, steps[one.result.rule]) for one in together])
            return Outcome("REJECT" if result.kind == "REJECT" else "DROP", context=context)
        packet.parts = tuple(self._after(context, one) for one in together)
        self.widest = max(self.widest, packet.parts, key=len)
        self._lead(kernel, context, leading)
        self._note_seen(context, packet)
        return None

    def opening(self, packet: Packet) -> Packet:
        """Return the packet that opens a connection, accompanied by those that open the connections of the others."""
        assert isinstance(packet, Leader)
        flags = self.bits.constant("tcp_flags", SYN)
        packet.parts = tuple(
            replace(part, header={**part.header, "tcp_flags": flags}) for part in packet.parts
        )
        return packet

    def compared(self, packet: Packet, services: Collection[tuple[int, int]]) -> None:
        """Reduce the class to the packets of the same service, or to those of none of the services."""
        if services and isinstance(packet, Leader):
            self.keep(alike.of_same_service(self.bits, packet, services))

    def verified(self, packet: Packet) -> None:
        """Reduce the class to UDP-Lite or to other protocols, like the leading packet, if rules name UDP-Lite."""
        if isinstance(packet, Leader) and self.land.names_udplite:
            self.keep(alike.of_protocol(self.bits, packet, UDPLITE))

    def zoned(self, packet: Packet) -> None:
        """Reduce the class to the packets whose marks name the same zone."""
        if not isinstance(packet, Leader):
            return
        leading = next(part for part in packet.parts if part.packets & self.leading != self.nothing)
        mark = leading.header.get("mark")
        if mark is not None:
            packet.mark, self.leading = picked_bits(self.bits, self.leading, mark)
        self.keep(alike.of_same_zone(self.bits, packet))

    def begins(self, packet: Packet, *, tcp_loose: bool) -> None:
        """Reduce the class to the packets without a known connection that conntrack treats like the leading one."""
        if isinstance(packet, Leader):
            self.keep(alike.of_same_first_state(self.bits, packet, tcp_loose=tcp_loose))

    def translated(self, context: Context, wanted: Translation) -> None:
        """Translate the packets like the leading one."""
        packet = self._joined(context)
        assert context.connection is not None
        parts = []
        for part in packet.parts:
            ends = self.bits.ends(part.header)
            for made in translations(self.bits, wanted, part.packets & self.packets, ends, None, wanted):
                parts.append(self._renewed(part, made, wanted.side, id(context.connection)))
        packet.parts = tuple(parts)
        self._note_seen(context, packet)

    def rewritten(self, context: Context, side: str) -> None:
        """Rewrite one side of the packets as their connections say (`nat.translate`)."""
        if not isinstance(context.packet, Leader) or context.connection is None:
            return
        packet = self._joined(context)
        direction = context.direction
        parts = []
        for part in packet.parts:
            tracked = part.tracked[id(context.connection)]
            own, other = ("SNAT", "DNAT") if side == "src" else ("DNAT", "SNAT")
            if (own if direction == "original" else other) not in tracked.status:
                parts.append(part)
                continue
            target = (tracked.reply if direction == "original" else tracked.original).reversed()
            ends = self.bits.ends(part.header)
            if side == "src":
                ends = ends._replace(src=target.src, sport=target.sport)
            else:
                ends = ends._replace(dst=target.dst, dport=target.dport)
            parts.append(replace(part, header=with_ends(self.bits, part.header, ends)))
        packet.parts = tuple(parts)
        self._note_seen(context, packet)

    def routed(self, packet: Packet, rules: Sequence[RoutingRule]) -> None:
        """Reduce the class to the packets that policy rules treat like the leading one."""
        if not isinstance(packet, Leader):
            return
        first = next(part for part in packet.parts if part.packets & self.leading != self.nothing)
        mark = first.header.get("mark")
        if mark is not None:
            packet.mark, self.leading = picked_bits(self.bits, self.leading, mark)
        self.keep(treated_alike(self.bits, packet, rules))

    def forwarded(self, packet: Packet) -> None:
        """Reduce the class to the packets whose destination is in the same region as that of the leading packet."""
        if isinstance(packet, Leader):
            there = self.land.within(self.land.regions.of(packet.dst), "dst")
            self.keep(alike.of_same_destination(self.bits, packet, there))

    def arrived(self, host: Host, leg: Leg) -> None:
        """Reduce the class to the packets that the same program receives, and that docker-proxy treats alike."""
        delivered = leg.delivered
        if not self.opens or delivered is None or delivered.kind == "outside":
            return
        if not isinstance(delivered.packet, Leader):
            return
        packet = delivered.packet
        to = partial(alike.of_port, self.bits, packet)
        receptions, connected = self.land.receptions.like(
            leg, lambda *end: bool(to(*end) & self.packets != self.nothing)
        )
        packet.parts = tuple(
            replace(part, packets=alike.of_receptions(self.bits, part, receptions) & self.packets)
            for part in packet.parts
        )
        self.keep(any_of(self.nothing, (part.packets for part in packet.parts)))
        for one in connected:
            self.proxied.add(one.port, to(one.proto, one.port), one.legs)

    def passed_on(self, request: Packet, packet: Packet) -> Packet:
        """Return docker-proxy's packet, accompanied by those for other ports that it forwards at the same distance."""
        if not isinstance(request, Leader) or packet.family != request.family:
            return packet
        source = picked(self.land.host.namespace, self.land.family, packet.dst, packet)
        if source is None or packet.dport is None or request.dport is None or packet.sport is None:
            return packet
        bits, parts = self.bits, []
        if self.proxied or all(self._at(part, "dport", request.dport) for part in request.parts):
            return packet
        for part in request.parts:
            header = {
                "length": part.header["length"],
                "src": bits.constant("src", source),
                "sport": bits.constant("sport", packet.sport),
                "dst": bits.constant("dst", packet.dst),
                "dport": bits.shifted(bits.of(part.header, "dport"), packet.dport - request.dport),
            }
            parts.append(Part(part.packets & self.packets, header))
        return Leader.of(packet, tuple(parts))

    def _at(self, part: Part, key: str, number: int) -> bool:
        """Return whether a field of all packets of a part has a number."""
        here = part.packets & self.packets
        there = self.bits.within(key, self.bits.of(part.header, key), number, number)
        return bool(here & ~there == self.nothing)

    # -- at a base chain ---------------------------------------------------------------------------------

    def _options(
        self,
        kernel: Kernel,
        context: Context,
        packet: Leader,
        results: Results,
        packets: Any,
        chosen: Callable[[Result], bool] | None = None,
        *,
        pooled: bool = False,
    ) -> Iterator[Option]:
        """Yield what a base chain does to some of the packets, as far as these results count."""
        shared = self._shared(kernel, context, results)
        for part in packet.parts:
            here = part.packets & packets
            if here == self.nothing:
                continue
            header = self._at_hook(part, context)
            changed = {
                key: bits
                for key in results.fields
                if (bits := shared.get(key) or header.get(key)) is not None
            }
            now, alone = self.land.pulling(changed), not pooled or part.pooled is not None
            for inside, result, pool in results.of(here, now, chosen, pooled=not alone):
                if result.translation is None or context.connection is None:
                    yield Option(part, inside, result)
                elif not is_open(context):
                    # nf_nat_setup_info
                    yield Option(part, inside, result._replace(translation=None))
                elif pool is not None:
                    yield from from_pool(self.land, part, inside, result, pool, now)
                else:
                    yield from translated(self.land, kernel, context, part, inside, result)

    def _after(self, context: Context, option: Option) -> Part:
        """Return the part of a class behind a base chain."""
        part, result, made = option.part, option.result, option.rewritten
        # the mark is that of the walked packet; the other packets of the class may have another one
        header, tracked = {**part.header, "mark": self._mark(part, context)}, dict(part.tracked)
        known = id(context.connection) if context.connection is not None else 0
        for key, bits in self._written(part, context, result):
            if key == "ct.mark":
                if known in tracked:
                    tracked[known] = replace(tracked[known], mark=bits)
            elif key not in ("ct.state", "ct.zone"):
                header[key] = bits
        changed = Part(option.packets, header, tracked, option.pooled or part.pooled)
        if made is None or result.translation is None:
            return changed
        return self._renewed(changed, made._replace(packets=option.packets), result.translation.side, known)

    def _renewed(self, part: Part, made: Rewritten, side: str, known: int) -> Part:
        """Return packets as a translation makes them, with their connections."""
        tracked = dict(part.tracked)
        if made.ends != self.bits.ends(part.header):
            tracked[known] = renewed(tracked[known], side, made.ends)
        return Part(made.packets, with_ends(self.bits, part.header, made.ends), tracked, part.pooled)

    def _written(self, part: Part, context: Context, result: Result) -> Iterator[tuple[str, Bits]]:
        """Yield the fields that rules have written, in terms of the packet as it arrived."""
        if not result.rewriting.fields:
            return
        layout = self.land.space.layout
        header = self._at_hook(part, context)
        for key, written in result.rewriting.fields:
            bits = []
            for bit in written:
                if bit < 2:
                    bits.append(self.bits.true if bit else self.bits.false)
                    continue
                place = layout.place_of((bit - 2) // 2)
                now = header.get(place.key) or self.land.value(place, context) or self.bits.own(place.key)
                one = now[(bit - 2) // 2 - place.first]
                bits.append(~one if bit & 1 else one)
            yield key, tuple(bits)

    def _lead(self, kernel: Kernel, context: Context, leading: Option) -> None:
        """Do to the leading packet what a base chain does to the class."""
        part = next(
            part
            for part in context.packet.parts  # type: ignore[attr-defined]
            if part.packets & self.leading != self.nothing
        )
        for key in ("mark", "tos", "ttl", "tcp_flags", "proxied"):
            number = self.bits.number(part.header[key]) if key in part.header else None
            if number is not None:
                setattr(context.packet, key, number)
        states = dict(leading.result.rewriting.fields).get("ct.state")
        if states is not None and context.state is None:
            untracked = self.land.space.layout.places["ct.state"].codes(["UNTRACKED"])[0][0]
            context.notrack = (
                self.bits.number(tuple(self.bits.true if bit else self.bits.false for bit in states))
                == untracked & 7
            )
        if context.state is None:
            context.zone = zone_of(leading.result.rewriting) or context.zone
        if context.connection is not None and id(context.connection) in part.tracked:
            context.connection.mark = self.bits.number(part.tracked[id(context.connection)].mark) or 0
        wanted, made = leading.result.translation, leading.rewritten
        if wanted is None or made is None:
            return
        if made.address is not None:
            wanted = wanted._replace(addresses=(made.address, made.address))
        translate(kernel, context, wanted)

    # -- the fields of the packets at a hook --------------------------------------------------------------

    def _shared(self, kernel: Kernel, context: Context, results: Results) -> dict[str, Bits]:
        """Return the fields that all packets of the class have in common with the leading one."""
        places = self.land.space.layout.places
        found = {}
        for key in results.fields:
            if key in _CARRIED or key in _OF_CONNECTION:
                continue
            if key in self.land.space.keeping and not source_matters(kernel, context):
                found[key] = (self.bits.true,)
                continue
            value = self.land.value(places[key], context)
            if value is not None:
                found[key] = value
            elif key == "src_mac":
                # nothing shows from which machine on the link the packets come, not even that it always is the same
                way = context.direction, context.in_interface
                found[key] = self.bits.fresh(key, ("src_mac", *way), NOT_STATED.reason)
            elif self._passed[key] > 1:
                # what is decided again for each packet
                why = places[key].why or ""
                found[key] = (self.land.decision(("passed", key, self._passed[key]), why),)
        return found

    def _at_hook(self, part: Part, context: Context) -> Header:
        """Return the fields of a part that differ from those on arrival, its connection's included."""
        header = dict(part.header)
        header["mark"] = self._mark(part, context)
        tracked = part.tracked.get(id(context.connection)) if context.connection is not None else None
        for kind in ("SNAT", "DNAT"):
            held = tracked is not None and kind in tracked.status
            header[f"ct.state={kind}"] = (self.bits.true if held else self.bits.false,)
        if tracked is None:
            # all that rules can see is a template of CT, which has no mark and no ends
            names = (name for name in ("ct.mark", *_OF_CONNECTION) if name in self.land.space.layout.places)
            return header | {name: self.bits.constant(name, 0) for name in names}
        header["ct.mark"] = tracked.mark
        ends = (*tracked.original, *tracked.reply)
        for number, name in enumerate(_OF_CONNECTION):
            # few rules compare these
            if (place := self.land.space.layout.places.get(name)) is not None:
                bits = ends[number] if number < len(ends) else self.bits.of(part.header, "proto")
                own = self.bits.port_of_flow(bits) if name.endswith("port") else bits
                header[name] = (*(self.bits.false,) * (place.bits - len(bits)), *own)
        return header

    def _mark(self, part: Part, context: Context) -> Bits:
        return part.header.get("mark") or self.bits.mark("mark", context.packet.mark)

    # -- connections ----------------------------------------------------------------------------------------

    def _joined(self, context: Context) -> Leader:
        """Return the packet with its connection known in all its parts."""
        packet, connection = context.packet, context.connection
        assert isinstance(packet, Leader)
        seen = self._seen.get(id(connection))
        if connection is None or (seen is not None and packet.parts is seen):
            return packet
        if seen is None:
            self._connections.append(connection)
        packet.parts = tuple(self._with_connection(packet.parts, context, connection))
        return packet

    def _with_connection(
        self, parts: Sequence[Part], context: Context, connection: Connection
    ) -> Iterator[Part]:
        key = id(connection)
        seen = self._seen.get(key)
        if seen is not None and key not in self._overlaps:
            self._overlaps[key] = Overlaps(self.nothing, [(one.packets, one) for one in seen])
        for part in parts:
            if seen is None:
                ends = self.bits.ends(part.header)
                original, reply = ends, ends.reversed()
                if context.direction == "reply":
                    original, reply = reply, original
                made = Tracked(original, reply, self.bits.mark("ct.mark", connection.mark))
                yield replace(part, tracked={**part.tracked, key: made})
                continue
            for inside, other in self._overlaps[key].of(part.packets):
                yield replace(part, packets=inside, tracked={**part.tracked, key: other.tracked[key]})

    def _note_seen(self, context: Context, packet: Leader) -> None:
        """Keep what is known of a connection for its other packets: a copy, a reply."""
        if context.connection is not None:
            self._seen[id(context.connection)] = packet.parts
            self._overlaps.pop(id(context.connection), None)

    # -- replies ------------------------------------------------------------------------------------------

    def answering(self, request: Packet, reply: Packet) -> Packet:
        """Return the reply to a delivered packet, accompanied by the replies to the others."""
        if not isinstance(request, Leader):
            return reply
        return Leader.of(reply, tuple(answers(self.bits, self.land.family, self.packets, request, reply)))

    def recognised(self, request: Packet, reply: Packet) -> None:
        """Reduce the class to packets whose sender recognises the reply, or does not, like the leading packet's."""
        if isinstance(request, Leader) and isinstance(reply, Leader):
            same = alike.recognised(self.bits, request, reply)
            self.keep(same if self.leading & same != self.nothing else ~same)


#: What each part of a class carries with it.
_CARRIED = frozenset({
    "src", "dst", "sport", "dport", "proto", "tcp_flags", "icmp_type", "length", "mark", "ct.mark",
    "ct.state=SNAT", "ct.state=DNAT",
})  # fmt: skip
#: The fields of a connection: its ends in each direction, in the order of :class:`Ends`, and its protocol.
_OF_CONNECTION = (
    "ct.ctorigsrc", "ct.ctorigsrcport", "ct.ctorigdst", "ct.ctorigdstport", "ct.ctreplsrc", "ct.ctreplsrcport",
    "ct.ctrepldst", "ct.ctrepldstport", "ct.proto",
)  # fmt: skip
