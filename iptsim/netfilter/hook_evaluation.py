"""Passing a hook: its base chains in order, with connection tracking, nat, and rerouting after OUTPUT.

Sources: nf_hook_slow (net/netfilter/core.c), net/ipv4/netfilter.c, and measurements.
"""

from __future__ import annotations

from iptsim.extensions.context import Context
from iptsim.netfilter import conntrack_hook, hooks
from iptsim.netfilter.chain_evaluation import evaluate
from iptsim.netfilter.hook_order import in_order
from iptsim.netfilter.hooks import Hook, IptablesChain, KernelFunction, NftablesChain, Registered
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.missing_tables import unseen_block
from iptsim.netfilter.nat_hook import pass_nat
from iptsim.netfilter.nftables import pass_chain
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.route_selection import reroute, route_key


def pass_hook(kernel: Kernel, context: Context, name: str) -> Outcome | None:
    """Take a packet through a hook. Return None if it continues, else its outcome."""
    context.hook = name
    packet = context.packet
    hook = kernel.hooks.at(packet.family, name)
    conntrack_hook.defragment(kernel, context, hook)
    unseen = hook.lacks_table
    if unseen and name == hooks.PREROUTING and (outcome := _pass_unseen(kernel, context)) is not None:
        return outcome
    for entry in in_order(kernel, name, hook.entries):
        if name == hooks.OUTPUT and _may_reroute(entry):
            before = route_key(packet)
            outcome = _pass(kernel, context, hook, entry)
            if outcome is None:
                outcome = reroute(kernel, context, before, nat=isinstance(entry, KernelFunction))
        else:
            outcome = _pass(kernel, context, hook, entry)
        if outcome is not None:
            return outcome
    return _pass_unseen(kernel, context) if unseen and name != hooks.PREROUTING else None


def _pass(kernel: Kernel, context: Context, hook: Hook, entry: Registered) -> Outcome | None:
    """Take a packet through what is registered at a hook."""
    if isinstance(entry, IptablesChain):
        return evaluate(kernel, context, entry)
    if isinstance(entry, NftablesChain):
        return pass_chain(kernel, context, entry.chain)
    if entry.name == "nat":
        destination = context.packet.dst
        outcome = pass_nat(kernel, context, hook)
        kernel.passage.translated = context.packet.dst != destination
        return outcome
    conntrack_hook.track(kernel, context)
    return None


def _may_reroute(entry: Registered) -> bool:
    """Return whether the kernel routes a local packet again after an entry: mangle, nat, chains of type route."""
    if isinstance(entry, KernelFunction):
        return entry.name == "nat"
    if isinstance(entry, NftablesChain):
        return entry.chain.type == "route"
    return entry.table == "mangle"


def _pass_unseen(kernel: Kernel, context: Context) -> Outcome | None:
    """Follow both branches if a table that the source does not show may block the packet."""
    flow = context.packet.flow
    if not kernel.is_host or any(flow == one.reply for one in kernel.connections):
        return None
    rulesets = [program.ruleset for program in kernel.hooks.programs(context.packet.family)]
    found = unseen_block(kernel.host, rulesets, context)
    if found is None or not kernel.choices.choose(found.unknown, "unseen", found.words):
        return None
    return kernel.drop("rules-not-shown", found.note, context.hook)
