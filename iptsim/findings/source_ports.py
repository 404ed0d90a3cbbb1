"""Rules that accept or block packets by their source port alone, which every sender chooses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import second_address
from iptsim.findings.examples import header, is_for_replies
from iptsim.findings.finding import SHOWN, Finding, blocked_at, of_rule, takes_port, uses
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.rule_owners import rulesets_of
from iptsim.passages import shell
from iptsim.protocols import TCP, UDP, protocol_name

#: A port of the host that hardly any rule is for, and a source port that none names.
_ANY_PORT, _OTHER = 9999, 40000
#: Services listen below this port (ip_local_port_range does not reach it).
_SERVICES = 1024
_DNS = 53


def trusted(scene: Scene) -> Iterator[Finding]:
    """Find rules of INPUT that open all ports of the host to whoever sends from a certain port."""
    for family in scene.families:
        for rule in scene.rules_below(family, "filter", "INPUT"):
            if (found := _opening(scene, family, rule)) is not None:
                yield found
    yield from _of_nftables(scene)


def _of_nftables(scene: Scene) -> Iterator[Finding]:
    """Find the same in chains of nftables, each port of a chain once."""
    found = dict[tuple[str, str, int | None], Finding]()
    for ruleset in rulesets_of(scene.host):
        family = ruleset.family
        if family not in scene.families or not ruleset.tables.keys().isdisjoint(BUILTIN_CHAINS):
            continue
        for rule in ruleset.rules():
            key = (rule.table, rule.chain, _source_port(rule))
            if key not in found and (opening := _opening(scene, family, rule)) is not None:
                found[key] = opening
    yield from found.values()


def _opening(scene: Scene, family: Family, rule: Rule) -> Finding | None:
    """Return the finding about a rule that accepts packets to any port because of their source port."""
    port = _source_port(rule)
    if port is None:
        return None
    proto = protocol_name(rule.parameters.protocol or TCP)
    shown, other = (
        scene.ask("internet", "host", family, proto=proto, sport=sport, dport=_ANY_PORT)
        for sport in (port, _OTHER)
    )
    if shown is None or other is None or not uses(shown, rule) or shown.verdict != "ACCEPT":
        return None
    return _finding(family, rule, port, shown) if other.verdict in BLOCKING else None


def blocked(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules that block packets from the port of a service instead of those to it."""
    for family in scene.families if scene.is_pasted else ():
        for hook in ("INPUT", "FORWARD"):
            rules = [rule for rule in scene.rules(family, "filter", hook) if _blocks_by_source(rule)]
            if rules:
                yield _blocks(scene, family, hook, rules)


def _blocks_by_source(rule: Rule) -> bool:
    """Return whether a rule blocks packets by the source port of a service alone."""
    port = header(rule).get("sport", _SERVICES)
    named = rule.parameters.protocol in (TCP, UDP) and not rule.parameters.negated
    return rule.target_name in BLOCKING and named and 0 < port < _SERVICES and not rule.conditions_on("dport")


