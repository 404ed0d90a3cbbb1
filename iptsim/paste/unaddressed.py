"""Containers that a text names, and whose addresses its rules do not tell: they are shown elsewhere, or assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from iptsim.addresses import address_text, parse_address
from iptsim.host.connected_routes import connected_routes
from iptsim.host.containers import Container, Endpoint, Network, Subnet
from iptsim.host.docker_defaults import DEFAULT_NETWORK, free_subnet, guessed_subnet
from iptsim.host.inferred_interfaces import place_bridges
from iptsim.host.members import Prefix
from iptsim.host.model import Host
from iptsim.host.namespace import Interface
from iptsim.host.wiring import make_up
from iptsim.languages import message
from iptsim.paste.containers import published_ports
from iptsim.paste.pieces import Listed

#: At most this many containers are added: people ask about those that they started themselves.
_MOST = 30


def add_unaddressed(host: Host, listed: Sequence[Listed]) -> None:
    """Add the containers in a list that no rule mentions, each with its address, or the first free one of its network.

    The latter only if the network is certain, and if no container of the network that rules mention can be the same
    one: those that publish ports have rules, so a container without published ports is another one. The only container
    that can be the same as the only one in the list is it: rules of `--link` mention it.

    Args:
        host: the host, whose containers have the names of those that publish ports.
        listed: the containers that the text lists.
    """
    _name_remaining(host, listed)
    added = 0
    for one in listed:
        if added == _MOST or _is_known(host, one):
            continue
        if one.address and one.address != one.name:
            added += _add_shown(host, one)
            continue
        if one.ports:
            continue
        network = _network(host, one)
        if network is None or any(map(_may_be_unpublished, _members(host, network))):
            continue
        lacks_subnet = not network.subnets and network.bridge is not None
        if lacks_subnet and (chosen := free_subnet(_taken(host))) is not None:
            network = with_subnet(host, network, chosen)
        subnet = next((subnet for subnet in network.subnets if subnet.family == 4), None)
        address = None if subnet is None else _free_address(host, network, subnet)
        if subnet is not None and address is not None:
            _add(host, one, network, subnet, address)
            added += 1
            host.assumptions.append(
                message(
                    "{name} is assumed to have the address {address}, which no rule mentions.",
                    name=one.name,
                    address=address_text(4, address),
                )
            )


def _is_known(host: Host, one: Listed) -> bool:
    """Return whether a container in a list is one of the host, or does not run."""
    return bool(one.stopped) or host.container(one.name) is not None


def _name_remaining(host: Host, listed: Sequence[Listed]) -> None:
    """Give the only container of a network that has but an address, of a link, the name of the only one without any."""
    remaining = dict[str, list[Listed]]()
    for one in listed:
        network = None if one.ports or one.address or _is_known(host, one) else _network(host, one)
        if network is not None:
            remaining.setdefault(network.name, []).append(one)
    for name, alike in remaining.items():
        unnamed = [one for one in _members(host, host.networks[name]) if _may_be_unpublished(one)]
        if len(alike) != 1 or len(unnamed) != 1 or unnamed[0].address(4) not in _linked_addresses(host):
            continue
        address, found = unnamed[0].name, alike[0].name
        host.containers = {
            found if container is unnamed[0] else key: container for key, container in host.containers.items()
        }
        unnamed[0].name = found
        host.assumptions.append(
            message(
                "{name} is assumed to have the address {address}, as no other container can have it.",
                name=found,
                address=address,
            )
        )


def _linked_addresses(host: Host) -> set[int]:
    """Return the addresses between which rules accept packets, as Docker's do for `--link`."""
    rules = host.rulesets[4].rules() if 4 in host.rulesets else ()
    pairs = [
        (rule.parameters.source, rule.parameters.destination)
        for rule in rules
        if rule.target_name == "ACCEPT"
    ]
    single = [
        (source, destination)
        for source, destination in pairs
        if source is not None and destination is not None and source.mask == destination.mask == 0xFFFFFFFF
    ]
    return {one.address for pair in single for one in pair}


