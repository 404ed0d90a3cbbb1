"""`-m icmp6`: type and code of ICMPv6 (icmp6_match in the kernel's net/ipv6/netfilter/ip6_tables.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.icmp import IcmpMatch, IcmpType, Names, icmp_option
from iptsim.extensions.options import Option
from iptsim.languages import marked
from iptsim.protocols import ICMPV6

NAMES: Names = {
    "destination-unreachable": (1, None),
    "no-route": (1, 0), "communication-prohibited": (1, 1), "beyond-scope": (1, 2),
    "address-unreachable": (1, 3), "port-unreachable": (1, 4), "failed-policy": (1, 5),
    "reject-route": (1, 6),
    "packet-too-big": (2, None),
    "time-exceeded": (3, None), "ttl-exceeded": (3, None),
    "ttl-zero-during-transit": (3, 0), "ttl-zero-during-reassembly": (3, 1),
    "parameter-problem": (4, None),
    "bad-header": (4, 0), "unknown-header-type": (4, 1), "unknown-option": (4, 2),
    "echo-request": (128, None), "ping": (128, None), "echo-reply": (129, None), "pong": (129, None),
    "mld-listener-query": (130, None), "mld-listener-report": (131, None),
    "mld-listener-done": (132, None), "mld-listener-reduction": (132, None),
    "router-solicitation": (133, None), "router-advertisement": (134, None),
    "neighbour-solicitation": (135, None), "neighbor-solicitation": (135, None),
    "neighbour-advertisement": (136, None), "neighbor-advertisement": (136, None),
    "redirect": (137, None),
}  # fmt: skip


class Icmp6(IcmpMatch):
    """Type and code of an ICMPv6 packet; here type 255 is a type like any other."""

    name: ClassVar[str] = "icmp6"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        icmp_option(
            "--icmpv6-type", "icmpv6_type", NAMES, marked("an ICMPv6 type: a number, type/code or a name")
        ),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({ICMPV6})
    protocol: ClassVar[int] = ICMPV6
    names: ClassVar[Names] = NAMES
    listed: ClassVar[str] = " ipv6-icmp"

    icmpv6_type: IcmpType


EXTENSIONS = (Icmp6,)
