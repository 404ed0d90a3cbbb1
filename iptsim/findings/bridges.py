"""Findings about icc=false: without effect, or with one that somebody complains of."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule
from iptsim.findings.scene import Scene, place
from iptsim.host.docker_defaults import GATEWAY_BRIDGE
from iptsim.host.namespace import BRIDGE_NF
from iptsim.languages import Message, message, message_many
from iptsim.passages import shell


def icc_not_enforced(scene: Scene) -> Iterator[Finding]:
    """Find networks with icc off on a host whose iptables does not see bridged packets."""
    for family in scene.families:
        name = BRIDGE_NF[family]
        value = scene.host.namespace.sysctls.get(name)
        if value == "1" or not scene.docker_writes(family):
            continue
        for network in scene.docker_networks():
            if network.icc or network.internal or not any(one.family == family for one in network.subnets):
                continue
            members = scene.members(network, family)
            shown = None
            if len(members) > 1:
                one, other = members[0], members[1]
                shown = scene.ask(one.name, place(other, network), family, proto="tcp")
                if shown is None or shown.verdict != "ACCEPT":
                    continue
            reason = (
                f"{name} = {value}"
                if value is not None
                else message("{name} does not exist: br_netfilter is not loaded", name=name)
            )
            yield Finding(
                "icc-off-not-enforced",
                message(
                    "icc is off on {bridge}, but its containers can talk to each other.",
                    bridge=network.bridge or "",
                ),
                (Evidence("sysctl.txt", reason),),
                message(
                    "iptables never sees the packets that the bridge switches between its ports, so Docker's "
                    "DROP rule has no effect on them."
                ),
                message(
                    "{commands}. Or put the containers to isolate on separate networks.",
                    commands=shell("modprobe br_netfilter", f"sysctl -w {name}=1"),
                ),
                shown,
                family,
                (f"sysctl -w {name}=1",),
            )


def icc_unchecked(scene: Scene) -> Iterator[Finding]:
    """Find rules between containers of a bridge in a pasted text: only br_netfilter shows iptables such packets."""
    printed = scene.is_pasted or any(one.listed for one in scene.host.rulesets.values())
    if not printed or not scene.host.inferred:
        return
    if any("sysctl" in one.form for one in scene.pasted.segments):
        return
    for family in scene.families:
        name = BRIDGE_NF[family]
        bridges = {network.bridge for network in scene.docker_networks()} - {GATEWAY_BRIDGE}
        rules = [
            rule
            for rule in scene.table(family, "filter").rules()
            if rule.target_name in BLOCKING
            and rule.parameters.in_interface in bridges
            and rule.parameters.in_interface == rule.parameters.out_interface
            and not rule.parameters.negated
        ]
        counted = sum(rule.counters.packets for rule in rules if rule.counters is not None)
        if counted:
            yield _icc_counted(rules, counted, family)
        elif rules and not scene.pasted.complaint.between:
            yield Finding(
                "icc-off-unchecked",
                message(
                    "Whether containers of {bridge} can talk to each other depends on br_netfilter, not on the rules"
                    " alone.",
                    bridge=rules[0].parameters.in_interface or "",
                ),
                tuple(map(of_rule, rules[:3])),
                message(
                    "The packets of containers on one bridge are switched, and pass iptables only if the module"
                    " br_netfilter is loaded and {name} is 1. Then rules for links must come before this one.",
                    name=name,
                ),
                message("To see it: {command}", command=shell(f"sysctl {name}")),
                None,
                family,
            )


def icc_off(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text about containers that do not reach each other, networks with icc off.

    Only those that have containers, unless no network is known to have one.
    """
    if not scene.pasted.complaint.between or scene.host.namespace.sysctls.get(BRIDGE_NF[4]) == "0":
        return
    every = scene.docker_networks()
    inhabited = [one for one in every if scene.members(one, 4)] or every
    networks = [one for one in inhabited if not one.icc and one.bridge != GATEWAY_BRIDGE]
    if not networks:
        return
    bridge = networks[0].bridge or ""
    rules = [
        rule
        for rule in scene.table(4, "filter").rules()
        if rule.target_name in BLOCKING
        and (rule.parameters.in_interface, rule.parameters.out_interface) == (bridge, bridge)
        and not rule.parameters.negated
    ]
    members = scene.members(networks[0], 4)
    shown = (
        scene.ask(members[0].name, place(members[1], networks[0]), 4, proto="tcp")
        if len(members) > 1
        else None
    )
    if shown is not None and shown.verdict == "ACCEPT":
        return
    yield Finding(
        "icc-off",
        message("icc is off on {bridge}, so its containers may not connect to each other.", bridge=bridge),
        tuple(map(of_rule, rules[:SHOWN])) or (Evidence(networks[0].name, "icc=false"),),
        message(
            "Docker drops what containers of such a network send to each other, except to the ports of linked ones."
            " Their way to the internet and published ports are not affected."
        ),
        _remedy(),
        shown if shown is not None and shown.verdict in BLOCKING else None,
        4,
    )


def _remedy() -> Message:
    return message(
        "To let them connect, create the network again without {option}=false (for docker0: icc=true in"
        " daemon.json), or connect both containers to another network.",
        option="com.docker.network.bridge.enable_icc",
    )


def _icc_counted(rules: list[Rule], count: int, family: Family) -> Finding:
    """Return the finding about rules whose counters show that iptables sees the packets between containers."""
    return Finding(
        "icc-off-unchecked",
        message_many(
            "Containers of {bridge} may not connect to each other: icc is off, and {count} packet was blocked.",
            "Containers of {bridge} may not connect to each other: icc is off, and {count} packets were blocked.",
            count,
            bridge=rules[0].parameters.in_interface or "",
        ),
        tuple(map(of_rule, rules[:3])),
        message(
            "The counter shows that br_netfilter is loaded, so iptables sees the packets that a bridge switches. Docker"
            " writes the rule for a network with icc=false."
        ),
        _remedy(),
        None,
        family,
    )
