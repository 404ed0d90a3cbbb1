"""The conditions of rules as sets of packets, each made once."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import NamedTuple

from iptsim.dump.rule import Rule
from iptsim.extensions.constraints import Constraint, Several
from iptsim.extensions.context import Context
from iptsim.extensions.matches.conntrack import FLOW_PORTS
from iptsim.extensions.predicates import Predicate
from iptsim.languages import message
from iptsim.netfilter.prepared import Condition
from iptsim.sets.packets import PacketSet
from iptsim.sets.rewriting import AS_IT_CAME, Rewriting
from iptsim.sets.space import Known, Space
from iptsim.truth import Truth, negate

#: A condition on one of these fields depends on no other.
_ALONE = frozenset({"src", "dst", "in_interface", "out_interface"})


class RulePlace:
    """A name of a rule that does not depend on its line: its chain, its text, and which one of equal texts it is."""

    def __init__(self, rule: Rule, seen: dict[str, int]) -> None:
        self._rule, self._seen = rule, seen
        #: the name, once something has needed it
        self.name: Hashable = None

    def __call__(self) -> Hashable:
        """Return the name, made when it is first needed."""
        if self.name is None:
            rule = self._rule
            number = self._seen[rule.text] = self._seen.get(rule.text, 0) + 1
            self.name = rule.table, rule.chain, rule.text, number
        return self.name


class Satisfying(NamedTuple):
    """The packets that satisfy a condition, and the fields that they depend on."""

    packets: PacketSet
    fields: tuple[str, ...]


class RuleConditions:
    """The packets that satisfy the conditions of a program's rules.

    Args:
        space: the space of the sets.
        known: values of fields that the host determines.
    """

    def __init__(self, space: Space, known: Known) -> None:
        self._space, self._known = space, known
        self._matches: dict[Hashable, Satisfying] = {}
        self._fields: dict[PacketSet, tuple[str, ...]] = {}
        #: whether a condition may be decided separately at each place, by the identity of its predicate
        self._deciding: dict[int, bool] = {}

    def satisfying(
        self, condition: Condition, rewriting: Rewriting, place: RulePlace, number: int
    ) -> Satisfying:
        """Return the packets that satisfy a condition.

        Args:
            condition: the condition.
            rewriting: the fields that rules have changed before.
            place: of the rule.
            number: of the condition in the rule.
        """
        predicate = condition.predicate
        same = id(predicate)
        decides = self._deciding.get(same)
        if decides is None:
            decides = self._deciding[same] = _decides(predicate)
        decided_at = (place(), number) if decides else None
        # where the addresses were rewritten, the same condition is another decision
        moved = rewriting.only(("src", "dst")) if predicate.constraint is None else AS_IT_CAME
        key = same, moved, decided_at
        found = self._matches.get(key)
        if found is None:
            made = self._made(condition, moved, decided_at)
            found = self._matches[key] = Satisfying(made, self._fields_of(made, predicate))
        if rewriting.fields and not rewriting.changed.isdisjoint(found.fields):
            found = self._rewritten(found.packets, rewriting)
        return found

    def _rewritten(self, packets: PacketSet, rewriting: Rewriting) -> Satisfying:
        """Return the packets that are in a set after fields were rewritten."""
        key = (packets, rewriting)
        found = self._matches.get(key)
        if found is None:
            made = packets.substituted(rewriting.replacements(self._space.layout))
            found = self._matches[key] = Satisfying(made, self._tested_by(made))
        return found

    def _tested_by(self, packets: PacketSet) -> tuple[str, ...]:
        """Return the fields that a set depends on."""
        if packets not in self._fields:
            self._fields[packets] = packets.fields
        return self._fields[packets]

    def _fields_of(self, packets: PacketSet, predicate: Predicate) -> tuple[str, ...]:
        """Return the fields that a condition depends on, if possible without a look at its packets."""
        constraint = predicate.constraint
        if not isinstance(constraint, Constraint) or constraint.field.key not in _ALONE:
            return self._tested_by(packets)
        known = packets == self._space.everything or not packets
        return () if known else (constraint.field.key,)

    def _made(self, condition: Condition, moved: Rewriting, place: Hashable) -> PacketSet:
        """Return the packets that satisfy a condition before anything is rewritten."""
        predicate = condition.predicate
        if predicate.constraint is not None:
            return self._space.condition(predicate.constraint, known=self._known, place=place)
        if predicate.same in self._known:
            holds = dict(self._known[predicate.same])[True]
            return ~holds if predicate.negated else holds
        text = predicate.text.removeprefix("! ")
        why = message(
            "whether {condition} matches",
            condition=f"-m {condition.match} {text}" if condition.match else text,
        )
        same = (*predicate.same, moved) if predicate.same else ()
        found = self._space.decided_by(self._space.decision(same, why, place), partial(_unnegated, predicate))
        return ~found if predicate.negated else found


def _unnegated(predicate: Predicate, context: Context) -> Truth:
    """Return whether what a condition is about holds, without its `!`."""
    truth = predicate.test(context)
    return negate(truth) if predicate.negated else truth


def _decides(predicate: Predicate) -> bool:
    """Return whether a condition may be decided separately at each place."""
    return predicate.constraint is None or _unsteady(predicate.constraint)


def _unsteady(constraint: Constraint | Several) -> bool:
    if isinstance(constraint, Several):
        return any(map(_unsteady, constraint.parts))
    return not constraint.field.steady or constraint.field.key in FLOW_PORTS
