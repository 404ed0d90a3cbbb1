"""IPv6 on a link without neighbour discovery: rules that block the ICMPv6 messages that replace ARP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import states_of
from iptsim.findings.finding import Finding, are_unshown, filtered_at, of_line, of_policy, of_rule, uses
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.host.namespace import BRIDGE_NF
from iptsim.languages import message, message_joined
from iptsim.passages import shell
from iptsim.protocols import ICMPV6

#: ICMPv6 types of neighbour discovery (RFC 4861): what asks for an address of the host, and the reply to its own query.
_SOLICITATION, _ADVERTISEMENT = 135, 136
#: All of them: router solicitation and advertisement too.
_DISCOVERY = range(133, 137)


def discovery_blocked(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose IPv6 rules of INPUT block neighbour solicitations and advertisements."""
    outside = scene.outside_interface(6) if 6 in scene.families else None
    if outside is None or not scene.shows(6, "filter", "INPUT"):
        return
    blocked = [
        (shown, step)
        for kind in (_SOLICITATION, _ADVERTISEMENT)
        if (shown := _asks(scene, outside.name, kind)) is not None
        and (step := filtered_at(shown, "INPUT")) is not None
    ]
    command = f"{tool_of(6)} -I INPUT -p ipv6-icmp -j ACCEPT"
    if len(blocked) < 2:
        yield from _unless_accepted(scene, outside.name, command)
        return
    yield Finding(
        "neighbour-discovery-blocked",
        message(
            "INPUT blocks neighbour discovery, so IPv6 does not work on {interface}.", interface=outside.name
        ),
        (scene.of_step(6, blocked[0][1]),),
        message(
            "IPv6 has no ARP: neighbours and the router find the host's link-layer address by ICMPv6. conntrack does"
            " not track these messages, so a rule for ESTABLISHED does not accept them."
        ),
        shell(command),
        blocked[0][0],
        6,
        (command,),
    )


def _unless_accepted(scene: Scene, interface: str, command: str) -> Iterator[Finding]:
    """Find the same in a pasted text that does not show the rules of some chains which INPUT jumps to."""
    chain = scene.table(6, "filter").chains.get("INPUT")
    rules = [rule for rule in scene.rules(6, "filter", "INPUT") if not _is_about_others(rule)]
    unknown = [
        rule.jump.chain
        for rule in rules
        if rule.jump is not None and are_unshown(scene.rules(6, "filter", rule.jump.chain))
    ]
    if chain is None or chain.policy != "DROP" or not unknown:
        return
    if any(rule.target_name != "LOG" and not (rule.jump and rule.jump.chain in unknown) for rule in rules):
        return
    yield Finding(
        "neighbour-discovery-blocked",
        message(
            "No rule of INPUT that is shown accepts neighbour discovery; without it, IPv6 does not work on"
            " {interface}.",
            interface=interface,
        ),
        (of_policy(chain),),
        message(
            "IPv6 has no ARP: neighbours and the router find the host's link-layer address by ICMPv6. conntrack does"
            " not track these messages, so a rule for ESTABLISHED does not accept them. Only the rules of {chains},"
            " which are not shown, may.",
            chains=message_joined(", ", list(dict.fromkeys(unknown))),
        ),
        shell(command),
        None,
        6,
    )


def _is_about_others(rule: Rule) -> bool:
    """Return whether a rule of INPUT sees no neighbour discovery, or does not accept it: for lo, TCP, or by state."""
    parameters = rule.parameters
    if parameters.in_interface == "lo" and "in_interface" not in parameters.negated:
        return True
    if parameters.protocol is not None and (parameters.protocol != ICMPV6) != (
        "protocol" in parameters.negated
    ):
        return True
    if rule.target_name in BLOCKING:
        return True
    states = {state for match in rule.matches if not match.negated for state in states_of(match)}
    return bool(states) and "UNTRACKED" not in states  # neighbour discovery is untracked


def _asks(scene: Scene, interface: str, kind: int) -> Explanation | None:
    """Walk a message of neighbour discovery from another machine of a link to the host; its hop limit is always 255."""
    arriving: dict[str, Any] = {"in": interface}
    return scene.ask("fe80::1234", "host", 6, proto="icmpv6", icmp_type=kind, ttl=255, **arriving)


