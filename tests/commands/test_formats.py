"""The formats of findings, each as what reads it understands it."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from iptsim.cli import main
from iptsim.render.annotations import Annotation, github, junit, sarif
from iptsim.render.sheets import Sheet, comma_separated, markdown

ROOT = Path(__file__).parents[2]
UFW = "fixtures/captures/hosts/ufw-docker-28.5"
CLEAN = "fixtures/captures/docker-28.5/icc-on"
FOUND = ["firewall-bypassed", "host-closed-to-containers"]
SARIF = Draft202012Validator(json.loads((ROOT / "tests/sarif.json").read_text("utf-8")))


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def printed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 1) -> str:
    assert main(list(words)) == status
    return capsys.readouterr().out


def test_sarif_points_at_the_line_of_the_dump(capsys: pytest.CaptureFixture[str]) -> None:
    log = json.loads(printed(capsys, "lint", UFW, CLEAN, "--format", "sarif"))
    assert [error.message for error in SARIF.iter_errors(log)] == []
    (run,) = log["runs"]
    result = run["results"][0]
    assert [one["ruleId"] for one in run["results"]] == FOUND
    assert (
        run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "firewall-bypassed"
    )
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    lines = Path(place["artifactLocation"]["uri"]).read_text("utf-8").splitlines()
    assert "--dport 8080 -j DNAT" in lines[place["region"]["startLine"] - 1]


def test_annotations_are_at_the_dead_rule_and_at_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line 2 sets the policy that drops replies; the rule of line 6 never matches, because of that of line 5."""
    dump = tmp_path / "rules.txt"
    dump.write_text(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n"
    )
    log = json.loads(printed(capsys, "lint", str(dump), "--format", "sarif"))
    lines = {
        one["ruleId"]: one["locations"][0]["physicalLocation"]["region"]["startLine"]
        for one in log["runs"][0]["results"]
    }
    assert (lines["input-drops-replies"], lines["never-matches"]) == (2, 6)


def test_sarif_says_which_source_could_not_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    log = json.loads(printed(capsys, "lint", CLEAN, "missing", "--format", "sarif", status=2))
    assert [error.message for error in SARIF.iter_errors(log)] == []
    (invocation,) = log["runs"][0]["invocations"]
    assert not invocation["executionSuccessful"]
    assert "missing" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_uris_are_escaped_and_fingerprints_stay() -> None:
    one = Annotation("x", "high", "a title", file="a b/50%,ü.txt", line=3, evidence="-A INPUT -j DROP")
    moved = Annotation("x", "high", "another title", file="other", line=9, evidence="-A INPUT -j DROP")
    log = sarif([one, moved], {"x": "means x"}, "iptsim 1.2")
    assert [error.message for error in SARIF.iter_errors(log)] == []
    first, second = log["runs"][0]["results"]
    uri = first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "a%20b/50%25%2C%C3%BC.txt"
    assert first["partialFingerprints"] == second["partialFingerprints"]


def test_sarif_has_what_code_scanning_requires() -> None:
    """GitHub's page about SARIF support marks these as required; it shows no result without them."""
    found = Annotation("x", "high", "a title", file="policy.yaml")
    (run,) = sarif([found], {"x": "means x"}, "iptsim 1.2")["runs"]
    (rule,), (result,) = run["tool"]["driver"]["rules"], run["results"]
    assert all(rule[name]["text"] for name in ("shortDescription", "fullDescription", "help"))
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert result["partialFingerprints"]["primaryLocationLineHash"] == found.fingerprint


def test_workflow_commands_are_one_line_each() -> None:
    """The runner takes a command up to the end of its line; % : and , are escaped as actions/toolkit does."""
    lines = [*github([Annotation("x", "medium", "50%: a, b", "one\ntwo\r\x1b", "d,1/f:2", 7)])]
    assert lines == [
        "::warning file=d%2C1/f%3A2,line=7,title=iptsim%3A 50%25%3A a%2C b::one%0Atwo\\r\\x1b",
    ]


