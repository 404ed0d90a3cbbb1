"""Conditions of nftables on the interfaces of a packet, as options of iptables.

Source: nft_meta_get_eval and nft_meta_store_ifname (net/netfilter/nft_meta.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iptsim.extensions.options import quote
from iptsim.host.nft_connection import ARRIVING, BRIDGE, each
from iptsim.host.nft_header_fields import Alternatives

#: The hooks at which packets may know where they came in: forwarded ones also in postrouting (Linux 5.7 and later).
_ARRIVED = frozenset({*ARRIVING, "postrouting", *(f"{BRIDGE}{hook}" for hook in ARRIVING)})
#: The hooks of packets that leave.
_LEAVING = frozenset({"forward", "output", "postrouting"})
#: The hooks at which no packet has an interface by which it came in ("i"), or by which it leaves ("o").
_WITHOUT = {
    "i": frozenset({"output", f"{BRIDGE}output", f"{BRIDGE}postrouting"}),
    "o": frozenset({"prerouting", "input", f"{BRIDGE}prerouting", f"{BRIDGE}input"}),
}


def interface_options(key: str, values: Sequence[Any], hook: str, *, negated: bool) -> Alternatives | None:
    """Return the options for the name of an interface; None if iptables has no such options.

    Args:
        key: "iifname", "oifname", "iif" or "oif".
        values: the names, also with `*` at their end.
        hook: the hook of the base chain.
        negated: none of the values.
    """
    names = [str(one) for one in values]
    there = _ARRIVED if key.startswith("i") else _LEAVING
    if any(not name or name.endswith("+") for name in names):
        return None
    if hook in _WITHOUT[key[0]]:
        return Alternatives([""] if negated else [], every=False)  # the name is empty
    names = [name[:-1] + "+" if name.endswith("*") else name for name in names]
    if hook not in there or any(len(name) > 15 or not {"*", "\\"}.isdisjoint(name) for name in names):
        return None
    return each("", "-i" if key.startswith("i") else "-o", map(quote, names), negated=negated)


def group_options(key: str, values: Sequence[Any], hook: str, *, negated: bool) -> Alternatives | None:
    """Return the options for the group of an interface; a packet without the interface never matches.

    Args:
        key: "iifgroup" or "oifgroup".
        values: numbers, or "default"; other names are those of the host.
        hook: the hook of the base chain.
        negated: none of the values.
    """
    if hook in _WITHOUT[key[0]]:
        return Alternatives([], every=False)
    numbers = [0 if one == "default" else one for one in values]
    arriving = key.startswith("i")
    if hook not in (ARRIVING if arriving else _LEAVING) or not all(isinstance(one, int) for one in numbers):
        return None
    return each(
        "-m devgroup", "--src-group" if arriving else "--dst-group", map(hex, numbers), negated=negated
    )
