"""The settings of dockerd: its command line, daemon.json, DOCKER_OPTS, `docker info`, `docker version`."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import fields
from ipaddress import ip_network
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from iptsim.host.containers import Network
from iptsim.host.docker_engine import Engine
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.foreign import Foreign, Number, complaint
from iptsim.languages import message
from iptsim.reading import brief

#: Options of dockerd (with the same names in daemon.json), and the fields they set.
SETTINGS = {
    "userland-proxy": "userland_proxy", "icc": "icc", "iptables": "iptables", "ip6tables": "ip6tables",
    "ip-forward": "ip_forward", "ip-forward-no-drop": "ip_forward_no_drop", "ip-masq": "ip_masq",
    "ipv6": "ipv6", "allow-direct-routing": "allow_direct_routing", "bridge": "bridge", "bip": "bip",
    "bip6": "bip6", "fixed-cidr": "fixed_cidr", "fixed-cidr-v6": "fixed_cidr_v6", "ip": "host_binding",
    "default-gateway": "default_gateway", "firewall-backend": "firewall_backend",
    "live-restore": "live_restore", "dns": "dns", "default-address-pools": "default_address_pools",
}  # fmt: skip
_SHORT = {"b": "bridge", "default-address-pool": "default-address-pools"}
#: Settings that may be repeated.
_LISTS = frozenset({"dns", "default-address-pools"})
_TYPES = {one.name: one.type for one in fields(DockerDaemon)}
_BOOLEAN = frozenset(name for name, field in SETTINGS.items() if "bool" in str(_TYPES[field]))
_TRUE, _FALSE = frozenset({"true", "1", "t"}), frozenset({"false", "0", "f"})


class BackendEntry(Foreign):
    """`FirewallBackend` of `docker info`."""

    driver: str = Field("", alias="Driver")


class InfoEntry(Foreign):
    """`docker info` in JSON."""

    version: str = Field("", alias="ServerVersion")
    backend: BackendEntry | None = Field(None, alias="FirewallBackend")
    live_restore: bool | None = Field(None, alias="LiveRestoreEnabled")


def options_of(words: Iterable[str]) -> dict[str, Any]:
    """Read the command line options of dockerd, without those that do not affect packets.

    Raises:
        ValueError: an on/off option has another value.
    """
    found: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            continue
        name, given, value = word.lstrip("-").partition("=")
        name = _SHORT.get(name, name)
        if name in _BOOLEAN:
            found[name] = _switch(name, value if given else "true")
        elif name in SETTINGS:
            value = value if given else next(rest, "")
            if name in _LISTS:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
    return {name: _list(name, value) if name in _LISTS else value for name, value in found.items()}


def _switch(name: str, value: Any) -> bool:
    text = brief(value).lower().strip("'")
    if text not in _TRUE | _FALSE:
        raise ValueError(
            message("{name} is {value}; it must be true or false", name=name, value=brief(value))
        )
    return text in _TRUE


def _list(name: str, values: list[Any]) -> list[Any]:
    """Read the elements of a setting that may be repeated."""
    if name == "default-address-pools":
        return [_pool(value) for value in values]
    for value in values:
        if not isinstance(value, str):
            raise ValueError(
                message("{name} contains {value}, which is not a string", name=name, value=brief(value))
            )
    return values


def shell_options(text: str) -> dict[str, Any]:
    """Read DOCKER_OPTS of /etc/default/docker.

    Raises:
        ValueError: the quotes of the assignment do not match.
    """
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, value = line.strip().removeprefix("export ").partition("=")
        if name.strip() == "DOCKER_OPTS":
            words = shlex.split(value, comments=True)
            found.update(options_of(shlex.split(" ".join(words))))
    return found


def file_options(settings: dict[str, Any]) -> dict[str, Any]:
    """Read the settings that affect packets from daemon.json.

    Raises:
        ValueError: a setting has a value of the wrong type.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if value is None or (value == "" and name not in _BOOLEAN | _LISTS):
            continue  # same as a missing setting
        if name in _BOOLEAN:
            if not isinstance(value, bool):
                raise ValueError(
                    message(
                        "{name} is {value!r}; it must be true or false, without quotes",
                        name=name,
                        value=value,
                    )
                )
            found[name] = value
        elif name in _LISTS:
            if not isinstance(value, list):
                raise ValueError(
                    message("{name} is {value}; it must be a list", name=name, value=brief(value))
                )
            found[name] = _list(name, value)
        elif name in SETTINGS:
            if not isinstance(value, str):
                raise ValueError(
                    message("{name} is {value}; it must be a string", name=name, value=brief(value))
                )
            found[name] = value
    return found


class PoolEntry(Foreign):
    """An element of `default-address-pools`: a subnet to divide, and the prefix length of the parts."""

    base: str
    size: Number

    @model_validator(mode="after")
    def _size_fits(self) -> Self:
        base = ip_network(self.base, strict=False)
        if not base.prefixlen <= self.size <= base.max_prefixlen:
            raise ValueError(message("size {size} does not fit into {base}", size=self.size, base=self.base))
        return self


def _pool(given: Any) -> tuple[str, int]:
    """Read `base=10.0.0.0/8,size=24`, or the corresponding object in daemon.json.

    Raises:
        ValueError: it is neither.
    """
    values = dict(part.partition("=")[::2] for part in given.split(",")) if isinstance(given, str) else given
    try:
        pool = PoolEntry.model_validate(values)
    except ValidationError as error:
        raise ValueError(
            message(
                'default-address-pools: {complaint}; a pool has a base and a size, such as {{"base": '
                '"10.10.0.0/16", "size": 24}}',
                complaint=complaint(error),
            )
        ) from None
    return pool.base, pool.size


def engine_version(text: str) -> str | None:
    """Return the server's version in the output of `docker version`."""
    server = text.partition("Server")[2]
    found = re.search(r"Version:[ \t]*(\S+)", server)
    return found[1] if found else None


def make_daemon(
    sources: Iterable[tuple[str, dict[str, Any]]], version: str | None, networks: Iterable[Network]
) -> DockerDaemon:
    """Combine the daemon's settings.

    Args:
        sources: (file, options) pairs; the first one that has a setting takes precedence.
        version: of the engine.
        networks: the default bridge's options show the settings at the time of its creation.
    """
    fields: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for file, options in sources:
        for name, value in options.items():
            field = SETTINGS[name]
            if field not in fields:
                fields[field], origin[field] = tuple(value) if name in _LISTS else value, file
    default = next((network for network in networks if network.is_default_bridge), None)
    if default is not None:
        values = {"icc": default.icc, "ip_masq": default.masquerade, "host_binding": default.host_binding}
        for field, value in values.items():
            if field not in fields and value is not None:
                fields[field], origin[field] = value, "docker-network-inspect.json"
    engine = Engine.of(version or "")
    return DockerDaemon(
        version=version,
        generation=engine.generation if engine is not None else None,
        sources=origin,
        **fields,
    )
