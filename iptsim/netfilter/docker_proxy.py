"""Published ports that a process on the host serves: docker-proxy, the userland proxy of dockerd.

It listens on the host's address and port of each published port and opens a second connection to the
container (moby cmd/docker-proxy). nat rules usually take packets away before they reach it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from iptsim.addresses import Family, address_text, endpoint_text, is_loopback, parse_address
from iptsim.dump.ruleset import Ruleset
from iptsim.host.containers import Container, Endpoint, PublishedPort
from iptsim.host.model import Host
from iptsim.host.namespace import grouped
from iptsim.languages import Text, message
from iptsim.netfilter.excerpts import WHOLE, unseen_tables
from iptsim.netfilter.missing_nat import has_proxy, of_engine, published_ports
from iptsim.netfilter.steps import Delivery
from iptsim.protocols import protocol_name
from iptsim.truth import Unknown

#: Programs that connect to the container of a published port; ss prints 15 characters of a name.
PROXIES = ("docker-proxy", "rootlesskit")


class Behind(NamedTuple):
    """Where docker-proxy connects to.

    Attributes:
        answers_from_any: its UDP replies leave with whatever source address the route gives (before
            engine 28, which keeps the destination of the request); None if the engine is unknown.
    """

    container: str
    family: Family
    address: int
    port: int
    proto: int
    answers_from_any: bool | None


class Proxying(NamedTuple):
    """A connection that docker-proxy may open to a container; that depends on table nat, which is not shown.

    Attributes:
        unknown: what is not known.
        words: a clause that is true if docker-proxy connects.
        behind: where it connects to.
    """

    unknown: Unknown
    words: Text
    behind: Behind


def answered_by_proxy(host: Host, delivered: Delivery, program: str = "") -> Behind | None:
    """Return where docker-proxy connects to for a packet that the host received; None if it does not get the packet.

    Args:
        program: the program that listens there, "" if it is unknown.
    """
    if delivered.kind != "host" or program not in ("", *PROXIES):
        return None
    if not has_proxy(host):
        return None
    packet = delivered.packet
    for container, port in _published(host).get((packet.family, packet.proto, packet.dport), ()):
        if port.host_address is not None and parse_address(port.host_address)[1] != packet.dst:
            continue
        family = packet.family
        address = _address(host, container, family)
        if address is None:
            family = 4 if family == 6 else 6
            address = _address(host, container, family)
        if address is None:
            continue
        engine = host.daemon.engine if host.daemon is not None else None
        old = not engine.proxy_keeps_address if engine is not None else None
        any_source = old if port.host_address is None else False
        return Behind(container.name, family, address, port.container_port, port.proto, any_source)
    return None


def _published(host: Host) -> Mapping[tuple[Family, int, int | None], list[tuple[Container, PublishedPort]]]:
    """Return the ports that containers of Docker publish, by family, protocol and port of the host."""
    return host.namespace.once(
        "published ports",
        lambda: grouped(
            (
                (container, port)
                for container in host.containers.values()
                if container.daemon == "docker"
                for port in container.published
            ),
            lambda one: (one[1].family, one[1].proto, one[1].host_port),
        ),
    )


def unseen_proxies(host: Host, rulesets: list[Ruleset], delivered: Delivery) -> Iterator[Proxying]:
    """Yield how docker-proxy may handle a packet to a loopback address of the host if table nat is not shown.

    Args:
        host: the host.
        rulesets: its rules of the packet's family.
        delivered: where the packet arrived.
    """
    packet = delivered.packet
    if delivered.kind != "host" or of_engine(host) or "nat" not in unseen_tables(rulesets):
        return
    if not is_loopback(packet.family, packet.dst) or not has_proxy(host) or packet.dport is None:
        return
    for target in published_ports(rulesets, packet):
        address = address_text(packet.family, target.address)
        owner = host.owner_of(packet.family, target.address)
        yield Proxying(
            Unknown(
                message("the rules in table nat, which show for which ports docker-proxy listens"),
                WHOLE[packet.family],
                ("docker-proxy", packet.proto, packet.dport, target),
            ),
            message(
                "docker-proxy, whose rules in table nat are not shown, passes {port} of the host on to {container}",
                port=f"{protocol_name(packet.proto)}/{packet.dport}",
                container=endpoint_text(packet.family, target.address, target.port),
            ),
            Behind(
                owner[0].name if isinstance(owner, tuple) else address,
                packet.family,
                target.address,
                target.port,
                packet.proto,
                answers_from_any=False,
            ),
        )


def _address(host: Host, container: Container, family: Family) -> int | None:
    """Return the address that published ports lead to: in the network that has the default route."""

    def order(endpoint: Endpoint) -> tuple[bool, int, str]:
        network = host.networks.get(endpoint.network)
        return network is not None and network.internal, -endpoint.gateway_priority, endpoint.network

    found = (endpoint.address(family) for endpoint in sorted(container.endpoints.values(), key=order))
    return next((address for address in found if address is not None), container.address(family))
