"""Bridge ports: the one on which a frame arrives, the neighbour that it is addressed to, the port by which it leaves.

Sources: net/bridge/br_fdb.c, net/bridge/br_input.c, and measurements.
"""

from __future__ import annotations

from iptsim.addresses import Family, address_text, is_multicast
from iptsim.extensions.context import Context
from iptsim.host import fib
from iptsim.host.namespace import BRIDGE_NF, Interface
from iptsim.languages import message
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.nftables import pass_bridge, pass_device
from iptsim.netfilter.outcome import Outcome
from iptsim.netfilter.surroundings import Neighbour
from iptsim.packet import IPV6_HEADER, Packet
from iptsim.truth import Unknown


def is_bridge(kernel: Kernel, name: str) -> bool:
    """Return whether an interface is a bridge."""
    interface = kernel.namespace.interfaces.get(name)
    return interface is not None and interface.kind == "bridge"


def bridge_netfilter(kernel: Kernel, family: Family) -> bool:
    """Return whether iptables sees packets that a bridge switches."""
    return kernel.namespace.sysctl_number(BRIDGE_NF[family], 1 if not kernel.namespace.sysctls else 0) != 0


def drop_if_down(kernel: Kernel, name: str | None) -> Outcome | None:
    """Drop a packet at an interface that is administratively down: a bridge, or what a packet comes in or leaves by.

    The ports of a bridge that is down are disabled (br_stp_disable_bridge), and br_handle_frame drops their frames
    before any hook of the bridge.
    """
    interface = kernel.namespace.interfaces.get(name or "")
    if interface is None or interface.up:
        return None
    note = message("the kernel drops it: {name} is down", name=interface.name)
    outcome = kernel.drop("interface-down", note, "BRIDGE" if interface.kind == "bridge" else "LINK")
    kernel.passage.steps[-1].interfaces = interface.name, None
    return outcome


def drop_if_empty(kernel: Kernel, packet: Packet) -> Outcome | None:
    """Drop an IPv6 packet to a group that is a header alone, as multicast snooping does (ipv6_mc_check_mld).

    Snooping is on unless somebody turned it off.
    """
    if packet.family != 6 or not is_multicast(6, packet.dst) or packet.length > IPV6_HEADER:
        return None
    note = message("the bridge drops it: an IPv6 packet to a group has no content")
    return kernel.drop("martian", note, "BRIDGE")


# -- frames from outside --------------------------------------------------------------------


def entrance(kernel: Kernel, packet: Packet, interface: str) -> tuple[str, int | None]:
    """Return the interface on which a packet from outside arrives, and the next hop whose MAC its frame carries.

    For a bridge the interface is the port that its sender is behind; a next hop of None is the host.
    """
    world = kernel.world
    entry = kernel.namespace.interfaces.get(interface)
    bridge = interface if is_bridge(kernel, interface) else entry.master if entry is not None else None
    if bridge is None or not is_bridge(kernel, bridge):
        world.hear(packet, interface, None)
        return interface, None
    if bridge == interface:
        address = _link_address(kernel, packet, packet.src, bridge)
        sender = world.neighbour(packet.family, address, bridge, behind_ports=True)
        ports = sender.ports if sender is not None else ()
        if not ports:
            # the sender may be a machine that only this packet mentions
            world.hear(packet, bridge, None)
            return interface, None
        # machines behind one port talk to each other without the bridge
        ports = world.without_others(packet, ports, bridge) or ports
        interface = settle_port(kernel, ports, address_text(packet.family, address), bridge)
    world.hear(packet, bridge, interface)
    return interface, _next_hop_of_frame(kernel, packet, bridge, interface)


def _link_address(kernel: Kernel, packet: Packet, address: int, bridge: str) -> int:
    """Return the next hop to an address on a bridge's link: the address itself, or a gateway."""
    found = fib.lookup(kernel.namespace, packet.family, address)
    gateway = next((way.gateway_of(packet.family) for way in found.by_next_hop if way.device == bridge), None)
    return address if gateway is None else gateway


def _next_hop_of_frame(kernel: Kernel, packet: Packet, bridge: str, port: str) -> int | None:
    """Return the next hop that a sender on a bridge's link puts into its frame; None: the host.

    A neighbour in the same subnet gets the frame directly. A destination behind another gateway on the same link
    is sent to that gateway, and a host without an address on the bridge cannot be the gateway. A gateway behind the
    port on which the frame arrives would have received it directly, so such a frame is for the host.
    """
    family, target = packet.family, packet.dst
    if packet.dst_mac is not None or packet.pkttype != "unicast":
        return None
    if fib.address_type(kernel.namespace, family, target) == "LOCAL":
        return None
    interface = kernel.namespace.interfaces[bridge]
    own = [address for address in interface.addresses if address.family == family]
    if not own or any(address.covers(target) and address.scope != "link" for address in own):
        return target
    gateway = _link_address(kernel, packet, target, bridge)
    sender = _link_address(kernel, packet, packet.src, bridge)
    if gateway in (target, sender) or not any(address.covers(sender) for address in own):
        return None
    router = kernel.world.neighbour(family, gateway, bridge, behind_ports=True)
    if router is not None and router.ports == (port,) and not kernel.namespace.interfaces[port].hairpin:
        return None
    note = message(
        "{sender} is assumed to use the gateway {gateway}, not the host (--set dst_mac=ADDRESS changes that).",
        sender=address_text(family, packet.src),
        gateway=address_text(family, gateway),
    )
    kernel.notes.append(note)
    return gateway


