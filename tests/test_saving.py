"""Files are written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iptsim.saving import save


def test_an_interrupt_after_the_file_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is not taken for a file that cannot be written."""
    replace = os.replace

    def interrupted(name: str, target: str) -> None:
        replace(name, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "note", "new")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("note", "new")]
