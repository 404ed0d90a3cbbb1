"""The table of supported extensions, as Markdown: `python -m iptsim.extensions.support > docs/support.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from iptsim.extensions.base import Extension, Match
from iptsim.extensions.registry import all_extensions

#: What each status means to a reader.
STATUSES = {
    "exact": "decided from the packet and the capture",
    "given": "decided when the capture or the question holds the fact; else the answer depends on it",
    "unknown": "nobody can tell beforehand; the answer depends on it, or `--assume` decides",
}
_INTRODUCTION = """\
# Supported matches and targets

Made by `python -m iptsim.extensions.support`; a test keeps it true.

iptsim reads any other extension too. It keeps its options as they are, writes them back unchanged, and
says that the answer depends on it.

The column *kernel* counts where iptsim and a Linux kernel agreed: for a match, how often it held and how often
it did not, its options tried one by one in rules of their own; for a target, and for a match that remembers
packets, how often a rule with it matched in the [random rulesets](verification.md).

"""
#: What the kernel tests counted, in a checkout; a wheel does not have it.
_COUNTS = Path(__file__).resolve().parents[2] / "docs" / "kernel-verified.json"


def support_table() -> str:
    """Return the document."""
    return "".join(f"{line}\n" for line in _lines())


def counts() -> tuple[int, int]:
    """Return how many matches and how many targets there are, each name once."""
    names = {(issubclass(extension, Match), extension.name) for extension in all_extensions()}
    matches = sum(is_match for is_match, _ in names)
    return matches, len(names) - matches


def _lines() -> Iterator[str]:
    known = json.loads(_COUNTS.read_text("utf-8")) if _COUNTS.exists() else {}
    yield _INTRODUCTION.rstrip("\n")
    yield ""
    for status, text in STATUSES.items():
        yield f"* **{status}**: {text}."
    for title, kind in (("Matches", True), ("Targets", False)):
        yield ""
        yield f"## {title}"
        yield ""
        yield "| name | family | status | kernel | options | what it is about |"
        yield "|---|---|---|---|---|---|"
        for extension in all_extensions():
            if issubclass(extension, Match) is kind:
                yield _row(extension, known)


def _agreed(extension: type[Extension], known: Mapping[str, Any]) -> str:
    """Return how often the kernel tests found an extension to mean what the kernel means."""
    options = known.get("options", {}).get(extension.name)
    if issubclass(extension, Match) and options:
        held, failed = (sum(seen[truth] for seen in options.values()) for truth in ("true", "false"))
        return f"{held:,} + {failed:,}"
    kind = "m" if issubclass(extension, Match) else "j"
    matched = known.get("fuzz", {}).get(f"-{kind} {extension.name}")
    return f"{matched:,}" if matched else ""


def _row(extension: type[Extension], known: Mapping[str, Any]) -> str:
    family = f"IPv{extension.family}" if extension.family else "both"
    flags = " ".join(dict.fromkeys(f"`{option.flag}`" for option in extension.options))
    about = (extension.__doc__ or "").strip().partition("\n")[0].rstrip(".").replace("|", r"\|")
    agreed = _agreed(extension, known)
    return f"| `{extension.name}` | {family} | {extension.status} | {agreed} | {flags} | {about} |"


if __name__ == "__main__":
    sys.stdout.write(support_table())
