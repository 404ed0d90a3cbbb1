"""From names to a packet: who `client`, `internet` or `192.0.2.10` is, and how the packet sets out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

from iptsim.errors import UsageError
from iptsim.host import fib
from iptsim.host.containers import Container, Endpoint
from iptsim.host.model import Host
from iptsim.languages import say
from iptsim.packet import (
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    TCP,
    TCP_FLAGS,
    Family,
    Packet,
    address_text,
    is_icmp_query,
    parse_address,
    syn_options,
    usual_length,
)
from iptsim.question.internet import other_address_note, outside_address
from iptsim.question.model import Question
from iptsim.question.quoted import read_quoted

DEFAULT_SPORT = 40000


@dataclass(slots=True)
class Start:
    """A packet ready to go.

    Attributes:
        sender: the container that sends it, "host", or "outside".
        sender_name / target_name: as the answer calls them.
        packet: the packet; its source is settled unless `pick_source`.
        interface: on which it arrives, for a sender outside.
        pick_source: the sender's kernel still picks the source address.
        notes: what was taken for granted while resolving names.
    """

    sender: Container | str
    sender_name: str
    target_name: str
    packet: Packet
    interface: str | None = None
    pick_source: bool = False
    notes: list[str] = field(default_factory=list)


#: Names that an error lists.
_LISTED = 12


def resolve(host: Host, question: Question) -> Start:
    """Turn a question into a packet and its way in.

    Raises:
        UsageError: a name is unknown, an address is bad, or parts of the question contradict.
    """
    if question.in_interface is not None:
        return _arriving(host, question)
    if question.sender is None or (question.to is None and question.dst is None):
        raise UsageError("who sends to whom? give --from and --to (or -i INTERFACE with src and dst)")
    notes: list[str] = []
    _check_source(question)
    sender = _party(host, question.sender, "sender")
    notes.extend(_borrowed(host, question.sender, sender))
    family = _check_family(host, question.family or _family(host, question, sender))
    target_name, destination = _destination(host, question, sender, family, notes)
    packet = _packet(question, family, 0, destination)
    if destination == 0 and (isinstance(sender, tuple) or sender in ("host", "localhost")):
        # ip_route_output_key_hash_rcu, tcp_v6_connect
        packet.dst = 0x7F000001 if family == 4 else 1
        notes.append(
            say(
                "{asked} as a destination is the sender itself: {address}.",
                asked=address_text(family, 0),
                address=address_text(family, packet.dst),
            )
        )
    if isinstance(sender, tuple):
        container, endpoint = sender
        return _from_container(host, question, container, endpoint, target_name, packet, notes)
    if sender in ("host", "localhost"):
        # an address of the host's own, instead of a name, is the one that its program is bound to
        bound = question.src or (question.sender if _is_address(question.sender) else None)
        if bound is not None:
            packet.src = _address(bound, family, "src" if question.src else "--from")
        elif sender == "localhost":
            packet.src = 0x7F000001 if family == 4 else 1
        pick = bound is None and sender == "host"
        return Start("host", "host", target_name, packet, pick_source=pick, notes=notes)
    return _from_outside(host, question, sender, family, target_name, packet, notes)


def _check_source(question: Question) -> None:
    """Refuse two source addresses; a name beside `src` is somebody who sends from an address of his choice.

    Raises:
        UsageError: `from` is an address, and not that of `src`.
    """
    if question.sender is None or question.src is None:
        return
    try:
        same = parse_address(question.sender) == parse_address(question.src)
    except ValueError:
        return
    if not same:
        raise UsageError(
            f"from {question.sender} and src {question.src} are two source addresses: give one of them"
        )


def _check_family(host: Host, family: Family) -> Family:
    """Refuse a question about the family of which a bare dump tells nothing.

    Raises:
        UsageError: it is about the other family.
    """
    if host.inferred and host.rulesets and family not in host.rulesets:
        raise UsageError(
            f"{host.source} holds the IPv{10 - family} rules only: it says nothing about IPv{family}; "
            f"give the output of {'iptables-save' if family == 4 else 'ip6tables-save'}, or a capture"
        )
    return family


def people(host: Host) -> list[str]:
    """Return the names that a question may use."""
    return [*host.containers, "host", "localhost", "internet"]


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def _party(host: Host, name: str, role: str) -> tuple[Container, Endpoint | None] | str:
    """Return a container, "host", "localhost", "internet", or an address as text."""
    if name == "dns" and role == "sender":
        raise UsageError("dns is whom one asks: it works with --to only")
    if name in ("host", "localhost", "internet", "dns"):
        return name
    try:
        family, address = parse_address(name)
    except ValueError:
        pass
    else:
        owner = host.owner_of(family, address)
        if isinstance(owner, tuple):
            return owner
        if role == "sender" and (owner == "host" or (family == 4 and address >> 24 == 127) or address == 1):
            return "host"
        return name
    found = host.container(name)
    if found is not None:
        return _real(host, found)
    raise UsageError(_unknown(host, name))


def _real(host: Host, found: tuple[Container, Endpoint | None]) -> tuple[Container, Endpoint | None] | str:
    """Follow `network_mode`: a container may use the host's or another container's namespace."""
    seen: list[Container] = []
    while not any(found[0] is one for one in seen):
        container, endpoint = found
        if container.network_mode == "host":
            return "host"
        if not container.network_mode.startswith("container:"):
            break
        seen.append(container)
        found = host.container(container.network_mode.partition(":")[2]) or found
    if not container.running:
        raise UsageError(f"container {container.name} is not running: it has no address")
    return container, endpoint


def _borrowed(host: Host, name: str, party: tuple[Container, Endpoint | None] | str) -> Iterator[str]:
    """Say it where a container has no network namespace of its own."""
    if name in ("host", "localhost", "internet", "dns"):
        return
    asked = host.container(name)
    if asked is None:
        return
    found = asked[0]
    if party == "host":
        yield say("{name} has no network of its own: it uses the host's.", name=found.name)
    elif isinstance(party, tuple) and party[0] is not found and found.network_mode.startswith("container:"):
        yield say(
            "{name} has no network of its own: it uses that of {other}.", name=found.name, other=party[0].name
        )


def _unknown(host: Host, name: str) -> str:
    known = people(host)
    wanted, _, network = name.partition("@")
    if network and (found := host.container(wanted)):
        own = ", ".join(found[0].endpoints)
        return f"container {found[0].name} is not on a network {_short(network)}: it is on {own}"
    if name in host.networks:
        members = [one.name for one in host.containers.values() if name in one.endpoints]
        who = f": ask one of its containers, {', '.join(members[:_LISTED])}" if members else ""
        return f"{_short(name)} is a network{who}"
    if name in host.namespace.interfaces:
        return (
            f"{_short(name)} is an interface of the host: ask about an address, or say where it arrives (-i)"
        )
    near = difflib.get_close_matches(name[:80], known, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    listed = ", ".join(known[:_LISTED]) + (", ..." if len(known) > _LISTED else "")
    told = f"nobody here is called {_short(name)}{hint} Known are: {listed}, or any IP address"
    return told if near or "." not in name else f"{told}; names of other hosts are not looked up"


def _short(name: str) -> str:
    """Return a name in quotes, as much of it as an error needs."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def _family(host: Host, question: Question, sender: tuple[Container, Endpoint | None] | str) -> Family:
    for text in (question.dst, question.src, question.to, question.sender):
        if text:
            try:
                return parse_address(text)[0]
            except ValueError:
                continue
    if question.protocol == ICMPV6:
        return 6
    if isinstance(sender, tuple) and sender[0].address(4) is None and sender[0].address(6) is not None:
        return 6
    return 6 if host.inferred and 4 not in host.rulesets and 6 in host.rulesets else 4


