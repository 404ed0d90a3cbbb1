"""Base chains of nftables whose rules have equivalents in iptables, ready to run."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.host.namespace import Namespace
from iptsim.host.nft_chains import NftChain
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.netfilter.program import Program


class NftProgram(NamedTuple):
    """A base chain, ready to run.

    Attributes:
        program: its table.
        base: the chain.
    """

    program: Program
    base: Chain


def with_nftables(ruleset: Ruleset, namespace: Namespace) -> Ruleset:
    """Return a ruleset with tables for the base chains of nftables that can be evaluated, and what they call."""
    if namespace.nftables is None:
        return ruleset
    tables = dict(ruleset.tables)
    for chain in namespace.nftables.chains:
        found = ruleset_of(chain, ruleset.family)
        for name, table in found.tables.items() if found is not None else ():
            # several base chains may call the same chain
            known = tables.setdefault(name, Table(name))
            for called in table.chains.values():
                known.chains.setdefault(called.name, called)
    return replace(ruleset, tables=tables)


@lru_cache(maxsize=512)
def program_of(chain: NftChain, family: Family) -> NftProgram | None:
    """Return a base chain for an address family; None if its rules are not known, or have no translation."""
    ruleset = ruleset_of(chain, family)
    if ruleset is None or chain.name is None:
        return None
    (table,) = ruleset.tables.values()
    return NftProgram(Program(ruleset), table.chains[chain.name])
