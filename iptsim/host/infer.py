"""Filling in what a capture lacks, or the whole host if there is only a dump.

Everything that is assumed here becomes a sentence in :attr:`Host.assumptions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from iptsim.addresses import Family, address_text
from iptsim.host.connected_routes import connected_routes, default_route
from iptsim.host.containers import Container, Endpoint, ExposedPort, Network, Subnet
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DEFAULT_NETWORK, DOCKER0, guessed_subnet
from iptsim.host.docker_engine import generation_of_chains
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.evidence import Evidence
from iptsim.host.inferred_interfaces import infer_interfaces, own_in
from iptsim.host.members import Member, Prefix
from iptsim.host.model import Host
from iptsim.host.namespace import (
    Interface,
    InterfaceAddress,
    Namespace,
    RoutingRule,
    interface_parameter,
    prefix_mask,
)
from iptsim.host.routing_policy import DEFAULT_RULES
from iptsim.host.routing_tables import hops
from iptsim.host.unknown_parameters import assume_parameters
from iptsim.host.wiring import wire
from iptsim.languages import Message, message, message_joined

#: Files that list containers or other guests.
INSPECT_FILES = frozenset({"docker-inspect.json", "podman-inspect.json"})
GUEST_FILES = INSPECT_FILES | {"container-netns.json"}
NETWORK_FILES = frozenset({"docker-network-inspect.json", "podman-network-inspect.json"})
#: The maximum number of container names in a sentence.
_SHOWN = 5


def complete(
    host: Host,
    known: Collection[str],
    guests: Mapping[str, Namespace] | None = None,
    own: Mapping[str, Sequence[InterfaceAddress]] = MappingProxyType({}),
) -> None:
    """Fill in what is missing, and wire containers to bridges.

    Args:
        host: the host as read from its files.
        known: the names of the files in the capture.
        guests: the saved namespaces, by container.
        own: addresses that must be the host's, by the interface on which packets to them arrive.
    """
    evidence = Evidence(host.rulesets.values(), host.namespace.nftables)
    interfaces = host.namespace.interfaces
    loopback = "lo" in interfaces or any(one.kind == "loopback" for one in interfaces.values())
    host.inferred |= bool(interfaces) and not loopback  # every host has one: the list is only a part
    # a loopback interface that is up has addresses, but `ip link` does not list them
    listed = "lo" not in interfaces or not interfaces["lo"].up or bool(interfaces["lo"].addresses)
    with_addresses = "ip-addr.json" in known and not host.inferred and listed
    if not NETWORK_FILES & set(known):
        if host.containers:
            _networks_of_endpoints(host, evidence)
        elif not GUEST_FILES & set(known):
            _networks_of_rules(host, evidence, existing_only=with_addresses)
    _gateways(host, evidence, own)
    if not with_addresses:
        infer_interfaces(host, evidence, own)
        _missing_rules(host)
    families: Sequence[Family] = (4, 6)
    if "ip-route.json" in known:
        _missing_routes(host)
        # routes of other tables say nothing about table main
        families = list(dict.fromkeys(route.family for route in host.namespace.routes))
    _default_routes(host, families)
    if not GUEST_FILES & set(known):
        _containers_of_rules(host, evidence)
    made_up = wire(host, guests or {})
    if made_up and known:
        host.assumptions.append(
            message(
                "The interfaces and routes inside {names} were not saved; they are inferred from the addresses that "
                "the engine assigned.",
                names=_names(made_up),
            )
        )
    _ports(host)
    assume_parameters(host, known)
    _docker(host, evidence)
    if host.containers and not INSPECT_FILES & set(known) and known:
        _published(host, evidence)
    shown = {"ip-link.json", "sysctl.txt"} <= set(known)
    if host.daemon is not None and host.daemon.userland_proxy is False and not shown:
        _without_proxy(host, known)


def _names(names: list[str]) -> Message:
    listed = message_joined(", ", names[:_SHOWN])
    if len(names) > _SHOWN:
        return message("{names} and {count} more containers", names=listed, count=len(names) - _SHOWN)
    return listed


def _networks_of_endpoints(host: Host, evidence: Evidence) -> None:
    """Make the networks that containers are connected to."""
    for container in host.containers.values():
        for endpoint in container.endpoints.values():
            if endpoint.network in host.networks:
                continue
            bridge = DEFAULT_BRIDGE if endpoint.network == "bridge" else f"br-{endpoint.network_id[:12]}"
            for name, prefixes in evidence.subnets.items():
                if any(p.covers(f, a) for p in prefixes for f, a in endpoint.addresses.items()):
                    bridge = name
            host.networks[endpoint.network] = Network(
                name=endpoint.network,
                id=endpoint.network_id,
                daemon=container.daemon,
                bridge=bridge,
                subnets=tuple(
                    Subnet(
                        family=family,
                        address=address & prefix_mask(family, length),
                        prefix_length=length,
                        gateway=endpoint.gateways.get(family),
                    )
                    for family, address in endpoint.addresses.items()
                    if (length := endpoint.prefix_lengths.get(family))
                ),
                internal=bridge in evidence.internal,
                icc=bridge not in evidence.isolated,
                masquerade=bridge in evidence.masqueraded or not evidence.masqueraded,
                is_default_bridge=bridge == DEFAULT_BRIDGE,
            )
            host.assumptions.append(
                message(
                    "The network {network} is behind the bridge {bridge}.",
                    network=endpoint.network,
                    bridge=bridge,
                )
            )


def _networks_of_rules(host: Host, evidence: Evidence, *, existing_only: bool) -> None:
    """Make the networks that the rules reveal; with `existing_only`, only those whose bridge exists."""
    for bridge in evidence.bridges:
        interface = host.namespace.interfaces.get(bridge)
        if existing_only and (interface is None or interface.kind != "bridge"):
            continue
        prefixes = list(evidence.subnets.get(bridge, ()))
        guessed = bridge == evidence.guessed_bridge
        source = message("a guess") if guessed else message("from its rules")
        if not prefixes:
            prefixes, source = _guessed_subnets(bridge, evidence), message("a guess")
        if interface is not None and (existing_only or interface.addresses):
            # a rule may name a bridge and a subnet that do not belong together
            named, prefixes = prefixes, [one for one in prefixes if _has_subnet(interface, one)]
            if named and not prefixes:
                continue
        subnets = tuple(
            Subnet(family=family, address=address, prefix_length=length)
            for family, address, length in prefixes
        )
        network = Network(
            name={DEFAULT_BRIDGE: DEFAULT_NETWORK, "podman0": "podman"}.get(bridge, bridge),
            daemon="docker" if evidence.is_dockers(bridge) else "",
            bridge=bridge,
            subnets=subnets,
            internal=bridge in evidence.internal,
            icc=bridge not in evidence.isolated,
            masquerade=bridge in evidence.masqueraded,
            is_default_bridge=bridge == DEFAULT_BRIDGE,
        )
        host.networks[network.name] = network
        where = message_joined(" and ", map(str, subnets))
        host.assumptions.append(
            message(
                "{bridge} is a bridge with the subnet {where} ({source}).",
                bridge=bridge,
                where=where,
                source=source,
            )
            if where
            else message("{bridge} is a bridge.", bridge=bridge)
            if interface is not None and interface.addresses
            else message("{bridge} is a bridge; its subnet is unknown.", bridge=bridge)
        )


def _has_subnet(bridge: Interface, prefix: Prefix) -> bool:
    """Return whether a bridge may have a subnet: it has an address there, or none of the family."""
    own = [address.address for address in bridge.addresses if address.family == prefix.family]
    return not own or any(prefix.covers(prefix.family, address) for address in own)


def _guessed_subnets(bridge: str, evidence: Evidence) -> list[Prefix]:
    """Return the likely subnet of a member's address."""
    for (family, address), place in evidence.members.items():
        if place == bridge:
            return [Prefix(6, address & prefix_mask(6, 64), 64) if family == 6 else guessed_subnet(address)]
    return [DOCKER0] if bridge == DEFAULT_BRIDGE else []


