"""HTML elements as values: text is escaped and made inert, elements are nested unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias
from urllib.parse import quote

from iptsim.errors import printable
from iptsim.languages import Message

_EMPTY = frozenset({"col"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


#: What an element holds: elements, texts, what is left out where it is missing, and any number of these.
Content: TypeAlias = "Markup | str | Message | int | Iterable[Content] | None"


def element(name: str, /, *content: Content, **attributes: str | int | bool | None) -> Markup:
    """Return an element.

    Args:
        name: its name, and classes: `td.count`.
        content: its children.
        attributes: underscores become hyphens, except a trailing one, which is dropped; True means an attribute without
            a value; None and False are left out.

    >>> element("a.far", "<x>", href="#y", aria_label="to y")
    '<a class="far" href="#y" aria-label="to y">&lt;x&gt;</a>'
    """
    tag, *classes = name.split(".")
    words = [tag]
    if classes:
        words.append(f'class="{" ".join(classes)}"')
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = key.rstrip("_").replace("_", "-")
        words.append(shown if value is True else f'{shown}="{_inert(value)}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if tag in _EMPTY else f"{start}{together(*content)}</{tag}>")


def together(*content: Content) -> Markup:
    """Return the concatenation of content."""
    return Markup("".join(map(_html, content)))


def _html(content: Content) -> str:
    if isinstance(content, Markup):
        return content
    if content is None:
        return ""
    if isinstance(content, str | Message | int):
        return _inert(content)
    return together(*content)


def _inert(text: object) -> str:
    return escape(printable(text))


def code(text: str) -> Markup:
    """Return a text formatted as code."""
    return element("code", text)


def isolated(text: Content) -> Markup:
    """Return a text whose direction does not affect what is around it."""
    return element("bdi", text)


def table(heads: Iterable[Content], rows: Iterable[Markup], label: str, *, stacks: bool = False) -> Markup:
    """Return a table that scrolls within its frame, also by keyboard.

    Args:
        heads: the titles of the columns.
        rows: elements `tr`.
        label: what it is, for screen readers.
        stacks: stack the cells of a row on narrow screens.
    """
    head = element("thead", element("tr", (element("th", title, scope="col") for title in heads)))
    whole = element("table", head, element("tbody", rows))
    return element(
        f"div.scroll{'.stack' if stacks else ''}", whole, tabindex=0, role="group", aria_label=label
    )


def pairs(*rows: tuple[Content, Content]) -> Markup:
    """Return a list of terms and their descriptions; terms without a description are left out."""
    shown = ((term, meaning) for term, meaning in rows if meaning not in ("", None, []))
    return element("dl.pairs", ((element("dt", term), element("dd", meaning)) for term, meaning in shown))


def link(*parts: str | int) -> str:
    """Return an address within the page, as its script spells it (`encodeURIComponent`); also usable as an id."""
    return "/".join(quote(str(part), safe="!'()*") for part in parts)
