"""Docker's settings as data: the daemon, networks, containers, published ports and links.

The models contain only what affects rules. Names follow dockerd(8), daemon.json and the options of
`docker network create`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from iptsim.addresses import FAMILIES, Family, ip_address, parse_address
from iptsim.host.containers import Endpoint, ExposedPort, Link, PublishedPort, Subnet
from iptsim.host.docker_defaults import GATEWAY_BRIDGE
from iptsim.host.docker_engine import DEFAULT_ENGINE, GENERATIONS, RELEASES, Engine, numbers_of
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.namespace import check_interface_name
from iptsim.languages import message

GatewayMode = Literal["nat", "nat-unprotected", "routed", "isolated"]
GATEWAY_MODES: tuple[GatewayMode, ...] = get_args(GatewayMode)
#: The name of the network that containers join by default, and of its bridge.


def _checked_address(text: str) -> str:
    """Return an address as a rule takes it, without a zone (`%eth0`)."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise ValueError(message("{text!r} has a zone; remove it, as rules do not accept one", text=text))
    return str(address)


#: An address of the host, or "".
HostAddress = Annotated[str, AfterValidator(lambda text: _checked_address(text) if text else text)]
#: The name of an interface.
InterfaceName = Annotated[str, AfterValidator(check_interface_name)]


