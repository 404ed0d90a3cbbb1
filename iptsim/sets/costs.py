"""How many nodes the rules of chains make, and the error when they make too many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iptsim.extensions.constraints import Constraint, Several
from iptsim.languages import Text, message, message_joined
from iptsim.netfilter.prepared import Prepared
from iptsim.sets.packets import TooManyNodesError, too_many_nodes
from iptsim.sets.space import Space

#: The number of rules that an error about sets that grow too large names.
_WORST = 3
#: After so many rules of a chain, the nodes that all of its rules will make are estimated from the last of these; only
#: an estimate of so many times the limit is believed, as later rules may be cheaper.
_LATEST, _CERTAIN = 500, 4


class Costs:
    """Counts the nodes that each rule of a program makes.

    Args:
        space: the space of the sets.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._growth: dict[tuple[str, str, int], tuple[int, Prepared]] = {}

    def __iter__(self) -> Iterator[tuple[int, Prepared]]:
        """Yield how many nodes each rule has made."""
        yield from self._growth.values()

    def counted(self, rules: Iterable[Prepared], count: int) -> Iterator[Prepared]:
        """Yield the rules of a chain, and count the nodes that are made before the next one.

        Args:
            rules: the rules.
            count: how many there are.

        Raises:
            TooManyNodesError: the rest of the chain would need far more nodes than allowed.
        """
        space, start = self.space, self.space.nodes
        for number, prepared in enumerate(rules):
            before = space.nodes
            if number and number % _LATEST == 0:
                expected = before + (before - start) * (count - number) / _LATEST
                if expected > _CERTAIN * space.most_nodes:
                    raise too_many([self])
                start = before
            yield prepared
            rule = prepared.rule
            self._growth[rule.table, rule.chain, rule.position] = space.nodes - before, prepared


def too_many(costs: Iterable[Costs]) -> TooManyNodesError:
    """Return the error that the sets of some programs need too many nodes; it names the costliest rules."""
    known = list(costs)
    costly = sorted((one for found in known for one in found), key=lambda one: -one[0])[:_WORST]
    if not costly:
        return too_many_nodes(known[0].space.most_nodes)
    rules = (f"{one.rule.table} {one.rule.chain} rule {one.rule.position}" for _, one in costly)
    constraints = (condition.predicate.constraint for _, one in costly for condition in one.conditions)
    keys = dict.fromkeys(key for constraint in constraints for key in constrained(constraint))
    values: dict[str, Text] = {
        "most": f"{known[0].space.most_nodes:,}",
        "rules": message_joined(", ", rules),
        "fields": ", ".join(keys) or "-",
    }
    if not known[0].space.engine.is_compiled:
        return TooManyNodesError(
            message(
                "the sets of packets need more than {most} nodes; most of them come from {rules}, which compare "
                "{fields}. Install the compiled engine, which allows larger sets (pip install 'iptsim[exact]'), or "
                "leave these rules out",
                **values,
            )
        )
    return TooManyNodesError(
        message(
            "the sets of packets need more than {most} nodes; most of them come from {rules}, which compare {fields}. "
            "Leave these rules out to answer for the others",
            **values,
        )
    )


def constrained(constraint: Constraint | Several | None) -> Iterator[str]:
    """Yield the fields that a condition tests."""
    if isinstance(constraint, Several):
        for part in constraint.parts:
            yield from constrained(part)
    elif constraint is not None:
        yield constraint.field.key
