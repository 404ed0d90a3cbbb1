"""Rules that differ only in which packets they match, so that the walk of one shows what follows for the other.

In a long chain, most rules accept, and after any of them packets of one class take the same path. Walking a packet for
each of these rules would find the same again; only the deciding rule is another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from iptsim.flows.observing import Lookup
from iptsim.netfilter.chain_index import indexed
from iptsim.netfilter.prepared import Prepared
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Trace

#: Targets that do the same whenever they have the same options, and change nothing.
_SAME = frozenset({"ACCEPT", "DROP", "REJECT"})


def is_example(trace: Trace) -> bool:
    """Return whether a walk can show what follows for other rules: nothing in it was undecided."""
    return not (trace.branches or trace.decisions or trace.hinges)


@contextmanager
def as_twin(trace: Trace, asked: Lookup, walked: int, other: int) -> Iterator[bool]:
    """Put another rule of a chain in place of the one that matched, while the context lasts.

    Args:
        trace: the walk.
        asked: what found the rule.
        walked: the index of the rule that matched.
        other: the index of the rule that matches instead.

    Yields:
        Whether the walk is then that of a packet for which the other rule is the first that matches.
    """
    step = _step_of(trace, asked, walked, other)
    if step is None:
        yield False
        return
    own, step.rule = step.rule, asked.chain.rules[other].rule
    try:
        yield True
    finally:
        step.rule = own


def _step_of(trace: Trace, asked: Lookup, walked: int, other: int) -> Step | None:
    """Return the step of a rule, if another one would differ in nothing else; else None."""
    rules = asked.chain.rules
    if not asked.firm or max(walked, other) >= len(rules):
        return None
    first, second = rules[walked], rules[other]
    if not (_is_plain(first) and _is_plain(second) and first.target == second.target):
        return None
    steps = [step for leg in trace.legs for step in leg.all_steps]
    found = [step for step in steps if step.rule is first.rule]
    if len(found) != 1 or found[0].maybe or any(step.rule is second.rule for step in steps):
        return None
    return found[0]


def _is_plain(rule: Prepared) -> bool:
    """Return whether the index knows all conditions of a rule, and its target only decides."""
    target = rule.target
    return (
        target is not None and target.name in _SAME and sum(1 for _ in indexed(rule)) == len(rule.conditions)
    )
