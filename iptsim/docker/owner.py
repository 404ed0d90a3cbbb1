"""Whose a rule is: dockerd's, or somebody else's, also in chains that both write to.

A rule is Docker's if dockerd writes it for the settings of the host, or wrote it for others: then it has
the form of one of the facts of a layout in that chain. What stands in Docker's own chains in another
form is the user's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from iptsim.docker.facts import Fact
from iptsim.docker.rules import LAYOUTS, Made, Written, write
from iptsim.docker.settings import DockerHost
from iptsim.dump.owners import rule_owner
from iptsim.dump.ruleset import Rule, Ruleset


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who wrote a rule.

    Attributes:
        rule: the rule.
        owner: "docker", "user", or the program whose chain it stands in: "ufw", "kubernetes" ...
        made: why dockerd writes it; None for others' rules and for those of Docker's that are stale.
        stale: it is Docker's by its form, but today's settings do not ask for it.
    """

    rule: Rule
    owner: str
    made: Made | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Ownerships:
    """A ruleset's rules with their owners, and the rules that Docker's settings ask for in vain.

    Attributes:
        rules: all rules, in their order.
        missing: rules that dockerd writes for these settings and that are not there.
    """

    rules: tuple[Ownership, ...]
    missing: tuple[Made, ...]


@cache
def _facts(table: str, chain: str) -> tuple[Fact, ...]:
    """Return the facts of all generations for a chain."""
    found = [
        fact
        for layout in LAYOUTS.values()
        for fact in layout.facts()
        if (fact.table, fact.chain) == (table, chain)
    ]
    return tuple({fact.text: fact for fact in found}.values())


def fact_of(rule: Rule) -> Fact | None:
    """Return the fact whose form a rule has, for whatever settings, or None."""
    text = rule.text.removeprefix(f"-A {rule.chain}").lstrip()
    return next((fact for fact in _facts(rule.table, rule.chain) if fact.fits(text)), None)


def is_dockers(rule: Rule, docker: DockerHost | None = None) -> bool:
    """Tell whether dockerd wrote a rule.

    Args:
        rule: the rule.
        docker: the host's settings. With them, a rule in a built-in chain is Docker's only if it names
            a bridge of Docker's, or none that is there.
    """
    fact = fact_of(rule)
    if fact is None:
        return False
    if docker is None or "{bridge}" not in fact.text or rule.chain.startswith("DOCKER"):
        return True
    parameters = rule.parameters
    names = {parameters.in_interface, parameters.out_interface} - {None, "lo"}
    bridges = {network.bridge for network in docker.networks}
    return any(name in bridges or (name or "").startswith(("docker", "br-")) for name in names)


def owners(ruleset: Ruleset, docker: DockerHost, written: Written | None = None) -> Ownerships:
    """Tell whose each rule is, which of Docker's are stale, and which are missing.

    Args:
        ruleset: the rules.
        docker: the settings of the host's dockerd.
        written: what dockerd writes for them, where it is known already.
    """
    written = written or write(docker, ruleset.family)
    open_ = Counter((made.table, made.chain, made.text) for made in written.rules())
    reasons = {(made.table, made.chain, made.text): made for made in written.rules()}
    found = []
    for rule in ruleset.rules():
        key = (rule.table, rule.chain, rule.text.removeprefix(f"-A {rule.chain}").lstrip())
        if open_[key]:
            open_[key] -= 1
            found.append(Ownership(rule, "docker", made=reasons[key]))
        elif is_dockers(rule, docker):
            found.append(Ownership(rule, "docker", stale=True))
        else:
            owner = rule_owner(rule)
            found.append(Ownership(rule, "user" if owner == "docker" else owner))
    missing = [made for made in written.rules() if open_[made.table, made.chain, made.text]]
    return Ownerships(tuple(found), tuple(missing))


def rules_of(
    docker: DockerHost,
    family: int = 4,
    *,
    setting: str | None = None,
    network: str | None = None,
    container: str | None = None,
    port: str | None = None,
    link: str | None = None,
) -> list[Made]:
    """Return the rules that are there because of one thing that was configured.

    Args:
        docker: the settings.
        family: 4 or 6.
        setting: as one would give it, with or without its value: "--icc", "--icc=false", "--publish".
        network / container: a name.
        port: a container's port: "80/tcp".
        link: "CLIENT:SERVER", or with the alias "CLIENT:SERVER:ALIAS".
    """
    return [
        made
        for made in write(docker, 6 if family == 6 else 4).rules()
        if (
            setting is None
            or made.origin.setting.partition("=")[0] == setting
            or made.origin.setting == setting
        )
        and (network is None or made.origin.network == network)
        and (
            container is None
            or made.origin.container == container
            or container in made.origin.link.split(":")[:1]
        )
        and (port is None or made.origin.port == port)
        and (link is None or f"{made.origin.link}:".startswith(f"{link}:"))
    ]
