"""Recognises Docker's rules in a dump: a rule that matches a template in its chain is Docker's."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import cache, lru_cache

from iptsim.docker.dockerd import generation_20_10, nft_templates
from iptsim.docker.dockerd.generations import LAYOUTS
from iptsim.docker.dockerd.templates import RuleTemplate, append
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.host.docker_defaults import NFT_TABLE, OWN_BRIDGES

#: Rules of engines before 20.10 and of 28.0. Sources: libnetwork 0.8 to 17.09 (DOCKER-ISOLATION), moby v28.0.0
#: (ipsets of bridges).
OTHERS = (
    append("filter FORWARD", "-j DOCKER-ISOLATION"),
    append("filter DOCKER-ISOLATION", "-i {bridge} -o {other} -j DROP", role="isolation"),
    append("filter DOCKER-ISOLATION", "! -d {subnet} -i {bridge} -j DROP", role="internal"),
    append("filter DOCKER-ISOLATION", "! -s {subnet} -o {bridge} -j DROP", role="internal"),
    append("filter DOCKER-ISOLATION", "-j RETURN"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v4 dst -j DOCKER"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v6 dst -j DOCKER"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v4 dst -m conntrack "
           "--ctstate RELATED,ESTABLISHED -j ACCEPT", role="answers"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v6 dst -m conntrack "
           "--ctstate RELATED,ESTABLISHED -j ACCEPT", role="answers"),
    append("filter FORWARD", "-i {bridge} -j ACCEPT", role="outgoing"),
    append("filter FORWARD", "-j DOCKER-FORWARD"),
)  # fmt: skip
#: The rules of links before Docker 1.6, which had no chain in the filter table. Source: LinkContainers of 1.0.
LINKS_IN_FORWARD = tuple(replace(template, chain="FORWARD") for template in generation_20_10.LINK)
#: The chains that dockerd creates.
DOCKER_CHAINS = frozenset(
    template.chain
    for template in (*(one for layout in LAYOUTS.values() for one in layout.templates()), *OTHERS)
    if template.chain.startswith("DOCKER")
)
#: Names that Docker or its users usually give to bridges.
_BRIDGES = re.compile(r"docker[0-9]+|docker_gwbridge|br-.+")


@cache
def _facts(table: str, chain: str, generation: str | None) -> tuple[RuleTemplate, ...]:
    """Return the templates of all generations for a chain: those of `generation` first, then the newest."""
    newest_first = list(LAYOUTS.values())[::-1]
    layouts = sorted(newest_first, key=lambda layout: layout.name != generation)
    known = [template for layout in layouts for template in layout.templates()]
    found = [template for template in (*known, *OTHERS) if (template.table, template.chain) == (table, chain)]
    return tuple({template.text: template for template in found[::-1]}.values())[::-1]


def template_of(rule: Rule, generation: str | None = None) -> tuple[RuleTemplate, dict[str, str]] | None:
    """Return the template that a rule matches and the values in its placeholders; None if Docker did not write it.

    Args:
        rule: the rule.
        generation: preferred if templates of several generations match; None: the newest.
    """
    if rule.table.partition(" ")[2] == NFT_TABLE:
        return _nft_template(rule.chain, rule.specification)
    return _template(rule.table, rule.chain, rule.specification, generation)


@lru_cache(maxsize=1 << 14)
def _template(
    table: str, chain: str, text: str, generation: str | None
) -> tuple[RuleTemplate, dict[str, str]] | None:
    return _first(_facts(table, chain, generation), text)


def link_template(rule: Rule) -> tuple[RuleTemplate, dict[str, str]] | None:
    """Return the same for a rule of a link in FORWARD, where Docker wrote them before it had a chain for them."""
    is_there = (rule.table, rule.chain) == ("filter", "FORWARD")
    return _first(LINKS_IN_FORWARD, rule.specification) if is_there else None


def _first(templates: Iterable[RuleTemplate], text: str) -> tuple[RuleTemplate, dict[str, str]] | None:
    for template in templates:
        if (found := template.match(text)) is not None:
            return template, found.groupdict()
    return None


@lru_cache(maxsize=1 << 14)
def _nft_template(name: str, text: str) -> tuple[RuleTemplate, dict[str, str]] | None:
    """Find the template of a rule in table docker-bridges; a chain of one network names its bridge."""
    chain, bridge = nft_templates.chain_of(name)
    for template in nft_templates.TEMPLATES:
        found = template.match(text) if template.chain == chain else None
        if found is not None:
            return template, {"bridge": bridge, **found.groupdict()}
    return None


def is_dockers(rule: Rule, bridges: Collection[str] = ()) -> bool:
    """Return whether dockerd wrote a rule, now or under other settings.

    A rule in a built-in chain that names a bridge is Docker's only if the bridge is.

    Args:
        rule: the rule.
        bridges: the bridges of Docker networks; where they are unknown, their names decide.
    """
    found = template_of(rule)
    if found is None:
        return False
    bridge = found[1].get("bridge")
    if not bridge or rule.chain.startswith("DOCKER") or rule.table not in BUILTIN_CHAINS:
        return True
    return bridge in bridges or bool((OWN_BRIDGES if bridges else _BRIDGES).fullmatch(bridge))