def _gateways(host: Host, evidence: Evidence, own: Mapping[str, Sequence[InterfaceAddress]]) -> None:
    """Give every subnet a gateway: the bridge's address in it, as shown or proved, else the likely one."""
    targets = evidence.forwarded_to_from(evidence.outside)
    for name, network in host.networks.items():
        bridge = host.namespace.interfaces.get(network.bridge or "")
        subnets = []
        for subnet in network.subnets:
            if subnet.gateway is None and network.driver == "bridge":
                proved = (*(bridge.addresses if bridge else ()), *own.get(network.bridge or "", ()))
                gateway = next((a.address for a in proved if subnet.covers(a.family, a.address)), None)
                likely = own_in(
                    Prefix(subnet.family, subnet.address, subnet.prefix_length),
                    () if network.daemon else targets,
                ).address
                subnet = replace(
                    subnet,
                    gateway=likely if gateway is None else gateway,
                    gateway_assumed=gateway is None and generation_of_chains(evidence.chains) != "26",
                )
            subnets.append(subnet)
        host.networks[name] = replace(network, subnets=tuple(subnets))


def _missing_rules(host: Host) -> None:
    """Add the kernel's own policy rules, where the source shows only others, as `ip rule | grep` does."""
    namespace = host.namespace
    for family in sorted({rule.family for rule in namespace.rules}):
        if any(rule.family == family and rule.table == "main" for rule in namespace.rules):
            continue
        taken = {rule.priority for rule in namespace.rules if rule.family == family}
        namespace.rules += (
            RoutingRule(family=family, priority=priority, table=table)
            for priority, table in DEFAULT_RULES[family]
            if priority not in taken
        )
        host.assumptions.append(
            message(
                "The source shows only some of the routing rules; those for the tables local and main are assumed."
            )
        )


