"""Reads the text of iptables-save, of files for iptables-restore, and of `iptables -S`, into a Ruleset.

It reads line by line: a line of a known shape is read by the plan for that shape, any other line by the grammar.
"""

from __future__ import annotations

from pathlib import Path

from iptsim.addresses import Family
from iptsim.dump import commands
from iptsim.dump.complaints import Complaints
from iptsim.dump.header import guess_family, read_header, warns_of_legacy
from iptsim.dump.open_tables import Tables
from iptsim.dump.rule_lines import RuleLines
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.syntax import read_line
from iptsim.dump.text import WANTED, clean, decode, reject_listing
from iptsim.errors import DumpSyntaxError, Span
from iptsim.extensions.listing import ListingForm
from iptsim.languages import message
from iptsim.reading import read_file

#: The number of bytes that iptables-restore reads of a line.
MAX_LINE = 10239


def load(
    path: str | Path,
    *,
    family: Family | None = None,
    lenient: bool = False,
    table: str = "filter",
    onto: Ruleset | None = None,
) -> Ruleset:
    """Read a dump from a file. The arguments are those of :func:`loads`.

    Raises:
        CaptureError: the file cannot be read, or is not text.
        DumpSyntaxError: iptables-restore would reject a line.
        DumpErrors: it would reject several lines.
    """
    return loads(
        decode(read_file(path), str(path), lenient),
        source=str(path),
        family=family,
        lenient=lenient,
        table=table,
        onto=onto,
    )


def loads(
    text: str,
    *,
    source: str = "<string>",
    family: Family | None = None,
    lenient: bool = False,
    table: str | None = None,
    onto: Ruleset | None = None,
    one_is_enough: bool = False,
    redacted: bool = False,
) -> Ruleset:
    """Read a dump from a text.

    Args:
        text: the output of `iptables-save`, `ip6tables-save` or `iptables -S`, or input for iptables-restore.
        source: the file's name, for messages.
        family: 4 or 6; by default, from the header or the addresses.
        lenient: skip lines that do not belong in a dump (prompts, other output), with a warning instead of an
            error. Invalid rules are errors nevertheless.
        table: the table of an `iptables -S` listing; by default, inferred from its chains with a policy.
        onto: existing rules: the text is applied to a copy of them, as `iptables-restore --noflush` does, and
            the result contains both.
        one_is_enough: stop at the first line that iptables-restore would reject.
        redacted: take conditions on redacted Ethernet addresses for unknown ones, with a warning; iptables-restore
            would reject them.

    Raises:
        DumpSyntaxError: iptables-restore would reject a line.
        DumpErrors: it would reject several lines.
    """
    return _Reader(source, family, lenient, table, onto, one_is_enough, redacted).read(text)


class _Reader:
    """The state of one reading."""

    def __init__(
        self,
        source: str,
        family: Family | None,
        lenient: bool,
        table: str | None,
        onto: Ruleset | None,
        one_is_enough: bool,
        redacted: bool,
    ) -> None:
        self.source = source
        self.wanted = onto.family if onto else family
        self.onto = onto is not None
        self.lenient = lenient
        self.redacted = redacted
        self.ruleset = commands.copy(onto) if onto else Ruleset(source=source)
        self.complaints = Complaints(source, self.ruleset.warnings, one_is_enough=one_is_enough)
        self.tables = Tables(self.ruleset, self.complaints, self.onto, table)
        #: lines that do not belong in a dump were skipped
        self.skipped = False

    def read(self, text: str) -> Ruleset:
        text = clean(text, self.complaints, self.lenient)
        self.complaints.text = text
        self.ruleset.family = self.wanted or guess_family(text)
        self.rules = RuleLines(self._form(), self.tables, self.complaints, redacted=self.redacted)
        self.rules.keep_known(self._read_lines(text))
        table = self.tables.table
        if table is not None:
            if not self.tables.listing:
                hint = message("expected COMMIT; was the file cut off?")
                self.complaints.add(
                    self.complaints.error(
                        message("table {name} has no COMMIT", name=table.name),
                        len(self.complaints.lines),
                        hint=hint,
                    )
                )
            self.tables.close()
        if self.skipped and not self.ruleset.tables:
            self.complaints.add(self.complaints.error(message("no line belongs to a dump"), 1, hint=WANTED))
        if not self.onto:
            self.ruleset.trailer = tuple(self.tables.comments)
        if self.complaints.errors and not self.lenient:
            reject_listing(text, self.source)
        self.complaints.close()
        return self.ruleset

    def _form(self) -> ListingForm:
        return ListingForm.of(self.ruleset.version, self.ruleset.backend, self.ruleset.family)

    def _read_lines(self, text: str) -> int:
        """Read the lines, and return their number."""
        tables = self.tables
        at = number = 0
        while at < len(text) and not self.complaints.enough:
            if tables.table is not None and not tables.skipping:
                at, number = self.rules.read_known(text, at, number)
                if at == len(text):
                    break
            end = text.find("\n", at)
            if end < 0:
                end = len(text)
            number += 1
            self._read_line(text[at:end], number)
            at = end + 1
        return number

    def _read_line(self, line: str, number: int) -> None:
        tables, first = self.tables, line[:1]
        open_table = tables.table is not None and not tables.skipping
        if line and first in "-:[" and open_table and self.rules.read_alike(line, number):
            return
        if first == "#":
            self._comment(line, number)
        elif self.lenient and line and first not in "*:[-" and line != "COMMIT":
            self.skipped = True
            self.complaints.warn(number, message("skipped: not a line of a dump"))
        elif first == "*" or line == "COMMIT" or (line and not tables.skipping):
            self._by_grammar(line, number)

    def _comment(self, line: str, number: int) -> None:
        tables, complaints = self.tables, self.complaints
        header = read_header(line)
        if header is not None:
            tables.foreign = header.family not in (None, self.ruleset.family)
            if tables.foreign and "family" not in complaints.named:
                complaints.named.add("family")
                complaints.warn(
                    number,
                    message(
                        "ignored the IPv{family} tables from here on; this is the IPv{family2} ruleset",
                        family=header.family or 4,
                        family2=self.ruleset.family,
                    ),
                )
            if not tables.foreign and self.ruleset.version is None and not self.onto:
                self.ruleset.version, self.ruleset.backend = header.version, header.backend
                self.rules.use(self._form())
        elif warns_of_legacy(line):
            complaints.warn(
                number,
                message(
                    "the host also has rules of iptables-legacy; they apply too and are not in this dump"
                ),
            )
        if tables.table is None and not tables.foreign and not self.onto:
            tables.comments.append(line)

    def _by_grammar(self, text: str, number: int) -> None:
        """Read one line with the grammar, and record its errors."""
        try:
            if len(text) > MAX_LINE:
                raise DumpSyntaxError(
                    message(
                        "the line is longer than the {max_line} characters that iptables-restore reads",
                        max_line=MAX_LINE,
                    ),
                    Span(self.source, number, MAX_LINE, MAX_LINE + 1),
                    text[: MAX_LINE + 1],
                )
            line = read_line(text, self.source, number)
            if line.kind == "table":
                self.tables.begin(line, number)
            elif line.kind == "commit":
                self.tables.commit(number)
            elif self.tables.skipping:
                return
            elif line.kind == "chain":
                self.tables.declare(line, number)
            elif line.kind == "rule":
                self.rules.read(line, text, number)
        except DumpSyntaxError as error:
            self.complaints.add(error)
