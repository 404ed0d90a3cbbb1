"""Packets that the kernel logged, as lines of a pasted text show them."""

from __future__ import annotations

from typing import Any, NamedTuple

from iptsim.addresses import Family, is_multicast, parse_address


class Visit(NamedTuple):
    """The contents of a TRACE line: a packet matched a rule, or reached the end of a chain.

    Attributes:
        kind: "rule", "policy" or "return".
        number: the number of the rule, 0 if unknown; for the others, the number of rules plus one.
        words: the rule's options, where the line shows them.
        verdict: the verdict, where the line shows it: "ACCEPT", "JUMP:CHAIN" ...
    """

    table: str
    chain: str
    kind: str
    number: int
    words: tuple[str, ...] = ()
    verdict: str = ""


#: The destination of a frame to all machines on a link, as it begins the MAC header in a log line.
_TO_ALL = "ff:ff:ff:ff:ff:ff:"
#: Protocols that search devices by multicast, which answer from the same port, but from their own address.
_SEARCHES = {"1900": "SSDP", "3702": "WS-Discovery", "5353": "mDNS"}


class LoggedLine(NamedTuple):
    """A line in which the kernel logged a packet.

    Attributes:
        line: its number.
        family: 4 or 6.
        hook: the hook, inferred from its interfaces.
        prefix: the log prefix of the rule; "" for TRACE.
        verdict: the action that the prefix suggests, or None.
        fields: the packet, as fields of a batch line.
        pairs: its fields, in order: ("SRC", "192.0.2.9").
        flags: the fields without a value: SYN, DF.
        visit: the rule, for a TRACE line.
        conditions: options of a rule that only such packets match.
        packet: what the lines of one packet have in common.
    """

    line: int
    family: Family
    hook: str
    prefix: str
    verdict: str | None
    fields: dict[str, Any]
    pairs: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    visit: Visit | None
    conditions: tuple[str, ...]
    packet: tuple[str, ...]

    @property
    def is_for_all(self) -> bool:
        """Whether it arrived as a broadcast or multicast, and is not of neighbour discovery."""
        pairs = dict(self.pairs)
        if not pairs.get("IN") or pairs.get("PROTO") == "ICMPv6":
            return False
        if pairs.get("MAC", "").lower().startswith(_TO_ALL):
            return True
        try:
            family, address = parse_address(pairs.get("DST", ""))
        except ValueError:
            return False  # redacted
        return is_multicast(family, address) or (family, address) == (4, 0xFFFFFFFF)

    @property
    def answers_search(self) -> str:
        """The protocol of a search by multicast that it answers, which conntrack does not take for a reply; or ""."""
        pairs = dict(self.pairs)
        if pairs.get("PROTO") != "UDP" or self.hook != "INPUT" or self.is_for_all:
            return ""
        return _SEARCHES.get(pairs.get("SPT", ""), "")
