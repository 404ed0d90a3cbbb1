"""The data of a report: everything that the page shows, computed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import iptsim
from iptsim.dump.ruleset import Chain, Rule, Ruleset
from iptsim.errors import printable
from iptsim.explanation import REASONS
from iptsim.findings import Finding, lint
from iptsim.host import Host
from iptsim.languages import page_language
from iptsim.owners.chains import ChainOwners, chain_owners
from iptsim.packet import FAMILIES, Family
from iptsim.pictures import topology_picture
from iptsim.reach import MOST, reachability
from iptsim.report.compact import Traces
from iptsim.report.grid import grid
from iptsim.report.host_summary import about
from iptsim.report.labels import texts

#: Most rules that a page lists; with more, it also leaves out which rules each packet did not match.
RULES = 20_000


@dataclass(frozen=True, slots=True)
class Report:
    """What a page is made of.

    Attributes:
        title: the source, in short.
        data: everything that the page shows, ready for JSON; texts from the source are inert.
        picture: the topology as SVG.
        lang: the language of its texts, as HTML names it.
    """

    title: str
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
    traces = Traces(host, map_family)
    every = _rulesets(host)
    rules = sum(
        len(chain.rules) for one in every for table in one.tables.values() for chain in table.chains.values()
    )
    room = _Room(RULES)
    rulesets = [_ruleset(one, host, traces, room) for one in every]
    verbose = rules <= RULES
    tables = [table for family in FAMILIES if (table := _table(host, family, most, traces, verbose))]
    findings = [_finding(finding, host, traces) for finding in lint(host)]
    codes = {trace["r"] for trace in traces.traces.values if "r" in trace}
    title = printable(host.source.rstrip("/").rpartition("/")[2] or "-")
    data = {
        "texts": texts(),
        "title": title,
        "source": printable(host.source),
        "version": iptsim.__version__,
        "about": about(host),
        "findings": findings,
        "tables": tables,
        "rulesets": rulesets,
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
    return Report(title, data, picture, page_language())


class _Room:
    """How many more rules a page lists."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, rules: Sequence[Rule]) -> Sequence[Rule]:
        """Return the first rules of a chain, as many as there is room for."""
        taken = rules[: self.left]
        self.left -= len(taken)
        return taken


def _rulesets(host: Host) -> list[Ruleset]:
    return [
        found[family]
        for family in FAMILIES
        for found in (host.rulesets, host.extra_rulesets)
        if family in found
    ]


def _ruleset(ruleset: Ruleset, host: Host, traces: Traces, room: _Room) -> dict[str, Any]:
    both = ruleset.family in host.extra_rulesets
    return {
        "family": ruleset.family,
        "backend": ruleset.backend if both else "",
        "chains": [
            _chain(chain, chain_owners(ruleset), traces, room)
            for table in ruleset.tables.values()
            for chain in table.chains.values()
        ],
        "warnings": [printable(warning) for warning in ruleset.warnings],
    }


def _chain(chain: Chain, owners: ChainOwners, traces: Traces, room: _Room) -> dict[str, Any]:
    listed = room.take(chain.rules)
    out: dict[str, Any] = {
        "t": chain.table,
        "c": printable(chain.name),
        "o": owners.chain(chain.name),
        "r": [traces.rule(rule) for rule in listed],
    }
    if len(listed) < len(chain.rules):
        out["z"] = len(chain.rules) - len(listed)
    if chain.builtin:
        out["p"] = chain.policy or "ACCEPT"
        if chain.counters is not None:
            out["k"] = [chain.counters.packets, chain.counters.octets]
    return out


def _table(host: Host, family: Family, most: int, traces: Traces, verbose: bool) -> dict[str, Any] | None:
    """Return the grid of one address family; None if no endpoint has an address of it."""
    if family not in host.rulesets and (host.inferred or family != FAMILIES[0]):
        return None
    table = reachability(host, family, most=most, verbose=verbose)
    return grid(table, traces) if any(row.verdict for row in table) else None


def _finding(finding: Finding, host: Host, traces: Traces) -> dict[str, Any]:
    out: dict[str, Any] = {
        "code": finding.code,
        "family": finding.family,
        "title": printable(finding.title),
        "consequence": printable(finding.consequence),
        "remedy": printable(finding.remedy),
        "evidence": [
            {
                "place": printable(item.place),
                "text": printable(item.text),
                **({"rule": traces.rule(item.rule)} if item.rule is not None else {}),
            }
            for item in finding.evidence
        ],
    }
    if finding.shown is not None:
        out["shown"] = traces.trace(finding.shown)
        out["command"] = printable(finding.command(host.source))
    return out
