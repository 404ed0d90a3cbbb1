"""The hooks of a network namespace, each an ordered list of base chains (include/uapi/linux/netfilter_ipv4.h).

At a hook the kernel calls what is registered there by ascending priority, whoever registered it: the
tables of iptables, connection tracking, nat, and chains of nftables that iptables did not create.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain as chained
from typing import Literal, NamedTuple

from iptsim.dump.ruleset import priority_of
from iptsim.host.namespace import NftChain, NftRuleset
from iptsim.netfilter.program import Program

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"

#: The name of the entry at which connection tracking looks the packet up or creates a new connection.
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
#: The families of nftables whose chains see packets of an address family.
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}

Writer = Literal["iptables-nft", "iptables-legacy", "nftables", "kernel"]


class BaseChain(NamedTuple):
    """What is registered at a hook.

    Attributes:
        priority: where it is in the order.
        table: of iptables or nftables; :data:`CONNTRACK` for connection tracking; "nat" for all nat chains
            together: the kernel has them behind one hook function (nf_nat_register_fn).
        program: the rules with that table, of iptables.
        nftables: a chain that iptables did not create.
    """

    priority: int
    table: str
    program: Program | None = None
    nftables: NftChain | None = None

    @property
    def writer(self) -> Writer:
        """Who registered it; "kernel" for conntrack and nat."""
        if self.nftables is not None:
            return "nftables"
        if self.program is None:
            return "kernel"
        return "iptables-legacy" if self.program.backend == "legacy" else "iptables-nft"


class Hook(NamedTuple):
    """A hook of one address family.

    Attributes:
        name: PREROUTING, INPUT, FORWARD, OUTPUT or POSTROUTING.
        chains: what a packet passes, in order. Of equal priority chains of nftables come first, as they may
            have been registered later; then the first program.
        nat: the nat chains, in the order in which nat runs them (nf_nat_inet_fn).
        tracks: whether conntrack is switched on.
    """

    name: str
    chains: tuple[BaseChain, ...]
    nat: tuple[BaseChain, ...]
    tracks: bool


class Hooks:
    """All hooks of a network namespace.

    Args:
        programs: the rules of iptables, by address family; those of both backends where there are two.
        nftables: the base chains of nftables; None if they were not saved.
    """

    def __init__(self, programs: dict[int, list[Program]], nftables: NftRuleset | None = None) -> None:
        self._programs = programs
        self._nftables = nftables or NftRuleset()
        self._hooks: dict[tuple[int, str], Hook] = {}

    def at(self, family: int, name: str) -> Hook:
        """Return a hook of an address family."""
        key = (family, name)
        found = self._hooks.get(key)
        if found is None:
            found = self._hooks[key] = self._make(family, name)
        return found

    def programs(self, family: int) -> list[Program]:
        """Return the rules of an address family, one program a backend."""
        return self._programs.get(family, [])

    def all_programs(self) -> Iterator[Program]:
        """Yield the rules of both families."""
        return chained.from_iterable(self._programs.values())

    def at_bridge(self, hook: str) -> list[NftChain]:
        """Return the chains of nftables at a hook of bridges; a chain whose hook was not saved may be at any."""
        return _ordered(
            chain
            for chain in self._nftables.chains
            if chain.family == "bridge" and chain.hook in (None, hook)
        )

    def at_device(self, hook: str, devices: Iterable[str | None]) -> list[NftChain]:
        """Return the chains at the ingress or egress of interfaces; nft before 1.0.9 does not list which.

        Args:
            hook: "ingress" or "egress".
            devices: those that the packet passes; None for one that is unknown.
        """
        wanted = set(devices)
        return _ordered(
            chain
            for chain in self._nftables.chains
            if chain.family in ("netdev", "inet")
            and chain.hook == hook
            and (not chain.devices or None in wanted or wanted & set(chain.devices))
        )

    def _make(self, family: int, name: str) -> Hook:
        programs, nftables = self.programs(family), self._of_nftables(family, name)
        chains = [_foreign(chain) for chain in nftables if chain.type != "nat"]
        nat = [_foreign(chain) for chain in nftables if chain.type == "nat"]
        for program in programs:
            nat.append(BaseChain(priority_of("nat", name, program.backend), "nat", program))
            chains += [
                BaseChain(priority_of(table, name, program.backend), table, program)
                for table in TABLES[name]
                if table != "nat"
            ]
        if name in (PREROUTING, OUTPUT):
            chains.append(BaseChain(CONNTRACK_PRIORITY, CONNTRACK))
        if name in NAT_SIDE:
            chains.append(BaseChain(priority_of("nat", name), "nat"))
        tracks = family in self._nftables.tracked or any(program.tracks for program in programs)
        return Hook(name, _by_priority(chains), _by_priority(nat), tracks)

    def _of_nftables(self, family: int, name: str) -> list[NftChain]:
        """Return the chains of nftables at a hook of IP; a chain whose hook was not saved may be at any."""
        return [
            chain
            for chain in self._nftables.chains
            if chain.family in _FAMILIES[family] and chain.hook in (None, name.lower())
        ]


def _by_priority(chains: Iterable[BaseChain]) -> tuple[BaseChain, ...]:
    return tuple(sorted(chains, key=lambda chain: chain.priority))


def _foreign(chain: NftChain) -> BaseChain:
    # if its priority was not saved, it may be the first
    return BaseChain(-(2**31) if chain.priority is None else chain.priority, chain.table, nftables=chain)


def _ordered(chains: Iterable[NftChain]) -> list[NftChain]:
    return sorted(chains, key=lambda chain: chain.priority or 0)
