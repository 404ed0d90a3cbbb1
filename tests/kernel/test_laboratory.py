"""The laboratory itself: it reports what the kernel is known to do (nf_tables trace, RFC 792 codes)."""

from __future__ import annotations

from random import Random

import pytest

from tests.kernel.conversation import reply
from tests.kernel.description import Entry, Flow, Probe, World
from tests.kernel.frames import checksum, crc32c, packet, read_header
from tests.kernel.generate import make_probe, make_rulebook
from tests.kernel.laboratory import Laboratory, missing
from tests.kernel.namespaces import CommandError
from tests.kernel.observation import Observation
from tests.kernel.rules import read_chains
from tests.kernel.scenes import make_scene

kernel = pytest.mark.kernel
WITHOUT = missing()
needs_kernel = pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)


def world(dump: str, scene: str = "router4", backend: str = "nft") -> World:
    return make_scene(scene).world.model_copy(update={"dump": dump, "backend": backend})


def observe(dump: str, *probes: Probe, scene: str = "router4", backend: str = "nft") -> list[Observation]:
    with Laboratory(world(dump, scene, backend)) as laboratory:
        return [laboratory.send(probe) for probe in probes]


def steps(observation: Observation) -> list[str]:
    return [str(step) for step in observation.steps]


TO_HOST = Probe(source="eth0", src="10.1.0.9", dst="10.1.0.1", sport=40000, dport=80)
THROUGH = Probe(source="eth0", src="10.1.0.9", dst="10.2.0.9", sport=40000, dport=80)
FROM_HOST = Probe(source="host", src="10.2.0.1", dst="10.2.0.9", proto=17, sport=53, dport=53, payload="00")


def test_checksums_are_those_of_the_standards() -> None:
    # RFC 1071 section 3, RFC 3720 appendix B.4 (32 bytes of zero)
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF
    assert crc32c(bytes(32)) == 0x8A9136AA


@pytest.mark.parametrize(
    "probe", [TO_HOST, FROM_HOST, THROUGH.model_copy(update={"proto": 1, "icmp_type": 8})]
)
def test_a_packet_is_read_back_as_it_was_built(probe: Probe) -> None:
    header = read_header(packet(probe, 77))
    assert header is not None
    assert (header.src, header.dst, header.proto, header.cookie) == (probe.src, probe.dst, probe.proto, 77)
    if probe.has_ports:
        assert (header.sport, header.dport) == (probe.sport, probe.dport)


def test_targets_are_read_from_a_dump() -> None:
    chains = read_chains(
        '*filter\n:INPUT DROP [0:0]\n:C -\n-A INPUT -m comment --comment "-j X" -j C\n-A C -g C\n-A C\n'
    )
    assert [chains.verdict("filter", "INPUT", 1), chains.verdict("filter", "C", 1)] == ["JUMP:C", "GOTO:C"]
    assert chains.verdict("filter", "C", 2) == "CONTINUE"


@kernel
@needs_kernel
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_jumps_gotos_and_returns(backend: str) -> None:
    dump = """*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
:C1 -
:C2 -
-A INPUT -j C1
-A INPUT -p tcp -j REJECT
-A C1 -g C2
-A C1 -j DROP
-A C2 -p udp -j DROP
COMMIT
"""
    rejected, dropped = observe(dump, TO_HOST, THROUGH, backend=backend)
    assert steps(rejected) == [
        "INPUT filter:INPUT:1=JUMP:C1",
        "INPUT filter:C1:1=GOTO:C2",
        "INPUT filter:C2:end=RETURN",
        "INPUT filter:INPUT:2=DROP",
    ]
    assert rejected.verdict == "REJECT"
    (answer,) = rejected.answers
    assert (answer.interface, answer.header.src, answer.header.icmp_type, answer.header.icmp_code) == (
        "eth0",
        "10.1.0.1",
        3,
        3,
    )
    assert steps(dropped) == ["FORWARD filter:FORWARD:policy=DROP"]
    assert (dropped.verdict, dropped.arrivals, dropped.answers) == ("DROP", (), ())


@kernel
@needs_kernel
@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_translation_is_seen_at_the_far_end_and_undone_for_the_reply(backend: str) -> None:
    dump = """*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.2.0.9:8080
-A POSTROUTING -o eth1 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT
:FORWARD DROP
:OUTPUT ACCEPT
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -p tcp --dport 8080 -j ACCEPT
COMMIT
"""
    with Laboratory(world(dump, backend=backend)) as laboratory:
        there = laboratory.send(TO_HOST)
        answer = reply(laboratory.world, TO_HOST, there)
        assert answer is not None
        back = laboratory.send(answer, fresh=False)
        again = laboratory.send(TO_HOST)
    assert steps(there) == [
        "PREROUTING nat:PREROUTING:1=ACCEPT",
        "FORWARD filter:FORWARD:2=ACCEPT",
        "POSTROUTING nat:POSTROUTING:1=ACCEPT",
    ]
    (arrival,) = there.arrivals
    assert (arrival.interface, arrival.header.src, arrival.header.dst, arrival.header.dport) == (
        "eth1",
        "10.2.0.1",
        "10.2.0.9",
        8080,
    )
    assert steps(back) == ["FORWARD filter:FORWARD:1=ACCEPT"]
    assert (back.arrivals[0].interface, back.arrivals[0].header.src, back.arrivals[0].header.sport) == (
        "eth0",
        "10.1.0.1",
        80,
    )
    assert steps(again) == steps(there)


