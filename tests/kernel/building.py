"""Builds the host under test: interfaces, addresses, neighbours, routes, settings."""

from __future__ import annotations

from pathlib import Path

from tests.kernel.description import World
from tests.kernel.namespaces import Namespace

#: No limits on ICMP answers, no reverse-path filter unless asked for, no ICMP redirects.
_QUIET = {
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.icmp_ratemask": 0,
    "net.ipv6.icmp.ratelimit": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
}


#: An interface that takes less has no IPv6 (RFC 8200, section 5).
_IPV6_MIN_MTU = 1280


def build(world: World, host: Namespace, far: Namespace) -> None:
    """Make the interfaces, addresses, neighbours, routes and settings of a host, and the far ends in `far`."""
    lines = ["link set lo up"]
    with far.entered():
        for kind in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{kind}/disable_ipv6").write_text("1")
    with host.entered():
        for name, value in _QUIET.items():
            _write_sysctl(name, value)
    for interface in world.interfaces:
        name, mac = interface.name, world.mac(interface.name)
        if interface.kind == "veth":
            lines.append(f"link add {name} address {mac} type veth peer name {name} netns {far.path}")
        else:
            lines.append(f"link add {name} address {mac} type {interface.kind}")
        # a veth without ARP sends to its own address: any next hop is reachable, and the far end sees it
        quiet = "arp off" if interface.kind == "veth" and interface.master is None else ""
        lines.append(f"link set {name} addrgenmode none {quiet}")
        lines.append(f"link set {name} mtu {interface.mtu}")
    for interface in world.interfaces:
        if interface.master:
            lines.append(f"link set {interface.name} master {interface.master}")
            if interface.isolated or interface.hairpin:
                isolated, hairpin = (
                    "on" if flag else "off" for flag in (interface.isolated, interface.hairpin)
                )
                lines.append(
                    f"link set {interface.name} type bridge_slave isolated {isolated} hairpin {hairpin}"
                )
        lines.append(f"link set {interface.name} up")
        lines += [
            f"addr add {address} dev {interface.name} {_nodad(address)}" for address in interface.addresses
        ]
    for guest in world.guests:
        bridge = world.interface(guest.port).master
        lines.append(f"neigh replace {guest.address} lladdr {guest.mac} dev {bridge} nud permanent")
    version = f"-{world.family}"
    lines_by_family = [f"route add {route}" for route in world.routes]
    lines_by_family += [f"rule add {rule}" for rule in world.ip_rules]
    far_lines = [f"link set {i.name} mtu {i.mtu} up" for i in world.interfaces if i.kind == "veth"]
    host.run(["ip", "-batch", "-"], "\n".join(lines) + "\n")
    far.run(["ip", "-batch", "-"], "".join(f"{line}\n" for line in far_lines))
    with host.entered():
        for interface in world.interfaces:
            # a missing neighbour fails at once and silently
            _write_sysctl(f"net.ipv4.neigh.{interface.name.replace('.', '/')}.mcast_solicit", 0)
            if interface.mtu >= _IPV6_MIN_MTU:
                _write_sysctl(f"net.ipv6.neigh.{interface.name.replace('.', '/')}.mcast_solicit", 0)
        for name, value in world.sysctls.items():
            _write_sysctl(name, value)
    if lines_by_family:
        host.run(["ip", version, "-batch", "-"], "\n".join(lines_by_family) + "\n")
    for guest in world.guests:
        # sticky: a frame that pretends to come from a guest must not move the guest to another port
        bridge_line = f"fdb replace {guest.mac} dev {guest.port} master static sticky\n"
        host.run(["bridge", "-batch", "-"], bridge_line)
    for command in world.commands:
        host.run(command.split())


def _nodad(address: str) -> str:
    return "nodad" if ":" in address else ""


def _write_sysctl(name: str, value: int) -> None:
    # an interface's name may hold dots, which sysctl(8) then writes as slashes
    Path("/proc/sys", *(part.replace("/", ".") for part in name.split("."))).write_text(str(value))
