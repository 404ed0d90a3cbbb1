"""What boxes prove about rules: for most rulesets, that nothing is wrong, in a fraction of the time of sets of packets.

Most rules compare a few fields with ranges. A packet that matches such a rule, and none of the rules before it, can be
constructed without sets of packets. So boxes can prove that a rule is *not* dead, that a later rule does *not* make it
redundant, and that *no* other addresses are accepted. Where they prove nothing, sets of packets decide
(:mod:`iptsim.sets.traffic`), with the same result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.extensions.verdicts import BLOCKING, DECIDING
from iptsim.netfilter.program import Program
from iptsim.ranges import Ranges, united
from iptsim.sets.rule_boxes import LONG, QUIET, Box, ChainBoxes, Fields, RuleBox

#: Targets after which a packet is not accepted in its chain.
_REFUSING = BLOCKING | {"RETURN"} | QUIET
#: How often the search for a packet avoids another rule, how many paths to a chain are tried, and how deep they are.
_TRIES, _PATHS, _DEPTH = 40, 4, 12
#: Evaluations of rules in one search: for accepted addresses, and for a packet that no rule takes.
_MOST_STEPS, _MOST_TAKERS = 20_000, 1000


class _Path(NamedTuple):
    """A way from a base chain to a chain: the packets that take it, and the rules that they have to pass."""

    box: Box
    passed: tuple[tuple[ChainBoxes, int], ...]


#: No matter how packets came to a chain.
_ANYWHERE = (_Path({}, ()),)


class Boxes:
    """What boxes prove about the rules of a table.

    Args:
        program: the rules.
        table: the table.
        interfaces: the names of interfaces, for :meth:`Fields.interface`.

    Attributes:
        fields: the fields of the boxes.
        bases: the base chains.
    """

    def __init__(self, program: Program, table: str, interfaces: Sequence[str] = ()) -> None:
        self._program, self.table = program, table
        patterns = {
            name
            for rule in program.ruleset.tables[table].rules()
            for name in (rule.parameters.in_interface, rule.parameters.out_interface)
            if name is not None
        }
        self.fields = Fields(program.ruleset.family, patterns, interfaces)
        hooks = [hook for hook in BUILTIN_CHAINS[table] if program.chain(table, hook) is not None]
        names = dict.fromkeys(name for hook in hooks for name in (hook, *program.graph.reached(table, hook)))
        self._chains = {name: ChainBoxes(name) for name in names}
        for name, chain in self._chains.items():
            known = program.chain(table, name)
            chain.rules = list(self.fields.rules(known, self._chains)) if known is not None else []
        self.bases = {hook: self._chains[hook] for hook in hooks}

    # -- dead and redundant rules ----------------------------------------------------------------------

    @cached_property
    def are_alive(self) -> bool:
        """Whether each rule of each chain that is called certainly matches some packet."""
        chains = self._chains.values()
        if any(len(chain.rules) > LONG for chain in chains):
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
        if chain is None or len(chain.rules) > LONG:
            return None
        found: list[tuple[Rule, Rule]] = []
        for place, one in enumerate(chain.rules):
            if one.rule.target_name in DECIDING and one.rule.jump is None:
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
            inside = same and self.fields.minus(one.box, later.box) is None
            if same and (inside or self._packet(chain.name, place, _ANYWHERE, outside=later.box) is None):
                alive = self._packet(chain.name, place, self._paths[chain.name]) is not None
                return (later.rule,) if inside and later.exact and is_certain and alive else None
            if later.exact and self.fields.has(later.box, usual):
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
            box = self.fields.both(path.box, one.box)
            if box is not None and outside is not None:
                box = self.fields.minus(box, outside)
            found = self._avoiding(box, (*path.passed, (chain, place))) if box is not None else None
            if found is not None:
                return found
        return None

    @cached_property
    def _paths(self) -> dict[str, list[_Path]]:
        """Some of the ways from base chains to each chain."""
        found: dict[str, list[_Path]] = {name: [] for name in self._chains}
        todo = [
            (chain, _Path(self.fields.at_hook(self.table, hook), ())) for hook, chain in self.bases.items()
        ]
        for chain, path in todo:
            ways = found[chain.name]
            if len(ways) >= _PATHS or len(path.passed) > _DEPTH:
                continue
            ways.append(path)
            for place, one in enumerate(chain.rules):
                if one.called is not None and (one.exact or one.possible):
                    box = self.fields.both(path.box, one.box)
                    if box is not None:
                        todo.append((one.called, _Path(box, (*path.passed, (chain, place)))))
        return found

    def _avoiding(self, box: Box, passed: Sequence[tuple[ChainBoxes, int]]) -> dict[str, int] | None:
        """Return a packet of a box that no rule takes on a path; None if none is found."""
        for _ in range(_TRIES):
            point = self.fields.point(box)
            packet = _Packet(point)
            taken = next(
                (one for chain, place in passed if (one := packet.taker(chain, place)) is not None), None
            )
            if taken is None:
                return point
            smaller = self.fields.minus(box, taken.box)
            if smaller is None:
                return None
            box = smaller
        return None

    # -- accepted addresses ----------------------------------------------------------------------------

    def accepted_sources(self, hook: str, asked: Box) -> Ranges | None:
        """Return source addresses of which all others are certainly not accepted at a hook; None if too many rules do.

        Args:
            hook: the base chain.
            asked: the packets in question.
        """
        box = self.fields.both(self.fields.at_hook(self.table, hook), asked)
        if box is None:
            return ()
        found: list[tuple[int, int]] = []
        search = _Search(self.fields, found)
        try:
            falls = search.follow(self.bases[hook], box, 0)
        except _TooManyStepsError:
            return None
        chain = self._program.chain(self.table, hook)
        if falls and (chain is None or (chain.policy or "ACCEPT") != "DROP"):
            found.extend(box.get("src", self.fields.whole["src"]))
        return united(found)


class _TooManyStepsError(Exception):
    """A search takes too long."""


class _Search:
    """A search for the addresses that rules may accept, at least."""

    def __init__(self, fields: Fields, found: list[tuple[int, int]]) -> None:
        self._fields, self._found, self._steps = fields, found, 0

    def follow(self, chain: ChainBoxes, box: Box, depth: int) -> bool:
        """Follow packets through a chain; return whether any may come to its end or return."""
        if depth > _DEPTH:
            raise _TooManyStepsError
        returned = False
        for one in chain.overlapping(box, 0, len(chain.rules)):
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise _TooManyStepsError
            here = self._fields.both(box, one.box)
            if here is None or one.kind == "passes":
                continue
            back = False
            target = one.rule.target_name
            if one.called is not None:
                back = self.follow(one.called, here, depth + 1)
            elif target not in _REFUSING:
                self._found.extend(here.get("src", self._fields.whole["src"]))
            elif target == "RETURN":
                returned = True
            if one.rule.jump is not None and one.rule.jump.goto:
                returned |= back
                back = False
            stays = back or one.kind == "unknown" or (one.kind == "calls" and one.called is None)
            if one.exact and not stays and self._fields.minus(box, one.box) is None:
                return returned
        return True


class _Packet:
    """A packet that passes rules which may take it.

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
