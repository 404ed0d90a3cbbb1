"""Why a packet is accepted, and what happens to it."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.docker.roles import network_name, role_of
from iptsim.dump.owners import rule_owner
from iptsim.explanation import branches
from iptsim.explanation.case import (
    Case,
    Reason,
    destination_text,
    is_shut_in,
    own_address_text,
    packets_text,
    port_text,
)
from iptsim.explanation.places import place_of
from iptsim.host.model import Host
from iptsim.languages import joined, say, sentence, sentences
from iptsim.netfilter.answers import is_sent_bare
from iptsim.netfilter.trace import Leg, Step, Trace
from iptsim.packet import PORT_PROTOCOLS, Packet, address_text, is_icmp_error, parse_address, protocol_name
from iptsim.question.model import Question

#: Verdicts of rules that give the packet another destination.
_MOVING = ("DNAT", "REDIRECT", "NETMAP")


def accepted(host: Host, question: Question, trace: Trace) -> Reason:
    """Return the reason of ACCEPT."""
    leg = trace.legs[0]
    steps = accepting(leg)
    case = Case(host, question, trace, leg, steps[0] if len(steps) == 1 else None)
    forward = next((one for one in leg.steps if _is_forward(one, host) and not one.maybe), None)
    bypass = next((step for step in leg.steps if step.code == "bypasses-iptables"), None)
    if bypass is not None:
        return Reason("bypasses-iptables", _bypass_text(case, bypass), bypass, leg)
    if any(one.proxy for one in trace.legs):
        return _proxied(case)
    if len(steps) > 1:
        reason = branches.accepted(leg, steps)
        reason.text = sentences(reason.text, branches.destination_text(trace), _source_text(case))
        return reason
    if forward is not None and leg.delivered is not None and not trace.branches:
        return _published(case, forward)
    if not leg.steps:
        return _unseen(case)
    if case.role is not None and (maker := _BY_ROLE.get(case.role.code)):
        code, text = maker(case)
        return Reason(code, text, case.step, leg)
    if case.step is None or case.step.policy:
        return _by_policy(case)
    return Reason("rule-accept", _accept_text(case), case.step, leg)


def accepting(leg: Leg) -> list[Step]:
    """Return what let the packet through: the last rule of the filter table, else its policy.

    Several steps where the ways of the packet end at different ones, none where no table has a chain for it.
    """
    steps = [step for step in leg.steps if step.verdict == "ACCEPT" and step.table == "filter"]
    if any(step.maybe for step in steps):
        return [step for step in steps if step.maybe]
    rules = [step for step in steps if step.rule is not None]
    if found := rules or steps:
        return found[-1:]
    others = [step for step in leg.steps if step.verdict == "ACCEPT" and step.table]
    firm = [step for step in others if not step.maybe]
    return firm[-1:]


def _is_forward(step: Step, host: Host) -> bool:
    """Tell whether a step is Docker's forwarding of a published port."""
    role = role_of(step.rule, host) if step.rule is not None else None
    return role is not None and role.code == "port-forward"


# -- Docker's rules --------------------------------------------------------------------------------


def _icc(case: Case) -> tuple[str, str]:
    bridge = network_name(case.host, (case.step.interfaces[0] if case.step else None) or "")
    return (
        "icc-enabled",
        say(
            "Both are on {bridge}, and containers there may talk to each other on all ports: icc is on.",
            bridge=bridge,
        ),
    )


def _outgoing(case: Case) -> tuple[str, str]:
    way = case.step.interfaces if case.step is not None else (None, None)
    if way[0] is not None and way[0] == way[1]:
        return _icc(case)
    network = case.role.shown if case.role else ""
    return "outgoing", sentences(
        say("Docker lets containers on {network} reach the outside.", network=network),
        _astray_text(case),
        _source_text(case),
    )


