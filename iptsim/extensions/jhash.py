"""Bob Jenkins' hash as in the kernel (include/linux/jhash.h)."""

from __future__ import annotations

from collections.abc import Sequence

_ALL = 0xFFFFFFFF
_INITIAL = 0xDEADBEEF


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> 32 - bits) & _ALL


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & _ALL) ^ _rotate(c, bits)
        c = c + b & _ALL
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotate(b, bits) & _ALL
        a, b, c = b, c, a
    # seven steps of a rotation of three names leave the last result in b
    return b


def jhash_words(words: Sequence[int], seed: int) -> int:
    """Return jhash2 of 32-bit words; for one word it equals jhash_1word.

    >>> jhash_words([1], 5), jhash_words([1, 2, 3, 4], 5)
    (3603264351, 1934986293)
    """
    a = b = c = _INITIAL + (len(words) << 2) + seed & _ALL
    rest = list(words)
    while len(rest) > 3:
        a, b, c = _mix(a + rest[0] & _ALL, b + rest[1] & _ALL, c + rest[2] & _ALL)
        rest = rest[3:]
    if not rest:
        return c
    rest += [0, 0]
    return _final(a + rest[0] & _ALL, b + rest[1] & _ALL, c + rest[2] & _ALL)
