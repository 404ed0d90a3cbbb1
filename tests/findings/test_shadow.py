"""A rule that is said never to match must not match: every pair of rules of a pool, on every packet of a pool."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

from iptsim.addresses import parse_address
from iptsim.connection import Connection
from iptsim.dump import loads
from iptsim.dump.rule import Rule
from iptsim.extensions.context import Context
from iptsim.host.model import Host
from iptsim.netfilter.program import Program
from iptsim.netfilter.surroundings import World
from iptsim.packet import Packet
from iptsim.question.model import Question
from iptsim.sets.chains import Chains
from iptsim.sets.space import Space
from iptsim.sets.traffic import Traffic

CLAUSES = {
    "source": ("", "-s 10.0.0.0/8", "-s 10.1.0.0/16", "-s 10.1.2.3", "! -s 10.1.0.0/16", "-s 10.0.0.3/255.0.0.255"),
    "interface": ("", "-i eth0", "-i eth+", "! -i eth0", "-i lo"),
    "transport": (
        "",
        "-p tcp",
        "-p udp",
        "! -p tcp",
        "-p tcp -m tcp --dport 80",
        "-p tcp -m tcp ! --dport 80",
        "-p tcp -m tcp --dport 1:1024",
        "-p udp -m udp --dport 80",
        "-p tcp -m multiport --dports 22,80",
        "-p tcp -m multiport --dports 80",
        "-p tcp -m tcp --sport 80",
    ),
    "state": ("", "-m conntrack --ctstate NEW", "-m conntrack --ctstate NEW,ESTABLISHED", "-m state --state NEW",
              "-m conntrack ! --ctstate NEW"),
}  # fmt: skip
WORLD = World(Host(), Question(sender="host", to="host"), Host().namespace)


def contexts() -> list[Context]:
    found = []
    for source, interface, proto, dport, state in product(
        ("10.1.2.3", "10.1.9.9", "10.7.0.3", "192.0.2.1"), ("eth0", "eth1", "lo"), (6, 17), (22, 80, 500, 8080),
        ("NEW", "ESTABLISHED", "INVALID"),
    ):  # fmt: skip
        packet = Packet(
            4, parse_address(source)[1], 1, proto, sport=80 if dport == 500 else 40000, dport=dport
        )
        context = Context(packet, "INPUT", "filter", WORLD, in_interface=interface, state=state)
        if state != "INVALID":
            context.connection = Connection(4, packet.flow, packet.flow.reversed())
        found.append(context)
    return found


def matches(rule: Rule, context: Context) -> bool:
    conditions = [
        *rule.parameters.predicates(),
        *(one for match in rule.matches for one in match.predicates()),
    ]
    return all(condition.test(context) is True for condition in conditions)


@pytest.mark.thorough
def test_what_is_said_to_be_dead_is_hidden() -> None:
    """Each packet that a dead rule matches is matched by one of the rules that are said to hide it."""
    clauses = [" ".join(filter(None, words)) for words in product(*CLAUSES.values())]
    lines = [f"-A INPUT {clause} -j DROP" for clause in clauses if clause]
    told = 0
    for seed in range(4):
        order = Random(seed).sample(lines, 60)
        ruleset = loads("*filter\n:INPUT ACCEPT [0:0]\n" + "\n".join(order) + "\nCOMMIT\n")
        chain = ruleset.tables["filter"].chains["INPUT"]
        packets = contexts()
        fits = [
            frozenset(index for index, one in enumerate(packets) if matches(rule, one))
            for rule in chain.rules
        ]
        for dead in Traffic(Chains(Space(4), Program(ruleset)), "filter").dead():
            told += 1
            hidden = frozenset().union(*(fits[rule.position - 1] for rule in dead.hidden_by))
            assert fits[dead.rule.position - 1] <= hidden, (
                dead.rule.text,
                [rule.text for rule in dead.hidden_by],
            )
    assert told > 20
