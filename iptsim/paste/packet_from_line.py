"""The packet described by one pasted line: a log line, a line of conntrack or tcpdump, a 5-tuple."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.errors import UsageError
from iptsim.host.logged_lines import LoggedLine
from iptsim.languages import message
from iptsim.paste.lines import lines_of
from iptsim.paste.pieces import Ask, Piece
from iptsim.paste.splitting import split


def fields_of_line(text: str) -> dict[str, Any]:
    """Return the packet of a line, as fields of a batch line.

    Raises:
        UsageError: the line describes no packet.
    """
    asked = [piece for piece in _pieces(text) if isinstance(piece, Ask)]
    if not asked:
        raise UsageError(
            message(
                "--packet {text}: no packet in it; give a line that the kernel logged, of conntrack -L or of "
                "tcpdump",
                text=text[:80],
            )
        )
    return dict(asked[0].fields)


def is_logged(text: str) -> bool:
    """Return whether a line is of the kernel's log, which also tells whether the packet is for the host itself."""
    return any(isinstance(piece, LoggedLine) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[Piece]:
    segments, _ = split(lines_of(text))
    return (piece for segment in segments for piece in segment.pieces)