def discovery_blocked_on_bridge(scene: Scene) -> Iterator[Finding]:
    """Find rules that block whatever leaves a bridge's IPv6 subnet: also neighbour discovery between its containers."""
    if 6 not in scene.families or scene.host.namespace.sysctls.get(BRIDGE_NF[6]) == "0":
        return
    hooks = scene.hooks(6, "filter")
    found: dict[str, list[Rule]] = {}
    for rule in scene.table(6, "filter").rules():
        bridge = _keeps_inside(rule)
        if bridge and hooks.get(rule.chain) == ("FORWARD",) and not _excepted(scene, rule, bridge):
            found.setdefault(bridge, []).append(rule)
    for bridge, rules in found.items():
        command = f"{tool_of(6)} -I FORWARD -i {bridge} -o {bridge} -p ipv6-icmp -j ACCEPT"
        shown = _asks_neighbour(scene, bridge, rules)
        yield Finding(
            "neighbour-discovery-blocked",
            message(
                "FORWARD blocks neighbour discovery between the containers on {bridge}, so they do not reach each other"
                " by IPv6.",
                bridge=bridge,
            ),
            tuple(map(of_rule, rules[:3])),
            message(
                "Neighbour solicitations come from fe80::/10 and go to ff02::/16, which are not in the bridge's subnet."
                " The rules see them if br_netfilter is loaded and {name} is 1, as Docker sets it.",
                name=BRIDGE_NF[6],
            ),
            shell(command),
            shown,
            6,
            first_that_mends(scene, 6, [(command,)], shown) if shown is not None else (),
        )


def _keeps_inside(rule: Rule) -> str:
    """Return the bridge for which a rule drops all packets that are not from, or not to, its subnet; else ""."""
    parameters = rule.parameters
    if rule.target_name not in BLOCKING or rule.matches or parameters.protocol is not None:
        return ""
    incoming = parameters.in_interface, "destination", parameters.destination, parameters.out_interface
    outgoing = parameters.out_interface, "source", parameters.source, parameters.in_interface
    for bridge, field, subnet, other in (incoming, outgoing):
        if bridge and subnet is not None and other is None and parameters.negated == {field}:
            return str(bridge)
    return ""


def _excepted(scene: Scene, rule: Rule, bridge: str) -> bool:
    """Return whether an earlier rule of the chain lets packets pass that stay on the bridge, or ICMPv6."""
    rules = scene.rules(6, "filter", rule.chain)
    return any(
        one.target_name in ("ACCEPT", "RETURN")
        and (
            one.parameters.protocol == ICMPV6
            or (one.parameters.in_interface == bridge and one.parameters.out_interface == bridge)
        )
        for one in rules[: rules.index(rule)]
    )


def _asks_neighbour(scene: Scene, bridge: str, rules: list[Rule]) -> Explanation | None:
    """Walk a neighbour solicitation to a container on a bridge; None if none of the rules sees it."""
    network = scene.host.network_of_bridge(bridge)
    members = scene.members(network, 6) if network is not None else []
    if len(members) < 2:
        return None
    shown = scene.ask(
        members[0].name,
        members[1].name,
        6,
        proto="icmpv6",
        icmp_type=_SOLICITATION,
        ttl=255,
        src="fe80::1234",
    )
    return shown if shown is not None and any(uses(shown, rule) for rule in rules) else None


def discovery_logged(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, log lines with messages of neighbour discovery: most rules that log also drop."""
    lines = [
        one
        for one in scene.pasted.logged
        if one.family == 6 and one.visit is None and one.fields.get("icmp_type") in _DISCOVERY
    ]
    if not lines:
        return
    first = lines[0]
    interface = next((value for name, value in first.pairs if name in ("OUT", "IN") and value), "")
    command = f"{tool_of(6)} -I {first.hook} -p ipv6-icmp -j ACCEPT"
    yield Finding(
        "neighbour-discovery-logged",
        message(
            "A rule of {hook} logs neighbour discovery on {interface}. If it is dropped then, IPv6 fails there.",
            hook=first.hook,
            interface=interface,
        ),
        tuple(
            of_line(
                one.line,
                " ".join(f"{name}={value}" for name, value in one.pairs),
            )
            for one in lines[:3]
        ),
        message(
            "IPv6 has no ARP: hosts find each other's link-layer addresses by ICMPv6, types 133 to 136. conntrack does"
            " not track these messages, so a rule for ESTABLISHED does not accept them."
        ),
        shell(command),
        None,
        6,
    )