def _default_routes(host: Host, families: Iterable[Family]) -> None:
    """Infer the default route: through the first address in the subnet of the external interface."""
    namespace = host.namespace
    bridges = {network.bridge for network in host.networks.values()}
    for family in families:
        if any(route.family == family and route.table == "main" for route in namespace.routes):
            continue
        for interface, address in namespace.addresses(family):
            inside = interface.kind in ("loopback", "bridge") and not namespace.has_uplink(interface.name)
            inside |= interface.name in bridges
            if inside or not interface.up or address.scope != "global":
                continue
            gateway = address.network + (1 if address.address != address.network + 1 else 2)
            main = [route for route in connected_routes(namespace, family) if route.table == "main"]
            namespace.routes += [*main, default_route(family, gateway, interface.name)]
            host.assumptions.append(
                message(
                    "The default route leads to {address} by {name}.",
                    address=address_text(family, gateway),
                    name=interface.name,
                )
            )
            break


def _missing_routes(host: Host) -> None:
    """Add the routes to the subnets of interfaces, where the source shows only some of the routes.

    `ip route` does not print the table `local`, so without it there is no output for all tables, which is complete.
    """
    namespace = host.namespace
    if any(route.table == "local" for route in namespace.routes):
        return
    shown = {(route.family, route.destination, route.prefix_length) for route in namespace.routes}
    families = {route.family for route in namespace.routes if route.table == "main"}
    added = [
        route
        for family in sorted(families)
        for route in connected_routes(namespace, family)
        if route.table == "main" and (family, route.destination, route.prefix_length) not in shown
    ]
    if not added:
        return
    namespace.routes += added
    host.assumptions.append(
        message(
            "The source shows only some of the routes; those to the subnets of {names} are assumed.",
            names=message_joined(", ", list(dict.fromkeys(route.device or "" for route in added))),
        )
    )


def _containers_of_rules(host: Host, evidence: Evidence) -> None:
    """Make the containers whose addresses rules mention; the addresses become their names."""
    found: dict[str, Container] = {}
    members = evidence.members if host.networks else {}
    routers = {
        (hop.gateway_family or route.family, hop.gateway)
        for route in host.namespace.routes
        for hop in hops(route)
    }
    for member, bridge in members.items():
        network = _network_of(host, member, bridge)
        if network is None or member.address in network.gateways.values() or tuple(member) in routers:
            continue
        subnet = next(one for one in network.subnets if one.covers(*member))
        name = address_text(*member)
        found[name] = Container(
            name=name,
            endpoints={
                network.name: Endpoint(
                    network=network.name,
                    addresses={member.family: member.address},
                    prefix_lengths={member.family: subnet.prefix_length},
                    gateways={} if subnet.gateway is None else {member.family: subnet.gateway},
                )
            },
            published=evidence.published.get(member, []),
            exposed=[ExposedPort(proto=proto, port=port) for proto, port in evidence.exposed.get(member, [])],
            network_mode="bridge" if network.is_default_bridge else network.name,
            daemon="docker" if evidence.docker else "",
        )
    host.containers.update(found)
    if found:
        host.assumptions.append(
            message(
                "Rules mention containers, which are named after their addresses ({names}); there may be others that "
                "no rule mentions.",
                names=_names(list(found)),
            )
        )


