"""A set of packets as a few readable lines: sources, destinations, protocol, ports, interfaces, state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from iptsim.address_sets import AddressSet
from iptsim.addresses import Family, ip_address
from iptsim.host.namespace import grouped
from iptsim.languages import message
from iptsim.protocols import ICMP, ICMPV6, protocol_name
from iptsim.ranges import complement, united
from iptsim.sets.numbering import Words
from iptsim.sets.packets import FieldValues, PacketSet, TooManyRangesError

_Found = TypeVar("_Found")

#: What to say where addresses were widened.
WIDENED = message(
    "Rules look at single bits of addresses. Where too many ranges result, the addresses shown for packets include "
    "others, whose packets may be treated differently; examples are exact."
)
#: The fields of a line, by their names in JSON, in the order in which they are shown.
FIELDS = {
    "from": "src",
    "in": "in_interface",
    "to": "dst",
    "out": "out_interface",
    "proto": "proto",
    "sports": "sport",
    "dports": "dport",
    "state": "ct.state",
}
#: The greatest number of a field that is no address.
_GREATEST = {"proto": 0xFF, "sports": 0xFFFF, "dports": 0xFFFF}
#: Protocols that no packet of a family has: 0, and the ICMP of the other one.
_FOREIGN: dict[Family, frozenset[tuple[int, int]]] = {
    4: frozenset({(0, 0), (ICMPV6, ICMPV6)}),
    6: frozenset({(0, 0), (ICMP, ICMP), (0, 1)}),
}
#: Lines of which it is tried whether two make one.
_MOST_MERGED = 400


@dataclass(frozen=True, slots=True)
class PacketLine:
    """Packets with all combinations of the values of some fields.

    Attributes:
        family: 4 or 6.
        values: the values by field name, as in JSON; a missing field may have any value.
    """

    family: Family
    values: Mapping[str, FieldValues] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return it in one line; what is not restricted is left out, and `!` is before what is excluded."""
        return self.text()

    def text(
        self,
        sender: str = "",
        names: Mapping[str, str] | None = None,
        known: Mapping[str, str] | None = None,
    ) -> str:
        """Return it in one line.

        Args:
            sender: the name of the sender; where sources are restricted, they follow it.
            names: the names of addresses.
            known: the texts of fields for which there is a better one than their values.
        """
        found = {name: self._brief(name, names or {}) for name in FIELDS if name in self.values}
        texts = found | dict(known or {})
        source = " ".join(filter(None, [sender, texts.get("from", "" if sender else "*")]))
        ends = f"{source} → {texts.get('to', '*')}"
        ports = [texts.get("proto", ""), texts.get("dports", "")]
        if "sports" in texts:
            ports.append(f"(from port {texts['sports']})")
        for name in ("in", "out", "state"):
            if name in texts:
                ports.append(f"({name} {texts[name]})")
        return " ".join(filter(None, [ends, *ports]))

    def _brief(self, name: str, names: Mapping[str, str]) -> str:
        found = self.values[name]
        if not isinstance(found, Words):
            greatest = _GREATEST.get(name, (1 << (32 if self.family == 4 else 128)) - 1)
            excluded = complement(found, greatest)
            if name == "proto":
                # no packet has these in this family
                excluded = tuple(span for span in excluded if span not in _FOREIGN[self.family])
            if not excluded:
                return ""
            if len(excluded) < len(found):
                return "!" + ",".join(PacketLine(self.family, {name: excluded}).texts(name))
        return ",".join(self._named([*self.texts(name)], names))

    def _named(self, texts: Sequence[str], names: Mapping[str, str]) -> list[str]:
        """Return values with their names: a name alone for all of its addresses, then values without a name."""
        whole, named = [], []
        for owner, own in grouped((text for text in texts if text in names), names.__getitem__).items():
            if len(own) > 1 and self._addresses(owner, names) <= {*own}:
                whole.append(owner)
            else:
                named.append(f"{owner} {','.join(own)}")
        return [*whole, *(text for text in texts if text not in names), *named]

    def _addresses(self, owner: str, names: Mapping[str, str]) -> set[str]:
        """Return the addresses of an owner, except loopback addresses, to which no other machine can send."""
        own = ((text, ip_address(text)) for text, name in names.items() if name == owner)
        return {text for text, one in own if one.version == self.family and not one.is_loopback}

    def as_json(self) -> dict[str, list[str]]:
        """Return it as lists of prefixes, ranges and names."""
        return {name: list(self.texts(name)) for name in FIELDS if name in self.values}

    def texts(self, name: str) -> Iterator[str]:
        """Yield the values of a field as texts: prefixes, ranges, names; nothing if it may have any."""
        found = self.values.get(name)
        if found is None:
            return
        if isinstance(found, Words):
            yield from sorted(str(one) or "-" for one in found.names)
            if found.others:
                yield "*"
        elif name in ("from", "to"):
            yield from AddressSet(self.family, found).texts()
        elif name == "proto":
            yield from (
                protocol_name(number) if first == last else f"{first}-{last}"
                for first, last in found
                for number in [first]
            )
        else:
            yield from (str(first) if first == last else f"{first}-{last}" for first, last in found)


