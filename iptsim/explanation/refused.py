"""Why a packet, or its reply, is blocked, and how that is usually changed."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.docker.roles import is_dockers, network_name
from iptsim.explanation import branches
from iptsim.explanation.case import (
    Case,
    Reason,
    destination_text,
    has_link,
    is_shut_in,
    own_address_text,
    packets_text,
    port_text,
)
from iptsim.explanation.codes import REASONS
from iptsim.explanation.places import place_of
from iptsim.host.containers import Container
from iptsim.host.model import Host
from iptsim.languages import joined, later, say, sentence, sentences, told
from iptsim.netfilter.answers import is_sent_bare
from iptsim.netfilter.trace import Trace
from iptsim.packet import address_text
from iptsim.question.model import Question


def refused(host: Host, question: Question, trace: Trace) -> Reason:
    """Return the reason of DROP and REJECT."""
    leg = trace.deciding_leg
    if leg.verdict == "DEPENDS":
        return branches.blocked_there_or_back(trace)
    ends = leg.ends
    case = Case(host, question, trace, leg, ends[0] if len(ends) == 1 else None)
    reason = branches.blocked(leg, ends) if len(ends) > 1 else _refused(case)
    return reason if leg is trace.legs[0] else _lost_reply(case, reason)


def _refused(case: Case) -> Reason:
    step, leg = case.step, case.leg
    if step is None:
        return Reason("rule-drop", say("The packet is dropped."), None, leg)
    if step.table is None:
        code = step.code if step.code in REASONS else "no-route"
        text = sentences(sentence(step.note), _shut_in_text(case, code))
        return Reason(code, text, step, leg, _kernel_advice(case, code))
    if step.policy:
        return _policy_drop(case)
    role = case.role
    if role is not None and (maker := _BY_ROLE.get(role.code)):
        code, text = maker(case)
        return Reason(code, text, step, leg, _advice(case, code))
    rule = step.rule
    assert rule is not None
    place = place_of(rule)
    if step.verdict == "REJECT":
        text = say(
            "{place} rejects {packets} ({note}).", place=place, packets=packets_text(rule), note=step.note
        )
        return Reason("rule-reject", sentences(text, own_address_text(case)), step, leg)
    if step.verdict in ("QUEUE", "STOLEN"):
        text = say(
            "{place} hands over {packets}: {note}.",
            place=place, packets=packets_text(rule), note=step.note or step.verdict,
        )  # fmt: skip
        return Reason("queued", text, step, leg)
    if step.verdict == "DROP" and step.note:
        text = say("{place} drops the packet: {note}.", place=place, note=step.note)
    else:
        text = say("{place} drops {packets}.", place=place, packets=packets_text(rule))
    text = sentences(text, own_address_text(case))
    if step.chain == "DOCKER-USER" and any(one.verdict == "DNAT" for one in leg.steps):
        text = sentences(
            text,
            say(
                "After DNAT it has the container's address and port; --ctorigdstport matches the original port."
            ),
        )
    return Reason("rule-drop", text, step, leg)


# -- outside the rules -----------------------------------------------------------------------------


def _shut_in_text(case: Case, code: str) -> str:
    """Say why a container has no route: no address of that family, or only internal networks."""
    found = case.host.container(case.leg.sender)
    if code != "no-route" or found is None:
        return ""
    container, family = found[0], case.packet.family
    names = joined(", ", container.endpoints)
    if container.address(family) is None:
        if container.address(4) is None and container.address(6) is None:
            return say("{name} has no address: it is on no network.", name=container.name)
        return say(
            "{name} has no IPv{family} address: its networks ({names}) have no IPv{family}.",
            name=container.name,
            family=family,
            names=names,
        )
    if not is_shut_in(case.host, container):
        return ""
    return say(
        "{name} is only on {names}, created with --internal: it gets no default route.",
        name=container.name,
        names=names,
    )


def _kernel_advice(case: Case, code: str) -> str:
    """Return how people change what the kernel itself blocks."""
    if code == "ip-forward-off":
        name = "net.ipv4.ip_forward" if case.packet.family == 4 else "net.ipv6.conf.all.forwarding"
        return say("To let the host forward: sysctl -w {name}=1.", name=name)
    if code == "hairpin-off":
        target = case.name(case.seen.dst)
        if case.has_proxy:
            return say(
                "Use {target}'s own address, docker-proxy, or hairpin mode of the bridge port.", target=target
            )
        return say("Use {target}'s own address, or hairpin mode of the bridge port.", target=target)
    return ""


# -- policies --------------------------------------------------------------------------------------


def _policy_drop(case: Case) -> Reason:
    step = case.step
    assert step is not None
    text = sentences(
        say(
            "No rule accepts it, so the policy of {table} {chain} decides: DROP.",
            table=step.table, chain=step.chain,
        ),
        own_address_text(case),
    )  # fmt: skip
    if step.backend and any(
        one.verdict == "ACCEPT" and one.hook == step.hook and one.backend != step.backend
        for one in case.leg.steps
    ):
        text = say(
            "This host has rules of iptables-nft and of iptables-legacy, and a packet passes both: "
            "one accepts it, but no rule of the other does, so its policy of {table} {chain} "
            "decides: DROP.",
            table=step.table,
            chain=step.chain,
        )
        return Reason("policy-drop", text, step, case.leg)
    if (step.table, step.chain) != ("filter", "FORWARD"):
        return Reason("policy-drop", text, step, case.leg)
    docker = any(is_dockers(rule) for rule in case.rules("FORWARD"))
    if docker and (case.host.daemon is None or case.host.daemon.iptables is not False):
        text = sentences(text, say("Docker sets this policy when it switches ip_forward on."))
    where = "DOCKER-USER" if case.passes("DOCKER-USER") else "FORWARD"
    advice = say("To allow it, accept it and its replies in {where}.", where=where)
    return Reason("policy-drop", text, step, case.leg, advice)


# -- Docker's rules --------------------------------------------------------------------------------


def _icc_off(case: Case) -> tuple[str, str]:
    seen, step = case.seen, case.step
    bridge = (step.interfaces[0] if step else None) or ""
    network = network_name(case.host, bridge)
    sender, target = case.sender, case.owner(seen.dst)
    if sender is None or target is None or not _takes_links(case, bridge):
        text = say("Containers on {bridge} may not talk to each other: icc is off.", bridge=network)
    elif has_link(case.host, sender, target.name) and seen.family == 6:
        text = say(
            "Containers on {bridge} may not talk to each other: icc is off, and links open ports for IPv4 only.",
            bridge=network,
        )
    elif has_link(case.host, sender, target.name):
        text = say(
            "Containers on {bridge} may not talk to each other: icc is off, "
            "and {sender}'s link to {target} does not open {what}.",
            bridge=network, sender=sender.name, target=target.name, what=port_text(seen),
        )  # fmt: skip
    else:
        text = say(
            "Containers on {bridge} may not talk to each other: icc is off, and {sender} has no link to {target}.",
            bridge=network, sender=sender.name, target=target.name,
        )  # fmt: skip
    return "icc-disabled", sentences(_forwarded_text(case), text)


def _takes_links(case: Case, bridge: str) -> bool:
    """Tell whether links open ports on a bridge: on the default one alone."""
    found = case.host.network_of_bridge(bridge)
    return found is None or found.is_default_bridge


def _forwarded_text(case: Case) -> str:
    """Say where a port of the host is forwarded to, where that is why another rule sees the packet."""
    seen = case.seen
    if seen.dst == case.packet.dst:
        return ""
    rule = next((one.rule for one in case.leg.steps if "dst" in one.changes and not one.maybe), None)
    if rule is None:
        return ""
    owner = case.owner(seen.dst)
    place = destination_text(seen)
    return say(
        "{rule} sends it to {place}.",
        rule=place_of(rule),
        place=f"{owner.name} {place}" if owner is not None else place,
    )


def _isolated(case: Case) -> tuple[str, str]:
    step = case.step
    one, other = (network_name(case.host, name or "") for name in (step.interfaces if step else (None, None)))
    return "isolated-networks", sentences(
        _forwarded_text(case),
        say(
            "{one} and {other} are two networks of Docker, and Docker blocks traffic between them.",
            one=one,
            other=other,
        ),
    )


def _internal(case: Case) -> tuple[str, str]:
    network = case.role.shown if case.role else ""
    return "internal-network", say(
        "{network} was created with --internal: nothing goes in or out of it.", network=network
    )


def _direct(case: Case) -> tuple[str, str]:
    role, step = case.role, case.step
    assert role is not None
    return (
        "direct-route-drop",
        say(
            "{address} is {container}'s own address on {network}. Docker accepts packets to it from {network} "
            "alone; this one arrives on {came}, and the raw table drops it before any other rule sees it.",
            address=address_text(case.packet.family, case.packet.dst),
            container=role.container,
            network=role.shown,
            came=step.interfaces[0] if step else "",
        ),
    )


def _loopback_port(case: Case) -> tuple[str, str]:
    return (
        "loopback-port",
        say(
            "{what} is published on {address} only, and this packet does not come from the host.",
            what=case.what,
            address=address_text(case.packet.family, case.packet.dst),
        ),
    )


def _unpublished(case: Case) -> tuple[str, str]:
    seen, target = case.seen, case.owner(case.seen.dst)
    network = case.role.shown if case.role else ""
    text = _forwarded_text(case)
    other = _published_family(target, case) if target is not None else None
    if other is not None:
        why = say(
            "{what} of {target} is published for IPv{family} only, so Docker blocks it for everything "
            "outside {network}.",
            what=port_text(seen),
            target=case.name(seen.dst),
            family=other,
            network=network,
        )
    else:
        why = say(
            "{what} of {target} is not published, so Docker blocks it for everything outside {network}.",
            what=port_text(seen),
            target=case.name(seen.dst),
            network=network,
        )
    return "unpublished-port", sentences(text, why)


def _published_family(target: Container, case: Case) -> int | None:
    """Return the other family, where a container publishes the port for that one alone."""
    seen = case.seen
    families = {
        port.family
        for port in target.published
        if (port.proto, port.container_port) == (seen.proto, seen.dport)
    }
    return next(iter(families)) if families and seen.family not in families else None


_BY_ROLE: dict[str, Callable[[Case], tuple[str, str]]] = {
    "icc-off": _icc_off,
    "isolation": _isolated,
    "internal": _internal,
    "direct-routing": _direct,
    "loopback-port": _loopback_port,
    "unpublished": _unpublished,
}

_ADVICE = {
    "icc-disabled": later("To allow it: put both on a user-defined network, use --link, or set icc=true."),
    "internal-network": later(
        "To give the container a way out, connect it to a network that is not internal."
    ),
    "direct-route-drop": later(
        "To allow it: publish the port and use the host's address, or set the network's gateway mode to "
        "nat-unprotected."
    ),
    "unpublished-port": later("To open it, publish the port (-p)."),
    "loopback-port": later("To open it to other hosts, publish it on another address of the host."),
}


def _advice(case: Case, code: str) -> str:
    """Return how people usually change what one of Docker's rules blocks."""
    if code == "isolated-networks":
        return _joining_advice(case)
    if code == "direct-route-drop":
        return _direct_advice(case)
    if code == "icc-disabled" and (advice := _link_advice(case)):
        return advice
    step = case.step
    if code == "icc-disabled" and not _takes_links(case, (step.interfaces[0] if step else None) or ""):
        return say("To allow it: put both on another network, or create this one with enable_icc=true.")
    if code == "unpublished-port":
        target = case.owner(case.seen.dst)
        if target is not None and _published_family(target, case) is not None:
            return say("To open it, publish the port for IPv{family} as well.", family=case.packet.family)
    into = step.interfaces[1] if step is not None else None
    if code == "internal-network" and into and into == _bridge_of(case):
        if case.sender is not None:
            return say("To allow it, connect the sender to that network.")
        return say(
            "To let packets in, connect {target} to a network that is not internal, and publish the port.",
            target=case.name(case.packet.dst),
        )
    return told(_ADVICE.get(code, ""))


