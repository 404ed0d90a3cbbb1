"""Ports that two Docker rules forward: that of a container which is gone takes what is meant for its successor."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.targets.dnat import Dnat
from iptsim.findings.examples import header
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.remedy import deletion, outcome
from iptsim.findings.scene import Scene
from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.languages import message


def twice(scene: Scene) -> Iterator[Finding]:
    """Find ports that Docker's rules forward to two containers: the first rule takes all packets."""
    for family in scene.families:
        first: dict[tuple[object, ...], Rule] = {}
        for rule in scene.table(family, "nat").rules():
            key = _forwarded(rule)
            other = first.setdefault(key, rule) if key is not None else rule
            if other is not rule and other.target != rule.target:
                yield _twice(scene, family, other, rule)


def _forwarded(rule: Rule) -> tuple[object, ...] | None:
    """Return for what destination a rule of Docker forwards a port; None for other rules."""
    parameters = rule.parameters
    ports = tuple(one.allowed for one in rule.conditions_on("dport") if not one.negated)
    name, negated = parameters.in_interface, "in_interface" in parameters.negated
    own = rule.chain == "DOCKER" or (negated and OWN_BRIDGES.fullmatch(name or "") is not None)
    if not (isinstance(rule.target, Dnat) and ports and own) or parameters.source is not None:
        return None
    if name is not None and not negated:
        return None
    return rule.chain, parameters.protocol, str(parameters.destination), ports


def _twice(scene: Scene, family: Family, first: Rule, second: Rule) -> Finding:
    to = first.parameters.destination
    fields = header(first)
    asked = address_text(family, to.address) if to is not None else "host"
    shown = scene.ask("internet", asked, family, **fields)
    if shown is not None and (shown.trace.branches or not uses(shown, first)):
        shown = None
    return Finding(
        "forwarded-twice",
        message(
            "Port {port} is forwarded twice: {taken} gets all its packets, and {target} none.",
            port=f"{fields.get('dport', '')}/{fields['proto']}",
            taken=_target(first),
            target=_target(second),
        ),
        (of_rule(first), of_rule(second)),
        message(
            "dockerd forwards a port to one container only. One of the two is gone, and its rule was left behind:"
            " docker ps shows which."
        ),
        message(
            "If it is the first: {command}. Or restart Docker, which writes its rules again.",
            command=deletion(scene, family, first),
        )
        if shown is not None and _gets_it(scene, family, first, second, shown)
        else message(
            "If it is the first, delete its rule ({command} shows the numbers), or restart Docker, which writes its"
            " rules again.",
            command=f"{tool_of(family)} -t nat -L DOCKER -n --line-numbers",
        ),
        shown,
        family,
    )


def _gets_it(scene: Scene, family: Family, first: Rule, second: Rule, shown: Explanation) -> bool:
    """Return whether a packet goes where the second rule sends it if the first one is deleted."""
    after = outcome(scene, family, [deletion(scene, family, first)], shown)
    return after is not None and any(
        step.rule is not None and step.rule.target == second.target for step in after.trace.legs[0].all_steps
    )


def _target(rule: Rule) -> str:
    return str(getattr(rule.target, "to_destination", ""))