def test_junit_counts_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    root = ElementTree.fromstring(
        printed(capsys, "lint", UFW, CLEAN, "missing", "--format", "junit", status=2)
    )
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "2", "1")
    assert [len(suite.findall("testcase")) for suite in root] == [len(FOUND), 1, 1]
    assert [suite.get("name") for suite in root] == [UFW, CLEAN, "missing"]
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert f"$ iptsim explain {UFW} --from internet --to host:8080" in (failure.text or "")


def test_junit_has_no_attributes_that_jenkins_refuses() -> None:
    """junit-10.xsd of its xUnit plugin, which validates reports, has no `file` and `line`, unlike other readers."""
    known = {
        "testsuites": {"name", "tests", "failures", "errors"},
        "testsuite": {"name", "tests", "failures", "errors", "skipped"},
        "testcase": {"name", "classname"},
        "failure": {"type", "message"},
        "error": {"type", "message"},
    }
    failed = Annotation("x", "high", "open", "all of it", "policy.yaml", 7, group="host")
    root = ElementTree.fromstring(junit([failed], {"missing": "no such file"}))
    assert [name for one in root.iter() for name in set(one.keys()) - known[one.tag]] == []
    assert [failure.text for failure in root.iter("failure")] == ["policy.yaml:7\nall of it"]


def test_junit_holds_any_text() -> None:
    """XML 1.0 has neither most control characters nor lone surrogates."""
    text = junit([Annotation("x", "low", 'a "<&\x00\ud800', "\x1b[31m]]>", group="\x07")])
    case = ElementTree.fromstring(text.encode()).find("testsuite/testcase/failure")
    assert case is not None
    assert case.get("message") == 'a "<&\\x00\\ud800'


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "lint", UFW, CLEAN, "--format", "csv"))))
    assert [(row["Source"], row["Code"]) for row in rows] == [(UFW, code) for code in FOUND]
    text = printed(capsys, "lint", UFW, CLEAN, "--format", "markdown")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads == [UFW, CLEAN]
    assert "Nothing found." in text


def test_cells_are_data() -> None:
    sheet = Sheet("a|b", ["x"], [["=1+1|`<b>`\n-j DROP"]])
    assert comma_separated([sheet]) == 'x\r\n"\'=1+1|`<b>`\n-j DROP"\r\n'
    assert r"=1+1\|\`\<b\>\`<br>-j DROP" in markdown(sheet)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    comment = '-m comment --comment "<script>alert(1)</script>"'
    rules.write_text(
        f"*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp {comment} -j DROP\n-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    )
    tags = _Tags()
    tags.feed(printed(capsys, "lint", str(rules), "--format", "html"))
    assert "script" not in tags.seen
    assert "<script>alert(1)</script>" in tags.text


def test_files_are_written_whole_or_not_at_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, log, cases = tmp_path / "out.txt", tmp_path / "log.sarif", tmp_path / "cases.xml"
    words = ["lint", UFW, "-o", str(out), "--sarif", str(log), "--junit", str(cases)]
    assert printed(capsys, *words) == ""
    assert out.read_text().startswith("firewall-bypassed")
    assert json.loads(log.read_text())["version"] == "2.1.0"
    assert ElementTree.parse(cases).getroot().tag == "testsuites"
    out.write_text("before")
    assert printed(capsys, "lint", "missing", "-o", str(out), status=2) == ""
    assert out.read_text() == "before"
    # what could not be written is not lost
    unwritable = str(tmp_path / "no/such")
    assert printed(capsys, "lint", UFW, "-o", unwritable, status=2).startswith("firewall-bypassed")


def test_standard_output_holds_one_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "lint", UFW, "--sarif", "-"))["version"] == "2.1.0"
    assert json.loads(printed(capsys, "lint", UFW, "--json", "-o", "-"))["schema"] == "iptsim.findings/1"


def test_unknown_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["lint", UFW, "--format", "yaml"])
    assert "unknown value 'yaml'; choose from: text" in capsys.readouterr().err
