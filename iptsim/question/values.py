"""How the values of a question's fields are read: numbers, ports, yes or no, bytes in hex.

A reader checks and converts a value from JSON, Python or the command line. Its error says what is wrong
with the value; the caller adds the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.extensions.services import PORTS
from iptsim.extensions.values import NoSuchWord
from iptsim.languages import message, text_of
from iptsim.protocols import TCP_FLAGS
from iptsim.suggestions import suggest_or_list, with_suggestion

T = TypeVar("T")

#: Largest values of 8, 16, 32 and 64 bits.
BITS8, BITS16, BITS32, BITS64 = 0xFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
#: The texts that mean yes and no.
TRUTHS = {
    "yes": True, "true": True, "1": True, "on": True,
    "no": False, "false": False, "0": False, "off": False,
}  # fmt: skip
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", re.ASCII)
#: Bytes of content that a TCP option has at most: the header's 40 less its kind and length.
_OPTION_ROOM = 38
#: A value is quoted in errors up to this length.
LONGEST = 40


def quoted(value: object) -> str:
    """Return a value in quotes, shortened for an error message.

    >>> quoted("web"), quoted(80)
    ("'web'", '80')
    """
    shown = repr(value[:LONGEST] if isinstance(value, str) else value)
    return shown if isinstance(value, str) and len(value) <= LONGEST else shown[:LONGEST]


def read_number(text: str) -> int | str:
    """Read a number, decimal or such as 0x10; any other text is returned as it is."""
    try:
        return int(text, 0)
    except ValueError:
        return text


def whole(high: int, low: int = 0) -> Callable[[Any], int]:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(value: Any) -> int:
        number = read_number(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            raise UsageError(
                message(
                    "{value} is not a number from {low} to {high}", value=quoted(value), low=low, high=high
                )
            )
        return number

    return read


def one_of(*choices: str) -> Callable[[Any], str]:
    """Return a reader of one of a few words, in any case."""

    def read(value: Any) -> str:
        word = value.lower() if isinstance(value, str) else value
        if word not in choices:
            raise UsageError(
                suggest_or_list(message("unknown value {value}", value=quoted(value)), word, choices)
            )
        return str(word)

    return read


def truth(value: Any) -> bool:
    """Read yes or no."""
    found = value if isinstance(value, bool) else TRUTHS.get(str(value).lower())
    if found is None:
        raise UsageError(message("{value} is not yes or no", value=quoted(value)))
    return found


def text(value: Any) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise UsageError(message("{value} is not a string", value=quoted(value)))
    return value


def port(value: Any) -> int:
    """Read a port: a number, or the name of a service.

    >>> port("http"), port("0x50"), port(80)
    (80, 80, 80)
    """
    number = read_number(value) if isinstance(value, str) and value.isascii() else value
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= BITS16:
        return number
    if isinstance(value, str) and value in PORTS:
        return PORTS[value]
    raise UsageError(
        with_suggestion(
            message("{value} is not a port", value=quoted(value)),
            number,
            PORTS if isinstance(number, str) else (),
            message("give a number from 0 to 65535 or the name of a service"),
            likeness=0.75,
        )
    )


def hex_bytes(value: Any) -> str:
    """Check bytes in hex; they are kept as text."""
    try:
        bytes.fromhex(text(value))
    except ValueError:
        raise UsageError(message("{value} is not bytes in hex, such as 05b4", value=quoted(value))) from None
    return str(value)


def protocol(value: Any) -> str:
    """Check a protocol, by name or number; it is kept as text."""
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)
    try:
        number = parse_protocol(name)
    except NoSuchWord as error:
        advice = message("give its number")
        raise UsageError(with_suggestion(text_of(error), name, error.known, advice)) from None
    except ValueError as error:
        raise UsageError(text_of(error)) from None
    if number == 0:
        raise UsageError(
            message("{value} is not a single protocol; give tcp, udp, icmp or a number", value=quoted(name))
        )
    return name


def tcp_flags(value: Any) -> str:
    """Check TCP flags such as SYN,ACK; NONE is an empty set. They are kept as text."""
    for name in text(value).replace("NONE", "").split(","):
        if name and name.strip().upper() not in TCP_FLAGS:
            raise UsageError(
                message(
                    "{value} is not a TCP flag; choose from: {choices}",
                    value=quoted(name),
                    choices=", ".join(TCP_FLAGS),
                )
            )
    return str(value)


def tcp_options(value: Any) -> dict[int, str]:
    """Read TCP options: number -> content in hex."""
    found = {whole(BITS8)(kind): hex_bytes(data) for kind, data in mapping(value).items()}
    if any(len(bytes.fromhex(data)) > _OPTION_ROOM for data in found.values()):
        raise UsageError(message("a TCP option has at most {room} bytes", room=_OPTION_ROOM))
    return found


def extension_headers(value: Any) -> tuple[tuple[int, str], ...]:
    """Read IPv6 extension headers: pairs of a protocol number and the content in hex."""
    if not isinstance(value, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in value
    ):
        raise UsageError(
            message(
                "{value} is not a list of pairs: a protocol number, and the content in hex",
                value=quoted(value),
            )
        )
    return tuple((whole(BITS8)(kind), hex_bytes(data)) for kind, data in value)


def mac(value: Any) -> str:
    """Check a MAC address."""
    if not _MAC.fullmatch(text(value)):
        raise UsageError(
            message("{value} is not a MAC address, such as 02:42:ac:11:00:02", value=quoted(value))
        )
    return str(value)


def mapping(value: Any) -> dict[Any, Any]:
    """Read an object of JSON."""
    if not isinstance(value, dict):
        raise UsageError(message("{value} is not an object", value=quoted(value)))
    return value


def identifier(value: Any) -> str | int:
    """Read an id of a question: text, or a number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(message("{value} is neither a string nor a number", value=quoted(value)))
    return value


def assumptions(value: Any) -> dict[str, bool]:
    """Read what is assumed: module or TABLE:CHAIN:N -> yes or no."""
    return {text(what): truth(taken) for what, taken in mapping(value).items()}


def tuple_of(read: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    """Return a reader of lists, which may also be texts with commas."""

    def read_all(value: Any) -> tuple[T, ...]:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise UsageError(message("{value} is not a list", value=quoted(value)))
        return tuple(map(read, items))

    return read_all


def moment(value: Any) -> datetime:
    """Read a date and time (ISO 8601), or seconds since 1970."""
    if isinstance(value, datetime):
        return value
    number = read_number(value) if isinstance(value, str) else value
    try:
        if isinstance(number, int | float) and not isinstance(number, bool):
            return datetime.fromtimestamp(number, UTC)
        return datetime.fromisoformat(text(number))
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            message("{value} is not a date and time, such as 2026-11-24T18:30", value=quoted(value))
        ) from None
