"""Answers of a batch that are not computed again: they are equal to those that are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from iptsim.commands import known_answers
from iptsim.commands.batch import Batch
from iptsim.commands.known_answers import KnownAnswers, Members
from iptsim.dump.reader import loads
from iptsim.flows.port_kinds import PortKinds
from iptsim.host.capture import load_host
from iptsim.host.conntrack_entries import conntrack_entries
from iptsim.host.model import Host
from iptsim.netfilter.walk import Simulator, simulator_of
from tests.netfilter.random_rules import random_host
from tests.thoroughness import first_ones

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/captures"
CAPTURES = sorted(file.parent for file in FIXTURES.rglob("iptables-save.txt"))
PUBLISHED = FIXTURES / "docker-28.5/published"
#: Ports that rules, sockets or the walk itself distinguish, and some beside them.
PORTS = (0, 21, 22, 23, 53, 79, 80, 81, 443, 8080, 8081, 40000, 65535)
ENDS = ("client", "web", "host", "internet", "192.0.2.10", "8.8.8.8")


def _questions(random: Random, host: Host, count: int) -> list[dict[str, Any]]:
    """Return questions between a few pairs of endpoints, so that many differ only in ports."""
    ends = [*host.containers, *ENDS[2:]]
    pairs = [(random.choice(ends), random.choice(ends), random.choice(("tcp", "udp"))) for _ in range(4)]
    found = []
    for _ in range(count):
        source, target, proto = random.choice(pairs)
        question: dict[str, Any] = {"from": source, "to": target, "proto": proto}
        question["dport"] = random.choice((*PORTS, random.randrange(1 << 16), random.randrange(1 << 16)))
        if random.random() < 0.3:
            question["sport"] = random.randrange(1 << 16)
        if random.random() < 0.3:
            question["verbose"] = True
        found.append(question)
    return found


class _Forgetful(KnownAnswers):
    """Knows no answer."""

    def get(self, question: Mapping[str, Any]) -> None:
        return None

    def keep(self, question: Mapping[str, Any], answer: Members) -> None:
        pass


def _differing(host: Host, questions: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    """Return how many questions had a known answer, and those for which it is wrong."""
    batch, other, known, wrong = Batch(host, {}, None), Batch(host, {}, None), 0, []
    other.known = _Forgetful(other.simulator)
    for number, question in enumerate(questions):
        line = json.dumps({"id": number, **question}).encode()
        is_known = batch.known.get(question) is not None
        answer = batch.text(line)
        if is_known:
            known += 1
            if answer != other.text(line):
                wrong.append(question)
    return known, wrong


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch know the kinds of ports from the start."""
    monkeypatch.setattr(known_answers, "_WALKS", 0)
    monkeypatch.setattr(known_answers, "_RULES", 1 << 30)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "capture", first_ones(CAPTURES, 2), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_questions_that_differ_only_in_ports(capture: Path) -> None:
    host = load_host(capture)
    known, wrong = _differing(host, _questions(Random(capture.name), host, 80))
    assert wrong == []
    assert known > 5 or not PortKinds(simulator_of(host)).are_certain


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", first_ones(range(12), 2))
def test_random_rules(seed: int) -> None:
    random = Random(seed)
    host = random_host(random)
    known, wrong = _differing(host, _questions(random, host, 80))
    assert wrong == []
    assert known > 5


def test_the_first_questions_do_not_pay_for_kinds_of_ports() -> None:
    batch = Batch(load_host(PUBLISHED), {}, None)
    for port in range(1000, 1010):
        batch.text(json.dumps({"from": "client", "to": "web", "dport": port}).encode())
    assert batch.known.get({"from": "client", "to": "web", "dport": 1010}) is None


def _known() -> KnownAnswers:
    known = KnownAnswers(Simulator(load_host(PUBLISHED)))
    known.keep({"from": "client", "to": "web", "dport": 5001}, {"text": "port 5001 of 7", "next": "5002"})
    return known


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("second", "third"),
    [
        ({"text": "port 6001 of 7", "next": "5002"}, {"text": "port 7001 of 7", "next": "5002"}),
        ({"text": "port 6001 of 7", "next": "6002"}, None),
        ({"text": "port 6001 of 8", "next": "5002"}, None),
        ({"text": "Port 6001 of 7", "next": "5002"}, None),
        ({"text": "port 6001", "next": "5002"}, None),
        ({"text": "port 6001 of 7"}, None),
    ],
    ids=["only the port", "another number", "another count", "another word", "less", "a member less"],
)
def test_two_answers_show_where_the_port_is(second: dict[str, str], third: dict[str, str] | None) -> None:
    known = _known()
    known.keep({"from": "client", "to": "web", "dport": 6001}, second)
    assert known.get({"from": "client", "to": "web", "dport": 7001}) == third


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "other",
    [
        {"dport": 80},
        {"dport": "7001"},
        {"dport": True},
        {"dport": 1 << 16},
        {"dport": 7001, "sport": 7001},
        {"dport": 7001, "to": "host"},
        {"dport": 7001, "ct": {"orig": {"dport": 7001}}},
    ],
)
def test_other_questions_are_walked(other: dict[str, Any]) -> None:
    known = _known()
    known.keep({"from": "client", "to": "web", "dport": 6001}, {"text": "port 6001 of 7", "next": "5002"})
    assert known.get({"from": "client", "to": "web", **other}) is None


