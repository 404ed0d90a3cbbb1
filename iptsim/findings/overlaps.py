"""Networks of Docker that overlap with another network of the host, whose addresses then lead to the bridge."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import Scene
from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.host.members import Prefix
from iptsim.host.namespace import Route
from iptsim.languages import message
from iptsim.packet import Family, is_link_local


def with_other_networks(scene: Scene) -> Iterator[Finding]:
    """Find routes to Docker's bridges that take addresses from a network behind another interface."""
    for family in scene.families:
        routes = [one for one in scene.host.namespace.routes if _is_to_network(one, family)]
        bridges: list[Route] = []
        others: list[Route] = []
        for one in routes:
            (bridges if OWN_BRIDGES.fullmatch(one.device or "") else others).append(one)
        for own in bridges:
            other = next((one for one in others if _takes(own, one)), None)
            if other is not None:
                yield _finding(family, own, other)
                break


def _is_to_network(route: Route, family: Family) -> bool:
    """Return whether packets to a network, not all packets, leave directly by an interface."""
    return (
        (route.family, route.type, route.table, route.gateway) == (family, "unicast", "main", None)
        and route.device not in (None, "lo")
        and 0 < route.prefix_length < (31 if family == 4 else 127)
        and not (family == 6 and is_link_local(6, route.destination))
    )


def _takes(own: Route, other: Route) -> bool:
    """Return whether a route is for all or some addresses of another one, and at least as specific."""
    return own.prefix_length >= other.prefix_length and _prefix(other).covers(own.family, own.destination)


def _finding(family: Family, own: Route, other: Route) -> Finding:
    bridge, device = own.device or "", other.device or ""
    return Finding(
        "subnet-overlaps",
        message(
            "{bridge} ({subnet}) has addresses of the network behind {device} ({network}).",
            bridge=bridge,
            device=device,
            subnet=str(_prefix(own)),
            network=str(_prefix(other)),
        ),
        tuple(Evidence("ip route", _words(one)) for one in (own, other)),
        message(
            "The route by {bridge} decides. What the host sends to these addresses, replies too, goes to the bridge, so"
            " machines behind {device} that have them get nothing.",
            bridge=bridge,
            device=device,
        )
        if own.prefix_length > other.prefix_length or own.metric <= other.metric
        else message(
            "The route by {device} has the lower metric, so what the host sends to containers leaves by {device}.",
            device=device,
        ),
        message(
            "Create the network again with another subnet: docker network create --subnet, or in a Compose file under"
            ' ipam. For all new networks: "default-address-pools" in daemon.json, "bip" for docker0.'
        ),
        None,
        family,
    )


def _prefix(route: Route) -> Prefix:
    return Prefix(route.family, route.destination, route.prefix_length)


def _words(route: Route) -> str:
    return f"{_prefix(route)} dev {route.device}" + (f" metric {route.metric}" if route.metric else "")
