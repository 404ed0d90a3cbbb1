"""The JSON of `docker inspect`, `docker network inspect`, `docker info` and Podman's equivalents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

#: The maximum number of lines of one JSON text.
_LONGEST = 20_000


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the JSON of an engine that starts at a line, or None."""
    if lines[at].text.lstrip()[:1] not in ("[", "{"):
        return None
    text = "\n".join(line.whole for line in lines[at : at + _LONGEST])
    begin = len(text) - len(text.lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None
    entries = value if isinstance(value, list) else [value]
    return segment_of(entries, at, at + text.count("\n", 0, end), lines)


def segment_of(entries: list[Any], first: int, last: int, lines: list[Line]) -> Segment | None:
    """Return the segment with what an engine printed about containers and networks; None if it is nothing known.

    Args:
        entries: the objects.
        first / last: the indexes of their lines.
        lines: the lines of the text.
    """
    files: dict[str, list[Any]] = {}
    for entry in entries:
        for name, one in _files(entry):
            files.setdefault(name, []).append(one)
    if not files:
        return None
    title = _TITLES[next(iter(files))]
    if "docker-network-inspect.json" in files and not any("NetworkSettings" in line.text for line in lines):
        files["docker-inspect.json"] = _members(files["docker-network-inspect.json"])
    facts = {
        name: json.dumps(found if name in _LISTS else found[0]).encode() for name, found in files.items()
    }
    return Segment(title, title, first, last, [Facts(facts)])


#: The usual names of a capture's files; all but one contain a list.
_TITLES = {
    "docker-inspect.json": "docker inspect",
    "docker-network-inspect.json": "docker network inspect",
    "podman-network-inspect.json": "podman network inspect",
    "docker-info.json": "docker info",
    "nft-ruleset.json": "nft -j list ruleset",
    "daemon.json": "daemon.json",
}
_LISTS = frozenset(_TITLES) - {"docker-info.json", "nft-ruleset.json", "daemon.json"}


def _members(networks: list[Any]) -> list[dict[str, Any]]:
    """Return the data about containers in networks, in the form of `docker inspect`."""
    found: dict[str, dict[str, Any]] = {}
    for network in networks:
        members, gateways = network.get("Containers"), _gateways(network)
        for identity, member in members.items() if isinstance(members, dict) else ():
            if not isinstance(member, dict):
                continue
            address, _, length = str(member.get("IPv4Address") or "").partition("/")
            address6, _, length6 = str(member.get("IPv6Address") or "").partition("/")
            endpoint = {
                "IPAddress": address,
                "IPPrefixLen": int(length or 0),
                "Gateway": gateways[4] if address else "",
                "IPv6Gateway": gateways[6] if address6 else "",
                "GlobalIPv6Address": address6,
                "GlobalIPv6PrefixLen": int(length6 or 0),
                "MacAddress": member.get("MacAddress") or "",
                "NetworkID": network.get("Id") or "",
            }
            entry = found.setdefault(
                identity,
                {
                    "Id": identity,
                    "Name": member.get("Name") or identity,
                    "State": {"Running": True},
                    "NetworkSettings": {"Networks": {}},
                },
            )
            entry["NetworkSettings"]["Networks"][network.get("Name") or ""] = endpoint
    return list(found.values())


def _gateways(network: dict[str, Any]) -> dict[int, str]:
    """Return the gateway of each family, by default the first address of the subnet; an internal network has none."""
    found = {4: "", 6: ""}
    pools = (network.get("IPAM") or {}).get("Config") or []
    for pool in [] if network.get("Internal") else pools:
        try:
            subnet = ip_network(pool.get("Subnet") or "")
        except ValueError:
            continue
        found[subnet.version] = (pool.get("Gateway") or str(subnet[1])).partition("/")[0]
    return found


def _files(entry: Any) -> Iterator[tuple[str, Any]]:
    """Yield the type of an object, as the name of a capture's file."""
    if not isinstance(entry, dict):
        return
    if "NetworkSettings" in entry and ("Config" in entry or "HostConfig" in entry or "State" in entry):
        yield "docker-inspect.json", entry
    elif "IPAM" in entry and "Driver" in entry:
        yield "docker-network-inspect.json", entry
    elif "ServerVersion" in entry:
        yield "docker-info.json", entry
    elif isinstance(entry.get("nftables"), list):
        yield "nft-ruleset.json", entry
    elif "network_interface" in entry and "subnets" in entry:
        yield "podman-network-inspect.json", entry
