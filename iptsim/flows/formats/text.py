"""Logs line by line: the kernel's own lines, `conntrack -L` and `-E`, JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa

from iptsim.addresses import address_text
from iptsim.host.conntrack_entries import conntrack_entries
from iptsim.languages import message, text_of
from iptsim.paste.forms.logline import Record, question_of
from iptsim.protocols import PORT_PROTOCOLS
from iptsim.reading import parse_json

#: A record: the fields of a batch line, or `error`.
Fields = dict[str, Any]
#: Reads a line; None for one that holds no record.
Line = Callable[[str], Fields | None]
#: Bytes that are read at once, and the longest line.
_PIECE, _LONGEST = 4 << 20, 1 << 20

_FIELDS = re.compile(r"\bIN=\S* OUT=.*")
_PAIR = re.compile(r"\b([A-Z0-9]+)=(\S*)")
_EVENT = re.compile(r"^\s*(?:\[\d+\.\d+\s*\]\s*)?\[(NEW|UPDATE|DESTROY)\]\s*")


def lines_of(stream: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a stream; a line that is too long is cut."""
    rest = b""
    while piece := stream.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line[:_LONGEST].decode("utf-8", "replace")
        rest = rest[:_LONGEST]
    if rest:
        yield rest.decode("utf-8", "replace")


def kernel_line(line: str) -> dict[str, Any] | None:
    """Read a line of the kernel log: from LOG, ufw or TRACE; one that is cut off before its addresses is an error."""
    found = _FIELDS.search(line)
    if found is None or "SRC=" not in line:
        return None
    # the packet that an ICMP error quotes is in brackets
    own = found[0].partition(" [")[0]
    pairs: dict[str, str] = {}
    for name, value in _PAIR.findall(own):
        pairs.setdefault(name, value)
    if not pairs.get("SRC") or not pairs.get("DST"):
        return {"error": str(message("the line is cut off: it lacks SRC= or DST="))}
    flags = tuple(word for word in own.split() if "=" not in word)
    return question_of(Record("", pairs, flags, None))


def conntrack_line(line: str) -> dict[str, Any] | None:
    """Read a line of `conntrack -L` or `-E`: the first packet of the connection; None for its later events."""
    event = _EVENT.match(line)
    if "src=" not in line or (event is not None and event[1] != "NEW"):
        return None
    try:
        entry = next(iter(conntrack_entries(line[event.end() :] if event is not None else line)))
    except ValueError as error:
        return {"error": str(text_of(error))}
    flow, family = entry.connection.original, entry.connection.family
    fields: dict[str, Any] = {
        "from": address_text(family, flow.src), "to": address_text(family, flow.dst), "proto": str(flow.proto),
    }  # fmt: skip
    if flow.proto in PORT_PROTOCOLS:
        fields |= {"sport": flow.sport, "dport": flow.dport}
    elif kind := re.search(r"\btype=(\d+) code=(\d+)", line):
        fields |= {"icmp_type": int(kind[1]), "icmp_code": int(kind[2])}
    return fields


def json_line(line: str) -> dict[str, Any] | None:
    """Read a line of JSON."""
    if not line.strip():
        return None
    try:
        fields = parse_json(line.encode("utf-8", "replace"))
    except ValueError as error:
        return {"error": str(message("the line is not JSON: {error}", error=text_of(error)))}
    if not isinstance(fields, dict):
        return {"error": str(message("the line is not a JSON object"))}
    return fields


def batch_of(records: list[dict[str, Any]]) -> pa.RecordBatch:
    """Return records as a batch; a column of different types becomes texts."""
    names = dict.fromkeys(name for record in records for name in record)
    return pa.RecordBatch.from_pydict(
        {str(name): _column([record.get(name) for record in records]) for name in names}
    )


def _column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {str} or kinds <= {bool}:
        try:
            return pa.array(values)
        except (OverflowError, pa.ArrowException, UnicodeEncodeError):
            pass
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()
