"""Hosts to test on: a few shapes of network, with the addresses that packets come from and go to."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.kernel.description import Guest, Interface, World


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
        ("10.1.0.255", "255.255.255.255", "224.0.0.5", "10.66.0.1", "10.67.0.1", "127.0.0.1"),
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
        ("192.0.2.255", "127.0.0.1"),
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
        ("2001:db8:66::1", "::1"),
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
        ("::1",),
    )


_SCENES = {"router4": _router4, "bridge4": _bridge4, "router6": _router6, "bridge6": _bridge6}
SCENES = tuple(_SCENES)


def make_scene(name: str) -> Scene:
    """Return a scene by name, always the same."""
    return _SCENES[name]()


def random_scene(random: Random) -> Scene:
    """Return a scene with some of its switches turned at random; IPv4 three times in four."""
    name = random.choice(
        ("router4", "router4", "router4", "bridge4", "bridge4", "bridge4", "router6", "bridge6")
    )
    scene = make_scene(name)
    sysctls = dict(scene.world.sysctls)
    if scene.family == 4:
        for value, names in (
            (0, ("net.ipv4.ip_forward", "net.bridge.bridge-nf-call-iptables")),
            (1, ("net.ipv4.conf.eth0.rp_filter", "net.ipv4.conf.all.route_localnet")),
            (2, ("net.ipv4.conf.all.rp_filter",)),
        ):
            for sysctl in names:
                if random.random() < 0.06 and not (sysctl.startswith("net.bridge") and name != "bridge4"):
                    sysctls[sysctl] = value
    elif random.random() < 0.06:
        sysctls["net.ipv6.conf.all.forwarding"] = 0
    return Scene(
        scene.world.model_copy(update={"sysctls": sysctls}), scene.senders, scene.beyond, scene.own, scene.odd
    )
