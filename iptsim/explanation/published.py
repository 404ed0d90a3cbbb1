"""Why a packet to a published port is accepted: DNAT forwards it, or docker-proxy does."""

from __future__ import annotations

from iptsim.addresses import address_text, parse_address
from iptsim.deferred import deferred
from iptsim.dump.rule import Rule
from iptsim.explanation.case import Case, destination_text
from iptsim.explanation.codes import ReasonCode
from iptsim.explanation.places import place_of
from iptsim.explanation.reason import Reason
from iptsim.explanation.translation import has_undecided_source
from iptsim.languages import Message, Text, message, message_if, message_joined, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.owners.docker import INGRESS, docker_role
from iptsim.owners.maker import Role
from iptsim.owners.rule_owners import authorship
from iptsim.packet import Packet
from iptsim.protocols import PORT_PROTOCOLS, protocol_name


def forwarded(case: Case, forward: Step) -> Reason:
    """Return the reason for a packet that Docker's DNAT rule forwards to a container."""
    assert forward.rule is not None
    role = docker_role(forward.rule, case.host)
    assert role is not None
    text = deferred(_forward_text, case, forward.rule, role)
    return Reason(ReasonCode.PUBLISHED_PORT, text, case.step, case.leg)


def _forward_text(case: Case, rule: Rule, role: Role) -> Message:
    delivered = case.leg.delivered
    assert delivered is not None
    packet = delivered.packet
    place = destination_text(packet)
    name = role.container if role.container != address_text(packet.family, packet.dst) else ""
    mesh = rule.chain == INGRESS
    text = message_if(
        mesh,
        "A service of the swarm publishes port {port}: {rule} forwards it to the routing mesh, {place}, which passes "
        "it to a task of the service, on this node or on another one.",
        "Port {port} of the host is published: {rule} forwards it to {place}.",
        port=role.host_port, rule=place_of(rule), place=f"{name} {place}".lstrip(),
    )  # fmt: skip
    if any(step.hook == "FORWARD" for step in case.leg.steps):
        text = message_sentences(
            text,
            message(
                "It is forwarded, not delivered to the host, so {rules} do not see it.",
                rules=_input_rules(case),
            ),
        )
    client = _client_of_task() if mesh else _client_text(case, name, packet)
    return message_sentences(text, _missed_by_port(case), client)


def _client_of_task() -> Message:
    """Return which client address a task sees: IPVS replaces it (configureFWMark in libnetwork/service_linux.go)."""
    return message("The task sees an address of the mesh as its client.")


def _client_text(case: Case, name: str, packet: Packet) -> Text:
    """Return which client address a container sees, if it is the same in all branches."""
    if not name or packet.proto not in PORT_PROTOCOLS or has_undecided_source(case):
        return ""
    address = address_text(packet.family, packet.src)
    if packet.src != case.packet.src and case.host.namespace.has_address(packet.family, packet.src):
        return message(
            "{name} sees {address}, the host's own address, as its client.", name=name, address=address
        )
    return message("{name} sees {address} as its client.", name=name, address=address)


def _input_rules(case: Case) -> Text:
    """Return a name for the rules that only see what the host itself receives."""
    owners = {authorship(rule, case.host)[0]: None for rule in case.rules("INPUT")}
    known = [owner for owner in owners if owner not in ("user", "kernel", "docker")]
    return (
        message("the rules in INPUT ({known})", known=message_joined(", ", known))
        if known
        else message("rules in INPUT")
    )


def _missed_by_port(case: Case) -> Text:
    """Return a sentence if a rule in DOCKER-USER checks the original port, which DNAT has replaced; else ""."""
    delivered, original = case.leg.delivered, case.packet.dport
    if delivered is None or original is None or delivered.packet.dport == original:
        return ""
    for rule in case.rules("DOCKER-USER"):
        ports = rule.conditions_on("dport")
        if any(not one.negated and one.allowed == ((original, original),) for one in ports):
            return message(
                "{chain} rule {position} is for port {original}, but after DNAT the port is {dport}; "
                "--ctorigdstport matches the original port.",
                chain=rule.chain,
                position=rule.position,
                original=original,
                dport=delivered.packet.dport or 0,
            )
    return ""


def proxied(case: Case) -> Reason:
    """Return the reason for a packet that docker-proxy accepts."""
    packet = case.packet
    second = next(leg for leg in case.trace.legs if leg.proxy)
    container = second.delivered.name if second.delivered else ""
    roles = [role for step in case.leg.steps if step.rule and (role := docker_role(step.rule, case.host))]
    own = next((role for role in roles if role.code == "own-bridge"), None)
    if own is not None:
        why = message(
            "{what} is published, but Docker's nat rules skip requests from {network}.",
            what=case.what,
            network=own.shown,
        )
    elif packet.family == 4 and packet.dst >> 24 == 127:
        why = message("{what} is published, but Docker's nat rules skip 127.0.0.0/8.", what=case.what)
    else:
        why = message("{what} is published, but no nat rule forwards this packet.", what=case.what)
    source = address_text(second.packet.family, second.packet.src)
    text = message_sentences(
        why,
        message(
            "It ends on the host, where docker-proxy listens and opens a second connection to {container}; "
            "{container} sees {source} as its client.",
            container=container, source=source,
        ),
    )  # fmt: skip
    pasted = case.host.pasted
    if case.host.inferred and not (pasted is not None and pasted.shows_proxies):
        text = message_sentences(
            text,
            message(
                "docker-proxy is assumed to be running: the rules do not show it, `ss -ltnp` on the host "
                "does."
            ),
        )
    return Reason(ReasonCode.DOCKER_PROXY, text, case.step, case.leg)


def other_publication_text(case: Case) -> Text:
    """Return a sentence if the port is published for another address, protocol or address family; else ""."""
    delivered = case.leg.delivered
    if delivered is None or delivered.kind != "host" or delivered.packet.proto not in PORT_PROTOCOLS:
        return ""
    packet = delivered.packet
    published = [
        (container, port)
        for container in case.host.containers.values()
        for port in container.published
        if port.host_port == packet.dport
    ]
    same = [
        (one, port) for one, port in published if (port.proto, port.family) == (packet.proto, packet.family)
    ]
    for _, port in same:
        if port.host_address is None or parse_address(port.host_address)[1] == packet.dst:
            return ""
    for container, port in same:
        return message(
            "{name}'s port is published on {host_address} only, not on {address}.",
            name=container.name,
            host_address=port.host_address or "",
            address=address_text(packet.family, packet.dst),
        )
    for container, port in published:
        if port.proto == packet.proto:
            return message(
                "{name}'s port is published for IPv{family} only.", name=container.name, family=port.family
            )
    for container, port in published:
        if port.family == packet.family:
            return message(
                "{name}'s port is published for {published}, not for {asked}.",
                name=container.name,
                published=f"{port.host_port}/{protocol_name(port.proto)}",
                asked=case.what,
            )
    return ""