def _destination(
    host: Host,
    question: Question,
    sender: tuple[Container, Endpoint | None] | str,
    family: Family,
    notes: list[str],
) -> tuple[str, int]:
    if question.dst is not None:
        stated = _address(question.dst, family, "dst")
        if question.to is not None and not _is_at(host, question.to, sender, family, stated):
            raise UsageError(
                f"to {_short(question.to)} and dst {question.dst} are two destinations: give one of them"
            )
        return question.dst, stated
    assert question.to is not None
    target = _target(host, question.to, sender)
    notes.extend(_borrowed(host, question.to, target))
    if isinstance(target, tuple) and isinstance(sender, tuple):
        notes.extend(_without_name(host, question.to, sender[0], target[0]))
    if isinstance(target, tuple):
        container, endpoint = target
        address = endpoint.address(family) if endpoint else _common_address(host, sender, container, family)
        if address is None:
            raise UsageError(f"container {container.name} has no IPv{family} address")
        return container.name, address
    if target == "localhost":
        return "localhost", 0x7F000001 if family == 4 else 1
    if target == "host":
        return "host", _host_address(host, family)
    if target == "internet":
        notes.extend(filter(None, [other_address_note(host, family)]))
        return "internet", outside_address(host, family)
    if target == "dns":
        return _resolver(host, sender, family)
    address = _address(target, family, "--to")
    if family == 6 and question.dport is None and host.owner_of(6, address) is None:
        notes.extend(_port_in_address(question.to))
    return question.to, address


