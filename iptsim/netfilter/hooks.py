"""The base chains that a packet passes at each hook, in order (include/uapi/linux/netfilter_ipv4.h).

At a hook the kernel calls what is registered there by ascending priority, whoever registered it: the
tables of iptables, connection tracking, nat, and chains of nftables that iptables did not create.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from iptsim.dump.ruleset import priority_of
from iptsim.host.namespace import NftChain
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
#: Which side of the packet nat may rewrite at a hook.
NAT_SIDE: dict[str, str] = {PREROUTING: "dst", OUTPUT: "dst", POSTROUTING: "src", INPUT: "src"}


class BaseChain(NamedTuple):
    """What is registered at a hook.

    Attributes:
        priority: where it is in the order.
        table: of iptables; :data:`CONNTRACK` for connection tracking; "nat" for all nat chains together:
            the kernel has them behind one hook function (nf_nat_register_fn).
        program: the rules with that table; None for conntrack and nat.
        nftables: a chain that iptables did not create.
    """

    priority: int
    table: str
    program: Program | None = None
    nftables: NftChain | None = None


def base_chains(hook: str, programs: Iterable[Program], nftables: Iterable[NftChain] = ()) -> list[BaseChain]:
    """Return what a packet passes at a hook, in order.

    Of equal priority chains of nftables come first, as they may have been registered later; then the first
    program. Chains of nftables of the type nat are among those behind nat, see :func:`nat_chains`.
    """
    found = [_of_nftables(chain) for chain in nftables if chain.type != "nat"]
    found += [
        BaseChain(priority_of(table, hook, program.backend), table, program)
        for program in programs
        for table in TABLES[hook]
        if table != "nat"
    ]
    if hook in (PREROUTING, OUTPUT):
        found.append(BaseChain(CONNTRACK_PRIORITY, CONNTRACK))
    if hook in NAT_SIDE:
        found.append(BaseChain(priority_of("nat", hook), "nat"))
    return sorted(found, key=lambda chain: chain.priority)


def nat_chains(hook: str, programs: Iterable[Program], nftables: Iterable[NftChain] = ()) -> list[BaseChain]:
    """Return the nat chains at a hook in the order in which nat runs them (nf_nat_inet_fn)."""
    found = [_of_nftables(chain) for chain in nftables if chain.type == "nat"]
    found += [BaseChain(priority_of("nat", hook, program.backend), "nat", program) for program in programs]
    return sorted(found, key=lambda chain: chain.priority)


def _of_nftables(chain: NftChain) -> BaseChain:
    # where its priority was not saved it may be the first
    return BaseChain(-(2**31) if chain.priority is None else chain.priority, chain.table, nftables=chain)
