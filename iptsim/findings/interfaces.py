"""Rules that name the wrong interface: a card that the host lacks, such as eth0 on ens3; or the port of a bridge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import TRANSLATING
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.host.namespace import Interface
from iptsim.languages import message, message_many
from iptsim.passages import shell

#: Names of network cards (systemd.net-naming-scheme(7), and the kernel's own): interfaces that do not come and go.
CARD = re.compile(r"(?:eth|en[opsx]|eno|wlan|wl[opsx])[\w.]*\+?")


def not_there(scene: Scene) -> Iterator[Finding]:
    """Find rules for network cards that the host does not have, and that would decide if they named its uplink."""
    if scene.host.inferred:
        return
    for family in scene.families:
        uplink = scene.outside_interface(family) or _only_card(scene)
        if uplink is None or not CARD.fullmatch(uplink.name):
            continue
        named = [
            (name, rule)
            for table in ("filter", *(["nat"] if scene.is_pasted else []))
            for rule in scene.table(family, table).rules()
            for name in [_missing(scene, rule)]
            if name and rule.position and is_chosen(rule, scene)
        ]
        for name, group in groupby(sorted(named, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
            rules = [rule for _, rule in group]
            found = _example(scene, family, rules, name, uplink.name)
            if found is not None:
                yield _finding(family, rules, name, uplink.name, *found)
            elif scene.is_pasted and any(_matters(scene, family, rule) for rule in rules):
                yield _finding(family, rules, name, uplink.name, None, ())


def _only_card(scene: Scene) -> Interface | None:
    """Return the only network card that is up, in a pasted text that does not show the default route."""
    every = scene.host.namespace.interfaces.values() if scene.is_pasted else ()
    cards = [
        one for one in every if one.up and one.carrier and one.master is None and CARD.fullmatch(one.name)
    ]
    return cards[0] if len(cards) == 1 else None


def _matters(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether a rule opens a port in a chain whose other rules or policy are not shown, or translates."""
    opens = rule.target_name == "ACCEPT" and not scene.shows(family, "filter", rule.chain)
    return rule.target_name in TRANSLATING or (opens and rule.table == "filter")


def ports_of_bridges(scene: Scene) -> Iterator[Finding]:
    """Find rules that name a port of a bridge or of a bond: to iptables, its packets arrive and leave by the master.

    Source: br_nf_pre_routing (net/bridge/br_netfilter_hooks.c), bond_handle_frame (drivers/net/bonding/bond_main.c).
    """
    interfaces = scene.host.namespace.interfaces
    for family in scene.families:
        named = [
            (port, rule)
            for rule in scene.host.rulesets[family].rules()
            for port in (rule.parameters.in_interface, rule.parameters.out_interface)
            if port in interfaces and _is_port(interfaces, port) and not rule.parameters.negated
        ]
        for name, group in groupby(sorted(named, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
            yield _names_port(scene, family, name, [rule for _, rule in group])


def _is_port(interfaces: Mapping[str, Interface], name: str) -> bool:
    """Return whether a bridge or a bond takes over what arrives on an interface; rules see the ports of a VRF."""
    master = interfaces.get(interfaces[name].master or "")
    return master is not None and master.kind in ("bridge", "bond")


def _names_port(scene: Scene, family: Family, port: str, rules: list[Rule]) -> Finding:
    """Return the finding about the rules that name a port."""
    master = scene.host.namespace.interfaces[port].master or ""
    first = rules[0]
    command = _renamed(family, first, port, master) if first.position else ""
    hooks = set(scene.hooks(family, first.table).get(first.chain, ()))
    arriving = port == first.parameters.in_interface and hooks & {"PREROUTING", "INPUT"}
    return Finding(
        "port-of-bridge",
        message_many(
            "A rule names {port}, but packets arrive and leave by {master}, of which it is a port.",
            "{count} rules name {port}, but packets arrive and leave by {master}, of which it is a port.",
            len(rules),
            port=port,
            master=master,
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        message(
            "To iptables, the interface of these packets is {master}, so the rule never matches.",
            master=master,
        ),
        message("Name {master} instead: {command}", master=master, command=shell(command))
        if command
        else message("Name {master} instead.", master=master),
        packet_for(scene, family, _renamed_rule(first, port, master), "INPUT") if arriving else None,
        family,
    )


def _renamed(family: Family, rule: Rule, name: str, other: str) -> str:
    """Return the command that lets a rule name another interface."""
    words = re.sub(rf"(?<= -[io] ){re.escape(name)}(?= |$)", other, rule.text).removeprefix("-A ")
    chain, _, options = words.partition(" ")
    return f"{tool_of(family)} {rule.table_option}-R {chain} {rule.position} {options}"


def _renamed_rule(rule: Rule, name: str, other: str) -> Rule:
    """Return a rule with another interface."""
    fields = ("in_interface", "out_interface")
    changed: dict[str, Any] = {field: other for field in fields if getattr(rule.parameters, field) == name}
    return replace(rule, parameters=replace(rule.parameters, **changed))


def _missing(scene: Scene, rule: Rule) -> str:
    """Return the network card that a rule names and the host does not have; "" if there is none."""
    parameters = rule.parameters
    for field in ("in_interface", "out_interface"):
        name = getattr(parameters, field)
        if name is None or field in parameters.negated or not CARD.fullmatch(name):
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
    hooks = scene.hooks(family, "filter")
    for rule in rules:
        command = _renamed(family, rule, name, uplink)
        meant = _renamed_rule(rule, name, uplink)
        for hook in hooks.get(rule.chain, []):
            shown = packet_for(scene, family, meant, hook)
            if shown is not None and first_that_mends(scene, family, [(command,)], shown):
                return shown, (command,)
    return None


def _finding(
    family: Family,
    rules: list[Rule],
    name: str,
    uplink: str,
    shown: Explanation | None,
    commands: tuple[str, ...],
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
        tuple(map(of_rule, rules[:SHOWN])),
        message("No packet arrives or leaves there, so these rules match nothing."),
        message("Name the uplink instead: {command}", command=shell(*commands))
        if commands
        else message("Name {name} instead.", name=uplink),
        shown,
        family,
        commands,
    )
