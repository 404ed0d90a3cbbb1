"""Changes to Docker's settings, as flags of a command line give them.

A change is a name and a text: ("icc", "false"), ("link", "client:web:db"), ("publish", "web:8080:80").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from iptsim.addresses import FAMILIES, Family, ip_address
from iptsim.docker.model.addressing import free_address, subnet_of
from iptsim.docker.model.network_options import gateway_mode
from iptsim.docker.model.settings import (
    DockerContainer,
    DockerHost,
    DockerNetwork,
    Publication,
)
from iptsim.docker.sources.flag_values import read_expose, read_publish
from iptsim.errors import UsageError
from iptsim.host.containers import Endpoint, Link
from iptsim.languages import message, text_of
from iptsim.protocols import protocol_name
from iptsim.suggestions import choose_from

Change = tuple[str, str]
#: Settings of the daemon that are on or off, and their fields.
_SWITCHES = {
    "icc": "icc",
    "iptables": "iptables",
    "ip6tables": "ip6tables",
    "ip-forward": "ip_forward",
    "ip-forward-no-drop": "ip_forward_no_drop",
    "ip-masq": "ip_masq",
    "userland-proxy": "userland_proxy",
    "allow-direct-routing": "allow_direct_routing",
}

#: The source of settings that were changed.
_CHANGED = "the changes"


def changed(docker: DockerHost, changes: Iterable[Change]) -> DockerHost:
    """Return the settings after changes, applied in the order given.

    Changes are the daemon's settings (`icc`, `iptables`, `ip6tables`, `ip-forward`, `ip-forward-no-drop`,
    `ip-masq`, `userland-proxy`, `allow-direct-routing`: "true" or "false"; `ip`: an address; `dns`: an address,
    repeated for more than one), `engine` (a version from "20.10" to "29"), a network's (`network-icc`,
    `network-masquerade`, `internal`: "NETWORK=true"; `gateway-mode`: "NETWORK=routed"), and those of containers:

    * `publish`: "CONTAINER:[ADDRESS:]HOST_PORT:PORT[/PROTO]"
    * `unpublish`: "CONTAINER:PORT[/PROTO]", or "CONTAINER" for all its ports
    * `expose`: "CONTAINER:PORT[/PROTO]"
    * `link`: "CLIENT:SERVER[:ALIAS]"; `unlink`: "CLIENT:SERVER"
    * `connect`: "CONTAINER:NETWORK[:ADDRESS]"; `disconnect`: "CONTAINER:NETWORK"
    * `remove`: "CONTAINER"

    Raises:
        UsageError: a change cannot be made, or dockerd does not start with the result; the text says why.
    """
    before = docker.daemon.refusal
    for name, value in changes:
        change = _CHANGES.get(name)
        if change is None:
            raise unknown_change(name, _CHANGES)
        try:
            docker = change(docker, value)
        except UsageError:
            raise
        except ValueError as error:
            raise UsageError(message("--{name}: {error}", name=name, error=text_of(error))) from None
    if before is None and docker.daemon.refusal is not None:
        raise UsageError(docker.daemon.refusal)
    return docker


def unknown_change(name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown change."""
    known = sorted(known)
    fault = message("unknown change {name!r}", name=name)
    return UsageError(choose_from(fault, name, known))


def truth(text: str) -> bool:
    """Read "true" or "false" as dockerd does.

    Raises:
        ValueError: it is neither true nor false.
    """
    word = text.lower()
    if word in ("true", "1", "t", "yes", "on"):
        return True
    if word in ("false", "0", "f", "no", "off"):
        return False
    raise ValueError(message("{text!r} is neither true nor false", text=text))


# -- the daemon ------------------------------------------------------------------------------------


def _switch(field: str) -> Callable[[DockerHost, str], DockerHost]:
    def change(docker: DockerHost, value: str) -> DockerHost:
        return _daemon(docker, **{field: truth(value)})

    return change


def _daemon(docker: DockerHost, **fields: Any) -> DockerHost:
    """Return the settings with changed ones of the daemon, which apply to the default bridge as well."""
    sources = {**docker.daemon.sources, **dict.fromkeys(fields, _CHANGED)}
    docker = _with(docker, daemon=replace(docker.daemon, **fields, sources=sources))
    taken = {"icc": "icc", "ip_masq": "masquerade", "host_binding": "host_binding"}
    update = {taken[field]: value for field, value in fields.items() if field in taken}
    default = docker.default_network
    return _network(docker, default, **update) if default is not None and update else docker


def _ip(docker: DockerHost, value: str) -> DockerHost:
    address = ip_address(value)
    return _daemon(docker, host_binding=None if str(address) == "0.0.0.0" else str(address))  # noqa: S104


