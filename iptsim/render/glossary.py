"""The terms of the glossary that occur in an answer: what `--teach` adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from iptsim.glossary import Word
from iptsim.languages import say
from iptsim.render.console import Output


def print_words(words: Sequence[Word], console: Output) -> None:
    """Print terms with their meanings, one per line."""
    for line in _lines(words):
        console.show(line)


def _lines(words: Sequence[Word]) -> Iterator[Text]:
    if words:
        yield Text("")
        yield Text(say("Terms used"), "bold")
    for word in words:
        yield Text.assemble("  ", (word.term, "bold"), f"   {word.meaning}")
