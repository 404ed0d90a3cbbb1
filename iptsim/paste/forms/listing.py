"""`iptables -L` and `ip6tables -L`, with or without -n, -v, -x and --line-numbers, of one table or of several."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.header import warns_of_legacy
from iptsim.paste.lines import Line
from iptsim.paste.listed import read_phrases
from iptsim.paste.listed_again import backend_of
from iptsim.paste.listing_lines import (
    begins_row,
    begins_table,
    breaks_off,
    columns_of,
    cut_heading_of,
    cut_width,
    ends_cut,
    filled_row,
    heading_of,
    is_row,
    lacks_chains,
    layout_of,
    leads_on,
    with_blank_column,
    without_addresses,
)
from iptsim.paste.listing_rules import (
    ListedRule,
    are_dockers_drops,
    chain_of_rows,
    is_bare,
    rule_of,
    without_cut_end,
)
from iptsim.paste.pieces import ChainItem, GapItem, Rules, Segment, Warned
from iptsim.paste.prompts import Command, command_of, is_prompt
from iptsim.paste.table_inference import table_of

_HEADING = re.compile(r"\s*Chain ?\S+ \(")
#: A rule of which columns are left out.
_STUB = re.compile(
    r"(?:ACCEPT|DROP|REJECT|RETURN)\s{1,20}(?:state|ctstate|all|tcp|udp|icmp|lo|loopback|anywhere)\b"
)
_COLUMNS = re.compile(r"\s*(?:num\s+)?(?:pkts\s+bytes\s+)?target\s+prot\b")
#: The maximum number of lines of a wrapped rule.
_WRAPPED = 4
#: A line with at least this many characters may have been wrapped by a terminal.
_FULL = 72
_IPV4 = re.compile(r"!?\d+\.\d+\.\d+\.\d+")
_ICMP6 = ("ipv6-icmp", "icmpv6", "58")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the listing of a table that starts at a line, or None."""
    text = lines[at].text
    listed = command is not None and is_listing(command) and columns_of(text) is not None
    begins = _HEADING.match(text) or _COLUMNS.match(text) or listed or is_row(text)
    if not begins and not (warns_of_legacy(text.lstrip()) and _listing_follows(lines, at)):
        return None
    reader = _Reader(lines, at, command)
    reader.read()
    return reader.segment() if reader.at > at else None  # else names of columns that break off


def is_listing(command: Command) -> bool:
    """Return whether a command prints a listing."""
    if not command.program.startswith(("iptables", "ip6tables")) or "save" in command.program:
        return False
    return any(
        re.fullmatch(r"-[a-zA-Z]*L[a-zA-Z]*", word) or (word.startswith("--list") and word != "--list-rules")
        for word in command.words
    )


def _is_command(text: str) -> bool:
    """Return whether a line is a prompt that names the user, a command after a prompt, or one that prints a listing."""
    if is_prompt(text):
        return True
    command = command_of(text)
    return command is not None and (command.prompted or is_listing(command))


def _listing_follows(lines: list[Line], at: int) -> bool:
    following = next((line.text for line in lines[at + 1 : at + 4] if not line.is_blank), "")
    return bool(_HEADING.match(following) or columns_of(following))


#: The end of an address before a word: no word that a terminal broke.
_GLUED = re.compile(r"[0-9][g-wyzG-WYZ]|[0-9][A-Za-z][g-wyzG-WYZ]")
#: A line without words, as between the parts of a patch.
_MARKS = re.compile(r"[\W_]{5,}|(?:\*{3}|-{3}) \d+(?:,\d+)? (?:\*{4}|-{4})")
#: A remark by the person who pasted.
_ANNOTATION = re.compile(r"\s*(?:#|//|;|<|\^|\(|-+>|=+>|\*\*)")


#: A remark that a chain has no rules.
_EMPTY = re.compile(r"\W*(?:empty|no rules?|none)\b[^.]{0,30}", re.IGNORECASE)


