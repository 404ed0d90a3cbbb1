"""Nat at a hook: its chains are evaluated once per connection; then all packets of the connection are rewritten.

Source: nf_nat_inet_fn and nf_nat_icmp_reply_translation (net/netfilter/nf_nat_core.c, nf_nat_proto.c).
"""

from __future__ import annotations

from iptsim.connection import Connection
from iptsim.extensions.context import Context
from iptsim.languages import message
from iptsim.netfilter import conntrack, hooks, nat
from iptsim.netfilter.chain_evaluation import evaluate
from iptsim.netfilter.hook_order import in_order
from iptsim.netfilter.hooks import Hook, NftablesChain
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.missing_nat import services, unseen_translations
from iptsim.netfilter.nftables import pass_chain
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.translation import translate
from iptsim.packet import is_icmp_error
from iptsim.truth import Unknown

_TRANSLATED = frozenset({"SNAT", "DNAT"})
_ANY_CHAIN = Unknown(
    message("whether the host has a nat chain that no file shows"), message("table nat in the dump")
)


def pass_nat(kernel: Kernel, context: Context, hook: Hook) -> Outcome | None:
    """Take a packet through nat. Return None if it continues."""
    connection = context.connection
    if connection is None or context.state in (None, "INVALID", "UNTRACKED"):
        return None
    if _is_translated(connection) and not _is_there(kernel, context):
        return None
    side = hooks.NAT_SIDE[hook.name]
    opens = context.state in ("NEW", "RELATED") and not is_icmp_error(context.packet)
    if opens and side not in connection.nat_done:
        outcome = _evaluate(kernel, context, connection, side, hook)
        if outcome is not None:
            return outcome
    return _rewrite(kernel, context, connection, side, hook)


def _evaluate(
    kernel: Kernel, context: Context, connection: Connection, side: str, hook: Hook
) -> Outcome | None:
    """Evaluate the nat chains until one of them translates the connection."""
    for chain in in_order(kernel, hook.name, hook.nat):
        if isinstance(chain, NftablesChain):
            outcome = pass_chain(kernel, context, chain.chain)
        else:
            outcome = evaluate(kernel, context, chain)
        if outcome is not None:
            return outcome
        if side in connection.nat_done:
            break
    if kernel.is_host and side not in connection.nat_done:
        _translate_unseen(kernel, context)
    if side == "src" and side not in connection.nat_done:
        nat.keep_source(connection, kernel.tracked)
    connection.nat_done |= {side}
    return None


def _translate_unseen(kernel: Kernel, context: Context) -> None:
    """Follow the branches on which a table nat that is not shown translates a connection."""
    company = kernel.company
    rulesets = [program.ruleset for program in kernel.hooks.programs(context.packet.family)]
    possible = list(unseen_translations(kernel.host, rulesets, context))
    if company is not None:
        company.compared(context.packet, services(kernel.host, rulesets, context))
    for found in possible:
        if kernel.choices.choose(found.unknown, "unseen", found.words, otherwise=found.otherwise):
            kernel.choices.settled["nat", _ANY_CHAIN.key] = True
            translate(kernel, context, found.wanted)
            if company is not None:
                company.translated(context, found.wanted)
            return


def _rewrite(
    kernel: Kernel, context: Context, connection: Connection, side: str, hook: Hook
) -> Outcome | None:
    """Rewrite a packet according to its connection's entry, or drop it if that is impossible."""
    packet = context.packet
    if conntrack.is_icmp_redirect(packet) and _is_translated(connection):
        # nf_nat_icmp_reply_translation: the route in it does not apply to the sender
        note = message("the kernel drops ICMP redirects for translated connections")
        return kernel.drop("nat-failed", note, hook.name)
    # a checksum that was correct on arrival, or when the host sent it, stays correct: the kernel keeps the sum of the
    # whole packet (nf_ip6_checksum)
    verified = kernel.passage.sent is None or hook.name != hooks.OUTPUT
    if packet.checksum_error and not verified and is_icmp_error(packet) and _has_chains(kernel, context):
        return kernel.drop("nat-failed", message("its checksum is wrong"), hook.name)
    if _leaves_elsewhere(context, connection) and not is_icmp_error(packet):
        note = message(
            "its connection was masqueraded for {device}; the kernel drops packets of it that leave elsewhere",
            device=connection.masqueraded_on or "",
        )
        return kernel.drop("nat-failed", note, hook.name)
    if not nat.translate(packet, connection, side, context.direction):
        return kernel.drop("nat-failed", message("its GRE header cannot be translated"), hook.name)
    if kernel.company is not None:
        kernel.company.rewritten(context, side)
    return None


def _leaves_elsewhere(context: Context, connection: Connection) -> bool:
    """Return whether a masqueraded connection's packet leaves by another interface (nf_nat_oif_changed)."""
    if context.hook != hooks.POSTROUTING or context.direction != "original":
        return False
    return connection.masqueraded_on not in (None, context.out_interface)


def _is_translated(connection: Connection) -> bool:
    return not connection.status.isdisjoint(_TRANSLATED)


def _is_there(kernel: Kernel, context: Context) -> bool:
    """Return whether the kernel translates packets of a translated connection: as long as there is any nat chain.

    A bare dump may lack table nat, and nftables may have nat chains of its own.
    """
    if kernel.host.inferred or _has_chains(kernel, context):
        return True
    return kernel.choices.choose(_ANY_CHAIN, "nat", message("the host has a nat chain"))


def _has_chains(kernel: Kernel, context: Context) -> bool:
    """Return whether there are nat chains; with any, the kernel translates at all hooks (nf_nat_register_fn)."""
    family = context.packet.family
    programs = kernel.hooks.programs(family)
    return kernel.hooks.has_nftables_nat(family) or any("nat" in one.ruleset.tables for one in programs)
