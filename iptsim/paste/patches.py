"""Changes of rules as diff prints them: the text after the change is what there is now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: The line before a hunk of a unified diff: how many lines it has of the old and of the new text.
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
#: The line before a change in diff's normal form: `12,13d11`.
_NORMAL = re.compile(r"\d+(?:,\d+)?[acd]\d+(?:,\d+)?\s*")
#: A rule, a chain or a row of a listing behind the sign of a unified diff whose hunks have lost their first line.
_ROW = (
    r"(?:-[AIPN] \S|:\w[\w-]* (?:[A-Z]+|-) \[|Chain \S+ \("
    r"|(?: *\d{1,12}[KMG]?(?= )){0,3} *[A-Z][\w-]+ +(?:tcp|udp|icmp|all|\d+) +--)"
)
_REMOVED, _ADDED = re.compile(rf"-{_ROW}"), re.compile(rf"\+{_ROW}")

#: A rule that a patch adds, which is nothing else even where nothing is taken out.
_ADDS = re.compile(r"\+-[AI] [\w-]+ (?:! )?-")


def applied(raw: Sequence[str]) -> list[tuple[str, bool]] | None:
    """Return the lines that a patch makes, in place of its own, and whether it does; None if there is no patch.

    Lines that it takes out are blank.

    Args:
        raw: the lines of a text.
    """
    if any(map(_HUNK.match, raw)):
        return list(_unified(raw))
    if any(map(_NORMAL.fullmatch, raw)) and any(line.startswith("< ") for line in raw):
        return list(_normal(raw))
    if any(map(_ADDED.match, raw)) and (any(map(_REMOVED.match, raw)) or any(map(_ADDS.match, raw))):
        return [
            ("", True)
            if _REMOVED.match(line)
            else (line[1:], True)
            if _ADDED.match(line)
            else (line.removeprefix(" "), False)
            for line in raw
        ]
    return None


def _unified(raw: Sequence[str]) -> Iterator[tuple[str, bool]]:
    old = new = 0
    for line in raw:
        if found := _HUNK.match(line):
            old, new = int(found[1] or 1), int(found[2] or 1)
            yield f"... {line}", True  # lines between the hunks are left out
        elif (old > 0 or new > 0) and line[:1] in ("+", "-", " ", ""):
            old, new = old - (line[:1] != "+"), new - (line[:1] != "-")
            yield "" if line.startswith("-") else line[1:], True
        else:
            old = new = 0
            yield line, False


def _normal(raw: Sequence[str]) -> Iterator[tuple[str, bool]]:
    inside = False
    for line in raw:
        if _NORMAL.fullmatch(line):
            inside = True
            yield f"... {line}", True  # what does not change is left out
        elif inside and line[:2] in ("< ", "> "):
            yield line[2:] if line.startswith(">") else "", True
        elif inside and line.rstrip() in ("---", "<", ">"):
            yield "", True
        else:
            inside = False
            yield line, False
