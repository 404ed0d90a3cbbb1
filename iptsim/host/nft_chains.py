"""The base chains of nftables in a network namespace, and their rules in the notation of iptables."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from iptsim.addresses import Family
from iptsim.frozen import Frozen

#: What an nftables base chain could do to a packet: drop it, reject it, rewrite it, or affect later rules.
NftEffect = Literal["drop", "reject", "change"]
ALL_EFFECTS: tuple[NftEffect, ...] = get_args(NftEffect)


class NftProxy(NamedTuple):
    """Where `tproxy` expects a proxy: its address, "" for any, and its port, 0 for that of the packet."""

    address: str
    port: int


class NftRule(NamedTuple):
    """A rule of nftables, or one of its alternatives, in the notation of iptables.

    Attributes:
        chain: the chain.
        position: the rule's number in the chain, from 1; its alternatives have the same.
        words: its options, followed by the called chain, if any.
        also: further options, those that iptables allows only once in a rule.
        hidden: its conditions without an equivalent in iptables.
        called: the chain to which it jumps or goes.
        proxy: the transparent proxy that must serve the packet.
        gap: it represents rules that are not shown: "some", or "all" rules of the chain; "" for a rule.
        unread: its statement without an equivalent in iptables, which changes packets or where they go.
        part: the chain of its own that contains this statement of the rule; "" where it is in `chain`.
        checked: the options that the rule checked before this statement, for what it may have changed since.
    """

    chain: str
    position: int
    words: str
    hidden: str = ""
    called: str = ""
    also: tuple[str, ...] = ()
    proxy: NftProxy | None = None
    gap: Literal["", "some", "all"] = ""
    unread: str = ""
    part: str = ""
    checked: tuple[str, ...] = ()

    @property
    def holder(self) -> str:
        """The chain that contains it: that of the rule, or the one of its own."""
        return self.part or self.chain


class NftListed(NamedTuple):
    """How a source shows a rule.

    Attributes:
        text: as nft prints it, without counters.
        line: its line; 0 for a rule in JSON.
        handle: its number, for commands; None if the source does not show it.
    """

    text: str
    line: int = 0
    handle: int | None = None


@dataclass(frozen=True)
class NftListing:
    """How a source shows the rules of a table.

    Attributes:
        rules: by chain and position.
    """

    rules: dict[tuple[str, int], NftListed] = field(default_factory=dict)

    def __hash__(self) -> int:
        return len(self.rules)


class NftChain(Frozen):
    """An nftables base chain; None means that a value was not saved.

    Attributes:
        family: "ip", "ip6", "inet", "bridge", "netdev" or "arp".
        type: "filter", "nat" or "route".
        hook: "prerouting", "input", "forward", "output", "postrouting", "ingress" or "egress".
        policy: "accept" or "drop".
        devices: the interfaces whose ingress or egress hook it uses.
        effects: what it could do; empty if it can only let packets continue.
        listing: how the source shows the rules of its table.
        rules: by address family, its rules and those of the chains that it calls, in the notation of iptables; a family
            is missing if they have no such notation.
    """

    family: str
    table: str
    name: str | None = None
    type: str | None = None
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None
    devices: tuple[str, ...] = ()
    effects: tuple[NftEffect, ...] = ()
    listing: NftListing = NftListing()
    rules: tuple[tuple[Family, tuple[NftRule, ...]], ...] = ()

    def __hash__(self) -> int:
        # of the rules, which may be many, only the counts: chains are keys of caches
        counts = tuple((family, len(rules)) for family, rules in self.rules)
        return hash((self.family, self.table, self.name, self.hook, self.priority, counts))

    def as_json(self) -> dict[str, Any]:
        """Return the chain as plain data."""
        named = ("family", "table", "name", "type", "hook", "priority", "policy")
        return {"chain" if name == "name" else name: getattr(self, name) for name in named}


class NftRuleset(Frozen):
    """The nftables base chains in a network namespace.

    Attributes:
        chains: including those of iptables-nft.
        tracked: the address families for which a rule enables connection tracking.
        interfaces: the names of interfaces in rules, in their order, without patterns.
        uplinks: those of which rules translate the source of the packets that leave there.
    """

    chains: tuple[NftChain, ...] = ()
    tracked: frozenset[Family] = frozenset()
    interfaces: tuple[str, ...] = ()
    uplinks: tuple[str, ...] = ()
