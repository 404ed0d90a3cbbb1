"""The host: its interfaces, routes, sets, containers and networks, read from a capture or inferred."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iptsim.host.capture import load_host
    from iptsim.host.model import Host

__all__ = ["Host", "load_host"]

_HOMES = {"Host": "model", "load_host": "capture"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
