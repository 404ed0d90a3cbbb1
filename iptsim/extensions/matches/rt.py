"""`-m rt` and `-m srh`: the routing headers of IPv6 (net/ipv6/netfilter/ip6t_rt.c, ip6t_srh.c).

The header is the first of protocol 43 in :attr:`Packet.extension_headers`. Its content, behind the first two bytes:
type, segments left, four reserved bytes, then addresses. That of a segment routing header: type 4, segments
left, last entry, flags, a tag of two bytes, then the segments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

from iptsim.addresses import address_text
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, above, below, between, equal
from iptsim.extensions.context import Context
from iptsim.extensions.headers import NUMBER_RANGE, WHOLE
from iptsim.extensions.listing import range_lister
from iptsim.extensions.options import Option, Relation, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import (
    Network,
    compared_words,
    in_network,
    integer_value,
    one_address,
    parse_host_mask,
    range_words,
)
from iptsim.extensions.wire import extension_headers, header_size
from iptsim.languages import Message, Text, message, message_joined
from iptsim.packet import Packet
from iptsim.protocols import ROUTING
from iptsim.truth import Unknown

_MOST_ADDRESSES = 16


class RoutingHeader(NamedTuple):
    """What `-m rt` tests; `length` is the whole header's, in bytes."""

    type: int
    segments_left: int
    length: int
    reserved: int
    addresses: tuple[int, ...]


def routing_header(packet: Packet) -> RoutingHeader | None:
    """Return a packet's first routing header."""
    for number, content in packet.extension_headers:
        if number == ROUTING:
            size = header_size(number, content)
            data = content.ljust(size - 2, b"\0")
            return RoutingHeader(
                data[0], data[1], size, int.from_bytes(data[2:6], "big"), _addresses_of(data)
            )
    return None


def _addresses_of(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[start : start + 16], "big") for start in range(6, len(data) - 15, 16))


@dataclass(frozen=True, slots=True)
class InOrder:
    """Sequences that contain these items in this order, possibly with others before, between and after them."""

    items: tuple[int, ...]

    def allows(self, sequence: tuple[int, ...]) -> bool:
        """Return whether a sequence is one of them."""
        rest = iter(sequence)
        return all(item in rest for item in self.items)


# -- rt -------------------------------------------------------------------------------------------------


def _got(context: Context) -> Text:
    header = routing_header(context.packet)
    if header is None:
        return message("it has no routing header")
    return message(
        "its routing header is of type {type}, {length} bytes long, with {segments_left} segments left",
        type=header.type,
        length=header.length,
        segments_left=header.segments_left,
    )


def _rt_field(part: str) -> Field:
    """Make the field of a part of the routing header."""

    def read(context: Context) -> Any:
        header = routing_header(context.packet)
        return None if header is None else getattr(header, part)

    return Field(f"rt.{part}", read, _got)


def _addresses(text: str) -> tuple[int, ...]:
    found = tuple(one_address(part, 6) for part in text.split(","))
    if len(found) > _MOST_ADDRESSES:
        raise ValueError(message("more than {most_addresses} addresses", most_addresses=_MOST_ADDRESSES))
    return found


def _shown(addresses: tuple[int, ...]) -> Message:
    return message_joined(", ", (address_text(6, address) for address in addresses))


_ADDRESSES = Value(
    message("up to {most_addresses} IPv6 addresses", most_addresses=_MOST_ADDRESSES),
    _addresses,
    lambda addresses: ",".join(address_text(6, address) for address in addresses),
)


class Rt(Match):
    """The routing header; a packet without one never matches, with or without `!`."""

    name: ClassVar[str] = "rt"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--rt-type", "rt_type", integer_value("a routing header's type"), True, reads=_rt_field("type"),
            relation=equal, phrase=Phrase("of type {value}"), listed=" type:[!]{value}",
        ),
        Option(
            "--rt-segsleft", "rt_segsleft", NUMBER_RANGE, True, idle=WHOLE, reads=_rt_field("segments_left"),
            relation=between, phrase=Phrase("with {value} segments left", show=range_words),
            listed=range_lister("segsleft", " "),
        ),
        Option(
            "--rt-len", "rt_len", integer_value("a length in bytes"), True, reads=_rt_field("length"),
            relation=equal, phrase=Phrase("of {value} bytes"), listed=" length:[!]{value}",
        ),
        Option(
            "--rt-0-res", "rt_0_res", reads=_rt_field("reserved"), relation=lambda _: equal(0),
            listed=" reserved",
        ),
        Option(
            "--rt-0-addrs", "rt_0_addrs", _ADDRESSES, reads=_rt_field("addresses"),
            phrase=Phrase("by way of {value}", show=_shown), listed=" 0-addrs {value}",
        ),
        Option("--rt-0-not-strict", "rt_0_not_strict", listed=" 0-not-strict"),
    )  # fmt: skip
    tested: ClassVar[tuple[str, ...]] = ("rt_segsleft", "rt_len")
    presence: ClassVar[Field | None] = Field(
        "rt", lambda context: routing_header(context.packet) is not None, _got
    )
    listed: ClassVar[str] = " rt"
    lead: ClassVar[Text] = message("with an IPv6 routing header")

    rt_type: int | None = None
    rt_segsleft: tuple[int, int] | None = None
    rt_len: int | None = None
    rt_0_res: bool = False
    rt_0_addrs: tuple[int, ...] | None = None
    rt_0_not_strict: bool = False

    def check(self) -> None:
        if (self.rt_0_res or self.rt_0_addrs) and (self.rt_type != 0 or "rt_type" in self.negated):
            raise ValueError(message("--rt-0-res and --rt-0-addrs need --rt-type 0"))
        if self.rt_0_not_strict and self.rt_0_addrs is None:
            raise ValueError(message("--rt-0-not-strict needs --rt-0-addrs"))

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        if option.field == "rt_0_addrs" and self.rt_0_not_strict:
            return Constraint(field, InOrder(value))
        return super().constraint(field, option, value)


