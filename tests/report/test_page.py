"""The report as a file: what it holds, that it is inert, and how it is written."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from iptsim.cli import main
from iptsim.explanation import ReasonCode
from iptsim.host import load_host
from iptsim.languages import language, message, say_many
from iptsim.reaching import reach
from iptsim.reaching.exposure import exposed
from iptsim.render.reach import sources_text, traffic_text
from iptsim.report import contents, page, report
from iptsim.report.outcomes import REASON_WORDS
from iptsim.sets.packets import TooManyNodesError
from iptsim.sources import loads_host
from tests.report.hosts import PAYLOADS, hostile
from tests.test_captures import FIXTURES

ICC_OFF = FIXTURES / "docker-28.5/icc-off"
MANY = FIXTURES / "hosts/docker-many"
#: Elements and attributes through which a page could load or run something.
LOADING = {
    "link",
    "iframe",
    "object",
    "embed",
    "img",
    "base",
    "form",
    "audio",
    "video",
    "source",
    "use",
    "image",
}


class Elements(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in self.texts:
            self._inside = tag
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data


@cache
def made(source: Path) -> str:
    return page(report(load_host(source)))


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert found is not None
    out: dict[str, Any] = json.loads(found[1])
    return out


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(report(load_host(hostile(tmp_path_factory.mktemp("hostile")))))


def test_the_policy_lets_in_its_own_script_and_style_alone() -> None:
    elements = Elements(made(ICC_OFF))
    policy = next(
        found["content"] or "" for tag, found in elements.found
        if tag == "meta" and found.get("http-equiv") == "Content-Security-Policy"
    )  # fmt: skip
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe" not in policy
    scripts, styles = elements.texts["script"], elements.texts["style"]
    assert (len(scripts), len(styles)) == (2, 1)
    # CSP level 3: the hash of an inline script is that of the element's text
    for text, allowed in ((scripts[1], rules["script-src"]), (styles[0], rules["style-src"])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert allowed == f"'sha256-{digest}'"


def test_nothing_is_loaded_and_nothing_has_a_handler_or_a_style_of_its_own() -> None:
    loads_nothing(made(ICC_OFF))


def loads_nothing(text: str) -> None:
    """Check that a page loads nothing, and runs nothing but its one script."""
    for tag, attributes in Elements(text).found:
        assert tag not in LOADING
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("style", "src", "srcset", "action"), (tag, name)
            if name.endswith("href"):
                assert value is not None
                assert value.startswith("#"), value


def test_hostile_text_stays_data(hostile_page: str) -> None:
    plain = [tag for tag, _ in Elements(made(ICC_OFF)).found]
    elements = Elements(hostile_page)
    assert elements.texts["script"][0].count("<") == 0
    assert [tag for tag, _ in elements.found if tag in ("script", "style", "img", "b")] == [
        tag for tag in plain if tag in ("script", "style", "img", "b")
    ]
    told = "\n".join(strings(data_of(hostile_page))).replace("\\'", "'")  # iptables-save quotes them so
    assert [text for text in PAYLOADS[:7] if text not in told] == []
    assert not set("\u2028\u2029\u202e") & set(told)
    assert "line\\u2028separator" in told


def strings(value: Any) -> Iterator[str]:
    """Yield all texts of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def test_the_matrix_holds_the_classes_of_reach() -> None:
    host = load_host(ICC_OFF)
    data = data_of(made(ICC_OFF))
    grid = data["tables"][0]
    found = {
        (grid["names"][sender], grid["names"][receiver], data["strings"][packets]): data["traces"][trace]
        for sender, receiver, packets, _, trace, *_ in grid["classes"]
    }
    for one in reach(host, family=4):
        if one.sender and one.receiver and one.sender != one.receiver:
            trace = next(trace for ends, trace in found.items() if ends[:2] == (one.sender, one.receiver))
            assert trace["v"] == one.verdict
    # the kernel's trace of client → web:80 in probes.json: dropped by the rule of icc
    dropped = found["client", "web", "all ports"]
    assert (dropped["v"], dropped["r"]) == ("DROP", "icc-disabled")
    assert data["rules"][dropped["u"]]["s"] == "-i docker0 -o docker0 -j DROP"


