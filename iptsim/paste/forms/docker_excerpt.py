"""Parts of the JSON of `docker inspect` and `docker network inspect`, and what they print with `--format`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network
from typing import Any

from iptsim.dump.words import IN_QUOTES
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DOCKER0, default_subnet, guessed_subnet
from iptsim.host.docker_inspect import BRIDGE_OPTION
from iptsim.paste.forms.docker_json import segment_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Segment
from iptsim.paste.prompts import Command, command_of

#: Keys with which a part may begin, and the keys that tell something.
_BEGINS = re.compile(
    r'\s*"(?:Id|Name|Driver|Scope|Created|EnableIPv[46]|IPAM|Internal|Containers|Options|State|HostConfig|Config|'
    r'NetworkMode|PortBindings|NetworkSettings|Networks|Ports|IPAddress|Gateway|Subnet)"\s*:'
)
_JSON = re.compile(r'\s*(?:"|[\]}\[{])')
_TOKEN = re.compile(rf'"{IN_QUOTES}"|[^"{{}}\[\]]+|.', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}
#: At most this many lines, and levels.
_MOST, _DEPTH = 2000, 40
_ADDRESS = re.compile(
    r"\s*/?(?:(?P<name>[\w.-]+)\s*[:=-]\s*)?['\"]?(?P<address>\d+\.\d+\.\d+\.\d+)(?P<length>/\d+)?['\"]?\s*$"
)
_PART = re.compile(r"\{\{\s*json\s+\.(?P<key>\w+(?:\.\w+)*)\s*\}\}")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the part that starts at a line, or the output of the command in it; or None."""
    text = lines[at].text
    if _BEGINS.match(text) or text.strip() in ("[", "{", "[{"):
        # only at its first line, so that no line is read again and again
        follows = at > 0 and _JSON.match(lines[at - 1].text) is not None
        return _excerpt(lines, at) if not follows or command_of(lines[at - 1].text) else None
    typed = command_of(text)
    if typed is not None and typed.program in ("docker", "podman") and "inspect" in typed.words:
        return _formatted(lines, at, typed)
    return None


def _excerpt(lines: list[Line], at: int) -> Segment | None:
    """Return what lines of JSON say, although brackets, or lines within it, are missing."""
    end, kept = at, []
    while end < min(len(lines), at + _MOST):
        line = lines[end]
        if not (line.is_blank or line.is_gap or _JSON.match(line.text)):
            break
        if not (line.is_blank or line.is_gap):
            kept.append(line.text)
        end += 1
    last = end - 1
    while last > at and (lines[last].is_blank or lines[last].is_gap):
        last -= 1
    value = _completed("\n".join(kept))
    before = next(
        (one for one in (command_of(line.text) for line in lines[max(0, at - 2) : at]) if one), None
    )
    name = _inspected(before) if before is not None and "inspect" in before.words else ""
    return segment_of(list(_entries(value, name)), at, last, lines) if value is not None else None


def _inspected(typed: Command) -> str:
    """Return the last name that `docker inspect` was given, wherever its options are."""
    words = [*typed.words[typed.words.index("inspect") + 1 :]]
    names = []
    while words:
        word = words.pop(0)
        if word in ("-f", "--format", "--type"):
            words[:1] = []
        elif not word.startswith("-"):
            names.append(word)
    return names[-1] if names else ""


def _completed(text: str) -> Any:
    """Return the members of an object whose brackets may be missing; None if it is not JSON."""
    opened, made = ["{"], ["{"]
    for token in _TOKEN.findall(text.lstrip("[{ \n")):
        if token in _CLOSING:
            opened.append(token)
            if len(opened) > _DEPTH:
                return None
        elif token in ("}", "]"):
            if len(opened) == 1 or _CLOSING[opened[-1]] != token:
                continue  # its opening bracket is missing
            opened.pop()
        made.append(token)
    joined = "".join(made) + "".join(_CLOSING[one] for one in reversed(opened))
    joined = re.sub(r",(?=\s*[}\]])|,(?=\s*,)", "", joined)
    joined = re.sub(r'([}\]"\dle])(\s*\n\s*")', r"\1,\2", joined)
    try:
        return json.loads(joined)
    except (ValueError, RecursionError):
        return None


