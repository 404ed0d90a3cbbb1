"""SVG to PNG, by resvg, with a bundled font: the same on every machine."""

from __future__ import annotations

from pathlib import Path

from iptsim.errors import UsageError
from iptsim.languages import message

_FONTS = Path(__file__).parent / "fonts"
#: The most pixels on a side, and in all, that viewers open.
_LONGEST, _MOST = 16_000, 120_000_000


def png(svg: str, scale: float) -> bytes:
    """Return a picture as PNG.

    Raises:
        UsageError: the extra `pictures` is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise missing_extra("a PNG picture") from None
    width, height = _size(svg)
    scale = min(scale, _LONGEST / max(width, height), (_MOST / (width * height)) ** 0.5)
    fonts = [str(path) for path in sorted(_FONTS.glob("*.ttf"))]
    made: bytes = bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=scale, font_files=fonts))
    return made


def _size(svg: str) -> tuple[float, float]:
    """Return width and height of a picture of iptsim."""
    _, _, rest = svg.partition(' width="')
    width, _, rest = rest.partition('" height="')
    return float(width), float(rest.partition('"')[0])


def missing_extra(what: str) -> UsageError:
    """Return the error that says what to install."""
    return UsageError(message("{what} needs the extra 'pictures': pip install 'iptsim[pictures]'", what=what))
