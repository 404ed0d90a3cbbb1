"""iptables commands that failed according to a log, as dockerd, firewalld and fail2ban print them."""

from __future__ import annotations

import re
from itertools import pairwise

from iptsim.host.pasted import FailedCommand
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment
from iptsim.paste.prompts import Command, words_of

_FAILED = re.compile(
    r"(?:^|[\s('\"/])(?P<program>ip6?tables)\s+(?P<words>-.*?)(?:['\"] failed)?: (?P<why>ip6?tables(?: v[0-9.]+)?\b.*)"
)
#: The beginning of such a message, up to where a mail program or a person may break the line.
_BEGUN = re.compile(
    r"\b(?:iptables failed|COMMAND_FAILED|programming external connectivity)\b|\bip6?tables: \w"
)
#: The maximum number of lines of a message.
_WRAPPED = 5
#: The rest of the message of dockerd.
_REST = re.compile(r"\s*\(?exit status \d+\)*\.?\s*$")


#: How fail2ban logs the commands of an action, and what they printed (fail2ban/server/utils.py).
_EXEC = re.compile(r"fail2ban\.utils\s.*? -- exec: (?P<commands>.*)")
_STDERR = re.compile(r"fail2ban\.utils\s.*? -- stderr: ['\"](?P<why>.*?)['\"]?$")
#: How fail2ban before 0.9 logs the commands of an action that failed (fail2ban/server/action.py).
_FAILED_ACTION = re.compile(r"fail2ban\.actions\S*\s.*\bERROR\s+ip6?tables\s")
_RETURNED = re.compile(r" returned \w+\s*$")
_LONGEST = 12
_IPTABLES = re.compile(r"\b(?P<program>ip6?tables)\s+(?P<words>-[^;|&{}>]*)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the failed commands that start at a line, or None."""
    if _EXEC.search(lines[at].text):
        return _of_fail2ban(lines, at)
    if _FAILED_ACTION.search(lines[at].text):
        ends = (end for end in range(at, min(at + _LONGEST, len(lines))) if _RETURNED.search(lines[end].text))
        end = next(ends, None)
        # the error itself is among those that iptables printed
        return None if end is None else Segment("failed commands", "failed iptables commands", at, end)
    found: list[FailedCommand] = []
    end = at
    while end < len(lines):
        failed, more = _message(lines, end)
        if failed is not None:
            found.append(_of(failed, lines[end]))
            end += more
        elif not found or not _REST.match(lines[end].text):
            break
        end += 1
    return Segment("failed commands", "failed iptables commands", at, end - 1, list(found)) if found else None


def _message(lines: list[Line], at: int) -> tuple[re.Match[str] | None, int]:
    """Return the message that begins at a line, and how many further lines it has."""
    text = lines[at].text
    failed, more = _FAILED.search(text), 0
    while more < _WRAPPED and at + more + 1 < len(lines) and _BEGUN.search(text):
        following = lines[at + more + 1].text.strip()
        if failed is not None and not (text.rstrip()[-1:].isalnum() and following[:1].islower()):
            break
        if not following or _REST.match(following) or _FAILED.search(following):
            break
        text, more = f"{text} {following}", more + 1
        failed = _FAILED.search(text)
    return failed, more if failed else 0


def _of(failed: re.Match[str], line: Line) -> FailedCommand:
    words = tuple(words_of(failed["words"]))
    why = failed["why"].partition("Try `ip")[0].strip()
    return FailedCommand(line.number, failed["program"], words, why)


def _of_fail2ban(lines: list[Line], at: int) -> Segment | None:
    """Return the commands of an action of which one failed because a chain does not exist.

    fail2ban prints the messages after all commands: this one is about a command that adds a rule to a chain that no
    other command has created.
    """
    commands: list[tuple[str, tuple[str, ...], int]] = []
    end = at
    while end < len(lines) and (end == at or "fail2ban." not in lines[end].text) and not lines[end].is_blank:
        executed = _EXEC.search(lines[end].text)
        text = executed["commands"] if executed else lines[end].text
        commands += [
            (one["program"], tuple(words_of(one["words"])), lines[end].number)
            for one in _IPTABLES.finditer(text)
        ]
        end += 1
    why = ""
    while end < len(lines) and (printed := _STDERR.search(lines[end].text)):
        why = printed["why"] if "No chain/target/match" in printed["why"] else why
        end += 1
    made = {word for _, words, _ in commands if "-N" in words for word in words}
    failed = [
        FailedCommand(number, program, words, why, "fail2ban")
        for program, words, number in commands
        if why and any(flag in words for flag in ("-A", "-I")) and not made & set(_added_to(words))
    ]
    return (
        Segment("failed commands", "failed iptables commands", at, end - 1, list(failed)) if failed else None
    )


def _added_to(words: tuple[str, ...]) -> list[str]:
    """Return the chain to which a command adds a rule."""
    return [after for word, after in pairwise(words) if word in ("-A", "-I")]
