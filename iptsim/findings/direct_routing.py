"""Findings about containers' own addresses, which Docker 28 and later protect in table raw."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.findings.finding import Evidence, Finding, of_rule
from iptsim.findings.scene import Scene
from iptsim.languages import message


def blocked(scene: Scene) -> Iterator[Finding]:
    """Find rules that drop packets to containers' addresses, in a pasted text that shows only such rules.

    Every host with Docker 28 has such rules. A text with only these rules is about a connection that they drop.
    """
    if not scene.is_pasted:
        return
    for family, ruleset in scene.host.rulesets.items():
        if list(ruleset.tables) != ["raw"]:
            continue
        rules = [rule for rule in ruleset.rules() if _protects(rule)]
        if not rules:
            continue
        first = rules[0]
        destination = first.parameters.destination
        assert destination is not None
        address = address_text(family, destination.address)
        bridge = first.parameters.in_interface or ""
        yield Finding(
            "direct-routing-blocked",
            message(
                "Table raw drops packets to {address} that do not arrive on {bridge}.",
                address=address,
                bridge=bridge,
            ),
            tuple(map(of_rule, rules[:3])) or (Evidence("raw PREROUTING", first.text),),
            message(
                "Docker 28 and later write such a rule in raw PREROUTING for each container: VPN clients, tunnels and "
                "routed networks cannot reach containers at their own addresses. No later table sees the packet."
            ),
            message(
                'Publish the port, or allow it in Docker: "allow-direct-routing": true in daemon.json, or for one '
                "network -o com.docker.network.bridge.trusted_host_interfaces=INTERFACE"
            ),
            scene.ask("internet", address, family, proto="tcp", dport=80),
            family,
        )


def _protects(rule: Rule) -> bool:
    """Return whether a rule drops packets to an address unless they arrive on a certain interface."""
    parameters = rule.parameters
    return (
        rule.chain == "PREROUTING"
        and rule.target_name == "DROP"
        and parameters.destination is not None
        and "in_interface" in parameters.negated
    )
