"""The settings of a host's dockerd: from the capture, else inferred from its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address, ip_interface
from typing import Any

from pydantic import ValidationError

from iptsim.addresses import FAMILIES, Family, address_text
from iptsim.docker.dockerd.replay import write
from iptsim.docker.model.network_options import OptionError, read_options
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork, Ingress, Publication
from iptsim.docker.sources.rule_order import RuleOrder, first_order, this_order
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import CaptureError
from iptsim.extensions.targets.dnat import Dnat
from iptsim.host.containers import Container, Endpoint, Network, PublishedPort
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, NFT_TABLE
from iptsim.host.docker_engine import generation_of_chains
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.foreign import complaint
from iptsim.host.model import Host
from iptsim.host.namespace import check_interface_name
from iptsim.host.nft_chains import NftChain
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.languages import message, text_of

_WSL2 = "loopback0"


def docker_host(host: Host) -> DockerHost:
    """Read the settings of a host's dockerd.

    Raises:
        CaptureError: a setting is invalid; the text names the file and the key.
    """
    daemon = _daemon(host)
    networks = tuple(_network(network) for network in _in_order(host))
    names = {network.name for network in networks}
    order = RuleOrder(host)
    containers = tuple(
        _container(container, names, order)
        for container in sorted(host.containers.values(), key=lambda one: moment(one.started))
        if container.running and container.daemon in ("docker", "")
    )
    docker = DockerHost(
        daemon=daemon,
        networks=networks,
        containers=containers,
        joins=_joins(host, names),
        earlier=_earlier(host, networks),
        ingress=_ingress(host),
        wsl2_mirrored=_WSL2 in host.namespace.interfaces,
    )
    return docker.model_copy(
        update={
            "forwarded_before": frozenset(_forwarded_before(host, docker)),
            "opened": order.opened(docker),
        }
    )


def moment(text: str) -> tuple[float, str]:
    """Return a timestamp of Docker as a sort key; "" comes first.

    >>> moment("2026-01-01T00:00:00.5Z") < moment("2026-01-01T00:00:00.51Z") < moment("2026-01-01T00:00:01Z")
    True
    """
    whole, _, rest = text.partition(".")
    fraction = rest.rstrip("Z").partition("+")[0].partition("-")[0] if rest else ""
    zone = rest[len(fraction) :] if rest else ""
    try:
        seconds = datetime.fromisoformat(whole + zone).timestamp()
    except ValueError:
        return 0.0, text
    return seconds, fraction


# -- the daemon ------------------------------------------------------------------------------------


def _daemon(host: Host) -> DockerDaemon:
    daemon = host.daemon or DockerDaemon()
    check_daemon(daemon)
    rules = host.rulesets
    silent: dict[str, Any] = {}
    table = list(_nft_chains(host))
    if daemon.firewall_backend is None and table:
        daemon = replace(daemon, firewall_backend="nftables")
    if (daemon.firewall_backend or "").startswith("nftables"):
        if daemon.userland_proxy is None:
            silent["userland_proxy"] = _nft_proxy(table)
        return replace(daemon, **{name: value for name, value in silent.items() if value is not None})
    # without Docker's chains the rules may have been flushed: if the engine is known, its default applies
    for field, family in (("iptables", 4), ("ip6tables", 6)):
        traced = family in rules and any(name.startswith("DOCKER") for name in _chains([rules[family]]))
        if getattr(daemon, field) is None and (traced or (daemon.version is None and family in rules)):
            silent[field] = traced
    if daemon.userland_proxy is None:
        silent["userland_proxy"] = _proxy(rules.values())
    if daemon.version is None and daemon.generation in (None, "28"):
        silent["generation"] = generation_of_chains(_chains(rules.values())) or daemon.generation
    return replace(daemon, **{name: value for name, value in silent.items() if value is not None})


def _nft_chains(host: Host) -> Iterator[NftChain]:
    """Yield the base chains of nftables that dockerd has written."""
    found = host.namespace.nftables
    yield from (chain for chain in (found.chains if found is not None else ()) if chain.table == NFT_TABLE)


def _nft_proxy(table: Iterable[NftChain]) -> bool | None:
    """Return what :func:`_proxy` does, of the rules of nftables."""
    for chain in table:
        ruleset = ruleset_of(chain, 4) if (chain.family, chain.name) == ("ip", "nat-OUTPUT") else None
        for rule in ruleset.rules() if ruleset is not None else ():
            if rule.chain == "nat-OUTPUT":
                return "destination" in rule.parameters.negated
    return None


def _proxy(rulesets: Iterable[Ruleset]) -> bool | None:
    """Return whether the userland proxy runs: if so, no rule forwards the host's packets to loopback addresses."""
    for ruleset in rulesets:
        output = ruleset.chain("nat", "OUTPUT")
        for rule in output.rules if output is not None else ():
            if rule.target_name == "DOCKER":
                return "destination" in rule.parameters.negated
    return None


