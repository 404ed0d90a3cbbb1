"""Commands that change rules: `iptables -A ...` in scripts, sessions and `PostUp` lines. Nothing is ever run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import ClassVar

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.languages import message
from iptsim.paste.avoided import Avoided
from iptsim.paste.errors import printed_errors
from iptsim.paste.gap_rules import if_run
from iptsim.paste.lines import Line, continued
from iptsim.paste.pieces import CommandItem, GapItem, Piece, Rules, Segment, Warned, made_words
from iptsim.paste.placeholders import is_cut
from iptsim.paste.prompts import OUTPUT, UNPROMPTED, Command, command_of, without_prompt
from iptsim.paste.shell import FWMARK, Script, Typed, is_condition, is_down, is_shell
from iptsim.paste.typed import CHANGES, Added, table_of_command
from iptsim.paste.undoing import Runs, runs_of

FORM = "iptables commands"
#: A line that may contain such a command.
_LIKELY = re.compile(
    r"(?:^|[\s;&|=\"'/({])\$?\{?(?:ip(?:6|46)?tables(?:-legacy|-nft)?|IP6?T(?:ABLES)?_?(?:CMD|BIN|4|6)?)\}?\"?\s+(?=.*-)"
    r"|firewall-cmd\s.*--direct\s",
    re.IGNORECASE,
)
#: The maximum number of other lines between the commands of a script.
_BETWEEN = 12
#: A command without the name of its program, with its table or directly below another command.
_BARE = re.compile(r"\s*-t\s+(?:filter|nat|mangle|raw|security)\s+-[AIDRNPF]\s+\S")
_BARE_RULE = re.compile(r"\s*-[AI]\s+[\w-]+\s+(?:\d+\s+)?(?:!\s+)?-")
#: The rest of a command that was wrapped: further options, or words before the target.
_REST = re.compile(r"\s*(?:!\s+)?(?!-t\s)-{1,2}[a-z]|\s*(?:\S+\s+){1,6}-[jg]\s")
_ACTION = re.compile(r"\s-[AIDRNPFXEZLS](?=\s|$)|\s--(?:append|insert|delete|replace|policy|new|flush|list)")
_ADDS = re.compile(r"\s(?:-[AIR]|--append|--insert|--replace)\s+[\w-]+\s")
#: What a shell or sudo prints if it does not start a program.
_NOT_STARTED = re.compile(
    r"-?(?:(?:ba|da|z|k|a)?sh|sudo|doas): .*(?:command not found|: not found|[Pp]ermission denied)"
    r"|.* is not in the sudoers file"
)
_STEPS = re.compile(r";|&&|\|\|")
_FINISHED = re.compile(r"\s(?:-[jg]|--jump|--goto)\s")
#: A command that was wrapped before its target, the line with that target, and one with options of a target.
_OPEN = re.compile(r"\s(?:-[jg]|--jump|--goto)$")
_TARGET = re.compile(r"\s*[A-Z][\w-]*(?:\s+--?[a-z].*)?\s*")
_OF_TARGET = re.compile(r"\s*--[a-z][a-z-]+(?:\s|$)")
#: The maximum number of lines of a wrapped command.
_WRAPPED = 4
#: The usual width of a terminal, and the end of a line within a word: `-m state -`, `--state ESTABLISHED,REL`.
_TERMINAL = 80
_STATES = "NEW|ESTABLISHED|RELATED|INVALID|UNTRACKED"
_BROKEN = re.compile(rf"\s--?$|\s--(?:ct)?state\s+(?:(?:{_STATES}),)*(?!(?:{_STATES})$)[A-Z]*$")
#: The maximum number of lines of a folded one, and what begins another item or key.
_FOLDED = 20
_ITEM = re.compile(r"\s*(?:- |[\w.-]+\s*[:=](?:\s|$)|#)")
#: A command in quotation marks before further words of a sentence.
_QUOTED = re.compile(
    r"([\"'])(?:sudo\s+)?(?:/[^\s\"']*/)?ip6?tables\s[^\"']*\1[,.:]?\s+(?!then\b|do\b)[A-Za-z]"
)
#: A line that only marks omitted ones.
_GAP_ALONE = re.compile(r"\W*(?:\.{3,}|snip(?:ped)?|truncated|omitted|cut|etc)\W*", re.IGNORECASE)
#: The line of WireGuard's configuration with the interface as `%i`, and that interface's usual name.
_POST_UP = re.compile(r"\s*Post(?:Up|Down)\s*=.*%i", re.IGNORECASE)
_USUAL = "wg0"
_FWMARK = re.compile(r"\bfwmark\)")
_WIREGUARD = re.compile(r"\b(wg\d+|[\w-]+(?=\.conf\b))")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the commands that start at a line, or None."""
    text = lines[at].text
    script = text.startswith("#!") and "sh" in text
    if not script and not _LIKELY.search(text) and not _sets_program(text) and not _BARE.match(text):
        return None
    reader = _Reader(lines, at)
    reader.read()
    return reader.segment() if reader.typed or reader.left_out else None


