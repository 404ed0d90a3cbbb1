"""Reads Docker's settings from whatever holds them: a capture, a dump, or one of Docker's own files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from iptsim.docker.addresses import default_network
from iptsim.docker.compose import read_compose
from iptsim.docker.recover import check_daemon
from iptsim.docker.settings import DockerHost
from iptsim.errors import CaptureError
from iptsim.host import daemon as dockerd
from iptsim.host import engine
from iptsim.host.capture import load_host
from iptsim.host.model import DockerDaemon, Host, Network

_YAML = (".yml", ".yaml")
#: How JSON begins; a dump may begin with counters in brackets.
_JSON = re.compile(r"\s*(\{|\[\s*[{\]])")


T = TypeVar("T", bound=BaseModel)


class Settings(NamedTuple):
    """Docker's settings and, where they were saved with it, the host.

    Attributes:
        docker: the settings.
        host: the host that they were read from, None for a file of Docker's own.
    """

    docker: DockerHost
    host: Host | None


def read_settings(path: str, *, lenient: bool = False, docker_inspect: str | None = None) -> Settings:
    """Read Docker's settings.

    Args:
        path: a capture, a dump, "-" for a dump on standard input, a daemon.json, a file with DOCKER_OPTS
            such as /etc/default/docker, the output of `docker inspect` or `docker network inspect`, or
            a Compose file.
        lenient: skip lines of a dump that are none.
        docker_inspect: a file with the output of `docker inspect`, for a dump.

    Raises:
        UsageError: a Compose file, and PyYAML is not installed.
        CaptureError: it can't be read; the text names the file and the key.
    """
    text = _own_file(path)
    if text is None:
        host = load_host(path, lenient=lenient, docker_inspect=docker_inspect)
        return Settings(DockerHost.of(host), host)
    if path.endswith(_YAML):
        return Settings(read_compose(text, path), None)
    if _JSON.match(text):
        return Settings(_from_json(text, path), None)
    return Settings(of_daemon(_options(path, text)), None)


def _own_file(path: str) -> str | None:
    """Return the text of a file of Docker's own, None for a capture or a dump."""
    if path == "-" or Path(path).is_dir():
        return None
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        return None  # an archive, or a dump that its reader complains of
    own = path.endswith(_YAML) or _JSON.match(text) or "DOCKER_OPTS=" in text
    return text if own else None


def of_daemon(daemon: DockerDaemon) -> DockerHost:
    """Return the host of a daemon that has just started, without networks or containers of the user's.

    Raises:
        CaptureError: a setting makes no sense; the text names the file and the key.
    """
    check_daemon(daemon)
    default = default_network(daemon)
    return DockerHost(daemon=daemon, networks=(default,) if default is not None else ())


def _options(path: str, text: str) -> DockerDaemon:
    try:
        return dockerd.make_daemon([(path, dockerd.shell_options(text))], None, ())
    except ValueError as error:
        raise CaptureError(f"{path}: DOCKER_OPTS: {error}") from None


def _from_json(text: str, path: str) -> DockerHost:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise CaptureError(f"{path}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise CaptureError(f"{path}: it is nested too deep") from None
    if isinstance(document, dict):
        try:
            daemon = dockerd.make_daemon([(path, dockerd.file_options(document))], None, ())
        except ValueError as error:
            raise CaptureError(f"{path}: {error}") from None
        return of_daemon(daemon)
    return _from_inspect(document, path)


def _from_inspect(document: list[Any], path: str) -> DockerHost:
    """Read the output of `docker inspect` on containers, networks or both."""
    host = Host(source=path)
    for number, entry in enumerate(document):
        if not isinstance(entry, dict):
            raise CaptureError(f"{path}: [{number}]: {entry!r} is no container and no network")
        try:
            if "IPAM" in entry:
                network = engine.network(_entry(engine.NetworkEntry, entry, f"{path}: [{number}]"))
                host.networks[network.name] = network
            else:
                container = engine.container(
                    _entry(engine.ContainerEntry, entry, f"{path}: [{number}]"), "docker"
                )
                host.containers[container.name] = container
        except (LookupError, ValueError) as error:
            raise CaptureError(f"{path}: [{number}]: {error}") from None
    _complete(host)
    return DockerHost.of(host)


def _entry(kind: type[T], entry: dict[str, Any], place: str) -> T:
    try:
        return TypeAdapter(kind).validate_python(entry)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CaptureError(f"{place}.{key}: {first['msg']}") from None


def _complete(host: Host) -> None:
    """Add the networks that containers are in and the default bridge, where nobody told of them."""
    from iptsim.host.infer import complete

    known = ["docker-inspect.json", *(["docker-network-inspect.json"] if host.networks else [])]
    complete(host, known)
    default = default_network(host.daemon or DockerDaemon())
    if default is not None and not any(network.is_default_bridge for network in host.networks.values()):
        made = Network(
            name=default.name, bridge=default.bridge, subnets=default.subnets, is_default_bridge=True
        )
        host.networks = {default.name: made, **host.networks}
