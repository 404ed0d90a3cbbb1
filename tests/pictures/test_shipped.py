"""The pictures in docs/ are what the commands beside them make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pictures.looks import read
from tests.pictures.shipped import PAGE, SHIPPED, commands, draw, settled


@pytest.mark.parametrize("name", commands())
def test_a_shipped_picture_is_what_its_command_makes(name: str, tmp_path: Path) -> None:
    shipped = (SHIPPED / name).read_text("utf-8")
    read(shipped)
    again = "redraw them with: python -m tests.pictures.shipped"
    assert settled(name, draw(name, tmp_path)) == settled(name, shipped), again


def test_each_picture_is_shown_once_and_has_a_command() -> None:
    shown = re.findall(r"^\[!\[.+\]\((\.\./pictures/.+)\)\]\(\1\)$", PAGE.read_text("utf-8"), re.MULTILINE)
    shown = [path.rpartition("/")[2] for path in shown]
    assert sorted(shown) == sorted(commands()) == sorted(path.name for path in SHIPPED.iterdir())
