"""The same question for iptsim and the kernel, and where their answers part.

Only :func:`question_of` and :func:`Iptsim.ask` know how iptsim is asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from iptsim.host import load_host
from iptsim.netfilter.question import parse_question
from iptsim.netfilter.trace import Leg, Trace
from iptsim.netfilter.trace import Step as SimulatedStep
from iptsim.netfilter.walk import Simulator
from iptsim.packet import ICMP, ICMPV6, TCP, TCP_FLAGS, Packet, address_text
from tests.kernel.description import Flow, Probe, World
from tests.kernel.frames import OFFSETS, Header, packet
from tests.kernel.laboratory import SOCKET_MARK, Observation, hardware_addresses
from tests.kernel.tracing import Step

#: What a trace of the kernel calls the verdicts of these targets.
_SHOWN = {
    "REJECT": "DROP",
    "DNAT": "ACCEPT",
    "SNAT": "ACCEPT",
    "MASQUERADE": "ACCEPT",
    "REDIRECT": "ACCEPT",
    "NETMAP": "ACCEPT",
}

Key = tuple[str, str, str, int | None, str]


class Iptsim:
    """iptsim, ready for questions about one host."""

    def __init__(self, capture: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in capture.items():
                (Path(folder) / name).write_text(text)
            self._simulator = Simulator(load_host(folder))

    def ask(self, world: World, probe: Probe, observation: Observation, **told: Any) -> Trace:
        """Return iptsim's answer for a packet in the circumstances in which the kernel had it.

        Args:
            world: the host.
            probe: the packet.
            observation: what the kernel did with it.
            told: further fields of the question; facts are added to those of the observation.

        """
        question = question_of(world, probe, observation)
        facts = {**question["facts"], **told.pop("facts", {})}
        return self._simulator.walk(parse_question({**question, **told, "facts": facts}))


def question_of(world: World, probe: Probe, observation: Observation) -> dict[str, Any]:
    """Return a packet as a batch line, with the time and the processor of the observation.

    Of the packets before it, iptsim is told of the last one.
    """
    data = packet(probe, 1)
    question: dict[str, Any] = {
        "src": probe.src,
        "dst": probe.dst,
        "proto": str(probe.proto),
        "ttl": probe.ttl,
        "tos": probe.tos,
        "length": len(data),
        "payload_hex": _payload(probe, data).hex(),
        "at": observation.at,
        "facts": {
            "cpu": observation.cpu,
            "nfqueue_reader": False,
            "tproxy_listener": False,
            "socket": probe.socket or False,
            "socket_mark": SOCKET_MARK,
        },
    }
    if probe.has_ports:
        question.update(sport=probe.sport, dport=probe.dport)
    if probe.proto == TCP and probe.fragment not in ("middle", "last"):
        question["tcp_flags"] = (
            ",".join(name for name, bit in TCP_FLAGS.items() if probe.tcp_flags & bit) or "NONE"
        )
        question["tcp_options"] = {kind: data for kind, data in probe.tcp_options.items() if kind != 1}
    if probe.proto in (ICMP, ICMPV6):
        question.update(icmp_type=probe.icmp_type, icmp_code=probe.icmp_code)
    if probe.fragment:
        question["fragment"] = probe.fragment
    if probe.local:
        question.update({"from": "host", "mark": probe.mark, "uid": probe.uid, "gid": probe.gid})
    else:
        to, own = hardware_addresses(world, probe)
        question.update({"in": probe.source, "src_mac": own, "dst_mac": to, "pkttype": _packet_type(to)})
    if probe.bad_checksum:
        question["state"] = "invalid"
    if probe.connection is not None:
        entry = probe.connection
        status = [
            name for name, held in (("SEEN_REPLY", entry.seen_reply), ("ASSURED", entry.assured)) if held
        ]
        question["state"] = "established" if entry.seen_reply else "new"
        question["ct"] = {
            "orig": _flow(entry.original),
            "reply": _flow(entry.reply),
            "mark": entry.mark,
            "zone": entry.zone,
            "status": [*status, "CONFIRMED"],
        }
    elif probe.expected_by:
        question.update(state="related", ct={"helper": probe.expected_by})
    if probe.before:
        question["after"] = question_of(world, probe.before[-1], observation)
    question["extra"] = _extra(probe, data[len(packet(probe.model_copy(update=_EMPTY), 1)) :])
    if probe.extension_headers:
        # iptsim's contents begin after the length octet
        question["extension_headers"] = [[kind, text[2:]] for kind, text in probe.extension_headers]
    return question


#: What makes of a packet the headers before its transport header.
_EMPTY: dict[str, Any] = {"proto": 254, "length": 0, "payload": "", "body": ""}


def _payload(probe: Probe, data: bytes) -> bytes:
    """Return what follows the transport header, padding included."""
    bare = packet(probe.model_copy(update={"length": 0, "payload": ""}), 1)
    return data[len(bare) :]


def _packet_type(mac: str) -> str:
    return "broadcast" if mac == "ff:ff:ff:ff:ff:ff" else "multicast" if int(mac[:2], 16) & 1 else "unicast"


def _flow(flow: Flow) -> dict[str, Any]:
    return {"src": flow.src, "dst": flow.dst, "sport": flow.sport, "dport": flow.dport}


def _extra(probe: Probe, transport: bytes) -> dict[str, Any]:
    """Return the header fields that only a few matches look at.

    Args:
        probe: the packet.
        transport: its octets from the transport header on.
    """
    extra: dict[str, Any] = (
        {} if probe.fragment else {"ip_df": int(probe.dont_fragment), "fragment_offset": 0}
    )
    if probe.fragment:
        extra["fragment_offset"] = OFFSETS[probe.fragment] * 8
    if probe.fragment in ("middle", "last"):
        return extra
    number = int.from_bytes
    if probe.proto == TCP:
        extra.update(
            tcp_seq=number(transport[4:8], "big"), tcp_ack=number(transport[8:12], "big"), tcp_window=8192
        )
    elif probe.proto == 50:
        extra["esp_spi"] = number(transport[:4], "big")
    elif probe.proto == 51:
        extra.update(ah_spi=number(transport[4:8], "big"), ah_length=(transport[1] + 2) * 4)
        extra["ah_reserved"] = number(transport[2:4], "big")
    elif probe.proto == 132:
        extra["sctp_chunks"] = _chunks(transport[12:])
    elif probe.proto == 33 and len(transport) > 8:
        extra["dccp_type"] = transport[8] >> 1 & 15
        extra["dccp_options"] = [transport[28]] if transport[4] == 8 and transport[28] else []
    elif probe.proto == 135:
        extra["mh_type"] = transport[2]
    return extra


_CHUNK_NAMES = {0: "DATA", 1: "INIT", 2: "INIT_ACK", 6: "ABORT", 10: "COOKIE_ECHO"}


def _chunks(data: bytes) -> list[str]:
    """Return the names of the chunks of an SCTP packet."""
    names = []
    while len(data) >= 4:
        names.append(_CHUNK_NAMES.get(data[0], str(data[0])))
        data = data[max(4, int.from_bytes(data[2:4], "big") + 3 & ~3) :]
    return names


# -- comparing ----------------------------------------------------------------------------------------


def differences(
    trace: Trace,
    observation: Observation,
    *,
    reply: Observation | None = None,
    answerable: bool = True,
) -> list[str]:
    """Return where iptsim's answer parts from what the kernel did, one line each; none if nowhere.

    The kernel's way must be one of those that iptsim leaves open.

    Args:
        trace: iptsim's answer.
        observation: of the packet.
        reply: of its answer, if one was sent.
        answerable: compare what REJECT sends back as well.

    """
    return min((_way_differences(way, observation, reply, answerable) for way in leaves(trace)), key=len)


def leaves(trace: Trace) -> Iterator[Trace]:
    """Yield the ways that a trace leaves open; itself if it is decided."""
    if not trace.branches:
        yield trace
    for branch in trace.branches:
        yield from leaves(branch)


def _way_differences(
    trace: Trace, observation: Observation, reply: Observation | None, answerable: bool
) -> list[str]:
    request = trace.legs[0]
    if _lacks_neighbour(request):
        return []
    found = _leg_differences(request, observation)
    if found:
        return found
    if request.verdict == "REJECT":
        undecided = any(step.maybe for step in request.steps)
        return _answer_differences(trace.legs[1:], observation, undecided) if answerable else []
    back = next((leg for leg in trace.legs[1:] if leg.direction == "reply" and not leg.proxy), None)
    if reply is not None and back is not None and not _lacks_neighbour(back):
        return [f"reply: {line}" for line in _leg_differences(back, reply)]
    return []


def _lacks_neighbour(leg: Leg) -> bool:
    """Tell whether iptsim says that a guest can't find another: the laboratory's know each other."""
    return any(step.note.startswith("neighbour discovery") for step in leg.steps)


def _leg_differences(leg: Leg, observation: Observation) -> list[str]:
    if _held(observation):
        return []
    waits = next((place for place, step in enumerate(leg.steps) if step.code == "defragmented"), None)
    if waits is not None and observation.verdict == "LOST":
        # the kernel waits for the other fragments; iptsim goes on with the whole packet
        return _step_differences(leg.steps[:waits], observation.steps)
    found = _step_differences(leg.steps, observation.steps)
    if found:
        return found
    kernel = observation.verdict
    ours = {"QUEUE": "DROP", "STOLEN": "DROP", "LOST": "DROP"}.get(kernel, kernel)
    unrecognised = any(step.code == "reply-not-recognised" for step in leg.steps)
    if leg.verdict != ours and not unrecognised:
        notes = "; ".join(step.note for step in leg.steps if step.table is None)
        return [f"verdict: kernel {kernel}{_place(observation)}, iptsim {leg.verdict} {notes}".rstrip()]
    if leg.verdict == "ACCEPT" and leg.delivered is not None:
        return _delivery_differences(leg, observation)
    return []


def _held(observation: Observation) -> bool:
    """Tell whether the kernel waits for a fragment's siblings before any rule may see it."""
    last = observation.sightings[-1] if observation.sightings else None
    if last is None or last.place != "head" or observation.steps:
        return False
    return bool(last.header.fragment_offset or last.header.more_fragments or last.header.proto == 44)