def _direct_advice(case: Case) -> str:
    """Return how a container is reached whose own address is closed."""
    packet, target = case.packet, case.owner(case.packet.dst)
    if case.sender is not None:
        return _joining_advice(case)
    port = next(
        (
            one.host_port
            for one in (target.published if target is not None else ())
            if one.host_address is None
            and (one.proto, one.container_port, one.family) == (packet.proto, packet.dport, packet.family)
        ),
        None,
    )
    if port is not None:
        return say("To reach it, use port {port} of the host: it is published there.", port=port)
    return told(_ADVICE["direct-route-drop"])


def _link_advice(case: Case) -> str:
    """Return how a link that does not open the port is made to; "" where there is none."""
    sender, target = case.sender, case.owner(case.seen.dst)
    if (
        sender is None
        or target is None
        or case.seen.family == 6
        or not has_link(case.host, sender, target.name)
    ):
        return ""
    return say(
        "To allow it: let {target} expose {what}, put both on a user-defined network, or set icc=true.",
        target=target.name,
        what=port_text(case.seen),
    )


def _joining_advice(case: Case) -> str:
    """Return how two networks that Docker keeps apart are joined."""
    if any(one.verdict == "DNAT" for one in case.leg.steps):
        return say(
            "To allow it: connect one of them to the other's network, or let docker-proxy forward it "
            "(userland-proxy=true)."
        )
    if case.has_proxy:
        return say(
            "To allow it: connect one of them to the other's network, or publish the port and use the host's "
            "address."
        )
    return say("To allow it, connect one of them to the other's network.")


