"""The parsers: their tables are ready, and what comes from the tables reads as what is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim import grammar
from iptsim.dump import loads


@pytest.fixture
def fresh() -> object:
    grammar.parser.cache_clear()
    yield None
    grammar.parser.cache_clear()


@pytest.mark.parametrize("name", grammar.STARTS)
def test_tables_are_ready_for_the_locked_lark(name: str) -> None:
    """`python -m tests.tables` writes them."""
    assert grammar.ready_file(name).exists()


def test_without_tables_the_parser_is_built(
    monkeypatch: pytest.MonkeyPatch, fresh: object, tmp_path: Path
) -> None:
    monkeypatch.setattr(grammar, "ready_file", lambda name: tmp_path / "none")
    assert len(list(loads("*filter\n-A INPUT -j DROP\nCOMMIT\n").rules())) == 1


def test_tables_and_built_parsers_read_alike() -> None:
    line = '[1:2] -A INPUT ! -i lo -m comment --comment "a b" -j DROP'
    assert grammar.parser("dump").parse(line, start="line") == grammar.build("dump").parse(line, start="line")
