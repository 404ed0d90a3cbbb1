"""Values that several extensions share: networks, ports, marks, integers, words."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from iptsim.addresses import BITS, address_text
from iptsim.extensions.constraints import Masked
from iptsim.extensions.options import Value, quote
from iptsim.extensions.services import PORTS
from iptsim.languages import Text, message, message_joined
from iptsim.suggestions import did_you_mean

_INTEGER = re.compile(r"[+]?(0[xX][0-9a-fA-F]+|[0-9]+)")


class NoSuchWord(ValueError):
    """A word that is not among the allowed ones.

    Attributes:
        word: the word; in a comma-separated list, only the wrong item.
        known: the words that are allowed.
    """

    def __init__(self, message: Text, word: str, known: Iterable[str]) -> None:
        super().__init__(message)
        self.word = word
        self.known = known

    def nearest(self) -> Text:
        """Return a hint with a similar known word, or ""."""
        return did_you_mean(self.word, self.known)


def integer(text: str, low: int = 0, high: int = 0xFFFFFFFF) -> int:
    """Read a number as strtoul(3) with base 0 does: decimal, 0x hexadecimal, 0 octal.

    Raises:
        ValueError: not a number, or outside `low` to `high`.
    """
    if not _INTEGER.fullmatch(text):
        raise ValueError(message("{text!r} is not a number", text=text))
    digits = text.lstrip("+")
    try:
        number = int(
            digits, 8 if digits.startswith("0") and digits[1:2] not in ("x", "X") and len(digits) > 1 else 0
        )
    except ValueError:
        raise ValueError(message("{text!r} is not a number", text=text)) from None
    if not low <= number <= high:
        raise ValueError(
            message("{number} is not between {low} and {high}", number=number, low=low, high=high)
        )
    return number


def integer_value(expected: Text, low: int = 0, high: int = 0xFFFFFFFF) -> Value:
    """Make the value of an option that takes one number."""
    return Value(expected, lambda text: integer(text, low, high))


class Network(NamedTuple):
    """Addresses x with x & mask == address & mask; the mask need not be a prefix."""

    family: int
    address: int
    mask: int

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and address & self.mask == self.address & self.mask

    def __str__(self) -> str:
        text = address_text(self.family, self.address)
        length = prefix_length(self.mask, BITS[self.family])
        return f"{text}/{address_text(self.family, self.mask) if length is None else length}"

    @property
    def short(self) -> str:
        """The text, without the mask for a single address.

        >>> Network(4, 0x0A000001, 0xFFFFFFFF).short, Network(4, 0x0A000000, 0xFF000000).short
        ('10.0.0.1', '10.0.0.0/8')
        """
        return str(self).removesuffix("/32" if self.family == 4 else "/128")


def prefix_length(mask: int, width: int) -> int | None:
    """Return the length of a prefix mask, None for a mask with holes."""
    length = mask.bit_count()
    return length if mask == ((1 << length) - 1) << (width - length) else None


#: Forms of an IPv4 address other than four decimal numbers: numbers in hex and octal, fewer of them.
_OLD_FORMS = re.compile(r"(?:0[xX][0-9a-fA-F]+|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]+|[0-9]+)){0,3}")


@lru_cache(maxsize=1 << 17)
def parse_network(text: str, family: int) -> Network:
    """Read `address`, `address/length` or `address/mask`; host bits are cleared as iptables does.

    Raises:
        ValueError: not an address of that family.
    """
    address, slash, mask_text = text.partition("/")
    width = BITS[family]
    if not slash:
        mask = (1 << width) - 1
    elif mask_text.isascii() and mask_text.isdigit():
        length = int(mask_text)
        if length > width:
            raise ValueError(
                message("the prefix length {length} is greater than {width}", length=length, width=width)
            )
        mask = ((1 << length) - 1) << (width - length)
    else:
        mask = one_address(mask_text, family)
    return Network(family, _looked_up(address, family) & mask, mask)


def _looked_up(text: str, family: int) -> int:
    """Read an address as iptables does for `-s` and `-d`: the resolver reads it, also hex and octal.

    A text other than four decimal numbers is first padded with trailing zeros and read as inet_aton(3) does, then read
    without the padding (xtables_ipparse_multiple in libxtables, getaddrinfo(3)).

    Raises:
        ValueError: not an address of that family.
    """
    plain = _packed(text, family)
    if plain is not None:
        return plain
    if family == 4 and _OLD_FORMS.fullmatch(text):
        for form in (text + ".0" * (3 - text.count(".")), text):
            try:
                return int.from_bytes(socket.inet_aton(form), "big")
            except OSError:
                continue
    return one_address(text, family)


def parse_host_mask(text: str, family: int) -> Network:
    """Read an address as :func:`parse_network` does, but keep its host bits (XTTYPE_HOSTMASK of libxtables).

    Other forms than four decimal numbers are left to the resolver: 10.1 is 10.0.0.1 (inet_aton(3)).

    Raises:
        ValueError: not an address of that family.
    """
    word, slash, mask = text.partition("/")
    if family == 4 and _packed(word, 4) is None and _OLD_FORMS.fullmatch(word):
        with suppress(OSError):
            word = address_text(4, int.from_bytes(socket.inet_aton(word), "big"))
    return parse_network(f"{word}{slash}{mask}", family)._replace(address=one_address(word, family))


def _packed(text: str, family: int) -> int | None:
    """Read an address of the usual form, four decimal numbers or IPv6; None for another form, or not an address."""
    try:
        return int.from_bytes(
            socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text), "big"
        )
    except (OSError, ValueError):
        return None


def one_address(text: str, family: int) -> int:
    """Read one address of a family (IPv4 also in iptables' short forms `10.1`, `10`).

    Raises:
        ValueError: not an address of that family.
    """
    plain = _packed(text, family)
    if plain is not None:
        return plain
    try:
        if family == 6:
            return int(ipaddress.IPv6Address(text))
        parts = text.split(".")
        if 0 < len(parts) < 4 and all(part.isascii() and part.isdigit() for part in parts):
            # xtables pads "10" and "10.1" with trailing zeros (numeric_to_ipaddr)
            text = ".".join(parts + ["0"] * (4 - len(parts)))
        return int(ipaddress.IPv4Address(text))
    except ValueError:
        other = 4 if family == 6 else 6
        try:
            ipaddress.ip_address(text)
        except ValueError:
            if re.fullmatch(r"[A-Za-z0-9._-]+", text) and re.search(r"[A-Za-z]", text):
                raise ValueError(
                    message(
                        "{text!r} is a host name; iptables would look it up once, so write its address instead",
                        text=text,
                    )
                ) from None
            raise ValueError(
                message("{text!r} is not an IPv{family} address", text=text, family=family)
            ) from None
        raise ValueError(
            message(
                "{text!r} is an IPv{other} address in an IPv{family} ruleset",
                text=text,
                other=other,
                family=family,
            )
        ) from None


NETWORK = Value(
    "an address, with /length or /mask",
    parse_network,
    str,
    needs_family=True,
    form="network",
    plain="plain_network_{family}",
)


class Address(NamedTuple):
    """One address."""

    family: int
    address: int

    def __str__(self) -> str:
        return address_text(self.family, self.address)


def full_address(text: str, family: int) -> int:
    """Read one address of a family that is written in full, as targets require.

    Raises:
        ValueError: not an address of that family.
    """
    if family == 4 and text.count(".") != 3:
        raise ValueError(message("{text!r} is not an IPv4 address", text=text))
    return one_address(text, family)


ADDRESS = Value(
    "an address", lambda text, family: Address(family, full_address(text, family)), needs_family=True
)


def port(text: str) -> int:
    """Read a port: a number or a service name.

    Raises:
        ValueError: neither.
    """
    if text[:1].isdigit():
        return integer(text, 0, 65535)
    if text in PORTS:
        return PORTS[text]
    raise NoSuchWord(message("{text!r} is neither a port number nor a known service", text=text), text, PORTS)


def any_port_range(text: str) -> tuple[int, int]:
    """Read `80`, `1024:`, `:1023` or `1000:2000`; a range that ends before it starts is empty.

    Raises:
        ValueError: not a port or range.
    """
    first, colon, last = text.partition(":")
    if not colon:
        return (number := port(first)), number
    return port(first) if first else 0, port(last) if last else 65535


def port_range(text: str) -> tuple[int, int]:
    """Read a port or range as :func:`any_port_range` does, but not one that ends before it starts.

    Raises:
        ValueError: not a port or range, or a range that ends before it starts.
    """
    return in_order(any_port_range(text), text)


def in_order(pair: tuple[int, int], text: str) -> tuple[int, int]:
    """Return a range that was read from a text.

    Raises:
        ValueError: it ends before it starts.
    """
    if pair[0] > pair[1]:
        raise ValueError(message("the range {text} ends before it starts", text=text))
    return pair


def compared_words(field: str, value: int | str) -> Text:
    """Return the values that satisfy a comparison, in words; the suffix of the field names the comparison.

    >>> [str(compared_words(field, 64)) for field in ("ttl_eq", "ttl_lt", "ttl_gt")]
    ['64', 'below 64', 'above 64']
    """
    if field.endswith("_lt"):
        return message("below {value}", value=value)
    return message("above {value}", value=value) if field.endswith("_gt") else str(value)


def range_words(pair: tuple[int, int]) -> Text:
    """Return a range in words.

    >>> str(range_words((80, 80))), str(range_words((1000, 2000)))
    ('80', '1000 to 2000')
    """
    low, high = pair
    return str(low) if low == high else message("{first} to {last}", first=low, last=high)


def range_text(pair: tuple[int, int], joiner: str = ":") -> str:
    """Print one number or a range.

    >>> range_text((80, 80)), range_text((1, 9))
    ('80', '1:9')
    """
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]}{joiner}{pair[1]}"


PORT_RANGE = Value(
    "a port or a range of ports (80, 1024:65535, http)", port_range, range_text, form="port_range"
)
#: Some matches accept ranges that end before they start, up to iptables 1.8.10 (fixed in 1.8.11).
ANY_PORT_RANGE = Value(PORT_RANGE.expected, any_port_range, range_text)


class MaskedNumber(NamedTuple):
    """A number with a mask, as marks are written: `0x1/0xff`."""

    value: int
    mask: int = 0xFFFFFFFF

    def __str__(self) -> str:
        return f"{self.value:#x}" if self.mask == 0xFFFFFFFF else f"{self.value:#x}/{self.mask:#x}"


def masked_number(text: str) -> MaskedNumber:
    """Read `value` or `value/mask`.

    Raises:
        ValueError: not numbers of 32 bits.
    """
    value, slash, mask = text.partition("/")
    return MaskedNumber(integer(value), integer(mask) if slash else 0xFFFFFFFF)


def masked(number: MaskedNumber) -> Masked:
    """Return the integers that have the bits of a masked number."""
    return Masked(number.value, number.mask)


def in_network(network: Network) -> Masked:
    """Return the addresses of a network."""
    return Masked(network.address & network.mask, network.mask)


MARK = Value("a mark, with or without /mask (0x1/0xff)", masked_number, form="mark")


def bare(text: str) -> str:
    """Print a word as it is; in quotes only if it could not be read back otherwise.

    >>> bare("web.example"), bare("a b")
    ('web.example', '"a b"')
    """
    return quote(text) if not text or re.search(r'[\s"]', text) else text


def bare_value(expected: Text, longest: int | None = None) -> Value:
    """Make the value of an option that takes one word, which iptables-save prints without quotes.

    Args:
        expected: what belongs there.
        longest: the greatest number of bytes that the kernel keeps.
    """

    def parse(text: str) -> str:
        if not text:
            raise ValueError(message("the name is empty"))
        if longest is not None and len(text.encode()) > longest:
            raise ValueError(
                message("{text!r} is longer than {longest} characters", text=text, longest=longest)
            )
        return text

    return Value(expected, parse, bare)


def number_range(text: str, high: int) -> tuple[int, int]:
    """Read `5`, `5:9`, `5:` or `:9` (XTTYPE_UINT*RC of libxtables); the caller checks the order.

    Raises:
        ValueError: not a number or range up to `high`.
    """
    first, colon, last = text.partition(":")
    low = integer(first, 0, high) if first else 0
    if not colon:
        return low, low
    return low, integer(last, 0, high) if last else high


def word_value(expected: Text) -> Value:
    """Make the value of an option that takes one word of free text."""
    return Value(expected, str, quote)


def choice(expected: Text, choices: tuple[str, ...]) -> Value:
    """Make the value of an option that takes one of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise NoSuchWord(
                message(
                    "unknown value {text!r}; choose from: {choices}", text=text, choices=", ".join(choices)
                ),
                text,
                choices,
            )
        return text

    return Value(expected, parse)


def choices(expected: Text, known: tuple[str, ...]) -> Value:
    """Make the value of an option that takes a comma-separated list of known words.

    Args:
        expected: what belongs there.
        known: the words; in a list each may be abbreviated, and the first that fits counts.
    """

    def parse(text: str) -> tuple[str, ...]:
        found = set()
        for word in text.split(","):
            name = next((name for name in known if word and name.startswith(word.upper())), None)
            if name is None:
                raise NoSuchWord(
                    message(
                        "unknown value {word!r}; choose from: {choices}", word=word, choices=", ".join(known)
                    ),
                    word,
                    known,
                )
            found.add(name)
        return tuple(name for name in known if name in found)

    return Value(expected, parse, ",".join, form="words")


def any_of(words: tuple[Text, ...]) -> Text:
    """Join words with commas and "or".

    >>> str(any_of(("a", "b", "c")))
    'a, b or c'
    """
    if len(words) < 2:
        return words[0] if words else ""
    return message_joined(" or ", (message_joined(", ", words[:-1]), words[-1]))


Formatter = Callable[[int], str]