def _link(case: Case) -> tuple[str, str]:
    packet, role = case.packet, case.role
    sender, target = case.name(packet.src), case.name(packet.dst)
    port = role.port if role else case.what
    text = say(
        "{sender} has a link to {target} (--link), which opens {port} between the two although icc is off.",
        sender=sender,
        target=target,
        port=port,
    )
    drop = case.icc_drop(case.step.interfaces[0] if case.step else None)
    if drop is not None:
        text = sentences(
            text,
            say(
                "Its rule precedes the DROP ({chain} rule {position}).",
                chain=drop.chain,
                position=drop.position,
            ),
        )
    reply = next((leg for leg in case.trace.legs if leg.direction == "reply"), None)
    twins = accepting(reply) if reply is not None else []
    if len(twins) == 1 and twins[0].rule is not None:
        text = sentences(
            text,
            say(
                "{chain} rule {position} accepts the reply.",
                chain=twins[0].chain,
                position=twins[0].rule.position,
            ),
        )
    return "link", text


def _published_direct(case: Case) -> tuple[str, str]:
    target = case.name(case.seen.dst)
    return (
        "published-port",
        say(
            "{what} of {target} is published, so Docker also accepts packets to the container's own address.",
            what=port_text(case.seen),
            target=target,
        ),
    )


def _reply(case: Case) -> tuple[str, str]:
    if is_icmp_error(case.packet):
        return "rule-accept", say("The ICMP error is about a packet of a connection that is known.")
    return "rule-accept", say("The packet belongs to a connection that is already established.")


def _routed(case: Case) -> tuple[str, str]:
    return "rule-accept", sentence(case.role.text if case.role else "")


_BY_ROLE: dict[str, Callable[[Case], tuple[str, str]]] = {
    "icc-on": _icc,
    "outgoing": _outgoing,
    "link": _link,
    "link-answer": _link,
    "published-port": _published_direct,
    "answers": _reply,
    "routed": _routed,
}


# -- published ports -------------------------------------------------------------------------------


def _published(case: Case, forward: Step) -> Reason:
    delivered = case.leg.delivered
    assert delivered is not None
    assert forward.rule is not None
    role = role_of(forward.rule, case.host)
    assert role is not None
    packet = delivered.packet
    place = destination_text(packet)
    name = role.container if role.container != address_text(packet.family, packet.dst) else ""
    text = say(
        "Port {port} of the host is published: {rule} forwards it to {place}.",
        port=role.host_port, rule=place_of(forward.rule), place=f"{name} {place}".lstrip(),
    )  # fmt: skip
    if any(step.hook == "FORWARD" for step in case.leg.steps):
        text = sentences(
            text,
            say(
                "It is forwarded, not delivered to the host, so {rules} do not see it.",
                rules=_input_rules(case),
            ),
        )
    text = sentences(text, _missed_by_port(case), _client_text(case, name, packet))
    return Reason("published-port", text, case.step, case.leg)


def _client_text(case: Case, name: str, packet: Packet) -> str:
    """Say which client address a container sees, where its packet may not have several."""
    if not name or packet.proto not in PORT_PROTOCOLS or _has_undecided_source(case):
        return ""
    address = address_text(packet.family, packet.src)
    if packet.src != case.packet.src and case.host.namespace.has_address(packet.family, packet.src):
        return say(
            "{name} sees {address}, the host's own address, as its client.", name=name, address=address
        )
    return say("{name} sees {address} as its client.", name=name, address=address)


def _input_rules(case: Case) -> str:
    """Name the rules that only see what the host itself receives."""
    owners = {rule_owner(rule): None for rule in case.rules("INPUT")}
    known = [owner for owner in owners if owner not in ("user", "kernel", "docker")]
    return say("the rules in INPUT ({known})", known=joined(", ", known)) if known else say("rules in INPUT")


def _missed_by_port(case: Case) -> str:
    """Point at a rule in DOCKER-USER that names the original port, which DNAT has replaced."""
    delivered, original = case.leg.delivered, case.packet.dport
    if delivered is None or original is None or delivered.packet.dport == original:
        return ""
    for rule in case.rules("DOCKER-USER"):
        ports = [one for match in rule.matches for one in match.predicates() if one.field == "dport"]
        if any(not one.negated and one.allowed == ((original, original),) for one in ports):
            return say(
                "{chain} rule {position} is for port {original}, but after DNAT the port is {dport}; "
                "--ctorigdstport matches the original port.",
                chain=rule.chain,
                position=rule.position,
                original=original,
                dport=delivered.packet.dport,
            )
    return ""


