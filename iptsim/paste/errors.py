"""Errors of iptables in a pasted text, each with the command that it is about, if one precedes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from iptsim.addresses import Family
from iptsim.host.pasted import RefusedCommand
from iptsim.paste.lines import Line
from iptsim.paste.prompts import prompt_of

#: At most this many lines above an error are searched for its command.
_ABOVE = 3
#: At most this many errors are kept.
_MOST = 20
_ERROR = re.compile(
    r"\b(?P<program>ip6?tables)(?:-legacy|-nft)?(?P<restore>-restore)?"
    r"(?:(?: v\d[\d.]*(?: \(\w+\))?)?: +|/\d[\d.]* +)(?P<why>"
    r"(?:unknown (?:option|protocol)|invalid |host/network|Bad (?!rule)|Couldn't load|No chain/target/match|Chain '"
    r"|multiple -|Can't use|can't initialize|unable to initialize|option \"|TCP match|multiport needs|Need TCP"
    r"|line \d+ (?:failed|too long)"
    r"|Line \d+ seems|Invalid (?:argument|match name|target name)|(?:CHAIN|RULE|TABLE)_[A-Z_]+ failed"
    r"|Could not fetch rule set|Failed to initialize nft"
    r"|table [`'].*incompatible).*)"
)
#: How fail2ban before 0.9 logs the last of an action's commands, if it failed (fail2ban/server/action.py).
_RETURNED = re.compile(r"\bip6?tables\s+-[^|]* (?P<why>returned (?:[1-9]\d{2}|[1-9a-f]00))\s*$")
_ARGUMENT = re.compile(r"(?:^|\bSTDERR: )\s*(?P<why>Bad argument [`'\"].+['\"])", re.IGNORECASE)
_COMMAND = re.compile(
    r"(?<![\w-])(?P<program>ip(?:6|46)?tables)(?:-legacy|-nft)?\s+(?P<rest>-.*?)"
    r"(?=\]?: exit status | returned \d+$| failed with message\b|$)"
)
#: Actions that add no rule: they may fail without harm.
_HARMLESS = re.compile(r"\s(?:-[CDXFNLSEZ]|--(?:check|delete|flush|new|list|rename)\S*)(?=\s|$)")
#: Errors that every command gets: the kernel lacks what iptables needs.
_OF_KERNEL = ("can't initialize", "Could not fetch rule set", "Failed to initialize nft")
#: What iptables adds to an error.
_HINT = re.compile(r"\s*(?:\\n)?\s*(?:Try [`'\"]ip|Perhaps ip|Error occurred).*")


def printed_errors(lines: Iterable[Line]) -> Iterator[RefusedCommand]:
    """Yield the errors that iptables printed, in order."""
    above: list[Line] = []
    found = 0
    for line in lines:
        text = line.text[:1000]
        error = _ERROR.search(text) or _ARGUMENT.search(text) or _RETURNED.search(text)
        if error is not None and found < _MOST:
            # Docker and others print the command in the same line
            before = [
                (line.number, text if error.re is _RETURNED else text[: error.start()]),
                *((one.number, one.text) for one in reversed(above)),
            ]
            number, words = _command_of(before) or (line.number, None)
            harmless = words is not None and _HARMLESS.search(f" {words['rest']}") is not None
            if harmless and not error["why"].startswith(_OF_KERNEL):
                continue
            program = (
                words["program"] if words is not None else error.groupdict().get("program") or "iptables"
            )
            family: Family = 6 if program.startswith("ip6") else 4
            shown = words.group().rstrip(" :") if words is not None else error.group().strip()
            yield RefusedCommand(number, family, shown, _HINT.sub("", error["why"]).strip(" ."), printed=True)
            found += 1
        if not _HINT.match(text):
            above = [*above[-_ABOVE + 1 :], line]


def _command_of(before: Iterable[tuple[int, str]]) -> tuple[int, re.Match[str]] | None:
    """Return the command of iptables that an error is about, and the number of its line; None if it is another's.

    Args:
        before: the numbers and texts of lines before the error, the nearest first.
    """
    for number, text in before:
        found = _COMMAND.search(text)
        if found is not None:
            return number, found
        if prompt_of(text) is not None:
            return None  # another program was typed, such as a script
    return None
