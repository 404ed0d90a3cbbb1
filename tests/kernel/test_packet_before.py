"""The second packet of a connection: the kernel goes by what it stored for the first, and so does iptsim."""

from __future__ import annotations

import pytest

from iptsim.protocols import TCP_FLAGS
from tests.kernel.asking import Iptsim, question_of
from tests.kernel.compare import differences
from tests.kernel.conversation import reply
from tests.kernel.description import Probe
from tests.kernel.laboratory import Laboratory, missing
from tests.kernel.scenes import make_scene

WITHOUT = missing()
DUMP = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p {proto} -m {proto} --dport 80 -j DNAT --to-destination {to}
-A POSTROUTING -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate NEW {new}
COMMIT
"""


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("scene", ["router4", "router6"])
@pytest.mark.parametrize("proto", [6, 17])
@pytest.mark.parametrize("new", ["-j ACCEPT", "-j DROP", "-m mark --mark 1 -j ACCEPT"])
def test_the_next_packet_of_a_connection(scene: str, proto: int, new: str) -> None:
    shape = make_scene(scene)
    target = shape.beyond["eth1"][0]
    to = f"{target}:8080" if shape.family == 4 else f"[{target}]:8080"
    dump = DUMP.format(proto={6: "tcp", 17: "udp"}[proto], to=to, new=new)
    world = shape.world.model_copy(update={"dump": dump})
    first = Probe(
        source="eth0",
        src=shape.senders["eth0"][0],
        dst=shape.own[0],
        proto=proto,
        sport=40000,
        dport=80,
    )
    with Laboratory(world) as laboratory:
        iptsim = Iptsim(laboratory.capture())
        seen = laboratory.send(first)
        before = {**question_of(world, first, seen), "reply": False}
        # a second packet the same way, before there is an answer
        again = laboratory.send(first, fresh=False)
        trace = iptsim.ask(world, first, again, after=before)
    assert not differences(trace, again)
    passed = new == "-j ACCEPT"
    assert passed == (seen.verdict == "ACCEPT")
    # the nat table is evaluated once per connection
    assert passed != any(step.table == "nat" for step in again.steps)


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("scene", ["router4", "router6"])
def test_the_packet_after_the_answer(scene: str) -> None:
    shape = make_scene(scene)
    target = shape.beyond["eth1"][0]
    to = f"{target}:8080" if shape.family == 4 else f"[{target}]:8080"
    world = shape.world.model_copy(update={"dump": DUMP.format(proto="tcp", to=to, new="-j ACCEPT")})
    source = shape.senders["eth0"][0]
    first = Probe(source="eth0", src=source, dst=shape.own[0], proto=6, sport=40000, dport=80)
    with Laboratory(world) as laboratory:
        iptsim = Iptsim(laboratory.capture())
        seen = laboratory.send(first)
        answer = reply(world, first, seen)
        assert answer is not None
        back = laboratory.send(answer, fresh=False)
        assert back.verdict == "ACCEPT"
        third = first.model_copy(update={"tcp_flags": TCP_FLAGS["ACK"]})
        on = laboratory.send(third, fresh=False)
        trace = iptsim.ask(world, third, on, after=question_of(world, first, seen))
    assert not differences(trace, on)
    assert ("filter", "FORWARD", 1) in [(step.table, step.chain, step.rule) for step in on.steps]
