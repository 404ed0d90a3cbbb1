"""Rules that masquerade incoming connections, too: containers and port forwards do not see their clients."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.port_forwards import forwards
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.docker import is_dockers


def masked(scene: Scene) -> Iterator[Finding]:
    """Find rules that masquerade all packets, on hosts with containers or port forwards."""
    for family in scene.families:
        rules = [rule for rule in scene.rules(family, "nat", "POSTROUTING") if _takes_all(rule)]
        if rules and (scene.host.networks or any(forwards(scene, family))):
            yield _finding(scene, family, rules[0])
        elif not rules:
            yield from _of_ports(scene, family)


def _of_ports(scene: Scene, family: Family) -> Iterator[Finding]:
    """Find rules that masquerade all packets to a port, if a port forward leads to it."""
    chosen = [rule for rule in scene.rules(family, "nat", "POSTROUTING") if _takes_port(rule)]
    for rule in chosen:
        for one in forwards(scene, family):
            shown = scene.ask("internet", one.at, family, **one.fields)
            if shown is None or not uses(shown, rule):
                continue
            target = address_text(family, one.target)
            yield Finding(
                "clients-masqueraded",
                message(
                    "nat POSTROUTING rule {position} masquerades the connections that are forwarded to {target}, too:"
                    " it sees an address of the host instead of the client's.",
                    position=rule.position,
                    target=target,
                ),
                (of_rule(rule), of_rule(one.rule)),
                message(
                    "Logs, bans and access lists there know one client only. Without the rule, {target} has to send"
                    " its replies through this host.",
                    target=target,
                ),
                message(
                    "If it reaches the internet through this host, remove the rule: {command}",
                    command=deletion(scene, family, rule),
                ),
                shown,
                family,
            )
            return


def _takes_all(rule: Rule) -> bool:
    """Return whether a rule masquerades whatever leaves, by any interface."""
    return _takes(rule, frozenset()) and not rule.parameters.protocol


def _takes_port(rule: Rule) -> bool:
    """Return whether a rule masquerades whatever leaves for a port, by any interface."""
    return _takes(rule, frozenset({"tcp", "udp", "multiport"})) and bool(rule.conditions_on("dport"))


def _takes(rule: Rule, matches: frozenset[str]) -> bool:
    """Return whether a person's rule masquerades from and to all addresses, with at most some kinds of matches."""
    parameters = rule.parameters
    named = (parameters.source, parameters.destination, parameters.out_interface)
    others = rule.extension_names - {"comment", "MASQUERADE", *matches}
    return rule.target_name == "MASQUERADE" and not is_dockers(rule) and not any(named) and not others


def _finding(scene: Scene, family: Family, rule: Rule) -> Finding:
    uplink = scene.outside_interface(family)
    out = "UPLINK" if uplink is None or scene.host.inferred else uplink.name
    asked = (scene.ask_port(one) for one in scene.publications(family))
    by_hand = (scene.ask("internet", one.at, family, **one.fields) for one in forwards(scene, family))
    shown = next((one for one in (*asked, *by_hand) if one is not None and uses(one, rule)), None)
    return Finding(
        "clients-masqueraded",
        message(
            "nat POSTROUTING rule {position} masquerades incoming connections, too: containers and port forwards see"
            " an address of the host instead of the client's.",
            position=rule.position,
        ),
        (of_rule(rule),),
        message(
            "Logs, bans and access lists there know one client only. The rule is for packets that leave the host for"
            " the outside, but it names no interface."
        ),
        message(
            "Name the uplink: {command}",
            command=f"{tool_of(family)} -t nat -R POSTROUTING {rule.position} -o {out} -j MASQUERADE",
        ),
        shown,
        family,
    )
