"""The host as data: its namespace, containers, networks, rules, ipsets and conntrack table.

A :class:`Host` is a plain dataclass that a reader fills. Names follow ipset(8) and conntrack(8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from iptsim.addresses import Family
from iptsim.connection import Connection
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import printable
from iptsim.frozen import Frozen
from iptsim.host.containers import Container, Endpoint, Network
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.namespace import Interface, Namespace
from iptsim.host.pasted import Pasted
from iptsim.languages import Text
from iptsim.shown import Pictured, made


class IpSet(Frozen):
    """An ipset as `ipset save` prints it.

    Attributes:
        type: "hash:ip,port", "list:set" ...
        family: of a hash set, or None if the type has none.
        options: the header: "hashsize", "maxelem", "timeout", "range", "netmask", "markmask" ...
        entries: the text and options of the elements, in order: ("10.0.0.0/8", {"nomatch": ""}).
    """

    name: str
    type: str
    family: Family | None = None
    options: dict[str, str] = field(default_factory=dict)
    entries: tuple[tuple[str, dict[str, str]], ...] = ()
    #: what follows from it: its entries, indexed
    cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ConntrackEntry:
    """A line of `conntrack -L`.

    Attributes:
        state: the protocol's state (TCP: "ESTABLISHED", "TIME_WAIT" ...), or None for protocols without states.
        timeout: seconds until it expires.
    """

    connection: Connection
    state: str | None = None
    timeout: int | None = None


class Before(NamedTuple):
    """The host before commands that a pasted text gives behind its rules.

    Attributes:
        first / last: the numbers of the first and the last line of the commands.
        host: the host without them.
        asked: the text's log lines and failed connections are from before the commands.
        in_vain: the text says that they did not help, or must not be run.
    """

    first: int
    last: int
    host: Host
    asked: bool
    in_vain: bool

    @property
    def lines(self) -> str:
        """The lines as a range: "12-14"."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(eq=False)
class Host(Pictured):
    """Everything known about the host.

    Attributes:
        containers: by name.
        networks: by name.
        ipsets: by name; None if they were not saved, so that their contents are unknown.
        recent: `-m recent` lists: name -> address -> ages of its stamps in seconds, newest first;
            None if they were not saved.
        rulesets: by family, of the backend that `iptables-save` uses.
        extra_rulesets: by family, of the other backend, if the host has rules there too.
        assumptions: the assumptions, one sentence each.
        inferred: there was only a dump; host and containers were inferred from its rules.
        source: the path from which it was read.
        pasted: how it was read; None for a plain dump or capture.
        before: this host before the commands that a pasted text gives behind its rules; None without such commands.
        prepared: a cache of data derived from it for questions.
    """

    namespace: Namespace = field(default_factory=Namespace)
    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    daemon: DockerDaemon | None = None
    ipsets: dict[str, IpSet] | None = None
    conntrack: list[ConntrackEntry] = field(default_factory=list)
    recent: dict[str, dict[int, list[float]]] | None = None
    rulesets: dict[Family, Ruleset] = field(default_factory=dict)
    extra_rulesets: dict[Family, Ruleset] = field(default_factory=dict)
    assumptions: list[Text] = field(default_factory=list)
    inferred: bool = False
    source: str = ""
    pasted: Pasted | None = None
    before: Before | None = None
    prepared: Any = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: everything except the cache."""
        return {**self.__dict__, "prepared": None}

    def __repr__(self) -> str:
        held = f"{len(self.containers)} containers, {len(self.networks)} networks"
        return printable(f"<Host {self.source or 'made in memory'}: {held}>")

    def reach(
        self,
        sender: str | None = None,
        to: str | None = None,
        *,
        proto: str | int | None = None,
        dport: str | int | None = None,
        state: str = "new",
        family: Family | None = None,
    ) -> Any:
        """Return what happens to all packets between two ends, a :class:`iptsim.reaching.Reaching`.

        The arguments are those of :func:`iptsim.reaching.reach`.
        """
        options = {"proto": proto, "dport": dport, "state": state, "family": family}
        return made("reach", self, sender, to, **options)

    def container(self, name: str) -> tuple[Container, Endpoint | None] | None:
        """Find a container by name, by the start of its ID, or as `container@network`.

        Returns:
            The container, and the endpoint if a network was named; None if there is no such container,
            or if several IDs match.
        """
        wanted, _, network = name.partition("@")
        found = self.containers.get(wanted)
        if found is None and wanted:
            fitting = [container for container in self.containers.values() if container.id.startswith(wanted)]
            found = fitting[0] if len(fitting) == 1 else None
        if found is None:
            return None
        if not network:
            return found, None
        endpoint = found.endpoints.get(network)
        return None if endpoint is None else (found, endpoint)

    def owner_of(
        self, family: Family, address: int
    ) -> tuple[Container, Endpoint | None] | Literal["host"] | None:
        """Return the owner of an address: a container with its endpoint, "host", or None.

        Loopback addresses exist in every namespace, and count as the host's.
        """
        return self.namespace.once(("owners", family), lambda: self._owners(family)).get(address)

    def _owners(self, family: Family) -> dict[int, tuple[Container, Endpoint | None] | Literal["host"]]:
        owners: dict[int, tuple[Container, Endpoint | None] | Literal["host"]] = {
            own.address: "host" for _, own in self.namespace.addresses(family)
        }
        for container in self.containers.values():
            if (
                container.network_mode == "host"
                or not container.running
                or self.namespace_owner(container) is not container
            ):
                continue
            for endpoint in container.endpoints.values():
                own = endpoint.address(family)
                if own is not None:
                    owners.setdefault(own, (container, endpoint))
            for own in container.namespace.outer_addresses(family):
                owners.setdefault(own, (container, None))
        return owners

    def is_inside(self, family: Family, address: int) -> bool:
        """Return whether an address is in a network behind the host: a container's, or in a bridge's subnet."""
        owner = self.owner_of(family, address)
        if owner is not None:
            return owner != "host"
        bridges = self.namespace.once(
            ("bridges", family),
            lambda: [one for one in self.namespace.addresses(family) if one[0].kind == "bridge"],
        )
        return any(
            own.covers(address) and not self._leads_outside(interface.name) for interface, own in bridges
        )

    def _leads_outside(self, bridge: str) -> bool:
        """Return whether a bridge also connects external machines: a port is an uplink, or it has the default route."""
        return self.namespace.has_uplink(bridge) or any(
            route.device == bridge and route.prefix_length == 0 for route in self.namespace.routes
        )

    def namespace_owner(self, container: Container) -> Container:
        """Return the known container whose network namespace a container shares, or the container itself."""
        found = (
            self.container(container.network_mode.partition(":")[2]) if container.shares_namespace else None
        )
        return found[0] if found is not None else container

    def bridge_ports(self, bridge: str) -> list[Interface]:
        """Return the ports of one of the host's bridges."""
        return self.namespace.ports(bridge)

    def network_of_bridge(self, bridge: str) -> Network | None:
        """Return the network of a bridge, or None."""
        return next((network for network in self.networks.values() if network.bridge == bridge), None)
