"""What `print` and a notebook show of an object, and its table for pandas.

The rendering stands above everything that it renders, so it is loaded on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from iptsim.pictures import Picture


class Shown:
    """Something with a form for people: plain text, and HTML for notebooks.

    HTML is inert: what comes from a dump is escaped, and nothing in it loads or runs anything.
    """

    __slots__ = ()

    def __str__(self) -> str:
        from iptsim.render.plain import plain

        return plain(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from iptsim.render.notebook import html

        return html(self)

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
        from iptsim.render.frames import frame

        return frame(self)


class Pictured(Framed):
    """Something that can be drawn as well."""

    __slots__ = ()

    def picture(self) -> Picture:
        """Return a picture of it.

        Of a host its network, of an answer the packet's way through that network, of a ruleset which chain
        leads where.
        """
        from iptsim.pictures.objects import picture_of

        return picture_of(self)
