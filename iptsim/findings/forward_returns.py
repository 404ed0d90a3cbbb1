"""Port forwards whose target does not send its replies through the host, so that the client gets none.

DNAT changes only the destination. The target sees the client's own address and replies by its own routes. If these do
not lead through the host, nothing translates the reply back, and the client does not recognise it
(iptables-extensions(8), DNAT and MASQUERADE).
"""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.findings.finding import SHOWN, Finding, of_rule, uses
from iptsim.findings.host_traffic import TUNNEL
from iptsim.findings.port_forwards import Forward, forwards
from iptsim.findings.scene import Scene
from iptsim.host import fib
from iptsim.host.docker_defaults import DOCKER0
from iptsim.languages import Message, message, message_sentences
from iptsim.passages import shell

_MASQUERADING = ("MASQUERADE", "SNAT", "NETMAP")


def lost(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, port forwards that leave by the uplink again, or to where replies may go elsewhere."""
    for family in scene.families if scene.is_pasted else ():
        found: dict[tuple[int, bool], list[tuple[Forward, Explanation]]] = {}
        for forward in forwards(scene, family):
            shown = scene.ask("internet", forward.at, family, **forward.fields)
            if shown is None or not uses(shown, forward.rule) or _is_masqueraded(shown):
                continue
            sure = _leaves_by_uplink(scene, family, forward)
            if sure or _may_reply_elsewhere(scene, family, forward):
                found.setdefault((forward.target, sure), []).append((forward, shown))
        for (_, sure), group in found.items():
            yield _finding(scene, family, group, sure=sure)


def _is_masqueraded(shown: Explanation) -> bool:
    """Return whether a rule may change the source of a request as it leaves."""
    traces = (shown.trace, *shown.trace.branches)
    steps = (step for trace in traces for step in trace.legs[0].all_steps)
    return any(step.rule is not None and step.rule.target_name in _MASQUERADING for step in steps)


def _leaves_by_uplink(scene: Scene, family: Family, forward: Forward) -> bool:
    """Return whether a target is where the clients are: the host is not on the way between them.

    Only what the text shows is sure. A target in a network of the host, or behind another router there, may use this
    host as its gateway.
    """
    uplink, pasted = scene.outside_interface(family), scene.pasted
    if uplink is None or uplink.name not in pasted.interfaces or not pasted.shows_routes(family):
        return False
    way = fib.lookup(scene.host.namespace, family, forward.target)
    by_default = way.route is not None and way.route.prefix_length == 0
    arriving = forward.rule.parameters.in_interface
    named = arriving is not None and "in_interface" not in forward.rule.parameters.negated
    return by_default and way.device == uplink.name and (not named or arriving == uplink.name)


def _may_reply_elsewhere(scene: Scene, family: Family, forward: Forward) -> bool:
    """Return whether nothing shows that the host is the gateway of a target: it masquerades nothing, or in a VPN.

    Of the containers and guests on its bridges it is.
    """
    if not scene.shows(family, "nat", "POSTROUTING") or _is_behind_bridge(scene, family, forward.target):
        return False
    device = fib.lookup(scene.host.namespace, family, forward.target).device or ""
    rules = scene.table(family, "nat").rules()
    return bool(TUNNEL.fullmatch(device)) or not any(one.target_name in _MASQUERADING for one in rules)


def _is_behind_bridge(scene: Scene, family: Family, target: int) -> bool:
    """Return whether a target is a container or guest on a bridge of the host, which is its gateway."""
    return scene.host.is_inside(family, target) or (
        not scene.pasted.interfaces and DOCKER0.covers(family, target)
    )


def _finding(
    scene: Scene, family: Family, group: list[tuple[Forward, Explanation]], *, sure: bool
) -> Finding:
    forward, shown = group[0]
    target = address_text(family, forward.target)
    command = f"{tool_of(family)} -t nat -A POSTROUTING -d {target} -j MASQUERADE"
    return Finding(
        "forward-without-return" if sure else "forward-needs-return",
        _title(target, sure=sure),
        tuple(of_rule(one.rule) for one, _ in group[:SHOWN]),
        message_sentences(
            message(
                "DNAT changes only the destination, so {target} sees the client's own address, and replies by its own"
                " routes. If they do not lead through this host, nothing translates the reply back, and the client"
                " ignores it.",
                target=target,
            ),
            message("Rules of nat POSTROUTING that the source does not show may masquerade them.")
            if not scene.shows(family, "nat", "POSTROUTING")
            else "",
        ),
        message(
            "Let the target see this host instead of the client: {command}. Or make this host its gateway; for a peer"
            " of WireGuard, AllowedIPs = 0.0.0.0/0.",
            command=shell(command),
        ),
        shown,
        family,
    )


def _title(target: str, *, sure: bool) -> Message:
    if sure:
        return message(
            "The port forward to {target} gets no reply: the host is not on the way from there to the clients.",
            target=target,
        )
    return message(
        "The port forward to {target} works only if its replies come back through this host.", target=target
    )
