"""Addresses of interfaces that people replace before they paste: `inet x.x.x.x/24`, `inet vpsip`."""

from __future__ import annotations

import json
from typing import Any

from iptsim.languages import Message, message
from iptsim.paste.interfaces import address_of
from iptsim.reading import parse_json

#: The key of an entry of `ip -j addr` with an IPv4 address that cannot be read.
HIDDEN = "hidden_address"
#: The networks of the assumed addresses, one per interface (RFC 5737, RFC 2544).
_NETWORKS = ("192.0.2", *(f"198.18.{number}" for number in range(1, 32)))


def hide(entry: dict[str, Any]) -> None:
    """Note that an interface has an IPv4 address that the text does not show."""
    entry[HIDDEN] = True


def fill_hidden(files: dict[str, bytes]) -> list[Message]:
    """Give an assumed address to each interface whose IPv4 address is hidden; return a sentence for each.

    Without it, the interface seems to lead nowhere, and the default route is assumed to be on another one.
    """
    if HIDDEN.encode() not in files.get("ip-addr.json", b""):
        return []
    entries = parse_json(files["ip-addr.json"])
    hidden = [
        one
        for one in entries
        if isinstance(one, dict)
        and one.get(HIDDEN) is True
        and not any(address["family"] == "inet" for address in one["addr_info"])
    ]
    assumed: list[Message] = []
    for entry, network in zip(hidden, _NETWORKS, strict=False):
        address = f"{network}.10"
        entry["addr_info"].append(address_of("inet", address, 24))
        assumed.append(
            message(
                "The address of {name} is not shown; it is assumed to be {address}.",
                name=entry["ifname"],
                address=address,
            )
        )
    if assumed:
        files["ip-addr.json"] = json.dumps(entries).encode()
    return assumed
