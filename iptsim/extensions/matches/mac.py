"""`-m mac`: the Ethernet address of the frame's sender (net/netfilter/xt_mac.c)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, look, named
from iptsim.extensions.context import ARRIVING, Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.languages import Text, message
from iptsim.truth import Unknown


def parse_mac(text: str) -> str:
    """Read an Ethernet address; a byte may have one digit. Upper case is kept if all letters are upper case.

    Raises:
        ValueError: not six bytes.

    >>> parse_mac("0:aa:BB:1:2:03"), parse_mac("00:AA:BB:CC:DD:EE")
    ('00:aa:bb:01:02:03', '00:AA:BB:CC:DD:EE')
    """
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{1,2}:){5}[0-9A-Fa-f]{1,2}", text):
        raise ValueError(message("{text!r} is not an Ethernet address such as 02:42:ac:11:00:02", text=text))
    address = ":".join(part.zfill(2) for part in text.split(":"))
    return address if address == address.upper() else address.lower()


MAC = Value("an Ethernet address (02:42:ac:11:00:02)", parse_mac)


def _source(context: Context) -> str | Unknown | None:
    if context.frameless:
        return None
    address: str | None = look(context, "src_mac")
    return NOT_STATED if address is None else address.lower()


def _got(context: Context) -> Text:
    if context.frameless:
        return message("it arrived without an Ethernet frame")
    address = context.packet.src_mac or message("not known")
    return message("its sender's Ethernet address is {address}", address=address)


NOT_STATED = Unknown(message("the Ethernet address of the sender"), "--set src_mac=ADDRESS")


class Mac(Match):
    """The source address of the Ethernet frame; a packet without one never matches, with or without `!`."""

    name: ClassVar[str] = "mac"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--mac-source", "mac_source", MAC, True, reads=Field("src_mac", _source, _got),
            relation=lambda address: named(address.lower()),
            phrase=Phrase(
                "sent by the Ethernet address {value}", "not sent by the Ethernet address {value}"
            ),
        ),
    )  # fmt: skip
    hooks: ClassVar[frozenset[str] | None] = ARRIVING

    mac_source: str

    def kept_by(self, form: ListingForm) -> Mac:
        """Return it in lower case, as iptables prints it since 1.8.7; earlier versions print upper case."""
        return replace(self, mac_source=self.mac_source.lower()) if form.since(1, 8, 7) else self

    def lists(self, form: ListingForm) -> str:
        if not form.since(1, 8, 7):
            return f" MAC{self.bang('mac_source', ' !')} {self.mac_source.upper()}"
        address = self.mac_source.lower()
        if not form.since(1, 8, 8):
            return f" MAC{self.bang('mac_source', ' !')}{address}"
        return f" MAC {self.bang('mac_source', '! ')}{address}"


EXTENSIONS = (Mac,)
