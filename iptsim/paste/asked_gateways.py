"""Networks of Docker that a text shows only by their gateway, to which a container could not connect."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.addresses import parse_address
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import DOCKER0, default_subnet
from iptsim.host.members import Prefix
from iptsim.host.model import Host
from iptsim.languages import message
from iptsim.paste.docker_interfaces import stand_in
from iptsim.paste.logged_addresses import ADDRESS
from iptsim.paste.pieces import Ask
from iptsim.paste.shells import ELSEWHERE
from iptsim.paste.unaddressed import with_subnet


def add_asked_networks(host: Host, asks: Iterable[Ask]) -> None:
    """Add the networks whose gateways containers ask for, if they are in dockerd's pools and no interface has them.

    If the text names one bridge without a subnet, it is that network's.

    Args:
        host: the host, whose interfaces were inferred.
        asks: the connections that failed.
    """
    for ask in asks:
        subnet = _subnet(ask)
        if subnet is None or any(own.covers(subnet.address + 1) for _, own in host.namespace.addresses(4)):
            continue
        others = [one for one in host.networks.values() if one.bridge and not one.is_default_bridge]
        free = [one for one in others if not one.subnets]
        if len(free) > 1:
            continue
        if not free:
            name = stand_in(subnet)
            free = [Network(name=name, bridge=name, daemon="docker")]
            host.assumptions.append(
                message("Names of bridges that are not shown are made up: {names}.", names=name)
            )
        with_subnet(host, free[0], subnet)


def _subnet(ask: Ask) -> Prefix | None:
    """Return the subnet of dockerd's pools whose gateway a container asks for; not that of the default bridge."""
    if ask.container in (None, ELSEWHERE) or not ADDRESS.fullmatch(to := ask.fields["to"]):
        return None
    family, address = parse_address(to)
    subnet = default_subnet(address) if family == 4 else None
    return None if subnet in (None, DOCKER0) or subnet.address + 1 != address else subnet
