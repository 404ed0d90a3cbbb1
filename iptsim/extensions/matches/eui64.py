"""`-m eui64`: whether an IPv6 source address was made from the sender's MAC (ip6t_eui64.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.listing import ListingForm
from iptsim.languages import later, say
from iptsim.packet import Context, Truth, Unknown

_INTERFACE_ID = 0xFFFFFFFFFFFFFFFF
_UNIVERSAL_LOCAL = 0x02 << 56


def interface_id(mac: str) -> int:
    """Return the lower half of the address that a host with this MAC makes for itself (RFC 4291, EUI-64).

    >>> hex(interface_id("02:42:ac:11:00:02"))
    '0x42acfffe110002'
    """
    octets = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(octets[:3] + b"\xff\xfe" + octets[3:], "big") ^ _UNIVERSAL_LOCAL


class Eui64(Match):
    """The source address's interface identifier is that of the frame's source MAC."""

    name: ClassVar[str] = "eui64"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = ()
    hooks: ClassVar[frozenset[str] | None] = frozenset({"PREROUTING", "INPUT", "FORWARD"})

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on source address and MAC."""
        return (Predicate("-m eui64", _test, _got),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return "eui64 " if form.backend == "legacy" else ""

    def says(self) -> str:
        """Return the condition in words."""
        return say("whose source address is made from the sender's MAC address")


#: What the loopback interface has for a MAC address.
_NO_MAC = "00:00:00:00:00:00"


def _test(context: Context) -> Truth:
    packet = context.packet
    if context.in_interface == "lo":
        return packet.src & _INTERFACE_ID == interface_id(_NO_MAC)
    if packet.src_mac is None:
        return Unknown(later("the sender's MAC address"), "--set src_mac=...", ("eui64",))
    return packet.src & _INTERFACE_ID == interface_id(packet.src_mac)


def _got(context: Context) -> str:
    mac = _NO_MAC if context.in_interface == "lo" else context.packet.src_mac
    return say("its source MAC was not stated") if mac is None else say("its source MAC is {mac}", mac=mac)


EXTENSIONS = (Eui64,)
