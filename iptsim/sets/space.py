"""The space of packets: sets made from conditions, over one layout of variables.

The meaning of a condition comes from its constraints (`iptsim/extensions/constraints.py`); this module adds only which
bits represent its fields, and when a packet has them. An undecidable condition is one variable; two conditions share it
exactly if the walk of a packet would decide them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial, reduce
from operator import and_, or_
from typing import Any

from iptsim.addresses import Family
from iptsim.extensions.constraints import Allowed, Constraint, Field, Names, Several, Some, membership, named
from iptsim.extensions.context import Context
from iptsim.extensions.matches.conntrack import FLOW_PORTS
from iptsim.extensions.ports import NATIVE_PORTS
from iptsim.languages import Text, message
from iptsim.protocols import GRE, ICMP, ICMPV6
from iptsim.sets.engines import MOST_NODES, EngineName, make_engine
from iptsim.sets.layout import Layout, decision
from iptsim.sets.packets import PacketSet, TooManyNodesError, too_many_nodes
from iptsim.truth import Truth, Unknown

#: The values of a field, or the results of a lookup (:attr:`Predicate.same`), and the packets that have each, where
#: something other than the header decides it.
Known = Mapping[Hashable, Sequence[tuple[Any, PacketSet]]]

_LATER = Names(frozenset({"middle", "last"}))
#: The states of packets that belong to a connection.
TRACKED = Names(frozenset({"NEW", "ESTABLISHED", "RELATED"}))
#: Fields that every packet has in its header, or as an interface.
PLAIN = frozenset({"src", "dst", "in_interface", "out_interface", "proto"})
#: Fields of the transport header, which later fragments lack.
_TRANSPORT = frozenset({"sport", "dport", "tcp_flags", "tcp_options", "icmp_type"})
#: Fields that only packets of a local program have.
_OWNERS = frozenset({"uid", "gid", "other_groups"})
#: The protocols for which conntrack keeps another number in place of a port.
_NUMBERED = tuple((proto, proto) for proto in (ICMP, GRE, ICMPV6))
#: Fields of a connection that not every connection has.
_OPTIONAL = frozenset({"ct.master_helper"})
#: Fields that are true for every packet.
_CERTAIN = frozenset({"chance", "connlimit.any", "recent.set"})
#: Fields that every packet has, though no header holds them.
_ALWAYS = ("fact.", "src.type", "dst.type", "src.own_type", "dst.own_type", "src.eui64")


class Space:
    """All packets of a family at one place of their path through the kernel, and the sets of them.

    Args:
        family: 4 or 6.
        engine: "auto" uses oxidd if it is installed, else Python; the answers are the same.
        most_nodes: the maximum number of nodes of all sets together.
        small: the sets involve few rules, so a fast start matters more.

    Raises:
        UsageError: there is no such engine.
        MissingExtraError: oxidd is not installed.
        TooManyNodesError: raised by every operation that makes sets grow beyond the limit.
    """

    def __init__(
        self,
        family: Family = 4,
        engine: EngineName = "auto",
        most_nodes: int = MOST_NODES,
        *,
        small: bool = False,
    ) -> None:
        self.family = family
        self.most_nodes = most_nodes
        try:
            self.engine = make_engine(engine, most_nodes, small=small)
            self.most_nodes = self.engine.most_nodes
            self.layout = Layout(family, self.engine, self.most_nodes)
        except MemoryError:
            raise too_many_nodes(self.most_nodes) from None
        self.everything = PacketSet(self.layout, self.engine.true)
        self.nothing = PacketSet(self.layout, self.engine.false)
        self._conditions: dict[Hashable, PacketSet] = {}
        self._fresh = 0
        #: the decisions that are made separately at each place, by the key of their place in the layout
        self.anew: set[str] = set()
        #: the decisions whether rules that are not shown leave the source of a connection as it is
        self.keeping: set[str] = set()
        #: the decisions whether packets have a field
        self.presences: set[str] = set()
        #: what targets do to the bits of fields (:mod:`iptsim.sets.effects`)
        self.sources: dict[Hashable, tuple[Any, Any]] = {}
        #: the summaries that were made here, by program (:class:`iptsim.sets.chains.Chains`)
        self.summarised: list[Any] = []

    @property
    def nodes(self) -> int:
        """The number of nodes of all sets together, including those no longer used."""
        return self.engine.nodes

    # -- sets -------------------------------------------------------------------------------------------

    def where(self, field: str, allowed: Allowed) -> PacketSet:
        """Return the packets whose field has an allowed value, by the key of the field (`dport`, `ct.state`)."""
        key = (field, allowed)
        found = self._conditions.get(key)
        if found is None:
            try:
                function = self.layout.allowing(field, allowed)
            except MemoryError:
                raise too_many_nodes(self.most_nodes) from None
            found = self.undecided(key, decision(field)) if function is None else self._set(function)
            self._conditions[key] = found
        return found

    def bits(self, field: str) -> range:
        """Return the numbers of a field's variables, the highest bit first."""
        return self.layout.places[field].variables

    def point(self, values: Mapping[str, Any]) -> PacketSet:
        """Return the packets with some values of fields: numbers, or names for interfaces, states and the like."""
        found = self.everything
        for key, value in values.items():
            found &= self.where(key, named(value) if isinstance(value, str) else ((int(value), int(value)),))
        return found

    def undecided(self, key: Hashable, why: Text) -> PacketSet:
        """Return the packets for which something undecided is true; equal keys mean the same decision."""
        name = ("undecided", key)
        found = self._conditions.get(name)
        if found is None:
            place = self.layout.add(f"undecided {len(self.layout.places)}", 1, why)
            found = self._conditions[name] = self._set(self.layout.variable(place.first))
        return found

    def condition(
        self, constraint: Constraint | Several, *, known: Known | None = None, place: Hashable = None
    ) -> PacketSet:
        """Return the packets that satisfy a condition.

        Args:
            constraint: the condition.
            known: the values of fields that the host or the ruleset decides.
            place: the place of the condition: what is undecided and may change each time is decided once per place;
                None for a new place.
        """
        if isinstance(constraint, Several):
            parts = (
                self.condition(part, known=known, place=(place, number) if place is not None else None)
                for number, part in enumerate(constraint.parts)
            )
            join, start = (and_, self.everything) if constraint.every else (or_, self.nothing)
            whole: PacketSet = reduce(join, parts, start)
            return whole
        field = constraint.field
        if field.key in PLAIN and field.unknown is None and not (known and field.key in known):
            allowed = self.where(field.key, constraint.allowed)
            return ~allowed if constraint.negated else allowed
        inside = self._inside(field, constraint.allowed, known or {}, place)
        present = self._present(field, known or {})
        found: PacketSet = (~inside if constraint.negated else inside) & present
        if constraint.absent is False or present == self.everything:
            return found
        return found | (self._absent(constraint.absent, field, place) - present)

    def decided_by(self, decision: PacketSet, read: Callable[[Context], Truth | None]) -> PacketSet:
        """Record what determines a decision of one variable for a packet, and return the decision."""
        for key in decision.fields:
            place = self.layout.places[key]
            place.read = place.read or read
        return decision

    def reading(self, context: Context) -> dict[int, PacketSet]:
        """Return the values of decisions and of fields outside the header in a context, bit by bit.

        Unknown values are left out. For :meth:`PacketSet.substituted`.
        """
        found: dict[int, PacketSet] = {}
        for place in self.layout.places.values():
            value = place.read(context) if place.read is not None else None
            if value is None or isinstance(value, Unknown):
                continue
            named = place.numbering is not None
            number = place.codes([value])[0][0] if named else int(value)
            for bit, variable in enumerate(reversed(place.variables)):
                found[variable] = self.everything if number >> bit & 1 else self.nothing
        return found

    def decision(self, key: tuple[Any, ...], why: Text, place: Hashable) -> PacketSet:
        """Return the packets for which a decision is positive; with an empty key, each place makes its own."""
        if key:
            return self.undecided(key, why)
        if place is None:
            self._fresh += 1
            place = self._fresh
        found = self.undecided(("place", place), why)
        self.anew.update(found.fields)
        return found

    # -- the parts of a condition ---------------------------------------------------------------------

    def _set(self, function: Any) -> PacketSet:
        return PacketSet(self.layout, function)

    def _absent(self, truth: Truth, field: Field, place: Hashable) -> PacketSet:
        if isinstance(truth, Unknown):
            return self.decision(truth.key, truth.reason, (place, "absent", field.key))
        return self.everything if truth else self.nothing

    def _inside(self, field: Field, allowed: Allowed, known: Known, place: Hashable) -> PacketSet:
        """Return the packets whose value is allowed, apart from those that have none."""
        key = field.key
        if key in _CERTAIN and field.unknown is None:
            return self.everything if membership(allowed)(True) else self.nothing
        if key in known:
            return self._of_known(key, allowed, known[key])
        derived = self._derived(key, known)
        if derived is not None:
            return derived if membership(allowed)(True) else ~derived
        if field.unknown is not None:
            return self.decision(field.unknown.key, field.unknown.reason, place)
        if not field.steady and key not in self.layout.header:
            return self.decision((), decision(key), None if place is None else (place, key, allowed))
        found = self.where(key, allowed)
        self._read_by(field, allowed, found)
        if key in FLOW_PORTS:
            # what is in place of a port is unknown, and asked for each time
            others = self.where("ct.proto", _NUMBERED)
            unknown = self.decision((), decision(key), None if place is None else (place, key, allowed))
            return found - others | (others & unknown)
        if field is NATIVE_PORTS.get(key) and _backend(known) == "nf_tables":
            # the data of a later fragment counts as its ports
            later = self._later(known)
            return found - later | (later & self.undecided((key, allowed, "data"), _DATA)) if later else found
        return found

    def _read_by(self, field: Field, allowed: Allowed, found: PacketSet) -> None:
        """Note how the value of a field that is not in the header is read from a context."""
        key, places = field.key, self.layout.places
        if isinstance(allowed, Some):
            for member in allowed.members:
                flag = places.get(f"{key}={member}")
                if flag is not None and flag.read is None:
                    flag.read = partial(_has_member, field, member)
        elif key in places:
            if key not in self.layout.header:
                places[key].read = places[key].read or field.read
        else:
            self.decided_by(found, partial(_is_allowed, field, membership(allowed)))

    def _of_known(self, key: str, allowed: Allowed, values: Sequence[tuple[Any, PacketSet]]) -> PacketSet:
        inside, found, covered = membership(allowed), self.nothing, self.nothing
        for value, packets in values:
            covered |= packets
            if inside(value):
                found |= packets
        left = ~covered
        return found | left & self.undecided(("known", key, allowed), decision(key)) if left else found

    def _later(self, known: Known) -> PacketSet:
        """Return the fragments without a transport header."""
        return self.nothing if "fragment" in known else self.where("fragment", _LATER)

    def _derived(self, key: str, known: Known) -> PacketSet | None:
        """Return the packets for which a field is true that follows from other fields; None for other fields."""
        if key == "udp":
            return ~self._later(known)
        if key == "ct":
            return self.where("ct.state", TRACKED)
        if key in ("physical_in.present", "physical_out.present"):
            return ~self.where(key.removesuffix(".present"), named(""))
        return None

    def _present(self, field: Field, known: Known) -> PacketSet:
        """Return the packets that have a field."""
        key = field.key
        if (
            key in known
            or key in _CERTAIN
            or field.unknown is not None
            or self._derived(key, known) is not None
        ):
            return self.everything
        if key in _TRANSPORT:
            if field is NATIVE_PORTS.get(key) and _backend(known) == "nf_tables":
                return self.everything
            protocol = ICMP if self.family == 4 else ICMPV6
            icmp = self.where("proto", ((protocol, protocol),)) if key == "icmp_type" else self.everything
            return icmp - self._later(known)
        if key.startswith("ct.") and key != "ct.state":
            tracked = self.where("ct.state", TRACKED)
            return tracked & self._has(field) if key in _OPTIONAL else tracked
        if key in ("physical_in", "physical_out"):
            return ~self.where(key, named(""))
        if key == "src_mac":
            return self.framed()
        if key in _OWNERS:
            return self.where("local_socket", named(True))
        if key in self.layout.header or key.startswith(_ALWAYS) or not field.steady:
            return self.everything
        place = self.layout.places.get(key)
        if place is not None and place.bits == 1:
            return self.everything
        return self._has(field)

    def framed(self) -> PacketSet:
        """Return the packets that arrived in an Ethernet frame; see `Context.frameless`."""
        own = self.where("in_interface", named("")) & self.where("physical_in", named(""))
        return ~own - self.where("in_interface", named("lo"))

    def _has(self, field: Field) -> PacketSet:
        """Return the packets that have a field, if nothing says which these are."""
        found = self.undecided(("has", field.key), message("whether it has {field}", field=field.key))
        self.presences.update(found.fields)
        return self.decided_by(found, lambda context: field.read(context) is not None)


def _has_member(field: Field, member: Any, context: Context) -> Truth | None:
    value = field.read(context)
    return value if value is None or isinstance(value, Unknown) else member in value


def _is_allowed(field: Field, inside: Callable[[Any], bool], context: Context) -> Truth | None:
    value = field.read(context)
    return value if value is None or isinstance(value, Unknown) else inside(value)


_DATA = message("the data of the fragment")


def _backend(known: Known) -> str:
    values = known.get("backend", ())
    return str(values[0][0]) if values else "nf_tables"


__all__ = ["Known", "PacketSet", "Space", "TooManyNodesError"]
