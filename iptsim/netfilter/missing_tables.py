"""Which packets Docker's rules could block in tables that a source does not show.

Docker's rules in one table show that it has rules in others: moby v28.5.2, libnetwork/drivers/bridge/internal/iptabler
(endpoint.go writes the DROP in raw PREROUTING for each container, network.go and port.go its twins in nat and filter).
"""

from __future__ import annotations

from typing import NamedTuple

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.context import Context
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.languages import Text, message
from iptsim.netfilter import hooks
from iptsim.netfilter.excerpts import WHOLE, unseen_tables
from iptsim.truth import Unknown


class Block(NamedTuple):
    """The possibility that rules that are not shown block a packet.

    Attributes:
        unknown: what is not known.
        words: a clause that is true if they block it.
        note: a sentence about the blocked packet.
    """

    unknown: Unknown
    words: Text
    note: Text


def unseen_block(host: Host, rulesets: list[Ruleset], context: Context) -> Block | None:
    """Return how Docker's rules in a table that is not shown could block a packet at a hook, or None.

    Args:
        host: the host.
        rulesets: its rules of the packet's family.
        context: the packet at the hook, before raw PREROUTING or after the other tables of FORWARD.
    """
    daemon = host.daemon
    if daemon is not None and daemon.iptables is False:
        return None
    if context.hook == hooks.PREROUTING:
        return (
            None if daemon is not None and daemon.allow_direct_routing else _direct(host, rulesets, context)
        )
    return _forwarded(host, rulesets, context) if context.hook == hooks.FORWARD else None


def _direct(host: Host, rulesets: list[Ruleset], context: Context) -> Block | None:
    """Return how raw PREROUTING could drop a packet to a container's own address (Docker 28 and later)."""
    packet, in_interface = context.packet, context.in_interface or ""
    if any("raw" in ruleset.tables for ruleset in rulesets) or packet.pkttype != "unicast":
        return None
    rules = _rules_beside(rulesets, "filter", "DOCKER-FORWARD")
    if not rules:
        return None
    found = fib.lookup(host.namespace, packet.family, packet.dst)
    bridge = found.device
    if (
        found.type != "unicast"
        or bridge is None
        or bridge == in_interface
        or not _is_protected(rules, bridge)
    ):
        return None
    named = any(
        rule.parameters.destination is not None and packet.dst in rule.parameters.destination
        for rule in rules
        if rule.chain == "DOCKER" and rule.target_name == "ACCEPT"
    )
    if "raw" not in unseen_tables(rulesets) and not (host.inferred and named):
        return None
    address = address_text(packet.family, packet.dst)
    return Block(
        Unknown(
            message(
                "the rules in table raw, where Docker 28 and later drop packets to containers' own addresses"
            ),
            WHOLE[packet.family],
            (packet.dst, in_interface),
        ),
        message(
            "table raw, which is not shown, drops packets to {address} that arrive on {in_interface}",
            address=address,
            in_interface=in_interface,
        ),
        message(
            "Docker's rules in table raw, which is not shown, drop packets to {address} that arrive on {in_interface}",
            address=address,
            in_interface=in_interface,
        ),
    )


def _rules_beside(rulesets: list[Ruleset], table: str, chain: str) -> list[Rule]:
    """Return the rules of a table if it contains a Docker chain."""
    return [
        rule
        for ruleset in rulesets
        if ruleset.chain(table, chain) is not None
        for rule in ruleset.tables[table].rules()
    ]


def _is_protected(rules: list[Rule], bridge: str) -> bool:
    """Return whether Docker closes a bridge's unpublished ports: not in gateway modes routed and nat-unprotected."""
    own = [rule for rule in rules if rule.parameters.out_interface == bridge]
    routed = any(
        rule.chain in ("DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL") and rule.target_name == "RETURN"
        for rule in own
    )
    closed = any(
        rule.chain == "DOCKER" and rule.target_name == "DROP" and "in_interface" in rule.parameters.negated
        for rule in own
    )
    return closed and not routed


def _forwarded(host: Host, rulesets: list[Ruleset], context: Context) -> Block | None:
    """Return how table filter could block a forwarded packet, if nat shows that Docker wrote rules there."""
    if any("filter" in ruleset.tables for ruleset in rulesets) or context.state in ("ESTABLISHED", "RELATED"):
        return None
    nat = _rules_beside(rulesets, "nat", "DOCKER")
    if not nat:
        return None
    bridges = _bridges(nat) or {network.bridge or "" for network in host.networks.values()}
    in_interface, out_interface = context.in_interface or "", context.out_interface or ""
    connection = context.connection
    published = connection is not None and "DNAT" in connection.status
    if in_interface not in bridges and published:
        return None  # its twin in filter DOCKER accepts it
    if in_interface in bridges and out_interface not in bridges:
        return None  # Docker accepts what leaves a network that it masquerades
    return Block(
        Unknown(
            message("Docker's rules in table filter"),
            WHOLE[context.packet.family],
            (in_interface, out_interface, context.packet.dst),
        ),
        message(
            "table filter, which is not shown, blocks packets from {in_interface} to {out_interface}",
            in_interface=in_interface,
            out_interface=out_interface,
        ),
        message(
            "Docker's rules in table filter, which is not shown, block packets from {in_interface} to {out_interface}",
            in_interface=in_interface,
            out_interface=out_interface,
        ),
    )


def _bridges(nat: list[Rule]) -> set[str]:
    """Return the bridges that Docker's nat rules name: those of networks with external access."""
    found = set()
    for rule in nat:
        parameters = rule.parameters
        if (
            rule.chain == "POSTROUTING"
            and rule.target_name == "MASQUERADE"
            and "out_interface" in parameters.negated
        ):
            found.add(parameters.out_interface or "")
        elif rule.chain == "DOCKER" and parameters.in_interface is not None:
            found.add(parameters.in_interface)
    return found - {""}
