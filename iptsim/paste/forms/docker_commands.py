"""`docker run`, `docker stop` and the commands of `docker network`, as the services of a Compose file."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from itertools import takewhile
from typing import Any

from iptsim.docker.sources.compose import ON_DEFAULT_BRIDGE
from iptsim.paste.lines import MOST_LINES, Line, continued
from iptsim.paste.pieces import Piece, Segment, Settings
from iptsim.paste.prompts import Command, command_of
from iptsim.paste.shell import Script
from iptsim.paste.undoing import NOT_SO
from iptsim.paste.unread_settings import is_port, is_whole

#: A command at the end of a sentence, whose further words are arguments of the container.
_SAID = re.compile(
    r"(?P<before>.{0,300}[\s`(\"'])"
    r"(?P<command>(?:sudo\s+)?docker\s+(?:run\s+(?=(?:-[^`]*\s)?(?:-p|--publish|--network)[ =])[^`]*?"
    r"|network\s+create\s+[^`]+?))[`)\"']?[.?!]*"
)
#: At most this many lines belong to it.
_FURTHER = 30
#: At most this many lines above a command set its variables.
_ABOVE = 500
#: What a command prints: the ID of what it made.
_ID = re.compile(r"\s*[0-9a-f]{12,64}\s*")
#: How the error of a command begins, and within how many lines: an ID may come before it.
_ERROR, _BELOW = re.compile(r"\s*(?:docker: )?Error response from daemon\b"), 3
#: Options of `docker run` without an argument (docs.docker.com/reference/cli/docker/container/run).
_FLAGS_OF_RUN = frozenset({
    "-d", "--detach", "-i", "--interactive", "-t", "--tty", "-P", "--publish-all", "-q", "--quiet", "--rm", "--init",
    "--privileged", "--read-only", "--no-healthcheck", "--oom-kill-disable", "--sig-proxy", "--disable-content-trust",
    "--use-api-socket", "--help",
})  # fmt: skip
#: Those of `docker network create`, where -d is the driver.
_FLAGS_OF_NETWORK = frozenset(
    {"--attachable", "--config-only", "--ingress", "--internal", "--ipv4", "--ipv6"}
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the Docker commands that start at a line and change something, as the resulting settings."""
    text = lines[at].text
    typed = command_of(text)
    if typed is None and (said := said_in(text)):
        first = lines[at]._replace(text=said, whole=said)
        found = _commands([first, *lines[at + 1 : at + _FURTHER]], 0)
        if found is None or not _names_ports(found):
            return None
        found.first, found.last = at, at + found.last
        return found
    # podman takes the same options, but writes other rules
    return _commands(lines, at) if typed is not None and typed.program == "docker" else None


def said_in(text: str) -> str:
    """Return the command that a sentence ends with; "" if there is none, or if it was not run.

    >>> said_in("It started after I ran `docker run -d -p 8080:80 nginx`.")
    'docker run -d -p 8080:80 nginx'
    """
    said = _SAID.fullmatch(text)
    return said["command"] if said is not None and not NOT_SO.search(said["before"]) else ""


def _names_ports(found: Segment) -> bool:
    """Return whether all published ports have a number: other words belong to a sentence about the command."""
    services = [
        one for piece in found.pieces if isinstance(piece, Settings) for one in piece.services.values()
    ]
    return all(re.search(r"\d", port) for one in services for port in one["ports"])


def _commands(lines: list[Line], at: int) -> Segment | None:
    settings = Settings(lines[at].number, in_order=True)
    known: set[str] = set()
    last = None
    index = at
    while index < len(lines):
        text, end = continued(lines, index, MOST_LINES)
        if "$" in text:
            text = _filled(text, lines[max(index - _ABOVE, 0) : index])
        typed = command_of(text)
        before = set(settings.services)
        skipped = lines[index].is_blank or (last is not None and _ID.fullmatch(text))
        if not skipped and (typed is None or not _takes(typed, settings)):
            break
        if typed is not None:
            last, known = end, before
        index = end + 1
    if last is None:
        return None
    if _has_failed(lines[last + 1 : last + 1 + _BELOW]):
        settings.services = {name: one for name, one in settings.services.items() if name in known}
    settings.networks = {
        name: one for name, one in settings.networks.items() if not (one and one.get(_TEMPLATE))
    }
    pieces: list[Piece] = [settings] if settings.services or settings.networks else []
    return Segment("docker commands", "docker commands", at, last, pieces)


def _filled(text: str, above: Sequence[Line]) -> str:
    """Return a command with the variables that the lines above it set."""
    script = Script(None)
    for line in above:
        script.assigns(line.text)
    return script.filled(text)


def _has_failed(below: Sequence[Line]) -> bool:
    """Return whether Docker refused a command, according to the lines below it: the container did not start."""
    printed = takewhile(lambda line: command_of(line.text) is None, below)
    return any(_ERROR.match(line.text) for line in printed)


def _takes(typed: Command, settings: Settings) -> bool:
    """Apply the effect of a command; return whether it has any."""
    words = list(typed.words)
    if typed.program != "docker":
        return False
    if words[:1] in (["run"], ["create"]) or words[:2] in (["container", "run"], ["container", "create"]):
        return _run(words[2:] if words[0] == "container" else words[1:], settings)
    if words[:2] == ["network", "create"]:
        return _network(words[2:], settings)
    if words[:2] == ["network", "connect"]:
        return _connect(words[2:], settings)
    if words[:1] in (["stop"], ["kill"], ["rm"]):
        return _stop({word for word in words[1:] if not word.startswith("-")}, settings)
    return False


