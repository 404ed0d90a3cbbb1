"""Keeps what the documents show real: `python -m tests.readme` regenerates the outputs of their sessions.

A console session is a fenced block `console`. Each line `$ COMMAND` in it is run, and what follows up to the next
such line is its output. Commands run in a scratch directory that holds `fixtures`, one for each document, so that a
session finds the files which an earlier one wrote. A Python session is a fenced block `python`, run like a doctest.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from iptsim.cli import main
from iptsim.errors import IptsimError

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "fixtures/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: What of a command needs a shell: pipes, redirections, lists.
_SHELL = re.compile(r"[|<>;&]")


def rendered(text: str, name: str = "document") -> str:
    """Return a document with the real outputs in its sessions."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        for folder in ("fixtures", "docs", "notebooks"):
            Path(folder).symlink_to(ROOT / folder)
        console, python = _Console(), _Python(name)

        def real(match: re.Match[str]) -> str:
            session = console.rendered if match[1] == "console" else python.rendered
            return f"```{match[1]}\n{session(match[2])}```"

        return _BLOCK.sub(real, text)


class _Console:
    """Runs the commands of a document, one after the other."""

    def __init__(self) -> None:
        self.status = 0

    def rendered(self, session: str) -> str:
        """Return a session with the real outputs."""
        out = []
        for line in session.splitlines():
            if line.startswith("$ "):
                out.append(line)
                out += self.run(line[2:])
        return "".join(f"{line}\n" for line in out)

    def run(self, command: str) -> list[str]:
        """Return the lines that a command prints, on either stream."""
        if command == "echo $?":
            return [str(self.status)]
        if command.startswith("iptsim ") and not _SHELL.search(re.sub(r"'[^']*'", "", command)):
            self.status, output = _iptsim(command)
        else:
            run = subprocess.run(
                ["bash", "-c", f'iptsim() {{ "{sys.executable}" -m iptsim "$@"; }}; {command}'],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"},
                check=False,
            )
            self.status, output = run.returncode, run.stdout.decode()
        return [line.rstrip() for line in output.rstrip("\n").splitlines()]


def _iptsim(command: str) -> tuple[int, str]:
    """Run iptsim in this process: a start of its own takes longer than most answers."""
    out = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = main(shlex.split(command)[1:])
        except SystemExit as end:
            status = int(end.code or 0)
    return status, out.getvalue()


class _Python:
    """Runs the Python sessions of a document; what one defines the next knows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.names: dict[str, object] = {}

    def rendered(self, session: str) -> str:
        """Return a session with the real outputs."""
        test = doctest.DocTestParser().get_doctest(session, self.names, self.name, self.name, 0)
        lines = session.splitlines(keepends=True)
        runner = _Recorder()
        runner.run(test, clear_globs=False, out=lambda _: None)
        self.names.update(test.globs)
        for example, got in reversed(runner.differing):
            start = example.lineno + example.source.count("\n")
            lines[start : start + example.want.count("\n")] = [got]
        return "".join(lines)


_TRACEBACK = "Traceback (most recent call last):\n    ...\n"


class _Recorder(doctest.DocTestRunner):
    """Notes the examples that print something else than their document says."""

    def __init__(self) -> None:
        super().__init__(verbose=False)
        self.differing: list[tuple[doctest.Example, str]] = []

    def report_failure(self, out: object, test: object, example: doctest.Example, got: str) -> None:
        last = got.splitlines(keepends=True)[-1:] if example.exc_msg is not None else []
        self.differing.append((example, _TRACEBACK + last[0] if last else got))

    def report_unexpected_exception(
        self,
        out: object,
        test: object,
        example: doctest.Example,
        exc_info: tuple[object, BaseException, object],
    ) -> None:
        error = exc_info[1]
        if not isinstance(error, IptsimError):
            raise error  # a mistake in the document
        self.differing.append((example, _TRACEBACK + traceback.format_exception_only(error)[-1]))


def unasked(text: str) -> Iterator[str]:
    """Yield the first lines of sessions that start without a command, which no test would check."""
    for match in _BLOCK.finditer(text):
        start = "$ " if match[1] == "console" else ">>> "
        first = match[2].partition("\n")[0]
        if not first.startswith(start):
            yield first


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"  # the documents say for themselves where they are not English
    for document in sys.argv[1:] or DOCUMENTS:
        path = ROOT / document
        path.write_text(rendered(path.read_text("utf-8"), document), "utf-8")
