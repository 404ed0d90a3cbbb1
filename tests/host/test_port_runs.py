"""Ranges of published ports: whatever rules there are, the ports of a run are treated alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from iptsim.explanation import explain_trace
from iptsim.findings import lint
from iptsim.host import Host, load_host
from iptsim.host.containers import PublishedPort
from iptsim.host.port_runs import PortRuns
from iptsim.netfilter.walk import Simulator
from iptsim.protocols import TCP, UDP
from iptsim.question.model import Question
from iptsim.reach import questions
from iptsim.render.endpoints import endpoints_json
from iptsim.report import page, report
from iptsim.sources import loads_host

CAPTURE = Path(__file__).parents[2] / "fixtures/captures/docker-28.5/published"
FIRST, COUNT = 20_000, 40


def with_range(
    folder: Path,
    *,
    shift: int = 0,
    user: tuple[str, ...] = (),
    closed: tuple[int, ...] = (),
    count: int = COUNT,
) -> Host:
    """Return a host on which web publishes a range as Docker 28 writes it, with rules in DOCKER-USER.

    Args:
        shift: how far the container's ports are from the host's.
        closed: ports whose ACCEPT is missing.
    """
    shutil.copytree(CAPTURE, folder)
    inspected = json.loads((folder / "docker-inspect.json").read_text())
    web = next(one for one in inspected if one["Name"] == "/web")
    numbers = range(FIRST, FIRST + count)
    for port in numbers:
        web["NetworkSettings"]["Ports"][f"{port + shift}/udp"] = [
            {"HostIp": "0.0.0.0", "HostPort": str(port)}
        ]
    (folder / "docker-inspect.json").write_text(json.dumps(inspected))
    dump = folder / "iptables-save.txt"
    nat = "".join(
        f"-A DOCKER ! -i docker0 -p udp -m udp --dport {port} -j DNAT --to-destination 172.17.0.2:{port + shift}\n"
        for port in numbers
    )
    accept = "".join(
        f"-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport {port + shift} -j ACCEPT\n"
        for port in numbers
        if port not in closed
    )
    rules = "".join(f"-A DOCKER-USER {rule}\n" for rule in user)
    text = _inserted(_inserted(dump.read_text(), "-A DOCKER ", accept), "-A ", rules)
    head, table, tail = text.partition("*nat\n")
    dump.write_text(head + table + tail.replace("COMMIT\n", f"{nat}COMMIT\n", 1))
    return load_host(folder)


def _inserted(text: str, before: str, rules: str) -> str:
    """Put rules before the first line of the filter table that holds a text."""
    head, table, tail = text.partition("*filter\n")
    lines = tail.splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if before in line)
    return "".join([head, table, *lines[:place], rules, *lines[place:]])


def runs(host: Host) -> list[tuple[int, int]]:
    """Return the runs of the range as (first port, how many)."""
    web = host.containers["web"]
    published = [port for port in web.published if port.proto == UDP and port.host_port >= FIRST]
    return [(run[0].host_port, len(run)) for run in PortRuns(host).of(web, published)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [(FIRST, COUNT)]),
        ({"shift": 100}, [(FIRST, COUNT)]),
        ({"user": ("-p udp -m udp --dport 20020 -j DROP",)},
         [(FIRST, 20), (FIRST + 20, 1), (FIRST + 21, 19)]),
        ({"user": ("-p udp -m udp --dport 20010:20019 -j DROP",)},
         [(FIRST, 10), (FIRST + 10, 10), (FIRST + 20, 20)]),
        ({"user": ("-p udp -m conntrack --ctorigdstport 20020 -j DROP",)},
         [(FIRST, 20), (FIRST + 20, 1), (FIRST + 21, 19)]),
        ({"user": ("-p udp -m multiport --dports 19000,20020:20030 -j DROP",)},
         [(FIRST, 20), (FIRST + 20, 11), (FIRST + 31, 9)]),
        ({"user": ("-p udp -m udp ! --dport 20020 -j DROP",)},
         [(FIRST, 20), (FIRST + 20, 1), (FIRST + 21, 19)]),
        ({"closed": (20_020,)}, [(FIRST, 20), (FIRST + 20, 1), (FIRST + 21, 19)]),
        ({"user": ("-p udp -m u32 --u32 0x16&0xffff=0x4e25 -j DROP",)}, [(FIRST + n, 1) for n in range(COUNT)]),
    ],
)  # fmt: skip
def test_rules_end_a_run(options: dict[str, object], expected: list[tuple[int, int]], tmp_path: Path) -> None:
    assert runs(with_range(tmp_path / "c", **options)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("ports", ["::1", "20000,,20020"])
def test_ports_that_cannot_be_read_may_be_any(ports: str) -> None:
    published = "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport {} -j ACCEPT\n"
    rules = "".join(map(published.format, range(FIRST, FIRST + 10)))
    host = loads_host(f"-A FORWARD -p tcp -m multiport --dports {ports} -j DROP\n{rules}")
    [web] = host.containers.values()
    given = [
        PublishedPort(proto=TCP, container_port=port, host_address=None, host_port=port, family=4)
        for port in range(FIRST, FIRST + 10)
    ]
    assert len(PortRuns(host).of(web, given)) == len(given)


@pytest.mark.parametrize("seed", range(12))
def test_ports_of_a_run_are_treated_alike(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    port = [random.randrange(FIRST, FIRST + COUNT) for _ in range(4)]
    low, high = sorted(port[:2])
    every = (
        f"-p udp -m udp --dport {port[0]} -j DROP", f"-p udp -m udp --dport {low}:{high} -j RETURN",
        f"-p udp -m conntrack --ctorigdstport {port[2]} -j REJECT", "-p udp -j DROP",
        f"-p udp -m multiport --dports {port[3]},{low}:{high} -j DROP", f"-p udp -m udp ! --dport {port[1]} -j DROP",
        f"-p udp -m udp --dport {port[3]} -j ACCEPT", f"-p udp -m conntrack ! --ctorigdstport {low}:{high} -j DROP",
        f"-p udp -m udp --sport {port[2]} -j DROP", f"-p udp -m udp --sport 40000 --dport {port[2]} -j DROP",
    )  # fmt: skip
    host = with_range(
        tmp_path / "c",
        shift=random.choice((0, 0, 3, 1000)),
        user=tuple(random.sample(every, random.randrange(1, 5))),
        closed=tuple(random.sample(port, random.randrange(2))),
    )
    simulator = Simulator(host)

    def answer(number: int) -> tuple[object, ...]:
        question = Question(**{"from": "internet", "to": "host", "proto": "udp", "dport": number})
        explanation = explain_trace(host, question, simulator.walk(question))
        step = explanation.reason.step
        rule = step.rule if step is not None else None
        place = (rule.table, rule.chain, rule.target_name) if rule is not None else None
        return explanation.verdict, explanation.reason.code, place

    for first, size in runs(host):
        assert {answer(first + number) for number in range(size)} == {answer(first)}


def test_a_range_is_one_line_everywhere(tmp_path: Path) -> None:
    host = with_range(tmp_path / "c", closed=tuple(range(FIRST, FIRST + COUNT)), count=COUNT)
    found = [one for one in lint(host) if one.code == "published-without-accept"]
    assert [str(one.title).split(" ")[0] for one in found] == ["20000-20039/udp"]
    assert {row.what for row in questions(host) if row.port == FIRST} == {"20000-20039/udp"}
    web = next(one for one in endpoints_json(host)["people"] if one["name"] == "web")
    assert "20000-20039->20000-20039/udp" in web["published"]


@pytest.mark.thorough
def test_a_wide_range_is_told_in_a_page_of_reasonable_size(tmp_path: Path) -> None:
    host = with_range(tmp_path / "c", count=1000)
    # the range is published for IPv4 alone: one finding for all its ports
    codes = [one.code for one in lint(load_host(CAPTURE))]
    assert [one.code for one in lint(host)] == [*codes, "not-published-ipv6"]
    # two thousand rules, in words and as they are written, also for readers without JavaScript
    assert len(page(report(host))) < 2_500_000
