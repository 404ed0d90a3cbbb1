"""Carrying out what a nat target requests: translating the connection, and its first packet."""

from __future__ import annotations

from iptsim.extensions.context import Context
from iptsim.extensions.verdicts import Translation
from iptsim.host.source_address import facing_address, select_source
from iptsim.netfilter import hooks, nat
from iptsim.netfilter.kernel import Kernel


def translate(kernel: Kernel, context: Context, wanted: Translation) -> bool:
    """Carry out what a nat target requests. Returns False if there is no address to use."""
    connection = context.connection
    if connection is None:
        return True
    addresses = wanted.addresses
    if addresses is None and wanted.target in ("MASQUERADE", "REDIRECT"):
        own = own_address(kernel, context, wanted.target)
        if own is None:
            return False
        addresses = (own, own)
        if wanted.target == "MASQUERADE":
            connection.masqueraded_on = context.out_interface
    nat.set_up(connection, context.packet, wanted, addresses, kernel.tracked)
    connection.nat_done |= {wanted.side}
    nat.translate(context.packet, connection, wanted.side, context.direction)
    return True


def own_address(kernel: Kernel, context: Context, target: str) -> int | None:
    """Return the host's own address that MASQUERADE and REDIRECT use (nf_nat_masquerade.c, nf_nat_redirect.c)."""
    packet, namespace = context.packet, kernel.namespace
    if target == "MASQUERADE":
        gateway = kernel.passage.gateway
        next_hop = gateway if gateway is not None else packet.dst
        device = context.out_interface or ""
        return select_source(namespace, packet.family, device, packet.dst, gateway=next_hop)
    if context.hook == hooks.OUTPUT:
        return 0x7F000001 if packet.family == 4 else 1
    interface = namespace.interfaces.get(context.in_interface or "")
    facing = facing_address(interface, packet.family, packet.dst) if interface else None
    if facing is None and kernel.host.inferred:  # it has one that no rule names; any of the host is as good
        return next(iter(namespace.outer_addresses(packet.family)), None)
    return facing
