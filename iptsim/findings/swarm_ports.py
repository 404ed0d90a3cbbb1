"""Ports that the nodes of a swarm need from each other, of which the rules of INPUT open only some.

Source: Docker's manual, "Use overlay networks".
"""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import second_address
from iptsim.findings.closed import at_first_sight
from iptsim.findings.examples import is_for_replies
from iptsim.findings.finding import Finding, filtered_at, of_rule, port_ranges, takes_port
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.host.evidence import BRIDGE
from iptsim.languages import message, message_joined
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: By which nodes join, and for the nodes' talk about containers and addresses.
_JOIN, _GOSSIP = 2377, 7946
#: A wider range of ports is not for a swarm.
_FEW = 10
#: What each node needs, besides the port by which managers let others join.
_NEEDED = (("tcp", _GOSSIP), ("udp", _GOSSIP), ("udp", 4789))


def closed(scene: Scene) -> Iterator[Finding]:
    """Find ports between nodes that INPUT blocks, although a rule accepts another of them."""
    for family in scene.families:
        rule = next((one for one in scene.rules_below(family, "filter", "INPUT") if _is_for_nodes(one)), None)
        if rule is None:
            continue
        read = at_first_sight(scene, family) or scene
        source = rule.parameters.source
        opened = [one for one in scene.rules_below(family, "filter", "INPUT") if one.target_name == "ACCEPT"]
        sender = "internet" if source is None else second_address(source)
        asked = {one: read.ask(sender, "host", family, proto=one[0], dport=one[1]) for one in _NEEDED}
        blocked = {
            one: shown
            for one, shown in asked.items()
            if shown is not None and shown.verdict in BLOCKING and filtered_at(shown, "INPUT") is not None
            if not any(_may_take(rule, *one) for rule in opened)  # else from certain senders
        }
        if not blocked:
            continue
        shown = next(iter(blocked.values()))
        step = filtered_at(shown, "INPUT")
        where = "" if source is None else f"-s {source.short} "
        commands = tuple(
            f"{tool_of(family)} -I INPUT {where}-p {proto} --dport {port} -j ACCEPT"
            for proto, port in blocked
        )
        yield Finding(
            "swarm-port-closed",
            message(
                "INPUT accepts a port that the nodes of a swarm use, but blocks {ports}, which they need, too.",
                ports=message_joined(", ", [f"{port}/{proto}" for proto, port in blocked]),
            ),
            (of_rule(rule), *([scene.of_step(family, step)] if step is not None else ())),
            message(
                "Nodes join over tcp/2377. Over tcp/7946 and udp/7946, they tell each other where containers are."
                " udp/4789 (VXLAN) carries the packets of overlay networks and of published ports. Without 7946 and"
                " 4789, nodes are listed as ready, but containers on different nodes cannot reach each other."
            ),
            shell(*commands),
            shown,
            family,
            first_that_mends(scene, family, [commands[:1]], shown) if read is scene else (),
        )


def _may_take(rule: Rule, proto: str, port: int) -> bool:
    """Return whether a rule is for new connections to a port, by another interface than lo and bridges."""
    parameters = rule.parameters
    is_local = parameters.in_interface == "lo" or BRIDGE.fullmatch(parameters.in_interface or "") is not None
    is_for = parameters.protocol is None or protocol_name(parameters.protocol) == proto
    return is_for and not is_local and not is_for_replies(rule) and takes_port(rule, port)


def _is_for_nodes(rule: Rule) -> bool:
    """Return whether a rule accepts one of the ports that only nodes of a swarm use, and not many ports."""
    if rule.target_name != "ACCEPT" or rule.parameters.negated & {"source", "protocol"}:
        return False
    return any(
        low <= port <= high < low + _FEW for low, high in port_ranges(rule) for port in (_JOIN, _GOSSIP)
    )
