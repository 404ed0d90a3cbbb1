"""Tables for other programs: Markdown, CSV, and a page of HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from iptsim.errors import printable
from iptsim.languages import page_language, say
from iptsim.render.html import Html, Piece, element, row, table, whole

#: Signs that mean something in Markdown, or end a cell of a table.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~])")
#: The style of a page on its own; the tables have that of notebooks.
_PAGE_STYLE = (
    ":root { color-scheme: light dark; } body { font: 15px system-ui, sans-serif; margin: 2em auto; "
    "max-width: 90em; padding: 0 1em; }"
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table to be written in some format.

    Attributes:
        title: its title, in one line.
        columns: the names of the columns.
        rows: a text for each column.
        notes: sentences that belong to it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def markdown(sheet: Sheet) -> str:
    """Return a table in GitHub's Markdown, headed by its title."""
    lines = [f"## {_inline(sheet.title)}", ""]
    if sheet.rows:
        lines += [_markdown_row(sheet.columns), "|" + " --- |" * len(sheet.columns)]
        lines += map(_markdown_row, sheet.rows)
        lines += [""] if sheet.notes else []
    lines += [_inline(note) for note in sheet.notes]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_inline, cells)) + " |"


def _inline(text: str) -> str:
    """Return a text that Markdown shows as it is; a line break becomes one within the cell."""
    return "<br>".join(_MARKDOWN.sub(r"\\\1", printable(line)) for line in text.split("\n"))


def comma_separated(sheets: Sequence[Sheet]) -> str:
    """Return tables with the same columns as CSV (RFC 4180), with a header line. Notes are left out.

    If there are several tables, the first column contains their titles. A cell that a spreadsheet would take for a
    formula gets an apostrophe in front.
    """
    several = len(sheets) > 1
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for number, sheet in enumerate(sheets):
        if not number:
            writer.writerow([*([say("Source")] if several else []), *sheet.columns])
        writer.writerows(map(_cell, [*([sheet.title] if several else []), *cells]) for cells in sheet.rows)
    return out.getvalue()


def _cell(text: str) -> str:
    text = "\n".join(map(printable, text.split("\n")))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and text[1:] else text


def page(sheets: Sequence[Sheet], title: str) -> str:
    """Return tables as one page of HTML in the current language. The page loads and runs nothing."""
    parts: list[Piece] = []
    for sheet in sheets:
        if len(sheets) > 1 or sheet.title != title:
            parts.append(element("h2", sheet.title))
        if sheet.rows:
            parts.append(table(None, sheet.columns, [row(*map(_lines, cells)) for cells in sheet.rows]))
        parts += [element("p", note) for note in sheet.notes]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width"),
        element("title", title),
        element("style", Html(_PAGE_STYLE)),
    )
    body = element("body", element("h1", title), whole(*parts))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang=page_language())}\n"


def _lines(text: str) -> list[Piece]:
    first, *others = text.split("\n")
    return [first, *((element("br"), line) for line in others)]
