"""Facts that only the question or a capture can state, by name (`--set nfqueue_reader=no`)."""

from __future__ import annotations

from iptsim.packet import Context

_NO = frozenset({"", "0", "no", "false", "off", "none"})


def stated(context: Context, name: str) -> bool | None:
    """Return a stated yes-or-no fact, or None."""
    value = context.surroundings.fact(name)
    if value is None:
        return None
    return value.lower() not in _NO if isinstance(value, str) else bool(value)
