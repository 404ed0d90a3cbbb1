"""The host: its interfaces, routes, sets, containers and networks, read from a capture or inferred."""

from __future__ import annotations

from iptsim.host.capture import load_host
from iptsim.host.model import Host

__all__ = ["Host", "load_host"]
