"""Rates as `-m limit` and `-m hashlimit` write them: `3/min`, `10/sec`.

iptables keeps a rate as the whole number of ticks between two packets and prints it in the smallest
unit that is still precise (print_rate in libxt_limit.c), so that `60/min` comes back as `1/sec`.
"""

from __future__ import annotations

from typing import NamedTuple

from iptsim.extensions.options import Value
from iptsim.languages import Message, message

_SECONDS = {"day": 86400, "hour": 3600, "min": 60, "sec": 1}
#: The units as they may be written, in full or abbreviated.
_WRITTEN = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
#: Ticks in a second: of limit and of hashlimit's first revision, and of hashlimit since Linux 4.9.
LIMIT_SCALE = 10_000
HASHLIMIT_SCALE = 1_000_000


class Rate(NamedTuple):
    """A number of packets per unit of time.

    Attributes:
        amount: the number of packets.
        unit: "sec", "min", "hour" or "day".
    """

    amount: int
    unit: str

    def __str__(self) -> str:
        return f"{self.amount}/{self.unit}"

    def says(self) -> Message:
        """Return the rate in words.

        >>> str(Rate(3, "min").says()), str(Rate(1, "hour").says())
        ('3 a minute', '1 an hour')
        """
        return {
            "sec": message("{amount} a second", amount=self.amount),
            "min": message("{amount} a minute", amount=self.amount),
            "hour": message("{amount} an hour", amount=self.amount),
            "day": message("{amount} a day", amount=self.amount),
        }[self.unit]

    @property
    def unit_seconds(self) -> int:
        """Seconds in the unit."""
        return _SECONDS[self.unit]


def parse_ticks(text: str, scale: int) -> tuple[int, int]:
    """Read a rate as the ticks between two packets, and the seconds of the unit that it is written in.

    Args:
        text: `10`, `10/s`, `3/minute` and so on; the default unit is a second.
        scale: ticks in a second; it limits the rate.

    Raises:
        ValueError: not a rate, a rate of zero, or faster than the kernel can count.
    """
    digits, slash, unit = text.partition("/")
    if not (digits.isascii() and digits.isdigit()) or (slash and not unit):
        raise ValueError(message("{text!r} is not a rate such as 10/second or 3/minute", text=text))
    name = next((name for name in _WRITTEN if name.startswith(unit.lower())), None)
    if name is None:
        raise ValueError(
            message(
                "unknown unit of time {unit!r}; choose from: {choices}",
                unit=unit,
                choices=", ".join(_WRITTEN),
            )
        )
    if int(digits) == 0:
        raise ValueError(message("a rate of 0 matches no packet; iptables rejects it"))
    seconds = _WRITTEN[name]
    ticks = scale * seconds // int(digits)
    if ticks == 0:
        raise ValueError(
            message(
                "the rate {text} is too high; at most {scale} per {name}",
                text=text,
                scale=scale * seconds,
                name=name,
            )
        )
    return ticks, seconds


def rate_from_ticks(ticks: int, scale: int) -> Rate:
    """Return the rate in the unit that iptables chooses: the smallest whose remainder does not exceed the amount."""
    chosen = "day"
    for unit in ("hour", "min", "sec"):
        span = scale * _SECONDS[unit]
        if ticks > span or span // ticks < span % ticks:
            break
        chosen = unit
    return Rate(scale * _SECONDS[chosen] // ticks, chosen)


def parse_rate(text: str, scale: int = LIMIT_SCALE) -> Rate:
    """Read a rate, in the unit in which iptables prints it.

    Raises:
        ValueError: see :func:`parse_ticks`.

    >>> str(parse_rate("60/m")), str(parse_rate("100/min"))
    ('1/sec', '100/min')
    """
    return rate_from_ticks(parse_ticks(text, scale)[0], scale)


RATE = Value(
    "a rate: packets per second, /minute, /hour or /day (10/second, 3/minute)", parse_rate, form="rate"
)
