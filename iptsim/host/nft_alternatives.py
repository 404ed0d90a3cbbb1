"""Rules of nftables with several alternatives or statements, as one or more rules of iptables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from iptsim.host.nft_chains import NftRule
from iptsim.host.nft_conditions import Conditions
from iptsim.host.nft_targets import COMMENT
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
#: Options that iptables allows once in a rule, and the one that names a protocol, which options of ports need.
_ONCE = frozenset({"-s", "-d", "-i", "-o", "-p"})
_PROTOCOL = re.compile(r"-p [a-z0-9-]+")
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


class Origin(NamedTuple):
    """The rule of which there are alternatives: its chain, its position there, its comment as options of iptables."""

    chain: str
    position: int
    comment: str

    def rule(
        self,
        words: str,
        target: str,
        called: str,
        conditions: Conditions | None = None,
        repeated: Sequence[str] = (),
    ) -> NftRule:
        """Return an alternative of the rule, or one of its statements.

        Args:
            words: its options, without comment and target.
            target: its target.
            called: the chain that it calls; empty for none.
            conditions: those of the rule, for what is not in the options; None for none.
            repeated: further options, which iptables would not allow once more.
        """
        comment = "" if COMMENT in words else self.comment
        made = NftRule(
            self.chain, self.position, " ".join(filter(None, (words, comment, target))), called=called
        )
        if conditions is None:
            return made
        return made._replace(
            hidden=" ".join(conditions.hidden),
            also=(*conditions.also, *repeated),
            proxy=conditions.proxy,
            unread=conditions.unread,
        )


def alternatives(
    actions: Sequence[Action], changes: Callable[[Action], frozenset[str]], origin: Origin
) -> list[NftRule]:
    """Return the alternatives of a rule.

    Args:
        actions: what its statements do.
        changes: returns what the chain that a statement calls may change.
        origin: the rule.

    Raises:
        UntranslatableError: a statement changes what a later alternative checks.
    """
    made: list[NftRule] = []
    changed: set[str] = set()
    for action in actions:
        more = [action.more] if action.more else []
        before, called = len(made), changes(action)
        for parts in product(*action.conditions.alternatives, *more):
            words, repeated = _once_each(parts)
            if len(made) == _MOST:
                raise UntranslatableError
            if not changed.isdisjoint(" ".join((words, *repeated, *action.conditions.also)).split()):
                return list(_apart(actions, origin))
            made.append(origin.rule(words, action.target, action.called, action.conditions, repeated))
            changed |= called
        if len(made) > before:
            changed = changed.union(*(on for found, on in _CHANGES if found.match(action.target)))
    return made


def _once_each(parts: Iterable[str]) -> tuple[str, list[str]]:
    """Return options as those of one rule, and apart from them those that iptables would not allow once more."""
    words, repeated, used = "", list[str](), set[str]()
    for part in filter(None, parts):
        once = _ONCE.intersection(part.split())
        if used.isdisjoint(once):
            words, used = f"{words} {part}".lstrip(), used | once
        else:
            protocol = _PROTOCOL.search(words) if "-p" not in once else None
            repeated.append(f"{protocol[0]} {part}" if protocol else part)
    return words, repeated


def _apart(actions: Sequence[Action], origin: Origin) -> Iterator[NftRule]:
    """Yield the alternatives of a rule whose statements are in chains of their own, as they are checked only once."""
    checked, ends = actions[0].conditions, _ENDS.match(actions[-1].target) is not None
    ways = list(product(*checked.alternatives))
    alike = all(not one.more and vars(one.conditions) == vars(checked) for one in actions)
    if not alike or checked.unread or checked.proxy or (len(ways) > 1 and not ends):
        raise UntranslatableError
    for number, parts in enumerate(ways, 1):
        part = f"{origin.chain} {origin.position}.{number}"
        words, repeated = _once_each(parts)
        yield origin.rule(words, f"{'-g' if ends else '-j'} {part}", part, checked, repeated)
        kept, further = _once_each(one for one in parts if CHANGEABLE.isdisjoint(one.split()))
        before = (one for one in parts if not CHANGEABLE.isdisjoint(one.split()))
        checks = (*before, *further, *checked.also)
        for action in actions:
            yield origin.rule(kept, action.target, action.called)._replace(part=part, checked=checks)
