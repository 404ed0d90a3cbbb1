"""The base chains that a packet passes at each hook, in order (include/uapi/linux/netfilter_ipv4.h).

At a hook the kernel calls what is registered there by ascending priority, whoever registered it: the
tables of iptables, connection tracking, nat. The nf_tables flavour of iptables gives the security table
priority 150, behind nat at INPUT; the legacy flavour has it before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from iptsim.netfilter.program import Program

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"

#: Stands in the order where connection tracking looks the packet up or makes a new entry.
CONNTRACK = "conntrack"
CONNTRACK_PRIORITY = -200
#: The tables of iptables at each hook.
TABLES: dict[str, tuple[str, ...]] = {
    PREROUTING: ("raw", "mangle", "nat"),
    INPUT: ("mangle", "filter", "security", "nat"),
    FORWARD: ("mangle", "filter", "security"),
    OUTPUT: ("raw", "mangle", "nat", "filter", "security"),
    POSTROUTING: ("mangle", "nat"),
}
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0}
_SECURITY_PRIORITIES = {"legacy": 50, "nf_tables": 150}
#: Which side of the packet nat may rewrite at a hook.
NAT_SIDE: dict[str, str] = {PREROUTING: "dst", OUTPUT: "dst", POSTROUTING: "src", INPUT: "src"}
_NAT_PRIORITIES = {"dst": -100, "src": 100}


class BaseChain(NamedTuple):
    """What is registered at a hook.

    Attributes:
        priority: where it is in the order.
        table: of iptables; :data:`CONNTRACK` for connection tracking; "nat" for all nat chains together:
            the kernel has them behind one hook function (nf_nat_register_fn).
        program: the rules with that table; None for conntrack and nat.
    """

    priority: int
    table: str
    program: Program | None = None


def priority_of(table: str, hook: str, backend: str) -> int:
    """Return the priority at which iptables registers a table at a hook."""
    if table == "nat":
        return _NAT_PRIORITIES[NAT_SIDE[hook]]
    return _SECURITY_PRIORITIES[backend] if table == "security" else _PRIORITIES[table]


def base_chains(hook: str, programs: Iterable[Program]) -> list[BaseChain]:
    """Return what a packet passes at a hook, in order; of equal priority the first program comes first."""
    found = [
        BaseChain(priority_of(table, hook, program.backend), table, program)
        for program in programs
        for table in TABLES[hook]
        if table != "nat"
    ]
    if hook in (PREROUTING, OUTPUT):
        found.append(BaseChain(CONNTRACK_PRIORITY, CONNTRACK))
    if hook in NAT_SIDE:
        found.append(BaseChain(_NAT_PRIORITIES[NAT_SIDE[hook]], "nat"))
    return sorted(found, key=lambda chain: chain.priority)
