"""Replies that do not come back: blocked in INPUT, OUTPUT or FORWARD, or sent to a private address."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text, is_private
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import HiddenTarget, hides_interfaces
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_SOURCE
from iptsim.findings.behind import Behind, ask_outside, lans_behind, networks_behind, subnet_of
from iptsim.findings.examples import packet_for, states_of
from iptsim.findings.finding import Evidence, Finding, of_rule
from iptsim.findings.native_chains import has_only_nftables
from iptsim.findings.remedy import accept_replies, first_that_mends, outcome
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.languages import Message, message, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell
from iptsim.protocols import ICMP, ICMPV6


def dropped_in_input(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose own connections get no reply, because INPUT drops it."""
    for family in scene.families:
        is_shown = scene.shows(family, "filter", "OUTPUT")
        shown = _to_internet(scene, family, "tcp", 443)
        if shown is None:
            continue
        step = reply_blocked(shown, "INPUT") or _blocked_anyway(shown)
        if step is None and _may_be_blocked(shown):
            if (rule := _for_some_interface(shown)) is not None:
                yield _drops_replies_unless(family, rule, shown if is_shown else None)
                continue
            # what may accept the reply can be for TCP alone, such as a chain that is not shown
            shown = _to_internet(scene, family, "udp", 53) or shown
            step = reply_blocked(shown, "INPUT")
        if step is None:
            yield from _other_replies(scene, family, shown) if is_shown else ()
            continue
        if step.table != "filter":
            yield _drops_replies_of_nftables(scene, family, step, shown)
        else:
            yield _drops_replies(scene, family, step, shown if is_shown else None)


def _other_replies(scene: Scene, family: Family, shown: Explanation) -> Iterator[Finding]:
    """Find hosts whose INPUT accepts replies from certain ports alone, though OUTPUT lets them connect to others."""
    accepting = shown.trace.legs[1].deciding if len(shown.trace.legs) > 1 else None
    rule = accepting.rule if accepting is not None and accepting.hook == "INPUT" else None
    if rule is None or not rule.conditions_on("sport"):
        return
    other = scene.ask_past_output("host", "internet", family, proto="tcp", dport=SOME_PORT)
    step = reply_blocked(other, "INPUT") if other is not None else None
    if step is None or step.table != "filter":
        return
    command = accept_replies(family, "INPUT")
    yield Finding(
        "input-drops-replies",
        message("INPUT drops the replies to the host's own connections, except from ports that rules name."),
        (of_rule(rule), scene.of_step(family, step)),
        message(
            "It accepts replies by their source port (--sport) only, but OUTPUT lets the host connect to other ports,"
            " too: what it gets from there is dropped. One rule for established connections covers all of them."
        ),
        shell(command),
        other,
        family,
        (command,),
    )


def _to_internet(scene: Scene, family: Family, proto: str, port: int) -> Explanation | None:
    """Ask about a connection of the host itself; None if it can't leave."""
    shown = scene.ask_past_output("host", "internet", family, proto=proto, dport=port)
    if shown is None and has_only_nftables(scene, family):
        return scene.ask("host", "internet", family, proto=proto, dport=port)
    return shown


def reply_blocked(shown: Explanation, hook: str) -> Step | None:
    """Return the step of a hook at which rules block the reply to an accepted packet; None if none do there."""
    if len(shown.trace.legs) < 2 or shown.trace.legs[0].verdict != "ACCEPT":
        return None
    reply = shown.trace.legs[1]
    step = reply.deciding
    if reply.verdict not in BLOCKING or step is None or step.hook != hook or step.table is None:
        return None
    return step


def _blocked_anyway(shown: Explanation) -> Step | None:
    """Return the step of INPUT that blocks the reply whenever the request leaves, if that depends on something."""
    steps = [reply_blocked(one, "INPUT") for one in shown.branches if len(one.trace.legs) > 1]
    return steps[0] if all(steps) and steps else None


def _may_be_blocked(shown: Explanation) -> bool:
    return any(reply_blocked(branch, "INPUT") for branch in shown.branches)


