"""What table nat does where the source does not show it: Docker's rules in other tables prove that it has some there.

For every published port, dockerd writes an ACCEPT to the container's address into filter DOCKER, and its twin, the
DNAT, into nat DOCKER: moby v28.5.2, libnetwork/drivers/bridge/internal/iptabler/port.go (setPerPortForwarding,
setPerPortDNAT). The ACCEPT does not name the port on the host; it may be any.

For every container of a network in gateway mode nat, dockerd 28 and later write a DROP into raw PREROUTING
(endpoint.go), and a MASQUERADE for the network into nat POSTROUTING, unless it has enable_ip_masquerade=false
(network.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from iptsim.addresses import Family, endpoint_text, is_loopback
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.context import Context
from iptsim.extensions.verdicts import Translation
from iptsim.host import fib
from iptsim.host.containers import Container
from iptsim.host.docker_defaults import DOCKER0
from iptsim.host.model import Host
from iptsim.host.source_address import select_source
from iptsim.languages import Text, message
from iptsim.netfilter import hooks
from iptsim.netfilter.excerpts import WHOLE, unseen_chains, unseen_tables
from iptsim.packet import Packet
from iptsim.protocols import PROTOCOLS, protocol_name
from iptsim.truth import Unknown

#: At most this many containers are considered as the target of one packet.
_MOST = 8


class UnseenTranslation(NamedTuple):
    """A translation that table nat, which is not shown, may contain for a packet.

    Attributes:
        unknown: what is not known.
        words / otherwise: a clause that is true if it is there, and one if it is not.
        wanted: the translation.
    """

    unknown: Unknown
    words: Text
    otherwise: Text
    wanted: Translation


class Target(NamedTuple):
    """A container's address, its published port, and its bridge if known."""

    address: int
    port: int
    bridge: str | None


def unseen_translations(host: Host, rulesets: list[Ruleset], context: Context) -> Iterator[UnseenTranslation]:
    """Yield how Docker's rules in a table nat that is not shown may translate a new connection.

    Args:
        host: the host.
        rulesets: its rules of the packet's family.
        context: the packet at a hook.
    """
    yield from _forwardings(host, rulesets, context)
    yield from _masquerading(host, rulesets, context)


def _forwardings(host: Host, rulesets: list[Ruleset], context: Context) -> Iterator[UnseenTranslation]:
    """Yield how it may be forwarded to a container at PREROUTING or OUTPUT."""
    packet = context.packet
    if packet.dport is None or not _may_forward(host, rulesets, context):
        return
    proxied = has_proxy(host)
    for target in _targets(host, rulesets, context):
        if proxied and target.bridge is not None and target.bridge == context.in_interface:
            continue
        yield _forwarding(packet.family, target, packet.proto, packet.dport)


def _may_forward(host: Host, rulesets: list[Ruleset], context: Context) -> bool:
    """Return whether rules that are not shown may forward what is sent to a packet's address."""
    packet, daemon = context.packet, host.daemon
    if context.hook not in (hooks.PREROUTING, hooks.OUTPUT):
        return False
    if not _lacks_nat(host, rulesets) and ("nat", context.hook) not in unseen_chains(rulesets):
        return False
    if daemon is not None and daemon.iptables is False:
        return False
    if fib.lookup(host.namespace, packet.family, packet.dst).type != "local":
        return False
    # what is sent to a loopback address is left to docker-proxy
    return not (is_loopback(packet.family, packet.dst) and has_proxy(host))


def _lacks_nat(host: Host, rulesets: list[Ruleset]) -> bool:
    """Return whether the source does not show table nat, although it may, or by Docker's other rules must, exist."""
    if any("nat" in ruleset.tables for ruleset in rulesets):
        return False
    if "nat" in unseen_tables(rulesets):
        return True
    if not host.inferred:
        return False
    return bool(_protected_bridges(rulesets)) or any(
        _published(rule, rule.parameters.protocol or 0) is not None for rule in _docker_rules(rulesets)
    )


def _protected_bridges(rulesets: list[Ruleset]) -> set[str]:
    """Return the bridges to whose containers raw accepts only their own packets: `-d 172.17.0.2/32 ! -i docker0`."""
    found = set[str]()
    for ruleset in rulesets:
        chain = ruleset.chain("raw", "PREROUTING") if "raw" in ruleset.tables else None
        for rule in chain.rules if chain is not None else ():
            parameters = rule.parameters
            bridge, direct = parameters.in_interface, parameters.destination
            if rule.target_name != "DROP" or bridge is None or "in_interface" not in parameters.negated:
                continue
            if direct is not None and not is_loopback(ruleset.family, direct.address):
                found.add(bridge)
    return found


def _masquerading(host: Host, rulesets: list[Ruleset], context: Context) -> Iterator[UnseenTranslation]:
    """Yield that its source may become the host's address where it leaves a network whose containers raw protects."""
    packet, bridge, device = context.packet, context.entered, context.out_interface
    if context.hook != hooks.POSTROUTING or bridge is None or device in (None, bridge):
        return
    if (host.daemon is not None and host.daemon.iptables is False) or not _lacks_nat(host, rulesets):
        return
    if bridge not in _protected_bridges(rulesets):
        return
    family = packet.family
    own = select_source(host.namespace, family, device or "", packet.dst, gateway=packet.dst)
    if own is None:
        return
    yield UnseenTranslation(
        Unknown(
            message("the rules in table nat, where Docker masquerades packets that leave its networks"),
            WHOLE[family],
            ("masquerade", bridge),
        ),
        message("table nat, which is not shown, masquerades packets from {bridge}", bridge=bridge),
        message("table nat, which is not shown, does not masquerade packets from {bridge}", bridge=bridge),
        Translation("MASQUERADE", "src", (own, own)),
    )