def _port_in_address(text: str) -> Iterator[str]:
    """Say how a port stands behind an IPv6 address, where the last group may be meant for one."""
    head, _, port = text.rpartition(":")
    if port.isdecimal() and _is_address(head):
        yield say(
            "{text} is taken for an address; one with a port is written [{head}]:{port}.",
            text=text,
            head=head,
            port=port,
        )


def _is_at(
    host: Host, name: str, sender: tuple[Container, Endpoint | None] | str, family: Family, address: int
) -> bool:
    """Tell whether an address belongs to whom a name means."""
    target = _target(host, name, sender)
    owner = host.owner_of(family, address)
    if isinstance(target, tuple):
        return isinstance(owner, tuple) and owner[0] is target[0]
    if target in ("host", "localhost"):
        return owner == "host" or (address >> 24 == 127 if family == 4 else address == 1)
    if target == "internet":
        return owner is None
    return target == "dns" or address == _address(target, family, "--to")


def _target(
    host: Host, name: str, sender: tuple[Container, Endpoint | None] | str
) -> tuple[Container, Endpoint | None] | str:
    """Return whom a name means, from the sender's point of view: links and network aliases count."""
    if isinstance(sender, tuple):
        for link in sender[0].links:
            if name == link.alias and (found := host.container(link.target)):
                return found
        if host.container(name) is None:
            for network in sender[0].endpoints:
                for container in host.containers.values():
                    endpoint = container.endpoints.get(network)
                    if endpoint is not None and name in endpoint.aliases:
                        return container, endpoint
    if host.container(name) is None:
        called = {container.name: container for container in _called(host, name)}
        if len(called) == 1:
            return _real(host, (called.popitem()[1], None))
    return _party(host, name, "target")


def _called(host: Host, name: str) -> Iterator[Container]:
    """Yield the containers that somebody else calls by a name: by an alias, or by a link's."""
    for container in host.containers.values():
        if any(name in endpoint.aliases for endpoint in container.endpoints.values()):
            yield container
        for link in container.links:
            if link.alias == name and (found := host.container(link.target)):
                yield found[0]


def _without_name(host: Host, name: str, sender: Container, target: Container) -> Iterator[str]:
    """Say it where a container can't resolve the name by which it was to ask for another.

    On the default bridge there are only the links in /etc/hosts; on other networks Docker's resolver
    knows names and aliases of the containers on a common one (docs.docker.com/engine/network/drivers/bridge).
    """
    known = all(one.daemon == "docker" and one.id for one in (sender, target))
    borrowed = name in host.containers and name != target.name
    if (
        not known
        or sender is target
        or not (borrowed or name == target.name or target in _called(host, name))
    ):
        return
    if any(link.target == target.name and name in (link.alias, target.name) for link in sender.links):
        return
    networks = [host.networks[network] for network in sender.endpoints if network in host.networks]
    own = [one.name for one in networks if not one.is_default_bridge and one.driver not in ("host", "null")]
    if not borrowed and any(
        name == target.name or name in target.endpoints[network].aliases
        for network in own
        if network in target.endpoints
    ):
        return
    if borrowed:
        why = say("a container without a network of its own has no name")
    elif own:
        why = say(
            "Docker's resolver knows those that share a network with it, and the default bridge does "
            "not count"
        )
    elif any(network.is_default_bridge for network in networks):
        why = say("on the default bridge containers know only those that they have links to")
    else:
        why = say("it is on no network")
    yield say(
        "{name} stands for its address; {sender} itself can't resolve the name: {why}.",
        name=name,
        sender=sender.name,
        why=why,
    )