def test_a_port_of_a_tracked_connection_is_only_like_itself() -> None:
    host = load_host(PUBLISHED)
    line = (
        "tcp 6 431999 ESTABLISHED src=172.17.0.3 dst=172.17.0.2 sport=50000 dport=5555 "
        "src=172.17.0.2 dst=172.17.0.3 sport=5555 dport=50000 [ASSURED] mark=0 use=1"
    )
    assert PortKinds(Simulator(host)).of(5555) == PortKinds(Simulator(host)).of(5556)
    host.conntrack = list(conntrack_entries(line))
    kinds = PortKinds(Simulator(host))
    assert (kinds.of(5555), kinds.of(50000)) == (None, None)
    assert kinds.of(5556) is not None


@pytest.mark.parametrize(
    "rule",
    [
        '*filter\n-A INPUT -p tcp -m u32 --u32 "0x14&0xffff=0x50" -j DROP',
        # each port is replaced by another (nf_nat_l4proto_unique_tuple)
        "*nat\n-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.5:7000-7010/8000",
    ],
)
def test_rules_that_read_ports_in_another_way(tmp_path: Path, rule: str) -> None:
    file = tmp_path / "iptables-save.txt"
    plain = "*filter\n-A INPUT -s 203.0.113.0/255.255.255.5 -p tcp --dport 22:80 -j DROP"
    for lines, certain in ((plain, True), (rule, False)):
        file.write_text(
            lines.replace("\n", "\n:PREROUTING ACCEPT\n" if "nat" in lines else "\n:INPUT ACCEPT\n")
            + "\nCOMMIT\n"
        )
        assert PortKinds(Simulator(load_host(file))).are_certain is certain


#: Rules that translate to ranges of ports, and compare ports of connections; of nat and filter.
RANGES = (
    "-A PREROUTING -p tcp -m tcp --dport 8000:8090 -j DNAT --to-destination 172.17.0.2:8020-8060",
    "-A PREROUTING -p udp -j REDIRECT --to-ports 5000-6000",
    "-A OUTPUT -p tcp -m tcp --dport 8050:8100 -j DNAT --to-destination 172.17.0.2-172.17.0.3:8060-8070",
    "-A POSTROUTING -p tcp -j MASQUERADE --to-ports 30000-41000",
    "-A POSTROUTING -p udp -j SNAT --to-source 192.0.2.10:50000-50010",
), (
    "-A INPUT -p udp -m conntrack --ctorigdstport 5500:5600 -j DROP",
    "-A FORWARD -p tcp -m conntrack ! --ctorigdstport 8030:8040 --ctreplsrcport 8025:8065 -j ACCEPT",
    "-A FORWARD -p tcp -m conntrack --ctreplsrcport 8060 -j REJECT",
    "-A OUTPUT -p tcp -m conntrack --ctorigsrcport 40000 --ctrepldstport 30000:45000 -j ACCEPT",
    "-A OUTPUT -p tcp -m conntrack --ctreplsrcport 8061:8065 -j DROP",
)  # fmt: skip


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", first_ones(range(20), 1))
def test_translation_to_ranges_of_ports(seed: int) -> None:
    random = Random(seed)
    nat, filter_ = (random.sample(rules, random.randrange(2, 6)) for rules in RANGES)
    chains = {"nat": ("PREROUTING", "OUTPUT", "POSTROUTING"), "filter": ("INPUT", "FORWARD", "OUTPUT")}
    heads = {name: [f"*{name}", *(f":{one} ACCEPT [0:0]" for one in own)] for name, own in chains.items()}
    lines = [*heads["nat"], *nat, "COMMIT", *heads["filter"], *filter_, "COMMIT"]
    host = replace(load_host(PUBLISHED), rulesets={4: loads("\n".join(lines) + "\n")})
    ends = ("client", "web", "host", "192.0.2.10", "192.0.2.20", "172.17.0.2")
    pairs = [(random.choice(ends), random.choice(ends), random.choice(("tcp", "udp"))) for _ in range(4)]
    questions = []
    for _ in range(80):
        source, target, proto = random.choice(pairs)
        dport = random.choice((*range(8018, 8070, 3), *range(5495, 5610, 7), random.randrange(1 << 16)))
        sport = random.choice((None, 30500, 40500, 50005, random.randrange(1 << 16)))
        question = {"from": source, "to": target, "proto": proto, "dport": dport}
        questions.append(question if sport is None else {**question, "sport": sport})
    known, wrong = _differing(host, questions)
    assert wrong == []
    assert known > 5
