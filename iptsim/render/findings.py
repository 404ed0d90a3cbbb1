"""Findings as text: what is wrong, the evidence, an example packet, the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from rich.text import Text

from iptsim.addresses import Family
from iptsim.dump.tool import tool_of
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.findings import Finding, Findings
from iptsim.findings.finding import Cause, packet_and_verdict
from iptsim.languages import say, say_many, sentences
from iptsim.passages import passages
from iptsim.render.annotations import Annotation
from iptsim.render.sheets import Sheet

_INDENT = "  "
#: The most findings of one code, and the most evidence of one finding, that are shown.
_MOST_FINDINGS, _MOST_EVIDENCE = 50, 20


def findings_lines(findings: Sequence[Finding], source: str, *, heading: bool = False) -> Iterator[Text]:
    """Yield the lines that show findings, the most important first.

    Args:
        findings: what was found.
        source: the source as the user named it, for the commands that explain the example packets.
        heading: begin with the source, if there are several.
    """
    if heading:
        yield Text(f"== {printable(source)}", "bold")
    cause = findings.cause if isinstance(findings, Findings) else None
    mended = findings.mended if isinstance(findings, Findings) else None
    if cause is not None:
        yield cause_line(cause)
    is_first = cause is None
    for code, alike in groupby(findings, key=lambda finding: finding.code):
        for finding in islice(alike, _MOST_FINDINGS):
            if not is_first:
                yield Text("")
            is_first = False
            yield from _finding_lines(finding)
            yield from _remedy_lines(finding, source)
        if left := sum(1 for _ in alike):
            yield Text("")
            yield Text(
                say_many(
                    "{count} more finding {code} is not shown; --json lists all.",
                    "{count} more findings {code} are not shown; --json lists all.",
                    left,
                    code=code,
                ),
                "dim",
            )
    if not findings and cause is None:
        yield Text(say("Nothing found."))
    if mended is not None:
        yield Text("")
        yield Text(str(mended.text), "bold")
        for finding in mended.findings:
            yield Text("")
            yield from _finding_lines(finding)
    if isinstance(findings, Findings) and findings.unseen:
        yield Text("")
        yield Text(str(findings.unseen_text), "dim")


def cause_line(cause: Cause) -> Text:
    """Return the line that names the likeliest cause."""
    return Text.assemble((say("Likeliest cause") + "  ", "bold"), printable(cause.text))


def _finding_lines(finding: Finding) -> Iterator[Text]:
    colour = "bold red" if finding.severity in ("critical", "high") else "bold yellow"
    yield Text.assemble(
        (finding.code, colour), f"  {finding.severity}   ", (printable(_title(finding)), "bold")
    )
    for item in finding.evidence[:_MOST_EVIDENCE]:
        yield Text.assemble(
            _INDENT, say("{place}:  ", place=printable(item.place)), (printable(item.text), "cyan")
        )
    if (left := len(finding.evidence) - _MOST_EVIDENCE) > 0:
        yield Text(_INDENT + say("and {count} more; --json lists all", count=left), "dim")
    yield Text(f"{_INDENT}{printable(finding.consequence)}")
    if finding.shown is not None:
        yield Text(f"{_INDENT}{printable(_shown(finding.shown))}")


def _remedy_lines(finding: Finding, source: str) -> Iterator[Text]:
    if finding.shown is not None:
        yield Text(f"{_INDENT}$ {printable(finding.command(source))}", "dim", no_wrap=True)
    for number, passage in enumerate(passages(finding.remedy)):
        heading = "" if number else say("Remedy")
        between = "  " if heading and passage.words else ""
        yield Text.assemble(_INDENT, (heading + between, "dim"), printable(passage.words))
        yield from (Text(f"{2 * _INDENT}{printable(one)}", "cyan", no_wrap=True) for one in passage.commands)


def _shown(shown: Explanation) -> str:
    """Return an example packet in one line: its endpoints, its verdict and the reason."""
    return sentences(str(packet_and_verdict(shown)), shown.reason.text)


def findings_sheet(findings: Findings, source: str) -> Sheet:
    """Return findings as a table, headed by their source."""
    columns = [
        say("Severity"),
        say("Code"),
        say("Finding"),
        say("Evidence"),
        say("Consequence"),
        say("Remedy"),
    ]
    rows = [
        (
            finding.severity,
            finding.code,
            _title(finding),
            "\n".join(f"{item.place}: {item.text}" for item in finding.evidence),
            str(finding.consequence),
            str(finding.remedy),
        )
        for finding in findings
    ]
    notes = [] if rows else [say("Nothing found.")]
    if (mended := findings.mended) is not None:
        notes += [f"{mended.text} {_title(finding)}" for finding in mended.findings]
    if findings.unseen:
        notes.append(str(findings.unseen_text))
    return Sheet(source, columns, rows, notes)


def annotations_of(findings: Findings, source: str) -> list[Annotation]:
    """Return findings as annotations of the lines that show them; without any, one that the source passed."""
    if not findings:
        return [Annotation("lint", "info", say("Nothing found."), group=source, name="lint", passed=True)]
    return [_annotation(finding, source) for finding in findings]


def _annotation(finding: Finding, source: str) -> Annotation:
    file, line = _place_of(finding, source)
    lines = [f"{item.place}: {item.text}" for item in finding.evidence]
    lines.append(str(finding.consequence))
    if finding.shown is not None:
        lines += [_shown(finding.shown), f"$ {finding.command(source)}"]
    lines.append(say("Remedy: {remedy}", remedy=finding.remedy))
    return Annotation(
        finding.code,
        finding.severity,
        _title(finding),
        "\n".join(lines),
        file=file,
        line=line,
        group=source,
        name=f"{finding.code}: {_title(finding)}",
        evidence="\n".join(item.rule.shown if item.rule else str(item.text) for item in finding.evidence),
    )


def _place_of(finding: Finding, source: str) -> tuple[str, int]:
    """Return the file and line that a finding is about; line 0 for the whole file."""
    rules = [item.rule for item in finding.evidence if item.rule is not None and item.rule.line]
    if rules:
        # before a rule that never matches come those that hide it
        rule = rules[-1] if finding.code == "never-matches" else rules[0]
        return file_of(rule.source), rule.line
    dump = _dump_of(source, finding.family)
    for chain in (item.chain for item in finding.evidence):
        if chain is not None and chain.line:
            return next((file_of(rule.source) for rule in chain.rules if rule.line), dump), chain.line
    return dump, 0


def _title(finding: Finding) -> str:
    family = "IPv6: " if finding.family == 6 and finding.code != "ipv6-open" else ""
    return f"{family}{finding.title}"


def _dump_of(source: str, family: Family) -> str:
    """Return the file of a finding that no rule shows: in a capture's directory the dump of its address family."""
    folder = Path(source)
    if not folder.is_dir():
        return file_of(source)
    dump = folder / f"{tool_of(family)}-save.txt"
    return str(dump) if dump.is_file() else ""


def file_of(source: str) -> str:
    """Return a source as the file of an annotation: "" for standard input and what was made in memory."""
    return "" if source == "-" or source.startswith("<") else source
