"""Containers and their networks as data. Names follow the Docker Engine API."""

from dataclasses import dataclass, field

from iptsim.addresses import Family, address_text
from iptsim.errors import printable
from iptsim.frozen import Frozen
from iptsim.host.namespace import Namespace, Prefixed, check_prefix_length, prefix_mask


class Endpoint(Frozen):
    """A container's connection to a network.

    Attributes:
        network: the network's name.
        addresses / prefix_lengths / gateways: by family; families may be missing.
        interface: name of the interface in the container.
        bridge_port: name of the host's end of the veth pair.
        gateway_priority: the endpoint with the highest priority has the default route.
        network_id: the network's id.
    """

    network: str
    addresses: dict[Family, int] = field(default_factory=dict)
    prefix_lengths: dict[Family, int] = field(default_factory=dict)
    gateways: dict[Family, int] = field(default_factory=dict)
    mac: str | None = None
    aliases: tuple[str, ...] = ()
    interface: str | None = None
    bridge_port: str | None = None
    gateway_priority: int = 0
    network_id: str = ""

    def __post_init__(self) -> None:
        for family, length in self.prefix_lengths.items():
            check_prefix_length(family, length)

    def address(self, family: Family) -> int | None:
        """Return the address of a family, or None."""
        return self.addresses.get(family)


class ExposedPort(Frozen):
    """A port that the image or `--expose` names; on its own, it opens nothing."""

    proto: int
    port: int


class PublishedPort(Frozen):
    """A port of a container that the host forwards.

    Attributes:
        proto: the protocol's number.
        host_address: the address on the host, or None for all addresses.
        family: of the host's address.
        requested: the requested range if the engine chose the host port, "" for any port.
    """

    proto: int
    container_port: int
    host_address: str | None
    host_port: int
    family: Family
    requested: str | None = None


class Link(Frozen):
    """`--link TARGET:ALIAS`."""

    target: str
    alias: str


@dataclass(eq=False)
class Container:
    """A container, or another guest (virtual machine, pod) with a namespace of its own.

    Attributes:
        endpoints: by network name, in the engine's order.
        network_mode: as the engine prints it: "bridge", "host", "none", "container:ID", a network's name.
        opened: published ports without a host port, in networks with gateway mode "routed".
        withheld: ports that its settings publish, but that Docker does not.
        shows_ports: whether the source shows which ports it publishes; `docker network inspect` does not.
        dns: `--dns` servers.
        daemon: the engine that runs it: "docker", "podman", or "" for other guests.
        started: when it was last started, in the engine's format; "" if unknown.
        service: the name of its service in a Compose file, if it is made from one.
    """

    name: str
    id: str = ""
    namespace: Namespace = field(default_factory=Namespace)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    published: list[PublishedPort] = field(default_factory=list)
    exposed: list[ExposedPort] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    network_mode: str = "bridge"
    running: bool = True
    opened: list[PublishedPort] = field(default_factory=list)
    withheld: list[PublishedPort] = field(default_factory=list)
    shows_ports: bool = True
    dns: list[str] = field(default_factory=list)
    daemon: str = ""
    started: str = ""
    service: str = ""

    def __repr__(self) -> str:
        places = [
            f"{endpoint.network} {address_text(family, address)}"
            for endpoint in self.endpoints.values()
            for family, address in endpoint.addresses.items()
        ]
        return printable(f"<Container {self.name}: {', '.join(places) or self.network_mode}>")

    @property
    def shares_namespace(self) -> bool:
        """Whether it uses the network namespace of another container (`--network container:NAME`)."""
        return self.network_mode.startswith("container:")

    def address(self, family: Family, network: str | None = None) -> int | None:
        """Return its address in a network, or its first address."""
        for endpoint in self.endpoints.values():
            if network is None or endpoint.network == network:
                found = endpoint.address(family)
                if found is not None:
                    return found
        return None

    def own_addresses(self, family: Family) -> list[int]:
        """Return its addresses in all networks, and others that its interfaces have."""
        found = [endpoint.address(family) for endpoint in self.endpoints.values()]
        found += self.namespace.outer_addresses(family)
        return [one for one in dict.fromkeys(found) if one is not None]


class Subnet(Prefixed):
    """A subnet of a network, and the gateway address of its members.

    Attributes:
        gateway_assumed: nothing shows that the bridge has the address of the gateway.
    """

    address: int
    gateway: int | None = None
    gateway_assumed: bool = False

    def covers(self, family: int, address: int) -> bool:
        """Return whether the subnet contains an address."""
        return family == self.family and address & prefix_mask(family, self.prefix_length) == self.address

    def __str__(self) -> str:
        return f"{address_text(self.family, self.address)}/{self.prefix_length}"


class Network(Frozen):
    """A network of Docker, Podman or similar software.

    Attributes:
        bridge: name of its bridge interface, or None for drivers without a bridge.
        internal: no external access (`--internal`).
        icc: containers on it may talk to each other.
        masquerade: packets that leave it are masqueraded.
        gateway_mode: by family: "nat", "routed", "nat-unprotected" or "isolated".
        host_binding: default host address of published ports, or None for all addresses.
        options: the driver's options as given.
        created: time of creation, in the engine's format; "" if unknown.
        daemon: the engine that created it: "docker", "podman", or "" for another bridge.
    """

    name: str
    id: str = ""
    driver: str = "bridge"
    daemon: str = ""
    bridge: str | None = None
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    gateway_mode: dict[Family, str] = field(default_factory=dict)
    host_binding: str | None = None
    is_default_bridge: bool = False
    options: dict[str, str] = field(default_factory=dict)
    created: str = ""

    @property
    def gateways(self) -> dict[Family, int]:
        """The gateway address by family."""
        return {subnet.family: subnet.gateway for subnet in self.subnets if subnet.gateway is not None}

    def covers(self, family: int, address: int) -> bool:
        """Return whether one of the subnets contains an address."""
        return any(subnet.covers(family, address) for subnet in self.subnets)
