"""Answers about many addresses: `internet` and networks. The packet walk of single addresses is the judge."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.address_sets import AddressSet
from iptsim.addresses import Family, address_text, parse_address
from iptsim.asking import MOST_WALKS, ask
from iptsim.cli import main
from iptsim.errors import UsageError
from iptsim.explanation import Explanation
from iptsim.host.model import Host
from iptsim.question.model import Question
from tests.netfilter.test_outside import host_with

HOSTS = Path(__file__).parents[2] / "fixtures/captures/hosts"
ICC_OFF = HOSTS.parent / "docker-28.5/icc-off"


def classes_of(answer: Explanation) -> dict[str, str]:
    """Return the verdict by the first range of each class, and that of the rest."""
    return {
        "rest" if one.is_rest else next(one.addresses.texts()): one.explanation.verdict
        for one in answer.classes
    }


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["INPUT -s 198.51.100.7/32 -j DROP"], {"198.51.100.7": "DROP", "rest": "ACCEPT"}),
        (["INPUT ! -s 198.51.100.0/24 -j DROP"], {"198.51.100.0/24": "ACCEPT", "rest": "DROP"}),
        (
            ["INPUT -m iprange --src-range 198.51.100.1-198.51.100.9 -j DROP"],
            {"198.51.100.1-198.51.100.9": "DROP", "rest": "ACCEPT"},
        ),
        # an address that only the second rule treats otherwise
        (
            ["INPUT -s 8.8.8.8/32 -j ACCEPT", "INPUT -s 8.8.8.0/24 -j DROP"],
            {"8.8.8.8": "ACCEPT", "8.8.8.0/29": "DROP", "rest": "ACCEPT"},
        ),
        # the reply goes to the source
        (["OUTPUT -d 8.8.8.0/24 -j DROP"], {"8.8.8.0/24": "DROP", "rest": "ACCEPT"}),
        # a chain for some addresses, which leaves to the caller what it does not decide
        (
            ["INPUT -s 8.8.0.0/16 -j GOOGLE", "GOOGLE -s 8.8.4.4/32 -j RETURN", "GOOGLE -j REJECT"],
            {"8.8.0.0-8.8.4.3": "REJECT", "rest": "ACCEPT"},
        ),
        # alike: another port, a rule that decides nothing, private addresses, a rule that is never reached
        (["INPUT -s 8.8.8.8/32 -p tcp -m tcp --dport 80 -j DROP"], {}),
        (["INPUT -s 8.8.8.8/32 -j LOG"], {}),
        (["INPUT -s 10.0.0.0/8 -j DROP"], {}),
        (["INPUT -j DROP", "INPUT -s 8.8.8.8/32 -j ACCEPT"], {}),
    ],
)
def test_internet(rules: list[str], expected: dict[str, str]) -> None:
    answer = iptsim.explain(named(rules), "internet", "host:22")
    assert classes_of(answer) == expected
    if expected:
        assert (answer.verdict, answer.reason.code) == ("DEPENDS", "depends-on-source")
        assert (answer.sender, answer.trace.legs[0].verdict) == ("internet", expected["rest"])


def named(rules: list[str], **more: Any) -> Host:
    host = host_with(**more)
    chains = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:GOOGLE - [0:0]\n"
    text = f"*filter\n{chains}" + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n"
    host.rulesets = {4: iptsim.loads(text)}
    return host


@pytest.mark.parametrize("name", ["fail2ban", "firewalld", "ufw", "ferm", "kube", "ufw-docker-28.5"])
@pytest.mark.parametrize(("proto", "port"), [("tcp", 22), ("tcp", 80), ("udp", 53)])
def test_every_address_is_treated_as_its_class(name: str, proto: str, port: int) -> None:
    """Addresses inside classes and at their edges, walked one by one."""
    host = iptsim.load_host(HOSTS / name)
    answer = iptsim.explain(host, "internet", "host", proto=proto, dport=port)
    dice = random.Random(name)
    for one in answer.classes:
        spans = one.addresses.spans
        edges = {end for span in spans[:20] + spans[-20:] for end in span}
        for address in edges | {dice.randint(*dice.choice(spans)) for _ in range(10)}:
            single = Question(sender=address_text(4, address), to="host", proto=proto, dport=port)
            assert ask(host, single).verdict == one.explanation.verdict, address_text(4, address)


def test_classes_of_the_jails_of_fail2ban() -> None:
    """The chains and the set as fail2ban wrote them: see ipset-save.txt and iptables-save.txt of the capture."""
    out = iptsim.explain(HOSTS / "fail2ban", "internet", "host:80").as_json()
    assert [one["addresses"] for one in out["classes"][:-1]] == [
        ["168.95.1.1"],
        ["198.51.100.66", "203.0.113.99"],
    ]
    assert out["classes"][1]["reason"]["rule"]["chain"] == "INPUT"
    assert out["reason"]["text"].endswith("203.0.113.99; ACCEPT for all other addresses.")


def test_witnesses_are_packets_of_their_class() -> None:
    host = iptsim.load_host(HOSTS / "firewalld")
    for one in iptsim.explain(host, "internet", "host:22").classes:
        witness = one.as_json()["witness"]
        answer = ask(host, Question(**witness))
        assert (answer.verdict, answer.reason.code) == (one.explanation.verdict, one.explanation.reason.code)
        assert parse_address(witness["from"])[1] in one.addresses


def test_a_network_is_all_its_machines() -> None:
    """The two containers, the bridge's own address and the rest; a broadcast address is no machine's."""
    answer = iptsim.explain(ICC_OFF, "172.17.0.0/16", "web:80")
    assert answer.sender == "172.17.0.0/16"
    assert {next(one.addresses.texts()): one.explanation.verdict for one in answer.classes} == {
        "172.17.0.1": "ACCEPT",
        "172.17.0.2": "ACCEPT",
        "172.17.0.0": "DROP",
    }


def test_a_network_as_destination() -> None:
    answer = iptsim.explain(ICC_OFF, "client", "172.17.0.0/16:80")
    assert (answer.verdict, answer.reason.code) == ("DEPENDS", "depends-on-destination")


def test_an_end_with_all_its_addresses_in_a_class_is_named() -> None:
    """Nothing depends on the source: all of the internet reaches the bridge's own address."""
    answer = iptsim.explain(ICC_OFF, "internet", "172.17.0.0/16:80")
    assert str(answer.reason.text) == (
        "It depends on the destination: ACCEPT for internet to 172.17.0.1; DROP for all other addresses."
    )