def test_every_rule_is_there_with_its_words_and_counters() -> None:
    lists_every_rule(FIXTURES / "hosts/ufw-docker-28.5")


def lists_every_rule(source: Path) -> None:
    """Check that the page of a capture holds all rules in order, in words, as text and with their counters."""
    data = data_of(made(source))
    host = load_host(source)
    told = [
        data["rules"][number]
        for ruleset in data["rulesets"]
        for chain in ruleset["chains"]
        for number in chain["r"]
    ]
    rules = [rule for ruleset in host.rulesets.values() for rule in ruleset.rules()]
    assert [(one["t"], one["c"], one["n"]) for one in told] == [
        (one.table, one.chain, one.position) for one in rules
    ]
    assert all(one["w"] and one["s"] and one["o"] for one in told)
    rows = Rows(made(source)).of("rules")
    listed = [row for row in rows if row[0].isdigit()]
    assert [(row[0], row[1]) for row in listed] == [(str(one["n"]), one["w"] + one["s"]) for one in told]
    counted = [row[3] for row in listed if len(row) > 3]
    assert counted == [
        say_many("{count} packet", "{count} packets", one.counters.packets)
        + (f", {one.counters.bytes:,} bytes" if one.counters.bytes else "")
        for one in rules
        if one.counters is not None
    ]


# -- without its script ----------------------------------------------------------------------------


