"""The fourteen questions of docs/questions.md: each answer says what the question is about.

That the page shows what the program prints is tested with the other documents.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import iptsim
from iptsim.explanation import Explanation
from iptsim.findings import Finding

ROOT = Path(__file__).parent.parent
CAPTURES, QUESTIONS = ROOT / "fixtures/captures", ROOT / "fixtures/questions"


def ask(host: Path, sender: str, to: str, **fields: object) -> Explanation:
    return iptsim.explain(host, sender, to, **fields)  # type: ignore[arg-type]


def find(host: Path, code: str) -> Finding:
    found = [finding for finding in iptsim.lint(host) if finding.code == code]
    assert len(found) == 1
    return found[0]


def hooks(answer: Explanation) -> list[str]:
    """The hooks that the request passes, each once."""
    return list(dict.fromkeys(step.hook for step in answer.trace.legs[0].steps))


def test_1_ufw_is_never_asked() -> None:
    host = CAPTURES / "hosts/ufw-docker-28.5"
    answer = ask(host, "internet", "host:8080")
    assert answer.verdict == "ACCEPT"
    assert hooks(answer) == ["PREROUTING", "FORWARD", "POSTROUTING"]
    assert "the rules in INPUT (ufw) do not see it" in answer.reason.text
    finding = find(host, "firewall-bypassed")
    assert "ufw" in str(finding.title)
    assert "--ctorigdstport 8080" in str(finding.remedy)


def test_2_icc_off_needs_bridge_nf() -> None:
    finding = find(CAPTURES / "docker-28.5/bridge-nf-off", "icc-off-not-enforced")
    assert finding.shown is not None
    assert finding.shown.reason.code == "bypasses-iptables"
    assert "filter DOCKER-FORWARD rule 4, would apply" in finding.shown.reason.text
    assert "only with bridge-nf-call-iptables=1" in finding.shown.reason.text


def test_3_link_rules_come_before_the_drop() -> None:
    host = CAPTURES / "docker-28.5/icc-off-link"
    assert ask(host, "client", "web:81").reason.code == "icc-disabled"
    answer = ask(host, "client", "web:80")
    assert answer.reason.code == "link"
    assert "precedes the DROP (DOCKER-FORWARD rule 4)" in answer.reason.text
    assert "accepts the reply" in answer.reason.text


def test_4_the_policy_drops_other_guests() -> None:
    host = QUESTIONS / "forward-drop"
    answer = ask(host, "10.84.0.2", "internet:443")
    assert (answer.verdict, answer.reason.code) == ("DROP", "policy-drop")
    assert "Docker sets this policy" in answer.reason.text
    assert "lxdbr0" in str(find(host, "forward-drop-hits-others").title)


def test_5_host_port_and_answers_in_docker_user() -> None:
    assert ask(QUESTIONS / "host-port", "internet", "host:8080").verdict == "ACCEPT"
    finding = find(QUESTIONS / "host-port", "docker-user-host-port")
    assert "after DNAT the packet has the container's port 80" in str(finding.title)
    assert "--ctorigdstport 8080 --ctdir ORIGINAL" in str(finding.remedy)
    finding = find(QUESTIONS / "lost-replies", "docker-user-blocks-replies")
    assert "--ctstate RELATED,ESTABLISHED" in str(finding.remedy)
    assert ask(QUESTIONS / "lost-replies", "client", "internet:443").reason.code == "reply-dropped"


def test_6_docker_user_is_skipped_or_late() -> None:
    for name, code in (("skipped", "docker-user-not-asked"), ("late", "docker-user-late")):
        finding = find(QUESTIONS / f"docker-user-{name}", code)
        assert finding.shown is not None
        assert finding.shown.verdict == "ACCEPT"
        assert str(finding.remedy).count("-I FORWARD -j DOCKER-USER") == 1


def test_7_one_packet_with_and_without_br_netfilter() -> None:
    seen = ask(CAPTURES / "docker-28.5/icc-off", "client", "web:80")
    unseen = ask(CAPTURES / "docker-28.5/bridge-nf-off", "client", "web:80")
    assert (seen.verdict, hooks(seen)) == ("DROP", ["PREROUTING", "FORWARD"])
    assert (unseen.verdict, hooks(unseen)) == ("ACCEPT", ["BRIDGE"])


def test_8_isolation_by_the_host_address() -> None:
    by_proxy = ask(CAPTURES / "docker-20.10/two-networks", "db", "host:8080")
    assert (by_proxy.verdict, by_proxy.reason.code) == ("ACCEPT", "docker-proxy")
    answer = ask(QUESTIONS / "two-networks-no-proxy", "db", "host:8080")
    assert (answer.verdict, answer.reason.code) == ("DROP", "isolated-networks")
    assert [step.verdict for step in answer.trace.legs[0].steps if step.verdict == "DNAT"] == ["DNAT"]


def test_9_the_host_itself_is_input() -> None:
    answer = ask(CAPTURES / "docker-28.5/host-firewall", "client", "host:3306")
    assert answer.verdict == "REJECT"
    assert hooks(answer) == ["PREROUTING", "INPUT"]
    assert "so INPUT decides, not FORWARD or DOCKER-USER" in answer.reason.text


def test_10_who_carries_it() -> None:
    proxied, direct = CAPTURES / "docker-28.5/published", CAPTURES / "docker-28.5/published-no-proxy"
    assert "web sees 198.51.100.7 as its client" in ask(proxied, "internet", "host:8080").reason.text
    assert ask(proxied, "web", "host:8080").reason.code == "docker-proxy"
    answer = ask(direct, "web", "host:8080")
    assert answer.reason.code == "published-port"
    assert "MASQUERADE" in [step.verdict for step in answer.trace.legs[0].steps]
    rules_alone = ask(proxied / "iptables-save.txt", "172.17.0.3", "host:8080")
    assert "where docker-proxy listens and opens a second connection" in rules_alone.reason.text


def test_11_loopback_and_direct_routing() -> None:
    finding = find(CAPTURES / "docker-20.10/published", "loopback-port-reachable")
    assert finding.shown is not None
    assert finding.shown.verdict == "ACCEPT"
    answer = ask(CAPTURES / "docker-28.5/published", "192.0.2.20", "web:81")
    assert (answer.verdict, answer.reason.code) == ("DROP", "direct-route-drop")
    assert [(step.table, step.verdict) for step in answer.trace.legs[0].steps] == [("raw", "DROP")]


def test_12_ipv6_has_no_rules() -> None:
    host = QUESTIONS / "ipv6-unfiltered"
    assert ask(host, "192.0.2.20", "web:81").verdict == "DROP"
    assert ask(host, "2001:db8:2::20", "web:81", family=6).verdict == "ACCEPT"
    assert find(host, "ipv6-open").family == 6
    assert find(CAPTURES / "docker-28.5/host-firewall", "ipv6-open").family == 6


def test_13_both_backends_are_asked() -> None:
    host = QUESTIONS / "two-backends"
    answer = ask(host, "internet", "host:8080")
    assert answer.verdict == "DROP"
    assert answer.reason.step is not None
    assert answer.reason.step.backend == "legacy"
    assert "a packet passes both" in answer.reason.text
    assert len(find(host, "mixed-backends").evidence) == 2


def test_14_what_a_flush_took_away() -> None:
    finding = find(QUESTIONS / "flushed", "docker-rules-flushed")
    told = "\n".join(str(item.text) for item in finding.evidence)
    for missing in ("jumps to DOCKER\n", "jumps to DOCKER-FORWARD", "MASQUERADE", "-o docker0 -j DROP"):
        assert missing in told
    assert finding.shown is not None
    assert finding.shown.verdict == "DROP"


def test_every_question_has_a_heading_and_an_answer() -> None:
    page = (ROOT / "docs/questions.md").read_text("utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert [int(section.split(".")[0]) for section in sections] == list(range(1, 15))
    assert all("\n$ iptsim " in section for section in sections)


@pytest.mark.parametrize("directory", sorted(QUESTIONS.iterdir()), ids=lambda path: path.name)
def test_every_host_made_for_a_question_is_used_and_described(directory: Path) -> None:
    assert f"fixtures/questions/{directory.name}" in (ROOT / "docs/questions.md").read_text("utf-8")
    assert f"| `{directory.name}` |" in (ROOT / "fixtures/README.md").read_text("utf-8")
