"""The rules of a chain as bit matrices: the first rule that may match, for many packets at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iptsim.addresses import Family
from iptsim.flows.cuts import COLUMNS, SOLICITED, Cuts, Kinds
from iptsim.netfilter.chain_index import WIDTHS, indexed, ranges_of
from iptsim.netfilter.chain_rules import ChainRules

#: The kind of an address or a port that a record does not give.
NONE = -1
#: Bytes of one matrix, and of the rows that are looked up at once.
_MATRIX, _CHUNK = 256 << 20, 8 << 20

Numbers = NDArray[np.int64]
_Words = NDArray[np.uint64]


class VectorChain:
    """Which rules of a chain each kind of addresses and ports allows.

    Attributes:
        rules: the chain.
        uneven: the fields with a condition that holds for only some numbers of a kind.
        tells_groups: whether a condition distinguishes solicited-node groups.
    """

    def __init__(self, rules: ChainRules, cuts: Cuts) -> None:
        self.rules, self.uneven, self.tells_groups = rules, set[str](), False
        self._family: Family = 4 if rules.family == 4 else 6
        self._cuts = cuts
        self.width = -(-len(rules) // 64)
        self._matrices: dict[tuple[str, int], _Words] = {}
        self._conditions: dict[tuple[str, int], dict[tuple[Any, ...], tuple[Any, list[int]]]] = {}
        for position in range(len(rules)):
            passed: list[str] = []
            for constraint in indexed(rules[position]):
                name = constraint.field.key
                key = (name, passed.count(name))
                passed.append(name)
                if name in COLUMNS:
                    alike = self._conditions.setdefault(key, {})
                    alike.setdefault(constraint.meaning, (constraint, []))[1].append(position)
        for (name, _), alike in self._conditions.items():
            width = WIDTHS[self._family][name]
            for constraint, _ in alike.values():
                ranges = ranges_of(constraint, width)
                if ranges is None:
                    self.uneven.add(name)
                elif name == "dst":
                    self.tells_groups |= any(
                        edge >> 24 == SOLICITED and edge & 0xFFFFFF
                        for low, high in ranges
                        for edge in (low, high + 1)
                    )

    def _kinds(self, name: str) -> Kinds:
        return self._cuts.named(name, self._family)

    def first(self, fixed: int, columns: Mapping[tuple[str, int], Numbers], count: int) -> Numbers:
        """Return the first rule that may match, for each of some packets; the number of rules if none may.

        Args:
            fixed: the rules that everything else allows, as bits.
            columns: field -> the kinds of the packets.
            count: how many packets there are.
        """
        whole = np.frombuffer(fixed.to_bytes(self.width * 8, "little"), "<u8")
        used = np.flatnonzero(whole)
        found = np.full(count, len(self.rules), np.int64)
        if not used.size:
            return found
        words = whole[used]
        if any(len(self._kinds(name).examples) * self.width * 8 > _MATRIX for name, _ in columns):
            return self._first_of_each(fixed, columns)
        is_whole = used.size == self.width
        matrices = [
            (self._matrix(key) if is_whole else self._matrix(key)[:, used], places)
            for key, places in columns.items()
        ]
        step = max(_CHUNK // (8 * used.size), 1)
        for begin in range(0, count, step):
            part = slice(begin, begin + step)
            allowed: _Words = np.tile(words, (min(step, count - begin), 1)) if not matrices else words
            for matrix, places in matrices:
                allowed = matrix[places[part]] & allowed
            found[part] = _lowest(allowed, used, len(self.rules))
        return found

    def _matrix(self, key: tuple[str, int]) -> _Words:
        """Return the rules that each kind allows, as rows of words."""
        found = self._matrices.get(key)
        if found is not None:
            return found
        # all numbers of a kind are in a range, or none is: its example represents them
        examples = self._kinds(key[0]).examples
        alike = self._conditions[key].values()
        tested = 0
        for _, positions in alike:
            for position in positions:
                tested |= 1 << position
        free = ~tested & (1 << self.width * 64) - 1
        found = np.tile(np.frombuffer(free.to_bytes(self.width * 8, "little"), "<u8"), (len(examples), 1))
        for constraint, positions in alike:
            for low, high in ranges_of(constraint, WIDTHS[self._family][key[0]]) or ():
                rows = slice(bisect_left(examples, low), bisect_right(examples, high))
                for position in positions:
                    found[rows, position >> 6] |= np.uint64(1 << (position & 63))
        self._matrices[key] = found
        return found

    def _first_of_each(self, fixed: int, columns: Mapping[tuple[str, int], Numbers]) -> Numbers:
        """Return the same for a chain whose matrices would be too large: by its index, for different packets alone."""
        index = self.rules.index()
        different, places = np.unique(np.stack(list(columns.values())), axis=1, return_inverse=True)
        first = []
        for numbers in different.T.tolist():
            allowed = fixed
            for key, number in zip(columns, numbers, strict=True):
                allowed &= index.fields[key].allowing(self._kinds(key[0]).examples[number])
            first.append((allowed & -allowed).bit_length() - 1 if allowed else len(self.rules))
        return np.array(first, np.int64)[places.reshape(-1)]


def _lowest(words: _Words, used: NDArray[np.int64], none: int) -> Numbers:
    """Return the lowest bit of each row, counted over all words of which some are used."""
    filled = words != 0
    place = filled.argmax(axis=1)
    word = words[np.arange(len(words)), place]
    bit = np.frexp((word & (~word + np.uint64(1))).astype(np.float64))[1] - 1
    return np.where(word != 0, used[place] * 64 + bit, none)
