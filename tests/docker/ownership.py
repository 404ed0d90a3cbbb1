"""Who wrote each rule, in chains that dockerd and others write to as well.

A rule is Docker's if dockerd writes it for the host's settings, or if it matches a template of its chain:
then it was written for other settings. Any other rule in Docker's chains is the user's.
"""

from __future__ import annotations

from dataclasses import dataclass

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import is_dockers
from iptsim.docker.dockerd.replay import write
from iptsim.docker.dockerd.written_rules import WrittenRule
from iptsim.docker.model.settings import DockerHost
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.owners.chain_owners import chain_owners


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who wrote a rule.

    Attributes:
        rule: the rule.
        owner: "docker", "user", or the program whose chain holds it: "ufw", "kubernetes" ...
        written: the rule as dockerd writes it; None for other programs' rules and for stale ones.
        stale: Docker wrote it, but not for the present settings.
    """

    rule: Rule
    owner: str
    written: WrittenRule | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Ownerships:
    """A ruleset's rules with their owners, and Docker's rules that are missing.

    Attributes:
        rules: all rules, in their order.
        missing: rules that dockerd writes for these settings but the ruleset does not have.
    """

    rules: tuple[Ownership, ...]
    missing: tuple[WrittenRule, ...]


def owners(ruleset: Ruleset, docker: DockerHost) -> Ownerships:
    """Return who wrote each rule, which Docker rules are stale, and which are missing.

    Of several equal rules in a chain, the last is Docker's: users insert theirs at the top.

    Args:
        ruleset: the rules.
        docker: the settings of the host's dockerd.
    """
    made = {_key(one): one for one in write(docker, ruleset.family).rules()}
    wanted = set(made)
    bridges = {network.bridge for network in docker.networks}
    found = []
    for rule in reversed(list(ruleset.rules())):
        key = rule.table, rule.chain, rule.specification
        if key in wanted:
            wanted.remove(key)
            found.append(Ownership(rule, "docker", written=made[key]))
        elif key not in made and is_dockers(rule, bridges):
            found.append(Ownership(rule, "docker", stale=True))
        else:
            owner = chain_owners(ruleset).rule(rule)
            found.append(Ownership(rule, "user" if owner == "docker" else owner))
    missing = tuple(one for key, one in made.items() if key in wanted)
    return Ownerships(tuple(reversed(found)), missing)


def _key(made: WrittenRule) -> tuple[str, str, str]:
    return made.table, made.chain, made.text


def rules_of(
    docker: DockerHost,
    family: Family = 4,
    *,
    setting: str | None = None,
    network: str | None = None,
    container: str | None = None,
    port: str | None = None,
    link: str | None = None,
) -> list[WrittenRule]:
    """Return the rules that dockerd writes because of one setting, network, container, port or link.

    Args:
        docker: the settings.
        family: 4 or 6.
        setting: as a user would give it, with or without its value: "--icc", "--icc=false", "--publish",
            "com.docker.network.bridge.enable_icc".
        network: a network's name.
        container: a container's name; the rules of its links to others count too.
        port: a container's port: "80/tcp".
        link: "CLIENT:SERVER", or with the alias "CLIENT:SERVER:ALIAS".
    """

    def fits(made: WrittenRule) -> bool:
        origin = made.origin
        return (
            setting in (None, origin.setting, origin.setting.partition("=")[0])
            and network in (None, origin.network)
            and container in (None, origin.container, origin.link.partition(":")[0])
            and port in (None, origin.port)
            and (link is None or f"{origin.link}:".startswith(f"{link}:"))
        )

    return [made for made in write(docker, family).rules() if fits(made)]
