"""Commands that a text gives below the rules that it shows, as people do who say what helped."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from iptsim.host.model import Host
from iptsim.host.pasted import Before
from iptsim.paste.forms import commands
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Ask, Logged, Rules
from iptsim.paste.segments import Reading
from iptsim.paste.undoing import is_in_vain, is_prose


def commands_behind(reading: Reading, rules: Sequence[Rules]) -> list[Rules]:
    """Return the commands that change rules which a text shows, unless it shows what they led to.

    Args:
        reading: its segments.
        rules: the rules that it shows, and its commands.
    """
    typed = {id(piece) for one in reading.segments if one.form == commands.FORM for piece in one.pieces}
    behind: dict[tuple[str, int], list[Rules]] = {}
    for number, piece in enumerate(rules):
        table = (piece.table, piece.family or 4)
        if id(piece) not in typed:
            behind.pop(table, None)
        elif any(id(one) not in typed for one in rules[:number]):
            behind.setdefault(table, []).append(piece)
    return [piece for pieces in behind.values() for piece in pieces]


def before(reading: Reading, changing: Collection[Rules], host: Host, shown: Sequence[Line]) -> Before:
    """Return what a text says of the time before some of its commands.

    Args:
        reading: its segments.
        changing: the commands.
        host: the host without them.
        shown: the lines of the text.
    """
    lines = [item.line for piece in changing for item in piece.items]
    typed = {id(piece) for piece in changing}
    first = next(number for number, piece in enumerate(reading.pieces) if id(piece) in typed)
    asks = [number for number, piece in enumerate(reading.pieces) if isinstance(piece, (Ask, Logged))]
    above = [line.text for line in shown if line.number < min(lines) and is_prose(line.text)]
    return Before(
        min(lines),
        max(lines),
        host,
        asked=bool(asks) and asks[-1] < first,
        in_vain=bool(above) and is_in_vain(above[-1]),
    )
