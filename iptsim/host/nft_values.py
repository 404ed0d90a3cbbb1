"""Values in the output of `nft -j list ruleset` in the notation of iptables; see libnftables-json(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from iptsim.extensions.services import PORTS
from iptsim.protocols import usual_protocol_name

#: The most ports in one `-m multiport`, as a range counts as two of its 15.
_PORTS = 7
#: Statements of an element of a set that can end its rule.
_LIMITS = frozenset({"ct count", "limit", "quota"})
_NUMBER = re.compile(r"[0-9]{1,3}")
#: The most elements of several fields that are compared with each other.
_MOST_AREAS = 500


def plain(value: Any) -> Any:
    """Return an element of a set without its counter or comment."""
    if isinstance(value, Mapping) and "elem" in value:
        inner = value["elem"]
        return inner.get("val") if isinstance(inner, Mapping) else inner
    return value


def is_limited(value: Any) -> bool:
    """Return whether an element of a set matches only some packets (nft_set_elem_expr_eval)."""
    inner = value.get("elem") if isinstance(value, Mapping) else None
    return isinstance(inner, Mapping) and not _LIMITS.isdisjoint(inner)


def gives_limits(statements: Any) -> bool:
    """Return whether the statements of a set, which each of its elements has, can end a rule."""
    found = statements if isinstance(statements, list) else []
    return any(isinstance(one, Mapping) and not _LIMITS.isdisjoint(one) for one in found)


def address(value: Any) -> str | None:
    """Return an address, prefix or range for iptables."""
    if isinstance(value, str):
        return (
            value if value and not value.startswith("@") and value[0] in "0123456789abcdefABCDEF:" else None
        )
    if isinstance(value, Mapping) and isinstance(value.get("prefix"), Mapping):
        return f"{value['prefix'].get('addr')}/{value['prefix'].get('len')}"
    ends = value.get("range") if isinstance(value, Mapping) else None
    if isinstance(ends, list) and len(ends) == 2:
        first, last = ends
        return f"{first}-{last}"
    return None


def address_range(value: Any) -> str | None:
    """Return an address, or the first and the last one of a range or a prefix, for a target of nat."""
    text = address(value)
    if text is None or "/" not in text:
        return text
    try:
        network = ip_network(text)
    except ValueError:
        return None
    return f"{network[0]}-{network[-1]}" if network.num_addresses > 1 else str(network[0])


def has_bits_of(wanted: str, mask: str) -> bool | None:
    """Return whether an address has no bits outside a mask; None if they are no addresses of one family."""
    try:
        one, other = ip_address(wanted), ip_address(mask)
    except ValueError:
        return None
    return not int(one) & ~int(other) if one.version == other.version else None


def has_host_bits(value: Mapping[str, Any]) -> bool:
    """Return whether a prefix has bits set behind its length."""
    prefix = value.get("prefix")
    try:
        if isinstance(prefix, Mapping):
            ip_network(f"{prefix.get('addr')}/{prefix.get('len')}")
    except ValueError:
        return address(value) is not None and is_prefix(str(address(value)))
    return False


def is_prefix(text: str) -> bool:
    """Return whether a text is a prefix, maybe with bits behind its length."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def spans(values: Sequence[Any]) -> list[tuple[int, int]] | None:
    """Return the first and the last number of each value; None if one is neither a number nor a range."""
    found: list[tuple[int, int]] = []
    for one in values:
        ends = one.get("range") if isinstance(one, Mapping) else [one, one]
        if not isinstance(ends, list) or len(ends) != 2 or not all(type(end) is int for end in ends):
            return None
        if not 0 <= ends[0] <= ends[1]:
            return None
        found.append((ends[0], ends[1]))
    return found


def protocol_named(value: Any) -> str:
    """Return a protocol by its name, where nft prints a number (`nft -n`)."""
    text = str(value)
    if _NUMBER.fullmatch(text) and int(text):
        return usual_protocol_name(int(text))
    return "icmpv6" if text == "ipv6-icmp" else text