def _common_address(
    host: Host, sender: tuple[Container, Endpoint | None] | str, container: Container, family: Family
) -> int | None:
    """Prefer the address on a network that both are on."""
    if isinstance(sender, tuple):
        networks = [sender[1].network] if sender[1] else list(sender[0].endpoints)
        for network in networks:
            if (address := container.address(family, network)) is not None and network in container.endpoints:
                return address
    return container.address(family)


def _host_address(host: Host, family: Family) -> int:
    route = fib.lookup(host.namespace, family, outside_address(host, family))
    source = fib.source_address(host.namespace, family, route, outside_address(host, family))
    if source is not None:
        return source
    for interface, address in host.namespace.addresses(family):
        if interface.kind != "loopback" and address.scope == "global":
            return address.address
    raise UsageError(f"the host has no IPv{family} address that is known; give the address itself")


def _resolver(host: Host, sender: tuple[Container, Endpoint | None] | str, family: Family) -> tuple[str, int]:
    namespace = sender[0].namespace if isinstance(sender, tuple) else host.namespace
    for text in namespace.nameservers():
        try:
            kind, address = parse_address(text)
        except ValueError:
            continue
        if kind == family:
            return f"dns {text}", address
    raise UsageError("the sender's resolv.conf is not in the capture, or names no server of this family")


def _address(text: str, family: Family, what: str) -> int:
    try:
        kind, address = parse_address(text)
    except ValueError:
        raise UsageError(f"{what}: {_short(text)} is not an IP address") from None
    if kind != family:
        raise UsageError(f"{what}: {text} is an IPv{kind} address, but the question is about IPv{family}")
    return address


def _packet(question: Question, family: Family, src: int, dst: int) -> Packet:
    """Make the packet's header from the question; what it leaves open gets a default and is noted."""
    proto = question.protocol
    if family == 6 and proto == ICMP:
        proto = ICMPV6
    packet = Packet(family, src, dst, proto)
    defaults = set()

    def fill(name: str, given: object, default: object) -> None:
        if given is None:
            defaults.add(name)
        setattr(packet, name, default if given is None else given)

    if proto in PORT_PROTOCOLS:
        fill("sport", question.sport, DEFAULT_SPORT)
        fill("dport", question.dport, 80 if proto == TCP else 53)
    if proto == TCP:
        packet.tcp_flags = _flags(question)
        if question.tcp_flags is None:
            defaults.add("tcp_flags")
        fill(
            "tcp_options",
            _tcp_options(question),
            syn_options(family) if packet.tcp_flags & TCP_FLAGS["SYN"] else {},
        )
    else:
        packet.tcp_flags = 0
    if proto in (ICMP, ICMPV6):
        fill("icmp_type", question.icmp_type, 8 if proto == ICMP else 128)
        fill("icmp_code", question.icmp_code, 0)
        if is_icmp_query(proto, packet.icmp_type or 0):
            # conntrack keeps the identifier where others have ports
            packet.sport = packet.dport = question.extra.get("icmp_id")
    fill("ttl", question.ttl, 64)
    fill("tos", question.tos, 0)
    fill("length", question.length, usual_length(packet))
    fill("payload", bytes.fromhex(question.payload_hex) if question.payload_hex is not None else None, b"")
    fill("mark", question.mark, 0)
    packet.fragment = question.fragment
    packet.uid, packet.gid = question.uid, question.gid
    fill("src_mac", question.src_mac, None)
    fill("dst_mac", question.dst_mac, None)
    fill("pkttype", question.pkttype or _frame_kind(question.dst_mac), "unicast")
    packet.extra = dict(question.extra)
    packet.extension_headers = tuple((kind, bytes.fromhex(data)) for kind, data in question.extension_headers)
    # a mark of 0 is what every packet has that nobody marked: not worth a remark
    packet.defaults = frozenset(defaults - {"mark", "icmp_code"})
    packet.quoted = read_quoted(question, packet)
    return packet


def _frame_kind(mac: str | None) -> str | None:
    """Return how a frame to a MAC address is addressed, None where nobody said."""
    if mac is None:
        return None
    if mac.lower() == "ff:ff:ff:ff:ff:ff":
        return "broadcast"
    return "multicast" if int(mac.split(":")[0], 16) & 1 else "unicast"


