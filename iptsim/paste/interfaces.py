"""Interfaces in pasted text: their kind, inferred from the name if nothing else shows it."""

from __future__ import annotations

import re

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
