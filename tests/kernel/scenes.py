"""Hosts to test on: a few shapes of network, with the addresses that packets come from and go to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from tests.kernel.description import Guest, Interface, World

#: Addresses with a meaning of their own on every host.
_SPECIAL4 = ("169.254.1.1", "224.0.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255")
_SPECIAL6 = ("fe80::9", "ff02::1", "ff02::2", "ff02::fb", "ff02::1:ff00:99", "ff05::2")


@dataclass(frozen=True)
class Scene:
    """A host without rules, and what a generator must know of it.

    Attributes:
        world: the host, its dump empty.
        senders: where packets come from -> addresses that such packets have.
        beyond: interface -> addresses to which packets leave by it.
        own: the host's addresses.
        odd: addresses with a meaning of their own: broadcast, multicast, no route, loopback.

    """

    world: World
    senders: dict[str, tuple[str, ...]]
    beyond: dict[str, tuple[str, ...]]
    own: tuple[str, ...]
    odd: tuple[str, ...]

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return self.world.family

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses worth naming in a rule."""
        found = [*self.own, *self.odd]
        for addresses in (*self.senders.values(), *self.beyond.values()):
            found += addresses
        return tuple(dict.fromkeys(found))


def _router4() -> Scene:
    world = World(
        interfaces=(
            Interface(name="eth0", addresses=("10.1.0.1/24", "10.1.0.2/24")),
            Interface(name="eth1", addresses=("10.2.0.1/24",)),
            Interface(name="eth0.7", addresses=("192.168.7.1/28",)),
        ),
        routes=(
            "default via 10.1.0.254",
            "blackhole 10.66.0.0/16",
            "unreachable 10.67.0.0/16",
            "10.4.0.0/16 via 10.2.0.9",
        ),
    )
    outside = ("10.1.0.9", "10.1.0.10", "198.51.100.7", "203.0.113.200")
    inner, third = ("10.2.0.9", "10.2.0.10", "10.4.1.1"), ("192.168.7.2", "192.168.7.14")
    own = ("10.1.0.1", "10.1.0.2", "10.2.0.1", "192.168.7.1")
    return Scene(
        world,
        {"eth0": outside, "eth1": inner, "eth0.7": third, "host": own},
        {"eth0": outside, "eth1": inner, "eth0.7": third},
        own,
        ("10.1.0.255", "10.2.0.0", "224.0.0.5", "10.66.0.1", "10.67.0.1", "127.0.0.1", *_SPECIAL4),
    )


def _bridge4() -> Scene:
    guests = tuple(
        Guest(port=f"veth{letter}", address=f"172.17.0.{number}", mac=f"02:42:ac:11:00:0{number}")
        for letter, number in (("a", 2), ("b", 3), ("c", 4))
    )
    world = World(
        interfaces=(
            Interface(name="eth0", addresses=("192.0.2.10/24",)),
            Interface(name="br0", kind="bridge", addresses=("172.17.0.1/16",)),
            *(Interface(name=guest.port, master="br0", hairpin=guest.port == "vethc") for guest in guests),
            Interface(name="br-two", kind="bridge", addresses=("172.18.0.1/16",)),
            Interface(name="vethx", master="br-two"),
        ),
        guests=(*guests, Guest(port="vethx", address="172.18.0.2", mac="02:42:ac:12:00:02")),
        routes=("default via 192.0.2.1",),
        sysctls={"net.bridge.bridge-nf-call-iptables": 1},
    )
    outside = ("192.0.2.1", "192.0.2.20", "198.51.100.7")
    inside = tuple(guest.address for guest in guests)
    own = ("192.0.2.10", "172.17.0.1", "172.18.0.1")
    return Scene(
        world,
        {
            "eth0": outside,
            **{guest.port: (guest.address,) for guest in guests},
            "vethx": ("172.18.0.2",),
            "host": own,
        },
        {"eth0": outside, "br0": inside, "br-two": ("172.18.0.2",)},
        own,
        ("192.0.2.255", "127.0.0.1", *_SPECIAL4),
    )


