"""Models of what Docker and Podman print about containers and networks.

Docker: `docker inspect`, `docker network inspect` (Engine API, /containers/ID/json and /networks/ID).
Podman: `podman inspect`, `podman network inspect`, which differ in a few names.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from iptsim.addresses import FAMILIES, Family, address_text, parse_address
from iptsim.host.containers import Container, Endpoint, ExposedPort, Link, Network, PublishedPort, Subnet
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.host.foreign import Foreign, Number
from iptsim.host.iproute import prefix
from iptsim.host.namespace import prefix_mask
from iptsim.protocols import PROTOCOLS

#: How Docker writes "all host addresses".
ANY_ADDRESS = "0.0.0.0"  # noqa: S104
#: How the names of the bridge driver's options begin.
BRIDGE_OPTION = "com.docker.network.bridge."


def _or_empty(empty: Any) -> BeforeValidator:
    """Return a validator that replaces null, which Go prints for nil, by an empty value."""
    return BeforeValidator(lambda value: empty if value is None else value)


Names = Annotated[list[str], _or_empty([])]
Options = Annotated[dict[str, str], _or_empty({})]


class EndpointEntry(Foreign):
    """A container's settings in one network; unknown values are null."""

    address: str = Field("", alias="IPAddress")
    prefix_length: Number = Field(0, alias="IPPrefixLen")
    gateway: str = Field("", alias="Gateway")
    address6: str = Field("", alias="GlobalIPv6Address")
    prefix_length6: Number = Field(0, alias="GlobalIPv6PrefixLen")
    gateway6: str = Field("", alias="IPv6Gateway")
    mac: str = Field("", alias="MacAddress")
    aliases: Names = Field([], alias="Aliases")
    dns_names: Names = Field([], alias="DNSNames")
    links: Names = Field([], alias="Links")
    gateway_priority: Number = Field(0, alias="GwPriority")
    network_id: str = Field("", alias="NetworkID")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return (
            {key: item for key, item in value.items() if item is not None}
            if isinstance(value, dict)
            else value
        )


class BindingEntry(Foreign):
    """The host address and port of a published port."""

    address: str = Field("", alias="HostIp")
    port: str = Field("", alias="HostPort")


Ports = Annotated[dict[str, Annotated[list[BindingEntry], _or_empty([])]], _or_empty({})]
Endpoints = Annotated[dict[str, EndpointEntry], _or_empty({})]


class SettingsEntry(EndpointEntry):
    """`NetworkSettings`; before Docker 1.9, it contains the only endpoint itself."""

    ports: Ports | None = Field(None, alias="Ports")
    networks: Endpoints = Field(default_factory=dict, alias="Networks")


class HostConfigEntry(Foreign):
    """`HostConfig`."""

    network_mode: str = Field("", alias="NetworkMode")
    links: Names = Field([], alias="Links")
    dns: Names = Field([], alias="Dns")
    bindings: Ports = Field(default_factory=dict, alias="PortBindings")


class ConfigEntry(Foreign):
    """`Config`."""

    exposed: Annotated[dict[str, Any], _or_empty({})] = Field({}, alias="ExposedPorts")


class StateEntry(Foreign):
    """`State`."""

    running: bool = Field(True, alias="Running")
    started: str = Field("", alias="StartedAt")


class ContainerEntry(Foreign):
    """An element of `docker inspect` or `podman inspect`."""

    id: str = Field("", alias="Id")
    name: str = Field("", alias="Name")
    state: StateEntry = Field(default_factory=StateEntry, alias="State")
    host_config: HostConfigEntry = Field(default_factory=HostConfigEntry, alias="HostConfig")
    config: ConfigEntry = Field(default_factory=ConfigEntry, alias="Config")
    settings: SettingsEntry = Field(default_factory=SettingsEntry, alias="NetworkSettings")


class PoolEntry(Foreign):
    """A subnet of a Docker network."""

    subnet: str = Field("", alias="Subnet")
    gateway: str = Field("", alias="Gateway")


class PodmanPoolEntry(Foreign):
    """A subnet of a Podman network."""

    subnet: str = ""
    gateway: str = ""


class AddressManagementEntry(Foreign):
    """`IPAM`."""

    config: Annotated[list[PoolEntry], _or_empty([])] = Field([], alias="Config")


