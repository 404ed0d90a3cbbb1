"""Which packets known programs could block in tables that a source does not show.

The rules of a program in one table show that it has rules in others. Docker: moby v28.5.2,
libnetwork/drivers/bridge/internal/iptabler (endpoint.go writes the DROP in raw PREROUTING for each container,
network.go and port.go its twins in nat and filter).
firewalld and OpenWrt's fw3 end INPUT and FORWARD with REJECT, and accept connections that DNAT has translated
(src/firewall/core/ipXtables.py; zones.c); libvirt rejects new connections to its guests
(src/network/network_iptables.c).
"""

from __future__ import annotations

import re
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

#: Chains of nat of programs that close INPUT and FORWARD by default.
_CLOSED = (
    ("firewalld", re.compile(r"(?:nat_)?PREROUTING_(?:ZONES|POLICIES_pre)")),
    ("OpenWrt", re.compile(r"zone_\S+_prerouting")),
)


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
    """Return how rules in a table that is not shown could block a packet at a hook, or None.

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
    if any("filter" in ruleset.tables for ruleset in rulesets) or context.state in ("ESTABLISHED", "RELATED"):
        return None
    program = "Docker" if _is_closed_by_docker(host, rulesets, context) else _closing(rulesets, context)
    if not program and _may_close_input(rulesets, context):
        program = context.hook
    return _of_filter(program, context) if program else None


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


def _is_closed_by_docker(host: Host, rulesets: list[Ruleset], context: Context) -> bool:
    """Return whether Docker could block a forwarded packet, as nat shows that it wrote rules in filter."""
    nat = _rules_beside(rulesets, "nat", "DOCKER")
    if not nat or context.hook != hooks.FORWARD:
        return False
    bridges = _bridges(nat) or {network.bridge or "" for network in host.networks.values()}
    enters, leaves = context.in_interface in bridges, context.out_interface in bridges
    if leaves and not enters:
        return not _is_translated(context)  # the twin of its DNAT in filter DOCKER accepts the packet
    return leaves or not enters  # Docker accepts what leaves a network that it masquerades


def _is_translated(context: Context) -> bool:
    return context.connection is not None and "DNAT" in context.connection.status


def _closing(rulesets: list[Ruleset], context: Context) -> str:
    """Return the program that could block a packet in filter, as its chains in nat show; "" for none."""
    chains = [
        chain
        for ruleset in rulesets
        if "nat" in ruleset.tables
        for chain in ruleset.tables["nat"].chains.values()
    ]
    if context.in_interface != "lo" and not _is_translated(context):
        for program, pattern in _CLOSED:
            if any(pattern.fullmatch(chain.name) for chain in chains):
                return program
    guests = [
        rule.parameters.source
        for chain in chains
        if chain.name == "LIBVIRT_PRT" and context.hook == hooks.FORWARD
        for rule in chain.rules
        if rule.target_name == "MASQUERADE" and rule.parameters.source is not None
    ]
    packet = context.packet
    return "libvirt" if any(packet.dst in one and packet.src not in one for one in guests) else ""


def _may_close_input(rulesets: list[Ruleset], context: Context) -> bool:
    """Return whether a packet comes to INPUT of a table filter that Docker's nat rules show to exist.

    So the source shows only a part of the rules, and INPUT may have some that are not Docker's. What a rule of nat
    sends to the host is expected to arrive there.
    """
    arrives = context.hook == hooks.INPUT and context.in_interface != "lo" and not _is_translated(context)
    return arrives and any(_rules_beside(rulesets, "nat", chain) for chain in ("DOCKER", "DOCKER-INGRESS"))


def _of_filter(program: str, context: Context) -> Block:
    """Return how a program, or a chain, could block a packet in table filter."""
    ends = {"in_interface": context.in_interface or "", "out_interface": context.out_interface or ""}
    unknown = Unknown(
        message("the rules of {program} in table filter", program=program),
        WHOLE[context.packet.family],
        (program, *ends.values(), context.packet.dst),
    )
    if context.hook == hooks.INPUT:
        return Block(
            unknown,
            message(
                "table filter, which is not shown, blocks packets to the host from {in_interface}", **ends
            ),
            message(
                "The rules of {program} in table filter, which is not shown, block packets to the host from "
                "{in_interface}",
                program=program,
                **ends,
            ),
        )
    return Block(
        unknown,
        message(
            "table filter, which is not shown, blocks packets from {in_interface} to {out_interface}", **ends
        ),
        message(
            "The rules of {program} in table filter, which is not shown, block packets from {in_interface} to "
            "{out_interface}",
            program=program,
            **ends,
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
