"""How `print` and notebooks display an object; its table for pandas, its picture, its graph.

The rendering is layered above everything that it renders, so it registers its functions here. This module is loaded
with the package, and therefore imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, Protocol

    import pandas

    class _Picture(Protocol):
        """The formats of a picture; see :class:`iptsim.pictures.Picture`."""

        def svg(self, *, style: str | None = None, names: bool = False) -> str: ...
        def png(self, *, scale: float = 2.0, dark: bool = False) -> bytes: ...
        def mermaid(self) -> str: ...
        def dot(self) -> str: ...
        def html(self) -> str: ...
        def text(self) -> str: ...
        def save(self, path: str | Path) -> None: ...
        def _repr_mimebundle_(self, **_: Any) -> dict[str, str]: ...


_makers: dict[str, Callable[..., Any]] = {}


def register(form: str, maker: Callable[..., Any]) -> None:
    """Register the function for a form: "text", "html", "folded", "frame", "picture", "graph" or "reach"."""
    _makers[form] = maker


def made(form: str, thing: object, *more: Any, **options: Any) -> Any:
    """Return an object in a registered form."""
    return _makers[form](thing, *more, **options)


class Shown:
    """Something that can be displayed: as plain text, and as HTML in notebooks.

    The HTML is inert: text from a dump is escaped, and nothing in it loads or runs anything.
    """

    __slots__ = ()

    def __str__(self) -> str:
        text: str = made("text", self)
        return text

    def _repr_html_(self) -> str:
        """Return the HTML for notebooks."""
        html: str = made("html", self)
        return html

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the HTML for notebooks, and plain text for places without HTML."""
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def folded(self, summary: str) -> Folded:
        """Return it folded, for a notebook: the reader opens it.

        Args:
            summary: what is shown while it is folded, such as "Answer".
        """
        return Folded(self, summary)


class Folded:
    """Something displayed in a fold."""

    __slots__ = ("_summary", "_thing")

    def __init__(self, thing: Shown, summary: str) -> None:
        self._thing = thing
        self._summary = summary

    def __repr__(self) -> str:
        return f"<Folded {self._summary!r}: {self._thing!r}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return HTML with a fold; places without HTML show the summary only."""
        html: str = made("folded", (self._summary, self._thing))
        return {"text/plain": f"({self._summary})", "text/html": html}


class Framed(Shown):
    """Something with a table for pandas; `docs/frames.md` describes the columns."""

    __slots__ = ()

    def frame(self) -> pandas.DataFrame:
        """Return the table.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pandas.DataFrame = made("frame", self)
        return frame


class Pictured(Framed):
    """Something with a picture."""

    __slots__ = ()

    def picture(self) -> _Picture:
        """Return its picture.

        A host's picture is its network, that of an answer the packet's path through the network, that of a ruleset the
        graph of its chains.
        """
        picture: _Picture = made("picture", self)
        return picture
