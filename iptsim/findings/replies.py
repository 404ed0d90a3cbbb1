"""Replies that do not come back: dropped in INPUT, never counted in FORWARD, or sent to a private address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.dump.ruleset import Chain, Rule, tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import HiddenTarget
from iptsim.findings.behind import ask_outside, is_private, lans_behind, networks_behind, second_address
from iptsim.findings.examples import is_for_replies, packet_for, states_of
from iptsim.findings.finding import Evidence, Finding, of_policy, of_rule, uses
from iptsim.findings.native_chains import has_only_nftables
from iptsim.findings.remedy import outcome
from iptsim.findings.scene import Scene
from iptsim.languages import Message, Text, message, message_many, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.owners.docker import is_dockers
from iptsim.packet import ICMP, ICMPV6, Family, address_text


def dropped_in_input(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose own connections get no reply, because INPUT drops it."""
    for family in scene.families:
        shown = scene.ask_past_output("host", "internet", family, proto="tcp", dport=443)
        if shown is None and has_only_nftables(scene, family):
            shown = scene.ask("host", "internet", family, proto="tcp", dport=443)
        if shown is None or (step := reply_blocked(shown, "INPUT")) is None:
            continue
        if step.table != "filter":
            yield _drops_replies_of_nftables(family, step, shown)
        else:
            is_shown = scene.shows(family, "filter", "OUTPUT")
            yield _drops_replies(scene, family, step, shown if is_shown else None)


def reply_blocked(shown: Explanation, hook: str) -> Step | None:
    """Return the step of a hook at which rules block the reply to an accepted packet; None if none do there."""
    if len(shown.trace.legs) < 2 or shown.trace.legs[0].verdict != "ACCEPT":
        return None
    reply = shown.trace.legs[1]
    step = reply.deciding
    if reply.verdict not in ("DROP", "REJECT") or step is None or step.hook != hook or step.table is None:
        return None
    return step


def _drops_replies(scene: Scene, family: Family, step: Step, shown: Explanation | None) -> Finding:
    chain = scene.table(family, "filter").chains.get("INPUT")
    command = f"{tool_of(family)} -I INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    decides = of_rule(step.rule) if step.rule else of_policy(chain) if chain else None
    return Finding(
        "input-drops-replies",
        message("INPUT drops the replies to the host's own connections."),
        (decides,) if decides else (),
        message(
            "No rule of INPUT accepts packets of established connections. The host can send, but gets no reply: "
            "updates, DNS and docker pull time out."
        ),
        command,
        shown,
        family,
        (command,),
    )


def _drops_replies_of_nftables(family: Family, step: Step, shown: Explanation) -> Finding:
    chain = f"{step.table} {step.chain}"
    return Finding(
        "input-drops-replies",
        message("The nftables chain {chain} drops the replies to the host's own connections.", chain=chain),
        (
            of_rule(step.rule)
            if step.rule
            else Evidence(chain, message("policy {policy}", policy=step.verdict)),
        ),
        message(
            "No rule of it accepts packets of established connections. The host can send, but gets no reply: "
            "updates, DNS and docker pull time out."
        ),
        f"nft insert rule {chain} ct state established,related accept",
        shown,
        family,
    )


def dropped_in_output(scene: Scene) -> Iterator[Finding]:
    """Find hosts that accept connections to one of their ports, but drop the replies in OUTPUT."""
    for family in scene.families:
        chain = scene.table(family, "filter").chains.get("OUTPUT")
        if chain is None or scene.accepts_all(family, "filter", "OUTPUT"):
            continue
        hooks = scene.hooks(family, "filter")
        for rule in scene.table(family, "filter").rules():
            if "INPUT" not in hooks.get(rule.chain, ()) or not opens_port(rule):
                continue
            shown = packet_for(scene, family, rule, "INPUT")
            if shown is not None and (step := _drops_reply(shown)) is not None:
                yield _replies_dropped(family, chain, rule, step, shown)
                break


