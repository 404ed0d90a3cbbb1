"""Who wrote a rule, and why."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.host.model import Host
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.owners.chain_owners import BUILTIN, ChainOwners, all_makers, owners_of, scope_of
from iptsim.owners.docker import docker_role
from iptsim.owners.maker import Identity, Role, Scope


def authorship(rule: Rule, host: Host | None = None) -> tuple[str, Role | None]:
    """Return who wrote a rule and why: the program that recognises it, else the owner of its chain, else "user"."""
    ruleset = _ruleset_of(rule, host)
    scope = scope_of(ruleset, host)
    if ruleset is None:
        return _authorship(rule, scope)
    found = scope.known.get(id(rule))
    if found is None:
        found = scope.known[id(rule)] = _authorship(rule, scope)
    return found


def _authorship(rule: Rule, scope: Scope) -> tuple[str, Role | None]:
    role = docker_role(rule, scope.host)
    if role is not None:
        return "docker", role
    owners, makers = _owners_in(Identity(scope)), all_makers()
    likely = {
        owners.chain(rule.chain),
        owners.chain(rule.target.chain) if isinstance(rule.target, Jump) else "",
    }
    for maker in (*(one for one in makers if one.name in likely), *makers):
        role = maker.role(rule, scope) if maker.role is not None else None
        if role is not None:
            return maker.name, role
    owner = owners.rule(rule)
    # a rule that dockerd does not write, in a Docker chain
    return ("user" if owner == "docker" else owner), None


@lru_cache(maxsize=8)
def _owners_in(scope: Identity) -> ChainOwners:
    """Return the owners of the chains around a rule, without reading the names of all of them again."""
    return owners_of(scope.it.chains)


def explains_comments(owner: str) -> bool:
    """Return whether a program's comments only repeat the roles of its rules."""
    return any(maker.comments for maker in all_makers() if maker.name == owner)


def policy_role(host: Host, family: Family, table: str, chain: str) -> tuple[str, Role] | None:
    """Return the program that set the policy of a built-in chain, and why; None if it is unknown."""
    ruleset = host.rulesets.get(family)
    found = ruleset.chain(table, chain) if ruleset is not None else None
    if found is None:
        return None
    scope = scope_of(ruleset, host)
    if scope.chains <= BUILTIN | DOCKER_CHAINS:
        return None
    for maker in all_makers():
        role = maker.policy(found, scope) if maker.policy is not None else None
        if role is not None:
            return maker.name, role
    return None


def rulesets_of(host: Host) -> Iterator[Ruleset]:
    """Yield the rules of iptables, and those of the base chains of nftables that are evaluated."""
    yield from host.rulesets.values()
    yield from host.extra_rulesets.values()
    for chain in host.namespace.nftables.chains if host.namespace.nftables is not None else ():
        for family, _ in chain.rules:
            ruleset = ruleset_of(chain, family)
            if ruleset is not None:
                yield ruleset


def _ruleset_of(rule: Rule, host: Host | None) -> Ruleset | None:
    for ruleset in rulesets_of(host) if host is not None else ():
        chain = ruleset.chain(rule.table, rule.chain)
        if chain is not None and _has(chain, rule):
            return ruleset
    return None


def _has(chain: Chain, rule: Rule) -> bool:
    if chain.table in BUILTIN_CHAINS:
        return chain.at(rule.position) is rule
    # in nftables, alternatives of a rule have the same number
    return id(rule) in _identities(Identity(chain))


@lru_cache(maxsize=64)
def _identities(chain: Identity) -> frozenset[int]:
    """Return the identities of a chain's rules."""
    return frozenset(map(id, chain.it.rules))
