"""Rules of an administrator in the chains that Docker keeps for itself."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.scene import Scene, as_shown
from iptsim.languages import message, message_joined, message_many
from iptsim.owners.docker import is_dockers

#: The chain for rules of the administrator.
_OWN = "DOCKER-USER"


def edited(scene: Scene) -> Iterator[Finding]:
    """Find rules that block senders in chains of Docker: it removes them, and those at the end come too late.

    Source: moby, daemon/libnetwork/drivers/bridge: dockerd flushes its chains when it starts, and inserts the rules of
    containers at the top.
    """
    for family in scene.families:
        rules = [
            rule
            for name in sorted(DOCKER_CHAINS - {_OWN})
            for rule in scene.rules(family, "filter", name)
            if rule.target_name in BLOCKING and _blocks_senders(rule) and not is_dockers(as_shown(rule))
        ]
        if rules:
            yield _finding(family, rules)


def _blocks_senders(rule: Rule) -> bool:
    """Return whether a rule is for certain senders, on whatever interface: no rule of Docker is."""
    parameters = rule.parameters
    if parameters.in_interface or parameters.out_interface or "source" in parameters.negated:
        return False
    if parameters.source is not None or any(match.name == "set" for match in rule.matches):
        return True
    return any(isinstance(match, Hidden) and match.words.startswith("-s ") for match in rule.matches)


def _finding(family: Family, rules: list[Rule]) -> Finding:
    first = rules[0]
    # what the source does not show of it has no option
    sender = next(
        (one.words for one in first.matches if isinstance(one, Hidden) and one.words.startswith("-s ")), ""
    )
    words = " ".join(filter(None, (sender, as_shown(first).specification)))
    return Finding(
        "docker-chain-edited",
        message_many(
            "A rule that blocks senders is in {chains}, a chain that Docker keeps for itself.",
            "Rules that block senders are in {chains}, chains that Docker keeps for itself.",
            len(dict.fromkeys(rule.chain for rule in rules)),
            chains=message_joined(", ", list(dict.fromkeys(rule.chain for rule in rules))),
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        message(
            "A rule that was appended there (-A) comes after those that accept published ports, or behind a RETURN, so"
            " it does not see such packets. dockerd also flushes its chains when it starts, and the rule is gone."
        ),
        message(
            "Put it into DOCKER-USER, which is evaluated first: {command}",
            command=f"{tool_of(family)} -I {_OWN} {words}",
        ),
        None,
        family,
    )