def opens_port(rule: Rule) -> bool:
    """Return whether a rule accepts new connections to a port, from other hosts."""
    named = any(isinstance(one.allowed, tuple) and not one.negated for one in rule.conditions_on("dport"))
    states = {state for match in rule.matches for state in states_of(match)}
    is_new = not states or "NEW" in states
    return named and is_new and rule.target_name == "ACCEPT" and rule.parameters.in_interface != "lo"


def _drops_reply(shown: Explanation) -> Step | None:
    """Return the step of OUTPUT that drops the reply to an accepted packet; only hidden addresses may be undecided."""
    if shown.verdict not in ("DROP", "REJECT", "DEPENDS") or any(hinge.match for hinge in shown.trace.hinges):
        return None
    found = None
    for trace in shown.trace.branches or [shown.trace]:
        request, *replies = trace.legs
        if request.verdict != "ACCEPT" or not replies:
            return None
        step = replies[0].deciding
        if trace.verdict == "ACCEPT":
            continue
        if step is None or (step.table, step.hook) != ("filter", "OUTPUT"):
            return None
        found = step
    return found


def _replies_dropped(family: Family, chain: Chain, rule: Rule, step: Step, shown: Explanation) -> Finding:
    command = f"{tool_of(family)} -I OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    return Finding(
        "output-drops-replies",
        message("OUTPUT drops the replies of the host's own services."),
        (of_rule(rule), of_rule(step.rule) if step.rule is not None else of_policy(chain)),
        message_sentences(
            message(
                "{chain} rule {position} accepts the connection, but no rule of OUTPUT accepts the reply, so the "
                "client gets none.",
                chain=rule.chain,
                position=rule.position,
            ),
            message("Rules whose addresses the source does not show may accept some replies.")
            if shown.verdict == "DEPENDS"
            else "",
        ),
        command,
        shown,
        family,
        (command,),
    )


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
        step.hook == "POSTROUTING" and step.verdict in ("MASQUERADE", "SNAT")
        for step in shown.trace.legs[0].all_steps
    )


def _mirror(rules: list[Rule], rule: Rule) -> Rule | None:
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
                command=f"{tool_of(family)} -t nat -A POSTROUTING {_from(rule)} -o UPLINK -j MASQUERADE.",
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


def not_masqueraded(scene: Scene) -> Iterator[Finding]:
    """Find networks behind the host whose connections leave it with their own, private address."""
    for family in scene.families:
        nat = scene.host.rulesets[family].tables.get("nat")
        partial = scene.host.inferred or scene.host.pasted is not None
        hidden = nat is None or (partial and not _shows_chain(scene, family, "POSTROUTING"))
        if hidden and not scene.has_no_rules:
            continue  # it may be there, and not be shown
        for behind in networks_behind(scene, family):
            if scene.host.network_of_bridge(behind.interface) is not None:
                continue  # its program writes no rule if the network is routed, as in libvirt
            yield from _private(scene, family, behind.name, ask_outside(scene, family, behind))
        # a router that translates nothing may be one inside a network that knows its LANs
        for behind in lans_behind(scene, family) if _translates(scene, family) else ():
            yield from _private(scene, family, behind.name, ask_outside(scene, family, behind))
        for network in scene.docker_networks():
            if network.internal or network.gateway_mode.get(family, "nat") != "nat":
                continue
            if _is_routed(scene, family, network.bridge):
                continue
            for container in scene.members(network, family)[:1]:
                shown = scene.ask(container.name, "internet", family, proto="tcp", dport=443)
                yield from _private(scene, family, network.bridge or network.name, shown)


def _translates(scene: Scene, family: Family) -> bool:
    """Return whether a rule that is not Docker's translates the source of packets."""
    return any(
        rule.target_name in ("MASQUERADE", "SNAT") and not is_dockers(rule)
        for rule in scene.rules(family, "nat", "POSTROUTING")
    )


