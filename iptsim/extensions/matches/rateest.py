"""`-m rateest`: rates that the RATEEST target measures (net/netfilter/xt_rateest.c)."""

from __future__ import annotations

import re
from typing import ClassVar

from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import undecided
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import not_if
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import bare, bare_value, integer
from iptsim.languages import Text, message, message_joined
from iptsim.truth import Unknown

_PREFIXES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_PREFIXES |= {"ki": 1024, "mi": 1024**2, "gi": 1024**3, "ti": 1024**4}
_RATE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([kmgt]?i?)(bit|bps))?", re.IGNORECASE)
_LAST = 0xFFFFFFFF


def _bytes_per_second(text: str) -> int:
    """Read `2.5mbit`, `100KBps` or so; a bare number has always meant an eighth of it (libxt_rateest.c)."""
    found = _RATE.fullmatch(text)
    prefix = (found[2] or "").lower() if found else ""
    if not found or prefix not in _PREFIXES:
        raise ValueError(message("{text!r} is not a rate such as 2.5mbit or 100KBps", text=text))
    by_bytes = (found[3] or "bit").lower() == "bps"
    rate = int(float(found[1]) * _PREFIXES[prefix] * (8 if by_bytes else 1) / 8)
    if rate > _LAST:
        raise ValueError(message("{text} is more than {last} bytes per second", text=text, last=_LAST))
    return rate


def _rate_text(rate: int) -> str:
    """Print a rate as iptables does, rounded to a whole number of its unit."""
    bits = rate * 8
    if bits >= 1000 * 1000**2:
        return f"{bits / 1000**2:.0f}Mbit"
    return f"{bits / 1000:.0f}Kbit" if bits >= 1000**2 else f"{bits}bit"


_BPS = Value("a rate (2.5mbit, 100KBps)", _bytes_per_second, _rate_text, optional=True)
_PPS = Value("a number of packets a second", lambda text: integer(text, 0, _LAST), optional=True)
_ESTIMATOR = bare_value("the name of a rate estimator", 15)
_COMPARISONS = {
    "rateest_lt": message("less than"),
    "rateest_gt": message("more than"),
    "rateest_eq": message("equal to"),
}


class Rateest(Match):
    """Compare a measured rate with a number, or with another measured rate."""

    name: ClassVar[str] = "rateest"
    status: ClassVar[Status] = "unknown"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--rateest-delta", "rateest_delta"),
        Option("--rateest1", "rateest1", _ESTIMATOR, aliases=("--rateest",)),
        Option("--rateest-bps1", "rateest_bps1", _BPS, constant=0),
        Option("--rateest-pps1", "rateest_pps1", _PPS, constant=0),
        Option("--rateest-lt", "rateest_lt", None, True),
        Option("--rateest-gt", "rateest_gt", None, True),
        Option("--rateest-eq", "rateest_eq", None, True),
        Option("--rateest-bps2", "rateest_bps2", _BPS, aliases=("--rateest-bps",), constant=0),
        Option("--rateest-pps2", "rateest_pps2", _PPS, aliases=("--rateest-pps",), constant=0),
        Option("--rateest2", "rateest2", _ESTIMATOR),
    )

    rateest_delta: bool = False
    rateest1: str
    #: bytes per second
    rateest_bps1: int | None = None
    rateest_pps1: int | None = None
    rateest_lt: bool = False
    rateest_gt: bool = False
    rateest_eq: bool = False
    #: bytes per second
    rateest_bps2: int | None = None
    rateest_pps2: int | None = None
    rateest2: str | None = None

    def check(self) -> None:
        if len([field for field in _COMPARISONS if getattr(self, field)]) != 1:
            raise ValueError(message("rateest needs one of --rateest-lt, --rateest-gt and --rateest-eq"))
        if not self._kinds():
            raise ValueError(message("rateest needs rates to compare: --rateest-bps or --rateest-pps"))

    @property
    def _comparison(self) -> str:
        """The field of the comparison that was given."""
        return next(field for field in _COMPARISONS if getattr(self, field))

    def _kinds(self) -> list[str]:
        """Return what is compared: "bps", "pps" or both."""
        return [
            kind
            for kind in ("bps", "pps")
            if getattr(self, f"rateest_{kind}1") is not None or getattr(self, f"rateest_{kind}2") is not None
        ]

    def clauses(self) -> list[str]:
        """Return the options in iptables' order, with the comparison between the two rates."""
        relative = self.rateest2 is not None
        field = self._comparison
        comparison = ("! " if field in self.negated else "") + "--" + field.replace("_", "-")
        found = ["--rateest-delta"] if self.rateest_delta else []
        found.append(f"--rateest{'1' if relative else ''} {bare(self.rateest1)}")
        for kind in self._kinds():
            show = _rate_text if kind == "bps" else str
            first, second = (getattr(self, f"rateest_{kind}{number}") or 0 for number in (1, 2))
            if self.rateest_delta:
                found += [f"--rateest-{kind}1 {show(first)}", comparison, f"--rateest-{kind}2 {show(second)}"]
            else:
                found += [comparison, f"--rateest-{kind}" + ("" if relative else f" {show(second)}")]
        return [*found, f"--rateest2 {bare(self.rateest2)}"] if self.rateest2 is not None else found

    def predicates(self) -> tuple[Predicate, ...]:
        unknown = Unknown(
            message("the rate that the estimator {name} measures", name=self.rateest1), "--assume rateest=yes"
        )
        return self.one(undecided("rateest", unknown, message("the rate is not known")))

    def lists(self, form: ListingForm) -> str:
        compared = f"{self.bang(self._comparison, ' !')} {self._comparison.removeprefix('rateest_')}"
        text = f" rateest match {self.rateest1}{' delta' if self.rateest_delta else ''}"
        bps1, bps2 = self.rateest_bps1 or 0, self.rateest_bps2 or 0
        pps1, pps2 = self.rateest_pps1 or 0, self.rateest_pps2 or 0
        kinds, absolute = self._kinds(), self.rateest2 is None
        if "bps" in kinds:
            text += " bps" + (f" {bps1}" if self.rateest_delta else "")
            text += f" {bps2}{compared}" if absolute else ""
        if "pps" in kinds:
            text += " pps" + (f" {pps1}" if self.rateest_delta else "")
            text += f"{compared} {pps2}" if absolute else ""
        if not absolute:
            text += f"{compared} {self.rateest2}"
            for kind, rate in (("bps", bps2), ("pps", pps2)):
                if kind in kinds:
                    text += f" {kind}" + (f" {rate}" if self.rateest_delta else "")
        return text

    def says(self) -> Text:
        comparison = not_if(self._comparison in self.negated, _COMPARISONS[self._comparison])
        if self.rateest2 is not None:
            other = message("that of {name}", name=self.rateest2)
        else:
            rates: dict[str, Text] = {
                "bps": _rate_text(self.rateest_bps2 or 0),
                "pps": message("{rate} packets a second", rate=self.rateest_pps2 or 0),
            }
            other = message_joined(" and ", (rates[kind] for kind in self._kinds()))
        return message(
            "while the rate of the estimator {name} is {comparison} {other}",
            name=self.rateest1,
            comparison=comparison,
            other=other,
        )


EXTENSIONS = (Rateest,)
