"""The host: its interfaces, routes, sets, containers and networks, read from a capture or inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iptsim.lazy import imported_on_use

if TYPE_CHECKING:
    from iptsim.host.capture import load_host
    from iptsim.host.model import Host

__all__ = ["Host", "load_host"]

__getattr__ = imported_on_use(__name__, {"Host": "iptsim.host.model", "load_host": "iptsim.host.capture"})


def __dir__() -> list[str]:
    return __all__