def _shows_chain(scene: Scene, family: Family, name: str) -> bool:
    """Return whether the source shows a chain of nat, and no rules of it are missing."""
    return name in scene.table(family, "nat").chains and scene.shows(family, "nat", name)


def _is_routed(scene: Scene, family: Family, bridge: str | None) -> bool:
    """Return whether Docker's rules show that a network has the gateway mode routed: only there they accept ICMP.

    Source: moby v28.5.2, daemon/libnetwork/drivers/bridge/internal/iptabler/network.go.
    """
    return any(
        rule.parameters.out_interface == bridge
        and rule.target_name == "ACCEPT"
        and rule.parameters.protocol in (ICMP, ICMPV6)
        for rule in scene.rules(family, "filter", "DOCKER")
    )


def _private(scene: Scene, family: Family, name: str, shown: Explanation | None) -> Iterator[Finding]:
    """Yield the finding, if a packet leaves the host with a private source address."""
    if shown is None:
        return
    source, outside = _private_source(scene, family, shown), scene.outside_interface(family)
    if source is None or outside is None:
        return
    way_out = outside.name
    near = [
        rule
        for rule in scene.rules(family, "nat", "POSTROUTING")
        if rule.target_name in ("MASQUERADE", "SNAT") and not _is_hairpin(rule)
    ]
    command = f"{tool_of(family)} -t nat -A POSTROUTING -s {source} -o {way_out} -j MASQUERADE"
    after = outcome(scene, family, (command,), shown)
    if after is None or after.verdict != "ACCEPT" or _private_source(scene, family, after) is not None:
        return
    yield Finding(
        "not-masqueraded",
        message(
            "Packets from behind {name} leave the host with their own addresses: no rule masquerades them.",
            name=name,
        ),
        tuple(map(of_rule, near[:3])) or (Evidence("nat POSTROUTING", message("no rule masquerades")),),
        message_sentences(
            message(
                "Packets leave by {interface} from {source}, a private address. Replies come back only if the router "
                "there has a route to it.",
                interface=way_out,
                source=source,
            ),
            _why_not(near, way_out),
        ),
        message("{command} (or with the whole network instead of the address)", command=command),
        shown,
        family,
    )


def _is_hairpin(rule: Rule) -> bool:
    """Return whether a rule is for packets that stay on a bridge: those of the host, or of a container to itself."""
    parameters = rule.parameters
    own = any(match.name == "addrtype" for match in rule.matches)
    return own or (parameters.source is not None and parameters.source == parameters.destination)


def _private_source(scene: Scene, family: Family, shown: Explanation) -> str | None:
    """Return the private source address, outside the uplink's network, with which a packet leaves the host."""
    leg, outside = shown.trace.legs[0], scene.outside_interface(family)
    if leg.verdict != "ACCEPT" or leg.delivered is None or outside is None:
        return None
    if any(step.rule is not None and isinstance(step.rule.target, HiddenTarget) for step in leg.all_steps):
        return None  # it may translate the source
    address = leg.delivered.packet.src
    source = address_text(family, address)
    is_own = any(one.covers(address) for one in outside.addresses if one.family == family)
    ways_out = [step.interfaces[1] for step in leg.all_steps if step.interfaces[1]]
    elsewhere = bool(ways_out) and ways_out[-1] != outside.name  # without rules, no step tells
    return None if is_own or not is_private(family, source) or elsewhere else source


def _why_not(near: list[Rule], way_out: str) -> Message | str:
    """Return why the rules that masquerade do not match these packets."""
    for rule in near:
        out = rule.parameters.out_interface
        if out is not None and "out_interface" not in rule.parameters.negated and out != way_out:
            return message(
                "Rule {position} masquerades packets that leave by {out}, but these packets leave by {interface}.",
                position=rule.position,
                out=out,
                interface=way_out,
            )
        if rule.parameters.source is not None:
            return message(
                "Rule {position} masquerades {network} only.",
                position=rule.position,
                network=str(rule.parameters.source),
            )
    return ""
