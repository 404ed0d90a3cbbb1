"""Rules that the kernel rejects although iptables accepts their syntax: a target in a chain where it does not work."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.explanation.places import place_of
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.scene import Scene
from iptsim.languages import message, message_many

#: At most this many rules are named.
_SHOWN = 5


def rejected(scene: Scene) -> Iterator[Finding]:
    """Find rules of a file or of commands that the kernel rejects, so that they do not exist."""
    for family in scene.families:
        rules = [rule for rule in scene.host.rulesets[family].rules() if rule.refused]
        if not rules:
            continue
        yield Finding(
            "rejected-rule",
            message_many(
                "The kernel rejects {place}: {why}.",
                "The kernel rejects {count} rules, the first of them {place}: {why}.",
                len(rules),
                place=place_of(rules[0]),
                why=rules[0].refused,
            ),
            tuple(map(of_rule, rules[:_SHOWN])),
            message(
                "iptables fails with an error, and the rule does not exist. If it is in a file, iptables-restore loads"
                " nothing of its table."
            ),
            message("Correct the rule, or remove it."),
            None,
            family,
        )
