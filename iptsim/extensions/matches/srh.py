"""`-m srh`: the IPv6 segment routing header (net/ipv6/netfilter/ip6t_srh.c).

The header is the first of protocol 43 in :attr:`Packet.extension_headers`: type 4, segments left, last
entry, flags, a tag of two octets, then the segments.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import Network, compared_words, integer_value, not_if, parse_host_mask
from iptsim.extensions.wire import ROUTING, extension_headers, header_size
from iptsim.languages import joined, later, say, told
from iptsim.packet import Context, Packet, Truth, Unknown, negate

_TYPE = 4
_SEGMENT = Value("an IPv6 address, with or without /length", parse_host_mask, needs_family=True)
_OCTET = integer_value("a number up to 255", 0, 255)


class SegmentHeader(NamedTuple):
    """What the match looks at; `length` counts units of 8 octets after the first."""

    next_hdr: int
    length: int
    segs_left: int
    last_entry: int
    tag: int
    segments: tuple[int, ...]


def segment_header(packet: Packet) -> SegmentHeader | None:
    """Return a packet's segment routing header; None where the first routing header is none, or is bad."""
    headers = extension_headers(packet)
    for index, (number, content) in enumerate(headers):
        if number != ROUTING:
            continue
        size = header_size(number, content)
        data = content.ljust(size - 2, b"\0")
        if data[0] != _TYPE or data[1] > data[2]:
            return None
        following = headers[index + 1][0] if index + 1 < len(headers) else packet.proto
        segments = tuple(int.from_bytes(data[at : at + 16], "big") for at in range(6, len(data) - 15, 16))
        # The kernel compares the tag as it lies in memory: on almost every machine with its octets swapped.
        tag = int.from_bytes(data[4:6], "little")
        return SegmentHeader(following, size // 8 - 1, data[1], data[2], tag, segments)
    return None


class Srh(Match):
    """The segment routing header; a packet without one never matches, `!` or not."""

    name: ClassVar[str] = "srh"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option("--srh-next-hdr", "srh_next_hdr", _OCTET, True),
        Option("--srh-hdr-len-eq", "srh_hdr_len_eq", _OCTET, True),
        Option("--srh-hdr-len-gt", "srh_hdr_len_gt", _OCTET, True),
        Option("--srh-hdr-len-lt", "srh_hdr_len_lt", _OCTET, True),
        Option("--srh-segs-left-eq", "srh_segs_left_eq", _OCTET, True),
        Option("--srh-segs-left-gt", "srh_segs_left_gt", _OCTET, True),
        Option("--srh-segs-left-lt", "srh_segs_left_lt", _OCTET, True),
        Option("--srh-last-entry-eq", "srh_last_entry_eq", _OCTET, True),
        Option("--srh-last-entry-gt", "srh_last_entry_gt", _OCTET, True),
        Option("--srh-last-entry-lt", "srh_last_entry_lt", _OCTET, True),
        Option("--srh-tag", "srh_tag", integer_value("a number up to 65535", 0, 65535), True),
        Option("--srh-psid", "srh_psid", _SEGMENT, True),
        Option("--srh-nsid", "srh_nsid", _SEGMENT, True),
        Option("--srh-lsid", "srh_lsid", _SEGMENT, True),
    )

    srh_next_hdr: int | None = None
    srh_hdr_len_eq: int | None = None
    srh_hdr_len_gt: int | None = None
    srh_hdr_len_lt: int | None = None
    srh_segs_left_eq: int | None = None
    srh_segs_left_gt: int | None = None
    srh_segs_left_lt: int | None = None
    srh_last_entry_eq: int | None = None
    srh_last_entry_gt: int | None = None
    srh_last_entry_lt: int | None = None
    srh_tag: int | None = None
    #: the segment before, the one after the current, and the last of the path
    srh_psid: Network | None = None
    srh_nsid: Network | None = None
    srh_lsid: Network | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option, after the one that the header is there."""
        found = [_predicate("-m srh", lambda header: True, False)]
        for option in self.options:
            value = getattr(self, option.field)
            if value is not None:
                text, negated = self.clause(option, value), option.field in self.negated
                found.append(_predicate(text, _test(option.field, value), negated))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = " srh"
        for option in self.options:
            value, not_ = getattr(self, option.field), self.bang(option.field)
            if value is not None:
                name = option.flag.removeprefix("--srh-")
                text += f" {name} {not_} {value}" if isinstance(value, Network) else f" {name}:{not_}{value}"
        return text

    def says(self) -> str:
        """Return the header in words."""
        phrases = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is None:
                continue
            name = option.field.removesuffix("_eq").removesuffix("_gt").removesuffix("_lt")
            shown = not_if(option.field in self.negated, compared_words(option.field, value))
            phrases.append(say("{name} is {value}", name=told(_NAMES[name]), value=shown))
        if not phrases:
            return say("with a segment routing header")
        return say("with a segment routing header whose {conditions}", conditions=joined(", ", phrases))


_NAMES = {
    "srh_next_hdr": later("next header"), "srh_tag": later("tag"), "srh_psid": later("previous segment"),
    "srh_nsid": later("next segment"), "srh_lsid": later("last segment"), "srh_hdr_len": later("length"),
    "srh_segs_left": later("rest"), "srh_last_entry": later("last entry"),
}  # fmt: skip
_FIELDS = {"hdr_len": "length", "segs_left": "segs_left", "last_entry": "last_entry"}
_COMPARE: dict[str, Callable[[int, int], bool]] = {"eq": operator.eq, "gt": operator.gt, "lt": operator.lt}


def _test(field: str, value: int | Network) -> Callable[[SegmentHeader], Truth | None]:
    """Make an option's test; None where the header has no such segment."""
    name = field.removeprefix("srh_")
    if isinstance(value, Network):

        def inside(header: SegmentHeader) -> Truth | None:
            address = _segment(header, name)
            return address in value if isinstance(address, int) else address

        return inside
    base, _, how = name.rpartition("_")
    if base in _FIELDS:
        return lambda header: _COMPARE[how](getattr(header, _FIELDS[base]), value)
    return lambda header: bool(getattr(header, name) == value)


def _segment(header: SegmentHeader, name: str) -> int | Unknown | None:
    """Return the previous, next or last segment; the list runs backwards, so that the last is its first."""
    if (name == "psid" and header.segs_left == header.last_entry) or (
        name == "nsid" and not header.segs_left
    ):
        return None
    index = {"psid": header.segs_left + 1, "nsid": header.segs_left - 1, "lsid": 0}[name]
    if index < len(header.segments):
        return header.segments[index]
    return Unknown(later("the data behind its too short segment routing header"), "--assume srh=yes", (name,))


def _predicate(text: str, holds: Callable[[SegmentHeader], Truth | None], negated: bool) -> Predicate:
    def test(context: Context) -> Truth:
        header = segment_header(context.packet)
        answer = None if header is None else holds(header)
        if answer is None:
            return False
        return negate(answer) if negated else answer

    def got(context: Context) -> str:
        header = segment_header(context.packet)
        if header is None:
            return say("it has no segment routing header")
        return say(
            "its segment routing header has {segs_left} segments left, last entry {last_entry}, tag {tag}",
            segs_left=header.segs_left,
            last_entry=header.last_entry,
            tag=header.tag,
        )

    return Predicate(text, test, got, negated=negated)


EXTENSIONS = (Srh,)
