"""Finds rules that can never match, because an earlier rule of the chain handles all their packets.

The proof uses only the data of the conditions: equal conditions, a wider network, a wider range of
ports, a wider interface pattern. Rules after a stateful or random match are not reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from iptsim.dump.ruleset import Chain, Jump, Rule
from iptsim.extensions.base import Predicate
from iptsim.extensions.values import Network
from iptsim.findings.chains import accepts_all
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import Finding, of_rule, tool_of
from iptsim.findings.scene import Scene
from iptsim.languages import Text, message, message_joined, message_many
from iptsim.owners.docker import is_dockers
from iptsim.packet import Family

#: Matches that depend only on the packet and its connection, which are the same at every rule of a chain.
_STABLE = frozenset({
    "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp6", "multiport", "conntrack", "state", "addrtype",
    "iprange", "comment", "physdev", "pkttype", "mac", "length", "owner",
})  # fmt: skip
_SHOWN = 5
#: In longer chains, only this many rules are checked.
_LONGEST = 20_000

_ADDRESSES = ("source", "destination")
#: (address, mask)
_Prefix: TypeAlias = tuple[int, int]
#: source, destination, destination port
_Key: TypeAlias = tuple[_Prefix | None, _Prefix | None, int | None]


class _Known(NamedTuple):
    """A rule that handles all packets it matches, with its conditions."""

    rule: Rule
    conditions: tuple[Predicate, ...]


def never_matching(scene: Scene) -> Iterator[Finding]:
    """Find rules that never match because of an earlier rule in their chain."""
    for family in scene.families:
        for table in scene.host.rulesets[family].tables.values():
            hooks = scene.hooks(family, table.name)
            for chain in table.chains.values():
                if chain.name not in hooks:
                    continue
                for first, covered in covered_rules(chain).items():
                    yield _finding(scene, family, chain.rules[first], covered, hooks[chain.name])


def _finding(scene: Scene, family: Family, first: Rule, covered: list[Rule], hooks: list[str]) -> Finding:
    tool = tool_of(family)
    one = covered[0]
    differs = [rule for rule in covered if rule.target != first.target]
    title = message_many(
        "{table} {chain} rule {numbers} never matches: rule {taker} handles all its packets first.",
        "{table} {chain} rules {numbers} never match: rule {taker} handles all their packets first.",
        len(covered),
        table=first.table,
        chain=first.chain,
        numbers=_numbers(covered),
        taker=first.position,
    )
    shown = None
    if first.table == "filter":
        for rule in (differs or covered)[:_SHOWN]:
            found = packet_for(scene, family, rule, hooks[0])
            if found is not None and any(step.rule is first for step in found.trace.legs[0].steps):
                shown = found
                break
    if differs:
        effect = message(
            "Packets meant for rule {number} get {taken} instead of {meant}.",
            number=differs[0].position,
            taken=first.target_name,
            meant=differs[0].target_name or message("a count"),
        )
    else:
        effect = message_many(
            "Both do the same, so the rule is only redundant.",
            "They do the same, so these rules are only redundant.",
            len(covered),
        )
    place = f"-t {first.table} " if first.table != "filter" else ""
    words = (differs or covered)[0].text.removeprefix(f"-A {first.chain} ")
    remedy: Text = f"{tool} {place}-D {first.chain} {one.position}"
    if differs:
        instead = f"{tool} {place}-I {first.chain} {first.position} {words}"
        remedy = message("{delete}; or, if it should come first: {insert}", delete=remedy, insert=instead)
    return Finding(
        "never-matches",
        title,
        (of_rule(first), *map(of_rule, covered[:_SHOWN])),
        effect,
        remedy,
        shown,
        family,
    )


def _numbers(rules: list[Rule]) -> Text:
    """Return the positions of rules: "4, 5 and 7", shortened if there are many."""
    shown = [str(rule.position) for rule in rules[:_SHOWN]]
    if len(rules) > _SHOWN:
        return message(
            "{numbers} and {count} more", numbers=message_joined(", ", shown), count=len(rules) - _SHOWN
        )
    if len(shown) == 1:
        return shown[0]
    return message_joined(" and ", (message_joined(", ", shown[:-1]), shown[-1]))


def covered_rules(chain: Chain) -> dict[int, list[Rule]]:
    """Return the rules that never match, by the index of the rule that handles their packets."""
    found: dict[int, list[Rule]] = {}
    takers = _Takers()
    for rule in chain.rules[:_LONGEST]:
        if rule.refused:
            continue
        conditions = _sure_conditions(rule)
        taker = takers.first_of(rule, conditions)
        if taker is None:
            if _takes(rule) and all(match.name in _STABLE for match in rule.matches):
                takers.add(rule, conditions)
        elif not accepts_all(taker) and not (is_dockers(taker) and taker.chain == "DOCKER-USER"):
            found.setdefault(taker.position - 1, []).append(rule)
    return found


class _Takers:
    """Rules that handle all packets they match, indexed by what they must share with a covered rule."""

    def __init__(self) -> None:
        self.rules: dict[_Key, list[_Known]] = {}
        #: the masks of sources and destinations in use
        self.masks: set[tuple[int | None, int | None]] = set()

    def add(self, rule: Rule, conditions: tuple[Predicate, ...]) -> None:
        """Add a rule with its conditions."""
        source, destination = (_prefix(rule, field) for field in _ADDRESSES)
        self.masks.add((source and source[1], destination and destination[1]))
        key = source, destination, _single_port(conditions)
        self.rules.setdefault(key, []).append(_Known(rule, conditions))

    def first_of(self, rule: Rule, conditions: tuple[Predicate, ...]) -> Rule | None:
        """Return the first rule that handles every packet of a later one."""
        fitting = (
            known.rule
            for key in self._keys(rule, _single_port(conditions))
            for known in self.rules.get(key, ())
            if all(any(_implies(mine, theirs) for mine in conditions) for theirs in known.conditions)
        )
        return min(fitting, key=lambda one: one.position, default=None)

    def _keys(self, rule: Rule, port: int | None) -> Iterator[_Key]:
        """Yield the possible keys of rules that cover a rule."""
        source, destination = (_prefix(rule, field) for field in _ADDRESSES)
        for source_mask, destination_mask in self.masks:
            if _is_within(source, source_mask) and _is_within(destination, destination_mask):
                cut = _cut(source, source_mask), _cut(destination, destination_mask)
                yield (*cut, None)
                if port is not None:
                    yield (*cut, port)


def _prefix(rule: Rule, field: str) -> _Prefix | None:
    """Return a rule's source or destination as (address, mask); None if it is missing or negated."""
    found: Network | None = getattr(rule.parameters, field)
    if found is None or field in rule.parameters.negated:
        return None
    return found.address & found.mask, found.mask


