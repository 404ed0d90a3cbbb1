"""Base chains of nftables among those of iptables: a set says what the walk of its packets does."""

from __future__ import annotations

from random import Random

import pytest

from iptsim.host import load_host
from iptsim.sets.fates import fates
from tests.sets.hunting import CAPTURES, Maker, Report, Words, attempt, captured, compare_all
from tests.thoroughness import first_ones

KINDS = ("nft-drops-forward", "nft-input-policy", "nft-accept-is-not-enough")


@pytest.mark.parametrize(
    "capture", first_ones([f"docker-{one}/{kind}" for one in ("28.5", "20.10") for kind in KINDS], 3)
)
def test_chains_whose_rules_can_be_evaluated_leave_nothing_open(capture: str) -> None:
    found, report = fates(load_host(CAPTURES / capture)), Report()
    assert [fate.hinges for fate in found if fate.verdict == "DEPENDS"] == []
    assert compare_all(found, Random(20261129), report, 60, 2) == ""
    assert report.packets


def test_the_rule_that_blocks_is_that_of_nftables() -> None:
    host = load_host(CAPTURES / "docker-28.5" / "nft-drops-forward")
    found = fates(host, senders=["internet"], apart=True)
    places = {(one.blocked_at[1], one.blocked_at[2]) for one in found if one.verdict == "DROP"}
    assert any(str(table).startswith("inet ") or str(table).startswith("ip ") for table, _ in places)


@pytest.mark.parametrize("seed", range(4))
def test_packets_walk_as_their_set_says_between_random_chains_of_nftables(seed: int) -> None:
    name, chance, report = "docker-28.5/published", Random(f"nftables {seed}"), Report()
    maker = Maker(chance, Words.of(captured(name), 4))
    lines = ["*filter", ":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT", "COMMIT"]
    lines += [*maker.foreign(0), *maker.foreign(1)]
    assert attempt(name, 4, lines, f"nftables {seed}", report, 12) == ""
    assert report.packets
