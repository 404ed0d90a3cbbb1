"""The outcomes of an undecided answer in words: when each of them applies."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from iptsim.dump.rule import Rule
from iptsim.explanation.conditions import Condition, conditions_of
from iptsim.explanation.explanation import Explanation
from iptsim.explanation.outcomes import Outcome, outcomes_of
from iptsim.extensions.hidden import may_translate, rewrites
from iptsim.languages import Text, message, message_if, message_joined
from iptsim.netfilter.trace import Decision, Sent

#: The maximum number of outcomes that are listed with their conditions.
_MOST = 8


def when_text(decisions: Sequence[Decision]) -> Text:
    """Return the condition of one branch: "if filter INPUT rule 7 (limit ...) matches"."""
    conditions = conditions_of(decisions)
    yes = message_joined(" and ", [_clause(one) for one in conditions if one.does != "fails"])
    no = message_joined(" or ", [one.name for one in conditions if one.does == "fails"])
    if yes and no:
        return message("if {what}, unless {other}", what=yes, other=no)
    return message("if {what}", what=yes) if yes else message("unless {what}", what=no)


class OutcomeList(NamedTuple):
    """The outcomes of an answer, short enough to read.

    Attributes:
        rows: the outcomes, each with its condition.
        in_order: a condition decides only where none before it holds.
        is_cut: the conditions are too many, or differ in what their words leave out. So there is one row for each
            verdict instead, with the number of branches that have it.
    """

    rows: list[tuple[Outcome, Text]]
    in_order: bool = False
    is_cut: bool = False


def outcome_list(branches: Sequence[Explanation]) -> OutcomeList:
    """Return the outcomes of the branches of an answer, as a list to show."""
    rows = [(one, outcome_text(one)) for one in outcomes_of(branches)]
    if len({str(text) for _, text in rows}) == len(rows) <= _MOST:
        return OutcomeList(rows, in_order=len(rows) > 2)
    verdicts = dict[str, list[Explanation]]()
    for one in branches:
        verdicts.setdefault(one.verdict, []).append(one)
    rows = [
        (
            Outcome(verdict, (), (), tuple(alike)),
            message("on {count} of {total} branches", count=len(alike), total=len(branches)),
        )
        for verdict, alike in verdicts.items()
    ]
    return OutcomeList(rows, is_cut=True)


def outcome_text(outcome: Outcome) -> Text:
    """Return the condition of an outcome: "if filter INPUT rule 7 (limit ...) matches", "otherwise"."""
    given = _both(outcome.given) or message_joined(
        " and ", [message_joined(", or ", _clauses(group)) for group in outcome.given]
    )
    either = message_joined(", or ", _clauses(outcome.either))
    if given and either:
        return message("if {what}, and {other}", what=given, other=either)
    if given or either:
        return message("if {what}", what=given or either)
    return message("otherwise")


def _both(groups: Sequence[Sequence[Condition]]) -> Text:
    """Return the clause for rules that accept several packets; "" for other conditions."""
    conditions = [one for group in groups for one in group]
    alike = len({(one.name, one.does) for one in conditions}) == 1 < len(conditions) == len(groups)
    if not alike or conditions[0].does != "accepts":
        return ""
    return _does(conditions[0], [conditions[0].name], [one.sent for one in conditions], every=True)


def _alone(condition: Condition) -> Text:
    if condition.does == "fails":
        return message("it is not so that {what}", what=condition.name)
    return _clause(condition)


def _clauses(conditions: Sequence[Condition]) -> list[Text]:
    """Return the clauses of alternatives; those that differ only in the packet, or in the place, become one."""
    packets = dict[Hashable, list[Condition]]()
    for one in conditions:
        of_one: Hashable = (one.name, one.leads) if one.sent is not None else one.subject
        packets.setdefault((of_one, one.does), []).append(one)
    places = dict[Hashable, list[list[Condition]]]()
    for number, alike in enumerate(packets.values()):
        first = alike[0]
        packet = frozenset(one.sent for one in alike)
        alone = first.rule is None
        places.setdefault(number if alone else (first.does, packet, first.is_rest, first.leads), []).append(
            alike
        )
    return [
        _alone(groups[0][0])
        if groups[0][0].rule is None
        else _does(groups[0][0], [alike[0].name for alike in groups], [one.sent for one in groups[0]])
        for groups in places.values()
    ]


def _clause(condition: Condition) -> Text:
    if condition.rule is None:
        return condition.name
    return _does(condition, [condition.name], [condition.sent])


def _is_nat(rule: Rule | None) -> bool:
    """Return whether a rule is one of nat, or represents such rules."""
    return rule is not None and (rule.table == "nat" or may_translate(rule.table, rule.target))


def _does(
    condition: Condition, names: Sequence[Text], packets: Sequence[Sent | None], *, every: bool = False
) -> Text:
    """Return what rules do with packets, as a clause."""
    names = list(dict.fromkeys(names))
    rules: Text = message_joined(" or ", [message_joined(", ", names[:-1]), names[-1]])
    if condition.is_rest:
        rules = message("the rest of {place}", place=rules)
    sent = list(dict.fromkeys(map(_packet, packets)))
    packet = message_joined(" and ", sent) if every else message_joined(" or ", sent)
    match condition.does:
        case "continues":
            return message("{rules} lets {packet} continue", rules=rules, packet=packet)
        case "stops":
            return message("{rules} does not let {packet} continue", rules=rules, packet=packet)
        case "keeps":
            return message("{rules} keeps the source address", rules=rules)
        case "translates":
            return message("{rules} changes the source address", rules=rules)
        case "accepts" if condition.rule is not None and rewrites(condition.rule.target):
            return message("{rules} changes {packet}, which is accepted then", rules=rules, packet=packet)
        case "blocks" if condition.rule is not None and rewrites(condition.rule.target):
            return message("{rules} changes {packet}, which is blocked then", rules=rules, packet=packet)
        case "accepts" if _is_nat(condition.rule):
            return message(
                "{rules} sends {packet} to a destination where it is accepted", rules=rules, packet=packet
            )
        case "accepts":
            return message("{rules} accepts {packet}", rules=rules, packet=packet)
        case "blocks" if _is_nat(condition.rule):
            return message(
                "{rules} sends {packet} to a destination where it is blocked", rules=rules, packet=packet
            )
        case "blocks":
            return message("{rules} blocks {packet}", rules=rules, packet=packet)
    if condition.leads and condition.does == "matches":
        return message("{rules} leads to {chain}", rules=rules, chain=condition.leads)
    is_request = all(one is None or one == Sent() for one in packets)
    if is_request:
        return message_if(
            condition.does == "matches", "{rules} matches", "{rules} does not match", rules=rules
        )
    return message_if(
        condition.does == "matches",
        "{rules} matches {packet}",
        "{rules} does not match {packet}",
        rules=rules,
        packet=packet,
    )


def _packet(sent: Sent | None) -> Text:
    if sent is None or sent == Sent():
        return message("it")
    if sent.proxy:
        return message_if(
            sent.direction == "original", "docker-proxy's connection", "the reply to docker-proxy"
        )
    return message("its reply")