def _bridge_of(case: Case) -> str | None:
    """Return the bridge behind which the destination is."""
    packet = case.packet
    networks = case.host.networks.values()
    return next((one.bridge for one in networks if one.covers(packet.family, packet.dst)), None)


# -- replies ---------------------------------------------------------------------------------------


def _lost_reply(case: Case, cause: Reason) -> Reason:
    """Return the reason of a request that arrives, but whose reply does not."""
    leg = case.leg
    if leg.proxy and leg.direction == "original":
        text = sentences(
            say("docker-proxy accepts the connection, but its own connection to the container fails."),
            cause.text,
        )
        return Reason("proxy-cut-off", text, cause.step, leg, cause.advice)
    text = sentences(say("The request arrives, but its reply is lost on the way back."), cause.text)
    request, advice = case.trace.legs[0], cause.advice
    if leg.direction == "reply" and not leg.proxy and is_sent_bare(case.host, request):
        text = sentences(
            say(
                "The request arrives, but its reply is lost on the way back: no rule gave the request "
                "the host's address, so the reply comes to {source} itself.",
                source=address_text(request.packet.family, request.packet.src),
            ),
            cause.text,
        )
        advice = say("To get the reply back, masquerade traffic leaving the network (--ip-masq).")
    code = cause.code if cause.code == "reply-not-recognised" else "reply-dropped"
    return Reason(code, text, cause.step, leg, advice)
