"""Commands that change rules: `iptables -A ...` in scripts, sessions and `PostUp` lines. Nothing is ever run."""

from __future__ import annotations

import re

from iptsim.dump.ruleset import BUILTIN_CHAINS
from iptsim.dump.words import Word
from iptsim.extensions.base import quote
from iptsim.extensions.hidden import Hidden
from iptsim.languages import message
from iptsim.packet import Family
from iptsim.paste.lines import Line
from iptsim.paste.pieces import CommandItem, Piece, Rules, Segment
from iptsim.paste.prompts import Command
from iptsim.paste.shell import Script, Typed, is_down, is_shell

#: A line that may contain such a command.
_LIKELY = re.compile(
    r"(?:^|[\s;&|=\"'/({])\$?\{?(?:ip6?tables(?:-legacy|-nft)?|IP6?T(?:ABLES)?_?(?:CMD|BIN|4|6)?)\}?\"?\s+(?=.*-)"
    r"|firewall-cmd\s.*--direct\s",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"-[AIDRPNXFEZ]|--(?:append|insert|delete|replace|policy|new(?:-chain)?|flush|delete-chain|rename-chain|zero)"
)
#: A line of a script.
_UNPROMPTED = re.compile(
    r"#!|\s*(?:sudo\s+)?(?:/\S*/)?ip6?tables\s.*-[AIPNFDX]\s|\s*\$\{?IP6?T", re.IGNORECASE
)
#: The first line of what `iptables -L` and `iptables -S` print.
_OUTPUT = re.compile(r"Chain \S+ \(|-P [A-Z]+ [A-Z]+$")
#: The maximum number of other lines between the commands of a script.
_BETWEEN = 12
_WIREGUARD = re.compile(r"\b(wg\d+|[\w-]+(?=\.conf\b))")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the commands that start at a line, or None."""
    text = lines[at].text
    script = text.startswith("#!") and "sh" in text
    if not script and not _LIKELY.search(text) and not _sets_program(text):
        return None
    reader = _Reader(lines, at)
    reader.read()
    return reader.segment() if reader.typed else None


def _sets_program(text: str) -> bool:
    return re.match(r"\s*(?:export\s+)?\w+=\S*ip6?tables\b", text) is not None


class _Reader:
    """Reads the commands of one script or session."""

    def __init__(self, lines: list[Line], at: int) -> None:
        self.lines, self.at, self.last = lines, at, at
        self.script = Script(_interface(lines))
        self.is_script = any(_UNPROMPTED.match(line.text) for line in lines)
        self.first = self._before(at)
        self.typed: list[Typed] = []
        self.unread: list[int] = []

    def read(self) -> None:
        skipped = 0
        other: list[int] = []
        while self.at < len(self.lines) and skipped <= _BETWEEN:
            line = self.lines[self.at]
            begun, text = self.at, self._continued()
            found = (
                [] if self._is_comment(text) or _is_prose(text) else list(self.script.commands(line, text))
            )
            changing = [one for one in found if any(_CHANGES.fullmatch(word) for word in one.words)]
            if found and not changing and not self.typed:
                return  # it lists rules, and what follows is its output
            if found and not changing:
                self.at = begun
                return
            if changing or (is_down(text) and _LIKELY.search(text)):
                self.typed += changing
                self.last, skipped = self.at - 1, 0
                self.unread += other
                other = []
            elif line.is_blank or self.script.assigns(text) or is_shell(text):
                skipped += not line.is_blank
            elif self.typed and not self._follow():
                return
            else:
                other.append(begun)
                skipped += 1

    def _before(self, at: int) -> int:
        """Read the lines of a script above its first command; return where they start."""
        first = at
        while first and (
            self.lines[first - 1].is_blank
            or is_shell(self.lines[first - 1].text)
            or self.script.assigns(self.lines[first - 1].text)
        ):
            first -= 1
        while first < at and self.lines[first].is_blank:
            first += 1
        for line in self.lines[:at]:
            self.script.assigns(line.text)
        for line in self.lines[first:at]:
            list(self.script.commands(line, line.text))
        return first

    def _is_comment(self, text: str) -> bool:
        """Return whether a line is a comment: `# iptables ...` is one in a script, elsewhere a root command.

        A command whose output follows is no comment, either.
        """
        if not text.lstrip().startswith("#"):
            return False
        following = next((line.text for line in self.lines[self.at :] if not line.is_blank), "")
        return not text.lstrip().startswith("# ") or (self.is_script and not _OUTPUT.match(following))

    def _continued(self) -> str:
        """Return a line with its continuation lines, and move past them."""
        text = self.lines[self.at].text
        self.at += 1
        while text.endswith("\\") and self.at < len(self.lines):
            text = text[:-1] + " " + self.lines[self.at].text.lstrip()
            self.at += 1
        return text

    def _follow(self) -> bool:
        """Return whether further commands follow in the next lines."""
        return any(_LIKELY.search(line.text) for line in self.lines[self.at : self.at + 4])

    def segment(self) -> Segment:
        pieces: list[Piece] = []
        for typed in self.typed:
            family: Family = 6 if typed.program.startswith("ip6") else 4
            table, words = _table(typed.words)
            if table not in BUILTIN_CHAINS or not words:
                continue
            last = pieces[-1] if pieces else None
            if not isinstance(last, Rules) or (last.table, last.family) != (table, family):
                last = Rules(table, family, whole=False)
                pieces.append(last)
            hidden = () if typed.sure else (_perhaps(typed),)
            made = tuple(Word(quote(word), word, 0, 0) for word in words)
            last.items.append(CommandItem(made, typed.line, typed.text, hidden=hidden))
        tables = ", ".join(dict.fromkeys(piece.table for piece in pieces if isinstance(piece, Rules)))
        return Segment(
            "iptables commands", f"iptables commands ({tables})", self.first, self.last, pieces, self.unread
        )


def _is_prose(text: str) -> bool:
    """Tell whether commands are only mentioned in a sentence: "I ran `iptables -F` twice"."""
    words = [found.start() for found in re.finditer(r"\w", text)]
    return any(
        (words[0] < code.start() and text[code.start() - 1].isspace())
        or (words[-1] > code.end() and text[code.end()].isspace())
        for code in re.finditer(r"`[^`]+`", text)
        if words
    )


def _perhaps(typed: Typed) -> Hidden:
    return Hidden(
        words=f"(if line {typed.line} runs)",
        reason=message("whether the shell runs the command in line {line}", line=typed.line),
        settle="iptables-save -c",
        place=("runs", typed.line),
    )


def _table(words: list[str]) -> tuple[str, list[str]]:
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
            left[:1] = [] if left[:1] and left[0].isdigit() else left[:1]
        elif not word.startswith("--table=") and word not in ("-v", "--verbose", "-n", "--numeric"):
            kept.append(word)
    at = next((place for place, word in enumerate(kept) if _CHANGES.fullmatch(word)), None)
    if at is None:
        return table, []
    # options may precede the command
    return table, [*kept[at:], *kept[:at]]


def _interface(lines: list[Line]) -> str | None:
    """Return the WireGuard interface that `%i` represents, if the text names just one."""
    if not any("%i" in line.text for line in lines):
        return None
    named = {found[1] for line in lines for found in _WIREGUARD.finditer(line.text)}
    return named.pop() if len(named) == 1 else None
