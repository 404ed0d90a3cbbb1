"""The language that answers are told in: English, or Traditional Chinese as it is written in Taiwan.

A message is an English sentence with named placeholders; it is its own key in the catalogues of `iptsim/locales`:

    >>> say("{place} drops {packets}.", place="filter FORWARD rule 4", packets="tcp packets")
    'filter FORWARD rule 4 drops tcp packets.'
    >>> with language("zh-TW"):
    ...     say("{place} drops {packets}.", place="filter FORWARD 第 4 條規則", packets="tcp 封包")
    'filter FORWARD 第 4 條規則丟棄 tcp 封包。'

The language in force belongs to the context (:mod:`contextvars`): threads and tasks do not disturb each other.
Codes, JSON keys, verdicts, and the names of tables, chains and targets are the same in every language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from iptsim.errors import UsageError

if TYPE_CHECKING:
    from gettext import GNUTranslations

#: The languages that answers can be told in.
LANGUAGES = ("en", "zh-TW")
#: Where the catalogues are: `zh_TW/LC_MESSAGES/iptsim.po` and `.mo`.
LOCALES = Path(__file__).parent / "locales"

#: Characters that stand on their own beside an ideograph, without a space.
_CLOSING, _OPENING = frozenset(",.:;)]}%…"), frozenset("([{")


class _Catalogue:
    """The messages of one language."""

    def __init__(self, name: str) -> None:
        from gettext import translation

        self.name = name
        self.messages: GNUTranslations = translation("iptsim", LOCALES, [name.replace("-", "_")])


_in_force: ContextVar[_Catalogue | None] = ContextVar("language", default=None)


@cache
def _catalogue(name: str) -> _Catalogue | None:
    return None if name == "en" else _Catalogue(name)


# -- which language --------------------------------------------------------------------------------


@contextmanager
def language(name: str | None) -> Iterator[None]:
    """Tell everything inside the `with` block in one language; None keeps the one in force.

    Args:
        name: one of :data:`LANGUAGES`, in any spelling that locales use: `zh-TW`, `zh_TW.UTF-8`, `zh-Hant`.

    Raises:
        UsageError: there is no such language.
    """
    if name is None:
        yield
        return
    found = _known(name)
    if found is None:
        raise UsageError(f"there is no language {name!r}; known are {' and '.join(LANGUAGES)}")
    token = _in_force.set(_catalogue(found))
    try:
        yield
    finally:
        _in_force.reset(token)


def current_language() -> str:
    """Return the language in force, one of :data:`LANGUAGES`."""
    catalogue = _in_force.get()
    return "en" if catalogue is None else catalogue.name


def language_of_locale(environment: Mapping[str, str]) -> str:
    """Return the language that a locale asks for, English where it asks for another one.

    The variables count as they do for gettext(3): LC_ALL, LC_MESSAGES, LANG; and LANGUAGE, a list, before them
    unless they say `C`.

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
    return next(filter(None, map(_known, wanted)), "en")


def _known(name: str) -> str | None:
    """Return the language that a name means, None for one that there is not."""
    parts = name.split(".")[0].split("@")[0].replace("_", "-").lower().split("-")
    if parts[0] == "en":
        return "en"
    if parts[0] == "zh" and {"tw", "hk", "mo", "hant"} & set(parts[1:]):
        return "zh-TW"
    return None


# -- saying ----------------------------------------------------------------------------------------


def say(message: str, /, **values: object) -> str:
    """Return a message in the language in force, its placeholders filled.

    Args:
        message: a literal: the English text, with `{name}` for what is filled in.
        values: what is filled in; taken as it is, braces in it mean nothing.
    """
    catalogue = _in_force.get()
    if catalogue is None:
        return message.format(**values)
    return _filled(catalogue.messages.gettext(message), values)


def say_as(context: str, message: str, /, **values: object) -> str:
    """Return a short message that means different things in different places, such as "from" over a column.

    Args:
        context: a literal that tells the places apart, for translators alone.
        message: as for :func:`say`.
        values: as for :func:`say`.
    """
    catalogue = _in_force.get()
    if catalogue is None:
        return message.format(**values)
    return _filled(catalogue.messages.pgettext(context, message), values)


def say_if(condition: object, yes: str, no: str, /, **values: object) -> str:
    """Return one of two messages, by a condition; both take the same placeholders.

    >>> say_if(False, "not from port {port}", "from port {port}", port=80)
    'from port 80'
    """
    return say(yes if condition else no, **values)


