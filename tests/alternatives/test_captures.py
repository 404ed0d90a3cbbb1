"""What if, against real engines: a host changed by iptsim walks as the host that was really set up so.

Each pair of captures was recorded by the same kernel; they differ in one setting, or in the engine. The
questions are the connections that were really made on the second one.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from iptsim.alternatives import change_host
from iptsim.host import Host, load_host
from iptsim.netfilter.trace import Trace, packet_json
from iptsim.netfilter.walk import Simulator
from iptsim.question.model import Question

FIXTURES = Path(__file__).parents[2] / "fixtures/captures"
ENGINES = {"docker-20.10": "20.10", "docker-26.1": "26", "docker-28.5": "28"}

#: (captured before, captured after, the change)
SETTINGS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("icc-on", "icc-off", [("icc", "false")]),
    ("icc-off", "icc-on", [("icc", "true")]),
    ("icc-off", "icc-off-link", [("expose", "web:53/udp"), ("link", "client:web:db")]),
    ("icc-off-link", "icc-off", [("unlink", "client:web")]),
    ("icc-off", "icc-off-published", [("publish", "web:8080:80")]),
    ("icc-off-published", "icc-off", [("unpublish", "web")]),
    (
        "icc-on",
        "published",
        [("publish", "web:5353:53/udp"), ("publish", "web:8080:80"), ("publish", "web:127.0.0.1:8081:81")],
    ),
    ("published", "published-no-proxy", [("unpublish", "web:53/udp"), ("userland-proxy", "false")]),
    ("published-no-proxy", "published", [("userland-proxy", "true"), ("publish", "web:5353:53/udp")]),
    ("icc-off-published", "no-masquerade", [("icc", "true"), ("ip-masq", "false")]),
    ("no-masquerade", "icc-off-published", [("icc", "false"), ("ip-masq", "true")]),
    ("no-masquerade", "iptables-off", [("iptables", "false"), ("ip6tables", "false")]),
    ("iptables-off", "no-masquerade", [("ip-masq", "false"), ("iptables", "true"), ("ip6tables", "true")]),
    ("no-masquerade", "forward-off", [("ip-masq", "true"), ("ip-forward", "0")]),
    ("forward-off", "no-masquerade", [("ip-masq", "false"), ("ip-forward", "1")]),
    ("two-networks", "two-networks-no-proxy", [("userland-proxy", "false")]),
    ("two-networks-no-proxy", "two-networks", [("userland-proxy", "true")]),
    ("two-networks", "network-connect", [("connect", "web:back")]),
    ("network-connect", "two-networks", [("disconnect", "web:back")]),
    ("two-networks", "network-disconnect", [("disconnect", "app:front")]),
    ("icc-off-published", "bridge-nf-off", [("bridge-nf", "0")]),
    ("bridge-nf-off", "icc-off-published", [("bridge-nf", "1")]),
]
#: Set-ups in which the engines give other addresses, so that the hosts are not the same.
OTHER_ADDRESSES = {"ipv6"}
#: Set-ups of which the two engines wrote the ports of a container in different orders: dockerd keeps them in a map.
OTHER_ORDERS = {"listening"}


@cache
def host(capture: str) -> Host:
    return load_host(FIXTURES / capture)


def known(*captures: str) -> bool:
    return all((FIXTURES / capture).is_dir() for capture in captures)


PAIRS = [
    (f"{engine}/{before}", f"{engine}/{after}", change)
    for engine in ENGINES
    for before, after, change in SETTINGS
    if known(f"{engine}/{before}", f"{engine}/{after}")
]
ACROSS = [
    (f"{one}/{scenario}", f"{other}/{scenario}", [("engine", ENGINES[other])])
    for one in ENGINES
    for other in ENGINES
    for scenario in sorted(path.name for path in (FIXTURES / one).iterdir())
    if one != other and known(f"{other}/{scenario}") and scenario not in OTHER_ADDRESSES | OTHER_ORDERS
]


def questions(capture: str) -> list[Question]:
    """The connections that were really made there."""
    found = []
    for probe in json.loads((FIXTURES / capture / "probes.json").read_text()):
        first = probe["packets"][0] if probe.get("packets") else {}
        sender = probe["from"]
        if sender in ("internet", "lan"):
            sender = probe.get("bind") or first.get("src") or probe.get("src")
        fields: dict[str, Any] = {"from": sender, "to": probe["dst_ip"], "assume": {"limit": True}}
        if probe.get("proto") == "icmp":
            fields |= {"proto": "icmp", "icmp_type": 8}
        else:
            fields |= {
                "proto": probe.get("proto", "tcp"),
                "dport": probe["port"],
                "sport": probe.get("sport"),
            }
        found.append(Question(**{name: value for name, value in fields.items() if value is not None}))
    return found


def told(trace: Trace) -> list[Any]:
    """All that a trace says, but for lines of the dump."""
    return [
        trace.verdict,
        *(
            (
                leg.direction, leg.sender, leg.verdict, packet_json(leg.packet),
                (leg.delivered.kind, leg.delivered.name, packet_json(leg.delivered.packet))
                if leg.delivered is not None
                else None,
                [
                    (
                        step.hook, step.table, step.chain, step.verdict, step.policy, step.maybe, step.changes,
                        step.code, (step.rule.position, step.rule.text) if step.rule is not None else None,
                    )
                    for step in (*leg.own_steps, *leg.steps, *leg.arrival_steps)
                ],
            )
            for leg in trace.legs
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [*PAIRS, *ACROSS],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_changed_host_walks_as_the_real_one(
    before: str, after: str, change: list[tuple[str, str]]
) -> None:
    real, changed = Simulator(host(after)), Simulator(change_host(host(before), change))
    asked = 0
    for question in questions(after):
        if str(question.sender) == "other":
            continue  # a container of icc-off-link only
        assert told(changed.walk(question)) == told(real.walk(question)), question
        asked += 1
    assert asked >= 5


@pytest.mark.parametrize("capture", ["docker-28.5/published", "docker-20.10/two-networks"])
def test_changes_leave_the_given_host_alone(capture: str) -> None:
    given = load_host(FIXTURES / capture)
    before = [told(Simulator(given).walk(question)) for question in questions(capture)]
    change_host(
        given,
        [("icc", "false"), ("userland-proxy", "false"), ("ip-forward", "0"), ("remove", "web"),
         ("bridge-nf", "0"), ("policy", "FORWARD=ACCEPT"), ("delete", "FORWARD 1")],
    )  # fmt: skip
    assert [told(Simulator(given).walk(question)) for question in questions(capture)] == before


@pytest.mark.parametrize(
    "capture",
    sorted(
        f"{engine}/{path.name}"
        for engine in ENGINES
        for path in (FIXTURES / engine).iterdir()
        if path.name != "not-started"
    ),
)
def test_there_and_back_again(capture: str) -> None:
    """A setting turned over twice leaves the host as it was."""
    given = host(capture)
    daemon = given.daemon
    assert daemon is not None
    icc = daemon.icc is not False
    masquerade = daemon.ip_masq is not False
    changes = [
        ("icc", str(not icc).lower()), ("ip-masq", str(not masquerade).lower()),
        ("ip-masq", str(masquerade).lower()), ("icc", str(icc).lower()),
    ]  # fmt: skip
    changed = change_host(given, changes)
    for family, ruleset in given.rulesets.items():
        assert [rule.text for rule in changed.rulesets[family].rules()] == [
            rule.text for rule in ruleset.rules()
        ]
