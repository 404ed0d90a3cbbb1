"""Tables for pandas: the documented columns and types, and what the captures are known to hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.render.frame_columns import COLUMNS, DTYPES
from iptsim.render.frames import frame

pandas = pytest.importorskip("pandas")
ROOT = Path(__file__).parent.parent.parent
CAPTURES = ROOT / "fixtures/captures"


@pytest.fixture(scope="module")
def host() -> iptsim.Host:
    return iptsim.load_host(CAPTURES / "docker-28.5/icc-off")


@pytest.fixture(scope="module")
def answer(host: iptsim.Host) -> iptsim.Explanation:
    return iptsim.explain(host, "client", "web", dport=80)


@pytest.fixture(scope="module")
def framed(host: iptsim.Host, answer: iptsim.Explanation) -> dict[str, Any]:
    return {
        "rules": host.rulesets[4],
        "steps": answer.trace,
        "answers": iptsim.explain_many(host, [{"from": "client", "to": "web"}]),
        "reachability": iptsim.reachability(host),
        "shifts": iptsim.whatif(host, {"icc": True}),
        "comparison": iptsim.whatif(host, {"icc": True}, "client", "web", dport=80),
        "proposals": iptsim.proposals(host, answer),
        "findings": iptsim.lint(CAPTURES / "docker-28.5/forward-off"),
        "reach": host.reach("client", "web"),
        "packets": next(iter(iptsim.fates(host))).packets,
        "fates": iptsim.fates(host),
    }


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_and_types_are_the_documented_ones(name: str, framed: dict[str, Any]) -> None:
    found = frame(framed[name])
    assert list(found.columns) == list(COLUMNS[name])
    assert [str(dtype) for dtype in found.dtypes] == [
        DTYPES[column.kind] for column in COLUMNS[name].values()
    ]
    assert len(found) > 0


@pytest.mark.parametrize("name", COLUMNS)
def test_an_empty_frame_has_the_same_columns(name: str) -> None:
    """So that what is written for a full one works for it as well."""
    from iptsim.render.frames import make_frame

    found = make_frame(COLUMNS[name], [])
    assert list(found.columns) == list(COLUMNS[name])
    assert [str(dtype) for dtype in found.dtypes] == [
        DTYPES[column.kind] for column in COLUMNS[name].values()
    ]


def test_every_rule_of_the_dump_is_a_row(host: iptsim.Host) -> None:
    dump = (CAPTURES / "docker-28.5/icc-off/iptables-save.txt").read_text().splitlines()
    lines = {number: line for number, line in enumerate(dump, 1) if "-A " in line}
    found = host.rulesets[4].frame()
    assert {row.line: row.text for row in found.itertuples()} == {
        number: line.partition("] ")[2] if line.startswith("[") else line for number, line in lines.items()
    }
    icc = found[found.role == "icc-off"].iloc[0]
    assert (icc.chain, icc.rule, icc.setting, icc.owner) == ("DOCKER-FORWARD", 4, "--icc=false", "docker")


def test_a_hosts_frame_has_the_rules_of_both_families() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/ipv6")
    found = host.frame()
    assert set(found.family) == {4, 6}
    assert len(found) == sum(len([*ruleset.rules()]) for ruleset in host.rulesets.values())


def test_steps_say_where_addresses_change() -> None:
    """The capture publishes 8080 to port 80 of web, 172.17.0.2; Docker's rule for it is the third in nat DOCKER."""
    host = iptsim.load_host(CAPTURES / "docker-28.5/published")
    steps = iptsim.explain(host, "internet", "host", dport=8080).frame()
    changed = steps[steps.changes != ""].iloc[0]
    assert (changed.hook, changed.table, changed.chain, changed.rule) == ("PREROUTING", "nat", "DOCKER", 3)
    assert changed.changes == "dst 192.0.2.10 → 172.17.0.2, dport 8080 → 80"
    assert set(steps.direction) == {"original", "reply"}


def test_reachability_agrees_with_single_questions(host: iptsim.Host) -> None:
    found = iptsim.reachability(host).frame()
    row = found[(found["from"] == "client") & (found.to == "web")].iloc[0]
    single = iptsim.explain(host, "client", "web", dport=int(row.dport))
    assert (row.verdict, row.reason) == (single.verdict, single.reason.code) == ("DROP", "icc-disabled")


