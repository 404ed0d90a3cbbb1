"""Progress bars appear where somebody watches and it takes long, and nowhere else."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from iptsim import progress
from iptsim.progress import tracked


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock that stands until the work moves it."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.delenv("IPTSIM_PROGRESS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    yield now
    assert not progress._at_work


def work(clock: Any, seconds: float, items: int = 5) -> list[int]:
    done = []
    for item in tracked(range(items), "testing [bold]things"):
        clock.seconds += seconds
        done.append(item)
    return done


def test_a_bar_on_a_terminal_after_a_second(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert work(clock, 0.6) == [0, 1, 2, 3, 4]
    assert "testing [bold]things" in terminal.getvalue()
    assert "/5" in terminal.getvalue()


def test_none_when_it_is_quick(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert work(clock, 0.1) == [0, 1, 2, 3, 4]
    assert terminal.getvalue() == ""


def test_none_when_nobody_watches(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    assert work(clock, 9) == [0, 1, 2, 3, 4]
    assert pipe.getvalue() == ""


def test_none_when_it_is_turned_off(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("IPTSIM_PROGRESS", "never")
    assert work(clock, 9) == [0, 1, 2, 3, 4]
    assert terminal.getvalue() == ""


def test_work_within_work_has_no_bar_of_its_own(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    for _ in tracked(range(3), "outer"):
        work(clock, 0.6)
    assert "outer" in terminal.getvalue()
    assert "testing" not in terminal.getvalue()


def test_a_bar_ends_with_an_error(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())

    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError

    def use() -> None:
        for _ in tracked(broken(), "broken"):
            clock.seconds += 2

    with pytest.raises(RuntimeError):
        use()
    assert work(clock, 0.1) == [0, 1, 2, 3, 4]
