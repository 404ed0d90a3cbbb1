"""Clauses on what is neither in the packet nor in its connection: ports of a bridge, owners, sets, chance."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from random import Random

from tests.kernel.clauses.base import Changes, Draft, each, maker
from tests.kernel.scenes import Scene


@maker("comment", "--comment", negatable=False)
def comment(random: Random, scene: Scene) -> Draft:
    return Draft(random.choice(('"a b"', "x", '"-j DROP"')), (), ())


def _ports(scene: Scene) -> list[str]:
    return [interface.name for interface in scene.world.interfaces if interface.master]


def _bridge_frames(scene: Scene) -> tuple[Changes, ...]:
    """Return frames to a neighbour, to the host and to the outside, of each bridge port."""
    frames: list[Changes] = []
    for guest in scene.world.guests:
        others = [other.address for other in scene.world.guests if other.port != guest.port]
        for target in (*others[:1], scene.own[0], next(iter(scene.beyond.values()))[0]):
            frames.append({"source": guest.port, "src": guest.address, "dst": target})
    return tuple(frames) or each("dst", *(addresses[0] for addresses in scene.beyond.values()))


@maker("physdev", "--physdev-in", hooks="PREROUTING INPUT FORWARD", weight=0.8)
def physdev_in(random: Random, scene: Scene) -> Draft:
    pattern = random.choice([*(_ports(scene) or ["eth0"]), "veth+"])
    return Draft(pattern, _bridge_frames(scene), _bridge_frames(scene))


@maker("physdev", "--physdev-out", hooks="FORWARD POSTROUTING", weight=0.8)
def physdev_out(random: Random, scene: Scene) -> Draft:
    pattern = random.choice([*(_ports(scene) or ["eth0"]), "veth+"])
    return Draft(f"{pattern} --physdev-is-bridged", _bridge_frames(scene), _bridge_frames(scene))


@maker("physdev", "--physdev-is-in", hooks="PREROUTING INPUT FORWARD", weight=0.5)
@maker("physdev", "--physdev-is-out", "--physdev-is-bridged", hooks="FORWARD", weight=0.5)
def physdev_is(random: Random, scene: Scene) -> Draft:
    return Draft("", _bridge_frames(scene), _bridge_frames(scene))


def _owner(random: Random, scene: Scene, field: str) -> Draft:
    first = random.choice((0, 33, 1000))
    last = first + random.choice((0, 0, 5))
    words = str(first) if first == last else f"{first}-{last}"
    local = {"source": "host", "src": scene.own[0]}
    inside = tuple({**local, field: value} for value in {first, last})
    outside = tuple({**local, field: value} for value in (first - 1, last + 1) if value >= 0)
    return Draft(words, inside, outside)


@maker("owner", "--uid-owner", hooks="OUTPUT POSTROUTING")
def uid_owner(random: Random, scene: Scene) -> Draft:
    return _owner(random, scene, "uid")


@maker("owner", "--gid-owner", hooks="OUTPUT POSTROUTING", weight=0.5)
def gid_owner(random: Random, scene: Scene) -> Draft:
    return _owner(random, scene, "gid")


@maker("owner", "--socket-exists", hooks="OUTPUT POSTROUTING", weight=0.5)
def socket_exists(random: Random, scene: Scene) -> Draft:
    senders = [name for name in scene.senders if name != "host"]
    outside = tuple({"source": name, "src": scene.senders[name][0]} for name in senders)
    return Draft("", ({"source": "host", "src": scene.own[0]},), outside)


@maker("set", "--match-set", weight=1.5)
def match_set(random: Random, scene: Scene) -> Draft:
    name, directions = random.choice([*set_uses(scene), ("lists", "src")])
    senders = [text for addresses in scene.senders.values() for text in addresses]
    targets = [*scene.own, *(text for addresses in scene.beyond.values() for text in addresses)]
    around: list[Changes] = [
        {"src": address, "dst": random.choice(targets), "dport": port, "sport": port}
        for address in random.sample(senders, min(4, len(senders)))
        for port in (79, 80, 443, 500)
    ]
    around += [{"dst": address, "dport": 80} for address in random.sample(targets, min(4, len(targets)))]
    options = random.choice(("", "", "", " --return-nomatch" if name == "nets" else ""))
    return Draft(f"{name} {directions}{options}", tuple(around), tuple(around))


#: Sets and the sides of a packet that make an element of them.
_USES = (
    ("ips", "src"), ("ips", "dst"), ("nets", "src"), ("nets", "dst"), ("ports", "dst"), ("ports", "src"),
    ("ipports", "dst,dst"), ("ipports", "src,dst"), ("netports", "src,dst"), ("netports", "dst,dst"),
    ("ipportip", "src,dst,dst"), ("ipportip", "dst,dst,src"), ("ipportnet", "src,dst,dst"),
    ("netiface", "src,src"), ("netiface", "dst,src"), ("timed", "src"), ("timed", "dst"),
)  # fmt: skip
_USES4 = (("bits", "src"), ("bits", "dst"), ("ipmacs", "src,src"))


def set_uses(scene: Scene) -> tuple[tuple[str, str], ...]:
    """Return the sets that rules name, with the sides of a packet to look at."""
    return (*_USES, *_USES4) if scene.family == 4 else _USES


def ipsets(scene: Scene) -> str:
    """Return the sets that rules name, for `ipset restore`."""
    family = "inet" if scene.family == 4 else "inet6"
    addresses = scene.addresses
    wide = ("10.0.0.0/8", "10.1.0.0/30") if scene.family == 4 else ("2001:db8::/32", "2001:db8:1::/126")
    length = 24 if scene.family == 4 else 64
    networks = list(dict.fromkeys(str(ip_network(f"{one}/{length}", strict=False)) for one in addresses))
    links = [interface.name for interface in scene.world.interfaces if not interface.master]
    pairs = list(zip(addresses, addresses[1:] + addresses[:1], strict=True))
    lines = [
        f"create ips hash:ip family {family}",
        *(f"add ips {address}" for address in addresses[::3]),
        f"create nets hash:net family {family}",
        f"add nets {wide[0]}",
        f"add nets {wide[1]} nomatch",
        "create ports bitmap:port range 0-1023",
        "add ports 80",
        "add ports 443-500",
        f"create ipports hash:ip,port family {family}",
        *(f"add ipports {address},tcp:80" for address in addresses[::2]),
        *(f"add ipports {address},udp:443" for address in addresses[1::2]),
        f"create netports hash:net,port family {family}",
        *(f"add netports {network},tcp:80" for network in networks[::2]),
        f"create ipportip hash:ip,port,ip family {family}",
        *(f"add ipportip {one},tcp:80,{other}" for one, other in pairs[::2]),
        f"create ipportnet hash:ip,port,net family {family}",
        *(f"add ipportnet {one},udp:53,{networks[-1]}" for one in addresses[::2]),
        f"create netiface hash:net,iface family {family}",
        *(f"add netiface {network},{links[0]}" for network in networks[::2]),
        f"create counted hash:ip family {family} counters",
        *(f"add counted {address} packets 5 bytes 500" for address in addresses[::2]),
        f"create timed hash:ip family {family} timeout 600",
        *(f"add timed {address} timeout 300" for address in addresses[::3]),
        *(f"add timed {address} timeout 0" for address in addresses[1::3]),
        "create lists list:set",
        "add lists ips",
        "add lists nets",
    ]
    if scene.family == 4:
        own = str(ip_network(f"{addresses[0]}/24", strict=False))
        lines += [f"create bits bitmap:ip range {own}", f"add bits {addresses[0]}"]
        lines.append(f"create ipmacs bitmap:ip,mac range {own}")
        lines += [
            f"add ipmacs {one.address},{one.mac}" for one in scene.world.guests if _lies_in(one.address, own)
        ]
    return "".join(f"{line}\n" for line in lines)


def _lies_in(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)


@maker("limit", "--limit", negatable=False, weight=0.3)
def limit(random: Random, scene: Scene) -> Draft:
    return Draft(f"1/hour --limit-burst {random.choice((1, 5))}", (), ())


@maker("statistic", "--mode", negatable=False, weight=0.3)
def statistic(random: Random, scene: Scene) -> Draft:
    return Draft(random.choice(("nth --every 2 --packet 0", "random --probability 0.5")), (), ())


@maker("recent", "--rcheck", "--update", "--set", "--remove", weight=0.2)
def recent(random: Random, scene: Scene) -> Draft:
    return Draft("--name seen --rsource", (), ())


@maker("policy", "--dir", negatable=False, hooks="PREROUTING INPUT FORWARD", weight=0.2)
def policy(random: Random, scene: Scene) -> Draft:
    return Draft(f"in --pol {random.choice(('none', 'ipsec'))}", (), ())


@maker("realm", "--realm", family=4, hooks="INPUT FORWARD OUTPUT POSTROUTING", weight=0.1)
@maker("devgroup", "--src-group", hooks="PREROUTING INPUT FORWARD", weight=0.1)
@maker("devgroup", "--dst-group", hooks="FORWARD OUTPUT POSTROUTING", weight=0.1)
def group(random: Random, scene: Scene) -> Draft:
    return Draft(random.choice(("0x0", "0x1")), (), ())
