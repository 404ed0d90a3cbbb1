"""Reads Docker's settings from a configuration file of Docker."""

from __future__ import annotations

import os
import re
from typing import Any

from iptsim.docker.model.addressing import default_network
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.compose import read_compose
from iptsim.docker.sources.daemon_json import check_settings
from iptsim.docker.sources.host import check_daemon, docker_host
from iptsim.errors import CaptureError
from iptsim.host import docker_inspect, dockerd_options
from iptsim.host.containers import Network
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.foreign import converted
from iptsim.host.model import Host
from iptsim.languages import message, text_of
from iptsim.reading import JsonFault, brief, parse_json, read_file

_YAML = (".yml", ".yaml")
#: How JSON begins; a dump may begin with counters in brackets.
_JSON = re.compile(r"\s*(\{|\[\s*[{\]])")


def settings_of_file(path: str) -> DockerHost | None:
    """Read Docker's settings from a configuration file; None for any other file, such as a capture or a dump.

    Args:
        path: of a daemon.json, a file with DOCKER_OPTS such as /etc/default/docker, the output of `docker inspect` or
            `docker network inspect`, or a Compose file.

    Raises:
        UsageError: a Compose file, and PyYAML is not installed.
        CaptureError: it cannot be read; the text names the file and the key.
    """
    text = _own_file(path)
    if text is None:
        return None
    if path.endswith(_YAML):
        return read_compose(text, path)
    if _JSON.match(text):
        return _from_json(text, path)
    return of_daemon(_options(path, text))


def _own_file(path: str) -> str | None:
    """Return the text of a configuration file, None for a capture or a dump."""
    if path == "-" or os.path.isdir(path):
        return None
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError:
        return None  # an archive, or a dump whose reader reports the error
    own = path.endswith(_YAML) or _JSON.match(text) or "DOCKER_OPTS=" in text
    return text if own else None


def of_daemon(daemon: DockerDaemon) -> DockerHost:
    """Return the host of a daemon that has just started: without user-defined networks or containers.

    Raises:
        CaptureError: a setting is invalid; the text names the file and the key.
    """
    check_daemon(daemon)
    default = default_network(daemon)
    return DockerHost(daemon=daemon, networks=(default,) if default is not None else ())


def _options(path: str, text: str) -> DockerDaemon:
    try:
        return dockerd_options.make_daemon([(path, dockerd_options.shell_options(text))], None, ())
    except ValueError as error:
        raise CaptureError(message("{path}: DOCKER_OPTS: {error}", path=path, error=text_of(error))) from None


def _from_json(text: str, path: str) -> DockerHost:
    try:
        try:
            document = parse_json(text.encode())
        except JsonFault as fault:
            raise fault.pointed(text.encode(), path) from None
        if isinstance(document, list):
            return _from_inspect(document, path)
        check_settings(text, path)
        options = dockerd_options.file_options(document)
    except ValueError as error:
        raise CaptureError(message("{path}: {error}", path=path, error=text_of(error))) from None
    return of_daemon(dockerd_options.make_daemon([(path, options)], None, ()))


def _from_inspect(document: list[Any], path: str) -> DockerHost:
    """Read the output of `docker inspect` on containers, networks or both.

    Raises:
        ValueError: an element is invalid; the text names it.
    """
    host = Host(source=path)

    def add(entry: Any) -> None:
        if not isinstance(entry, dict):
            raise ValueError(message("{entry} is neither a container nor a network", entry=brief(entry)))
        if "IPAM" in entry:
            network = docker_inspect.network(docker_inspect.NetworkEntry.model_validate(entry))
            host.networks[network.name] = network
        else:
            container = docker_inspect.container(
                docker_inspect.ContainerEntry.model_validate(entry), "docker"
            )
            host.containers[container.name] = container

    converted(document, add)
    _complete(host)
    return docker_host(host)


def _complete(host: Host) -> None:
    """Add the default bridge and the networks of containers, where the file does not have them."""
    from iptsim.host.infer import complete

    known = ["docker-inspect.json", *(["docker-network-inspect.json"] if host.networks else [])]
    complete(host, known)
    default = default_network(host.daemon or DockerDaemon())
    if default is not None and not any(network.is_default_bridge for network in host.networks.values()):
        made = Network(
            name=default.name,
            daemon="docker",
            bridge=default.bridge,
            subnets=default.subnets,
            is_default_bridge=True,
        )
        host.networks = {default.name: made, **host.networks}
