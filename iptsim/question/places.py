"""Where an endpoint is on a host: in a container's network namespace, in the host's own, or outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from iptsim.addresses import Family, is_loopback
from iptsim.errors import UsageError
from iptsim.host import containers
from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.languages import Message, message, message_if
from iptsim.question.endpoints import (
    KEYWORDS,
    Address,
    Endpoint,
    Internet,
    Loopback,
    Machine,
    Named,
    NodePort,
    Prefix,
    Resolver,
    Service,
)
from iptsim.question.values import quoted
from iptsim.suggestions import choose_from

#: How many names an error lists.
_LISTED = 12


@dataclass(frozen=True, slots=True)
class InContainer:
    """In the network namespace of a container.

    Attributes:
        container: the container.
        attachment: its endpoint in the network that the question names; None if it names none.
        named: the address of the container by which the question names it; None if it does not.
    """

    container: Container
    attachment: containers.Endpoint | None = None
    named: Address | None = None

    def address(self, family: Family) -> int | None:
        """Return its address of a family, None if it has none."""
        if self.named is not None and self.named.family == family:
            return self.named.value
        return (self.attachment or self.container).address(family)


@dataclass(frozen=True, slots=True)
class OnHost:
    """In the host's own network namespace.

    Attributes:
        address: the address of the host that the endpoint names; None if it names none.
    """

    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """Beyond an interface of the host."""

    interface: str


#: Where a packet starts.
Origin: TypeAlias = InContainer | OnHost | Outside
#: An endpoint on a host: containers and the host itself are looked up; the others mean the same everywhere.
Place: TypeAlias = InContainer | OnHost | Loopback | Internet | Resolver | Address


def place_of(host: Host, endpoint: Endpoint) -> Place:
    """Return where an endpoint is on a host.

    Raises:
        UsageError: the host has no container of that name, or the container is not running.
    """
    if isinstance(endpoint, Prefix):
        raise UsageError(
            message("{network} covers many addresses; give one of them here", network=str(endpoint))
        )
    if isinstance(endpoint, Machine | NodePort):
        return OnHost()
    assert not isinstance(endpoint, Service)  # its address is already known
    if isinstance(endpoint, Named):
        found = named_container(host, str(endpoint))
        if found is None:
            raise UsageError(_unknown(host, endpoint))
        return _shared_place(host, InContainer(*found))
    if isinstance(endpoint, Address):
        owner = host.owner_of(endpoint.family, endpoint.value)
        return InContainer(*owner, named=endpoint) if isinstance(owner, tuple) else endpoint
    return endpoint


def source_place(host: Host, endpoint: Endpoint) -> InContainer | OnHost | Loopback | Internet | Address:
    """Return where a source is; an :class:`Address` is that of another machine.

    Raises:
        UsageError: as for :func:`place_of`.
    """
    place = place_of(host, endpoint)
    assert not isinstance(place, Resolver)  # a question does not have it as a source
    if isinstance(place, Address) and (
        host.owner_of(place.family, place.value) == "host" or is_loopback(place.family, place.value)
    ):
        return OnHost(place)
    return place


def destination_place(host: Host, endpoint: Endpoint, source: Place) -> Place:
    """Return where a destination is, resolved by the source: its links and the aliases in its networks take precedence.

    Raises:
        UsageError: as for :func:`place_of`.
    """
    if not isinstance(endpoint, Named):
        return place_of(host, endpoint)
    name = str(endpoint)
    known = host.container(name) is not None
    if isinstance(source, InContainer):
        for link in source.container.links:
            if name == link.alias and (found := host.container(link.target)):
                return InContainer(*found)
        for network in () if known else source.container.endpoints:
            for container in host.containers.values():
                place = container.endpoints.get(network)
                if place is not None and name in place.aliases:
                    return InContainer(container, place)
    return place_of(host, endpoint)


def _shared_place(host: Host, place: InContainer) -> InContainer | OnHost:
    """Follow `network_mode`: a container may share the network namespace of the host or of another container.

    Raises:
        UsageError: the container is not running.
    """
    seen: list[Container] = []
    while not any(place.container is one for one in seen):
        container = place.container
        if container.network_mode == "host":
            return OnHost()
        if not container.shares_namespace:
            break
        seen.append(container)
        found = host.container(container.network_mode.partition(":")[2])
        place = InContainer(*found) if found else place
    if not place.container.running:
        raise UsageError(
            message("container {name} is not running, so it has no address", name=place.container.name)
        )
    return place


def named_container(host: Host, name: str) -> tuple[Container, containers.Endpoint | None] | None:
    """Find a container as :meth:`Host.container` does, else the only one that others know by the name.

    In a Compose file, that is the name of the service; `@network` may follow, by the network's name in that file, too.
    """
    found = host.container(name)
    if found is not None:
        return found
    bare, _, network = name.partition("@")
    own = host.container(bare)
    by_name = {own[0].name: own[0]} if own else {one.name: one for one in called(host, bare)}
    if len(by_name) != 1:
        return None
    container = by_name.popitem()[1]
    if not network:
        return container, None
    joined = [
        one for key, one in container.endpoints.items() if network == key or key.endswith(f"_{network}")
    ]
    return (container, joined[0]) if len(joined) == 1 else None


def called(host: Host, name: str) -> Iterator[Container]:
    """Yield the containers that another one knows by a name: an alias in a network, or a link's; or by its service."""
    for container in host.containers.values():
        if name == container.service or any(
            name in endpoint.aliases for endpoint in container.endpoints.values()
        ):
            yield container
        for link in container.links:
            if link.alias == name and (found := host.container(link.target)):
                yield found[0]


