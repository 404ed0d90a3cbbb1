"""Replies that never came back, as the counters of FORWARD show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.behind import networks_behind, second_address
from iptsim.findings.examples import is_for_replies, states_of
from iptsim.findings.finding import Evidence, Finding, of_rule, uses
from iptsim.findings.scene import Scene
from iptsim.languages import Text, message, message_many, message_sentences
from iptsim.passages import shell


def none_counted(scene: Scene) -> Iterator[Finding]:
    """Find rules of FORWARD that have let packets out while the rule for their replies has counted none."""
    for family in scene.families:
        rules = scene.rules(family, "filter", "FORWARD")
        for rule in filter(_lets_out, rules):
            shown = _out(scene, family, rule)
            back = _reply_rule(shown) if shown is not None else None
            if (
                shown is not None
                and back is not None
                and back.counters is not None
                and not back.counters.packets
                and _takes_all_replies(back, rule)
                and not _is_masqueraded(shown)
            ):
                yield _none_came_back(scene, family, rule, back, shown)
                break
            if shown is None and (back := _mirror(rules, rule)) is not None:
                yield _none_came_back(scene, family, rule, back, None)
                break


def _lets_out(rule: Rule) -> bool:
    """Return whether a rule has accepted packets of one direction: from a network or an interface."""
    parameters = rule.parameters
    if rule.target_name != "ACCEPT" or rule.matches or rule.counters is None or not rule.counters.packets:
        return False
    source = parameters.source is not None and "source" not in parameters.negated
    arriving = parameters.in_interface is not None and "in_interface" not in parameters.negated
    both = parameters.in_interface == parameters.out_interface and "out_interface" not in parameters.negated
    return source or (arriving and not both)


def _takes_all_replies(back: Rule, rule: Rule) -> bool:
    """Return whether a rule for replies takes those to all packets that another rule lets out, not just of some."""
    there, here = rule.parameters, back.parameters
    mirrored = [
        ("protocol", "protocol"),
        ("source", "destination"),
        ("destination", "source"),
        ("in_interface", "out_interface"),
    ]
    if there.in_interface is not None:
        mirrored.append(("out_interface", "in_interface"))
    is_plain = all(states_of(match) or match.name == "comment" for match in back.matches)
    return is_plain and all(
        getattr(here, name) is None
        or (getattr(here, name), name in here.negated) == (getattr(there, other), other in there.negated)
        for name, other in mirrored
    )


def _is_masqueraded(shown: Explanation) -> bool:
    """Return whether a rule translates the source of a packet that leaves, so that replies find the host."""
    return any(
        step.hook == "POSTROUTING" and step.verdict in TRANSLATING_SOURCE
        for step in shown.trace.legs[0].all_steps
    )


def _mirror(rules: Sequence[Rule], rule: Rule) -> Rule | None:
    """Return the rule for replies to what a rule lets out of an interface, if nothing can have counted a reply."""
    parameters = rule.parameters
    inside, outside = parameters.in_interface, parameters.out_interface
    if inside is None or "in_interface" in parameters.negated:
        return None
    if "out_interface" in parameters.negated:
        if outside != inside:
            return None
        outside = None  # all other interfaces
    for one in rules:
        if _goes(one, outside, inside) and one.target_name == "ACCEPT" and is_for_replies(one):
            return None if one.counters is None or one.counters.packets else one
        if one.counters is None or (_may_take(one, outside, inside) and not _counted_the_same(one, rule)):
            return None
    return None


def _goes(rule: Rule, arriving: str | None, leaving: str) -> bool:
    """Return whether a rule is for all packets between two interfaces; None are all but the other one."""
    parameters = rule.parameters
    if (parameters.protocol, parameters.source, parameters.destination) != (None, None, None):
        return False
    if parameters.negated:
        is_between = parameters.in_interface == parameters.out_interface == leaving
        return arriving is None and is_between and set(parameters.negated) == {"in_interface"}
    return parameters.in_interface in (arriving, None) and parameters.out_interface in (leaving, None)


def _may_take(rule: Rule, arriving: str | None, leaving: str) -> bool:
    """Return whether the packets that a rule has counted may have gone between two interfaces."""
    if rule.counters is None or not rule.counters.packets:
        return False
    parameters = rule.parameters
    ends = (
        (parameters.in_interface, arriving, "in_interface"),
        (parameters.out_interface, leaving, "out_interface"),
    )
    return all(
        interface is None
        or (not _covers(name, interface) if field in parameters.negated else _may_be(name, interface))
        for name, interface, field in ends
    )


def _counted_the_same(first: Rule, rule: Rule) -> bool:
    """Return whether a rule for all packets has counted no others than those that a later one let out."""
    return not any(first.parameters.given()) and not first.matches and first.counters == rule.counters


def _covers(name: str | None, interface: str) -> bool:
    """Return whether the name in a rule, perhaps a pattern, includes all of an interface or of another pattern."""
    return name in (None, interface) or (str(name).endswith("+") and interface.startswith(str(name)[:-1]))


def _may_be(name: str | None, interface: str | None) -> bool:
    """Return whether the name in a rule, perhaps a pattern, may include an interface."""
    return name is None or name == interface or name.endswith("+")


def _reply_rule(shown: Explanation) -> Rule | None:
    """Return the rule of FORWARD that accepts the reply to a packet, if one for established connections does."""
    if len(shown.trace.legs) < 2 or shown.trace.legs[1].verdict != "ACCEPT":
        return None
    for step in shown.trace.legs[1].all_steps:
        if step.hook == "FORWARD" and step.table == "filter" and step.verdict == "ACCEPT" and step.rule:
            let_in_by_state = any("ESTABLISHED" in states_of(match) for match in step.rule.matches)
            return step.rule if let_in_by_state else None
    return None


def _none_came_back(
    scene: Scene, family: Family, rule: Rule, back: Rule, shown: Explanation | None
) -> Finding:
    packets = rule.counters.packets if rule.counters else 0
    network: Text = str(rule.parameters.source or rule.parameters.in_interface)
    is_shown = "nat" in scene.host.rulesets[family].tables
    return Finding(
        "replies-not-counted",
        message_many(
            "FORWARD rule {position} has let {count} packet out, and rule {back} has not counted one reply.",
            "FORWARD rule {position} has let {count} packets out, and rule {back} has not counted one reply.",
            packets,
            position=rule.position,
            back=back.position,
        ),
        (_with_count(rule), _with_count(back)),
        message(
            "The filter table lets the packets of {network} pass, but nothing comes back. Most often nothing"
            " masquerades them, so that replies are sent to an address to which no outside host has a route.",
            network=network,
        ),
        message_sentences(
            message(
                "Masquerade them where they leave: {command}",
                command=shell(
                    f"{tool_of(family)} -t nat -A POSTROUTING {_from(rule)} -o UPLINK -j MASQUERADE"
                ),
            ),
            ""
            if is_shown
            else message(
                "The source does not show the nat table; see {command}.",
                command=f"{tool_of(family)}-save -t nat",
            ),
        ),
        shown,
        family,
    )


def _with_count(rule: Rule) -> Evidence:
    """Return a rule as evidence, with its counter."""
    evidence = of_rule(rule)
    packets = rule.counters.packets if rule.counters else 0
    return evidence._replace(text=f"[{packets}] {evidence.text}")


def _from(rule: Rule) -> str:
    source = rule.parameters.source
    return f"-s {source}" if source is not None else "-s NETWORK"


def _out(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Walk a packet that the rule lets out."""
    parameters = rule.parameters
    fields: dict[str, Any] = {}
    if parameters.source is not None:
        sender = second_address(parameters.source)
    else:
        network = scene.host.network_of_bridge(parameters.in_interface or "")
        members = scene.members(network, family) if network else []
        guests = [
            one.address for one in networks_behind(scene, family) if one.interface == parameters.in_interface
        ]
        sender = next(iter([*(one.name for one in members), *guests]), "")
        if not members:
            fields["in"] = parameters.in_interface
    if not sender:
        return None
    shown = scene.ask(sender, "internet", family, proto="tcp", dport=443, **fields)
    return shown if shown is not None and uses(shown, rule) else None
