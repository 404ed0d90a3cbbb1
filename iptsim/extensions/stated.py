"""Facts that only the question or a capture can state, by name (`--set nfqueue_reader=no`)."""

from __future__ import annotations

from typing import Any

from iptsim.errors import UsageError
from iptsim.extensions.context import Context
from iptsim.languages import message

_NO = frozenset({"", "0", "no", "false", "off", "none"})


def stated(context: Context, name: str) -> bool | None:
    """Return a stated yes-or-no fact, or None."""
    value = context.surroundings.fact(name)
    if value is None:
        return None
    return value.lower() not in _NO if isinstance(value, str) else bool(value)


def stated_number(name: str, value: Any) -> int | None:
    """Return a stated number, in any notation that Python accepts, or None.

    Raises:
        UsageError: it is not a number.

    >>> stated_number("nth", "0x10"), stated_number("nth", 3), stated_number("nth", None)
    (16, 3, None)
    """
    if value is None:
        return None
    try:
        return int(value, 0) if isinstance(value, str) else int(value)
    except (TypeError, ValueError):
        raise UsageError(message("{name}={value} is not a whole number", name=name, value=value)) from None
