"""The output of `brctl show` and `bridge link`, converted to the JSON of `ip -j link`: bridges and their ports."""

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
#: A port as `bridge link` shows it; iproute2 before 4.18 put its state before the colon.
_LINK = re.compile(
    r"\s*\d+: (?P<port>[^\s:@]+)(?:@\S+)?(?: state \w+ )?: <[A-Z0-9_,-]*> (?:mtu \d+ )?master (?P<bridge>\S+) state"
)
_DETAIL = re.compile(r"\s+(?:hairpin|guard|root_block|learning|flood|neigh_suppress|vlan_tunnel|isolated) ")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the bridges that start at a line, or None."""
    if _LINK.match(lines[at].text):
        return _links(lines, at)
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


def _links(lines: list[Line], at: int) -> Segment:
    first, entries = at, dict[str, dict[str, Any]]()
    while at < len(lines) and ((link := _LINK.match(lines[at].text)) or _DETAIL.match(lines[at].text)):
        if link is not None:
            port, bridge = link["port"], link["bridge"]
            entries.setdefault(bridge, entry_of(bridge, "bridge"))
            entries[port] = {**entry_of(port, kind_of(port)), "master": bridge}
        at += 1
    facts = Facts({"ip-addr.json": json.dumps(list(entries.values())).encode()})
    return Segment("bridge link", "bridge link", first, at - 1, [facts])
