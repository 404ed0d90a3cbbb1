"""Which packets each rule of a chain is the last to see, and the rules that take some of given packets.

Most rules of a long chain have nothing to do with the packets of one of them. The rules are therefore united in groups,
and these in larger ones: where a group takes none of the packets, its rules are not compared with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.dump.rule import Rule
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.rewriting import Rewriting
from iptsim.sets.summaries import RuleSets

#: The number of members of a group, and of the rules in a set of each level: unions of more might grow large.
_MEMBERS, _SIZES = 16, (1, 16, 256)
_HIGHEST = len(_SIZES) - 1


class Removals:
    """The rules of a chain with the packets for which each is the last, in one state of what was rewritten.

    Args:
        rules: the rules, in order.
        rewriting: the fields that were rewritten before the chain.
        nothing: the empty set.
    """

    def __init__(self, rules: Sequence[RuleSets], rewriting: Rewriting, nothing: PacketSet) -> None:
        self._rules, self._rewriting, self._nothing = rules, rewriting, nothing
        #: the sets of each level, as far as they are known: those of the rules, then those of groups
        self._levels: tuple[dict[int, PacketSet], ...] = tuple({} for _ in _SIZES)

    def meeting(self, wanted: PacketSet, before: int) -> Iterator[tuple[Rule, PacketSet]]:
        """Yield the rules that take some of given packets, with all that each takes.

        Args:
            wanted: the packets.
            before: the index of the first rule that does not count, nor do those after it.
        """
        for number in range(-(-before // _SIZES[_HIGHEST])):
            yield from self._meeting(wanted, before, _HIGHEST, number)

    def _meeting(
        self, wanted: PacketSet, before: int, level: int, number: int
    ) -> Iterator[tuple[Rule, PacketSet]]:
        if number * _SIZES[level] >= before:
            return
        packets = self._united(level, number)
        if not (packets and wanted.meets(packets)):
            return
        if level == 0:
            yield self._rules[number].rule, packets
            return
        for member in range(number * _MEMBERS, (number + 1) * _MEMBERS):
            yield from self._meeting(wanted, before, level - 1, member)

    def _united(self, level: int, number: int) -> PacketSet:
        """Return what a rule takes, or a group of them."""
        known = self._levels[level]
        found = known.get(number)
        if found is None:
            if level:
                first = number * _MEMBERS
                members = range(first, min(first + _MEMBERS, self._count(level - 1)))
                found = union([self._nothing, *(self._united(level - 1, member) for member in members)])
            else:
                found = self._rules[number].removed(self._rewriting) or self._nothing
            known[number] = found
        return found

    def _count(self, level: int) -> int:
        """Return how many members a level has."""
        return -(-len(self._rules) // _SIZES[level])