def _place(observation: Observation) -> str:
    last = observation.sightings[-1] if observation.sightings else None
    return f" after {last.hook} {last.place}" if last else " before any hook"


def _step_differences(simulated: list[SimulatedStep], observed: tuple[Step, ...]) -> list[str]:
    """Compare steps; those that iptsim marks "maybe" may be missing in the kernel's."""
    want = [_observed_key(step) for step in observed if step.policy or step.rule is not None]
    got = [(_simulated_key(step), step.maybe) for step in simulated if step.table is not None]
    # how many of the kernel's steps may be behind us
    places = {0}
    for key, maybe in got:
        taken = {place + 1 for place in places if place < len(want) and want[place] == key}
        if not taken and not maybe:
            place = max(places)
            there = _text(want[place]) if place < len(want) else "the end"
            return [f"step {place + 1}: kernel {there}, iptsim {_text(key)}"]
        places = taken | places if maybe else taken
    place = max(places)
    return [] if place == len(want) else [f"step {place + 1}: kernel {_text(want[place])}, iptsim the end"]


def _observed_key(step: Step) -> Key:
    return step.hook, step.table, step.chain, step.rule, step.verdict


def _simulated_key(step: SimulatedStep) -> Key:
    rule = step.rule.position if step.rule is not None else None
    verdict = _SHOWN.get(step.verdict, step.verdict)
    if step.rule is not None and step.rule.target_name == "NFQUEUE" and verdict in ("ACCEPT", "DROP"):
        # iptsim tells what comes of it when nobody reads the queue
        verdict = "QUEUE"
    return step.hook, step.table or "", step.chain or "", rule, verdict


