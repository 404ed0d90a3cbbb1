"""Statements of nftables that change marks or fields of the header, as targets of iptables.

Sources: libnftables-json(5); nft_meta_set_eval (net/netfilter/nft_meta.c), nft_ct_set_eval (net/netfilter/nft_ct.c),
nft_payload_set_eval (net/netfilter/nft_payload.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from iptsim.packet import Family

_ALL = 0xFFFFFFFF
_Source = Literal["meta", "ct"]
#: DiffServ classes that nft names otherwise than iptables.
_DSCP = {"lephb": 0x01, "va": 0x2C, "df": 0x00}
_ECN = {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3}


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


def header_change(value: Any) -> tuple[Family, str] | None:
    """Return the target that changes the header as a `mangle` statement does, and the family of the header.

    None if there is no such target.

    Args:
        value: of the statement: what is written, and the new value.
    """
    key, new = (value.get("key"), value.get("value")) if isinstance(value, Mapping) else (None, None)
    payload = key.get("payload") if isinstance(key, Mapping) else None
    if not isinstance(payload, Mapping) or not isinstance(new, int | str):
        return None
    family: Family = 6 if payload.get("protocol") == "ip6" else 4
    match payload.get("protocol"), payload.get("field"):
        case ("ip", "ttl") if isinstance(new, int):
            return family, f"-j TTL --ttl-set {new}"
        case ("ip6", "hoplimit") if isinstance(new, int):
            return family, f"-j HL --hl-set {new}"
        case ("ip" | "ip6", "dscp"):
            return family, f"-j DSCP {dscp_option('--set-dscp', new)}"
        case ("ip" | "ip6", "ecn") if (bits := ecn_bits(new)) is not None:
            return family, f"-j TOS --set-tos {bits}/3"
    return None


def ecn_bits(value: Any) -> int | None:
    """Return a value of ECN, which nft prints as a number or by its name; None if it is unknown."""
    if isinstance(value, int):
        return value if 0 <= value <= 3 else None
    return _ECN.get(str(value))


def dscp_option(option: str, value: int | str) -> str:
    """Return an option for a DSCP, which nft prints as a number or by its name."""
    number = _DSCP.get(str(value), value)
    return f"{option} {number}" if isinstance(number, int) else f"{option}-class {number.upper()}"


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
