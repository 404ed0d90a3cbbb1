"""`iptables-save`, files for `iptables-restore`, `iptables -S`, and fragments of them."""

from __future__ import annotations

import re
from dataclasses import replace

from iptsim.dump.header import read_header, warns_of_legacy
from iptsim.dump.ruleset import BUILTIN_CHAINS, Counters
from iptsim.dump.syntax import read_line
from iptsim.dump.words import Word
from iptsim.errors import DumpSyntaxError
from iptsim.extensions.base import quote
from iptsim.paste.lines import Line
from iptsim.paste.pieces import ChainItem, CommandItem, GapItem, Rules, Segment, Warned
from iptsim.paste.prompts import Command, command_of, is_prompt, words_of
from iptsim.paste.table_inference import family_of_text, table_of_rules, tables_of_rules

_TABLE = re.compile(r"\s*\*(filter|nat|mangle|raw|security)\s*$")
_CHAIN = re.compile(
    r"\s*:(?P<name>[^\s:]+)\s+(?P<policy>[A-Z]+|-)(?:\s+\[(?P<packets>\d+):(?P<bytes>\d+)\])?"
)
_RULE = re.compile(
    r"\s*(?:\[(?P<packets>\d+):(?P<bytes>\d+)\]\s*)?"
    r"(?P<rule>-(?:[AIDRNPXFEZ]\s+\S|[FXZ]\s*$)|--(?:append|insert|delete|replace|new-chain|policy|flush)\s+\S)"
)
_COMMIT = re.compile(r"\s*COMMIT\s*$")
_COMMENT = re.compile(r"\s*#")
#: Targets without options, after which a rule is whole.
_WHOLE = frozenset({"ACCEPT", "DROP", "RETURN", "MASQUERADE", "NOTRACK"})
#: Further options of a rule, if a line was wrapped before them.
_OPTION = re.compile(r"\s*(?:!\s+)?--?[A-Za-z]")
#: A rule of which only the action is left.
_CUT_ACTION = re.compile(r"\s*-[AIDRNP]\s*$")
#: An unreadable line that has options, as a damaged rule does.
_MAY_BE_RULE = re.compile(r"(?:^|\s)--?[A-Za-z]")
#: The maximum number of foreign lines between the lines of a dump.
_BETWEEN = 3


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the dump, -S listing or fragment that starts at a line, or None."""
    text = lines[at].text
    header = _COMMENT.match(text) and (read_header(text.lstrip()) or warns_of_legacy(text.lstrip()))
    if not (_is_line(text) or header):
        return None
    reader = _Reader(lines, at, command)
    reader.read()
    return reader.segment() if reader.pieces else None


def _is_line(text: str) -> bool:
    return any(form.match(text) for form in (_TABLE, _CHAIN, _RULE, _COMMIT))


class _Reader:
    """Reads the lines of one dump or listing."""

    def __init__(self, lines: list[Line], at: int, command: Command | None) -> None:
        self.lines, self.first, self.at, self.last = lines, at, at, at
        self.command = command
        self.pieces: list[Rules] = []
        self.open: Rules | None = None
        self.named = False
        self.version: str | None = None
        self.backend: str | None = None
        self.program: str | None = None
        self.unread: list[int] = []
        self.warned: list[Warned] = []
        self.texts: list[str] = []

    def read(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.is_blank:
                self.at += 1
            elif self._line(line):
                self.last = self.at - 1
            else:
                return

    def _line(self, line: Line) -> bool:
        text = line.text
        self.texts.append(text)
        if found := _TABLE.match(text):
            self._begin(found[1])
        elif _COMMIT.match(text):
            self.open = None
            self.at += 1
        elif found := _CHAIN.match(text):
            self._chain(found, line)
        elif found := _RULE.match(text):
            return self._rule(found, line)
        elif _COMMENT.match(text) and command_of(text) is None:
            self._comment(text.lstrip(), line)
        elif line.is_gap:
            self._gap(line)
            self.at += 1
        else:
            return self._other(line)
        return True

    def _gap(self, line: Line) -> None:
        """Mark that rules may be missing here, of this chain and of the later ones."""
        if self.open is not None:
            last = self.open.items[-1] if self.open.items else None
            chain = last.words[1].text if isinstance(last, CommandItem) and len(last.words) > 1 else None
            self.open.items.append(GapItem(chain, line.number, line.text.strip(), later=True))

    def _begin(self, table: str) -> None:
        self._mark_end()
        self.open = Rules(table, None, version=self.version, backend=self.backend, named=True)
        self.pieces.append(self.open)
        self.named = True
        self.at += 1

    def _chain(self, found: re.Match[str], line: Line) -> None:
        rules = self._opened()
        counters = Counters(int(found["packets"]), int(found["bytes"])) if found["packets"] else None
        policy = found["policy"] if found["policy"] != "-" else None
        rules.items.append(ChainItem(found["name"], policy, counters, line.number))
        rules.fragment = False
        self.at += 1

    def _opened(self) -> Rules:
        if self.open is None:
            self.open = Rules("", None, version=self.version, backend=self.backend, fragment=True)
            self.pieces.append(self.open)
        return self.open

    def _rule(self, found: re.Match[str], line: Line) -> bool:
        """Read a rule and its wrapped lines; False if a listing of another table starts."""
        words = words_of_rule(line.text[found.start("rule") :])
        letter, name = words[0].text, words[1].text if len(words) > 1 else ""
        rules = self.open
        if letter == "-P" and rules is not None and not rules.named and self._listing_ends(rules, name):
            return False
        rules = self._opened()
        text = line.text
        end = self.at + 1
        while end < len(self.lines) and end - self.at < 4 and self._goes_on(text, self.lines[end]):
            joint = "" if _cut_inside(text, self.lines[end].text) else " "
            text += joint + self.lines[end].text.lstrip()
            end += 1
        if end > self.at + 1:
            words = words_of_rule(text[found.start("rule") :])
        self.at = end
        counters = Counters(int(found["packets"]), int(found["bytes"])) if found["packets"] else None
        if letter == "-P" and len(words) > 2:
            more = re.search(r"-c (\d+) (\d+)", text)
            counters = Counters(int(more[1]), int(more[2])) if more else None
            rules.items.append(ChainItem(name, words[2].text, counters, line.number))
        elif letter == "-N" and len(words) == 2:
            rules.items.append(ChainItem(name, None, None, line.number))
        else:
            rules.items.append(CommandItem(tuple(words), line.number, text.strip(), counters))
        return True

    def _listing_ends(self, rules: Rules, name: str) -> bool:
        """Return whether a policy starts the listing of another table: policies precede the rules."""
        policies = [item.name for item in rules.items if isinstance(item, ChainItem) and item.policy]
        return name in policies or (
            any(isinstance(item, CommandItem) for item in rules.items) and bool(policies)
        )

    def _goes_on(self, text: str, line: Line) -> bool:
        """Return whether a line is the wrapped rest of a rule."""
        if line.is_blank or line.is_gap or _is_line(line.text) or _COMMENT.match(line.text):
            return False
        if is_prompt(line.text) or command_of(line.text) is not None:
            return False
        if text.count('"') % 2:
            return True
        if _OPTION.match(line.text):
            return not _CUT_ACTION.match(line.text)
        finished = re.search(r"\s(?:-j|-g|--jump|--goto)\s+\S", text) is not None
        return not finished and len(line.text.split()) < 8 and " -j " in f" {line.text} "

    def _comment(self, text: str, line: Line) -> None:
        header = read_header(text)
        if header is not None:
            self.version, self.backend = header.version, header.backend
            self.program = "ip6tables" if header.family == 6 else "iptables" if header.family == 4 else None
        elif warns_of_legacy(text):
            self.warned.append(Warned(text, line.number))
        self.at += 1

    def _other(self, line: Line) -> bool:
        """Skip a foreign line, if the dump continues after it."""
        if is_prompt(line.text) or command_of(line.text) is not None:
            return False
        following = [one for one in self.lines[self.at + 1 : self.at + 1 + _BETWEEN] if not one.is_blank]
        goes_on = self.open is not None and any(_is_line(one.text) for one in following)
        if goes_on and _MAY_BE_RULE.search(line.text):
            self._gap(line)
            self.at += 1
        elif goes_on:
            self.unread.append(self.at)
            self.at += 1
        return goes_on

    def _mark_cut_listing(self) -> None:
        """Mark the end of `iptables -S` whose last rule leads to no chain: its name is cut, and rules may follow."""
        rules = self.open
        items = rules.items if rules is not None else []
        chains = {item.name for item in items if isinstance(item, ChainItem)}
        last = items[-1] if items else None
        if rules is None or rules.named or not isinstance(last, CommandItem):
            return
        words = [word.text for word in last.words]
        is_cut = words[-2:-1] == ["-j"] and words[-1] not in chains and words[0] == "-A"
        if is_cut and any(name.startswith(words[-1]) for name in chains):
            items.pop()
            items.append(GapItem(words[1], last.line, "", later=True))

    def _mark_end(self) -> None:
        """Mark the end of a table that lacks its COMMIT: its last line may be cut, and rules may follow."""
        table = self.open
        if table is None or not table.named or table.fragment or not table.items:
            return
        if not any(isinstance(item, ChainItem) for item in table.items):
            return  # an excerpt of single rules
        last = table.items[-1]
        if isinstance(last, GapItem):
            return
        if isinstance(last, CommandItem):
            words = [word.text for word in last.words]
            if words[-2:-1] != ["-j"] or words[-1] not in _WHOLE:
                table.items.pop()
            if len(words) < 3:  # the name of the chain may be cut
                last = table.items[-1]
        named = isinstance(last, CommandItem) and len(last.words) > 1
        chain = last.words[1].text if isinstance(last, CommandItem) and named else None
        table.items.append(GapItem(chain, last.line, "", later=True))
        table.cut = len(self.pieces) > 1 or self.program is not None

    # -- results ----------------------------------------------------------------------------------

    def segment(self) -> Segment:
        program = (
            self.command.program if self.command and self.command.program.startswith("ip") else self.program
        )
        family = family_of_text(program, self.texts)
        given = self.command.option("-t", "--table") if self.command else None
        self._mark_cut_listing()
        self._mark_end()
        self.pieces[-1].cut |= self.named and self.lines[self.last].is_gap
        for rules in list(self.pieces):
            rules.family = family
            rules.filtered = self.command.filtered if self.command else ""
            rules.version, rules.backend = rules.version or self.version, rules.backend or self.backend
            rules.printed = not rules.named or self.program is not None or _is_addition(rules)
            if not rules.table:
                rules.table = given if given in BUILTIN_CHAINS else table_of_rules(rules.items)
                if rules.fragment and given not in BUILTIN_CHAINS:
                    self._split(rules)
        form, tables = self._form(), ", ".join(dict.fromkeys(rules.table for rules in self.pieces))
        return Segment(
            form,
            f"{form} ({tables})",
            self.first,
            self.last,
            [*self.pieces, *self.warned],
            self.unread,
            self.pieces[0].table if len(self.pieces) == 1 else None,
        )

    def _split(self, rules: Rules) -> None:
        """Put rules that only other tables can have into pieces of their own."""
        for table, items in tables_of_rules(rules.items).items():
            if table == rules.table:
                rules.items = items
            else:
                self.pieces.insert(self.pieces.index(rules) + 1, replace(rules, table=table, items=items))

    def _form(self) -> str:
        six = self.pieces[0].family == 6
        if self.named or any(not rules.fragment and rules.named for rules in self.pieces):
            return "ip6tables-save" if six else "iptables-save"
        listing = any(isinstance(item, ChainItem) for rules in self.pieces for item in rules.items)
        return ("ip6tables -S" if six else "iptables -S") if listing else "rules (-A ...)"


def _is_addition(rules: Rules) -> bool:
    """Return whether a table is for `iptables-restore --noflush`: it has no built-in chain, only others."""
    chains = {item.name for item in rules.items if isinstance(item, ChainItem)}
    chains |= {
        item.words[1].text for item in rules.items if isinstance(item, CommandItem) and len(item.words) > 1
    }
    return rules.named and not chains & set(BUILTIN_CHAINS[rules.table])


def words_of_rule(text: str) -> list[Word]:
    """Return the words of a rule, split like iptables-restore does, else like a shell."""
    try:
        line = read_line(text.strip(), "", 1)
    except DumpSyntaxError:
        return [Word(quote(word), word, 0, 0) for word in words_of(text)]
    if "'" in text and line.kind == "rule":
        return [Word(quote(word), word, 0, 0) for word in words_of(text)]
    return list(line.words)


def _cut_inside(text: str, rest: str) -> bool:
    """Return whether a line was cut in the middle of a word: by a terminal, at its width."""
    return len(text) in (80, 100, 120, 132) and not text.endswith(" ") and not rest.startswith((" ", "-"))
