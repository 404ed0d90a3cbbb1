"""Sets of packets against the kernel: some packets of each set, and what the kernel does with them."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from iptsim.extensions.parameters import parse_protocol
from iptsim.host import load_host
from iptsim.sets.fates import Fates, fates
from tests.kernel.description import Probe
from tests.kernel.laboratory import Laboratory, missing
from tests.kernel.scenes import make_scene
from tests.sets.test_fates import some

WITHOUT = missing()
pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)]

#: Rules with calls, gotos, marks, and nat of each kind.
DUMP = """*raw
:PREROUTING ACCEPT
-A PREROUTING -s 10.1.0.10/32 -p udp -j NOTRACK
COMMIT
*mangle
:PREROUTING ACCEPT
-A PREROUTING -i eth0 -p tcp -m tcp --dport 1000:1999 -j MARK --set-xmark 0x10/0xf0
-A PREROUTING -m mark --mark 0x10/0x10 -m tcp -p tcp --dport 1500:1600 -j MARK --set-xmark 0x1/0x1
COMMIT
*nat
:PREROUTING ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -d 10.1.0.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.2.0.9:80
-A PREROUTING -d 10.1.0.2/32 -p tcp -m tcp --dport 7000:7010 -j DNAT --to-destination 10.2.0.10:5000-5004
-A PREROUTING -d 10.1.0.1/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353
-A PREROUTING -d 198.18.0.0/24 -j NETMAP --to 10.2.0.0/24
-A POSTROUTING -o eth1 -m mark --mark 0x1/0x1 -j MASQUERADE
COMMIT
*filter
:INPUT DROP
:FORWARD DROP
:OUTPUT ACCEPT
:WEB -
:OWN -
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j OWN
-A OWN -p tcp -m multiport --dports 22,443 -j ACCEPT
-A OWN -p udp -m udp --dport 5353 -j RETURN
-A OWN -p tcp -g WEB
-A OWN ! -s 10.1.0.0/24 -j DROP
-A WEB -s 10.1.0.9/32 -j REJECT --reject-with icmp-port-unreachable
-A INPUT -p udp -m udp --dport 5353 -j ACCEPT
-A INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate DNAT -d 10.2.0.9/32 -j ACCEPT
-A FORWARD -d 10.2.0.10/32 -p tcp -m tcp --dport 5002:5004 -j ACCEPT
-A FORWARD -d 10.2.0.64/26 -j REJECT
-A FORWARD -m conntrack --ctorigdst 198.18.0.0/25 -j ACCEPT
-A FORWARD -m mark --mark 0x11/0xff -j ACCEPT
COMMIT
"""
#: What a request may have met: LOST where no rule dropped it but the kernel itself.
MEANT = {"ACCEPT": {"ACCEPT"}, "DROP": {"DROP", "LOST"}, "REJECT": {"REJECT"}}


def read(capture: dict[str, str]) -> Fates:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in capture.items():
            (Path(folder) / name).write_text(text)
        return fates(load_host(folder))


def probe_of(line: dict[str, Any]) -> Probe:
    """A packet as the laboratory sends it."""
    fields = {
        name: line[name]
        for name in ("src", "dst", "sport", "dport", "icmp_type", "icmp_code")
        if name in line
    }
    return Probe(source=line["in"], proto=parse_protocol(line["proto"]), **fields)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_the_kernel_treats_packets_as_their_set_says(backend: str) -> None:
    world = make_scene("router4").world.model_copy(update={"dump": DUMP, "backend": backend})
    chance, met = Random(20261128), Counter[str]()
    with Laboratory(world) as laboratory:
        found = read(laboratory.capture())
        for fate in found:
            if fate.iif != "eth0":
                continue
            expected = fate.explanation.trace.legs[0].verdict
            for _ in range(3):
                # of protocols whose headers the laboratory knows
                plain = fate.packets & found.space.where("proto", ((1, 1), (6, 6), (17, 17)))
                line, _ = found.classes.one(fate._sender, some(plain or fate.packets, chance).function)
                observed = laboratory.send(probe_of(line)).verdict
                assert observed in MEANT[expected], (line, expected)
                met[expected] += 1
    assert set(met) == {"ACCEPT", "DROP", "REJECT"}
