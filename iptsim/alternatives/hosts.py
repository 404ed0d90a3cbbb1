"""A host after a change of its Docker settings: everything that dockerd configures besides rules.

The changes to the kernel follow libnetwork's bridge driver (createNetwork and CreateEndpoint in
drivers/bridge/bridge.go, setup_device.go, setup_ipv4.go, setup_bridgenetfiltering.go of moby).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from iptsim.addresses import BITS, FAMILIES, Family
from iptsim.docker.dockerd.gateway import gateways
from iptsim.docker.dockerd.resolver import RESOLV_CONF, RESOLVER_RULES
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork, published_ports
from iptsim.host.connected_routes import connected_routes, default_route
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.host.namespace import (
    BRIDGE_NF,
    Interface,
    InterfaceAddress,
    Namespace,
    Route,
    interface_parameter,
    prefix_mask,
)
from iptsim.paste.docker_nft import with_docker


def rebuilt(host: Host, before: DockerHost, after: DockerHost) -> Host:
    """Return a host with other Docker settings.

    Docker's rules are regenerated, all other rules stay. The result is a host booted with the new settings:
    nothing is left of the old ones.

    Args:
        host: the host, which is not modified.
        before: its Docker settings.
        after: the new ones.
    """
    return _Rebuilding(host, before, after).host


def renewed(namespace: Namespace, **changes: object) -> Namespace:
    """Return a namespace with other contents and empty caches."""
    return replace(namespace, cache={}, **changes)  # type: ignore[arg-type]


class _Rebuilding:
    """Changes a copy of a host, part by part."""

    def __init__(self, host: Host, before: DockerHost, after: DockerHost) -> None:
        self.old = host
        self.before = before
        self.after = after
        self.interfaces = dict(host.namespace.interfaces)
        self.sysctls = dict(host.namespace.sysctls)
        self.containers = {
            name: replace(container, endpoints=dict(container.endpoints))
            for name, container in host.containers.items()
        }
        for old in before.containers:
            self._container(old, after.container(old.name))
        self._bridges()
        self._daemon()
        namespace = renewed(
            host.namespace,
            interfaces=self.interfaces,
            routes=[self._route(route) for route in host.namespace.routes],
            sysctls=self.sysctls,
            nftables=with_docker(host.namespace.nftables, after),
        )
        self._shared(namespace)
        networks = {
            name: network if (known := after.network(name)) is None else replace(
                network, icc=known.icc, masquerade=known.masquerade, internal=known.internal,
                gateway_mode=dict(known.gateway_mode), host_binding=known.host_binding,
            )
            for name, network in host.networks.items()
        }  # fmt: skip
        self.host = replace(
            host,
            namespace=namespace,
            containers=self.containers,
            networks=networks,
            daemon=after.daemon,
            rulesets={
                family: rules_for(after, family, base=ruleset, before=before)
                for family, ruleset in host.rulesets.items()
            },
        )

    # -- containers --------------------------------------------------------------------------------

    def _container(self, old: DockerContainer, new: DockerContainer | None) -> None:
        container = self.containers[old.name]
        if new is None:
            for endpoint in old.endpoints:
                self._unplug(endpoint)
            container.running = False
            return
        if new.published != old.published:
            ports = list(published_ports(new.published))
            container.published = [port for port in ports if port.host_port]
            container.opened = [port for port in ports if not port.host_port]
        container.exposed = list(new.exposed)
        container.links = list(new.links)
        places = {endpoint.network for endpoint in old.endpoints}
        kept = {endpoint.network for endpoint in new.endpoints}
        namespace = container.namespace
        for endpoint in old.endpoints:
            if endpoint.network not in kept:
                self._unplug(endpoint)
                namespace = _without(namespace, endpoint)
                del container.endpoints[endpoint.network]
        for endpoint in new.endpoints:
            if endpoint.network not in places:
                plugged = self._plugged(container, namespace, endpoint)
                namespace = _with(namespace, plugged)
                container.endpoints[endpoint.network] = plugged
        # the engine's order
        container.endpoints = dict(sorted(container.endpoints.items()))
        namespace = self._led_outside(container, namespace, old, new)
        container.namespace = self._resolving(container, namespace, new)

    def _unplug(self, endpoint: Endpoint) -> None:
        """Remove the host's end of a container's veth pair."""
        self.interfaces.pop(endpoint.bridge_port or "", None)

    def _plugged(self, container: Container, namespace: Namespace, endpoint: Endpoint) -> Endpoint:
        """Return a new endpoint with a veth pair between the bridge and the container."""
        network = self.after.network(endpoint.network)
        assert network is not None
        number = 0
        while f"eth{number}" in namespace.interfaces:
            number += 1
        port = f"veth-{container.name}-{network.bridge}"[:40]
        index = 1 + max((interface.index for interface in self.interfaces.values()), default=0)
        # it reflects the order of joining, like the index of a real one: so the endpoint has an address too
        mac = f"02:00:00:00:{index >> 8 & 0xFF:02x}:{index & 0xFF:02x}"
        self.interfaces[port] = Interface(name=port, index=index, kind="veth", master=network.bridge, mac=mac)
        subnets = {family: network.subnet(family) for family in endpoint.addresses}
        return replace(
            endpoint,
            prefix_lengths={
                family: subnet.prefix_length for family, subnet in subnets.items() if subnet is not None
            },
            gateways=dict(self._gateways(network)),
            interface=f"eth{number}",
            bridge_port=port,
        )

    def _gateways(self, network: DockerNetwork) -> Iterator[tuple[Family, int]]:
        """Yield the gateway addresses of a network's containers."""
        bridge = self.old.namespace.interfaces.get(network.bridge)
        leads = not network.internal or self.after.engine.internal_networks_have_gateways
        for subnet in network.subnets if leads else ():
            own = [
                address.address
                for address in (bridge.addresses if bridge is not None else ())
                if subnet.covers(address.family, address.address)
            ]
            gateway = subnet.gateway if subnet.gateway is not None else next(iter(own), None)
            if gateway is not None:
                yield subnet.family, gateway

    def _led_outside(
        self, container: Container, namespace: Namespace, old: DockerContainer, new: DockerContainer
    ) -> Namespace:
        """Return a container's namespace with the default routes and resolver of its new networks."""
        was, now = _ways_out(self.before, old), _ways_out(self.after, new)
        routes = list(namespace.routes)
        for family in FAMILIES:
            place, other = (found.get(family) for found in (was, now))
            if (place and place.network) == (other and other.network):
                continue
            routes = [route for route in routes if not (route.family == family and route.prefix_length == 0)]
            network = self.after.network(other.network) if other is not None else None
            if network is None:
                continue
            endpoint = container.endpoints[network.name]
            gateway = endpoint.gateways.get(family) or dict(self._gateways(network)).get(family)
            if gateway is not None and endpoint.interface is not None:
                routes.append(default_route(family, gateway, endpoint.interface))
        if self._has_own_network(new) and not self._has_own_network(old):
            return renewed(
                namespace,
                routes=routes,
                resolv_conf=RESOLV_CONF,
                iptables=(namespace.iptables or "").strip() or RESOLVER_RULES,
            )
        return renewed(namespace, routes=routes)

    def _resolving(self, container: Container, namespace: Namespace, new: DockerContainer) -> Namespace:
        """Return a container's namespace with the daemon's DNS servers in its resolv.conf.

        On a user-defined network, it names Docker's own resolver, which forwards to the same servers; `--dns` of
        the container takes precedence (buildSandboxOptions in daemon/container_operations.go of moby).
        """
        servers = self.after.daemon.dns
        if servers == self.before.daemon.dns or container.dns or self._has_own_network(new):
            return namespace
        kept = [
            line
            for line in (namespace.resolv_conf or "").splitlines()
            if line.split()[:1] != ["nameserver"] and not line.startswith("#") and line.strip()
        ]
        lines = [*(f"nameserver {server}" for server in servers), *kept]
        return renewed(namespace, resolv_conf="".join(f"{line}\n" for line in lines))

    def _has_own_network(self, container: DockerContainer) -> bool:
        """Return whether a container is on a network on which Docker's own resolver works."""
        default = self.before.default_network
        return any(default is None or one.network != default.name for one in container.endpoints)

    def _shared(self, host: Namespace) -> None:
        """Update containers that share another one's namespace."""
        for name, container in self.containers.items():
            was = self.old.containers[name].namespace
            if was is self.old.namespace:
                container.namespace = host
            elif container.shares_namespace:
                for other, owner in self.old.containers.items():
                    if owner.namespace is was and other != name:
                        container.namespace = self.containers[other].namespace
                        container.endpoints = self.containers[other].endpoints

    # -- the host ----------------------------------------------------------------------------------

    def _bridges(self) -> None:
        """Set what depends on the bridges' state: carrier, hairpin mode."""
        bridges = {network.bridge for network in self.after.networks}
        proxy = self.after.proxy
        for name, interface in list(self.interfaces.items()):
            is_new = name not in self.old.namespace.interfaces
            if interface.master in bridges and (is_new or proxy != self.before.proxy):
                self.interfaces[name] = replace(interface, hairpin=not proxy)
        for bridge in bridges & set(self.interfaces):
            ports = [one for one in self.interfaces.values() if one.master == bridge]
            had = any(one.master == bridge for one in self.old.namespace.interfaces.values())
            if bool(ports) != had:
                self.interfaces[bridge] = replace(self.interfaces[bridge], carrier=bool(ports))

    def _route(self, route: Route) -> Route:
        """Return a route of the host with the state of its device."""
        before, after = (
            interfaces.get(route.device or "")
            for interfaces in (self.old.namespace.interfaces, self.interfaces)
        )
        if before is None or after is None or before.carrier == after.carrier:
            return route
        flags = route.flags - {"linkdown"} if after.carrier else route.flags | {"linkdown"}
        return replace(route, flags=flags)

    def _daemon(self) -> None:
        """Set the kernel parameters that dockerd sets."""
        before, after = self.before, self.after
        if after.proxy != before.proxy:
            for network in after.networks:
                name = interface_parameter(4, network.bridge, "route_localnet")
                self.sysctls[name] = str(int(not after.proxy))
        forward = after.daemon.ip_forward is not False
        if forward != (before.daemon.ip_forward is not False):
            self.sysctls["net.ipv4.ip_forward"] = str(int(forward))
            if any(network.subnet(6) for network in after.networks):
                self.sysctls["net.ipv6.conf.all.forwarding"] = str(int(forward))
        for family in FAMILIES:
            if self._needs_bridge_filter(after, family) and not self._needs_bridge_filter(before, family):
                self.sysctls[BRIDGE_NF[family]] = "1"

    @staticmethod
    def _needs_bridge_filter(docker: DockerHost, family: Family) -> bool:
        """Return whether dockerd makes iptables see bridged packets.

        It does for networks with icc off, and since 28 also without docker-proxy.
        """
        wanted = any(not network.icc for network in docker.networks) or (
            docker.engine.filters_bridges_without_proxy and not docker.proxy
        )
        return docker.filters(family) and wanted


