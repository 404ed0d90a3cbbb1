"""`conntrack -L`: the kernel's connections, each of which gives a packet to ask about."""

from __future__ import annotations

import re
from typing import Any

from iptsim.host.flows import conntrack_entries
from iptsim.packet import PORT_PROTOCOLS, address_text
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Facts, Piece, Segment
from iptsim.paste.prompts import Command

_ENTRY = re.compile(
    r"\s*(?:\[\w+\]\s+)?(?:ipv[46]\s+\d+\s+)?\w+\s+\d+\s.*\bsrc=\S+ dst=\S+.*\bsrc=\S+ dst=\S+"
)
_STATISTICS = re.compile(r"conntrack v[\d.]+ \(conntrack-tools\)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the entries that start at a line, or None."""
    if not _ENTRY.match(lines[at].text):
        return None
    end = at
    texts: list[str] = []
    while end < len(lines) and (_ENTRY.match(lines[end].text) or _STATISTICS.match(lines[end].text)):
        texts.append(re.sub(r"^\s*\[\w+\]\s+", "", lines[end].text).strip())
        end += 1
    pieces: list[Piece] = []
    known: list[str] = []
    for number, text in enumerate(texts, lines[at].number):
        try:
            entries = list(conntrack_entries(text))
        except ValueError:
            continue  # redacted
        known.append(text)
        for entry in entries:
            flow, family = entry.connection.original, entry.connection.family
            fields: dict[str, Any] = {
                "from": address_text(family, flow.src),
                "to": address_text(family, flow.dst),
                "proto": str(flow.proto),
            }
            if flow.proto in PORT_PROTOCOLS:
                fields |= {"sport": flow.sport, "dport": flow.dport}
            pieces.append(Ask(fields, number))
    if not known:
        return None
    pieces.append(Facts({"conntrack.txt": "".join(f"{text}\n" for text in known).encode()}))
    return Segment("conntrack -L", "conntrack -L", at, end - 1, pieces)
