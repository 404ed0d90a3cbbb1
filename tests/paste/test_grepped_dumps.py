"""Lines that grep left of a whole dump: the table of each is that of the captured host."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from iptsim.asking import ask
from iptsim.extensions.hidden import is_gap
from iptsim.question.model import Question
from iptsim.sources import loads_host
from tests.test_captures import FIXTURES

OLD = """\
$ sudo iptables-save | grep ACCEPT
:PREROUTING ACCEPT [120:7200]
:POSTROUTING ACCEPT [40:2400]
:OUTPUT ACCEPT [40:2400]
:OUTPUT ACCEPT [900:88000]
-A INPUT -i lo -j ACCEPT
-A gate -p tcp -m tcp --dport 22 -j ACCEPT
"""


def _rules(dump: str) -> Iterator[tuple[str, str]]:
    """Yield the rules of a dump, and their tables."""
    table = ""
    for line in dump.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A"):
            yield line, table


@pytest.mark.parametrize(
    "name", ["docker-28.5/published", "docker-20.10/published", "hosts/ufw-docker-28.5", "hosts/fail2ban"]
)
def test_the_tables_of_the_lines_that_grep_prints(name: str) -> None:
    dump = (FIXTURES / name / "iptables-save.txt").read_text()
    dump = re.sub(r"(?m)^\[\d+:\d+\] ", "", dump)
    known = {*_rules(dump)}
    for word in (
        "ACCEPT",
        "DROP",
        "RETURN",
        "docker0",
        "eth0",
        "8080",
        "addrtype",
        "127",
        "DOCKER",
        "PREROUTING",
    ):
        expected = {(line, table) for line, table in known if word in line}
        if not expected:
            continue
        lines = [line for line in dump.splitlines() if word in line]
        host = loads_host("\n".join((f"$ sudo iptables-save | grep {word}", *lines, "")))
        read = {(rule.text, rule.table) for rule in host.rulesets[4].rules() if not is_gap(rule.target)}
        assert expected <= read
        # besides them, jumps to chains of known programs are assumed
        assert not {text for text, _ in read - known if word in text}


def test_the_policies_of_several_tables() -> None:
    """Before Linux 2.6.36, nat had no INPUT, and iptables-save printed OUTPUT last."""
    tables = loads_host(OLD).rulesets[4].tables
    assert {chain.name for chain in tables["nat"].chains.values() if chain.declared} == {
        "PREROUTING", "POSTROUTING", "OUTPUT",
    }  # fmt: skip
    assert {chain.name for chain in tables["filter"].chains.values()} == {
        "INPUT",
        "FORWARD",
        "OUTPUT",
        "gate",
    }
    assert [chain.name for chain in tables["filter"].chains.values() if chain.declared] == ["OUTPUT"]


def test_a_chain_that_two_built_in_chains_of_nat_call() -> None:
    """Those of one table follow each other, so that the second jump is not one of filter's OUTPUT."""
    text = "$ iptables-save | grep web\n-A PREROUTING -p tcp -j web\n-A OUTPUT -o lo -p tcp -j web\n"
    shown = [rule.table for rule in loads_host(text).rulesets[4].rules() if not is_gap(rule.target)]
    assert shown == ["nat", "nat"]
    more = "-A FORWARD -p tcp -j web\n-A OUTPUT -p tcp -j web\n"
    rules = {rule.text: rule.table for rule in loads_host(text + more).rulesets[4].rules()}
    assert [rules[line] for line in more.splitlines()] == ["filter", "filter"]


FORWARDED = """\
$ sudo iptables-save | {filter}
:FORWARD DROP [0:0]
-A FORWARD -i eth0 -o eth1 -p tcp -m tcp --dport 8080 -j ACCEPT
"""


@pytest.mark.parametrize(
    ("through", "hidden"),
    [
        # every table but raw and nat has a chain FORWARD, whose line is printed
        ("grep FORWARD", {"raw", "nat"}),
        ("grep -n -i forward", {"raw", "nat"}),
        ("grep eth", {"raw", "mangle", "nat"}),
        ("grep -e ACCEPT -e DROP", {"raw", "mangle", "nat"}),
        ("grep 'F[A-Z]*D'", {"raw", "mangle", "nat"}),
        ("head -50", {"raw", "mangle", "nat"}),
        # what has no chain line does not exist
        ("grep -v 22", set()),
        ("grep FORWARD | grep -v 22", {"raw", "nat"}),
    ],
)
def test_tables_of_which_a_filter_may_hide_all_lines_are_unknown(through: str, hidden: set[str]) -> None:
    tables = loads_host(FORWARDED.format(filter=through)).rulesets[4].tables
    assert {name for name in tables if name != "filter"} == hidden
    for name in hidden:
        assert all(any(is_gap(rule.target) for rule in chain.rules) for chain in tables[name].chains.values())


