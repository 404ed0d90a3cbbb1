"""Rules that name a network card that the host lacks, as after a migration: eth0 although the uplink is ens3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from iptsim.dump.ruleset import Rule
from iptsim.explanation import Explanation
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import Finding, of_rule, tool_of
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message, message_joined, message_many
from iptsim.packet import Family

_SHOWN = 5
#: Names of network cards (systemd.net-naming-scheme(7), and the kernel's own): interfaces that do not come and go.
_CARD = re.compile(r"(?:eth|en[opsx]|eno|wlan|wl[opsx])[\w.]*\+?")


def not_there(scene: Scene) -> Iterator[Finding]:
    """Find rules for network cards that the host does not have, and that would decide if they named its uplink."""
    if scene.host.inferred:
        return
    for family in scene.families:
        uplink = scene.outside_interface(family)
        if uplink is None or not _CARD.fullmatch(uplink.name):
            continue
        named = [
            (name, rule)
            for rule in scene.table(family, "filter").rules()
            for name in [_missing(scene, rule)]
            if name and rule.position and is_chosen(rule, scene)
        ]
        for name, group in groupby(sorted(named, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
            rules = [rule for _, rule in group]
            found = _example(scene, family, rules, name, uplink.name)
            if found is not None:
                yield _finding(family, rules, name, uplink.name, *found)


def _missing(scene: Scene, rule: Rule) -> str:
    """Return the network card that a rule names and the host does not have; "" if there is none."""
    parameters = rule.parameters
    for field in ("in_interface", "out_interface"):
        name = getattr(parameters, field)
        if name is None or field in parameters.negated or not _CARD.fullmatch(name):
            continue
        exact = not name.endswith("+")
        known = scene.host.namespace.interfaces
        if not any(one == name if exact else one.startswith(name[:-1]) for one in known):
            return str(name)
    return ""


def _example(
    scene: Scene, family: Family, rules: list[Rule], name: str, uplink: str
) -> tuple[Explanation, tuple[str, ...]] | None:
    """Return a packet that a rule would treat differently if it named the uplink, and the command to change it."""
    tool, hooks = tool_of(family), scene.hooks(family, "filter")
    for rule in rules:
        words = re.sub(rf"(?<= -[io] ){re.escape(name)}(?= |$)", uplink, rule.text).removeprefix("-A ")
        chain, _, options = words.partition(" ")
        command = f"{tool} -R {chain} {rule.position} {options}"
        changed = {
            field: uplink
            for field in ("in_interface", "out_interface")
            if getattr(rule.parameters, field) == name
        }
        meant = replace(rule, parameters=rule.parameters.model_copy(update=changed))
        for hook in hooks.get(rule.chain, []):
            shown = packet_for(scene, family, meant, hook)
            if shown is not None and first_that_mends(scene, family, [(command,)], shown):
                return shown, (command,)
    return None


def _finding(
    family: Family, rules: list[Rule], name: str, uplink: str, shown: Explanation, commands: tuple[str, ...]
) -> Finding:
    return Finding(
        "wrong-interface",
        message_many(
            "A rule names {name}, which this host does not have; its uplink is {uplink}.",
            "{count} rules name {name}, which this host does not have; its uplink is {uplink}.",
            len(rules),
            name=name,
            uplink=uplink,
        ),
        tuple(map(of_rule, rules[:_SHOWN])),
        message("No packet arrives or leaves there, so these rules match nothing."),
        message("Name the uplink instead: {command}", command=message_joined("; ", commands)),
        shown,
        family,
        commands,
    )
