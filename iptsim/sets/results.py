"""What a base chain does, result by result, as the walk of a class needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from iptsim.extensions.base import Translation
from iptsim.netfilter.hooks import OUTPUT, PREROUTING
from iptsim.sets.chains import Chains
from iptsim.sets.regions import Prefix, Regions
from iptsim.sets.rewriting import Rewriting


class Result(NamedTuple):
    """One of the things that a base chain does.

    Attributes:
        kind: ACCEPT, also where nat translates, DROP, REJECT or STOLEN.
        rewriting: what rules have changed of the packets.
        translation: what nat does to them.
        rule: chain and position of the rule that decides, where rules are kept apart; None for a policy.
        packets: to which packets, as they come to the chain: a function.
        fields: the fields and decisions that these depend on.
        region: where a translation leads that has only one address.
    """

    kind: str
    rewriting: Rewriting
    translation: Translation | None
    rule: tuple[str, int] | None
    packets: Any
    fields: tuple[str, ...]
    region: Prefix | None = None


def results_of(chains: Chains, regions: Regions, table: str, hook: str) -> Iterator[Result]:
    """Yield what a base chain does."""
    for outcome, packets in chains.base(table, hook).outcomes.items():
        kind = "ACCEPT" if outcome.kind == "TRANSLATE" else outcome.kind
        wanted, region = outcome.translation, None
        if wanted is not None and wanted.netmap is not None:
            # its side depends on the hook, which a chain that several hooks call does not know
            wanted = wanted._replace(side="dst" if hook in (PREROUTING, OUTPUT) else "src")
        if wanted is not None and wanted.addresses is not None and wanted.netmap is None:
            first, last = wanted.addresses
            region = regions.of(first) if first == last else None
        yield Result(kind, outcome.rewriting, wanted, outcome.rule, packets.function, packets.fields, region)
