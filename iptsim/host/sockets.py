"""Listening sockets from the output of `ss -H -lntup`, and which of them receives a packet.

How ss prints a wildcard changed with its version (misc/ss.c, inet_addr_print). Since iproute2 4.17 `0.0.0.0`
is IPv4, `[::]` is IPv6 alone (IPV6_V6ONLY) and `*` is a socket of both; before 4.8 `*` was IPv4 and `::`
IPv6, alone or both; between the two, `*` was any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from iptsim.addresses import parse_address
from iptsim.dump.words import IN_QUOTES
from iptsim.host.namespace import Listener
from iptsim.languages import message, text_of
from iptsim.protocols import TCP, UDP

_PROTOCOLS = {"tcp": TCP, "udp": UDP}
#: The protocols of which ss.txt of a capture lists all listening sockets.
LISTED = frozenset(_PROTOCOLS.values())
#: Other types of sockets that ss lists.
_OTHERS = frozenset({
    "dccp", "icmp6", "mptcp", "nl", "p_dgr", "p_raw", "raw", "sctp", "ti_dg", "ti_rd", "ti_sq", "ti_st", "u_dgr",
    "u_seq", "u_str", "v_dgr", "v_str", "xdp",
})  # fmt: skip
_STATES = frozenset({"LISTEN", "UNCONN"})
_PROGRAM = re.compile(rf'users:\(\("({IN_QUOTES})"')
#: Local addresses that only newer versions of ss print.
_SINCE_4_17 = re.compile(r"(?:^|\s)(?:0\.0\.0\.0|\[::\])(?:%[^\s:]+)?:")
#: IPv4-mapped IPv6 addresses (::ffff:0:0/96), to which sockets of both families are bound.
_MAPPED_PREFIX = 0xFFFF


def read_listeners(text: str) -> tuple[Listener, ...]:
    """Read the output of `ss -lntup`, with or without its header; other sockets are ignored.

    Raises:
        ValueError: a line is not output of ss; the message says which.
    """
    exact = _SINCE_4_17.search(text) is not None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0] == "Netid":
            continue
        try:
            if words[0] in _PROTOCOLS and words[1] in _STATES:
                found.append(_listener(_PROTOCOLS[words[0]], words[4], line, exact))
            elif words[0] not in _PROTOCOLS and words[0] not in _OTHERS:
                raise ValueError(message("unknown kind of socket"))
        except (ValueError, IndexError) as error:
            raise ValueError(
                message(
                    "line {number} is not output of ss ({error}): {line!r}",
                    number=number,
                    error=text_of(error),
                    line=line[:80],
                )
            ) from None
    return tuple(found)


def _listener(proto: int, local: str, line: str, exact: bool) -> Listener:
    address, _, port = local.rpartition(":")
    address, _, interface = address.partition("%")
    program = _PROGRAM.search(line)
    families, bound = _bound(address.strip("[]"), exact)
    return Listener(
        proto=proto,
        port=int(port),
        address=bound,
        families=families,
        interface=interface or None,
        program=program[1] if program else "",
    )


def _bound(address: str, exact: bool) -> tuple[dict[int, bool | None], int | None]:
    """Return the families of a socket (None: unknown), and the address to which it is bound, if any."""
    if address == "*":
        # versions of ss with a single wildcard nearly always include IPv4 in it
        return {4: True, 6: True if exact else None}, None
    family, number = parse_address(address)
    if number == 0:
        return ({4: True} if family == 4 else {4: False if exact else None, 6: True}), None
    if family == 6 and number >> 32 == _MAPPED_PREFIX:
        return {4: True}, number & 0xFFFFFFFF
    return {family: True}, number


def find_listener(
    listeners: Iterable[Listener], family: int, proto: int, address: int, port: int, interface: str | None
) -> Listener | bool | None:
    """Return the socket that receives the first packet of a connection (inet_lookup_listener, udp4_lib_lookup2).

    Args:
        listeners: of the network namespace in which the packet is delivered.
        interface: the interface on which it arrives, or None if unknown.

    Returns:
        The most specific socket; False if there is none; None if the capture does not show it.
    """
    best: tuple[int, Listener] | None = None
    unknown = False
    for listener in listeners:
        if (listener.proto, listener.port) != (proto, port) or listener.address not in (None, address):
            continue
        takes = listener.families.get(family, False)
        if takes and listener.interface not in (None, interface):
            takes = None if interface is None else False
        if takes is None:
            unknown = True
        if not takes:
            continue
        score = 2 * (listener.address is not None) + 2 * (listener.interface is not None)
        score += len(listener.families) == 1
        if best is None or score > best[0]:
            best = score, listener
    return best[1] if best is not None else None if unknown else False
