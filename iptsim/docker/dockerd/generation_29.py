"""dockerd 29: the rules of 28, but only closed ports isolate networks from each other.

DOCKER-INTERNAL replaces the two isolation chains, and published ports are forwarded for packets from
another bridge as well. Source: moby's master, daemon/libnetwork/drivers/bridge/internal/iptabler.
"""

from __future__ import annotations

from dataclasses import replace

from iptsim.docker.dockerd import generation_28
from iptsim.docker.dockerd.templates import RuleTemplate

_ISOLATION, _INTERNAL = "DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"


def _renamed(template: RuleTemplate) -> RuleTemplate:
    """Return a template with DOCKER-INTERNAL instead of the first isolation chain."""
    chain = _INTERNAL if template.chain == _ISOLATION else template.chain
    return replace(template, chain=chain, text=template.text.replace(_ISOLATION, _INTERNAL))


LAYOUT = replace(
    generation_28.LAYOUT,
    name="29",
    chains=(*generation_28.LAYOUT.chains[:-2], ("filter", _INTERNAL)),
    start=tuple(map(_renamed, generation_28.START)),
    network=(
        *map(_renamed, generation_28.INTERNAL),
        *(template for template in generation_28.NAT if template.role != "own-bridge"),
        *generation_28.FORWARDING,
    ),
)
