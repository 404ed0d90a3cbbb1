"""One packet's way through the host's kernel, from where it comes in or is sent to where it ends.

A :class:`Journey` is one run of one question; :mod:`iptsim.netfilter.walk` runs all the ways that it can
go. Sources: net/ipv4/ip_{input,forward,output}.c, net/bridge/br_netfilter_hooks.c, and measurements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from iptsim.host import fib
from iptsim.host.namespace import Interface
from iptsim.host.source import is_link_local
from iptsim.languages import say
from iptsim.netfilter import hooks, routing
from iptsim.netfilter.bridges import Bridges
from iptsim.netfilter.chains import Fate
from iptsim.netfilter.trace import Delivery
from iptsim.packet import NO_ZONE, Context, Packet, address_text


class Journey(Bridges):
    """One run of a question through a network namespace, the host's or a container's."""

    # -- entrances --------------------------------------------------------------------------------------

    def receive(
        self, packet: Packet, interface: str, next_hop: int | None = None, *, discovered: bool = False
    ) -> Fate:
        """Follow a packet that arrives on an interface of the namespace.

        Args:
            packet: is changed on the way.
            interface: on which it arrives; a bridge port counts as such.
            next_hop: the address whose MAC the sender put in the frame, when it arrives on a bridge
                port; None: the bridge's own.
            discovered: the sender knows that MAC address already (IPv6).
        """
        context = self._context(packet)
        port = self.namespace.interfaces.get(interface)
        fate = self._pass_device(context, "ingress", *self._lower(interface))
        if fate is not None:
            return fate
        if port is not None and port.master is not None:
            if self._is_bridge(port.master):
                return self._receive_from_port(context, port, next_hop, discovered)
            if self.namespace.interfaces[port.master].kind == "bond":
                # the bond takes the packet over before any hook (bond_handle_frame)
                return self.receive(packet, port.master, next_hop, discovered=discovered)
        context.in_interface = interface
        if self._is_for_others(packet, port):
            return self._kernel_drop(
                "not-for-host", say("the frame's destination MAC address is not the host's"), "LINK"
            )
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        fate = self._hook(context, hooks.PREROUTING)
        return fate or self._route(context)

    def receive_from_outside(self, packet: Packet, interface: str) -> Fate:
        """Follow a packet that somebody outside sends, by an interface of the namespace, a bridge or its port."""
        entrance, next_hop = self._entrance(packet, interface)
        return self.receive(packet, entrance, next_hop, discovered=True)

    def _lower(self, name: str) -> list[str]:
        """Return an interface and those that carry its frames: of a VLAN its parent, of a bond its ports."""
        interface = self.namespace.interfaces.get(name)
        found = [name]
        if interface is not None and interface.kind == "vlan" and interface.parent:
            found += self._lower(interface.parent)
        elif interface is not None and interface.kind == "bond":
            found += [port.name for port in self.namespace.ports(name)]
        return found

    def _is_for_others(self, packet: Packet, interface: Interface | None) -> bool:
        """Tell whether a frame is addressed to another machine (PACKET_OTHERHOST: no hook sees it)."""
        if packet.dst_mac is None or interface is None or interface.mac is None:
            return False
        return packet.pkttype == "unicast" and packet.dst_mac.lower() != interface.mac.lower()

    def send(self, packet: Packet, *, keep_source: bool = True) -> Fate:
        """Follow a packet that a program of this namespace sends.

        Args:
            packet: is changed on the way.
            keep_source: the source address is settled; else the kernel picks it by the route.
        """
        context = self._context(packet)
        packet.local_socket = True
        self.sent = packet.copy()
        found = self._lookup_output(packet, source=packet.src if keep_source else None)
        if found is None or found.type not in ("unicast", "local", "broadcast", "multicast", "anycast"):
            why = (found and routing.refusal(found)) or say("there is no route to the destination")
            return self._kernel_drop("no-route", say("nothing is sent: {why}", why=why))
        if not keep_source:
            source = fib.source_address(self.namespace, packet.family, found, packet.dst)
            if source is None:
                return self._kernel_drop(
                    "no-source", say("nothing is sent: there is no address to send from")
                )
            packet.src = source
        self.sent = packet.copy()
        if (bad := self._bad_output(packet, found.device)) is not None:
            return bad
        self._note_policy(routing.policy_words(found))
        interface = self.namespace.interfaces.get(found.device or "")
        mtu = routing.mtu_of(found) or (interface.mtu if interface is not None else None)
        if packet.extra.get("ip_df") and self._is_too_big(packet, mtu):
            return self._too_big(packet, mtu)
        return self._output(context, found)

    def answer_reject(self, packet: Packet, rejected: Context) -> Fate:
        """Follow the packet that REJECT sends back; it belongs to the rejected packet's connection."""
        context = self._context(packet)
        found = self._lookup_output(packet, source=None)
        if found is None or found.device is None:
            return self._kernel_drop("no-route", say("the answer has no way back"))
        if (bad := self._bad_output(packet, found.device)) is not None:
            return bad
        if rejected.connection is not None:
            context.connection, context.state = rejected.connection, "RELATED"
            context.direction = "original" if rejected.direction == "reply" else "reply"
        else:
            packet.quoted = rejected.packet.flow
            # an untracked packet's answer inherits that there is no entry: CT does nothing then, but
            # conntrack looks it up
            context.template = rejected.state == "UNTRACKED"
        return self._output(context, found)

    # -- input path -------------------------------------------------------------------------------------

    def _route(self, context: Context, entered: str | None = None) -> Fate:
        """Route a packet that came in; `entered` where IP takes another interface for the one it came by."""
        interface = context.in_interface or "lo"
        context.entered = entered or interface
        joined = self._is_joined(context.packet)
        decision = routing.route_input(
            self.namespace, context.packet, interface, joined=joined, next_hop=self._next_hop
        )
        if decision.kind == "drop":
            return self._kernel_drop(decision.code, decision.note)
        self._note_policy(decision.policy)
        if decision.kind == "local":
            return self._deliver(context)
        return self._forward(context, decision)

    def _deliver(self, context: Context) -> Fate:
        context.out_interface = None
        context.bridged = False
        fate = self._hook(context, hooks.INPUT)
        if fate is not None:
            return fate
        self._confirm(context)
        name = self.namespace.name
        kind: Literal["container", "host"] = "host" if self.namespace is self.host.namespace else "container"
        return Fate("ACCEPT", Delivery(kind, name, context.packet.copy(), context.in_interface))

    def _forward(self, context: Context, decision: routing.Decision) -> Fate:
        packet = context.packet
        if packet.pkttype != "unicast":
            return self._kernel_drop(
                "not-for-host", say("a {pkttype} frame is not forwarded", pkttype=packet.pkttype)
            )
        if packet.ttl <= 1:
            return self._kernel_drop(
                "ttl-exceeded", say("the TTL has run out; the host answers with time exceeded")
            )
        if (refused := self._refused_forwarding(context, decision)) is not None:
            return refused
        packet.ttl -= 1
        context.out_interface, self._gateway = decision.device, decision.gateway
        fate = self._hook(context, hooks.FORWARD)
        if fate is not None:
            return fate
        fate = self._hook(context, hooks.POSTROUTING)
        if fate is not None:
            return fate
        self._confirm(context)
        if packet.family == 6 and self._is_too_big(packet, decision.mtu):
            # a route's MTU counts only when the packet leaves (ip6_dst_mtu_maybe_forward, ip6_fragment)
            return self._too_big(packet, decision.mtu)
        return self._transmit(context, decision.gateway)

    def _refused_forwarding(self, context: Context, decision: routing.Decision) -> Fate | None:
        """Drop what ip_forward and ip6_forward do not pass on for its size or its source."""
        packet, device = context.packet, decision.device or ""
        link_local = packet.family == 6 and (packet.src == 0 or is_link_local(6, packet.src))
        if link_local and device != context.entered:
            return self._kernel_drop(
                "martian",
                say(
                    "a packet from {address} is not forwarded to another link",
                    address=address_text(6, packet.src),
                ),
            )
        interface = self.namespace.interfaces.get(device)
        mtu = interface.mtu if interface is not None else None
        if packet.family == 4 and decision.mtu is not None:
            mtu = decision.mtu
        return self._too_big(packet, mtu) if self._is_too_big(packet, mtu) else None

    # -- output path ------------------------------------------------------------------------------------

    def _output(self, context: Context, found: fib.RouteResult) -> Fate:
        self._way_out = found
        context.out_interface = self._device(found)
        fate = self._hook(context, hooks.OUTPUT)
        if fate is not None:
            return fate
        found = self._way_out
        context.out_interface, self._gateway = self._device(found), found.gateway_of(context.packet.family)
        if found.type == "broadcast" or (found.type == "multicast" and self._is_joined(context.packet)):
            self._hear_oneself(context)
        fate = self._hook(context, hooks.POSTROUTING)
        if fate is not None:
            return fate
        self._confirm(context)
        if context.out_interface == "lo":
            return self._loop_back(context)
        return self._transmit(context, self._gateway if found.type == "unicast" else None)

    def _device(self, found: fib.RouteResult) -> str | None:
        return "lo" if found.type in ("local", "anycast") else found.device

    def _loop_back(self, context: Context) -> Fate:
        """Follow a packet from the host to itself: it comes in again on lo, with the same connection."""
        fate = self._pass_device(context, "egress", "lo") or self._pass_device(context, "ingress", "lo")
        if fate is not None:
            return fate
        context.in_interface, context.out_interface = "lo", None
        self._forget_invalid(context)
        fate = self._hook(context, hooks.PREROUTING)
        if fate is None and self._translated:
            # the route that it brought along fits no longer
            return self._route(context)
        return fate or self._deliver(context)

    def _is_joined(self, packet: Packet) -> bool:
        """Tell whether the host is in the multicast group that a packet goes to."""
        return packet.dst == routing.ALL_HOSTS4 or bool(self.world.fact("joined"))

    def _forget_invalid(self, context: Context) -> None:
        """Let conntrack look again at an INVALID packet that comes in: nothing is noted at it."""
        if context.state == "INVALID":
            # what is wrong with it stays
            if self._stated is not None:
                self.world.force(self._stated)
            context.state, context.template, context.zone = None, False, NO_ZONE

    def _hear_oneself(self, context: Context) -> None:
        """Let a copy of the host's own broadcast come back to it, before the packet itself leaves.

        What becomes of the copy does not stop the packet (ip_mc_output).
        """
        copy = replace(context, packet=context.packet.copy())
        # a clone has no socket
        copy.packet.local_socket = False
        if self._hook(copy, hooks.POSTROUTING) is not None:
            return
        self._confirm(copy)
        copy.in_interface, copy.out_interface = context.out_interface, None
        copy.packet.pkttype = "loopback"
        self._forget_invalid(copy)
        if self._hook(copy, hooks.PREROUTING) is None:
            self._hook(copy, hooks.INPUT)

    # -- the way out ------------------------------------------------------------------------------------

    def _transmit(self, context: Context, gateway: int | None) -> Fate:
        packet, device = context.packet, context.out_interface or ""
        next_hop = gateway if gateway is not None else packet.dst
        if self.namespace is not self.host.namespace:
            link = Delivery("outside", address_text(packet.family, next_hop), packet.copy(), device)
            return Fate("ACCEPT", link, next_hop=next_hop)
        target = self.world.neighbour(packet.family, next_hop, device)
        if target is None:
            who = address_text(packet.family, next_hop)
            return self._kernel_drop(
                "no-neighbour", say("nobody on {device} answers for {who}", device=device, who=who), "ROUTING"
            )
        fate = self._pass_device(context, "egress", *self._lower(device))
        if fate is None and self._is_bridge(device):
            fate = self._pass_bridge(context, "output") or self._to_port(context, target.ports)
        return fate or self._hand_over(packet, target.container, target.name, device)
