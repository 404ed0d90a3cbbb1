"""Rules for the host alone, in a pasted text about containers: their packets pass neither INPUT nor OUTPUT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from iptsim.addresses import Family, is_loopback
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.extensions.hidden import hides_interfaces, is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import is_for_replies
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_policy, of_rule
from iptsim.findings.scene import Scene
from iptsim.languages import Message, message, message_joined, message_many
from iptsim.owners.chain_owners import chain_owners
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell
from iptsim.protocols import TCP, UDP

_NOT_IN_INPUT = message(
    "Docker forwards packets to published ports in nat PREROUTING, so they pass FORWARD, not INPUT; the rules of ufw"
    " and of firewalld's zones are in INPUT. These rules apply only to programs of the host itself, and to containers"
    " with --network host."
)


def blocked_ports(scene: Scene) -> Iterator[Finding]:
    """Find ports that only rules of INPUT block, in a text that names Docker but shows no containers."""
    if "docker" not in scene.pasted.engines or scene.host.containers:
        return
    # ufw's own commands show what ufw wrote in FORWARD, and nothing of Docker
    is_listed = any("tables" in one.form or "rules" in one.form for one in scene.pasted.segments)
    for family in scene.families:
        if (
            is_listed
            and scene.shows(family, "filter", "FORWARD")
            and scene.rules(family, "filter", "FORWARD")
        ):
            continue
        found = [
            (rule, port)
            for rule in scene.rules_below(family, "filter", "INPUT")
            if (port := _blocked(rule)) is not None
        ]
        if found:
            yield _finding(family, found)
            return
        if scene.pasted.complaint.allowed and (closed := _closed(scene, family)) is not None:
            yield _not_the_rest(family, closed)
            return


def _closed(scene: Scene, family: Family) -> Evidence | None:
    """Return the rule or policy of INPUT that blocks what no rule accepts; None without one."""
    chain = scene.table(family, "filter").chains.get("INPUT")
    last = next(
        (rule for rule in reversed(scene.rules(family, "filter", "INPUT")) if not is_gap(rule.target)), None
    )
    if last is not None and last.target_name in BLOCKING and last.is_unconditional:
        return of_rule(last)
    return of_policy(chain) if chain is not None and chain.policy in BLOCKING else None


def _not_the_rest(family: Family, closed: Evidence) -> Finding:
    return Finding(
        "input-not-for-containers",
        message("INPUT blocks what no rule accepts, but not for containers: their published ports are open."),
        (closed,),
        _NOT_IN_INPUT,
        _elsewhere(family, "PORT"),
        None,
        family,
    )


def _blocked(rule: Rule) -> int | None:
    """Return the one destination port that a rule blocks for new connections; None for other rules."""
    if rule.target_name not in BLOCKING or rule.parameters.protocol not in (TCP, UDP):
        return None
    if "protocol" in rule.parameters.negated or is_for_replies(rule) or rule.conditions_on("sport"):
        return None
    return _port(rule)


def _port(rule: Rule) -> int | None:
    """Return the one destination port that a rule matches; None for several or all."""
    for predicate in rule.conditions_on("dport"):
        if not predicate.negated and isinstance(predicate.allowed, tuple) and len(predicate.allowed) == 1:
            first, last = predicate.allowed[0]
            if first == last:
                return int(first)
    return None


def _finding(family: Family, found: list[tuple[Rule, int]]) -> Finding:
    ports = list(dict.fromkeys(str(port) for _, port in found))
    return Finding(
        "input-not-for-containers",
        message_many(
            "INPUT blocks port {ports}, but not for containers that publish it.",
            "INPUT blocks ports {ports}, but not for containers that publish them.",
            len(ports),
            ports=message_joined(", ", ports[:SHOWN]),
        ),
        tuple(of_rule(rule) for rule, _ in found[:SHOWN]),
        _NOT_IN_INPUT,
        _elsewhere(family, ports[0]),
        None,
        family,
    )


def published_ports(scene: Scene) -> Iterator[Finding]:
    """Find ports that Docker forwards to containers without known addresses, beside an INPUT that blocks the rest."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        if next(scene.publications(family), None) is not None:
            continue
        forwards = [
            (rule, port)
            for rule in scene.rules(family, "nat", "DOCKER")
            if rule.target_name == "DNAT" and (port := _port(rule)) is not None
        ]
        blocking = next(
            (
                rule
                for rule in scene.rules(family, "filter", "INPUT")
                if rule.target_name in BLOCKING and not any(rule.conditions_on("dport"))
            ),
            None,
        )
        if forwards and blocking is not None:
            yield _published(family, forwards, blocking)


