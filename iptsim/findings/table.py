"""The table of findings, as Markdown: `python -m iptsim.findings.table > docs/findings.md`."""

from __future__ import annotations

import sys

from iptsim.findings.finding import CODES

_INTRODUCTION = """\
# Findings

Made by `python -m iptsim.findings.table`; a test keeps it true.

`iptsim lint SOURCE` looks at a host for what people commonly trip over. Each finding has one of the codes below, the
rules and settings that show it, what it does to a packet (a real walk, and the command that shows it again), and a
remedy. `--json` gives the same as data. The exit status is 0 when nothing was found, 1 when something was, 2 for bad
input. In Python: `iptsim.lint(source)`.

What only a saved list of containers can show (`docker inspect`) is not looked for where the source lacks it.

| code | what was found |
|---|---|
"""


def findings_table() -> str:
    """Return the document."""
    return _INTRODUCTION + "".join(f"| `{code}` | {text} |\n" for code, text in CODES.items())


if __name__ == "__main__":
    sys.stdout.write(findings_table())
