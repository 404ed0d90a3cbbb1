"""The output of `ifconfig`, `route -n` and `netstat -rn`, converted to the JSON of `ip -j addr` and `ip -j route`."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Network, ip_address
from typing import Any

from iptsim.paste.addresses import is_address
from iptsim.paste.hidden_addresses import hide
from iptsim.paste.interfaces import address_of, kind_of
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_NEW = re.compile(r"([\w.:@-]+): flags=\d+<([A-Z0-9,_]*)>\s+mtu (\d+)")
_OLD = re.compile(r"([\w.:@-]+)\s+Link encap:")
#: An address and its netmask; older versions name both in the language of the system: "inet Adresse:... Maske:...".
_ADDRESS = re.compile(
    r"\s+inet (?:[^\s:]+: ?)?(\d+\.\d+\.\d+\.\d+)(?:\s+(?:netmask |.*:)(\d+\.\d+\.\d+\.\d+))?"
)
_IPV4 = re.compile(r"\s+inet (?:addr:)?\S+\s+(?:netmask |.*?Mask:)")
_ADDRESS6 = re.compile(r"\s+inet6 (?:addr: ?)?([0-9a-fA-F:]+)(?:/(\d+)|\s+prefixlen (\d+))")
_HARDWARE = re.compile(r"(?:ether|Link encap:.*?) ([0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5})\b")
_FLAGS = re.compile(
    r"\s+((?:UP|BROADCAST|RUNNING|MULTICAST|LOOPBACK|POINTOPOINT|NOARP)(?: [A-Z]+)*)\s+MTU:(\d+)"
)
#: How macOS and the BSDs print netmasks: the output is not of the host.
_OF_BSD = re.compile(r"\s+inet \S+ (?:--> \S+ )?netmask 0x")
_ROUTES = re.compile(
    r"\s*(?:Kernel IP routing table|Destination\s+Gateway\s+Genmask"
    r"|\d+\.\d+\.\d+\.\d+\s+\d+\.\d+\.\d+\.\d+\s+\d+\.\d+\.\d+\.\d+\s+U[A-Z]*\s+\d+\s+\d+\s+\d+\s+\S+\s*$)"
)
_ROUTE = re.compile(
    r"\s*(default|\d+\.\d+\.\d+\.\d+)\s+(\S+)\s+(\d+\.\d+\.\d+\.\d+)\s+([A-Z!]+)\s+(?:\d+\s+){2,3}(\S+)\s*$"
)
#: A route to a host whose address was looked up, as without -n; the name may be cut.
_NAMED = re.compile(r"\s*[A-Za-z0-9][\w.-]*\s+\S+\s+\d+\.\d+\.\d+\.\d+\s+U[A-Z!]*\s+(?:\d+\s+){2,3}\S+\s*$")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the output of net-tools that starts at a line, or None."""
    text = lines[at].text
    if _NEW.match(text) or _OLD.match(text):
        return _interfaces(lines, at)
    return _routes(lines, at) if _ROUTES.match(text) else None


def _interfaces(lines: list[Line], at: int) -> Segment | None:
    entries: list[dict[str, Any]] = []
    first = last = at
    while at < len(lines):
        text = lines[at].text
        begins = _NEW.match(text) or _OLD.match(text)
        if begins is not None:
            entries.append(_interface(begins))
        elif not lines[at].is_blank and not text.startswith((" ", "\t")):
            break
        if _OF_BSD.match(text):
            return None
        if not lines[at].is_blank:
            _detail(entries[-1], text)
            last = at
        at += 1
    for entry in entries:
        entry.setdefault(
            "flags", ["UP"]
        )  # the line with its flags is left out; without -a, only these are shown
    facts = Facts({"ip-addr.json": json.dumps(entries).encode()})
    return Segment("ifconfig", "ifconfig", first, last, [facts])


def _interface(begins: re.Match[str]) -> dict[str, Any]:
    name = begins[1].partition(":")[0]
    entry: dict[str, Any] = {"ifname": name, "addr_info": []}
    if begins.re is _NEW:
        entry |= {"flags": [flag for flag in begins[2].split(",") if flag], "mtu": int(begins[3])}
    if kind_of(name) == "bridge":
        entry["linkinfo"] = {"info_kind": "bridge"}
    return entry


def _detail(entry: dict[str, Any], text: str) -> None:
    """Add the data in a line about an interface."""
    if found := _HARDWARE.search(text):
        entry["address"] = found[1]
    if found := _FLAGS.match(text):
        entry |= {"flags": found[1].split(), "mtu": int(found[2])}
    if (found := _ADDRESS.match(text)) and found[2]:
        length = _length(found[2])
        if length is not None and is_address(found[1]):
            entry["addr_info"].append(address_of("inet", found[1], length))
    elif found is None and _IPV4.match(text):
        hide(entry)
    if found := _ADDRESS6.match(text):
        entry["addr_info"].append(address_of("inet6", found[1], int(found[2] or found[3])))


def _routes(lines: list[Line], at: int) -> Segment | None:
    entries: list[dict[str, Any]] = []
    unread: list[int] = []
    first = last = at
    while at < len(lines):
        text = lines[at].text
        found = _ROUTE.match(text)
        if found and (entry := _route(found)) is not None:
            entries.append(entry)
        elif not found and _NAMED.match(text):
            unread.append(at)
        elif found or not _ROUTES.match(text):
            break
        last = at
        at += 1
    if not entries:
        return None
    facts = Facts({"ip-route.json": json.dumps(entries).encode()})
    return Segment("route", "route -n", first, last, [facts], unread)


def _length(mask: str) -> int | None:
    """Return the length of a prefix whose netmask is given; None if it is not a netmask."""
    try:
        return IPv4Network(f"0.0.0.0/{mask}").prefixlen
    except ValueError:
        return None


def _route(found: re.Match[str]) -> dict[str, Any] | None:
    """Return the route of a row; None if an address or the netmask is impossible."""
    target, gateway, mask, flags, device = found.groups()
    length = _length(mask)
    if length is None or not (target == "default" or is_address(target)):
        return None
    default = target == "default" or (target == "0.0.0.0" and not length)  # noqa: S104
    entry: dict[str, Any] = {
        "dst": "default" if default else f"{target}/{length}",
        "dev": device,
        "flags": [],
    }
    if "G" in flags and is_address(gateway) and int(ip_address(gateway)):
        entry["gateway"] = gateway
    else:
        entry["scope"] = "link"
    if "!" in flags:
        entry["type"] = "unreachable"
    return entry
