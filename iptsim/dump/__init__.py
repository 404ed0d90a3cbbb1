"""Converts text of iptables-save into a ruleset with source positions, and back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iptsim.dump.reader import load, loads
    from iptsim.dump.rule import Counters, Jump, Rule
    from iptsim.dump.ruleset import Chain, Ruleset, Table
    from iptsim.dump.writer import dumps, rule_text

__all__ = ["Chain", "Counters", "Jump", "Rule", "Ruleset", "Table", "dumps", "load", "loads", "rule_text"]

_HOMES = {
    "load": "reader", "loads": "reader", "dumps": "writer", "rule_text": "writer",
    "Counters": "rule", "Jump": "rule", "Rule": "rule", "Chain": "ruleset", "Ruleset": "ruleset", "Table": "ruleset",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
