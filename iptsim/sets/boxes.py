"""Rules as boxes: a range of values for each field. A fast proof that nothing is wrong, for most rulesets.

Most rules compare a few fields with ranges. A packet that matches such a rule, and none of the rules before it, can be
constructed without sets of packets. So boxes can prove that a rule is *not* dead, that a later rule does *not* make it
redundant, and that *no* other addresses are accepted. Where they prove nothing, sets of packets decide
(:mod:`iptsim.sets.traffic`), with the same result.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from operator import xor
from typing import Any, Literal, NamedTuple

from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Rule
from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.constraints import Constraint, Masked, Names, Pattern, Several, Some
from iptsim.extensions.parameters import Parameters
from iptsim.netfilter.chain_index import ranges_of
from iptsim.netfilter.program import Program
from iptsim.packet import BITS, ICMP, ICMPV6
from iptsim.ranges import Ranges, complement, united, without

#: The values of some fields; other fields may have any value.
Box = dict[str, Ranges]
#: The states of a connection, by number.
STATES = ("INVALID", "UNTRACKED", "RELATED", "ESTABLISHED", "NEW")
_INTERFACES = ("in_interface", "out_interface")
#: The kinds of address that `-m addrtype` names, by number.
_TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW",
    "NAT", "XRESOLVE",
)  # fmt: skip
_NAMED = {
    "ct.state": {name: number for number, name in enumerate(STATES)},
    **{f"{side}.type": {name: number for number, name in enumerate(_TYPES)} for side in ("src", "dst")},
}
_WIDTHS = {"sport": 16, "dport": 16, "proto": 8, "icmp_type": 16, "tcp_flags": 8, "mark": 32}
#: The number of no interface.
_NO_INTERFACE = 0
#: What follows the prefix of a pattern in a name that no longer pattern matches.
_REST = "\0"
#: Targets that end a chain for a packet, and those that leave it as it is.
_ENDING = frozenset({"ACCEPT", "DROP", "REJECT", "RETURN", "DNAT", "SNAT", "MASQUERADE", "REDIRECT"})
_QUIET = frozenset({"", "LOG", "NFLOG"})
#: Targets of which two in one chain may do the same.
_DECIDING = frozenset({"ACCEPT", "DROP", "REJECT"})
#: Targets after which a packet is not accepted in its chain.
_REFUSING = frozenset({"DROP", "REJECT", "RETURN"}) | _QUIET
#: How often the search for a packet avoids another rule, how many paths to a chain are tried, and how deep they are.
_TRIES, _PATHS, _DEPTH = 40, 4, 12
#: Evaluations of rules in one search: for accepted addresses, and for a packet that no rule takes.
_MOST_STEPS, _MOST_TAKERS = 20_000, 1000
#: Longer chains are left to sets of packets, as the index would take too much memory.
_LONG = 2000

_Kind = Literal["ends", "passes", "calls", "unknown"]


@dataclass(slots=True)
class RuleBox:
    """A rule as a box.

    Attributes:
        rule: the rule.
        box: no packet outside it matches.
        exact: every packet inside it matches.
        possible: some packet with any values inside it matches, because what else the rule checks is decided anew for
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
        """Yield the rules before a position that may match a packet, without those that leave it as it is."""
        if self._index is None:
            self._prepare()
        assert self._index is not None
        found = self.bits & (1 << before) - 1
        for key, (starts, rules) in self._index.items():
            found &= rules[bisect_right(starts, point[key]) - 1]
            if not found:
                return
        while found:
            lowest = found & -found
            yield self.rules[lowest.bit_length() - 1]
            found ^= lowest

    def overlapping(self, box: Box, first: int, end: int) -> Iterator[RuleBox]:
        """Yield the rules of a range of positions that may match packets of a box."""
        if self._index is None:
            self._prepare()
        assert self._index is not None
        found = (1 << end) - (1 << first)
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
        for place in range(first, min(end, len(self.rules))):
            if found >> place & 1:
                yield self.rules[place]

    def _prepare(self) -> None:
        """Make the index: for each field, the first value of each range, and the rules that it allows."""
        turns: dict[str, dict[int, int]] = {}
        tested: dict[str, int] = {}
        bit = 1
        for one in self.rules:
            if one.kind != "passes":
                self.bits |= bit
            for key, ranges in one.box.items():
                tested[key] = tested.get(key, 0) | bit
                changes = turns.setdefault(key, {0: 0})
                for first, last in ranges:
                    changes[first] = changes.get(first, 0) ^ bit
                    changes[last + 1] = changes.get(last + 1, 0) ^ bit
            bit <<= 1
        self._index = {}
        for key, changes in turns.items():
            starts = sorted(changes)
            free = bit - 1 & ~tested[key]
            self._index[key] = (
                starts,
                [free | one for one in accumulate(map(changes.__getitem__, starts), xor)],
            )


