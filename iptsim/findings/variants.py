"""Variants of a host: after a command, or with other rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from iptsim.addresses import Family
from iptsim.dump import loads
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.dump.tool import tool_of
from iptsim.explanation.usual import is_usually_for_lo
from iptsim.extensions.hidden import hides_interfaces, is_gap
from iptsim.host.model import Host
from iptsim.host.nft_chains import ALL_EFFECTS, NftChain, NftListed, NftListing, NftRule
from iptsim.host.nft_rules import Translator
from iptsim.owners.docker import is_dockers
from iptsim.paste.nft_rules import translated

_NFT = re.compile(r"nft (?P<verb>add|insert) rule (?P<family>\w+) (?P<table>\S+) (?P<chain>\S+) (?P<rule>.+)")
_FAMILIES = {"ip": 4, "ip6": 6}


def without_rules(name: str, ruleset: Ruleset) -> Ruleset:
    """Return a ruleset in which a table is empty."""
    table = ruleset.tables.get(name, Table(name))
    chains = {one: replace(chain, rules=[]) for one, chain in table.chains.items()}
    return replace(ruleset, tables={**ruleset.tables, name: replace(table, chains=chains)})


def without_gaps(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset without the marks of places where rules are not shown."""
    tables = {
        name: replace(
            table,
            chains={
                one: replace(chain, rules=[rule for rule in chain.rules if not is_gap(rule.target)])
                for one, chain in table.chains.items()
            },
        )
        for name, table in ruleset.tables.items()
    }
    return replace(ruleset, tables=tables)


def without_docker_in_forward(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose filter FORWARD evaluates only the rules of others."""
    filtering = ruleset.tables.get("filter") or Table("filter")
    forward = filtering.chains.get("FORWARD")
    if forward is None:
        return ruleset
    others = replace(forward, rules=[rule for rule in forward.rules if not is_dockers(rule)])
    chains = {**filtering.chains, "FORWARD": others}
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(filtering, chains=chains)})


def with_usual_interfaces(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset as people read a listing without -v, which shows no interfaces.

    A rule of INPUT that accepts everything is for lo (as is ufw's), the other rules there and in user-defined chains
    are for all interfaces.
    """
    filtering = ruleset.tables.get("filter") or Table("filter")
    chains = {
        name: replace(chain, rules=[_with_usual_interface(rule) for rule in chain.rules])
        if name not in ("FORWARD", "OUTPUT")
        else chain
        for name, chain in filtering.chains.items()
    }
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(filtering, chains=chains)})


def _with_usual_interface(rule: Rule) -> Rule:
    shown = tuple(one for one in rule.matches if not hides_interfaces(one))
    if len(shown) == len(rule.matches):
        return rule
    only: dict[str, Any] = {"in_interface": "lo"} if is_usually_for_lo(rule) else {}
    return replace(rule, matches=shown, parameters=replace(rule.parameters, **only))


def with_open_output(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose OUTPUT accepts all packets."""
    filtering = ruleset.tables.get("filter") or Table("filter")
    chains = {**filtering.chains, "OUTPUT": Chain("filter", "OUTPUT", "ACCEPT")}
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(filtering, chains=chains)})


def without_unseen_nat(host: Host) -> Host:
    """Return a host that has no other nat rules if its source shows those of nat POSTROUTING alone.

    As with tables that are not shown, problems there are not found; but others are.
    """
    rulesets = {family: _without_unseen_nat(ruleset) for family, ruleset in host.rulesets.items()}
    same = all(rulesets[family] is ruleset for family, ruleset in host.rulesets.items())
    return host if same else replace(host, rulesets=rulesets)


def _without_unseen_nat(ruleset: Ruleset) -> Ruleset:
    nat = ruleset.tables.get("nat")
    if nat is None or {rule.chain for rule in nat.rules() if not is_gap(rule.target)} != {"POSTROUTING"}:
        return ruleset
    chains = {name: chain for name, chain in nat.chains.items() if chain.declared or name == "POSTROUTING"}
    if len(chains) == len(nat.chains):
        return ruleset
    return replace(ruleset, tables={**ruleset.tables, "nat": replace(nat, chains=chains)})


def after_command(family: Family, host: Host, command: str) -> Host:
    """Return a host after a command: iptables, ip6tables, `sysctl -w` or `nft add rule`; others have no effect.

    Raises:
        IptsimError: the command fails.
    """
    program, _, rest = command.strip().partition(" ")
    if program == "sysctl":
        name, _, value = rest.removeprefix("-w ").partition("=")
        namespace = replace(host.namespace, sysctls={**host.namespace.sysctls, name: value}, cache={})
        return replace(host, namespace=namespace)
    if program == "nft":
        return _after_nft(host, command.strip())
    if program != tool_of(family):
        return host
    table = "filter"
    if rest.startswith("-t "):
        table, _, rest = rest.removeprefix("-t ").partition(" ")
    added = loads(f"*{table}\n{rest}\nCOMMIT\n", source=command, onto=host.rulesets[family])
    return replace(host, rulesets={**host.rulesets, family: added})


def _after_nft(host: Host, command: str) -> Host:
    """Return a host after `nft add rule` or `nft insert rule`; other commands have no effect."""
    found, nftables = _NFT.fullmatch(command), host.namespace.nftables
    if found is None or nftables is None:
        return host
    chains = tuple(_with_rule(chain, found) for chain in nftables.chains)
    changed = replace(nftables, chains=chains)
    return replace(host, namespace=replace(host.namespace, nftables=changed, cache={}))


def _with_rule(base: NftChain, command: re.Match[str]) -> NftChain:
    """Return a base chain with a new rule, if the command is for it or for a chain of its table."""
    name = command["chain"]
    is_of_table = (base.family, base.table) == (command["family"], command["table"])
    if not is_of_table or name not in {base.name, *(chain for chain, _ in base.listing.rules)}:
        return base
    statements = translated(command["rule"], _FAMILIES.get(base.family, 0), 0).statements
    table = Translator({name: [statements]}, {}, base.hook or "", nat=base.type == "nat")
    last = max((position for chain, position in base.listing.rules if chain == name), default=0)
    position = 1 if command["verb"] == "insert" else last + 1
    rules = []
    for family, known in base.rules:
        made = table.of(name, family)
        if made is None:
            return base
        rules.append((family, tuple(_inserted(known, [one._replace(position=position) for one in made]))))
    listed = {
        (chain, at + 1 if chain == name and at >= position else at): one
        for (chain, at), one in base.listing.rules.items()
    }
    listing = NftListing({**listed, (name, position): NftListed(command["rule"])})
    return replace(base, rules=tuple(rules), listing=listing, effects=ALL_EFFECTS)


def _inserted(known: tuple[NftRule, ...], made: list[NftRule]) -> Iterator[NftRule]:
    """Yield rules with new ones at their position."""
    if not made:
        yield from known
        return
    chain, position = made[0].chain, made[0].position
    for rule in known:
        if rule.chain == chain and rule.position >= position:
            yield from made
            made = []
            yield rule._replace(position=rule.position + 1)
        else:
            yield rule
    yield from made