def _text(key: Key) -> str:
    hook, table, chain, rule, verdict = key
    return f"{hook} {table}:{chain}:{'policy' if rule is None else rule}={verdict}"


def _delivery_differences(leg: Leg, observation: Observation) -> list[str]:
    delivered = leg.delivered
    assert delivered is not None
    if delivered.kind == "host":
        header = observation.delivered
    else:
        header = observation.arrivals[0].header if observation.arrivals else None
    if header is None and observation.verdict == "ACCEPT" and not observation.delivered:
        # it left, but nobody is there to get it
        header = observation.sightings[-1].header if observation.sightings else None
        if header is None:
            return []
    if header is None:
        return [
            f"delivery: iptsim to {delivered.kind} {delivered.name}, kernel{_place(observation)} elsewhere"
        ]
    if delivered.packet.family == 6 and delivered.packet.fragment:
        # a trace shows too little of a later IPv6 fragment
        return []
    undecided = any(step.maybe for step in leg.steps)
    return _header_differences(delivered.packet, header, fields_too=not undecided)


def _header_differences(ours: Packet, header: Header, *, fields_too: bool) -> list[str]:
    pairs: list[tuple[str, Any, Any]] = [
        ("src", address_text(ours.family, ours.src), header.src),
        ("dst", address_text(ours.family, ours.dst), header.dst),
    ]
    if fields_too:
        pairs += [("ttl", ours.ttl, header.ttl), ("tos", ours.tos, header.tos)]
    ported = header.proto == ours.proto and not header.fragment_offset
    if ours.sport is not None and ours.dport is not None and ported:
        pairs += [("sport", ours.sport, header.sport), ("dport", ours.dport, header.dport)]
    wrong = [f"{name}: kernel {theirs}, iptsim {own}" for name, own, theirs in pairs if own != theirs]
    return [f"arrives with {', '.join(wrong)}"] if wrong else []


