"""The settings of Ubuntu's netplan, converted to the JSON of `ip -j addr` and `ip -j route`."""

from __future__ import annotations

import json
import re
from typing import Any

from iptsim.errors import FileSyntaxError
from iptsim.paste.interfaces import address_entry, default_route_entries, entry_of, kind_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command
from iptsim.yaml_file import read_yaml

_BEGINS = re.compile(r"network\s*:\s*$")
#: The kinds of devices and, if their name does not tell it, how `ip -d link` calls them (netplan-yaml).
_DEVICES = {"ethernets": None, "wifis": None, "vlans": "vlan", "bonds": "bond", "bridges": "bridge"}


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the settings of netplan that start at a line, or None."""
    if not _BEGINS.match(lines[at].text):
        return None
    last, end = at, at + 1
    while end < len(lines) and (lines[end].is_blank or lines[end].text[:1] in (" ", "\t", "#")):
        last = last if lines[end].is_blank else end
        end += 1
    try:
        document = read_yaml("\n".join(line.text.expandtabs() for line in lines[at : last + 1]), "netplan")
    except FileSyntaxError:
        return None
    network = document.get("network") if isinstance(document, dict) else None
    if not isinstance(network, dict) or not _DEVICES.keys() & network.keys():
        return None
    entries: dict[str, dict[str, Any]] = {}
    routes: list[dict[str, Any]] = []
    for kind, called in _DEVICES.items():
        for name, settings in _items(network.get(kind)):
            _note(entries, routes, name, called or kind_of(name), settings)
    found = {"ip-addr.json": list(entries.values()), "ip-route.json": routes}
    facts = Facts({file: json.dumps(data).encode() for file, data in found.items() if data})
    return Segment("netplan", "netplan", at, last, [facts]) if facts.files else None


def _note(
    entries: dict[str, dict[str, Any]],
    routes: list[dict[str, Any]],
    name: str,
    kind: str | None,
    settings: dict[str, Any],
) -> None:
    """Add what the settings of a device say: its addresses, the ports of a bridge or bond, its default route."""
    own = [next(iter(one), "") if isinstance(one, dict) else one for one in _list(settings.get("addresses"))]
    ports = [one for one in _list(settings.get("interfaces")) if isinstance(one, str)]
    if not own and not ports:
        return  # its address comes from elsewhere, such as DHCP
    entry = entries.setdefault(name, entry_of(name, kind))
    for text in own:
        try:
            entry["addr_info"].append(address_entry(str(text)))
        except ValueError:
            continue
    for port in ports:
        entries.setdefault(port, entry_of(port, kind_of(port)))["master"] = name
    ways = [one for one in _list(settings.get("routes")) if isinstance(one, dict)]
    gateways = [one.get("via") for one in ways if one.get("to") in ("default", "0.0.0.0/0")]
    for gateway in (settings.get("gateway4"), *gateways):
        routes += default_route_entries(str(gateway), name)


def _items(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the devices of a kind, and their settings."""
    devices = value.items() if isinstance(value, dict) else ()
    return [(name, one) for name, one in devices if isinstance(name, str) and isinstance(one, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