# -- srh ------------------------------------------------------------------------------------------------

_SEGMENT_ROUTING = 4
_SEGMENT = Value("an IPv6 address, with or without /length", parse_host_mask, needs_family=True)
_BYTE = integer_value("a number up to 255", 0, 255)


class SegmentHeader(NamedTuple):
    """What `-m srh` tests; `length` counts units of 8 bytes after the first."""

    next_hdr: int
    length: int
    segs_left: int
    last_entry: int
    tag: int
    segments: tuple[int, ...]


def segment_header(packet: Packet) -> SegmentHeader | None:
    """Return a packet's segment routing header; None if the first routing header has another type or is malformed."""
    headers = extension_headers(packet)
    for index, (number, content) in enumerate(headers):
        if number != ROUTING:
            continue
        size = header_size(number, content)
        data = content.ljust(size - 2, b"\0")
        if data[0] != _SEGMENT_ROUTING or data[1] > data[2]:
            return None
        following = headers[index + 1][0] if index + 1 < len(headers) else packet.proto
        # the kernel compares the tag as it is in memory: on almost every machine with its bytes swapped
        tag = int.from_bytes(data[4:6], "little")
        return SegmentHeader(following, size // 8 - 1, data[1], data[2], tag, _addresses_of(data))
    return None


def _got_segments(context: Context) -> Text:
    header = segment_header(context.packet)
    if header is None:
        return message("it has no segment routing header")
    return message(
        "its segment routing header has {segs_left} segments left, last entry {last_entry}, tag {tag}",
        segs_left=header.segs_left,
        last_entry=header.last_entry,
        tag=header.tag,
    )


def _srh_field(name: str, part: Callable[[SegmentHeader], int | Unknown | None]) -> Field:
    """Make the field of a part of the segment routing header."""

    def read(context: Context) -> int | Unknown | None:
        header = segment_header(context.packet)
        return None if header is None else part(header)

    return Field(f"srh.{name}", read, _got_segments)


def _segment(header: SegmentHeader, name: str) -> int | Unknown | None:
    """Return the previous, next or last segment; the list runs backwards, so that the last is its first."""
    if (name == "psid" and header.segs_left == header.last_entry) or (
        name == "nsid" and not header.segs_left
    ):
        return None
    index = {"psid": header.segs_left + 1, "nsid": header.segs_left - 1, "lsid": 0}[name]
    if index < len(header.segments):
        return header.segments[index]
    return Unknown(
        message("the data behind its segment routing header, which is too short"), "--assume srh=yes", (name,)
    )


def _srh_option(name: str, value: Value, field: Field, relation: Relation, called: Message) -> Option:
    listed = f" {name} [!] {{value}}" if value is _SEGMENT else f" {name}:[!]{{value}}"
    flag = f"srh_{name.replace('-', '_')}"
    return Option(
        f"--srh-{name}", flag, value, True, reads=field, relation=relation, listed=listed,
        phrase=Phrase("{name} is {value}", "{name} is not {value}", partial(compared_words, flag), called),
    )  # fmt: skip


def _comparisons(name: str, part: str, called: Message) -> tuple[Option, ...]:
    field = _srh_field(part, attrgetter(part))
    relations: dict[str, Relation] = {"eq": equal, "gt": above, "lt": below}
    return tuple(
        _srh_option(f"{name}-{how}", _BYTE, field, relation, called) for how, relation in relations.items()
    )


def _segment_option(name: str, called: Message) -> Option:
    return _srh_option(name, _SEGMENT, _srh_field(name, partial(_segment, name=name)), in_network, called)


class Srh(Match):
    """The segment routing header; a packet without one never matches, with or without `!`."""

    name: ClassVar[str] = "srh"
    family: ClassVar[int | None] = 6
    options: ClassVar[tuple[Option, ...]] = (
        _srh_option(
            "next-hdr", _BYTE, _srh_field("next_hdr", attrgetter("next_hdr")), equal, message("next header")
        ),
        *_comparisons("hdr-len", "length", message("length")),
        *_comparisons("segs-left", "segs_left", message("segments left")),
        *_comparisons("last-entry", "last_entry", message("last entry")),
        _srh_option(
            "tag", integer_value("a number up to 65535", 0, 65535), _srh_field("tag", attrgetter("tag")),
            equal, message("tag"),
        ),
        _segment_option("psid", message("previous segment")),
        _segment_option("nsid", message("next segment")),
        _segment_option("lsid", message("last segment")),
    )  # fmt: skip
    presence: ClassVar[Field | None] = Field(
        "srh", lambda context: segment_header(context.packet) is not None, _got_segments
    )
    listed: ClassVar[str] = " srh"
    joint: ClassVar[str] = ", "

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

    def says(self) -> Text:
        conditions = super().says()
        if not conditions:
            return message("with a segment routing header")
        return message("with a segment routing header whose {conditions}", conditions=conditions)


EXTENSIONS = (Rt, Srh)
