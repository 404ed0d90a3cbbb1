"""Words of free text that the kernel keeps in a field of fixed size; iptables cuts off what is too long."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.extensions.base import Value, quote
from iptsim.languages import Text, message


def cut(text: str, longest: int) -> str:
    """Return the part of `text` that fits in `longest` bytes.

    >>> cut("abcdef", 4)
    'abcd'
    """
    return text.encode(errors="surrogateescape")[:longest].decode(errors="ignore")


def text_value(expected: Text, longest: int, form: Callable[[str], str] = quote) -> Value:
    """Make the value of an option that takes a word of up to `longest` bytes.

    Args:
        expected: what belongs there.
        longest: how many bytes the kernel keeps.
        form: how it is printed, in quotes where needed or bare.
    """

    def parse(text: str) -> str:
        if not text:
            raise ValueError(message("the text is empty"))
        if "\n" in text:
            raise ValueError(message("a line break is not allowed here"))
        return cut(text, longest)

    return Value(expected, parse, form)
