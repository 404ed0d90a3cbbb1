"""`-m frag`: the Fragment header of IPv6 (net/ipv6/netfilter/ip6t_frag.c).

With connection tracking on, fragments are put together before any rule sees them. A fragment's header
may be listed as `extension_headers=((44, content),)`, where the content consists of offset and flags (two
bytes) and identification (four); otherwise it follows from :attr:`Packet.fragment`. Keys of
:attr:`Packet.extra` for that case: `fragment_id`.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, Masked, between
from iptsim.extensions.context import Context
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE, number_field, presence_field
from iptsim.extensions.listing import range_lister
from iptsim.extensions.options import Option
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import integer_value, range_words
from iptsim.extensions.wire import extension_headers
from iptsim.languages import Text, message, message_if
from iptsim.packet import Packet
from iptsim.protocols import FRAGMENT

_HEADER = message("Fragment header")
_MORE, _RESERVED, _OFFSET = 0x1, 0x6, 0xFFF8


def _content(packet: Packet) -> bytes | None:
    return next((content for number, content in extension_headers(packet) if number == FRAGMENT), None)


def _has_header(packet: Packet) -> bool:
    return _content(packet) is not None


def _identification(packet: Packet) -> int | None:
    listed = any(number == FRAGMENT for number, _ in packet.extension_headers)
    content = _content(packet)
    if content is None or not (listed or "fragment_id" in packet.extra):
        return None
    return int.from_bytes(content[2:6], "big")


def _bits(context: Context) -> int | None:
    """Return offset and flags as the header has them."""
    content = _content(context.packet)
    if content is None:
        return None
    bits = int.from_bytes(content[:2], "big")
    # the offset of a middle or last fragment may not be stated, but it is not 0
    return bits | _OFFSET if context.packet.is_later_fragment else bits


def _got_bits(context: Context) -> Text:
    bits = _bits(context)
    if bits is None:
        return message("it has no {header}", header=_HEADER)
    if bits & _OFFSET:
        return message_if(
            bits & _MORE,
            "it is a later fragment, with more to follow",
            "it is the last fragment",
        )
    return message_if(
        bits & _MORE,
        "it is the first fragment, with more to follow",
        "it is the first fragment and also the last",
    )


_FLAGS = Field("fragment_bits", _bits, _got_bits)


class Frag(Match):
    """Identification, reserved bits, first fragment or not, more-fragments flag; the kernel ignores `--fraglen`."""

    name: ClassVar[str] = "frag"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--fragid", "fragid", NUMBER_RANGE, True, idle=WHOLE,
            reads=number_field(
                "fragment_id", message("fragment identification"), _identification, _has_header, _HEADER
            ),
            relation=between,
            phrase=Phrase(
                "whose fragment identification is {value}", "whose fragment identification is not {value}",
                range_words,
            ),
            listed=range_lister("id"),
        ),
        Option(
            "--fraglen", "fraglen", integer_value("the header's length in bytes"), True,
            listed=" length:[!]{value}",
        ),
        Option(
            "--fragres", "fragres", reads=_FLAGS, relation=lambda _: Masked(0, _RESERVED),
            phrase=Phrase("with the reserved bits of the fragment header zero"), listed=" reserved",
        ),
        Option(
            "--fragfirst", "fragfirst", reads=_FLAGS, relation=lambda _: Masked(0, _OFFSET),
            phrase=Phrase("that are a first fragment"), listed=" first",
        ),
        Option(
            "--fragmore", "fragmore", reads=_FLAGS, relation=lambda _: Masked(_MORE, _MORE),
            phrase=Phrase("that more fragments follow"), listed=" more",
        ),
        Option(
            "--fraglast", "fraglast", reads=_FLAGS, relation=lambda _: Masked(0, _MORE),
            phrase=Phrase("that are a last fragment"), listed=" last",
        ),
    )  # fmt: skip
    presence: ClassVar[Field | None] = presence_field(_has_header, _HEADER)
    listed: ClassVar[str] = " frag "
    alone: ClassVar[Text] = message("that are fragments")
    joint: ClassVar[str] = " and "
    said: ClassVar[tuple[str, ...]] = ("fragfirst", "fragmore", "fraglast", "fragres")

    fragid: tuple[int, int] | None = None
    fraglen: int | None = None
    fragres: bool = False
    fragfirst: bool = False
    fragmore: bool = False
    fraglast: bool = False

    def check(self) -> None:
        if self.fragmore and self.fraglast:
            raise ValueError(message("--fragmore and --fraglast are mutually exclusive"))


EXTENSIONS = (Frag,)
