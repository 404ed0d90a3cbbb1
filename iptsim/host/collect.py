"""The script that saves a capture on a host without iptsim; `iptsim collect` prints it."""

from __future__ import annotations

from importlib.resources import files


def script() -> str:
    """Return the text of the script, for a POSIX shell."""
    return (files("iptsim.host") / "collect.sh").read_text(encoding="utf-8")
