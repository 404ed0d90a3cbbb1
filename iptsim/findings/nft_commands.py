"""What `nft add rule` and `nft insert rule` do to a host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from iptsim.host.model import Host
from iptsim.host.nft_chains import ALL_EFFECTS, NftChain, NftListed, NftListing, NftRule
from iptsim.host.nft_rules import Translator
from iptsim.paste.nft_rules import translated

_NFT = re.compile(r"nft (?P<verb>add|insert) rule (?P<family>\w+) (?P<table>\S+) (?P<chain>\S+) (?P<rule>.+)")
_FAMILIES = {"ip": 4, "ip6": 6}


def after_nft(host: Host, command: str) -> Host:
    """Return a host after `nft add rule` or `nft insert rule`; other commands have no effect."""
    found, nftables = _NFT.fullmatch(command), host.namespace.nftables
    if found is None or nftables is None:
        return host
    chains = tuple(_with_rule(chain, found) for chain in nftables.chains)
    changed = nftables.model_copy(update={"chains": chains})
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
    return base.model_copy(update={"rules": tuple(rules), "listing": listing, "effects": ALL_EFFECTS})


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
