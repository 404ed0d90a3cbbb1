"""The ends that `--from` and `--to` of `iptsim reach` name on a host: endpoints, networks, interfaces."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from iptsim.address_sets import AddressSet, union
from iptsim.addresses import Family
from iptsim.errors import UsageError
from iptsim.host import fib
from iptsim.host.address_regions import public_addresses
from iptsim.host.kube_services import node_port, service_port
from iptsim.host.model import Host
from iptsim.languages import Message, message
from iptsim.protocols import protocol_name
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
    parse_endpoint,
    split_port,
)
from iptsim.question.internet import outside_address
from iptsim.question.places import InContainer, OnHost, endpoint_names, named_container, place_of
from iptsim.question.values import quoted
from iptsim.reaching.options import pointing
from iptsim.suggestions import choose_from

#: What `localhost` means as a destination.
_LOOPBACK: dict[Family, int] = {4: 0x7F000001, 6: 1}


@dataclass(frozen=True, slots=True)
class End:
    """One side of the packets in question.

    Attributes:
        text: the text that names it.
        names: the endpoints that belong to it: "internet", "host", containers.
        addresses: its addresses, including those of no endpoint.
        interface: the interface by which the packets arrive or leave; "" for any.
        by_address: whether only these addresses are meant, not all of the endpoints that have them.
    """

    text: str
    names: frozenset[str]
    addresses: AddressSet
    interface: str = ""
    by_address: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The destination, with the protocol and port that its name implies.

    Attributes:
        proto: the protocol's name; None for any.
        port: None for any.
    """

    end: End
    proto: str | None = None
    port: int | None = None


def family_of(*ends: str | None) -> Family:
    """Return the address family of the addresses among some ends; 4 if there are none."""
    for text in filter(None, ends):
        with suppress(UsageError):
            endpoint = parse_endpoint(split_port(text)[0])
            if isinstance(endpoint, Address | Prefix):
                return endpoint.family
    return 4


def read_source(host: Host, family: Family, text: str) -> End:
    """Return the source that `--from` names.

    Raises:
        UsageError: the host has no such endpoint, network or interface.
    """
    with pointing("--from", text):
        if text == str(Resolver()) or text.startswith(("svc/", "nodeport/")):
            raise UsageError(message("{name} can only be a destination", name=quoted(text)))
        end = _end(host, family, text, text)
        # what an endpoint sends is known by the endpoint; others may use its address
        others = end.addresses - union(family, (_of_name(host, family, name) for name in end.names))
        return replace(end, addresses=others)


def read_target(host: Host, family: Family, text: str) -> Target:
    """Return the destination that `--to` names; a port may follow, as in "web:80".

    Raises:
        UsageError: as for :func:`read_source`.
    """
    with pointing("--to", text):
        if text in host.namespace.interfaces and host.container(text) is None:
            return Target(_end(host, family, text, text))
        name, port = split_port(text)
        endpoint = parse_endpoint(name)
        if isinstance(endpoint, Resolver) and name not in host.containers:
            raise UsageError(
                message(
                    "{name} is different for each sender: give the address of a resolver", name=quoted(name)
                )
            )
        if isinstance(endpoint, Loopback) and name not in host.containers:
            # each machine's own, as for single packets
            endpoint = Address(family, _LOOPBACK[family])
            return Target(_of_endpoint(host, family, text, endpoint), None, port)
        if not isinstance(endpoint, Service | NodePort):
            end = _end(host, family, text, name)
            if _is_network(host, name):
                # the addresses there, and not what its members have elsewhere
                end = replace(end, names=frozenset())
            return Target(end, None, port)
        found = (
            service_port(host, endpoint.name, port)
            if isinstance(endpoint, Service)
            else node_port(host, endpoint.number)
        )
        inner = str(Machine()) if found.address is None else str(Address(found.family, found.address))
        return Target(_end(host, family, text, inner), protocol_name(found.proto), found.port)


