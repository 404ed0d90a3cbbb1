"""Example packets for a rule."""

from __future__ import annotations

from typing import Any

from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.extensions.base import Match
from iptsim.extensions.values import Network
from iptsim.findings.scene import Scene
from iptsim.protocols import PORT_PROTOCOLS, protocol_name


def packet_for(scene: Scene, family: Family, rule: Rule, hook: str) -> Explanation | None:
    """Walk a packet with the addresses, protocol, ports and interfaces of a rule.

    Args:
        hook: the hook from which the packet reaches the rule: INPUT, FORWARD or OUTPUT.
    """
    parameters = rule.parameters
    if parameters.negated & {"source", "destination", "protocol"}:
        return None
    source, target = _ends(scene, family, rule, hook)
    if source is None or target is None:
        return None
    fields: dict[str, Any] = header(rule)
    arriving = parameters.in_interface if "in_interface" not in parameters.negated else None
    if arriving and arriving != "lo" and source == "internet":
        if arriving not in scene.host.namespace.interfaces or scene.host.network_of_bridge(arriving):
            return None
        fields["in"] = arriving
    return scene.ask(source, target, family, **fields)


def _ends(scene: Scene, family: Family, rule: Rule, hook: str) -> tuple[str | None, str | None]:
    parameters = rule.parameters
    source = _inside(family, parameters.source)
    target = _inside(family, parameters.destination)
    loopback = parameters.in_interface == "lo"
    if hook == "INPUT":
        return source or ("localhost" if loopback else "internet"), target or (
            "localhost" if loopback else "host"
        )
    if hook == "OUTPUT":
        return "host", target or "internet"
    guests = [
        container.name
        for network in scene.docker_networks()
        if parameters.out_interface in (None, network.bridge)
        for container in scene.members(network, family)
    ]
    return source or "internet", target or (guests[0] if guests else None)


def _inside(family: Family, prefix: Network | None) -> str | None:
    """Return an address in a network, but not the first one unless it is the only one."""
    if prefix is None:
        return None
    whole = (1 << BITS[family]) - 1
    address = prefix.address & prefix.mask
    return address_text(family, address if prefix.mask == whole else address | 1)


def header(rule: Rule) -> dict[str, Any]:
    """Return the protocol and ports that a rule matches."""
    proto = rule.parameters.protocol or 6
    fields: dict[str, Any] = {"proto": protocol_name(proto)}
    for match in rule.matches:
        states = states_of(match)
        if "NEW" not in states and "ESTABLISHED" in states and not match.negated:
            fields["state"] = "established"
    for name in ("sport", "dport") if proto in PORT_PROTOCOLS else ():
        for predicate in rule.conditions_on(name):
            if not predicate.negated and isinstance(predicate.allowed, tuple) and predicate.allowed:
                fields[name] = predicate.allowed[0][0]
    return fields


def arriving(rule: Rule) -> dict[str, Any]:
    """Return an interface on which packets for a rule arrive, as a field of a question.

    Empty if the rule names none, or those by which they do not arrive.
    """
    name = rule.parameters.in_interface
    if name is None or name == "+" or "in_interface" in rule.parameters.negated:
        return {}
    return {"in": f"{name[:-1]}0" if name.endswith("+") else name}


def is_for_replies(rule: Rule) -> bool:
    """Return whether a rule matches packets of established connections, but no new ones."""
    states = map(states_of, rule.matches)
    return any("ESTABLISHED" in one and "NEW" not in one for one in states)


def states_of(match: Match) -> tuple[str, ...]:
    """Return the connection states that `-m conntrack` or `-m state` names; empty for any other match."""
    return getattr(match, "ctstate", None) or getattr(match, "state", None) or ()
