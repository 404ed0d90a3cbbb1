"""`-m time`: the moment at which the packet passes (net/netfilter/xt_time.c).

Facts: `time`, the moment, as a datetime or ISO text; UTC without a zone. For `--kerneltz` also
`kernel_timezone`, the minutes by which the kernel's time zone is ahead of UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from iptsim.errors import UsageError
from iptsim.extensions.base import Match, Status
from iptsim.extensions.constraints import Constraint, Field
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.stated import stated_number
from iptsim.extensions.values import NoSuchWord, any_of
from iptsim.languages import Text, message, message_if, message_joined
from iptsim.truth import Unknown

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY = 86400
#: The suffix of a day of the month by its last digit, as in listings.
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}
_EPOCH = datetime(1970, 1, 1)
#: The last date that the match accepts, and the default of `--datestop`.
_LAST = datetime(2038, 1, 19, 3, 14, 7)
_FIRSTS = (1970, 1, 1, 0, 0, 0)
_LASTS = (2038, 12, 31, 23, 59, 59)
_DATE = re.compile(r"(\d+)(?:-(\d*)(?:-(\d*)(?:T(\d*)(?::(\d*)(?::(\d*))?)?)?)?)?", re.ASCII)
_TIME = re.compile(r"(\d*):(\d*)(?::(\d*))?", re.ASCII)


def _date(text: str) -> datetime:
    """Read `YYYY[-MM[-DD[Thh[:mm[:ss]]]]]`; a day that the month lacks runs over, as in mktime(3)."""
    found = _DATE.fullmatch(text)
    if found:
        # an omitted part has its lowest value; an empty one is 0, as strtoul(3) reads it
        groups = zip(found.groups(), _FIRSTS, strict=True)
        parts = [first if part is None else int(part or 0) for part, first in groups]
        if all(part <= last for part, last in zip(parts, _LASTS, strict=True)) and parts[0] >= 1970:
            year, month, day, hour, minute, second = parts
            years, months = divmod(month - 1, 12)
            first_day = datetime(year + years, months + 1, 1)
            moment = first_day + timedelta(days=day - 1, hours=hour, minutes=minute, seconds=second)
            if moment >= _EPOCH:
                return moment
    raise ValueError(
        message("{text!r} is not a date from 1970 to 2038 such as 2024-12-24T18:00:00", text=text)
    )


def _daytime(text: str) -> int:
    """Read `hh:mm[:ss]` as seconds of the day."""
    found = _TIME.fullmatch(text)
    hour, minute, second = (int(part or 0) for part in found.groups("0")) if found else (24, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(message("{text!r} is not a time of day from 00:00 to 23:59:59", text=text))
    return 3600 * hour + 60 * minute + second


def _daytime_text(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _month_days(text: str) -> tuple[int, ...]:
    """Read days; 0 is valid, but no month has it (time_parse_monthdays in iptables' libxt_time.c)."""
    parts = [part for part in text.split(",") if part]
    if not all(re.fullmatch(r"[0-9]{1,2}", part) and int(part) <= 31 for part in parts):
        raise ValueError(message("{text!r} is not a list of days from 1 to 31", text=text))
    return tuple(sorted({int(part) for part in parts} - {0}))


def _week_days(text: str) -> tuple[str, ...]:
    """Read days by number (1 is Monday), or by the first two letters of their names.

    8 and 9 are valid, but no week has them (time_parse_weekdays in iptables' libxt_time.c).
    """
    days = set()
    for part in text.split(","):
        if part in ("", "8", "9"):
            continue
        known = [name for number, name in enumerate(_DAYS, 1) if part == str(number) or part[:2] == name[:2]]
        if not known:
            raise NoSuchWord(
                message(
                    "unknown day {part!r}; choose from: {choices}, or 1 (Monday) to 7",
                    part=part,
                    choices=", ".join(_DAYS),
                ),
                part,
                _DAYS,
            )
        days.add(known[0])
    return tuple(name for name in _DAYS if name in days)


_DATE_VALUE = Value("a date (2024-12-24, 2024-12-24T18:00:00)", _date, lambda date: date.isoformat())
_TIME_VALUE = Value("a time of day (08:00, 23:59:59)", _daytime, _daytime_text)


@dataclass(frozen=True, slots=True)
class Moments:
    """A set of moments in the time zone of a match.

    Attributes:
        dates: the first and the last.
        daytime: the first and the last second of the day; past midnight if the last is before the first.
        week_days / month_days: the days.
        contiguous: after midnight, the day on which the period began still counts.
    """

    dates: tuple[datetime, datetime]
    daytime: tuple[int, int]
    week_days: frozenset[str]
    month_days: frozenset[int]
    contiguous: bool

    def allows(self, moment: datetime) -> bool:
        """Return whether a moment is one of them."""
        first, last = self.dates
        if not first <= moment.replace(microsecond=0) <= last:
            return False
        start, stop = self.daytime
        second = 3600 * moment.hour + 60 * moment.minute + moment.second
        if start < stop:
            if not start <= second <= stop:
                return False
        elif stop < second < start:
            return False
        elif self.contiguous and second <= stop:
            moment -= timedelta(days=1)
        return _DAYS[moment.weekday()] in self.week_days and moment.day in self.month_days


class Time(Match):
    """Dates, days and times of day, all of which must match."""

    name: ClassVar[str] = "time"
    status: ClassVar[Status] = "given"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--timestart", "timestart", _TIME_VALUE),
        Option("--timestop", "timestop", _TIME_VALUE),
        Option(
            "--monthdays",
            "monthdays",
            Value("days of the month (1,15,31)", _month_days, lambda days: ",".join(map(str, days)) or "0"),
            True,
        ),
        Option(
            "--weekdays",
            "weekdays",
            Value("days of the week (Mon,Sat)", _week_days, lambda days: ",".join(days) or "8", form="words"),
            True,
        ),
        Option("--datestart", "datestart", _DATE_VALUE),
        Option("--datestop", "datestop", _DATE_VALUE),
        Option("--kerneltz", "kerneltz"),
        Option("--localtz", "localtz"),
        Option("--utc", "utc"),
        Option("--contiguous", "contiguous"),
    )

    #: seconds of the day
    timestart: int | None = None
    timestop: int | None = None
    monthdays: tuple[int, ...] | None = None
    weekdays: tuple[str, ...] | None = None
    #: UTC
    datestart: datetime | None = None
    datestop: datetime | None = None
    kerneltz: bool = False
    #: an older name of `--kerneltz`
    localtz: bool = False
    #: the default
    utc: bool = False
    contiguous: bool = False

    def check(self) -> None:
        start, stop = self._daytime
        if self.contiguous and start < stop:
            raise ValueError(message("--contiguous needs a --timestop that is before --timestart"))
        if self.utc and (self.kerneltz or self.localtz):
            raise ValueError(message("--utc can't be combined with --kerneltz"))

    @property
    def _daytime(self) -> tuple[int, int]:
        return self.timestart or 0, _DAY - 1 if self.timestop is None else self.timestop

    @property
    def _month_days(self) -> frozenset[int]:
        every = frozenset(range(1, 32))
        days = every if self.monthdays is None else frozenset(self.monthdays)
        return every - days if "monthdays" in self.negated else days

    @property
    def _week_days(self) -> frozenset[str]:
        days = frozenset(_DAYS if self.weekdays is None else self.weekdays)
        return frozenset(_DAYS) - days if "weekdays" in self.negated else days

    def clauses(self) -> list[str]:
        """Return the options as iptables stores them: both times and the matching days, if they restrict anything."""
        start, stop = self._daytime
        limited = (start, stop) != (0, _DAY - 1)
        shown = replace(
            self,
            timestart=start if limited else None,
            timestop=stop if limited else None,
            monthdays=tuple(sorted(self._month_days)) if len(self._month_days) < 31 else None,
            weekdays=tuple(day for day in _DAYS if day in self._week_days)
            if len(self._week_days) < len(_DAYS)
            else None,
            datestart=None if self.datestart == _EPOCH else self.datestart,
            datestop=self.datestop or _LAST,
            negated=frozenset(),
        )
        return super(Time, shown).clauses()

    def predicates(self) -> tuple[Predicate, ...]:
        by_kernel = self.kerneltz or self.localtz
        field = Field(
            "kernel_time" if by_kernel else "time", _kernel_moment if by_kernel else _utc_moment, _got
        )
        start, stop = self._daytime
        allowed = Moments(
            (self.datestart or _EPOCH, self.datestop or _LAST),
            (start, stop),
            self._week_days,
            self._month_days,
            self.contiguous,
        )
        return (constrained(f"-m time {self.save()}".strip(), Constraint(field, allowed)),)

    def lists(self, form: ListingForm) -> str:
        start, stop = self._daytime
        text = " TIME"
        if (start, stop) != (0, _DAY - 1):
            text += f" from {_daytime_text(start)} to {_daytime_text(stop)}"
        if len(self._week_days) < len(_DAYS):
            text += f" on {','.join(day for day in _DAYS if day in self._week_days)}"
        if len(self._month_days) < 31:
            days = (f"{day}{_ENDINGS.get(day % 10, 'th')}" for day in sorted(self._month_days))
            text += f" on {','.join(days)}"
        if self.datestart not in (None, _EPOCH):
            text += f" starting from {self.datestart}"
        if self.datestop not in (None, _LAST):
            text += f" until date {self.datestop}"
        return (
            text
            + ("" if self.kerneltz or self.localtz else " UTC")
            + (" contiguous" if self.contiguous else "")
        )

    def says(self) -> Text:
        phrases = []
        start, stop = self._daytime
        if (start, stop) != (0, _DAY - 1):
            phrases.append(
                message("from {start} to {stop}", start=_daytime_text(start), stop=_daytime_text(stop))
            )
        if self.weekdays is not None:
            phrases.append(
                message_if(
                    "weekdays" in self.negated,
                    "not on {weekdays}",
                    "on {weekdays}",
                    weekdays=any_of(self.weekdays),
                )
            )
        if self.monthdays is not None:
            days = any_of(tuple(map(str, self.monthdays)))
            phrases.append(
                message_if(
                    "monthdays" in self.negated,
                    "not on day {days} of the month",
                    "on day {days} of the month",
                    days=days,
                )
            )
        if self.datestart is not None:
            phrases.append(message("since {date}", date=self.datestart.isoformat(" ")))
        if self.datestop is not None and self.datestop != _LAST:
            phrases.append(message("until {date}", date=self.datestop.isoformat(" ")))
        return (
            message_if(
                self.kerneltz or self.localtz,
                "that pass {phrases} (the kernel's time zone)",
                "that pass {phrases} (UTC)",
                phrases=message_joined(" ", phrases),
            )
            if phrases
            else message("at any time")
        )