# -- the port of a neighbour ------------------------------------------------------------------------


def settle_port(kernel: Kernel, ports: tuple[str, ...], target: str, bridge: str) -> str:
    """Return which of several ports a neighbour is behind; if that matters, each port is a branch of its own."""
    names = ports if _tells_apart(kernel, ports) else ports[:1]
    for name in names[:-1]:
        unknown = Unknown(
            message("which port of {bridge} {target} is behind", bridge=bridge, target=target),
            message("ip-neigh.json and bridge-fdb.json in the capture"),
            (bridge, target, name),
        )
        if kernel.choices.choose(
            unknown, "port", message("{target} is behind port {port}", target=target, port=name)
        ):
            return name
    return names[-1]


def _tells_apart(kernel: Kernel, ports: tuple[str, ...]) -> bool:
    """Return whether a rule or the bridge treats the possible ports differently."""
    interfaces = kernel.namespace.interfaces
    kinds = {
        (port.isolated, port.hairpin, port.mtu)
        for name in ports
        if (port := interfaces.get(name)) is not None
    }
    sets = (kernel.host.ipsets or {}).values()
    named = any("physdev:" in element for one in sets for element, _ in one.entries)
    return len(kinds) > 1 or named or any(program.names_ports for program in kernel.hooks.all_programs())


# -- the addressee of a frame ----------------------------------------------------------------------------------


def addressee(kernel: Kernel, packet: Packet, port: Interface, next_hop: int | None) -> Neighbour | None:
    """Return the neighbour on the bridge that a frame is addressed to; None: the host."""
    bridge = port.master or ""
    if packet.dst_mac is not None and packet.pkttype == "unicast":
        mac = packet.dst_mac.lower()
        if mac in _own_macs(kernel, bridge):
            return None
        return kernel.world.neighbour_of_mac(packet.family, mac, packet.dst, bridge)
    if next_hop is None or kernel.namespace.has_address(packet.family, next_hop):
        return None
    return neighbour_behind(kernel, packet, next_hop, bridge)


def neighbour_behind(kernel: Kernel, packet: Packet, next_hop: int, bridge: str) -> Neighbour:
    """Return the neighbour on a bridge that has an address; by default, a machine outside behind an unknown port."""
    found = kernel.world.neighbour(packet.family, next_hop, bridge, behind_ports=True)
    return found or Neighbour(None, address_text(packet.family, next_hop), None, ())


def _own_macs(kernel: Kernel, bridge: str) -> set[str]:
    """Return the MAC addresses whose frames a bridge hands up: its own, and those of its ports."""
    namespace = kernel.namespace
    own = {one.mac for one in namespace.forwarding if one.local and one.bridge == bridge}
    interfaces = [namespace.interfaces[bridge], *namespace.ports(bridge)]
    return own | {one.mac.lower() for one in interfaces if one.mac is not None}


def is_of_other_port(kernel: Kernel, packet: Packet, port: Interface) -> bool:
    """Return whether a frame is addressed to the MAC of a port other than the one it arrived on (eth_type_trans)."""
    taken = (kernel.namespace.interfaces[port.master or ""].mac, port.mac)
    known = [mac.lower() for mac in taken if mac is not None]
    return packet.dst_mac is not None and packet.dst_mac.lower() not in known


# -- leaving a port -----------------------------------------------------------------------------------


def hand_up(kernel: Kernel, context: Context, port: Interface) -> Outcome | None:
    """Hand a frame from a bridge's port to the host's IP stack (br_pass_frame_up)."""
    outcome = pass_bridge(kernel, context, "input", came_by=port.name)
    return outcome or pass_device(kernel, context, "ingress", port.master)


def assume_one_vlan(kernel: Kernel, bridge: str) -> None:
    """Note that all ports of a bridge are taken to be in one VLAN, without tags, if the bridge separates VLANs."""
    if kernel.namespace.interfaces[bridge].filters_vlans:
        note = message(
            "{bridge} separates VLANs (vlan_filtering), and the source does not show the VLANs of its ports: those"
            " that the packet passes are assumed to be in the same VLAN, without tags.",
            bridge=bridge,
        )
        kernel.notes.append(note)


def leave_by(kernel: Kernel, context: Context, ports: tuple[str, ...]) -> Outcome | None:
    """Send a frame out of one of these bridge ports; empty if the port is unknown."""
    outcome = pass_bridge(kernel, context, "postrouting")
    return outcome or pass_device(kernel, context, "egress", *(ports or (None,)))
