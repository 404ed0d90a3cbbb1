"""Published ports that another program's rule of FORWARD blocks together with all other traffic."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.remedy import deletion, first_that_mends
from iptsim.findings.scene import Publication, Scene
from iptsim.languages import message, message_many
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: Matches that say nothing about where a packet goes.
_ANY_DESTINATION = ("conntrack", "state", "comment", "limit", "")


def refused(scene: Scene) -> Iterator[Finding]:
    """Find published ports that a rule of FORWARD blocks without naming them, apparently not on purpose."""
    for family in scene.families:
        found: dict[int, tuple[Rule, list[tuple[Publication, Explanation]]]] = {}
        for publication in scene.publications(family):
            shown = scene.ask_port(publication)
            rule = _blocking(scene, family, shown) if shown is not None else None
            if shown is not None and rule is not None:
                found.setdefault(id(rule), (rule, []))[1].append((publication, shown))
        for rule, ports in found.values():
            yield _finding(scene, family, rule, ports)


def _blocking(scene: Scene, family: Family, shown: Explanation) -> Rule | None:
    """Return the rule that blocks a forwarded packet, if it is for packets to anywhere, and not in DOCKER-USER."""
    leg = shown.trace.legs[0]
    step = leg.deciding
    rule = step.rule if step is not None else None
    if leg.verdict not in BLOCKING or step is None or rule is None or step.backend:
        return None
    if (step.hook, step.table) != ("FORWARD", "filter") or is_dockers(rule):
        return None
    if rule.chain in scene.below(family, "filter", "DOCKER-USER"):
        return None  # where an administrator restricts published ports
    if rule.chain == "FORWARD" and rule.is_unconditional:
        return None  # behind-final-rule reports it
    callers = [one.rule for one in leg.steps if one.rule is not None and one.rule.jump is not None]
    return rule if all(map(_is_general, (rule, *(one for one in callers if one.table == "filter")))) else None


def _is_general(rule: Rule) -> bool:
    """Return whether a rule names neither a network, nor a port, nor the interface by which packets leave."""
    parameters = rule.parameters
    return (
        parameters.source is None
        and parameters.destination is None
        and (parameters.out_interface is None or "out_interface" in parameters.negated)
        and parameters.protocol is None
        and all(match.name in _ANY_DESTINATION for match in rule.matches)
    )


def _finding(
    scene: Scene, family: Family, rule: Rule, ports: list[tuple[Publication, Explanation]]
) -> Finding:
    publication, shown = ports[0]
    commands = _remedy(scene, family, rule, publication, shown)
    translating = [step.rule for step in shown.trace.legs[0].steps if step.verdict == "DNAT" and step.rule]
    names = ", ".join(dict.fromkeys(f"{one.outside} ({one.container.name})" for one, _ in ports[:5]))
    return Finding(
        "published-refused",
        message_many(
            "{ports} is published, but {chain} rule {position} blocks it.",
            "{ports} are published, but {chain} rule {position} blocks them.",
            len(ports),
            ports=names,
            chain=rule.chain,
            position=rule.position,
        ),
        (of_rule(rule), *map(of_rule, translating)),
        message(
            "Docker forwards the port, but its packets reach this rule before a Docker rule accepts them. The rule "
            "names no network and no port, so it was probably not meant for this port."
        ),
        shell(*commands) if commands else message("Restart Docker: it puts its rules before all others."),
        shown,
        family,
        commands,
    )


def _remedy(
    scene: Scene, family: Family, rule: Rule, publication: Publication, shown: Explanation
) -> tuple[str, ...]:
    """Return the commands that let the port's packets through: the rule moved to the end, or one before it."""
    tool = tool_of(family)
    moved = (deletion(scene, family, rule), f"{tool} -A {rule.chain} {rule.specification}")
    address = address_text(family, publication.container.address(family) or 0)
    proto, port = protocol_name(publication.port.proto), publication.port.container_port
    there = f"{tool} -I FORWARD -d {address} -p {proto} --dport {port} -j ACCEPT"
    back = f"{tool} -I FORWARD -s {address} -p {proto} --sport {port} -j ACCEPT"
    choices = [(there,), (there, back)]
    return first_that_mends(scene, family, [moved, *choices] if rule.chain == "FORWARD" else choices, shown)