def _proxied(case: Case) -> Reason:
    packet = case.packet
    second = next(leg for leg in case.trace.legs if leg.proxy)
    container = second.delivered.name if second.delivered else ""
    roles = [role for one in case.leg.steps if one.rule and (role := role_of(one.rule, case.host))]
    own = next((role for role in roles if role.code == "own-bridge"), None)
    if own is not None:
        why = say(
            "{what} is published, but Docker's nat rules skip requests from {network}.",
            what=case.what,
            network=own.shown,
        )
    elif packet.family == 4 and packet.dst >> 24 == 127:
        why = say("{what} is published, but Docker's nat rules skip 127.0.0.0/8.", what=case.what)
    else:
        why = say("{what} is published, but no nat rule forwards this packet.", what=case.what)
    source = address_text(second.packet.family, second.packet.src)
    text = sentences(
        why,
        say(
            "It ends on the host, where docker-proxy listens and opens a second connection to {container}; "
            "{container} sees {source} as its client.",
            container=container, source=source,
        ),
    )  # fmt: skip
    if case.host.inferred:
        text = sentences(
            text,
            say("docker-proxy is assumed to run: rules do not show it, `ss -ltnp` on the host does."),
        )
    return Reason("docker-proxy", text, case.step, case.leg)


def _published_elsewhere(case: Case) -> str:
    """Say that the port is published, but for another address, protocol or family."""
    delivered = case.leg.delivered
    if delivered is None or delivered.kind != "host" or delivered.packet.proto not in PORT_PROTOCOLS:
        return ""
    packet = delivered.packet
    published = [
        (container, port)
        for container in case.host.containers.values()
        for port in container.published
        if port.host_port == packet.dport
    ]
    same = [
        (one, port) for one, port in published if (port.proto, port.family) == (packet.proto, packet.family)
    ]
    for _, port in same:
        if port.host_address is None or parse_address(port.host_address)[1] == packet.dst:
            return ""
    for container, port in same:
        return say(
            "{name}'s port is published on {host_address} only, not on {address}.",
            name=container.name,
            host_address=port.host_address,
            address=address_text(packet.family, packet.dst),
        )
    for container, port in published:
        if port.proto == packet.proto:
            return say(
                "{name}'s port is published for IPv{family} only.", name=container.name, family=port.family
            )
    for container, port in published:
        if port.family == packet.family:
            return say(
                "{name}'s port is published for {published}, not for {asked}.",
                name=container.name,
                published=f"{port.host_port}/{protocol_name(port.proto)}",
                asked=case.what,
            )
    return ""


# -- what rules do not see -------------------------------------------------------------------------


def _bypass_text(case: Case, step: Step) -> str:
    text = sentence(step.note)
    if "bridge-nf" not in step.note:
        return text
    bridge = step.interfaces[0]
    drop = case.icc_drop(bridge)
    if drop is not None or case.host.network_of_bridge(bridge or "") is not None:
        text = sentences(text, say("icc=false and links have no effect on it."))
    if drop is None:
        return text
    return sentences(
        text,
        say(
            "Docker's rule against it, filter {chain} rule {position}, exists, but it sees packets of the "
            "bridge only with bridge-nf-call-ip{family}tables=1.",
            chain=drop.chain,
            position=drop.position,
            family="6" if case.packet.family == 6 else "",
        ),
    )


def _unseen(case: Case) -> Reason:
    leg = case.leg
    if leg.delivered is not None and leg.delivered.kind == "container" and leg.delivered.name == leg.sender:
        return Reason("inside-namespace", _inside_text(case), leg=leg)
    text = say("No table has a chain that this packet passes, so no rule blocks it.")
    daemon = case.host.daemon
    if daemon is not None and daemon.iptables is False:
        text = say(
            "dockerd runs with iptables=false, so it wrote no rules, and there are no others: "
            "no rule blocks it."
        )
    return Reason("no-rules", sentences(text, _source_text(case)), leg=leg)


