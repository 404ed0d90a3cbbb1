"""Clauses on addresses: of the packet, of the frame, and what they are to the host."""

from __future__ import annotations

import ipaddress
from random import Random

from tests.kernel.clauses.base import Changes, Draft, each, maker
from tests.kernel.scenes import Scene

_MAKE = {4: ipaddress.IPv4Address, 6: ipaddress.IPv6Address}


def _pick(random: Random, scene: Scene, field: str) -> str:
    pools = scene.senders.values() if field == "src" else (*scene.beyond.values(), scene.own)
    return random.choice(random.choice(list(pools)))


def _around(
    scene: Scene, field: str, first: int, last: int
) -> tuple[tuple[Changes, ...], tuple[Changes, ...]]:
    def text(number: int) -> str:
        return str(_MAKE[scene.family](number))

    highest = (1 << (32 if scene.family == 4 else 128)) - 1
    outside = [number for number in (first - 1, last + 1) if 0 < number < highest]
    return each(field, text(first), text(last)), each(field, *map(text, outside))


def _network(random: Random, scene: Scene, field: str) -> Draft:
    address = _pick(random, scene, field)
    width = 32 if scene.family == 4 else 128
    number = int(ipaddress.ip_address(address))
    kind = random.random()
    if kind < 0.4:
        others = tuple(other for other in scene.addresses if other != address)
        return Draft(address, each(field, address), each(field, *random.sample(others, 2)))
    if kind < 0.48 and scene.family == 4:
        # a mask with a hole: only the first and the last byte count
        others = (f"{address.rpartition('.')[0]}.{(number + 1) & 0xFF}",)
        return Draft(f"{address}/255.0.0.255", each(field, address), each(field, *others))
    if kind < 0.52:
        # the tools make a rule of each; a negated list they refuse
        listed = random.sample(scene.addresses, random.choice((2, 3)))
        others = tuple(other for other in scene.addresses if other not in listed)
        return Draft(",".join(listed), each(field, *listed), each(field, *others[:2]))
    length = random.choice((8, 16, 24, 28, 30, 31) if scene.family == 4 else (16, 48, 64, 112, 127))
    host_part = (1 << (width - length)) - 1
    first, last = number & ~host_part, number | host_part
    inside, outside = _around(scene, field, first, last)
    return Draft(f"{_MAKE[scene.family](first)}/{length}", (*each(field, address), *inside), outside)


@maker("", "-s", weight=3)
def source(random: Random, scene: Scene) -> Draft:
    return _network(random, scene, "src")


@maker("", "-d", weight=3)
def destination(random: Random, scene: Scene) -> Draft:
    return _network(random, scene, "dst")


def _range(random: Random, scene: Scene, field: str) -> Draft:
    number = int(ipaddress.ip_address(_pick(random, scene, field)))
    first, last = number - random.choice((0, 0, 1, 5)), number + random.choice((0, 1, 3))
    make = _MAKE[scene.family]
    return Draft(f"{make(first)}-{make(last)}", *_around(scene, field, first, last))


@maker("iprange", "--src-range")
def source_range(random: Random, scene: Scene) -> Draft:
    return _range(random, scene, "src")


@maker("iprange", "--dst-range")
def destination_range(random: Random, scene: Scene) -> Draft:
    return _range(random, scene, "dst")


@maker("", "-i", hooks="PREROUTING INPUT FORWARD", weight=2)
def in_interface(random: Random, scene: Scene) -> Draft:
    names = {interface.name: interface.master or interface.name for interface in scene.world.interfaces}
    seen = sorted(set(names.values()))
    pattern = random.choice([*seen, *names, "eth+", "br+", "+", "lo", "eth", "none0"])
    inside = [name for name in scene.senders if name != "host" and _fits(pattern, names[name])]
    outside = [name for name in scene.senders if name != "host" and not _fits(pattern, names[name])]
    return Draft(pattern, _from(scene, inside), (*_from(scene, outside), *_from(scene, ["host"])))


def _from(scene: Scene, names: list[str]) -> tuple[Changes, ...]:
    return tuple({"source": name, "src": scene.senders[name][0]} for name in names)


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


