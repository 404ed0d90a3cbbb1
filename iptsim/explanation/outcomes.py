"""The outcomes of an undecided answer, as a short list: the first condition that holds tells the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace

from iptsim.explanation.conditions import Condition, Does, conditions_of
from iptsim.explanation.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.netfilter.trace import Sent

_NEGATIVE: frozenset[Does] = frozenset({"passes over", "stops", "keeps", "fails"})


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
