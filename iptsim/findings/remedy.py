"""Tries remedies before they are shown, on the packet that shows the finding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from iptsim.addresses import Family
from iptsim.asking import follow
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import Hidden, is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import Finding
from iptsim.findings.scene import Scene
from iptsim.languages import message

#: What a shell changes in the double quotes of iptables-save, such as those of a comment.
_CHANGED = re.compile(r"\\'|[$`]|!\S")
#: More rules than this are deleted with a loop over their numbers.
_FEW = 3


def accept_replies(family: Family, chain: str, *conditions: str) -> str:
    """Return the command that makes a chain accept the replies of connections, or of some only, by conditions."""
    states = "-m conntrack --ctstate RELATED,ESTABLISHED"
    return " ".join((tool_of(family), "-I", chain, *conditions, states, "-j ACCEPT"))


def accept_both_ways(family: Family, chain: str, interface: str) -> tuple[str, str]:
    """Return the commands that accept packets from an interface, and the replies to them."""
    accept = f"{tool_of(family)} -I {chain} -i {interface} -j ACCEPT"
    return accept, accept_replies(family, chain, f"-o {interface}")


def deletion(scene: Scene, family: Family, *rules: Rule) -> str:
    """Return the commands that delete rules of a chain, one a line, the last rule first.

    They name a rule by its words, so that they still work when another remedy has added or deleted rules before. They
    name it by its number if an earlier rule has the same words, if the source shows only a part of it, or if a shell
    would read other words.
    """
    first = rules[0]
    delete = f"{tool_of(family)} {first.table_option}-D {first.chain}"
    if len(rules) > _FEW:
        numbers = " ".join(str(rule.position) for rule in reversed(rules))
        return f"for n in {numbers}; do {delete} $n; done"
    return "\n".join(f"{delete} {_identity(scene, family, rule)}" for rule in reversed(rules))


def _identity(scene: Scene, family: Family, rule: Rule) -> str:
    """Return what -D needs to find a rule: its words, or its number."""
    is_whole = not is_gap(rule.target) and not any(isinstance(match, Hidden) for match in rule.matches)
    alike = (one for one in scene.rules(family, rule.table, rule.chain) if one.text == rule.text)
    is_first = next(alike, rule) is rule
    words = rule.specification
    return words if is_whole and is_first and words and not _CHANGED.search(words) else str(rule.position)


def tried(scene: Scene, finding: Finding) -> Finding:
    """Return a finding with a remedy that helps, as far as the rules are known, or that says why it does not."""
    if not finding.commands or finding.shown is None:
        return finding
    after = outcome(scene, finding.family, finding.commands, finding.shown)
    if after is not None and (mends(finding.shown, after) or after.verdict == "DEPENDS"):
        return finding
    why = after.reason.message if after is not None else message("the commands fail on these rules.")
    remedy = message(
        "The usual remedy does not help here ({commands}). After it: {why}",
        commands="; ".join(finding.commands),
        why=why,
    )
    return replace(finding, remedy=remedy)


def outcome(scene: Scene, family: Family, commands: Iterable[str], shown: Explanation) -> Explanation | None:
    """Return what happens to a packet after commands; None if they fail or the question is no longer valid."""
    simulator = scene.after(family, commands)
    if simulator is None:
        return None
    try:
        return follow(simulator, shown.question)
    except IptsimError:
        return None


def mends(shown: Explanation, after: Explanation) -> bool:
    """Return whether an allowed packet is now blocked, or a blocked one now allowed."""
    if shown.verdict == "ACCEPT":
        return after.verdict in BLOCKING
    return after.verdict == "ACCEPT"


def first_that_mends(
    scene: Scene, family: Family, choices: Iterable[Sequence[str]], shown: Explanation
) -> tuple[str, ...]:
    """Return the first of several remedies that helps, if any."""
    for commands in choices:
        after = outcome(scene, family, commands, shown)
        if after is not None and mends(shown, after):
            return tuple(commands)
    return ()
