"""What an undecided answer depends on, and how it ends: each thing once, and a list that agrees with every branch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import iptsim
from iptsim.explanation import Explanation
from iptsim.explanation.conditions import conditions_of
from iptsim.explanation.outcome_words import outcome_list, outcome_text
from iptsim.explanation.outcomes import Outcome, outcomes_of
from iptsim.render.explanation import as_text

DOCKER_USER = """\
# iptables -L -n --line-numbers
Chain DOCKER-USER (1 references)
num  target     prot opt source               destination
1    DROP       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:8080
2    RETURN     all  --  0.0.0.0/0            0.0.0.0/0
"""
#: Three chains that nothing shows, and a policy that accepts.
THREE = """\
# iptables -L -n -v
Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
    0     0 OWN  all  --  *      *       0.0.0.0/0            0.0.0.0/0
    0     0 DOCKER-USER  all  --  *      *       0.0.0.0/0            0.0.0.0/0
    0     0 DOCKER-FORWARD  all  --  *      *       0.0.0.0/0            0.0.0.0/0
"""
#: The same, before a policy that drops.
STRICT = THREE.replace("policy ACCEPT", "policy DROP")
#: Rules whose interfaces -L hides, between chains that it does not show.
MIXED = """\
# iptables -L
Chain INPUT (policy DROP)
target     prot opt source               destination
ACCEPT     all  --  anywhere             anywhere
BLOCKLIST  all  --  anywhere             anywhere
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:http
"""
LIMITED = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -m limit --limit 3/min -j ACCEPT
COMMIT
"""


def ask(folder: Path, text: str, target: str, sender: str = "10.1.1.1") -> Explanation:
    path = folder / "paste.txt"
    path.write_text(text)
    answer = iptsim.explain(path, sender, target)
    assert answer.verdict == "DEPENDS"
    return answer


def texts(answer: Explanation) -> list[str]:
    return [f"{one.verdict} {outcome_text(one)}" for one in outcomes_of(answer.branches)]


def test_a_chain_that_is_not_shown_blocks_the_packet_or_its_reply(tmp_path: Path) -> None:
    assert texts(ask(tmp_path, THREE, "10.2.2.2:80")) == [
        "DROP if the rest of filter OWN, filter DOCKER-USER or filter DOCKER-FORWARD blocks it or its reply",
        "ACCEPT otherwise",
    ]


def test_a_rule_whose_interfaces_are_hidden_matches_or_does_not(tmp_path: Path) -> None:
    assert texts(ask(tmp_path, DOCKER_USER, "10.2.2.2:8080")) == [
        "DROP if filter DOCKER-USER rule 1 matches, or the rest of filter FORWARD blocks it or its reply",
        "ACCEPT otherwise",
    ]


def holds(outcome: Outcome, branch: Explanation) -> bool:
    """Return whether all conditions of an outcome hold on a branch."""
    held = set(conditions_of(branch.trace.decisions))
    groups = [*outcome.given, *([outcome.either] if outcome.either else [])]
    return all(held & set(group) for group in groups)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (THREE, "10.2.2.2:80"),
        (STRICT, "10.2.2.2:80"),
        (MIXED, "host:80"),
        (DOCKER_USER, "10.2.2.2:8080"),
        (LIMITED, "host:22"),
    ],
    ids=["three", "strict", "mixed", "docker-user", "limited"],
)
def test_the_first_outcome_that_holds_has_the_verdict_of_the_branch(
    text: str, target: str, tmp_path: Path
) -> None:
    answer = ask(tmp_path, text, target)
    found = outcomes_of(answer.branches)
    assert len(found) <= len(answer.branches)
    assert found[-1].conditions == []  # "otherwise": the list is complete
    for branch in answer.branches:
        assert next(one for one in found if holds(one, branch)).verdict == branch.verdict
    assert {id(branch) for one in found for branch in one.branches} == set(map(id, answer.branches))


def test_each_thing_that_is_undecided_has_a_line_and_each_command_is_named_once(tmp_path: Path) -> None:
    lines = as_text(ask(tmp_path, DOCKER_USER, "10.2.2.2:8080")).splitlines()
    at = lines.index("It depends on:")
    assert lines[at + 1 : at + 4] == [
        "  the interfaces of the rule, which -L shows only with -v (filter DOCKER-USER rule 1)",
        "  the rest of filter FORWARD and its policy, which are not shown",
        "To decide it, ask again with the output of iptables-save -c.",
    ]


def test_rules_of_ipv6_are_saved_by_another_command(tmp_path: Path) -> None:
    text = "# ip6tables -S\n-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
    answer = ask(tmp_path, text, "2001:db8:2::2:22", "2001:db8:1::1")
    assert answer.reason.advice == (
        "To decide it, ask again with the output of `ip addr`, or with --to host if it is one,"
        " and the output of ip6tables-save -c."
    )


def test_one_undecided_match_is_a_sentence_with_its_rule(tmp_path: Path) -> None:
    lines = as_text(ask(tmp_path, LIMITED, "host:22")).splitlines()
    assert lines[2].startswith("It depends on whether the rate limit")
    assert lines[3].startswith("Depends on   filter INPUT rule 1 (line 5):")
    assert lines[6].startswith("ACCEPT  if filter INPUT rule 1 (")
    assert not any(line.startswith("Decided by") for line in lines)


def test_the_json_says_which_packet_a_decision_is_about_and_what_it_says(tmp_path: Path) -> None:
    out = ask(tmp_path, THREE, "10.2.2.2:80").as_json()
    assert {
        (one["chain"], one["direction"], one["what"])
        for branch in out["branches"]
        for one in branch["decided"]
    } == {
        (chain, direction, what)
        for chain in ("OWN", "DOCKER-USER", "DOCKER-FORWARD")
        for direction in ("original", "reply")
        for what in ("lets it continue", "accepts it")
    }


def test_what_accepts_comes_first(tmp_path: Path) -> None:
    text = THREE.replace("policy ACCEPT", "policy DROP").splitlines(keepends=True)
    answer = ask(tmp_path, "".join([*text[:3], text[-1]]), "10.2.2.2")
    assert texts(answer) == [
        "ACCEPT if the rest of filter DOCKER-FORWARD accepts it and its reply",
        "DROP otherwise",
    ]


def test_of_too_many_conditions_only_the_verdicts_are_listed(tmp_path: Path) -> None:
    """The rules alternate, so each needs a condition of its own: ten are more than one reads."""
    rules = "".join(
        f"-A INPUT -p tcp -m limit --limit {number}/min -j {target}\n"
        for number, target in enumerate(["ACCEPT", "REJECT --reject-with tcp-reset"] * 5, 1)
    )
    answer = ask(tmp_path, LIMITED.replace("-A INPUT", f"{rules}-A INPUT"), "host:22")
    shown = outcome_list(answer.branches)
    assert shown.is_cut
    assert {outcome.verdict: len(outcome.branches) for outcome, _ in shown.rows} == dict(
        Counter(branch.verdict for branch in answer.branches)
    )
    lines = as_text(answer).splitlines()
    accepted = sum(branch.verdict == "ACCEPT" for branch in answer.branches)
    assert f"ACCEPT  on {accepted} of {len(answer.branches)} branches" in lines
    assert "There are too many conditions to list them; --json has all branches." in lines