def _for_some_interface(shown: Explanation) -> Rule | None:
    """Return the only rule that may accept the reply: one without conditions, but for an interface that is hidden.

    Behind it, rules that block everything may be on interfaces that are hidden, too.
    """
    undecided = [hinge.rule for hinge in shown.trace.hinges]
    if any(rule is None or rule.chain != "INPUT" or not _hides_only_interface(rule) for rule in undecided):
        return None
    accepting = [rule for rule in undecided if rule is not None and rule.target_name == "ACCEPT"]
    blocking = [rule for rule in undecided if rule is not None and rule.target_name in BLOCKING]
    return accepting[0] if len(accepting) == 1 and len(accepting) + len(blocking) == len(undecided) else None


def _hides_only_interface(rule: Rule) -> bool:
    return len(rule.matches) == 1 and hides_interfaces(rule.matches[0])


def _drops_replies_unless(family: Family, rule: Rule, shown: Explanation | None) -> Finding:
    command = accept_replies(family, "INPUT")
    return Finding(
        "input-drops-replies",
        message(
            "INPUT drops the replies to the host's own connections, if rule {position} is for lo only.",
            position=rule.position,
        ),
        (of_rule(rule),),
        message(
            "iptables -L hides the interface of rule {position} without -v. With an interface, it accepts no replies"
            " from others: updates, downloads and DNS time out. Without one, it accepts every packet, and the rules"
            " after it have no effect.",
            position=rule.position,
        ),
        shell(command),
        shown,
        family,
        (command,),
    )


def _drops_replies(scene: Scene, family: Family, step: Step, shown: Explanation | None) -> Finding:
    command = accept_replies(family, "INPUT")
    return Finding(
        "input-drops-replies",
        message("INPUT drops the replies to the host's own connections."),
        (scene.of_step(family, step),),
        message(
            "No rule of INPUT accepts packets of established connections. The host can send, but gets no reply: "
            "updates, downloads and DNS time out."
        ),
        shell(command),
        shown,
        family,
        (command,),
    )


def _drops_replies_of_nftables(scene: Scene, family: Family, step: Step, shown: Explanation) -> Finding:
    chain = f"{step.table} {step.chain}"
    return Finding(
        "input-drops-replies",
        message("The nftables chain {chain} drops the replies to the host's own connections.", chain=chain),
        (scene.of_step(family, step),),
        message(
            "No rule of it accepts packets of established connections. The host can send, but gets no reply: "
            "updates, downloads and DNS time out."
        ),
        shell(f"nft insert rule {chain} ct state established,related accept"),
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
                yield _replies_dropped(scene, family, rule, step, shown)
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


def _replies_dropped(scene: Scene, family: Family, rule: Rule, step: Step, shown: Explanation) -> Finding:
    command = accept_replies(family, "OUTPUT")
    return Finding(
        "output-drops-replies",
        message("OUTPUT drops the replies of the host's own services."),
        (of_rule(rule), scene.of_step(family, step)),
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
        shell(command),
        shown,
        family,
        (command,),
    )


def not_masqueraded(scene: Scene) -> Iterator[Finding]:
    """Find networks behind the host whose connections leave it with their own, private address."""
    for family in scene.families:
        nat = scene.host.rulesets[family].tables.get("nat")
        partial = scene.host.inferred or scene.is_pasted
        hidden = nat is None or (partial and not _shows_postrouting(scene, family))
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
        rule.target_name in TRANSLATING_SOURCE and not is_dockers(rule)
        for rule in scene.rules(family, "nat", "POSTROUTING")
    )


def _shows_postrouting(scene: Scene, family: Family) -> bool:
    """Return whether the source shows POSTROUTING of nat, and no rules of it are missing."""
    name = "POSTROUTING"
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
    source, outside = private_source(scene, family, shown), scene.outside_interface(family)
    if source is None or outside is None:
        return
    way_out = outside.name
    near = [
        rule
        for rule in scene.rules(family, "nat", "POSTROUTING")
        if rule.target_name in TRANSLATING_SOURCE and not _is_hairpin(rule)
    ]
    subnet = subnet_of(scene, family, source)
    command = f"{tool_of(family)} -t nat -A POSTROUTING -s {subnet or source} -o {way_out} -j MASQUERADE"
    after = outcome(scene, family, (command,), shown)
    allowed = after is not None and after.verdict in ("ACCEPT", shown.verdict)
    if after is None or not allowed or private_source(scene, family, after) is not None:
        return
    evidence = tuple(map(of_rule, near[:3])) or (Evidence("nat POSTROUTING", message("no rule masquerades")),)
    yield leaves_private(family, name, source, way_out, evidence, near, masquerading(command, subnet), shown)


