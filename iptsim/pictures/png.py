"""SVG to PNG, by resvg, with a bundled font: the same on every machine."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path

from iptsim.errors import UsageError
from iptsim.languages import Message, message, say

_FONTS = Path(__file__).parent / "fonts"
#: Fonts without serifs that have Chinese characters, as Debian, Windows and macOS name them.
_CHINESE = '"Noto Sans CJK TC", "Noto Sans TC", "Microsoft JhengHei", "PingFang TC", "DejaVu Sans"'
#: The most pixels on a side, and in all, that viewers open.
_LONGEST, _MOST = 16_000, 120_000_000


def png(svg: str, scale: float) -> bytes:
    """Return a picture as PNG.

    Raises:
        UsageError: the extra `pictures` is not installed.

    Warns:
        UserWarning: it contains Chinese characters, and no installed font has them.
    """
    try:
        import resvg_py  # noqa: F401
    except ImportError:
        raise missing_extra(message("a PNG picture")) from None
    if not has_ideographs(svg):
        return _drawn(svg, _scale_of(svg, scale))
    if not _draws_ideographs():
        warnings.warn(
            say(
                "no font here has Chinese characters, so the picture lacks them; install one, such as the package "
                "fonts-noto-cjk (Debian, Ubuntu), google-noto-sans-cjk-fonts (Fedora) or noto-fonts-cjk (Arch)"
            ),
            stacklevel=3,
        )
    whole = re.sub(r"(?<=>)[^<>]*(?=</text>)", lambda text: _with_font(text[0]), svg)
    return _drawn(whole, _scale_of(svg, scale))


def _with_font(text: str) -> str:
    """Return a text in a font that has its ideographs; else resvg takes any that does, a serif one too."""
    if not has_ideographs(text):
        return text
    # where it must take another font, resvg replaces no ligature: "filter" and ideographs in one line
    unjoined = re.sub("f(?=[fil])", "f\u200c", text)
    return f"<tspan font-family='{_CHINESE}'>{unjoined}</tspan>"


def _scale_of(svg: str, wanted: float) -> float:
    width, height = _size(svg)
    return float(min(wanted, _LONGEST / max(width, height), (_MOST / (width * height)) ** 0.5))


def has_ideographs(text: str) -> bool:
    """Return whether a text contains Chinese characters."""
    return any("\u4e00" <= sign <= "\u9fff" for sign in text)


@cache
def _draws_ideographs() -> bool:
    """Return whether resvg finds a font with Chinese characters: they look different from one that no font has."""
    return _drawn(_one_sign("\u4e2d"), 1) != _drawn(_one_sign("\U0010fffd"), 1)


def _one_sign(sign: str) -> str:
    text = f'<text x="4" y="26" font-size="24" font-family="DejaVu Sans">{sign}</text>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32">{text}</svg>'


def _drawn(svg: str, scale: float) -> bytes:
    import resvg_py

    fonts = [str(path) for path in sorted(_FONTS.glob("*.ttf"))]
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=scale, font_files=fonts))


def _size(svg: str) -> tuple[float, float]:
    """Return width and height of a picture of iptsim."""
    _, _, rest = svg.partition(' width="')
    width, _, rest = rest.partition('" height="')
    return float(width), float(rest.partition('"')[0])


def missing_extra(what: Message) -> UsageError:
    """Return the error that says what to install."""
    return UsageError(message("{what} needs the extra 'pictures': pip install 'iptsim[pictures]'", what=what))