def _blocks(scene: Scene, family: Family, hook: str, rules: list[Rule]) -> Finding:
    rule = rules[0]
    port, proto = header(rule)["sport"], protocol_name(rule.parameters.protocol or TCP)
    sender = second_address(rule.parameters.source) if rule.parameters.source is not None else "internet"
    shown = scene.ask(sender, "host", family, proto=proto, dport=port) if hook == "INPUT" else None
    words = re.sub(r"--(sport|source-port)\b", "--dport", rule.specification)
    return Finding(
        "source-port-blocked",
        message(
            "{chain} rule {position} blocks packets from port {port}, not connections to it.",
            chain=hook,
            position=rule.position,
            port=port,
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        message(
            "Clients send to the port of a service from a high port of their own, so the rule does not match them. It"
            " blocks replies of such services."
        ),
        message(
            "To block connections to port {port}: {command}",
            port=port,
            command=shell(f"{tool_of(family)} -R {hook} {rule.position} {words}"),
        ),
        shown if shown is not None and shown.verdict == "ACCEPT" else None,
        family,
    )


def accepted(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text about what fails, rules that accept only packets from a port to which the host connects.

    Not those that let the replies of a service pass: a rule of INPUT is for its port, or for senders. Of UDP, only DNS
    is asked from high ports; NTP, DHCP and IKE also send from the port of the service.
    """
    for family in scene.families if scene.is_pasted and scene.pasted.complaint.fails else ():
        served = list(filter(_serves, scene.rules_below(family, "filter", "INPUT")))
        found: list[tuple[Rule, Explanation]] = []
        for rule in scene.rules(family, "filter", "OUTPUT"):
            port = _source_port(rule)
            if port is None or not 0 < port < _SERVICES or any(takes_port(one, port) for one in served):
                continue
            if rule.parameters.protocol == UDP and port != _DNS:
                continue
            proto = protocol_name(rule.parameters.protocol or TCP)
            shown = scene.ask("host", "internet", family, proto=proto, dport=port)
            if shown is not None and blocked_at(shown, "OUTPUT") is not None:
                found.append((rule, shown))
        if found:
            yield _accepts(family, found)


def _serves(rule: Rule) -> bool:
    """Return whether a rule of INPUT is for ports, or accepts new connections of senders to all."""
    if rule.conditions_on("dport"):
        return True
    opens = rule.target_name == "ACCEPT" and rule.parameters.protocol in (None, TCP, UDP)
    return (
        opens
        and rule.parameters.in_interface != "lo"
        and not (is_for_replies(rule) or rule.conditions_on("sport"))
    )


def _accepts(family: Family, found: list[tuple[Rule, Explanation]]) -> Finding:
    rule, shown = found[0]
    port = header(rule)["sport"]
    words = re.sub(r"--(sport|source-port)\b", "--dport", rule.specification)
    command = f"{tool_of(family)} -I OUTPUT {rule.position} {words}"
    return Finding(
        "source-port-accepted",
        message(
            "OUTPUT rule {position} accepts packets from port {port}, not connections to it.",
            position=rule.position,
            port=port,
        ),
        tuple(of_rule(one) for one, _ in found[:SHOWN]),
        message(
            "The rule accepts replies of a service on this host. Connections from this host to port {port} of other"
            " hosts come from a high port, so the rule does not match them, and OUTPUT blocks them.",
            port=port,
        ),
        message("To let the host connect to port {port}: {command}", port=port, command=shell(command)),
        shown,
        family,
        (command,),
    )


def _source_port(rule: Rule) -> int | None:
    """Return the source port from which a rule accepts packets to any port, also of new connections."""
    parameters = rule.parameters
    if rule.target_name != "ACCEPT" or parameters.protocol not in (TCP, UDP) or parameters.negated:
        return None
    if parameters.source is not None or rule.conditions_on("dport") or is_for_replies(rule):
        return None
    port: int | None = header(rule).get("sport")
    return port


def _finding(family: Family, rule: Rule, port: int, shown: Explanation) -> Finding:
    options, _, target = rule.specification.rpartition(" -j ")
    replies = f"{options} -m conntrack --ctstate ESTABLISHED -j {target}"
    command = f"{tool_of(family)} -R {rule.chain} {rule.position} {replies}"
    by_nft = rule.table not in BUILTIN_CHAINS
    return Finding(
        "source-port-trusted",
        message(
            "{place} opens every port to senders that use the source port {port}.",
            place=place_of(rule)
            if by_nft
            else message("{chain} rule {position}", chain=rule.chain, position=rule.position),
            port=port,
        ),
        (of_rule(rule),),
        message(
            "Every sender chooses its source port. The rule does not open port {port} of the host either: that would"
            " be {option}.",
            port=port,
            option=f"{'' if by_nft else '--'}dport {port}",
        ),
        message("For replies to the host alone, write ct state established before accept.")
        if by_nft
        else message("For replies to the host alone: {command}", command=shell(command)),
        shown,
        family,
        () if by_nft else (command,),
    )
