"""Commands of a text that add rules, and which of those that remove some have run."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property

from iptsim.dump.options import command_letter
from iptsim.paste.lines import Line
from iptsim.paste.prompts import command_of, prompt_of
from iptsim.paste.shell import Typed, is_hook, is_shell
from iptsim.paste.undoing import is_advice, is_prose

#: The actions that change rules.
CHANGES = re.compile(
    r"-[AIDRPNXFEZ]|--(?:append|insert|delete|replace|policy|new(?:-chain)?|flush|delete-chain|rename-chain|zero)"
)
#: The echo of a command: of wg-quick, and of a shell that traces what it runs (set -x).
_ECHO = re.compile(r"\s*(?:(?P<wg>\[#\])|\++)\s")
#: At most this many lines above a command introduce it.
_ABOVE = 3


class Added:
    """The rules that the commands of a text added so far."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self._places: dict[tuple[str, ...], int] = {}
        #: the lines where each rule is added: by a hook, by a script, and by the echo of either
        self._ran: dict[tuple[str, tuple[str, ...]], list[int]] = {}

    def settled(self, typed: Typed, at: int) -> Typed | None:
        """Return a command as it runs; None if it is one of those that would undo others.

        Args:
            typed: the command.
            at: the index of its line.
        """
        table, words = table_of_command(typed.words)
        if len(words) < 2:
            return typed
        rule = (typed.program, table, words[1], *_options(words[2:]))
        if command_letter(words[0]) in ("A", "I"):
            self._places[rule] = at
        if command_letter(words[0]) != "D" or prompt_of(self.lines[at].text) is not None:
            return typed
        added = self._places.get(rule)
        introduced = self._introduction(at)
        if introduced is not None and (added is not None or not introduced.lstrip().startswith("#")):
            return None
        if added is not None and bisect_right(self.prose, added) < bisect_left(self.prose, at):
            return typed._replace(sure=False)
        return typed

    def repeats(self, typed: Typed, at: int) -> bool:
        """Return whether a command is only shown a second time: as its echo, or in the file that made the echo.

        wg-quick prints each command of PostUp when it runs it, and `set -x` each one of a script. Each echo is that of
        one command.

        Args:
            typed: the command.
            at: the index of its line.
        """
        table, words = table_of_command(typed.words)
        if words[:1] and command_letter(words[0]) not in ("A", "I"):
            return False
        text = self.lines[at].text
        echo = _ECHO.match(text)
        if echo is None and prompt_of(text) is not None:
            return False
        sides = ("[#]", "hook") if (echo["wg"] if echo else is_hook(text)) else ("+", "script")
        own, other = sides if echo else reversed(sides)
        rule = (typed.program, table, *words)
        here = self._ran.setdefault((own, rule), [])
        number = bisect_left(here, at)
        if here[number : number + 1] != [at]:
            here.insert(number, at)
        return bisect_left(self._ran.get((other, rule), []), at) > number

    def _introduction(self, at: int) -> str | None:
        """Return the line that says that a command is for undoing, directly above it or above others like it."""
        above = [self.lines[at].text.partition("iptables")[0]]
        for line in reversed(self.lines[max(at - _ABOVE, 0) : at]):
            if line.is_blank:
                continue
            if command_of(line.text) is not None and not line.text.lstrip().startswith("#"):
                break
            above.append(line.text)
        return next((text for text in above if is_advice(text)), None)

    @cached_property
    def prose(self) -> list[int]:
        """The indexes of the lines that have a sentence in them."""
        return [
            index
            for index, line in enumerate(self.lines)
            if is_prose(line.text) and command_of(line.text) is None and not is_shell(line.text)
        ]


def _options(words: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a rule, without its position, in an order that does not matter."""
    return tuple(sorted(words[1:] if words[:1] and words[0].isdecimal() else words))


def table_of_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the table of a command, and its words from the action (-A, -I ...) on."""
    table, left = "filter", list(words)
    for place, word in enumerate(words):
        if word in ("-t", "--table") and place + 1 < len(words):
            table = words[place + 1]
        elif word.startswith("--table="):
            table = word.partition("=")[2]
    kept: list[str] = []
    while left:
        word = left.pop(0)
        if word in ("-t", "--table"):
            left[:1] = []
        elif word in ("-w", "--wait", "-W", "--wait-interval"):
            left[:1] = [] if left[:1] and left[0].isdecimal() else left[:1]
        elif not word.startswith("--table=") and word not in ("-v", "--verbose", "-n", "--numeric"):
            kept.append(word)
    at = next((place for place, word in enumerate(kept) if CHANGES.fullmatch(word)), None)
    if at is None:
        return table, []
    # options may precede the command
    return table, [*kept[at:], *kept[:at]]
