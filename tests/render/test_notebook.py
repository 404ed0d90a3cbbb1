"""What notebooks and `print` show of each object: right, readable without colours, and inert."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.render.html import STYLE

CAPTURES = Path(__file__).parent.parent.parent / "fixtures/captures"
ICC_OFF = CAPTURES / "docker-28.5/icc-off"

#: Markup, an end of a script, an attribute, and a control sequence of a terminal.
EVIL = "</code><script>alert(1)</script><img src=x onerror=alert(2)> & \\\"'\x1b[31m"
HOSTILE = f"""\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:<b>x</b>&- - [0:0]
-A INPUT -s 203.0.113.0/24 -m comment --comment "{EVIL}" -j ACCEPT
-A INPUT -m limit --limit 3/min -j LOG --log-prefix "<i onclick=x>"
-A INPUT -m set --match-set bad src -m comment --comment "{EVIL}" -j <b>x</b>&-
-A <b>x</b>&- -m comment --comment "{EVIL}" -j DROP
COMMIT
"""


class Seen(HTMLParser):
    """The tags, attributes and text of a piece of HTML; it complains of tags that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def shown(host: iptsim.Host, src: str, dst: str) -> Iterator[Any]:
    """Yield an object of every kind that has a form of its own."""
    ruleset = host.rulesets[4]
    answer = iptsim.explain(host, src, dst)
    yield from (host, ruleset, *ruleset.tables.values(), *ruleset.rules())
    yield from (chain for table in ruleset.tables.values() for chain in table.chains.values())
    yield from (answer, answer.trace, iptsim.proposals(host, answer))
    yield iptsim.whatif(host, {"policy": "INPUT=ACCEPT"}, src, dst)
    yield iptsim.whatif(host, {"policy": "FORWARD=DROP"})
    yield iptsim.explain_many(host, [{"from": src, "to": dst}, {"from": "nobody<b>", "to": dst}])
    yield iptsim.reachability(host)
    findings = iptsim.lint(host)
    yield from (findings, *findings)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> iptsim.Host:
    path = tmp_path_factory.mktemp("dump") / "<b>rules.txt"
    path.write_text(HOSTILE)
    return iptsim.load_host(path)


@pytest.mark.parametrize("src", ["203.0.113.9", "198.51.100.7"], ids=["accepted", "undecided"])
def test_a_hostile_dump_is_inert(hostile: iptsim.Host, src: str) -> None:
    known = {"div", "style", "p", "b", "code", "span", "table", "caption", "thead", "tbody", "tr", "th", "td",
             "details", "summary", "ul", "li"}  # fmt: skip
    for thing in shown(hostile, src, "192.0.2.10:22"):
        html = thing._repr_html_()
        seen = Seen(html)
        assert set(seen.tags) <= known, thing
        assert seen.attributes <= {"class", "colspan", "open", "scope", "scoped", "style", "title"}
        assert "<b>x" not in html
        for text in (html, str(thing), repr(thing)):
            assert "\x1b" not in text
            assert "\n" not in repr(thing)


def test_the_hostile_comment_is_there_to_read(hostile: iptsim.Host) -> None:
    rule = hostile.rulesets[4].rule("filter", "INPUT", 1)
    assert "<script>alert(1)</script>" in Seen(rule._repr_html_()).text
    assert "\\x1b[31m" in Seen(rule._repr_html_()).text


@pytest.mark.parametrize("capture", ["docker-28.5/published", "docker-20.10/two-networks", "hosts/ufw"])
def test_everything_has_html_and_text(capture: str) -> None:
    host = iptsim.load_host(CAPTURES / capture)
    for thing in shown(host, "internet", "host:8080"):
        bundle = thing._repr_mimebundle_()
        assert bundle["text/plain"] == str(thing)
        assert Seen(bundle["text/html"]).text
        assert repr(thing).startswith(("<", "["))


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_an_explanation_shows_verdict_reason_rule_and_way() -> None:
    """The rule that drops is FORWARD's fourth in Docker 28's layout; every table has heads of its columns."""
    answer = iptsim.explain(ICC_OFF, "client", "web", dport=80)
    html = answer._repr_html_()
    seen = Seen(html)
    assert seen.text.startswith("DROP client 172.17.0.3 → web 172.17.0.2 tcp/80, new connection")
    assert "Decided by filter DOCKER-FORWARD rule 4 (line 29): -i docker0 -o docker0 -j DROP" in seen.text
    assert "FORWARD filter FORWARD 1 → DOCKER-USER no rule matched" in re.sub(r"\s+", " ", _spaced(html))
    assert html.count("<table") == html.count("<thead")
    assert html.count('class="decides"') == 2  # in what mattered, and among all steps


