"""`-j RATEEST`: measure the rate of the packets that come here (net/netfilter/xt_RATEEST.c)."""

from __future__ import annotations

import math
import re
from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import bare
from iptsim.languages import message

_TIME = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([mu]?(?:s|secs?))?", re.IGNORECASE)
_SECOND = 1_000_000
#: The shortest interval; the others are its doubles, up to 8 seconds.
_QUARTER = _SECOND // 4
_DOUBLINGS = 5


def parse_time(text: str) -> int:
    """Read a time with its unit (250ms, 0.5s; bare numbers are microseconds) as microseconds.

    Raises:
        ValueError: not a time.
    """
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(message("{text!r} is not a time such as 250ms or 1s", text=text))
    unit = (found[2] or "us").lower()
    factor = _SECOND if unit.startswith("s") else 1000 if unit.startswith("m") else 1
    return int(float(found[1]) * factor)


def time_text(time: int) -> str:
    """Print microseconds as iptables does.

    >>> time_text(250000), time_text(8000000)
    ('250.0ms', '8.0s')
    """
    if time >= _SECOND:
        return f"{time / _SECOND:.1f}s"
    return f"{time / 1000:.1f}ms" if time >= 1000 else f"{time}us"


_TIME_VALUE = Value("a time (250ms, 1s)", parse_time, time_text)


class Rateest(Target):
    """Feed the rate estimator that `-m rateest` compares."""

    name: ClassVar[str] = "RATEEST"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--rateest-name", "rateest_name", text_value("the estimator's name", 15, bare),
            phrase=Phrase("count in the rate estimator {value}"),
        ),
        Option("--rateest-interval", "rateest_interval", _TIME_VALUE),
        Option("--rateest-ewmalog", "rateest_ewmalog", _TIME_VALUE),
    )  # fmt: skip
    changes: ClassVar[bool] = False

    rateest_name: str
    #: microseconds
    rateest_interval: int | None = None
    #: time constant of the average, microseconds
    rateest_ewmalog: int | None = None

    def check(self) -> None:
        self._stored()

    def _stored(self) -> tuple[int, int]:
        """Return interval and time constant, in microseconds, as the powers of two that the kernel keeps."""
        wanted, constant = self.rateest_interval or 0, self.rateest_ewmalog or 0
        interval = next((length for i in range(_DOUBLINGS + 1) if (length := _QUARTER << i) >= wanted), None)
        if interval is None:
            raise ValueError(message("the interval {time} is longer than 8 seconds", time=time_text(wanted)))
        weight = next((i for i in range(1, 32) if wanted / -math.log1p(-1 / (1 << i)) > constant), 32)
        if not 1 < weight < 32:
            raise ValueError(
                message("--rateest-ewmalog is out of range: it must be greater than --rateest-interval")
            )
        return interval, interval << (weight - 1)

    def save(self) -> str:
        """Return the options as iptables-save prints them, rounded to what the kernel keeps."""
        interval, constant = map(time_text, self._stored())
        name = bare(self.rateest_name)
        return f"--rateest-name {name} --rateest-interval {interval} --rateest-ewmalog {constant}"

    def lists(self, form: ListingForm) -> str:
        interval, constant = map(time_text, self._stored())
        return f" name {self.rateest_name} interval {interval} ewmalog {constant}"


EXTENSIONS = (Rateest,)
