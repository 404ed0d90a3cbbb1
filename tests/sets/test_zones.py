"""Zones of conntrack in sets of packets: a reply is found only in the zone of its connection (nf_ct_key_equal)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from iptsim.asking import ask
from iptsim.question.model import Question
from iptsim.sets.fates import Fates, fates
from tests.sets.test_fates import some

DUMP = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 22 -j CT --zone 5
-A PREROUTING -p tcp -m tcp --dport 80 -j CT --zone-orig 5
-A PREROUTING -p tcp -m tcp --dport 443 -j CT --zone-reply 5
-A PREROUTING -p tcp -m tcp --dport 8443 -j CT --zone 7
-A PREROUTING -p udp -m udp --dport 53:54 -j MARK --set-xmark 0x70000/0xffffffff
-A PREROUTING -p udp -m udp --dport 53 -j MARK --set-xmark 0x7/0xffff
-A PREROUTING -p udp -m udp --dport 53:55 -j CT --zone mark
-A OUTPUT -p tcp -m tcp --sport 8443 -j CT --zone 7
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -m conntrack --ctstate NEW -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
COMMIT
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Fates:
    dump: Path = tmp_path_factory.mktemp("zones") / "iptables-save.txt"
    dump.write_text(DUMP)
    return fates(dump, senders=["internet"], targets=["192.0.2.10"])


@pytest.mark.parametrize(
    ("proto", "port", "verdict"),
    [
        ("tcp", 22, "DROP"),
        ("tcp", 80, "ACCEPT"),  # only requests are in the zone
        ("tcp", 443, "DROP"),
        ("tcp", 8443, "ACCEPT"),
        ("tcp", 25, "ACCEPT"),
        ("udp", 53, "DROP"),
        ("udp", 54, "ACCEPT"),  # of the mark, the lower 16 bits count
        ("udp", 55, "ACCEPT"),
    ],
)
def test_the_fate_of_a_packet_depends_on_the_zone_of_its_connection(
    found: Fates, proto: str, port: int, verdict: str
) -> None:
    packet = {"src": "198.51.100.7", "dst": "192.0.2.10", "proto": proto, "sport": 40000, "dport": port}
    values = {
        "src": 0xC6336407, "dst": 0xC000020A, "proto": {"tcp": 6, "udp": 17}[proto], "sport": 40000, "dport": port,
        "in_interface": "eth0",
    }  # fmt: skip
    (fate,) = [one for one in found if one.packets & found.space.point(values)]
    assert fate.verdict == verdict == ask(found.simulator, Question(**{"in": "eth0", **packet})).verdict


def test_random_packets_walk_as_their_fate_says(found: Fates) -> None:
    chance = random.Random(1)
    for fate in found:
        for _ in range(3):
            line, _ = found.classes.one(fate._sender, some(fate.packets, chance).function)
            walked = ask(found.simulator, Question(**line))
            replies = [leg.verdict for leg in walked.trace.legs if leg.direction == "reply"]
            assert (walked.verdict, next(iter(replies), None)) == (fate.verdict, fate.reply), line
