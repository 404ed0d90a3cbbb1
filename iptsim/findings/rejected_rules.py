"""Rules that the kernel rejects although iptables accepts their syntax: a target in a chain where it does not work."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump import loads
from iptsim.dump.ruleset import BUILTIN_CHAINS, Rule
from iptsim.errors import IptsimError
from iptsim.explanation.places import place_of
from iptsim.extensions.values import any_of
from iptsim.findings.finding import Finding, of_rule, tool_of
from iptsim.findings.scene import Scene
from iptsim.languages import Message, message, message_many
from iptsim.packet import Family

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
            _remedy(scene, family, rules[0]),
            None,
            family,
        )


def _remedy(scene: Scene, family: Family, rule: Rule) -> Message:
    """Return in which built-in chains of the table the kernel takes the rule, if in any."""
    chains = tuple(name for name in BUILTIN_CHAINS[rule.table] if _is_taken(scene, family, rule, name))
    if not chains:
        return message("Correct the rule, or remove it.")
    return message(
        "The kernel takes it in {chains}: {command}",
        chains=any_of(chains),
        command=f"{tool_of(family)} {rule.table_option}-A {chains[0]} {rule.specification}",
    )


def _is_taken(scene: Scene, family: Family, rule: Rule, chain: str) -> bool:
    """Return whether the kernel would take a rule at the end of a chain."""
    text = f"*{rule.table}\n-A {chain} {rule.specification}\nCOMMIT\n"
    try:
        ruleset = loads(text, source="", onto=scene.host.rulesets[family])
    except IptsimError:
        return False
    return not ruleset.tables[rule.table].chains[chain].rules[-1].refused
