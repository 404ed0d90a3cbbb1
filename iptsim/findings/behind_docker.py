"""Rules of FORWARD that come behind Docker's, which have accepted the packets that they are for."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import is_for_replies, packet_for
from iptsim.findings.finding import SHOWN, Finding, of_rule, uses
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene, as_shown
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message, message_joined, message_many
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell


def late(scene: Scene) -> Iterator[Finding]:
    """Find rules of FORWARD that an administrator wrote to block packets which Docker's rules accept first."""
    for family in scene.families:
        rules = scene.rules(family, "filter", "FORWARD")
        accepting = next((rule for rule in rules if _accepts(rule)), None)
        if accepting is None:
            continue
        place = rules.index(accepting)
        # the same rule before Docker's has seen every packet
        before = {rule.specification for rule in rules[:place]}
        behind = [
            rule
            for rule in rules[place + 1 :]
            if rule.specification not in before and _restricts(scene, family, rule)
        ]
        for rule in behind:
            shown = _accepted_before(scene, family, rule)
            if shown is not None or _is_unknown(scene, family, rule):
                yield _finding(scene, family, behind, rule, shown)
                break


def _accepts(rule: Rule) -> bool:
    """Return whether a rule is Docker's that accepts new connections of containers, or jumps to those for its ports."""
    if not is_dockers(as_shown(rule)):
        return False
    if isinstance(rule.target, Jump):
        return rule.target.chain in ("DOCKER", "DOCKER-FORWARD")
    return rule.target_name == "ACCEPT" and not is_for_replies(rule)


def _restricts(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether an administrator wrote a rule that blocks some packets, itself or in the chain it jumps to."""
    if is_dockers(as_shown(rule)) or not is_chosen(rule, scene):
        return False
    if not isinstance(rule.target, Jump):
        return rule.target_name in BLOCKING and _is_specific(rule)
    return any(
        one.target_name in BLOCKING or is_gap(one.target)
        for one in scene.rules(family, "filter", rule.target.chain)
    )


def _is_specific(rule: Rule) -> bool:
    """Return whether a rule names addresses or ports: one that does not only ends the chain."""
    parameters = rule.parameters
    return (
        parameters.source is not None
        or parameters.destination is not None
        or bool(rule.conditions_on("dport"))
    )


def _is_unknown(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether a pasted text shows the jump to an administrator's chain, but not its rules."""
    if not scene.is_pasted or not isinstance(rule.target, Jump):
        return False
    return any(is_gap(one.target) for one in scene.rules(family, "filter", rule.target.chain))


def _accepted_before(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Return a packet that the rule is for, and that a rule of Docker accepts first."""
    candidates = [rule]
    if isinstance(rule.target, Jump):
        candidates = [
            one for one in scene.rules(family, "filter", rule.target.chain) if one.target_name in BLOCKING
        ]
    for one in candidates[:SHOWN]:
        shown = packet_for(scene, family, one, "FORWARD")
        if shown is None or shown.verdict != "ACCEPT" or uses(shown, one):
            continue
        if any(
            step.verdict == "ACCEPT"
            and step.table == "filter"
            and step.rule is not None
            and is_dockers(step.rule)
            for step in shown.trace.legs[0].steps
        ):
            return shown
    return None


def _finding(
    scene: Scene, family: Family, behind: list[Rule], rule: Rule, shown: Explanation | None
) -> Finding:
    tool, words = tool_of(family), scene.shown_words(rule)
    commands = (
        (f"{tool} -I DOCKER-USER {words}",) if "DOCKER-USER" in scene.table(family, "filter").chains else ()
    )
    return Finding(
        "forward-rules-late",
        message_many(
            "FORWARD rule {numbers} comes after Docker's, which accept packets of published ports and of containers"
            " first.",
            "FORWARD rules {numbers} come after Docker's, which accept packets of published ports and of containers"
            " first.",
            len(behind),
            numbers=message_joined(", ", (str(one.position) for one in behind[:SHOWN])),
        ),
        tuple(map(of_rule, behind[:SHOWN])),
        message(
            "An accepted packet passes no later rule of the chain. Docker inserts its rules at the top again when it"
            " starts."
        ),
        message(
            "Put rules that restrict containers into DOCKER-USER, which is evaluated before Docker's rules: {command}",
            command=shell(f"{tool} -I DOCKER-USER {words}"),
        ),
        shown,
        family,
        first_that_mends(scene, family, [commands], shown) if shown is not None and commands else (),
    )
