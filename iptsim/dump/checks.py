"""What the kernel refuses when a table is loaded: targets and matches in tables or at hooks that they
are not made for (xt_check_target and xt_check_match in net/netfilter/x_tables.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iptsim.dump.ruleset import Jump, Rule, Table
from iptsim.extensions.base import Match, Target
from iptsim.extensions.values import any_of


_NOWHERE: set[str] = set()
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def misplaced(table: Table, rules: Iterable[Rule]) -> Iterator[tuple[Rule, str, str]]:
    """Find rules that stand in the wrong table or under the wrong hook.

    Args:
        table: the whole table.
        rules: those of its rules whose matches or target are restricted.

    Yields:
        The rule, the extension as the rule names it ("-j DNAT"), and the reason.
    """
    hooks = reached_from(table)
    for rule in rules:
        chain = rule.chain
        above = hooks.get(chain, _NOWHERE)
        for extension in (rule.target, *rule.matches):
            if not isinstance(extension, Match | Target):
                continue
            tables = extension.allowed_tables() if isinstance(extension, Target) else extension.tables
            allowed = extension.allowed_hooks()
            if tables is not None and table.name not in tables:
                reason = f"works only in table {any_of(tuple(sorted(tables)))}"
            elif allowed is not None and not above <= allowed:
                wrong = min(above - allowed)
                way = "" if chain == wrong else f"; chain {chain} is reached from {wrong}"
                places = any_of(tuple(hook for hook in HOOKS if hook in allowed))
                options = "" if allowed == extension.hooks else "with these options "
                reason = f"{options}works only in {places}{way}"
            else:
                continue
            name = f"-{'j' if isinstance(extension, Target) else 'm'} {extension.name}"
            yield rule, name, f"{name} {reason}"
            break


def reached_from(table: Table) -> dict[str, set[str]]:
    """Return for each chain the built-in chains from which a packet can come to it."""
    callees: dict[str, set[str]] = {}
    for name, chain in table.chains.items():
        for rule in chain.rules:
            if type(rule.target) is Jump:
                callees.setdefault(name, set()).add(rule.target.chain)
    found: dict[str, set[str]] = {}
    for base, chain in table.chains.items():
        if not chain.builtin:
            continue
        todo, seen = [base], {base}
        for current in todo:
            for callee in callees.get(current, ()):
                if callee not in seen:
                    seen.add(callee)
                    todo.append(callee)
        for name in seen:
            found.setdefault(name, set()).add(base)
    return found
