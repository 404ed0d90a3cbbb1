"""A host whose IPv6 rules have no DOCKER-USER, although Docker writes IPv6 rules."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.findings.docker_user import CHAIN
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.docker import is_dockers


def missing(scene: Scene) -> Iterator[Finding]:
    """Find IPv6 rules of Docker without DOCKER-USER, unless the IPv4 rules show that it is not used.

    dockerd did not create the chain for IPv6 at first (https://github.com/docker/for-linux/issues/1248).
    """
    if 6 not in scene.families or not scene.shows(6, "filter", "FORWARD"):
        return
    if CHAIN in scene.table(6, "filter").chains:
        return
    of_docker = [
        rule
        for rule in scene.rules(6, "filter", "FORWARD")
        if rule.jump is not None and rule.jump.chain in DOCKER_CHAINS
    ]
    own = [rule for rule in scene.rules(4, "filter", CHAIN) if not is_dockers(rule)]
    # dockerd writes IPv6 rules since 20.10, without DOCKER-ISOLATION: such are docker-ipv6nat's
    if any(rule.jump is not None and rule.jump.chain == "DOCKER-ISOLATION" for rule in of_docker):
        return
    if not of_docker or (4 in scene.families and not own):
        return
    yield Finding(
        "docker-user-not-ipv6",
        message("Docker's rules have no chain DOCKER-USER."),
        (
            Evidence("ip6tables filter FORWARD", message("no rule jumps to {chain}", chain=CHAIN)),
            of_rule(of_docker[0]),
            *map(of_rule, own[:SHOWN]),
        ),
        message(
            "Older versions of dockerd create the chain for IPv4 only: rules there do not apply to IPv6, and ip6tables"
            " refuses to add any."
        ),
        message(
            "ip6tables -N {chain}; ip6tables -I FORWARD -j {chain}; then add the rules there, too. Newer versions of"
            " Docker create the chain.",
            chain=CHAIN,
        ),
        None,
        6,
        (f"ip6tables -N {CHAIN}", f"ip6tables -I FORWARD -j {CHAIN}"),
    )
