"""Connections that a text says were refused, while no rule rejects packets, so nothing listens there."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.findings.finding import Finding, of_line
from iptsim.findings.native_chains import chains_of
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.passages import shell

#: The hooks of nftables at which a rule may reject.
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def by_nothing_shown(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, that a refused connection is not the work of the rules, as none of them rejects."""
    if not scene.pasted.says_refused or scene.has_docker:
        return
    for family in scene.families[:1]:
        if not scene.shows(family, "filter", "INPUT") or any(map(_rejects, _rules(scene, family))):
            continue
        number, text = scene.pasted.says_refused[0]
        yield Finding(
            "refused-elsewhere",
            message("No rule that is shown rejects packets, so none of them refuses the connection."),
            (of_line(number, text),),
            message(
                "A dropped packet gets no answer, and the client waits until it times out. Refused means that the"
                " packet arrived, and that no program listens on that port and address. Or a firewall in front of this"
                " host rejects it."
            ),
            message(
                "See on which addresses and ports programs listen: {command}. One on 127.0.0.1 is for the host alone.",
                command=shell("ss -tulnp"),
            ),
            None,
            family,
        )


def _rules(scene: Scene, family: Family) -> Iterator[Rule]:
    for table in scene.host.rulesets[family].tables.values():
        yield from table.rules()
    for hook in _HOOKS:
        for _, rules in chains_of(scene, family, hook):
            yield from rules


def _rejects(rule: Rule) -> bool:
    return rule.target_name.upper() == "REJECT"
