"""What notebooks show of each object: HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import singledispatch
from itertools import islice

from iptsim.alternatives import Proposal, WhatIf
from iptsim.alternatives.comparison import change_text
from iptsim.alternatives.proposals import Proposals
from iptsim.alternatives.table import Outcome
from iptsim.api import Answers
from iptsim.dump.ruleset import Chain, Rule, Ruleset, Table
from iptsim.explanation import Explanation
from iptsim.explanation.places import decision_of
from iptsim.explanation.story import LegVisit, story_of
from iptsim.findings import Finding, Findings
from iptsim.host import Host
from iptsim.languages import Message, say
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Trace
from iptsim.owners.chains import ChainOwners
from iptsim.reach import Reach, Reachability
from iptsim.render.endpoints import endpoints_json
from iptsim.render.explanation import WAYS_SHOWN, asked_text, when_text
from iptsim.render.html import Html, Piece, badge, code, element, folded, number, row, table, whole
from iptsim.render.plain import (
    ANSWER_HEADS,
    CHAIN_HEADS,
    CHAINS_SHOWN,
    answer_cells,
    chains_of,
    host_kind,
    ruleset_title,
)
from iptsim.render.rules import chain_text, rule_words, why_text
from iptsim.render.visits_html import legs_html, what_html
from iptsim.render.visits_text import backend_of, spec
from iptsim.render.whatif import aligned, legs_of_both

#: Rules and answers that are shown; the frame has them all.
_RULES_SHOWN = 300
#: Up to so many senders, a table of who reaches whom has the reasons in its cells.
_SENDERS_WIDE = 8
#: So many findings are shown unfolded.
_FINDINGS_OPEN = 3


@singledispatch
def _content(thing: object) -> Piece:
    raise TypeError(f"there is no HTML for a {type(thing).__name__}")


def html(thing: object) -> str:
    """Return an object as a piece of HTML that brings its style along."""
    return str(whole(_content(thing)))


# -- rules -----------------------------------------------------------------------------------------

_RULE_HEADS = ("", "rule", "in words", "whose, and why", "packets")


@_content.register
def _(ruleset: Ruleset) -> Piece:
    left = _RULES_SHOWN
    parts: list[Piece] = []
    for one in ruleset.tables.values():
        count = sum(1 for _ in one.rules())
        if not count:
            continue
        parts.append(folded([element("b", one.name), f": {count} rules"], _rules(islice(one.rules(), left))))
        left -= min(left, count)
        if not left:
            parts.append(element("p", "More rules are not shown; .frame() has them all.", class_="dim"))
            break
    return [_chain_table(ruleset_title(ruleset), chains_of(ruleset.tables.values())), parts]


@_content.register
def _(one: Table) -> Piece:
    chains = chains_of([one])
    return [_chain_table(f"table {one.name}", chains), _rules(islice(one.rules(), _RULES_SHOWN))]


@_content.register
def _(chain: Chain) -> Piece:
    title = element("p", element("b", f"{chain.table} {chain.name}"), f"  {chain_text(chain)}")
    return [title, _rules(islice(chain.rules, _RULES_SHOWN)) if chain.rules else element("p", "no rules")]


@_content.register
def _(rule: Rule) -> Piece:
    line = f" (line {rule.line})" if rule.line else ""
    return [
        element("p", f"{rule.table} {rule.chain} rule {rule.position}{line}  ", code(rule.text)),
        element("p", rule_words(rule)),
        element("p", why_text(rule), class_="dim"),
    ]


def _chain_table(title: str, chains: list[Chain]) -> Html:
    owners = ChainOwners(chain.name for chain in chains)
    rows = [
        row(chain.table, chain.name, chain_text(chain, owners), number(len(chain.rules)), head=2)
        for chain in chains[:CHAINS_SHOWN]
    ]
    if len(chains) > CHAINS_SHOWN:
        rows.append(row("", f"... and {len(chains) - CHAINS_SHOWN} more", "", ""))
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
    people = endpoints_json(host)["people"]
    rows = [
        row(
            person["name"],
            ", ".join(person["addresses"]) or ("by the default route" if person["kind"] == "outside" else ""),
            ", ".join(person.get("networks", ())),
            ", ".join(person.get("published", ())),
            "" if person.get("running", True) else "not running",
            head=1,
        )
        for person in people
    ]
    networks = [
        row(
            network.name,
            network.driver,
            network.bridge or "",
            ", ".join(map(str, network.subnets)),
            ", ".join(
                text for text, so in (("internal", network.internal), ("icc is off", not network.icc)) if so
            ),
            head=1,
        )
        for network in host.networks.values()
    ]
    return [
        element("p", host_kind(host), f", from {host.source}" if host.source else None),
        table("Whom one can ask about", ("name", "addresses", "networks", "published", ""), rows),
        table("Networks", ("name", "driver", "bridge", "subnets", ""), networks) if networks else None,
        _assumed(host.assumptions),
    ]


def _assumed(sentences: list[Message | str]) -> Html | None:
    if not sentences:
        return None
    return folded(
        f"Assumed ({len(sentences)})", element("ul", [element("li", str(one)) for one in sentences])
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
        _decided_by(reason.step),
        element("p", reason.advice) if reason.advice else None,
        way,
        _assumed(explanation.assumed),
    ]


def _headline(explanation: Explanation) -> Html:
    return element(
        "p",
        [badge(explanation.verdict), "  ", element("b", explanation.sender), " → "],
        [element("b", explanation.target), f"  {asked_text(explanation)}"],
    )


def _decided_by(step: Step | None) -> Html | None:
    if step is None or step.table is None:
        return None
    rule = step.rule
    told: list[Piece] = [say("Decided by") + " ", element("b", str(decision_of(step))), backend_of(step)]
    if rule is not None:
        told += [say(" (line {line}):  ", line=rule.line) if rule.line else ": ", code(spec(rule))]
    return element("p", told)


def _ways(explanation: Explanation) -> Piece:
    parts = [
        folded(
            [badge(way.verdict), " ", when_text(way.trace.decisions)],
            _decided_by(way.reason.step) or element("p", way.reason.text),
            legs_html(way.story),
        )
        for way in explanation.branches[:WAYS_SHOWN]
    ]
    left = len(explanation.branches) - WAYS_SHOWN
    return [parts, element("p", f"... and {left} more ways") if left > 0 else None]


@_content.register
def _(answers: Answers) -> Piece:
    rows = [
        row(*cells[:4], badge(cells[4]) if cells[4] else "can't be asked", cells[5], head=1)
        for cells in islice(answer_cells(answers), _RULES_SHOWN)
    ]
    left = len(answers) - len(rows)
    more = element("p", f"... and {left} more; .frame() has them all.", class_="dim") if left else None
    return [table(None, ANSWER_HEADS, rows), more]


@_content.register
def _(reachability: Reachability) -> Piece:
    senders = list(dict.fromkeys(one.sender for one in reachability))
    asked: dict[tuple[str, str], dict[str, Reach]] = {}
    for one in sorted(reachability, key=lambda one: one.receiver):
        asked.setdefault((one.receiver, one.row.what), {})[one.sender] = one
    cell = _reach if len(senders) <= _SENDERS_WIDE else _reach_in_short
    rows = [
        row(to, what, *(cell(found.get(sender)) for sender in senders), head=2)
        for (to, what), found in asked.items()
    ]
    left = reachability.left_out
    return [
        element("div", table("Who reaches whom", ("to", "what", *_from(senders)), rows), class_="wide"),
        _legend(reachability) if cell is _reach_in_short else None,
        element("p", f"({left} more connections were not checked)", class_="dim") if left else None,
    ]


def _from(senders: list[str]) -> list[str]:
    return [f"from {sender}" if not place else sender for place, sender in enumerate(senders)]


def _reach(reach: Reach | None) -> Piece:
    if reach is None:
        return None
    if not reach.verdict:
        return element("span", "can't be asked", title=reach.note, class_="dim")
    elsewhere = f" at {reach.at}" if reach.at not in ("", "outside", reach.receiver) else None
    refused = ", refused" if reach.outcome == "refused" else None
    return [badge(reach.verdict), refused, elsewhere, element("div", reach.reason, class_="dim")]


#: How the short form tells what passes from what a program receives.
_REFUSED = "ACCEPT, refused"


def _reach_in_short(reach: Reach | None) -> Piece:
    if reach is None or not reach.verdict:
        return None
    if reach.outcome == "refused":
        return _short(_REFUSED, f"{reach.verdict}, refused: {reach.reason}")
    return _short(reach.verdict, f"{reach.verdict}: {reach.reason}")


def _short(verdict: str, title: str | None = None) -> Html:
    mark = {"DEPENDS": "?", _REFUSED: "∅"}.get(verdict, verdict[0])
    return element("span", mark, class_=f"verdict {verdict.partition(',')[0]}", title=title)


def _legend(reachability: Reachability) -> Html:
    found = sorted(
        {_REFUSED if one.outcome == "refused" else one.verdict for one in reachability if one.verdict}
    )
    return element("p", [[_short(verdict), f" {verdict}  "] for verdict in found])


# -- changes ---------------------------------------------------------------------------------------


@_content.register
def _(answer: WhatIf) -> Piece:
    changes = " ".join(map(change_text, answer.changes))
    parts: list[Piece] = [element("p", "What if ", code(changes)), element("p", answer.why)]
    if answer.before is None and answer.after is None:
        if answer.shifts:
            rows = (
                row(
                    shift.row.sender,
                    shift.row.to,
                    shift.row.what,
                    _outcome(shift.before),
                    _outcome(shift.after),
                    shift.kind,
                )
                for shift in answer.shifts
            )
            parts.append(table(None, ("from", "to", "what", "before", "after", "it"), rows))
        if answer.left_out:
            parts.append(element("p", f"({answer.left_out} more connections were not checked)"))
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
    parts.append(table(None, ("before", "", "after"), rows))
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
    position = f" {step.rule.position}" if step.rule is not None else " policy" if step.policy else ""
    jumped = step.verdict.startswith(("JUMP:", "GOTO:"))
    rule = code(spec(step.rule)) if step.rule is not None and not jumped else None
    return [f"{where}{position}  ", what_html(step), " ", rule]


def _outcome(outcome: Outcome) -> Piece:
    if not outcome.verdict:
        return "can't be asked"
    return [badge(outcome.verdict), f" at {outcome.at}" if outcome.at else None]


@_content.register
def _(found: Proposals) -> Piece:
    lets = found.explanation.verdict != "ACCEPT"
    title = "What would let it through" if lets else "What would keep it out"
    if not found:
        return element("p", f"{title}: none of the tried changes does")
    return table(
        title, ("change", "what it means", "verdict then", "what else changes"), map(_proposal, found)
    )


def _proposal(proposal: Proposal) -> Html:
    also = [
        element("div", f"{shift.kind} {shift.row.sender} → {shift.row.to} {shift.row.what}")
        for shift in proposal.also
    ]
    return row(
        code(proposal.command or proposal.options),
        proposal.text,
        badge(proposal.after.verdict),
        also or "nothing that was asked",
    )


# -- findings --------------------------------------------------------------------------------------


@_content.register
def _(found: Findings) -> Piece:
    if not found:
        return element("p", "Nothing found.")
    few = len(found) <= _FINDINGS_OPEN
    return [folded([element("b", one.code), f"  {one.title}"], _finding(one), shown=few) for one in found]


@_content.register
def _(found: Finding) -> Piece:
    return [element("p", element("b", found.code), f"  {found.title}"), _finding(found)]


def _finding(found: Finding) -> Html:
    def rows() -> Iterator[Html]:
        for item in found.evidence:
            yield row(item.place, code(item.text), head=1)
        yield row("Consequence", found.consequence, head=1)
        if found.shown is not None:
            yield row("Shown by", [_headline(found.shown), found.shown.reason.text], head=1)
        yield row("Remedy", found.remedy, head=1)

    return element("table", element("tbody", list(rows())))
