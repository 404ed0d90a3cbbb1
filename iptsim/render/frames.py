"""Tables for pandas, which is loaded on use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from iptsim.addresses import Family
from iptsim.alternatives import WhatIf
from iptsim.alternatives.proposal import Proposals
from iptsim.alternatives.shifts import Shift
from iptsim.api import Answers
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.errors import MissingExtraError
from iptsim.explanation import Explanation
from iptsim.findings import Findings
from iptsim.host import Host
from iptsim.languages import message
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg, Trace
from iptsim.reach import Reachability, arrived_at
from iptsim.reaching import Reaching
from iptsim.render.frame_columns import COLUMNS, DTYPES, Column
from iptsim.render.reach import command_text, packets_text
from iptsim.render.rules import rule_json
from iptsim.render.visits_text import changes_of
from iptsim.sets.fates import Fates
from iptsim.sets.lines import PacketLine, packet_lines
from iptsim.sets.packets import PacketSet

if TYPE_CHECKING:
    import pandas


@singledispatch
def _rows(thing: object) -> tuple[str, Iterator[dict[str, Any]]]:
    """Return the name of the frame (a key of :data:`COLUMNS`) and its rows."""
    raise TypeError(f"there is no frame of a {type(thing).__name__}")


def frame(thing: object) -> pandas.DataFrame:
    """Return an object's table.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    name, rows = _rows(thing)
    return make_frame(COLUMNS[name], rows, thing.index if isinstance(thing, Answers) else None)


def make_frame(
    columns: Mapping[str, Column], rows: Iterable[Mapping[str, Any]], index: Any = None
) -> pandas.DataFrame:
    """Return a table.

    Args:
        columns: their names and kinds.
        rows: values by column; what is left out, or None, is missing.
        index: the rows' names; None for their numbers.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtraError(
            message("a frame needs pandas; install it with: pip install 'iptsim[notebook]'")
        ) from None

    values: dict[str, list[Any]] = {name: [] for name in columns}
    for row in rows:
        for name, column in columns.items():
            value = row.get(name)
            if value is None and column.kind != "number":
                value = "" if column.kind == "text" else False
            values[name].append(value)
    return pandas.DataFrame(
        {
            name: pandas.Series(values[name], dtype=DTYPES[column.kind], index=index)
            for name, column in columns.items()
        }
    )


# -- rules -----------------------------------------------------------------------------------------


@_rows.register
def _(ruleset: Ruleset) -> tuple[str, Iterator[dict[str, Any]]]:
    return "rules", rules_rows(ruleset.rules(), ruleset.family)


@_rows.register
def _(host: Host) -> tuple[str, Iterator[dict[str, Any]]]:
    return "rules", (
        row for ruleset in host.rulesets.values() for row in rules_rows(ruleset.rules(), ruleset.family, host)
    )


@_rows.register
def _(one: Table) -> tuple[str, Iterator[dict[str, Any]]]:
    return "rules", rules_rows(one.rules())


@_rows.register
def _(chain: Chain) -> tuple[str, Iterator[dict[str, Any]]]:
    return "rules", rules_rows(chain.rules)


def rules_rows(
    rules: Iterable[Rule], family: Family | None = None, host: Host | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of rules; the host provides the names of networks and containers for Docker's rules."""
    for rule in rules:
        yield {"family": family, "target": rule.target_name, **rule_json(rule, host)}


# -- answers ---------------------------------------------------------------------------------------


@_rows.register
def _(trace: Trace) -> tuple[str, Iterator[dict[str, Any]]]:
    return "steps", _steps(trace)


@_rows.register
def _(explanation: Explanation) -> tuple[str, Iterator[dict[str, Any]]]:
    return "steps", _steps(explanation.trace)


def _steps(trace: Trace) -> Iterator[dict[str, Any]]:
    for number, leg in enumerate(trace.legs, 1):
        receiver = leg.delivered.name if leg.delivered is not None else ""
        for namespace, steps in (
            (leg.sender, leg.own_steps),
            ("host", leg.steps),
            (receiver, leg.arrival_steps),
        ):
            for step in steps:
                yield {"leg": number, "namespace": namespace, **_leg(leg), **_step(step)}


def _leg(leg: Leg) -> dict[str, Any]:
    return {"direction": leg.direction, "sender": leg.sender, "proxy": leg.proxy}


def _step(step: Step) -> dict[str, Any]:
    return {
        "hook": step.hook,
        **_place(step),
        "verdict": step.verdict,
        "policy": step.policy,
        "maybe": step.maybe,
        "changes": ", ".join(changes_of(step)),
        "note": str(step.note),
        "code": step.code,
        "in": step.interfaces[0],
        "out": step.interfaces[1],
    }


def _place(step: Step) -> dict[str, Any]:
    rule = step.rule
    place: dict[str, Any] = {"table": step.table, "chain": step.chain}
    if rule is not None:
        place.update(rule=rule.position, line=rule.line or None, text=rule.shown)
    return place