def _ways_out(docker: DockerHost, container: DockerContainer) -> dict[Family, Endpoint]:
    """Return the endpoint that has the default route, by family."""
    found = gateways(docker, container)
    if found or not docker.engine.internal_networks_have_gateways:
        return found
    inside = sorted(container.endpoints, key=lambda endpoint: endpoint.network)
    return {family: one for one in reversed(inside) for family in one.addresses}


def _without(namespace: Namespace, endpoint: Endpoint) -> Namespace:
    """Return a container's namespace without the interface of an endpoint."""
    gone = endpoint.interface
    return renewed(
        namespace,
        interfaces={name: one for name, one in namespace.interfaces.items() if name != gone},
        routes=[route for route in namespace.routes if route.device != gone],
    )


def _with(namespace: Namespace, endpoint: Endpoint) -> Namespace:
    """Return a container's namespace with an interface for a new endpoint, and the routes to its subnets."""
    assert endpoint.interface is not None
    interface = Interface(
        name=endpoint.interface,
        index=1 + max((one.index for one in namespace.interfaces.values()), default=1),
        kind="veth",
        addresses=tuple(
            InterfaceAddress(
                family=family,
                address=address,
                prefix_length=endpoint.prefix_lengths.get(family, BITS[family]),
                broadcast=_broadcast(address, endpoint.prefix_lengths.get(4, 32)) if family == 4 else None,
            )
            for family, address in endpoint.addresses.items()
        ),
    )
    alone = Namespace(interfaces={interface.name: interface}, sysctls=namespace.sysctls)
    routes = list(namespace.routes)
    for family in endpoint.addresses:
        # in a namespace without a local table, all local routes are derived from the addresses
        local = any(route.family == family and route.table == "local" for route in routes)
        routes += [route for route in connected_routes(alone, family) if local or route.table == "main"]
    return renewed(namespace, interfaces={**namespace.interfaces, interface.name: interface}, routes=routes)


def _broadcast(address: int, length: int) -> int:
    return address | ~prefix_mask(4, length) & 0xFFFFFFFF
