"""Conditions of nftables on the time at which a packet passes, as options of iptables.

nft prints hours and dates in the time zone of the host that lists them; the kernel compares days of the week in its own
(nft_meta_weekday in net/netfilter/nft_meta.c). Both are taken to be the zone of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_HOUR = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)")


def moment_options(key: str, values: Sequence[Any], *, negated: bool) -> list[str] | None:
    """Return alternative options for a moment, one of which must match; None if iptables has no such options.

    Args:
        key: "day", "hour" or "time".
        values: as in libnftables-json(5).
        negated: none of the values.
    """
    if key == "day":
        days = [_day(one) for one in values]
        if None in days:
            return None
        return [f"-m time {'! ' if negated else ''}--weekdays {','.join(filter(None, days))} --kerneltz"]
    if negated:
        return None
    form, first, last = (
        (_HOUR, "--timestart", "--timestop") if key == "hour" else (_TIME, "--datestart", "--datestop")
    )
    found = []
    for one in values:
        ends = one.get("range") if isinstance(one, dict) else [one, one]
        if not isinstance(ends, list) or not all(
            isinstance(end, str) and form.fullmatch(end) for end in ends
        ):
            return None
        since, until = (end.replace(" ", "T") for end in ends)
        found.append(f"-m time {first} {since} {last} {until} --kerneltz")
    return found


def _day(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return _DAYS[value][:3] if 0 <= value < len(_DAYS) else None
    return str(value)[:3] if value in _DAYS else None
