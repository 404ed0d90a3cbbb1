"""The terms of the glossary that occur in an answer: what `--teach` adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from iptsim.glossary import Term
from iptsim.languages import say
from iptsim.render.console import Output


def print_terms(terms: Sequence[Term], console: Output) -> None:
    """Print terms with their meanings, one per line."""
    for line in _lines(terms):
        console.show(line)


def _lines(terms: Sequence[Term]) -> Iterator[Text]:
    if terms:
        yield Text("")
        yield Text(say("Terms used"), "bold")
    for term in terms:
        yield Text.assemble("  ", (term.term, "bold"), f"   {term.meaning}")
