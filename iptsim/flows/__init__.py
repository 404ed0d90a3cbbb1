"""Many packets at once: how the rules of a host treat the records of a log.

:func:`decide` takes an arrow record batch and returns one, in the same order. It needs the extra `flows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iptsim.lazy import imported_on_use

if TYPE_CHECKING:
    from iptsim.flows.deciding import decide as decide

__all__ = ["decide"]


__getattr__ = imported_on_use(__name__, {"decide": "iptsim.flows.deciding"})
