"""The findings by severity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.errors import printable
from iptsim.findings import Evidence, Finding, Findings
from iptsim.languages import say
from iptsim.passages import passages
from iptsim.report.anchors import Anchors
from iptsim.report.markup import Content, Markup, code, element, isolated, pairs, together
from iptsim.report.outcomes import OUTCOMES, SEVERITIES, badge


def counts(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """Return how many findings there are of each severity that occurs, most serious first."""
    found = {name: sum(1 for one in findings if one.severity == name) for name in SEVERITIES}
    return [(name, count) for name, count in found.items() if count]


def findings_section(findings: Findings, anchors: Anchors) -> Markup:
    """Return the findings under the headings of their severities; each leads to its rules and its packet.

    Before them, the likeliest cause if a pasted text has one; behind them, the tables that the source does not show.
    """
    parts: list[Content] = []
    if findings.cause is not None:
        parts.append(element("p", element("b", say("Likeliest cause")), " ", isolated(findings.cause.text)))
    elif not findings:
        parts.append(element("p", say("No problems found.")))
    parts += [_severity(name, count, findings, anchors) for name, count in counts(findings)]
    if (mended := findings.mended) is not None:
        parts.append(element("h3", isolated(mended.text)))
        parts += [
            element("p", element("b", isolated(finding.title)), " ", isolated(finding.consequence))
            for finding in mended.findings
        ]
    if findings.unseen:
        parts.append(element("p.soft.behind", isolated(findings.unseen_text)))
    return together(*parts)


def _severity(name: str, count: int, findings: Findings, anchors: Anchors) -> Iterator[Markup]:
    yield element(
        f"h3.severity.v-{name}",
        element("span", SEVERITIES[name].sign, aria_hidden="true"), " ", SEVERITIES[name].word,
        element("span.soft", f" ({count})"),
    )  # fmt: skip
    for number, finding in enumerate(findings):
        if finding.severity == name:
            yield _finding(number, finding, findings.source, anchors)


def _finding(number: int, finding: Finding, source: str, anchors: Anchors) -> Markup:
    named = finding.family == 6 and "IPv6" not in str(finding.title)
    return element(
        f"article.finding.v-{finding.severity}",
        element("h4", isolated(finding.title)),
        element("p", isolated(finding.consequence)),
        pairs(
            (say("Remedy"), list(_remedy(finding))),
            (say("Shown by"), [_evidence(item, anchors) for item in finding.evidence]),
            (say("For example"), list(_example(number, finding, source))),
            (
                say("Code"),
                [element("span.tag", finding.code), element("span.tag", "IPv6") if named else None],
            ),
        ),
        id=f"finding/{number}",
        tabindex=-1,
    )


def _remedy(finding: Finding) -> Iterator[Content]:
    for words, commands in passages(finding.remedy):
        if words:
            yield element("div", isolated(words))
        yield from (code(printable(one)) for one in commands)


def _evidence(item: Evidence, anchors: Anchors) -> Markup:
    address = anchors.rule(item.rule)
    place = element("a", isolated(item.place), href=f"#{address}") if address else isolated(item.place)
    return element("div.evidence", place, code(printable(item.text)))


def _example(number: int, finding: Finding, source: str) -> Iterator[Content]:
    if finding.shown is None:
        return
    path = element("a.scripted", say("Show the packet path"), href=f"#trace/finding/{number}")
    ends = f"{finding.shown.sender} → {finding.shown.target}"
    verdict = finding.shown.verdict
    yield element("div", badge(OUTCOMES[verdict], verdict), " ", isolated(ends), " ", path)
    yield code(finding.command(source))
