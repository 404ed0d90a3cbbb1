"""What a base chain does, result by result, in the form that the walk of a class needs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import Chain
from iptsim.extensions.base import Translation
from iptsim.netfilter.hooks import OUTPUT, PREROUTING
from iptsim.netfilter.program import Program
from iptsim.netfilter.steps import Step
from iptsim.sets.chains import Chains
from iptsim.sets.overlaps import Overlaps
from iptsim.sets.regions import Prefix, Regions
from iptsim.sets.rewriting import Rewriting


class Result(NamedTuple):
    """One of the things that a base chain does.

    Attributes:
        kind: ACCEPT (also if nat translates), DROP, REJECT or STOLEN.
        rewriting: the fields of the packets that rules have changed.
        translation: what nat does to them.
        rule: chain and position of the rule that decides, where rules are kept apart; None for a policy.
        packets: the packets to which it happens, as they enter the chain: a function.
        region: the region of the new address, if a translation has only one.
    """

    kind: str
    rewriting: Rewriting
    translation: Translation | None
    rule: tuple[str, int] | None
    packets: Any
    region: Prefix | None = None

    @property
    def alike(self) -> Hashable:
        """A key that is equal for results whose packets may continue together."""
        return self.translation is None, self.kind, self.rule, self.region

    def step(self, hook: str, program: Program, base: Chain) -> Step:
        """Return the step of packets that a base chain blocks: with the rule, where rules are kept apart."""
        if self.rule is None:
            return Step(hook, self.kind, base.table, base.name)
        name, position = self.rule
        chain = program.chain(base.table, name)
        return Step(hook, self.kind, base.table, name, chain.at(position) if chain is not None else None)


class Results:
    """What a base chain does.

    Args:
        nothing: the empty set.
        results: all of its results.
        fields: the fields and decisions that their packets may depend on.
    """

    def __init__(self, nothing: Any, results: Sequence[Result], fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        groups: dict[Hashable, list[tuple[Any, tuple[int, Result]]]] = {}
        for number, one in enumerate(results):
            groups.setdefault(one.alike, []).append((one.packets, (number, one)))
        self._groups = [(group[0][1][1], Overlaps(nothing, group)) for group in groups.values()]

    def __bool__(self) -> bool:
        return bool(self._groups)

    def of(
        self, packets: Any, now: Callable[[Any], Any], chosen: Callable[[Result], bool]
    ) -> Iterator[tuple[Any, Result]]:
        """Yield the results for some packets, each with the packets to which it applies.

        Args:
            packets: the packets, as they arrived.
            now: returns the packets, as they arrived, that are in a set when they enter the chain.
            chosen: returns whether a result counts; called once for results that are alike.
        """
        found = [
            (number, inside, one)
            for example, group in self._groups
            if chosen(example)
            for inside, (number, one) in group.of(packets, now)
        ]
        found.sort(key=itemgetter(0))
        return ((inside, one) for _, inside, one in found)


def results_of(chains: Chains, regions: Regions, node: Node, hook: str) -> Results:
    """Return what a base chain does at its hook."""
    found = list(_results(chains, regions, node, hook))
    return Results(chains.space.nothing.function, found, chains.tested(node))


def _results(chains: Chains, regions: Regions, node: Node, hook: str) -> Iterator[Result]:
    for outcome, packets in chains.summary(node).outcomes.items():
        kind = "ACCEPT" if outcome.kind == "TRANSLATE" else outcome.kind
        wanted, region = outcome.translation, None
        if wanted is not None and wanted.netmap is not None:
            # its side depends on the hook, which a chain that several hooks call does not know
            wanted = wanted._replace(side="dst" if hook in (PREROUTING, OUTPUT) else "src")
        if wanted is not None and wanted.addresses is not None and wanted.netmap is None:
            first, last = wanted.addresses
            region = regions.of(first) if first == last else None
        yield Result(kind, outcome.rewriting, wanted, outcome.rule, packets.function, region)