def _chains(rulesets: Iterable[Ruleset]) -> set[str]:
    return {name for ruleset in rulesets for table in ruleset.tables.values() for name in table.chains}


def check_daemon(daemon: DockerDaemon) -> None:
    """Check the settings that are addresses.

    Raises:
        CaptureError: one is invalid; the text names the file and the key.
    """
    readers: dict[str, tuple[Callable[[str], Any], str]] = {
        "bridge": (check_interface_name, "the name of an interface, or none"),
        "bip": (ip_interface, "an address with a prefix length, as in 192.168.5.1/24"),
        "bip6": (ip_interface, "an address with a prefix length"),
        "fixed_cidr": (ip_interface, "a subnet, as in 192.168.5.0/25"),
        "fixed_cidr_v6": (ip_interface, "a subnet, as in fd00:17::/64"),
        "host_binding": (ip_address, "an address"),
        "default_gateway": (ip_address, "an address"),
    }
    for field, (read, expected) in readers.items():
        value = getattr(daemon, field)
        if value is not None:
            _checked(daemon, field, value, read, expected)
    for server in daemon.dns:
        _checked(daemon, "dns", server, ip_address, "an address")
    for base, _ in daemon.default_address_pools:
        _checked(daemon, "default_address_pools", base, ip_interface, "a subnet")


def _checked(daemon: DockerDaemon, field: str, value: str, read: Callable[[str], Any], expected: str) -> None:
    try:
        read(value)
    except ValueError:
        key = {"host_binding": "ip"}.get(field, field.replace("_", "-"))
        file = daemon.sources.get(field, "the settings")
        raise CaptureError(
            message(
                "{file}: {key}: {value!r} is not {expected}",
                file=file,
                key=key,
                value=value,
                expected=expected,
            )
        ) from None


def _forwarded_before(host: Host, docker: DockerHost) -> Iterable[Family]:
    """Yield the families that the host forwarded before Docker started: FORWARD kept the policy ACCEPT.

    A policy of DROP proves nothing, since another program may have set it.
    """
    for family in FAMILIES:
        ruleset = host.rulesets.get(family)
        forward = ruleset.chain("filter", "FORWARD") if ruleset is not None else None
        kept = forward is not None and forward.policy == "ACCEPT"
        if kept and write(docker, family).forward_drop:
            yield family


# -- networks --------------------------------------------------------------------------------------


def _in_order(host: Host) -> list[Network]:
    """Return the bridge networks in the order in which this daemon created or restored them.

    dockerd recreates the default bridge at each start, so older networks were restored before it, in an
    order that only the rules show.
    """
    networks = [
        network
        for network in host.networks.values()
        if (network.daemon, network.driver) == ("docker", "bridge") and network.bridge
    ]
    born = _born(networks)
    order = {bridge: number for number, bridge in enumerate(this_order(host))}

    def key(network: Network) -> tuple[int, int, tuple[float, str]]:
        created = moment(network.created)
        if born is not None and network.created:
            restored = created < born
            return (0, order.get(network.bridge or "", len(order)), created) if restored else (1, 0, created)
        return 1, order.get(network.bridge or "", len(order)), created

    return sorted(networks, key=key)


def _born(networks: Iterable[Network]) -> tuple[float, str] | None:
    """Return when this daemon created the default bridge, None if unknown."""
    default = next((network for network in networks if network.is_default_bridge), None)
    return moment(default.created) if default is not None and default.created else None