def packet_lines(packets: PacketSet, family: Family) -> list[PacketLine]:
    """Return a set of packets as disjoint lines, as few as can be found quickly.

    Fields that no line shows may have any value that occurs. Addresses may be widened, see :func:`widened`.
    """
    names = {key: name for name, key in FIELDS.items()}
    lines = [
        {names[key]: values for key, values in line.items()}
        for line in widened(packets, lambda packets: packets.lines(*FIELDS.values()))
    ]
    return [PacketLine(family, line) for line in _merged(lines)]


def addresses_of(packets: PacketSet, field: str) -> AddressSet:
    """Return the addresses that a field has in a set; they may be widened, see :func:`widened`."""
    return widened(packets, lambda packets: packets.addresses(field))


def widened(packets: PacketSet, find: Callable[[PacketSet], _Found]) -> _Found:
    """Return what a function finds about a set; if its addresses are too many ranges to list, about a larger set.

    That happens where rules look at the lower bits of addresses and not at the higher ones, as NETMAP of any address
    makes them do. The lowest bits of the larger set's addresses may have any value; `layout.widened` then is true.

    Raises:
        TooManyRangesError: even that has too many ranges.
    """
    layout, step = packets.layout, 8
    try:
        return find(packets)
    except TooManyRangesError as error:
        failure = error
    for count in range(step, layout.places["dst"].bits + 1, step):
        for keys in (("dst",), ("src",), ("src", "dst")):
            free = (number for key in keys for number in layout.places[key].variables[-count:])
            with suppress(TooManyRangesError):
                found = find(packets.without_bits(layout.engine.cube(free)))
                layout.widened = True
                return found
    raise failure


def _merged(lines: list[dict[str, FieldValues]]) -> list[dict[str, FieldValues]]:
    """Return lines of which those that differ in one field only are made one."""
    if len(lines) > _MOST_MERGED or len(lines) < 2:
        return lines
    for name in reversed(FIELDS):
        groups: dict[Any, list[dict[str, FieldValues]]] = {}
        for line in lines:
            rest = frozenset((key, value) for key, value in line.items() if key != name)
            groups.setdefault((rest, name in line), []).append(line)
        lines = [_united(name, group) if len(group) > 1 else group[0] for group in groups.values()]
    return lines


def _united(name: str, group: Iterable[dict[str, FieldValues]]) -> dict[str, FieldValues]:
    first, *others = group
    if name not in first:
        return first
    values = [first[name], *(one[name] for one in others)]
    words = [one for one in values if isinstance(one, Words)]
    if words:
        names = frozenset().union(*(one.names for one in words))
        return {**first, name: Words(names, any(one.others for one in words))}
    ranges: list[tuple[int, int]] = sorted(
        span for one in values if not isinstance(one, Words) for span in one
    )
    return {**first, name: united(ranges)}
