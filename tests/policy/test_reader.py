"""Policies as they are read, and what is wrong with others: line, column, the nearest word."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.errors import CaptureError, FileSyntaxError
from iptsim.policy.model import Policy
from iptsim.policy.reader import parse_policy, parse_service, read_policy

POLICY = """\
groups:
  office: [192.0.2.0/24, '2001:db8::/32']
  admins: [office, 10.1.2.3]
expectations:
  - {from: internet, to: host, ports: [80, https, 53/udp, 8000-8100, icmp], expect: open}
  - name: shell
    from: admins
    to: [web, db@back]
    ports: ssh
    expect: accept
    severity: low
    because: "they need it"
defaults:
  - {from: internet, expect: closed}
  - {expect: drop}
"""


def policy() -> Policy:
    return parse_policy(POLICY, "p.yaml")


def test_what_a_policy_says() -> None:
    public, shell, closed, dropped = policy().expectations
    assert public.name == "internet → host 80, https, 53/udp, 8000-8100, icmp: open"
    assert " ".join(map(str, public.services)) == "80/tcp 443/tcp 53/udp 8000-8100/tcp icmp"
    assert [member.text for member in shell.senders] == ["192.0.2.0/24", "2001:db8::/32", "10.1.2.3"]
    assert [member.text for member in shell.targets] == ["web", "db@back"]
    assert (shell.severity, shell.because, str(shell.services[0])) == ("low", "they need it", "22/tcp")
    assert [one.is_default for one in (public, shell, closed, dropped)] == [False, False, True, True]
    assert (closed.name, dropped.name) == ("internet → any: closed", "any → any: drop")


def test_ranges_of_addresses_and_exceptions() -> None:
    text = "expectations: [{from: 10.0.0.1-10.0.0.4, to: '::1-::2', excluding: [22, 200/ip], expect: closed}]"
    (one,) = parse_policy(text, "p").expectations
    assert [member.text for member in one.senders] == ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]
    assert [member.text for member in one.targets] == ["::1/128", "::2/128"]
    assert (list(map(str, one.services)), list(map(str, one.excepted))) == (["any"], ["22/tcp", "200/ip"])
    assert one.name == "10.0.0.1-10.0.0.4 → ::1-::2 excluding 22, 200/ip: closed"


def test_sources_that_it_is_not_about() -> None:
    text = (
        "groups: {bad: [192.0.2.0/24, '2001:db8::/32']}\n"
        "expectations: [{from: internet, not_from: [bad, 10.0.0.0-10.0.0.2], expect: closed}]"
    )
    (one,) = parse_policy(text, "p").expectations
    assert [member.text for member in one.not_senders] == [
        "192.0.2.0/24", "2001:db8::/32", "10.0.0.0/31", "10.0.0.2/32",
    ]  # fmt: skip
    assert one.name == "internet except bad, 10.0.0.0-10.0.0.2 → any: closed"


def test_what_the_internet_must_not_reach_is_critical() -> None:
    assert [one.severity for one in policy().expectations] == ["high", "low", "critical", "high"]


def test_places_are_those_of_the_file() -> None:
    _, shell, _, _ = policy().expectations
    assert str(shell.span) == "p.yaml:6:5"
    assert str(shell.targets[1].span) == "p.yaml:8:15"
    assert str(shell.senders[0].span) == "p.yaml:2:12"


WRONG = [
    ("a: 1", "p:1:1: unknown key 'a'; choose from: schema, groups, expectations, defaults\n    a: 1\n    ^"),
    ("expectations:\n- {form: web}", "p:2:4: unknown key 'form'; choose from: name, from, not_from, to"),
    ("expectations:\n- {form: web}", "    - {form: web}\n       ^~~~\n  did you mean from?"),
    ("expectations: [{from: web}]", "p:1:16: 'expect' is missing; choose from: accept, drop"),
    ("expectations: [{expect: opn}]", "p:1:25: expect: unknown 'opn'; choose from: accept, drop"),
    ("expectations: [{expect: opn}]", "did you mean open?"),
    ("expectations: [{expect: true}]", "p:1:25: expect: unknown True"),
    ("expectations:\n- ports: [80, htp]\n  expect: open", "p:2:15: 'htp' is not a port; did you mean http?"),
    ("expectations: [{expect: open, ports: 70000}]", "p:1:38: '70000' is not a port"),
    ("expectations: [{expect: open, ports: 9-3}]", "'9-3': the first port is greater than the last"),
    ("expectations: [{expect: open, ports: 80/gre}]", "'80/gre': gre has no ports"),
    ("expectations: [{expect: open, ports: 300/icmp}]", "'300' is not a number from 0 to 255"),
    ("expectations: [{expect: open, ports: 80/tpc}]", "did you mean tcp?"),
    ("expectations: [{expect: open, ports: 80/300}]", "p:1:38: 300 is not between 0 and 255"),
    ("expectations: [{expect: open, ports: tcp/80}]", "p:1:38: 'tcp/80': the port comes first: 80/tcp"),
    (
        "expectations: [{expect: open, ports: [[80]]}]",
        "ports: [80] is neither a string nor a list of strings",
    ),
    ("expectations: [{expect: open, severity: hihg}]", "did you mean high?"),
    ("expectations: [{expect: open, from: 10.0.0.0/33}]", "p:1:37: '10.0.0.0/33' is not a network"),
    (
        "expectations: [{expect: open, from: 10.0.0.9-10.0.0.1}]",
        "p:1:37: '10.0.0.9-10.0.0.1': the first address is greater than the last",
    ),
    ("expectations: [{expect: open, from: 10.0.0.1-10.0.0.300}]", "p:1:37: "),
    ("expectations: [{expect: open, excluding: 70000}]", "p:1:42: '70000' is not a port"),
    (
        "expectations: [{expect: open, not_from: web}]",
        "p:1:41: not_from: web is neither an address nor a network",
    ),
    ("expectations: [{expect: open, ports: 300/ip}]", "'300' is not a number from 0 to 255"),
    ("expectations: [{expect: open, from: []}]", "p:1:37: from: the list is empty"),
    ("expectations: [{expect: open, from: dns}]", "p:1:37: dns can only be a destination ('to')"),
    ("expectations: [{expect: open, from: 5}]", "p:1:37: from: 5 is neither a string nor a list of strings"),
    ("expectations: [{expect: open, name: [x]}]", "name: ['x'] is not a string"),
    ("expectations: {expect: open}", "p:1:15: expectations: expected a list of expectations"),
    ("expectations: [open]", "p:1:16: expected a mapping with the key 'expect'"),
    ("expectations: []", "the policy has no expectations"),
    ("groups: [a]", "groups: expected a mapping of names to lists of networks"),
    ("groups: {a: [b], b: [a]}", "group 'a' contains itself"),
    ("groups: {host: 10.0.0.1}", "p:1:10: 'host' is an endpoint and cannot be the name of a group"),
    ("groups: {10.0.0.1: 10.0.0.1}", "'10.0.0.1' is an endpoint and cannot be the name of a group"),
    ("schema: iptsim.policy/9", "p:1:9: unknown schema 'iptsim.policy/9'; choose from: iptsim.policy/1"),
    ("", "p:1:1: a policy is a mapping with the key 'expectations'"),
    ("expectations: [", "p:2:1: not YAML: "),
    ("a: 1\na: 2", "p:2:4: duplicate key 'a'"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_with_a_policy(text: str, said: str) -> None:
    with pytest.raises(FileSyntaxError) as caught:
        parse_policy(text, "p")
    assert said in str(caught.value)


def test_groups_do_not_explode() -> None:
    """Twenty groups of ten groups each: as aliases of YAML, but by name."""
    lines = [f"  g{n}: [{', '.join(f'g{n - 1}' for _ in range(10))}]" for n in range(1, 20)]
    with pytest.raises(FileSyntaxError, match="more than 10,000 endpoints"):
        parse_policy(
            "\n".join(["groups:", "  g0: [10.0.0.1]", *lines, "defaults: [{from: g19, expect: drop}]"])
        )


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"a:\n \xff")
    with pytest.raises(CaptureError, match=r"policy\.yaml: line 2: not UTF-8"):
        read_policy(str(path))
    with pytest.raises(CaptureError, match="No such file"):
        read_policy(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "text",
    [
        "443/tcp",
        "53/udp",
        "8000-8100/tcp",
        "icmp",
        "any",
        "9/sctp",
        "gre",
        "8/icmp",
        "128/ipv6-icmp",
        "200/ip",
    ],
)
def test_services_are_written_as_they_are_read(text: str) -> None:
    assert str(parse_service(text)) == text
