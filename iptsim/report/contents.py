"""The contents of a report: everything that the page shows, computed beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from iptsim.errors import printable
from iptsim.explanation import REASONS
from iptsim.findings import Finding, lint
from iptsim.host import Host
from iptsim.languages import page_language
from iptsim.packet import FAMILIES, Family
from iptsim.pictures import topology_picture
from iptsim.reach import MOST, Reachability, reachability
from iptsim.report.compact import Traces
from iptsim.report.exposure import exposure_of, exposure_section
from iptsim.report.findings_section import findings_section
from iptsim.report.grid import grid_of
from iptsim.report.host_section import host_section
from iptsim.report.host_summary import about
from iptsim.report.labels import foot, lead, texts
from iptsim.report.markup import Markup
from iptsim.report.matrix import matrices
from iptsim.report.overview import overview
from iptsim.report.places import Places
from iptsim.report.policies import policies_section
from iptsim.report.rules_section import listed, rules_section

#: Most rules that a page lists; with more, it also leaves out which rules each packet did not match.
RULES = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a page is made of.

    Attributes:
        title: the source, in short.
        sections: what the page shows, as HTML, by the name of the section.
        data: what the page's script needs beside it, ready for JSON; texts from the source are inert.
        picture: the topology as SVG.
        lang: the language of its texts, as HTML names it.
    """

    title: str
    sections: dict[str, Markup]
    data: dict[str, Any]
    picture: str
    lang: str


def report(host: Host, *, most: int = MOST) -> Report:
    """Return the report of a host.

    Args:
        host: the host.
        most: how many connections are checked at most, for each address family.

    Raises:
        RulesetError: the rules loop or jump to a chain that does not exist.
        WalkLimitError: the rules have too many branches.
    """
    map_family: Family = 6 if 4 not in host.rulesets and 6 in host.rulesets else 4
    traces, places = Traces(host, map_family), Places(host)
    rulesets = listed(places, RULES)
    verbose = not any(one.left_out for ruleset in rulesets for one in ruleset.chains)
    tables = (_table(host, family, most, verbose) for family in FAMILIES)
    grids = [grid_of(table) for table in tables if table is not None]
    findings = lint(host)
    exposure, facts = exposure_of(grids), about(host)
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
        "lead": lead(grids, findings, host),
        "overview": overview(host, exposure, findings),
        "open": exposure_section(exposure, host.source, places),
        "findings": findings_section(findings, host.source, places),
        "policies": policies_section(host, places),
        "reach": matrices(grids, places),
        "host": host_section(facts),
        "rules": rules_section(rulesets, traces, places),
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


def _table(host: Host, family: Family, most: int, verbose: bool) -> Reachability | None:
    """Return the reachability over one address family; None if no endpoint has an address of it."""
    if family not in host.rulesets and (host.inferred or family != FAMILIES[0]):
        return None
    table = reachability(host, family, most=most, verbose=verbose)
    return table if any(row.verdict for row in table) else None


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