class _Conditions(NamedTuple):
    """Conditions as a box; for the attributes see :class:`RuleBox`.

    Attributes:
        effect: whether the kernel changes something when it evaluates them.
    """

    box: Box
    exact: bool
    possible: bool
    effect: bool


class _Path(NamedTuple):
    """A way from a base chain to a chain: the packets that take it, and the rules that they have to pass."""

    box: Box
    passed: tuple[tuple[ChainBoxes, int], ...]


#: No matter how packets came to a chain.
_ANYWHERE = (_Path({}, ()),)


class Boxes:
    """The rules of a table as boxes.

    Args:
        program: the rules.
        table: the table.
        interfaces: the names of interfaces, for :meth:`interface`.
    """

    def __init__(self, program: Program, table: str, interfaces: Sequence[str] = ()) -> None:
        self._program, self.table = program, table
        bits = BITS[program.ruleset.family]
        found = program.ruleset.tables[table]
        patterns = {
            name
            for rule in found.rules()
            for name in (rule.parameters.in_interface, rule.parameters.out_interface)
            if name is not None
        }
        #: the names of interfaces that rules tell apart: none, each name, one more for each pattern, and any other
        self._names = list(
            dict.fromkeys(
                ["", *interfaces]
                + [name[:-1] + _REST if name.endswith("+") else name for name in sorted(patterns)]
                + [_REST]
            )
        )
        self._whole: Box = {
            "src": ((0, (1 << bits) - 1),),
            "dst": ((0, (1 << bits) - 1),),
            **{key: ((0, len(names) - 1),) for key, names in _NAMED.items()},
            **{side: ((0, len(self._names) - 1),) for side in _INTERFACES},
            **{key: ((0, (1 << width) - 1),) for key, width in _WIDTHS.items()},
        }
        self._known: dict[int, list[_Conditions]] = {}
        self._of_options: dict[Hashable, _Conditions] = {}
        hooks = [hook for hook in BUILTIN_CHAINS[table] if program.chain(table, hook) is not None]
        names = dict.fromkeys(name for hook in hooks for name in (hook, *program.graph.reached(table, hook)))
        self._chains = {name: ChainBoxes(name) for name in names}
        for name, chain in self._chains.items():
            known = program.chain(table, name)
            chain.rules = list(self._rules(known)) if known is not None else []
        #: the base chains
        self.bases = {hook: self._chains[hook] for hook in hooks}

    def interface(self, name: str) -> Ranges:
        """Return the number of an interface that was given by name."""
        number = self._names.index(name)
        return ((number, number),)

    @staticmethod
    def state(name: str) -> Ranges:
        """Return the number of a connection state."""
        number = _NAMED["ct.state"][name]
        return ((number, number),)

    def at_hook(self, hook: str) -> Box:
        """Return the packets that the kernel can have at a hook; see :func:`iptsim.sets.traffic.at_hook`."""
        none, some = ((_NO_INTERFACE, _NO_INTERFACE),), ((_NO_INTERFACE + 1, len(self._names) - 1),)
        found: Box = {}
        if hook in ("PREROUTING", "INPUT", "FORWARD"):
            found["in_interface"] = some
        if hook in ("PREROUTING", "INPUT"):
            found["out_interface"] = none
        if hook in ("FORWARD", "OUTPUT", "POSTROUTING"):
            found["out_interface"] = some
        if hook == "OUTPUT":
            found["in_interface"] = none
        if self.table == "raw":
            found["ct.state"] = self.state("INVALID")
        return found

    # -- dead and redundant rules ----------------------------------------------------------------------

    @cached_property
    def are_alive(self) -> bool:
        """Whether each rule of each chain that is called certainly matches some packet."""
        chains = self._chains.values()
        if any(len(chain.rules) > _LONG for chain in chains):
            return False
        if not all(one.exact or one.possible for chain in chains for one in chain.rules):
            return False
        return all(
            self._packet(name, place, self._paths[name]) is not None
            for name, chain in self._chains.items()
            for place in range(len(chain.rules))
        )

    def repeated(self, name: str, window: int) -> list[tuple[Rule, Rule]] | None:
        """Return the rules of a chain for whose packets a later rule does the same, each with that rule.

        Args:
            name: the chain.
            window: how many later rules are compared with each.

        Returns:
            None if boxes do not decide it.
        """
        chain = self._chains.get(name)
        if chain is None or len(chain.rules) > _LONG:
            return None
        found: list[tuple[Rule, Rule]] = []
        for place, one in enumerate(chain.rules):
            if one.rule.target_name in _DECIDING and one.rule.jump is None:
                later = self._repeats(chain, place, window)
                if later is None:
                    return None
                found += [(one.rule, rule) for rule in later]
        return found

    def _repeats(self, chain: ChainBoxes, place: int, window: int) -> tuple[Rule, ...] | None:
        """Return the later rule that does the same for all packets of a rule in its chain; None if undecided."""
        one, is_certain = chain.rules[place], self._keeps_packets
        usual: dict[str, int] | None = None
        for later in chain.overlapping(one.box, place + 1, place + 1 + window):
            usual = usual or self._packet(chain.name, place, _ANYWHERE)
            if usual is None:
                return None
            same = later.rule.target == one.rule.target
            inside = same and self._minus(one.box, later.box) is None
            if same and (inside or self._packet(chain.name, place, _ANYWHERE, outside=later.box) is None):
                alive = self._packet(chain.name, place, self._paths[chain.name]) is not None
                return (later.rule,) if inside and later.exact and is_certain and alive else None
            if later.exact and self._has(later.box, usual):
                return ()  # it matches packets of the rule, so those after it are not compared
            is_certain = False
        return ()

    @cached_property
    def _keeps_packets(self) -> bool:
        """Whether no rule changes a packet."""
        return all(one.kind != "unknown" for chain in self._chains.values() for one in chain.rules)

    def _packet(
        self, name: str, place: int, paths: Sequence[_Path], outside: Box | None = None
    ) -> dict[str, int] | None:
        """Return a packet that certainly reaches a rule and matches it; None if none is found.

        Args:
            name: the chain.
            place: the index of the rule.
            paths: ways to the chain.
            outside: not one of these packets.
        """
        chain = self._chains[name]
        one = chain.rules[place]
        if not one.exact and not one.possible:
            return None
        for path in paths:
            box = self._both(path.box, one.box)
            if box is not None and outside is not None:
                box = self._minus(box, outside)
            found = self._avoiding(box, (*path.passed, (chain, place))) if box is not None else None
            if found is not None:
                return found
        return None

    @cached_property
    def _paths(self) -> dict[str, list[_Path]]:
        """Some of the ways from base chains to each chain."""
        found: dict[str, list[_Path]] = {name: [] for name in self._chains}
        todo = [(chain, _Path(self.at_hook(hook), ())) for hook, chain in self.bases.items()]
        for chain, path in todo:
            ways = found[chain.name]
            if len(ways) >= _PATHS or len(path.passed) > _DEPTH:
                continue
            ways.append(path)
            for place, one in enumerate(chain.rules):
                if one.called is not None and (one.exact or one.possible):
                    box = self._both(path.box, one.box)
                    if box is not None:
                        todo.append((one.called, _Path(box, (*path.passed, (chain, place)))))
        return found

    def _avoiding(self, box: Box, passed: Sequence[tuple[ChainBoxes, int]]) -> dict[str, int] | None:
        """Return a packet of a box that no rule takes on a path; None if none is found."""
        for _ in range(_TRIES):
            point = self._point(box)
            packet = _Packet(point)
            taken = next(
                (one for chain, place in passed if (one := packet.taker(chain, place)) is not None), None
            )
            if taken is None:
                return point
            smaller = self._minus(box, taken.box)
            if smaller is None:
                return None
            box = smaller
        return None

    def _point(self, box: Box) -> dict[str, int]:
        """Return a packet of a box: usually one that few rules are about."""
        point = {key: ranges[-1][1] for key, ranges in {**self._whole, **box}.items()}
        for key in ("src", "dst"):
            point[key] = box.get(key, self._whole[key])[0][0]
        return point

    def _both(self, one: Box, other: Box) -> Box | None:
        """Return the packets of two boxes; None if there are none."""
        found = dict(one)
        for key, ranges in other.items():
            known = found.get(key)
            ranges = ranges if known is None else _common(known, ranges)
            if not ranges:
                return None
            found[key] = ranges
        return found

    def _minus(self, box: Box, gone: Box) -> Box | None:
        """Return a large box of packets that are in one box and not in another; None if there is none."""
        best, share = None, 0.0
        for key, ranges in gone.items():
            known = box.get(key, self._whole[key])
            left = without(known, ranges)
            part = _size(left) / _size(known)
            if left and part > share:
                best, share = {**box, key: left}, part
        return best

    def _has(self, box: Box, point: Mapping[str, int]) -> bool:
        return all(any(first <= point[key] <= last for first, last in ranges) for key, ranges in box.items())

    # -- accepted addresses ----------------------------------------------------------------------------

    def accepted_sources(self, hook: str, asked: Box) -> Ranges | None:
        """Return source addresses of which all others are certainly not accepted at a hook; None if too many rules do.

        Args:
            hook: the base chain.
            asked: the packets in question.
        """
        box = self._both(self.at_hook(hook), asked)
        if box is None:
            return ()
        found: list[tuple[int, int]] = []
        search = _Search(self, found)
        try:
            falls = search.follow(self.bases[hook], box, 0)
        except _TooManyStepsError:
            return None
        chain = self._program.chain(self.table, hook)
        if falls and (chain is None or (chain.policy or "ACCEPT") != "DROP"):
            found.extend(box.get("src", self._whole["src"]))
        return united(found)

    # -- making boxes ----------------------------------------------------------------------------------

    def _rules(self, chain: Chain) -> Iterator[RuleBox]:
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
            called = self._chains.get(rule.jump.chain) if rule.jump is not None else None
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
        if key not in self._whole or constraint.field.unknown is not None or not constraint.field.steady:
            return None
        if constraint.absent is not False:
            return None
        last = self._whole[key][0][1]
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
        protocol = ICMP if self._program.ruleset.family == 4 else ICMPV6
        return {key: ranges, "proto": ((protocol, protocol),)}

    def _interfaces(self, pattern: str) -> Ranges:
        if pattern.endswith("+"):
            prefix = pattern[:-1]
            return united((at, at) for at, name in enumerate(self._names) if name.startswith(prefix))
        number = self._names.index(pattern)
        return ((number, number),)


