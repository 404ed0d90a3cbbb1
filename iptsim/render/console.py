"""The terminal, or the file, that answers are printed to."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from iptsim.errors import printable
from iptsim.languages import say

if TYPE_CHECKING:
    from rich.table import Table

#: Width of a plain text for tickets, in columns.
PLAIN_WIDTH = 78
#: How many columns a line may grow when its arrows are put into ASCII.
_GROWTH = 3
#: ASCII replacements for other signs, in a plain text for tickets.
_ASCII = str.maketrans(
    {
        "→": "->", "⇒": "=>", "≠": "!", "…": "...", "–": "-", "·": "-", "✓": "+", "✗": "x", "●": "*", "○": "o",
        "─": "-", "━": "-", "│": "|", "├": "|", "└": "`", "╴": "-", "╵": "|", "╶": "-", "╷": "|",
        "“": '"', "”": '"', "‘": "'", "’": "'",
    }
)  # fmt: skip
#: A word with the space before it: an option of a command together with its value; of scripts without spaces, each
#: character together with the punctuation around it. Compiled when a line needs breaking, as large ranges take
#: milliseconds.
_WORD = (
    r"\s*(?:(?:! )?--?[A-Za-z][\w-]*(?=[\s\u2e80-\uffef]|$)(?: (?!-)[^\s\u2e80-\uffef]+)?"
    r"|[（「『《]*(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+))[，。、；：！？）」』》]*"
)
#: The labels at the beginning of a line: "Decided by   ", "    3  ".
_LABEL = re.compile(r"\s*(?:\S+(?: \S+)?)?\s{2,}")
_LONGEST_LABEL, _HANGING = 16, 2
#: Longer lines of prose are hard to read, however wide the terminal.
_PROSE = 100


def inert(text: Text) -> Text:
    """Return a text with control characters made visible, as a last line of defence; it then loses its colours."""
    safe = "\n".join(map(printable, text.plain.split("\n")))
    return text if safe == text.plain else Text(safe)


def flow(line: Text, width: int) -> Iterator[Text]:
    """Yield a line broken between words to `width` columns; continuation lines are indented below its text.

    >>> [piece.plain for piece in flow(Text("Assumed   that nothing listens there"), 24)]
    ['Assumed   that nothing', '          listens there']
    """
    label = _LABEL.match(line.plain)
    hanging = cell_len(label[0]) if label and label[0].strip() else 0
    if not 0 < hanging <= _LONGEST_LABEL:
        lead = len(line.plain) - len(line.plain.lstrip())
        hanging = lead + _HANGING if lead else 0
        width = width if lead else min(width, _PROSE)
    breaks, column = [], 0
    for word in re.finditer(_WORD, line.plain):
        if column and column + cell_len(word[0].rstrip()) > width:
            breaks.append(word.start())
            column = hanging + cell_len(word[0].lstrip())
        else:
            column += cell_len(word[0])
    first, *others = line.divide(breaks)
    first.rstrip()
    yield first
    for piece in others:
        piece.rstrip()
        start = len(piece.plain) - len(piece.plain.lstrip())
        yield Text(" " * hanging) + piece[start:]


def assumed_lines(sentences: Iterable[object]) -> Iterator[Text]:
    """Yield the lines that show what an answer assumes, below an empty one; none if it assumes nothing."""
    for number, sentence in enumerate(sentences):
        if not number:
            yield Text("")
        yield Text.assemble((say("Assumed") + "   ", "dim"), printable(sentence))


def is_plain(console: Console) -> bool:
    """Return whether plain text for a ticket is wanted."""
    return isinstance(console, Output) and console.plain


def print_line(console: Console, line: Text) -> None:
    """Print a line of an answer: broken between words on a terminal, whole into a file.

    A line that must not be broken, such as a command, is left to the terminal to wrap.
    """
    text = inert(line)
    wraps = is_plain(console) or (console.is_terminal and not line.no_wrap)
    for piece in flow(text, console.width) if wraps else (text,):
        console.print(piece, soft_wrap=True, highlight=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table, into a file without spaces at the ends of its lines."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    console.file.write(re.sub(r" +$", "", captured.get(), flags=re.MULTILINE))


class _AsciiFile:
    """Standard output in ASCII, without spaces at the ends of lines."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write a text."""
        return self._file.write(re.sub(r" +\n", "\n", text.translate(_ASCII)))

    def flush(self) -> None:
        """Write what is still buffered."""
        self._file.flush()


class Output(Console):
    """Standard output; colours only on a terminal, and `NO_COLOR` respected.

    Args:
        asked: the words of the command line, for an answer as plain text for a ticket: without colours, in ASCII except
            for names, no line over 78 columns, preceded by the command; None for normal output.
        program: name and version of the program, for that text.
    """

    def __init__(self, asked: Sequence[str] | None = None, program: str = "iptsim") -> None:
        self.plain = asked is not None
        self._bare = False
        if asked is None:
            super().__init__(file=sys.stdout, highlight=False, force_jupyter=False)
            self._bare = self.color_system is None and not self.is_terminal
            return
        file: Any = _AsciiFile(sys.stdout)
        super().__init__(
            file=file, highlight=False, width=PLAIN_WIDTH - _GROWTH, color_system=None, force_terminal=False
        )
        command = printable(f"$ iptsim {shlex.join(word for word in asked if word != '--plain')}")
        lines = textwrap.wrap(
            command, PLAIN_WIDTH - 2, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )
        self.print(Text(" \\\n".join(lines)), soft_wrap=True)
        self.print(Text(f"# answered by {program}\n"), soft_wrap=True)

    def show(self, text: Text) -> None:
        """Print a line of an answer; one without colours and line breaks needs nothing from rich."""
        if self._bare:
            self.file.write(f"{inert(text).plain}\n")
            self.file.flush()
        else:
            print_line(self, text)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print objects; the contents of a dump reach the terminal only as inert text."""
        super().print(*(inert(one) if isinstance(one, Text) else one for one in objects), **options)

    def on_broken_pipe(self) -> NoReturn:
        """Let the command line handle a closed pipe."""
        raise BrokenPipeError


def padded(text: str, width: int) -> str:
    """Return a text padded to a number of columns; ideographs take two."""
    return text + " " * (width - cell_len(text))
