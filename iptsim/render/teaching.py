"""The field's words that occur in an answer, below it: what `--teach` adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from iptsim.glossary import Word
from iptsim.languages import say, told


def teaching_lines(words: Sequence[Word]) -> Iterator[Text]:
    """Yield the lines that explain words, each in one line."""
    if words:
        yield Text("")
        yield Text(say("The words in it"), "bold")
    for word in words:
        yield Text.assemble("  ", (word.term, "bold"), f"   {told(word.meaning)}")
