"""Conditions of nftables on marks of packets and connections, as options of iptables (nft_range_eval)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from iptsim.host.nft_header_fields import Alternatives
from iptsim.host.nft_values import spans

_LARGEST = 0xFFFFFFFF


def mark_options(
    match: Literal["mark", "connmark"], values: Sequence[Any], *, negated: bool
) -> Alternatives | None:
    """Return the options for one of some marks, or for none of them; None if one is neither a number nor a range.

    Args:
        match: the match of iptables.
        values: as in libnftables-json(5).
        negated: none of the values.
    """
    found = spans(values)
    if found is None or any(last > _LARGEST for _, last in found):
        return None
    sign = "! " if negated else ""
    masks = (mask for first, last in found for mask in _masks(first, last))
    return Alternatives([f"-m {match} {sign}--mark {value}" for value in masks], negated)


def _masks(first: int, last: int) -> Iterator[str]:
    """Yield values with masks that together are a range.

    >>> list(_masks(1, 4))
    ['0x1', '0x2/0xfffffffe', '0x4']
    """
    while first <= last:
        size = first & -first or _LARGEST + 1
        while first + size - 1 > last:
            size >>= 1
        yield f"{first:#x}" if size == 1 else f"{first:#x}/{_LARGEST & -size:#x}"
        first += size
