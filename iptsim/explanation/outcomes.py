"""The outcomes of an undecided answer, as a short list: the first condition that holds tells the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.explanation.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.base import Target
from iptsim.extensions.hidden import HiddenTarget, is_gap, may_translate
from iptsim.extensions.verdicts import BLOCKING
from iptsim.languages import Text, message, message_if, message_joined
from iptsim.netfilter.trace import ACCEPTS, CONTINUES, KEEPS, Decision, Sent

#: What the subject of a condition does: "stops" is for packets that it accepts or blocks, which makes no difference.
Does = Literal[
    "matches",
    "passes over",
    "continues",
    "stops",
    "accepts",
    "blocks",
    "keeps",
    "translates",
    "holds",
    "fails",
]
_NEGATIVE: frozenset[Does] = frozenset({"passes over", "stops", "keeps", "fails"})


@dataclass(frozen=True, slots=True)
class Condition:
    """What one thing that was undecided does on a branch.

    Attributes:
        subject: equal for the same thing and the same packet.
        does: what it does.
        name: of a rule or of rules that are not shown, the subject of the sentence; else the whole clause.
        sent: the packet; None for all of them.
        rule: the rule, if it is one.
        is_rest: the name is a chain, of which some rules are not shown.
        leads: where the rule leads packets that match; "" if that is not said.
    """

    subject: Hashable
    does: Does
    name: Text
    sent: Sent | None = None
    rule: Rule | None = field(default=None, compare=False)
    is_rest: bool = False
    leads: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Branches with the same verdict, and when they are taken.

    Attributes:
        verdict: their verdict.
        given: groups of conditions; of each group, one must hold.
        either: conditions of which one must hold too, if there are any.
        branches: the branches.
    """

    verdict: str
    given: tuple[tuple[Condition, ...], ...]
    either: tuple[Condition, ...]
    branches: tuple[Explanation, ...]

    @property
    def conditions(self) -> list[Condition]:
        """All of its conditions."""
        return [one for group in (*self.given, self.either) for one in group]


#: The maximum number of outcomes that are listed with their conditions.
_MOST = 8


def conditions_of(decisions: Sequence[Decision]) -> list[Condition]:
    """Return how a branch decided what was undecided, in the order of the walk."""
    # the last decision about a chain of nftables says what it does
    last = {one.nftables: one for one in decisions if one.nftables is not None}
    made = dict[Hashable, Condition]()
    for one in decisions:
        if one.nftables is None or last[one.nftables] is one:
            condition = _condition(one)
            made[condition.subject] = condition
    return list(made.values())


def _condition(decision: Decision) -> Condition:
    rule, value = decision.rule, decision.value
    if rule is None:
        subject: Hashable = decision.nftables or (*decision.place, str(decision.words))
        if decision.otherwise and not value:
            return Condition(subject, "holds", decision.otherwise)
        return Condition(subject, "holds" if value else "fails", decision.words)
    subject = (*decision.step, rule.line, decision.match, decision.sent)
    if isinstance(rule.target, HiddenTarget) and rule.target.scope:
        whole = message_if(
            value,
            "no rule of {scope} blocks it",
            "a rule of {scope} blocks it",
            scope=rule.target.scope,
        )
        return Condition(subject, "holds", whole)
    does: Does
    if decision.words == CONTINUES:
        # of a target with unknown effect, a further decision says whether it accepts
        settled = isinstance(rule.target, Target) and rule.target.status != "unknown"
        does = "continues" if value else "blocks" if settled else "stops"
    elif decision.words == KEEPS:
        does = "keeps" if value else "translates"
    elif decision.words == ACCEPTS:
        does = "accepts" if value else "blocks"
    else:
        does = "matches" if value else "passes over"
    name, is_rest, leads = place_of(rule), is_gap(rule.target), ""
    if decision.match and not is_rest and not isinstance(rule.target, HiddenTarget):
        name = message("{place} ({match})", place=name, match=decision.match)
        if isinstance(rule.target, Jump) and rule.table not in BUILTIN_CHAINS:
            leads = rule.target.chain  # alternatives of one rule of nftables differ in the chain
    elif not rule.position and not is_rest:
        name = message("a rule of {place} that is not shown", place=name)
    return Condition(subject, does, name, decision.sent, rule, is_rest, leads)


