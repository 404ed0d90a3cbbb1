"""Rules of table nat whose effect is not shown: they may send packets to where others accept them."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from iptsim.asking import ask
from iptsim.question.model import Question
from iptsim.sets.fates import Fates, fates
from iptsim.sources import load_host

FILTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 10.7.0.0/16 -j ACCEPT
COMMIT
"""
LAN = "-A POSTROUTING -s 10.7.0.0/16 -o eth0 -j MASQUERADE\n"
MANGLE = """*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p udp -j MARK --set-xmark 0x1/0xffffffff
COMMIT
"""


def nat(prerouting: str = "", postrouting: str = "", chains: str = "") -> str:
    """Return table nat with these rules."""
    return (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        f"{chains}{prerouting}{postrouting}{LAN}COMMIT\n"
    )


def verdicts(folder: Path, rules: str, sender: str = "internet") -> dict[str, tuple[str, str]]:
    """Return what happens to TCP packets to two ports of the host, by the sets and by the walk of one packet."""
    path = folder / "rules.txt"
    path.write_text(rules)
    host = load_host(path)
    found: Fates = fates(host, 4, senders=[sender])
    told: dict[str, tuple[str, str]] = {}
    for port in (22, 25):
        to = found.space.point({"dst": int(ip_address("192.0.2.10")), "proto": 6, "dport": port})
        one = next(part for fate in found if (part := fate.within(to)) is not None)
        told[str(port)] = one.verdict, ask(host, Question(**one.witness)).verdict
    return told


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # what is accepted at the host may be sent to where it is not, and the other way round
        ("-A PREROUTING -i eth0 -j UNHEARDOF\n", "DEPENDS"),
        ("-A PREROUTING -i eth0 -p tcp -m tcp --dport 25 -j UNHEARDOF\n", "DEPENDS"),
        ("-A PREROUTING -i lan0 -j UNHEARDOF\n", "DROP"),
    ],
)
def test_what_is_not_accepted_here_may_be_accepted_elsewhere(
    rule: str, expected: str, tmp_path: Path
) -> None:
    told = verdicts(tmp_path, FILTER + nat(rule))
    assert told["25"] == (expected, expected)
    open_port = "DEPENDS" if rule.endswith("eth0 -j UNHEARDOF\n") else "ACCEPT"
    assert told["22"] == (open_port, open_port)


def test_rules_that_are_left_out_of_a_pasted_text_are_the_same(tmp_path: Path) -> None:
    told = verdicts(tmp_path, FILTER + nat("...\n"))
    assert told == {"22": ("DEPENDS", "DEPENDS"), "25": ("DEPENDS", "DEPENDS")}


def test_without_other_tables_nothing_could_block_packets_elsewhere(tmp_path: Path) -> None:
    told = verdicts(tmp_path, nat("-A PREROUTING -i eth0 -j UNHEARDOF\n"))
    assert told == {"22": ("ACCEPT", "ACCEPT"), "25": ("ACCEPT", "ACCEPT")}


def fate_to_the_internet(folder: Path, rules: str) -> tuple[str, str]:
    """Return what happens to TCP packets from the network behind the host, by the sets and by the walk."""
    path = folder / "rules.txt"
    path.write_text(rules)
    host = load_host(path)
    found = fates(host, 4, senders=["10.7.0.9"])
    to = found.space.point({"dst": int(ip_address("198.51.100.7")), "proto": 6})
    one = next(part for fate in found if (part := fate.within(to)) is not None)
    return one.verdict, ask(host, Question(**one.witness)).verdict


@pytest.mark.parametrize("in_a_chain", [False, True])
def test_a_hidden_source_matters_only_to_rules_that_see_it(in_a_chain: bool, tmp_path: Path) -> None:
    """The reply is translated back before all rules but those of raw and mangle PREROUTING (nf_nat_register_fn)."""
    rules = FILTER + nat(
        postrouting="-A POSTROUTING -j POST\n-A POST -o eth0 -j UNHEARDOF\n"
        if in_a_chain
        else "-A POSTROUTING -o eth0 -j UNHEARDOF\n",
        chains=":POST - [0:0]\n" if in_a_chain else "",
    )
    assert fate_to_the_internet(tmp_path, rules) == ("ACCEPT", "ACCEPT")
    # a rule there does not change this, but follows the new source
    assert fate_to_the_internet(tmp_path, rules + MANGLE) == ("ACCEPT", "ACCEPT")
    drop = MANGLE.replace("-p udp -j MARK --set-xmark 0x1/0xffffffff", "-i eth0 -d 10.7.0.0/16 -j DROP")
    # the reply to a packet that keeps its source is dropped
    assert fate_to_the_internet(tmp_path, rules + drop) == ("ACCEPT", "ACCEPT")
    without = rules.replace(LAN, "")
    assert fate_to_the_internet(tmp_path, without + drop) == ("DEPENDS", "DEPENDS")
