"""One packet's way through the host's kernel, from where it comes in or is sent to where it ends.

A :class:`Journey` is one run of one question; :mod:`iptsim.netfilter.walk` runs all the ways that it can
go. Sources: net/ipv4/ip_{input,forward,output}.c, net/bridge/br_netfilter_hooks.c, and measurements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from iptsim.host import fib
from iptsim.host.model import Container, Interface
from iptsim.host.source import LINK_LOCAL
from iptsim.languages import say
from iptsim.netfilter import hooks, routing
from iptsim.netfilter.chains import Fate
from iptsim.netfilter.passage import Passage
from iptsim.netfilter.trace import Delivery
from iptsim.packet import ICMPV6, NO_ZONE, Context, Packet, Unknown, address_text


class Journey(Passage):
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
        if port is not None and port.master is not None and self._is_bridge(port.master):
            return self._receive_from_port(context, port, next_hop, discovered)
        context.in_interface = interface
        if self._is_for_others(packet, port):
            return self._kernel_drop(
                "not-for-host", say("the frame's destination MAC address is not the host's"), "LINK"
            )
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        fate = self._hook(context, hooks.PREROUTING)
        return fate or self._route(context)

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
        link_local = packet.family == 6 and (packet.src == 0 or LINK_LOCAL.covers(6, packet.src))
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

    def _is_too_big(self, packet: Packet, mtu: int | None) -> bool:
        """Tell whether a packet is larger than an MTU and may not be fragmented (ip_exceeds_mtu, ip6_pkt_too_big)."""
        if mtu is None or packet.length <= mtu or "length" in packet.defaults:
            return False
        if packet.family == 6:
            return True
        if "ip_df" in packet.extra:
            return bool(packet.extra["ip_df"])
        unknown = Unknown(
            say("whether the packet has the DF flag"),
            "--set ip_df=yes",
            (packet.src, packet.dst),
        )
        return self._choose(unknown, "ip_df", say("the packet has the DF flag"))

    def _too_big(self, packet: Packet, mtu: int | None) -> Fate:
        size = {"length": packet.length, "mtu": mtu}
        note = (
            say("its {length} bytes exceed the MTU of {mtu}; the host replies packet too big", **size)
            if packet.family == 6
            else say(
                "its {length} bytes exceed the MTU of {mtu} and DF is set; the host replies fragmentation needed",
                **size,
            )
        )
        return self._kernel_drop("too-big", note)

    def _refused_before_rules(self, packet: Packet) -> Fate | None:
        """Drop what ip6_rcv refuses before any hook: multicast or loopback sources, loopback targets."""
        if packet.src >> 120 == 0xFF or packet.src == 1 or packet.dst == 1:
            return self._kernel_drop(
                "martian", say("IPv6 drops it before any rule: a loopback or multicast address")
            )
        return None

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
        context.in_interface, context.out_interface = "lo", None
        if context.state == "INVALID":
            # nothing is noted at such a packet: conntrack judges it anew, and what is wrong with it stays
            if self._stated is not None:
                self.world.force(self._stated)
            context.state, context.template, context.zone = None, False, NO_ZONE
        fate = self._hook(context, hooks.PREROUTING)
        if fate is None and self._translated:
            # the route that it brought along fits no longer
            return self._route(context)
        return fate or self._deliver(context)

    def _is_joined(self, packet: Packet) -> bool:
        """Tell whether the host is in the multicast group that a packet goes to."""
        return packet.dst == routing.ALL_HOSTS4 or bool(self.world.fact("joined"))

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
        if self._hook(copy, hooks.PREROUTING) is None:
            self._hook(copy, hooks.INPUT)

    # -- bridges ----------------------------------------------------------------------------------------

    def _is_bridge(self, name: str) -> bool:
        interface = self.namespace.interfaces.get(name)
        return interface is not None and interface.kind == "bridge"

    def bridge_netfilter(self, family: int) -> bool:
        """Tell whether iptables sees packets that a bridge switches."""
        name = "net.bridge.bridge-nf-call-iptables" if family == 4 else "net.bridge.bridge-nf-call-ip6tables"
        return self.namespace.sysctl_number(name, 1 if not self.namespace.sysctls else 0) != 0

    def _receive_from_port(
        self, context: Context, port: Interface, next_hop: int | None, discovered: bool
    ) -> Fate:
        packet, bridge = context.packet, port.master or ""
        context.in_interface = bridge
        up = next_hop is None or self.namespace.has_address(packet.family, next_hop)
        if self.bridge_netfilter(packet.family):
            if packet.family == 6 and not up and not discovered:
                fate = self._discover_neighbour(packet, port, next_hop or 0)
                if fate is not None:
                    return fate
            context.physical_in = port.name
            before = packet.dst
            fate = self._hook(context, hooks.PREROUTING)
            if fate is not None:
                return fate
            if packet.dst != before:
                return self._after_bridged_dnat(context, port)
        if packet.pkttype != "unicast":
            return self._flood(context, port)
        if not up:
            return self._switch(context, port, next_hop or 0)
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        fate = None if self.bridge_netfilter(packet.family) else self._hook(context, hooks.PREROUTING)
        return fate or self._route(context)

    def _discover_neighbour(self, packet: Packet, port: Interface, next_hop: int) -> Fate | None:
        """Pass the question and the answer of IPv6 neighbour discovery, which the rules see as well.

        Without it the sender never learns the MAC address and sends nothing. Returns None when both pass.
        """
        bridge = port.master or ""
        target = self.world.neighbour(6, next_hop, bridge)
        group = 0xFF0200000000000000000001FF000000 | next_hop & 0xFFFFFF
        question = Packet(6, packet.src, group, ICMPV6, tcp_flags=0, icmp_type=135, icmp_code=0, ttl=255)
        answer = Packet(6, next_hop, packet.src, ICMPV6, tcp_flags=0, icmp_type=136, icmp_code=0, ttl=255)
        question.pkttype = "multicast"
        other = target.port if target is not None else None
        for message, came, goes in ((question, port.name, other), (answer, other, port.name)):
            context = self._context(message)
            context.in_interface, context.physical_in = bridge, came
            context.state = "UNTRACKED"
            fate = self._hook(context, hooks.PREROUTING)
            if fate is None:
                context.bridged, context.out_interface, context.physical_out = True, bridge, goes
                fate = self._hook(context, hooks.FORWARD)
            if fate is None:
                fate = self._hook(context, hooks.POSTROUTING)
            if fate is not None:
                self.steps[-1].note = say("neighbour discovery dies here, so nothing can be sent")
                return Fate("DROP", context=context)
        self.begin()
        return None

    def _after_bridged_dnat(self, context: Context, port: Interface) -> Fate:
        """Go on with a frame whose destination PREROUTING rewrote (br_nf_pre_routing_finish)."""
        packet, bridge = context.packet, port.master or ""
        decision = routing.route_input(self.namespace, packet, bridge, next_hop=self._next_hop)
        if decision.kind == "drop":
            found = self._lookup_output(packet, source=None)
            if packet.family == 6 and decision.code == "ip-forward-off" and found and found.device == bridge:
                return self._switch(context, port, found.gateway_of(6) or packet.dst)
            # IPv4 wants forwarding even when the new destination is on the same bridge
            return self._kernel_drop(decision.code, decision.note)
        if decision.kind == "forward" and decision.device == bridge:
            return self._switch(context, port, decision.gateway or packet.dst)
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        # from here on it is a frame for the host, however it was addressed
        packet.pkttype = "unicast"
        # it has a route already, and IPv6 takes that for where it came from (ip6_rcv_core)
        return self._route(context, decision.device)

    def _flood(self, context: Context, port: Interface) -> Fate:
        """Send a broadcast or multicast frame out of all other ports of the bridge, and to the host."""
        packet, bridge = context.packet, port.master or ""
        seen = self.bridge_netfilter(packet.family)
        reached: dict[str, Packet] = {}
        for other in self.namespace.ports(bridge):
            if (other.name == port.name and not port.hairpin) or (port.isolated and other.isolated):
                continue
            copy = replace(context, packet=packet.copy(), out_interface=bridge, bridged=True)
            if seen:
                copy.physical_out = other.name
                if self._hook(copy, hooks.FORWARD) is not None:
                    continue
                copy.in_interface = None
                if self._hook(copy, hooks.POSTROUTING) is not None:
                    continue
                self._confirm(copy)
            reached[other.name] = copy.packet
        fate = None if seen else self._hook(context, hooks.PREROUTING)
        fate = fate or self._route(context)
        if fate.verdict == "ACCEPT" or not reached:
            return fate
        target = self.world.neighbour(packet.family, packet.dst, bridge)
        if target is not None and target.container is not None and target.port in reached:
            return self._hand_over(reached[target.port], target.container, target.name, bridge)
        last = [*reached.values()][-1]
        return Fate("ACCEPT", Delivery("outside", f"the other ports of {bridge}", last, bridge))

    def _switch(self, context: Context, port: Interface, next_hop: int) -> Fate:
        """Switch a frame from one port of a bridge to another."""
        packet, bridge = context.packet, port.master or ""
        self._gateway = None
        target = self.world.neighbour(packet.family, next_hop, bridge, behind_ports=True)
        if target is None:
            who = address_text(packet.family, next_hop)
            return self._kernel_drop(
                "no-neighbour", say("nobody on {bridge} answers for {who}", bridge=bridge, who=who), "BRIDGE"
            )
        if target.port is not None:
            if target.port == port.name and not port.hairpin:
                return self._kernel_drop(
                    "hairpin-off",
                    say("the way goes back out of port {name}, which has no hairpin mode", name=port.name),
                    "BRIDGE",
                )
            out = self.namespace.interfaces.get(target.port)
            if port.isolated and out is not None and out.isolated:
                return self._kernel_drop("isolated-ports", say("both bridge ports are isolated"), "BRIDGE")
        if self.bridge_netfilter(packet.family):
            context.bridged = True
            context.out_interface = bridge
            context.physical_in, context.physical_out = port.name, target.port
            fate = self._hook(context, hooks.FORWARD)
            if fate is not None:
                return fate
            context.in_interface = None
            fate = self._hook(context, hooks.POSTROUTING)
            if fate is not None:
                return fate
            self._confirm(context)
        else:
            switch = f"bridge-nf-call-ip{'6' if packet.family == 6 else ''}tables"
            note = say(
                "it is switched by {bridge}; {switch} is off, so iptables never sees it",
                bridge=bridge,
                switch=switch,
            )
            self._note("BRIDGE", "ACCEPT", note, "bypasses-iptables")
        return self._hand_over(packet, target.container, target.name, bridge)

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
        return self._hand_over(packet, target.container, target.name, device)

    def _hand_over(self, packet: Packet, container: Container | None, name: str, device: str) -> Fate:
        if container is None:
            return Fate("ACCEPT", Delivery("outside", name, packet.copy(), device))
        return Fate("ACCEPT", Delivery("container", container.name, packet.copy(), device))