def _spaced(html: str) -> str:
    """Return the text with a space between cells."""
    return Seen(html.replace("</td>", " </td>").replace("-j DOCKER-USER", "")).text


def test_a_table_of_many_chains_is_cut_and_says_so() -> None:
    ruleset = iptsim.load(CAPTURES / "hosts/docker-many/iptables-save.txt")
    html = ruleset._repr_html_()
    assert len(html) < 400_000
    assert "DOCKER-FORWARD" in Seen(html).text


@pytest.mark.thorough
def test_reachability_says_verdicts_in_words_or_letters_with_a_legend() -> None:
    few = Seen(iptsim.reachability(CAPTURES / "docker-28.5/published")._repr_html_()).text
    assert "ACCEPT at web" in few
    assert "direct-route-drop" in few
    many = Seen(iptsim.reachability(CAPTURES / "hosts/docker-many")._repr_html_()).text
    assert many.endswith("A ACCEPT D DROP")


def test_the_cells_of_reachability_stand_below_their_senders() -> None:
    """On this capture the internet gets nowhere but to published ports; the containers reach each other."""
    html = iptsim.reachability(CAPTURES / "docker-28.5/published")._repr_html_()
    heads = re.findall(r'<th scope="col">(.*?)</th>', html)
    assert heads == ["to", "what", "from internet", "host", "web", "client"]
    row = next(part for part in html.split("<tr>") if 'row">client</th><th scope="row">other ports' in part)
    cells = [Seen(cell).text for cell in re.findall(r"<td>(.*?)</td>", row)]
    assert cells == ["DROPdirect-route-drop", "ACCEPTpolicy-accept", "ACCEPTicc-enabled", ""]


def test_hosts_answers_rulesets_and_graphs_are_drawn() -> None:
    pytest.importorskip("pygraphviz")
    answer = iptsim.explain(ICC_OFF, "client", "web", dport=80)
    ruleset = answer.host.rulesets[4]
    graph: Any = ruleset.graph()  # a RuleGraph
    for thing in (answer.host.picture(), answer.picture(), ruleset.picture(), graph):
        bundle = thing._repr_mimebundle_()
        assert bundle["image/svg+xml"].startswith("<svg ")
        assert "0x" not in bundle["text/plain"]
    assert "DROP" in answer.picture()._repr_mimebundle_()["text/plain"]
    assert "DOCKER-FORWARD" in graph.copy()._repr_mimebundle_()["text/plain"]


# -- in another language ---------------------------------------------------------------------------

#: Three words of English in a row, outside code.
ENGLISH = re.compile(r"(?:\b[A-Za-z][a-z']+ ){2,}[a-z']+")


def _english(html: str) -> list[str]:
    told = re.sub(r"(?s)<style.*?</style>|<code>.*?</code>|<[^>]*>", " | ", html)
    return ENGLISH.findall(told)


@pytest.mark.parametrize(
    "name", ["docker-28.5/icc-off-link", "docker-28.5/bridge-nf-off", "docker-28.5/published"]
)
def test_no_english_is_left_in_a_chinese_notebook(name: str) -> None:
    with iptsim.language("zh-TW"):
        host = iptsim.load_host(CAPTURES / name)
        first, *_ = host.containers
        answers = [
            iptsim.explain(host, "internet", "host", dport=8080),
            iptsim.explain(host, first, "internet", dport=443),
            iptsim.explain(host, "host", first, dport=80),
        ]
        whole = [host, host.rulesets[4], iptsim.lint(host), iptsim.reachability(host, most=60), *answers]
        whole += [answer.trace for answer in answers]
        whole += [iptsim.proposals(host, answers[0]), iptsim.whatif(host, {"icc": False})]
        left = [(type(thing).__name__, _english(thing._repr_html_())) for thing in whole]
    assert [found for found in left if found[1]] == []
    assert answers[0]._repr_html_() == answers[0].told_in("en").told_in("zh-TW")._repr_html_()


def test_the_likeliest_cause_of_a_pasted_line_is_shown() -> None:
    shown = iptsim.lint(CAPTURES.parent / "pastes/ufw-block.txt")._repr_html_()
    assert "<b>Likeliest cause</b>" in shown
    assert "to port 5432" in shown
    assert "Nothing found" not in shown
