"""The host as data: its namespace, containers, networks, rules, ipsets and conntrack table.

A :class:`Host` is a plain dataclass that a reader fills. Names follow ipset(8) and conntrack(8).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import Field, PrivateAttr

from iptsim.dump.ruleset import Ruleset
from iptsim.errors import printable
from iptsim.host.containers import Container, Endpoint, Network
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.namespace import Frozen, Interface, Namespace
from iptsim.languages import Text, message_if
from iptsim.packet import Connection, Family
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
    options: dict[str, str] = Field(default_factory=dict)
    entries: tuple[tuple[str, dict[str, str]], ...] = ()
    #: the entries, indexed by :mod:`iptsim.host.ipsets`
    _index: Any = PrivateAttr(default=None)


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


class Lines(NamedTuple):
    """Consecutive lines of a pasted text that have the same form, or no known form.

    Attributes:
        file: the text's name.
        first / last: numbers of the lines, from 1.
        form: what they are: "iptables -L -n -v (filter)"; empty for lines that were left out.
        table: the table of their rules, if they have only one.
    """

    file: str
    first: int
    last: int
    form: str = ""
    table: str | None = None


class LoggedLine(NamedTuple):
    """A line in which the kernel logged a packet.

    Attributes:
        line: its number.
        hook: the hook, inferred from its interfaces.
        prefix: the log prefix of the rule; "" for TRACE.
        pairs: its fields, in order: ("SRC", "192.0.2.9").
        flags: the fields without a value: SYN, DF.
        place: for TRACE the table, the chain, "rule", "policy" or "return", and the number.
        fields: the packet, as fields of a batch line.
        rule: the options of the rule, for TRACE of iptables-nft.
    """

    line: int
    family: Family
    hook: str
    prefix: str
    pairs: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    place: tuple[str, str, str, int] | None
    fields: dict[str, Any]
    rule: str = ""


class Reload(NamedTuple):
    """A command in a pasted text that loads other rules in place of all, or removes all of a table.

    Attributes:
        line: its number.
        command: "systemctl restart iptables".
    """

    line: int
    command: str


class FailedCommand(NamedTuple):
    """A command of iptables that a pasted log says has failed.

    Attributes:
        program: "iptables" or "ip6tables".
        words: its arguments.
        why: what the program printed.
        caller: the program that ran it, if it is not Docker or firewalld.
    """

    line: int
    program: str
    words: tuple[str, ...]
    why: str
    caller: str = ""


class RefusedCommand(NamedTuple):
    """A command of iptables, or a line of a rules file, that iptables refuses in a pasted text.

    Attributes:
        line: its number.
        text: the command.
        why: the reason, as a clause; or what iptables printed.
        mended: the command that was probably meant; "" if unknown.
        printed: the text shows the error of iptables.
    """

    line: int
    family: Family
    text: str
    why: Text
    mended: str = ""
    printed: bool = False


class OwnLoopback(NamedTuple):
    """A container that connects to localhost, according to a pasted text: to itself.

    Attributes:
        line: the number of the line that shows it; 0 if unknown.
        text: that line, or the setting.
        container: its name; "" if unknown.
        service: the other container that has a service on this port; "" if unknown.
        sure: a container makes the connection; otherwise it probably does.
        inside: the port on which that service listens in its own container.
    """

    line: int
    text: str
    container: str
    port: int
    service: str = ""
    sure: bool = True
    inside: int = 0


class UnresolvedName(NamedTuple):
    """A host name that could not be resolved, according to a pasted text.

    Attributes:
        line: the number of the line that shows it.
        text: that line.
        asker: the name or ID of the container that asked; "" if unknown.
    """

    line: int
    text: str
    name: str
    asker: str


class LoopbackListener(NamedTuple):
    """A port on which a program listens on 127.0.0.1 only, according to a pasted text.

    Attributes:
        line: the number of the line that shows it.
        text: that line.
        program: its name; "" if unknown.
        said: the program itself prints it, or its settings or arguments say so.
    """

    line: int
    text: str
    proto: str
    port: int
    program: str = ""
    said: bool = False


class UnpublishedPort(NamedTuple):
    """A port to which a connection to the host failed: a container has it, but none publishes it.

    Attributes:
        line: the number of the line that shows the failure.
        name: the container.
    """

    line: int
    name: str
    port: int
    proto: str


class StoppedContainer(NamedTuple):
    """A container that does not run, and to whose port a connection failed, according to a pasted text.

    Attributes:
        line: the number of the line that shows the failure.
        status: as listed: "Exit 1", "Exited (137) 2 hours ago".
    """

    line: int
    name: str
    status: str
    port: int


class EngineError(NamedTuple):
    """An error of Docker or Podman in a pasted text that no rule causes.

    Attributes:
        line: the number of the line that shows it.
        text: that line.
        kind: the code of the finding: "port-taken", "privileged-port", "address-pool-full", "subnet-taken".
        port: the port of the host; 0 if it is not about one.
    """

    line: int
    text: str
    kind: str
    port: int = 0


class Grown(NamedTuple):
    """A counter that grew between two listings of the same chain in a pasted text.

    Attributes:
        position: the number of the rule; 0 for the chain's policy.
        packets: by how many packets it grew.
    """

    family: Family
    table: str
    chain: str
    position: int
    packets: int


class FirewalldZone(NamedTuple):
    """A zone of firewalld that a pasted text lists in full.

    Attributes:
        line: where its name is.
        target: "default", "ACCEPT", "DROP" or "%%REJECT%%".
    """

    line: int
    name: str
    interfaces: tuple[str, ...]
    target: str
    masquerades: bool


@dataclass(frozen=True)
class Pasted:
    """How a pasted text was read.

    Attributes:
        segments: the lines that were read.
        left_out: the lines that were not.
        asked: the packets that the text describes, as fields of a batch line.
        logged: the lines in which the kernel logged a packet.
        with_rules: it shows rules, not only those that logged lines prove.
        listed_twice: it shows a table twice, with counters.
        grown: the counters that grew in between.
        failed: commands that a log says have failed.
        searched: words of which it shows all lines of all tables: "DOCKER" of `iptables-save | grep DOCKER`.
        tried: those of the packets asked about that began a connection which failed.
        reloads: the commands that replaced or removed all rules, and after which Docker was not restarted.
        cut_off: a dump in it is cut off, so rules or tables are missing.
        published: ports of the host that listed containers publish: name, port, protocol.
        refused: the commands that iptables refuses.
        own_loopbacks: connections of containers to themselves that are meant for others.
        loopback_listeners: programs that listen on 127.0.0.1 only.
        unpublished: ports that failed connections are for, but that no container publishes.
        stopped: containers that do not run, and that failed connections are for.
        firewalld_reloads: the commands that made firewalld write its rules again.
        engine_errors: errors of Docker and Podman that no rule causes.
        engines: the engines of containers that it mentions: "docker", "podman", "kubernetes", "swarm".
        appended: commands that append rules to DOCKER-USER, of which the text shows no listing: their lines and texts.
        zones: the zones of firewalld that it lists.
        names_client: it mentions localhost, or a program such as curl that connects to a service.
        unresolved: names that could not be resolved.
    """

    segments: tuple[Lines, ...] = ()
    left_out: tuple[Lines, ...] = ()
    asked: tuple[dict[str, Any], ...] = ()
    logged: tuple[LoggedLine, ...] = ()
    with_rules: bool = False
    listed_twice: bool = False
    grown: tuple[Grown, ...] = ()
    failed: tuple[FailedCommand, ...] = ()
    searched: frozenset[str] = frozenset()
    tried: tuple[dict[str, Any], ...] = ()
    reloads: tuple[Reload, ...] = ()
    cut_off: bool = False
    published: tuple[tuple[str, int, str], ...] = ()
    refused: tuple[RefusedCommand, ...] = ()
    own_loopbacks: tuple[OwnLoopback, ...] = ()
    loopback_listeners: tuple[LoopbackListener, ...] = ()
    unpublished: tuple[UnpublishedPort, ...] = ()
    stopped: tuple[StoppedContainer, ...] = ()
    firewalld_reloads: tuple[Reload, ...] = ()
    engine_errors: tuple[EngineError, ...] = ()
    appended: tuple[tuple[int, str], ...] = ()
    engines: tuple[str, ...] = ()
    names_client: bool = False
    zones: tuple[FirewalldZone, ...] = ()
    unresolved: tuple[UnresolvedName, ...] = ()

    def summary(self) -> str:
        """Return which lines were read and which were not: "read: lines 3-41 iptables -L (filter); left out: 1-2"."""
        files = {one.file for one in (*self.segments, *self.left_out)}

        def lines(one: Lines) -> str:
            numbers = str(one.first) if one.first == one.last else f"{one.first}-{one.last}"
            return f"{one.file} {numbers}" if len(files) > 1 else numbers

        read = ", ".join(f"{lines(one)} {one.form}" for one in self.segments)
        left = ", ".join(map(lines, self.left_out))
        return str(
            message_if(
                left, "read: lines {read}; left out: {left}", "read: lines {read}", read=read, left=left
            )
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, as in the JSON output."""
        return {
            "segments": [
                {
                    "file": one.file,
                    "form": one.form,
                    "lines": [one.first, one.last],
                    **({"table": one.table} if one.table else {}),
                }
                for one in self.segments
            ],
            "left_out": [{"file": one.file, "lines": [one.first, one.last]} for one in self.left_out],
        }


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
        if self.namespace.has_address(family, address):
            return "host"
        owners = self.namespace.cache.get(("owners", family))
        if owners is None:
            owners = {}
            for container in self.containers.values():
                if container.network_mode == "host" or not container.running or self._borrows(container):
                    continue
                for endpoint in container.endpoints.values():
                    own = endpoint.address(family)
                    if own is not None:
                        owners.setdefault(own, (container, endpoint))
                for own in container.namespace.outer_addresses(family):
                    owners.setdefault(own, (container, None))
            self.namespace.cache["owners", family] = owners
        owner: tuple[Container, Endpoint | None] | None = owners.get(address)
        return owner

    def is_inside(self, family: Family, address: int) -> bool:
        """Return whether an address is in a network behind the host: a container's, or in a bridge's subnet."""
        owner = self.owner_of(family, address)
        if owner is not None:
            return owner != "host"
        return any(
            interface.kind == "bridge" and own.covers(address) and not self._leads_outside(interface.name)
            for interface, own in self.namespace.addresses(family)
        )

    def _leads_outside(self, bridge: str) -> bool:
        """Return whether a bridge also connects external machines: a port is an uplink, or it has the default route."""
        return self.namespace.has_uplink(bridge) or any(
            route.device == bridge and route.prefix_length == 0 for route in self.namespace.routes
        )

    def _borrows(self, container: Container) -> bool:
        """Return whether a container shares the network namespace of another known container."""
        mode, _, other = container.network_mode.partition(":")
        return mode == "container" and self.container(other) is not None

    def bridge_ports(self, bridge: str) -> list[Interface]:
        """Return the ports of one of the host's bridges."""
        return self.namespace.ports(bridge)

    def network_of_bridge(self, bridge: str) -> Network | None:
        """Return the network of a bridge, or None."""
        return next((network for network in self.networks.values() if network.bridge == bridge), None)
