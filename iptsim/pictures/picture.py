"""A picture and its formats."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from iptsim.errors import UsageError, printable
from iptsim.languages import current_language, language, message, page_language, say
from iptsim.pictures.drawing import Drawing, Placement
from iptsim.pictures.notations import dot, mermaid
from iptsim.pictures.png import png
from iptsim.pictures.style import style_sheet
from iptsim.pictures.svg import svg
from iptsim.saving import save

#: A picture's formats, and the file name extension of each.
FORMATS = {
    "svg": ".svg", "png": ".png", "html": ".html", "mermaid": ".mmd", "dot": ".dot", "text": ".txt",
}  # fmt: skip
ENDINGS = tuple(FORMATS.values())

_PAGE = """\
<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 1rem; font-family: system-ui, sans-serif }}
figure {{ margin: 0; overflow: auto }}
figure svg {{ max-width: 100%; min-width: {narrowest}px; height: auto }}
pre {{ overflow: auto }}
</style>
</head>
<body>
<figure>
{svg}</figure>
<details>
<summary>{summary}</summary>
<pre>{text}</pre>
</details>
</body>
</html>
"""


class Picture:
    """A drawing that a notebook shows, and that can be saved in several formats."""

    def __init__(
        self, drawing: Callable[[], Drawing], placement: Callable[[], Placement], text: Callable[[], str]
    ) -> None:
        """Create it from functions that draw it, place it and write it as text, each called on first use.

        Its language is the one in force now.
        """
        self.language = current_language()
        self._draw = drawing
        self._place = placement
        self._write = text

    @cached_property
    def drawing(self) -> Drawing:
        """Its contents."""
        with language(self.language):
            return self._draw()

    @cached_property
    def placement(self) -> Placement:
        """The positions of its parts."""
        with language(self.language):
            return self._place()

    def svg(self, *, style: str | None = None, names: bool = False) -> str:
        """Return it as SVG.

        Args:
            style: a style sheet to embed; None for the usual one, "" for none: for pages that contain
                :func:`iptsim.pictures.style.style_sheet` themselves.
            names: add names to boxes and lines, for the script of a page.
        """
        return svg(self.drawing, self.placement, style=style, names=names)

    def png(self, *, scale: float = 2.0, dark: bool = False) -> bytes:
        """Return it as PNG; warn if it contains Chinese characters and no installed font has them.

        Args:
            scale: pixels of the image per pixel of the SVG.
            dark: draw light on dark.

        Raises:
            UsageError: the extra `pictures` is not installed.
        """
        return png(self.svg(style=style_sheet(fonts='"DejaVu Sans"', dark=dark)), scale)

    def mermaid(self) -> str:
        """Return it as a Mermaid flowchart."""
        return mermaid(self.drawing)

    def dot(self) -> str:
        """Return it as Graphviz DOT."""
        return dot(self.drawing)

    def html(self) -> str:
        """Return it as a self-contained page."""
        title, text = escape(printable(self.drawing.title)), escape(self.text())
        # a picture may shrink to fit the window, but stays readable
        narrowest = round(0.7 * self.placement.width)
        with language(self.language):
            lang, summary = page_language(), escape(say("As text"))
        return _PAGE.format(
            title=title, svg=self.svg(), text=text, narrowest=narrowest, lang=lang, summary=summary
        )

    def text(self) -> str:
        """Return it as a tree of plain text."""
        with language(self.language):
            return self._write()

    def save(self, path: str | Path, in_format: str | None = None) -> None:
        """Write it to a file.

        Args:
            path: the file; "-" for standard output.
            in_format: one of :data:`FORMATS`; None for that of the file's extension, or text on standard output.

        Raises:
            UsageError: the extension is unknown, or the file cannot be written.
        """
        makers: dict[str, Callable[[], str | bytes]] = {
            "svg": self.svg, "png": self.png, "html": self.html, "mermaid": self.mermaid, "dot": self.dot,
            "text": self.text,
        }  # fmt: skip
        save(path, makers[in_format or _format_of(path)]())

    def __repr__(self) -> str:
        return f"<Picture {printable(self.drawing.title)}>"

    def _repr_svg_(self) -> str:
        """Return the image for notebooks.

        It is an image without a size: a wide picture takes the available width.
        """
        return re.sub(r' width="\d{4,}[\d.]*" height="[\d.]+"', "", self.svg(), count=1)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what a notebook shows, with the plain text for where images or the extra are missing."""
        try:
            return {"text/plain": self.text(), "image/svg+xml": self._repr_svg_()}
        except UsageError as error:
            return {"text/plain": f"{self.text()}\n{error}"}

    def __str__(self) -> str:
        return self.text()


def _format_of(path: str | Path) -> str:
    """Return the format for a file's extension."""
    if path == "-":
        return "text"
    ending = Path(path).suffix.lower()
    found = next((name for name, its in FORMATS.items() if its == ending), None)
    if found is None:
        raise UsageError(
            message(
                "{path}: the name must end in one of {choices}", path=str(path), choices=", ".join(ENDINGS)
            )
        )
    return found