def _earlier(host: Host, networks: Iterable[DockerNetwork]) -> tuple[str, ...]:
    """Return the order in which an earlier daemon created the networks that this one restored.

    Built-in chains keep that order, while dockerd's own chains have the order of restoring. The orders are
    the same if the host booted in between.
    """
    born = _born(host.networks.values())
    by_bridge = {network.bridge: network.name for network in networks if not network.default}
    restored = {
        name
        for name in by_bridge.values()
        if born is not None and host.networks[name].created and moment(host.networks[name].created) < born
    }
    first = [by_bridge[bridge] for bridge in first_order(host) if by_bridge.get(bridge) in restored]
    now = [by_bridge[bridge] for bridge in this_order(host) if by_bridge.get(bridge) in first]
    return () if first == now else tuple(first)


def _network(network: Network) -> DockerNetwork:
    known: dict[str, Any] = {
        "name": network.name,
        "bridge": network.bridge or DEFAULT_BRIDGE,
        "subnets": network.subnets,
        "icc": network.icc,
        "masquerade": network.masquerade,
        "internal": network.internal,
        "gateway_mode": network.gateway_mode,
        "host_binding": network.host_binding,
        "default": network.is_default_bridge,
    }
    place = f"docker-network-inspect.json: network {network.name}"
    try:
        # a changed host keeps its options, so what they set is in the network
        fields = read_options(network.options) | known
        return DockerNetwork(**fields)
    except OptionError as error:
        raise CaptureError(
            message(
                "{place}, option {option}: {error}", place=place, option=error.option, error=text_of(error)
            )
        ) from None
    except ValidationError as error:
        raise CaptureError(message("{path}: {error}", path=str(place), error=complaint(error))) from None


def _ingress(host: Host) -> Ingress | None:
    """Return swarm's routing mesh as its rules show it: the last port to reach the node has the first rule."""
    chain = host.rulesets[4].chain("nat", "DOCKER-INGRESS") if 4 in host.rulesets else None
    found = [
        (rule.parameters.protocol or 0, target.ports[0], address_text(4, target.addresses[0]))
        for rule in (chain.rules if chain is not None else ())
        if isinstance(rule.target, Dnat)
        for target in [rule.target.to_destination]
        if target.addresses and target.ports
    ]
    if not found:
        return None
    return Ingress(address=found[0][2], ports=tuple((proto, port) for proto, port, _ in reversed(found)))


# -- containers ------------------------------------------------------------------------------------


def _container(container: Container, networks: set[str], order: RuleOrder) -> DockerContainer:
    endpoints = [endpoint for endpoint in container.endpoints.values() if endpoint.network in networks]
    if container.shares_namespace:
        endpoints = []  # those that it shares are the other container's
    return DockerContainer(
        name=container.name,
        # the network that it was started on comes first
        endpoints=tuple(sorted(endpoints, key=lambda endpoint: endpoint.network != container.network_mode)),
        published=(
            *order.published(container, list(_publications(container.published))),
            *_publications(container.opened),
        ),
        exposed=tuple(order.exposed(container)),
        links=tuple(order.linked(container)),
        dns=tuple(container.dns),
    )


def _publications(ports: list[PublishedPort]) -> Iterable[Publication]:
    """Yield published ports; one on all addresses of both families counts once."""
    everywhere = {
        (port.proto, port.container_port, port.host_port, port.family)
        for port in ports
        if port.host_address is None
    }
    for port in ports:
        place = (port.proto, port.container_port, port.host_port)
        both = port.host_address is None and {(*place, 4), (*place, 6)} <= everywhere
        if both and port.family == 6:
            continue
        anywhere = "" if both else "0.0.0.0" if port.family == 4 else "::"  # noqa: S104
        yield Publication(
            proto=port.proto,
            container_port=port.container_port,
            address=port.host_address or anywhere,
            host_port=port.host_port,
            requested=port.requested,
        )


def _joins(host: Host, networks: set[str]) -> tuple[tuple[str, str], ...]:
    """Return the endpoints in the order of the indices of their veth interfaces on the host: newer ones are higher."""
    found: list[tuple[int, str, str]] = []
    for container in host.containers.values():
        for endpoint in container.endpoints.values():
            if endpoint.network not in networks or not container.running:
                continue
            index = _index(host, endpoint)
            if not index:
                return ()
            found.append((index, container.name, endpoint.network))
    return tuple((name, network) for _, name, network in sorted(found))


def _index(host: Host, endpoint: Endpoint) -> int:
    port = host.namespace.interfaces.get(endpoint.bridge_port or "")
    # an invented one has no hardware address
    return port.index if port is not None and port.mac is not None else 0
