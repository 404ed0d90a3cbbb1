"""Base chains of nftables whose rules have equivalents in iptables, ready to run."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from iptsim.dump.ruleset import Chain
from iptsim.host.nft_chains import NftChain
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.netfilter.program import Program
from iptsim.packet import Family


class NftProgram(NamedTuple):
    """A base chain, ready to run.

    Attributes:
        program: its table.
        base: the chain.
    """

    program: Program
    base: Chain


@lru_cache(maxsize=512)
def program_of(chain: NftChain, family: Family) -> NftProgram | None:
    """Return a base chain for an address family; None if its rules are not known, or have no translation."""
    ruleset = ruleset_of(chain, family)
    if ruleset is None or chain.name is None:
        return None
    (table,) = ruleset.tables.values()
    return NftProgram(Program(ruleset), table.chains[chain.name])
