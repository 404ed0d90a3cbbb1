"""Which other addresses the rules treat like the address at one end of a packet.

A :class:`Watch` sees every rule that a packet meets. If only the address can keep a rule from matching, it records the
addresses for which the rule behaves alike. The addresses on which all these rules agree are those whose packets take
the same path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Literal

from iptsim.address_sets import AddressSet, union
from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.rule import Rule
from iptsim.extensions.constraints import Constraint, Masked
from iptsim.extensions.context import Context
from iptsim.host.address_regions import private_addresses, public_addresses, region_of
from iptsim.host.model import Host
from iptsim.languages import Text, message, message_joined, message_many
from iptsim.netfilter.chain_rules import ChainRules
from iptsim.netfilter.prepared import Condition, Prepared

Side = Literal["src", "dst"]
#: The maximum number of rules that a sentence names.
_SHOWN = 3
#: Fields of a packet and its connection that hold an address.
_FIELDS = frozenset({"src", "dst", "ct.ctorigsrc", "ct.ctorigdst", "ct.ctreplsrc", "ct.ctrepldst"})
#: Matches whose result may depend on an address, but not as a constraint on it.
_OPAQUE = frozenset({"bpf", "u32", "cluster", "eui64", "recent"})


@dataclass(slots=True)
class _Seen:
    """A rule on the address.

    Attributes:
        condition: the first condition on it.
        matching: the addresses for which the rule, or one of the similar rules next to it, matches.
    """

    rule: Rule
    condition: Condition
    matching: AddressSet


class Watch:
    """Collects what the rules check about the address at one end of a packet.

    Attributes:
        side: which end it is: the source or the destination of the request.
        address: the address.
        unsure: rules that check the address by code, not data; they may treat other addresses differently.
    """

    def __init__(self, host: Host, side: Side, family: Family, address: int) -> None:
        self.host = host
        self.side = side
        self.family = family
        self.address = address
        self.unsure: dict[int, tuple[Rule, Condition]] = {}
        self._seen: dict[int, _Seen] = {}
        self._listed = AddressSet(family)

    def alike(self) -> AddressSet:
        """Return the addresses whose packets take the same path, as far as the rules can tell."""
        if self.address in self._listed:
            return AddressSet(self.family, ((self.address, self.address),))
        alike = region_of(self.host, self.family, self.address)
        for seen in self._seen.values():
            if self.address in seen.matching:
                alike &= seen.matching
        missed = [one.matching for one in self._seen.values() if self.address not in one.matching]
        return alike - union(self.family, [*missed, self._listed])

    def see(self, context: Context, rules: ChainRules, index: int) -> None:
        """Record what a rule checks about the address, unless something else keeps the rule from matching.

        Args:
            rules: the rules of its chain.
            index: the index of the rule among them.
        """
        prepared = rules[index]
        if prepared.quiet:
            return
        consulted = set(context.consulted)
        split = [(one, self._matching(context, prepared.rule, one)) for one in prepared.conditions]
        selecting = [(one, allowed) for one, allowed in split if allowed is not None]
        opaque = [one for one in prepared.conditions if one.match in _OPAQUE or self._has_holes(context, one)]
        if selecting or opaque:
            others = [one for one, allowed in split if allowed is None and one not in opaque]
            if all(one.test(context) is not False for one in others):
                self._keep(rules, index, selecting, opaque)
        # a default that only the watch checked does not count
        context.consulted.intersection_update(consulted)

    def _keep(
        self,
        rules: ChainRules,
        index: int,
        selecting: list[tuple[Condition, AddressSet]],
        opaque: list[Condition],
    ) -> None:
        rule = rules[index].rule
        for condition in opaque:
            if condition.match == "recent":
                self._listed = self._recent()
            else:
                self.unsure.setdefault(id(rule), (rule, condition))
        if not selecting or id(rule) in self._seen:
            return
        matching = AddressSet.every(self.family)
        for _, allowed in selecting:
            matching &= allowed
        self._seen[id(rule)] = seen = _Seen(rule, selecting[0][0], matching)
        if self.address in matching and len(selecting) == 1:
            # it does not matter which of several consecutive similar rules matches
            like = _like(self.family, rules, index, selecting[0][0])
            seen.matching = union(self.family, [matching, *(own for _, own in like)])
            for other, _ in like:
                self._seen.pop(id(other), None)

    def _matching(self, context: Context, rule: Rule, condition: Condition) -> AddressSet | None:
        """Return the addresses that satisfy a condition; None if it does not test the address."""
        if condition.match == "set":
            return self._in_set(context, rule, condition)
        constraint = self._constraint(context, condition)
        return _addresses(self.family, constraint) if constraint is not None else None

    def _has_holes(self, context: Context, condition: Condition) -> bool:
        """Return whether a condition on the address has a mask that is not a prefix."""
        constraint = self._constraint(context, condition)
        return constraint is not None and _addresses(self.family, constraint) is None

    def _constraint(self, context: Context, condition: Condition) -> Constraint | None:
        """Return a condition as a constraint on the address; None if it tests another field, or another address."""
        constraint = condition.predicate.constraint
        if not isinstance(constraint, Constraint) or constraint.field.key not in _FIELDS:
            return None
        return constraint if constraint.field.read(context) == self.address else None

    def _in_set(self, context: Context, rule: Rule, condition: Condition) -> AddressSet | None:
        from iptsim.extensions.matches.set import Set
        from iptsim.host import ipsets

        matches = [one for one in rule.matches if isinstance(one, Set)]
        match = matches[0] if matches else None
        if len(matches) > 1:
            text = condition.predicate.text
            match = next((one for one in matches if any(text == p.text for p in one.predicates())), None)
        if match is None:
            return None
        name, directions = match.match_set
        inside = ipsets.addresses_in(
            self.host.ipsets,
            name,
            directions,
            context,
            self.address,
            return_nomatch=match.return_nomatch,
        )
        if inside is None:
            return None
        return ~inside if condition.predicate.negated else inside

    def _recent(self) -> AddressSet:
        """Return the addresses that the lists of `-m recent` hold."""
        listed = {one for stamps in (self.host.recent or {}).values() for one in stamps}
        is_family = (one for one in listed if (one >> 32 == 0) is (self.family == 4))
        return AddressSet.of(self.family, ((one, one) for one in is_family))

    def note(self) -> Text:
        """Return which rules treat other outside addresses differently than the packet's; "" if none does."""
        rules = self._named(public_addresses(self.host, self.family) - self.alike())
        if not rules:
            return ""
        return message(
            "{address} represents all outside addresses, but rules treat some differently: {rules}.",
            address=address_text(self.family, self.address),
            rules=rules,
        )

    def unsure_note(self) -> Text:
        """Return which rules check the address by code, not data; "" if none does."""
        rules = self._named(AddressSet(self.family))
        if not rules:
            return ""
        return message(
            "Other addresses than {address} may be treated differently by {rules}.",
            address=address_text(self.family, self.address),
            rules=rules,
        )

    def private_note(self) -> Text:
        """Return which rules treat private addresses differently than the packet's; "" if none does."""
        rules = self._named(private_addresses(self.host, self.family), ())
        if not rules:
            return ""
        return message(
            "internet means public addresses; rules treat private ones differently: {rules}.", rules=rules
        )

    def _named(self, others: AddressSet, unsure: Iterable[tuple[Rule, Condition]] | None = None) -> Text:
        """Name the rules that treat some addresses differently from the packet's, and those that may; "" for none."""
        found = [
            f"{rule.table} {rule.chain} {rule.position} ({condition.predicate.text})"
            for rule, condition in (
                *(self.unsure.values() if unsure is None else unsure),
                *self._telling(others),
            )
        ]
        rules = message_joined(", ", found[:_SHOWN])
        if len(found) > _SHOWN:
            return message_many(
                "{rules}, and {count} more", "{rules}, and {count} more", len(found) - _SHOWN, rules=rules
            )
        return rules

    def _telling(self, others: AddressSet) -> Iterator[tuple[Rule, Condition]]:
        """Yield the rules that treat some addresses differently from the packet's."""
        for seen in self._seen.values():
            apart = ~seen.matching if self.address in seen.matching else seen.matching
            if apart.meets(others):
                yield seen.rule, seen.condition