def _network_of(host: Host, member: Member, bridge: str | None) -> Network | None:
    fitting = [network for network in host.networks.values() if network.covers(*member)]
    return next((network for network in fitting if network.bridge == bridge), fitting[0] if fitting else None)


def _learnt_ports(host: Host) -> None:
    """Assign the bridge ports that the neighbour table and the bridges know to be those of containers."""
    for container in host.containers.values():
        for name, endpoint in container.endpoints.items():
            bridge = host.networks[name].bridge if name in host.networks else None
            if endpoint.bridge_port is None and bridge is not None:
                ports = (host.namespace.port_towards(*one, bridge) for one in endpoint.addresses.items())
                if (port := next(filter(None, ports), None)) is not None:
                    container.endpoints[name] = replace(endpoint, bridge_port=port)


def _ports(host: Host) -> None:
    """Assign bridge ports to containers if the capture does not show them; invent ports if there are too few."""
    made, guessed = False, []
    interfaces = host.namespace.interfaces
    _learnt_ports(host)
    for network in host.networks.values():
        if network.bridge not in interfaces:
            continue
        members = [
            (container, endpoint)
            for container in host.containers.values()
            if container.running and (endpoint := container.endpoints.get(network.name)) is not None
        ]
        taken = {endpoint.bridge_port for _, endpoint in members}
        free = [port.name for port in host.bridge_ports(network.bridge) if port.name not in taken]
        without = [(container, endpoint) for container, endpoint in members if endpoint.bridge_port is None]
        if free and without:
            guessed.append(network.bridge)
        for container, endpoint in without:
            if free:
                name = free.pop(0)
            else:
                name, made = f"veth{len(interfaces)}", True
                interfaces[name] = Interface(
                    name=name, index=len(interfaces) + 1, kind="veth", master=network.bridge
                )
            container.endpoints[network.name] = replace(endpoint, bridge_port=name)
    if guessed:
        host.assumptions.append(
            message(
                "Which port of {names} belongs to which container was not saved; they are assigned in order.",
                names=_names(guessed),
            )
        )
    if made:
        host.namespace.cache.clear()
        host.assumptions.append(
            message("The names of the bridge ports are not known; here they are veth and a number.")
        )


def _published(host: Host, evidence: Evidence) -> None:
    """Give containers the published ports that rules forward to them."""
    found = False
    for container in host.containers.values():
        for endpoint in container.endpoints.values():
            for family, address in endpoint.addresses.items():
                ports = evidence.published.get(Member(family, address), [])
                container.published = [*container.published, *ports]
                found = found or bool(ports)
        if evidence.docker:
            container.daemon = container.daemon or "docker"
    if found:
        host.assumptions.append(message("Published ports are those that rules forward to containers."))


def _without_proxy(host: Host, known: Collection[str]) -> None:
    """Apply dockerd's settings without docker-proxy: hairpin mode of bridge ports, route_localnet of bridges."""
    interfaces = host.namespace.interfaces
    host.assumptions.append(
        message(
            "Where no file shows them, hairpin mode of bridge ports and route_localnet of bridges are assumed to be on,"
            " as dockerd sets them without docker-proxy."
        )
    )
    for container in host.containers.values():
        for endpoint in container.endpoints.values():
            port = interfaces.get(endpoint.bridge_port or "")
            if port is not None and "ip-link.json" not in known:
                interfaces[port.name] = replace(port, hairpin=True)
            network = host.networks.get(endpoint.network)
            if network is not None and network.bridge and "sysctl.txt" not in known:
                host.namespace.sysctls[interface_parameter(4, network.bridge, "route_localnet")] = "1"


def _docker(host: Host, evidence: Evidence) -> None:
    """Add the daemon settings that Docker's rules reveal."""
    if not evidence.docker:
        return
    daemon = host.daemon or DockerDaemon()
    changes: dict[str, Any] = {}
    sources = dict(daemon.sources)
    if daemon.generation is None and "DOCKER-FORWARD" in evidence.chains:
        changes["generation"] = generation_of_chains(evidence.chains)
        sources["generation"] = "iptables-save.txt"
    if daemon.userland_proxy is None and evidence.userland_proxy is not None:
        changes["userland_proxy"] = evidence.userland_proxy
        sources["userland_proxy"] = "iptables-save.txt"
    host.daemon = replace(daemon, **changes, sources=sources)
