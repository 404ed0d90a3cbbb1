"""The contents of a report: everything that the page shows, computed beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iptsim.addresses import FAMILIES, Family
from iptsim.errors import printable
from iptsim.explanation import REASONS
from iptsim.findings import Finding, lint
from iptsim.host import Host
from iptsim.languages import message, page_language, text_of
from iptsim.pictures import topology_picture
from iptsim.reaching import Reaching, reach
from iptsim.report.anchors import Anchors
from iptsim.report.compact import Traces
from iptsim.report.exposure import exposure_of, exposure_section
from iptsim.report.findings_section import findings_section
from iptsim.report.grid import Grid
from iptsim.report.host_section import host_section
from iptsim.report.host_summary import about
from iptsim.report.labels import foot, lead, texts
from iptsim.report.markup import Markup
from iptsim.report.matrix import matrices
from iptsim.report.overview import overview
from iptsim.report.policies import policies_section
from iptsim.report.rules_section import listed, rules_section
from iptsim.sets.limits import TooManyWaysError
from iptsim.sets.packets import TooManyNodesError

#: Most rules that a page lists; with more, it also leaves out which rules each packet did not match.
RULES = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a page.

    Attributes:
        title: a short name of the source.
        sections: what the page shows, as HTML, by the name of the section.
        data: the data for the page's script, ready for JSON; texts from the source are inert.
        picture: the topology as SVG.
        lang: the language of its texts, as HTML names it.
    """

    title: str
    sections: dict[str, Markup]
    data: dict[str, Any]
    picture: str
    lang: str


def report(host: Host) -> Report:
    """Return the report of a host.

    Raises:
        RulesetError: the rules loop or jump to a chain that does not exist.
        WalkLimitError: the rules have too many branches.
    """
    map_family: Family = 6 if 4 not in host.rulesets and 6 in host.rulesets else 4
    traces, anchors = Traces(host, map_family), Anchors(host)
    rulesets = listed(anchors, RULES)
    verbose = not any(one.left_out for ruleset in rulesets for one in ruleset.chains)
    answers, left_out = list[Reaching](), None
    for family in FAMILIES:
        try:
            answer = _answer(host, family, verbose)
        except (TooManyNodesError, TooManyWaysError) as error:
            left_out = message("Not computed for IPv{family}: {why}.", family=family, why=text_of(error))
        else:
            answers += [answer] if answer is not None else []
    grids = list(map(Grid, answers))
    findings = lint(host)
    exposure, facts = exposure_of(answers, left_out), about(host)
    title = printable(host.source.rstrip("/").rpartition("/")[2] or "-")
    data = {
        "texts": texts(),
        "title": title,
        "containers": [_searched(one) for one in facts["containers"]],
        "findings": [_finding(one, traces) for one in findings],
        "tables": [grid.as_json(traces) for grid in grids],
        "rulesets": [one.as_json(traces) for one in rulesets],
    }
    sections = {
        "lead": lead(findings, host),
        "overview": overview(host, exposure, findings),
        "open": exposure_section(exposure, host.source, anchors),
        "findings": findings_section(findings, anchors),
        "policies": policies_section(host, anchors),
        "reach": matrices(grids, anchors, left_out),
        "host": host_section(facts),
        "rules": rules_section(rulesets, traces, anchors),
        "foot": foot(host),
    }
    codes = {trace["r"] for trace in traces.traces.values if "r" in trace}
    data |= {
        "reasons": {code: str(text) for code, text in REASONS.items() if code in codes},
        "strings": traces.texts.values,
        "rules": traces.rules.values,
        "skips": traces.skips.values,
        "steps": traces.steps.values,
        "legs": traces.legs.values,
        "ways": traces.ways.values,
        "traces": traces.traces.values,
    }
    picture = topology_picture(host, family=map_family).svg(style="", names=True)
    return Report(title, sections, data, picture, page_language())


def _answer(host: Host, family: Family, verbose: bool) -> Reaching | None:
    """Return who can reach what over one address family; None if there are no rules and no endpoints of it."""
    if family not in host.rulesets and (host.inferred or family != FAMILIES[0]):
        return None
    answer = reach(host, family=family, apart=True, verbose=verbose)
    return answer if answer.senders else None


def _searched(container: dict[str, Any]) -> list[str]:
    """Return a container's name, and what else the search finds it by."""
    return [
        container["name"],
        ", ".join([*container["networks"], *container["addresses"], *container["published"]]),
    ]


def _finding(finding: Finding, traces: Traces) -> dict[str, Any]:
    out: dict[str, Any] = {"code": finding.code, "title": printable(finding.title)}
    if finding.shown is not None:
        out["shown"] = traces.trace(finding.shown)
    return out
