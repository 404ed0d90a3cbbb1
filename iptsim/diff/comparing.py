"""All packets that two hosts treat differently, or the proof that there are none."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial

from iptsim.address_sets import AddressSet
from iptsim.addresses import Family
from iptsim.diff.by_chain import (
    ChainDifference,
    chain_differences,
    through,
    treat_differently,
    unplaced,
)
from iptsim.diff.concerned import concerned
from iptsim.diff.texts import TextDifference, text_difference
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.constraints import named
from iptsim.host.address_regions import unicast_addresses
from iptsim.host.model import Host
from iptsim.sets.chains import Chains
from iptsim.sets.differences import differences
from iptsim.sets.fates import Fate, Fates, fates
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import OutsideError, PacketSet
from iptsim.sets.space import Space, TooManyNodesError
from iptsim.sets.traffic import Traffic

#: Classes of packets that are kept.
MOST = 200


@dataclass(slots=True)
class Difference:
    """Packets that two hosts treat differently; each host treats all of them alike.

    Attributes:
        family: of the packets.
        packets: all of them.
        before / after: what happens to them; each with a witness of its own.
        is_usual: whether both ends are addresses of single machines, not broadcast, multicast or link-local ones.
        state: the state of their connections; others than new ones are compared if all new ones are treated alike.
    """

    family: Family
    packets: PacketSet
    before: Fate
    after: Fate
    is_usual: bool
    state: str = "new"


@dataclass(slots=True)
class Comparison:
    """The result of comparing two hosts.

    Attributes:
        before / after: the hosts.
        texts: the differences in the text of their rules.
        differences: the packets that are treated differently.
        left_out: the number of further classes of such packets.
        without_effect: rules that no packet matches on the second host, though some did on the first.
        by_chain: the packets that base chains treat differently and that arrive on or leave by interfaces of which the
            sources do not show the networks.
    """

    before: Host
    after: Host
    texts: TextDifference
    differences: list[Difference] = field(default_factory=list)
    left_out: int = 0
    without_effect: list[Rule] = field(default_factory=list)
    by_chain: list[ChainDifference] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        """Whether no packet is treated differently."""
        return not self.differences and not self.by_chain


def compare(before: Host, after: Host) -> Comparison:
    """Compare what two hosts do with all packets.

    If only counters and comments differ, that proves equality. Otherwise the packets of both are divided by what
    happens to them, in one space, so that the sets can be compared.
    """
    comparison = Comparison(before, after, text_difference(before, after))
    if comparison.texts.is_harmless:
        return comparison
    families: list[Family] = [
        family for family in (4, 6) if family in before.rulesets or family in after.rulesets
    ]
    for family in families:
        space = Space(family)
        old, new = _fates(comparison, space, "new")
        _add(comparison, old, new)
        for state in _OTHER_STATES:
            if comparison.differences:
                break
            within = space.where("ct.state", named(state.upper()))
            if treat_differently(old.land, new.land, within):
                _add(comparison, *_fates(comparison, space, state))
        if names := unplaced(before, after):
            comparison.by_chain += chain_differences(old.land, new.land, through(space, names))
        comparison.without_effect += _without_effect(old.land, new.land)
    comparison.differences.sort(key=lambda one: not one.is_usual)
    return comparison


#: The limit on ways that depend on something undecided, for each host and state.
_MOST_WAYS = 2_500
#: The states of the packets that open no connection.
_OTHER_STATES = ("invalid", "established", "related", "untracked")


def _add(comparison: Comparison, old: Fates, new: Fates) -> None:
    """Add the packets of a state that both hosts treat differently."""
    space = old.space
    groups: dict[Hashable, Difference] = {}
    usual = _usual(comparison.before, comparison.after, space)
    for packets, one, other in differences(old, new):
        for is_usual, part in ((True, packets & usual), (False, packets - usual)):
            first, second = one.within(part), other.within(part)
            if first is None or second is None:
                continue
            key = is_usual, _shown_together(first), _shown_together(second)
            if (known := groups.get(key)) is not None:
                known.packets |= part
            elif len(comparison.differences) + len(groups) >= MOST:
                comparison.left_out += 1
            else:
                groups[key] = Difference(space.family, part, first, second, is_usual, old.state)
    comparison.differences += groups.values()


def _fates(comparison: Comparison, space: Space, state: str) -> tuple[Fates, Fates]:
    """Return the fates of all packets of a state on both hosts, or of those that the difference may concern."""
    before, after, family = comparison.before, comparison.after, space.family
    among = None
    with suppress(TooManyNodesError):
        among = concerned(comparison.texts, before, after, space)
    known = partial(fates, family=family, space=space, state=state, most_ways=_MOST_WAYS)
    if among is not None:
        with suppress(OutsideError):
            return known(before, among=among), known(after, among=among)
    return known(before), known(after)


def _shown_together(fate: Fate) -> Hashable:
    """Return what packets must have in common to be shown together."""
    decides = fate.decides
    rule = decides.text if isinstance(decides, Rule) else decides
    # networks behind one interface are shown together
    sender = fate.iif or fate.sender
    return sender, fate.verdict, fate.reply, fate.reaches, fate.code, rule, fate.listening is False


def _usual(before: Host, after: Host, space: Space) -> PacketSet:
    """Return the packets between addresses that one machine has; of loopback addresses, only the usual one."""
    family = space.family
    local, loopback = _SPECIAL[family]
    every = AddressSet.every(family) - AddressSet.read(family, *local)
    found = unicast_addresses(before, every) & unicast_addresses(after, every)
    found |= AddressSet.read(family, loopback)
    return space.where("src", found.spans) & space.where("dst", found.spans)


#: Networks whose addresses are rarely meant, and the one loopback address that is.
_SPECIAL: dict[Family, tuple[tuple[str, ...], str]] = {
    4: (("169.254.0.0/16", "240.0.0.0/4"), "127.0.0.1/32"),
    6: (("fe80::/10", "fec0::/10", "::/96", "::ffff:0:0/96"), "::1/128"),
}


def _without_effect(before: Landscape, after: Landscape) -> list[Rule]:
    """Return the rules that no packet matches on the second host, though some did on the first."""
    earlier_rules, rules = (one.host.rulesets.get(before.family) for one in (before, after))
    if earlier_rules is None or rules is None:
        return []
    found: list[Rule] = []
    old, new = _chains(before, earlier_rules), _chains(after, rules)
    traffic, written = cache(partial(_traffic, old)), cache(partial(_by_text, earlier_rules))
    for table in rules.tables:
        if new.is_like(old, table) or (passing := _traffic(new, table)) is None:
            continue
        earlier = traffic(table) if table in earlier_rules.tables else None
        with suppress(TooManyNodesError):
            changed = passing.changed(earlier) if earlier is not None else rules.tables[table].rules()
            for rule in changed:
                if not _is_dead(passing, rule):
                    continue
                same = written().get(rule.text, ())
                alive = [not _is_dead(traffic(one.table), one) for one in same]
                # of all packets, those that are followed may not be the only ones that match
                if same and (all(alive) if before.among is None else any(alive)):
                    found.append(rule)
    if found and before.among is not None:
        # packets that the difference does not concern may match them
        return _without_effect(*(Landscape(one.host, one.space) for one in (before, after)))
    return found


def _by_text(ruleset: Ruleset) -> dict[str, list[Rule]]:
    """Return the rules of a ruleset by their text."""
    found: dict[str, list[Rule]] = {}
    for rule in ruleset.rules():
        found.setdefault(rule.text, []).append(rule)
    return found


def _chains(land: Landscape, ruleset: Ruleset) -> Chains:
    """Return what the chains of one of the rulesets of a host do."""
    hooks = land.namespaces.hooks_of(land.host.namespace)
    return land.chains_of(next(one for one in hooks.programs(land.family) if one.ruleset is ruleset))


def _traffic(chains: Chains, table: str) -> Traffic | None:
    """Return the packets that come to the rules of a table; None if their sets grow too large."""
    with suppress(TooManyNodesError):
        return Traffic(chains, table)
    return None


def _is_dead(traffic: Traffic | None, rule: Rule) -> bool:
    return traffic is not None and rule.position > 0 and not rule.refused and traffic.is_dead(rule)
