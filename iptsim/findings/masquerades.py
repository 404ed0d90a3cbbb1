"""What a host masquerades, in a pasted text about a problem: for which subnets, and by which interfaces."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.ruleset import Rule
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.findings.behind import SOME_GUEST, Behind, ask_outside
from iptsim.findings.finding import Finding, of_rule, tool_of
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import Text, message, message_joined
from iptsim.packet import Family

_TRANSLATING = ("MASQUERADE", "SNAT")
#: At most this many rules are named.
_SHOWN = 5


def some(scene: Scene) -> Iterator[Finding]:
    """Say, for a pasted text, which packets the rules masquerade, if they are for some subnets or interfaces only.

    If it shows the interfaces, or a packet that is masqueraded, there is nothing to compare.
    """
    if scene.host.pasted is None or not scene.host.inferred or _masquerades_asked(scene):
        return
    for family in scene.families:
        rules = [
            rule
            for rule in scene.table(family, "nat").rules()
            if rule.target_name in _TRANSLATING
            and "POSTROUTING" in scene.hooks(family, "nat").get(rule.chain, ())
        ]
        chosen = [rule for rule in rules if is_chosen(rule, scene) and _is_for_some(rule)]
        if chosen:
            yield _finding(scene, family, chosen)


def _masquerades_asked(scene: Scene) -> bool:
    """Return whether the first packet that the text asks about leaves the host with a translated source."""
    pasted = scene.host.pasted
    for fields in pasted.asked[:1] if pasted is not None else ():
        try:
            shown = scene.ask_fields(fields)
        except IptsimError:
            return False
        return _is_translated(shown)
    return False


def _is_translated(shown: Explanation) -> bool:
    return any(
        step.rule is not None and step.rule.target_name in _TRANSLATING
        for step in shown.trace.legs[0].all_steps
    )


def _is_for_some(rule: Rule) -> bool:
    """Return whether a rule names the subnet or the interface of the packets that it translates."""
    parameters = rule.parameters
    named = parameters.source is not None or parameters.out_interface is not None
    return named and not parameters.negated & {"source", "out_interface"}


def _finding(scene: Scene, family: Family, rules: list[Rule]) -> Finding:
    shown = ask_outside(scene, family, Behind("tun0", SOME_GUEST[family]))
    kept = (
        shown is not None
        and shown.trace.legs[0].verdict == "ACCEPT"
        and not shown.trace.branches
        and not _is_translated(shown)
    )
    return Finding(
        "masquerades-some",
        message(
            "The rules that are shown masquerade only {packets}.",
            packets=message_joined("; ", list(dict.fromkeys(map(_packets, rules)))[:_SHOWN]),
        ),
        tuple(map(of_rule, rules[:_SHOWN])),
        message(
            "What comes from another subnet, or leaves by another interface, keeps its private address, and no reply"
            " finds back. A VPN whose subnet was changed, or an uplink that is not called so, needs another rule."
        ),
        message(
            "Compare the subnet with the clients' addresses, and the interface with that of: ip route get 192.0.2.1."
            " For every interface: {command}",
            command=f"{tool_of(family)} -t nat -A POSTROUTING -s SUBNET ! -d SUBNET -j MASQUERADE",
        ),
        shown if kept else None,
        family,
    )


def _packets(rule: Rule) -> Text:
    """Return the packets that a rule is for: "what 10.8.0.0/24 sends by eth0"."""
    source, name = rule.parameters.source, rule.parameters.out_interface
    if source is not None and name is not None:
        return message("what {subnet} sends by {interface}", subnet=source.short, interface=name)
    if source is not None:
        return message("what {subnet} sends", subnet=source.short)
    return message("what leaves by {interface}", interface=name or "")
