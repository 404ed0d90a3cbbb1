"""The built-in chains of each table, and their priorities at the hooks."""

from __future__ import annotations

from iptsim.extensions.context import HOOKS

#: The tables in the kernel's order, with their built-in chains.
BUILTIN_CHAINS: dict[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": HOOKS,
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0}
_SECURITY_PRIORITIES = {"legacy": 50, "nf_tables": 150}


def usual_chains(table: str) -> tuple[str, ...]:
    """Return the built-in chains that a table has in all kernels: before Linux 2.6.36, nat had no INPUT."""
    return tuple(chain for chain in BUILTIN_CHAINS[table] if (table, chain) != ("nat", "INPUT"))


def priority_of(table: str, chain: str, backend: str = "nf_tables") -> int:
    """Return the priority of a table's built-in chain at its hook.

    The nf_tables variant of iptables gives the security table priority 150, after nat at INPUT; the legacy variant 50.
    """
    if table == "nat":
        return -100 if chain in ("PREROUTING", "OUTPUT") else 100
    return _SECURITY_PRIORITIES[backend] if table == "security" else _PRIORITIES[table]
