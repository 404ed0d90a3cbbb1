"""The documented JSON is the real one: what is printed is in a table and in a schema, and the other way round.

The schemas are the files of `iptsim/schemas`; jsonschema is the judge of what they say.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import iptsim
from iptsim.cli import main
from iptsim.dump import loads
from iptsim.findings import Finding
from iptsim.host import load_host
from iptsim.netfilter.nft_program import with_nftables
from iptsim.render.endpoints import endpoints_json
from iptsim.render.rules import rules_json
from iptsim.sources import loads_host
from iptsim.yaml_file import read_yaml
from tests.readme import ROOT

#: Which kind of object lies in which field of another.
_WITHIN: dict[str, dict[str, str | None]] = {
    "trace": {"reason": "reason", "decided": "decision", "legs": "leg", "branches": "trace",
        "proposals": "proposal", "teach": "word", "source": "source", "classes": "class", "before": "earlier",
    },
    "class": {"reason": "reason", "witness": None},
    "earlier": {"reason": "reason"},
    "source": {"segments": "segment", "left_out": "segment", "lines": "logged"},
    "proposal": {"asked": "asked", "also": "shift"},
    "reason": {"rule": "rule", "nftables": "nftables"},
    "decision": {"nftables": "nftables"},
    "rule": {"docker": "docker"},
    "leg": {
        "packet": "packet", "delivered": "delivered", "steps": "step", "own_steps": "step", "arrival_steps": "step",
    },
    "delivered": {"packet": "packet"},
    "step": {"docker": "docker", "skipped": "skipped", "changes": None, "nftables": "nftables"},
    "findings": {"cause": "cause", "findings": "finding", "mended": "mended", "teach": "word"},
    "mended": {"findings": "finding"},
    "cause": {"shown": None},
    "finding": {"evidence": "evidence", "shown": "trace"},
    "whatif": {
        "before": "trace", "after": "trace", "parting": "parting", "shifts": "shift", "cannot": None, "teach": "word",
    },
    "parting": {"before": "step", "after": "step"},
    "shift": {"before": "outcome", "after": "outcome"},
    "check": {"expectations": "checked"},
    "checked": {"offences": "offence", "mending": "mending"},
    "offence": {"packets": "packets", "reason": "reason", "delivered": "whither", "witness": None},
    "diff": {"classes": "differing", "chains": "chain_change", "without_effect": "placed", "by_chain": "through_chain"},
    "through_chain": {"packets": "packets"},
    "differing": {"packets": "packets", "before": "treatment", "after": "treatment", "witness": None},
    "treatment": {"reason": "reason", "delivered": "whither"},
    "chain_change": {"removed": "placed", "added": "placed", "moved": "placed"},
    "policy": {"groups": None, "expectations": "expectation", "defaults": "expectation"},
    "rules": {"chains": "chain", "rules": "listed", "teach": "word"},
    "chain": {"nftables": "nftables"},
    "flows": {
        "verdicts": None, "deciders": "decider", "blocked": "blocked", "unmatched": "unmatched",
        "differences": "difference",
    },
    "decider": {"counters": "counters"},
    "blocked": {"sources": "talker"},
    "difference": {"before": "fate", "after": "fate", "samples": None},
    "hosts": {"errors": "unread", "findings": "shared", "outliers": "outlier", "results": "result"},
    "people": {"people": "person", "zones": None, "jails": None},
    "reachability": {"rows": "row"},
    "reach": {"classes": "reached"},
    "reached": {"decides": "rule", "reason": "reason", "translated": None, "witness": None},
    "row": {"rule": "rule"},
}  # fmt: skip
_CAPTURES = ROOT / "fixtures/captures"


_SCHEMAS = {
    path.name: json.loads(path.read_text("utf-8")) for path in (ROOT / "iptsim/schemas").glob("*.json")
}
_FILES = Registry[Any]().with_resources(
    (name, Resource.from_contents(schema)) for name, schema in _SCHEMAS.items()
)
_POLICY = ROOT / "fixtures/policies/web.yaml"
_PUBLISHED = str(_CAPTURES / "docker-28.5/published")
_ICC_OFF = str(_CAPTURES / "docker-28.5/icc-off")


def _complaints(value: dict[str, Any], kind: str) -> list[str]:
    """Return what a schema has against a value."""
    validator = Draft202012Validator({"$ref": f"{kind}-1.json"}, registry=_FILES)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def _documented() -> dict[str, dict[str, str]]:
    """Return the meaning of each field of each kind of object."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    kind = ""
    for line in (ROOT / "docs/reference/json.md").read_text("utf-8").splitlines():
        if heading := re.fullmatch(r"###? (\w+)", line):
            kind = heading[1]
        elif kind and (row := re.fullmatch(r"\| `(\w+)` \| (.*) \|", line)):
            assert row[1] not in found[kind], f"{kind}.{row[1]} is documented twice"
            found[kind][row[1]] = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", row[2])
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
            "hosts/fail2ban",
        )
    }
    namespace = hosts["docker-28.5/nft-input-policy"].namespace
    assert namespace.nftables is not None
    # as if it had statements that are not evaluated
    chains = tuple(replace(chain, rules=()) for chain in namespace.nftables.chains)
    namespace.nftables = replace(namespace.nftables, chains=chains)
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
        ("hosts/fail2ban", {"from": "internet", "to": "host:22"}),
        ("docker-28.5/icc-off", {"from": "172.17.0.0/16", "to": "172.17.0.0/16"}),
    ]
    for name, fields in asked:
        given = {key: value for key, value in fields.items() if key not in ("from", "to")}
        answer = iptsim.explain(hosts[name], fields["from"], fields["to"], **given)
        yield "trace", answer.as_json(verbose=fields.get("verbose", False))
    for name in ("docker-28.5/published", "docker-28.5/listening"):
        yield "reach", hosts[name].reach().as_json()
    for question in (("client", "web"), (None, None)):
        yield (
            "whatif",
            iptsim.whatif(hosts["docker-28.5/icc-off"], {"link": "client:web"}, *question).as_json(),
        )
    yield "whatif", iptsim.whatif(hosts["docker-28.5/icc-off"], {"remove": "web"}).as_json()
    two_backends = load_host(ROOT / "fixtures/questions/two-backends")
    yield "trace", iptsim.explain(two_backends, "internet", "host", dport=8080).as_json()
    limited = load_host(_CAPTURES / "docker-28.5/published")
    rule = "*filter\n-A OUTPUT -p tcp -m limit --limit 1/second -j DROP\nCOMMIT\n"
    limited.rulesets[4] = loads(rule, onto=limited.rulesets[4])
    # docker-proxy's own connection is undecided, too
    yield "trace", iptsim.explain(limited, "host", "127.0.0.1", dport=8080).as_json()
    found: list[Finding] = iptsim.lint(hosts["hosts/ufw-docker-28.5"])
    yield "findings", {"schema": "iptsim.findings/1", "findings": [finding.as_json() for finding in found]}
    for host in hosts.values():
        yield "rules", rules_json(host.rulesets[4], host)
        yield "people", endpoints_json(host)
    nft_host = loads_host(
        "table inet t {\n chain c {\n  type filter hook input priority 0; policy drop;\n  accept\n }\n}\n"
    )
    yield "rules", rules_json(with_nftables(nft_host.rulesets[4], nft_host.namespace), nft_host)
    yield "policy", read_yaml(_POLICY.read_text("utf-8"), "policy")
    yield (
        "policy",
        read_yaml(
            "schema: iptsim.policy/1\n"
            "expectations: [{from: internet, not_from: 192.0.2.1, excluding: 22, expect: closed}]",
            "policy",
        ),
    )
    yield "reachability", iptsim.reachability(hosts["docker-28.5/published"]).as_json()


