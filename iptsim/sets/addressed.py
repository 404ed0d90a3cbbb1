"""The packets from or to an endpoint's addresses."""

from __future__ import annotations

from iptsim.addresses import BITS
from iptsim.host.address_regions import public_addresses
from iptsim.host.model import Host
from iptsim.question.endpoints import Address, Prefix, parse_endpoint
from iptsim.question.places import InContainer, place_of
from iptsim.sets.packets import PacketSet
from iptsim.sets.space import Space


def addressed(space: Space, host: Host, endpoint: str, field: str) -> PacketSet:
    """Return the packets with an address of an endpoint.

    Args:
        space: the space of the set.
        host: the host that knows the endpoint.
        endpoint: "internet", "host", a container, a network or an address.
        field: "src" or "dst".

    Raises:
        UsageError: the host does not know the endpoint.
    """
    family = space.family
    if endpoint == "internet":
        return space.where(field, public_addresses(host, family).spans)
    parsed = parse_endpoint(endpoint)
    if isinstance(parsed, Prefix | Address):
        length = parsed.length if isinstance(parsed, Prefix) else BITS[parsed.family]
        if parsed.family != family:
            return space.nothing
        first = parsed.value
        return space.where(field, ((first, first + (1 << BITS[family] - length) - 1),))
    place = place_of(host, parsed)
    if isinstance(place, InContainer):
        own = {one.address(family) for one in place.container.endpoints.values()} | {place.address(family)}
    else:
        own = {one.address for _, one in host.namespace.addresses(family)}
    return space.where(field, tuple(sorted((one, one) for one in own if one is not None)))
