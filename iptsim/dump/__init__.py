"""Converts text of iptables-save into a ruleset with source positions, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iptsim.lazy import imported_on_use

if TYPE_CHECKING:
    from iptsim.dump.reader import load, loads
    from iptsim.dump.rule import Counters, Jump, Rule
    from iptsim.dump.ruleset import Chain, Ruleset, Table
    from iptsim.dump.writer import dumps, rule_text

__all__ = ["Chain", "Counters", "Jump", "Rule", "Ruleset", "Table", "dumps", "load", "loads", "rule_text"]

_HOMES = {
    "iptsim.dump.reader": ("load", "loads"),
    "iptsim.dump.rule": ("Counters", "Jump", "Rule"),
    "iptsim.dump.ruleset": ("Chain", "Ruleset", "Table"),
    "iptsim.dump.writer": ("dumps", "rule_text"),
}
__getattr__ = imported_on_use(__name__, {name: home for home, names in _HOMES.items() for name in names})


def __dir__() -> list[str]:
    return __all__
