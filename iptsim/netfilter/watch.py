"""The rules that treat other outside addresses differently than the address used for "internet"."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.ruleset import Rule
from iptsim.extensions.base import Predicate
from iptsim.extensions.constraints import Masked
from iptsim.extensions.matches.set import Set
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.host.source import is_link_local
from iptsim.languages import Text, message, message_joined, message_many
from iptsim.netfilter.prepared import Condition, Prepared
from iptsim.packet import Family, Packet, address_text
from iptsim.question.endpoints import Internet
from iptsim.question.model import Question

#: How many rules are recorded for one packet, and how many a sentence names.
_KEPT, _SHOWN = 50, 3


class Watch:
    """Collects the rules that treat other outside addresses differently than the packet's.

    Attributes:
        field: the packet field that holds the outside address: "src" or "dst".
    """

    def __init__(self, field: str) -> None:
        self.field = field
        self.rules: dict[tuple[str, str, int], tuple[Rule, Condition]] = {}

    @property
    def is_open(self) -> bool:
        """Whether more rules are recorded."""
        return len(self.rules) < _KEPT

    def condition(self, prepared: Prepared) -> Condition | None:
        """Return a rule's condition on the outside address, None if there is none or enough rules are recorded."""
        if not self.is_open:
            return None
        return next((one for one in prepared.conditions if self._selects(one, prepared.rule)), None)

    def _selects(self, condition: Condition, rule: Rule) -> bool:
        if condition.predicate.field == self.field:
            return True
        return condition.match == "set" and any(
            isinstance(match, Set) and self.field in match.match_set.directions for match in rule.matches
        )

    def keep(self, rule: Rule, condition: Condition) -> None:
        """Record a rule that another address would, or would not, match."""
        self.rules[rule.table, rule.chain, rule.position] = rule, condition

    def note(self, host: Host, packet: Packet) -> Text:
        """Return which rules treat other outside addresses differently than the packet's; "" if none does."""
        family, address = packet.family, packet.src if self.field == "src" else packet.dst
        device = fib.lookup(host.namespace, family, address).device
        found = [
            f"{rule.table} {rule.chain} {rule.position} ({condition.predicate.text})"
            for rule, condition in self.rules.values()
            if _is_outside(host, family, condition.predicate, device)
        ]
        if not found:
            return ""
        rules = message_joined(", ", found[:_SHOWN])
        if len(found) > _SHOWN:
            rules = message_many(
                "{rules}, and {count} more", "{rules}, and {count} more", len(found) - _SHOWN, rules=rules
            )
        return message(
            "{address} represents all outside addresses, but rules treat some differently: {rules}.",
            address=address_text(family, address),
            rules=rules,
        )


def watch_of(question: Question) -> Watch | None:
    """Return what records the rules that check the address used for "internet" in a question."""
    if isinstance(question.sender, Internet) and question.src is None:
        return Watch("src")
    return Watch("dst") if isinstance(question.to, Internet) and question.dst is None else None


def _is_outside(host: Host, family: Family, predicate: Predicate, device: str | None) -> bool:
    """Return whether the addresses of a condition lie behind the interface on the outside."""
    return all(
        not is_link_local(family, one) and fib.lookup(host.namespace, family, one).device == device
        for one in _some(predicate)
    )


def _some(predicate: Predicate) -> Iterator[int]:
    """Yield an address of a condition; none if a set holds the addresses."""
    allowed = predicate.allowed
    if isinstance(allowed, Masked):
        yield allowed.value
    elif isinstance(allowed, tuple) and allowed:
        yield allowed[0][0]
