"""Conditions of nftables on numbers and flags in the header (hops, DSCP, length), as options of iptables.

Sources: libnftables-json(5); nft_cmp_eval (net/netfilter/nft_cmp.c), nft_range_eval (nft_range.c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from iptsim.addresses import Family
from iptsim.host.nft_changes import dscp_option, ecn_bits
from iptsim.host.nft_names import bits_named
from iptsim.host.nft_restrictions import ALWAYS, FAMILIES, NEVER, reads
from iptsim.host.nft_values import has_bits_of

#: Flags of TCP that iptables knows.
IPTABLES_FLAGS = frozenset({"fin", "syn", "rst", "psh", "ack", "urg"})
#: The other ones, with the options for them.
_ECN_FLAGS = {"cwr": "--ecn-tcp-cwr", "ecn": "--ecn-tcp-ece"}
#: All flags of TCP, in the order of their bits.
ALL_FLAGS = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"]
_LARGEST = 0xFFFF
_MOST_HOPS = 0xFF


class Alternatives(NamedTuple):
    """Options for a condition.

    Attributes:
        options: the options.
        every: whether all of them must match, rather than one.
    """

    options: list[str]
    every: bool


def compared(op: str, value: Any, largest: int = _LARGEST) -> dict[str, list[int]] | None:
    """Return the range of numbers that `<`, `<=`, `>` or `>=` means; None if the value is no number.

    Args:
        op: the operator.
        value: the number.
        largest: the largest number that the field can be.

    >>> compared("<", 5), compared(">=", 1024)
    ({'range': [0, 4]}, {'range': [1024, 65535]})
    """
    if not isinstance(value, int):
        return None
    return {
        "range": {"<": [0, value - 1], "<=": [0, value], ">": [value + 1, largest]}.get(op, [value, largest])
    }


def address_bits(field: Any, mask: str, wanted: str, family: Family, *, negated: bool) -> list[str] | None:
    """Return the option for some bits of an address; None if the field is no address, or they are no bits of one."""
    for protocol, side in product(("ip", "ip6"), ("saddr", "daddr")):
        if not reads(field, protocol, side):
            continue
        if FAMILIES[protocol] != family:
            return NEVER
        if (possible := has_bits_of(wanted, mask)) is not None:
            # iptables would ignore the other bits
            option = "-s" if side == "saddr" else "-d"
            sign = "! " if negated else ""
            return [f"{sign}{option} {wanted}/{mask}"] if possible else ALWAYS if negated else NEVER
    return None


def header_options(name: str, values: Sequence[Any], family: Family, *, negated: bool) -> Alternatives | None:
    """Return the options for one of some values of a field, or for none of them; None if iptables has no such options.

    Args:
        name: "hops", "dscp", "ecn" or "length".
        values: numbers, ranges as in libnftables-json(5), or names.
        family: of the packets.
        negated: none of the values.
    """
    sign = "! " if negated else ""
    if name == "ecn":
        bits = [ecn_bits(one) for one in values]
        if None in bits:
            return None
        return Alternatives([f"-m ecn {sign}--ecn-ip-ect {one}" for one in bits], negated)
    if name == "dscp":
        if not all(isinstance(one, int | str) for one in values):
            return None
        return Alternatives([f"-m dscp {sign}{dscp_option('--dscp', one)}" for one in values], negated)
    spans = [_span(one) for one in values]
    if None in spans:
        return None
    ends = [span for span in spans if span is not None]
    if name == "length":
        return Alternatives([f"-m length {sign}--length {first}:{last}" for first, last in ends], negated)
    flag = "-m ttl {}--ttl" if family == 4 else "-m hl {}--hl"
    if all(first == last for first, last in ends):
        return Alternatives([f"{flag.format(sign)}-eq {first}" for first, _ in ends], negated)
    if len(ends) > 1:
        return None
    ((first, last),) = ends
    if first > _MOST_HOPS:
        return None
    below, above = (first, last) if negated else (last + 1, first - 1)
    options = [f"{flag.format('')}-lt {below}"] if 0 < below <= _MOST_HOPS else []
    options += [f"{flag.format('')}-gt {above}"] if 0 <= above < _MOST_HOPS else []
    return Alternatives(options, not negated)


def tcp_flags(value: Any) -> str | None:
    """Return flags of TCP for iptables, "" for none of them; None for those that iptables does not know."""
    names = _flags(value)
    if names is None or not IPTABLES_FLAGS.issuperset(names):
        return None
    return ",".join(names).upper()


def flag_options(mask: Any, wanted: Any, *, negated: bool) -> list[str] | None:
    """Return the options for those flags of TCP of a mask that are set; None if iptables has no such options.

    Args:
        mask: the flags that are compared.
        wanted: those of them that are set.
        negated: not just these.
    """
    compared_flags, set_flags = _flags(mask), _flags(wanted)
    if compared_flags is None or set_flags is None:
        return None
    if not set(set_flags) <= set(compared_flags):
        return [""] if negated else []
    plain = [one for one in compared_flags if one in IPTABLES_FLAGS]
    of_ecn = [one for one in compared_flags if one in _ECN_FLAGS]
    if negated and of_ecn:
        return None
    options = []
    if plain:
        shown = ",".join(one for one in set_flags if one in IPTABLES_FLAGS).upper() or "NONE"
        options.append(f"-m tcp {'! ' if negated else ''}--tcp-flags {','.join(plain).upper()} {shown}")
    if of_ecn:
        words = (f"{'' if one in set_flags else '! '}{_ECN_FLAGS[one]}" for one in of_ecn)
        options.append(f"-m ecn {' '.join(words)}")
    return [" ".join(options)]


def _flags(value: Any) -> list[str] | None:
    """Return flags of TCP by name; None if one is unknown."""
    names: list[Any] = []
    for one in _parts(value):
        names += (bits_named("tcp flags", one) or [None] * bool(one)) if isinstance(one, int) else [one]
    return names if all(isinstance(one, str) and one in ALL_FLAGS for one in names) else None


def _parts(value: Any) -> list[Any]:
    """Return what a list, or a combination of combinations, consists of."""
    if isinstance(value, Mapping) and isinstance(value.get("|"), list):
        value = value["|"]
    return [part for one in value for part in _parts(one)] if isinstance(value, list) else [value]


def _span(value: Any) -> tuple[int, int] | None:
    ends = value.get("range") if isinstance(value, Mapping) else [value, value]
    if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(one, int) for one in ends):
        return None
    return (ends[0], ends[1]) if ends[0] <= ends[1] else None
