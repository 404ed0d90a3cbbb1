"""Findings as text: what is wrong, the evidence, an example packet, the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.findings import Finding, Findings
from iptsim.languages import say, sentences

_INDENT = "  "


def findings_lines(findings: Sequence[Finding], source: str, *, heading: bool = False) -> Iterator[Text]:
    """Yield the lines that show findings, the most important first.

    Args:
        findings: what was found.
        source: the source as the user named it, for the commands that explain the example packets.
        heading: begin with the source, if there are several.
    """
    if heading:
        yield Text(f"== {printable(source)}", "bold")
    if not findings:
        yield Text(say("Nothing found."))
    for number, finding in enumerate(findings):
        if number:
            yield Text("")
        yield from _finding_lines(finding, source)
    if isinstance(findings, Findings) and findings.cause is not None:
        yield Text("")
        yield Text.assemble((say("Likeliest cause") + "  ", "bold"), printable(findings.cause.text))


def _finding_lines(finding: Finding, source: str) -> Iterator[Text]:
    family = "IPv6: " if finding.family == 6 and finding.code != "ipv6-open" else ""
    colour = "bold red" if finding.severity in ("critical", "high") else "bold yellow"
    yield Text.assemble(
        (finding.code, colour), f"  {finding.severity}   ", (f"{family}{printable(finding.title)}", "bold")
    )
    for item in finding.evidence:
        yield Text.assemble(_INDENT, f"{printable(item.place)}:  ", (printable(item.text), "cyan"))
    yield Text(f"{_INDENT}{printable(finding.consequence)}")
    if finding.shown is not None:
        yield Text(f"{_INDENT}{printable(_shown(finding.shown))}")
        yield Text(f"{_INDENT}$ {printable(finding.command(source))}", "dim", no_wrap=True)
    yield Text.assemble(_INDENT, (say("Remedy") + "  ", "dim"), printable(finding.remedy))


def _shown(shown: Explanation) -> str:
    """Return an example packet in one line: its endpoints, its verdict and the reason."""
    what = shown.question.what()
    answer = say(
        "{sender} → {target}, {what}: {verdict}.",
        sender=shown.sender, target=shown.target, what=what, verdict=shown.verdict,
    )  # fmt: skip
    return sentences(answer, shown.reason.text)
