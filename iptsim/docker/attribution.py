"""Whose a rule is: dockerd's, or somebody else's, also in chains that both write to.

A rule is Docker's if dockerd writes it for the settings of the host, or wrote it for others: then it has
the form of one of the facts of a layout in that chain. What stands in Docker's own chains in another
form is the user's.
"""

from __future__ import annotations

from dataclasses import dataclass

from iptsim.docker.dockerd.recognition import body, is_dockers
from iptsim.docker.dockerd.replay import write
from iptsim.docker.dockerd.written_rules import Made, Written
from iptsim.docker.model.settings import DockerHost
from iptsim.dump.owners import rule_owner
from iptsim.dump.ruleset import Rule, Ruleset
from iptsim.packet import Family


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


def owners(ruleset: Ruleset, docker: DockerHost, written: Written | None = None) -> Ownerships:
    """Tell whose each rule is, which of Docker's are stale, and which are missing.

    Of several equal rules in a chain, the last ones are Docker's: users insert at the top.

    Args:
        ruleset: the rules.
        docker: the settings of the host's dockerd.
        written: what dockerd writes for them, where it is known already.
    """
    written = written or write(docker, ruleset.family)
    made = {_key(one): one for one in written.rules()}
    wanted = set(made)
    bridges = {network.bridge for network in docker.networks}
    found = []
    for rule in reversed(list(ruleset.rules())):
        key = rule.table, rule.chain, body(rule)
        if key in wanted:
            wanted.remove(key)
            found.append(Ownership(rule, "docker", made=made[key]))
        elif key not in made and is_dockers(rule, bridges):
            found.append(Ownership(rule, "docker", stale=True))
        else:
            owner = rule_owner(rule)
            found.append(Ownership(rule, "user" if owner == "docker" else owner))
    missing = tuple(one for key, one in made.items() if key in wanted)
    return Ownerships(tuple(reversed(found)), missing)


def _key(made: Made) -> tuple[str, str, str]:
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
) -> list[Made]:
    """Return the rules that are there because of one thing that was configured.

    Args:
        docker: the settings.
        family: 4 or 6.
        setting: as one would give it, with or without its value: "--icc", "--icc=false", "--publish",
            "com.docker.network.bridge.enable_icc".
        network: a network's name.
        container: a container's name; the rules of its links to others count too.
        port: a container's port: "80/tcp".
        link: "CLIENT:SERVER", or with the alias "CLIENT:SERVER:ALIAS".
    """

    def fits(made: Made) -> bool:
        origin = made.origin
        return (
            setting in (None, origin.setting, origin.setting.partition("=")[0])
            and network in (None, origin.network)
            and container in (None, origin.container, origin.link.partition(":")[0])
            and port in (None, origin.port)
            and (link is None or f"{origin.link}:".startswith(f"{link}:"))
        )

    return [made for made in write(docker, family).rules() if fits(made)]
