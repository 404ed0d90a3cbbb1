"""Random hosts: one of the scenes or a generated one, with traits that hosts have beside their rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from random import Random
from typing import Any, Literal

from tests.kernel.description import Guest, Interface, World
from tests.kernel.scenes import SCENES, Scene, make_scene

#: How often a host gets a trait that it can have.
CHANCES = {
    "untold guests": 0.3,
    "isolated ports": 0.2,
    "other MTUs": 0.15,
    "ip rule": 0.15,
    "next hops": 0.08,
    "two backends": 0.05,
    "nftables": 0.1,
    "switches": 0.4,
}


def random_scene(random: Random, also: Collection[str] = ()) -> Scene:
    """Return a host without rules; IPv4 in two of three.

    Args:
        random: where choices come from.
        also: traits that the host gets whenever it can have them.

    """
    family: Literal[4, 6] = 4 if random.random() < 0.67 else 6
    names = [name for name in SCENES if name.endswith(str(family))]
    name = random.choice([*names, "generated"])
    scene = generated(random, family) if name == "generated" else make_scene(name)
    traits = [f"{name.rstrip('46')}"]
    for trait, give in _TRAITS.items():
        if has_trait(random, trait, also):
            world = give(random, scene)
            if world is not None and world != scene.world:
                scene = replace(scene, world=world)
                traits.append(trait)
    return replace(scene, world=scene.world.model_copy(update={"traits": tuple(traits)}))


def has_trait(random: Random, trait: str, also: Collection[str] = ()) -> bool:
    """Draw whether a host gets a trait."""
    return trait in also or random.random() < CHANCES[trait]


# -- generated hosts ----------------------------------------------------------------------------------


def generated(random: Random, family: Literal[4, 6]) -> Scene:
    """Return a host with up to three links and up to two bridges, each with a network of its own."""
    networks = _networks(random, family)
    interfaces, guests = [], []
    senders: dict[str, tuple[str, ...]] = {}
    beyond: dict[str, tuple[str, ...]] = {}
    own: list[str] = []
    far = ("198.51.100.7", "203.0.113.200") if family == 4 else ("2001:db8:ff::7",)
    for number in range(random.randint(1, 3)):
        network, name = next(networks), f"eth{number}"
        hosts = [network[number] for number in (1, 2, 9, 10)]
        count = random.choice((1, 1, 2))
        interfaces.append(Interface(name=name, addresses=_with_length(hosts[:count], network)))
        own += map(str, hosts[:count])
        beyond[name] = senders[name] = (*map(str, hosts[2:]), *(far if number == 0 else ()))
    for letter in "ab"[: random.choice((0, 1, 1, 2))]:
        network, bridge = next(networks), f"br-{letter}"
        interfaces.append(
            Interface(name=bridge, kind="bridge", addresses=_with_length([network[1]], network))
        )
        own.append(str(network[1]))
        for number in range(random.randint(1, 4)):
            port, address = f"veth{letter}{number}", str(network[number + 2])
            interfaces.append(Interface(name=port, master=bridge, hairpin=random.random() < 0.2))
            guests.append(
                Guest(port=port, address=address, mac=f"02:42:00:{ord(letter):02x}:00:{number:02x}")
            )
            senders[port] = (address,)
        beyond[bridge] = tuple(guest.address for guest in guests if guest.port.startswith(f"veth{letter}"))
    gateway = beyond["eth0"][0]
    routes = [f"default via {gateway} dev eth0"]
    if random.random() < 0.5:
        target = random.choice(
            ("198.51.0.0/16", "203.0.113.128/25") if family == 4 else ("2001:db8:f0::/44",)
        )
        kind = random.choice(("blackhole", "unreachable", "prohibit", "via"))
        via = random.choice([name for name in beyond if name.startswith("eth")])
        routes.append(f"{target} via {beyond[via][0]} dev {via}" if kind == "via" else f"{kind} {target}")
    nf = "net.bridge.bridge-nf-call-iptables" if family == 4 else "net.bridge.bridge-nf-call-ip6tables"
    bridged = any(interface.kind == "bridge" for interface in interfaces)
    world = World(
        family=family,
        interfaces=tuple(interfaces),
        guests=tuple(guests),
        routes=tuple(routes),
        sysctls={nf: int(random.random() < 0.85)} if bridged else {},
    )
    senders["host"] = tuple(own)
    odd = ("255.255.255.255", "224.0.0.5", "127.0.0.1") if family == 4 else ("::1",)
    return Scene(world, senders, beyond, tuple(own), odd)


def _networks(random: Random, family: int) -> Iterator[Any]:
    """Yield networks that do not overlap."""
    for number in range(1, 100):
        if family == 4:
            yield ipaddress.ip_network(f"10.{number}.0.0/{random.choice((16, 24, 28))}")
        else:
            yield ipaddress.ip_network(f"2001:db8:{number}::/{random.choice((64, 64, 120))}")


def _with_length(addresses: list[Any], network: Any) -> tuple[str, ...]:
    return tuple(f"{address}/{network.prefixlen}" for address in addresses)


# -- traits -------------------------------------------------------------------------------------------


def _links(scene: Scene) -> list[str]:
    """Return the interfaces with a network of their own and no bridge: any next hop is reachable there."""
    return [
        one.name for one in scene.world.interfaces if one.kind == "veth" and not one.master and one.addresses
    ]


def _untold_guests(random: Random, scene: Scene) -> World:
    some = random.random() < 0.4
    guests = (
        guest.model_copy(update={"saved": guest.saved and some and random.random() < 0.5})
        for guest in scene.world.guests
    )
    return scene.world.model_copy(update={"guests": tuple(guests)})


def _changed_interfaces(scene: Scene, change: Callable[[Interface], dict[str, Any]]) -> World:
    interfaces = tuple(one.model_copy(update=change(one)) for one in scene.world.interfaces)
    return scene.world.model_copy(update={"interfaces": interfaces})


def _isolated_ports(random: Random, scene: Scene) -> World:
    return _changed_interfaces(
        scene, lambda one: {"isolated": True} if one.master and random.random() < 0.6 else {}
    )


def _other_mtus(random: Random, scene: Scene) -> World:
    """Give links another MTU; all ports of a bridge and the bridge have one."""
    sizes = (576, 600, 1280, 1400) if scene.family == 4 else (1280, 1400)
    chosen: dict[str, int] = {}

    def size(one: Interface) -> dict[str, Any]:
        segment = one.master or one.name
        if segment not in chosen:
            chosen[segment] = random.choice(sizes) if random.random() < 0.5 else 1500
        return {"mtu": chosen[segment]}

    return _changed_interfaces(scene, size)


def _ip_rules(random: Random, scene: Scene) -> World | None:
    """Add a table with another way out, and rules that lead there."""
    links = _links(scene)
    if not links:
        return None
    link = random.choice(links)
    hop = scene.beyond[link][0]
    ways = [f"default via {hop} dev {link} table 101"]
    if random.random() < 0.2:
        ways = [f"{random.choice(('unreachable', 'blackhole', 'prohibit'))} default table 101"]
    if random.random() < 0.3:
        ways = [f"{_around(random, scene)} via {hop} dev {link} table 101"]
    rules = [f"{_selector(random, scene)} {_action(random)}" for _ in range(random.choice((1, 1, 2, 3)))]
    return scene.world.model_copy(
        update={"routes": (*scene.world.routes, *ways), "ip_rules": (*scene.world.ip_rules, *rules)}
    )


def _action(random: Random) -> str:
    kind = random.random()
    if kind < 0.85:
        return "lookup 101"
    return random.choice(("prohibit", "blackhole", "unreachable", "lookup main suppress_prefixlength 0"))


def _around(random: Random, scene: Scene) -> str:
    """Return a network around an address that packets have."""
    address = random.choice([text for addresses in scene.senders.values() for text in addresses])
    length = random.choice((16, 24, 32) if scene.family == 4 else (48, 64, 128))
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))


def _selector(random: Random, scene: Scene) -> str:
    names = [one.name for one in scene.world.interfaces if not one.master]
    choices = (
        "fwmark 0x1",
        "fwmark 0x2/0x3",
        f"iif {random.choice(names)}",
        f"oif {random.choice(names)}",
        f"from {_around(random, scene)}",
        f"to {_around(random, scene)}",
        "ipproto udp",
        "ipproto tcp dport 80",
        "ipproto udp sport 53",
        "ipproto tcp dport 1-1024",
        "tos 0x10",
        "uidrange 33-1000",
    )
    words = random.choice(choices)
    if random.random() < 0.2:
        words = " ".join(dict.fromkeys([*words.split(" and "), f"from {_around(random, scene)}"]))
        words = words if words.count("from") == 1 else choices[0]
    return f"not {words}" if random.random() < 0.1 else words


def _next_hops(random: Random, scene: Scene) -> World | None:
    """Give the default route several next hops."""
    links = _links(scene)
    if not links:
        return None
    hops = [(hop, link) for link in links for hop in scene.beyond[link] if _is_near(scene.world, hop, link)]
    chosen = random.sample(hops, min(len(hops), random.choice((2, 2, 3))))
    if len(chosen) < 2:
        return None
    words = " ".join(
        f"nexthop via {hop} dev {link} weight {random.choice((1, 1, 2))}" for hop, link in chosen
    )
    routes = tuple(
        route for route in scene.world.routes if not route.startswith("default") or "table" in route
    )
    return scene.world.model_copy(update={"routes": (*routes, f"default {words}")})


def _is_near(world: World, address: str, link: str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in world.interface(link).networks())


def _switches(random: Random, scene: Scene) -> World:
    """Turn some of the host's settings."""
    sysctls = dict(scene.world.sysctls)
    link = random.choice([one.name for one in scene.world.interfaces if not one.master]).replace(".", "/")
    choices: list[tuple[str, int]] = [
        ("net.netfilter.nf_conntrack_tcp_loose", 0),
        ("net.netfilter.nf_conntrack_checksum", 0),
        (f"net.ipv{scene.family}.fwmark_reflect", 1),
    ]
    if scene.family == 6:
        choices += [("net.ipv6.conf.all.forwarding", 0), (f"net.ipv6.conf.{link}.forwarding", 0)]
    else:
        choices += [
            ("net.ipv4.ip_forward", 0),
            (f"net.ipv4.conf.{link}.rp_filter", 1),
            (f"net.ipv4.conf.{link}.rp_filter", 2),
            ("net.ipv4.conf.all.rp_filter", 1),
            ("net.ipv4.conf.all.rp_filter", 2),
            ("net.ipv4.conf.all.route_localnet", 1),
            (f"net.ipv4.conf.{link}.route_localnet", 1),
            (f"net.ipv4.conf.{link}.accept_local", 1),
            (f"net.ipv4.conf.{link}.forwarding", 0),
            ("net.ipv4.conf.all.src_valid_mark", 1),
        ]
    if scene.world.guests:
        choices.append((f"net.bridge.bridge-nf-call-ip{'' if scene.family == 4 else '6'}tables", 0))
    sysctls.update(random.sample(choices, min(len(choices), random.choice((1, 1, 2)))))
    return scene.world.model_copy(update={"sysctls": sysctls})


_TRAITS: dict[str, Callable[[Random, Scene], World | None]] = {
    "untold guests": _untold_guests,
    "isolated ports": _isolated_ports,
    "other MTUs": _other_mtus,
    "ip rule": _ip_rules,
    "next hops": _next_hops,
    "switches": _switches,
}
