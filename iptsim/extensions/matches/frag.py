"""`-m frag`: the Fragment header of IPv6 (net/ipv6/netfilter/ip6t_frag.c).

With connection tracking on, fragments are put together before any rule sees them. A fragment's header
may be listed as `extension_headers=((44, content),)`, where the content holds offset and flags (two
octets) and identification (four); otherwise it follows from :attr:`Packet.fragment`. Keys of
:attr:`Packet.extra` for that case: `fragment_id`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE, header_predicate, number_predicate
from iptsim.extensions.listing import ListingForm, listed_range
from iptsim.extensions.values import integer_value, range_words
from iptsim.extensions.wire import FRAGMENT, extension_headers
from iptsim.languages import joined, later, say, say_if, told
from iptsim.packet import Context, Packet

_HEADER = later("Fragment header")
_MORE, _RESERVED, _OFFSET = 0x1, 0x6, 0xFFF8


class Frag(Match):
    """Identification, reserved bits, place and more-fragments flag; the kernel ignores `--fraglen`."""

    name: ClassVar[str] = "frag"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("--fragid", "fragid", NUMBER_RANGE, True, idle=WHOLE),
        Option("--fraglen", "fraglen", integer_value("the header's length in octets"), True),
        Option("--fragres", "fragres"),
        Option("--fragfirst", "fragfirst"),
        Option("--fragmore", "fragmore"),
        Option("--fraglast", "fraglast"),
    )

    fragid: tuple[int, int] | None = None
    fraglen: int | None = None
    fragres: bool = False
    fragfirst: bool = False
    fragmore: bool = False
    fraglast: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Frag:
        if self.fragmore and self.fraglast:
            raise ValueError("of --fragmore, --fraglast only one may be given")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions in the kernel's order; all are false for a packet without the header."""
        found = []
        if self.fragid is not None:
            found.append(
                number_predicate(
                    self.clause(self.options[0], self.fragid),
                    "fragment_id",
                    (self.fragid,),
                    _identification,
                    negated="fragid" in self.negated,
                    name=later("fragment identification"),
                    has_header=_has_header,
                    header=_HEADER,
                )
            )
        for option in self.options:
            if option.field in _FLAG_TESTS and getattr(self, option.field):
                found.append(_flag_predicate(option.flag, _FLAG_TESTS[option.field]))
        return tuple(found) or (header_predicate("-m frag", _has_header, _HEADER),)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f" frag {listed_range('id', self.fragid, self.bang('fragid'))}"
        text += "" if self.fraglen is None else f" length:{self.bang('fraglen')}{self.fraglen}"
        flags = (("fragres", "reserved"), ("fragfirst", "first"), ("fragmore", "more"), ("fraglast", "last"))
        return text + "".join(f" {word}" for field, word in flags if getattr(self, field))

    def says(self) -> str:
        """Return the conditions in words."""
        phrases = []
        if self.fragfirst:
            phrases.append(say("that are a first fragment"))
        if self.fragmore:
            phrases.append(say("that more fragments follow"))
        if self.fraglast:
            phrases.append(say("that are a last fragment"))
        if self.fragres:
            phrases.append(say("with the reserved bits of the fragment header zero"))
        if self.fragid is not None:
            phrases.append(
                say_if(
                    "fragid" in self.negated,
                    "with a fragment identification not of {fragid}",
                    "with a fragment identification of {fragid}",
                    fragid=range_words(self.fragid),
                )
            )
        return joined(" and ", phrases) or say("that are fragments")


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


def _bits(packet: Packet) -> int:
    """Return offset and flags as the header has them."""
    content = _content(packet) or b""
    bits = int.from_bytes(content[:2], "big")
    # the offset of a middle or last fragment may not be stated, but it is not 0
    return bits | _OFFSET if packet.fragment in ("middle", "last") else bits


#: What offset and flags must be like for an option to hold.
_FLAG_TESTS: dict[str, Callable[[int], bool]] = {
    "fragres": lambda bits: not bits & _RESERVED,
    "fragfirst": lambda bits: not bits & _OFFSET,
    "fragmore": lambda bits: bool(bits & _MORE),
    "fraglast": lambda bits: not bits & _MORE,
}


def _flag_predicate(text: str, holds: Callable[[int], bool]) -> Predicate:
    def got(context: Context) -> str:
        if not _has_header(context.packet):
            return say("it has no {header}", header=told(_HEADER))
        bits = _bits(context.packet)
        if bits & _OFFSET:
            return say_if(
                bits & _MORE,
                "it is a later fragment, with more to follow",
                "it is a later fragment, the last one",
            )
        return say_if(
            bits & _MORE,
            "it is the first fragment, with more to follow",
            "it is the first fragment, the last one",
        )

    return Predicate(text, lambda context: _has_header(context.packet) and holds(_bits(context.packet)), got)


EXTENSIONS = (Frag,)