def _answer_differences(legs: list[Leg], observation: Observation, undecided: bool) -> list[str]:
    """Compare what REJECT sends back; `undecided`: nobody knows what the rules before did to its TOS."""
    expected, caused = legs[0] if legs else None, observation.caused
    if not observation.rejected:
        # the kernel still waits for the other fragments
        return []
    if expected is None:
        return [f"answer: kernel {caused[0].header}, iptsim none"] if caused else []
    silent = expected.verdict == "ACCEPT" and not expected.steps
    if not caused and not observation.answers:
        return [] if silent or expected.verdict != "ACCEPT" else ["answer: kernel none, iptsim one"]
    if caused:
        found = _step_differences(expected.steps, caused[0].steps)
        if found:
            return [f"answer: {line}" for line in found]
    ours = (expected.delivered or expected).packet
    # an answer that is rejected in turn has an answer of its own
    came = [one.header for one in observation.answers if one.header.proto == ours.proto]
    if expected.verdict == "ACCEPT" and not came:
        return [] if caused and caused[0].left else ["answer: iptsim delivers it, the kernel does not"]
    if expected.verdict != "ACCEPT":
        return ["answer: the kernel delivers it, iptsim does not"] if came else []
    header = came[0]
    pairs = [
        ("src", address_text(ours.family, ours.src), header.src),
        ("dst", address_text(ours.family, ours.dst), header.dst),
        ("type", ours.icmp_type or 0, header.icmp_type),
        ("code", ours.icmp_code or 0, header.icmp_code),
        ("flags", ours.tcp_flags, header.tcp_flags),
        ("tos", header.tos if undecided else ours.tos, header.tos),
    ]
    wrong = [f"{name}: kernel {theirs}, iptsim {own}" for name, own, theirs in pairs if own != theirs]
    return [f"answer with {', '.join(wrong)}"] if wrong else []
