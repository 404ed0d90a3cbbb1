"""Sets of integers as ranges: the first and last integer of each."""

from __future__ import annotations

from collections.abc import Iterable

Ranges = tuple[tuple[int, int], ...]


def united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, merging those that overlap or touch; a range that ends before it begins is empty.

    >>> united([(7, 9), (1, 3), (4, 5), (6, 2)])
    ((1, 5), (7, 9))
    """
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


def within(ranges: Iterable[tuple[int, int]], greatest: int) -> Ranges:
    """Return the integers from 0 to `greatest` that are in ranges.

    >>> within([(-2, 3), (8, 20)], 9)
    ((0, 3), (8, 9))
    """
    return united((max(first, 0), min(last, greatest)) for first, last in ranges)


def complement(ranges: Iterable[tuple[int, int]], greatest: int) -> Ranges:
    """Return the integers from 0 to `greatest` that are in no range.

    >>> complement(((3, 5),), 9)
    ((0, 2), (6, 9))
    """
    found, start = [], 0
    for first, last in sorted(ranges):
        if first > start:
            found.append((start, first - 1))
        start = max(start, last + 1)
    if start <= greatest:
        found.append((start, greatest))
    return tuple(found)


def without(ranges: Iterable[tuple[int, int]], gone: Ranges) -> Ranges:
    """Return the integers of ranges that are not in `gone`, whose ranges are in order.

    >>> without([(0, 9)], ((2, 3), (9, 12)))
    ((0, 1), (4, 8))
    """
    left: list[tuple[int, int]] = []
    for low, high in ranges:
        for first, last in gone:
            if last < low or first > high:
                continue
            if first > low:
                left.append((low, first - 1))
            low = last + 1
        if low <= high:
            left.append((low, high))
    return tuple(left)
