"""Findings of a text, for tests."""

from __future__ import annotations

from pathlib import Path

import iptsim
from iptsim.findings import Finding


def lint(folder: Path, text: str) -> dict[str, Finding]:
    """Return the findings of a text by their codes; of those with the same code, the last."""
    path = folder / "paste"
    path.write_text(text, "utf-8")
    return {one.code: one for one in iptsim.lint(path)}
