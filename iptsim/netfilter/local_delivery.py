"""Local delivery: INPUT, and the program of this namespace that the packet reaches (net/ipv4/ip_input.c)."""

from __future__ import annotations

from typing import Literal

from iptsim.extensions.context import Context
from iptsim.netfilter import hooks, routing
from iptsim.netfilter.conntrack_hook import confirm
from iptsim.netfilter.hook_evaluation import pass_hook
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.steps import Delivery
from iptsim.packet import Packet


def deliver(kernel: Kernel, context: Context) -> Outcome:
    """Pass INPUT and deliver the packet here."""
    context.out_interface = None
    context.bridged = False
    outcome = pass_hook(kernel, context, hooks.INPUT) or confirm(kernel, context)
    if outcome is not None:
        return outcome
    kind: Literal["container", "host"] = "host" if kernel.is_host else "container"
    name = kernel.namespace.name
    return Outcome("ACCEPT", Delivery(kind, name, context.packet, context.in_interface))


def is_joined(kernel: Kernel, packet: Packet) -> bool:
    """Return whether the host is in the multicast group that a packet goes to."""
    stated, pasted = kernel.world.fact("joined"), kernel.world.host.pasted
    if stated is None and pasted is not None and packet.dst in pasted.groups:
        return True
    return packet.dst == routing.ALL_HOSTS4 or bool(stated)