def _addresses(family: Family, constraint: Constraint) -> AddressSet | None:
    """Return the addresses that satisfy a constraint on one; None if their mask has holes."""
    allowed = constraint.allowed
    if isinstance(allowed, Masked):
        bits = BITS[family]
        length = allowed.mask.bit_count()
        if allowed.mask != ((1 << length) - 1) << (bits - length):
            return None
        found = AddressSet.prefix(family, allowed.value, length)
    elif isinstance(allowed, tuple):
        found = AddressSet.of(family, allowed)
    else:
        return None
    return ~found if constraint.negated else found


def _like(
    family: Family, rules: ChainRules, index: int, selecting: Condition
) -> list[tuple[Rule, AddressSet]]:
    """Return the adjacent rules that differ from a rule only in the address, and the addresses of each."""
    own = rules[index]
    constraint = selecting.predicate.constraint
    ends = own.jump is not None or (own.target is not None and own.target.terminal)
    if not ends or not isinstance(constraint, Constraint) or constraint.negated:
        return []
    shape = _shape(own, constraint.field.key)

    def is_like(place: int) -> bool:
        return _shape(rules[place], constraint.field.key) == shape

    places = chain(
        takewhile(is_like, range(index - 1, -1, -1)), takewhile(is_like, range(index + 1, len(rules)))
    )
    found = []
    for place in places:
        prepared = rules[place]
        for condition in prepared.conditions:
            other = condition.predicate.constraint
            if isinstance(other, Constraint) and other.field.key == constraint.field.key:
                found.append((prepared.rule, _addresses(family, other) or AddressSet(family)))
    return found


def _shape(prepared: Prepared, field: str) -> tuple[object, ...]:
    """Return a rule's contents except for its condition on an address, to compare rules."""
    conditions = [one.predicate for one in prepared.conditions]
    return (
        prepared.target,
        prepared.jump,
        [one.text for one in conditions if one.field != field],
        [one.negated for one in conditions if one.field == field],
    )
