"""Finds the namespace, interface and bridge port of each container.

A veth pair is identified by the interface indexes of its two ends; if a capture lacks them, the bridge's
forwarding table shows behind which port a MAC address is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from iptsim.addresses import BITS, FAMILIES, Family
from iptsim.host.connected_routes import connected_routes, default_route
from iptsim.host.containers import Container, Endpoint, Network, Subnet
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, Namespace, prefix_mask

LOOPBACK = Interface(
    name="lo",
    index=1,
    kind="loopback",
    mtu=65536,
    addresses=(
        InterfaceAddress(family=4, address=0x7F000001, prefix_length=8, scope="host"),
        InterfaceAddress(family=6, address=1, prefix_length=128, scope="host"),
    ),
)


def wire(host: Host, guests: Mapping[str, Namespace]) -> list[str]:
    """Give the containers of a host their namespaces, and their endpoints an interface and a bridge port.

    Args:
        host: the host, with its own namespace and the containers and networks that an engine reported.
        guests: the saved namespaces, by the name or ID of the container or guest.

    Returns:
        Names of the containers whose namespace was not saved, but inferred from their endpoints.
    """
    made_up = []
    left = dict(guests)
    own: dict[str, Namespace] = {}
    for container in host.containers.values():
        key = next((key for key in left if key == container.name or _is_id(key, container.id)), None)
        if key is not None:
            # containers that share a namespace are saved once, by the name of any of them
            own.setdefault(host.namespace_owner(container).name, left.pop(key))
    for container in host.containers.values():
        saved = own.get(container.name)
        if container.network_mode == "host":
            container.namespace = host.namespace
        elif saved is not None:
            container.namespace = saved
            _add_gateways(host, container)
        elif not container.shares_namespace:
            make_up(host, container)
            if container.running:
                made_up.append(container.name)
    for name, namespace in left.items():
        host.containers[name] = _guest(host, name, namespace)
    for container in host.containers.values():
        for name, endpoint in container.endpoints.items():
            container.endpoints[name] = _attached(host, container, endpoint)
    _last_ports(host)
    for container in host.containers.values():
        _share(host, container)
    return made_up


def _is_id(key: str, identity: str) -> bool:
    return len(key) >= 12 and identity.startswith(key)


def _share(host: Host, container: Container) -> None:
    """Give a container that shares another one's namespace that namespace and its endpoints."""
    owner = host.namespace_owner(container)
    if owner is not container:
        container.namespace = owner.namespace
        container.endpoints = container.endpoints or owner.endpoints


def _default_gateways(host: Host, container: Container) -> dict[Family, int]:
    """Return the default gateway by family: of the endpoint with the highest priority, else of the first name.

    A container on internal networks alone has the one that the engine reports: Docker 25 and later report none.
    """
    found: dict[Family, int] = {}
    inside: dict[Family, int] = {}
    for endpoint in sorted(
        container.endpoints.values(), key=lambda one: (-one.gateway_priority, one.network)
    ):
        network = host.networks.get(endpoint.network)
        if network is None or not network.internal:
            found = {**endpoint.gateways, **found}
        elif container.id and container.daemon == "docker":
            inside = {**endpoint.gateways, **inside}
    return {**inside, **found}


def _add_gateways(host: Host, container: Container) -> None:
    """Add the default route of a family without saved routes."""
    namespace = container.namespace
    for family, gateway in _default_gateways(host, container).items():
        if any(route.family == family for route in namespace.routes):
            continue
        for interface, address in namespace.addresses(family):
            if interface.kind != "loopback" and address.covers(gateway):
                main = [route for route in connected_routes(namespace, family) if route.table == "main"]
                namespace.routes += [*main, default_route(family, gateway, interface.name)]
                break


def make_up(host: Host, container: Container) -> None:
    """Give a container the namespace that its endpoints suggest."""
    container.namespace = Namespace(name=container.name, interfaces={"lo": LOOPBACK})
    for place, endpoint in enumerate(container.endpoints.values()):
        network = host.networks.get(endpoint.network)
        name = f"eth{place}"
        container.namespace.interfaces[name] = Interface(
            name=name,
            index=0,
            kind="veth" if network is None or network.driver == "bridge" else "other",
            mac=endpoint.mac,
            addresses=tuple(
                InterfaceAddress(
                    family=family,
                    address=address,
                    prefix_length=endpoint.prefix_lengths.get(family) or _length(network, family),
                )
                for family, address in endpoint.addresses.items()
            ),
        )
    _add_gateways(host, container)


