"""Questions as people ask them: by the names and addresses of the ends, all else left to iptsim."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random
from typing import Any, NamedTuple

from tests.kernel.description import World
from tests.kernel.scenes import Scene

#: Matches that look at what such a question leaves open and iptsim does not choose.
LEFT_OPEN = (
    "tcpmss",
    "--tcp-option",
    "string",
    "u32",
    "mac",
    "owner",
    "TCPMSS",
    "esp",
    "length",
    "connbytes",
)


class Asked(NamedTuple):
    """A question, and the interface by which its packet comes; "host" for its own, "" where the route back tells."""

    fields: dict[str, Any]
    source: str


def can_be_asked(world: World) -> bool:
    """Return whether the host's rules look at nothing that such questions leave open."""
    dump = world.dump + world.other_dump
    return not any(word in dump for word in LEFT_OPEN) and not world.routes_by_ports


def ask(random: Random, scene: Scene) -> Asked:
    """Make a question about a host."""
    source, sender = _end(random, scene, scene.senders)
    beyond = {**scene.beyond, "host": scene.own}
    receiver = _end(random, scene, beyond)[1]
    fields: dict[str, Any] = {"from": sender, "to": receiver}
    proto = random.choice(("", "tcp", "udp", "icmp"))
    if proto:
        fields["proto"] = proto
    if proto != "icmp" and random.random() < 0.7:
        fields["dport"] = random.choice((80, 443, 22, 53, 8080))
    if "internet" in (sender, receiver) or "host" in (sender, receiver):
        fields["family"] = scene.family
    return Asked(fields, source)


def _end(random: Random, scene: Scene, addresses: dict[str, tuple[str, ...]]) -> tuple[str, str]:
    """Return where an end is, and what it is called."""
    place = random.choice(list(addresses))
    address = random.choice(addresses[place])
    names = {guest.address: f"guest-{guest.port}" for guest in scene.world.guests if guest.saved}
    if place == "host":
        return place, random.choice(("host", "host", address))
    if address in names and random.random() < 0.6:
        return place, names[address]
    if random.random() < 0.15:
        return "", "internet"
    # with policy routing, the way to an address may be another one than to its neighbours
    routed = scene.world.ip_rules and address not in names
    near = not routed and any(
        ip_address(address) in net for one in scene.world.interfaces for net in one.networks()
    )
    return place if near else "", address
