"""Base chains of nftables that were not saved, but must exist: by the notes of iptables-save, by Docker's settings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from iptsim.addresses import Family
from iptsim.dump.ruleset import Ruleset
from iptsim.host.docker_defaults import NFT_TABLE
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.nft_chains import ALL_EFFECTS, NftChain, NftEffect, NftRuleset

#: The note of iptables-save about a table that it cannot show (iptables 1.8, xtables-save.c).
_INCOMPATIBLE = re.compile(
    r"#\s*Table [`'](?P<table>[^']+)' (?:contains incompatible base-chains|is incompatible), use 'nft' tool"
)


def hinted(rulesets: Iterable[Ruleset], daemon: DockerDaemon | None) -> NftRuleset | None:
    """Return placeholders for base chains that must exist but were not saved, or None without any hint."""
    chains = _docker_chains(daemon)
    for ruleset in rulesets:
        comments = [line for table in ruleset.tables.values() for line in table.comments]
        chains += hinted_chains([*comments, *ruleset.trailer], ruleset.family)
    return NftRuleset(chains=tuple(chains)) if chains else None


def hinted_chains(comments: Iterable[str], family: Family) -> list[NftChain]:
    """Return placeholders for the base chains that iptables-save cannot show."""
    tables = dict.fromkeys(found["table"] for line in comments if (found := _INCOMPATIBLE.match(line)))
    return [
        NftChain(family="ip" if family == 4 else "ip6", table=table, effects=ALL_EFFECTS) for table in tables
    ]


#: Docker's base chains since 29, and experimentally in 28 (moby, libnetwork/drivers/bridge/internal/nftabler).
_DOCKER: tuple[tuple[str, str, str, int, tuple[NftEffect, ...]], ...] = (
    ("raw-PREROUTING", "filter", "prerouting", -300, ("drop",)),
    ("nat-PREROUTING", "nat", "prerouting", -100, ("change",)),
    ("nat-OUTPUT", "nat", "output", -100, ("change",)),
    ("filter-FORWARD", "filter", "forward", 0, ("drop", "change")),
    ("nat-POSTROUTING", "nat", "postrouting", 100, ("change",)),
)


def _docker_chains(daemon: DockerDaemon | None) -> list[NftChain]:
    """Return the base chains of a dockerd with the nftables backend."""
    if daemon is None or not (daemon.firewall_backend or "").startswith("nftables"):
        return []
    families = ("ip",) if daemon.ip6tables is False else ("ip", "ip6")
    return [
        NftChain(
            family=family,
            table=NFT_TABLE,
            name=name,
            type=kind,
            hook=hook,
            priority=priority,
            # dockerd sets policy drop there if it enables forwarding
            policy=None if hook == "forward" else "accept",
            effects=effects,
        )
        for family in families
        for name, kind, hook, priority, effects in _DOCKER
    ]