def _dns(docker: DockerHost, value: str) -> DockerHost:
    """Replace the DNS servers; further ones are added, as with dockerd's own option."""
    server = str(ip_address(value))
    added = docker.daemon.dns if docker.daemon.sources.get("dns") == _CHANGED else ()
    return _daemon(docker, dns=(*added, server))


# -- networks --------------------------------------------------------------------------------------


def _with(docker: DockerHost, **fields: Any) -> DockerHost:
    return DockerHost.model_validate({**dict(docker), **fields})


def _network(docker: DockerHost, network: DockerNetwork, **fields: Any) -> DockerHost:
    new = network.model_copy(update=fields)
    return _with(docker, networks=tuple(new if one is network else one for one in docker.networks))


def _known_network(docker: DockerHost, name: str) -> DockerNetwork:
    found = docker.network(name)
    if found is None:
        known = ", ".join(network.name for network in docker.networks) or "none"
        raise ValueError(message("unknown network {name!r}; choose from: {known}", name=name, known=known))
    return found


def _network_switch(field: str) -> Callable[[DockerHost, str], DockerHost]:
    def change(docker: DockerHost, value: str) -> DockerHost:
        name, given, text = value.partition("=")
        return _network(docker, _known_network(docker, name), **{field: truth(text) if given else True})

    return change


def _gateway_mode(docker: DockerHost, value: str) -> DockerHost:
    name, _, text = value.partition("=")
    network = _known_network(docker, name)
    return _network(docker, network, gateway_mode=dict.fromkeys(FAMILIES, gateway_mode(text)))


# -- containers ------------------------------------------------------------------------------------


def _container(docker: DockerHost, container: DockerContainer, **fields: Any) -> DockerHost:
    new = container.model_copy(update=fields)
    return _with(docker, containers=tuple(new if one is container else one for one in docker.containers))


def _known_container(docker: DockerHost, name: str) -> DockerContainer:
    found = docker.container(name)
    if found is None:
        aliased = [
            container
            for container in docker.containers
            if any(name in endpoint.aliases for endpoint in container.endpoints)
        ]
        found = aliased[0] if len(aliased) == 1 else None
    if found is None:
        known = ", ".join(container.name for container in docker.containers) or "none"
        raise ValueError(
            message("no container {name!r} is running; choose from: {known}", name=name, known=known)
        )
    return found


def _split(value: str, form: str) -> tuple[str, str]:
    name, colon, rest = value.partition(":")
    if not name or not colon or not rest:
        raise ValueError(message("{value!r} is not {form}", value=value, form=form))
    return name, rest


def _is_publication(value: str) -> bool:
    """Return whether a text is what `docker run -p` takes, without a container."""
    try:
        return bool(read_publish(value))
    except ValueError:
        return False


def _publish(docker: DockerHost, value: str) -> DockerHost:
    name, rest = _split(value, "CONTAINER:[ADDRESS:]HOST_PORT:PORT[/PROTO]")
    if docker.container(name) is None and _is_publication(value):
        some = next((one.name for one in docker.containers), "CONTAINER")
        raise ValueError(
            message(
                "{value} does not say which container; write, for example, {some}:{value}",
                value=value,
                some=some,
            )
        )
    container = _known_container(docker, name)
    new = read_publish(rest)
    if any(publication.host_port == 0 for publication in new):
        raise ValueError(
            message(
                "{value!r} has no host port; give one, since the engine would choose it at random",
                value=value,
            )
        )
    for publication in new:
        for other in docker.containers:
            for taken in other.published:
                if _clash(publication, taken):
                    raise ValueError(
                        message(
                            "host port {host_port} is taken by {name}",
                            host_port=taken.host_port,
                            name=other.name,
                        )
                    )
    return _container(docker, container, published=(*container.published, *new))


def _clash(one: Publication, other: Publication) -> bool:
    same = (one.proto, one.host_port) == (other.proto, other.host_port)
    wide = ("", "0.0.0.0", "::")  # noqa: S104
    return same and (one.address == other.address or one.address in wide or other.address in wide)


def _unpublish(docker: DockerHost, value: str) -> DockerHost:
    name, _, rest = value.partition(":")
    container = _known_container(docker, name)
    gone = {(port.proto, port.port) for port in read_expose(rest)} if rest else None
    kept = tuple(
        port
        for port in container.published
        if gone is not None and (port.proto, port.container_port) not in gone
    )
    if len(kept) == len(container.published):
        own = ", ".join(
            f"{port.container_port}/{protocol_name(port.proto)} (host port {port.host_port})"
            for port in container.published
        )
        raise ValueError(
            message(
                "{name} has no such published port; choose a container port from: {own}",
                name=container.name,
                own=own,
            )
            if own
            else message("{name} publishes no port", name=container.name)
        )
    return _container(docker, container, published=kept)


