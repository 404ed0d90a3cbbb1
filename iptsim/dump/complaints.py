"""The errors and warnings found while a text is read, up to a limit of each kind."""

from __future__ import annotations

from functools import cached_property

from iptsim.dump.extension_names import nearest_match, nearest_target
from iptsim.dump.recipe import Hint
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import DumpWarning
from iptsim.errors import DumpErrors, DumpSyntaxError, Span
from iptsim.languages import Text, message, message_many

#: The number of errors of one dump that are shown.
MAX_ERRORS = 10
#: The reader gives up after this many further errors.
MAX_COUNTED = 1000
#: The number of warnings about rules that the kernel rejects, and about unknown extensions.
MAX_REFUSED = MAX_UNKNOWN = 10


class Complaints:
    """The errors and warnings of one reading.

    Args:
        source: the file's name.
        warnings: receives the warnings.
        one_is_enough: whether it is pointless to continue after an error.

    Attributes:
        text: the whole text.
        named: the subjects of warnings that are given only once: "family", and unknown extensions as in the rule.
    """

    def __init__(self, source: str, warnings: list[DumpWarning], *, one_is_enough: bool = False) -> None:
        self.source = source
        self.one_is_enough = one_is_enough
        self.warnings = warnings
        self.text = ""
        self.errors: list[DumpSyntaxError] = []
        self.more_errors = 0
        self.refused = 0
        self.unknown = 0
        self.named: set[str] = set()
        #: the number of rules with redacted conditions, and the line of the first
        self.redacted = self.first_redacted = 0

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text."""
        lines = self.text.split("\n")
        return lines if lines[-1] else lines[:-1]

    @property
    def enough(self) -> bool:
        """Whether there are so many errors that it is pointless to continue."""
        return self.more_errors >= MAX_COUNTED or (self.one_is_enough and bool(self.errors))

    def error(
        self, message: Text, number: int, columns: tuple[int, int] | None = None, hint: Hint = ""
    ) -> DumpSyntaxError:
        """Return an error in some columns of a line, or in the whole line."""
        text = self.lines[number - 1]
        if callable(hint):
            hint = hint() if len(self.errors) < MAX_ERRORS else ""
        return DumpSyntaxError(message, Span(self.source, number, *(columns or (0, len(text)))), text, hint)

    def add(self, error: DumpSyntaxError) -> None:
        """Add an error; beyond the limit, only count it."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(error)
        else:
            self.more_errors += 1

    def warn(self, number: int, text: Text) -> None:
        """Add a warning about a line."""
        self.warnings.append(DumpWarning(text, number))

    def warn_refused(self, rule: Rule) -> None:
        """Warn about the first few rules that the kernel rejects."""
        self.refused += 1
        if self.refused <= MAX_REFUSED:
            self.warn(
                rule.line,
                message(
                    "{refused}; the kernel would reject this rule and iptables-restore would fail; here the rule "
                    "is ignored",
                    refused=rule.refused,
                ),
            )

    def warn_unknown(self, name: str, number: int) -> None:
        """Warn once about each of the first few unknown extensions.

        Args:
            name: as in the rule: "-m NAME" or "-j NAME".
            number: the number of the line.
        """
        if name in self.named:
            return
        self.named.add(name)
        self.unknown += 1
        if self.unknown > MAX_UNKNOWN:
            return
        hint = nearest_match(name[3:]) if name.startswith("-m") else nearest_target(name[3:])
        text = message("iptsim does not know {name}; its effect is left open", name=name)
        self.warn(number, message("{text} ({hint})", text=text, hint=hint) if hint else text)

    def note_redacted(self, number: int) -> None:
        """Count a rule with redacted conditions, for one warning about all of them.

        Args:
            number: the number of its line.
        """
        self.redacted += 1
        self.first_redacted = self.first_redacted or number

    def close(self) -> None:
        """Add the numbers of further errors and warnings of each kind.

        Raises:
            DumpSyntaxError: there was an error.
            DumpErrors: there were several.
        """
        if self.refused > MAX_REFUSED:
            text = message(
                "... and {count} more rules that the kernel would reject", count=self.refused - MAX_REFUSED
            )
            self.warnings.append(DumpWarning(text))
        if self.unknown > MAX_UNKNOWN:
            text = message("... and {count} more unknown extensions", count=self.unknown - MAX_UNKNOWN)
            self.warnings.append(DumpWarning(text))
        if self.redacted:
            text = message_many(
                "the Ethernet address in this rule is redacted; that condition is assumed to be unknown",
                "the Ethernet addresses in {count} rules are redacted, here for the first time; those conditions are "
                "assumed to be unknown",
                self.redacted,
            )
            self.warn(self.first_redacted, text)
        self.errors.sort(key=lambda error: error.span.line)
        if len(self.errors) == 1 and not self.more_errors:
            raise self.errors[0]
        if self.errors:
            ending = message_many(
                "... and {count} more error", "... and {count} more errors", self.more_errors
            )
            raise DumpErrors(self.errors, self.more_errors, ending)
