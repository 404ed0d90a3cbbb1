"""The rules of chains as boxes: a range of values for each field that they compare."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from iptsim.addresses import BITS
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Masked, Names, Pattern, Several, Some
from iptsim.extensions.context import ARRIVING, LEAVING
from iptsim.extensions.matches.addrtype import TYPES
from iptsim.extensions.options import Option
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.verdicts import ENDING
from iptsim.netfilter.chain_index import ranges_of
from iptsim.protocols import ICMP, ICMPV6
from iptsim.ranges import Ranges, complement, united, without

#: The values of some fields; other fields may have any value.
Box = dict[str, Ranges]
#: The states of a connection, by number.
STATES = ("INVALID", "UNTRACKED", "RELATED", "ESTABLISHED", "NEW")
_INTERFACES = ("in_interface", "out_interface")
_NAMED = {
    "ct.state": {name: number for number, name in enumerate(STATES)},
    **{f"{side}.type": {name: number for number, name in enumerate(TYPES)} for side in ("src", "dst")},
}
_WIDTHS = {"sport": 16, "dport": 16, "proto": 8, "icmp_type": 16, "tcp_flags": 8, "mark": 32}
#: The number of no interface.
_NO_INTERFACE = 0
#: What follows the prefix of a pattern in a name that no longer pattern matches.
_REST = "\0"
#: The index of a longer chain would take too much memory: it does not tell apart more than so many ranges of values.
LONG, _MOST_RANGES = 2000, 1000
#: Targets that leave a packet as it is.
QUIET = frozenset({"", "LOG", "NFLOG"})
_Kind = Literal["ends", "passes", "calls", "unknown"]


@dataclass(slots=True)
class RuleBox:
    """A rule as a box.

    Attributes:
        rule: the rule.
        box: no packet outside it matches.
        exact: every packet inside it matches.
        possible: some packet with any values inside it matches, because what else the rule checks is decided again for
            each packet, as a rate limit is.
        kind: what the rule does with its packets: "ends" its chain, "passes" to the next rule, "calls" another chain;
            "unknown" for all else, such as changes of the packet.
        called: the chain that it calls.
    """

    rule: Rule
    box: Box
    exact: bool
    possible: bool
    kind: _Kind
    called: ChainBoxes | None = None


@dataclass(slots=True)
class ChainBoxes:
    """The rules of a chain as boxes.

    Attributes:
        name: of the chain.
        rules: those that the kernel accepts, in order.
        bits: with an index (see :meth:`matching`), the rules that end the chain, call another, or are unknown.
    """

    name: str
    rules: list[RuleBox] = field(default_factory=list)
    bits: int = 0
    _index: dict[str, tuple[list[int], list[int]]] | None = None

    def matching(self, point: Mapping[str, int], before: int) -> Iterator[RuleBox]:
        """Yield the rules before a position that may match a packet, without those that leave it as it is.

        In a long chain, others may be among them.
        """
        if self._index is None:
            self._prepare()
        assert self._index is not None
        found = self.bits & (1 << before) - 1
        for key, (starts, rules) in self._index.items():
            found &= rules[bisect_right(starts, point[key]) - 1]
            if not found:
                return
        yield from self._at(found)

    def overlapping(self, box: Box, first: int, end: int) -> Iterator[RuleBox]:
        """Yield the rules of a range of positions that may match packets of a box; in a long chain, perhaps others."""
        if self._index is None:
            self._prepare()
        assert self._index is not None
        found = (1 << min(end, len(self.rules))) - (1 << first)
        for key, ranges in box.items():
            known = self._index.get(key)
            if known is None:
                continue
            starts, rules = known
            bits = 0
            for low, high in ranges:
                for at in range(bisect_right(starts, low) - 1, bisect_right(starts, high)):
                    bits |= rules[at]
            found &= bits
            if not found:
                return
        yield from self._at(found)

    def _at(self, bits: int) -> Iterator[RuleBox]:
        """Yield the rules of an integer with a bit for each."""
        while bits:
            lowest = bits & -bits
            yield self.rules[lowest.bit_length() - 1]
            bits ^= lowest

    def _prepare(self) -> None:
        """Make the index: for each field, the first value of each range, and the rules that it allows."""
        turns: dict[str, dict[int, list[int]]] = {}
        tested: dict[str, int] = {}
        bit = 1
        for number, one in enumerate(self.rules):
            if one.kind != "passes":
                self.bits |= bit
            for key, ranges in one.box.items():
                tested[key] = tested.get(key, 0) | bit
                changes = turns.setdefault(key, {0: []})
                for first, last in ranges:
                    changes.setdefault(first, []).append(number)
                    changes.setdefault(last + 1, []).append(number)
            bit <<= 1
        self._index = {key: self._by_range(changes, bit - 1 & ~tested[key]) for key, changes in turns.items()}

    def _by_range(self, changes: Mapping[int, Sequence[int]], free: int) -> tuple[list[int], list[int]]:
        """Return the first values of ranges, and the rules that each allows.

        Args:
            changes: by value, the rules that allow it and not the one before, or the other way round.
            free: the rules that allow all values.
        """
        starts = sorted(changes)
        together = len(starts) // _MOST_RANGES + 1 if len(self.rules) > LONG else 1
        allowed, found = free, list[int]()
        for place, start in enumerate(starts):
            for number in changes[start]:
                allowed ^= 1 << number
            if place % together == 0:
                found.append(allowed)
            else:
                found[-1] |= allowed
        return starts[::together], found


class _Conditions(NamedTuple):
    """Conditions as a box; for the attributes see :class:`RuleBox`.

    Attributes:
        effect: whether the kernel changes something when it evaluates them.
    """

    box: Box
    exact: bool
    possible: bool
    effect: bool


class Fields:
    """The fields of boxes, and operations on boxes.

    Args:
        family: 4 or 6.
        patterns: the interfaces that rules name.
        interfaces: other names of interfaces, for :meth:`interface`.

    Attributes:
        whole: all values of each field.
    """

    def __init__(self, family: int, patterns: Iterable[str], interfaces: Iterable[str] = ()) -> None:
        self._family = family
        #: the names of interfaces that rules tell apart: none, each name, one more for each pattern, and any other
        self._names = list(
            dict.fromkeys(
                ["", *interfaces]
                + [name[:-1] + _REST if name.endswith("+") else name for name in sorted(patterns)]
                + [_REST]
            )
        )
        bits = BITS[family]
        self.whole: Box = {
            "src": ((0, (1 << bits) - 1),),
            "dst": ((0, (1 << bits) - 1),),
            **{key: ((0, len(names) - 1),) for key, names in _NAMED.items()},
            **{side: ((0, len(self._names) - 1),) for side in _INTERFACES},
            **{key: ((0, (1 << width) - 1),) for key, width in _WIDTHS.items()},
        }
        self._known: dict[int, list[_Conditions]] = {}
        self._of_options: dict[Hashable, _Conditions] = {}

    def interface(self, name: str) -> Ranges:
        """Return the number of an interface that was given by name."""
        number = self._names.index(name)
        return ((number, number),)

    @staticmethod
    def state(name: str) -> Ranges:
        """Return the number of a connection state."""
        number = _NAMED["ct.state"][name]
        return ((number, number),)

    def at_hook(self, table: str, hook: str) -> Box:
        """Return the packets that the kernel can have at a hook; see :func:`iptsim.sets.traffic.at_hook`."""
        none, some = ((_NO_INTERFACE, _NO_INTERFACE),), ((_NO_INTERFACE + 1, len(self._names) - 1),)
        found: Box = {}
        if hook in ARRIVING:
            found["in_interface"] = some
        if hook in ("PREROUTING", "INPUT"):
            found["out_interface"] = none
        if hook in LEAVING:
            found["out_interface"] = some
        if hook == "OUTPUT":
            found["in_interface"] = none
        if table == "raw":
            found["ct.state"] = self.state("INVALID")
        return found

    # -- boxes and packets -----------------------------------------------------------------------------

    def point(self, box: Box) -> dict[str, int]:
        """Return a packet of a box: usually one that few rules are about."""
        point = {key: ranges[-1][1] for key, ranges in {**self.whole, **box}.items()}
        for key in ("src", "dst"):
            point[key] = box.get(key, self.whole[key])[0][0]
        return point

    def both(self, one: Box, other: Box) -> Box | None:
        """Return the packets of two boxes; None if there are none."""
        found = dict(one)
        for key, ranges in other.items():
            known = found.get(key)
            ranges = ranges if known is None else _common(known, ranges)
            if not ranges:
                return None
            found[key] = ranges
        return found

    def minus(self, box: Box, gone: Box) -> Box | None:
        """Return a large box of packets that are in one box and not in another; None if there is none."""
        best, share = None, 0.0
        for key, ranges in gone.items():
            known = box.get(key, self.whole[key])
            left = without(known, ranges)
            part = _size(left) / _size(known)
            if left and part > share:
                best, share = {**box, key: left}, part
        return best

    def has(self, box: Box, point: Mapping[str, int]) -> bool:
        """Return whether a packet is in a box."""
        return all(any(first <= point[key] <= last for first, last in ranges) for key, ranges in box.items())

    # -- rules as boxes --------------------------------------------------------------------------------

    def rules(self, chain: Chain, chains: Mapping[str, ChainBoxes]) -> Iterator[RuleBox]:
        """Yield the rules of a chain that the kernel accepts; `chains` are those that it may call."""
        for rule in chain.rules:
            if rule.refused:
                continue
            box: Box = {}
            exact = possible = True
            effect = False
            for match in (rule.parameters, *rule.matches):
                for part in self._of_match(match):
                    for key, ranges in part.box.items():
                        known = box.get(key)
                        box[key] = ranges if known is None else _common(known, ranges)
                    exact &= part.exact
                    possible &= part.possible
                    effect |= part.effect
            if not all(box.values()):
                exact = possible = False
            called = chains.get(rule.jump.chain) if rule.jump is not None else None
            kind = "unknown" if effect and rule.jump is None else _kind(rule)
            yield RuleBox(rule, box, exact, possible, kind, called)

    def _of_match(self, match: Match) -> Sequence[_Conditions]:
        """Return the conditions of a match; the reader makes equal matches one object, except for parameters."""
        found = self._known.get(id(match))
        if found is None:
            if type(match).predicates is Match.predicates and match.presence is None:
                found = [
                    self._of_option(match, option, value)
                    for option, value in match.given(match.tested)
                    if option.reads is not None
                ]
            else:
                found = [self._of(predicate) for predicate in match.predicates()]
            if not isinstance(match, Parameters):
                self._known[id(match)] = found
        return found

    def _of_option(self, match: Match, option: Option, value: Any) -> _Conditions:
        """Return the condition of an option, made once for each value."""
        key = type(match), option.flag, value, option.field in match.negated
        found = self._of_options.get(key)
        if found is None:
            assert option.reads is not None
            constraint = match.constraint(option.reads, option, value)
            found = self._of_options[key] = self._of_plain(constraint)
        return found

    def _of(self, predicate: Predicate) -> _Conditions:
        """Return a condition; one that rules may change is neither exact nor possible."""
        if predicate.effect is not None or predicate.memory is not None:
            return _Conditions({}, exact=False, possible=False, effect=predicate.effect is not None)
        return self._of_plain(predicate.constraint)

    def _of_plain(self, constraint: Constraint | Several | None) -> _Conditions:
        box = self._of_constraint(constraint) if isinstance(constraint, Constraint) else None
        if box is not None:
            return _Conditions(box, exact=True, possible=True, effect=False)
        unknown = constraint.field.unknown if isinstance(constraint, Constraint) else None
        return _Conditions({}, exact=False, possible=unknown is not None and not unknown.key, effect=False)

    def _of_constraint(self, constraint: Constraint) -> Box | None:
        key, allowed = constraint.field.key, constraint.allowed
        if key not in self.whole or constraint.field.unknown is not None or not constraint.field.steady:
            return None
        if constraint.absent is not False:
            return None
        last = self.whole[key][0][1]
        ranges: Ranges | None
        if key in _NAMED:
            names = (
                allowed.members if isinstance(allowed, Some) and key == "ct.state"
                else allowed.names if isinstance(allowed, Names) and key != "ct.state"
                else None
            )  # fmt: skip
            if names is None or not names <= _NAMED[key].keys():
                return None
            ranges = united((_NAMED[key][name],) * 2 for name in names)
        elif key in _INTERFACES:
            if not isinstance(allowed, Pattern):
                return None
            ranges = self._interfaces(allowed.text)
        elif key == "tcp_flags" and isinstance(allowed, Masked):
            ranges = united((value, value) for value in range(256) if value & allowed.mask == allowed.value)
        else:
            ranges = ranges_of(constraint, last.bit_length())
            return self._with_protocol(key, ranges) if ranges is not None else None
        return self._with_protocol(key, complement(ranges, last) if constraint.negated else ranges)

    def _with_protocol(self, key: str, ranges: Ranges) -> Box:
        """Return a condition with the protocol that it implies."""
        if key != "icmp_type":
            return {key: ranges}
        protocol = ICMP if self._family == 4 else ICMPV6
        return {key: ranges, "proto": ((protocol, protocol),)}

    def _interfaces(self, pattern: str) -> Ranges:
        if pattern.endswith("+"):
            prefix = pattern[:-1]
            return united((at, at) for at, name in enumerate(self._names) if name.startswith(prefix))
        number = self._names.index(pattern)
        return ((number, number),)


def _kind(rule: Rule) -> _Kind:
    if rule.jump is not None:
        return "calls"
    name = rule.target_name
    return "ends" if name in ENDING else "passes" if name in QUIET else "unknown"


def _common(one: Ranges, other: Ranges) -> Ranges:
    """Return the integers of both; their ranges are in order."""
    if len(one) == 1 and len(other) == 1:
        first, last = max(one[0][0], other[0][0]), min(one[0][1], other[0][1])
        return ((first, last),) if first <= last else ()
    found = []
    for first, last in one:
        at = bisect_left(other, first, key=lambda span: span[1])
        while at < len(other) and other[at][0] <= last:
            found.append((max(first, other[at][0]), min(last, other[at][1])))
            at += 1
    return tuple(found)


def _size(ranges: Ranges) -> int:
    return sum(last - first + 1 for first, last in ranges)
