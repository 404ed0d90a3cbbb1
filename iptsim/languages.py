"""Messages as values, and the languages in which they are shown: English, and Traditional Chinese as written in Taiwan.

A :class:`Message` is an English sentence with named placeholders and their values; the sentence is its key in the
catalogues of `iptsim/locales`. `str` renders it in the language that is current at that moment:

    >>> dropped = message("{place} drops {packets}.", place="filter FORWARD", packets="tcp")
    >>> str(dropped)
    'filter FORWARD drops tcp.'
    >>> with language("zh-TW"):
    ...     str(dropped)
    'filter FORWARD 丟棄 tcp。'

The rendering code, whose texts are shown at once, gets the text directly:

    >>> say("{place} drops {packets}.", place="filter FORWARD rule 4", packets="tcp packets")
    'filter FORWARD rule 4 drops tcp packets.'

The current language belongs to the context (:mod:`contextvars`): threads and tasks do not disturb each other.
Codes, JSON keys, verdicts, and the names of tables, chains and targets are the same in every language.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from iptsim.errors import UsageError
from iptsim.spacing import add_spaced

if TYPE_CHECKING:
    from gettext import GNUTranslations

#: The languages in which answers can be given.
LANGUAGES = ("en", "zh-TW")
#: Where the catalogues are: `zh_TW/LC_MESSAGES/iptsim.po` and `.mo`.
LOCALES = os.path.join(os.path.dirname(__file__), "locales")


class _Catalogue:
    """The messages of one language."""

    def __init__(self, name: str) -> None:
        from gettext import translation

        self.name = name
        self.messages: GNUTranslations = translation("iptsim", LOCALES, [name.replace("-", "_")])


_in_force: ContextVar[_Catalogue | None] = ContextVar("language")
#: The catalogue where no block chooses a language; None for English.
_everywhere: _Catalogue | None = None


def _current() -> _Catalogue | None:
    return _in_force.get(_everywhere)


@cache
def _catalogue(name: str) -> _Catalogue | None:
    return None if name == "en" else _Catalogue(name)


# -- which language --------------------------------------------------------------------------------


@contextmanager
def language(name: str | None) -> Iterator[None]:
    """Render everything inside the `with` block in one language; None keeps the current one.

    Args:
        name: one of :data:`LANGUAGES`, in any spelling that locales use: `zh-TW`, `zh_TW.UTF-8`, `zh-Hant`.

    Raises:
        UsageError: there is no such language.
    """
    if name is None:
        yield
        return
    token = _in_force.set(_chosen(name))
    try:
        yield
    finally:
        _in_force.reset(token)


def use_language(name: str) -> None:
    """Render everything that follows in one language, for example in a whole notebook.

    Args:
        name: as for :func:`language`, which takes precedence inside its block.

    Raises:
        UsageError: there is no such language.
    """
    global _everywhere
    _everywhere = _chosen(name)


def _chosen(name: str) -> _Catalogue | None:
    found = known_language(name)
    if found is None:
        raise UsageError(
            message(
                "unknown language {name!r}; choose from: {choices}", name=name, choices=", ".join(LANGUAGES)
            )
        )
    return _catalogue(found)


def current_language() -> str:
    """Return the current language, one of :data:`LANGUAGES`."""
    catalogue = _current()
    return "en" if catalogue is None else catalogue.name


def page_language() -> str:
    """Return the current language as the `lang` of an HTML page: with the script of Chinese (BCP 47)."""
    name = current_language()
    return {"zh-TW": "zh-Hant-TW"}.get(name, name)


def language_of_locale(environment: Mapping[str, str]) -> str:
    """Return the language that a locale asks for; English if iptsim does not have it.

    The variables have the order of gettext(3): LC_ALL, LC_MESSAGES, LANG; and before them LANGUAGE, a list, unless they
    are `C`.

    >>> language_of_locale({"LANG": "zh_TW.UTF-8"}), language_of_locale({"LANG": "fr_FR.UTF-8"})
    ('zh-TW', 'en')
    >>> language_of_locale({"LANG": "zh_TW.UTF-8", "LC_ALL": "C.UTF-8"})
    'en'
    """
    variables = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, variables), "C")
    if locale.split(".")[0] in ("C", "POSIX"):
        return "en"
    wanted = [*environment.get("LANGUAGE", "").split(":"), locale]
    return next(filter(None, map(known_language, wanted)), "en")


def known_language(name: str) -> str | None:
    """Return the language that a name means; None for an unknown one."""
    parts = name.split(".")[0].split("@")[0].replace("_", "-").lower().split("-")
    if parts[0] == "en":
        return "en"
    if parts[0] == "zh" and {"tw", "hk", "mo", "hant"} & set(parts[1:]):
        return "zh-TW"
    return None


# -- messages: texts rendered later ---------------------------------------------------------------


class Message:
    """A text as a value, independent of the language; `str` renders it in the current one.

    Messages are immutable and can be pickled; they are equal if they have the same template and values. Making one
    is cheap: nothing is looked up or filled in before it is rendered. Messages among its values are rendered with it.
    :func:`message` and similar functions make them.

    A message is not a `str`: no code can search it for words. What code needs to know has a field of its own.
    """

    __slots__ = ()

    def _text(self, catalogue: _Catalogue | None) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self._text(_current())

    def __format__(self, form: str) -> str:
        return format(str(self), form)

    def __bool__(self) -> bool:
        return True


#: A text of an answer: a message, or a name, number or rule of the dump, which is the same in every language.
Text: TypeAlias = Message | str
#: What a placeholder of a message takes.
Filling: TypeAlias = Message | str | int | float
#: The values of a message as it keeps them.
_Values: TypeAlias = tuple[tuple[str, Filling], ...]


class _Made(Message):
    """A message as the function that renders it, and what it renders. Not a dataclass, as that starts slowly."""

    __slots__ = ("parts", "render")
    parts: tuple[Any, ...]
    render: Callable[..., str]

    def __init__(self, render: Callable[..., str], *parts: object) -> None:
        object.__setattr__(self, "render", render)
        object.__setattr__(self, "parts", parts)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a message does not change: {name}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Made):
            return self.parts == other.parts and self.render == other.render
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.render, self.parts))

    def __repr__(self) -> str:
        return f"{self.render.__name__}{self.parts!r}"

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.render, *self.parts)

    def _text(self, catalogue: _Catalogue | None) -> str:
        return self.render(catalogue, *self.parts)


class _Several(_Made):
    """A message of several texts, the last of its parts; false if all of them are."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return any(self.parts[-1])