def _add_shown(host: Host, one: Listed) -> bool:
    """Add a container at the address that the text shows; return whether that is certain and no other has it."""
    family, address = parse_address(one.address)
    if family != 4 or any(
        endpoint.address(4) == address
        for container in host.containers.values()
        for endpoint in container.endpoints.values()
    ):
        return False
    network = _network_at(host, address)
    subnets = () if network is None else network.subnets
    subnet = next((subnet for subnet in subnets if subnet.covers(4, address)), None)
    if network is None or subnet is None:
        return False
    _add(host, one, network, subnet, address)
    return True


def _with_bridges(host: Host) -> list[Network]:
    """Return the networks whose bridges the host has."""
    return [network for network in host.networks.values() if network.bridge in host.namespace.interfaces]


def _network_at(host: Host, address: int) -> Network | None:
    """Return the network with an IPv4 address: the one that covers it, or else the only one without a subnet."""
    bridges = _with_bridges(host)
    found = [network for network in bridges if any(subnet.covers(4, address) for subnet in network.subnets)]
    bare = [network for network in bridges if not network.subnets and not network.is_default_bridge]
    if not found and len(bare) == 1:
        return with_subnet(host, bare[0], guessed_subnet(address))
    return found[0] if len(found) == 1 else None


def _network(host: Host, one: Listed) -> Network | None:
    """Return the network that a container is on; None if it may be another one than the host has."""
    bridges = _with_bridges(host)
    others = [network for network in bridges if not network.is_default_bridge]
    if not one.networks:  # docker ps does not list them
        return bridges[0] if len(bridges) == 1 else None
    if len(one.networks) > 1:
        return None
    (name,) = one.networks
    if name == DEFAULT_NETWORK:
        return next((network for network in bridges if network.is_default_bridge), None)
    return host.networks.get(name) or (others[0] if len(others) == 1 else None)


def _taken(host: Host) -> list[Prefix]:
    return [
        Prefix(4, one.network, one.prefix_length)
        for interface in host.namespace.interfaces.values()
        for one in interface.addresses
        if one.family == 4
    ]


def with_subnet(host: Host, network: Network, subnet: Prefix) -> Network:
    """Give a network of which only the bridge is known a subnet, and return it."""
    gateway = subnet.address + 1
    made = Subnet(family=4, address=subnet.address, prefix_length=subnet.length, gateway=gateway)
    host.networks[network.name] = network = replace(network, subnets=(made,))
    place_bridges(host)
    host.namespace.routes += [
        route
        for route in connected_routes(host.namespace, 4)
        if route.table == "main" and route.device == network.bridge
    ]
    host.namespace.cache.clear()
    host.assumptions.append(
        message(
            "{bridge} is assumed to have the subnet {subnet}.",
            bridge=network.bridge or "",
            subnet=str(subnet),
        )
    )
    return network


def _members(host: Host, network: Network) -> list[Container]:
    return [container for container in host.containers.values() if network.name in container.endpoints]


def _may_be_unpublished(container: Container) -> bool:
    """Return whether a container may be one that publishes no port: it has only an address for a name."""
    named_after_address = any(
        container.name == address_text(family, address)
        for endpoint in container.endpoints.values()
        for family, address in endpoint.addresses.items()
    )
    return named_after_address and not container.published


def _free_address(host: Host, network: Network, subnet: Subnet) -> int | None:
    taken = {one.endpoints[network.name].address(4) for one in _members(host, network)}
    taken |= set(network.gateways.values())
    first = subnet.address + 1
    free = (address for address in range(first, first + len(taken) + 1) if address not in taken)
    return next((address for address in islice(free, 1) if subnet.covers(4, address)), None)


def _add(host: Host, one: Listed, network: Network, subnet: Subnet, address: int) -> None:
    interfaces = host.namespace.interfaces
    port = f"veth{len(interfaces)}"
    interfaces[port] = Interface(name=port, index=len(interfaces) + 1, kind="veth", master=network.bridge)
    endpoint = Endpoint(
        network=network.name,
        addresses={4: address},
        prefix_lengths={4: subnet.prefix_length},
        gateways={} if subnet.gateway is None else {4: subnet.gateway},
        bridge_port=port,
    )
    container = Container(
        name=one.name,
        endpoints={network.name: endpoint},
        published=published_ports(one),
        network_mode="bridge" if network.is_default_bridge else network.name,
        daemon="docker",
    )
    make_up(host, container)
    host.containers[one.name] = container
    host.namespace.cache.clear()
