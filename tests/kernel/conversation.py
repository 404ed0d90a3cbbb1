"""The packets after the first: what the other side would answer, sent from where the first one arrived."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

from iptsim.protocols import ACK, ICMP, ICMP_REPLIES, ICMPV6, RST, SYN, TCP, is_icmp_query
from tests.kernel.description import Probe, World
from tests.kernel.frames import packet
from tests.kernel.observation import Arrival, Observation

#: Protocols whose first packet must be of a certain kind: there is no plain answer.
_OPENING = frozenset({33, 132})
#: What Linux answers a SYN that offers it: MSS, SACK, timestamps, window scale; and the filler.
_MSS = 2
_OPTIONS = {_MSS: "05b4", 4: "", 8: "00" * 8, 1: "", 3: "07"}
#: A TCP option that no rule looks for (RFC 4727).
_EXPERIMENT = 254
#: ICMP requests and their answers.
_ECHOES = {(ICMP, 8): 0, (ICMP, 13): 14, (ICMP, 15): 16, (ICMP, 17): 18, (ICMPV6, 128): 129}


def reply(world: World, probe: Probe, observation: Observation) -> Probe | None:
    """Return the answer to a packet as it arrived, None if it arrived nowhere or has no answer."""
    if observation.delivered is not None:
        source, header = "host", observation.delivered
    elif (arrival := _addressed(world, observation)) is not None:
        source, header = arrival.interface, arrival.header
    else:
        return None
    if header.dst in (header.src, probe.src, "0.0.0.0", "::"):
        # no host replies to itself, or to a forged source that equals it; the source needs an address
        return None
    if world.is_group(header.dst) or world.is_group(header.src):
        return None
    if source == "host" and world.family == 6 and ip_address(header.src).is_link_local:
        # the laboratory's socket has no interface, unlike that of a program
        return None
    if source != "host" and ip_address(header.dst).is_loopback:
        # no other machine has that address
        return None
    changes: dict[str, object] = {
        "length": 60,
        "payload": "",
        "tos": 0,
        "tcp_options": {},
        "extension_headers": (),
        "before": (),
        "replies": True,
    }
    if probe.proto in (ICMP, ICMPV6):
        answer = _ECHOES.get((probe.proto, probe.icmp_type))
        if answer is None:
            return None
        changes.update(icmp_type=answer, length=header.length)
    elif probe.proto in _OPENING:
        return None
    elif probe.proto == TCP:
        if header.tcp_flags & RST:
            return None
        changes["tcp_flags"] = SYN | ACK if header.tcp_flags & SYN else ACK
        if header.tcp_flags & SYN:
            offered = probe.tcp_options.keys() | {_MSS}
            own = {**_OPTIONS, _MSS: "05b4" if world.family == 4 else "05a0"}
            changes.update(tcp_options={kind: own[kind] for kind in own if kind in offered}, length=0)
        elif world.family == 4:
            # 60 bytes without data
            changes["tcp_options"] = {_EXPERIMENT: "00" * 18}
    changes.update(source=source, src=header.dst, dst=header.src, sport=header.dport, dport=header.sport)
    changes.update(ttl=64, mark=0, uid=0, gid=0, fragment=None, connection=None, src_mac=None, dst_mac=None)
    return probe.model_copy(update=changes)


def _addressed(world: World, observation: Observation) -> Arrival | None:
    """Return the arrival at the addressed machine; of a flooded frame the others take no notice."""
    for arrival in observation.arrivals:
        guests = [guest for guest in world.guests if guest.port == arrival.interface]
        if not guests or any(guest.router or guest.address == arrival.header.dst for guest in guests):
            return arrival
    return None


#: ICMP errors by type and code, by family.
_ERRORS = {
    4: ((3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (4, 0), (11, 0), (12, 0)),
    6: ((1, 0), (1, 4), (2, 0), (3, 0), (4, 1)),
}


def later(
    random: Random, world: World, probe: Probe, first: Observation, back: Observation | None
) -> Probe | None:
    """Return a packet of the connection that a packet and its reply have made, or an ICMP error about one of them.

    None where there is no connection to go on with.
    """
    answer = reply(world, probe, first) if back is not None else None
    before = (probe, answer) if answer is not None else (probe,)
    kind = random.random()
    if kind < 0.4:
        # what comes after a SYN without a SYN,ACK belongs to no connection
        opened = back is not None and back.verdict == "ACCEPT"
        goes_on = probe.proto == TCP and (opened or not probe.tcp_flags & SYN)
        flags = {"tcp_flags": random.choice((ACK, ACK | 8, ACK | 1, RST | ACK))} if goes_on else {}
        if probe.proto in ICMP_REPLIES and random.random() < 0.5:
            # with the identifier of the connection, but of another one
            flags = random.choice(
                ({"icmp_code": 1}, {"icmp_type": random.choice([*ICMP_REPLIES[probe.proto]])})
            )
        return probe.model_copy(update={**flags, "before": before})
    if kind < 0.7 or back is None:
        return _error(random, world, probe, first, before)
    return _error(random, world, answer or probe, back, before)


def _error(
    random: Random, world: World, probe: Probe, observation: Observation, before: tuple[Probe, ...]
) -> Probe | None:
    """Return an ICMP error about a packet as it arrived, from its receiver or a router on the path."""
    if observation.delivered is not None:
        source, header = "host", observation.delivered
    elif (arrival := _addressed(world, observation)) is not None:
        source, header = arrival.interface, arrival.header
    else:
        return None
    echo = header.proto in ICMP_REPLIES and is_icmp_query(header.proto, probe.icmp_type)
    if echo and "--random" in world.dump + world.other_dump:
        # it quotes the identifier that nat gave the echo, which no trace shows
        return None
    if (header.proto in _ERRORLESS and not echo) or world.is_group(header.dst) or world.is_group(header.src):
        return None
    same = {"before": (), "replies": False, "connection": None, "src_mac": None, "dst_mac": None}
    arrived = {"src": header.src, "dst": header.dst, "sport": header.sport, "dport": header.dport}
    quoted = probe.model_copy(update={**same, **arrived, "ttl": header.ttl, "tos": header.tos})
    kind, code = random.choice(_ERRORS[world.family])
    return Probe(
        source=source,
        src=header.dst,
        dst=header.src,
        proto=ICMP if world.family == 4 else ICMPV6,
        icmp_type=kind,
        icmp_code=code,
        body="00000000",
        payload=packet(quoted, 1)[:80].hex(),
        before=before,
    )


#: No ICMP error is about ICMP errors; and those of others than TCP, UDP and echoes hold no ports.
_ERRORLESS = frozenset({ICMPV6, ICMP, 33, 132, 136})