def has_proxy(host: Host) -> bool:
    """Return whether docker-proxy listens for published ports, unless the daemon says otherwise."""
    return host.daemon is None or host.daemon.userland_proxy is not False


def of_engine(host: Host) -> list[Container]:
    """Return the containers that the engine lists with their published ports; none if it does not show those of all."""
    listed = [container for container in host.containers.values() if container.id]
    return listed if all(container.shows_ports for container in listed) else []


def services(host: Host, rulesets: list[Ruleset], context: Context) -> frozenset[tuple[int, int]]:
    """Return the protocols and ports that :func:`unseen_translations` distinguishes."""
    if not _may_forward(host, rulesets, context):
        return frozenset()
    family = context.packet.family
    engine = of_engine(host)
    if engine:
        ports = (port for container in engine for port in container.published if port.family == family)
        return frozenset((port.proto, port.host_port) for port in ports)
    listed = host.pasted.published if host.pasted is not None else ()
    return frozenset(
        (proto, target.port)
        for rule in _docker_rules(rulesets)
        if (proto := rule.parameters.protocol) is not None
        if (target := _published(rule, proto)) is not None
    ) | {(PROTOCOLS[one.proto], one.port) for one in listed if one.proto in PROTOCOLS}


def _docker_rules(rulesets: list[Ruleset]) -> Iterator[Rule]:
    for ruleset in rulesets:
        if "filter" in ruleset.tables and ruleset.chain("filter", "DOCKER") is not None:
            yield from ruleset.tables["filter"].chains["DOCKER"].rules


def _forwarding(family: Family, target: Target, proto: int, port: int) -> UnseenTranslation:
    container, service = endpoint_text(family, target.address, target.port), f"{protocol_name(proto)}/{port}"
    wanted = Translation("DNAT", "dst", (target.address, target.address), (target.port, target.port))
    return UnseenTranslation(
        Unknown(
            message("the rules in table nat, where Docker forwards published ports to containers"),
            WHOLE[family],
            (proto, port, target),
        ),
        message(
            "table nat, which is not shown, forwards {port} of the host to {container}",
            port=service,
            container=container,
        ),
        message(
            "table nat, which is not shown, does not forward {port} of the host to {container}",
            port=service,
            container=container,
        ),
        wanted,
    )


def _targets(host: Host, rulesets: list[Ruleset], context: Context) -> list[Target]:
    """Return the containers to which a packet to the host may be forwarded, those with the same port first."""
    packet = context.packet
    engine = of_engine(host)
    if engine:
        return _publishing(host, engine, packet)
    found = published_ports(rulesets, packet)
    inside = _listed_port(host, packet)
    if inside is None:
        return found
    return (
        [target for target in found if target.port == inside]
        or _publishing(host, host.containers.values(), packet)
        or [_guess(host, inside)]
    )


def _publishing(host: Host, containers: Iterable[Container], packet: Packet) -> list[Target]:
    """Return the containers that publish a packet's port of the host."""
    return [
        Target(address, port.container_port, host.networks[endpoint.network].bridge)
        for container in containers
        for port in container.published
        if (port.family, port.proto, port.host_port) == (packet.family, packet.proto, packet.dport)
        for endpoint in container.endpoints.values()
        if endpoint.network in host.networks
        for family, address in endpoint.addresses.items()
        if family == packet.family
    ]


def _listed_port(host: Host, packet: Packet) -> int | None:
    """Return the container's port, if a pasted text tells which container publishes a packet's port of the host."""
    if host.pasted is None or packet.family == 6:
        return None
    what = (packet.dport, protocol_name(packet.proto))
    return next((one.inside for one in host.pasted.published if (one.port, one.proto) == what), None)


def _guess(host: Host, port: int) -> Target:
    """Return a container for which no rule is shown: with a free address on the default bridge."""
    network = next((one for one in host.networks.values() if one.is_default_bridge), None)
    subnet = next((one for one in network.subnets if one.family == 4), None) if network is not None else None
    first = (subnet.address if subnet is not None else DOCKER0.address) + 2
    taken = (address for address in range(first, first + _MOST) if host.owner_of(4, address) is None)
    return Target(next(taken, first), port, network.bridge if network is not None else None)


def published_ports(rulesets: list[Ruleset], packet: Packet) -> list[Target]:
    """Return the published ports of a packet's protocol, those with its own number first."""
    found = [
        target for rule in _docker_rules(rulesets) if (target := _published(rule, packet.proto)) is not None
    ]
    return sorted(dict.fromkeys(found), key=lambda target: target.port != packet.dport)[:_MOST]


def _published(rule: Rule, proto: int) -> Target | None:
    """Return the port for which Docker wrote a rule: `-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80`."""
    parameters = rule.parameters
    destination = parameters.destination
    if rule.target_name != "ACCEPT" or parameters.protocol != proto or destination is None:
        return None
    ports = [one.allowed for one in rule.conditions_on("dport") if not one.negated]
    if len(ports) != 1 or "destination" in parameters.negated:
        return None
    (allowed,) = ports
    if not isinstance(allowed, tuple) or len(allowed) != 1 or allowed[0][0] != allowed[0][1]:
        return None
    return Target(destination.address, allowed[0][0], parameters.out_interface)