def _end(host: Host, family: Family, text: str, name: str) -> End:
    """Return one side; `name` is its text without the port."""
    if name in host.namespace.interfaces and host.container(name) is None:
        return End(text, frozenset(), AddressSet(family), name)
    if _is_network(host, name):
        return _of_network(host, family, text, name)
    endpoint = parse_endpoint(name)
    if isinstance(endpoint, Named) and named_container(host, str(endpoint)) is None:
        raise UsageError(_unknown(host, name))
    return _of_endpoint(host, family, text, endpoint)


def _is_network(host: Host, name: str) -> bool:
    return name in host.networks and name not in KEYWORDS and host.container(name) is None


def _of_network(host: Host, family: Family, text: str, name: str) -> End:
    """Return the containers of a Docker network, with their addresses there."""
    members = [one for one in host.containers.values() if name in one.endpoints]
    found = (one.endpoints[name].address(family) for one in members)
    addresses = AddressSet.of(family, ((one, one) for one in found if one is not None))
    return End(text, frozenset(one.name for one in members), addresses)


def _of_endpoint(host: Host, family: Family, text: str, endpoint: Endpoint) -> End:
    if isinstance(endpoint, Internet):
        return End(text, frozenset({str(endpoint)}), public_addresses(host, family))
    if isinstance(endpoint, Loopback | Machine):
        return End(text, frozenset({str(Machine())}), own_addresses(host, family))
    if isinstance(endpoint, Prefix | Address):
        if endpoint.family != family:
            raise UsageError(
                message("{text} is not an IPv{family} address", text=quoted(str(endpoint)), family=family)
            )
        length = endpoint.length if isinstance(endpoint, Prefix) else (32 if family == 4 else 128)
        addresses = AddressSet.prefix(family, endpoint.value, length)
        return End(text, frozenset(names_within(host, addresses)), addresses, by_address=True)
    place = place_of(host, endpoint)
    if isinstance(place, OnHost):
        return End(text, frozenset({str(Machine())}), own_addresses(host, family))
    assert isinstance(place, InContainer)
    found = container_addresses(host, family, place.container.name)
    if not found:
        name = place.container.name
        raise UsageError(message("container {name} has no IPv{family} address", name=name, family=family))
    return End(text, frozenset({place.container.name}), found)


def own_addresses(host: Host, family: Family) -> AddressSet:
    """Return the addresses of the host itself."""
    return AddressSet.of(family, ((one.address, one.address) for _, one in host.namespace.addresses(family)))


def usual_host_address(host: Host, family: Family) -> int | None:
    """Return the address that `host` means as a destination, on the default route's side; None if there is none."""
    outside = outside_address(host, family)
    return fib.source_address(host.namespace, family, fib.lookup(host.namespace, family, outside), outside)


def running(host: Host, family: Family) -> list[str]:
    """Return the running containers with a network namespace and an address of their own."""
    return [
        one.name
        for one in host.containers.values()
        if one.running
        and one.network_mode != "host"
        and not one.shares_namespace
        and one.address(family) is not None
    ]


def container_addresses(host: Host, family: Family, name: str) -> AddressSet:
    """Return the addresses of a container."""
    found = host.containers[name].own_addresses(family)
    return AddressSet.of(family, ((one, one) for one in found))


def _of_name(host: Host, family: Family, name: str) -> AddressSet:
    """Return the addresses of an endpoint by its name."""
    if name == str(Internet()):
        return public_addresses(host, family)
    return own_addresses(host, family) if name == str(Machine()) else container_addresses(host, family, name)


def names_within(host: Host, addresses: AddressSet) -> list[str]:
    """Return the endpoints that have one of these addresses."""
    family = addresses.family
    names = [name for name in host.containers if container_addresses(host, family, name) & addresses]
    return [*([str(Machine())] if own_addresses(host, family) & addresses else []), *names]


def _unknown(host: Host, name: str) -> Message:
    """Return the error for a name that the host does not have."""
    known = [
        *endpoint_names(host),
        *(one.name for one in host.networks.values() if one.subnets),
        *host.namespace.interfaces,
    ]
    fault = message("unknown endpoint, network or interface {name}", name=quoted(name))
    listed = ", ".join(dict.fromkeys(known))
    return choose_from(fault, name, known, message("{listed}, or an IP address or prefix", listed=listed))