def _published(family: Family, forwards: list[tuple[Rule, int]], blocking: Rule) -> Finding:
    ports = list(dict.fromkeys(str(port) for _, port in forwards))
    return Finding(
        "input-not-for-containers",
        message_many(
            "INPUT blocks the rest, but not the published port {ports}.",
            "INPUT blocks the rest, but not the published ports {ports}.",
            len(ports),
            ports=message_joined(", ", ports[:SHOWN]),
        ),
        (*(of_rule(rule) for rule, _ in forwards[:SHOWN]), of_rule(blocking)),
        message(
            "Docker forwards packets to published ports in nat PREROUTING, so they pass FORWARD and DOCKER-USER, and"
            " never INPUT."
        ),
        _elsewhere(family, ports[0]),
        None,
        family,
    )


def _elsewhere(family: Family, port: str) -> Message:
    return message(
        "Publish the port on one address only (-p 127.0.0.1:{port}:{port}), or block it before Docker accepts"
        " it: {command}",
        port=port,
        command=shell(
            f"{tool_of(family)} -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport {port}"
            " --ctdir ORIGINAL -j DROP"
        ),
    )


def blocked_outgoing(scene: Scene) -> Iterator[Finding]:
    """Find ports and addresses that only rules of OUTPUT block, in a text that names Docker."""
    if "docker" not in scene.pasted.engines:
        return
    for family in scene.families:
        owners = chain_owners(scene.host.rulesets[family])
        rules = [
            rule
            for rule in scene.rules_below(family, "filter", "OUTPUT")
            if _blocks_others(rule) and owners.rule(rule) != "kubernetes"
        ]
        forwarded = any(
            rule.target_name in BLOCKING and not rule.is_unconditional and not is_dockers(rule)
            for rule in scene.rules_below(family, "filter", "FORWARD")
        )
        if rules and not forwarded:
            yield _outgoing(family, rules)
            return


def _blocks_others(rule: Rule) -> bool:
    """Return whether a rule blocks new connections to some machines or ports, for every program."""
    named = rule.parameters.destination is not None or any(rule.conditions_on("dport"))
    to = rule.parameters.destination
    local = (
        rule.parameters.out_interface == "lo"
        or (
            to is not None
            and "destination" not in rule.parameters.negated
            and is_loopback(to.family, to.address)
        )
        or any(match.name == "owner" for match in rule.matches)
    )
    return rule.target_name in BLOCKING and named and not local and not is_for_replies(rule)


def _outgoing(family: Family, rules: list[Rule]) -> Finding:
    seen = tuple(match for match in rules[0].matches if not hides_interfaces(match))
    options = replace(rules[0], matches=seen).specification
    return Finding(
        "output-not-for-containers",
        message("OUTPUT blocks connections of the host, but not those of containers."),
        tuple(map(of_rule, rules[:SHOWN])),
        message(
            "Containers on a bridge have network namespaces of their own: the host forwards what they send, so it"
            " passes FORWARD and DOCKER-USER, not OUTPUT."
        ),
        message(
            "For containers, too: {command}", command=shell(f"{tool_of(family)} -I DOCKER-USER {options}")
        ),
        None,
        family,
    )
