"""What a bridge does with a frame: hands it up to the host, switches it to another port, floods it.

Sources: net/bridge/br_{input,forward,netfilter_hooks}.c, and measurements.
"""

from __future__ import annotations

from dataclasses import replace

from iptsim.host import fib
from iptsim.host.containers import Container
from iptsim.host.namespace import Interface
from iptsim.host.source import is_multicast
from iptsim.languages import say
from iptsim.netfilter import hooks, routing
from iptsim.netfilter.chains import Fate
from iptsim.netfilter.passage import Passage
from iptsim.netfilter.surroundings import Neighbour
from iptsim.netfilter.trace import Delivery, Step
from iptsim.packet import ICMPV6, Context, Packet, Unknown, address_text

#: By how many octets a frame may exceed the MTU of the port that it leaves by: a VLAN tag (is_skb_forwardable).
_SPARE = 4


class Bridges(Passage):
    """Takes frames over the bridges of a network namespace."""

    def _route(self, context: Context, entered: str | None = None) -> Fate:
        """Route a packet that came in; :class:`~iptsim.netfilter.journey.Journey` knows how."""
        raise NotImplementedError

    def _is_bridge(self, name: str) -> bool:
        interface = self.namespace.interfaces.get(name)
        return interface is not None and interface.kind == "bridge"

    def bridge_netfilter(self, family: int) -> bool:
        """Tell whether iptables sees packets that a bridge switches."""
        name = "net.bridge.bridge-nf-call-iptables" if family == 4 else "net.bridge.bridge-nf-call-ip6tables"
        return self.namespace.sysctl_number(name, 1 if not self.namespace.sysctls else 0) != 0

    # -- how a frame from outside comes in ----------------------------------------------------------------

    def _entrance(self, packet: Packet, interface: str) -> tuple[str, int | None]:
        """Return by which interface a packet from outside comes in, and the next hop whose MAC its frame has.

        For a bridge the interface is the port behind which its sender is; a next hop of None is the host.
        """
        entry = self.namespace.interfaces.get(interface)
        bridge = interface if self._is_bridge(interface) else entry.master if entry is not None else None
        if bridge is None or not self._is_bridge(bridge):
            self.world.hear(packet, interface, None)
            return interface, None
        if bridge == interface:
            address = self._link_address(packet, packet.src, bridge)
            sender = self.world.neighbour(packet.family, address, bridge, behind_ports=True)
            ports = sender.ports if sender is not None else ()
            if not ports:
                # it may be somebody of whom nothing but this packet tells
                self.world.hear(packet, bridge, None)
                return interface, None
            interface = self._settle_port(ports, address_text(packet.family, address), bridge)
        self.world.hear(packet, bridge, interface)
        return interface, self._next_hop_of_frame(packet, bridge)

    def _link_address(self, packet: Packet, address: int, bridge: str) -> int:
        """Return who on a bridge's link an address is reached through: itself, or the gateway to it."""
        found = fib.lookup(self.namespace, packet.family, address)
        gateway = next((way.gateway_of(packet.family) for way in found.ways if way.device == bridge), None)
        return address if gateway is None else gateway

    def _next_hop_of_frame(self, packet: Packet, bridge: str) -> int | None:
        """Return to whom a sender on a bridge's link addresses its frame; None: to the host.

        A neighbour in the same subnet gets it at once. What lies behind another gateway on the same link goes to
        that, and where the host has no address on the bridge, it can't be the gateway.
        """
        family, target = packet.family, packet.dst
        if packet.dst_mac is not None or packet.pkttype != "unicast":
            return None
        if fib.address_type(self.namespace, family, target) == "LOCAL":
            return None
        interface = self.namespace.interfaces[bridge]
        own = [address for address in interface.addresses if address.family == family]
        if not own or any(address.covers(target) and address.scope != "link" for address in own):
            return target
        gateway = self._link_address(packet, target, bridge)
        sender = self._link_address(packet, packet.src, bridge)
        if gateway in (target, sender) or not any(address.covers(sender) for address in own):
            return None
        note = say(
            "{sender} is taken to use the gateway {gateway} itself, not the host (--set dst_mac=ADDRESS decides it).",
            sender=address_text(family, packet.src),
            gateway=address_text(family, gateway),
        )
        self.notes.append(note)
        return gateway

    def _settle_port(self, ports: tuple[str, ...], who: str, bridge: str) -> str:
        """Return behind which of several ports somebody is; where that matters, each is a way of its own."""
        names = ports if self._tells_apart(ports) else ports[:1]
        for name in names[:-1]:
            unknown = Unknown(
                say("behind which port of {bridge} {who} is", bridge=bridge, who=who),
                say("ip-neigh.json and bridge-fdb.json in the capture"),
                (bridge, who, name),
            )
            if self._choose(unknown, "port", say("{who} is behind port {port}", who=who, port=name)):
                return name
        return names[-1]

    def _tells_apart(self, ports: tuple[str, ...]) -> bool:
        """Tell whether it matters which of several ports it is: to a rule, or to the bridge."""
        kinds = {
            (port.isolated, port.hairpin, port.mtu)
            for name in ports
            if (port := self.namespace.interfaces.get(name)) is not None
        }
        sets = (self.host.ipsets or {}).values()
        named = any("physdev:" in element for one in sets for element, _ in one.entries)
        asked = any(program.names_ports for programs in self.programs.values() for program in programs)
        return len(kinds) > 1 or named or asked

    # -- what the bridge does -----------------------------------------------------------------------------

    def _receive_from_port(
        self, context: Context, port: Interface, next_hop: int | None, discovered: bool
    ) -> Fate:
        packet, bridge = context.packet, port.master or ""
        context.in_interface = bridge
        target = self._addressee(packet, port, next_hop)
        fate = self._pass_bridge(context, "prerouting")
        if fate is not None:
            return fate
        if self.bridge_netfilter(packet.family):
            if packet.family == 6 and target is not None and next_hop is not None and not discovered:
                fate = self._discover_neighbour(packet, port, next_hop)
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
        if target is not None:
            return self._switch(context, port, target)
        if self._is_of_other_port(packet, port):
            return self._kernel_drop(
                "not-for-host", say("the frame's destination MAC address is that of another port"), "BRIDGE"
            )
        fate = self._leave_bridge(context, bridge)
        if fate is not None:
            return fate
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        fate = None if self.bridge_netfilter(packet.family) else self._hook(context, hooks.PREROUTING)
        return fate or self._route(context)

    def _leave_bridge(self, context: Context, bridge: str) -> Fate | None:
        """Hand a frame from a bridge's port to the host's IP stack (br_pass_frame_up)."""
        return self._pass_bridge(context, "input") or self._pass_device(context, "ingress", bridge)

    def _to_port(self, context: Context, ports: tuple[str, ...]) -> Fate | None:
        """Send a frame out of a bridge's port, one of these; none: it is not known out of which."""
        return self._pass_bridge(context, "postrouting") or self._pass_device(
            context, "egress", *(ports or (None,))
        )

    def _addressee(self, packet: Packet, port: Interface, next_hop: int | None) -> Neighbour | None:
        """Return for whom on the bridge a frame is; None: for the host."""
        bridge = port.master or ""
        if packet.dst_mac is not None and packet.pkttype == "unicast":
            mac = packet.dst_mac.lower()
            if mac in self._own_macs(bridge):
                return None
            return self.world.neighbour_of_mac(packet.family, mac, packet.dst, bridge)
        if next_hop is None or self.namespace.has_address(packet.family, next_hop):
            return None
        return self.world.neighbour(packet.family, next_hop, bridge, behind_ports=True) or Neighbour(
            None, address_text(packet.family, next_hop), None, ()
        )

    def _own_macs(self, bridge: str) -> set[str]:
        """Return the MAC addresses for which a bridge hands frames up: its own, and those of its ports."""
        own = {one.mac for one in self.namespace.forwarding if one.local and one.bridge == bridge}
        interfaces = [self.namespace.interfaces[bridge], *self.namespace.ports(bridge)]
        return own | {one.mac.lower() for one in interfaces if one.mac is not None}

    def _is_of_other_port(self, packet: Packet, port: Interface) -> bool:
        """Tell whether a frame has the MAC address of a port by which it did not come (eth_type_trans)."""
        taken = (self.namespace.interfaces[port.master or ""].mac, port.mac)
        known = [mac.lower() for mac in taken if mac is not None]
        return packet.dst_mac is not None and packet.dst_mac.lower() not in known

    def _discover_neighbour(self, packet: Packet, port: Interface, next_hop: int) -> Fate | None:
        """Pass the question and the answer of IPv6 neighbour discovery, which the rules see as well.

        Without it the sender never learns the MAC address and sends nothing. Returns None when both pass.
        """
        bridge = port.master or ""
        target = self.world.neighbour(6, next_hop, bridge, behind_ports=True)
        group = 0xFF0200000000000000000001FF000000 | next_hop & 0xFFFFFF
        question = Packet(6, packet.src, group, ICMPV6, tcp_flags=0, icmp_type=135, icmp_code=0, ttl=255)
        answer = Packet(6, next_hop, packet.src, ICMPV6, tcp_flags=0, icmp_type=136, icmp_code=0, ttl=255)
        question.pkttype = "multicast"
        other = self._settle_port(target.ports, target.name, bridge) if target and target.ports else None
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
                return self._switch_to(context, port, found.gateway_of(6) or packet.dst)
            # IPv4 wants forwarding even when the new destination is on the same bridge
            return self._kernel_drop(decision.code, decision.note)
        if decision.kind == "forward" and decision.device == bridge:
            return self._switch_to(context, port, decision.gateway or packet.dst)
        if packet.family == 6 and (refused := self._refused_before_rules(packet)):
            return refused
        # from here on it is a frame for the host, however it was addressed
        packet.pkttype = "unicast"
        # it has a route already, and IPv6 takes that for where it came from (ip6_rcv_core)
        return self._leave_bridge(context, bridge) or self._route(context, decision.device)

    def _flood(self, context: Context, port: Interface) -> Fate:
        """Send a broadcast or multicast frame out of all other ports of the bridge, and to the host."""
        packet, bridge = context.packet, port.master or ""
        seen = self.bridge_netfilter(packet.family)
        reached: dict[str, Packet] = {}
        rejected: Fate | None = None
        for other in self.namespace.ports(bridge):
            if (other.name == port.name and not port.hairpin) or (port.isolated and other.isolated):
                continue
            copy = replace(context, packet=packet.copy(), out_interface=bridge, bridged=True)
            if self._pass_bridge(copy, "forward") is not None:
                continue
            if seen:
                copy.physical_out = other.name
                fate = self._hook(copy, hooks.FORWARD)
                if fate is None:
                    copy.in_interface = None
                    fate = self._hook(copy, hooks.POSTROUTING)
                if fate is not None:
                    rejected = fate if fate.verdict == "REJECT" else rejected
                    continue
                self._confirm(copy)
            if self._to_port(copy, (other.name,)) is None:
                reached[other.name] = copy.packet
        fate = self._leave_bridge(context, bridge)
        fate = fate or (None if seen else self._hook(context, hooks.PREROUTING))
        fate = fate or self._route(context)
        if fate.verdict == "ACCEPT":
            return fate
        if not reached:
            # the sender hears of a copy that was rejected, whatever the host does with its own
            return rejected or fate
        target = self.world.neighbour(packet.family, packet.dst, bridge)
        if target is not None and target.container is not None and target.port in reached:
            return self._hand_over(reached[target.port], target.container, target.name, bridge)
        last = [*reached.values()][-1]
        return Fate("ACCEPT", Delivery("outside", f"the other ports of {bridge}", last, bridge))

    def _switch_to(self, context: Context, port: Interface, next_hop: int) -> Fate:
        """Switch a frame to whoever on the bridge has an address."""
        family, bridge = context.packet.family, port.master or ""
        found = self.world.neighbour(family, next_hop, bridge, behind_ports=True)
        return self._switch(context, port, found or Neighbour(None, address_text(family, next_hop), None, ()))

    def _switch(self, context: Context, port: Interface, target: Neighbour) -> Fate:
        """Switch a frame from one port of a bridge to another."""
        packet, bridge = context.packet, port.master or ""
        self._gateway = None
        ports = target.ports
        if target.port is None:
            ports = tuple(name for name in ports if name != port.name or port.hairpin)
        if not ports and not target.sends and self.namespace.ports(bridge):
            return self._kernel_drop(
                "no-neighbour",
                say("nobody on {bridge} answers for {who}", bridge=bridge, who=target.name),
                "BRIDGE",
            )
        name = self._settle_port(ports, target.name, bridge) if ports else None
        out = self.namespace.interfaces.get(name or "")
        if name == port.name and not port.hairpin:
            return self._kernel_drop(
                "hairpin-off",
                say("the way goes back out of port {name}, which has no hairpin mode", name=port.name),
                "BRIDGE",
            )
        if port.isolated and out is not None and out.isolated:
            return self._kernel_drop("isolated-ports", say("both bridge ports are isolated"), "BRIDGE")
        fate = self._pass_bridge(context, "forward")
        if fate is not None:
            return fate
        if self.bridge_netfilter(packet.family):
            context.bridged = True
            context.out_interface = bridge
            context.physical_in, context.physical_out = port.name, name
            fate = self._hook(context, hooks.FORWARD)
            if fate is not None:
                return fate
            context.in_interface = None
            fate = self._hook(context, hooks.POSTROUTING)
            if fate is not None:
                return fate
            self._confirm(context)
            if out is not None and self._is_too_big(packet, out.mtu):
                return self._too_big(packet, out.mtu, "BRIDGE")
        else:
            if out is not None and "length" not in packet.defaults and packet.length > out.mtu + _SPARE:
                return self._kernel_drop(
                    "too-big",
                    say("its {length} bytes exceed the MTU of {mtu}", length=packet.length, mtu=out.mtu),
                    "BRIDGE",
                )
            switch = f"bridge-nf-call-ip{'6' if packet.family == 6 else ''}tables"
            note = say(
                "it is switched by {bridge}; {switch} is off, so iptables never sees it",
                bridge=bridge,
                switch=switch,
            )
            self._append(Step("BRIDGE", "ACCEPT", note=note, code="bypasses-iptables", switched_by=bridge))
        fate = self._to_port(context, ports if name is None else (name,))
        return fate or self._hand_over(packet, target.container, target.name, bridge)

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

    def _too_big(self, packet: Packet, mtu: int | None, hook: str = "ROUTING") -> Fate:
        size = {"length": packet.length, "mtu": mtu}
        note = (
            say("its {length} bytes exceed the MTU of {mtu}; the host replies packet too big", **size)
            if packet.family == 6
            else say(
                "its {length} bytes exceed the MTU of {mtu} and DF is set; the host replies fragmentation needed",
                **size,
            )
        )
        return self._kernel_drop("too-big", note, hook)

    def _refused_before_rules(self, packet: Packet) -> Fate | None:
        """Drop what ip6_rcv refuses before any hook: multicast or loopback sources, loopback targets."""
        if is_multicast(6, packet.src) or packet.src == 1 or packet.dst == 1:
            return self._kernel_drop(
                "martian", say("IPv6 drops it before any rule: a loopback or multicast address")
            )
        return None

    def _hand_over(self, packet: Packet, container: Container | None, name: str, device: str) -> Fate:
        if container is None:
            return Fate("ACCEPT", Delivery("outside", name, packet.copy(), device))
        return Fate("ACCEPT", Delivery("container", container.name, packet.copy(), device))
