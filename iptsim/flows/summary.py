"""What happened to all records of a log, in numbers."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iptsim.addresses import FAMILIES
from iptsim.extensions.verdicts import BLOCKING
from iptsim.flows.classes import Answer
from iptsim.flows.columns import Records
from iptsim.flows.deciding import Part
from iptsim.host.model import Host

SCHEMA = "iptsim.flows/1"
#: How many of the addresses that are blocked most often are counted, and how many are shown.
_COUNTED, SHOWN = 4096, 10

Hit = tuple[int, str, str, int]
#: Verdict, code, table, chain, rule, line, text.
Decider = tuple[str, str, str | None, str | None, int | None, int | None, str | None]


class Sketch:
    """Counts the most frequent of many values in bounded memory: Misra and Gries, merged as by Agarwal et al. (2013).

    Attributes:
        error: the maximum by which a count may be too low.
    """

    def __init__(self, size: int = _COUNTED) -> None:
        self.counts: Counter[str] = Counter()
        self.error = 0
        self._size = size

    def add(self, counts: dict[str, int]) -> None:
        """Add counts of values."""
        self.counts.update(counts)
        if len(self.counts) > self._size:
            least = heapq.nlargest(self._size + 1, self.counts.values())[-1]
            self.error += least
            self.counts = Counter({one: count - least for one, count in self.counts.items() if count > least})

    def add_counts(self, values: pa.Array, counts: NDArray[np.int64]) -> None:
        """Add counts of many different values."""
        least = self._least(counts)
        kept = np.flatnonzero(counts > least)
        self._add_rest(values.take(pa.array(kept)), counts[kept], least)

    def add_addresses(
        self, texts: pa.Array, rows: NDArray[np.int64], numbers: NDArray[np.int64] | None = None
    ) -> None:
        """Add the addresses in some rows of a column.

        Args:
            numbers: all addresses of the column as numbers, if they are known and of IPv4; then it is fast.
        """
        if numbers is not None:
            numbers = numbers[rows].astype(np.uint32)
            ordered = np.sort(numbers)
            starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
            counts = np.diff(starts, append=len(ordered))
            if least := self._least(counts):
                kept = counts > least
                found = np.flatnonzero(np.isin(numbers, ordered[starts[kept]]))
                _, first = np.unique(numbers[found], return_index=True)
                order = np.argsort(first)
                values = texts.take(pa.array(rows[found[first[order]]]))
                self._add_rest(values, counts[kept][order], least)
                return
        self.add_texts(texts.take(pa.array(rows)).drop_null())

    def add_texts(self, texts: pa.Array) -> None:
        """Add texts."""
        found = pc.value_counts(texts)
        self.add_counts(found.field("values"), found.field("counts").to_numpy())

    def _least(self, counts: NDArray[np.int64]) -> int:
        """Return what is subtracted from many counts."""
        return int(np.partition(counts, -self._size - 1)[-self._size - 1]) if len(counts) > self._size else 0

    def _add_rest(self, values: pa.Array, counts: NDArray[np.int64], least: int) -> None:
        self.error += least
        self.add(dict(zip(values.to_pylist(), (counts - least).tolist(), strict=True)))


class Summary:
    """Counts records by the rule, policy or reason that decided.

    Attributes:
        records: how many there were.
        errors: how many of them are not valid.
        alone: how many were walked individually.
        deciders: how often each rule, policy or reason decided.
        hits: how often each rule matched.
        blocked: the sources of the records that were dropped or rejected; approximate.
    """

    def __init__(self) -> None:
        self.records = self.errors = self.alone = 0
        self.deciders: Counter[Decider] = Counter()
        self.hits: Counter[Hit] = Counter()
        self.blocked = Sketch()

    def add(self, read: Records, part: Part) -> None:
        """Count the records of a batch with their answers."""
        answers, numbers = part.answers, part.numbers
        self.records += len(numbers)
        self.alone += part.alone
        counts = np.bincount(numbers, minlength=len(answers))
        for place in np.flatnonzero(counts).tolist():
            answer, count = answers[place], int(counts[place])
            if answer.error is not None:
                self.errors += count
                continue
            self.deciders[_decider(answer)] += count
            for hit in answer.hits:
                self.hits[hit] += count
        stops = np.array([one.verdict in BLOCKING for one in answers], np.bool_)
        blocked = stops[numbers] if len(answers) else np.zeros(0, np.bool_)
        if read.sources is not None and blocked.any():
            self.blocked.add_addresses(read.sources, np.flatnonzero(blocked), read.numbers)

    def state(self) -> dict[str, Any]:
        """Return it as plain data, for :meth:`restore`."""
        return {
            "records": self.records,
            "errors": self.errors,
            "alone": self.alone,
            "deciders": [[*key, count] for key, count in self.deciders.items()],
            "hits": [[*key, count] for key, count in self.hits.items()],
            "blocked": dict(self.blocked.counts),
            "error": self.blocked.error,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        self.records, self.errors, self.alone = state["records"], state["errors"], state["alone"]
        self.deciders = Counter({tuple(row[:-1]): row[-1] for row in state["deciders"]})
        self.hits = Counter({tuple(row[:-1]): row[-1] for row in state["hits"]})
        self.blocked.counts, self.blocked.error = Counter(state["blocked"]), state["error"]

    def as_json(self, host: Host) -> dict[str, Any]:
        """Return it as plain data, with the counters of the dump, and the rules that no record matched."""
        verdicts: Counter[str] = Counter()
        for decider, count in self.deciders.items():
            verdicts[decider[0]] += count
        return {
            "schema": SCHEMA,
            "records": self.records,
            "errors": self.errors,
            "alone": self.alone,
            "verdicts": dict(verdicts.most_common()),
            "deciders": [
                {
                    **dict(zip(("verdict", "code", "table", "chain", "rule", "line", "text"), key, strict=True)),
                    "records": count,
                    "counters": _counters(host, key),
                }
                for key, count in self.deciders.most_common()
            ],
            "blocked": {
                "sources": [
                    {"src": one, "at_least": count, "at_most": count + self.blocked.error}
                    for one, count in self.blocked.counts.most_common(SHOWN)
                ],
                "approximate": self.blocked.error > 0,
            },
            "unmatched": [
                {"family": family, "table": rule.table, "chain": rule.chain, "rule": rule.position, "line": rule.line,
                 "text": rule.text}
                for family in FAMILIES
                for ruleset in (host.rulesets.get(family),)
                if ruleset is not None
                for rule in ruleset.rules()
                if (family, rule.table, rule.chain, rule.position) not in self.hits
            ],
        }  # fmt: skip


def _decider(answer: Answer) -> Decider:
    return answer.verdict, answer.code, answer.table, answer.chain, answer.rule, answer.line, answer.text


def _counters(host: Host, decider: Decider) -> dict[str, int] | None:
    """Return the counters that the dump has of a rule or a policy."""
    _, _, table, name, position, _, text = decider
    for family in FAMILIES:
        ruleset = host.rulesets.get(family)
        chain = ruleset.chain(table, name) if ruleset is not None and table and name else None
        if chain is None:
            continue
        if position is None:
            found = chain.counters
        else:
            if position > len(chain.rules) or chain.rules[position - 1].text != text:
                continue
            found = chain.rules[position - 1].counters
        return None if found is None else {"packets": found.packets, "bytes": found.bytes}
    return None
