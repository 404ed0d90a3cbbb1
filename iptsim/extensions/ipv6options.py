"""What `-m dst` and `-m hbh` share: IPv6 extension headers that hold options (ip6t_hbh.c).

The headers are given as `extension_headers=((60, content),)` (hop-by-hop: 0), where the content is what
follows the header's first two octets: options as type, length, data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from iptsim.extensions.base import Predicate, Value
from iptsim.extensions.headers import header_predicate
from iptsim.extensions.values import integer
from iptsim.extensions.wire import header_size
from iptsim.languages import joined, say, say_if, told
from iptsim.packet import Context, Packet, Truth

_PAD1 = 0
_MOST = 16


class HeaderOption(NamedTuple):
    """An option of the header: its type, and the length of its data; None for any length."""

    type: int
    length: int | None = None

    def __str__(self) -> str:
        return str(self.type) if self.length is None else f"{self.type}:{self.length}"


def _parse_option(text: str) -> HeaderOption:
    type_text, colon, length_text = text.partition(":")
    # iptables keeps one octet of each number; a length of 255 stands for any
    length = integer(length_text) & 0xFF if colon else 0xFF
    return HeaderOption(integer(type_text) & 0xFF, None if length == 0xFF else length)


def _parse(text: str) -> tuple[HeaderOption, ...]:
    found = tuple(_parse_option(word) for word in text.split(","))
    if len(found) > _MOST:
        raise ValueError(f"{len(found)} options are more than the {_MOST} that fit")
    return found


HEADER_OPTIONS = Value(
    "types of options with the length of their data (1, 5:2, 194:4,1)",
    _parse,
    lambda options: ",".join(map(str, options)),
)


def _content(packet: Packet, number: int) -> bytes | None:
    return next((content for header, content in packet.extension_headers if header == number), None)


def begins_with(content: bytes, wanted: Iterable[HeaderOption]) -> bool:
    """Tell whether a header's options are the wanted ones, in that order, from its start."""
    place = 0
    for option in wanted:
        if place >= len(content) or content[place] != option.type:
            return False
        if option.type == _PAD1:
            place += 1
            continue
        if place + 1 >= len(content):
            return False
        length = content[place + 1]
        if option.length not in (None, length):
            return False
        place += 2 + length
    return True


def option_predicates(
    number: int,
    header: str,
    length: tuple[str, int] | None,
    negated: bool,
    options: tuple[str, tuple[HeaderOption, ...]] | None,
    bare: str,
) -> tuple[Predicate, ...]:
    """Make the predicates on a header of options.

    Args:
        number: the header's protocol number.
        header: its name.
        length: the text and value of the condition on its length in octets.
        negated: whether that one stood behind a `!`.
        options: the text and value of the condition on its options.
        bare: the text of the condition that the header is there, used where there is no other.
    """

    def has_header(packet: Packet) -> bool:
        return _content(packet, number) is not None

    def got(context: Context) -> str:
        content = _content(context.packet, number)
        if content is None:
            return say("it has no {header}", header=told(header))
        return say(
            "its {header} has {number} octets", header=told(header), number=header_size(number, content)
        )

    found = []
    if length is not None:
        text, wanted_length = length

        def length_test(context: Context) -> Truth:
            content = _content(context.packet, number)
            if content is None:
                return False
            return (header_size(number, content) == wanted_length) is not negated

        found.append(Predicate(text, length_test, got, negated=negated))
    if options is not None:
        text, wanted_options = options

        def options_test(context: Context) -> Truth:
            content = _content(context.packet, number)
            if content is None:
                return False
            return begins_with(content.ljust(header_size(number, content) - 2, b"\0"), wanted_options)

        found.append(Predicate(text, options_test, got))
    return tuple(found) or (header_predicate(bare, has_header, header),)


def listed_options(
    name: str, length: int | None, not_: str, options: tuple[HeaderOption, ...] | None, tight: bool
) -> str:
    """Return the conditions as a listing has them; if not `tight`, with a space behind the options."""
    text = f" {name}" + ("" if length is None else f" length:{not_}{length}")
    if options is not None:
        text += f" opts {','.join(map(str, options))}"
    return text if tight else f"{text} "


def option_says(
    header: str, length: int | None, negated: bool, options: tuple[HeaderOption, ...] | None
) -> str:
    """Return the conditions in words."""
    phrases = [say("with a {header}", header=told(header))]
    if length is not None:
        phrases.append(say_if(negated, "not {length} octets long", "{length} octets long", length=length))
    if options is not None:
        phrases.append(say("that begins with options {options}", options=", ".join(map(str, options))))
    return joined(" ", phrases)
