"""The width of text in DejaVu Sans, which is wider than most fonts: text that fits in it fits in others."""

from __future__ import annotations

import unicodedata

# fmt: off
#: Widths of the characters from space to tilde in thousandths of the size.
_WIDTHS = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557,
    863, 748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550,
    635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525,
    636, 337, 636, 838,
)
# fmt: on
#: How much wider bold text is.
_BOLD = 1.12


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line of text in pixels.

    >>> text_width("eth0", 10)
    22.77
    """
    total = 0
    for sign in text:
        code = ord(sign)
        if 32 <= code < 127:
            total += _WIDTHS[code - 32]
        elif not unicodedata.combining(sign):
            total += 1000 if unicodedata.east_asian_width(sign) in "WF" else 840
    return round(total * size / 1000 * (_BOLD if bold else 1.0), 2)


def clip(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """Return a line of text, cut at the end to a width in pixels.

    >>> clip("a-very-long-name", 10, 60)
    'a-very-lon…'
    """
    text = text[:400]
    if text_width(text, size, bold=bold) <= width:
        return text
    while text and text_width(text + "…", size, bold=bold) > width:
        text = text[:-1]
    return text + "…"


def wrap(text: str, size: float, width: float, *, bold: bool = False, most: int = 6) -> list[str]:
    """Return text as lines of at most a width in pixels, and at most a number of them.

    >>> wrap("to be or not to be", 10, 60)
    ['to be or not', 'to be']
    """
    lines: list[str] = []
    line = ""
    for word in text[:4000].split(" "):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size, bold=bold) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1] + " …"]
    return [clip(line, size, width, bold=bold) for line in lines]
