"""Spoofing protection: which sources a chain accepts from an interface although they are not behind it."""

from __future__ import annotations

from collections.abc import Mapping

from iptsim.address_sets import AddressSet
from iptsim.dump.calls import Node
from iptsim.extensions.constraints import named
from iptsim.host.namespace import Namespace
from iptsim.host.tables import routes_of
from iptsim.packet import Family
from iptsim.sets.chains import Chains


def spoofed_sources(
    chains: Chains, behind: Mapping[str, AddressSet], *, table: str = "filter", chain: str = "FORWARD"
) -> dict[str, AddressSet]:
    """Return by interface which sources a chain may accept in a new connection that are not behind the interface.

    Nothing is left out: what is undecided may accept a packet. The reverse path filter is not part of it.

    Args:
        chains: the summaries.
        behind: the sources that are behind each interface of interest.
        table: the chain's table.
        chain: the chain.

    Raises:
        TooManyNodesError: the sets grow beyond what is allowed.
    """
    accepted = chains.summary(Node(table, chain)).packets("ACCEPT").having({"ct.state": "NEW"})
    pairs = accepted.only("in_interface", "src")
    found = {}
    for interface, addresses in behind.items():
        found[interface] = pairs.where("in_interface", named(interface)).addresses("src") - addresses
    return found


def sources_behind(namespace: Namespace, family: Family) -> dict[str, AddressSet]:
    """Return by interface the addresses to which its routes lead: packets from there have one of them."""
    found: dict[str, AddressSet] = {}
    taken = AddressSet(family)
    routes = [route for route in routes_of(namespace, family) if route.table in ("main", "default")]
    for route in sorted(routes, key=lambda route: -route.prefix_length):
        prefix = AddressSet.prefix(family, route.destination, route.prefix_length)
        for device in filter(None, (route.device, *(hop.device for hop in route.nexthops))):
            found[device] = found.get(device, AddressSet(family)) | (prefix - taken)
        taken = taken | prefix
    return found
