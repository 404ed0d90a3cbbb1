"""The hooks of a network namespace, each an ordered list of base chains (include/uapi/linux/netfilter_ipv4.h).

At a hook the kernel calls what is registered there by ascending priority, whoever registered it: the
tables of iptables, connection tracking, nat, and chains of nftables that iptables did not create.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain as chained
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from iptsim.dump.builtin_chains import priority_of
from iptsim.dump.ruleset import Chain
from iptsim.host.nft_chains import NftChain, NftRuleset
from iptsim.netfilter.program import Program

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"

#: The priority of connection tracking (NF_IP_PRI_CONNTRACK).
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
#: The families of nftables whose chains see packets of an address family.
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}


class IptablesChain(NamedTuple):
    """A base chain of iptables: the built-in chain of a table.

    Attributes:
        priority: its priority at the hook; entries with a lower one are called first.
        table: raw, mangle, nat, filter or security.
        program: the rules with that table, and which backend wrote them.
        chain: the chain as in the dump.
    """

    priority: int
    table: str
    program: Program
    chain: Chain


class NftablesChain(NamedTuple):
    """A base chain of nftables that iptables did not create.

    Attributes:
        priority: its priority at the hook; the lowest possible if it was not saved.
        chain: the chain.
    """

    priority: int
    chain: NftChain


class KernelFunction(NamedTuple):
    """What the kernel itself registers at a hook, while conntrack is switched on.

    Attributes:
        priority: its priority at the hook; entries with a lower one are called first.
        name: "conntrack": looks the packet up, or creates a new connection; "nat": all nat chains together, as
            the kernel has them behind one function (nf_nat_register_fn).
    """

    priority: int
    name: Literal["conntrack", "nat"]


#: A base chain of iptables or of nftables.
BaseChain: TypeAlias = IptablesChain | NftablesChain
#: Whatever is registered at a hook.
Registered: TypeAlias = BaseChain | KernelFunction
_T = TypeVar("_T", bound=Registered)


class Hook(NamedTuple):
    """A hook of one address family.

    Attributes:
        name: PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING.
        entries: what a packet passes, in order. At equal priority, chains of nftables come first, as they may have been
            registered later; then the first program.
        nat: the nat chains, in the order in which nat runs them (nf_nat_inet_fn).
        tracks: whether conntrack is switched on.
        lacks_table: the table that could block packets here (raw at PREROUTING, else filter) is not shown.
    """

    name: str
    entries: tuple[Registered, ...]
    nat: tuple[BaseChain, ...]
    tracks: bool
    lacks_table: bool


class Hooks:
    """All hooks of a network namespace.

    Args:
        programs: the rules of iptables, by address family; those of both backends where there are two.
        nftables: the base chains of nftables; None if they were not saved.
    """

    def __init__(self, programs: dict[int, list[Program]], nftables: NftRuleset | None = None) -> None:
        self._programs = programs
        self._nft_chains = nftables.chains if nftables is not None else ()
        #: the address families for which nftables enables connection tracking
        self._nft_tracked = nftables.tracked if nftables is not None else frozenset()
        self._hooks: dict[tuple[int, str], Hook] = {}
        #: whether base chains of both backends may be at one hook
        self.is_mixed = any(len(found) > 1 for found in programs.values())

    def at(self, family: int, name: str) -> Hook:
        """Return a hook of an address family."""
        key = (family, name)
        found = self._hooks.get(key)
        if found is None:
            found = self._hooks[key] = self._make(family, name)
        return found

    def programs(self, family: int) -> list[Program]:
        """Return the rules of an address family, one program per backend."""
        return self._programs.get(family, [])

    def has_nftables_nat(self, family: int) -> bool:
        """Return whether nftables has a nat chain for an address family."""
        return any(chain.type == "nat" and chain.family in _FAMILIES[family] for chain in self._nft_chains)

    def all_programs(self) -> Iterator[Program]:
        """Yield the rules of both families."""
        return chained.from_iterable(self._programs.values())

    def at_bridge(self, hook: str) -> list[NftChain]:
        """Return the chains of nftables at a hook of bridges; a chain whose hook was not saved may be at any."""
        if not self._nft_chains:
            return []
        return _ordered(
            chain
            for chain in reversed(self._nft_chains)
            if chain.family == "bridge" and chain.hook in (None, hook)
        )

    def at_device(self, hook: str, devices: Iterable[str | None]) -> list[NftChain]:
        """Return the chains at the ingress or egress of interfaces; nft before 1.0.9 does not list which.

        Args:
            hook: "ingress" or "egress".
            devices: those that the packet passes; None for one that is unknown.
        """
        if not self._nft_chains:
            return []
        wanted = set(devices)
        return _ordered(
            chain
            for chain in reversed(self._nft_chains)
            if chain.family in ("netdev", "inet")
            and chain.hook == hook
            and (not chain.devices or None in wanted or wanted & set(chain.devices))
        )

    def _make(self, family: int, name: str) -> Hook:
        programs, nftables = self.programs(family), self._of_nftables(family, name)
        entries: list[Registered] = [_foreign(chain) for chain in nftables if chain.type != "nat"]
        nat: list[BaseChain] = [_foreign(chain) for chain in nftables if chain.type == "nat"]
        for program in programs:
            for table in TABLES[name]:
                chain = program.chain(table, name)
                if chain is not None:
                    base = IptablesChain(priority_of(table, name, program.backend), table, program, chain)
                    (nat if table == "nat" else entries).append(base)
        tracks = family in self._nft_tracked or any(program.tracks for program in programs)
        if tracks and name in (PREROUTING, OUTPUT):
            entries.append(KernelFunction(CONNTRACK_PRIORITY, "conntrack"))
        if tracks and name in NAT_SIDE:
            entries.append(KernelFunction(priority_of("nat", name), "nat"))
        blocking = {PREROUTING: "raw", INPUT: "filter", FORWARD: "filter"}.get(name)
        lacks = blocking is not None and not any(blocking in program.ruleset.tables for program in programs)
        return Hook(name, _by_priority(entries), _by_priority(nat), tracks, lacks)

    def _of_nftables(self, family: int, name: str) -> list[NftChain]:
        """Return the chains of nftables at a hook of IP; a chain whose hook was not saved may be at any.

        Of those with equal priority, the one that was made last comes first (nf_hook_entries_grow).
        """
        return [
            chain
            for chain in reversed(self._nft_chains)
            if chain.family in _FAMILIES[family] and chain.hook in (None, name.lower())
        ]


def _by_priority(entries: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.priority))


def _foreign(chain: NftChain) -> NftablesChain:
    return NftablesChain(-(2**31) if chain.priority is None else chain.priority, chain)


def _ordered(chains: Iterable[NftChain]) -> list[NftChain]:
    return sorted(chains, key=lambda chain: chain.priority or 0)