class MemberEntry(Foreign):
    """An element of a network's `Containers`: a container, or a namespace of the engine's own."""

    name: str = Field("", alias="Name")
    address: str = Field("", alias="IPv4Address")
    address6: str = Field("", alias="IPv6Address")
    mac: str = Field("", alias="MacAddress")


Members = Annotated[dict[str, MemberEntry], _or_empty({})]


class NetworkEntry(Foreign):
    """An element of `docker network inspect`."""

    id: str = Field("", alias="Id")
    name: str = Field("", alias="Name")
    driver: str = Field("bridge", alias="Driver")
    internal: bool = Field(False, alias="Internal")
    ipam: AddressManagementEntry = Field(default_factory=AddressManagementEntry, alias="IPAM")
    options: Options = Field({}, alias="Options")
    created: str = Field("", alias="Created")
    members: Members = Field({}, alias="Containers")


class PodmanNetworkEntry(Foreign):
    """An element of `podman network inspect`."""

    id: str = ""
    name: str = ""
    driver: str = "bridge"
    network_interface: str | None = None
    internal: bool = False
    subnets: Annotated[list[PodmanPoolEntry], _or_empty([])] = Field(default_factory=list)
    options: Options = Field(default_factory=dict)


def container(entry: ContainerEntry, daemon: str) -> Container:
    """Make a container, without its namespace.

    Raises:
        ValueError: an address or a port is invalid.
    """
    settings = entry.settings
    published = list(_published(settings.ports or {}, entry.host_config.bindings))
    networks = settings.networks or ({"bridge": settings} if settings.address else {})
    links = [*entry.host_config.links, *(link for one in networks.values() for link in one.links)]
    return Container(
        name=entry.name.removeprefix("/"),
        id=entry.id,
        endpoints={name: endpoint(name, one) for name, one in networks.items()},
        published=[port for port in published if port.host_port],
        exposed=[ExposedPort(proto=proto, port=port) for port, proto in map(_port, entry.config.exposed)],
        links=list(dict.fromkeys(map(_link, links))),
        network_mode=_network_mode(entry.host_config.network_mode),
        running=entry.state.running,
        opened=[port for port in published if not port.host_port],
        shows_ports=settings.ports is not None,
        dns=entry.host_config.dns,
        daemon=daemon,
        started=entry.state.started,
    )


def endpoint(network: str, entry: EndpointEntry) -> Endpoint:
    """Make an endpoint, whose interface and bridge port are not yet known."""
    settings = (
        (entry.address, entry.prefix_length, entry.gateway),
        (entry.address6, entry.prefix_length6, entry.gateway6),
    )
    addresses: dict[Family, int] = {}
    lengths: dict[Family, int] = {}
    gateways: dict[Family, int] = {}
    for family, (address, length, gateway) in zip(FAMILIES, settings, strict=True):
        if address:
            addresses[family], lengths[family] = parse_address(address)[1], length
        if gateway:
            gateways[family] = parse_address(gateway)[1]
    return Endpoint(
        network=network,
        addresses=addresses,
        prefix_lengths=lengths,
        gateways=gateways,
        mac=entry.mac or None,
        aliases=tuple(dict.fromkeys([*entry.aliases, *entry.dns_names])),
        gateway_priority=entry.gateway_priority,
        network_id=entry.network_id,
    )


def add_members(containers: dict[str, Container], network: NetworkEntry) -> None:
    """Add the members of a network that `docker inspect` does not list.

    Swarm puts containers on docker_gwbridge without listing that network there, and its ingress router is a
    namespace of the engine itself (`ingress-sbox`). Both have their default route there, as overlay networks have no
    gateway. The load balancers of overlay networks (`lb-NETWORK`) reach nothing else and are left out.

    Raises:
        ValueError: an address is invalid.
    """
    by_id = {container.id: container for container in containers.values()}
    gateways = [pool.gateway for pool in network.ipam.config if pool.gateway and network.driver == "bridge"]
    for key, member in network.members.items():
        if key.startswith("lb-"):
            continue
        container = by_id.get(key)
        if container is None:
            name = key if key.endswith("-sbox") else member.name or key[:12]
            container = containers.setdefault(name, Container(name, id=key, daemon="docker"))
        if network.name not in container.endpoints:
            first, _, length = member.address.partition("/")
            first6, _, length6 = member.address6.partition("/")
            entry = EndpointEntry(
                IPAddress=first,
                IPPrefixLen=int(length or 0),
                Gateway=next((one for one in gateways if first and ":" not in one), ""),
                GlobalIPv6Address=first6,
                GlobalIPv6PrefixLen=int(length6 or 0),
                IPv6Gateway=next((one for one in gateways if first6 and ":" in one), ""),
                MacAddress=member.mac,
                NetworkID=network.id,
            )
            container.endpoints[network.name] = endpoint(network.name, entry)


