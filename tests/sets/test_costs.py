"""The error about sets that grow too large comes before they have."""

from __future__ import annotations

from random import Random

import pytest

from iptsim.sets.chains import Chains
from iptsim.sets.engines import EngineName
from iptsim.sets.nat_forms import swapped
from iptsim.sets.packets import union
from iptsim.sets.space import Space, TooManyNodesError
from tests.sets.test_chains import program


def random_rules(count: int) -> list[str]:
    """Rules between networks that overlap in all ways."""
    chance, found = Random(1), []
    for _ in range(count):
        ends = (
            f"{chance.randrange(256)}.{chance.randrange(256)}.0.0/{chance.randrange(2, 17)}" for _ in "sd"
        )
        port, verdict = chance.randrange(65536), chance.choice(("ACCEPT", "DROP"))
        found.append("-A FORWARD -s {} -d {}".format(*ends) + f" -p tcp -m tcp --dport {port} -j {verdict}")
    return found


def test_the_error_comes_once_the_first_rules_show_what_all_will_need() -> None:
    rules = program(*random_rules(4000))
    chains = Chains(Space(4, most_nodes=800_000, engine="oxidd"), rules)
    with pytest.raises(TooManyNodesError, match=r"filter FORWARD rule \d+.* which compare .*src") as caught:
        chains.base("filter", "FORWARD")
    assert "Leave these rules out" in str(caught.value)
    assert len(list(chains.costs)) == 500


def test_rules_that_need_as_much_as_allowed_are_not_given_up() -> None:
    # the last rules hide nothing and need little, although the first need much
    rules = program(
        *random_rules(600), *(f"-A FORWARD -d 192.0.2.{number % 256}/32 -j DROP" for number in range(900))
    )
    assert Chains(Space(4), rules).base("filter", "FORWARD").packets("ACCEPT")


@pytest.mark.parametrize("engine", ["oxidd", "python"])
def test_what_would_need_too_many_nodes_on_its_way_is_given_up_early(engine: EngineName) -> None:
    # the replies of pairs of addresses need as many nodes as the pairs, but many more on the way
    space, chance = Space(4, engine, most_nodes=100_000), Random(1)
    pairs = [space.point({side: chance.randrange(1 << 32) for side in ("src", "dst")}) for _ in range(60)]
    assert swapped(swapped(few := union(pairs[:20]))) == few
    many, before = union(pairs), space.nodes
    with pytest.raises(TooManyNodesError, match="more than 100,000 nodes"):
        swapped(many)
    # the compiled engine can't be stopped once it has begun
    assert engine == "python" or space.nodes == before
