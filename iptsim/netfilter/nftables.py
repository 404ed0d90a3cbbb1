"""Base chains of nftables that iptables did not create: what they do to a packet is undecided.

A chain that can only let packets continue has no effect. Rules that have equivalents in iptables are evaluated. For any
other chain each result is a branch of its own: that it accepts the packet, and each effect that it may have.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from iptsim.extensions.context import Context
from iptsim.extensions.parameters import Parameters
from iptsim.host.nft_chains import NftChain, NftEffect
from iptsim.languages import Text, message
from iptsim.netfilter.chain_evaluation import evaluate_chain
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.nft_program import NftProgram, program_of
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import FinalVerdict
from iptsim.truth import Unknown

#: The name that decides every chain at once, as in `--assume nftables=yes`.
MODULE = "nftables"
#: The priority of br_netfilter (NF_BR_PRI_BRNF); of equal ones, the chain comes first, as it was registered later.
_BR_NETFILTER = 0
_VERDICTS: dict[NftEffect, FinalVerdict] = {"drop": "DROP", "reject": "REJECT", "change": "DEPENDS"}


def chain_name(chain: NftChain) -> str:
    """Return a chain as nft(8) names it: "inet fw input"; without the chain if only its table is known."""
    return " ".join(filter(None, (chain.family, chain.table, chain.name)))


def chain_place(chain: NftChain) -> Text:
    """Return a chain with its hook, priority and policy."""
    if chain.hook is None:
        return message("nftables {chain} (hook, priority and policy unknown)", chain=chain_name(chain))
    return message(
        "nftables {chain} (hook {hook}, priority {priority}, policy {policy})",
        chain=chain_name(chain),
        hook=chain.hook,
        priority=chain.priority if chain.priority is not None else message("unknown"),
        policy=chain.policy or message("unknown"),
    )


def assumable(chain: NftChain) -> str:
    """Return what `--assume` calls a chain: "inet:fw:input"; "ip:filter" where only its table is known."""
    return ":".join(filter(None, (chain.family, chain.table, chain.name)))


def pass_bridge(
    kernel: Kernel, context: Context, hook: str, *, came_by: str | None = None, late: bool | None = None
) -> Outcome | None:
    """Pass the chains of the bridge family at a hook.

    Args:
        came_by: the port by which the frame came in, which is its interface there.
        late: only those after the function by which br_netfilter shows frames to iptables (NF_BR_PRI_BRNF), or only
            those before it; None for all.
    """
    chains = kernel.hooks.at_bridge(hook)
    if not chains:
        return None
    before = context.in_interface
    context.in_interface = came_by or before
    outcome = _pass_all(
        kernel, context, (one for one in chains if late in (None, (one.priority or 0) > _BR_NETFILTER))
    )
    context.in_interface = before
    return outcome


def pass_device(kernel: Kernel, context: Context, hook: str, *devices: str | None) -> Outcome | None:
    """Pass the chains at the ingress or egress of interfaces.

    Args:
        devices: those that the packet passes; None for one that is unknown.
    """
    chains = kernel.hooks.at_device(hook, devices)
    return _pass_all(kernel, context, chains) if chains else None


def _pass_all(kernel: Kernel, context: Context, chains: Iterable[NftChain]) -> Outcome | None:
    for chain in chains:
        outcome = pass_chain(kernel, context, chain)
        if outcome is not None:
            return outcome
    return None


def pass_chain(kernel: Kernel, context: Context, chain: NftChain) -> Outcome | None:
    """Pass a chain. Return None if the packet continues unchanged."""
    if (walked := _walkable(kernel, context, chain)) is not None:
        before = context.hook
        if chain.family == "bridge":
            context.hook = (chain.hook or "").upper()
        outcome = evaluate_chain(kernel, context, walked.program, walked.base)
        context.hook = before
        return outcome
    hook = (chain.hook or context.hook).upper()
    if not chain.effects:
        note = message("{chain} has no rule that drops or changes packets", chain=chain_place(chain))
        _add_step(kernel, chain, hook, "ACCEPT", note)
        return None
    effect = _effect(kernel, chain)
    what = _clause(chain_place(chain), effect)
    if effect is None:
        _add_step(kernel, chain, hook, "ACCEPT", what)
        return None
    _add_step(kernel, chain, hook, _VERDICTS[effect], what)
    return Outcome(_VERDICTS[effect], context=context)


def _walkable(kernel: Kernel, context: Context, chain: NftChain) -> NftProgram | None:
    """Return a chain whose rules can be evaluated; None where its effect is decided as a whole."""
    if not chain.effects or kernel.world.assumed_of(assumable(chain), MODULE) is not None:
        return None
    found = program_of(chain, context.packet.family)
    # the names of ports are invented where nothing shows them
    unknown = chain.family == "bridge" and kernel.host.inferred and found is not None and _names_ports(found)
    return None if unknown else found


def _names_ports(found: NftProgram) -> bool:
    """Return whether a rule of a chain of bridges names the port by which frames come in."""
    conditions = (one for rule in found.program.ruleset.rules() for one in (rule.parameters, *rule.matches))
    return any(isinstance(one, Parameters) and one.in_interface is not None for one in conditions)


def _add_step(kernel: Kernel, chain: NftChain, hook: str, verdict: str, note: Text) -> None:
    kernel.add(Step(hook, verdict, note=note, code="nft-chain", nftables=chain))


def _effect(kernel: Kernel, chain: NftChain) -> NftEffect | None:
    """Decide what a chain does to the packets of this question; it is the same for all of them."""
    assumed = kernel.world.assumed_of(assumable(chain), MODULE)
    if assumed:
        return None
    effects = chain.effects
    if assumed is None and _choose(kernel, chain, "", effects[0] if len(effects) == 1 else ""):
        return None
    for place, effect in enumerate(effects[:-1], 1):
        if _choose(kernel, chain, effect, effects[place] if place == len(effects) - 1 else ""):
            return effect
    return effects[-1]


def _choose(
    kernel: Kernel, chain: NftChain, effect: NftEffect | Literal[""], other: NftEffect | Literal[""]
) -> bool:
    """Decide whether a chain has an effect ("": accepts); if two effects are left, which one."""
    unknown = Unknown(
        message("{chain}, whose rules iptsim does not evaluate", chain=chain_place(chain)),
        f"--assume {assumable(chain)}=yes",
        (chain, effect),
    )
    name = message("nftables {chain}", chain=chain_name(chain))
    otherwise = _clause(name, other) if other else ""
    return kernel.choices.choose(unknown, MODULE, _clause(name, effect), otherwise=otherwise, chain=chain)


def _clause(chain: Text, effect: NftEffect | Literal[""] | None) -> Text:
    """Return what a chain does; without an effect it accepts."""
    if effect == "drop":
        return message("{chain} drops it", chain=chain)
    if effect == "reject":
        return message("{chain} rejects it", chain=chain)
    if effect == "change":
        return message("{chain} changes it", chain=chain)
    return message("{chain} accepts it", chain=chain)
