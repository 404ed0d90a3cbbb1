"""The options of an extension: how each is written, read and printed, and what it tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from iptsim.extensions.constraints import Allowed, Field, named
from iptsim.languages import Text

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_SPECIAL = re.compile(r"[\"\\']")


def quote(text: str) -> str:
    r"""Quote a word as iptables-save does (xtables_save_string in libxtables).

    >>> quote("web"), quote("IN drop: "), quote('say "hi"')
    ('web', '"IN drop: "', '"say \\"hi\\""')
    """
    if _PLAIN.fullmatch(text):
        return text
    return in_quotes(text)


def in_quotes(text: str) -> str:
    r"""Put a word between quotes, whether it needs them or not.

    >>> in_quotes("web"), in_quotes('say "hi"')
    ('"web"', '"say \\"hi\\""')
    """
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(r"\\\g<0>", text)
    return f'"{text}"'


@dataclass(frozen=True, slots=True)
class Value:
    """How the words after an option are read and printed.

    Attributes:
        expected: what is expected, for error messages: "a port or a range of ports (80, 1024:65535)".
        parse: the words -> the value; raises ValueError with a reason. With `needs_family`, the
            address family (4 or 6) is passed last.
        format: the value -> its words, quoted, as iptables-save prints them.
        words: how many words the option takes.
        optional: the words may be missing; the option then sets its field to its constant.
        form: the language of each word, a start symbol of `grammars/values.lark`, in which `{family}` is
            the address family; empty for words whose form only `parse` knows.
        plain: the language of the common words that `parse` always accepts; these are read when the value is first
            used.
    """

    expected: Text
    parse: Callable[..., Any]
    format: Callable[[Any], str] = str
    words: int = 1
    needs_family: bool = False
    optional: bool = False
    form: str = ""
    plain: str = ""

    def read(self, words: Iterable[str], family: int) -> Any:
        """Return the value that `words` mean.

        Raises:
            ValueError: they have no meaning; the text says why.
        """
        if self.needs_family:
            return self.parse(*words, family)
        return self.parse(*words)


#: The values that an option allows, from its value.
Relation = Callable[[Any], Allowed]


class Option(NamedTuple):
    """One option of an extension.

    Attributes:
        flag: as iptables-save prints it: "--dport", "-s".
        field: the model's field that it sets.
        value: how its words are read; None for an option without words, which sets the field to True.
        negatable: `!` may precede it.
        aliases: other spellings.
        constant: what an option without words sets its field to.
        idle: the value that restricts nothing, so that iptables drops the option, unless it is negated.
        reads: the field of the packet that it tests; None for an option that tests none on its own.
        relation: its value -> the values of that field that satisfy it.
        phrase: its value, and whether it is negated -> its wording, which completes "packets ...".
        listed: what `iptables -nL` prints for it: a template (:func:`~iptsim.extensions.listing.listed`), or a
            function of its value and of whether it is negated.
    """

    flag: str
    field: str
    value: Value | None = None
    negatable: bool = False
    aliases: tuple[str, ...] = ()
    constant: Any = True
    idle: Any = None
    reads: Field | None = None
    relation: Relation = named
    phrase: Callable[[Any, bool], Text] | None = None
    listed: str | Callable[[Any, bool], str] = ""

    def text(self, value: Any) -> str:
        """Return a value as iptables-save prints it, without the flag."""
        return self.value.format(value) if self.value else ""


class Given(NamedTuple):
    """An option in a rule: the row, its value, whether a `!` precedes it."""

    option: Option
    value: Any
    negated: bool = False