class _Settings(BaseModel):
    """Settings that do not change; their values are checked, as they may come from any file."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class DockerNetwork(_Settings):
    """A network of the bridge driver, or of one that bypasses the host.

    Attributes:
        bridge: name of its bridge interface; without meaning for other drivers.
        driver: "bridge", "macvlan" or "ipvlan".
        parent: the host's interface by which the other drivers reach the LAN; "" if not given.
        icc: `enable_icc`: its containers may connect to each other.
        masquerade: `enable_ip_masquerade`: traffic leaving it is masqueraded.
        internal: `--internal`: it is cut off from the outside.
        gateway_mode: by family; "nat" by default.
        host_binding: `host_binding_ipv4`: default host address of published ports; None: all.
        trusted: `trusted_host_interfaces`: interfaces from which packets may go to containers' own addresses.
        snat: `com.docker.network.host_ipv4` and `host_ipv6`: the source address of outgoing packets.
        bare: `inhibit_ipv4`: the bridge itself has no IPv4 address; the rules are the same.
        default: whether it is the default bridge, the only one where links open ports.
    """

    name: str
    bridge: InterfaceName
    subnets: tuple[Subnet, ...] = ()
    icc: bool = True
    masquerade: bool = True
    internal: bool = False
    gateway_mode: dict[Family, GatewayMode] = Field(default_factory=dict)
    host_binding: HostAddress | None = None
    trusted: tuple[InterfaceName, ...] = ()
    snat: dict[Family, HostAddress] = Field(default_factory=dict)
    bare: bool = False
    default: bool = False
    driver: str = "bridge"
    parent: str = ""

    def subnet(self, family: Family) -> Subnet | None:
        """Return its subnet of a family, or None."""
        return next((subnet for subnet in self.subnets if subnet.family == family), None)

    def mode(self, family: Family) -> GatewayMode:
        """Return its gateway mode."""
        return self.gateway_mode.get(family, "nat")


class Publication(_Settings):
    """`--publish ADDRESS:HOST_PORT:CONTAINER_PORT/PROTO`.

    Attributes:
        proto: the protocol's number.
        address: on the host; "" for the network's default, which is all addresses of both families.
        host_port: the port on the host; 0 without one (gateway mode "routed") or before the engine chose it.
        requested: the range from which the engine chose the port, "" for any port; None if `host_port` was requested.
    """

    proto: int = 6
    container_port: int = Field(ge=1, le=65535)
    address: HostAddress = ""
    host_port: int = Field(0, ge=0, le=65535)
    requested: str | None = None


def published_ports(ports: Iterable[Publication]) -> Iterator[PublishedPort]:
    """Yield published ports as the engine shows them: once for each address family."""
    for port in ports:
        if port.address:
            family, address = parse_address(port.address)
            families: tuple[Family, ...] = (family,)
        else:
            families, address = FAMILIES, 0
        for family in families:
            yield PublishedPort(
                proto=port.proto,
                container_port=port.container_port,
                host_address=port.address if address else None,
                host_port=port.host_port,
                family=family,
                requested=port.requested,
            )


class DockerContainer(_Settings):
    """A running container.

    Attributes:
        endpoints: in networks of the bridge driver, in the order in which it joined them.
        apart: in networks of drivers that bypass the host; they have no rules.
        published: in the order of the command line.
        exposed: by the image or `--expose`; published ports are exposed too.
        links: the containers that it may reach, with their aliases.
        network_mode: of a container without networks of its own: "host", "none", "container:NAME"; else "".
        service: the name of its service in a Compose file.
        dns: the name servers that it is given, instead of those of the daemon's settings or of the host.
    """

    name: str
    endpoints: tuple[Endpoint, ...] = ()
    apart: tuple[Endpoint, ...] = ()
    published: tuple[Publication, ...] = ()
    exposed: tuple[ExposedPort, ...] = ()
    links: tuple[Link, ...] = ()
    network_mode: str = ""
    service: str = ""
    dns: tuple[str, ...] = ()

    def endpoint(self, network: str) -> Endpoint | None:
        """Return its endpoint in a network, or None."""
        return next((endpoint for endpoint in self.endpoints if endpoint.network == network), None)


class Ingress(_Settings):
    """Swarm's routing mesh on a node.

    Attributes:
        bridge: the bridge of the ingress sandbox.
        address: of the ingress sandbox on that bridge.
        ports: (protocol's number, port) that services publish, in the order in which they reached the node.
    """

    bridge: InterfaceName = GATEWAY_BRIDGE
    address: HostAddress
    ports: tuple[tuple[int, Annotated[int, Field(ge=1, le=65535)]], ...] = ()


class DockerHost(_Settings):
    """A host as dockerd knows it.

    Attributes:
        daemon: the daemon's settings; None means dockerd's default.
        networks: in the order in which this daemon created or restored them.
        containers: in the order in which they were started.
        joins: (container, network) in the order in which containers got their addresses; the others follow
            in the order of `containers`.
        opened: containers in the order in which their ports were opened, if several started concurrently; empty if each
            opened its ports as soon as it had its address.
        earlier: networks in the order in which an earlier daemon created them since the host booted: its rules in
            built-in chains still exist. Empty if this daemon is the first.
        forwarded_before: families that the host already forwarded when the daemon started, so that dockerd
            left the policy of FORWARD alone.
        ingress: swarm's routing mesh; None if no service publishes a port on the node.
        wsl2_mirrored: whether it runs under WSL2 with mirrored networking.
    """

    daemon: DockerDaemon = DockerDaemon()
    networks: tuple[DockerNetwork, ...] = ()
    apart: tuple[DockerNetwork, ...] = ()
    containers: tuple[DockerContainer, ...] = ()
    joins: tuple[tuple[str, str], ...] = ()
    opened: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    forwarded_before: frozenset[Family] = frozenset()
    ingress: Ingress | None = None
    wsl2_mirrored: bool = False

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = {network.name for network in self.networks}
        for container in self.containers:
            for endpoint in container.endpoints:
                if endpoint.network not in names:
                    raise ValueError(
                        message(
                            "container {name} is on {network}, but no such network exists",
                            name=container.name,
                            network=endpoint.network,
                        )
                    )
        return self

    @property
    def engine(self) -> Engine:
        """The engine; if its version is unknown, 28, or the first one that has its firewall backend."""
        return self.daemon.engine or (Engine(29) if self._wants_nftables else DEFAULT_ENGINE)

    @property
    def _wants_nftables(self) -> bool:
        return (self.daemon.firewall_backend or "").startswith("nftables")

    def with_engine(self, version: str) -> DockerHost:
        """Return the same host with another engine, whose defaults apply to settings that were not given.

        Args:
            version: a version, such as "27.5.1", or the first part of one.

        Raises:
            ValueError: there is no such version, or its rules are unknown.
        """
        engine = Engine.of(version)
        if engine is None or not engine.is_modelled or numbers_of(version) != version:
            raise ValueError(
                message(
                    "the rules of Docker {version} are unknown; give a version from 20.10 to {last}",
                    version=repr(version),
                    last=GENERATIONS[-1],
                )
            )
        given = self.daemon.ip6tables if "ip6tables" in self.daemon.sources else None
        daemon = replace(
            self.daemon,
            version=RELEASES.get(version, version),
            generation=engine.generation,
            ip6tables=given,
        )
        return self.model_copy(update={"daemon": daemon})

    def filters(self, family: Family) -> bool:
        """Return whether the daemon writes rules of iptables for a family."""
        return not self.uses_nftables and self.protects(family)

    @property
    def uses_nftables(self) -> bool:
        """Whether the daemon writes its rules with nftables: a setting since 29."""
        return self.engine.major >= 29 and self._wants_nftables

    def protects(self, family: Family) -> bool:
        """Return whether the daemon writes rules for a family, with iptables or nftables."""
        if family == 4:
            return self.daemon.iptables is not False
        if self.daemon.ip6tables is not None:
            return self.daemon.ip6tables
        return self.engine.ip6tables_by_default

    @property
    def proxy(self) -> bool:
        """Whether docker-proxy listens on published ports."""
        return self.daemon.userland_proxy is not False

    @property
    def default_network(self) -> DockerNetwork | None:
        """The default bridge, None with `--bridge=none`."""
        return next((network for network in self.networks if network.default), None)

    def network(self, name: str) -> DockerNetwork | None:
        """Return a network by its name, or None."""
        return next((network for network in self.networks if network.name == name), None)

    def container(self, name: str) -> DockerContainer | None:
        """Return a container by its name, or None."""
        return next((container for container in self.containers if container.name == name), None)
