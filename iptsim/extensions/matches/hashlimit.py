"""`-m hashlimit`: the rate of packets or bytes, by address and port (net/netfilter/xt_hashlimit.c).

A dump does not show how full a bucket is, so this match cannot be decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from iptsim.addresses import BITS
from iptsim.extensions.base import Match, Status
from iptsim.extensions.checks import demand_one
from iptsim.extensions.constraints import undecided
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.rates import HASHLIMIT_SCALE, Rate, parse_ticks, rate_from_ticks
from iptsim.extensions.values import bare_value, integer, integer_value
from iptsim.languages import Message, Text, marked, message, message_if, message_joined
from iptsim.truth import Unknown

_UNITS = {"m": 1 << 20, "k": 1 << 10, "": 1}
_ALL_ONES = 0xFFFFFFFF
#: The kernel counts bytes in chunks of 16.
_CHUNK_BITS = 4
_DEFAULT_BURST, _MOST_BURST = 5, 1_000_000
#: Seconds after which an idle entry expires: with a limit of bytes, without and with a burst.
_BYTE_EXPIRE, _BYTE_BURST_EXPIRE = 15, 60
_DEFAULT_COLLECTION = 1000


class ByteRate(NamedTuple):
    """A number of bytes per second, stored as the cost of a byte."""

    cost: int

    @property
    def amount(self) -> int:
        """Bytes per second, with the kernel's precision."""
        return (_ALL_ONES // self.cost - 1) << _CHUNK_BITS

    @classmethod
    def of(cls, amount: int) -> ByteRate:
        """Return the nearest rate that the kernel can store."""
        return cls(_ALL_ONES // ((amount >> _CHUNK_BITS & _ALL_ONES) + 1))

    def __str__(self) -> str:
        for unit, size in _UNITS.items():
            # the greatest unit in which the kernel keeps the same rate
            if size == 1 or (
                self.amount >= size and ByteRate.of(self.amount & _ALL_ONES & ~(size - 1)) == self
            ):
                return f"{self.amount // size}{unit}b/s"
        raise AssertionError("the last unit is one byte")

    def says(self) -> Message:
        """Return the rate in words."""
        if not self.amount:
            return message("a byte a second")
        return message("{amount} bytes a second", amount=str(self).removesuffix("b/s"))


class ByteBurst(NamedTuple):
    """A burst in bytes."""

    amount: int

    def __str__(self) -> str:
        unit, size = next((unit, size) for unit, size in _UNITS.items() if self.amount >= size or not unit)
        return f"{self.amount // size}{unit}b"


class _Written(NamedTuple):
    """A rate of packets as it is written: ticks between two packets, seconds of its unit."""

    ticks: int
    seconds: int


def _parse_limit(text: str) -> ByteRate | _Written:
    found = re.fullmatch(r"([0-9]+)([km]?)b/s(ec(ond)?)?", text)
    if not found:
        return _Written(*parse_ticks(text, HASHLIMIT_SCALE))
    amount = int(found[1]) * _UNITS[found[2]]
    if not amount:
        raise ValueError(message("a rate of 0 matches no packet; iptables rejects it"))
    return ByteRate.of(amount)


def _parse_burst(text: str) -> int:
    found = re.fullmatch(r"([0-9]+|0x[0-9a-fA-F]+)([km]?b?)", text)
    number = integer(found[1], 0, 1 << 44) if found else 0
    if not found or number == 0 or (not found[2] and number > _MOST_BURST):
        raise ValueError(
            message(
                "{text!r} is not a burst of 1 to {most_burst} packets, or bytes such as 15kb",
                text=text,
                most_burst=_MOST_BURST,
            )
        )
    return number * _UNITS[found[2].rstrip("b")]


_MODES = ("srcip", "srcport", "dstip", "dstport")


def _parse_mode(text: str) -> tuple[str, ...] | None:
    words = {word for word in re.split(r"[,|]", text) if word}
    for word in words:
        if word not in _MODES:
            raise ValueError(
                message("unknown mode {word!r}; choose from: {choices}", word=word, choices=", ".join(_MODES))
            )
    return tuple(mode for mode in _MODES if mode in words) or None


def _parse_mask(text: str, family: int) -> int | None:
    width = BITS[family]
    length = integer(text, 0, width)
    return None if length == width else length


def _optional(expected: str, low: int, default: int) -> Value:
    """Make the value of an option that iptables leaves out where it has its default."""

    def parse(text: str) -> int | None:
        number = integer(text, low)
        return None if number == default else number

    return Value(expected, parse)


_LIMIT = Value("a rate of packets (10/second, 3/minute) or of bytes (512kb/s)", _parse_limit)
_MASK = Value("a prefix length", _parse_mask, needs_family=True)


class Hashlimit(Match):
    """A limit on packets or bytes per unit of time, counted separately for each address, port or network."""

    name: ClassVar[str] = "hashlimit"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--hashlimit-upto", "hashlimit_upto", _LIMIT, True, ("--hashlimit",)),
        Option("--hashlimit-above", "hashlimit_above", _LIMIT, True),
        Option("--hashlimit-burst", "hashlimit_burst", Value("a number of packets, or bytes", _parse_burst)),
        Option(
            "--hashlimit-mode",
            "hashlimit_mode",
            Value("some of srcip, srcport, dstip, dstport", _parse_mode, ",".join),
        ),
        Option("--hashlimit-name", "hashlimit_name", bare_value("a name for the table of entries", 255)),
        Option(
            "--hashlimit-htable-size", "hashlimit_htable_size", _optional(marked("a number of buckets"), 0, 0)
        ),
        Option(
            "--hashlimit-htable-max", "hashlimit_htable_max", _optional(marked("a number of entries"), 0, 0)
        ),
        Option(
            "--hashlimit-htable-gcinterval",
            "hashlimit_htable_gcinterval",
            _optional("milliseconds", 1, _DEFAULT_COLLECTION),
        ),
        Option("--hashlimit-htable-expire", "hashlimit_htable_expire", integer_value("milliseconds", 1)),
        Option("--hashlimit-srcmask", "hashlimit_srcmask", _MASK),
        Option("--hashlimit-dstmask", "hashlimit_dstmask", _MASK),
        Option("--hashlimit-rate-match", "hashlimit_rate_match"),
        Option("--hashlimit-rate-interval", "hashlimit_rate_interval", integer_value("seconds", 1)),
    )
    status: ClassVar[Status] = "unknown"

    hashlimit_upto: Rate | ByteRate | None = None
    hashlimit_above: Rate | ByteRate | None = None
    hashlimit_burst: int | ByteBurst | None = None
    hashlimit_mode: tuple[str, ...] | None = None
    hashlimit_name: str
    hashlimit_htable_size: int | None = None
    hashlimit_htable_max: int | None = None
    hashlimit_htable_gcinterval: int | None = None
    #: None where it follows from the rate
    hashlimit_htable_expire: int | None = None
    #: None for single addresses
    hashlimit_srcmask: int | None = None
    hashlimit_dstmask: int | None = None
    hashlimit_rate_match: bool = False
    #: None for one second
    hashlimit_rate_interval: int | None = None

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields as iptables stores the options and prints them again."""
        fields = super().gather(given)
        for field in fields.pop("negated", frozenset()):
            opposite = "hashlimit_above" if field == "hashlimit_upto" else "hashlimit_upto"
            fields[opposite] = fields.pop(field)
        for field in ("hashlimit_upto", "hashlimit_above"):
            limit = fields.get(field)
            if isinstance(limit, _Written):
                fields[field] = _store_packets(fields, limit)
            elif isinstance(limit, ByteRate):
                _store_bytes(fields, limit)
        return {field: value for field, value in fields.items() if value is not None}

    def check(self) -> None:
        demand_one(self, "hashlimit_upto", "hashlimit_above")
        if "/" in self.hashlimit_name:
            raise ValueError(
                message("the name of a hashlimit can't contain a slash: it names a file in /proc")
            )

    def predicates(self) -> tuple[Predicate, ...]:
        unknown = Unknown(
            message(
                "the rate at that moment{grouping} (hashlimit {name})",
                grouping=self._grouping(),
                name=self.hashlimit_name,
            ),
            "--assume hashlimit=yes",
        )
        return self.one(undecided("hashlimit", unknown, message("the rate at that moment is not known")))

    def _grouping(self) -> Text:
        sides = []
        for mode in self.hashlimit_mode or ():
            source = mode.startswith("src")
            mask = getattr(self, f"hashlimit_{mode[:3]}mask")
            if mode.endswith("port"):
                sides.append(message_if(source, "source port", "destination port"))
            elif mask is None:
                sides.append(message_if(source, "source address", "destination address"))
            else:
                sides.append(
                    message_if(
                        source,
                        "/{mask} network of the source",
                        "/{mask} network of the destination",
                        mask=mask,
                    )
                )
        return message(" by {sides}", sides=message_joined(" and ", sides)) if sides else ""

    def lists(self, form: ListingForm) -> str:
        rate, expire = self.hashlimit_upto or self.hashlimit_above, self.hashlimit_htable_expire
        if self.hashlimit_rate_match and isinstance(rate, Rate):
            # the listing shows the rate per interval, and the expiry if that rate does not imply it
            expire = expire or rate.unit_seconds * 1000
            ticks = HASHLIMIT_SCALE * rate.unit_seconds // rate.amount
            rate = rate_from_ticks(ticks * (self.hashlimit_rate_interval or 1), HASHLIMIT_SCALE)
            expire = None if expire == rate.unit_seconds * 1000 else expire
        text = f" limit: {'above' if self.hashlimit_upto is None else 'up to'} {rate}"
        text += "" if self.hashlimit_burst is None else f" burst {self.hashlimit_burst}"
        text += f" mode {'-'.join(self.hashlimit_mode)}" if self.hashlimit_mode else ""
        for name, value in (
            ("htable-size", self.hashlimit_htable_size),
            ("htable-max", self.hashlimit_htable_max),
            ("htable-gcinterval", self.hashlimit_htable_gcinterval),
            ("htable-expire", expire),
            ("srcmask", self.hashlimit_srcmask),
            ("dstmask", self.hashlimit_dstmask),
        ):
            text += "" if value is None else f" {name} {value}"
        if self.hashlimit_rate_match:
            interval = self.hashlimit_rate_interval
            text += " rate-match" + ("" if interval is None else f" rate-interval {interval}")
        return text

    def says(self) -> Text:
        limit = self.hashlimit_above or self.hashlimit_upto
        rate = limit.says() if limit else ""
        burst = (
            message(", after a first burst of {burst}", burst=str(self.hashlimit_burst))
            if self.hashlimit_burst
            else ""
        )
        return message_if(
            self.hashlimit_above,
            "while their rate{grouping} is more than {rate}{burst}",
            "while their rate{grouping} is up to {rate}{burst}",
            grouping=self._grouping(),
            rate=rate,
            burst=burst,
        )


def _store_packets(fields: dict[str, Any], limit: _Written) -> Rate:
    """Store what follows from a rate of packets, and return it as it is printed."""
    expire = fields.pop("hashlimit_htable_expire", None) or limit.seconds * 1000
    interval = fields.pop("hashlimit_rate_interval", None)
    ticks = limit.ticks
    if fields.get("hashlimit_rate_match"):
        ticks //= limit.seconds
        if ticks == 0:
            raise ValueError(message("the rate is too high for --hashlimit-rate-match"))
        interval = interval or limit.seconds
        fields["hashlimit_rate_interval"] = None if interval == 1 else interval
    rate = rate_from_ticks(ticks, HASHLIMIT_SCALE)
    burst = fields.setdefault("hashlimit_burst", _DEFAULT_BURST)
    if burst > _MOST_BURST:
        raise ValueError(
            message("the burst {burst} exceeds {most_burst} packets", burst=burst, most_burst=_MOST_BURST)
        )
    fields["hashlimit_htable_expire"] = None if expire == rate.unit_seconds * 1000 else expire
    return rate


def _store_bytes(fields: dict[str, Any], limit: ByteRate) -> None:
    """Store what follows from a rate of bytes: a burst is a multiple of it."""
    burst = fields.pop("hashlimit_burst", None)
    default = _BYTE_EXPIRE if burst is None else _BYTE_BURST_EXPIRE
    if burst is not None:
        if burst < limit.amount:
            raise ValueError(
                message(
                    "the burst of {burst} bytes is less than the limit of {amount} per second",
                    burst=burst,
                    amount=limit.amount,
                )
            )
        fields["hashlimit_burst"] = ByteBurst(-(-burst // max(limit.amount, 1)) * limit.amount)
    expire = fields.pop("hashlimit_htable_expire", None)
    fields["hashlimit_htable_expire"] = None if expire == default * 1000 else expire
    interval = fields.pop("hashlimit_rate_interval", None)
    fields["hashlimit_rate_interval"] = (
        interval if fields.get("hashlimit_rate_match") and interval != 1 else None
    )


EXTENSIONS = (Hashlimit,)