def _sets_program(text: str) -> bool:
    return re.match(r"\s*(?:(?:export|local|readonly)\s+)?\w+=\S*ip6?tables\b", text) is not None


class _Text:
    """What concerns all commands of a text."""

    _last: ClassVar[_Text | None] = None

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.is_script = any(UNPROMPTED.match(line.text) for line in lines)
        self.interface = _interface(lines)
        self.runs = runs_of(lines)
        self.added = Added(lines)
        self.avoided = Avoided(lines)
        self._script, self._seen = Script(self.interface), 0
        #: the lines of the commands of a session that iptables refused with an error
        self.refused = set() if self.is_script else set(_refused(lines))

    def without_prompt(self, text: str) -> str:
        """Return a line without its prompt; in a script, `# NAME=...` is a comment."""
        return text if self.is_script else without_prompt(text)

    @classmethod
    def of(cls, lines: list[Line]) -> _Text:
        """Return it; that of the last text is kept, as each of its lines may ask."""
        known = cls._last
        if known is None or known.lines is not lines:
            known = cls._last = cls(lines)
        return known

    def variables(self, at: int) -> dict[str, str]:
        """Return the variables that the lines above one set."""
        if at < self._seen:
            self._script, self._seen = Script(self.interface), 0
        for line in self.lines[self._seen : at]:
            self._script.assigns(self.without_prompt(line.text))
        self._seen = at
        return self._script.variables