def test_tables_that_a_whole_dump_lacks_are_not_hidden_by_a_filter_of_another_one() -> None:
    whole = "$ sudo iptables-save\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    assert set(loads_host(whole + FORWARDED.format(filter="grep eth")).rulesets[4].tables) == {"filter"}


def test_a_hidden_table_makes_an_answer_depend_on_it() -> None:
    host = loads_host(FORWARDED.format(filter="grep FORWARD"))
    fields = {"from": "198.51.100.7", "to": "10.0.0.7:22", "proto": "tcp", "in": "eth0"}
    shown = ask(host, Question(**fields))
    assert shown.verdict == "DEPENDS"
    assert "the rules of table raw, which are not shown" in str(shown.reason)
    assert "mangle" not in str(shown.reason)


GREPPED_BARE = """\
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -i eth0 -m comment --comment docker -j DROP
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
"""


def test_lines_of_several_tables_without_the_command_that_printed_them() -> None:
    """No table has both FORWARD and DNAT, or a chain twice: `grep -i docker` took the lines with the tables' names."""
    ruleset = loads_host(GREPPED_BARE).rulesets[4]
    found = {
        name: [rule.target_name for rule in ruleset.tables[name].chains["DOCKER"].rules if not is_gap(rule)]
        for name in ("filter", "nat")
    }
    assert found == {"filter": ["ACCEPT"], "nat": ["RETURN", "DNAT"]}
    assert not [rule for rule in ruleset.rules() if rule.refused]
    # what the filter hides may decide, but not within chains whose every line has the word
    answer = ask(loads_host(GREPPED_BARE), Question(sender="internet", to="host", proto="tcp", dport=8080))
    assert answer.verdict == "DEPENDS"
    assert "nat DOCKER" not in str(answer.reason.text)


HAND_PICKED = """\
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.31.0.0/16 ! -o br-shop -j MASQUERADE
-A DOCKER -i br-shop -j RETURN
-A DOCKER ! -i br-shop -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.31.0.4:443
-A FORWARD -j DOCKER-USER
-A FORWARD -o br-shop -j DOCKER
-A FORWARD -i br-shop ! -o br-shop -j ACCEPT
-A DOCKER -d 172.31.0.4/32 ! -i br-shop -o br-shop -p tcp -m tcp --dport 443 -j ACCEPT
-A DOCKER-USER -j RETURN
"""


def test_lines_of_two_tables_without_headings() -> None:
    """A chain is in the table of the rules that jump to it; only nat translates, and it has no FORWARD."""
    tables = loads_host(HAND_PICKED).rulesets[4].tables
    found = {
        name: {chain.name for chain in table.chains.values() if not chain.builtin and chain.rules}
        for name, table in tables.items()
    }
    assert found == {"nat": {"DOCKER"}, "filter": {"DOCKER", "DOCKER-USER"}}
    answer = ask(loads_host(HAND_PICKED), Question(sender="internet", to="host", proto="tcp", dport=8443))
    assert answer.verdict == "ACCEPT"


@pytest.mark.parametrize(
    "last", ["-A INPUT -j DROP\n", "-A INPUT -j ACCEPT\n", "-A OUTPUT -p tcp --dport 25 -j REJECT\n"]
)
def test_a_rule_that_nat_may_not_have_or_hardly_ever_has(last: str) -> None:
    """iptables(8): nat is for packets that create a connection; the kernel refuses DROP there (xt_check_target)."""
    text = f"My rules:\n-A PREROUTING -p tcp --dport 81 -j DNAT --to-destination 10.7.0.2:80\n{last}"
    tables = loads_host(text).rulesets[4].tables
    (rule,) = [one for one in tables["filter"].rules() if not is_gap(one.target)]
    assert rule.target_name in last
    assert [one.chain for one in tables["nat"].rules() if not is_gap(one.target)] == ["PREROUTING"]
