"""Answers fit the terminal that they are shown on, and tickets that they are pasted into."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from iptsim.cli import main
from iptsim.render.console import PLAIN_WIDTH, flow

CAPTURES = Path("fixtures/captures")
PUBLISHED = str(CAPTURES / "docker-28.5/published")
ICC_OFF = str(CAPTURES / "docker-28.5/icc-off")
Capture = pytest.CaptureFixture[str]


def broken(text: str, width: int) -> list[str]:
    return [piece.plain for piece in flow(Text(text), width)]


def test_prose_begins_each_line_at_the_margin() -> None:
    assert broken("Containers on docker0 may not talk.", 20) == ["Containers on", "docker0 may not", "talk."]


def test_what_follows_a_label_stands_beside_it() -> None:
    assert broken("Decided by   filter FORWARD rule 6", 28) == [
        "Decided by   filter FORWARD",
        "             rule 6",
    ]


def test_indented_lines_keep_their_indent() -> None:
    assert broken("    which rule sends it on", 18) == ["    which rule", "      sends it on"]


def test_text_without_spaces_is_broken_between_characters() -> None:
    assert broken("封包被丟棄了", 8) == ["封包被丟", "棄了"]


def test_a_label_of_ideographs_takes_two_columns_for_each() -> None:
    assert broken("假設   來源沒有設定", 15) == ["假設   來源沒有", "       設定"]


def test_no_line_begins_with_punctuation_or_ends_with_an_opening_bracket() -> None:
    assert broken("封包被丟棄。", 10) == ["封包被丟", "棄。"]
    assert broken("封包被（丟棄）", 8) == ["封包被", "（丟棄）"]


def test_an_option_stays_with_its_value() -> None:
    assert broken("  -A INPUT ! -i eth0 -j DROP", 14) == ["  -A INPUT", "    ! -i eth0", "    -j DROP"]


def test_prose_is_never_wider_than_people_like_to_read() -> None:
    assert max(map(len, broken("word " * 100, 200))) <= 100


@given(st.text("ab 封", max_size=60), st.integers(8, 40))
def test_breaking_loses_nothing(text: str, width: int) -> None:
    pieces = broken(text, width)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(
        cell_len(piece) <= width or len(piece.split()) == 1 or len(pieces) == 1 for piece in pieces if piece
    )


def test_styles_survive() -> None:
    line = Text.assemble("aaaa ", ("bbbb", "bold"))
    assert [(span.start, span.end) for piece in flow(line, 5) for span in piece.spans if span] == [(0, 4)]


COMMANDS = [
    ("explain", PUBLISHED, "--from", "internet", "--to", "host:8080"),
    ("explain", PUBLISHED, "--from", "internet", "--to", "host:8080", "-v"),
    ("explain", PUBLISHED),
    ("rules", PUBLISHED, "-t", "nat"),
    ("rules", PUBLISHED, "--from", "client", "--to", "web:80"),
    ("lint", str(CAPTURES / "hosts/ufw-docker-28.5")),
    ("whatif", ICC_OFF, "--from", "client", "--to", "web:80", "--icc", "true"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_text_for_a_ticket(capsys: Capture, words: tuple[str, ...]) -> None:
    main([*words, "--plain"])
    text = capsys.readouterr().out

    assert text.isascii()
    assert "\x1b" not in text
    # a single word may be longer: a path, a list of ports
    assert all(len(line) <= PLAIN_WIDTH or " " not in line.strip() for line in text.splitlines())
    command = text.partition("\n#")[0].replace("\\\n", "")
    assert shlex.split(command) == ["$", "iptsim", *words]


def test_a_ticket_holds_what_the_terminal_shows(capsys: Capture) -> None:
    question = ("explain", ICC_OFF, "--from", "client", "--to", "web:80")
    main([*question])
    shown = capsys.readouterr().out
    main([*question, "--plain"])
    plain = capsys.readouterr().out.partition("\n\n")[2]

    assert shown.replace("→", "->").replace("✗", "x").split() == plain.split()
