"""Debian's /etc/network/interfaces, converted to the JSON of `ip -j addr` and `ip -j route` (interfaces(5)).

Commands in it (`post-up iptables ...`) are another form: :mod:`iptsim.paste.forms.commands`.
"""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network
from typing import Any

from iptsim.paste.hidden_addresses import hide
from iptsim.paste.interfaces import address_entry, default_route_entries, entry_of, kind_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_STANZA = re.compile(r"\s*iface\s+([\w.:-]+)\s+(inet6?)\s+([\w-]+)\s*$")
_OPTION = re.compile(
    r"\s*(address|netmask|network|broadcast|gateway|dns-[\w-]+|mtu|hwaddress|metric|pointopoint|autoconf|accept_ra"
    r"|bridge[_-][\w-]+|bond[_-][\w-]+|vlan[_-][\w-]+)(?:\s+(\S.*?))?\s*$"
)
#: At most this many lines come before the first stanza.
_BEFORE = 30
_BETWEEN = re.compile(r"\s*(?:auto|allow-[\w-]+|no-auto-down|source(?:-directory)?)\s+\S.*$|\s*#.*$")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the stanzas that start at a line, up to the first line of another form, or None."""
    if lines[at].text.lstrip().startswith("#"):
        return None
    first, last = at, None
    entries: dict[str, dict[str, Any]] = {}
    routes: list[dict[str, Any]] = []
    while at < len(lines):
        stanza = _STANZA.match(lines[at].text)
        if stanza is not None:
            options: dict[str, str] = {}
            while at + 1 < len(lines) and (option := _OPTION.match(lines[at + 1].text)) is not None:
                options[option[1].replace("_", "-")] = option[2] or ""
                at += 1
            last = at
            _note(entries, routes, stanza[1], options, hides=stanza[2] == "inet")
        elif (not lines[at].is_blank and not _BETWEEN.match(lines[at].text)) or (
            last is None and at - first > _BEFORE
        ):
            break
        at += 1
    if last is None:
        return None
    found = {"ip-addr.json": list(entries.values()), "ip-route.json": routes}
    facts = Facts({file: json.dumps(data).encode() for file, data in found.items() if data})
    title = "/etc/network/interfaces"
    return Segment(title, title, first, last, [facts] if facts.files else [])


def _note(
    entries: dict[str, dict[str, Any]],
    routes: list[dict[str, Any]],
    name: str,
    options: dict[str, str],
    *,
    hides: bool,
) -> None:
    """Add what a stanza says about its interface, the ports of a bridge, and the default route."""
    name = name.partition(":")[0]  # eth0:1 is a label
    ports = [port for port in options.get("bridge-ports", "").split() if port not in ("none", "regex")]
    own = _address(options)
    hidden = hides and own is None and bool(options.get("address"))
    if own is None and not hidden and "bridge-ports" not in options:
        return  # its address comes from elsewhere, such as DHCP
    entry = entries.setdefault(name, entry_of(name, "bridge" if "bridge-ports" in options else kind_of(name)))
    if own is not None:
        entry["addr_info"].append(own)
    for port in ports:
        entries.setdefault(port, entry_of(port, kind_of(port)))["master"] = name
    if hidden:
        hide(entry)
    found = default_route_entries(options.get("gateway", ""), name)
    if not found and hidden and options.get("gateway"):
        found = [{"dst": "default", "dev": name, "flags": []}]
        hide(found[0])
    routes += found


def _address(options: dict[str, str]) -> dict[str, Any] | None:
    """Return the address of a stanza as `ip -j addr` prints it, None if there is none or it can't be read."""
    written, mask = options.get("address", ""), options.get("netmask", "")
    try:
        length = IPv4Network(f"0.0.0.0/{mask}").prefixlen if "." in mask else mask
        return address_entry(written if "/" in written or not mask else f"{written}/{length}")
    except ValueError:
        return None
