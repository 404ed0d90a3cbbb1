"""`sysctl`: kernel parameters, and the output of `cat /proc/sys/net/ipv4/ip_forward`."""

from __future__ import annotations

import re

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_ASSIGNMENT = re.compile(r"\s*((?:net|kernel|fs|vm)(?:[./][\w-]+)+)\s*=\s*(-?\d+(?:\s+-?\d+)*)\s*$")
_FILE = re.compile(r"/proc/sys/(net/[\w/.-]+)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the kernel parameters that start at a line, or None."""
    found: dict[str, str] = {}
    first = last = at
    if command is not None and command.program == "cat" and (file := _FILE.search(command.text)):
        if not re.fullmatch(r"\s*-?\d+\s*", lines[at].text):
            return None
        found[file[1].replace("/", ".")] = lines[at].text.strip()
    while at < len(lines) and (assigned := _ASSIGNMENT.match(lines[at].text)):
        found[assigned[1].replace("/", ".")] = assigned[2]
        last = at
        at += 1
    if not found:
        return None
    text = "".join(f"{name} = {value}\n" for name, value in found.items())
    return Segment("sysctl", "sysctl", first, last, [Facts({"sysctl.txt": text.encode()})])
