"""Many packets at once: how the rules of a host treat the records of a log.

:func:`decide` takes an arrow record batch and returns one, in the same order. It needs the extra `flows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iptsim.flows.deciding import decide as decide

__all__ = ["decide"]


def __getattr__(name: str) -> Any:
    if name != "decide":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from iptsim.flows.deciding import decide as found

    return found
