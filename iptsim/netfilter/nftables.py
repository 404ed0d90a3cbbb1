"""Passing base chains of nftables that iptables did not create: what they could do is undecided.

Their rules are not evaluated. A chain that holds nothing but what lets packets go on is passed; of any other the
walk takes each way: it accepts the packet, and for each thing that it could do, it does that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from iptsim.host.namespace import NftChain, NftEffect, NftRuleset
from iptsim.languages import later, say, told
from iptsim.netfilter.chains import Chains, Fate
from iptsim.netfilter.trace import FinalVerdict, Step
from iptsim.packet import Context, Unknown

#: What decides every chain at once, as in `--assume nftables=yes`.
MODULE = "nftables"
_FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
_FATES: dict[NftEffect, FinalVerdict] = {"drop": "DROP", "reject": "REJECT", "change": "DEPENDS"}


def chain_name(chain: NftChain) -> str:
    """Return how nft(8) names a chain: "inet fw input"; without the chain where only its table is known."""
    return " ".join(filter(None, (chain.family, chain.table, chain.name)))


def chain_place(chain: NftChain) -> str:
    """Return a chain with its hook, priority and policy, to be told later."""
    if chain.hook is None:
        return later("nftables {chain} (hook, priority and policy unknown)", chain=chain_name(chain))
    return later(
        "nftables {chain} (hook {hook}, priority {priority}, policy {policy})",
        chain=chain_name(chain),
        hook=chain.hook,
        priority=chain.priority,
        policy=chain.policy or later("unknown"),
    )


def assumable(chain: NftChain) -> str:
    """Return what `--assume` calls a chain: "inet:fw:input"; "ip:filter" where only its table is known."""
    return ":".join(filter(None, (chain.family, chain.table, chain.name)))


class NftChains(Chains):
    """Takes packets through the base chains of nftables in a network namespace."""

    @property
    def _nftables(self) -> NftRuleset:
        return self.namespace.nftables or _NONE

    def _nft_at(self, family: int, hook: str) -> list[NftChain]:
        """Return the chains at a hook of IP; a chain whose hook was not saved may be at any."""
        families, name = _FAMILIES[family], hook.lower()
        return [
            chain
            for chain in self._nftables.chains
            if chain.family in families and chain.hook in (None, name)
        ]

    def _pass_bridge(self, context: Context, hook: str) -> Fate | None:
        """Pass the chains of the bridge family at a hook."""
        return self._pass_all(
            context,
            (
                chain
                for chain in self._nftables.chains
                if chain.family == "bridge" and chain.hook in (None, hook)
            ),
        )

    def _pass_device(self, context: Context, hook: str, *devices: str | None) -> Fate | None:
        """Pass the chains at the ingress or egress of interfaces; nft before 1.0.9 does not list which.

        Args:
            devices: those that the packet passes; None for one that is unknown.
        """
        wanted = set(devices)
        return self._pass_all(
            context,
            (
                chain
                for chain in self._nftables.chains
                if chain.family in ("netdev", "inet")
                and chain.hook == hook
                and (not chain.devices or None in wanted or wanted & set(chain.devices))
            ),
        )

    def _pass_all(self, context: Context, chains: Iterable[NftChain]) -> Fate | None:
        for chain in sorted(chains, key=lambda chain: chain.priority or 0):
            fate = self._pass_chain(context, chain)
            if fate is not None:
                return fate
        return None

    def _pass_chain(self, context: Context, chain: NftChain) -> Fate | None:
        """Pass a chain. Returns None where the packet goes on unchanged."""
        hook = (chain.hook or context.hook).upper()
        if not chain.effects:
            note = say("{chain}: nothing in it drops or changes packets", chain=told(chain_place(chain)))
            self._nft_step(chain, hook, "ACCEPT", note)
            return None
        effect = self._effect(chain)
        note = told(_clause(chain_place(chain), effect))
        verdict = "ACCEPT" if effect is None else _FATES[effect]
        self._nft_step(chain, hook, verdict, note)
        return None if effect is None else Fate(_FATES[effect], context=context)

    def _nft_step(self, chain: NftChain, hook: str, verdict: str, note: str) -> None:
        self._append(Step(hook, verdict, note=note, code="nft-chain", nftables=chain))

    def _effect(self, chain: NftChain) -> NftEffect | None:
        """Decide what a chain does to the packets of this question, the same for all of them."""
        assumed = self.world.assumed_of(assumable(chain), MODULE)
        if assumed:
            return None
        effects = chain.effects
        if assumed is None and self._settle(chain, "", effects[0] if len(effects) == 1 else ""):
            return None
        for place, effect in enumerate(effects[:-1], 1):
            if self._settle(chain, effect, effects[place] if place == len(effects) - 1 else ""):
                return effect
        return effects[-1]

    def _settle(
        self, chain: NftChain, effect: NftEffect | Literal[""], other: NftEffect | Literal[""]
    ) -> bool:
        """Decide whether a chain has an effect, "" for accepting; of two effects that are left, which one."""
        key = (chain, effect)
        if key not in self.settled:
            unknown = Unknown(
                later("{chain}, whose rules iptsim does not evaluate", chain=chain_place(chain)),
                f"--assume {assumable(chain)}=yes",
            )
            name = later("nftables {chain}", chain=chain_name(chain))
            self.settled[key] = self._planned(unknown, MODULE, ("", "", 0), None, _clause(name, effect))
            self.decisions[-1].nftables = chain
            self.decisions[-1].otherwise = _clause(name, other) if other else ""
        return self.settled[key]


def _clause(chain: str, effect: NftEffect | Literal[""] | None) -> str:
    """Return what a chain does, to be told later; without an effect it accepts."""
    if effect == "drop":
        return later("{chain} drops it", chain=chain)
    if effect == "reject":
        return later("{chain} rejects it", chain=chain)
    if effect == "change":
        return later("{chain} changes it", chain=chain)
    return later("{chain} accepts it", chain=chain)


_NONE = NftRuleset()
