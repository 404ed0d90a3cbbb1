"""The address outside that the endpoint "internet" means on a host."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from iptsim.addresses import Family, address_text, parse_address
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.constraints import membership
from iptsim.extensions.predicates import Predicate
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.languages import Message, message

#: Addresses of the documentation's networks (RFC 5737 and 3849).
_DOCUMENTED: dict[Family, tuple[str, ...]] = {
    4: ("198.51.100.7", "203.0.113.5", "192.0.2.1"),
    6: ("2001:db8:ffff::7", "2001:db8:fffe::7"),
}
#: Public addresses far apart, for hosts whose rules name all of those, say because they drop bogons.
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


def outside_address(host: Host, family: Family) -> int:
    """Return the address that "internet" means.

    It is an address that the default route (if any) leads to and that no rule, set, route or interface names. If all
    candidates are named, it is the first of them.
    """
    return host.namespace.once(("outside", family), lambda: _find(host, family))


def _find(host: Host, family: Family) -> int:
    every = [parse_address(text)[1] for text in (*_DOCUMENTED[family], *_SPREAD[family])]
    free = [address for address in every if host.owner_of(family, address) is None]
    rulesets = [one[family] for one in (host.rulesets, host.extra_rulesets) if family in one]
    routed = []
    for address in free:
        if _by_default(host, family, address):
            if not _is_named(host, family, rulesets, address):
                return address
            routed.append(address)
    candidates = routed or free[: len(_DOCUMENTED[family])]
    return next((one for one in candidates if not _is_named(host, family, rulesets, one)), candidates[0])


def _by_default(host: Host, family: Family, address: int) -> bool:
    found = fib.lookup(host.namespace, family, address)
    return found.route is not None and found.route.prefix_length == 0


def _is_named(host: Host, family: Family, rulesets: Iterable[Ruleset], address: int) -> bool:
    """Return whether a rule, a set, or a list of `-m recent` is about an address."""
    if host.ipsets:
        from iptsim.host.ipsets import members_of

        of_family = (ipset for ipset in host.ipsets.values() if ipset.family == family)
        if any(members_of(ipset).covers(address) for ipset in of_family):
            return True
    if any(address in stamps for stamps in (host.recent or {}).values()):
        return True
    return any(_names(rule, address) for ruleset in rulesets for rule in ruleset.rules())


def _names(rule: Rule, address: int) -> bool:
    if any(network.mask and address in network for network in rule.networks):
        return True
    if "iprange" not in rule.extension_names:
        return False
    from iptsim.extensions.matches.iprange import Iprange

    return any(
        _allows(predicate, address)
        for match in rule.matches
        if isinstance(match, Iprange)
        for predicate in match.predicates()
    )


def _allows(predicate: Predicate, address: int) -> bool:
    """Return whether the values of a predicate, before negation, hold an address."""
    return predicate.allowed is not None and membership(predicate.allowed)(address)


def usual_address(family: Family) -> int:
    """Return the address that "internet" means on most hosts."""
    return parse_address(_DOCUMENTED[family][0])[1]


def other_address_note(host: Host, family: Family) -> Message | None:
    """Return a note on the address that "internet" means; None if it is the usual one."""
    address, usual = outside_address(host, family), usual_address(family)
    if address == usual or not _by_default(host, family, usual):
        return None
    return message(
        "Here internet means {address}, because rules or sets name {usual}.",
        address=address_text(family, address),
        usual=address_text(family, usual),
    )
