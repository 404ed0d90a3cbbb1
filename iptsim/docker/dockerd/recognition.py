"""Tells Docker's rules by their form: each fact of a layout is a form, for whatever settings."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache, lru_cache

from iptsim.docker.dockerd.generations import LAYOUTS
from iptsim.docker.dockerd.templates import Fact, append
from iptsim.dump.ruleset import Rule

#: What older engines, 28.0 and swarm mode write besides. Sources: libnetwork 0.8 to 17.09
#: (DOCKER-ISOLATION), moby v28.0.0 (ipsets of bridges), libnetwork/service_linux.go (DOCKER-INGRESS).
OTHERS = (
    append("filter FORWARD", "-j DOCKER-ISOLATION"),
    append("filter DOCKER-ISOLATION", "-i {bridge} -o {other} -j DROP", role="isolation"),
    append("filter DOCKER-ISOLATION", "-j RETURN"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v4 dst -j DOCKER"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v6 dst -j DOCKER"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v4 dst -m conntrack "
           "--ctstate RELATED,ESTABLISHED -j ACCEPT", role="answers"),
    append("filter FORWARD", "-m set --match-set docker-ext-bridges-v6 dst -m conntrack "
           "--ctstate RELATED,ESTABLISHED -j ACCEPT", role="answers"),
    append("filter FORWARD", "-i {bridge} -j ACCEPT", role="outgoing"),
    append("filter FORWARD", "-j DOCKER-FORWARD"),
    append("filter FORWARD", "-j DOCKER-INGRESS"),
    append("filter DOCKER-FORWARD", "-j DOCKER-INGRESS"),
    append("nat PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER-INGRESS"),
    append("nat OUTPUT", "-m addrtype --dst-type LOCAL -j DOCKER-INGRESS"),
    append("nat DOCKER-INGRESS", "-p {proto} -m {proto} --dport {host_port} -j DNAT "
           "--to-destination {target}", role="port-forward", setting="--publish"),
    append("nat DOCKER-INGRESS", "-j RETURN"),
    append("filter DOCKER-INGRESS", "-p {proto} -m {proto} --dport {host_port} -j ACCEPT",
           role="published-port", setting="--publish"),
    append("filter DOCKER-INGRESS", "-p {proto} -m {proto} --sport {host_port} -m conntrack "
           "--ctstate RELATED,ESTABLISHED -j ACCEPT", role="answers"),
    append("filter DOCKER-INGRESS", "-j RETURN"),
)  # fmt: skip
#: Names that Docker gives its bridges, and those that people like to give them.
_BRIDGES = re.compile(r"docker[0-9]+|docker_gwbridge|br-.+")
#: Names that Docker itself gives its bridges.
_OWN_BRIDGES = re.compile(r"docker[0-9]+|docker_gwbridge|br-[0-9a-f]{12}")


@cache
def _facts(table: str, chain: str, generation: str | None) -> tuple[Fact, ...]:
    """Return the facts of all generations for a chain: those of one first, then the newest one's."""
    newest_first = list(LAYOUTS.values())[::-1]
    layouts = sorted(newest_first, key=lambda layout: layout.name != generation)
    known = [fact for layout in layouts for fact in layout.facts()]
    found = [fact for fact in (*known, *OTHERS) if (fact.table, fact.chain) == (table, chain)]
    return tuple({fact.text: fact for fact in found[::-1]}.values())[::-1]


def body(rule: Rule) -> str:
    """Return a rule's text without `-A CHAIN`."""
    return rule.text.removeprefix(f"-A {rule.chain}").lstrip()


def form_of(rule: Rule, generation: str | None = None) -> tuple[Fact, dict[str, str]] | None:
    """Return the fact whose form a rule has, with the words that fill it; None for no rule of Docker's.

    Args:
        rule: the rule.
        generation: whose fact it is where several have that form; None: the newest one's.
    """
    return _form(rule.table, rule.chain, body(rule), generation)


@lru_cache(maxsize=1 << 14)
def _form(table: str, chain: str, text: str, generation: str | None) -> tuple[Fact, dict[str, str]] | None:
    for fact in _facts(table, chain, generation):
        found = fact.fits(text)
        if found is not None:
            return fact, found.groupdict()
    return None


def is_dockers(rule: Rule, bridges: Collection[str] = ()) -> bool:
    """Tell whether dockerd wrote a rule, now or under other settings.

    A rule in a built-in chain that names a bridge is Docker's if that is one of Docker's.

    Args:
        rule: the rule.
        bridges: the bridges of Docker's networks; where none are known, names decide.
    """
    found = form_of(rule)
    if found is None:
        return False
    bridge = found[1].get("bridge")
    if bridge is None or rule.chain.startswith("DOCKER"):
        return True
    return bridge in bridges or bool((_OWN_BRIDGES if bridges else _BRIDGES).fullmatch(bridge))