class _Reader:
    """Reads the commands of one script or session."""

    def __init__(self, lines: list[Line], at: int) -> None:
        self.lines, self.begun, self.at, self.last = lines, at, at, at
        around = _Text.of(lines)
        self.around = around
        self.script = Script(around.interface, around.runs)
        self.added = around.added
        self.script.variables |= around.variables(at)
        self.is_script = around.is_script
        #: the name of the WireGuard interface is not in the text
        self.guesses = around.interface == _USUAL and not any(_USUAL in line.text for line in lines)
        self.first = self._before(at)
        self.typed: list[Typed] = []
        #: the lines of marks of omitted commands, and how many commands come before each
        self.gaps: list[tuple[int, Line]] = []
        self.unread: list[int] = []
        #: the commands that the text says not to run, or to have been in vain
        self.left_out: list[Warned] = []
        #: the numbers of lines that undo others
        self.undoing: list[int] = []

    def read(self) -> None:
        skipped = 0
        other: list[int] = []
        while self.at < len(self.lines) and skipped <= _BETWEEN:
            line = self.lines[self.at]
            begun, text = self.at, self._continued()
            skip = self._is_comment(text) or _is_prose(text)
            found = [] if skip else self.script.read(line, text)
            changing = [one for one in found if any(CHANGES.fullmatch(word) for word in one.words)]
            new = [one for one in changing if not self.added.repeats(one, begun)]
            meant = [one for one in (self.added.settled(one, begun) for one in new) if one is not None]
            if (line.is_gap and self.typed) or (found and not changing and _is_cut(found)):
                self._gap(line)
                continue
            if is_condition(text) and not changing:
                found = []  # its output is tested, not shown
            if found and not changing and not self.typed:
                return  # it lists rules, and what follows is its output
            if found and not changing:
                self.at = begun
                return
            later = is_down(text) or self.script.runs.get(line.number) is Runs.LATER
            if changing or (later and _LIKELY.search(text)):
                if self.around.avoided.is_proposed(begun):
                    meant = [one._replace(sure=False) for one in meant]
                if meant and (why := self.around.avoided.why(begun, self.at - 1)) is not None:
                    self.left_out.append(Warned(why, line.number))
                elif line.number not in self.around.refused:
                    self.typed += meant
                self.undoing += [line.number] if len(meant) < len(new) else []
                self.last, skipped = self.at - 1, 0
                self.unread += other
                other = []
            elif line.is_blank or self.script.assigns(self.around.without_prompt(text)) or is_shell(text):
                skipped += not line.is_blank
            elif self.typed and not self._follow():
                return
            elif not self.typed and begun == self.begun and self.last == begun:
                return  # it only mentions a command
            else:
                other.append(begun)
                skipped += 1

    def _gap(self, line: Line) -> None:
        """Note that commands may be missing, if some follow or the line says nothing else."""
        if _GAP_ALONE.fullmatch(line.text) or _LIKELY.search(line.text) or self._follow():
            self.gaps.append((len(self.typed), line))
            self.last = self.at - 1

    def _before(self, at: int) -> int:
        """Read the lines of a script above its first command; return where they start."""
        first = at
        while first and (
            self.lines[first - 1].is_blank
            or is_shell(self.lines[first - 1].text)
            or self.script.assigns(self.around.without_prompt(self.lines[first - 1].text))
        ):
            first -= 1
        while first < at and self.lines[first].is_blank:
            first += 1
        for line in self.lines[first:at]:
            self.script.read(line, line.text)
        return first

    def _is_comment(self, text: str) -> bool:
        """Return whether a line is a comment: `# iptables ...` is one in a script, elsewhere a root command.

        A command whose output follows is no comment, either.
        """
        if not text.lstrip().startswith("#"):
            return False
        following = next((line.text for line in self.lines[self.at :] if not line.is_blank), "")
        return not text.lstrip().startswith("# ") or (self.is_script and not OUTPUT.match(following))

    def _continued(self) -> str:
        """Return a line with its continuation lines and its wrapped rest, and move past them."""
        first = self.at
        text, last = continued(self.lines, first)
        self.at = last + 1
        text = self._folded(first, text)
        if self._is_bare(first, text):
            text = f"iptables {text.lstrip()}"
        while self.at - first < _WRAPPED and self._is_wrapped(text):
            text += _joint(self.lines[self.at - 1].whole, self.lines[self.at].whole)
            text += self.lines[self.at].text.lstrip()
            self.at += 1
        return text

    def _folded(self, at: int, text: str) -> str:
        """Return an item of a YAML list with the deeper lines that it is folded over, and move past them."""
        indent = _depth(text)
        if not text.lstrip().startswith("- ") or not _LIKELY.search(text):
            return text
        while self.at < len(self.lines) and self.at - at < _FOLDED:
            line = self.lines[self.at]
            if line.is_blank or _depth(line.text) <= indent or _ITEM.match(line.text):
                break
            text += f" {line.text.strip()}"
            self.at += 1
        return text

    def _is_bare(self, at: int, text: str) -> bool:
        """Return whether a line is a command without its program."""
        return bool(_BARE.match(text)) or bool(self.typed and self.last == at - 1 and _BARE_RULE.match(text))

    def _is_wrapped(self, text: str) -> bool:
        """Return whether the next line is the rest of a command: it has no target yet, or the line has its options."""
        text = _STEPS.split(text)[-1]
        if not _LIKELY.search(text) or self.at >= len(self.lines):
            return False
        line = self.lines[self.at]
        if _ADDS.search(text) is not None and _OPEN.search(text):
            return _TARGET.fullmatch(line.text) is not None
        if _FINISHED.search(text):
            return _ADDS.search(text) is not None and _OF_TARGET.match(line.text) is not None
        if line.is_blank or line.is_gap or _LIKELY.search(line.text) or command_of(line.text) is not None:
            return False
        if _ACTION.search(text) is None:
            return _BARE.match(f"-t filter {line.text.lstrip()}") is not None
        return _ADDS.search(text) is not None and _REST.match(line.text) is not None

    def _follow(self) -> bool:
        """Return whether further commands follow in the next lines."""
        return any(_LIKELY.search(line.text) for line in self.lines[self.at : self.at + 4])

    def segment(self) -> Segment:
        pieces: list[Piece] = []
        chains: dict[tuple[str, Family, str], None] = {}
        gaps = list(self.gaps)
        for place, typed in enumerate(self.typed):
            while gaps and gaps[0][0] <= place:
                self._add_gap(pieces, chains, gaps.pop(0)[1])
            family: Family = 6 if typed.program.startswith("ip6") else 4
            table, words = table_of_command(typed.words)
            if table not in BUILTIN_CHAINS or not words:
                continue
            hidden = () if typed.sure else (if_run(typed.line),)
            made = made_words(words)
            _rules_in(pieces, table, family).items.append(
                CommandItem(made, typed.line, typed.text, hidden=hidden)
            )
            if len(words) > 1 and not words[1].startswith("-"):
                chains[table, family, words[1]] = None
        for _, line in gaps:
            self._add_gap(pieces, chains, line)
        pieces += [
            Warned(
                message("the command would undo others; it is assumed not to have run"),
                at,
            )
            for at in self.undoing
        ]
        pieces += self.left_out
        if self.guesses and (guessed := next((one for one in self.typed if "%i" in one.text), None)):
            told = message("%i is the WireGuard interface, here assumed to be {name}", name=_USUAL)
            pieces.append(Warned(told, guessed.line))
        if marking := next(
            (one for one in self.typed if _FWMARK.search(one.text) and FWMARK in one.words), None
        ):
            told = message(
                "the fwmark of WireGuard is assumed to be {mark}, as wg-quick sets it", mark=FWMARK
            )
            pieces.append(Warned(told, marking.line))
        tables = ", ".join(dict.fromkeys(piece.table for piece in pieces if isinstance(piece, Rules)))
        title = f"{FORM} ({tables})" if tables else f"{FORM} that were left out"
        return Segment(FORM, title, self.first, self.last, pieces, self.unread)

    def _add_gap(self, pieces: list[Piece], chains: Iterable[tuple[str, Family, str]], line: Line) -> None:
        """Mark that rules may be missing in the chains that the commands before name."""
        for table, family, chain in chains:
            _rules_in(pieces, table, family).items.append(GapItem(chain, line.number, line.text.strip()))


