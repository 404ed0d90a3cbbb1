"""The pictures of docs/: `python -m tests.pictures.shipped` redraws them, by the commands shown beside them."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

from iptsim.cli import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/howto/pictures.md"
SHIPPED = ROOT / "docs/pictures"
_COMMAND = re.compile(r"^\$ iptsim (graph .* -o (\S+\.svg))$", re.MULTILINE)


def commands() -> dict[str, list[str]]:
    """Return the commands of the page by the name of the file that they write."""
    return {name: shlex.split(words) for words, name in _COMMAND.findall(PAGE.read_text("utf-8"))}


def draw(name: str, to: Path) -> str:
    """Draw a picture into a directory, and return it."""
    words = commands()[name]
    with contextlib.chdir(ROOT):
        assert main([*words[:-1], str(to / name)]) == 0
    return (to / name).read_text("utf-8")


def settled(name: str, svg: str) -> str:
    """Return what of a picture is ours: chains are placed by Graphviz, and each version may place them elsewhere."""
    if not name.endswith("-chains.svg"):
        return svg
    svg = re.sub(r'(?<= )(d|x|y|width|height|viewBox|transform|cx|cy)="[^"]*"', "", svg)
    return re.sub(r"(title|description)-[0-9a-f]{8}", r"\1", svg)


if __name__ == "__main__":
    for picture in commands():
        draw(picture, SHIPPED)