class _Reader:
    """Reads the listing of one table, line by line."""

    def __init__(self, lines: list[Line], at: int, command: Command | None) -> None:
        self.lines, self.first, self.at = lines, at, at
        self.last = at
        self.command = command
        self.layout: str | None = None
        #: the names of the columns have `opt`
        self.with_options = True
        #: by how many blanks the listing is indented
        self.indent = 0
        #: the built-in chains so far, and whether there was a user-defined chain between them
        self.builtin: list[str] = []
        self.own_chains = 0
        self.chain: str | None = None
        #: where the columns `source` and `destination` start
        self.places: tuple[int, int] | None = None
        #: rows lack their addresses
        self.blank = False
        self.rules: list[ListedRule] = []
        self.order: list[ChainItem | GapItem | int] = []
        #: the chains below whose headings stand the names of the columns, a rule or a remark that there is none
        self.begun: set[str] = set()
        self.with_columns = False
        #: the last row breaks off
        self.broken = False
        self.unread: list[int] = []
        self.warned: list[Warned] = []
        self.texts: list[str] = []

    def read(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.is_blank:
                self.at += 1
                continue
            if not (self._heading(line) if _HEADING.match(line.text) else self._other(line)):
                return
            self.last = self.at - 1

    def _heading(self, line: Line) -> bool:
        """Read the heading of a chain; False if it starts another table."""
        found = heading_of(line.text) or cut_heading_of(line.text)
        if found is None:
            return False
        name, policy, counters, references = found
        if policy is not None:
            if self.own_chains or begins_table(name, self.builtin):
                return False
            self.builtin.append(name)
        elif any(isinstance(item, ChainItem) and item.name == name for item in self.order):
            return False  # of another table, or of the other address family
        else:
            self.own_chains += 1
        self.chain, self.layout = name, None
        self.indent = len(line.text) - len(line.text.lstrip())
        self.order.append(ChainItem(name, policy, counters, line.number, references))
        self.texts.append(line.text)
        self.at += 1
        return True

    def _other(self, line: Line) -> bool:
        text = line.text
        if _COLUMNS.match(text):
            return self._columns()
        if line.is_gap:
            self.order.append(GapItem(self.chain, line.number, text.strip()))
            self.at += 1
            return True
        if warns_of_legacy(text.lstrip()):
            if self.rules and _listing_follows(self.lines, self.at):
                return False  # every run of iptables prints the warning once, so another listing begins
            self.warned.append(Warned(text.strip(), line.number))
            self.at += 1
            return True
        if _is_command(text) or text.lstrip().startswith(("*", "-A ", ":")):
            return False
        if text.startswith("+") and columns_of(text[1:], self.layout) is not None:  # added by a patch
            line = line._replace(text=text[1:], whole=line.whole[1:])
        return self._rule(line) or self._skip(line)

    def _begin(self) -> None:
        if self.chain is not None:
            self.begun.add(self.chain)

    def _columns(self) -> bool:
        """Read the names of the columns, which may be wrapped."""
        for more in range(_WRAPPED):
            text = " ".join(one.text for one in self.lines[self.at : self.at + more + 1])
            layout = layout_of(text)
            if layout is not None:
                self.layout = layout
                self.with_columns = True
                self._begin()
                self.with_options = " opt " in text
                self.places = (text.index("source"), text.index("destination")) if not more else None
                self.at += more + 1
                return True
        return False

    def _rule(self, line: Line) -> bool:
        """Read a rule and its wrapped lines; False if the line is not a rule."""
        found = [
            (unread, -more, text, columns, phrases)
            for more, text in self._joined(line)
            if (columns := columns_of(text, self.layout)) is not None
            for phrases in [read_phrases(columns.rest, columns.target)]
            for unread in [len(" ".join(phrases.unread))]
        ]
        filled = None
        if not found:
            filled = filled_row(line.whole, self.layout)
            columns = columns_of(filled, self.layout) if filled else None
            if columns is None:
                return False
            found = [(0, 0, line.text, columns, read_phrases(columns.rest, columns.target))]
        self.broken = filled is not None
        # join as many lines as form a readable rule; of an unreadable one, no more than necessary
        whole = [one for one in found if not one[0]]
        _, less, text, columns, phrases = (
            min(whole, key=lambda one: one[1]) if whole else max(found, key=lambda one: one[1])
        )
        self._begin()
        self.order.append(len(self.rules))
        self.rules.append(ListedRule(columns, phrases, line.number, text, self.chain))
        self.texts.append(text)
        self.at += 1 - less
        return True

    def _joined(self, line: Line) -> Iterator[tuple[int, str]]:
        """Yield a line alone and joined with possible wrapped lines: their number, and the text."""
        bare = without_addresses(line.text, self.layout, blank=self.blank)
        self.blank |= bare is not None
        blank = bare or (
            with_blank_column(line.text, self.places) if begins_row(line.text, self.layout) else None
        )
        if blank is not None:
            yield 0, blank
            return
        yield 0, line.text
        direct, spaced, glued = line.whole, line.text, False
        for more in range(1, _WRAPPED):
            if not self._may_go_on(self.at + more):
                return
            following = self.lines[self.at + more]
            glued = glued or _GLUED.search(direct[-1:] + self._unindented(following.whole)[:2]) is not None
            direct += self._unindented(following.whole)
            spaced = f"{spaced} {self._unindented(following.text)}"
            # a terminal breaks words at the end of a line, people and mail programs break between words
            texts = (direct, spaced) if len(line.whole) >= _FULL else (spaced, direct)
            yield from ((more, text) for text in texts if text is spaced or not glued)

    def _unindented(self, text: str) -> str:
        return text[min(self.indent, len(text) - len(text.lstrip())) :]

    def _may_go_on(self, at: int) -> bool:
        """Return whether a line may be the wrapped rest of a rule."""
        if at >= len(self.lines):
            return False
        line = self.lines[at]
        no_rest = (
            _HEADING.match(line.text) or _COLUMNS.match(line.text) or warns_of_legacy(line.text.lstrip())
        )
        if (
            _MARKS.fullmatch(line.text)
            or line.is_blank
            or line.is_gap
            or no_rest
            or begins_row(line.text, self.layout)
            or breaks_off(line.text, self.layout)
        ):
            return False
        return columns_of(line.text, self.layout) is None and not _is_command(line.text)

    def _skip(self, line: Line) -> bool:
        """Skip a line that is not a rule, if the listing continues after it."""
        if _EMPTY.fullmatch(line.text):
            self._begin()
            self.at += 1
            return True
        if self.chain is not None and _STUB.match(line.text):
            self.order.append(GapItem(self.chain, line.number, line.text.strip()))
            self.at += 1
            return True
        following = self.lines[self.at + 1 : self.at + 4]
        goes_on = any(_HEADING.match(one.text) or columns_of(one.text, self.layout) for one in following)
        if not goes_on:
            return False
        removed = line.text.startswith("-") and columns_of(line.text[1:], self.layout) is not None
        if not removed and (_looks_like_rule(line.text) or self._is_within(line)):
            self.order.append(GapItem(self.chain, line.number, line.text.strip()))
        else:
            self.unread.append(self.at)
        self.at += 1
        return True

    def _is_within(self, line: Line) -> bool:
        """Return whether an unreadable line is among the rules of a chain and is not a comment."""
        if self.layout is None or _ANNOTATION.match(line.text):
            return False
        following = next((one for one in self.lines[self.at + 1 :] if not one.is_blank), None)
        is_caption = following is not None and bool(
            _HEADING.match(following.text) or _is_command(following.text)
        )
        return not (is_caption and self.lines[self.at - 1].is_blank)

    # -- results ----------------------------------------------------------------------------------

    def segment(self) -> Segment:
        self._cut_ends()
        table = self._table()
        family = self._family()
        filtered = self.command.filtered if self.command else ""
        rules = Rules(table, family, filtered=filtered, printed=True)
        if self._is_cut(table) and self.order:
            if isinstance(self.order[-1], int) and not self.lines[self.last].ended:
                self.order.pop()  # its end may be missing
            self.order.append(GapItem(self.chain, self.lines[self.last].number, ""))
        elif self.broken or self._row_follows() or cut_heading_of(self.lines[self.last].text) is not None:
            self.order.append(GapItem(self.chain, self.lines[self.last].number + 1, ""))
        self._hide_cut_chains()
        rules.backend = backend_of(self.command)
        headed = any(isinstance(item, ChainItem) for item in self.order)
        named = None if headed else chain_of_rows(self.command, table, [row.columns for row in self.rules])
        rules.fragment = named is not None
        bare = next((one for one in self.rules if one.chain == "INPUT" and is_bare(one, family or 4)), None)
        for item in self.order:
            if isinstance(item, int):
                listed = self.rules[item]
                chain = listed.chain or named
                rules.items.append(rule_of(listed, chain, family or 4, table, for_lo=listed is bare))
            else:
                rules.items.append(item)
        verbose = any(row.columns.interfaces for row in self.rules) or "verbose" in (self.layout or "")
        return Segment(
            "iptables -L",
            f"{'ip6tables' if family == 6 else 'iptables'} -L{self._flags(verbose)} ({table})",
            self.first,
            self.last,
            [rules, *self.warned],
            self.unread,
            table,
        )

    def _hide_cut_chains(self) -> None:
        """Make the rules of chains unknown of which only the heading is there: iptables prints the columns below each.

        Where no heading has them but there are rules, the person who pasted has left them out.
        """
        if self.rules and not self.with_columns:
            return
        for place, item in reversed(list(enumerate(self.order))):
            if not isinstance(item, ChainItem) or item.name in self.begun:
                continue
            following = self.order[place + 1 : place + 2]
            if following and isinstance(following[0], GapItem) and following[0].chain == item.name:
                continue
            if item.name == "OUTPUT" and item.policy == "ACCEPT":
                del self.order[place]  # as if the text ended before it: it most probably accepts replies
            else:
                self.order.insert(place + 1, GapItem(item.name, item.line, ""))

    def _cut_ends(self) -> None:
        """Make the ends of rows unknown that a pager or a narrow window cut off, or where the text breaks off."""
        cut = without_cut_end(self.rules[-1]) if self.order and isinstance(self.order[-1], int) else None
        if cut is not None:
            self.rules[-1], self.broken = cut, True
        width = cut_width([(len(row.text), _ends_unread(row) or ends_cut(row.text)) for row in self.rules])
        for place, row in enumerate(self.rules if width is not None else ()):
            if len(row.text) == width:
                phrases = read_phrases(f"{row.columns.rest}...", row.columns.target)
                self.rules[place] = row._replace(phrases=phrases)

    def _is_cut(self, table: str) -> bool:
        """Return whether the text breaks off in this listing: it ends there, and chains are missing."""
        if (ended := self.lines[self.last].ended) and self.last + 1 < len(self.lines):
            return False
        shown = [item.name for item in self.order if isinstance(item, ChainItem)]
        called = {
            row.columns.target for row in self.rules if row.columns.target and leads_on(row.columns.target, 4)
        }
        return lacks_chains(table, shown, called, whole_line=ended)

    def _row_follows(self) -> bool:
        """Return whether the listing ends within a chain, at a rule of which only the beginning is there."""
        if self.chain is None or self.last + 1 >= len(self.lines):
            return False
        line = self.lines[self.last + 1]
        if line.is_blank or _is_command(line.text) or _ANNOTATION.match(line.text):
            return False
        return not line.ended or _looks_like_rule(line.text) or breaks_off(line.text, self.layout)

    def _flags(self, verbose: bool) -> str:
        flags = " -n" if any("0.0.0.0/0" in text or "::/0" in text for text in self.texts) else ""
        flags += " -v" if verbose else ""
        return flags + (" --line-numbers" if any(row.columns.position for row in self.rules) else "")

    def _family(self) -> Family | None:
        if self.command is not None and self.command.program.startswith("ip"):
            return 6 if self.command.program.startswith("ip6") else 4
        shown = [row.columns for row in self.rules]
        addresses = [text for columns in shown for text in (columns.source, columns.destination)]
        if any(":" in text for text in addresses):
            return 6
        if any(_IPV4.match(text) for text in addresses):
            return 4
        if any(columns.protocol.lstrip("!") in _ICMP6 for columns in shown):
            return 6
        options = any(columns.options for columns in shown)
        return 6 if shown and self.with_options and not options else None

    def _table(self) -> str:
        """Return the table, from the command, its chains, or its targets."""
        given = self.command.option("-t", "--table") if self.command else None
        if given in BUILTIN_CHAINS:
            return given or ""
        rows = [row.columns for row in self.rules]
        if self.command is None and not self.builtin and not self.own_chains and are_dockers_drops(rows):
            return "raw"
        return table_of(tuple(self.builtin), (columns.target for columns in rows))


def _looks_like_rule(text: str) -> bool:
    words = text.split()
    return begins_row(text, None) or (
        len(words) > 3
        and ("--" in words or sum(word in ("anywhere", "0.0.0.0/0", "::/0") for word in words) > 1)
    )


def _ends_unread(row: ListedRule) -> bool:
    """Return whether the last words of a row can't be read."""
    return bool(row.phrases.unread) and row.text.rstrip().endswith(row.phrases.unread)
