"""Addresses that the rules of INPUT and OUTPUT show to be the host's own, and interfaces that INPUT trusts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from iptsim.addresses import BITS, is_loopback
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.hidden import hides_chain
from iptsim.extensions.verdicts import BLOCKING
from iptsim.host.members import Member, Prefix, prefix_of


class OwnAddress(NamedTuple):
    """An address that seems to be the host's own; surely so if it sends from there, or on which interface is known."""

    member: Member
    sure: bool


def own_addresses(ruleset: Ruleset) -> Iterator[OwnAddress]:
    """Yield addresses to which packets pass INPUT, or from which they pass OUTPUT.

    -A INPUT -d 192.0.2.10/32 -p tcp --dport 22 -j ACCEPT; -A OUTPUT -s 192.0.2.10/32 -j ACCEPT. An address that is also
    banned is that of another host, in a rule that has no effect.
    """
    found = list(_named_as_own(ruleset))
    banned = set(_banned(ruleset)) if found else set()
    for prefix, sure in found:
        if prefix not in banned:
            yield OwnAddress(Member(prefix.family, prefix.address), sure)


def trusted_interfaces(ruleset: Ruleset) -> Iterator[str]:
    """Yield the interfaces from which INPUT accepts everything, if it blocks some of what arrives on others.

    -P INPUT DROP; -A INPUT -i br0 -j ACCEPT: a LAN, as no rule would be needed if all packets arrived there.
    """
    chain = ruleset.chain("filter", "INPUT")
    rules = chain.rules if chain is not None else ()
    if chain is None or not (chain.policy in BLOCKING or any(rule.target_name in BLOCKING for rule in rules)):
        return
    for rule in rules:
        parameters = rule.parameters
        named = parameters.in_interface
        if named is None or rule.target_name != "ACCEPT" or rule.matches or parameters.negated:
            continue
        if (parameters.source, parameters.destination, parameters.protocol) == (None, None, None):
            yield named


def _named_as_own(ruleset: Ruleset) -> Iterator[tuple[Prefix, bool]]:
    for name, side in (("INPUT", "destination"), ("OUTPUT", "source")):
        chain = ruleset.chain("filter", name)
        for rule in chain.rules if chain is not None else ():
            if rule.plan is not None and side not in rule.plan.fields:
                continue
            prefix = prefix_of(rule.parameters, side)
            if prefix is None or prefix.length != BITS[prefix.family] or any(map(hides_chain, rule.matches)):
                continue
            if not is_loopback(prefix.family, prefix.address) and not _is_for_many(prefix):
                yield prefix, name == "OUTPUT" or rule.parameters.in_interface is not None


def _banned(ruleset: Ruleset) -> Iterator[Prefix]:
    """Yield the senders that INPUT blocks on all interfaces; a rule against spoofing names one."""
    chain = ruleset.chain("filter", "INPUT")
    for rule in chain.rules if chain is not None else ():
        if rule.plan is not None and "source" not in rule.plan.fields:
            continue
        prefix = prefix_of(rule.parameters, "source")
        if prefix is not None and rule.target_name in BLOCKING and rule.parameters.in_interface is None:
            yield prefix


def _is_for_many(prefix: Prefix) -> bool:
    """Return whether an address is a multicast group, the broadcast address, or the last address of a usual subnet."""
    if prefix.family == 6:
        return prefix.address >> 120 == 0xFF
    return prefix.address >> 28 >= 0xE or prefix.address & 0xFF in (0, 0xFF)
