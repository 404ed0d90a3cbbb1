"""The rules that dockerd writes with nftables, as the base chains of a host."""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import FAMILIES
from iptsim.docker.dockerd.rulesets import nft_table
from iptsim.docker.model.settings import DockerHost
from iptsim.host.docker_defaults import NFT_TABLE
from iptsim.host.nft_chains import NftRuleset
from iptsim.host.nftables import RulesetEntry, read_nftables
from iptsim.paste.forms import nft
from iptsim.paste.lines import lines_of
from iptsim.paste.pieces import Facts


def with_docker(found: NftRuleset | None, docker: DockerHost) -> NftRuleset | None:
    """Return chains of nftables with those that dockerd writes for its settings, in place of those that it wrote.

    Args:
        found: the chains of the host, None if they are unknown.
        docker: the settings.
    """
    text = "".join(nft_table(docker, family) for family in FAMILIES)
    segment = nft.find(lines_of(text), 0, None) if text else None
    if found is None and segment is None:
        return None
    kept = found or NftRuleset()
    chains = [chain for chain in kept.chains if chain.table != NFT_TABLE]
    tracked = kept.tracked
    for piece in segment.pieces if segment is not None else ():
        if isinstance(piece, Facts):
            entry = RulesetEntry.model_validate_json(piece.files["nft-ruleset.json"])
            for one in entry.nftables:
                if one.rule is not None:
                    one.rule.line = 0  # it is in no file
            made = read_nftables(entry)
            chains += made.chains
            tracked |= made.tracked
    return replace(kept, chains=tuple(chains), tracked=tracked)
