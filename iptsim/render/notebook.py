"""The HTML of each object in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import singledispatch
from itertools import islice

from iptsim.alternatives import Proposal, WhatIf
from iptsim.alternatives.comparison import change_text
from iptsim.alternatives.proposal import Proposals
from iptsim.alternatives.shifts import Outcome
from iptsim.api import Answers
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.explanation import Explanation
from iptsim.explanation.classes import addresses_text
from iptsim.explanation.outcome_words import outcome_list, when_text
from iptsim.explanation.places import decision_of, place_of
from iptsim.explanation.story import LegVisit, story_of
from iptsim.findings import Finding, Findings
from iptsim.host import Host
from iptsim.languages import Text, language, message, message_as, message_joined, message_many, say
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Trace
from iptsim.owners.chain_owners import ChainOwners
from iptsim.passages import passages
from iptsim.reach import Reachability
from iptsim.reaching import Reaching
from iptsim.render.endpoints import endpoints_json
from iptsim.render.explanation import BRANCHES_SHOWN, asked_text
from iptsim.render.html import Html, Piece, badge, code, element, folded, number, row, table, whole
from iptsim.render.plain import (
    ANSWER_HEADS,
    CHAIN_HEADS,
    CHAINS_SHOWN,
    answer_cells,
    chains_of,
    host_kind,
    left_out_text,
    more_text,
    ruleset_title,
)
from iptsim.render.reach import HEADS, kind_text, reach_sheet, title_text
from iptsim.render.reachability_html import reachability_table
from iptsim.render.rules import chain_text, rule_words, why_text
from iptsim.render.visits_html import legs_html, result_html
from iptsim.render.visits_text import backend_of, spec
from iptsim.render.whatif import EFFECTS, aligned, legs_of_both, side_effects

#: How many rules and answers are shown; the frame has them all.
_RULES_SHOWN = 300
#: Up to this many findings are shown unfolded.
_FINDINGS_OPEN = 3


@singledispatch
def _content(thing: object) -> Piece:
    raise TypeError(f"there is no HTML for a {type(thing).__name__}")


def html(thing: object) -> str:
    """Return an object as a piece of HTML with its own style."""
    with language(getattr(thing, "language", None)):
        return str(whole(_content(thing)))


# -- rules -----------------------------------------------------------------------------------------

_RULE_HEADS = (
    "", message_as("column", "rule"), message_as("column", "in words"), message_as("column", "written by, and why"),
    message_as("column", "packets"),
)  # fmt: skip
_ENDPOINT_HEADS = (
    message_as("column", "name"), message_as("column", "addresses"), message_as("column", "networks"),
    message_as("column", "published"), "",
)  # fmt: skip
_NETWORK_HEADS = (
    message_as("column", "name"), message_as("column", "driver"), message_as("column", "bridge"),
    message_as("column", "subnets"), "",
)  # fmt: skip
_SHIFT_HEADS = (
    message_as("column", "from"), message_as("column", "to"), message_as("column", "what"),
    message_as("column", "before"), message_as("column", "after"), message_as("column", "change"),
)  # fmt: skip
_PROPOSAL_HEADS = (
    message_as("column", "change"), message_as("column", "what it means"), message_as("column", "new verdict"),
    message_as("column", "what else changes"),
)  # fmt: skip


@_content.register
def _(ruleset: Ruleset) -> Piece:
    left = _RULES_SHOWN
    parts: list[Piece] = []
    for one in ruleset.tables.values():
        count = sum(1 for _ in one.rules())
        if not count:
            continue
        parts.append(
            folded(
                [element("b", one.name), ": ", message_many("{count} rule", "{count} rules", count)],
                _rules(islice(one.rules(), left)),
            )
        )
        left -= min(left, count)
        if not left:
            parts.append(
                element("p", message("More rules are not shown; .frame() has them all."), class_="dim")
            )
            break
    return [_chain_table(ruleset_title(ruleset), chains_of(ruleset.tables.values())), parts]


@_content.register
def _(one: Table) -> Piece:
    chains = chains_of([one])
    return [
        _chain_table(message("table {name}", name=one.name), chains),
        _rules(islice(one.rules(), _RULES_SHOWN)),
    ]


@_content.register
def _(chain: Chain) -> Piece:
    title = element("p", element("b", f"{chain.table} {chain.name}"), f"  {chain_text(chain)}")
    return [
        title,
        _rules(islice(chain.rules, _RULES_SHOWN)) if chain.rules else element("p", message("no rules")),
    ]


@_content.register
def _(rule: Rule) -> Piece:
    line = say(" (line {line}):  ", line=rule.line) if rule.line else ":  "
    return [
        element("p", str(place_of(rule)), line, code(rule.shown)),
        element("p", rule_words(rule)),
        element("p", why_text(rule), class_="dim"),
    ]


def _chain_table(title: Text, chains: list[Chain]) -> Html:
    owners = ChainOwners(chain.name for chain in chains)
    rows = [
        row(chain.table, chain.name, chain_text(chain, owners), number(len(chain.rules)), head=2)
        for chain in chains[:CHAINS_SHOWN]
    ]
    if len(chains) > CHAINS_SHOWN:
        rows.append(row("", more_text(len(chains) - CHAINS_SHOWN), "", ""))
    return table(title, CHAIN_HEADS, rows)


def _rules(rules: Iterable[Rule], host: Host | None = None) -> Html:
    def rows() -> Iterator[Html]:
        last = ""
        for rule in rules:
            if rule.chain != last:
                last = rule.chain
                yield row(element("th", f"{rule.table} {rule.chain}", colspan=5, scope="rowgroup"))
            yield row(
                number(rule.position),
                code(spec(rule)),
                rule_words(rule),
                why_text(rule, host),
                number(rule.counters.packets if rule.counters is not None else None),
            )

    return table(None, _RULE_HEADS, rows())


# -- hosts -----------------------------------------------------------------------------------------


@_content.register
def _(host: Host) -> Piece:
    endpoints = endpoints_json(host)["people"]
    rows = [
        row(
            endpoint["name"],
            ", ".join(endpoint["addresses"])
            or (message("by the default route") if endpoint["kind"] == "outside" else ""),
            ", ".join(endpoint.get("networks", ())),
            ", ".join(endpoint.get("published", ())),
            "" if endpoint.get("running", True) else message("not running"),
            head=1,
        )
        for endpoint in endpoints
    ]
    networks = [
        row(
            network.name,
            network.driver,
            network.bridge or "",
            ", ".join(map(str, network.subnets)),
            message_joined(
                ", ",
                [
                    message("internal") if network.internal else "",
                    message("icc is off") if not network.icc else "",
                ],
            ),
            head=1,
        )
        for network in host.networks.values()
    ]
    return [
        element("p", host_kind(host), f" ({host.source})" if host.source else None),
        table(message("Endpoints"), _ENDPOINT_HEADS, rows),
        table(message("Networks"), _NETWORK_HEADS, networks) if networks else None,
        _assumed(host.assumptions),
    ]


def _assumed(sentences: list[Text]) -> Html | None:
    if not sentences:
        return None
    return folded(
        message("Assumed ({count})", count=len(sentences)),
        element("ul", [element("li", sentence) for sentence in sentences]),
    )


# -- answers ---------------------------------------------------------------------------------------


@_content.register
def _(trace: Trace) -> Piece:
    if trace.verdict == "DEPENDS":
        return [
            element("p", badge("DEPENDS")),
            element(
                "ul",
                [element("li", badge(way.verdict), " ", when_text(way.decisions)) for way in trace.branches],
            ),
        ]
    return [legs_html(story_of(trace)), _assumed(trace.assumptions)]


@_content.register
def _(explanation: Explanation) -> Piece:
    reason = explanation.reason
    if explanation.branches and explanation.verdict == "DEPENDS":
        way: Piece = _ways(explanation)
    else:
        way = legs_html(explanation.story)
    return [
        _headline(explanation),
        element("p", reason.text),
        _decided_by(reason.step, depends=explanation.verdict == "DEPENDS"),
        element("p", reason.advice) if reason.advice else None,
        _classes(explanation) if explanation.classes else None,
        way,
        _assumed(explanation.assumed),
    ]


def _classes(explanation: Explanation) -> Piece:
    rows = [
        row(badge(one.explanation.verdict), addresses_text(one), one.explanation.reason.text)
        for one in explanation.classes
    ]
    heads = (
        message_as("column", "verdict"),
        message_as("column", "addresses"),
        message_as("column", "why"),
    )
    return [
        table(None, heads, rows),
        element("p", message("The path for {addresses}:", addresses=addresses_text(explanation.classes[-1]))),
    ]


def _headline(explanation: Explanation) -> Html:
    return element(
        "p",
        [badge(explanation.verdict), "  ", element("b", explanation.sender), " → "],
        [element("b", explanation.target), f"  {asked_text(explanation)}"],
    )


def _decided_by(step: Step | None, *, depends: bool = False) -> Html | None:
    if step is None or step.table is None:
        return None
    rule, label = step.rule, say("Depends on") if depends else say("Decided by")
    pieces: list[Piece] = [label + " ", element("b", str(decision_of(step))), backend_of(step)]
    if rule is not None:
        pieces += [say(" (line {line}):  ", line=rule.line) if rule.line else ": ", code(spec(rule))]
    return element("p", pieces)


def _ways(explanation: Explanation) -> Piece:
    return [
        folded([badge(one.verdict), " ", when], *map(_way, one.branches[:BRANCHES_SHOWN]))
        for one, when in outcome_list(explanation.branches).rows
    ]


def _way(way: Explanation) -> Piece:
    """Return what happens on a branch."""
    decided = _decided_by(way.reason.step) or element("p", way.reason.text)
    return [element("p", when_text(way.trace.decisions)), decided, legs_html(way.story)]


@_content.register
def _(answers: Answers) -> Piece:
    rows = [
        row(*cells[:4], badge(cells[4]) if cells[4] else message("cannot be checked"), cells[5], head=1)
        for cells in islice(answer_cells(answers), _RULES_SHOWN)
    ]
    left = len(answers) - len(rows)
    more = (
        element("p", message("... and {count} more; .frame() has them all.", count=left), class_="dim")
        if left
        else None
    )
    return [table(None, ANSWER_HEADS, rows), more]


@_content.register
def _(reachability: Reachability) -> Piece:
    return reachability_table(reachability)


@_content.register
def _(answer: Reaching) -> Piece:
    rows = [
        row(*cells[:3], badge(cells[3]), *cells[4:6], code(cells[6]), head=2)
        for cells in islice(reach_sheet(answer, "").rows, _RULES_SHOWN)
    ]
    left = len(answer) - len(rows)
    more = message("... and {count} more; .frame() has them all.", count=left)
    return [
        element("p", element("b", title_text(answer)), f"  {kind_text(answer)}"),
        element("div", table(None, HEADS, rows), class_="wide"),
        element("p", more, class_="dim") if left else None,
    ]


# -- changes ---------------------------------------------------------------------------------------


@_content.register
def _(answer: WhatIf) -> Piece:
    changes = " ".join(map(change_text, answer.changes))
    parts: list[Piece] = [element("p", message("What if"), " ", code(changes)), element("p", answer.why)]
    if answer.before is None and answer.after is None:
        if answer.shifts:
            rows = (
                row(
                    shift.row.sender,
                    shift.row.to,
                    shift.row.what,
                    _outcome(shift.before),
                    _outcome(shift.after),
                    EFFECTS[shift.kind],
                )
                for shift in answer.shifts
            )
            parts.append(table(None, _SHIFT_HEADS, rows))
        if answer.left_out:
            parts.append(element("p", left_out_text(answer.left_out)))
        parts.append(_assumed(answer.host.assumptions))
        return parts
    known = answer.after or answer.before
    assert known is not None
    parts.append(
        element(
            "p", [element("b", known.sender), " → ", element("b", known.target)], f"  {asked_text(known)}"
        )
    )
    rows = (row(*cells, class_="decides" if cells[1] else None) for cells in _both(answer))
    parts.append(table(None, (message_as("column", "before"), "", message_as("column", "after")), rows))
    return parts


def _both(answer: WhatIf) -> Iterator[tuple[Piece, str, Piece]]:
    """Yield the rows of a comparison: both answers, then their steps side by side."""
    was, now = answer.before, answer.after
    yield _end(was, answer, "before"), "", _end(now, answer, "after")
    for old, new in legs_of_both(answer):
        yield _leg(old), "", _leg(new)
        for left, mark, right in aligned(old, new):
            yield _step(left), mark, _step(right)


def _leg(leg: LegVisit | None) -> Piece:
    if leg is None:
        return None
    return [element("b", f"{leg.number} {leg.title}"), " ", badge(leg.leg.verdict)]


def _end(explanation: Explanation | None, answer: WhatIf, when: str) -> Piece:
    if explanation is None:
        return answer.cannot[when]
    return [badge(explanation.verdict), " ", explanation.reason.text]


def _step(step: Step | None) -> Piece:
    if step is None:
        return None
    where = f"{step.hook} {step.table or ''} {step.chain or ''}".strip()
    position = (
        f" {step.rule.position}" if step.rule is not None else " " + say("policy") if step.policy else ""
    )
    rule = code(spec(step.rule)) if step.rule is not None and not step.called else None
    return [f"{where}{position}  ", result_html(step), " ", rule]


def _outcome(outcome: Outcome) -> Piece:
    if not outcome.verdict:
        return message("cannot be checked")
    return [
        badge(outcome.verdict),
        message(" at {place}", place=outcome.at) if outcome.at else None,
        message(", no reply") if outcome.unanswered else None,
    ]


@_content.register
def _(proposals: Proposals) -> Piece:
    lets = proposals.explanation.verdict != "ACCEPT"
    title = message("What would allow it") if lets else message("What would block it")
    if not proposals:
        return element("p", title, ": ", message("none of the changes tried does"))
    return table(title, _PROPOSAL_HEADS, map(_proposal, proposals))


def _proposal(proposal: Proposal) -> Html:
    return row(
        code(proposal.command or proposal.options),
        proposal.text,
        badge(proposal.after.verdict),
        [element("div", line) for line in side_effects(proposal)],
    )


# -- findings --------------------------------------------------------------------------------------


@_content.register
def _(findings: Findings) -> Piece:
    few = len(findings) <= _FINDINGS_OPEN
    parts: list[Piece] = []
    if findings.cause is not None:
        parts.append(element("p", element("b", message("Likeliest cause")), "  ", findings.cause.text))
    parts += [
        folded([element("b", finding.code), f"  {finding.title}"], _finding(finding), shown=few)
        for finding in findings
    ]
    if not findings and findings.cause is None:
        parts.append(element("p", message("Nothing found.")))
    if (mended := findings.mended) is not None:
        parts.append(element("p", element("b", mended.text)))
        parts += [
            folded([element("b", finding.code), f"  {finding.title}"], _finding(finding))
            for finding in mended.findings
        ]
    if findings.unseen:
        parts.append(element("p", findings.unseen_text))
    return parts


@_content.register
def _(finding: Finding) -> Piece:
    return [element("p", element("b", finding.code), f"  {finding.title}"), _finding(finding)]


def _finding(finding: Finding) -> Html:
    def rows() -> Iterator[Html]:
        for item in finding.evidence:
            yield row(item.place, code(item.text), head=1)
        yield row(message("Consequence"), finding.consequence, head=1)
        if finding.shown is not None:
            yield row(message("Shown by"), [_headline(finding.shown), finding.shown.reason.text], head=1)
        yield row(message("Remedy"), list(remedy()), head=1)

    def remedy() -> Iterator[Piece]:
        for words, commands in passages(finding.remedy):
            yield from (element("div", words), *(element("div", code(one)) for one in commands))

    return element("table", element("tbody", list(rows())))
