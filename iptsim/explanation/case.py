"""The material for the sentences of an answer: the case, and phrases that several of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from iptsim.addresses import address_text, endpoint_text
from iptsim.dump.rule import Rule
from iptsim.extensions.parameters import format_protocol
from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.languages import Text, message, message_joined
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg, Trace
from iptsim.owners.docker import docker_role
from iptsim.owners.maker import Role
from iptsim.packet import Packet
from iptsim.protocols import usual_protocol_name
from iptsim.question.model import Question


@dataclass
class Case:
    """A trace, and the leg and step that decided it.

    Attributes:
        step: the deciding step, or None.
    """

    host: Host
    question: Question
    trace: Trace
    leg: Leg
    step: Step | None

    @cached_property
    def role(self) -> Role | None:
        """What the deciding rule is for, if Docker wrote it."""
        step = self.step
        return docker_role(step.rule, self.host) if step is not None and step.rule is not None else None

    @property
    def packet(self) -> Packet:
        """The packet as it was sent."""
        return self.leg.packet

    @cached_property
    def seen(self) -> Packet:
        """The packet as the deciding step saw it: after the translations before that step."""
        packet = self.leg.packet.copy()
        for step in self.leg.steps:
            if step.maybe:
                continue
            step.change(packet)
            if step is self.step:
                break
        return packet

    @property
    def what(self) -> str:
        """Protocol and port of the request: "80/tcp"."""
        return port_text(self.trace.legs[0].packet)

    @property
    def sender(self) -> Container | None:
        """The container that sends, None for any other sender."""
        return self.owner(self.packet.src)

    @property
    def has_proxy(self) -> bool:
        """Whether docker-proxy listens for published ports: Docker runs, and userland-proxy is not false."""
        daemon = self.host.daemon
        return daemon is not None and daemon.userland_proxy is not False

    @property
    def takes_links(self) -> bool:
        """Whether links open ports on the bridge on which the packet arrived: only on the default bridge."""
        bridge = self.step.interfaces[0] if self.step is not None else None
        network = self.host.network_of_bridge(bridge or "")
        return network is None or network.is_default_bridge

    def owner(self, address: int) -> Container | None:
        """Return the container with this address, or None."""
        owner = self.host.owner_of(self.packet.family, address)
        return owner[0] if isinstance(owner, tuple) else None

    def name(self, address: int) -> Text:
        """Return the name of an address's owner, or the address."""
        owner = self.host.owner_of(self.packet.family, address)
        if isinstance(owner, tuple):
            return owner[0].name
        return message("the host") if owner == "host" else address_text(self.packet.family, address)

    def rules(self, chain: str) -> Sequence[Rule]:
        """Return the rules of a chain of table filter."""
        ruleset = self.host.rulesets.get(self.packet.family)
        entry = ruleset.chain("filter", chain) if ruleset else None
        return entry.rules if entry else []

    def jumps_to(self, chain: str) -> bool:
        """Return whether a jump took the packet to a chain."""
        return any(step.called == chain for step in self.leg.steps)

    def icc_drop(self, bridge: str | None) -> Rule | None:
        """Return Docker's rule that blocks traffic between the containers of a bridge."""
        packet = self.packet
        for chain in ("DOCKER-FORWARD", "FORWARD"):
            for rule in self.rules(chain):
                role = docker_role(rule, self.host)
                name = rule.parameters.in_interface or ""
                network = self.host.network_of_bridge(name)
                own = name == bridge or (network is not None and network.covers(packet.family, packet.dst))
                if role is not None and role.code == "icc-off" and own:
                    return rule
        return None


def port_text(packet: Packet) -> str:
    """Return protocol and destination port of a packet: "80/tcp", "icmp"."""
    name = usual_protocol_name(packet.proto)
    return f"{packet.dport}/{name}" if packet.dport is not None else name


def destination_text(packet: Packet) -> str:
    """Return where a packet goes: "10.0.0.9:80", "[fd00::9]:80"."""
    return endpoint_text(packet.family, packet.dst, packet.dport)


def packets_text(rule: Rule) -> Text:
    """Return which packets a rule matches: "tcp packets from 10.0.0.9 to port 80"."""
    parameters = rule.parameters
    protocol = ""
    if parameters.protocol and "protocol" not in parameters.negated:
        protocol = format_protocol(parameters.protocol)
        parameters = replace(parameters, protocol=None)
    unread = [match.unread for match in rule.matches if match.unread]
    phrases = (
        parameters.says(),
        *(match.says() for match in rule.matches if not match.unread),
        message("that match {condition}", condition=message_joined(" and ", unread)) if unread else "",
    )
    which = message_joined(", ", filter(None, phrases))
    if protocol and which:
        return message("{protocol} packets {which}", protocol=protocol, which=which)
    if protocol:
        return message("{protocol} packets", protocol=protocol)
    return message("packets {which}", which=which) if which else message("every packet that reaches it")


def own_address_text(case: Case) -> Text:
    """Return why INPUT decides about a container's packet to an address of its host."""
    packet, step = case.packet, case.step
    to_host = case.host.owner_of(packet.family, packet.dst) == "host"
    if step is None or step.hook != "INPUT" or case.sender is None or not to_host:
        return ""
    address = address_text(packet.family, packet.dst)
    others = message_joined(
        " or ", ("FORWARD", "DOCKER-USER") if case.host.daemon is not None else ("FORWARD",)
    )
    return message(
        "{address} is the host's own address, so INPUT decides, not {others}.", address=address, others=others
    )


def is_shut_in(host: Host, container: Container) -> bool:
    """Return whether all networks of a container are internal."""
    networks = [host.networks.get(name) for name in container.endpoints]
    return bool(networks) and all(network is not None and network.internal for network in networks)


def has_link(host: Host, container: Container, target: str) -> bool:
    """Return whether a container has a link to another one."""
    for link in container.links:
        linked = host.container(link.target)
        if link.target == target or (linked is not None and linked[0].name == target):
            return True
    return False


def published_family(target: Container, packet: Packet) -> int | None:
    """Return the other address family, if a container publishes the port only for that one."""
    families = {
        port.family
        for port in target.published
        if (port.proto, port.container_port) == (packet.proto, packet.dport)
    }
    return next(iter(families)) if families and packet.family not in families else None