def _length(network: Network | None, family: Family) -> int:
    subnets = network.subnets if network is not None else ()
    return next((subnet.prefix_length for subnet in subnets if subnet.family == family), BITS[family])


def _guest(host: Host, name: str, namespace: Namespace) -> Container:
    """Make a container for a namespace that no engine reported (a virtual machine, a pod)."""
    guest = Container(name=name, namespace=namespace)
    for interface in namespace.interfaces.values():
        addresses = {
            family: next((a for a in interface.addresses if a.family == family and a.scope != "link"), None)
            for family in FAMILIES
        }
        if interface.kind == "loopback" or not any(addresses.values()):
            continue
        port = _other_end(host.namespace, interface)
        network = _network_of(host, port)
        guest.endpoints.setdefault(
            network,
            Endpoint(
                network=network,
                addresses={family: found.address for family, found in addresses.items() if found},
                prefix_lengths={family: found.prefix_length for family, found in addresses.items() if found},
                gateways={
                    route.family: route.gateway
                    for route in namespace.routes
                    if route.prefix_length == 0
                    and route.device == interface.name
                    and route.gateway is not None
                },
                mac=interface.mac,
                interface=interface.name,
            ),
        )
    return guest


def _network_of(host: Host, port: Interface | None) -> str:
    """Return the name of the network behind a bridge port; create one if the bridge has none."""
    if port is None:
        return "unknown"
    if port.master is None:
        return port.name
    network = host.network_of_bridge(port.master)
    if network is None:
        bridge = host.namespace.interfaces.get(port.master)
        network = Network(
            name=port.master, bridge=port.master, subnets=subnets_of(bridge.addresses if bridge else ())
        )
        host.networks[network.name] = network
    return network.name


def subnets_of(addresses: Iterable[InterfaceAddress]) -> tuple[Subnet, ...]:
    """Return the subnets of the addresses of a bridge, with the bridge as gateway."""
    return tuple(
        Subnet(
            family=address.family,
            address=address.address & prefix_mask(address.family, address.prefix_length),
            prefix_length=address.prefix_length,
            gateway=address.address,
        )
        for address in addresses
        if address.scope != "link"
    )


def _other_end(outside: Namespace, inside: Interface) -> Interface | None:
    """Return the host's end of a container's veth pair."""
    if inside.peer_index is None:
        return None
    for interface in outside.interfaces.values():
        if interface.index == inside.peer_index and interface.kind == "veth":
            return interface if interface.peer_index in (None, inside.index) else None
    return None


def _attached(host: Host, container: Container, endpoint: Endpoint) -> Endpoint:
    inside = _inside(container.namespace, endpoint)
    if inside is None:
        return endpoint
    mac = endpoint.mac or inside.mac
    port = _other_end(host.namespace, inside)
    return replace(
        endpoint,
        interface=inside.name,
        mac=mac,
        bridge_port=port.name if port is not None else host.namespace.learnt(mac),
    )


def _inside(namespace: Namespace, endpoint: Endpoint) -> Interface | None:
    """Return the interface of an endpoint: the one with its address, else with its MAC address."""
    for family, address in endpoint.addresses.items():
        if (found := namespace.interface_of(family, address)) is not None:
            return found
    same = (one for one in namespace.interfaces.values() if endpoint.mac and one.mac == endpoint.mac)
    return next(same, None)


def _last_ports(host: Host) -> None:
    """If one container of a bridge has no port and one port has no container, pair them."""
    for network in host.networks.values():
        members = [
            (container, endpoint)
            for container in host.containers.values()
            for endpoint in container.endpoints.values()
            if endpoint.network == network.name and container.running
        ]
        free = {port.name for port in host.bridge_ports(network.bridge or "")}
        free -= {endpoint.bridge_port for _, endpoint in members if endpoint.bridge_port is not None}
        without = [(container, endpoint) for container, endpoint in members if endpoint.bridge_port is None]
        if len(free) == len(without) == 1:
            container, endpoint = without[0]
            container.endpoints[network.name] = replace(endpoint, bridge_port=free.pop())