# -- the list ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Branch:
    """One branch: what it decides, by the number of the subject. Equal conditions of branches are one object."""

    conditions: dict[int, Condition]
    explanation: Explanation

    @property
    def verdict(self) -> str:
        return self.explanation.verdict


def outcomes_of(branches: Iterable[Explanation]) -> list[Outcome]:
    """Return the outcomes of the branches of an answer, as few as possible; the first that holds is right."""
    subjects = dict[Hashable, int]()
    known = dict[Condition, Condition]()
    made = [
        _Branch(
            {
                subjects.setdefault(one.subject, len(subjects)): known.setdefault(one, one)
                for one in conditions_of(branch.trace.decisions)
            },
            branch,
        )
        for branch in branches
    ]
    outcomes = _by_acceptance(_listed(made, ()))
    last = _last_places(made)
    return [
        _in_order(one, {subject: last[number] for subject, number in subjects.items()}) for one in outcomes
    ]


def _by_acceptance(outcomes: list[Outcome]) -> list[Outcome]:
    """Return two outcomes with the other one first, if that one is: rules that are not shown accept the packets.

    "If they accept it, else otherwise" is easier to read than "if they let it continue, or block it, else otherwise".
    """
    if len(outcomes) != 2 or any(one.given for one in outcomes) or outcomes[1].either:
        return outcomes
    other, accepted = outcomes
    does = {(one.subject, one.does) for one in other.either if one.is_rest}
    subjects = {one.subject for one in other.either}
    if len(does) != 2 * len(subjects) or {what for _, what in does} != {"continues", "blocks"}:
        return outcomes
    branches = [conditions_of(one.trace.decisions) for one in accepted.branches]
    kept = [[one for one in conditions if one.subject in subjects] for conditions in branches]
    if any({one.subject for one in own if one.does == "accepts"} != subjects for own in kept):
        return outcomes
    given = tuple((one,) for one in kept[0])
    return [replace(accepted, given=given), replace(other, either=())]


def _last_places(branches: list[_Branch]) -> dict[int, tuple[bool, int]]:
    """Return where the walk decides each subject, at the latest: whether for a later packet, and after how many."""
    last = dict[int, tuple[bool, int]]()
    for one in branches:
        for place, (subject, condition) in enumerate(one.conditions.items()):
            is_later = condition.sent is not None and condition.sent != Sent()
            last[subject] = max(last.get(subject, (False, 0)), (is_later, place))
    return last


def _in_order(outcome: Outcome, last: dict[Hashable, tuple[bool, int]]) -> Outcome:
    """Return an outcome with its alternatives in the order of the walk."""
    groups = [tuple(sorted(group, key=lambda one: last[one.subject])) for group in outcome.given]
    either = sorted(outcome.either, key=lambda one: last[one.subject])
    return replace(outcome, given=tuple(groups), either=tuple(either))


def _listed(branches: list[_Branch], given: tuple[tuple[Condition, ...], ...]) -> list[Outcome]:
    found = list[Outcome]()
    tally = _Tally(branches)
    while len(tally.verdicts) > 1:
        wanted = found[-1].verdict if found else ""
        telling = tally.telling(branches, wanted)
        if telling is None:
            return found + _split(branches, given)
        subject, condition = telling
        having = [one for one in branches if one.conditions.get(subject) is condition]
        branches = [one for one in branches if one.conditions.get(subject) is not condition]
        tally.remove(having)
        shown = tuple(one.explanation for one in having)
        outcome = Outcome(having[0].verdict, given, (condition,), shown)
        if outcome.verdict == wanted:
            both = (*found[-1].either, condition), (*found[-1].branches, *shown)
            found[-1] = replace(outcome, either=both[0], branches=both[1])
        else:
            found.append(outcome)
    shown = tuple(one.explanation for one in branches)
    return [*found, Outcome(branches[0].verdict, given, (), shown)]


