"""The plain text that `print` shows for each object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import singledispatch
from io import StringIO

from rich.console import Console, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from iptsim.alternatives import WhatIf
from iptsim.alternatives.proposal import Proposals
from iptsim.api import Answers
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.errors import printable
from iptsim.explanation import Explanation
from iptsim.explanation.outcome_words import when_text
from iptsim.explanation.story import story_of
from iptsim.findings import Finding, Findings
from iptsim.host import Host
from iptsim.languages import Message, message_as, say
from iptsim.netfilter.trace import Trace
from iptsim.owners.chain_owners import ChainOwners
from iptsim.reach import Reach, Reachability
from iptsim.reaching import Reaching
from iptsim.render.console import inert
from iptsim.render.endpoints import endpoints_lines
from iptsim.render.explanation import as_text as explanation_text
from iptsim.render.findings import findings_lines
from iptsim.render.reach import reach_lines
from iptsim.render.rules import chain_lines, chain_text
from iptsim.render.visits_text import COLOURS, visit_lines
from iptsim.render.whatif import as_text as what_if_text
from iptsim.render.whatif import proposals_lines

#: Wide enough for any table: nothing is cut.
_WIDTH = 10_000


@singledispatch
def plain(thing: object) -> str:
    """Return an object as readable text."""
    raise TypeError(f"there is no text for a {type(thing).__name__}")


def _text(lines: Iterable[RenderableType]) -> str:
    console = Console(file=StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
    for line in lines:
        console.print(inert(line) if isinstance(line, Text) else line, highlight=False, soft_wrap=True)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _grid(heads: Iterable[Message | str], rows: Iterable[Iterable[str]]) -> Grid:
    grid = Grid(box=None, pad_edge=False)
    for head in heads:
        grid.add_column(str(head), no_wrap=True)
    for cells in rows:
        grid.add_row(*(Text(printable(cell)) for cell in cells))
    return grid


#: The columns of a ruleset, and how many chains are shown; its frame has every rule.
CHAIN_HEADS = (
    message_as("column", "table"),
    message_as("column", "chain"),
    "",
    message_as("column", "rules"),
)
CHAINS_SHOWN = 100


def ruleset_title(ruleset: Ruleset) -> str:
    """Return the title of a ruleset."""
    family, backend = ruleset.family, ruleset.backend
    if not ruleset.version:
        return say("IPv{family} rules ({backend})", family=family, backend=backend)
    return say(
        "IPv{family} rules of iptables {version} ({backend})",
        family=family, version=ruleset.version, backend=backend,
    )  # fmt: skip


def chains_of(tables: Iterable[Table]) -> list[Chain]:
    """Return the chains of tables, in order."""
    return [chain for table in tables for chain in table.chains.values()]


@plain.register
def _(ruleset: Ruleset) -> str:
    return _text([Text(ruleset_title(ruleset)), _chain_grid(chains_of(ruleset.tables.values()))])


@plain.register
def _(one: Table) -> str:
    return _text([_chain_grid(chains_of([one]))])


def _chain_grid(chains: list[Chain]) -> Grid:
    owners = ChainOwners(chain.name for chain in chains)
    grid = _grid(
        CHAIN_HEADS,
        ([c.table, c.name, chain_text(c, owners), str(len(c.rules))] for c in chains[:CHAINS_SHOWN]),
    )
    if len(chains) > CHAINS_SHOWN:
        grid.add_row("", more_text(len(chains) - CHAINS_SHOWN), "", "")
    return grid


def more_text(count: int) -> str:
    """Return the line for items that are not shown."""
    return say("... and {count} more", count=count)


@plain.register
def _(chain: Chain) -> str:
    return _text(chain_lines(chain))


@plain.register
def _(rule: Rule) -> str:
    return printable(rule.shown)


def host_kind(host: Host) -> str:
    """Return a heading for a host: with or without Docker, captured or inferred."""
    daemon = host.daemon
    if daemon is None:
        kind = say("A host")
    else:
        kind = say("A host with Docker {version}", version=daemon.version or daemon.generation or "").rstrip()
    return say("{host}, inferred from rules alone", host=kind) if host.inferred else kind


@plain.register
def _(host: Host) -> str:
    return _text([Text(host_kind(host)), *endpoints_lines(host)])


plain.register(Explanation, explanation_text)


plain.register(WhatIf, what_if_text)


@plain.register
def _(trace: Trace) -> str:
    def lines() -> Iterator[Text]:
        for leg in story_of(trace).legs:
            sender = say("{leg} from {sender}", leg=leg.title, sender=leg.leg.sender)
            yield Text.assemble((leg.leg.verdict, COLOURS[leg.leg.verdict]), f"   {printable(sender)}")
            for place in leg.namespaces:
                yield from visit_lines(place, leg, False)
        for branch in trace.branches:
            yield Text(f"{branch.verdict}   {when_text(branch.decisions)}")

    return _text(lines())


ANSWER_HEADS = (
    "", message_as("column", "from"), message_as("column", "to"), message_as("column", "what"),
    message_as("column", "verdict"), message_as("column", "why"),
)  # fmt: skip
_REACH_HEADS = (*ANSWER_HEADS[1:5], message_as("column", "at"), message_as("column", "reason"))


def answer_cells(answers: Answers) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield the cells of each answer: the question's number, its endpoints and packet, the verdict and the reason."""
    for place, (fields, answer) in enumerate(zip(answers.questions, answers, strict=True)):
        if isinstance(answer, Explanation):
            ends = answer.sender, answer.target, answer.what
            yield str(place), *ends, answer.verdict, answer.reason.text
        else:
            yield str(place), str(fields.get("from", "")), str(fields.get("to", "")), "", "", str(answer)


@plain.register
def _(answers: Answers) -> str:
    return _text([_grid(ANSWER_HEADS, answer_cells(answers))])


def outcome_text(one: Reach) -> str:
    """Return what happens to a connection: its verdict, and whether it is refused."""
    if not one.verdict:
        return say("cannot be checked")
    return say("{verdict}, refused", verdict=one.verdict) if one.outcome == "refused" else one.verdict


def left_out_text(count: int) -> str:
    """Return how many connections were not checked."""
    return say("({count} more connections were not checked)", count=count)


@plain.register
def _(reachability: Reachability) -> str:
    cells = (
        (
            reach.sender,
            reach.receiver,
            str(reach.row.says),
            outcome_text(reach),
            reach.at,
            reach.reason or reach.note,
        )
        for reach in reachability
    )
    left = [Text(left_out_text(reachability.left_out))] if reachability.left_out else []
    return _text([_grid(_REACH_HEADS, cells), *left])


@plain.register
def _(answer: Reaching) -> str:
    return _text(reach_lines(answer))


@plain.register
def _(proposals: Proposals) -> str:
    return _text(proposals_lines(proposals, proposals.explanation))


@plain.register
def _(findings: Findings) -> str:
    return _text(findings_lines(findings, findings.source))


@plain.register
def _(finding: Finding) -> str:
    return _text(findings_lines([finding], finding.shown.host.source if finding.shown else ""))
