"""Numbers that the question or the capture states by name, beyond the packet's usual fields."""

from __future__ import annotations

from typing import Any

from iptsim.errors import UsageError
from iptsim.languages import message


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
