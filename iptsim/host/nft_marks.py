"""Conditions of nftables on marks of packets and connections, as options of iptables (nft_range_eval)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from iptsim.extensions.marks import ALL_BITS
from iptsim.host.nft_header_fields import Alternatives
from iptsim.host.nft_values import spans
from iptsim.partly_known import Bits, bits_of_range


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
    if found is None or any(last > ALL_BITS for _, last in found):
        return None
    sign = "! " if negated else ""
    masks = (bits for first, last in found for bits in bits_of_range(first, last))
    return Alternatives([f"-m {match} {sign}--mark {_text(bits)}" for bits in masks], negated)


def _text(bits: Bits) -> str:
    """Return numbers as the argument of --mark.

    >>> [_text(bits) for bits in bits_of_range(1, 4)]
    ['0x1', '0x2/0xfffffffe', '0x4']
    """
    return f"{bits.value:#x}" if bits.mask == ALL_BITS else f"{bits.value:#x}/{bits.mask:#x}"
