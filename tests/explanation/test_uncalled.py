"""Chains that nothing jumps to, in the reason for a policy's verdict."""

from __future__ import annotations

import iptsim

_RULES = """*filter
:INPUT {policy} [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:banned - [0:0]
{jump}-A banned -s 203.0.113.5/32 -p tcp -m tcp --dport 22 -j {target}
COMMIT
"""
_SENTENCE = "Nothing jumps to banned, so its rules have no effect."


def _reason(sender: str, *, jump: str = "", policy: str = "ACCEPT", target: str = "REJECT") -> str:
    host = iptsim.loads_host(_RULES.format(jump=jump, policy=policy, target=target))
    return iptsim.explain(host, sender, "host", dport=22).reason.text


def test_a_chain_that_would_block_the_packet() -> None:
    assert _SENTENCE in _reason("203.0.113.5")
    assert _SENTENCE not in _reason("203.0.113.6")  # no rule of it is for this sender
    assert _SENTENCE not in _reason("203.0.113.5", target="ACCEPT")  # nor would it change the verdict


def test_a_chain_that_would_accept_the_packet() -> None:
    assert _SENTENCE in _reason("203.0.113.5", policy="DROP", target="ACCEPT")


def test_a_chain_that_a_rule_jumps_to() -> None:
    assert _SENTENCE not in _reason("203.0.113.5", jump="-A INPUT -p udp -j banned\n")