def leaves_private(
    family: Family,
    name: str,
    source: str,
    way_out: str,
    evidence: tuple[Evidence, ...],
    near: list[Rule],
    remedy: Message,
    shown: Explanation,
) -> Finding:
    """Return the finding about a network whose packets leave the host with a private source address.

    Args:
        family: the address family.
        name: the network, or the interface that it is behind.
        source: the address.
        way_out: the interface by which they leave.
        evidence: the rules that masquerade others, or that none does.
        near: those rules.
        remedy: what masquerades them.
        shown: such a packet.
    """
    return Finding(
        "not-masqueraded",
        message(
            "Packets from behind {name} leave the host with their own addresses: no rule masquerades them.",
            name=name,
        ),
        evidence,
        message_sentences(
            message(
                "Packets leave by {interface} from {source}, a private address. Replies come back only if the router "
                "there has a route to it.",
                interface=way_out,
                source=source,
            ),
            _why_not(near, way_out),
        ),
        remedy,
        shown,
        family,
    )


def masquerading(command: str, subnet: str) -> Message:
    """Return the remedy of a command that masquerades a subnet, or one machine of a subnet that is unknown."""
    if subnet:
        return shell(command)
    return message(
        "{command}. For all machines there, give the network instead of the address.", command=shell(command)
    )


def _is_hairpin(rule: Rule) -> bool:
    """Return whether a rule is for packets that stay on a bridge: those of the host, or of a container to itself."""
    parameters = rule.parameters
    own = any(match.name == "addrtype" for match in rule.matches)
    return own or (parameters.source is not None and parameters.source == parameters.destination)


def private_source(scene: Scene, family: Family, shown: Explanation) -> str | None:
    """Return the private source address, outside the uplink's network, with which a packet leaves the host.

    If rules that are not shown may block it, that is how it leaves otherwise.
    """
    if shown.verdict == "DEPENDS":
        shown = next((branch for branch in shown.branches if branch.verdict == "ACCEPT"), shown)
    leg, outside = shown.trace.legs[0], scene.outside_interface(family)
    if leg.verdict != "ACCEPT" or leg.delivered is None or outside is None:
        return None
    if any(_may_translate(step.rule) for step in leg.all_steps if step.rule is not None):
        return None
    address = leg.delivered.packet.src
    source = address_text(family, address)
    is_own = any(one.covers(address) for one in outside.addresses if one.family == family)
    ways_out = [step.interfaces[1] for step in leg.all_steps if step.interfaces[1]]
    elsewhere = bool(ways_out) and ways_out[-1] != outside.name  # without rules, no step tells
    return None if is_own or not is_private(family, source) or elsewhere else source


def _may_translate(rule: Rule) -> bool:
    """Return whether a rule that is not shown may translate the source of packets."""
    return rule.table != "filter" and isinstance(rule.target, HiddenTarget)


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


def forwarded_blocked(scene: Scene) -> Iterator[Finding]:
    """Find tunnels, bridges and guests whose connections FORWARD accepts, while it blocks the replies to them."""
    for family in scene.families:
        if not scene.shows(family, "filter", "FORWARD"):
            continue
        for behind in networks_behind(scene, family):
            shown = ask_outside(scene, family, behind)
            if shown is not None and (step := blocked_in_forward(shown)) is not None:
                yield _finding(scene, family, behind, step, shown)


def blocked_in_forward(shown: Explanation) -> Step | None:
    """Return the step of FORWARD that certainly blocks the reply to a packet that was delivered."""
    step = reply_blocked(shown, "FORWARD") if shown.verdict in BLOCKING else None
    return step if step is not None and step.table == "filter" else None


def _finding(scene: Scene, family: Family, behind: Behind, step: Step, shown: Explanation) -> Finding:
    command = accept_replies(family, "FORWARD", behind.leaving)
    return Finding(
        "forward-blocks-replies",
        message(
            "FORWARD lets packets from behind {name} out, but blocks the replies to them.", name=behind.name
        ),
        (scene.of_step(family, step),),
        message(
            "A rule for one direction does not cover the other: replies arrive on the uplink, and another rule has to"
            " accept them, best by their state."
        ),
        message("Accept the replies: {command}", command=shell(command)),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown),
    )
