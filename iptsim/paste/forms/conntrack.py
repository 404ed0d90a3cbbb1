"""`conntrack -L` and `conntrack -E`: the kernel's connections; each gives a packet to ask about.

Of several events of a connection, only the last one counts; destroyed connections are ignored.
"""

from __future__ import annotations

import re
from typing import Any

from iptsim.addresses import address_text
from iptsim.host.conntrack_entries import conntrack_entries
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Facts, Piece, Segment
from iptsim.paste.prompts import Command
from iptsim.protocols import PORT_PROTOCOLS

#: What precedes an entry: a time, and the event.
_EVENT = re.compile(r"\s*(?:\[[0-9.]+\s*\]\s*)?(?:\[(?P<event>[A-Z]+)\]\s+)?")
_ENTRY = re.compile(
    rf"{_EVENT.pattern}(?:ipv[46]\s+\d+\s+)?\w+\s+\d+\s.*\bsrc=\S+ dst=\S+.*\bsrc=\S+ dst=\S+"
)
_STATISTICS = re.compile(r"conntrack v[\d.]+ \(conntrack-tools\)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the entries that start at a line, or None."""
    if not _ENTRY.match(lines[at].text):
        return None
    end = at
    events = False
    pieces: list[Piece] = []
    known: dict[object, str] = {}
    while end < len(lines) and (_ENTRY.match(lines[end].text) or _STATISTICS.match(lines[end].text)):
        line = lines[end]
        end += 1
        event = _EVENT.match(line.text)
        assert event is not None
        events |= event["event"] is not None
        text = line.text[event.end() :].strip()
        try:
            entries = list(conntrack_entries(text))
        except ValueError:
            continue  # redacted
        for entry in entries:
            flow, family = entry.connection.original, entry.connection.family
            is_new = known.pop(flow, None) is None
            if event["event"] != "DESTROY":
                known[flow] = text
            if not is_new:
                continue
            fields: dict[str, Any] = {
                "from": address_text(family, flow.src),
                "to": address_text(family, flow.dst),
                "proto": str(flow.proto),
            }
            if flow.proto in PORT_PROTOCOLS:
                fields |= {"sport": flow.sport, "dport": flow.dport}
            pieces.append(Ask(fields, line.number))
    if not pieces:
        return None
    pieces.append(Facts({"conntrack.txt": "".join(f"{text}\n" for text in known.values()).encode()}))
    form = "conntrack -E" if events else "conntrack -L"
    return Segment(form, form, at, end - 1, pieces)
