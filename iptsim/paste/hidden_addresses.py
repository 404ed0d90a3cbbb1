"""Addresses that people replace before they paste: `inet x.x.x.x/24`, `inet vpsip`, `default via 51.x.x.1`."""

from __future__ import annotations

import json
from typing import Any

from iptsim.languages import Message, message
from iptsim.paste.interfaces import address_of, entry_of, kind_of
from iptsim.reading import parse_json

#: The key of an entry of `ip -j addr` with an IPv4 address that cannot be read, or of a default route whose gateway
#: cannot.
HIDDEN = "hidden_address"
#: The networks of the assumed addresses, one per interface (RFC 5737, RFC 2544).
_NETWORKS = ("192.0.2", *(f"198.18.{number}" for number in range(1, 32)))


def hide(entry: dict[str, Any]) -> None:
    """Note that an interface or a default route has an IPv4 address that the text does not show."""
    entry[HIDDEN] = True


def fill_hidden(files: dict[str, bytes]) -> list[Message]:
    """Give an assumed address to each interface whose IPv4 address is hidden; return a sentence for each.

    Without it, the interface seems to lead nowhere, and the default route is assumed to be on another one. So does the
    interface of a default route whose gateway is hidden, unless it has an address.
    """
    if not any(HIDDEN.encode() in files.get(name, b"") for name in ("ip-addr.json", "ip-route.json")):
        return []
    entries, routes = (parse_json(files.get(name, b"[]")) for name in ("ip-addr.json", "ip-route.json"))
    by_name = {one["ifname"]: one for one in entries if isinstance(one, dict) and "ifname" in one}
    hidden = [one for one in routes if isinstance(one, dict) and one.get(HIDDEN) is True and "dev" in one]
    connected = {one.get("dev") for one in routes if isinstance(one, dict) and one.get("prefsrc")}
    for route in hidden:
        name = route["dev"]
        if name not in by_name and name not in connected:
            by_name[name] = entry_of(name, kind_of(name))
            hide(by_name[name])
    assumed: list[Message] = []
    lacking = [one for one in by_name.values() if one.get(HIDDEN) is True and not _has_ipv4(one)]
    for entry, network in zip(lacking, _NETWORKS, strict=False):
        name, address = entry["ifname"], f"{network}.10"
        entry["addr_info"].append(address_of("inet", address, 24))
        for route in hidden:
            if route["dev"] == name:
                route["gateway"] = f"{network}.1"
        assumed.append(
            message(
                "The address of {name} is not shown; it is assumed to be {address}.",
                name=name,
                address=address,
            )
        )
    files["ip-addr.json"] = json.dumps(list(by_name.values())).encode()
    if routes:
        files["ip-route.json"] = json.dumps(routes).encode()
    return assumed


def _has_ipv4(entry: dict[str, Any]) -> bool:
    return any(address["family"] == "inet" for address in entry["addr_info"])
