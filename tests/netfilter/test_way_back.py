"""Replies go back by the interface on which a packet is said to arrive, if nothing else shows what is behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
{back}-A FORWARD -i lxdbr0 -j ACCEPT
COMMIT
"""
BACK = "-A FORWARD -o lxdbr0 -j ACCEPT\n"


@pytest.mark.parametrize(("back", "verdict"), [(BACK, "ACCEPT"), ("", "DROP")])
def test_a_bridge_of_unknown_subnet(back: str, verdict: str, tmp_path: Path) -> None:
    """The rules of LXD: what comes from its bridge, and what goes there."""
    path = tmp_path / "rules"
    path.write_text(RULES.format(back=back))
    answer = iptsim.explain(path, "10.5.5.5", "internet", in_interface="lxdbr0", dport=443)
    assert answer.verdict == verdict
    assert answer.trace.legs[1].direction == "reply"
    assert any("10.5.5.5 is behind lxdbr0" in str(one) for one in answer.trace.assumptions)


def test_a_known_subnet_counts_more(tmp_path: Path) -> None:
    """The reply to a sender that is not in Docker's subnet does not go to docker0."""
    path = tmp_path / "rules"
    path.write_text(
        "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\nCOMMIT\n"
    )
    answer = iptsim.explain(path, "10.5.5.5", "internet", in_interface="docker0", dport=443)
    assert not any("is behind docker0" in str(one) for one in answer.trace.assumptions)


def test_many_senders_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text(RULES.format(back=BACK))
    host = iptsim.load_host(path)
    verdicts = {
        iptsim.explain(
            host, f"10.5.{number // 250}.{number % 250 + 1}", "internet", in_interface="lxdbr0"
        ).verdict
        for number in range(120)
    }
    assert verdicts == {"ACCEPT"}


def test_the_internet_behind_an_interface_stays_one_address(tmp_path: Path) -> None:
    """The route to it must not make another address of the internet the one in question."""
    path = tmp_path / "paste"
    path.write_text("iptables -t nat -A PREROUTING -i ppp0 -p tcp --dport 80 -j DNAT --to 10.9.0.7\n")
    shown = iptsim.explain(path, sender="internet", to="host", in_interface="ppp0", dport=80)
    assert sum("behind ppp0" in str(one) for one in shown.trace.assumptions) == 1


def test_the_whole_internet_is_behind_the_interface_where_it_arrives(tmp_path: Path) -> None:
    """Its addresses are treated alike, although the rules name another interface as the likely uplink."""
    path = tmp_path / "rules"
    path.write_text("*filter\n:INPUT DROP [0:0]\n-A INPUT -i eth1 -j ACCEPT\nCOMMIT\n")
    answer = iptsim.explain(path, "internet", "host", in_interface="eth0", dport=443)
    assert answer.verdict == "DROP"  # of the policy of INPUT


def test_questions_about_one_sender_do_not_depend_on_their_order(tmp_path: Path) -> None:
    """The bridge's own address is known from the destination, which the question before may not have had."""
    path = tmp_path / "rules"
    path.write_text("*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
    host = iptsim.load_host(path)
    for to in ("internet", "172.17.0.1"):
        answer = iptsim.explain(host, "172.17.0.2", to, in_interface="docker0", dport=5432)
    assert answer.verdict == "DROP"  # of the policy of INPUT