def port_range(value: Any) -> str | None:
    """Return a port or a range of ports for a target of nat."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and value in PORTS:
        return str(PORTS[value])
    found = value.get("range") if isinstance(value, Mapping) else None
    if isinstance(found, list) and len(found) == 2 and all(isinstance(one, int) for one in found):
        return f"{found[0]}-{found[1]}"
    return None


def ports(field: str, values: list[Any], *, negated: bool) -> list[str] | None:
    """Return options for ports; a range counts as two ports of a `-m multiport`."""
    ports: list[str] = []
    for one in values:
        if isinstance(one, Mapping) and isinstance(one.get("range"), list):
            ports.append(":".join(map(str, one["range"])))
        elif isinstance(one, int):
            ports.append(str(one))
        elif isinstance(one, str) and one in PORTS:
            ports.append(str(PORTS[one]))  # a name in the text of `nft -S`
        else:
            return None
    if negated and len(ports) > _PORTS:
        return None
    sign = "! " if negated else ""
    return [
        f"-m multiport {sign}--{field}s {','.join(ports[at : at + _PORTS])}"
        for at in range(0, len(ports), _PORTS)
    ]


def may_overlap(elements: Sequence[Any]) -> bool:
    """Return whether a packet may find two elements of a set: those of several fields, if one is a range.

    The kernel rejects other elements that overlap (nft_set_rbtree.c), but not all of these (nft_set_pipapo.c).
    """
    areas = [one["concat"] for one in elements if isinstance(one, Mapping) and "concat" in one]
    if not any(isinstance(part, Mapping) for area in areas for part in area):
        return False
    if len(areas) > _MOST_AREAS:
        return True
    spans = [[_ends(part) for part in area] for area in areas]
    return any(
        all(_meet(mine, other) for mine, other in zip(one, another, strict=False))
        for at, one in enumerate(spans)
        for another in spans[:at]
    )


def _ends(value: Any) -> tuple[Any, Any] | None:
    """Return the first and the last value of a range, a prefix or a value; None if they can't be compared."""
    try:
        match value:
            case int():
                return value, value
            case {"range": [int(first), int(last)]}:
                return first, last
            case {"range": [str(first), str(last)]}:
                return int(ip_address(first)), int(ip_address(last))
            case {"prefix": {"addr": str(first), "len": int(length)}}:
                network = ip_network(f"{first}/{length}", strict=False)
                return int(network[0]), int(network[-1])
            case str() if value[:1].isdigit() or ":" in value:
                return int(ip_address(value)), int(ip_address(value))
            case str() if not value.endswith("*"):
                return value, value
    except ValueError:
        pass
    return None


def _meet(one: tuple[Any, Any] | None, other: tuple[Any, Any] | None) -> bool:
    """Return whether two ranges may have a common value."""
    if one is None or other is None or type(one[0]) is not type(other[0]):
        return True
    return bool(one[0] <= other[1] and other[0] <= one[1])


def limit_words(value: Any) -> str:
    """Return a `limit` statement as nft prints it (limit_stmt_print in its src/statement.c); "limit" without a rate."""
    about = value if isinstance(value, Mapping) else {}
    rate, per, burst = about.get("rate"), about.get("per"), about.get("burst")
    if not isinstance(rate, int) or not isinstance(per, str):
        return "limit"
    unit = f" {about['rate_unit']}" if about.get("rate_unit", "packets") != "packets" else ""
    over = " over" if about.get("inv") else ""
    more = f" burst {burst} {about.get('burst_unit', 'packets')}" if isinstance(burst, int) else ""
    return f"limit rate{over} {rate}{unit}/{per}{more}"


def counting_words(statement: Mapping[str, Any]) -> str:
    """Return a statement that counts packets, maybe of each element of a set, as nft prints it; "" for others."""
    for kind, value in statement.items():
        about = value if isinstance(value, Mapping) else {}
        inner = about.get("stmt")
        if kind == "limit":
            return limit_words(value)
        if kind == "ct count" and isinstance(about.get("val"), int):
            return f"ct count{' over' if about.get('inv') else ''} {about['val']}"
        if kind in ("ct count", "quota"):
            return kind
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, Mapping) and (words := counting_words(one)):
                return words
    return ""


def shown(value: Any) -> str:
    """Return a condition that is not translated, for a message."""
    left, right = (value.get("left"), value.get("right")) if isinstance(value, Mapping) else (None, None)
    words: list[str] = []
    for kind, about in left.items() if isinstance(left, Mapping) else ():
        if kind not in ("meta", "payload"):
            words.append(str(kind))
        if isinstance(about, Mapping):
            words += [
                str(about[name]) for name in ("protocol", "key", "field") if isinstance(about.get(name), str)
            ]
    if words and isinstance(right, str) and right.startswith("@"):
        words.append(right)
    return " ".join(words) or "match"


def shown_field(expression: Any) -> str:
    """Return the fields of an expression as nft prints them; "" for others."""
    if not isinstance(expression, Mapping) or len(expression) != 1:
        return ""
    ((kind, about),) = expression.items()
    if kind == "concat" and isinstance(about, list):
        return " . ".join(filter(None, map(shown_field, about)))
    if not isinstance(about, Mapping):
        return ""
    words = [str(about[name]) for name in ("protocol", "key", "field") if name in about]
    return " ".join([kind, *words] if kind not in ("payload",) else words)


def keys_of(value: Any) -> Iterator[str]:
    """Yield the keys of all JSON objects in a statement."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)
