"""Published ports where the source does not show table nat: Docker's rules in table filter prove that they exist.

For every published port, dockerd writes an ACCEPT to the container's address into filter DOCKER, and its twin, the
DNAT, into nat DOCKER: moby v28.5.2, libnetwork/drivers/bridge/internal/iptabler/port.go (setPerPortForwarding,
setPerPortDNAT). The ACCEPT does not name the port on the host; it may be any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from iptsim.addresses import Family, endpoint_text, is_loopback
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.context import Context
from iptsim.extensions.verdicts import Translation
from iptsim.host import fib
from iptsim.host.docker_defaults import DOCKER0
from iptsim.host.model import Host
from iptsim.languages import Text, message
from iptsim.netfilter import hooks
from iptsim.netfilter.excerpts import WHOLE, unseen_chains, unseen_tables
from iptsim.packet import Packet
from iptsim.protocols import PROTOCOLS, protocol_name
from iptsim.truth import Unknown

#: At most this many containers are considered as the target of one packet.
_MOST = 8


class Forwarding(NamedTuple):
    """A translation that table nat, which is not shown, may contain for a packet.

    Attributes:
        unknown: what is not known.
        words: a clause that is true if it is there.
        wanted: the translation.
    """

    unknown: Unknown
    words: Text
    wanted: Translation


class Target(NamedTuple):
    """A container's address, its published port, and its bridge if known."""

    address: int
    port: int
    bridge: str | None


def unseen_forwardings(host: Host, rulesets: list[Ruleset], context: Context) -> Iterator[Forwarding]:
    """Yield how Docker's rules in a table nat that is not shown may forward a new connection to a container.

    Args:
        host: the host.
        rulesets: its rules of the packet's family.
        context: the packet at PREROUTING or OUTPUT.
    """
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
    if "nat" not in unseen_tables(rulesets) and ("nat", context.hook) not in unseen_chains(rulesets):
        return False
    if daemon is not None and daemon.iptables is False:
        return False
    if fib.lookup(host.namespace, packet.family, packet.dst).type != "local":
        return False
    # what is sent to a loopback address is left to docker-proxy
    return not (is_loopback(packet.family, packet.dst) and has_proxy(host))


def has_proxy(host: Host) -> bool:
    """Return whether docker-proxy listens for published ports, unless the daemon says otherwise."""
    return host.daemon is None or host.daemon.userland_proxy is not False


def services(host: Host, rulesets: list[Ruleset], context: Context) -> frozenset[tuple[int, int]]:
    """Return the protocols and ports that :func:`unseen_forwardings` distinguishes."""
    if not _may_forward(host, rulesets, context):
        return frozenset()
    family = context.packet.family
    engine = [container for container in host.containers.values() if container.id]
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


def _forwarding(family: Family, target: Target, proto: int, port: int) -> Forwarding:
    container = endpoint_text(family, target.address, target.port)
    wanted = Translation("DNAT", "dst", (target.address, target.address), (target.port, target.port))
    return Forwarding(
        Unknown(
            message("the rules in table nat, where Docker forwards published ports to containers"),
            WHOLE[family],
            (proto, port, target),
        ),
        message(
            "table nat, which is not shown, forwards {port} of the host to {container}",
            port=f"{protocol_name(proto)}/{port}",
            container=container,
        ),
        wanted,
    )


def _targets(host: Host, rulesets: list[Ruleset], context: Context) -> list[Target]:
    """Return the containers to which a packet to the host may be forwarded, those with the same port first."""
    packet = context.packet
    engine = [container for container in host.containers.values() if container.id]
    if engine:
        return [
            Target(address, port.container_port, host.networks[endpoint.network].bridge)
            for container in engine
            for port in container.published
            if (port.family, port.proto, port.host_port) == (packet.family, packet.proto, packet.dport)
            for endpoint in container.endpoints.values()
            if endpoint.network in host.networks
            for family, address in endpoint.addresses.items()
            if family == packet.family
        ]
    found = published_ports(rulesets, packet)
    inside = _listed_port(host, packet)
    if inside is None:
        return found
    return [target for target in found if target.port == inside] or [_guess(host, inside)]


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
