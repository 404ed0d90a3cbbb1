"""Filters through which a listing of rules was piped: which lines they surely pass."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.paste.pieces import Rules
from iptsim.paste.prompts import words_of

#: The tables that rules are usually in.
USUAL_TABLES = ("raw", "mangle", "nat", "filter")

#: Options of grep that change neither which lines it prints nor what is a match.
_HARMLESS = re.compile(r"-[nE]+|--colou?r(?:=\w+)?|--line-number|--extended-regexp")
#: Patterns that mean the same to grep, with and without -E, and in a string: no operator but "." and "\.".
_PLAIN = re.compile(r"(?:[\w\s.:/@,=#-]|\\\.)+")


def grepped(filtered: str) -> str:
    """Return the plain word in `grep WORD`; empty for anything else."""
    found = re.fullmatch(r"grep\s+(?:-i\s+|-e\s+|-- )*['\"]?([\w.-]+)['\"]?", filtered)
    return found[1] if found else ""


def tables_to_hide(piece: Rules, pieces: Sequence[Rules]) -> Collection[str]:
    """Return the tables that may have rules although a text does not show them.

    Args:
        piece: rules of the text.
        pieces: all of them.
    """
    whole = [
        one
        for one in pieces
        if one.named and one.family == piece.family and not (one.filtered or one.unfinished)
    ]
    if piece.cut:
        # another dump, with more than this table, shows which there are
        tables = {one.table for one in whole}
        is_shown = piece.table in tables and (len(tables) > 1 or any(one.of_all_tables for one in whole))
        return () if is_shown else USUAL_TABLES
    is_shown = any(one.of_all_tables for one in whole)
    if is_shown or not (piece.of_all_tables and piece.filtered):
        return ()
    return [name for name in USUAL_TABLES if _may_hide_table(piece.filtered, name)]


def _may_hide_table(filtered: str, table: str) -> bool:
    """Return whether a filter of a whole dump may pass no line of a table: not even the chains that each has."""
    lines = [f"*{table}", "COMMIT", *(f":{chain} ACCEPT [0:0]" for chain in BUILTIN_CHAINS[table])]
    return not any(_passes(filtered, line) for line in lines)


def _passes(filtered: str, line: str) -> bool:
    """Return whether a filter surely passes a line."""
    return all(_matches(stage, line) for stage in filtered.split("|"))


def _matches(stage: str, line: str) -> bool:
    """Return whether `grep` surely prints a line; not for any other program."""
    program, *words = words_of(stage) or [""]
    if program not in ("grep", "egrep", "fgrep"):
        return False
    patterns, flags, negated = list[str](), 0, False
    while words:
        word = words.pop(0)
        if word == "-e" and words:
            patterns.append(words.pop(0))
        elif word == "--" and words:
            patterns += words
            words = []
        elif _HARMLESS.fullmatch(word):
            continue
        elif re.fullmatch(r"-[niEv]+|--ignore-case|--invert-match", word):
            letters = {"--ignore-case": "i", "--invert-match": "v"}.get(word, word)
            flags |= re.IGNORECASE if "i" in letters else 0
            negated |= "v" in letters
        elif word.startswith("-"):
            return False
        else:
            patterns.append(word)
    if len(patterns) != 1 or not _PLAIN.fullmatch(patterns[0]):
        return False
    return (re.search(patterns[0], line, flags) is not None) is not negated