def _network_mode(mode: str) -> str:
    return "bridge" if mode in ("", "default") else mode


def _link(text: str) -> Link:
    """Read "/web:/client/db" (client knows container web as db) or "web:db"."""
    target, _, alias = text.partition(":")
    return Link(target=target.strip("/").split("/")[-1], alias=alias.split("/")[-1] or target.strip("/"))


def _port(text: str) -> tuple[int, int]:
    """Read "80/tcp" into the port and the protocol's number."""
    port, _, proto = text.partition("/")
    return int(port), PROTOCOLS[proto or "tcp"]


def _published(
    ports: dict[str, list[BindingEntry]], requested: dict[str, list[BindingEntry]]
) -> Iterator[PublishedPort]:
    for text, bindings in ports.items():
        port, proto = _port(text)
        wanted = [binding.port for binding in requested.get(text, [])]
        for binding in bindings:
            family, address = parse_address(binding.address or ANY_ADDRESS)
            yield PublishedPort(
                proto=proto,
                container_port=port,
                host_address=address_text(family, address) if address else None,
                host_port=int(binding.port or 0),
                family=family,
                requested=_requested(wanted, int(binding.port or 0)),
            )


def _requested(wanted: list[str], port: int) -> str | None:
    """Return the requested range if the engine chose the port, "" for any port, None if this port was requested."""
    if str(port) in wanted:
        return None
    for text in wanted:
        first, _, last = text.partition("-")
        if first.isdecimal() and last.isdecimal() and int(first) <= port <= int(last):
            return text
    return ""


def _pools(pools: Iterable[tuple[str, str]]) -> tuple[Subnet, ...]:
    found = []
    for subnet, gateway in pools:
        if subnet:
            family, address, length = prefix(subnet, 4)
            found.append(
                Subnet(
                    family=family,
                    address=address & prefix_mask(family, length),
                    prefix_length=length,
                    gateway=parse_address(gateway.partition("/")[0])[1] if gateway else None,
                )
            )
    return tuple(found)


def network(entry: NetworkEntry) -> Network:
    """Make a network from Docker's output.

    Raises:
        ValueError: a subnet is invalid.
    """
    options = entry.options
    is_default = options.get(BRIDGE_OPTION + "default_bridge") == "true"
    bridge = None
    if entry.driver == "bridge":
        bridge = options.get(BRIDGE_OPTION + "name") or (
            DEFAULT_BRIDGE if is_default else f"br-{entry.id[:12]}"
        )
    binding = options.get(BRIDGE_OPTION + "host_binding_ipv4", ANY_ADDRESS)
    modes = {family: options.get(f"{BRIDGE_OPTION}gateway_mode_ipv{family}") for family in FAMILIES}
    return Network(
        name=entry.name,
        id=entry.id,
        driver=entry.driver,
        daemon="docker",
        bridge=bridge,
        subnets=_pools((pool.subnet, pool.gateway) for pool in entry.ipam.config),
        internal=entry.internal,
        icc=options.get(BRIDGE_OPTION + "enable_icc") != "false",
        masquerade=options.get(BRIDGE_OPTION + "enable_ip_masquerade") != "false",
        gateway_mode={family: mode for family, mode in modes.items() if mode},
        host_binding=None if binding == ANY_ADDRESS else binding,
        is_default_bridge=is_default,
        options=options,
        created=entry.created,
    )


def podman_network(entry: PodmanNetworkEntry) -> Network:
    """Make a network from Podman's output.

    Raises:
        ValueError: a subnet is invalid.
    """
    return Network(
        name=entry.name,
        id=entry.id,
        driver=entry.driver,
        daemon="podman",
        bridge=entry.network_interface if entry.driver == "bridge" else None,
        subnets=_pools((pool.subnet, pool.gateway) for pool in entry.subnets),
        internal=entry.internal,
        options=entry.options,
    )
