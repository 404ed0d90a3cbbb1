"""Converts text of iptables-save into a ruleset with source positions, and back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iptsim.dump.reader import load, loads
    from iptsim.dump.ruleset import Chain, Counters, Jump, Rule, Ruleset, Table
    from iptsim.dump.writer import dumps, rule_text

__all__ = ["Chain", "Counters", "Jump", "Rule", "Ruleset", "Table", "dumps", "load", "loads", "rule_text"]

_HOMES = {"load": "reader", "loads": "reader", "dumps": "writer", "rule_text": "writer"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'ruleset')}"), name)


def __dir__() -> list[str]:
    return __all__
