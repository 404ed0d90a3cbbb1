"""The tree of visits of a trace: every step once, below the call that led to it, and what mattered."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import iptsim
from iptsim.errors import UsageError
from iptsim.explanation.story import LegVisit, Visit, story_of
from iptsim.netfilter.walk import Simulator
from iptsim.reach import questions
from iptsim.render.explanation import print_explanation
from tests.netfilter.hosts import ask, dump, router

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
HEAD = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def request(rules: str, policy: str = "ACCEPT") -> LegVisit:
    """The request's tree for a connection to SSH of a host with these rules in table filter."""
    head = HEAD.replace("INPUT ACCEPT", f"INPUT {policy}")
    trace = ask(router(dump(filter=head + rules)), **{"from": "10.1.0.9", "to": "10.1.0.1", "dport": 22})
    return story_of(trace).legs[0]


def shape(visits: list[Visit]) -> list[object]:
    """Visits as verdicts; those below a visit in a list behind it, and "-" before those that did not matter."""
    found: list[object] = []
    for visit in visits:
        found.append(f"{'' if visit.matters else '-'}{visit.step.verdict}")
        if visit.inside:
            found.append(shape(visit.inside))
    return found


def shape_of(rules: str) -> list[object]:
    (hook,) = [hook for hook in request(rules).host.hooks if hook.hook == "INPUT"]
    return [shape(chain.visits) for chain in hook.chains]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # an empty chain, and one that returns every packet, change nothing
        (":A - [0:0]\n-A INPUT -j A\n", ["-JUMP:A", "-ACCEPT"]),
        (":A - [0:0]\n-A INPUT -j A\n-A A -j RETURN\n", ["-JUMP:A", ["-RETURN"], "-ACCEPT"]),
        # a rule with conditions that returns keeps the packet from the rest of its chain
        (
            ":A - [0:0]\n-A INPUT -j A\n-A A -p tcp -j RETURN\n-A A -j DROP\n",
            ["JUMP:A", ["RETURN"], "-ACCEPT"],
        ),
        (":A - [0:0]\n-A INPUT -j A\n-A A -j LOG\n", ["JUMP:A", ["CONTINUE"], "-ACCEPT"]),
        (
            ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A A -j LOG\n-A INPUT -j DROP\n",
            ["JUMP:A", ["-JUMP:B", "CONTINUE"], "DROP"],
        ),
        # what follows a goto is below it, the policy of its base chain included
        (":A - [0:0]\n-A INPUT -g A\n-A A -j LOG\n", ["GOTO:A", ["CONTINUE", "-ACCEPT"]]),
        (":A - [0:0]\n-A INPUT -g A\n", ["-GOTO:A", ["-ACCEPT"]]),
        (
            ":A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -g B\n-A B -j LOG\n-A INPUT -j DROP\n",
            ["JUMP:A", ["GOTO:B", ["CONTINUE"]], "DROP"],
        ),
    ],
)
def test_a_visit_matters_if_it_did_something(rules: str, expected: list[object]) -> None:
    assert shape_of(rules) == [expected]


def test_a_policy_that_drops_matters_and_decides() -> None:
    leg = request(":A - [0:0]\n-A INPUT -j A\n", policy="DROP")
    assert shape(list(leg.host.hooks[-1].chains[-1].visits)) == ["-JUMP:A", "DROP"]
    assert leg.blocked_by is list(leg.host.visits)[-1].step
    assert leg.end == "stop"


@pytest.mark.parametrize(
    "name", ["docker-28.5/published", "hosts/firewalld", "hosts/kube", "docker-26.1/ipv6"]
)
def test_every_step_of_a_trace_is_visited_once_and_in_order(name: str) -> None:
    host = iptsim.load_host(CAPTURES / name)
    simulator = Simulator(host)
    for row in questions(host, 4)[:60]:
        try:
            trace = simulator.walk(row.question(4))
        except UsageError:
            continue
        for leg in story_of(trace).legs:
            visits = [visit for place in leg.namespaces for visit in place.visits]
            assert [id(visit.step) for visit in visits] == list(map(id, leg.leg.all_steps))
            for visit in visits:
                assert all(below.effect in visit.effect for below in visit.inside)


def test_rules_that_did_not_match_are_listed_below_the_jump_to_their_chain(tmp_path: Path) -> None:
    rules = (
        ":CALLED - [0:0]\n:GONE - [0:0]\n-A INPUT -p udp -j DROP\n-A INPUT -j CALLED\n-A INPUT -g GONE\n"
        "-A CALLED -p udp -j DROP\n-A GONE -p udp -j DROP\n"
    )
    path = tmp_path / "rules"
    path.write_text(dump(filter=HEAD + rules))
    answer = iptsim.explain(path, "internet", "host", dport=22, verbose=True, reply=False)
    console = Console(file=StringIO(), width=100, color_system=None)
    print_explanation(answer, console, level="verbose")
    assert isinstance(console.file, StringIO)
    lines = [line[15:] for line in console.file.getvalue().splitlines() if "INPUT" in line or " no: " in line]
    assert lines[-6:] == [
        "filter INPUT 1  no: -p udp, but its protocol is tcp",
        "filter INPUT 2  → CALLED",
        "  CALLED 1  no: -p udp, but its protocol is tcp",
        "filter INPUT 3  → GONE",
        "filter GONE 1  no: -p udp, but its protocol is tcp",
        "filter INPUT  policy ACCEPT",
    ]