def message(template: str, /, **values: Filling) -> Message:
    """Return a message.

    Args:
        template: a literal: the English text, with `{name}` for what is filled in.
        values: what is filled in, verbatim: braces in it have no meaning.

    >>> policy = message("policy {policy}", policy="DROP")
    >>> policy == message("policy {policy}", policy="DROP"), str(policy)
    (True, 'policy DROP')
    """
    return _Made(_plain, template, _kept(values))


def message_as(context: str, template: str, /, **values: Filling) -> Message:
    """Return a short message that means different things in different places, such as "from" over a column.

    Args:
        context: a literal that distinguishes the places, only for translators.
        template: as for :func:`message`.
        values: as for :func:`message`.
    """
    return _Made(_in_context, context, template, _kept(values))


def message_if(condition: object, yes: str, no: str, /, **values: Filling) -> Message:
    """Return one of two messages, depending on a condition; both have the same placeholders."""
    return _Made(_plain, yes if condition else no, _kept(values))


def message_many(one: str, many: str, /, count: int, **values: Filling) -> Message:
    """Return a message that depends on a number, which is also the placeholder `{count}`.

    >>> [str(message_many("{count} rule", "{count} rules", count)) for count in (1, 3)]
    ['1 rule', '3 rules']
    """
    return _Made(_plural, one, many, count, _kept(values))


def message_joined(separator: str, items: Iterable[Text]) -> Message:
    """Return items with a separator between them, itself a message: ", ", " and ". Empty items are left out.

    Without items it is false.
    """
    return _Several(_join, separator, tuple(map(_fixed, items)))


def message_list(items: Sequence[Text]) -> Text:
    """Return items as a list in a sentence: "nat", "raw and nat", "raw, mangle and nat"."""
    *others, last = items
    return message_joined(" and ", (message_joined(", ", others), last)) if others else last


def message_sentences(*texts: Text) -> Message:
    """Return sentences one after the other; empty ones are left out. Without sentences it is false."""
    return _Several(_in_a_row, tuple(map(_fixed, texts)))


def message_sentence(phrase: Text) -> Message:
    """Return a phrase as a whole sentence: with a capital and a full stop."""
    return _Made(_whole, _fixed(phrase))


def marked(template: str) -> str:
    """Return a literal as it is: the call puts it into the catalogues, for :func:`message_of` or :func:`looked_up`."""
    return template


def looked_up(template: str) -> str:
    """Return a template in the current language, with its placeholders left in place."""
    catalogue = _current()
    return template if catalogue is None else catalogue.messages.gettext(template)


def message_of(template: str, /, **values: Filling) -> Message:
    """Return a message whose literal is :func:`marked` elsewhere."""
    return _Made(_plain, template, _kept(values))


#: What int(), float() and unpacking say about invalid values.
_NO_NUMBER = r"(?s)(?:invalid literal for int\(\) with base \d+|could not convert string to float): (.*)"


def text_of(error: BaseException) -> Text:
    """Return the text of an exception: the message that it carries, else its text (common ones reworded)."""
    carried = error.args[0] if len(error.args) == 1 else None
    if isinstance(carried, Message):
        return carried
    text = str(error)
    if isinstance(error, IndexError | StopIteration) or text.startswith("not enough values to unpack"):
        return message("a value is missing")
    no_number = re.fullmatch(_NO_NUMBER, text)
    return text if no_number is None else message("{value} is not a number", value=no_number[1])


