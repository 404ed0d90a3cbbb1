"""Statements of nftables that change marks or fields of the header, as targets of iptables.

Sources: libnftables-json(5); nft_meta_set_eval (net/netfilter/nft_meta.c), nft_ct_set_eval (net/netfilter/nft_ct.c),
nft_payload_set_eval (net/netfilter/nft_payload.c).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from iptsim.addresses import Family

_ALL = 0xFFFFFFFF
_BITS = 32
_Source = Literal["meta", "ct"]
#: DiffServ classes that nft names otherwise than iptables.
_DSCP = {"lephb": 0x01, "va": 0x2C, "df": 0x00}
#: Hooks at which connection tracking comes after the first chains.
_TRACKS_AFTER = frozenset({"output", "prerouting"})
_ECN = {"not-ect": 0, "ect1": 1, "ect0": 2, "ce": 3}


class _Value(NamedTuple):
    """A mark that is computed from another one.

    Attributes:
        source: the other mark; None for a number.
        kept: the bits of it that are kept.
        inverted: the bits that are inverted then.
        shift: how far the kept bits are shifted before: to the left; to the right if negative.
    """

    source: _Source | None
    kept: int
    inverted: int
    shift: int = 0

    def shifted(self, bits: int) -> _Value | None:
        """Return the value after a shift; None if bits get lost at both ends."""
        if self.kept and self.shift * bits < 0:
            return None
        return _Value(self.source, self.kept, _shift(self.inverted, bits), self.shift + bits)


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
    if new.source is None or (new.source == written and not new.shift):
        changed = f"{new.inverted:#x}/{~new.kept & _ALL:#x}"
        return f"-j {'MARK' if written == 'meta' else 'CONNMARK'} --set-xmark {changed}"
    if new.inverted or new.source == written or abs(new.shift) >= _BITS:
        return None
    side = "left" if new.shift > 0 else "right"
    moved = f" --{side}-shift-mark {abs(new.shift)}" if new.shift else ""
    if written == "meta":
        return f"-j CONNMARK --restore-mark --nfmask {_ALL:#x} --ctmask {new.kept:#x}{moved}"
    return f"-j CONNMARK --save-mark --nfmask {new.kept:#x} --ctmask {_ALL:#x}{moved}"


def zone_change(value: Any, hook: str) -> str | None:
    """Return the target that gives a connection a zone as a `mangle` statement does; None if there is no such target.

    Like that target, it does nothing to a packet that has a connection already (nft_ct_set_zone_eval).

    Args:
        value: of the statement: what is written, and the new value.
        hook: the hook of the base chain.
    """
    key, zone = (value.get("key"), value.get("value")) if isinstance(value, Mapping) else (None, None)
    about = key.get("ct") if isinstance(key, Mapping) else None
    if not isinstance(about, Mapping) or about.get("key") != "zone" or not isinstance(zone, int):
        return None
    if hook not in _TRACKS_AFTER:
        return None
    option = {"original": "--zone-orig", "reply": "--zone-reply"}.get(str(about.get("dir")), "--zone")
    return f"-j CT {option} {zone}"


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
    if operator not in ("&", "|", "^", "<<", ">>") or not isinstance(operands, list) or len(operands) != 2:
        return None
    inner, bits = _value(operands[0]), operands[1]
    if inner is None or not isinstance(bits, int):
        return None
    if operator in ("<<", ">>"):
        return inner.shifted(bits if operator == "<<" else -bits) if 0 <= bits < _BITS else None
    bits &= _ALL
    before = _shift(bits, -inner.shift)  # the bits before they are shifted
    if operator == "&":
        return inner._replace(kept=inner.kept & before, inverted=inner.inverted & bits)
    if operator == "^":
        return inner._replace(inverted=inner.inverted ^ bits)
    return inner._replace(kept=inner.kept & ~before, inverted=inner.inverted | bits)


def _shift(number: int, bits: int) -> int:
    """Return a mark shifted to the left, or to the right by a negative number of bits."""
    return number << bits & _ALL if bits >= 0 else number >> -bits


def is_constant(key: str, value: Any) -> bool:
    """Return whether what a statement without a consequence needs is always there."""
    if key == "mangle":
        return isinstance(value["value"], int | str) if "value" in value else False
    return not (isinstance(value, Mapping) and "map" in value)


def is_quiet(value: Any) -> bool:
    """Return whether a change does not affect which rules match: iptsim knows no labels."""
    key = value.get("key") if isinstance(value, Mapping) else None
    meta = key.get("meta") if isinstance(key, Mapping) else None
    if isinstance(meta, Mapping):
        return meta.get("key") in ("nftrace", "priority")
    connection = key.get("ct") if isinstance(key, Mapping) else None
    return isinstance(connection, Mapping) and connection.get("key") in ("event", "label")