def _router6() -> Scene:
    world = World(
        family=6,
        interfaces=(
            Interface(name="eth0", addresses=("2001:db8:1::1/64", "2001:db8:1::2/64")),
            Interface(name="eth1", addresses=("2001:db8:2::1/64",)),
        ),
        routes=("default via 2001:db8:1::fe dev eth0", "blackhole 2001:db8:66::/48"),
    )
    outside = ("2001:db8:1::9", "2001:db8:1::a", "2001:db8:ff::7")
    inner = ("2001:db8:2::9", "2001:db8:2:0:ffff::1")
    own = ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1")
    return Scene(
        world,
        {"eth0": outside, "eth1": inner, "host": own},
        {"eth0": outside, "eth1": inner},
        own,
        ("2001:db8:66::1", "2001:db8:2::", "::1", *_SPECIAL6),
    )


def _bridge6() -> Scene:
    guests = tuple(
        Guest(port=f"veth{letter}", address=f"fd00:17::{number}", mac=f"02:42:ac:11:00:0{number}")
        for letter, number in (("a", 2), ("b", 3))
    )
    world = World(
        family=6,
        interfaces=(
            Interface(name="eth0", addresses=("2001:db8:2::10/64",)),
            Interface(name="br0", kind="bridge", addresses=("fd00:17::1/64",)),
            *(Interface(name=guest.port, master="br0") for guest in guests),
        ),
        guests=guests,
        routes=("default via 2001:db8:2::1 dev eth0",),
        sysctls={"net.bridge.bridge-nf-call-ip6tables": 1},
    )
    outside = ("2001:db8:2::1", "2001:db8:2::20", "2001:db8:ff::7")
    inside = tuple(guest.address for guest in guests)
    own = ("2001:db8:2::10", "fd00:17::1")
    return Scene(
        world,
        {"eth0": outside, **{guest.port: (guest.address,) for guest in guests}, "host": own},
        {"eth0": outside, "br0": inside},
        own,
        ("::1", *_SPECIAL6),
    )


def _machines4() -> Scene:
    """Return a host of virtual machines: one bridge with the uplink as a port, one that the host masquerades."""
    world = World(
        interfaces=(
            Interface(name="br0", kind="bridge", addresses=("192.0.2.10/24",)),
            *(Interface(name=name, master="br0") for name in ("eth0", "vnet0", "vnet1")),
            Interface(name="virbr0", kind="bridge", addresses=("192.168.122.1/24",)),
            *(Interface(name=name, master="virbr0") for name in ("vnet2", "vnet3")),
        ),
        guests=(
            _machine("eth0", "192.0.2.1", router=True),
            _machine("eth0", "192.0.2.20"),
            _machine("vnet0", "192.0.2.21", gateway="192.0.2.1"),
            _machine("vnet1", "192.0.2.22", gateway="192.0.2.1"),
            _machine("vnet2", "192.168.122.10"),
            _machine("vnet3", "192.168.122.11"),
        ),
        routes=("default via 192.0.2.1",),
        sysctls={"net.bridge.bridge-nf-call-iptables": 1},
    )
    outside, near = ("192.0.2.1", "192.0.2.20", "198.51.100.7"), ("192.0.2.21", "192.0.2.22")
    inside = ("192.168.122.10", "192.168.122.11")
    own = ("192.0.2.10", "192.168.122.1")
    return Scene(
        world,
        {
            "eth0": outside,
            "vnet0": near[:1],
            "vnet1": near[1:],
            "vnet2": inside[:1],
            "vnet3": inside[1:],
            "host": own,
        },
        {"br0": (*outside, *near), "virbr0": inside},
        own,
        ("192.0.2.255", "127.0.0.1", *_SPECIAL4),
    )