def json_default(value: object) -> str:
    """Render a message for :func:`json.dumps`, as its argument `default`.

    Raises:
        TypeError: the value is not a message.
    """
    if isinstance(value, Message):
        return str(value)
    raise TypeError(f"not JSON: {type(value).__name__}")


def _kept(values: dict[str, Filling]) -> _Values:
    """Return values as a message keeps them: in one order, and nothing that could change later."""
    if not _IMMUTABLE.issuperset(map(type, values.values())):
        values = {name: _fixed(value) for name, value in values.items()}
    return tuple(values.items()) if len(values) < 2 else tuple(sorted(values.items()))


@overload
def _fixed(value: Text) -> Text: ...
@overload
def _fixed(value: Filling) -> Filling: ...
def _fixed(value: Filling) -> Filling:
    if type(value) in _IMMUTABLE:
        return value
    return value if isinstance(value, Message) else str(value)


_IMMUTABLE = frozenset({str, int, float, _Made, _Several})


# -- saying: for what is shown at once -------------------------------------------------------------


def say(template: str, /, **values: object) -> str:
    """Return what :func:`message` makes, in the current language.

    >>> say("policy {policy}", policy="DROP")
    'policy DROP'
    """
    return _say(_current(), template, values)


def say_as(context: str, template: str, /, **values: object) -> str:
    """Return what :func:`message_as` makes, in the current language."""
    return _say_as(_current(), context, template, values)


def say_many(one: str, many: str, /, count: int, **values: object) -> str:
    """Return what :func:`message_many` makes, in the current language.

    >>> say_many("{count} rule", "{count} rules", 1), say_many("{count} rule", "{count} rules", 3)
    ('1 rule', '3 rules')
    """
    return _say_many(_current(), one, many, count, values)


def joined(separator: str, items: Iterable[Text]) -> str:
    """Return what :func:`message_joined` makes, in the current language.

    >>> joined(", ", ["a", "", message("policy {policy}", policy="DROP")])
    'a, policy DROP'
    """
    return _join(_current(), separator, items)


def sentences(*texts: Text) -> str:
    """Return what :func:`message_sentences` makes, in the current language."""
    return _in_a_row(_current(), texts)


def sentence(phrase: Text) -> str:
    """Return what :func:`message_sentence` makes, in the current language.

    >>> sentence("ip_forward is 0"), sentence("the packet is dropped")
    ('Ip_forward is 0.', 'The packet is dropped.')
    """
    return _whole(_current(), phrase)


# -- filling in ------------------------------------------------------------------------------------


@cache
def _pieces(template: str) -> tuple[tuple[str, str | None, str, str | None], ...]:
    """Take a template apart: the literal text before each placeholder, its name, its format, its conversion."""
    from string import Formatter

    return tuple((text, name, form or "", as_) for text, name, form, as_ in Formatter().parse(template))


def _say(catalogue: _Catalogue | None, template: str, values: Mapping[str, object]) -> str:
    if catalogue is None:
        return template.format(**values)
    return _filled(catalogue.messages.gettext(template), values)


def _say_as(catalogue: _Catalogue | None, context: str, template: str, values: Mapping[str, object]) -> str:
    if catalogue is None:
        return template.format(**values)
    return _filled(catalogue.messages.pgettext(context, template), values)


def _say_many(
    catalogue: _Catalogue | None, one: str, many: str, count: int, values: Mapping[str, object]
) -> str:
    if catalogue is None:
        return (one if count == 1 else many).format(count=count, **values)
    return _filled(catalogue.messages.ngettext(one, many, count), {"count": count, **values})


def _plain(catalogue: _Catalogue | None, template: str, values: _Values) -> str:
    return _say(catalogue, template, dict(values))


def _in_context(catalogue: _Catalogue | None, context: str, template: str, values: _Values) -> str:
    return _say_as(catalogue, context, template, dict(values))


def _plural(catalogue: _Catalogue | None, one: str, many: str, count: int, values: _Values) -> str:
    return _say_many(catalogue, one, many, count, dict(values))


def _in_a_row(catalogue: _Catalogue | None, texts: Iterable[Text]) -> str:
    return ("" if catalogue else " ").join(map(str, filter(None, texts)))


def _whole(catalogue: _Catalogue | None, phrase: Text) -> str:
    text = str(phrase)
    return f"{text}。" if catalogue else f"{text[:1].upper()}{text[1:]}."


def _join(catalogue: _Catalogue | None, separator: str, items: Iterable[Text]) -> str:
    if catalogue is None:
        return separator.join(map(str, filter(None, items)))
    between = catalogue.messages.gettext(separator)
    parts: list[str] = []
    for item in filter(None, items):
        add_spaced(parts, between if parts else "", literal=True)
        add_spaced(parts, str(item))
    return "".join(parts)


def _filled(template: str, values: Mapping[str, object]) -> str:
    parts: list[str] = []
    for text, name, form, conversion in _pieces(template):
        add_spaced(parts, text, literal=True)
        if name is not None:
            value = repr(values[name]) if conversion == "r" else values[name]
            add_spaced(parts, format(value, form))
    return "".join(parts)
