"""Networks of containers and guests that overlap with another one of the host: its addresses lead to the bridge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from iptsim.addresses import Family, address_text, is_link_local
from iptsim.docker.model.addressing import free_in_pools
from iptsim.errors import CaptureError
from iptsim.findings.finding import SHOWN, Evidence, Finding
from iptsim.findings.host_services import SERVED
from iptsim.findings.scene import Scene
from iptsim.host.docker_defaults import DEFAULT_POOLS, OWN_BRIDGES
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.members import Prefix
from iptsim.host.namespace import Interface, Route
from iptsim.languages import message, message_joined
from iptsim.passages import shell

#: Creates a network with a subnet of one's choice.
_CREATE = shell("docker network create --subnet SUBNET NAME")


def with_other_networks(scene: Scene) -> Iterator[Finding]:
    """Find routes to bridges of Docker and of guests that take addresses from a network behind another interface."""
    for family in scene.families:
        routes = [one for one in scene.host.namespace.routes if _is_to_network(one, family)]
        others = [one for one in routes if not _of_containers(one)]
        for own in routes:
            if not (_of_containers(own) or SERVED.fullmatch(own.device or "")):
                continue
            other = next((one for one in others if one.device != own.device and _takes(own, one)), None)
            if other is not None:
                yield _finding(family, own, other)
                break


def covered_pools(scene: Scene) -> Iterator[Finding]:
    """Find routes that cover all subnets from which Docker chooses one for a new network.

    Docker takes none to which a route leads directly (libnetwork, netutils.InferReservedNetworks); before that
    function, it took none to which any route but the default one leads (netutils.CheckRouteOverlaps).
    """
    named = "docker" in scene.pasted.engines
    if not (named or scene.has_docker) or scene.pasted.engine_errors:
        return
    covering, is_old = _covering_routes(scene)
    if covering:
        yield _no_subnet(covering, is_old=is_old)


def routes_over_pools(scene: Scene) -> tuple[Evidence, ...]:
    """Return the routes that cover all address pools of Docker, be it only for its older versions."""
    return tuple(Evidence("ip route", words_of(one)) for one in _covering_routes(scene)[0][:SHOWN])


def _covering_routes(scene: Scene) -> tuple[list[Route], bool]:
    """Return the routes that cover Docker's pools, and whether only older versions take them for covering."""
    direct = [one for one in scene.host.namespace.routes if _is_to_network(one, 4)]
    covering = _covering(scene, direct)
    if covering or not scene.is_pasted:
        return covering, False
    by_gateway = [one for one in scene.host.namespace.routes if _is_by_gateway(one)]
    return _covering(scene, [*direct, *by_gateway]), True


def _covering(scene: Scene, routes: Iterable[Route]) -> list[Route]:
    """Return the routes that cover Docker's address pools; none if a subnet is left."""
    taken = {
        IPv4Network((one.destination, one.prefix_length)): one for one in routes if not _of_containers(one)
    }
    daemon = scene.host.daemon or DockerDaemon()
    if not taken:
        return []
    try:
        free_in_pools(daemon, list(taken))
    except CaptureError:
        pools = [IPv4Network(pool) for pool, _ in daemon.default_address_pools or DEFAULT_POOLS]
        return [
            one
            for net, one in taken.items()
            if any(net.overlaps(pool) for pool in pools)
            and not any(net != other and net.subnet_of(other) for other in taken)
        ]
    return []


def _is_by_gateway(route: Route) -> bool:
    return (route.family, route.type, route.table) == (4, "unicast", "main") and (
        route.gateway is not None and 0 < route.prefix_length < 31
    )