# -- notes and errors about names ----------------------------------------------------------------------


def shared_network_note(host: Host, endpoint: Endpoint, place: Place) -> Iterator[Message]:
    """Yield a note if a container has no network namespace of its own."""
    asked = named_container(host, str(endpoint)) if isinstance(endpoint, Named) else None
    if asked is None:
        return
    found = asked[0]
    if isinstance(place, OnHost):
        yield message("{name} has no network of its own: it uses the host's.", name=found.name)
    elif isinstance(place, InContainer) and place.container is not found and found.shares_namespace:
        yield message(
            "{name} has no network of its own: it uses that of {other}.",
            name=found.name,
            other=place.container.name,
        )


def unresolved_note(
    host: Host, endpoint: Endpoint, sender: Container, target: Container, address: str
) -> Iterator[Message]:
    """Yield a note if a container could not resolve the name that the question uses for another one."""
    known = all(one.daemon == "docker" and is_named(one) for one in (sender, target))
    if not isinstance(endpoint, Named) or not known or sender is target:
        return
    name = str(endpoint)
    shares = name in host.containers and name != target.name
    if not (shares or name == target.name or target in called(host, name)):
        return
    why = why_unresolved(host, name, sender, target)
    if why is not None:
        yield message(
            "The packet goes to {name}'s address {address}. {sender} itself could not resolve the name: {why}.",
            name=name,
            address=address,
            sender=sender.name,
            why=why,
        )


def is_named(container: Container) -> bool:
    """Return whether the engine or its settings named a container, so that it was not inferred from rules."""
    return bool(container.id or container.service) or any(
        endpoint.aliases for endpoint in container.endpoints.values()
    )


def why_unresolved(host: Host, name: str, sender: Container, target: Container) -> Message | None:
    """Return why a container cannot resolve a name of another one, as a clause; None if it can.

    On the default bridge only links have names (in /etc/hosts); on other networks, Docker's resolver knows the names
    and aliases of containers on a common network (docs.docker.com/engine/network/drivers/bridge).
    """
    if any(link.target == target.name and name in (link.alias, target.name) for link in sender.links):
        return None
    shares = name in host.containers and name != target.name
    networks = [host.networks[network] for network in sender.endpoints if network in host.networks]
    own = [one.name for one in networks if not one.is_default_bridge and one.driver not in ("host", "null")]
    if not shares and any(
        name == target.name or name in target.endpoints[network].aliases
        for network in own
        if network in target.endpoints
    ):
        return None
    if shares:
        return message("a container without a network of its own has no name")
    if own:
        return message("Docker's DNS server only knows containers that share a user-defined network with it")
    if any(network.is_default_bridge for network in networks):
        return message("on the default bridge only linked containers have names")
    return message("it is not on a network")


def _unknown(host: Host, endpoint: Named) -> Message:
    """Return the error for a name that the host does not have."""
    name = str(endpoint)
    if endpoint.network and (found := host.container(endpoint.name)):
        return message(
            "container {name} is not on the network {network}; its networks: {networks}",
            name=found[0].name,
            network=quoted(endpoint.network),
            networks=", ".join(found[0].endpoints),
        )
    several = dict.fromkeys(container.name for container in called(host, name))
    if several:
        return message(
            "{name} is the name of several containers; choose one: {members}",
            name=quoted(name),
            members=", ".join([*several][:_LISTED]),
        )
    if name in host.networks:
        members = [one.name for one in host.containers.values() if name in one.endpoints]
        if not members:
            return message("{name} is a network, not an endpoint", name=quoted(name))
        return message(
            "{name} is a network, not an endpoint; choose one of its containers: {members}",
            name=quoted(name),
            members=", ".join(members[:_LISTED]),
        )
    if name in host.namespace.interfaces:
        return message(
            "{name} is an interface of the host; give an address, or the interface of arrival with -i",
            name=quoted(name),
        )
    known = endpoint_names(host)
    listed = ", ".join(known[:_LISTED]) + (", ..." if len(known) > _LISTED else "")
    choices = message_if(
        "." in name,
        "{listed}, or any IP address (names of other hosts are not looked up)",
        "{listed}, or any IP address",
        listed=listed,
    )
    end, colon, port = name.rpartition(":")
    if colon and port.isdecimal() and end in known:
        return message(
            "{name}: only --to takes a port; give the source port on its own: --from {end} --sport {port}",
            name=quoted(name),
            end=end,
            port=port,
        )
    return choose_from(message("unknown endpoint {name}", name=quoted(name)), name, known, choices)


def endpoint_names(host: Host) -> list[str]:
    """Return the names of endpoints, as a source may use them: containers, `host`, `localhost`, `internet`."""
    return [*host.containers, *(keyword for keyword, kind in KEYWORDS.items() if kind is not Resolver)]