def _joint(text: str, following: str) -> str:
    """Return what joins a wrapped line with its rest: a blank, or nothing where a terminal has broken a word."""
    is_broken = len(text) == _TERMINAL and not text[-1].isspace()
    return "" if not following[:1].isspace() and (is_broken or _BROKEN.search(text)) else " "


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip())


def _plain(text: str) -> str:
    return " ".join(without_prompt(text).split())


def _refused(lines: list[Line]) -> Iterator[int]:
    """Yield the lines of commands, typed after a prompt, below which an error says that iptables added no rule.

    The last command of the text is one of them if it failed before: its output is not shown.
    """
    for line, following in pairwise(lines):
        command = command_of(line.text) if _NOT_STARTED.match(following.text) else None
        if command is not None and command.prompted and not _STEPS.search(line.text):
            yield line.number
    places = {line.number: place for place, line in enumerate(lines)}
    last = next((line for line in reversed(lines) if not line.is_blank), None)
    for error in printed_errors(lines):
        if error.line not in places:
            continue
        text, why = continued(lines, places[error.line])[0], str(error.why)
        command = command_of(text)
        if command is None or not command.prompted or _STEPS.search(text):
            continue
        table, words = table_of_command(list(command.words))
        # without the chain, and for what the kernel rejects, there is a better reason
        missing = why.startswith("No chain") and words[1:2] and words[1] not in BUILTIN_CHAINS.get(table, ())
        if not missing and not re.search(r"\b(?:RULE|CHAIN|TABLE)_", why):
            yield error.line
            # a chain may have been made in between
            is_chain = re.match(r"(?:No chain|Chain ')", why)
            if last is not None and not is_chain and _plain(last.text) == _plain(text):
                yield last.number


def _rules_in(pieces: list[Piece], table: str, family: Family) -> Rules:
    """Return the last piece, if it is of a table, or a new one."""
    last = pieces[-1] if pieces else None
    if not isinstance(last, Rules) or (last.table, last.family) != (table, family):
        last = Rules(table, family, whole=False)
        pieces.append(last)
    return last


def _is_cut(found: list[Typed]) -> bool:
    """Return whether commands are such of which the beginning was cut out: `iptables ... -j DROP`."""
    return any(is_cut(word) for one in found for word in one.words[:3])


def _is_prose(text: str) -> bool:
    """Tell whether commands are only mentioned in a sentence: "I ran `iptables -F` twice"."""
    if _QUOTED.search(text):
        return True
    words = [found.start() for found in re.finditer(r"\w", text)]
    return any(
        (words[0] < code.start() and text[code.start() - 1].isspace())
        or (words[-1] > code.end() and text[code.end()].isspace())
        for code in re.finditer(r"`[^`]+`", text)
        if words
    )


def _interface(lines: list[Line]) -> str | None:
    """Return the WireGuard interface that `%i` represents, if the text names just one."""
    if not any("%i" in line.text for line in lines):
        return None
    named = {found[1] for line in lines for found in _WIREGUARD.finditer(line.text)}
    if not named and any(_POST_UP.match(line.text) for line in lines):
        return _USUAL
    return named.pop() if len(named) == 1 else None
