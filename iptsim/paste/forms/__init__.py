"""The known forms of text: one module per form, each with a function `find`.

`find(lines, at, command)` returns the :class:`~iptsim.paste.pieces.Segment` that begins at a line, or None. `command`
is the command before it, if its output follows. To add a form, add a module here and its name to `FORMS`: the first one
that finds something gets the lines.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment
from iptsim.paste.prompts import Command

Find = Callable[[list[Line], int, Command | None], Segment | None]

#: The modules of the forms, the most specific first.
FORMS = (
    "logline",
    "failed_commands",
    "conntrack",
    "commands",
    "nft_trace",
    "xtables_monitor",
    "xtables_events",
    "nft",
    "listing",
    "dump",
    "iproute",
    "net_tools",
    "brctl",
    "ifupdown",
    "netplan",
    "sockets",
    "sysctl",
    "docker_json",
    "docker_ps",
    "resolv_conf",
    "settings",
    "packet_line",
    "failures",
    "complaints",
    "firewall_cmd",
    "firewall_commands",
    "ufw",
    "ufw_commands",
)


def finders() -> list[Find]:
    """Return the function that finds each form."""
    return [import_module(f"{__name__}.{name}").find for name in FORMS]
