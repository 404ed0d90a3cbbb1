"""Shell commands in messages: in a text they follow each other; in its passages, each has a line of its own."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from iptsim.languages import Message, Text

#: Whether commands are rendered between borders.
_apart: ContextVar[bool] = ContextVar("apart", default=False)
#: A code point that no text contains: a noncharacter of Unicode.
_BORDER = "\ufdd0"


class Passage(NamedTuple):
    """A part of a text: words, which may be empty, and the shell commands that follow them."""

    words: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shell(Message):
    commands: tuple[str, ...]

    def _text(self, catalogue: Any) -> str:
        if not self.commands or not _apart.get():
            return "; ".join(self.commands)
        between = "\n".join(self.commands)
        return f"{_BORDER}{between}{_BORDER}"


def shell(*commands: str) -> Message:
    """Return shell commands, as a value of a message.

    Args:
        commands: each of one or more lines.

    >>> from iptsim.languages import message
    >>> remedy = message("Open it: {commands}. Or drop the rule.", commands=shell("ufw allow 80", "ufw reload"))
    >>> str(remedy)
    'Open it: ufw allow 80; ufw reload. Or drop the rule.'
    >>> [tuple(one) for one in passages(remedy)]
    [('Open it:', ('ufw allow 80', 'ufw reload')), ('Or drop the rule.', ())]
    """
    return _Shell(tuple(line for command in commands for line in command.split("\n")))


#: Docker writes all its rules when it starts.
RESTART_DOCKER = shell("systemctl restart docker")


def passages(text: Text) -> list[Passage]:
    """Return a text in the current language, with its commands apart from its words."""
    token = _apart.set(True)
    try:
        words, *others = str(text).split(_BORDER)
    finally:
        _apart.reset(token)
    found = [Passage(words.strip(), ())]
    for commands, behind in zip(others[::2], others[1::2], strict=True):
        found[-1] = found[-1]._replace(commands=tuple(commands.split("\n")))
        # what joined the commands to the next sentence
        behind = behind.lstrip(" .;,。；，").rstrip()
        found.append(Passage(behind[:1].upper() + behind[1:], ()))
    return [one for one in found if any(one)]
