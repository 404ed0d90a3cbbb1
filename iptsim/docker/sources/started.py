"""A host on which only dockerd was started, with the settings of a configuration file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.dockerd.gateway import gateways
from iptsim.docker.dockerd.resolver import RESOLV_CONF
from iptsim.docker.dockerd.rulesets import rules_for
from iptsim.docker.model.network_options import options_of
from iptsim.docker.model.settings import DockerContainer, DockerHost, published_ports
from iptsim.docker.sources.host import check_daemon
from iptsim.host.containers import Container, Endpoint, Network
from iptsim.host.infer import complete
from iptsim.host.inferred_interfaces import place_bridges
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress, Namespace
from iptsim.languages import message, message_joined


def started(
    docker: DockerHost,
    source: str,
    namespace: Namespace | None = None,
    known: Collection[str] = (),
    own: Mapping[str, Sequence[InterfaceAddress]] = MappingProxyType({}),
) -> Host:
    """Return the host after dockerd has started with settings, and its containers.

    Args:
        docker: the settings.
        source: the name of the file from which they were read.
        namespace: what is known of the host's interfaces, routes and kernel parameters, without what Docker makes.
        known: the files of a capture in which it was saved.
        own: addresses that must be the host's, by the interface on which packets to them arrive.

    Raises:
        CaptureError: a setting is invalid; the text names it.
    """
    check_daemon(docker.daemon)
    rulesets = {family: rules_for(docker, family) for family in FAMILIES}
    host = Host(
        namespace=namespace or Namespace(),
        networks={
            network.name: Network(
                name=network.name,
                driver=network.driver,
                daemon="docker",
                bridge=network.bridge if network.driver == "bridge" else None,
                subnets=network.subnets,
                internal=network.internal,
                icc=network.icc,
                masquerade=network.masquerade,
                gateway_mode=dict(network.gateway_mode),
                host_binding=network.host_binding,
                is_default_bridge=network.default,
                options=options_of(network),
            )
            for network in (*docker.networks, *docker.apart)
        },
        containers={container.name: _container(docker, container) for container in docker.containers},
        daemon=docker.daemon,
        # with iptables=false, too, it is known that there are no IPv4 rules
        rulesets={family: ruleset for family, ruleset in rulesets.items() if ruleset.tables or family == 4},
        inferred="ip-addr.json" not in known,
        source=source,
    )
    if not host.inferred:
        place_bridges(host)
    complete(host, ["docker-inspect.json", "docker-network-inspect.json", *known], own=own)
    host.assumptions.insert(
        0,
        message("The rules are those that dockerd would write for these settings; there are no others."),
    )
    if docker.daemon.refusal is not None:
        host.assumptions.append(docker.daemon.refusal)
    for container in host.containers.values():
        _set_resolver(host, container, container.dns or docker.daemon.dns)
    hidden = [one.name for one in docker.containers if one.published and not gateways(docker, one)]
    if hidden:
        host.assumptions.append(
            message(
                "Ports of {names} are not published: Docker publishes those of containers on a bridge network that is"
                " not internal, and no others.",
                names=message_joined(", ", hidden),
            )
        )
    return host


def _set_resolver(host: Host, container: Container, servers: Iterable[str]) -> None:
    """Give a container its resolv.conf: on a user-defined network, with Docker's own resolver; else that of `dns`.

    Without `dns`, a container on the default bridge has the name servers of the host
    (:func:`iptsim.docker.dockerd.resolver.inherited`).
    """
    networks = [host.networks[name] for name in container.endpoints if name in host.networks]
    if container.network_mode == "host" or not networks:
        return
    if any(not network.is_default_bridge for network in networks):
        container.namespace.resolv_conf = RESOLV_CONF
    elif servers:
        container.namespace.resolv_conf = "".join(f"nameserver {server}\n" for server in servers)


def _container(docker: DockerHost, container: DockerContainer) -> Container:
    endpoints = (*container.endpoints, *container.apart)
    first = next((endpoint.network for endpoint in endpoints), "bridge")
    published = list(published_ports(container.published))
    is_outward = bool(gateways(docker, container))
    return Container(
        name=container.name,
        endpoints={endpoint.network: _endpoint(docker, endpoint) for endpoint in endpoints},
        published=published if is_outward else [],
        withheld=[] if is_outward else published,
        exposed=list(container.exposed),
        links=list(container.links),
        network_mode=container.network_mode or first,
        daemon="docker",
        service=container.service,
        dns=list(container.dns),
    )


def _endpoint(docker: DockerHost, endpoint: Endpoint) -> Endpoint:
    """Return an endpoint with the prefix lengths and gateways that its network gives it."""
    network = next((one for one in (*docker.networks, *docker.apart) if one.name == endpoint.network), None)
    if network is None:
        return endpoint
    lengths: dict[Family, int] = {}
    gateways: dict[Family, int] = {}
    for subnet in network.subnets:
        if subnet.family in endpoint.addresses and subnet.covers(
            subnet.family, endpoint.addresses[subnet.family]
        ):
            lengths[subnet.family] = subnet.prefix_length
            if not network.internal:
                gateways[subnet.family] = subnet.address + 1 if subnet.gateway is None else subnet.gateway
    return replace(endpoint, prefix_lengths=lengths, gateways=gateways)
