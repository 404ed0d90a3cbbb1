"""What base chains do differently, whatever path leads to them: for packets whose path the sources do not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, zip_longest
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import Node
from iptsim.extensions.constraints import Names, named
from iptsim.host.model import Host
from iptsim.netfilter.program import Program
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.space import Space
from iptsim.sets.summaries import Outcome
from iptsim.sets.traffic import at_hook

#: What a chain does that is missing.
_NOTHING = Outcome("ACCEPT")


@dataclass(frozen=True, slots=True)
class ChainDifference:
    """Packets that a base chain treats differently on two hosts.

    Attributes:
        family: of the packets.
        table / chain: the base chain.
        packets: the packets, as they enter it.
        before / after: what it does with them: ACCEPT, DROP, REJECT, TRANSLATE.
    """

    family: Family
    table: str
    chain: str
    packets: PacketSet
    before: str
    after: str


def unplaced(*hosts: Host) -> frozenset[str]:
    """Return the interfaces that rules name, while the source does not show which networks are behind them."""
    return frozenset(
        name
        for host in hosts
        if host.inferred
        for name, interface in host.namespace.interfaces.items()
        if name != "lo"
        and interface.kind != "bridge"
        and interface.master is None
        and not interface.addresses
    )


def through(space: Space, interfaces: frozenset[str]) -> PacketSet:
    """Return the whole packets that arrive on one of some interfaces, or leave by one."""
    names = Names(interfaces)
    found = space.where("in_interface", names) | space.where("out_interface", names)
    return found & space.where("fragment", named("whole"))


def chain_differences(before: Landscape, after: Landscape, within: PacketSet) -> list[ChainDifference]:
    """Return what the base chains of two hosts do differently with some packets.

    If there are packets of which it is certain, only these. Marks that rules set count as a difference too, where the
    verdict is the same.

    Args:
        before / after: the hosts, in one space.
        within: the packets.
    """
    pairs = _pairs(before, after, within)
    found = [one for pair in pairs for one in pair.parts(pair.certainly)]
    # where much is undecided, the exact sets are large
    return found or [one for pair in pairs for one in pair.parts(pair.differing)]


def treat_differently(before: Landscape, after: Landscape, within: PacketSet) -> bool:
    """Return whether :func:`chain_differences` finds a difference outside of nat, without dividing the packets."""
    pairs = _pairs(before, after, within)
    certain = [pair for pair in pairs if pair.differs_certainly]
    return any(pair.node.place != "nat" for pair in certain or [one for one in pairs if one.differing])


def _pairs(before: Landscape, after: Landscape, within: PacketSet) -> list[_Pair]:
    """Return the base chains that do not do the same on two hosts with some packets."""
    return [
        pair
        for old, new in zip_longest(_programs(before), _programs(after))
        for table, hooks in BUILTIN_CHAINS.items()
        for hook in hooks
        if (pair := _Pair.of(before, after, old, new, Node(table, hook), within)) is not None
    ]


class _Pair(NamedTuple):
    """What a base chain does with some packets on two hosts, if it is not the same.

    Attributes:
        first / second: its ways to treat them, each with the packets.
    """

    family: Family
    node: Node
    first: dict[Outcome, PacketSet]
    second: dict[Outcome, PacketSet]
    nothing: PacketSet

    @classmethod
    def of(
        cls,
        before: Landscape,
        after: Landscape,
        old: Program | None,
        new: Program | None,
        node: Node,
        within: PacketSet,
    ) -> _Pair | None:
        """Compare a base chain; None if it does the same."""
        possible = within & at_hook(before.space, *node)
        first, second = _ways(before, old, node, possible), _ways(after, new, node, possible)
        return None if first == second else cls(before.family, node, first, second, before.space.nothing)

    @property
    def certainly(self) -> PacketSet:
        """The packets that it may treat in a way on one host only."""
        return union([self.nothing, *self._certain_parts()])

    @property
    def differs_certainly(self) -> bool:
        """Whether there are such packets."""
        return any(self._certain_parts())

    def _certain_parts(self) -> Iterator[PacketSet]:
        """Yield these packets by their way."""
        for way in {**self.first, **self.second}:
            one, other = self.first.get(way, self.nothing), self.second.get(way, self.nothing)
            if one != other:
                yield one.may ^ other.may

    @property
    def differing(self) -> PacketSet:
        """The packets that it treats differently for some outcome of what is undecided."""
        parts = [packets - self.second.get(way, self.nothing) for way, packets in self.first.items()]
        return union([self.nothing, *parts]).may

    def parts(self, packets: PacketSet) -> Iterator[ChainDifference]:
        """Divide some packets by the verdicts on both hosts."""
        for one, before in self._by_verdict(self.first, packets):
            for both, after in self._by_verdict(self.second, one):
                yield ChainDifference(self.family, *self.node, both, before, after)

    def _by_verdict(
        self, ways: dict[Outcome, PacketSet], packets: PacketSet
    ) -> Iterator[tuple[PacketSet, str]]:
        kinds: dict[str, PacketSet] = {}
        for way, own in ways.items():
            # these packets depend on nothing undecided; the fewer there are, the faster what is undecided is left out
            kinds[way.kind] = kinds.get(way.kind, self.nothing) | (own & packets).may
        several = union([self.nothing, *(one & other for one, other in combinations(kinds.values(), 2))])
        for kind, own in (*((kind, own - several) for kind, own in kinds.items()), ("DEPENDS", several)):
            if own:
                yield own, kind


def _programs(land: Landscape) -> list[Program]:
    return list(land.namespaces.hooks_of(land.host.namespace).programs(land.family))


def _ways(
    land: Landscape, program: Program | None, node: Node, packets: PacketSet
) -> dict[Outcome, PacketSet]:
    """Return what a base chain does with some packets."""
    if program is None or program.chain(*node) is None:
        every = packets if land.among is None else packets & land.among.at(node.place)
        return {_NOTHING: every} if every else {}
    found: dict[Outcome, PacketSet] = {}
    for outcome, own in land.chains_of(program).base(*node).outcomes.items():
        way = outcome._replace(rule=None)
        if here := own & packets:
            found[way] = found[way] | here if way in found else here
    return found
