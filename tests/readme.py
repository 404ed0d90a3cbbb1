"""Keeps the console sessions of the documents real: `python -m tests.readme` writes what the commands print.

A session is a fenced block `console`; a line `$ iptsim ...` in it is run in the repository's root, and what
follows up to the next such line is its output. Other commands are left alone.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from iptsim.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "fixtures/README.md", "docs/questions.md")
_SESSION = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)


def run(command: str) -> str:
    """Return what a command prints, on either stream."""
    out = io.StringIO()
    with (
        contextlib.chdir(ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        contextlib.suppress(SystemExit),
    ):
        main(shlex.split(command)[1:])
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").splitlines())


def rendered(text: str) -> str:
    """Return a document with the real outputs in its sessions."""
    return _SESSION.sub(lambda match: "".join(_session(match[1])), text)


def _session(text: str) -> Iterator[str]:
    running = False
    for line in text.splitlines():
        if line.startswith("$ "):
            running = line.startswith("$ iptsim ") and "|" not in line and ">" not in line
            yield f"{line}\n"
            if running and (output := run(line[2:])):
                yield f"{output}\n"
        elif not running:
            yield f"{line}\n"


if __name__ == "__main__":
    for name in DOCUMENTS:
        path = ROOT / name
        path.write_text(rendered(path.read_text("utf-8")), "utf-8")