def say_many(one: str, many: str, /, count: int, **values: object) -> str:
    """Return a message that depends on a number, which is also the placeholder `{count}`.

    >>> say_many("{count} rule", "{count} rules", 1), say_many("{count} rule", "{count} rules", 3)
    ('1 rule', '3 rules')
    """
    catalogue = _in_force.get()
    if catalogue is None:
        return (one if count == 1 else many).format(count=count, **values)
    return _filled(catalogue.messages.ngettext(one, many, count), {"count": count, **values})


def joined(separator: str, items: Iterable[str]) -> str:
    """Return items with a separator between them, itself a message: ", ", " and "."""
    catalogue = _in_force.get()
    if catalogue is None:
        return separator.join(items)
    between = catalogue.messages.gettext(separator)
    parts: list[str] = []
    for item in filter(None, items):
        _add(parts, between if parts else "", literal=True)
        _add(parts, item)
    return "".join(parts)


def sentences(*texts: str) -> str:
    """Return sentences one after the other; empty ones are left out."""
    return ("" if _in_force.get() else " ").join(filter(None, texts))


def sentence(phrase: str) -> str:
    """Return a phrase as a whole sentence: with a capital and a full stop.

    >>> sentence("ip_forward is 0"), sentence("the packet is dropped")
    ('Ip_forward is 0.', 'The packet is dropped.')
    """
    return f"{phrase}。" if _in_force.get() else f"{phrase[:1].upper()}{phrase[1:]}."


# -- what is made before it is known in which language it will be told ---------------------------------------------


class Later(str):
    """A message that is told when somebody asks; as a string it is the English text."""

    __slots__ = ("again",)
    #: tells it in the language in force
    again: Callable[[], str]


def later(message: str, /, **values: object) -> Later:
    """Return a message for data that outlives the language in force: constants, what a host was inferred from.

    >>> kept = later("{name} is a bridge", name="docker0")
    >>> kept
    'docker0 is a bridge'
    """
    text = Later(message.format(**values))
    text.again = partial(_said, message, values)
    return text


def later_joined(separator: str, items: Iterable[str]) -> Later:
    """Return what :func:`joined` would, to be told later."""
    kept = tuple(items)
    text = Later(separator.join(kept))
    text.again = partial(joined, separator, kept)
    return text


def told(text: str) -> str:
    """Return a text in the language in force, if :func:`later` made it; any other as it is."""
    return text.again() if isinstance(text, Later) else text


def _said(message: str, values: Mapping[str, object]) -> str:
    return say(message, **{name: told(one) if isinstance(one, str) else one for name, one in values.items()})


# -- filling in ------------------------------------------------------------------------------------


@cache
def _pieces(template: str) -> tuple[tuple[str, str | None, str], ...]:
    """Take a template apart: the literal text before each placeholder, its name, its format."""
    return tuple((text, name, form or "") for text, name, form, _ in Formatter().parse(template))


def _filled(template: str, values: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for text, name, form in _pieces(template):
        _add(parts, text, literal=True)
        if name is not None:
            _add(parts, format(values[name], form))
    return "".join(parts)


def _add(parts: list[str], text: str, *, literal: bool = False) -> None:
    """Add a piece; the space at a seam follows what meets there, ideographs or letters.

    Only spaces of the message itself are touched: literal pieces are never what a dump holds.
    """
    if not text:
        return
    before = parts[-1] if parts else ""
    space = _space(before.rstrip(" ")[-1:], text.lstrip(" ")[:1])
    if space is not None:
        if literal:
            text = text.lstrip(" ")
        elif parts:
            parts[-1] = before.rstrip(" ")
        if space and not parts[-1].endswith(" ") and not text.startswith(" "):
            parts.append(space)
    parts.append(text)


def _space(left: str, right: str) -> str | None:
    """Return what belongs between two characters; None: whatever is there."""
    if not left or not right:
        return None
    kinds = _is_wide(left), _is_wide(right)
    if _is_full_stop(left) or _is_full_stop(right) or all(kinds):
        return ""
    if any(kinds) and left not in _OPENING and right not in _CLOSING:
        return " "
    return None


def _is_wide(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uff60" or character >= "\U00020000"


def _is_full_stop(character: str) -> bool:
    """Tell whether a character is punctuation that brings its own space: 。，「（."""
    return "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uff60"
