"""The table of reason codes, as Markdown: `python -m iptsim.explanation.table > docs/reasons.md`."""

from __future__ import annotations

import sys

from iptsim.explanation.reasons import REASONS

_INTRODUCTION = """\
# Reason codes

Made by `python -m iptsim.explanation.table`; a test keeps it true.

Every answer has one of these codes: `reason.code` in JSON and in Python. The words are stable; the sentences beside
them in an answer may change.

| code | meaning |
|---|---|
"""


def reasons_table() -> str:
    """Return the document."""
    return _INTRODUCTION + "".join(f"| `{code}` | {text} |\n" for code, text in REASONS.items())


if __name__ == "__main__":
    sys.stdout.write(reasons_table())
