"""What a text with rules of one address family says about the other one."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

FORWARD = "{} -A FORWARD -p tcp --dport 22 -j DROP\n"


def answer(tmp_path: Path, text: str, sender: str) -> str:
    path = tmp_path / "pasted.txt"
    path.write_text(text)
    return iptsim.explain(path, sender, "host:443", family=6 if ":" in sender else 4).verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("iptables -P INPUT ACCEPT\n" + FORWARD.format("ip6tables"), "DEPENDS"),
        ("iptables -A INPUT -j DROP\n" + FORWARD.format("ip6tables"), "DEPENDS"),
        ("iptables -P INPUT DROP\nip6tables -P INPUT ACCEPT\n" + FORWARD.format("ip6tables"), "ACCEPT"),
        ("iptables -P INPUT DROP\nip6tables -F\n" + FORWARD.format("ip6tables"), "ACCEPT"),
        # the commands are the same for both
        (FORWARD.format("iptables") + FORWARD.format("ip6tables"), "ACCEPT"),
    ],
)
def test_a_chain_that_commands_name_for_the_other_family_only(
    tmp_path: Path, text: str, verdict: str
) -> None:
    assert answer(tmp_path, text, "2001:db8::1") == verdict
    swapped = text.replace("ip6tables", "@").replace("iptables", "ip6tables").replace("@", "iptables")
    assert answer(tmp_path, swapped, "192.0.2.7") == verdict


LISTED = (
    "$ ip6tables -S{}\n-P FORWARD DROP\n-A FORWARD -p tcp -m tcp --dport 22 -j ACCEPT\n\nThe other one:\n\n"
)


@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
def test_a_policy_that_the_listing_of_another_chain_cannot_print(tmp_path: Path, policy: str) -> None:
    text = f"{LISTED.format(' FORWARD')}-P INPUT {policy}\n"
    assert answer(tmp_path, text, "192.0.2.7") == policy
    assert answer(tmp_path, text, "2001:db8::1") == "DEPENDS"


def test_a_policy_below_a_listing_of_all_chains_is_of_its_family(tmp_path: Path) -> None:
    text = f"{LISTED.format('')}-P INPUT DROP\n"
    assert answer(tmp_path, text, "2001:db8::1") == "DROP"
