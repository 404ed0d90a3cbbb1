"""The exceptions of iptsim, and the source positions that they point at.

Every error that a user can cause is an :class:`IptsimError`. Its text says what is wrong, where, and
what to do; the command line prints it on standard error and exits with status 2. It carries a
:class:`~iptsim.languages.Message`, which `str` renders in the current language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Longest piece of a source line that an error shows, in characters.
CONTEXT = 160


class Span(NamedTuple):
    """A place in a source text.

    Attributes:
        source: the file's name, or ``<string>``.
        line: line number, from 1.
        start: first column, from 0 (shown from 1).
        end: column after the last character.
    """

    source: str
    line: int
    start: int = 0
    end: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.start + 1}"


def printable(text: object) -> str:
    r"""Return a text with control characters made visible, so that it is inert on a terminal. A message is rendered.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def pointed(message: object, span: Span, text: str = "", hint: object = "") -> str:
    """Return the text of an error, with the source line and a caret below the place."""
    lines = [printable(f"{span}: {message}")]
    if text:
        lines += marked_line(text, span.start, span.end)
    if hint:
        lines.append(f"  {printable(hint)}")
    return "\n".join(lines)


def marked_line(text: str, start: int, end: int) -> list[str]:
    """Return a line as an error shows it, and a caret below the columns from `start` to before `end`."""
    # a window of the line around the place
    first = max(0, start - CONTEXT // 2)
    shown = text[first : first + CONTEXT]
    lead = printable(shown[: start - first])
    marked = printable(shown[start - first : max(end, start + 1) - first])
    return [f"    {printable(shown)}", "    " + " " * len(lead) + "^" + "~" * (len(marked) - 1)]


class IptsimError(Exception):
    """Root of all errors that iptsim raises on purpose. Its text is inert on a terminal."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


class UsageError(IptsimError, ValueError):
    """A question is not valid: unknown name, bad field, contradictory options."""


class CaptureError(IptsimError):
    """A file of a capture is missing, damaged or not what its name says."""


class WalkLimitError(IptsimError):
    """A walk took more steps than any real ruleset needs: the rules branch or jump without end."""


class MissingExtraError(IptsimError, ImportError):
    """A package that an optional part of iptsim needs is not installed."""


class RulesetError(IptsimError):
    """A ruleset that the kernel would reject: a jump to a missing chain, a loop, jumps nested too deep."""


class PointedError(IptsimError):
    """An error at a place of a text.

    Attributes:
        message: what is wrong: a message, or a text.
        span: where.
        text: the source line.
        hint: what was expected, or the nearest known word, as a message or a text; may be empty.
    """

    def __init__(self, message: object, span: Span, text: str = "", hint: object = "") -> None:
        super().__init__(message, span, text, hint)
        self.message, self.span, self.text, self.hint = message, span, text, hint

    def __str__(self) -> str:
        return pointed(self.message, self.span, self.text, self.hint)


class DumpSyntaxError(PointedError):
    """A line of a dump that iptables-restore would reject."""


class FileSyntaxError(PointedError, CaptureError):
    """A file of settings that its program would reject."""


class DumpErrors(IptsimError):
    """Several errors of one dump, in the order of its lines.

    Attributes:
        errors: the errors that are shown.
        more: how many more were found but left out.
        ending: a message that says so.
    """

    def __init__(self, errors: Sequence[IptsimError], more: int = 0, ending: object = "") -> None:
        super().__init__(errors, more, ending)
        self.errors, self.more, self.ending = errors, more, ending

    def __str__(self) -> str:
        texts = [str(error) for error in self.errors]
        if self.more:
            texts.append(str(self.ending))
        return "\n".join(texts)