class _TooManyStepsError(Exception):
    """A search takes too long."""


class _Search:
    """A search for the addresses that rules may accept, at least."""

    def __init__(self, boxes: Boxes, found: list[tuple[int, int]]) -> None:
        self._boxes, self._found, self._steps = boxes, found, 0

    def follow(self, chain: ChainBoxes, box: Box, depth: int) -> bool:
        """Follow packets through a chain; return whether any may come to its end or return."""
        if depth > _DEPTH:
            raise _TooManyStepsError
        returned = False
        for one in chain.rules:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise _TooManyStepsError
            here = self._boxes._both(box, one.box)
            if here is None or one.kind == "passes":
                continue
            back = False
            target = one.rule.target_name
            if one.called is not None:
                back = self.follow(one.called, here, depth + 1)
            elif target not in _REFUSING:
                self._found.extend(here.get("src", self._boxes._whole["src"]))
            elif target == "RETURN":
                returned = True
            if one.rule.jump is not None and one.rule.jump.goto:
                returned |= back
                back = False
            stays = back or one.kind == "unknown" or (one.kind == "calls" and one.called is None)
            if one.exact and not stays and self._boxes._minus(box, one.box) is None:
                return returned
        return True


class _Packet:
    """A packet on its way through rules that may take it.

    Args:
        point: the values of its fields.
    """

    def __init__(self, point: Mapping[str, int]) -> None:
        self._point, self._steps = point, 0

    def taker(self, chain: ChainBoxes, before: int) -> RuleBox | None:
        """Return the rule that may end a chain, or the whole table, before a rule; None if none does."""
        for one in chain.matching(self._point, before):
            if (
                one.kind != "calls"
                or one.called is None
                or (one.rule.jump is not None and one.rule.jump.goto)
            ):
                return one
            inside = self._inside(one, one.called, 0)
            if inside is not None:
                return inside
        return None

    def _inside(self, call: RuleBox, chain: ChainBoxes, depth: int) -> RuleBox | None:
        """Return the rule of a called chain that may keep the packet from returning, or the call after many steps."""
        for one in chain.matching(self._point, len(chain.rules)):
            self._steps += 1
            if depth > _DEPTH or self._steps > _MOST_TAKERS:
                return call
            if one.kind == "ends" and one.rule.target_name == "RETURN":
                if one.exact:
                    return None
                continue
            if one.kind != "calls" or one.called is None:
                return one
            inside = self._inside(one, one.called, depth + 1)
            if inside is not None:
                return inside
            if one.exact and one.rule.jump is not None and one.rule.jump.goto:
                return None
        return None


def _kind(rule: Rule) -> _Kind:
    if rule.jump is not None:
        return "calls"
    name = rule.target_name
    return "ends" if name in _ENDING else "passes" if name in _QUIET else "unknown"


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
