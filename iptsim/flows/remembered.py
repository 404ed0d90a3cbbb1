"""The answers to the kinds of records that occurred in earlier batches, looked up for a whole batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iptsim.flows.vectors import NONE

#: The bits of a key, and the most kinds that are remembered.
_BITS, _MOST = 62, 1 << 18
_Int = NDArray[np.int64]


class Remembered:
    """Remembers the number of the answer to each kind of record; a kind is what its columns of numbers say."""

    def __init__(self) -> None:
        #: the bits of each column in a key
        self._bits: list[int] = []
        self._forget()

    def _forget(self) -> None:
        self._keys = self._answers = np.zeros(0, np.int64)

    def keys(self, columns: Sequence[NDArray[Any]]) -> _Int | None:
        """Return kinds as numbers that are the same in all batches; None if there are too many different ones.

        Args:
            columns: numbers from NONE; the same columns each time.
        """
        needed = [(int(column.max()) + 1).bit_length() for column in columns]
        bits = list(map(max, needed, self._bits or needed))
        if bits != self._bits:
            self._bits = bits
            self._forget()
        if sum(bits) > _BITS:
            return None
        found = np.zeros(len(columns[0]), np.int64)
        for column, count in zip(columns, bits, strict=True):
            found = found << count | column + 1
        return found

    def answers(self, keys: _Int) -> _Int:
        """Return the numbers of the answers; NONE for kinds that are not remembered."""
        if not self._keys.size:
            return np.full(len(keys), NONE, np.int64)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        found: _Int = np.where(self._keys[places] == keys, self._answers[places], NONE)
        return found

    def keep(self, keys: _Int, answers: _Int) -> None:
        """Remember the answers to kinds that were not remembered."""
        if len(self._keys) + len(keys) > _MOST:
            self._forget()
        if len(keys) <= _MOST:
            every = np.concatenate([self._keys, keys])
            order = np.argsort(every)
            self._keys, self._answers = every[order], np.concatenate([self._answers, answers])[order]
