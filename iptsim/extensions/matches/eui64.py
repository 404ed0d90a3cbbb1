"""`-m eui64`: whether an IPv6 source address was made from the sender's MAC (ip6t_eui64.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field
from iptsim.extensions.context import ARRIVING, Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option
from iptsim.languages import Text, message
from iptsim.truth import Unknown

_INTERFACE_ID = 0xFFFFFFFFFFFFFFFF
_UNIVERSAL_LOCAL = 0x02 << 56
#: The MAC address of the loopback interface.
_NO_MAC = "00:00:00:00:00:00"


def interface_id(mac: str) -> int:
    """Return the lower half of the address that a host with this MAC makes for itself (RFC 4291, EUI-64).

    >>> hex(interface_id("02:42:ac:11:00:02"))
    '0x42acfffe110002'
    """
    mac_bytes = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(mac_bytes[:3] + b"\xff\xfe" + mac_bytes[3:], "big") ^ _UNIVERSAL_LOCAL


def _mac(context: Context) -> str | None:
    return _NO_MAC if context.in_interface == "lo" else context.packet.src_mac


def _read(context: Context) -> bool | Unknown:
    mac = _mac(context)
    if mac is None:
        return Unknown(message("the sender's MAC address"), "--set src_mac=...", ("eui64",))
    return context.packet.src & _INTERFACE_ID == interface_id(mac)


def _got(context: Context) -> Text:
    mac = _mac(context)
    return (
        message("its source MAC was not stated")
        if mac is None
        else message("its source MAC is {mac}", mac=mac)
    )


class Eui64(Match):
    """The source address's interface identifier is that of the frame's source MAC."""

    name: ClassVar[str] = "eui64"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = ()
    hooks: ClassVar[frozenset[str] | None] = ARRIVING
    presence: ClassVar[Field | None] = Field("src.eui64", _read, _got)
    alone: ClassVar[Text] = message("whose source address is made from the sender's MAC address")

    def lists(self, form: ListingForm) -> str:
        return "eui64 " if form.backend == "legacy" else ""


EXTENSIONS = (Eui64,)
