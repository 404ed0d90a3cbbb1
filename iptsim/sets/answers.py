"""The replies to the packets of a class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.addresses import Family
from iptsim.netfilter import replies
from iptsim.packet import Packet, usual_length
from iptsim.protocols import ACK, ICMP, ICMPV6, RST, TCP
from iptsim.sets.parts import Leader, Part
from iptsim.sets.reception import OTHER
from iptsim.sets.translating import Fields, icmp_replies, with_ends


def answers(bits: Fields, family: Family, packets: Any, request: Leader, reply: Packet) -> Iterator[Part]:
    """Yield the replies to the packets of a class, in parts.

    Args:
        bits: the fields of the space.
        family: of the packets.
        packets: the packets of the class.
        request: the packet that leads them, as it was delivered.
        reply: the reply to it.
    """
    segment = replies.reply_to(
        request.with_protocol(TCP), listening=None if reply.tcp_flags != RST | ACK else False
    )
    flags = segment.tcp_flags if segment is not None else 0
    other = replies.reply_to(request.with_protocol(OTHER))
    ping = ICMP if family == 4 else ICMPV6
    known = {
        TCP: segment.length if segment is not None else reply.length,
        # its reply is as long
        ping: usual_length(request.with_protocol(ping)),
    }
    lengths = bits.by_protocol("length", known, other.length if other is not None else reply.length)
    for part in request.parts:
        here = part.packets & packets
        # what rules wrote besides, such as mark, TOS and TTL, is not in it
        header = dict(with_ends(bits, {}, bits.ends(part.header).reversed()))
        header["tcp_flags"] = bits.constant("tcp_flags", flags)
        header["length"] = lengths
        for inside, icmp in icmp_replies(bits, family, here, part.header):
            if inside != bits.false:
                yield Part(inside, header if icmp is None else {**header, "icmp_type": icmp}, part.tracked)
