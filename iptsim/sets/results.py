"""What a base chain does, result by result, in the form that the walk of a class needs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Chain
from iptsim.extensions.verdicts import Translation
from iptsim.netfilter.hooks import OUTPUT, PREROUTING
from iptsim.netfilter.program import Program
from iptsim.netfilter.steps import Step
from iptsim.sets.chains import Chains
from iptsim.sets.overlaps import Overlaps, any_of
from iptsim.sets.pools import Choice, Pool
from iptsim.sets.regions import Prefix, Regions
from iptsim.sets.rewriting import Rewriting
from iptsim.sets.summaries import Summary
from iptsim.sets.translating import Ends, Fields

#: At most this many results that differ only in the new address are followed together.
MANY = 64
#: The packets of a result are joined to one function unless that makes more than this many nodes.
MOST_NODES = 100_000
#: The side that a translation changes.
Side = Literal["dst", "src"]


class Result(NamedTuple):
    """One of the things that a base chain does.

    Attributes:
        kind: ACCEPT (also if nat translates), DROP, REJECT, STOLEN, ELSEWHERE or LOST.
        rewriting: the fields of the packets that rules have changed.
        translation: what nat does to them.
        rule: chain and position of the rule that decides, where rules are kept apart; None for a policy.
        packets: the packets to which it happens, as they enter the chain: a function.
        region: the region of the new address, if a translation has only one.
        further: more packets, where the function of all would be too large: in each part, what some functions have in
            common.
    """

    kind: str
    rewriting: Rewriting
    translation: Translation | None
    rule: tuple[str, int] | None
    packets: Any
    region: Prefix | None = None
    further: tuple[tuple[Any, ...], ...] = ()

    @property
    def alike(self) -> Hashable:
        """A key: results with equal keys may be followed together; see :mod:`iptsim.sets.blocked`."""
        return self.translation is None, self.kind, self.region

    def step(self, hook: str, program: Program, base: Chain) -> Step:
        """Return the step of packets that a base chain blocks: with the rule, where rules are kept apart."""
        verdict = "DROP" if self.kind == "LOST" else self.kind
        if self.rule is None:
            return Step(hook, verdict, base.table, base.name)
        name, position = self.rule
        chain = program.chain(base.table, name)
        return Step(hook, verdict, base.table, name, chain.at(position) if chain is not None else None)


#: Results in the order of the chain, each with its packets.
_Sets = list[tuple[Any, tuple[int, Result]]]


class Results:
    """What a base chain does.

    Args:
        bits: the fields of the space.
        results: all of its results.
        fields: the fields and decisions that their packets may depend on.
    """

    def __init__(self, bits: Fields, results: Sequence[Result], fields: Sequence[str]) -> None:
        groups: dict[Hashable, _Sets] = {}
        for number, one in enumerate(results):
            groups.setdefault(one.alike, []).append((one.packets, (number, one)))
        self._groups = [_Group(bits, sets) for sets in groups.values()]
        pooled = any(group.pools for group in self._groups)
        self.fields = tuple(dict.fromkeys((*fields, *Ends._fields)) if pooled else fields)

    def __bool__(self) -> bool:
        return bool(self._groups)

    def of(
        self,
        packets: Any,
        now: Callable[[Any], Any],
        chosen: Callable[[Result], bool] | None,
        *,
        pooled: bool = False,
    ) -> Iterator[tuple[Any, Result, Pool | None]]:
        """Yield the results for some packets, each with the packets to which it applies.

        Args:
            packets: the packets, as they arrived.
            now: returns the packets, as they arrived, that are in a set when they enter the chain.
            chosen: returns whether a result counts, called once for results that are alike; None for all.
            pooled: yield one of the results that differ only in the new address, with the pool of all of them.
        """
        found = [
            one
            for group in self._groups
            if chosen is None or chosen(group.example)
            for one in (group.pooled if pooled else group.each)(packets, now)
        ]
        found.sort(key=itemgetter(0))
        return ((inside, one, pool) for _, inside, one, pool in found)


class _Group:
    """Results that are alike.

    The unions that find those for some packets are made on first use, as most groups are only asked for one kind of
    results: each of its own, or one for each pool.
    """

    def __init__(self, bits: Fields, sets: _Sets) -> None:
        self._bits, self.example = bits, sets[0][1][1]
        self._further = [(number, one) for _, (number, one) in sets if one.further]
        self._sets = sets
        pools: dict[Hashable, _Sets] = {}
        for packets, (number, one) in sets:
            pools.setdefault(_pool_of(one), []).append((packets, (number, one)))
        alone = [one for key, many in pools.items() if key is None or len(many) < MANY for one in many]
        #: the first result of each pool, with its number
        self.pools = [
            (*many[0][1], Pool(bits, one.translation.side, list(map(_choice, many))))
            for key, many in pools.items()
            if key is not None and len(many) >= MANY and (one := many[0][1][1]).translation is not None
        ]
        self._alone = alone

    @cached_property
    def _every(self) -> Overlaps[tuple[int, Result]]:
        """All results."""
        return Overlaps(self._bits.false, self._sets)

    @cached_property
    def _others(self) -> Overlaps[tuple[int, Result]]:
        """The results that are in no pool."""
        return Overlaps(self._bits.false, self._alone) if self.pools else self._every

    def each(self, packets: Any, now: Callable[[Any], Any]) -> Iterator[tuple[int, Any, Result, Pool | None]]:
        """Yield the results one by one."""
        for inside, (number, one) in self._whole(self._every, packets, now):
            yield number, inside, one, None

    def _whole(
        self, overlaps: Overlaps[tuple[int, Result]], packets: Any, now: Callable[[Any], Any]
    ) -> Iterator[tuple[Any, tuple[int, Result]]]:
        """Yield results, each with all packets to which it applies."""
        found = overlaps.of(packets, now)
        if not self._further:
            yield from found
            return
        nothing = self._bits.false
        inside = {number: (here, one) for here, (number, one) in found}
        for number, one in self._further:
            parts = [inside[number][0]] if number in inside else []
            for factors in one.further:
                here = packets
                for factor in factors:
                    here &= now(factor)
                    if here == nothing:
                        break
                else:
                    parts.append(here)
            if parts:
                inside[number] = any_of(nothing, parts), one
        for number, (here, one) in inside.items():
            yield here, (number, one)

    def pooled(
        self, packets: Any, now: Callable[[Any], Any]
    ) -> Iterator[tuple[int, Any, Result, Pool | None]]:
        """Yield the results, those of a pool together."""
        for inside, (number, one) in self._whole(self._others, packets, now):
            yield number, inside, one, None
        for number, one, pool in self.pools:
            inside = packets & now(pool.packets)
            if inside != self._bits.false:
                yield number, inside, one, pool


def _pool_of(result: Result) -> Hashable:
    """Return what results have in common that differ only in the new address and port; None for others."""
    wanted = result.translation
    if (
        result.further
        or wanted is None
        or wanted.addresses is None
        or wanted.addresses[0] != wanted.addresses[1]
    ):
        return None
    if wanted.netmap is not None or wanted.base_port is not None or wanted.random:
        return None
    if wanted.ports is not None and wanted.ports[0] != wanted.ports[1]:
        return None
    return result.rewriting, wanted.side, wanted.ports is None


def _choice(one: tuple[Any, tuple[int, Result]]) -> Choice:
    packets, (_, result) = one
    wanted = result.translation
    assert wanted is not None
    assert wanted.addresses is not None
    return Choice(packets, wanted.addresses[0], None if wanted.ports is None else wanted.ports[0])


def results_of(
    chains: Chains, bits: Fields, regions: Regions, node: Node, hook: str, known: dict[Hashable, Results]
) -> Results:
    """Return what a base chain does at its hook.

    Args:
        known: those of other base chains, which may do the same.
    """
    summary, fields = chains.summary(node), tuple(chains.tested(node))
    # the side of some translations depends on the hook, which a chain that several hooks call does not know
    side: Side = "dst" if hook in (PREROUTING, OUTPUT) else "src"
    way = side, summary.way, fields
    if way not in known:
        found = tuple(_results(summary, regions, side))
        if (found, fields) not in known:
            known[found, fields] = Results(bits, found, fields)
        known[way] = known[found, fields]
    return known[way]


def _results(summary: Summary, regions: Regions, side: Side) -> Iterator[Result]:
    for outcome in summary.parts:
        packets, parts = summary.pieces(outcome, MOST_NODES)
        if not packets:
            continue
        kind = "ACCEPT" if outcome.kind == "TRANSLATE" else outcome.kind
        wanted, region = outcome.translation, None
        if wanted is not None and wanted.netmap is not None:
            wanted = wanted._replace(side=side)
        if wanted is not None and wanted.addresses is not None and wanted.netmap is None:
            first, last = wanted.addresses
            region = regions.of(first) if first == last else None
        further = tuple(tuple(one.function for one in part.factors()) for part in parts)
        yield Result(kind, outcome.rewriting, wanted, outcome.rule, packets.function, region, further)
