"""Reads a Compose file as the settings after `docker compose up`.

Only what affects rules is read: networks, ports, exposed ports, links, the start order. Addresses, host ports and
    bridge names are chosen as the engine does; fixed values replace its random choices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.model.addressing import bridge_name, default_network, free_address, free_subnet, subnet_of
from iptsim.docker.model.network_options import OptionError, read_options
from iptsim.docker.model.settings import DockerContainer, DockerHost, DockerNetwork, Publication
from iptsim.docker.sources.flag_values import read_expose, read_link, read_publish
from iptsim.docker.sources.interpolation import interpolated
from iptsim.errors import CaptureError
from iptsim.host.containers import Endpoint, ExposedPort, Link
from iptsim.host.docker_inspect import BRIDGE_OPTION
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.foreign import complaint, joined_keys
from iptsim.languages import Text, message, text_of
from iptsim.reading import brief
from iptsim.yaml_file import Document, Keys, read_document

#: Drivers whose containers are in the host's own LAN.
_BYPASSING = ("macvlan", "ipvlan")
#: The first port that Linux assigns on its own (net.ipv4.ip_local_port_range).
FIRST_FREE_PORT = 32768
#: The maximum number of containers of a file: a Linux bridge takes 1,024 ports (BR_MAX_PORTS in
#: net/bridge/br_private.h).
CONTAINER_LIMIT = 1024
#: The network of `network_mode: bridge`; a network of the file cannot have this name.
ON_DEFAULT_BRIDGE = ""
#: How Compose spells truth values (compose-go, loader/interpolate.go), and their numbers.
_ON, _OFF = frozenset({"true", "y", "yes", "on", "1"}), frozenset({"false", "n", "no", "off", "0"})


class SettingError(CaptureError):
    """A setting of a Compose file is invalid.

    Attributes:
        keys: those that lead to the setting; none for the file itself.
        what: what is wrong.
    """

    def __init__(self, source: str, keys: Keys, what: Text) -> None:
        self.keys, self.what = keys, what
        super().__init__(message("{source}: {key}: {what}", source=source, key=self._key(), what=what))

    def _key(self) -> str:
        """Return the setting as `services.web.ports[0]`."""
        return joined_keys(self.keys).removeprefix(".") or "the file"

    def within(self, document: Document) -> CaptureError:
        """Return the error with the line of the file, and a caret below the setting, if the file has it."""
        place = document.value_at(self.keys)
        if place is None:
            return self
        return document.error(place, message("{key}: {what}", key=self._key(), what=self.what))


def read_compose(text: str, source: str) -> DockerHost:
    """Read a Compose file.

    Args:
        text: the file.
        source: its name, for messages and for the project's name.

    Raises:
        UsageError: PyYAML is not installed.
        CaptureError: the file is invalid; the text names the file, the place and the key.
    """
    document = read_document(text, source)
    try:
        return read_services(interpolated(document.value), source, DockerDaemon())
    except SettingError as error:
        raise error.within(document) from None


def read_services(document: Any, source: str, daemon: DockerDaemon, *, in_order: bool = False) -> DockerHost:
    """Read the parsed contents of a Compose file: mappings and lists.

    Args:
        document: the contents.
        source: the name of the file.
        daemon: the settings of dockerd.
        in_order: the services were started, and all networks made, in the order in which they are listed, as by
            commands; otherwise in Compose's order.

    Raises:
        CaptureError: it is invalid; the text names the key.
    """
    try:
        return _Project(document, source, daemon, in_order=in_order).host()
    except ValidationError as error:
        raise CaptureError(message("{path}: {error}", path=str(source), error=complaint(error))) from None


class _Project:
    """The services and networks of one file."""

    def __init__(self, document: Any, source: str, daemon: DockerDaemon, *, in_order: bool) -> None:
        self.source = source
        self.daemon = daemon
        self.in_order = in_order
        top = self._mapping(document, ())
        if "services" not in top:
            raise self._error(("services",), message("missing, so this is not a Compose file"))
        self.services = {
            name: self._mapping(service or {}, ("services", name))
            for name, service in self._mapping(top["services"], ("services",)).items()
        }
        self.given = {
            name: self._mapping(network or {}, ("networks", name))
            for name, network in self._mapping(top.get("networks") or {}, ("networks",)).items()
        }
        folder = Path(source).absolute().parent.name
        self.name = str(top.get("name") or re.sub(r"[^a-z0-9_-]", "", folder.lower()) or "project")
        self.networks: dict[str, DockerNetwork] = {}
        #: those of drivers that bypass the host
        self.apart: dict[str, DockerNetwork] = {}
        self.taken: dict[str, set[int]] = {}
        self.next_port = FIRST_FREE_PORT
        self.containers = 0

    def _error(self, keys: Keys, what: Text) -> SettingError:
        return SettingError(self.source, keys, what)

    def _mapping(self, value: Any, keys: Keys) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._error(keys, message("{value} is not a mapping", value=brief(value)))
        return {str(name): item for name, item in value.items()}

    def _list(self, value: Any, keys: Keys) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._error(keys, message("{value} is not a list", value=brief(value)))
        return value

    def host(self) -> DockerHost:
        """Return the host after `docker compose up`.

        Raises:
            CaptureError: a setting is invalid.
        """
        default = default_network(self.daemon)
        made = {default.name: default} if default is not None else {}
        used = {name for service in self.services for name in self._places(service)}
        for name in sorted(used - self.given.keys() - {"default", ON_DEFAULT_BRIDGE}):
            raise self._error(
                ("networks",), message("a service uses the undefined network {name}", name=name)
            )
        for name in self.given if self.in_order else sorted(used - {ON_DEFAULT_BRIDGE}):
            network = self._network(name, [*made.values(), *self.networks.values()])
            if network is not None:
                (self.networks if network.driver == "bridge" else self.apart)[name] = network
        if default is not None:
            self.networks[ON_DEFAULT_BRIDGE] = default
        containers = tuple(
            container for service in self._start_order() for container in self._containers(service)
        )
        networks = (*made.values(), *(n for name, n in self.networks.items() if name != ON_DEFAULT_BRIDGE))
        apart = tuple(self.apart.values())
        return DockerHost(daemon=self.daemon, networks=networks, containers=containers, apart=apart)

    # -- networks ----------------------------------------------------------------------------------

    def _places(self, service: str) -> dict[str, Mapping[str, Any]]:
        """Return the networks of a service with its settings there."""
        entry, keys = self.services[service], ("services", service)
        mode = entry.get("network_mode")
        if mode is not None:
            return {ON_DEFAULT_BRIDGE: {}} if mode == "bridge" else {}
        places = entry.get("networks")
        if places is None:
            return {"default": {}}
        if isinstance(places, list):
            return {str(name): {} for name in places}
        found = self._mapping(places, (*keys, "networks"))
        return {name: self._mapping(place or {}, (*keys, "networks", name)) for name, place in found.items()}

    def _network(self, name: str, others: list[DockerNetwork]) -> DockerNetwork | None:
        """Make a network; None for a driver whose containers have no addresses that are known here."""
        entry, keys = self.given.get(name, {}), ("networks", name)
        driver = str(entry.get("driver", "bridge"))
        if driver not in ("bridge", *_BYPASSING):
            return None
        own = str(entry.get("name") or (name if entry.get("external") else f"{self.name}_{name}"))
        options = self._mapping(entry.get("driver_opts") or {}, (*keys, "driver_opts"))
        settings = {option: self._text(value) for option, value in options.items()}
        fields: dict[str, Any] = {
            "name": own,
            "bridge": settings.get(f"{BRIDGE_OPTION}name") or bridge_name(own),
            "subnets": tuple(self._subnets(entry, keys, others)),
            "driver": driver,
            "parent": settings.get("parent", ""),
            "internal": self._truth(entry.get("internal", False), (*keys, "internal")),
        }
        try:
            return DockerNetwork(**fields, **(read_options(settings) if driver == "bridge" else {}))
        except OptionError as error:
            raise self._error((*keys, "driver_opts", error.option), text_of(error)) from None
        except ValidationError as error:
            raise self._error((*keys, "driver_opts"), complaint(error)) from None

    def _text(self, value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    def _truth(self, value: Any, keys: Keys) -> bool:
        text = str(value).lower()
        if text not in _ON | _OFF:
            raise self._error(keys, message("{value} is neither true nor false", value=brief(value)))
        return text in _ON

    def _subnets(self, entry: Mapping[str, Any], keys: Keys, others: list[DockerNetwork]) -> Iterator[Any]:
        ipam = self._mapping(entry.get("ipam") or {}, (*keys, "ipam"))
        found = []
        for number, pool in enumerate(self._list(ipam.get("config"), (*keys, "ipam", "config"))):
            place = (*keys, "ipam", "config", number)
            part = self._mapping(pool, place)
            try:
                found.append(subnet_of(str(part["subnet"]), str(part.get("gateway") or "")))
            except (KeyError, ValueError) as error:
                raise self._error((*place, "subnet"), complaint(error)) from None
        if not any(subnet.family == 4 for subnet in found):
            found.insert(0, free_subnet(self.daemon, others))
        yield from found

    # -- services ----------------------------------------------------------------------------------

    def _start_order(self) -> list[str]:
        """Return the services, those that others depend on first."""
        started: dict[str, None] = {}
        for first in self.services if self.in_order else sorted(self.services):
            waiting = {} if first in started else {first: iter(self._needs(first))}
            while waiting:
                service = next(reversed(waiting))
                other = next((one for one in waiting[service] if one not in started), None)
                if other is None:
                    started[service] = None
                    del waiting[service]
                elif other in waiting:
                    raise self._error(
                        ("services", other, "depends_on"), message("the services have circular dependencies")
                    )
                else:
                    waiting[other] = iter(self._needs(other))
        return list(started)

    def _needs(self, service: str) -> list[str]:
        entry, keys = self.services[service], ("services", service)
        depends = entry.get("depends_on") or []
        names = list(depends) if isinstance(depends, dict) else self._list(depends, (*keys, "depends_on"))
        names += [str(link).partition(":")[0] for link in self._list(entry.get("links"), (*keys, "links"))]
        for name in names:
            if name not in self.services:
                raise self._error(keys, message("unknown service {name}", name=name))
        return sorted(map(str, names))

    def _containers(self, service: str) -> Iterator[DockerContainer]:
        entry, keys = self.services[service], ("services", service)
        deploy = self._mapping(entry.get("deploy") or {}, (*keys, "deploy"))
        setting: Keys
        if "scale" in entry:
            count, setting = entry["scale"], (*keys, "scale")
        elif "replicas" in deploy:
            count, setting = deploy["replicas"], (*keys, "deploy", "replicas")
        else:
            count, setting = 1, keys
        # as Compose casts it after it replaced variables (compose-go, loader/interpolate.go)
        if isinstance(count, str) and re.fullmatch(r"[0-9]{1,9}", count):
            count = int(count)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise self._error(
                setting, message("{count} is not a valid number of containers", count=brief(count))
            )
        self.containers += count
        if self.containers > CONTAINER_LIMIT:
            raise self._error(
                setting,
                message("more than {container_limit:,} containers in all", container_limit=CONTAINER_LIMIT),
            )
        for number in range(1, count + 1):
            yield DockerContainer(
                name=self._container_name(service, number),
                endpoints=tuple(self._endpoints(service, self.networks)),
                apart=tuple(self._endpoints(service, self.apart)),
                published=tuple(self._published(entry, keys)),
                exposed=tuple(self._exposed(entry, keys)),
                links=tuple(self._links(entry, keys)),
                network_mode=self._mode(str(entry.get("network_mode") or "")),
                service=service,
                dns=tuple(self._dns(entry, keys)),
            )

    def _mode(self, mode: str) -> str:
        """Return the mode of a container without networks of its own; "" for one with networks."""
        kind, _, other = mode.partition(":")
        if kind == "service" and other in self.services:
            return f"container:{self._container_name(other, 1)}"
        return mode if kind in ("host", "none", "container") else ""

    def _container_name(self, service: str, number: int) -> str:
        return str(self.services[service].get("container_name") or f"{self.name}-{service}-{number}")

    def _endpoints(self, service: str, networks: Mapping[str, DockerNetwork]) -> Iterator[Endpoint]:
        for name, place in self._places(service).items():
            network = networks.get(name)
            if network is None:
                continue
            keys = ("services", service, "networks", name)
            taken = self.taken.setdefault(network.name, set())
            addresses: dict[Family, int] = {}
            for family in FAMILIES:
                address = self._address(place, keys, family, network, taken)
                if address is not None:
                    addresses[family] = address
                    taken.add(address)
            priority = place.get("gw_priority", 0)
            if not isinstance(priority, int):
                raise self._error(
                    (*keys, "gw_priority"), message("{priority} is not a number", priority=brief(priority))
                )
            aliases = (service, *map(str, self._list(place.get("aliases"), (*keys, "aliases"))))
            yield Endpoint(
                network=network.name, addresses=addresses, aliases=aliases, gateway_priority=priority
            )

    def _address(
        self, place: Mapping[str, Any], keys: Keys, family: Family, network: DockerNetwork, taken: set[int]
    ) -> int | None:
        given = place.get(f"ipv{family}_address")
        if given is None:
            return free_address(network, family, taken)
        try:
            address = subnet_of(str(given)).address
        except ValueError as error:
            raise self._error((*keys, f"ipv{family}_address"), text_of(error)) from None
        if not any(subnet.covers(family, address) for subnet in network.subnets):
            raise self._error(
                (*keys, f"ipv{family}_address"),
                message("{given} is outside the subnets of {name}", given=given, name=network.name),
            )
        return address

    def _published(self, entry: Mapping[str, Any], keys: Keys) -> Iterator[Publication]:
        for number, port in enumerate(self._list(entry.get("ports"), (*keys, "ports"))):
            try:
                found = read_publish(self._short(port) if isinstance(port, dict) else str(port))
            except ValueError as error:
                raise self._error((*keys, "ports", number), complaint(error)) from None
            for publication in found:
                if publication.host_port == 0:
                    yield publication.model_copy(update={"host_port": self.next_port})
                    self.next_port += 1
                else:
                    yield publication

    def _short(self, port: dict[str, Any]) -> str:
        """Return a port's long form as a short one."""
        if "target" not in port:
            raise ValueError(message("it has no container port (target)"))
        address = str(port.get("host_ip") or "")
        address = f"[{address}]:" if ":" in address else f"{address}:" if address else ""
        host = f"{port['published']}:" if port.get("published") else ":" if address else ""
        return f"{address}{host}{port['target']}/{port.get('protocol', 'tcp')}"

    def _exposed(self, entry: Mapping[str, Any], keys: Keys) -> Iterator[ExposedPort]:
        for number, port in enumerate(self._list(entry.get("expose"), (*keys, "expose"))):
            try:
                yield from read_expose(str(port))
            except ValueError as error:
                raise self._error((*keys, "expose", number), text_of(error)) from None

    def _dns(self, entry: Mapping[str, Any], keys: Keys) -> Iterator[str]:
        """Yield the name servers of a service: one, or a list."""
        given = entry.get("dns")
        for number, server in enumerate(
            self._list([given] if isinstance(given, str) else given, (*keys, "dns"))
        ):
            try:
                yield str(ip_address(str(server)))
            except ValueError:
                raise self._error(
                    (*keys, "dns", number), message("{server} is not an address", server=brief(server))
                ) from None

    def _links(self, entry: Mapping[str, Any], keys: Keys) -> Iterator[Link]:
        for number, text in enumerate(self._list(entry.get("links"), (*keys, "links"))):
            try:
                link = read_link(str(text))
            except ValueError as error:
                raise self._error((*keys, "links", number), text_of(error)) from None
            yield Link(target=self._container_name(link.target, 1), alias=link.alias)
