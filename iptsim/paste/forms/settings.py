"""Docker's settings: daemon.json, a Compose file, `docker run` and `docker network create`."""

from __future__ import annotations

import json
import re
from typing import Any

from iptsim.errors import FileSyntaxError
from iptsim.languages import text_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Piece, Segment, Settings, Warned
from iptsim.paste.prompts import Command, command_of
from iptsim.yaml_file import read_yaml

#: Keys of daemon.json by which it differs from other JSON (dockerd(8)).
_DAEMON = frozenset({
    "allow-direct-routing", "bip", "bridge", "data-root", "debug", "default-address-pools",
    "default-gateway", "default-network-opts", "dns", "dns-opts", "dns-search", "exec-opts", "experimental",
    "features", "firewall-backend", "fixed-cidr", "fixed-cidr-v6", "hosts", "icc", "insecure-registries",
    "ip", "ip-forward", "ip-forward-no-drop", "ip-masq", "ip6tables", "iptables", "ipv6", "labels",
    "live-restore", "log-driver", "log-level", "log-opts", "mtu", "registry-mirrors", "runtimes",
    "storage-driver", "userland-proxy", "userns-remap",
})  # fmt: skip
#: The maximum number of lines that a document may lose to a cut.
_CUT = 4
#: A line of a mapping or a list.
_YAML = re.compile(r"\s*(?:- \S|(?:- )?[\"']?[\w./-]+[\"']?\s*:(?:\s|$))")
_COMPOSE = re.compile(r"(?:version|services|networks|name|x-[\w-]+)\s*:")
#: A command at the end of a sentence, whose further words are arguments of the container.
_SAID = re.compile(
    r"(?P<before>.{0,300}[\s`(\"'])"
    r"(?P<command>(?:sudo\s+)?docker\s+(?:run\s+(?=(?:-[^`]*\s)?(?:-p|--publish|--network)[ =])[^`]*?"
    r"|network\s+create\s+[^`]+?))[`)\"']?[.?!]*"
)
#: The settings of dockerd within a sentence.
_WITHIN = re.compile(r".{0,300}daemon\.json\b.{0,100}?(?P<settings>\{.*\})")
#: At most this many lines belong to it.
_FURTHER = 30
#: Words before it that make it untrue.
_NOT_SO = re.compile(
    r"\b(?:instead|rather|should|would|could|will|want|if|what|how|before|previously|used to|not|never|without|or)\b"
    r"|n't\b",
    re.IGNORECASE,
)
#: Options of `docker run` without an argument.
_FLAGS = re.compile(
    r"-[ditP]+$|--(?:detach|interactive|tty|rm|privileged|init|read-only|publish-all|no-healthcheck)(?:=.*)?$"
)
#: Those of `docker network create`, where -d is the driver.
_NETWORK_FLAGS = re.compile(r"--(?:attachable|config-only|ingress|internal|ipv[46])(?:=.*)?$")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the settings that start at a line, or None."""
    text = lines[at].text
    if text.lstrip()[:1] == "{":
        return _daemon(lines, at)
    if (
        "daemon.json" in text
        and (within := _WITHIN.match(text))
        and not _NOT_SO.search(text[: within.start(1)])
    ):
        found = _daemon([lines[at]._replace(text=within["settings"], whole=within["settings"])], 0)
        if found is not None:
            found.first = found.last = at
        return found
    if _COMPOSE.match(text):
        return _compose(lines, at)
    typed = command_of(text)
    if typed is None and (said := _SAID.fullmatch(text)) and not _NOT_SO.search(said["before"]):
        first = lines[at]._replace(text=said["command"], whole=said["command"])
        found = _commands([first, *lines[at + 1 : at + _FURTHER]], 0)
        if found is not None:
            found.first, found.last = at, at + found.last
        return found
    # podman takes the same options, but writes other rules
    is_dockers = typed is not None and typed.program in ("docker", "dockerd")
    return _commands(lines, at) if is_dockers else None


def _daemon(lines: list[Line], at: int) -> Segment | None:
    text = "\n".join(line.text for line in lines[at:])
    try:
        value, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value or not set(value) <= _DAEMON:
        return None
    end += len(text) - len(text.lstrip())
    settings = Settings(lines[at].number, daemon=value)
    return Segment("daemon.json", "daemon.json", at, at + text.count("\n", 0, end), [settings])


def _compose(lines: list[Line], at: int) -> Segment | None:
    """Return the Compose file that starts at a line: the longest run of lines that can be YAML.

    Raises:
        FileSyntaxError: the text is a Compose file and nothing else, and it is not YAML.
    """
    end = at
    while end < len(lines) and re.match(r"\s*$|\s+\S|#|[\w.-]+\s*:|- ", lines[end].text):
        end += 1
    texts = [line.text.expandtabs() for line in lines[at:end]]
    if not any(re.match(r"services\s*:", text) for text in texts):
        return None
    alone = end == len(lines) and all(line.is_blank for line in lines[:at])
    document, length, error = _document(texts, alone=alone)
    if document is None and error is not None:
        return Segment(
            "a Compose file", "a Compose file", at, end - 1, [Warned(text_of(error), lines[at].number)]
        )
    if not isinstance(document, dict) or not isinstance(document.get("services"), dict):
        return None
    end = at + length
    while lines[end - 1].is_blank:
        end -= 1
    settings = Settings(
        lines[at].number, services=document["services"], networks=document.get("networks") or {}
    )
    pieces: list[Piece] = [settings]
    if error is not None:
        pieces.append(Warned(text_of(error), lines[at].number))
    return Segment("a Compose file", "a Compose file", at, end - 1, pieces)


def _document(texts: list[str], *, alone: bool) -> tuple[Any, int, FileSyntaxError | None]:
    """Return the document in some lines, how many of them it has, and the error for which it ends there.

    If it was cut off, it lacks the last lines; if other text follows, it ends at a blank line before that.

    Args:
        alone: the text has no other lines.

    Raises:
        FileSyntaxError: it is not YAML.
    """
    first: FileSyntaxError | None = None
    for end in range(len(texts), max(len(texts) - _CUT, 0), -1):
        try:
            return read_yaml("\n".join(texts[:end]), "the Compose file"), end, None
        except FileSyntaxError as error:
            first = first or error
    assert first is not None
    wrong = first.span.line - 1
    is_yaml = wrong >= len(texts) or _YAML.match(texts[wrong]) is not None
    if alone and is_yaml:
        raise first
    try:
        return read_yaml("\n".join(texts), "the Compose file", repeats=True), len(texts), first
    except FileSyntaxError:
        pass
    blank = [end for end in range(min(wrong, len(texts) - 1), 0, -1) if not texts[end].strip()]
    for end in blank[:_CUT]:
        try:
            return read_yaml("\n".join(texts[:end]), "the Compose file"), end, first if is_yaml else None
        except FileSyntaxError:
            continue
    if alone:
        raise first
    return None, len(texts), first


# -- commands ------------------------------------------------------------------------------------------------


def _commands(lines: list[Line], at: int) -> Segment | None:
    """Return the Docker commands that start at a line and change something, as the resulting settings."""
    settings = Settings(lines[at].number)
    last = None
    index = at
    while index < len(lines):
        begun, text = index, lines[index].text
        index += 1
        while text.endswith("\\") and index < len(lines):
            text = text[:-1] + " " + lines[index].text.lstrip()
            index += 1
        typed = command_of(text)
        if not lines[begun].is_blank and (typed is None or not _takes(typed, settings)):
            break
        last = index - 1 if typed is not None else last
    if last is None:
        return None
    return Segment("docker commands", "docker commands", at, last, [settings])


def _takes(typed: Command, settings: Settings) -> bool:
    """Apply the effect of a command; return whether it has any."""
    words = list(typed.words)
    if typed.program == "dockerd":
        return False
    if words[:1] in (["run"], ["create"]) or words[:2] in (["container", "run"], ["container", "create"]):
        return _run(words[2:] if words[0] == "container" else words[1:], settings)
    if words[:2] == ["network", "create"]:
        return _network(words[2:], settings)
    if words[:2] == ["network", "connect"]:
        return _connect(words[2:], settings)
    return False


def _options(words: list[str], flags: re.Pattern[str] = _FLAGS) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options of a command and the words after them."""
    options: list[tuple[str, str]] = []
    left = list(words)
    while left and left[0].startswith("-"):
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if flags.match(word):
            options.append((name, ""))
        elif flags is _FLAGS and re.fullmatch(r"-[ditP]+[a-z]", word):  # -dp 80:80
            options.append((f"-{word[-1]}", left.pop(0) if left else ""))
        elif equals:
            options.append((name, value))
        elif re.match(r"-[a-z]..", word) and not word.startswith("--"):
            options.append((word[:2], word[2:]))
        else:
            options.append((name, left.pop(0) if left else ""))
    return options, left


