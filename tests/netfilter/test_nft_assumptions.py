"""Assumptions about the rules of nftables."""

from __future__ import annotations

import pytest

from iptsim.errors import UsageError
from iptsim.host import Host
from tests.netfilter.hosts import ask, nft_router


def limiting() -> Host:
    """Return a router whose first rule drops what exceeds a rate."""
    limit = {"limit": {"rate": 5, "per": "second", "burst": 9, "inv": True}}
    return nft_router({"name": "f", "type": "filter", "hook": "forward", "prio": 0}, limit, {"drop": None})


@pytest.mark.parametrize(("matches", "expected"), [(True, "DROP"), (False, "ACCEPT")])
def test_a_rule_is_assumed_to_match(expected: str, *, matches: bool) -> None:
    asked = ask(limiting(), sender="10.1.0.9", to="10.2.0.9", dport=80, assume={"ip:t:f:1": matches})
    assert asked.verdict == expected


def test_what_would_decide_names_the_rule() -> None:
    (hinge,) = ask(limiting(), sender="10.1.0.9", to="10.2.0.9", dport=80).hinges[:1]
    assert str(hinge.unknown.decide) == "--assume ip:t:f:1=yes"
    assert "limit rate over 5/second burst 9 packets" in str(hinge.unknown.reason)


def test_a_rule_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="unknown rule ip:t:f:2"):
        ask(limiting(), sender="10.1.0.9", to="10.2.0.9", dport=80, assume={"ip:t:f:2": True})
