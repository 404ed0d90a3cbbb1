"""The tables of supported extensions in docs/support.md and README.md: `make support` writes them anew."""

from __future__ import annotations

import json
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

Made by `make support`; a test keeps it true.

iptsim reads any other extension too. It keeps its options as they are, writes them back unchanged, and
says that the answer depends on it.

The column *kernel* counts where iptsim and a Linux kernel agreed: for a match, how often it held and how often
it did not, in rules of its own; for a target, how often a rule with it matched in the
[random rulesets](verification.md).

"""
#: What the kernel tests counted, in a checkout; a wheel does not have it.
ROOT = Path(__file__).resolve().parents[2]
_COUNTS = ROOT / "docs" / "kernel-verified.json"
_BEGIN, _END = "<!-- made by make support -->", "<!-- end -->"


def support_table() -> str:
    """Return the document."""
    return "".join(f"{line}\n" for line in _lines())


def counts() -> tuple[int, int]:
    """Return how many matches and how many targets there are, each name once."""
    names = {(issubclass(extension, Match), extension.name) for extension in all_extensions()}
    matches = sum(is_match for is_match, _ in names)
    return matches, len(names) - matches


def summary() -> str:
    """Return the README's table: each name under its status, with the number of packets in the kernel tests."""
    known = _known()
    lines = ["| | matches | targets |", "|---|---|---|"]
    for status in STATUSES:
        cells = []
        for kind in (True, False):
            packets: dict[str, int] = {}
            for extension in all_extensions():
                if issubclass(extension, Match) is kind and extension.status == status:
                    packets[extension.name] = sum(_agreed(extension, known))
            cells.append(", ".join(f"`{name}` {n:,}" if n else f"`{name}`" for name, n in packets.items()))
        lines.append(f"| **{status}** | {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(_COUNTS.read_text("utf-8")) if _COUNTS.exists() else {}
    return known


def _lines() -> Iterator[str]:
    known = _known()
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


def _agreed(extension: type[Extension], known: Mapping[str, Any]) -> tuple[int, ...]:
    """Return how often the kernel tests found an extension to mean what the kernel means.

    Of options tried alone: how often they held, and how often not; else how often a rule with it matched.
    """
    tried = {**known.get("options", {}), **known.get("memories", {})}
    options = tried.get(extension.name)
    if issubclass(extension, Match) and options:
        return tuple(sum(seen[truth] for seen in options.values()) for truth in ("true", "false"))
    kind = "m" if issubclass(extension, Match) else "j"
    matched = known.get("fuzz", {}).get(f"-{kind} {extension.name}")
    return (matched,) if matched else ()


def _row(extension: type[Extension], known: Mapping[str, Any]) -> str:
    family = f"IPv{extension.family}" if extension.family else "both"
    flags = " ".join(dict.fromkeys(f"`{option.flag}`" for option in extension.options))
    about = (extension.__doc__ or "").strip().partition("\n")[0].rstrip(".").replace("|", r"\|")
    agreed = " + ".join(f"{count:,}" for count in _agreed(extension, known))
    return f"| `{extension.name}` | {family} | {extension.status} | {agreed} | {flags} | {about} |"


def readme(text: str) -> str:
    """Return the README with its table made anew, between the comments that mark it."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    table = "".join(f"  {line}\n" for line in summary().splitlines())
    return f"{head}{begin}\n\n{table}\n  {end}{tail}"


def write() -> None:
    """Write both tables of a checkout."""
    (ROOT / "docs" / "support.md").write_text(support_table(), "utf-8")
    page = ROOT / "README.md"
    page.write_text(readme(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
