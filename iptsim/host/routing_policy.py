"""Policy routing rules, as in net/core/fib_rules.c, net/ipv4/fib_rules.c and net/ipv6/fib6_rules.c."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import address_text
from iptsim.host.namespace import Namespace, RoutingRule, prefix_mask
from iptsim.host.routing_tables import TOS_MASK, Flow, Found
from iptsim.languages import Message, Text, message, message_joined
from iptsim.protocols import protocol_name

#: The kernel's default policy rules, as (priority, table).
DEFAULT_RULES: dict[int, tuple[tuple[int, str], ...]] = {
    4: ((0, "local"), (32766, "main"), (32767, "default")),
    6: ((0, "local"), (32766, "main")),
}


def own_rules(namespace: Namespace, family: int) -> list[RoutingRule] | None:
    """Return the policy rules in order, or None for the kernel's default rules."""
    return namespace.once(("rules", family), lambda: _own_rules(namespace, family))


def _own_rules(namespace: Namespace, family: int) -> list[RoutingRule] | None:
    rules = sorted(
        (rule for rule in namespace.rules if rule.family == family), key=lambda rule: rule.priority
    )
    default = [
        RoutingRule(family=rule.family, priority=priority, table=table)
        for rule in rules[:1]
        for priority, table in DEFAULT_RULES[family]
    ]
    return None if rules == default else rules


def fitting(rules: list[RoutingRule], flow: Flow) -> Iterator[RoutingRule]:
    """Yield the rules that match a packet, following every goto."""
    position = 0
    while position < len(rules):
        rule = rules[position]
        position += 1
        if rule.action == "nop" or _fits(rule, flow) is rule.negated:
            continue
        if rule.action != "goto":
            yield rule
            continue
        # A goto without a target is skipped.
        later = (place for place in range(position, len(rules)) if rules[place].priority == rule.target)
        position = next(later, position)


def _fits(rule: RoutingRule, flow: Flow) -> bool:
    if rule.l3mdev or (rule.iif is not None and rule.iif != (flow.iif or "lo")):
        return False
    if rule.oif is not None and rule.oif != flow.oif:
        return False
    if rule.fwmark is not None and (rule.fwmark ^ flow.mark) & rule.fwmask:
        return False
    if rule.uidrange is not None and not rule.uidrange[0] <= (flow.uid or 0) <= rule.uidrange[1]:
        return False
    if not _in_prefix(rule.family, rule.src, rule.src_length, flow.source or 0):
        return False
    if not _in_prefix(rule.family, rule.dst, rule.dst_length, flow.destination):
        return False
    if rule.tos and rule.tos != flow.tos & (TOS_MASK if rule.family == 4 else 0xFC):
        return False
    if rule.ipproto is not None and rule.ipproto != flow.proto:
        return False
    return _port_fits(rule.sport, flow.sport) and _port_fits(rule.dport, flow.dport)


def _in_prefix(family: int, base: int | None, length: int, address: int) -> bool:
    return base is None or (base ^ address) & prefix_mask(family, length) == 0


def _port_fits(wanted: tuple[int, int] | None, port: int | None) -> bool:
    return wanted is None or (port is not None and wanted[0] <= port <= wanted[1])


def suppressed(namespace: Namespace, rule: RoutingRule, found: Found) -> bool:
    """Return whether a rule's suppress_* options discard a route of its table; a rejection is not discarded."""
    if found.hop is None:
        return False
    if rule.suppress_prefixlength is not None and found.route.prefix_length <= rule.suppress_prefixlength:
        return True
    if rule.suppress_ifgroup is None:
        return False
    device = namespace.interfaces.get(found.hop.device or "")
    return device is not None and str(device.group) == rule.suppress_ifgroup


def names_no_table_of_its_own(rule: RoutingRule) -> bool:
    """Return whether a rule selects only a table that every host looks up anyway."""
    return rule.action == "to_table" and rule.table in ("local", "main", "default")


def conditions(rule: RoutingRule) -> Message:
    """Return the conditions of a rule in words: "mark 0x2, from 10.0.0.0/8", or "every packet"."""
    found: list[Message] = []
    if rule.fwmark is not None:
        mask = "" if rule.fwmask == 0xFFFFFFFF else f"/{rule.fwmask:#x}"
        found.append(message("mark {value}", value=f"{rule.fwmark:#x}{mask}"))
    if rule.src is not None:
        found.append(
            message("from {value}", value=f"{address_text(rule.family, rule.src)}/{rule.src_length}")
        )
    if rule.dst is not None:
        found.append(message("to {value}", value=f"{address_text(rule.family, rule.dst)}/{rule.dst_length}"))
    if rule.iif == "lo":
        found.append(message("sent by the host"))
    elif rule.iif is not None:
        found.append(message("arriving on {value}", value=rule.iif))
    if rule.oif is not None:
        found.append(message("bound to {value}", value=rule.oif))
    if rule.tos:
        found.append(message("TOS {value}", value=f"{rule.tos:#x}"))
    if rule.ipproto is not None:
        found.append(message("protocol {value}", value=protocol_name(rule.ipproto)))
    if rule.sport is not None:
        found.append(message("source port {value}", value=_span(rule.sport)))
    if rule.dport is not None:
        found.append(message("destination port {value}", value=_span(rule.dport)))
    if rule.uidrange is not None:
        found.append(message("users {value}", value=_span(rule.uidrange)))
    if rule.l3mdev:
        found.append(message("of a VRF"))
    text = message_joined(", ", found) if found else message("every packet")
    return message("all but {packets}", packets=text) if rule.negated else text


def _span(span: tuple[int, int]) -> Text:
    first, last = span
    return str(first) if first == last else message("{first} to {last}", first=str(first), last=str(last))