def _expose(docker: DockerHost, value: str) -> DockerHost:
    name, rest = _split(value, "CONTAINER:PORT[/PROTO]")
    container = _known_container(docker, name)
    exposed = dict.fromkeys([*container.exposed, *read_expose(rest)])
    return _container(docker, container, exposed=tuple(exposed))


def _link(docker: DockerHost, value: str) -> DockerHost:
    name, rest = _split(value, "CLIENT:SERVER[:ALIAS]")
    target, _, alias = rest.partition(":")
    client, server = _known_container(docker, name), _known_container(docker, target)
    for one in (client, server):
        default = docker.default_network
        if default is None or one.endpoint(default.name) is None:
            raise ValueError(
                message(
                    "{name} is not on the default bridge, the only network where links open ports",
                    name=one.name,
                )
            )
    link = Link(target=server.name, alias=alias or server.name)
    return _container(docker, client, links=(*(one for one in client.links if one != link), link))


def _unlink(docker: DockerHost, value: str) -> DockerHost:
    name, rest = _split(value, "CLIENT:SERVER")
    client = _known_container(docker, name)
    target = rest.partition(":")[0]
    kept = tuple(link for link in client.links if link.target != target)
    if len(kept) == len(client.links):
        raise ValueError(message("{name} has no link to {target}", name=client.name, target=target))
    return _container(docker, client, links=kept)


def _connect(docker: DockerHost, value: str) -> DockerHost:
    name, rest = _split(value, "CONTAINER:NETWORK[:ADDRESS]")
    target, _, given = rest.partition(":")
    container, network = _known_container(docker, name), _known_network(docker, target)
    if container.endpoint(network.name) is not None:
        raise ValueError(message("{name} is already on {name2}", name=container.name, name2=network.name))
    addresses: dict[Family, int] = {}
    for family in FAMILIES:
        taken = _taken(docker, network, family)
        if given and ip_address(given).version == family:
            address: int | None = subnet_of(given).address
            if address in taken or not any(subnet.covers(family, address or 0) for subnet in network.subnets):
                raise ValueError(
                    message(
                        "{given} is taken or outside the subnets of {name}", given=given, name=network.name
                    )
                )
        else:
            address = free_address(network, family, taken)
        if address is not None:
            addresses[family] = address
    endpoint = Endpoint(network=network.name, addresses=addresses)
    docker = _container(docker, container, endpoints=(*container.endpoints, endpoint))
    # where the order of joining is known, the new endpoint comes last
    joins = (*docker.joins, (container.name, network.name)) if docker.joins else ()
    return _with(docker, joins=joins)


def _taken(docker: DockerHost, network: DockerNetwork, family: Family) -> set[int]:
    endpoints = (container.endpoint(network.name) for container in docker.containers)
    found = (endpoint.address(family) for endpoint in endpoints if endpoint is not None)
    return {address for address in found if address is not None}


def _disconnect(docker: DockerHost, value: str) -> DockerHost:
    name, rest = _split(value, "CONTAINER:NETWORK")
    container, network = _known_container(docker, name), _known_network(docker, rest)
    if container.endpoint(network.name) is None:
        raise ValueError(message("{name} is not on {name2}", name=container.name, name2=network.name))
    kept = tuple(endpoint for endpoint in container.endpoints if endpoint.network != network.name)
    docker = _container(docker, container, endpoints=kept)
    return _with(docker, joins=tuple(join for join in docker.joins if join != (container.name, network.name)))


def _remove(docker: DockerHost, value: str) -> DockerHost:
    container = _known_container(docker, value)
    return _with(docker, containers=tuple(one for one in docker.containers if one is not container))


_CHANGES: dict[str, Callable[[DockerHost, str], DockerHost]] = {
    **{name: _switch(field) for name, field in _SWITCHES.items()},
    "ip": _ip,
    "dns": _dns,
    "engine": DockerHost.with_engine,
    "network-icc": _network_switch("icc"),
    "network-masquerade": _network_switch("masquerade"),
    "internal": _network_switch("internal"),
    "gateway-mode": _gateway_mode,
    "publish": _publish,
    "unpublish": _unpublish,
    "expose": _expose,
    "link": _link,
    "unlink": _unlink,
    "connect": _connect,
    "disconnect": _disconnect,
    "remove": _remove,
}
#: The names of all changes.
CHANGES = tuple(_CHANGES)