def _stop(names: Set[str], settings: Settings) -> bool:
    """Remove containers that the commands above have started."""
    if not names or not names <= settings.services.keys():
        return False
    settings.services = {name: one for name, one in settings.services.items() if name not in names}
    return True


def _options(
    words: list[str], flags: frozenset[str], *, mixed: bool = True
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options of a command and the other words: with `mixed`, options may follow these.

    Letters may share a dash, and the last of them may have an argument: `-dp 80:80`, `-itp80:80`.
    """
    options: list[tuple[str, str]] = []
    others: list[str] = []
    left = list(words)
    while left and (mixed or left[0].startswith("-")):
        word = left.pop(0)
        if word == "--":
            break
        if not word.startswith("-"):
            others.append(word)
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            letters = next((at for at in range(1, len(name)) if f"-{name[at]}" not in flags), len(name))
            options += ((f"-{letter}", "") for letter in name[1:letters])
            if letters == len(name):
                continue
            behind = word[letters + 1 :].removeprefix("=")
            name, equals, value = f"-{name[letters]}", behind, behind
        if name in flags:
            options.append((name, value))
        else:
            options.append((name, value if equals else left.pop(0) if left else ""))
    return options, [*others, *left]


def _run(words: list[str], settings: Settings) -> bool:
    options, behind = _options(words, _FLAGS_OF_RUN, mixed=False)
    if not behind:
        return False
    service: dict[str, Any] = {"image": behind[0]}
    image = behind[0].rpartition("/")[2].partition(":")[0]
    name = dict(options).get("--name") or _free(image, settings.services)
    service["container_name"] = name
    service["ports"] = [value for flag, value in options if flag in ("-p", "--publish")]
    if any(is_whole(port) and not is_port(port) for port in service["ports"]):
        return False  # Docker refuses the command
    service["expose"] = [value for flag, value in options if flag == "--expose"]
    service["links"] = [value for flag, value in options if flag == "--link"]
    service["dns"] = [value for flag, value in options if flag == "--dns"]
    places = [value for flag, value in options if flag in ("--network", "--net")] or ["bridge"]
    modes = [value for value in places if value in ("host", "none") or value.startswith("container:")]
    if modes:
        service["network_mode"] = modes[0]
    else:
        service["networks"] = {}
        for value in places:
            _join(service, *_place(value, options), settings)
    settings.services[name] = service
    return True


def _place(value: str, options: list[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    """Return a network and a container's place in it: `--network NAME`, or `--network name=NAME,ip=ADDRESS`."""
    if not value.startswith("name="):
        return value, _endpoint(options)
    pairs = [pair.partition("=")[::2] for pair in value.split(",")]
    return dict(pairs)["name"], _endpoint([(f"--{key}", given) for key, given in pairs])


def _endpoint(options: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the addresses and aliases that options give a container, as a Compose file does."""
    keys = {"--ip": "ipv4_address", "--ip6": "ipv6_address"}
    place: dict[str, Any] = {keys[flag]: value for flag, value in options if flag in keys}
    aliases = [value for flag, value in options if flag in ("--network-alias", "--net-alias", "--alias")]
    return {**place, "aliases": aliases} if aliases else place


def _connect(words: list[str], settings: Settings) -> bool:
    """Connect a container to a further network."""
    options, behind = _options(words, frozenset())
    network, name = behind if len(behind) == 2 else ("", "")
    service = settings.services.get(name, {})
    if "networks" not in service or network in ("host", "none"):
        return False
    _join(service, network, _endpoint(options), settings)
    return True


def _join(service: dict[str, Any], network: str, place: dict[str, Any], settings: Settings) -> None:
    """Add a network to those of a service."""
    if network in ("bridge", "default"):
        network = ON_DEFAULT_BRIDGE
    else:
        settings.networks.setdefault(network, {"name": network})
    service["networks"][network] = place


def _network(words: list[str], settings: Settings) -> bool:
    options, behind = _options(words, _FLAGS_OF_NETWORK)
    if len(behind) != 1:
        return False
    given = dict(options)
    network: dict[str, Any] = {"name": behind[0]}
    if template := given.get("--config-from", ""):
        # where the text does not show the template, its options, such as the parent, are unknown
        network = {**settings.networks.get(template, {"driver_opts": {"parent": "?"}}), **network}
        network.pop(_TEMPLATE, None)
    if "--config-only" in given:
        network[_TEMPLATE] = True
    subnets = [{"subnet": value} for flag, value in options if flag == "--subnet"]
    gateways = [value for flag, value in options if flag == "--gateway"]
    for subnet in subnets:
        same = [one for one in gateways if (":" in one) == (":" in subnet["subnet"])]
        subnet |= {"gateway": same[0]} if same else {}
    if subnets:
        network["ipam"] = {"config": subnets}
    for flag, value in options:
        if flag in ("-d", "--driver"):
            network["driver"] = value
        elif flag == "--internal":
            network["internal"] = True
        elif flag == "--ipv6":
            network["enable_ipv6"] = value != "false"
        elif flag in ("-o", "--opt"):
            key, _, setting = value.partition("=")
            network.setdefault("driver_opts", {})[key] = setting
    settings.networks[network["name"]] = network
    return True


#: The key of a network that only others take options from (`docker network create --config-only`).
_TEMPLATE = "x-config-only"
#: With more services than this, a free name is not searched from the first one on.
_SEARCHED = 100


def _free(name: str, services: dict[str, Any]) -> str:
    number = 1 if len(services) < _SEARCHED else len(services)
    while (free := name if number == 1 else f"{name}-{number}") in services:
        number += 1
    return free
