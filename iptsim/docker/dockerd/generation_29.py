"""The rules of dockerd 29: as 28's, but networks are kept apart by their closed ports alone.

DOCKER-INTERNAL takes the place of the two isolation chains, and packets from another bridge are
translated like any others. Source: moby's master, daemon/libnetwork/drivers/bridge/internal/iptabler.
"""

from __future__ import annotations

from dataclasses import replace

from iptsim.docker.dockerd import generation_28
from iptsim.docker.dockerd.templates import Fact

_ISOLATION, _INTERNAL = "DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"


def _renamed(fact: Fact) -> Fact:
    """Return a fact with DOCKER-INTERNAL in the place of the first isolation chain."""
    chain = _INTERNAL if fact.chain == _ISOLATION else fact.chain
    return replace(fact, chain=chain, text=fact.text.replace(_ISOLATION, _INTERNAL))


LAYOUT = replace(
    generation_28.LAYOUT,
    name="29",
    chains=(*generation_28.LAYOUT.chains[:-2], ("filter", _INTERNAL)),
    start=tuple(map(_renamed, generation_28.START)),
    network=(
        *map(_renamed, generation_28.INTERNAL),
        *(fact for fact in generation_28.NAT if fact.role != "own-bridge"),
        *generation_28.FORWARDING,
    ),
)
