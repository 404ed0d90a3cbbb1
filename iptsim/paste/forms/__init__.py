"""The known forms of text: one module per form, each with a function `find`.

`find(lines, at, command)` returns the :class:`~iptsim.paste.pieces.Segment` that begins at a line, or None. `command`
is the command before it, if its output follows. To add a form, add a module here and its name to `FORMS`, with words of
which each text of that form has at least one, in lower case: the first form that finds something gets the lines.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment
from iptsim.paste.prompts import Command

Find = Callable[[list[Line], int, Command | None], Segment | None]

#: The modules of the forms, the most specific first, and their words; () if there are none that all texts have.
FORMS: dict[str, tuple[str, ...]] = {
    "logline": ("in=",),
    "failed_commands": ("tables",),
    "conntrack": ("src=",),
    "commands": ("tables", "ipt", "-t ", "firewall-cmd"),
    "nft_trace": ("trace id",),
    "xtables_monitor": ("packet:", "trace:"),
    "xtables_events": ("event:", "newgen:"),
    "nft": ("table", "chain", "rule", "elements"),
    "listing": (),
    "dump": (),
    "iproute": (),
    "net_tools": ("flags=", "link encap", "routing table", "genmask", " 255."),
    "brctl": ("bridge name", " master "),
    "ifupdown": ("iface",),
    "netplan": ("network",),
    "sockets": ("listen", "unconn", "recv-q", "tcp", "udp", "internet connections"),
    "sysctl": ("net", "kernel", "fs", "vm", "is disabled"),
    "docker_json": ("{", "["),
    "docker_excerpt": ("address", "subnet", "ports"),
    "docker_ps": ("ports",),
    "docker_proxy": ("docker-proxy",),
    "docker_version": ("docker version", "server version:", "server:"),
    "resolv_conf": ("nameserver",),
    "settings": ("services", "networks", "{"),
    "compose_part": ("image:", "build:"),
    "docker_commands": ("docker",),
    "dockerd": ("docker", "daemon.json", "options="),
    "packet_line": (">", "→"),
    "failures": ("connect", "dial", "read", "ping", "telnet", "communications", "wget", "curl"),
    "sentences": ("ping", "connect", "can", "able", "fail", "not", "n't", "from", "://localhost", "://127."),
    "firewall_cmd": (
        "target",
        "services",
        "interfaces",
        "sources",
        "ports",
        "masquerade",
        "forward",
        "rules",
    ),
    "firewall_commands": ("firewall-cmd",),
    "ufw": ("status:", "action", "allow", "deny", "reject", "limit"),
    "ufw_commands": ("ufw",),
}


def finders(text: str) -> list[Find]:
    """Return the functions that find the forms that may occur in a text."""
    lower = text.lower()
    return [
        import_module(f"{__name__}.{name}").find
        for name, words in FORMS.items()
        if not words or any(word in lower for word in words)
    ]