# -- many questions --------------------------------------------------------------------------------


def test_a_frame_in_a_frame_out(host: iptsim.Host) -> None:
    """The index stays, missing values leave fields open, and a column of numbers with gaps stays one of numbers."""
    questions: Any = pandas.DataFrame(
        {
            "from": ["client", "internet", "clien"],
            "to": ["web", "host", "web:80"],
            "dport": [80, None, None],
            "proto": [None, "icmp", None],
        },
        index=["icc", "ping", "typo"],
    )
    found: Any = iptsim.explain_many(host, questions).frame()
    assert list(found.index) == ["icc", "ping", "typo"]
    assert found.loc["icc", "reason"] == "icc-disabled"
    assert found.loc["icc", "dport"] == 80
    assert found.loc["ping", ["proto", "verdict"]].tolist() == ["icmp", "ACCEPT"]
    assert "did you mean client?" in found.loc["typo", "error"]
    assert found.loc["typo", "verdict"] == ""


def test_answers_come_in_order_and_an_error_stands_in_its_place(host: iptsim.Host) -> None:
    answers = iptsim.explain_many(host, [{"from": "clien", "to": "web"}, {"from": "client", "to": "web:80"}])
    assert len(answers) == 2
    assert isinstance(answers[0], iptsim.IptsimError)
    assert isinstance(answers[1], iptsim.Explanation)
    assert answers[1].verdict == "DROP"
    assert [*answers] == list(answers[:])


# -- without pandas --------------------------------------------------------------------------------

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
"""
#: What the extras bring along.
EXTRAS = (
    "pandas",
    "numpy",
    "IPython",
    "ipywidgets",
    "jupyterlab",
    "pygraphviz",
    "resvg_py",
    "yaml",
    "playwright",
)


def without_extras(code: str) -> str:
    """Return what some code prints in an interpreter that has none of the extras."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(absent=EXTRAS) + code],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    return run.stdout


def test_without_pandas_a_hint_names_the_extra() -> None:
    code = """
import iptsim
try:
    iptsim.load("fixtures/captures/docker-28.5/icc-off/iptables-save.txt").frame()
except iptsim.IptsimError as error:
    print(error)
"""
    assert without_extras(code) == "a frame needs pandas; install it with: pip install 'iptsim[notebook]'\n"


def test_the_core_works_without_extras() -> None:
    code = """
import iptsim
host = iptsim.load_host("fixtures/captures/docker-28.5/icc-off")
answers = iptsim.explain_many(host, [{"from": "client", "to": "web:80"}])
for thing in (host, host.rulesets[4], answers, answers[0], iptsim.reachability(host), iptsim.lint(host)):
    assert thing._repr_mimebundle_()["text/html"]
from iptsim.cli import main
source = "fixtures/captures/docker-28.5/icc-off"
main(["explain", source, "--from", "client", "--to", "web:80", "--quiet"])
main(["whatif", source, "--icc=true", "--from", "client", "--to", "web:80"])
for command in ("rules", "graph", "lint"):
    main([command, source])
"""
    assert without_extras(code).startswith("DROP\n")


@pytest.mark.thorough
def test_without_the_extra_a_graph_is_text_with_a_hint() -> None:
    code = """
import iptsim
ruleset = iptsim.load("fixtures/captures/docker-28.5/icc-off/iptables-save.txt")
bundle = ruleset.graph()._repr_mimebundle_()
print(sorted(bundle), "DOCKER-FORWARD" in bundle["text/plain"], "iptsim[pictures]" in bundle["text/plain"])
"""
    assert without_extras(code) == "['text/plain'] True True\n"


@pytest.mark.thorough
def test_pandas_is_not_loaded_before_a_frame_is_made() -> None:
    code = """
import sys, iptsim
host = iptsim.load_host("fixtures/captures/docker-28.5/icc-off")
iptsim.explain_many(host, [{"from": "client", "to": "web:80"}])._repr_html_()
print("pandas" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout == "False\n"
