"""Packets that are larger than an MTU, which the kernel drops where it may not fragment them."""

from __future__ import annotations

from iptsim.languages import message
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.outcome import Outcome
from iptsim.packet import Packet
from iptsim.truth import Unknown


def is_too_big(kernel: Kernel, packet: Packet, mtu: int | None) -> bool:
    """Return whether a packet is larger than an MTU and may not be fragmented (ip_exceeds_mtu, ip6_pkt_too_big)."""
    if mtu is None or packet.length <= mtu or "length" in packet.defaults:
        return False
    if packet.family == 6:
        return not packet.may_be_split
    if "ip_df" in packet.extra:
        return bool(packet.extra["ip_df"])
    unknown = Unknown(
        message("whether the packet has the DF flag"), "--set ip_df=yes", (packet.src, packet.dst)
    )
    return kernel.choices.choose(unknown, "ip_df", message("the packet has the DF flag"))


def drop_too_big(kernel: Kernel, packet: Packet, mtu: int | None, hook: str = "ROUTING") -> Outcome:
    """Drop a packet that is too big; its sender gets an ICMP error."""
    size = {"length": packet.length, "mtu": mtu or 0}
    note = (
        message("its {length} bytes exceed the MTU of {mtu}; the host replies packet too big", **size)
        if packet.family == 6
        else message(
            "its {length} bytes exceed the MTU of {mtu} and DF is set; the host replies fragmentation needed",
            **size,
        )
    )
    return kernel.drop("too-big", note, hook)