def _machines6() -> Scene:
    world = World(
        family=6,
        interfaces=(
            Interface(name="br0", kind="bridge", addresses=("2001:db8:2::10/64",)),
            *(Interface(name=name, master="br0") for name in ("eth0", "vnet0", "vnet1")),
        ),
        guests=(
            _machine("eth0", "2001:db8:2::1", router=True),
            _machine("vnet0", "2001:db8:2::21", gateway="2001:db8:2::1"),
            _machine("vnet1", "2001:db8:2::22", gateway="2001:db8:2::1"),
        ),
        routes=("default via 2001:db8:2::1 dev br0",),
        sysctls={"net.bridge.bridge-nf-call-ip6tables": 1},
    )
    outside, near = ("2001:db8:2::1", "2001:db8:ff::7"), ("2001:db8:2::21", "2001:db8:2::22")
    own = ("2001:db8:2::10",)
    return Scene(
        world,
        {"eth0": outside, "vnet0": near[:1], "vnet1": near[1:], "host": own},
        {"br0": (*outside, *near)},
        own,
        ("::1", *_SPECIAL6),
    )


def _machine(port: str, address: str, *, gateway: str | None = None, router: bool = False) -> Guest:
    """Return a machine of which the capture has no more than its neighbour entry."""
    mac = "52:54:00:" + hashlib.md5(address.encode(), usedforsecurity=False).digest()[:3].hex(":")
    return Guest(port=port, address=address, mac=mac, saved=False, gateway=gateway, router=router)


def _uplinks4() -> Scene:
    world = World(
        interfaces=(
            Interface(name="wan0", addresses=("10.1.0.1/24",)),
            Interface(name="wan1", addresses=("10.2.0.1/24",)),
            Interface(name="lan0", addresses=("10.3.0.1/24",)),
        ),
        routes=(
            "default via 10.1.0.254",
            "default via 10.2.0.254 table 100",
            "10.3.0.0/24 dev lan0 table 100",
        ),
        ip_rules=("fwmark 0x1 lookup 100", "from 10.2.0.1 lookup 100"),
    )
    far = ("198.51.100.7", "203.0.113.200")
    first, second, inside = ("10.1.0.9", *far), ("10.2.0.9", *far), ("10.3.0.9", "10.3.0.10")
    own = ("10.1.0.1", "10.2.0.1", "10.3.0.1")
    return Scene(
        world,
        {"wan0": first, "wan1": second, "lan0": inside, "host": own},
        {"wan0": first, "wan1": second, "lan0": inside},
        own,
        ("10.3.0.255", "127.0.0.1", *_SPECIAL4),
    )


def _uplinks6() -> Scene:
    world = World(
        family=6,
        interfaces=(
            Interface(name="wan0", addresses=("2001:db8:1::1/64",)),
            Interface(name="wan1", addresses=("2001:db8:2::1/64",)),
            Interface(name="lan0", addresses=("2001:db8:3::1/64",)),
        ),
        routes=(
            "default via 2001:db8:1::fe dev wan0",
            "default via 2001:db8:2::fe dev wan1 table 100",
            "2001:db8:3::/64 dev lan0 table 100",
        ),
        ip_rules=("fwmark 0x1 lookup 100", "from 2001:db8:2::1 lookup 100"),
    )
    first, second = ("2001:db8:1::9", "2001:db8:ff::7"), ("2001:db8:2::9", "2001:db8:ff::7")
    inside, own = ("2001:db8:3::9",), ("2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1")
    return Scene(
        world,
        {"wan0": first, "wan1": second, "lan0": inside, "host": own},
        {"wan0": first, "wan1": second, "lan0": inside},
        own,
        ("::1", *_SPECIAL6),
    )


_SCENES = {
    "router4": _router4,
    "bridge4": _bridge4,
    "machines4": _machines4,
    "uplinks4": _uplinks4,
    "router6": _router6,
    "bridge6": _bridge6,
    "machines6": _machines6,
    "uplinks6": _uplinks6,
}
SCENES = tuple(_SCENES)


def make_scene(name: str) -> Scene:
    """Return a scene by name, always the same."""
    return _SCENES[name]()
