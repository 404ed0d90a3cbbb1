"""Forwarded connections whose replies do not return: past the host, or blocked as rules name one direction alone.

DNAT changes only the destination. The target sees the client's own address and replies by its own routes. If these do
not lead through the host, nothing translates the reply back, and the client does not recognise it
(iptables-extensions(8), DNAT and MASQUERADE).
"""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text, is_private
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.findings.behind import second_address
from iptsim.findings.examples import arriving, header, is_for_replies
from iptsim.findings.finding import SHOWN, Finding, of_rule, uses
from iptsim.findings.host_traffic import TUNNEL
from iptsim.findings.port_forwards import Forward, forwards
from iptsim.findings.remedy import accept_replies, first_that_mends
from iptsim.findings.replies import blocked_in_forward
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.host import fib
from iptsim.host.docker_defaults import DOCKER0
from iptsim.languages import Message, message, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.passages import shell
from iptsim.protocols import UDP

#: UDP ports of protocols without replies: wake-on-LAN, SNMP traps, syslog, NetFlow, IPFIX and sFlow (IANA).
_WITHOUT_REPLIES = frozenset({9, 162, 514, 2055, 4739, 6343})
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


def one_direction(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a rule of FORWARD that accepts connections of machines that it names, but no replies."""
    for family in scene.families if scene.is_pasted and not scene.has_docker else ():
        if not scene.shows(family, "filter", "FORWARD"):
            continue
        for rule in scene.rules(family, "filter", "FORWARD"):
            if rule.target_name != "ACCEPT" or is_for_replies(rule) or not is_chosen(rule, scene):
                continue
            shown = _named_by(scene, family, rule)
            deciding = shown.trace.legs[0].deciding if shown is not None else None
            if shown is None or deciding is None or deciding.rule is not rule:
                continue
            request = shown.trace.legs[0].packet
            if request.proto == UDP and request.dport in _WITHOUT_REPLIES:
                continue
            if (step := blocked_in_forward(shown)) is not None:
                yield _one_direction(scene, family, rule, step, shown)
                break


def _named_by(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Walk a packet between the addresses that a rule of FORWARD names, one of which is private."""
    source, target = rule.parameters.source, rule.parameters.destination
    if rule.parameters.negated & {"source", "destination"}:
        return None
    sender, to = (second_address(one) if one is not None else "internet" for one in (source, target))
    if not any(is_private(family, one) for one in (sender, to) if one != "internet"):
        return None
    return scene.ask(sender, to, family, **header(rule), **arriving(rule))


def _one_direction(scene: Scene, family: Family, rule: Rule, step: Step, shown: Explanation) -> Finding:
    command = accept_replies(family, "FORWARD")
    return Finding(
        "forward-blocks-replies",
        message("{place} accepts connections, but FORWARD blocks the replies to them.", place=place_of(rule)),
        (of_rule(rule), scene.of_step(family, step)),
        message(
            "A rule for one direction does not cover the other: replies have the addresses and ports of the request in"
            " exchanged places, so another rule has to accept them, best by their state."
        ),
        message("Accept the replies: {command}", command=shell(command)),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown),
    )
