"""Interfaces in pasted text as `ip -j addr` prints them, and their kind, inferred from the name."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, ip_interface
from typing import Any

from iptsim.addresses import is_link_local, is_loopback, parse_address

_KINDS = (
    (re.compile(r"virbr\d+-nic"), "tun"),  # keeps the MAC address of libvirt's bridge
    (re.compile(r"docker\d|br-|br\d|virbr|lxdbr|lxcbr|incusbr|vmbr|cni|docker_gwbridge"), "bridge"),
    (re.compile(r"vrf"), "vrf"),
    (re.compile(r"veth|vnet"), "veth"),
    (re.compile(r"wg"), "wireguard"),
    (re.compile(r"tun|tap|tailscale"), "tun"),
)


def kind_of(name: str) -> str | None:
    """Return the kind of an interface, as `ip -d link` calls it; None if the name does not show it."""
    return next((kind for form, kind in _KINDS if form.match(name)), None)


def usual_scope(address: str) -> str:
    """Return the scope that an address has unless `ip addr add` gives another one: "host", "link" or "global"."""
    try:
        family, number = parse_address(address)
    except ValueError:
        return "global"
    if is_loopback(family, number):
        return "host"
    return "link" if family == 6 and is_link_local(family, number) else "global"


def entry_of(name: str, kind: str | None) -> dict[str, Any]:
    """Return an interface that is up, as `ip -j -d addr` prints it, without addresses."""
    entry: dict[str, Any] = {"ifname": name, "flags": ["UP"], "link_type": "ether", "addr_info": []}
    return entry if kind is None else {**entry, "linkinfo": {"info_kind": kind}}


def joined_entries(entries: list[Any]) -> list[Any]:
    """Return entries of `ip -j addr` with one per interface; other entries are kept as they are.

    The first entry of an interface counts; later ones add what it lacks, as `ip link` after `ip -4 addr`.
    """
    found: dict[str, dict[str, Any]] = {}
    others: list[Any] = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("ifname"), str):
            others.append(entry)
            continue
        first = found.get(entry["ifname"], {})
        own = _addresses(first)
        families = [one.get("family") for one in own]
        added = [one for one in _addresses(entry) if one.get("family") not in families]
        found[entry["ifname"]] = {**entry, **first, "addr_info": [*own, *added]}
    return [*found.values(), *others]


def _addresses(entry: dict[str, Any]) -> list[dict[str, Any]]:
    given = entry.get("addr_info")
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def address_entry(text: str) -> dict[str, Any]:
    """Return an address with its prefix length, such as 192.0.2.10/24, as `ip -j addr` prints it.

    Raises:
        ValueError: it cannot be read.
    """
    own = ip_interface(text)
    return address_of(f"inet{'6' if own.version == 6 else ''}", str(own.ip), own.network.prefixlen)


def address_of(family: str, local: str, length: int) -> dict[str, Any]:
    """Return an address as `ip -j addr` prints it; its family is inet or inet6."""
    return {"family": family, "local": local, "prefixlen": length, "scope": usual_scope(local)}


def default_route_entries(gateway: str, device: str) -> list[dict[str, Any]]:
    """Return the default route through an IPv4 gateway as `ip -j route` prints it; none if there is no such gateway."""
    try:
        return [{"dst": "default", "gateway": str(IPv4Address(gateway)), "dev": device, "flags": []}]
    except ValueError:
        return []