def test_ipv6() -> None:
    host = host_with("INPUT -s 2a00::/16 -j DROP", family=6)
    answer = iptsim.explain(host, "internet", "[2001:db8:2::10]:22")
    assert classes_of(answer) == {"2a00::/16": "DROP", "rest": "ACCEPT"}


def test_a_long_blocklist_is_one_class() -> None:
    """Rules that differ in the address alone are walked once: one walk for the list, one for the rest."""
    banned = [f"INPUT -s 77.{number >> 8}.{number & 255}.9/32 -j DROP" for number in range(5000)]
    answer = iptsim.explain(
        named([*banned, "INPUT -p tcp -m tcp --dport 22 -j ACCEPT"]), "internet", "host:22"
    )
    (blocked, rest) = answer.classes
    assert (blocked.addresses.size, rest.is_rest) == (5000, True)


def test_more_cases_than_the_limit_are_not_checked_and_said_so() -> None:
    cases = [
        f"INPUT -s 77.0.0.{number}/32 -p tcp -m tcp --dport {1 + number % 2}:22 -j DROP"
        for number in range(1, MOST_WALKS + 10)
    ]
    answer = iptsim.explain(named(cases), "internet", "host:22")
    assert answer.verdict == "DEPENDS"
    assert "not checked" in answer.reason.text
    assert not any(one.is_rest for one in answer.classes)


