"""Listings of `iptables -S` that end behind the policies, although other parts of a text show that rules follow."""

from __future__ import annotations

import re
from collections.abc import Sequence

from iptsim.paste.lines import Line
from iptsim.paste.listed_again import shows_policies_only
from iptsim.paste.pieces import ChainItem, CommandItem, GapItem, Listed, Piece, Rules, Segment, Settings
from iptsim.paste.reloads import FLUSHES

#: Chains of Docker and ufw, by table.
_CHAINS = {
    "filter": re.compile(r"(?<![\w-])(?:DOCKER-[A-Z]\S*|ufw6?-(?:before|after|user|track)-\w+)"),
    "nat": re.compile(r"(?<![\w-])DOCKER-INGRESS\b"),
}


def open_empty_listings(rules: Sequence[Rules], segments: Sequence[Segment], lines: Sequence[Line]) -> None:
    """Mark that rules may follow the policies of a listing.

    Args:
        rules: the rules of a text, of which such listings change.
        segments: the segments of the text.
        lines: its lines.
    """
    pieces = [piece for segment in segments for piece in segment.pieces]
    for number, piece in enumerate(rules):
        if not shows_policies_only(piece) or any(_removes(one, piece) for one in rules[:number]):
            continue
        last = piece.items[-1].line
        chains = _CHAINS.get(piece.table)
        mentioned = chains is not None and any(
            line.number > last and chains.search(line.text) is not None for line in lines
        )
        if mentioned or _has_docker(piece, rules, pieces) or _has_ufw(piece, segments):
            piece.items.append(GapItem(None, last, "", later=True))


def _removes(piece: Rules, listed: Rules) -> bool:
    """Return whether commands flush a table before it is listed."""
    return (piece.family or 4, piece.table) == (listed.family or 4, listed.table) and any(
        isinstance(item, CommandItem) and item.words[0].text in FLUSHES for item in piece.items
    )


def _has_docker(listed: Rules, rules: Sequence[Rules], pieces: Sequence[Piece]) -> bool:
    """Return whether Docker has rules in a table: it runs, and is not told to leave iptables alone."""
    if listed.table not in _CHAINS or listed.family == 6:
        return False
    settings = [piece for piece in pieces if isinstance(piece, Settings)]
    if any(one.daemon.get("iptables") is False for one in settings):
        return False
    return (
        any(one.services for one in settings)
        or any(isinstance(piece, Listed) and not piece.stopped for piece in pieces)
        or any(
            isinstance(item, ChainItem) and item.name == "DOCKER"
            for piece in rules
            if piece.table != listed.table and piece.family != 6
            for item in piece.items
        )
    )


def _has_ufw(listed: Rules, segments: Sequence[Segment]) -> bool:
    """Return whether ufw has rules in a table: its status is shown, and not inactive."""
    return listed.table == "filter" and any(segment.title == "ufw status" for segment in segments)
