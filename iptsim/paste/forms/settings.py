"""Docker's settings in files: daemon.json, a Compose file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from iptsim.docker.sources.daemon_json import KEYS
from iptsim.errors import FileSyntaxError
from iptsim.languages import message, text_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Piece, Segment, Settings, Warned
from iptsim.paste.prompts import Command
from iptsim.paste.undoing import NOT_SO
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
#: Keys of daemon.json whose values are addresses, and what is in none: somebody has redacted it.
_ADDRESSES = ("bip", "bip6", "default-gateway", "default-gateway-v6", "fixed-cidr", "fixed-cidr-v6", "ip")
_REDACTED = re.compile(r"[^0-9A-Fa-f.:/]")
#: The maximum number of lines that a document may lose to a cut.
_CUT = 4
#: A line of a mapping or a list.
_YAML = re.compile(r"\s*(?:- \S|(?:- )?[\"']?[\w./-]+[\"']?\s*:(?:\s|$))")
_COMPOSE = re.compile(r"(?:version|services|networks|name|x-[\w-]+)\s*:")
#: The keys of a network in a Compose file (compose-spec, networks).
_NETWORK = frozenset(
    {
        "attachable",
        "driver",
        "driver_opts",
        "enable_ipv4",
        "enable_ipv6",
        "external",
        "internal",
        "ipam",
        "labels",
        "name",
    }
)
#: A part of a Compose file.
_TOP = re.compile(r"(?:version|services|networks|name)(?=\s*:)")
#: The settings of dockerd within a sentence.
_WITHIN = re.compile(r".{0,300}daemon\.json\b.{0,100}?(?P<settings>\{.*\})")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the settings that start at a line, or None."""
    text = lines[at].text
    if text.lstrip()[:1] == "{":
        return _daemon(lines, at)
    if (
        "daemon.json" in text
        and (within := _WITHIN.match(text))
        and not NOT_SO.search(text[: within.start(1)])
    ):
        found = _daemon([lines[at]._replace(text=within["settings"], whole=within["settings"])], 0)
        if found is not None:
            found.first = found.last = at
        return found
    if _COMPOSE.match(text):
        return _compose(lines, at)
    return None


def _daemon(lines: list[Line], at: int) -> Segment | None:
    text = "\n".join(line.text for line in lines[at:])
    try:
        value, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not value.keys() & _DAEMON or not value.keys() <= KEYS.keys() | _DAEMON:
        return None
    end += len(text) - len(text.lstrip())
    redacted = [key for key in _ADDRESSES if isinstance(value.get(key), str) and _REDACTED.search(value[key])]
    warned = [
        Warned(
            message(
                "daemon.json: {key}: {value!r} is redacted; it is ignored", key=key, value=value.pop(key)
            ),
            lines[at].number,
        )
        for key in redacted
    ]
    pieces: list[Piece] = [Settings(lines[at].number, daemon=value), *warned]
    return Segment("daemon.json", "daemon.json", at, at + text.count("\n", 0, end), pieces)


def _compose(lines: list[Line], at: int) -> Segment | None:
    """Return the Compose file that starts at a line: the longest run of lines that can be YAML.

    Raises:
        FileSyntaxError: the text is a Compose file and nothing else, and it is not YAML.
    """
    end = at
    keys = set[str]()
    while end < len(lines) and re.match(r"\s*$|\s+\S|#|[\w.-]+\s*:|- ", lines[end].text):
        key = _TOP.match(lines[end].text)
        if key is not None and key[0] in keys and "services" in keys:
            break  # another file
        keys |= {key[0]} if key is not None else set()
        end += 1
    texts = [line.text.expandtabs() for line in lines[at:end]]
    if not any(re.match(r"services\s*:", text) for text in texts):
        return _networks(lines, at, end)
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
    networks = document.get("networks")
    settings = Settings(
        lines[at].number,
        services=document["services"],
        networks=networks if isinstance(networks, dict) else {},
        is_file=True,
        text="\n".join(texts[:length]),
    )
    pieces: list[Piece] = [settings]
    if error is not None:
        pieces.append(Warned(text_of(error), lines[at].number))
    return Segment("a Compose file", "a Compose file", at, end - 1, pieces)


def _networks(lines: list[Line], at: int, end: int) -> Segment | None:
    """Return the networks of a Compose file of which the services are not shown; None if they declare nothing."""
    while end > at and lines[end - 1].is_blank:
        end -= 1
    try:
        document = read_yaml("\n".join(line.text.expandtabs() for line in lines[at:end]), "the Compose file")
    except FileSyntaxError:
        return None
    if not isinstance(document, dict) or not document.keys() <= {"networks", "version", "name", "volumes"}:
        return None
    networks = document.get("networks")
    if not isinstance(networks, dict) or not all(map(_is_network, networks.values())):
        return None
    if not any(networks.values()):
        return None
    settings = Settings(
        lines[at].number, networks={str(name): one for name, one in networks.items()}, in_order=True
    )
    return Segment("a Compose file", "the networks of a Compose file", at, end - 1, [settings])


def _is_network(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and value.keys() <= _NETWORK)


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


def merged(found: list[Settings]) -> Settings:
    """Merge several settings; later ones take precedence. Files without a common service are separate projects."""
    whole = Settings(
        found[0].line, in_order=all(one.in_order for one in found if one.services or one.networks)
    )
    files: list[Settings] = []
    for one in found:
        if one.is_file and files and not any(one.services.keys() & other.services.keys() for other in files):
            files.append(one)
            one = _apart(one, len(files), whole.networks)
        elif one.is_file:
            files.append(one)
        whole.daemon |= one.daemon
        whole.services |= one.services
        for name, network in one.networks.items():
            whole.networks[name] = {**(whole.networks.get(name) or {}), **(network or {})}
    return whole


def _apart(file: Settings, number: int, known: dict[str, Any]) -> Settings:
    """Return a file as another project, with networks of its own, except those that have a name or are external."""
    prefix = f"project{number}_"
    own = {"default": f"{prefix}default"}
    own |= {
        name: f"{prefix}{name}"
        for name, network in file.networks.items()
        if not _is_shared(network) or (name in known and not _is_shared(known[name]))
    }
    networks: dict[str, Any] = {
        own.get(name, name): _named(network, name)
        if _is_shared(network)
        else {**(network or {}), "name": own[name]}
        for name, network in file.networks.items()
    }
    networks.setdefault(own["default"], {"name": own["default"]})
    return replace(
        file,
        services={name: _joined(service, own) for name, service in file.services.items()},
        networks=networks,
    )


def _is_shared(network: Any) -> bool:
    """Return whether a network may be one of another project, too."""
    return isinstance(network, dict) and bool({"external", "name"} & network.keys())


def _named(network: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a network that may be one of another project with its name, which is its key by default."""
    return network if isinstance(network.get("external"), dict) else {"name": name, **network}


def _joined(service: Any, own: dict[str, str]) -> Any:
    """Return a service whose networks have the names of its project."""
    if not isinstance(service, dict) or service.get("network_mode") or service.get("net"):
        return service
    networks = service.get("networks")
    if isinstance(networks, dict) and networks:
        return {**service, "networks": {own.get(str(name), name): place for name, place in networks.items()}}
    named = networks if isinstance(networks, list) and networks else ["default"]
    return {**service, "networks": [own.get(str(name), name) for name in named]}