def _no_subnet(covering: list[Route], *, is_old: bool) -> Finding:
    devices = message_joined(", ", dict.fromkeys(one.device or "" for one in covering))
    return Finding(
        "address-pool-full",
        message(
            "Older versions of Docker find no subnet for a new network: the routes by {devices} cover all its pools.",
            devices=devices,
        )
        if is_old
        else message(
            "Docker finds no subnet for a new network: the routes by {devices} cover all its address pools.",
            devices=devices,
        ),
        tuple(Evidence("ip route", words_of(one)) for one in covering[:SHOWN]),
        message(
            "They choose no subnet that overlaps with a route, except the default route; OpenVPN replaces that by"
            " 0.0.0.0/1 and 128.0.0.0/1 (redirect-gateway def1). docker network create and docker compose up fail while"
            " the VPN is up. Newer versions ignore routes by a gateway."
        )
        if is_old
        else message(
            "Docker chooses no subnet to which a route of the host leads. docker network create and docker compose"
            " up fail while the VPN is up; networks that exist already remain."
        ),
        message(
            "Give the network a subnet of its own, outside the VPN's networks: {command}. In a Compose file, the subnet"
            " is under ipam. For all new networks: default-address-pools in daemon.json.",
            command=_CREATE,
        ),
        None,
        4,
    )


def same_addresses(scene: Scene) -> Iterator[Finding]:
    """Find interfaces with the same address and subnet: only one of the networks behind them can be reached.

    Not an address alone (/32), which Proxmox gives to a bridge besides the uplink, and not a bridge and its port.
    """
    interfaces = scene.host.namespace.interfaces
    if scene.host.inferred:  # only addresses that the source shows, not those that rules suggest
        shown_names = scene.pasted.interfaces
        interfaces = {name: one for name, one in interfaces.items() if name in shown_names}
    known: dict[tuple[Family, int, int], Interface] = {}
    for one in interfaces.values():
        for address in one.addresses:
            longest = 30 if address.family == 4 else 126
            if address.scope != "global" or not 0 < address.prefix_length <= longest:
                continue
            other = known.setdefault((address.family, address.address, address.prefix_length), one)
            if other is one or other.name == one.master or one.name == other.master:
                continue
            shown = f"{address_text(address.family, address.address)}/{address.prefix_length}"
            yield Finding(
                "same-address",
                message(
                    "{one} and {other} have the same address, {address}.",
                    one=other.name,
                    other=one.name,
                    address=shown,
                ),
                tuple(Evidence("ip addr", f"{each.name}: {shown}") for each in (other, one)),
                message(
                    "The host has two routes to this network and takes the first. What it sends to machines behind"
                    " {other}, replies too, leaves by {one}.",
                    one=other.name,
                    other=one.name,
                ),
                message("Give {other} a subnet of its own.", other=one.name),
                None,
                address.family,
            )


def _of_containers(route: Route) -> bool:
    """Return whether a route is by a bridge of Docker."""
    return OWN_BRIDGES.fullmatch(route.device or "") is not None


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
        tuple(Evidence("ip route", words_of(one)) for one in (own, other)),
        message(
            "The route by {bridge} decides. What the host sends to these addresses, replies too, goes to the bridge, so"
            " machines behind {device} that have them get nothing.",
            bridge=bridge,
            device=device,
        )
        if own.prefix_length > other.prefix_length or own.metric <= other.metric
        else message(
            "The route by {device} has the lower metric, so what the host sends to {bridge} leaves by {device}.",
            bridge=bridge,
            device=device,
        ),
        message("Give {other} a subnet of its own.", other=bridge)
        if not _of_containers(own)
        else message(
            "Create the network again with another subnet: {command}. In a Compose file, the subnet is under ipam."
            ' For all new networks: "default-address-pools" in daemon.json, "bip" for docker0.',
            command=_CREATE,
        ),
        None,
        family,
    )


def _prefix(route: Route) -> Prefix:
    return Prefix(route.family, route.destination, route.prefix_length)


def words_of(route: Route) -> str:
    """Return a route as evidence."""
    return f"{_prefix(route)} dev {route.device}" + (f" metric {route.metric}" if route.metric else "")
