"""Which records two rulesets treat differently."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from iptsim.flows.classes import Answer
from iptsim.flows.deciding import Part, result_batch

#: Records shown of each group.
_SAMPLES = 3
#: The prefix of the other ruleset's columns.
_OTHER = "other_"

#: Verdict, code, table, chain, rule, line, text, and what NAT changes.
Fate = tuple[Any, ...]


class Differences:
    """Groups the records whose fate differs: its verdict, or where NAT sends it.

    Attributes:
        groups: how many records there are of each pair of fates.
        samples: some records of each.
    """

    def __init__(self) -> None:
        self.groups: Counter[tuple[Fate, Fate]] = Counter()
        self.samples: dict[tuple[Fate, Fate], list[dict[str, Any]]] = {}

    def add(self, batch: pa.RecordBatch, before: Part, after: Part) -> pa.RecordBatch:
        """Count a batch, and return its records that differ, with both results."""
        old, new = before.answers, after.answers
        old_numbers, new_numbers = before.numbers.astype(np.int64), after.numbers.astype(np.int64)
        same = np.array([[_same(one, other) for other in new] for one in old], np.bool_).reshape(
            len(old), len(new)
        )
        places = np.flatnonzero(~same[old_numbers, new_numbers]) if len(old_numbers) else old_numbers
        pairs, first, counts = np.unique(
            old_numbers[places] * len(new) + new_numbers[places], return_index=True, return_counts=True
        )
        for pair, place, count in zip(pairs.tolist(), first.tolist(), counts.tolist(), strict=True):
            key = _fate(old[pair // len(new)]), _fate(new[pair % len(new)])
            self.groups[key] += count
            shown = self.samples.setdefault(key, [])
            if len(shown) < _SAMPLES:
                row = batch.slice(int(places[place]), 1).to_pylist()[0]
                shown.append({name: value for name, value in row.items() if value is not None})
        some = pa.array(places)
        own = batch.take(some)
        columns = {name: own.column(name) for name in own.schema.names if name != "error"}
        for prefix, part in (("", before), (_OTHER, after)):
            found = result_batch(part._replace(numbers=part.numbers[places]))
            columns |= {f"{prefix}{name}": found.column(name) for name in found.schema.names}
        return pa.RecordBatch.from_pydict(columns)

    def state(self) -> list[Any]:
        """Return it as plain data, for :meth:`restore`."""
        return [[[*old], [*new], count, self.samples[old, new]] for (old, new), count in self.groups.items()]

    def restore(self, state: list[Any]) -> None:
        """Continue from what :meth:`state` returned."""
        for old, new, count, samples in state:
            key = tuple(old), tuple(new)
            self.groups[key], self.samples[key] = count, samples

    def as_json(self) -> list[dict[str, Any]]:
        """Return the groups, the largest first."""
        return [
            {
                "before": _fate_json(old),
                "after": _fate_json(new),
                "records": count,
                "samples": self.samples[old, new],
            }
            for (old, new), count in self.groups.most_common()
        ]


def _same(one: Answer, other: Answer) -> bool:
    return (one.verdict, one.source, one.destination, one.error) == (
        other.verdict, other.source, other.destination, other.error,
    )  # fmt: skip


def _fate(answer: Answer) -> Fate:
    return (
        answer.verdict, answer.code, answer.table, answer.chain, answer.rule, answer.line, answer.text,
        *answer.source, *answer.destination,
    )  # fmt: skip


def _fate_json(fate: Fate) -> dict[str, Any]:
    names = (
        "verdict", "code", "table", "chain", "rule", "line", "text", "nat_src", "nat_sport", "nat_dst", "nat_dport",
    )  # fmt: skip
    return dict(zip(names, fate, strict=True))