@kernel
@needs_kernel
def test_marks_owners_and_tcp_resets() -> None:
    dump = """*mangle
:OUTPUT ACCEPT
-A OUTPUT -m mark --mark 7 -j MARK --set-xmark 0x9/0xffffffff
COMMIT
*filter
:OUTPUT ACCEPT
:FORWARD ACCEPT
-A OUTPUT -m owner --uid-owner 33 -j REJECT
-A OUTPUT -m mark --mark 9
-A FORWARD -p tcp -j REJECT --reject-with tcp-reset
COMMIT
"""
    marked = FROM_HOST.model_copy(update={"mark": 7})
    owned = FROM_HOST.model_copy(update={"uid": 33})
    first, second, third = observe(dump, marked, owned, THROUGH)
    assert steps(first)[0] == "OUTPUT mangle:OUTPUT:1=CONTINUE"
    assert "OUTPUT filter:OUTPUT:2=CONTINUE" in steps(first)
    assert first.sightings[-1].mark == 9
    assert (second.verdict, second.error) == ("REJECT", "EPERM")
    assert (third.answers[0].header.src, third.answers[0].header.tcp_flags) == ("10.2.0.9", 0x14)


@kernel
@needs_kernel
def test_bridged_frames_carry_their_ports() -> None:
    dump = """*filter
:FORWARD ACCEPT
-A FORWARD -m physdev --physdev-in vetha --physdev-out vethb -j ACCEPT
-A FORWARD -i br0 ! -o br0 -j DROP
COMMIT
"""
    across = Probe(source="vetha", src="172.17.0.2", dst="172.17.0.3", dport=80)
    out = Probe(source="vetha", src="172.17.0.2", dst="198.51.100.7", dport=80)
    switched, routed = observe(dump, across, out, scene="bridge4")
    assert steps(switched) == ["FORWARD filter:FORWARD:1=ACCEPT"]
    assert (switched.arrivals[0].interface, switched.arrivals[0].header.ttl) == ("vethb", 64)
    assert steps(routed) == ["FORWARD filter:FORWARD:2=DROP"]


@kernel
@needs_kernel
def test_a_known_connection_is_established() -> None:
    entry = Entry(
        original=Flow(src="10.1.0.9", dst="10.1.0.1", sport=40000, dport=80),
        reply=Flow(src="10.1.0.1", dst="10.1.0.9", sport=80, dport=40000),
        mark=5,
    )
    dump = "*filter\n:INPUT DROP\n-A INPUT -m connmark --mark 5 -m conntrack --ctstate ESTABLISHED -j ACCEPT\nCOMMIT\n"
    known, new = observe(dump, TO_HOST.model_copy(update={"connection": entry, "tcp_flags": 16}), TO_HOST)
    assert (known.verdict, new.verdict) == ("ACCEPT", "DROP")


@kernel
@needs_kernel
def test_ipv6_packets_and_what_the_kernel_drops_by_itself() -> None:
    dump = "*filter\n:FORWARD ACCEPT\n-A FORWARD -p udp -j REJECT\nCOMMIT\n"
    probe = Probe(
        source="eth0", src="2001:db8:1::9", dst="2001:db8:2::9", proto=17, sport=1, dport=2, payload="0000"
    )
    blackhole = probe.model_copy(update={"dst": "2001:db8:66::1"})
    expired = probe.model_copy(update={"ttl": 1})
    rejected, lost, old = observe(dump, probe, blackhole, expired, scene="router6")
    assert rejected.verdict == "REJECT"
    assert (rejected.answers[0].header.icmp_type, rejected.answers[0].header.icmp_code) == (1, 4)
    assert (lost.verdict, lost.steps) == ("LOST", ())
    assert (old.verdict, old.answers[0].header.icmp_type) == ("LOST", 3)


@kernel
@needs_kernel
def test_refused_rules_are_reported() -> None:
    with (
        pytest.raises(CommandError, match="line"),
        Laboratory(world("*filter\n-A INPUT -m nosuch -j DROP\nCOMMIT\n")),
    ):
        pass


@kernel
@needs_kernel
def test_the_same_questions_get_the_same_answers() -> None:
    def run() -> list[tuple[list[str], str]]:
        answers = []
        for seed in range(6):
            random = Random(seed)
            book = make_rulebook(random)
            with Laboratory(book.world()) as laboratory:
                for _ in range(15):
                    observation = laboratory.send(make_probe(random, book))
                    answers.append((steps(observation), observation.verdict))
        return answers

    assert run() == run()
