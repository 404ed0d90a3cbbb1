"""`-m icmp`: type and code of ICMP for IPv4 (icmp_match in the kernel's net/ipv4/netfilter/ip_tables.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.icmp import ANY, IcmpMatch, IcmpType, Names, icmp_option
from iptsim.extensions.options import Option
from iptsim.languages import marked
from iptsim.protocols import ICMP

NAMES: Names = {
    "any": (ANY, None),
    "echo-reply": (0, None), "pong": (0, None),
    "destination-unreachable": (3, None),
    "network-unreachable": (3, 0), "host-unreachable": (3, 1), "protocol-unreachable": (3, 2),
    "port-unreachable": (3, 3), "fragmentation-needed": (3, 4), "source-route-failed": (3, 5),
    "network-unknown": (3, 6), "host-unknown": (3, 7), "network-prohibited": (3, 9),
    "host-prohibited": (3, 10), "TOS-network-unreachable": (3, 11), "TOS-host-unreachable": (3, 12),
    "communication-prohibited": (3, 13), "host-precedence-violation": (3, 14), "precedence-cutoff": (3, 15),
    "source-quench": (4, None),
    "redirect": (5, None),
    "network-redirect": (5, 0), "host-redirect": (5, 1), "TOS-network-redirect": (5, 2),
    "TOS-host-redirect": (5, 3),
    "echo-request": (8, None), "ping": (8, None),
    "router-advertisement": (9, None), "router-solicitation": (10, None),
    "time-exceeded": (11, None), "ttl-exceeded": (11, None),
    "ttl-zero-during-transit": (11, 0), "ttl-zero-during-reassembly": (11, 1),
    "parameter-problem": (12, None), "ip-header-bad": (12, 0), "required-option-missing": (12, 1),
    "timestamp-request": (13, None), "timestamp-reply": (14, None),
    "address-mask-request": (17, None), "address-mask-reply": (18, None),
}  # fmt: skip


class Icmp(IcmpMatch):
    """Type and code of an ICMP packet."""

    name: ClassVar[str] = "icmp"
    family: ClassVar[int | None] = 4
    options: ClassVar[tuple[Option, ...]] = (
        icmp_option("--icmp-type", "icmp_type", NAMES, marked("an ICMP type: a number, type/code or a name")),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({ICMP})
    protocol: ClassVar[int] = ICMP
    names: ClassVar[Names] = NAMES
    listed: ClassVar[str] = " icmp"

    icmp_type: IcmpType


EXTENSIONS = (Icmp,)
