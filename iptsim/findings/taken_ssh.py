"""A port forward that takes the port of SSH, in a pasted text about a problem: the host's own is not reached."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.verdicts import TRANSLATING_DESTINATION
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import Scene
from iptsim.findings.ssh import USUAL
from iptsim.languages import message
from iptsim.protocols import TCP


def forwarded(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a rule of PREROUTING that sends tcp/22 of every address on to another port or machine."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        hooks = scene.hooks(family, "nat")
        for rule in scene.table(family, "nat").rules():
            if "PREROUTING" in hooks.get(rule.chain, ()) and _takes_ssh(rule):
                yield _finding(scene, family, rule)
                break


def _takes_ssh(rule: Rule) -> bool:
    """Return whether a rule translates connections from outside to the port of SSH, whatever address they are for."""
    parameters = rule.parameters
    if (
        rule.target_name not in TRANSLATING_DESTINATION
        or parameters.protocol != TCP
        or parameters.source is not None
    ):
        return False
    if parameters.destination is not None or (
        parameters.in_interface is not None and "in_interface" not in parameters.negated
    ):
        return False
    ports = rule.conditions_on("dport")
    return len(ports) == 1 and not ports[0].negated and ports[0].allowed == ((USUAL, USUAL),)


def _finding(scene: Scene, family: Family, rule: Rule) -> Finding:
    shown = scene.ask("internet", "host", family, proto="tcp", dport=USUAL)
    hidden = any(isinstance(match, Hidden) for match in rule.matches)
    return Finding(
        "ssh-forwarded",
        message("A rule of nat forwards tcp/22: SSH of the host itself may not be reached there.")
        if hidden
        else message(
            "{place} forwards what arrives for tcp/22: SSH of the host itself is not reached there.",
            place=place_of(rule),
        ),
        (of_rule(rule),),
        message(
            "DNAT and REDIRECT come before INPUT, so a rule of INPUT for SSH sees no packet. If no machine or container"
            " has the new address any more, the rule is left over."
        ),
        message("Let SSH of the host listen on another port, forward another port, or delete the rule.")
        if hidden
        else message(
            "Let SSH of the host listen on another port, forward another port, or delete the rule: {command}",
            command=deletion(scene, family, rule),
        ),
        shown if shown is not None and uses(shown, rule) else None,
        family,
    )
