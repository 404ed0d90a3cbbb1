"""Findings about ports in DOCKER-USER: after DNAT, packets have those of containers, not the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.base import Match
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.docker_user import CHAIN
from iptsim.findings.finding import Finding, of_rule, port_ranges, uses
from iptsim.findings.scene import Publication, Scene
from iptsim.host.evidence import BRIDGE
from iptsim.host.pasted_services import ListedPort
from iptsim.languages import Message, message, message_joined, message_many
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: At most this many rules are listed.
_SHOWN = 10
#: A range of at least this many ports names none of them.
_WIDE = 4096


def host_ports(scene: Scene) -> Iterator[Finding]:
    """Find rules in DOCKER-USER that match a host port, which DNAT has already replaced."""
    for family in scene.families:
        publications = list(scene.publications(family))
        inside = {(one.port.proto, one.port.container_port) for one in publications}
        inside |= {(port.proto, port.port) for one in scene.host.containers.values() for port in one.exposed}
        for rule in scene.rules_below(family, "filter", CHAIN):
            if _is_for_containers(scene, rule):
                continue
            for publication in publications:
                port = publication.port
                if (port.proto, port.host_port) in inside or not _names_port(
                    rule, port.proto, port.host_port
                ):
                    continue
                shown = scene.ask_port(publication, sender=_source_of(rule))
                if shown is None or uses(shown, rule):
                    continue
                yield _host_port(family, rule, publication, shown)
                break


def _is_for_containers(scene: Scene, rule: Rule) -> bool:
    """Return whether a rule is for what containers send: it arrives on a bridge of Docker."""
    parameters = rule.parameters
    return "in_interface" not in parameters.negated and any(
        network.bridge == parameters.in_interface for network in scene.docker_networks()
    )


def _goes_past(scene: Scene, rule: Rule) -> bool:
    """Return whether a rule is for what leaves by an interface that is no bridge, such as a tunnel: to no container."""
    name = rule.parameters.out_interface
    if name is None or "out_interface" in rule.parameters.negated or BRIDGE.fullmatch(name):
        return False
    return not any(network.bridge == name for network in scene.docker_networks())


def ports_after_translation(scene: Scene) -> Iterator[Finding]:
    """Find rules in DOCKER-USER that name a port, where the source does not show how ports are forwarded."""
    listed = {(one.port, one.proto): one for one in scene.pasted.published}
    inside = {(one.inside, one.proto) for one in scene.pasted.published}
    for family in scene.families:
        if scene.shows(family, "nat"):
            continue
        rules = []
        for rule in scene.rules(family, "filter", CHAIN):
            port = _destination_port(rule)
            named = (port or 0, protocol_name(rule.parameters.protocol or 0))
            if port is None or named in inside or _is_for_containers(scene, rule) or _goes_past(scene, rule):
                continue
            if named not in listed or not _names_port(rule, rule.parameters.protocol or 0, port):
                rules.append(rule)
            elif not any(scene.publications(family)):  # else host_ports reports it
                yield _listed_port(family, rule, listed[named])
        if not rules:
            continue
        positions = message_joined(", ", [str(rule.position) for rule in rules[:_SHOWN]])
        yield Finding(
            "docker-user-port",
            message_many(
                "DOCKER-USER rule {positions} names a port of the container, not the published port of the host.",
                "DOCKER-USER rules {positions} name ports of containers, not published ports of the host.",
                len(rules),
                positions=positions,
            ),
            tuple(map(of_rule, rules[:_SHOWN])),
            message(
                "DNAT comes before: in FORWARD the packet has the address and port of the container. For a port that"
                " is published as 8080:80, --dport 8080 never matches; it only works where both ports are the same."
            ),
            _remedy(scene, family, rules),
            None,
            family,
        )


def _remedy(scene: Scene, family: Family, rules: Sequence[Rule]) -> Message:
    """Return how rules of DOCKER-USER name the ports of the host; without commands if their positions are unknown."""
    ports = [(rule, _destination_port(rule) or 0) for rule in rules[:_SHOWN]]
    if not scene.pasted.appended:
        commands = [_for_original_port(family, rule, port) for rule, port in ports]
        return message("To name the port of the host: {commands}", commands=shell(*commands))
    words = f"-m conntrack --ctorigdstport {ports[0][1]} --ctdir ORIGINAL"
    return message("To name the port of the host: {words}", words=words)


def _listed_port(family: Family, rule: Rule, port: ListedPort) -> Finding:
    """Return the finding about a rule for a port of the host that a list of containers shows as published."""
    return Finding(
        "docker-user-host-port",
        _port_of_host(rule, port.port, port.inside),
        (of_rule(rule),),
        message(
            "{name} publishes it as {port}->{inside}, and DNAT in PREROUTING comes before FORWARD. So the rule never"
            " matches its packets.",
            port=port.port,
            inside=port.inside,
            name=port.name,
        ),
        shell(_for_original_port(family, rule, port.port)),
        None,
        family,
    )


def _port_of_host(rule: Rule, port: int, inside: int) -> Message:
    return message(
        "{chain} rule {position} matches port {host_port} of the host, but after DNAT the packet has the container's"
        " port {container_port}.",
        chain=rule.chain,
        position=rule.position,
        host_port=port,
        container_port=inside,
    )


def _for_original_port(family: Family, rule: Rule, port: int) -> str:
    """Return the command that lets a rule match the published port, with all its other conditions that are shown."""
    words = [rule.parameters.save()]
    words += [
        f"-m {match.name} {match.save()}"
        for match in rule.matches
        if not _has_port(match) and not isinstance(match, Hidden)
    ]
    words += ["-m conntrack --ctorigdstport", str(port), "--ctdir ORIGINAL"]
    order = rule.text.partition(" -j ")[2]
    command = f"{tool_of(family)} -R {rule.chain} {rule.position} {' '.join(words)}"
    return command + (f" -j {order}" if order else "")


def _destination_port(rule: Rule) -> int | None:
    """Return the first destination port that a rule names, or None; those of replies are the senders' ports.

    A range of very many ports, as that of all servers, names none.
    """
    if rule.conditions_on("sport"):
        return None
    for predicate in rule.conditions_on("dport"):
        if isinstance(predicate.allowed, tuple) and predicate.allowed:
            first, last = predicate.allowed[0]
            if last - first < _WIDE:
                return int(first)
    return None


def _source_of(rule: Rule) -> str:
    """Return a source that a rule matches, in the form of a question."""
    source = rule.parameters.source
    if source is None or "source" in rule.parameters.negated:
        return "internet"
    return address_text(6 if source.family == 6 else 4, source.address | (~source.mask & 1))


def _names_port(rule: Rule, proto: int, port: int) -> bool:
    """Return whether a rule matches a few destination ports including this one."""
    if rule.parameters.protocol != proto or "protocol" in rule.parameters.negated:
        return False
    return (port, port) in port_ranges(rule)


def _has_port(match: Match) -> bool:
    return any(predicate.field in ("sport", "dport") for predicate in match.predicates())


def _host_port(family: Family, rule: Rule, publication: Publication, shown: Explanation) -> Finding:
    port = publication.port
    dnat = [step.rule for step in shown.trace.legs[0].steps if step.verdict == "DNAT" and step.rule]
    command = _for_original_port(family, rule, port.host_port)
    return Finding(
        "docker-user-host-port",
        _port_of_host(rule, port.host_port, port.container_port),
        (of_rule(rule), *map(of_rule, dnat)),
        message(
            "The rule never matches packets to {outside} of the host: PREROUTING has changed the "
            "destination to {inside} of {name}.",
            outside=publication.outside,
            inside=publication.inside,
            name=publication.container.name,
        ),
        shell(command),
        shown,
        family,
        # moving an accepting rule changes no verdict
        (command,) if rule.target_name in BLOCKING and shown.verdict == "ACCEPT" else (),
    )
