"""The programs that change and print rules, and their option for the table."""

from __future__ import annotations

from iptsim.addresses import Family


def tool_of(family: Family) -> str:
    """Return the program that changes and prints the rules of an address family."""
    return "iptables" if family == 4 else "ip6tables"


def table_option(table: str) -> str:
    """Return the option of iptables that names a table, with a blank: `-t nat `; "" for filter, the default."""
    return "" if table == "filter" else f"-t {table} "
