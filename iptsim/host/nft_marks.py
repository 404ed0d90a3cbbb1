"""Statements of nftables that change the mark of packets or connections, as targets of iptables.

Sources: libnftables-json(5); nft_meta_set_eval (net/netfilter/nft_meta.c), nft_ct_set_eval (net/netfilter/nft_ct.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

_ALL = 0xFFFFFFFF
_Source = Literal["meta", "ct"]


class _Value(NamedTuple):
    """A mark that is computed: the bits of another mark that are kept, and those that are inverted then."""

    source: _Source | None
    kept: int
    inverted: int


def mark_change(value: Any) -> str | None:
    """Return the target that changes marks as a `mangle` statement does; None if there is no such target.

    Args:
        value: of the statement: what is written, and the new value.
    """
    if not isinstance(value, Mapping):
        return None
    written, new = _mark(value.get("key")), _value(value.get("value"))
    if written is None or new is None:
        return None
    if new.source in (None, written):
        changed = f"{new.inverted:#x}/{~new.kept & _ALL:#x}"
        return f"-j {'MARK' if written == 'meta' else 'CONNMARK'} --set-xmark {changed}"
    if new.inverted:
        return None
    if written == "meta":
        return f"-j CONNMARK --restore-mark --nfmask {_ALL:#x} --ctmask {new.kept:#x}"
    return f"-j CONNMARK --save-mark --nfmask {new.kept:#x} --ctmask {_ALL:#x}"


def _mark(value: Any) -> _Source | None:
    return (
        "meta" if value == {"meta": {"key": "mark"}} else "ct" if value == {"ct": {"key": "mark"}} else None
    )


def _value(value: Any) -> _Value | None:
    if isinstance(value, int):
        return _Value(None, 0, value & _ALL)
    if (source := _mark(value)) is not None:
        return _Value(source, _ALL, 0)
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    ((operator, operands),) = value.items()
    if operator not in ("&", "|", "^") or not isinstance(operands, list) or len(operands) != 2:
        return None
    inner, bits = _value(operands[0]), operands[1]
    if inner is None or not isinstance(bits, int):
        return None
    bits &= _ALL
    if operator == "&":
        return _Value(inner.source, inner.kept & bits, inner.inverted & bits)
    if operator == "^":
        return _Value(inner.source, inner.kept, inner.inverted ^ bits)
    return _Value(inner.source, inner.kept & ~bits, inner.inverted | bits)
