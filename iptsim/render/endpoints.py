"""The endpoints of a host: containers, the host itself, the outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from iptsim.addresses import FAMILIES, address_text
from iptsim.errors import printable
from iptsim.host import Host
from iptsim.host.containers import Container
from iptsim.host.kube_services import address_of, service_ports
from iptsim.host.port_runs import SHORTEST
from iptsim.languages import say
from iptsim.owners.zones_and_jails import jails, zones
from iptsim.protocols import TCP, protocol_name
from iptsim.render.console import assumed_lines, padded


def endpoints_json(host: Host) -> dict[str, Any]:
    """Return the endpoints, schema `iptsim.people/1`."""
    return {
        "schema": "iptsim.people/1",
        "inferred": host.inferred,
        "assumptions": list(map(str, host.assumptions)),
        "people": [
            {"name": "host", "kind": "host", "addresses": _host_addresses(host)},
            {"name": "internet", "kind": "outside", "addresses": []},
            *(
                {
                    "name": container.name,
                    "kind": "container",
                    "running": container.running,
                    "networks": list(container.endpoints),
                    "addresses": _addresses(container),
                    "published": _published(container),
                }
                for container in _containers(host)
            ),
            *(
                {"name": name, "kind": "service", "addresses": addresses}
                for name, (addresses, _) in _services(host).items()
            ),
        ],
        "zones": zones(host),
        "jails": jails(host),
    }


def _services(host: Host) -> dict[str, tuple[list[str], str]]:
    """Return addresses and service by the name with which a question refers to a service port."""
    services: dict[str, tuple[list[str], str]] = {}
    for port in service_ports(host):
        addresses = services.setdefault(port.question, ([], port.service))[0]
        if port.address is not None:
            addresses.append(address_of(port))
    return services


def endpoints_lines(host: Host) -> Iterator[Text]:
    """Yield the lines of the listing."""
    yield Text(say("Endpoints you can ask about"), "bold")
    rows = [
        (
            "host",
            ", ".join(_host_addresses(host)) or say("addresses unknown"),
            say("also: localhost"),
        )
    ]
    rows.append(("internet", say("an outside address, reached by the default route"), ""))
    for container in _containers(host):
        addresses = ", ".join(address for address in _addresses(container) if address != container.name)
        networks = ", ".join(container.endpoints) or container.network_mode
        published = ", ".join(_published(container))
        more = (
            say("{networks}; published {ports}", networks=networks, ports=published)
            if published
            else networks
        )
        rows.append((container.name, addresses if container.running else say("not running"), more))
    rows += _program_rows(host)
    width = min(max(cell_len(name) for name, _, _ in rows), 30)
    middle = max(cell_len(where) for _, where, _ in rows[1:])
    for name, where, more in rows:
        line = Text.assemble(
            "  ",
            (padded(printable(name), width), "bold"),
            f"  {padded(printable(where), middle)}  ",
            (printable(more), "dim"),
        )
        line.rstrip()
        yield line
    yield Text(say("and any IP address. Examples:"))
    for sender, target in _examples(host):
        command = (
            f"iptsim explain {printable(host.source)} --from {printable(sender)} --to {printable(target)}"
        )
        yield Text(f"  {command}", no_wrap=True)
    yield Text(say("Likely problems, without a question:"))
    yield Text(f"  iptsim lint {printable(host.source)}", no_wrap=True)
    yield from assumed_lines(host.assumptions)


def _program_rows(host: Host) -> Iterator[tuple[str, str, str]]:
    """Yield the services, zones and jails that the rules of other programs show."""
    own = ", ".join(_host_addresses(host)[:1])
    for name, (addresses, service) in _services(host).items():
        yield name, ", ".join(addresses) or own, say("service {service}", service=service)
    for zone, members in zones(host).items():
        yield say("zone {zone}", zone=zone), ", ".join(members), say("firewalld; ask with -i INTERFACE")
    for jail, banned in jails(host).items():
        where = ", ".join(banned) or say("no address banned")
        yield say("jail {jail}", jail=jail), where, say("fail2ban; ask with --from ADDRESS")


def _examples(host: Host) -> Iterator[tuple[str, str]]:
    """Yield example connections: between containers, to a published port, and to the outside."""
    running = [container for container in _containers(host) if container.running]
    if not running:
        yield "internet", "host:80"
        return
    first, last = running[0], running[-1]
    port = next((port.container_port for port in last.published if port.proto == TCP), 80)
    if first is not last:
        yield first.name, f"{last.name}:{port}"
    ports = [port for container in running for port in container.published if port.proto == TCP]
    outside = (port for port in ports if not (port.host_address or "").startswith("127."))
    published = next(outside, ports[0] if ports else None)
    if published is not None:
        yield "internet", f"host:{published.host_port}"
    elif first is last:
        yield "internet", f"{last.name}:{port}"
    yield first.name, "internet:443"


def _containers(host: Host) -> list[Container]:
    return sorted(host.containers.values(), key=lambda container: container.name)


def _host_addresses(host: Host) -> list[str]:
    return [
        address_text(family, address.address)
        for family in FAMILIES
        for interface, address in host.namespace.addresses(family)
        if interface.kind != "loopback" and address.scope == "global"
    ]


def _addresses(container: Container) -> list[str]:
    return [
        address_text(family, address)
        for endpoint in container.endpoints.values()
        for family in FAMILIES
        if (address := endpoint.address(family)) is not None
    ]


def _published(container: Container) -> list[str]:
    """Return the published ports as Docker writes them, each once for both families.

    Such as "8080->80/tcp", and for a long range "20000-24999->20000-24999/udp".
    """
    places: dict[tuple[str, int, int, int], None] = {}
    for port in container.published:
        places[port.host_address or "", port.proto, port.host_port, port.container_port] = None
    runs: list[list[tuple[str, int, int, int]]] = []
    for place in places:
        address, proto, outer, inner = place
        if runs and runs[-1][-1] == (address, proto, outer - 1, inner - 1):
            runs[-1].append(place)
        else:
            runs.append([place])
    parts = [part for run in runs for part in ([run] if len(run) >= SHORTEST else [[one] for one in run])]
    return [_range_text(part[0], len(part)) for part in parts]


def _range_text(first: tuple[str, int, int, int], size: int) -> str:
    address, proto, *ports = first
    outer, inner = (str(port) if size == 1 else f"{port}-{port + size - 1}" for port in ports)
    return (
        f"{address}:{outer}->{inner}/{protocol_name(proto)}"
        if address
        else f"{outer}->{inner}/{protocol_name(proto)}"
    )
