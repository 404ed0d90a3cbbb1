"""The output of `brctl show`, converted to the JSON of `ip -j link`: bridges and their ports."""

from __future__ import annotations

import json
import re
from typing import Any

from iptsim.paste.interfaces import entry_of, kind_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_HEADING = re.compile(r"\s*bridge name\s+bridge id\s+STP enabled\s+interfaces\s*$")
_BRIDGE = re.compile(r"\s*(\S+)\s+[0-9a-f]{4}\.[0-9a-f]{12}\s+(?:yes|no)(?:\s+(\S+))?\s*$")
_PORT = re.compile(r"\s+(\S+)\s*$")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the bridges that start at a line, or None."""
    if not _HEADING.match(lines[at].text):
        return None
    first, entries = at, dict[str, dict[str, Any]]()
    bridge = ""
    while at + 1 < len(lines):
        text = lines[at + 1].text
        port = ""
        if (begun := _BRIDGE.match(text)) is not None:
            bridge, port = begun[1], begun[2] or ""
            entries[bridge] = entry_of(bridge, "bridge")
        elif bridge and (listed := _PORT.match(text)) is not None:
            port = listed[1]
        else:
            break
        if port:
            entries[port] = {**entry_of(port, kind_of(port)), "master": bridge}
        at += 1
    facts = Facts({"ip-addr.json": json.dumps(list(entries.values())).encode()})
    return Segment("brctl show", "brctl show", first, at, [facts] if entries else [])
