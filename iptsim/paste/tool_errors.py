"""Errors of nft, ufw, firewall-cmd and ebtables in a pasted text, each with the command that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iptsim.host.pasted import ToolError
from iptsim.paste.lines import Line

#: nft prints an error, the command or line that it is about, and marks below the words (nftables, src/erec.c).
_NFT = re.compile(r"(?:^|\s)(?P<place>\S+:\d+:\d+(?:-\d+)?: )?Error: (?P<why>\S.*)$")
_MARKS = re.compile(r"(?P<before>.*?\s|)(?P<marks>\^[\^~]*)\s*$")
#: What firewall-cmd prints for every command while its service does not run (firewalld, src/firewall-cmd.in).
_STOPPED = re.compile(r"(?:^|\s)FirewallD is not running\s*$")
_CHANGES = re.compile(r"\bfirewall-cmd\s.*--(?:add|remove|change|set|new|delete|direct|permanent)\b")
#: Errors of ufw about the words of a command (ufw, src/common.py and src/parser.py).
_UFW = re.compile(
    r"ERROR: (?P<why>Bad (?:port|source address|destination address|interface name|protocol)\b.*?"
    r"|Must specify 'tcp' or 'udp' with multiple ports|Could not find a profile matching .*?"
    r"|Invalid (?:position|syntax)\b.*?"
    r"|Need '(?:to|from)' (?:or|and) '(?:to|from)'.*?|Wrong number of arguments)\s*\|?\s*$"
)
_UFW_COMMAND = re.compile(r"(?<![\w-])ufw\s+(?!ERROR)[a-z-].*?(?= > ERROR|$)")
#: What ebtables prints if the kernel has no module for a table (ebtables, communication.c); programs log it.
_EBTABLES = re.compile(r"The kernel doesn't support the (?P<tool>ebtables|arptables) '(?P<table>\w+)' table")
#: At most this many lines lie between a command of firewall-cmd or ufw and the error.
_ABOVE = 12
_NEAR = 2
#: The command and the marks follow an error of nft within so many lines.
_BELOW = 3
#: At most this many errors are kept.
_MOST = 20
_LONGEST = 1000


def is_echo(lines: Sequence[Line], at: int) -> bool:
    """Return whether a line is a command that nft repeats below an error."""
    if not at or at >= len(lines):
        return False
    above = _NFT.search(lines[at - 1].text[:_LONGEST])
    if above is None:
        return False
    marked = at + 1 < len(lines) and _MARKS.match(lines[at + 1].text[:_LONGEST]) is not None
    return marked or above["place"] is not None


def fails(lines: Sequence[Line], at: int) -> bool:
    """Return whether a command of nft is followed by its error."""
    return at + 1 < len(lines) and _NFT.match(lines[at + 1].text[:_LONGEST]) is not None


def tool_errors(lines: Sequence[Line]) -> Iterator[ToolError]:
    """Yield the errors that nft, ufw, firewall-cmd and ebtables printed, in order, at most one for each line."""
    found = 0
    for at, line in enumerate(lines):
        text = line.text[:_LONGEST]
        if found == _MOST or not re.search(r"E(?:rror|RROR): |not running|doesn't support", text):
            continue
        error = _of_nft(lines, at, text) or _of_firewalld(lines, at, text) or _of_ufw(lines, at, text)
        error = error or _of_ebtables(line, text)
        if error is not None:
            found += 1
            yield error


def _of_nft(lines: Sequence[Line], at: int, text: str) -> ToolError | None:
    error = _NFT.search(text)
    below = lines[at + 1 : at + 1 + _BELOW]
    if error is None or not below:
        return None
    marks = next((found for one in below if (found := _MARKS.match(one.text[:_LONGEST]))), None)
    if marks is None and error["place"] is None:
        return None
    command, why = below[0].text, error["why"].strip().rstrip(".")[:300]
    marked = command[marks.start("marks") : marks.end("marks")].strip(" ;") if marks is not None else ""
    whole = marked == command.strip(" ;")
    return ToolError(below[0].number, command.strip()[:300], "nft", why, "" if whole else marked[:80])


def _of_firewalld(lines: Sequence[Line], at: int, text: str) -> ToolError | None:
    if not _STOPPED.search(text):
        return None
    above = reversed(lines[max(at - _ABOVE, 0) : at])
    command = next((one for one in above if _CHANGES.search(one.text[:_LONGEST])), None)
    if command is None:
        return None  # a command that only lists
    words = command.text[command.text.index("firewall-cmd") :]
    return ToolError(command.number, words.strip()[:300], "firewall-cmd", "FirewallD is not running")


def _of_ufw(lines: Sequence[Line], at: int, text: str) -> ToolError | None:
    error = _UFW.search(text)
    if error is None:
        return None
    for one in reversed(lines[max(at - _NEAR, 0) : at + 1]):
        command = _UFW_COMMAND.search(one.text[:_LONGEST])
        if command is not None:
            return ToolError(one.number, command.group().strip()[:300], "ufw", error["why"].strip()[:300])
    return None


def _of_ebtables(line: Line, text: str) -> ToolError | None:
    error = _EBTABLES.search(text)
    if error is None:
        return None
    return ToolError(line.number, text.strip()[:300], error["tool"], error.group(), error["table"])
