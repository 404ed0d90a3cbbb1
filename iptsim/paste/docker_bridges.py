"""The bridges that Docker has made, as far as a text shows them, and the networks behind them."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.extensions.values import Network
from iptsim.host import containers
from iptsim.host.addresses_of_routes import addresses_of_routes
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DEFAULT_NETWORK, OWN_BRIDGES
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress, Namespace, prefix_mask


def docker_bridges(namespace: Namespace) -> dict[str, list[InterfaceAddress]]:
    """Return the bridges that only Docker names so, each with its addresses, where interfaces or routes show them."""
    names = dict.fromkeys([*namespace.interfaces, *(route.device or "" for route in namespace.routes)])
    by_routes = addresses_of_routes(namespace)
    found = {}
    for name in filter(OWN_BRIDGES.fullmatch, names):
        known = namespace.interfaces.get(name)
        if known is None or known.kind == "bridge":
            addresses: Iterable[InterfaceAddress] = known.addresses if known is not None else ()
            found[name] = [one for one in addresses or by_routes.get(name, ()) if one.scope == "global"]
    return found


def name_networks(host: Host) -> None:
    """Add the networks of Docker bridges, if neither rules nor Docker itself show them."""
    known = {network.bridge for network in host.networks.values()}
    for bridge, addresses in docker_bridges(host.namespace).items():
        if bridge in known or not addresses:
            continue
        is_default = bridge == DEFAULT_BRIDGE
        name = DEFAULT_NETWORK if is_default else bridge
        host.networks[name] = containers.Network(
            name=name,
            daemon="docker",
            bridge=bridge,
            subnets=tuple(
                containers.Subnet(
                    family=one.family,
                    address=one.network,
                    prefix_length=one.prefix_length,
                    gateway=one.address,
                )
                for one in addresses
            ),
            is_default_bridge=is_default,
        )


def subnets_of_bridges(host: Host) -> dict[str, list[Network]]:
    """Return the subnets of networks, by their bridges."""
    return {
        network.bridge: [
            Network(subnet.family, subnet.address, prefix_mask(subnet.family, subnet.prefix_length))
            for subnet in network.subnets
        ]
        for network in host.networks.values()
        if network.bridge is not None
    }
