"""Rows of a listing without the heading of their chain, of which the command or the rows themselves tell the chain."""

from __future__ import annotations

import re
from collections.abc import Sequence

from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.paste.listing_lines import Columns
from iptsim.paste.prompts import Command

_NOT_FROM_BRIDGE = re.compile(rf"!(?:{OWN_BRIDGES.pattern})")


def chain_of_rows(command: Command | None, table: str, rows: Sequence[Columns]) -> str | None:
    """Return the chain that a command lists, or the one in which only Docker has such rows; None if it is unknown."""
    listed = command.option("-L", "--list") if command is not None else None
    if listed is not None and not listed.startswith("-"):
        return listed
    return "PREROUTING" if table == "raw" and are_dockers_drops(rows) else None


def are_dockers_drops(rows: Sequence[Columns]) -> bool:
    """Return whether rows are those of Docker 28 and later in table raw: to a container, but not from its bridge."""
    return bool(rows) and all(
        row.target == "DROP"
        and row.interfaces is not None
        and _NOT_FROM_BRIDGE.fullmatch(row.interfaces[0]) is not None
        and row.interfaces[1] in ("*", "any")
        for row in rows
    )