class Rows(HTMLParser):
    """The rows of a page's tables, as the texts of their cells, by the section that holds them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self._found: dict[str, list[list[str]]] = {}
        self._section, self._inside = "", 0
        self.feed(text)

    def of(self, section: str) -> list[list[str]]:
        """Return the rows of a section."""
        return self._found[section]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "section":
            self._section = dict(attrs).get("id") or ""
        rows = self._found.setdefault(self._section, [])
        if tag == "tr":
            rows.append([])
        if tag in ("td", "th"):
            rows[-1].append("")
            self._inside += 1

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._found[self._section][-1][-1] += data


def test_the_page_opens_with_what_matters() -> None:
    found = re.findall(r'<section id="(\w+)" (?:class="scripted" )?aria-labelledby', made(ICC_OFF))
    assert found == ["open", "findings", "policies", "reach", "trace", "map", "host", "rules"]
    text = made(FIXTURES / "hosts/ufw-docker-28.5")
    tiles = text[text.index('<ul class="tally">') : text.index('<p id="lead">')]
    assert re.findall(r'href="#(\w+)"', tiles) == ["open", "findings", "policies", "policies"]
    assert text.index('<ul class="tally">') < text.index('<section id="open"')
    assert re.search(r'<details class="more" id="settings"><summary>Settings</summary>', text)


def test_what_is_open_to_the_internet_is_what_the_rules_accept() -> None:
    rows = Rows(made(FIXTURES / "hosts/ufw-docker-28.5")).of("open")[1:]
    listen = "● open, if a program listens"
    by_rule = "a rule acceptsfilter ufw-user-input rule"
    # /etc/ufw/user.rules of the capture: deny from 203.0.113.96/27; allow 80/tcp; allow from 198.51.100.0/24 to any
    # port 5432,6432 proto tcp; limit 22/tcp; allow in on eth0 to 192.0.2.10 port 8443; and a published port that ufw
    # does not see
    for row in (
        ["tcp/80 IPv4", "all but 203.0.113.96/27", "this host", listen, f"{by_rule} 2"],
        ["tcp/5432,6432 IPv4", "198.51.100.0/24", "this host", listen, f"{by_rule} 7"],
        [
            "tcp/8080 of the host IPv4",
            "everyone",
            "web→ 172.17.0.2:80",
            listen,
            "published portfilter DOCKER rule 2",
        ],
    ):
        assert row in rows
    ports = [row[0].split(" ")[0].rstrip(",") for row in rows if "IPv4" in row[0]]
    # what is open to most addresses, what few may send, what depends
    assert ports.index("tcp/80") < ports.index("tcp/5432,6432") < ports.index("tcp/22")
    assert next(row for row in rows if row[0] == "tcp/22 IPv4")[3] == "? depends"


@pytest.mark.thorough
def test_the_report_says_what_reach_says() -> None:
    source = FIXTURES / "hosts/firewalld"
    answer = reach(load_host(source), family=4, apart=True)
    told = [row[:2] for row in Rows(made(source)).of("open")[1:] if "IPv4" in row[0]]
    assert told == [
        [f"{traffic_text(answer, one)} IPv4", sources_text(answer, one) or "everyone"]
        for _, one in exposed(answer)
    ]


@pytest.mark.parametrize(
    ("rules", "ports"),
    [
        ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\n",
         {"tcp/22": "filter INPUT rule 1", "tcp/80": "filter INPUT rule 2"}),
        ("-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT\n", {"tcp/22,80": "filter INPUT rule 1"}),
        ("-A INPUT -p tcp -m tcp --dport 8000:8009 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 8010 -j ACCEPT\n",
         {"tcp/8000-8009": "filter INPUT rule 1", "tcp/8010": "filter INPUT rule 2"}),
    ],
)  # fmt: skip
def test_each_row_names_the_rule_that_decides(rules: str, ports: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "rules.txt"
    file.write_text(f"*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
    rows = Rows(report(load_host(file)).sections["open"]).of("")[1:]
    assert {row[0].strip(): row[4].removeprefix("a rule accepts") for row in rows} == ports


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        (":INPUT DROP [0:0]\n", "Nothing is open to the internet"),
        (":INPUT ACCEPT [0:0]\n", "No rule protects the other ports of the host"),
        (":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n", "1 port is open to the internet."),
        (":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -m limit --limit 1/s -j ACCEPT\n",
         "Some packets depend on what the source does not say."),
    ],
)  # fmt: skip
def test_the_sentence_on_what_is_open(dump: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.txt"
    head, rules = dump.split("\n", 1)
    file.write_text(f"*filter\n{head}\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
    assert said in report(load_host(file)).sections["open"]


def test_findings_stand_under_their_severity() -> None:
    text = made(FIXTURES / "hosts/ufw-docker-28.5")
    section = text[text.index('<section id="findings"') : text.index('<section id="policies"')]
    assert re.findall(r"</span> (\w+)<span class=\"soft\"> \((\d+)\)", section) == [
        ("critical", "1"),
        ("low", "1"),
    ]
    assert section.count('<article class="finding v-critical"') == 1
    assert 'id="finding/0"' in section
    assert re.findall(r'href="#(rule/[^"]+)"', section) == ["rule/4/nat/DOCKER/2", "rule/4/filter/DOCKER/2"]


def test_policies_are_those_of_the_dump() -> None:
    rows = Rows(made(ICC_OFF)).of("policies")
    # iptables-save.txt and ip6tables-save.txt: ":INPUT ACCEPT", ":FORWARD DROP", ":OUTPUT ACCEPT"
    policies = [[re.findall("[A-Z]+", cell)[0] for cell in row[1:]] for row in rows[1:]]
    dumps = [(ICC_OFF / name).read_text() for name in ("iptables-save.txt", "ip6tables-save.txt")]
    assert policies == [
        [re.search(rf"\*filter\n(?:[:#].*\n)*?:{chain} (\w+)", dump)[1] for dump in dumps]  # type: ignore[index]
        for chain in ("INPUT", "FORWARD", "OUTPUT")
    ]


def test_a_policy_that_no_packet_meets_says_so(tmp_path: Path) -> None:
    dump = tmp_path / "rules.txt"
    dump.write_text(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n"
        "-A INPUT -j REJECT\nCOMMIT\n"
    )
    sections = report(load_host(dump)).sections
    assert Rows(sections["policies"]).of("")[1] == [
        "INPUTto the host itself", "⊘ REJECTrule 2 matches all otherspolicy ACCEPT, never reached",
    ]  # fmt: skip
    assert "<b>INPUT REJECT</b>" in sections["overview"]
    assert "The source has no ip6tables rules, so what IPv6 allows is unknown." in sections["policies"]
    assert "by the last rule for IPv4; policies: INPUT ACCEPT" in sections["overview"]


def test_policies_that_a_listing_leaves_out_are_not_shown() -> None:
    # as pasted from: iptables -L DOCKER-USER -n; iptables -L INPUT -n
    user = "Chain DOCKER-USER (1 references)\ntarget     prot opt source               destination\n"
    drop = "DROP       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:8081\n"
    text = page(report(loads_host(user + drop)))
    assert "no IPv4 policies in the source" in text
    assert "The source shows no policies." in text
    rows = {tuple(row[:3]) for row in Rows(text).of("rules")}
    assert ("–", "every packet: rules that are not shown...", "assumed: not in the source ") in rows
    ids = [attributes["id"] for _, attributes in Elements(text).found if "id" in attributes]
    assert len(ids) == len(set(ids))
    both = f"{user}{drop}\n{user.replace('DOCKER-USER (1 references', 'INPUT (policy DROP')}"
    rows_of = Rows(report(loads_host(both)).sections["policies"]).of("")
    assert [row[1] for row in rows_of[1:]] == ["✕ DROPpolicy", "not shown", "not shown"]


def test_what_certain_source_ports_open_is_not_passed_over(tmp_path: Path) -> None:
    dump = tmp_path / "rules.txt"
    dump.write_text(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A INPUT -i eth0 -p udp -m udp --sport 67:68 --dport 67:68 -j ACCEPT\nCOMMIT\n"
    )
    sections = report(load_host(dump)).sections
    assert "More is open to packets from certain source ports." in sections["open"]
    assert "<b>0</b>" in sections["overview"]
    assert "more to certain source ports" in sections["overview"]


def test_ports_of_certain_source_ports_are_told_apart_from_others() -> None:
    # ufw's before.rules: -A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT, as it accepts pings
    answer = reach(FIXTURES / "hosts/ufw-docker-28.5", "internet", "host")
    told = [traffic_text(answer, one) for one in answer if one.is_open]
    assert "icmp, udp/68 from source port 67" in told


def test_an_empty_dump_says_that_nothing_is_filtered() -> None:
    text = made(FIXTURES / "hosts/kube")
    assert (FIXTURES / "hosts/kube/ip6tables-save.txt").read_text() == ""
    assert "The ip6tables dump is empty, so no rule filters IPv6." in text
    assert "no rules: nothing is filtered" in text
    # as the table of open ports has it
    assert ["all ports IPv6", "everyone", "this host"] in [
        row[:3] for row in Rows(made(FIXTURES / "hosts/kube")).of("open")
    ]


def test_rows_of_the_matrix_send_and_columns_receive() -> None:
    rows = Rows(made(ICC_OFF)).of("reach")
    assert rows[0] == ["from ↓ to →", "internet", "host", "client, web"]
    whole = {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[1:4]}
    # the kernel's trace of client → web:80 in probes.json: dropped by the rule of icc
    assert whole["client, web"]["client, web"] == "dropped all portsicc is off"
    assert whole["internet"]["host"] == "allowed all portspolicy ACCEPT"
    assert whole["client, web"]["internet"] == "allowed all portsoutgoing"


def test_senders_that_are_treated_differently_have_entries_of_their_own() -> None:
    rows = Rows(made(FIXTURES / "hosts/ufw-docker-28.5")).of("reach")
    column = rows[0].index("host")
    cell = next(row for row in rows if row[0] == "internet")[column]
    assert "allowed tcp/5432,6432, from 198.51.100.0/24" in cell
    assert "allowed tcp/80,8443" in cell or "allowed tcp/80, from all but 203.0.113.96/27" in cell


def test_entries_of_the_matrix_lead_to_what_decides() -> None:
    text = made(ICC_OFF)
    entries = re.findall(r'<a class="v-(\w+)" href="#([^"]+)" data-c="[^"]+"><b>(\w+)</b>', text)
    assert ("DROP", "rule/4/filter/DOCKER-FORWARD/4", "dropped") in entries
    assert ("ACCEPT", "chain/4/filter/INPUT", "allowed") in entries
    ids = {attributes.get("id") for _, attributes in Elements(text).found}
    links = [attributes["href"] for _, attributes in Elements(text).found if "href" in attributes]
    scripted = [one for one in links if one and one.startswith("#trace/")]
    assert [one for one in links if one not in scripted and (one or "")[1:] not in ids] == []


def test_every_reason_has_words() -> None:
    assert set(REASON_WORDS) == set(ReasonCode)


@pytest.mark.thorough
def test_a_host_of_thirty_containers() -> None:
    # one test, as the page takes seconds to make
    host, text = load_host(MANY), made(MANY)
    assert len(host.containers) == 30
    assert len(text.encode()) < 2_000_000
    loads_nothing(text)
    lists_every_rule(MANY)
    folded_is_alike(Rows(text).of("reach"), ["internet", "host", *host.containers])


def folded_is_alike(rows: list[list[str]], names: list[str]) -> None:
    """Check that the first table of the matrix says of groups what the second one says of each endpoint."""
    heads = [number for number, row in enumerate(rows) if row[0] == "from ↓ to →"]
    folded, whole = rows[: heads[1]], rows[heads[1] : heads[2]]
    each = {
        (row[0], receiver): cell
        for row in whole[1:]
        for receiver, cell in zip(whole[0][1:], row[1:], strict=True)
    }
    assert {sender for sender, _ in each} == {receiver for _, receiver in each} == set(names)
    known = re.compile("|".join(map(re.escape, names)))
    columns = list(map(known.findall, folded[0][1:]))
    groups = [known.findall(row[0]) for row in folded[1:]]
    for found in (columns, groups):
        assert sorted(one for group in found for one in group) == sorted(names)
    assert len(groups) < len(names) / 2
    for group, row in zip(groups, folded[1:], strict=True):
        for receivers, cell in zip(columns, row[1:], strict=True):
            for sender, receiver in product(group, receivers):
                assert sender == receiver or each[sender, receiver] == cell


@pytest.mark.parametrize(
    "source",
    [
        "docker-20.10/iptables-off",
        "hosts/ufw",
        "hosts/kube",
        "docker-28.5/ipv6",
        "docker-28.5/ipv6/iptables-save.txt",
        "docker-28.5/ipv6/ip6tables-save.txt",
        pytest.param("hosts/docker-many/iptables-save.txt", marks=pytest.mark.thorough),
    ],
)
def test_other_hosts_have_a_report(source: str) -> None:
    data = data_of(made(FIXTURES / source))
    inferred = "The source is only a dump of the rules." in made(FIXTURES / source)
    assert inferred == source.endswith(".txt")
    for grid in data["tables"]:
        assert all(data["traces"][one[4]]["v"] for one in grid["classes"])


def test_an_empty_dump_has_a_report(tmp_path: Path) -> None:
    dump = tmp_path / "empty.txt"
    dump.write_text("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n")
    assert data_of(made(dump))["rulesets"][0]["chains"][0]["c"] == "INPUT"


def test_a_report_in_another_language() -> None:
    with language("zh-TW"):
        text = page(report(load_host(ICC_OFF)))
    assert '<html lang="zh-Hant-TW">' in text
    assert '<h2 id="reach-title">連通性</h2>' in text
    data = data_of(text)
    assert data["reasons"].keys() == data_of(made(ICC_OFF))["reasons"].keys()
    assert all(re.search("[\u4e00-\u9fff]", sentence) for sentence in data["reasons"].values())
    english = data_of(made(ICC_OFF))["texts"]
    places = re.compile(r"\{\w+\}")
    for name, said in data["texts"].items():
        assert sorted(places.findall(said)) == sorted(places.findall(english[name])), name


# -- the command -----------------------------------------------------------------------------------


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    assert main(["report", str(ICC_OFF), "-o", str(output)]) == 0
    assert output.read_text("utf-8") == made(ICC_OFF)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(output.stat().st_mode) == 0o666 & ~umask
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.thorough
@pytest.mark.parametrize("output", [["-o", "-"], ["-o", "/dev/stdout"], []])
def test_a_page_can_be_written_to_a_pipe(output: list[str]) -> None:
    command = [sys.executable, "-m", "iptsim", "report", str(ICC_OFF), *output]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FIXTURES.parent.parent)
    assert run.stdout.startswith("<!DOCTYPE html>")
    assert run.stdout.endswith("</html>\n")


@pytest.mark.parametrize("output", ["missing/report.html", ".", "file/report.html"])
def test_an_output_that_can_not_be_written_is_an_error(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["report", str(ICC_OFF), "-o", str(tmp_path / output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("iptsim: ")
    assert str(tmp_path) in error
    assert error.count("\n") == 1


def test_what_was_there_stays_when_the_page_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report.html"
    output.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert main(["report", str(ICC_OFF), "-o", str(output)]) == 2
    assert capsys.readouterr().err == f"iptsim: {output}: No space left on device\n"
    assert output.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_bad_input_gives_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = tmp_path / "rules.txt"
    dump.write_text("*filter\n-A INPUT --dport\nCOMMIT\n")
    assert main(["report", "--strict", str(dump), "-o", str(tmp_path / "report.html")]) == 2
    assert "rules.txt:2" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_names_in_the_map_can_not_leave_their_attribute(hostile_page: str) -> None:
    picture = hostile_page[hostile_page.index("<svg") : hostile_page.index("</svg>")]
    assert 'data-node="plug &lt;img src=x onerror=window.broken=1&gt; ' in picture
    assert "<img" not in picture


def test_every_text_of_the_page_is_used() -> None:
    from iptsim.report.labels import texts

    folder = Path(report.__code__.co_filename).parent
    script, frame = (folder / "page.js").read_text("utf-8"), (folder / "page.html").read_text("utf-8")
    used = set(re.findall(r"\$(\w+)", frame)) | set(re.findall(r'"(\w+)"', script))
    assert texts().keys() - used == set()


def test_very_many_rules_are_not_all_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iptsim.report.contents.RULES", 150)
    dump = tmp_path / "dump"
    rules = "".join(f"-A INPUT -s 10.0.0.{number}/32 -j ACCEPT\n" for number in range(100))
    chain = rules.replace("INPUT", "OUTPUT")
    dump.write_text(
        f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}{chain}COMMIT\n"
    )
    data = report(load_host(dump)).data
    chains = {one["c"]: one for one in data["rulesets"][0]["chains"]}
    assert len(chains["INPUT"]["r"]) == 100
    assert len(chains["OUTPUT"]["r"]) == 50
    assert "50 more rules are not shown" in report(load_host(dump)).sections["rules"]
    assert data["skips"] == []


def test_an_undecided_answer_has_a_path_for_each_outcome(tmp_path: Path) -> None:
    """Four branches, as both rules may match or not, but a packet is accepted or dropped."""
    (tmp_path / "rules").write_text(
        "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        "-A INPUT -p tcp -m limit --limit 1/min -m comment --comment one -j ACCEPT\n"
        "-A INPUT -p tcp -m limit --limit 2/min -j ACCEPT\nCOMMIT\n"
    )
    data = data_of(made(tmp_path / "rules"))
    undecided = [trace for trace in data["traces"] if trace["v"] == "DEPENDS" and "b" in trace]
    assert undecided
    for trace in undecided:
        assert [way["v"] for way in trace["b"]] == ["ACCEPT", "DROP"]
        assert [data["strings"][way["i"]] for way in trace["b"]][1] == "otherwise"


def test_what_is_too_large_to_compute_is_named_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise TooManyNodesError(message("the sets of packets need more than {most} nodes", most="9"))

    monkeypatch.setattr(contents, "reach", fails)
    found = report(
        loads_host("*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n")
    )
    for section in ("open", "reach"):
        assert "Not computed for IPv4: the sets of packets need more than 9 nodes." in found.sections[section]
    assert "was not computed" in found.sections["overview"]
    assert "port 22" in found.sections["rules"]