def test_cases_of_long_chains_are_fewer_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that no rule names passes all thirty: the third walk is the last."""
    monkeypatch.setattr("iptsim.asking._MOST_EVALUATED", 70)
    cases = [
        f"INPUT -s 77.0.0.{number}/32 -p tcp -m tcp --dport {1 + number % 2}:22 -j DROP"
        for number in range(30)
    ]
    answer = iptsim.explain(named(cases), "internet", "host:22")
    assert "not checked" in answer.reason.text
    assert 1 < len(answer.classes) < 30


def test_rules_on_private_addresses_are_pointed_out() -> None:
    answer = iptsim.explain(named(["INPUT -s 10.0.0.0/8 -j ACCEPT", "INPUT -j DROP"]), "internet", "host:22")
    assert answer.verdict == "DROP"
    assert "rules treat private ones differently: filter INPUT 1 (-s 10.0.0.0/8)." in str(answer)


def test_where_a_rule_is_not_data_others_are_not_promised_the_same() -> None:
    """u32 reads the source from the header: offset 12."""
    host = named(['INPUT -m u32 --u32 "0xc=0x08080808" -j DROP'])
    assert "may be treated differently by filter INPUT 1" in str(iptsim.explain(host, "internet", "host:22"))


@pytest.mark.parametrize(
    ("rules", "holds"),
    [
        (["INPUT -s 8.8.8.8/32 -j DROP", "INPUT -j DROP"], {"drop", "closed"}),
        (["INPUT -s 8.8.8.8/32 -j DROP"], {"depends"}),
        (["INPUT -s 8.8.8.8/32 -j DROP", "INPUT -j REJECT"], {"depends", "closed"}),
    ],
)
def test_an_expectation_holds_for_all(rules: list[str], holds: set[str], tmp_path: Path) -> None:
    source = tmp_path / "rules"
    source.write_text("*filter\n:INPUT ACCEPT\n" + "".join(f"-A {rule}\n" for rule in rules) + "COMMIT\n")
    for word in ("accept", "drop", "reject", "depends", "open", "closed"):
        asked = ["explain", str(source), "--from", "internet", "--to", "host:22", "-q", "--expect", word]
        assert main(asked) == (0 if word in holds else 1)


def test_batch_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = tmp_path / "lines"
    lines.write_text('{"id": 1, "from": "internet", "to": "host:22", "expect": "accept"}\n')
    assert main(["explain", str(HOSTS / "fail2ban"), "--batch", str(lines), "--json"]) == 1
    out = json.loads(capsys.readouterr().out)
    assert (out["id"], out["verdict"], len(out["classes"])) == (1, "DEPENDS", 3)


def test_a_command_about_one_packet_asks_for_one_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whatif", str(ICC_OFF), "--icc=true", "--from", "10.0.0.0/8", "--to", "web:80"]) == 2
    assert "10.0.0.0/8 covers many addresses; give one of them here" in capsys.readouterr().err
    with pytest.raises(UsageError):
        iptsim.explain(ICC_OFF, "10.0.0.0/33", "web:80")


@pytest.mark.parametrize("family", [4, 6])
def test_sets_of_addresses_are_like_sets_of_numbers(family: Family) -> None:
    dice = random.Random(family)
    everything = set(range(64))
    for _ in range(300):
        spans = [
            [tuple(sorted((dice.randrange(64), dice.randrange(64)))) for _ in range(dice.randrange(5))]
            for _ in range(2)
        ]
        one, two = (AddressSet.of(family, some) for some in spans)  # type: ignore[arg-type]
        first, second = ({n for low, high in some for n in range(low, high + 1)} for some in spans)
        for made, wanted in (
            (one | two, first | second),
            (one & two, first & second),
            (one - two, first - second),
            (~one & AddressSet.of(family, [(0, 63)]), everything - first),
        ):
            assert {n for n in range(64) if n in made} == wanted
            assert made.size == len(wanted)
            assert all(
                low > high + 1 for (_, high), (low, _) in zip(made.spans, made.spans[1:], strict=False)
            )
        assert (one <= two) is (first <= second)
