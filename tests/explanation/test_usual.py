"""What a listing without interfaces usually means: the rule that accepts everything is for lo, the others for all."""

from __future__ import annotations

import pytest

from iptsim.asking import ask
from iptsim.host.files import Source
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question

COLUMNS = "target     prot opt source               destination\n"
WIDE = "ACCEPT     all  --  anywhere             anywhere\n"
REPLIES = "ACCEPT     all  --  anywhere             anywhere             ctstate RELATED,ESTABLISHED\n"
SSH = "ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:22\n"
LIMITED = (
    "ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:22 limit: avg 1/min burst 5\n"
)
OTHER = "ACCEPT     tcp  --  web.example          anywhere             tcp dpt:22\n"
REJECT = "REJECT     all  --  anywhere             anywhere             reject-with icmp-host-prohibited\n"
OPEN = "If filter INPUT rule 1 is for lo only, and the others are for all interfaces, as is usual: "


def advice(rules: str, chain: str = "INPUT", **question: object) -> str:
    others = "".join(
        f"\nChain {name} (policy ACCEPT)\n{COLUMNS}"
        for name in ("INPUT", "FORWARD", "OUTPUT")
        if name != chain
    )
    text = f"Chain {chain} (policy DROP)\n{COLUMNS}{rules}{others}"
    host = host_of_source(Source("pasted", {}, text.encode()))
    packet = {"sender": "198.51.100.7", "to": "host", "proto": "tcp", "dport": 22, **question}
    found = ask(host, Question(**packet))
    assert found.verdict == "DEPENDS"
    return str(found.reason.advice).partition("To decide it")[0].strip()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (WIDE + REPLIES + SSH, f"{OPEN}ACCEPT (filter INPUT rule 3)."),
        (WIDE + REPLIES + REJECT + SSH, f"{OPEN}REJECT (filter INPUT rule 3)."),
        (WIDE + REPLIES, f"{OPEN}DROP (the policy of filter INPUT)."),
        (
            REPLIES + SSH,
            "If the rules are for all interfaces, as is usual: ACCEPT (filter INPUT rule 2).",
        ),
        # only one of them would be for lo
        (WIDE + REPLIES + WIDE, ""),
        # more than the interfaces is unknown
        (WIDE + REPLIES + LIMITED, ""),
        (WIDE + REPLIES + OTHER, ""),
    ],
)
def test_the_verdict_if_the_interfaces_are_the_usual_ones(rules: str, expected: str) -> None:
    assert advice(rules) == expected


def test_what_is_forwarded_by_a_rule_that_accepts_everything() -> None:
    """Such a rule of FORWARD is for the interface of a VPN as often as for all."""
    assert advice(WIDE, "FORWARD", to="203.0.113.9", in_interface="eth1") == ""