def _entries(value: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield the networks and containers that an object describes, in the engine's own form."""
    if not isinstance(value, dict):
        return
    settings = value.get("NetworkSettings")
    members, pools = value.get("Containers"), value.get("IPAM")
    if isinstance(value.get("Subnet"), str):  # an entry of IPAM's Config, such as grep prints
        pools = {"Config": [{key: value[key] for key in ("Subnet", "Gateway") if key in value}]}
    if isinstance(settings, dict) or isinstance(value.get("Networks"), dict) or "IPAddress" in value:
        own = settings if isinstance(settings, dict) else value
        address = own.get("IPAddress") or next(
            (one.get("IPAddress") for one in (own.get("Networks") or {}).values() if isinstance(one, dict)),
            None,
        )
        if isinstance(address, str) and address:
            named = str(value.get("Name") or name or address)
            if own.get("IPAddress") == address and not {"IPPrefixLen", "Gateway", "Networks"} & own.keys():
                own = {key: own[key] for key in own if key != "IPAddress"} | _endpoint(address)
            entry = {"Id": named, "Name": named, "State": {"Running": True}, **value, "NetworkSettings": own}
            yield entry
    elif isinstance(pools, dict) or (isinstance(members, dict) and _are_members(members)):
        pools = pools if isinstance(pools, dict) else {"Config": _subnets(members)}
        is_default = any(
            isinstance(one, dict) and one.get("Subnet") == str(DOCKER0) for one in pools.get("Config") or ()
        )
        named = str(value.get("Name") or ("bridge" if is_default else name) or "network")
        options = {BRIDGE_OPTION + "name": DEFAULT_BRIDGE} if is_default else {}
        yield {
            "Id": "", "Driver": "bridge", "Options": options, **value, "Name": named, "IPAM": pools,
            "Containers": members if isinstance(members, dict) else {},
        }  # fmt: skip


def _endpoint(address: str) -> dict[str, Any]:
    """Return the settings of a container with an address; only the default bridge has 172.17.0.0/16, usually.

    By default Docker gives the bridge, which is the gateway, the first address of the subnet.
    """
    try:
        number = int(IPv4Address(address))
    except ValueError:
        return {}
    subnet = default_subnet(number) or guessed_subnet(number)
    gateway = str(ip_network(str(subnet))[1])
    settings = {"IPAddress": address, "IPPrefixLen": subnet.length, "Gateway": gateway}
    return settings if subnet == DOCKER0 else {"Networks": {f"{address}/{subnet.length}": settings}}


def _are_members(members: dict[str, Any]) -> bool:
    return any(isinstance(one, dict) and one.get("IPv4Address") for one in members.values())


def _subnets(members: Any) -> list[dict[str, str]]:
    """Return the subnets in which the addresses of members are."""
    found = []
    for one in members.values() if isinstance(members, dict) else ():
        try:
            found.append(str(ip_network(str(one.get("IPv4Address")), strict=False)))
        except (ValueError, AttributeError):
            continue
    return [{"Subnet": one} for one in dict.fromkeys(found)]


def _formatted(lines: list[Line], at: int, typed: Command) -> Segment | None:
    """Return what a command with `--format` printed: a part as JSON, an address or a subnet."""
    template = typed.option("-f", "--format")
    if template is None or at + 1 >= len(lines):
        return None
    name, is_network = _inspected(typed), "network" in typed.words
    printed = lines[at + 1]
    part = _PART.search(template)
    if part is not None and printed.text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(printed.text)
        except (ValueError, RecursionError):
            return None
        for key in reversed(part["key"].split(".")):
            value = {key: value}
        return segment_of(list(_entries(value, name)), at, at + 1, lines)
    found = _ADDRESS.match(printed.text)
    if found is None:
        return None
    if is_network and "Subnet" in template and found["length"]:
        value = {"IPAM": {"Config": [{"Subnet": found["address"] + found["length"]}]}}
    elif not is_network and "IPAddress" in template:
        value = {"NetworkSettings": _endpoint(found["address"])}
    else:
        return None
    return segment_of(list(_entries(value, found["name"] or name)), at, at + 1, lines)
