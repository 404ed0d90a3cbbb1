"""Free text that the kernel stores in a field of fixed size; iptables truncates what is too long."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.extensions.options import Value, quote
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
        expected: what is expected, for error messages.
        longest: the maximum number of bytes that the kernel stores.
        form: how it is printed: in quotes if needed, or bare.
    """

    def parse(text: str) -> str:
        if not text:
            raise ValueError(message("the text is empty"))
        if "\n" in text:
            raise ValueError(message("a line break is not allowed here"))
        return cut(text, longest)

    return Value(expected, parse, form)
