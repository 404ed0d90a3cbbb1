"""Makes the model of an extension from the words of its options; equal words share one model.

Models that can wait are only checked, and made on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from iptsim.extensions.base import Extension, Match, Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Given, Option, Value
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.values import NoSuchWord
from iptsim.grammar import Malformed, check_form, pattern
from iptsim.languages import Text, message, message_of, text_of

_Parse = Callable[..., Any]
#: Returns whether a word is in the language of a value.
_Form = Callable[[str], Any]

#: The correct form, for an error message; a function if it is expensive to compute.
Hint = Text | Callable[[], Text]


class Misread(Exception):
    """An invalid value.

    Attributes:
        message, hint, item: as in :class:`BindError`.
        value: its index among the values of the step, None for the options as a whole.
    """

    def __init__(
        self,
        message: Text,
        value: int | None = None,
        hint: Hint = "",
        item: str = "",
        column: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.value = value
        self.hint = hint
        self.item = item
        self.column = column


class Recipe:
    """Makes the model of an extension from the values of given options.

    Args:
        extension: the model's class.
        rows: the options in written order, whether each is negated, and its number of words.
        form: the address family, and the version of iptables that wrote the dump.

    Raises:
        ValueError: the options do not go together.
    """

    def __init__(
        self, extension: type[Extension], rows: tuple[tuple[Option, bool, int], ...], form: ListingForm
    ) -> None:
        self.extension = extension
        self.form = form
        self.rows = rows
        self.memo: dict[Any, Any] = {}
        #: how iptables-save prints them
        self.saved: dict[Any, str] = {}
        #: the values that :meth:`accept` has accepted
        self.checked: set[Any] = set()
        #: for each option: its parser, the parser's arguments besides the words, the number of words, constant, form
        self.readers: list[tuple[_Parse, tuple[int, ...], int, Any, _Form | None]] = [
            (
                option.value.parse if option.value else str,
                (form.family,) if option.value and option.value.needs_family else (),
                count,
                option.constant,
                pattern("values", name).fullmatch if (name := _form(option, form.family)) else None,
            )
            for option, _, count in rows
        ]
        #: the extension's own gather() uses the values, so it must be called each time
        self.gathers = extension.gather.__func__ is not Extension.gather.__func__  # type: ignore[attr-defined]
        #: the fields for which the value sets no condition
        self.idle = [(row[0].field, row[0].idle) for row in rows if row[0].idle is not None and not row[1]]
        #: the class determines which parts a version of iptables keeps
        self.kept = extension.kept_by is not Extension.kept_by
        #: the fields that do not depend on words
        self.fixed: dict[str, Any] = {}
        if not self.gathers:
            fields = extension.gather(Given(option, option.constant, negated) for option, negated, _ in rows)
            self.fixed = {name: fields[name] for name in fields if name == "negated"}
        #: for each option: the language of those values that are always valid, if it has one word; or ""
        self.plain = [_plain(row[0], form.family) if row[2] == 1 else "" for row in rows]
        #: if all options have such a language: for each, the function that accepts words of it
        self.accepts: list[_Form] = []
        if all(self.plain):
            self.accepts = [pattern("values", name).fullmatch for name in self.plain]

    def can_wait(self, protocol: int | None) -> bool:
        """Return whether a model can be made later, on first use.

        Whether its values are compatible, and where the rule is allowed, must be the same for all lines of the shape.

        Args:
            protocol: the protocol that the rule matches, without `!`.
        """
        extension = self.extension
        if self.gathers or self.kept:
            return False
        if protocol in extension.alike_beside:
            return True
        return not _limits_itself(extension) and extension.check is Extension.check

    def check(self, key: Any) -> None:
        """Check values whose model can be made later.

        Raises:
            Misread: a value is invalid.
        """
        texts = (key,) if isinstance(key, str) else key
        if self.accepts and all(map(_matches, self.accepts, texts)):
            return
        self.values(texts)
        self.checked.add(key)

    def make(self, texts: Sequence[str]) -> Any:
        """Read the values, and return the model.

        Raises:
            Misread: a value is invalid, or the values do not go together.
        """
        values = self.values(texts)
        fields = {**self.fixed, **{row[0].field: value for row, value in zip(self.rows, values, strict=True)}}
        try:
            if self.gathers:
                given = (Given(row[0], value, row[1]) for row, value in zip(self.rows, values, strict=True))
                fields = self.extension.gather(given)
            for name, idle in self.idle:
                if fields.get(name) == idle:
                    fields[name] = None
            model = self.extension(**fields)
            return model.kept_by(self.form) if self.kept else model
        except ValueError as error:
            raise Misread(text_of(error)) from None

    def values(self, texts: Sequence[str]) -> list[Any]:
        """Read each value on its own.

        Raises:
            Misread: a value is invalid.
        """
        values: list[Any] = []
        at = 0
        try:
            for parse, more, count, constant, form in self.readers:
                if form and not (count == 1 and form(texts[at])):
                    for text in texts[at : at + count]:
                        check_form(_form(self.rows[len(values)][0], self.form.family), text)
                if count == 1:
                    value = parse(texts[at], *more)
                elif count:
                    words = texts[at : at + count]
                    if any(word[:1] in ("-", "!") for word in words[1:]):
                        raise ValueError(message("expected {count} arguments here", count=count))
                    value = parse(*words, *more)
                else:
                    value = constant
                at += count
                values.append(value)
        except NoSuchWord as error:
            wanted, near = expected(self.rows[len(values)][0]), error.nearest
            raise Misread(text_of(error), at, lambda: near() or wanted, error.word) from None
        except Malformed as error:
            raise Misread(text_of(error), at, expected(self.rows[len(values)][0]), column=error.at) from None
        except ValueError as error:
            raise Misread(text_of(error), at, expected(self.rows[len(values)][0])) from None
        return values


#: The methods by which an extension's options may restrict where it is allowed.
_LIMITS = ("allowed_tables", "allowed_hooks", "allowed_protocols")


def _limits_itself(extension: type[Extension]) -> bool:
    """Return whether an extension's options restrict where it is allowed."""
    if extension is Parameters:
        return False
    return any(getattr(extension, name) is not getattr(Extension, name) for name in _LIMITS)


def is_doubtful(extension: Match | Target, protocol: int | None) -> bool:
    """Return whether the validity of an extension in a rule depends on the whole table.

    Args:
        extension: a match or target of the rule.
        protocol: the protocol that the rule matches, without `!`.
    """
    tables = extension.allowed_tables()
    protocols = extension.allowed_protocols()
    return (
        tables is not None
        or extension.allowed_hooks() is not None
        or (protocols is not None and (protocol is None or protocol not in protocols))
    )


def _form(option: Option, family: int) -> str:
    """Return the language of an option's value, as named in `grammars/values.lark`, or ""."""
    return option.value.form.format(family=family) if option.value else ""


def _plain(option: Option, family: int) -> str:
    """Return the language of those values of an option that are always valid, or ""."""
    return option.value.plain.format(family=family) if option.value else ""


def _matches(form: _Form, text: str) -> bool:
    return form(text) is not None


def expected(option: Option) -> Text:
    """Return a hint about the form of an option's value."""
    return message("expected {what}", what=described(option.value)) if option.value else ""


def described(value: Value) -> Text:
    """Return the expected form of an option's value; its literal is an argument of :class:`Value`."""
    return message_of(value.expected) if isinstance(value.expected, str) else value.expected