@maker("", "-o", hooks="FORWARD OUTPUT POSTROUTING", weight=2)
def out_interface(random: Random, scene: Scene) -> Draft:
    pattern = random.choice([*scene.beyond, "eth+", "br+", "+", "lo", "eth"])
    inside = [
        each("dst", addresses[0])[0] for name, addresses in scene.beyond.items() if _fits(pattern, name)
    ]
    outside = [
        each("dst", addresses[0])[0] for name, addresses in scene.beyond.items() if not _fits(pattern, name)
    ]
    if _fits(pattern, "lo"):
        inside.append({"dst": scene.own[0], "source": "host", "src": scene.own[0]})
    return Draft(pattern, tuple(inside), tuple(outside))


_TYPES = ("UNICAST", "LOCAL", "BROADCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "UNSPEC")


#: The kernel refuses the others for IPv6.
_TYPES6 = ("UNICAST", "LOCAL", "MULTICAST", "UNREACHABLE", "UNSPEC")


def _types(random: Random, scene: Scene) -> str:
    return ",".join(random.sample(_TYPES if scene.family == 4 else _TYPES6, random.choice((1, 1, 1, 2))))


@maker("addrtype", "--dst-type", weight=1.5)
def destination_type(random: Random, scene: Scene) -> Draft:
    around = each("dst", *scene.own, *scene.odd, *(addresses[0] for addresses in scene.beyond.values()))
    return Draft(_types(random, scene), around, around)


@maker("addrtype", "--src-type")
def source_type(random: Random, scene: Scene) -> Draft:
    around = each("src", *scene.own, *scene.odd, *(addresses[0] for addresses in scene.senders.values()))
    return Draft(_types(random, scene), around, around)


@maker("addrtype", "--limit-iface-in", negatable=False, hooks="PREROUTING INPUT FORWARD", weight=0.5)
@maker("addrtype", "--limit-iface-out", negatable=False, hooks="POSTROUTING FORWARD OUTPUT", weight=0.5)
def limited_type(random: Random, scene: Scene) -> Draft:
    around = each("dst", *scene.own, *(addresses[0] for addresses in scene.beyond.values()))
    return Draft(f"--{random.choice(('dst', 'src'))}-type {_types(random, scene)}", around, around)


@maker("mac", "--mac-source", hooks="PREROUTING INPUT FORWARD", weight=0.7)
def mac_source(random: Random, scene: Scene) -> Draft:
    macs = [guest.mac for guest in scene.world.guests] + ["02:00:00:00:01:01", "0a:bb:cc:dd:ee:ff"]
    mac = random.choice(macs)
    name = random.choice([name for name in scene.senders if name != "host"])
    packet = {"source": name, "src": scene.senders[name][0]}
    return Draft(mac, ({**packet, "src_mac": mac},), ({**packet, "src_mac": "0a:bb:cc:dd:ee:fe"},))


@maker("pkttype", "--pkt-type", weight=0.7)
def packet_type(random: Random, scene: Scene) -> Draft:
    kind = random.choice(("unicast", "broadcast", "multicast"))
    # a bridge would send such a frame to all its ports
    ports = {interface.name for interface in scene.world.interfaces if interface.master}
    names = [name for name in scene.senders if name != "host" and name not in ports]
    if not names:
        return Draft(kind, (), ())
    name = random.choice(names)
    frames = {"unicast": None, "broadcast": "ff:ff:ff:ff:ff:ff", "multicast": "01:00:5e:00:00:05"}
    packet = {"source": name, "src": scene.senders[name][0]}
    return Draft(
        kind,
        ({**packet, "dst_mac": frames[kind]},),
        tuple({**packet, "dst_mac": mac} for other, mac in frames.items() if other != kind),
    )


@maker(
    "rpfilter",
    "--loose",
    "--invert",
    "--validmark",
    "--accept-local",
    negatable=False,
    hooks="PREROUTING",
    weight=0.3,
)
def reverse_path(random: Random, scene: Scene) -> Draft:
    senders = [name for name in scene.senders if name != "host"]
    around = tuple(
        {"source": name, "src": random.choice(random.choice(list(scene.senders.values())))}
        for name in senders
    )
    return Draft("", around, around)
