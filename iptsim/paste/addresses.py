"""Addresses in pasted text: numeric ones, host names that iptables looked up, and redacted ones."""

from __future__ import annotations

import re
from dataclasses import replace

from iptsim.addresses import Family, address_text, parse_address
from iptsim.extensions.hidden import SHOW, Hidden, HiddenAddress
from iptsim.extensions.values import NETWORK
from iptsim.languages import Message, message

_ANYWHERE = frozenset({"anywhere", "0.0.0.0/0", "::/0", "default", "0/0"})
#: Names in the usual /etc/hosts and /etc/networks, which iptables prints without -n.
_KNOWN = {
    4: {
        "localhost": "127.0.0.1",
        "localhost.localdomain": "127.0.0.1",
        "loopback": "127.0.0.0",
        "link-local": "169.254.0.0",
        "base-address.mcast.net": "224.0.0.0",
        "all-systems.mcast.net": "224.0.0.1",
        "mdns.mcast.net": "224.0.0.251",
    },
    6: {
        "localhost": "::1",
        "ip6-localhost": "::1",
        "ip6-loopback": "::1",
        "ip6-allnodes": "ff02::1",
        "ip6-allrouters": "ff02::2",
        "ip6-mcastprefix": "ff00::",
        "ip6-localnet": "fe00::",
    },
}
#: Placeholders for a redacted byte.
_REDACTED = re.compile(r"[0-9]*[xXyYzZnN*?#_█•■.]+[0-9]*|<[^>]*>|\[[^]]*\]|[A-Za-z]{1,3}")
_BYTES = 4
#: The mark of an address that a listing lacks.
_LEFT_OUT = "?"


def is_address(text: str) -> bool:
    """Return whether a text is an address that exists, unlike 999.8.0.1 or a redacted one."""
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def is_number(text: str, family: Family) -> bool:
    """Return whether iptables accepts a text as an address or network of a family without a name lookup."""
    try:
        NETWORK.read([text], family)
    except ValueError:
        return False
    return bool(re.match(r"[0-9a-fA-F:]*[0-9:]", text)) and not re.fullmatch(r"[a-fA-F]+", text)


def address_option(flag: str, text: str, family: Family) -> tuple[list[str], Hidden | None]:
    """Return the option for an address in a rule, and its unknown part.

    Args:
        flag: "-s" or "-d".
        text: the address as in the listing or the rule; may start with `!`.
        family: of the rule.
    """
    negated, bare = text.startswith("!"), text.lstrip("! ")
    if bare in _ANYWHERE and not negated:
        return [], None
    if bare == _LEFT_OUT:
        return [], _left_out(flag)
    name, slash, length = bare.partition("/")
    number = _KNOWN[family].get(name.lower(), name) + slash + length
    words = [*(["!"] if negated else []), flag, number]
    if is_number(number, family):
        return words, None
    redacted = _known_bytes(name) if family == 4 else None
    shown = " ".join([*(["!"] if negated else []), flag, bare])
    told = "" if negated else _told(flag, bare)
    if redacted is not None:
        address, mask = redacted
        if slash and length.isdecimal() and int(length) < 32:
            prefix = 0xFFFFFFFF << (32 - int(length)) & 0xFFFFFFFF
            mask &= prefix
            address &= mask
            if mask == prefix and mask:  # only bytes that do not matter are redacted: 172.18.x.x/16
                words[-1] = f"{address_text(4, address)}/{length}"
                return words, None
        return [], HiddenAddress(
            words=shown,
            reason=message("the redacted bytes of {address}", address=bare),
            settle=message("the whole address"),
            place=("redacted", bare),
            side="src" if flag == "-s" else "dst",
            address=address,
            mask=mask,
            negated=frozenset({"address"} if negated else ()),
            told=told,
        )
    return [], Hidden(
        words=shown,
        reason=message("the address of {name}", name=bare),
        settle=SHOW,
        place=("name", bare, flag, negated),
        told=told,
    )


def _left_out(flag: str) -> Hidden:
    return Hidden(
        words=f"{flag} {_LEFT_OUT}",
        reason=message("the source address of the rule, which is left out")
        if flag == "-s"
        else message("the destination address of the rule, which is left out"),
        settle=SHOW,
        place=("left out", flag),
        told=message("from an address that is left out")
        if flag == "-s"
        else message("to an address that is left out"),
    )


def apart(hidden: Hidden, line: int) -> Hidden:
    """Return a condition as one of its own in each line, if nothing of its address is known: it may be any."""
    redacted = isinstance(hidden, HiddenAddress) and not hidden.mask
    if not redacted and hidden.place[:1] != ("left out",):
        return hidden
    return replace(hidden, place=(*hidden.place, line))


def _told(flag: str, text: str) -> Message:
    return message("from {value}", value=text) if flag == "-s" else message("to {value}", value=text)


def _known_bytes(text: str) -> tuple[int, int] | None:
    """Return the visible bytes of a redacted IPv4 address, and their mask; None for anything else.

    >>> _known_bytes("95.xx.xx.xx"), _known_bytes("web.example")
    ((1593835520, 4278190080), None)
    """
    parts = text.split(".")
    if len(parts) != _BYTES or not any(part.isdecimal() for part in parts):
        return (0, 0) if _is_all_redacted(parts) else None
    address = mask = 0
    for part in parts:
        address, mask = address << 8, mask << 8
        if part.isdecimal() and int(part) < 256:
            address, mask = address | int(part), mask | 0xFF
        elif not _REDACTED.fullmatch(part):
            return None
    return address, mask


def _is_all_redacted(parts: list[str]) -> bool:
    return len(parts) == _BYTES and all(re.fullmatch(r"[xXyYzZnN*?#_█•■]+", part) for part in parts)


def is_localhost(to: str) -> bool:
    """Return whether a destination, as a text names it, is the sender itself."""
    return to == "localhost" or to.startswith("127.")
