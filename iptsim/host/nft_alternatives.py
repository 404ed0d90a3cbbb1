"""Rules of nftables with several alternatives or statements, as one or more rules of iptables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from iptsim.host.nft_conditions import Conditions
from iptsim.host.nft_translations import UntranslatableError

#: Matches whose result a rule may change, and which targets change it.
CHANGEABLE: frozenset[str] = frozenset({"connmark", "conntrack", "dscp", "hl", "mark", "ttl"})
_CHANGES = (
    (re.compile(r"-j (?:MARK|CONNMARK --restore)"), {"mark"}),
    (re.compile(r"-j CONNMARK --s"), {"connmark"}),
    (re.compile(r"-j CT"), {"connmark", "conntrack"}),
    (re.compile(r"-j (?:HL|TTL)"), {"hl", "ttl"}),
    (re.compile(r"-j DSCP"), {"dscp"}),
)
#: Targets after which no packet continues with the next rule.
_ENDS = re.compile(
    r"-g |-j (?:ACCEPT|DROP|RETURN|REJECT|NFQUEUE|DNAT|SNAT|MASQUERADE|REDIRECT|NETMAP)(?: |$)"
)
#: The maximum number of alternatives of a rule; those for the services of a cluster are some thousands.
_MOST = 30_000


class Action(NamedTuple):
    """What a statement of a rule does.

    Attributes:
        more: alternative conditions of its own.
        target: its target.
        called: the chain that it calls; empty for none.
        conditions: those before it.
    """

    more: list[str]
    target: str
    called: str
    conditions: Conditions


class Alternative(NamedTuple):
    """An alternative of a rule, or one of its statements.

    Attributes:
        words: its options, without the target.
        target: its target.
        called: the chain that it calls; empty for none.
        conditions: its further conditions; None for none.
        part: the chain that contains the statements of the alternative; empty for the chain of the rule.
        checked: the conditions on what a statement may have changed since they were checked.
    """

    words: str
    target: str
    called: str
    conditions: Conditions | None
    part: str = ""
    checked: tuple[str, ...] = ()


def alternatives(
    actions: Sequence[Action], changes: Callable[[Action], frozenset[str]], place: str
) -> list[Alternative]:
    """Return the alternatives of a rule.

    Args:
        actions: what its statements do.
        changes: returns what the chain that a statement calls may change.
        place: the rule's chain and position.

    Raises:
        UntranslatableError: a statement changes what a later alternative checks.
    """
    made: list[Alternative] = []
    changed: set[str] = set()
    for action in actions:
        more = [action.more] if action.more else []
        before, called = len(made), changes(action)
        for parts in product(*action.conditions.alternatives, *more):
            words = " ".join(filter(None, parts))
            if len(made) == _MOST:
                raise UntranslatableError
            if not changed.isdisjoint(" ".join((words, *action.conditions.also)).split()):
                return list(_apart(actions, place))
            made.append(Alternative(words, action.target, action.called, action.conditions))
            changed |= called
        if len(made) > before:
            changed = changed.union(*(on for found, on in _CHANGES if found.match(action.target)))
    return made


def _apart(actions: Sequence[Action], place: str) -> Iterator[Alternative]:
    """Yield the alternatives of a rule whose statements are in chains of their own, as they are checked only once."""
    checked, ends = actions[0].conditions, _ENDS.match(actions[-1].target) is not None
    ways = list(product(*checked.alternatives))
    alike = all(not one.more and vars(one.conditions) == vars(checked) for one in actions)
    if not alike or checked.unread or checked.proxy or (len(ways) > 1 and not ends):
        raise UntranslatableError
    for number, parts in enumerate(ways, 1):
        part = f"{place}.{number}"
        yield Alternative(" ".join(filter(None, parts)), f"{'-g' if ends else '-j'} {part}", part, checked)
        kept = " ".join(words for words in parts if CHANGEABLE.isdisjoint(words.split()))
        before = [words for words in parts if not CHANGEABLE.isdisjoint(words.split())]
        for action in actions:
            yield Alternative(kept, action.target, action.called, None, part, (*before, *checked.also))