def _moment(context: Context) -> datetime | None:
    """Return the moment that was stated, as UTC without a zone."""
    moment = context.surroundings.fact("time")
    if moment is None:
        return None
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise UsageError(
                message("time={moment} is not a date and time such as 2024-12-24T18:00:00", moment=moment)
            ) from None
    stated: datetime = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return stated


def _utc_moment(context: Context) -> datetime | Unknown:
    moment = _moment(context)
    return _NO_MOMENT if moment is None else moment


def _kernel_moment(context: Context) -> datetime | Unknown:
    """Return the moment in the kernel's time zone."""
    moment = _moment(context)
    if moment is None:
        return _NO_MOMENT
    ahead = stated_number("kernel_timezone", context.surroundings.fact("kernel_timezone"))
    return _NO_ZONE if ahead is None else moment + timedelta(minutes=ahead)


def _got(context: Context) -> Text:
    moment = _moment(context)
    if moment is None:
        return message("the time is not known")
    return message("it passes at {moment} UTC", moment=f"{moment:%a %Y-%m-%d %H:%M:%S}")


_NO_MOMENT = Unknown(message("the time at which it passes"), "--set time=2024-12-24T18:00:00")
_NO_ZONE = Unknown(message("the kernel's time zone"), "--set kernel_timezone=MINUTES")

EXTENSIONS = (Time,)
