"""What `print` and a notebook show of an object, its table for pandas, its picture, its graph.

The rendering stands above everything that it renders: it registers here what makes each form of an object. This is
loaded with the package, and so imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, Protocol

    import pandas

    class _Picture(Protocol):
        """The formats in which a picture can be had; :class:`iptsim.pictures.Picture` says more."""

        def svg(self, *, style: str | None = None, names: bool = False) -> str: ...
        def png(self, *, scale: float = 2.0, dark: bool = False) -> bytes: ...
        def mermaid(self) -> str: ...
        def dot(self) -> str: ...
        def html(self) -> str: ...
        def text(self) -> str: ...
        def save(self, path: str | Path) -> None: ...
        def _repr_mimebundle_(self, **_: Any) -> dict[str, str]: ...


_makers: dict[str, Callable[[Any], Any]] = {}


def register(form: str, maker: Callable[[Any], Any]) -> None:
    """Say what makes a form of an object: "text", "html", "frame", "picture" or "graph"."""
    _makers[form] = maker


def made(form: str, thing: object) -> Any:
    """Return an object in a form that is registered."""
    return _makers[form](thing)


class Shown:
    """Something with a form for people: plain text, and HTML for notebooks.

    HTML is inert: what comes from a dump is escaped, and nothing in it loads or runs anything.
    """

    __slots__ = ()

    def __str__(self) -> str:
        text: str = made("text", self)
        return text

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        html: str = made("html", self)
        return html

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what a notebook shows, and what it keeps beside it for places without HTML."""
        return {"text/plain": str(self), "text/html": self._repr_html_()}


class Framed(Shown):
    """Something that is a table for pandas as well; `docs/frames.md` describes the columns."""

    __slots__ = ()

    def frame(self) -> pandas.DataFrame:
        """Return the table.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pandas.DataFrame = made("frame", self)
        return frame


class Pictured(Framed):
    """Something that can be drawn as well."""

    __slots__ = ()

    def picture(self) -> _Picture:
        """Return a picture of it.

        Of a host its network, of an answer the packet's way through that network, of a ruleset which chain
        leads where.
        """
        picture: _Picture = made("picture", self)
        return picture
