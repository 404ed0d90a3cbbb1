"""The comparison itself: what iptsim gets wrong must be seen, whatever its own texts say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iptsim.addresses import parse_address
from iptsim.netfilter.steps import Delivery, Step
from iptsim.netfilter.trace import Leg, Trace
from iptsim.packet import Packet
from tests.kernel.compare import differences
from tests.kernel.frames import Header
from tests.kernel.observation import Arrival, Observation
from tests.kernel.tracing import Sighting

GUEST, SERVER = "10.1.0.9", "10.2.0.9"
HEADER = Header(GUEST, SERVER, 6, 40000, 80, 2, 0, 0, 63, 0, 40, 1, 0, 0, False)
BACK = HEADER._replace(src=SERVER, dst=GUEST, sport=80, dport=40000)


def observed(header: Header, way_in: str, way_out: str, mark: int = 0) -> Observation:
    sighting = Sighting("POSTROUTING", "tail", way_in, way_out, mark, header)
    return Observation((), (sighting,), (Arrival(way_out, header),), ())


def packet(header: Header) -> Packet:
    source, destination = parse_address(header.src)[1], parse_address(header.dst)[1]
    return Packet(4, source, destination, sport=header.sport, dport=header.dport, ttl=header.ttl)


def leg(header: Header, way_out: str) -> Leg:
    return Leg(
        "original",
        header.src,
        packet(header),
        delivered=Delivery("outside", header.dst, packet(header), way_out),
    )


FIRST, SEEN = leg(HEADER, "eth1"), observed(HEADER, "eth0", "eth1")
REPLY, SEEN_REPLY = replace(leg(BACK, "eth0"), direction="reply"), observed(BACK, "eth1", "eth0")
REFUSED = replace(
    REPLY, verdict="DROP", delivered=None, steps=[Step("SOCKET", "DROP", code="reply-not-recognised")]
)


def test_the_same_is_no_difference() -> None:
    assert not differences(Trace("ACCEPT", [FIRST, REPLY]), SEEN, reply=SEEN_REPLY)


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (observed(HEADER, "eth0", "eth2"), "delivery: kernel by eth2, iptsim by eth1"),
        (observed(HEADER, "eth0", "eth1", mark=7), "arrives with mark: kernel 0x7, iptsim 0x0"),
        (observed(HEADER._replace(dport=81), "eth0", "eth1"), "arrives with dport: kernel 81, iptsim 80"),
        (SEEN._replace(arrivals=(), sightings=()), "verdict: kernel LOST before any hook, iptsim ACCEPT"),
    ],
)
def test_interface_mark_ports_and_verdict_are_compared(seen: Observation, what: str) -> None:
    assert differences(Trace("ACCEPT", [FIRST]), seen) == [what]


def test_a_reply_that_iptsim_does_not_recognise_must_be_another_one() -> None:
    trace = Trace("DROP", [FIRST, REFUSED])
    (found,) = differences(trace, SEEN, reply=SEEN_REPLY)
    assert found.startswith("reply: arrives as the reply that was asked for")
    elsewhere = observed(BACK._replace(src="10.2.0.10"), "eth1", "eth0")
    assert not differences(trace, SEEN, reply=elsewhere)
    assert differences(trace, SEEN, reply=SEEN_REPLY._replace(arrivals=(), sightings=()))


def test_neighbour_discovery_that_the_kernel_lets_pass_may_not_end_the_comparison() -> None:
    dead = replace(REPLY, verdict="DROP", delivered=None)
    trace = Trace("DROP", [FIRST, dead])
    assert not differences(trace, SEEN, reply=SEEN_REPLY._replace(discovered=False))
    assert differences(trace, SEEN, reply=SEEN_REPLY._replace(discovered=True))
    assert differences(Trace("ACCEPT", [FIRST, REPLY]), SEEN, reply=SEEN_REPLY._replace(discovered=False))


def test_doubt_without_a_reason_is_a_difference() -> None:
    doubtful = Trace("DEPENDS", [replace(FIRST, verdict="DEPENDS")], branches=[Trace("ACCEPT", [FIRST])])
    assert not differences(doubtful, SEEN)
    assert differences(doubtful, SEEN, doubt="none") == ["depends on nothing, though all is known"]
