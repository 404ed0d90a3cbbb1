"""The host's address, if a sentence says which connection fails and the rules are only for the host's own packets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from iptsim.addresses import Family, parse_address
from iptsim.dump.ruleset import Ruleset
from iptsim.host.inferred_interfaces import OUTSIDE
from iptsim.host.namespace import InterfaceAddress
from iptsim.paste.callers import callers
from iptsim.paste.forms import complaints
from iptsim.paste.logged_addresses import ADDRESS
from iptsim.paste.pieces import Ask, Segment


def asked_address(
    segments: Iterable[Segment], rulesets: Mapping[Family, Ruleset]
) -> Mapping[str, list[InterfaceAddress]]:
    """Return the address that somebody cannot reach as one of the host, without the name of its interface.

    Whoever shows rules for INPUT, and none for forwarded packets, asks about the machine with these rules.
    """
    asks = [piece for segment in segments if segment.form == complaints.FORM for piece in segment.pieces]
    for ask in asks:
        if not isinstance(ask, Ask):
            continue
        sender, to = ask.fields.get("from", ""), ask.fields["to"]
        if not ADDRESS.fullmatch(sender) or not ADDRESS.fullmatch(to):
            continue
        family, address = parse_address(to)
        if family in rulesets and _is_for_host_only(rulesets[family]):
            own = InterfaceAddress(family=family, address=address, prefix_length=OUTSIDE[family][1])
            return {"": [own]}
    return {}


def _is_for_host_only(ruleset: Ruleset) -> bool:
    """Return whether the built-in chains with rules are INPUT, and perhaps OUTPUT, of table filter."""
    chains = [(table.name, chain) for table in ruleset.tables.values() for chain in table.chains.values()]
    called = {(name, chain.name) for name, chain in chains if chain.policy is not None and chain.rules}
    called |= {
        (table.name, caller)
        for table in ruleset.tables.values()
        for _, found in callers(table)
        for caller in found
    }
    return ("filter", "INPUT") in called and called <= {("filter", "INPUT"), ("filter", "OUTPUT")}