def _commands(capsys: pytest.CaptureFixture[str], questions: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what each command prints with `--json`."""
    questions.write_text('{"id": 7, "from": "client", "to": "web:80"}\n{"id": 8, "from": "nobody"}\n')
    packet = ("--from", "client", "--to", "web:80")
    paste = questions.with_name("paste.txt")
    paste.write_text(
        "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.10 LEN=60 TTL=64 ID=1 PROTO=TCP SPT=4536 DPT=22 SYN\n"
    )
    solved = questions.with_name("solved.txt")
    solved.write_text(
        "*filter\n:INPUT DROP\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n$ iptables -P INPUT ACCEPT\n"
    )
    log = questions.with_name("log.csv")
    log.write_text("src,dst,dport\n172.17.0.3,172.17.0.2,80\n192.0.2.20,172.17.0.2,22\n")
    hosts = questions.with_name("hosts")
    hosts.mkdir()
    for name, rules in (("web1", 2), ("web2", 2), ("web3", 2), ("web6", 2), ("web4", 1), ("web5", 0)):
        dump = "*filter\n:FORWARD DROP [0:0]\n" + "-A FORWARD -j ACCEPT\n-A FORWARD -j DROP\n"[: rules * 21]
        (hosts / name).write_text(f"{dump}COMMIT\n" if rules else "no rules\n")
    for kind, *words in (
        ("flows", "flows", _ICC_OFF, str(log), "--against", str(_CAPTURES / "docker-28.5/icc-on")),
        ("hosts", "lint", str(hosts), "--summary"),
        ("trace", "explain", _ICC_OFF, *packet, "--verbose", "--teach", "--proposals"),
        ("trace", "explain", _ICC_OFF, "--batch", str(questions)),
        ("people", "explain", _ICC_OFF),
        ("whatif", "whatif", _ICC_OFF, *packet, "--icc=true", "--teach"),
        ("whatif", "whatif", _ICC_OFF, "--icc=true"),
        ("rules", "rules", _ICC_OFF, "--teach"),
        ("findings", "lint", _ICC_OFF, "--teach"),
        ("findings", "lint", str(paste)),
        ("findings", "lint", str(solved)),
        ("trace", "explain", str(paste)),
        ("trace", "explain", str(solved), "--from", "internet", "--to", "host:80"),
        (
            "trace",
            "explain",
            str(ROOT / "fixtures/pastes/vpn-clients.txt"),
            "--from",
            "10.8.0.2",
            "--to",
            "8.8.8.8:443",
        ),
        ("findings", "lint", _ICC_OFF, _ICC_OFF),
        ("check", "check", str(_POLICY), _PUBLISHED),
        ("check", "check", str(_POLICY), _PUBLISHED, "missing"),
        ("diff", "diff", _PUBLISHED, "--engine", "20.10"),
        ("diff", "diff", *map(str, _two_dumps(questions.parent))),
    ):
        main([*words, "--json"])
        for line in capsys.readouterr().out.splitlines():
            yield kind, json.loads(line)


def _two_dumps(folder: Path) -> Iterator[Path]:
    """Yield two dumps whose rules, their order and policies differ, and of which one rule loses its effect."""
    rules = [
        f"-A INPUT -s 10.0.0.{number} -j {target}" for number, target in enumerate(("DROP", "ACCEPT", "LOG"))
    ]
    for name, policy, lines in (
        ("a", "DROP", rules),
        ("b", "ACCEPT", [rules[2], *rules[:2], "-A INPUT -j DROP"]),
    ):
        if name == "b":
            lines = ["-A INPUT -s 10.0.0.1 -j DROP", "-A INPUT -p udp --sport 67 -j DROP", *lines]
        # nothing shows which networks are behind eth1.96
        state = "NEW" if name == "b" else "NEW,ESTABLISHED"
        behind = [":FORWARD DROP [0:0]", f"-A FORWARD -o eth1.96 -m state --state {state} -j ACCEPT"]
        path = folder / name
        path.write_text("\n".join(["*filter", f":INPUT {policy} [0:0]", *lines, *behind, "COMMIT", ""]))
        yield path


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


@pytest.mark.thorough
def test_what_is_printed_is_as_documented_and_as_its_schema_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    printed = defaultdict(set)
    for kind, value in (*_printed(), *_commands(capsys, tmp_path / "questions.jsonl")):
        plain = json.loads(json.dumps(value))
        if "error" in plain and set(plain) != {"id", "error"}:
            assert set(plain) == {"source", "error"}  # of several sources
            continue
        assert set(plain) == {"id", "error"} or plain["schema"] == f"iptsim.{kind}/1"
        assert _complaints(plain, kind) == []
        for where, name in _fields(kind, plain):
            printed[where].add(name)
    assert {kind: set(fields) for kind, fields in _documented().items()} == printed


def test_the_schemas_say_what_the_tables_say() -> None:
    told: dict[str, dict[str, str]] = {}
    for name, schema in _SCHEMAS.items():
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == f"iptsim.{name.replace('-1.json', '/1')}"
        for kind, part in {name.removesuffix("-1.json"): schema, **schema["$defs"]}.items():
            assert kind not in told, f"{kind} is documented twice"
            told[kind] = {field: value["description"] for field, value in part["properties"].items()}
    assert told == _documented()


def test_the_schemas_refuse_what_is_not_so() -> None:
    trace = iptsim.explain(_ICC_OFF, "client", "web", dport=80).as_json()
    assert _complaints(trace, "trace") == []
    assert _complaints({**trace, "verdict": "PERHAPS"}, "trace") != []
    assert _complaints({**trace, "branches": [{**trace, "reason": None}]}, "trace") != []
    assert _complaints({name: value for name, value in trace.items() if name != "legs"}, "trace") != []
    assert _complaints({**trace, "more": "than today"}, "trace") == [], "new fields may come at any time"