def _flags(question: Question) -> int:
    if question.tcp_flags is None:
        later = question.state == "established" or question.after is not None
        return TCP_FLAGS["ACK" if later else "SYN"]
    bits = 0
    for name in question.tcp_flags.split(","):
        bits |= TCP_FLAGS.get(name.strip().upper(), 0)
    return bits


def _tcp_options(question: Question) -> dict[int, bytes] | None:
    """Return the TCP options that the question names, None where it leaves them open."""
    if question.tcp_options is None and question.mss is None:
        return None
    options = {kind: bytes.fromhex(data) for kind, data in (question.tcp_options or {}).items()}
    if question.mss is not None:
        options[2] = question.mss.to_bytes(2, "big")
    return options


def _from_container(
    host: Host,
    question: Question,
    container: Container,
    endpoint: Endpoint | None,
    target_name: str,
    packet: Packet,
    notes: list[str],
) -> Start:
    if question.src is not None:
        packet.src = _address(question.src, packet.family, "src")
    elif endpoint is not None and (own := endpoint.address(packet.family)) is not None:
        packet.src = own
    pick = question.src is None and packet.src == 0
    return Start(container, container.name, target_name, packet, pick_source=pick, notes=notes)


def _from_outside(
    host: Host,
    question: Question,
    name: str,
    family: Family,
    target_name: str,
    packet: Packet,
    notes: list[str],
) -> Start:
    if name == "internet":
        packet.src = outside_address(host, family)
        notes.extend(filter(None, [other_address_note(host, family)]))
        if packet.src == packet.dst:
            packet.src += 1
    else:
        packet.src = _address(name, family, "--from")
    route = _way_back(host, packet)
    if question.src is not None:
        # it still comes in where the route to its sender points
        packet.src = _address(question.src, family, "src")
    interface = route.device
    if route.type != "unicast" or interface is None:
        default = fib.lookup(host.namespace, family, outside_address(host, family))
        interface = default.device
        if interface is None:
            raise UsageError(
                f"no route leads to {address_text(family, packet.src)}, so nobody can tell on which interface "
                "its packet arrives; say it with -i"
            )
    if route.others:
        notes.append(
            say(
                "the route to {name} has several ways; its packet is taken to arrive on {interface}",
                name=name,
                interface=interface,
            )
        )
    return Start("outside", name, target_name, packet, interface=interface, notes=notes)


def _way_back(host: Host, packet: Packet) -> fib.RouteResult:
    """Return the route of an answer to a packet from outside, as `ip rule` sees it: its ends and ports are swapped."""
    forth = fib.lookup(host.namespace, packet.family, packet.dst)
    return fib.lookup(
        host.namespace, packet.family, packet.src, source=packet.dst,
        iif=forth.device if forth.type == "unicast" else None,
        proto=packet.proto, sport=packet.dport, dport=packet.sport, tos=packet.tos,
    )  # fmt: skip


def _arriving(host: Host, question: Question) -> Start:
    """Make the start of a packet that is given as it arrives on an interface."""
    _check_source(question)
    interface = question.in_interface or ""
    src_text = question.src or (question.sender if question.sender not in (None, "internet") else None)
    dst_text = question.dst or question.to
    if dst_text is None or (src_text is None and question.sender is None):
        raise UsageError("a packet that arrives on an interface needs src and dst (or --from and --to)")
    if host.namespace.interfaces and interface not in host.namespace.interfaces and not host.inferred:
        near = difflib.get_close_matches(interface, list(host.namespace.interfaces), 1)
        raise UsageError(
            f"the host has no interface {interface!r}" + (f"; did you mean {near[0]}?" if near else "")
        )
    sender = _party(host, src_text or "internet", "target")
    family = _check_family(host, question.family or _family(host, question, sender))
    notes: list[str] = []
    target_name, destination = _destination(host, question, sender, family, notes)
    if isinstance(sender, tuple):
        container, endpoint = sender
        source = endpoint.address(family) if endpoint else container.address(family)
        if question.src is not None:
            source = _address(question.src, family, "src")
    elif sender == "internet":
        source = outside_address(host, family)
        notes.extend(filter(None, [other_address_note(host, family)]))
    else:
        source = _address(src_text or "", family, "src")
    if source is None:
        raise UsageError(f"{src_text} has no IPv{family} address")
    packet = _packet(question, family, source, destination)
    name = src_text or "internet"
    return Start("outside", name, target_name, packet, interface=interface, notes=notes)
