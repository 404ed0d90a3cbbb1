"""The documented JSON is the real one: each field that is printed is in a table, and the other way round."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

import iptsim
from iptsim.findings import Finding
from iptsim.host import load_host
from iptsim.render.people import people_json
from iptsim.render.rules import rules_json
from tests.readme import ROOT

#: Which kind of object lies in which field of another.
_WITHIN: dict[str, dict[str, str | None]] = {
    "trace": {"reason": "reason", "decided": "decision", "legs": "leg", "branches": "trace"},
    "reason": {"rule": "rule", "nftables": "nftables"},
    "decision": {"nftables": "nftables"},
    "rule": {"docker": "docker"},
    "leg": {
        "packet": "packet", "delivered": "delivered", "steps": "step", "own_steps": "step", "arrival_steps": "step",
    },
    "delivered": {"packet": "packet"},
    "step": {"docker": "docker", "skipped": "skipped", "changes": None, "nftables": "nftables"},
    "findings": {"findings": "finding"},
    "finding": {"evidence": "evidence", "shown": "trace"},
    "whatif": {
        "before": "trace", "after": "trace", "parting": "parting", "shifts": "shift", "cannot": None,
    },
    "parting": {"before": "step", "after": "step"},
    "shift": {"before": "outcome", "after": "outcome"},
    "rules": {"chains": "chain", "rules": "listed"},
    "people": {"people": "person"},
    "reachability": {"rows": "row"},
    "row": {"rule": "rule"},
}  # fmt: skip
_CAPTURES = ROOT / "fixtures/captures"


def _documented() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    kind = ""
    for line in (ROOT / "docs/reference/json.md").read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"###? (\w+)", line):
            kind = heading[1]
        elif kind and (row := re.match(r"\| `(\w+)` \|", line)):
            assert row[1] not in found[kind], f"{kind}.{row[1]} is told twice"
            found[kind].add(row[1])
    return found


def _printed() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield objects of every kind, from hosts and questions that show all fields."""
    hosts = {
        name: load_host(_CAPTURES / name)
        for name in (
            "docker-20.10/icc-off-link",
            "docker-28.5/icc-off",
            "docker-28.5/published",
            "docker-28.5/two-networks",
            "docker-28.5/host-firewall",
            "docker-28.5/forward-off",
            "docker-28.5/listening",
            "docker-28.5/nft-input-policy",
            "hosts/ufw-docker-28.5",
        )
    }
    asked: list[tuple[str, dict[str, Any]]] = [
        ("docker-28.5/icc-off", {"from": "client", "to": "web:80", "id": 1, "verbose": True}),
        ("docker-20.10/icc-off-link", {"from": "client", "to": "web:80", "verbose": True}),
        ("docker-28.5/published", {"from": "client", "to": "host:8080"}),
        ("docker-28.5/published", {"from": "internet", "to": "host:8080", "fragment": "first", "mark": 7}),
        ("docker-28.5/two-networks", {"from": "app", "to": "127.0.0.11:53", "proto": "udp"}),
        ("docker-28.5/two-networks", {"from": "app", "to": "db:80"}),
        ("docker-28.5/host-firewall", {"from": "internet", "to": "host", "proto": "icmp"}),
        ("docker-28.5/forward-off", {"from": "client", "to": "internet:443"}),
        ("hosts/ufw-docker-28.5", {"from": "internet", "to": "host:23"}),
        ("docker-28.5/listening", {"from": "internet", "to": "host:22"}),
        ("docker-28.5/nft-input-policy", {"from": "internet", "to": "host:9000"}),
    ]
    for name, fields in asked:
        given = {key: value for key, value in fields.items() if key not in ("from", "to")}
        answer = iptsim.explain(hosts[name], fields["from"], fields["to"], **given)
        yield "trace", answer.as_json(verbose=fields.get("verbose", False))
    for question in (("client", "web"), (None, None)):
        yield (
            "whatif",
            iptsim.whatif(hosts["docker-28.5/icc-off"], {"link": "client:web"}, *question).as_json(),
        )
    yield "whatif", iptsim.whatif(hosts["docker-28.5/icc-off"], {"remove": "web"}).as_json()
    two_backends = load_host(ROOT / "fixtures/questions/two-backends")
    yield "trace", iptsim.explain(two_backends, "internet", "host", dport=8080).as_json()
    found: list[Finding] = iptsim.lint(hosts["hosts/ufw-docker-28.5"])
    yield "findings", {"schema": "iptsim.findings/1", "findings": [finding.as_json() for finding in found]}
    for host in hosts.values():
        yield "rules", rules_json(host.rulesets[4], host)
        yield "people", people_json(host)
    yield "reachability", iptsim.reachability(hosts["docker-28.5/published"]).as_json()


def _fields(kind: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, part in value.items():
        yield kind, name
        within = _WITHIN.get(kind, {})
        inner = [part] if isinstance(part, dict) else part if isinstance(part, list) else []
        for one in inner:
            if not isinstance(one, dict) or (name in within and within[name] is None):
                continue
            assert name in within, f"{kind}.{name} holds an object that has no table"
            yield from _fields(str(within[name]), one)


def test_the_tables_of_json_are_true() -> None:
    printed = defaultdict(set)
    for kind, value in _printed():
        assert value["schema"] == f"iptsim.{kind}/1"
        for where, name in _fields(kind, json.loads(json.dumps(value))):
            printed[where].add(name)
    documented = _documented()
    documented["trace"].remove("error")  # of a batch line; see the test below
    assert documented == printed


def test_a_batch_line_that_fails_is_as_documented(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    from iptsim.cli import main

    (tmp_path / "questions.jsonl").write_text('{"id": 7, "from": "nobody"}\n')
    arguments = ["--batch", str(tmp_path / "questions.jsonl"), "--json"]
    assert main(["explain", str(_CAPTURES / "docker-28.5/icc-off"), *arguments]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"id", "error"} <= _documented()["trace"]
