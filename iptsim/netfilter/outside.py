"""The address that "internet" stands for, and the rules that treat other outside addresses differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from iptsim.dump.ruleset import Rule, Ruleset
from iptsim.extensions.base import Predicate
from iptsim.extensions.constraints import Masked, membership
from iptsim.extensions.matches.iprange import Iprange
from iptsim.extensions.matches.set import Set
from iptsim.host import fib
from iptsim.host.ipsets import members_of
from iptsim.host.model import Host
from iptsim.host.source import is_link_local
from iptsim.languages import joined, say, say_many
from iptsim.netfilter.program import Condition, Prepared
from iptsim.netfilter.question import Question
from iptsim.packet import Family, Packet, address_text, parse_address

#: Addresses of the documentation's networks (RFC 5737 and 3849).
_DOCUMENTED: dict[Family, tuple[str, ...]] = {
    4: ("198.51.100.7", "203.0.113.5", "192.0.2.1"),
    6: ("2001:db8:ffff::7", "2001:db8:fffe::7"),
}
#: Where rules name all of those (bogons are dropped, say): public addresses far apart.
_SPREAD: dict[Family, tuple[str, ...]] = {
    4: tuple(
        f"{first}.{rest}"
        for rest, first in product(
            ("77.88.99", "201.34.56", "13.171.9"),
            (185, 45, 93, 151, 62, 104, 23, 77, 5, 130, 146, 170, 190, 200, 210, 27, 41, 66, 80, 120),
        )
    ),
    6: tuple(
        f"{first}:{rest}::7"
        for rest, first in product(("77", "4f"), ("2a0f", "2600", "2400", "2800", "2c0f"))
    ),
}
#: Rules that are kept of one packet, and that a sentence names.
_KEPT, _SHOWN = 50, 3


def outside_address(host: Host, family: Family) -> int:
    """Return the address that "internet" stands for.

    The default route leads to it, if there is one, and no rule, set, route or interface names it; where all
    that are tried are named, it is the first.
    """
    known: int | None = host.namespace.cache.get(("outside", family))
    if known is None:
        known = host.namespace.cache["outside", family] = _find(host, family)
    return known


def _find(host: Host, family: Family) -> int:
    every = [parse_address(text)[1] for text in (*_DOCUMENTED[family], *_SPREAD[family])]
    free = [address for address in every if host.owner_of(family, address) is None]
    routed = [address for address in free if _by_default(host, family, address)]
    candidates = routed or free[: len(_DOCUMENTED[family])]
    rulesets = [one[family] for one in (host.rulesets, host.extra_rulesets) if family in one]
    return next((one for one in candidates if not _is_named(host, family, rulesets, one)), candidates[0])


def _by_default(host: Host, family: Family, address: int) -> bool:
    found = fib.lookup(host.namespace, family, address)
    return found.route is not None and found.route.prefix_length == 0


def _is_named(host: Host, family: Family, rulesets: Iterable[Ruleset], address: int) -> bool:
    """Tell whether a rule, a set, or a list of `-m recent` is about an address."""
    for ipset in (host.ipsets or {}).values():
        if ipset.family == family and members_of(ipset).covers(address):
            return True
    if any(address in stamps for stamps in (host.recent or {}).values()):
        return True
    return any(_names(rule, address) for ruleset in rulesets for rule in ruleset.rules())


def _names(rule: Rule, address: int) -> bool:
    parameters = rule.parameters
    for network in (parameters.source, parameters.destination):
        if network is not None and network.mask and address in network:
            return True
    return any(
        _allows(predicate, address)
        for match in rule.matches
        if isinstance(match, Iprange)
        for predicate in match.predicates()
    )


def _allows(predicate: Predicate, address: int) -> bool:
    """Tell whether the values of a predicate, before negation, hold an address."""
    return predicate.allowed is not None and membership(predicate.allowed)(address)


def usual_address(family: Family) -> int:
    """Return the address that "internet" stands for on most hosts."""
    return parse_address(_DOCUMENTED[family][0])[1]


def other_address_note(host: Host, family: Family) -> str:
    """Say which address "internet" stands for, where it is not the usual one; "" where it is."""
    address, usual = outside_address(host, family), usual_address(family)
    if address == usual or not _by_default(host, family, usual):
        return ""
    return say(
        "internet stands for {address}: rules or sets name {usual}.",
        address=address_text(family, address),
        usual=address_text(family, usual),
    )


# -- rules that look at the outside address --------------------------------------------------------


class Watch:
    """Collects the rules that treat other outside addresses differently than the packet's.

    Attributes:
        field: the packet field that holds the outside address: "src" or "dst".
    """

    def __init__(self, field: str) -> None:
        self.field = field
        self.rules: dict[tuple[str, str, int], tuple[Rule, Condition]] = {}

    def condition(self, prepared: Prepared) -> Condition | None:
        """Return a rule's condition on the outside address, None where there is none, or where enough are kept."""
        if len(self.rules) >= _KEPT:
            return None
        return next((one for one in prepared.conditions if self._selects(one, prepared.rule)), None)

    def _selects(self, condition: Condition, rule: Rule) -> bool:
        if condition.predicate.field == self.field:
            return True
        return condition.match == "set" and any(
            isinstance(match, Set) and self.field in match.match_set.directions for match in rule.matches
        )

    def keep(self, rule: Rule, condition: Condition) -> None:
        """Remember a rule that another address would, or would not, match."""
        self.rules[rule.table, rule.chain, rule.position] = rule, condition

    def note(self, host: Host, packet: Packet) -> str:
        """Say which rules treat other outside addresses differently than the packet's; "" where none does."""
        family, address = packet.family, packet.src if self.field == "src" else packet.dst
        device = fib.lookup(host.namespace, family, address).device
        found = [
            f"{rule.table} {rule.chain} {rule.position} ({condition.predicate.text})"
            for rule, condition in self.rules.values()
            if _is_outside(host, family, condition.predicate, device)
        ]
        if not found:
            return ""
        rules = joined(", ", found[:_SHOWN])
        if len(found) > _SHOWN:
            rules = say_many(
                "{rules}, and {count} more", "{rules}, and {count} more", len(found) - _SHOWN, rules=rules
            )
        return say(
            "{address} stands for all outside addresses, but rules treat some differently: {rules}.",
            address=address_text(family, address),
            rules=rules,
        )


def watch_of(question: Question) -> Watch | None:
    """Return what collects the rules that look at the address that "internet" stands for in a question."""
    if question.sender == "internet" and question.src is None:
        return Watch("src")
    return Watch("dst") if question.to == "internet" and question.dst is None else None


def _is_outside(host: Host, family: Family, predicate: Predicate, device: str | None) -> bool:
    """Tell whether the addresses of a condition lie behind the interface on the outside."""
    return all(
        not is_link_local(family, one) and fib.lookup(host.namespace, family, one).device == device
        for one in _some(predicate)
    )


def _some(predicate: Predicate) -> Iterator[int]:
    """Yield an address of a condition; none where a set holds them."""
    allowed = predicate.allowed
    if isinstance(allowed, Masked):
        yield allowed.value
    elif isinstance(allowed, tuple) and allowed:
        yield allowed[0][0]