def _inside_text(case: Case) -> str:
    """Say what happens to a packet that stays in its sender's namespace; Docker's resolver is there, too."""
    sender = case.leg.sender
    if case.packet.family != 4 or case.packet.dst != 0x7F00000B:
        return say("The packet stays inside {sender}'s own network namespace.", sender=sender)
    found = case.host.container(sender)
    if found is not None and is_shut_in(case.host, found[0]) and _keeps_queries(case.host):
        return say(
            "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
            "rules do not see the query. {sender} is on internal networks only, so dockerd resolves "
            "the names of containers there and forwards no query to other servers (since 26.0).",
            sender=sender,
        )
    return say(
        "127.0.0.11 is Docker's own resolver, inside {sender}'s network namespace: the host's "
        "rules do not see the query. dockerd forwards it to the host's DNS servers.",
        sender=sender,
    )


def _keeps_queries(host: Host) -> bool:
    """Tell whether dockerd forwards no DNS queries of internal networks."""
    engine = host.daemon.engine if host.daemon is not None else None
    return engine is not None and not engine.resolves_for_internal_networks


# -- other rules, and policies ---------------------------------------------------------------------


def _by_policy(case: Case) -> Reason:
    step = case.step
    if step is None:
        text = say("No rule blocks it.")
    elif any(one.rule is not None and one.verdict != "CONTINUE" for one in case.leg.steps):
        text = say(
            "No rule decides, and the policy of {table} {chain} is ACCEPT.",
            table=step.table,
            chain=step.chain,
        )
    else:
        text = say(
            "No rule matches, and the policy of {table} {chain} is ACCEPT.",
            table=step.table,
            chain=step.chain,
        )
    delivered = case.leg.delivered
    if case.leg.sender == "host" and delivered is not None and delivered.kind == "container":
        if case.host.daemon is not None:
            own = say("The host itself sends it, so FORWARD, and with it icc, does not apply.")
        else:
            own = say("The host itself sends it, so FORWARD does not apply.")
        text = sentences(text, own)
    text = sentences(_translated_text(case), text, _published_elsewhere(case), _source_text(case))
    return Reason("policy-accept", text, step, case.leg)


def _accept_text(case: Case) -> str:
    step = case.step
    assert step is not None
    assert step.rule is not None
    text = say("{place} accepts {packets}.", place=place_of(step.rule), packets=packets_text(step.rule))
    return sentences(
        _translated_text(case), text, own_address_text(case), _published_elsewhere(case), _source_text(case)
    )


def _translated_text(case: Case) -> str:
    """Say which rule changes the destination: "nat PREROUTING rule 1 sends it to web 10.0.0.9:80."."""
    if case.trace.branches:
        return branches.destination_text(case.trace)
    delivered = case.leg.delivered
    moving = [one for one in case.leg.steps if one.verdict in _MOVING and one.changes and not one.maybe]
    if not moving or moving[0].rule is None:
        return ""
    moved = delivered.packet if delivered else case.seen
    place = destination_text(moved)
    if delivered is not None and delivered.kind == "container" and delivered.name not in place:
        place = f"{delivered.name} {place}"
    return say("{rule} sends it to {place}.", rule=place_of(moving[0].rule), place=place)


def _has_undecided_source(case: Case) -> bool:
    """Tell whether only some ways give the packet another source address."""
    return any(step.maybe and "src" in step.changes for step in case.leg.steps)


def _astray_text(case: Case) -> str:
    """Say it where a container's packet to another container leaves the host instead."""
    delivered, target = case.leg.delivered, case.owner(case.packet.dst)
    if delivered is None or delivered.kind != "outside" or target is None:
        return ""
    return say(
        "The host has no route to {name}'s network, so the packet leaves by {interface} instead.",
        name=target.name,
        interface=delivered.interface,
    )


def _source_text(case: Case) -> str:
    """Say what happens to the source address of a packet that leaves."""
    if _has_undecided_source(case):
        return say("Some of its paths change its source address, others do not.")
    for step in case.leg.steps:
        if step.verdict in ("MASQUERADE", "SNAT") and "src" in step.changes:
            before, after = step.changes["src"]
            return say(
                "On the way out its source {before} becomes {after} ({verdict}).",
                before=before,
                after=after,
                verdict=step.verdict,
            )
    if not is_sent_bare(case.host, case.leg):
        return ""
    return say(
        "No rule changes its source: the other side sees {source}, and its reply comes back only if the other "
        "side has a route to that address.",
        source=address_text(case.packet.family, case.packet.src),
    )
