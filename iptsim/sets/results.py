"""What a base chain does, result by result, as the walk of a class needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from iptsim.extensions.base import Translation
from iptsim.sets.chains import Chains
from iptsim.sets.rewriting import Rewriting


class Result(NamedTuple):
    """One of the things that a base chain does.

    Attributes:
        kind: ACCEPT, also where nat translates, DROP, REJECT or STOLEN.
        rewriting: what rules have changed of the packets.
        translation: what nat does to them.
        rule: the line of the rule that decides, where rules are kept apart; None for a policy.
        packets: to which packets, as they come to the chain: a function.
        fields: the fields and decisions that these depend on.
    """

    kind: str
    rewriting: Rewriting
    translation: Translation | None
    rule: int | None
    packets: Any
    fields: tuple[str, ...]


def results_of(chains: Chains, table: str, hook: str) -> Iterator[Result]:
    """Yield what a base chain does."""
    for outcome, packets in chains.base(table, hook).outcomes.items():
        kind = "ACCEPT" if outcome.kind == "TRANSLATE" else outcome.kind
        yield Result(
            kind, outcome.rewriting, outcome.translation, outcome.rule, packets.function, packets.fields
        )