class _Tally:
    """How many of some branches have each verdict: of all, of those with a condition, of those that decide a subject.

    Kept up to date as branches are removed: there may be hundreds, each with hundreds of conditions.
    """

    def __init__(self, branches: list[_Branch]) -> None:
        self.verdicts = Counter(one.verdict for one in branches)
        self._having: dict[int, Counter[str]] = {}
        self._deciding: dict[int, Counter[str]] = {}
        self._conditions: dict[int, tuple[int, Condition]] = {}
        for one in branches:
            for subject, condition in one.conditions.items():
                self._conditions[id(condition)] = subject, condition
                self._having.setdefault(id(condition), Counter())[one.verdict] += 1
                self._deciding.setdefault(subject, Counter())[one.verdict] += 1

    def remove(self, branches: list[_Branch]) -> None:
        """Remove branches."""
        for one in branches:
            _take(self.verdicts, one.verdict)
            for subject, condition in one.conditions.items():
                _take(self._having[id(condition)], one.verdict)
                _take(self._deciding[subject], one.verdict)

    def telling(self, branches: list[_Branch], wanted: str) -> tuple[int, Condition] | None:
        """Return a condition that tells the verdict alone, best one of a certain verdict; and its subject.

        Args:
            branches: those that are left, of which the first decides between conditions that are as good.
            wanted: the verdict.
        """
        ranks = {
            key: (wanted not in having, self._conditions[key][1].does in _NEGATIVE)
            for key, having in self._having.items()
            if len(having) == 1 and self._tells(*self._conditions[key], *having)
        }
        best = min(ranks.values(), default=None)
        for one in branches:
            for subject, condition in one.conditions.items():
                if best is not None and ranks.get(id(condition)) == best:
                    return subject, condition
        return None

    def _tells(self, subject: int, condition: Condition, verdict: str) -> bool:
        """Return whether a condition that only branches with this verdict have tells it.

        It says that the packet is blocked, or branches on which its subject is not decided have the verdict too.
        """
        if condition.does == "blocks" and verdict in BLOCKING:
            return True
        deciding = self._deciding[subject]
        return all(count == deciding[other] for other, count in self.verdicts.items() if other != verdict)


def _take(counts: Counter[str], verdict: str) -> None:
    counts[verdict] -= 1
    if not counts[verdict]:
        del counts[verdict]


def _split(branches: list[_Branch], given: tuple[tuple[Condition, ...], ...]) -> list[Outcome]:
    """List the branches on each side of the first thing that is decided; the longest list comes last."""
    subject = next((subject for one in branches for subject in one.conditions), None)
    if subject is None:
        return [Outcome(one.verdict, given, (), (one.explanation,)) for one in branches]
    sides = dict.fromkeys(one.conditions[subject] for one in branches if subject in one.conditions)
    lists = list[tuple[int, bool, Condition, list[_Branch]]]()
    for condition in sides:
        side = [
            _Branch({key: value for key, value in one.conditions.items() if key != subject}, one.explanation)
            for one in branches
            if one.conditions.get(subject, condition) is condition
        ]
        lists.append((len(side), condition.does in _NEGATIVE, condition, side))
    lists.sort(key=lambda one: one[:2])
    *before, (_, _, _, last) = lists
    rest = _listed(last, given)
    for _, _, condition, side in reversed(before):
        part = _listed(side, (*given, (condition,)))
        following = rest[: len(part)]
        if len(following) == len(part) and all(map(_differ_in_one, part, following)):
            rest = [*map(_either, part, following), *rest[len(part) :]]
        else:
            rest = [*part, *rest]
    return rest


def _differ_in_one(one: Outcome, other: Outcome) -> bool:
    """Return whether two outcomes are alike except for the last of the conditions given."""
    return (
        len(one.given) == len(other.given)
        and (one.verdict, one.given[:-1], set(one.either))
        == (other.verdict, other.given[:-1], set(other.either))
        and {alike.does for alike in one.given[-1]} == {alike.does for alike in other.given[-1]}
    )


def _either(one: Outcome, other: Outcome) -> Outcome:
    """Return two outcomes, alike except for the last of the conditions given, as one."""
    group = *one.given[-1], *other.given[-1]
    return replace(one, given=(*one.given[:-1], group), branches=(*one.branches, *other.branches))


# -- words -------------------------------------------------------------------------------------------


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
