"""Rules of table nat whose effect the source does not show: they may translate the connection to any address."""

from __future__ import annotations

from iptsim.extensions.context import Context
from iptsim.host.nft_chains import NftChain
from iptsim.netfilter import hooks, routing
from iptsim.netfilter.kernel import Kernel

#: Addresses that every receiver takes for its own.
_LOOPBACK = {4: routing.LOOPBACK4, 6: range(1, 2)}


def is_filtered(kernel: Kernel, context: Context) -> bool:
    """Return whether any rules could block a packet that is sent elsewhere."""
    programs = kernel.hooks.programs(context.packet.family)
    if any(name != "nat" for program in programs for name in program.ruleset.tables):
        return True
    return any(chain.type != "nat" and chain.effects for chain in _nft_chains(kernel))


def source_matters(kernel: Kernel, context: Context) -> bool:
    """Return whether a new source could change what happens to a connection.

    The only rules that see it are those that a reply meets before it is translated back.
    """
    return _precedes_nat(kernel, context) or _bypasses_nat(kernel, context)


def _precedes_nat(kernel: Kernel, context: Context) -> bool:
    """Return whether PREROUTING has rules before nat, or may have some."""
    tables = [
        program.ruleset.tables.get(name)
        for program in kernel.hooks.programs(context.packet.family)
        for name in ("raw", "mangle")
    ]
    chains = [table.chains.get(hooks.PREROUTING) for table in tables if table is not None]
    if any(chain is None or chain.rules for chain in chains):
        return True
    early = (
        one for one in _nft_chains(kernel) if one.type != "nat" and one.hook in ("ingress", "prerouting")
    )
    return any(chain.effects for chain in early)


def _nft_chains(kernel: Kernel) -> tuple[NftChain, ...]:
    nftables = kernel.namespace.nftables
    return nftables.chains if nftables is not None else ()


def _bypasses_nat(kernel: Kernel, context: Context) -> bool:
    """Return whether the receiver, to which the packet was redirected, does not send its reply to this host.

    It reaches the sender on its own link, or takes a loopback address for its own. Then only a new source makes the
    reply come back here, where its own source is translated back (hairpin NAT).
    """
    packet = context.packet
    interface = kernel.namespace.interfaces.get(context.out_interface or "")
    if interface is None or context.connection is None or "DNAT" not in context.connection.status:
        return False
    if packet.src in _LOOPBACK[packet.family]:
        return interface.kind != "loopback"
    return any(one.family == packet.family and one.covers(packet.src) for one in interface.addresses)
