"""The kernel's routing decision on a packet that came in: deliver, forward or drop (net/ipv4/route.c).

A packet that is dropped here meets no further rule; its step has a stable code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from iptsim.addresses import is_multicast
from iptsim.host import fib
from iptsim.host.namespace import REFUSING, Namespace, interface_parameter
from iptsim.host.routing_policy import conditions, names_no_table_of_its_own
from iptsim.host.routing_tables import routes_of
from iptsim.languages import Text, message
from iptsim.packet import Packet
from iptsim.partly_known import some_mark
from iptsim.protocols import AH

LOOPBACK4 = range(0x7F000000, 0x80000000)
MULTICAST4 = range(0xE0000000, 0xF0000000)
BROADCAST4 = 0xFFFFFFFF
#: 224.0.0.0/24, the groups of one link (ipv4_is_local_multicast)
LOCAL_GROUPS4 = range(0xE0000000, 0xE0000100)
#: 224.0.0.1, the group of all hosts, which every host is in
ALL_HOSTS4 = 0xE0000001
#: ff02::1 and ff01::1, the groups of all nodes (ipv6_add_dev); the latter takes only what the host sends to itself
ALL_NODES6, OWN_NODE6 = 0xFF02 << 112 | 1, 0xFF01 << 112 | 1
#: ff02::2, the group of all routers, which a host joins on an interface that forwards (ipv6_add_dev); it joins ff01::2
#: and ff05::2 only where that changes while the interface is there (dev_forward_change), which no capture tells
ALL_ROUTERS6 = 0xFF02 << 112 | 2


#: Picks one of the next hops of a routing decision on a packet.
NextHop = Callable[[fib.RouteResult, Packet], fib.RouteResult]


#: Protocol number of IGMP.
_IGMP = 2


class Decision(NamedTuple):
    """Where a packet goes after PREROUTING.

    Attributes:
        kind: "local", "forward" or "drop".
        device: output interface, for "forward".
        gateway: next hop, None when the destination itself is on the link.
        mtu: the MTU of the route; None for that of the device.
        code / note: why it is dropped, as a stable word and in words.
        policy: the policy rule that led to the route, in words; "" for one that every host has.
        broadcast: whether the destination is a broadcast address of a subnet.
    """

    kind: Literal["local", "forward", "drop"]
    device: str | None = None
    gateway: int | None = None
    mtu: int | None = None
    code: str = ""
    note: Text = ""
    policy: Text = ""
    broadcast: bool = False


def policy_words(found: fib.RouteResult) -> Text:
    """Return which policy rule (`ip rule`) led to a route, in words; "" for the rules that every host has."""
    rule = found.policy
    if rule is None or names_no_table_of_its_own(rule):
        return ""
    return message(
        "ip rule {priority}: {conditions} → table {table}",
        priority=rule.priority,
        conditions=conditions(rule),
        table=rule.table,
    )


def drop(code: str, note: Text) -> Decision:
    """Make the decision to drop."""
    return Decision("drop", code=code, note=note)


def forwarding(namespace: Namespace, family: int, interface: str) -> bool:
    """Return whether packets from an interface may be forwarded (ip_route_input_slow, ip6_forward)."""
    if family == 6:
        return _forwards6(namespace) != 0 or namespace.interface_sysctl(6, interface, "force_forwarding") != 0
    everywhere = namespace.sysctl_number("net.ipv4.ip_forward", 1 if not namespace.sysctls else 0)
    return namespace.interface_sysctl(4, interface, "forwarding", everywhere) != 0


def route_localnet(namespace: Namespace, interface: str) -> bool:
    """Return whether 127.0.0.0/8 may be routed over an interface."""
    # on in either of net.ipv4.conf.{all,INTERFACE} (IN_DEV_ORCONF)
    return any(namespace.interface_sysctl(4, scope, "route_localnet", 0) != 0 for scope in ("all", interface))


def route_input(
    namespace: Namespace, packet: Packet, interface: str, *, next_hop: NextHop, joined: bool = False
) -> Decision:
    """Decide on a packet that arrived on `interface` (ip_route_input_slow).

    Args:
        next_hop: picks one of several next hops of a route.
        joined: a program of the host has joined the multicast group that the packet goes to.
    """
    if packet.family == 6:
        return _route_input6(namespace, packet, interface, next_hop, joined)
    martian = _martian(namespace, packet, interface)
    if martian is not None:
        return martian
    if packet.dst in (BROADCAST4, 0):
        return _bad_source_of_group(namespace, packet, interface) or Decision("local")
    if packet.dst in MULTICAST4:
        bad = _bad_source_of_group(namespace, packet, interface) if joined else None
        return bad or (Decision("local") if joined else not_joined())
    found = _lookup(namespace, packet, interface)
    if found.type == "broadcast":
        bad = _bad_source_of_group(namespace, packet, interface)
        return bad or Decision("local", policy=policy_words(found), broadcast=True)
    if found.type == "local":
        return _bad_source(namespace, packet, interface) or Decision("local", policy=policy_words(found))
    if not forwarding(namespace, 4, interface):
        return _does_not_route(namespace, interface)
    failure = _no_way(found)
    if failure is not None:
        return failure
    way = next_hop(found, packet)
    return _bad_source(namespace, packet, interface, out=way.device) or Decision(
        "forward", way.device, way.gateway_of(4), found.mtu, policy=policy_words(found)
    )


def _does_not_route(namespace: Namespace, interface: str) -> Decision:
    """Say why IPv4 packets from an interface are not forwarded."""
    if namespace.sysctl_number("net.ipv4.ip_forward") == 0:
        return drop("ip-forward-off", message("the host does not route between interfaces: ip_forward is 0"))
    return drop(
        "interface-forwarding-off",
        message(
            "the host does not route packets from {interface}: {sysctl} is 0",
            interface=interface,
            sysctl=interface_parameter(4, interface, "forwarding"),
        ),
    )


def _no_way(found: fib.RouteResult) -> Decision | None:
    if found.type in ("unicast", "anycast"):
        return None
    return drop("no-route", refusal(found) or message("the host has no route to the destination"))


def refusal(found: fib.RouteResult) -> Text:
    """Return which route or policy rule blocks the destination, in words; "" if there is no route."""
    if found.type not in REFUSING:
        return ""
    if found.rule is not None:
        return message(
            "ip rule {priority} ({conditions}) is of type {type}",
            priority=found.rule.priority,
            conditions=conditions(found.rule),
            type=found.type,
        )
    where = policy_words(found)
    words = message("the route to the destination is of type {route_type}", route_type=found.type)
    return message("{refusal} ({rule})", refusal=words, rule=where) if where else words


def _martian(namespace: Namespace, packet: Packet, interface: str) -> Decision | None:
    src, dst = packet.src, packet.dst
    if src in MULTICAST4 or src == BROADCAST4:
        return drop("martian", message("the source is a multicast or broadcast address"))
    if dst == BROADCAST4 or src == dst == 0:
        return None
    if src == 0 and not (dst in LOCAL_GROUPS4 or (dst in MULTICAST4 and packet.proto == _IGMP)):
        return drop("martian", message("the source is 0.0.0.0"))
    if dst == 0:
        return drop("martian", message("the destination is 0.0.0.0"))
    if dst in LOOPBACK4 and not route_localnet(namespace, interface):
        return drop(
            "martian",
            message(
                "packets to 127.0.0.0/8 are not routed: route_localnet is 0 on {interface}",
                interface=interface,
            ),
        )
    if src in LOOPBACK4 and not route_localnet(namespace, interface):
        return drop("martian", message("the source is a loopback address"))
    return None


def _bad_source(
    namespace: Namespace, packet: Packet, interface: str, *, to: int | None = None, out: str | None = None
) -> Decision | None:
    """Check the source as fib_validate_source does: not our own address, and rp_filter.

    Args:
        to: the destination that the check uses, if it is not the packet's.
        out: the interface that the packet is to leave by.
    """
    problem = fib.source_problem(
        namespace, packet.src, packet.dst if to is None else to, interface, out=out, mark=some_mark(packet.mark),
        proto=packet.proto, sport=packet.sport, dport=packet.dport, tos=packet.tos,
    )  # fmt: skip
    if problem == "martian":
        if fib.address_type(namespace, 4, packet.src) == "LOCAL":
            return drop("martian", message("the source is one of the host's own addresses"))
        return drop("martian", message("the source is not a unicast address"))
    if problem is None:
        return None
    return drop(
        "rp-filter",
        message(
            "the kernel drops it (rp_filter), because the route back to the source does not leave by {interface}",
            interface=interface,
        ),
    )


def _bad_source_of_group(namespace: Namespace, packet: Packet, interface: str) -> Decision | None:
    """Check the source of a broadcast or multicast packet; 0.0.0.0 passes (ip_mc_validate_source)."""
    return _bad_source(namespace, packet, interface, to=0) if packet.src else None


def not_joined() -> Decision:
    """Return the decision to drop what goes to a multicast group that the host has not joined."""
    return drop(
        "not-joined",
        message("the host is assumed not to have joined the multicast group (--set joined=yes if it has)"),
    )


def group_scope6(packet: Packet) -> int | None:
    """Return the scope of the IPv6 group that a packet goes to: 1 is the interface alone (RFC 4291, section 2.7)."""
    return packet.dst >> 112 & 0xF if packet.family == 6 and is_multicast(6, packet.dst) else None


def is_own_group6(namespace: Namespace, packet: Packet, interface: str) -> bool:
    """Return whether a packet is for one of the IPv6 groups that the kernel itself joins on an interface."""
    if packet.dst == ALL_ROUTERS6:
        return namespace.interface_sysctl(6, interface, "forwarding", _forwards6(namespace)) != 0
    return packet.dst in (ALL_NODES6, OWN_NODE6) or _solicited(namespace, packet, interface)


def _forwards6(namespace: Namespace) -> int:
    """Return net.ipv6.conf.all.forwarding; a host of which no parameter is known forwards."""
    return namespace.sysctl_number("net.ipv6.conf.all.forwarding", 1 if not namespace.sysctls else 0)


def _solicited(namespace: Namespace, packet: Packet, interface: str) -> bool:
    """Return whether a group is the solicited-node address of an address or anycast address of the interface.

    An interface that does not resolve addresses joins no such group (addrconf_join_solict).
    """
    own = namespace.interfaces.get(interface)
    if (
        packet.dst >> 24 != 0xFF0200000000000000000001FF
        or own is None
        or not own.arp
        or own.kind == "loopback"
    ):
        return False
    addresses = [one.address for owner, one in namespace.addresses(6) if owner is own]
    anycast = [
        one.destination
        for one in routes_of(namespace, 6)
        if one.type == "anycast" and one.device == interface
    ]
    return any(address & 0xFFFFFF == packet.dst & 0xFFFFFF for address in (*addresses, *anycast))


def _lookup(namespace: Namespace, packet: Packet, interface: str) -> fib.RouteResult:
    """Return the route of a packet that arrived on an interface.

    The flow dissector, which finds the protocol and the ports for policy rules, stops at an authentication header.
    """
    if any(kind == AH for kind, _ in packet.extension_headers):
        proto, sport, dport = AH, None, None
    else:
        proto, sport, dport = packet.proto, packet.sport, packet.dport
    return fib.lookup(
        namespace, packet.family, packet.dst, source=packet.src, iif=interface, mark=some_mark(packet.mark),
        proto=proto, sport=sport, dport=dport, tos=packet.tos,
    )  # fmt: skip


def _route_input6(
    namespace: Namespace, packet: Packet, interface: str, next_hop: NextHop, joined: bool
) -> Decision:
    if is_multicast(6, packet.dst):
        return Decision("local") if joined or is_own_group6(namespace, packet, interface) else not_joined()
    found = _lookup(namespace, packet, interface)
    if found.type in ("local", "anycast"):
        return Decision("local", policy=policy_words(found))
    if not forwarding(namespace, 6, interface):
        return drop(
            "ip-forward-off", message("the host does not route IPv6: net.ipv6.conf.all.forwarding is 0")
        )
    failure = _no_way(found)
    if failure is not None:
        return failure
    way = next_hop(found, packet)
    return Decision("forward", way.device, way.gateway_of(6), found.mtu, policy=policy_words(found))