@_rows.register
def _(answers: Answers) -> tuple[str, Iterator[dict[str, Any]]]:
    return "answers", map(_answer, answers.questions, answers)


def _answer(fields: Mapping[str, Any], answer: Explanation | Exception) -> dict[str, Any]:
    if not isinstance(answer, Explanation):
        asked = {name: str(fields[name]) for name in ("id", "from", "to", "proto") if name in fields}
        return {**asked, "error": str(answer)}
    question, packet = answer.question, answer.trace.legs[0].packet
    reason = answer.reason
    return {
        "id": str(question.id) if question.id is not None else None,
        "from": str(question.sender or question.src),
        "to": str(question.to or question.dst),
        "proto": answer.what.partition("/")[0],
        "dport": packet.dport,
        "verdict": answer.verdict,
        "reason": reason.code.value,
        "why": reason.text,
        **_decision(answer),
        "at": arrived_at(answer.trace),
    }


@_rows.register
def _(reachability: Reachability) -> tuple[str, Iterator[dict[str, Any]]]:
    return "reachability", (
        {
            "from": reach.sender,
            "to": reach.receiver,
            "what": reach.row.what,
            "proto": reach.proto,
            "dport": reach.port,
            "verdict": reach.verdict,
            "outcome": reach.outcome,
            "reason": reach.reason,
            "at": reach.at,
            **_decision(reach.explanation),
            "why": reach.note or None if reach.explanation is None else reach.explanation.reason.text,
        }
        for reach in reachability
    )


@_rows.register
def _(answer: Reaching) -> tuple[str, Iterator[dict[str, Any]]]:
    return "reach", (
        {
            "from": one.sender,
            "to": one.receiver,
            "ports": packets_text(answer, one),
            "verdict": one.verdict,
            "refused": one.is_refused,
            "certain": one.fate.certain,
            "reason": one.explanation.reason.code.value,
            "why": one.explanation.reason.text,
            "command": command_text(answer, one),
            **_decision(one.explanation),
        }
        for one in answer
    )


def _decision(explanation: Explanation | None) -> dict[str, Any]:
    """Return where an answer is decided."""
    step = explanation.reason.step if explanation is not None else None
    return _place(step) if step is not None else {}


# -- changes and findings --------------------------------------------------------------------------


@_rows.register
def _(answer: WhatIf) -> tuple[str, Iterator[dict[str, Any]]]:
    if answer.before is None and answer.after is None:
        return "shifts", map(_shift, answer.shifts)
    return "comparison", (
        {"when": when, **row}
        for when, one in (("before", answer.before), ("after", answer.after))
        if one is not None
        for row in _steps(one.trace)
    )


def _shift(shift: Shift) -> dict[str, Any]:
    row = shift.row
    return {
        "from": row.sender,
        "to": row.to,
        "what": row.what,
        "proto": row.proto,
        "dport": row.port,
        "before": shift.before.verdict,
        "before_at": shift.before.at,
        "after": shift.after.verdict,
        "after_at": shift.after.at,
        "change": shift.kind,
    }


@_rows.register
def _(packets: PacketSet) -> tuple[str, Iterator[dict[str, Any]]]:
    return "packets", (_listed(line) for line in packet_lines(packets, packets.layout.family))


@_rows.register
def _(all_fates: Fates) -> tuple[str, Iterator[dict[str, Any]]]:
    return "fates", (
        {
            **_listed(line),
            "fate": number,
            "sender": fate.sender or "",
            "in": fate.iif,
            "verdict": fate.verdict,
            "reason": fate.code,
            "delivered": "" if fate.delivered is None else fate.delivered[1] or fate.delivered[0],
            "reply": fate.reply or "",
            "rule": fate.decides.shown if isinstance(fate.decides, Rule) else "",
        }
        for number, fate in enumerate(all_fates)
        for line in packet_lines(fate.packets, all_fates.family)
    )


def _listed(line: PacketLine) -> dict[str, str]:
    return {name: ",".join(line.texts(name)) for name in line.values}


@_rows.register
def _(proposals: Proposals) -> tuple[str, Iterator[dict[str, Any]]]:
    return "proposals", (
        {
            "change": proposal.command or proposal.options,
            "why": proposal.text,
            "verdict": proposal.after.verdict,
            "at": arrived_at(proposal.after.trace),
            **{
                kind: sum(shift.kind == kind for shift in proposal.also)
                for kind in ("opens", "closes", "alters")
            },
        }
        for proposal in proposals
    )


@_rows.register
def _(findings: Findings) -> tuple[str, Iterator[dict[str, Any]]]:
    return "findings", (
        {
            "code": finding.code,
            "family": finding.family,
            "title": str(finding.title),
            "places": "; ".join(str(item.place) for item in finding.evidence),
            "consequence": str(finding.consequence),
            "remedy": str(finding.remedy),
            "verdict": finding.shown.verdict if finding.shown is not None else None,
        }
        for finding in findings
    )
