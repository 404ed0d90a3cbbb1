"""Remedies are tried on the host before they are shown, and so are the things they name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import iptsim
from iptsim.findings.remedy import mends, outcome, tried
from iptsim.findings.scene import Scene
from tests.thoroughness import every_nth

FIXTURES = Path(__file__).parents[2] / "fixtures"
HOSTS = every_nth(sorted(path.parent for path in FIXTURES.rglob("iptables-save.txt")), 4)


@pytest.mark.parametrize("directory", HOSTS, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_remedies_turn_around_what_happens_to_the_packet(directory: Path) -> None:
    host = iptsim.load_host(directory)
    scene = Scene(host)
    for finding in iptsim.lint(host):
        if finding.commands and finding.shown is not None:
            after = outcome(scene, finding.family, finding.commands, finding.shown)
            assert after is not None, finding.remedy
            assert mends(finding.shown, after), finding.remedy


def test_both_directions_of_another_bridge_are_let_through() -> None:
    """LXD beside Docker: the guests' packets fall to the policy, and so do the replies."""
    host = iptsim.load_host(FIXTURES / "questions/forward-drop")
    (finding,) = [one for one in iptsim.lint(host) if one.code == "forward-drop-hits-others"]
    assert "-i lxdbr0 -o eth0 -j ACCEPT" in str(finding.remedy)
    assert "-i eth0 -o lxdbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT" in str(finding.remedy)


def test_only_the_direction_that_is_blocked_gets_a_rule() -> None:
    """Where the request gets through, only the reply falls to the policy (it leaves by the guest's own bridge)."""
    host = iptsim.load_host(FIXTURES / "questions/forward-drop")
    rules = host.rulesets[4]
    request = iptsim.loads(
        "*filter\n-I FORWARD -i lxdbr0 -j ACCEPT\nCOMMIT\n", onto=rules
    )  # a rule for one direction, as people write it
    host.rulesets = {4: request}
    (finding,) = [one for one in iptsim.lint(host) if one.code == "forward-drop-hits-others"]
    assert "-i lxdbr0 -o lxdbr0" not in str(finding.remedy)
    assert "-i lxdbr0 -o eth0" not in str(finding.remedy)
    assert "-i eth0 -o lxdbr0 -m conntrack" in str(finding.remedy)


def test_rules_that_a_cut_text_lacks_are_not_behind_the_return(tmp_path: Path) -> None:
    path = tmp_path / "cut.txt"
    text = (FIXTURES / "captures/docker-26.1/published/iptables-save.txt").read_text()
    filter_ = text[text.index("*filter") :]
    path.write_text(filter_[: filter_.index("COMMIT")])
    assert not [one for one in iptsim.lint(path) if one.code == "docker-user-after-return"]


def test_all_rules_behind_the_return_are_moved_in_their_order() -> None:
    host = iptsim.load_host(FIXTURES / "captures/docker-26.1/published")
    lines = "".join(f"-A DOCKER-USER -p tcp -m tcp --dport {port} -j DROP\n" for port in (1, 2, 80))
    host.rulesets = {**host.rulesets, 4: iptsim.loads(f"*filter\n{lines}COMMIT\n", onto=host.rulesets[4])}
    (finding,) = [one for one in iptsim.lint(host) if one.code == "docker-user-after-return"]
    scene = Scene(host)
    after = scene.after(4, finding.commands)
    assert after is not None
    rules = after.host.rulesets[4].chain("filter", "DOCKER-USER")
    assert rules is not None
    assert [rule.text.split()[-3:] for rule in rules.rules] == [
        ["1", "-j", "DROP"], ["2", "-j", "DROP"], ["80", "-j", "DROP"], ["DOCKER-USER", "-j", "RETURN"]
    ]  # fmt: skip


def test_a_remedy_that_does_not_help_is_not_told_as_one() -> None:
    host = iptsim.load_host(FIXTURES / "questions/docker-user-skipped")
    (finding,) = [one for one in iptsim.lint(host) if one.code == "docker-user-not-asked"]
    useless = replace(finding, commands=("iptables -A INPUT -j ACCEPT",))
    assert str(tried(Scene(host), useless).remedy).startswith(
        "The usual remedy does not help here (iptables -A"
    )
    broken = replace(finding, commands=("iptables -A NOWHERE -j ACCEPT",))
    assert "the commands fail" in str(tried(Scene(host), broken).remedy)
