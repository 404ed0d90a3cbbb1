"""Puts the kernel's packets to iptsim as questions. No other module here knows the fields of its questions."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iptsim.addresses import address_text
from iptsim.host import load_host
from iptsim.netfilter.trace import Trace
from iptsim.netfilter.walk import Simulator
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, TCP, TCP_FLAGS, is_icmp_query
from iptsim.question.model import Question
from tests.kernel.description import Flow, Probe, World
from tests.kernel.frames import OFFSETS, packet
from tests.kernel.laboratory import SOCKET_MARK, hardware_addresses
from tests.kernel.observation import Observation


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
        return self._simulator.walk(Question(**{**question, **told, "facts": facts}))

    def answer(self, fields: Mapping[str, Any], observation: Observation | None = None) -> Trace:
        """Return iptsim's answer to a question as people ask it; what they leave open it chooses by itself."""
        facts: dict[str, Any] = dict(_ABSENT)
        if observation is not None:
            facts["cpu"] = observation.cpu
        at = observation.at if observation is not None else None
        return self._simulator.walk(Question(**{**fields, "at": at, "facts": facts}))


#: What the laboratory's host does not have.
_ABSENT = {"nfqueue_reader": False, "tproxy_listener": False, "realm": 0, "socket": False}


def question_of(world: World, probe: Probe, observation: Observation) -> dict[str, Any]:
    """Return a packet as a batch line, with the time and the processor of the observation.

    Of the earlier packets, iptsim gets the last one; for a reply, the packet it replies to.
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
            **_ABSENT,
            "cpu": observation.cpu,
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
    if probe.bad_checksum or probe.bad_length:
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
            "packets": 0,
            "bytes": 0,
            "status": [*status, "CONFIRMED"],
        }
    elif probe.expected_by:
        question.update(state="related", ct={"helper": probe.expected_by})
    if probe.before:
        last = probe.before[-1]
        earlier = probe.before[-2] if last.replies else last
        question["after"] = {**question_of(world, earlier, observation), "reply": last.replies}
    question["extra"] = _extra(probe, data[len(packet(probe.model_copy(update=_EMPTY), 1)) :])
    if probe.extension_headers:
        # iptsim's contents begin after the length byte
        question["extension_headers"] = [[kind, text[2:]] for kind, text in probe.extension_headers]
    return question


def probe_of(trace: Trace, source: str) -> Probe:
    """Return the packet that iptsim made of a question, to be sent from `source`."""
    made = trace.legs[0].packet
    fields: dict[str, Any] = {
        "source": source,
        "src": address_text(made.family, made.src),
        "dst": address_text(made.family, made.dst),
        "proto": made.proto,
        "ttl": made.ttl,
        "tos": made.tos,
        "length": made.length,
        "mark": made.mark,
        "payload": made.payload.hex(),
        "uid": made.uid or 0,
        "gid": made.gid or 0,
    }
    if made.proto in PORT_PROTOCOLS:
        fields.update(sport=made.sport or 0, dport=made.dport or 0)
    if made.proto == TCP:
        # up to the length that it has, with an option that no rule looks for (RFC 4727)
        room = made.length - {4: 20, 6: 40}[made.family] - 20
        options = {kind: data.hex() for kind, data in made.tcp_options.items()}
        fields["tcp_flags"] = made.tcp_flags
        fields["tcp_options"] = options or ({_EXPERIMENT: "00" * (room - 2)} if room >= 2 else {})
    if made.proto in (ICMP, ICMPV6):
        body = made.extra.get("icmp_id", 7) << 16 | made.extra.get("icmp_seq", 1)
        fields.update(icmp_type=made.icmp_type, icmp_code=made.icmp_code, body=f"{body:08x}")
    return Probe(**fields)


#: A TCP option that no rule looks for (RFC 4727).
_EXPERIMENT = 254
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
        transport: its bytes from the transport header on.
    """
    extra: dict[str, Any] = {"ipsec": "", "fragment_offset": OFFSETS[probe.fragment or "first"] * 8}
    if not probe.fragment:
        extra["ip_df"] = int(probe.dont_fragment)
    if probe.fragment in ("middle", "last"):
        return extra
    number = int.from_bytes
    if probe.proto == TCP:
        extra.update(
            tcp_seq=number(transport[4:8], "big"), tcp_ack=number(transport[8:12], "big"), tcp_window=8192
        )
    elif probe.proto in (ICMP, ICMPV6) and is_icmp_query(probe.proto, probe.icmp_type):
        extra.update(icmp_id=number(transport[4:6], "big"), icmp_seq=number(transport[6:8], "big"))
    elif probe.proto == 50:
        extra["esp_spi"] = number(transport[:4], "big")
    elif probe.proto == 108:
        extra["ipcomp_cpi"] = number(transport[2:4], "big")
    elif probe.proto == 51:
        extra.update(ah_spi=number(transport[4:8], "big"), ah_length=(transport[1] + 2) * 4)
        extra["ah_reserved"] = number(transport[2:4], "big")
    elif probe.proto == 108 and len(transport) >= 4:
        extra["ipcomp_cpi"] = number(transport[2:4], "big")
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
