"""What is wrong with a text, and what is odd in it: gathered while it is read, and of each kind only so much."""

from __future__ import annotations

from iptsim.dump.binder import nearest_match, nearest_target
from iptsim.dump.recipe import Hint
from iptsim.dump.ruleset import Rule
from iptsim.errors import DumpErrors, DumpSyntaxError, Span, printable
from iptsim.languages import message_many

#: How many errors of one dump are shown.
MAX_ERRORS = 10
#: After how many further ones the reader gives up.
MAX_COUNTED = 1000
#: How many rules that the kernel refuses, and extensions that iptsim does not know, are named.
MAX_REFUSED = MAX_UNKNOWN = 10


class Complaints:
    """The errors and warnings of one reading.

    Args:
        source: the file's name.
        warnings: where warnings go.

    Attributes:
        lines: of the text.
        named: what was said once and for all: "family", and unknown extensions as a rule names them.
    """

    def __init__(self, source: str, warnings: list[str]) -> None:
        self.source = source
        self.warnings = warnings
        self.lines: list[str] = []
        self.errors: list[DumpSyntaxError] = []
        self.more_errors = 0
        self.refused = 0
        self.unknown = 0
        self.named: set[str] = set()

    @property
    def enough(self) -> bool:
        """Whether there are so many errors that reading on is of no use."""
        return self.more_errors >= MAX_COUNTED

    def error(
        self, message: str, number: int, columns: tuple[int, int] | None = None, hint: Hint = ""
    ) -> DumpSyntaxError:
        """Return an error in a line: in some of its columns, or in all of it."""
        text = self.lines[number - 1]
        if not isinstance(hint, str):
            hint = hint() if len(self.errors) < MAX_ERRORS else ""
        return DumpSyntaxError(message, Span(self.source, number, *(columns or (0, len(text)))), text, hint)

    def add(self, error: DumpSyntaxError) -> None:
        """Note an error; of further ones only how many."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(error)
        else:
            self.more_errors += 1

    def warn(self, number: int, text: str) -> None:
        """Warn of a line."""
        self.warnings.append(printable(f"line {number}: {text}"))

    def warn_refused(self, rule: Rule) -> None:
        """Say that a rule is none for the kernel, of the first few."""
        self.refused += 1
        if self.refused <= MAX_REFUSED:
            self.warn(
                rule.line,
                f"{rule.refused}; the kernel refuses such a rule, and iptables-restore fails;"
                " here packets pass the rule by",
            )

    def warn_unknown(self, name: str, number: int) -> None:
        """Say once that an extension is unknown, of the first few.

        Args:
            name: as the rule names it: "-m NAME" or "-j NAME".
            number: the line's.
        """
        if name in self.named:
            return
        self.named.add(name)
        self.unknown += 1
        if self.unknown > MAX_UNKNOWN:
            return
        hint = nearest_match(name[3:]) if name.startswith("-m") else nearest_target(name[3:])
        text = f"iptsim does not know {name}; what it does stays open"
        self.warn(number, f"{text} ({hint})" if hint else text)

    def close(self) -> None:
        """Say how much more there was of each kind.

        Raises:
            DumpSyntaxError: there was an error.
            DumpErrors: there were several.
        """
        if self.refused > MAX_REFUSED:
            self.warnings.append(f"... and {self.refused - MAX_REFUSED} more rules that the kernel refuses")
        if self.unknown > MAX_UNKNOWN:
            more = self.unknown - MAX_UNKNOWN
            self.warnings.append(f"... and {more} more extensions that iptsim does not know")
        self.errors.sort(key=lambda error: error.span.line)
        if len(self.errors) == 1 and not self.more_errors:
            raise self.errors[0]
        if self.errors:
            ending = message_many(
                "... and {count} more error", "... and {count} more errors", self.more_errors
            )
            raise DumpErrors(self.errors, self.more_errors, ending)
