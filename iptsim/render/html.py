"""Pieces of HTML, escaped by construction, and their style in notebooks.

The content of an element is escaped unless it is :class:`Html` already, and control characters are made visible:
a comment in a dump is only text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from iptsim.errors import printable
from iptsim.languages import Message, Text

#: Elements without content.
_VOID = frozenset({"br", "col", "meta"})

#: JupyterLab's variables follow its theme; elsewhere everything is made of the text's own colour. The class appears
#: twice to outweigh JupyterLab's rules for tables and code. The verdicts' colours hold a contrast of 4.5 or more with
#: their white text on any ground.
STYLE = """
.iptsim.iptsim { color: var(--jp-content-font-color1, inherit); line-height: 1.4; }
.iptsim.iptsim p { margin: .3em 0; max-width: 60em; }
.iptsim.iptsim .dim { opacity: .75; }
.iptsim.iptsim code { background: none; padding: 0; color: inherit; white-space: pre-wrap; overflow-wrap: anywhere; }
.iptsim.iptsim table { border-collapse: collapse; margin: .5em 0; font-size: inherit; }
.iptsim.iptsim caption { caption-side: top; text-align: left; font-weight: bold; padding: .2em 0; color: inherit; }
.iptsim.iptsim th, .iptsim.iptsim td { text-align: left; vertical-align: top; padding: .15em .8em .15em 0; border: 0;
  border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); white-space: normal; }
.iptsim.iptsim thead th { border-bottom: 2px solid color-mix(in srgb, currentColor 35%, transparent); }
.iptsim.iptsim tr { background: none !important; }
.iptsim.iptsim td.name { white-space: nowrap; }
.iptsim.iptsim td.number { text-align: right; font-variant-numeric: tabular-nums; }
.iptsim.iptsim tr.decides { background: color-mix(in srgb, currentColor 9%, transparent) !important; }
.iptsim.iptsim .wide { overflow-x: auto; }
.iptsim.iptsim summary { cursor: pointer; }
.iptsim.iptsim .verdict { display: inline-block; padding: 0 .5em; border-radius: .25em; font-weight: bold; color: #fff;
  background: #59636e; font-size: .92em; }
.iptsim.iptsim .ACCEPT { background: #1a7f37; }
.iptsim.iptsim .DROP, .iptsim.iptsim .REJECT { background: #cf222e; }
.iptsim.iptsim .DEPENDS { background: #9a6700; }
"""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


Piece = Text | Html | None | Iterable["Piece"]


def element(tag: str, *content: Piece, **attributes: str | int | None) -> Html:
    """Return an element.

    Args:
        tag: its name.
        content: text or a message, which is escaped; elements; None for nothing; or several of these.
        attributes: None leaves an attribute out; `class_` means `class`.

    >>> element("td", "<b>", element("code", "-j DROP"), class_="x")
    '<td class="x">&lt;b&gt;<code>-j DROP</code></td>'
    """
    written = "".join(
        f' {name.rstrip("_")}="{escape(printable(str(value)))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{''.join(_pieces(content))}</{tag}>")


def _pieces(content: Iterable[Piece]) -> Iterator[str]:
    for piece in content:
        if isinstance(piece, Html):
            yield piece
        elif isinstance(piece, str | Message):
            yield escape(printable(piece))
        elif piece is not None:
            yield from _pieces(piece)


def whole(*content: Piece) -> Html:
    """Return the output of a notebook cell: the style and the content."""
    return element("div", Html(f"<style scoped>{STYLE}</style>"), *content, class_="iptsim")


def badge(verdict: str) -> Html:
    """Return a verdict as a coloured word."""
    return element("span", verdict, class_=f"verdict {verdict}")


def code(text: Text) -> Html:
    """Return text from a dump or a command line, formatted as code."""
    return element("code", text)


def folded(summary: Piece, *content: Piece, shown: bool = False) -> Html:
    """Return an element that opens on a click or on Enter."""
    opened = Html(" open") if shown else Html("")
    inner = element("summary", summary) + "".join(_pieces(content))
    return Html(f"<details{opened}>{inner}</details>")


def table(
    caption: Piece, heads: Sequence[Piece], rows: Iterable[Html], **attributes: str | int | None
) -> Html:
    """Return a table.

    Args:
        caption: what it shows; None for none.
        heads: the columns' names.
        rows: see :func:`row`.
        attributes: the attributes of the table.
    """
    return element(
        "table",
        element("caption", caption) if caption is not None else None,
        element("thead", element("tr", [element("th", head, scope="col") for head in heads])),
        element("tbody", list(rows)),
        **attributes,
    )


def row(*cells: Piece, head: int = 0, **attributes: str | int | None) -> Html:
    """Return a row of a table.

    Args:
        cells: their contents, or `td` elements.
        head: how many of the first cells are headings of the row.
        attributes: the attributes of the row.
    """
    return element(
        "tr",
        [
            cell
            if isinstance(cell, Html) and cell.startswith(("<td", "<th"))
            else element("th", cell, scope="row")
            if number < head
            else element("td", cell)
            for number, cell in enumerate(cells)
        ],
        **attributes,
    )


def number(value: int | None) -> Html:
    """Return the cell of a number."""
    return element("td", "" if value is None else f"{value:,}", class_="number")