def _run(words: list[str], settings: Settings) -> bool:
    options, behind = _options(words)
    if not behind:
        return False
    service: dict[str, Any] = {"image": behind[0], "network_mode": "bridge"}
    given = dict(options)
    image = behind[0].rpartition("/")[2].partition(":")[0]
    name = given.get("--name") or _free(image, settings.services)
    service["container_name"] = name
    service["ports"] = [value for flag, value in options if flag in ("-p", "--publish")]
    service["expose"] = [value for flag, value in options if flag == "--expose"]
    network = given.get("--network") or given.get("--net")
    if network in ("host", "none"):
        service["network_mode"] = network
    elif network and network not in ("bridge", "default"):
        del service["network_mode"]
        service["networks"] = {network: _addresses(given)}
        settings.networks.setdefault(network, {"name": network})
    settings.services[name] = service
    return True


def _addresses(given: dict[str, str]) -> dict[str, str]:
    """Return the addresses that a command gives a container, as a Compose file does."""
    keys = {"--ip": "ipv4_address", "--ip6": "ipv6_address"}
    return {key: given[flag] for flag, key in keys.items() if flag in given}


def _connect(words: list[str], settings: Settings) -> bool:
    """Connect a container to a further network; Compose cannot say so of the default network."""
    options, behind = _options(words)
    network, name = behind if len(behind) == 2 else ("", "")
    networks = settings.services.get(name, {}).get("networks")
    if networks is None or network in ("bridge", "host", "none"):
        return False
    networks[network] = _addresses(dict(options))
    settings.networks.setdefault(network, {"name": network})
    return True


def _network(words: list[str], settings: Settings) -> bool:
    options: list[tuple[str, str]] = []
    names: list[str] = []
    while words:  # options may follow the name
        found, words = _options(words, _NETWORK_FLAGS)
        options += found
        names += words[:1]
        words = words[1:]
    if len(names) != 1:
        return False
    name = names[0]
    network: dict[str, Any] = {"name": name}
    subnets = [{"subnet": value} for flag, value in options if flag == "--subnet"]
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
    settings.networks[name] = network
    return True


#: With more services than this, a free name is not searched from the first one on.
_SEARCHED = 100


def _free(name: str, services: dict[str, Any]) -> str:
    number = 1 if len(services) < _SEARCHED else len(services)
    while (free := name if number == 1 else f"{name}-{number}") in services:
        number += 1
    return free


def merged(found: list[Settings]) -> Settings:
    """Merge several settings; later ones take precedence."""
    whole = Settings(found[0].line)
    for one in found:
        whole.daemon |= one.daemon
        whole.services |= one.services
        for name, network in one.networks.items():
            whole.networks[name] = {**(whole.networks.get(name) or {}), **(network or {})}
    return whole