def _is_within(prefix: _Prefix | None, mask: int | None) -> bool:
    """Return whether all addresses of a prefix agree in the bits of a mask; a mask of None means no condition."""
    return mask is None or (prefix is not None and prefix[1] & mask == mask)


def _cut(prefix: _Prefix | None, mask: int | None) -> _Prefix | None:
    """Return a prefix shortened to a mask."""
    return None if prefix is None or mask is None else (prefix[0] & mask, mask)


def _single_port(conditions: tuple[Predicate, ...]) -> int | None:
    """Return the destination port, if a rule matches a single one."""
    for one in conditions:
        if (
            one.field == "dport"
            and not one.negated
            and isinstance(one.allowed, tuple)
            and len(one.allowed) == 1
        ):
            low, high = one.allowed[0]
            if low == high:
                return low
    return None


def _takes(rule: Rule) -> bool:
    """Return whether no packet that matches a rule continues to the next one."""
    target = rule.target
    if isinstance(target, Jump):
        return target.goto
    return target is not None and (target.terminal or target.name == "RETURN") and target.status == "exact"


def _sure_conditions(rule: Rule) -> tuple[Predicate, ...]:
    """Return a rule's conditions, without those of stateful or random matches."""
    stable = [match for match in rule.matches if match.name in _STABLE]
    return (*rule.parameters.predicates(), *(one for match in stable for one in match.predicates()))


def _implies(mine: Predicate, theirs: Predicate) -> bool:
    """Return whether one condition implies another."""
    if mine.text == theirs.text and mine.negated == theirs.negated:
        return True
    if mine.constraint is None or theirs.constraint is None:
        return False
    return mine.constraint.implies(theirs.constraint)
