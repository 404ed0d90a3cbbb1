"""The wording of an option and its value, which completes "packets ...": "to port 80", "whose mark is not 0x1"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iptsim.languages import Filling, Text, message, message_joined


@dataclass(frozen=True, slots=True)
class Phrase:
    """The wording of an option.

    Attributes:
        plain: a literal: the English text, with `{value}` for the value, and `{name}` for `name`.
        negated: the same after a `!`; empty for "not " and the plain text.
        show: how the value is shown.
        name: the name of the field.
    """

    plain: str
    negated: str = ""
    show: Callable[[Any], Filling] = str
    name: Text = ""

    def __call__(self, value: Any, negated: bool) -> Text:
        """Return the words for a value."""
        template = self.negated if negated and self.negated else self.plain
        filled = {"value": self.show(value), "name": self.name}
        words = message(template, **{name: filled[name] for name in filled if f"{{{name}" in template})
        return not_if(negated and not self.negated, words)


def not_if(negated: bool, phrase: Text) -> Text:
    """Return a phrase, negated if a `!` precedes its option."""
    return message("not {phrase}", phrase=phrase) if negated else phrase


def join_phrases(joint: str, *phrases: Text) -> Text:
    """Join phrases with `joint`, itself a message, leaving out empty ones."""
    given = [phrase for phrase in phrases if phrase]
    return given[0] if len(given) == 1 else message_joined(joint, given)
