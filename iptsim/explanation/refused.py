"""Why a packet, or its reply, is blocked."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.addresses import address_text
from iptsim.deferred import deferred
from iptsim.dump.rule import Rule
from iptsim.explanation import branches
from iptsim.explanation.advice import advice_of
from iptsim.explanation.authors import author_advice, author_text, why_text
from iptsim.explanation.case import (
    Case,
    destination_text,
    has_link,
    is_shut_in,
    own_address_text,
    packets_text,
    port_text,
    published_family,
)
from iptsim.explanation.codes import REASONS, ReasonCode
from iptsim.explanation.lost_replies import lost
from iptsim.explanation.places import place_of
from iptsim.explanation.reason import Reason
from iptsim.explanation.uncalled import uncalled_text
from iptsim.extensions.hidden import HiddenTarget, is_gap
from iptsim.host.model import Host
from iptsim.languages import (
    Message,
    Text,
    message,
    message_if,
    message_joined,
    message_sentence,
    message_sentences,
)
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Trace
from iptsim.owners.docker import is_dockers, network_name
from iptsim.question.model import Question


def refused(host: Host, question: Question, trace: Trace) -> Reason:
    """Return the reason for DROP or REJECT."""
    leg = trace.deciding_leg
    if leg.verdict == "DEPENDS":
        return branches.blocked_there_or_back(trace)
    ends = leg.ends
    case = Case(host, question, trace, leg, ends[0] if len(ends) == 1 else None)
    reason = branches.blocked(leg, ends) if len(ends) > 1 else _refused(case)
    return reason if leg is trace.legs[0] else lost(case, reason)


def _refused(case: Case) -> Reason:
    step, leg = case.step, case.leg
    if step is None:
        return Reason(ReasonCode.RULE_DROP, message("The packet is dropped."), None, leg)
    if step.table is None:
        code = ReasonCode(step.code) if step.code in REASONS else ReasonCode.NO_ROUTE
        text = message_sentences(message_sentence(step.note), _shut_in_text(case, code))
        return Reason(code, text, step, leg, deferred(advice_of, case, code))
    if step.policy:
        return _policy_drop(case)
    role = case.role
    if role is not None and (maker := _BY_ROLE.get(role.code)):
        code, text = maker(case)
        return Reason(code, text, step, leg, deferred(advice_of, case, code))
    rule = step.rule
    assert rule is not None
    if step.verdict == "REJECT":
        text = deferred(_reject_text, case, step, rule)
        return Reason(ReasonCode.RULE_REJECT, text, step, leg, deferred(author_advice, case))
    if step.verdict in ("QUEUE", "STOLEN"):
        text = message(
            "{place} hands over {packets}: {note}.",
            place=place_of(rule), packets=packets_text(rule), note=step.note or step.verdict,
        )  # fmt: skip
        return Reason(ReasonCode.QUEUED, text, step, leg)
    text = deferred(_drop_text, case, step, rule)
    return Reason(ReasonCode.RULE_DROP, text, step, leg, deferred(author_advice, case))


def _reject_text(case: Case, step: Step, rule: Rule) -> Message:
    place, why = place_of(rule), why_text(case)
    if why:
        text = message(
            "{place} rejects {packets} ({note}): {why}.",
            place=place, packets=packets_text(rule), note=step.note, why=why,
        )  # fmt: skip
    else:
        text = message(
            "{place} rejects {packets} ({note}).",
            place=place, packets=packets_text(rule), note=step.note,
        )  # fmt: skip
    return message_sentences(text, author_text(case), own_address_text(case))


def _drop_text(case: Case, step: Step, rule: Rule) -> Message:
    place, why = place_of(rule), why_text(case)
    if isinstance(rule.target, HiddenTarget) and rule.target.scope:
        text = message("A rule of {scope} that is not shown blocks it.", scope=rule.target.scope)
    elif is_gap(rule.target):
        text = message("Rules of {place} that are not shown block it.", place=place)
    elif isinstance(rule.target, HiddenTarget):
        text = message("{place} blocks it, if that is {what}.", place=place, what=rule.target.reason)
    elif step.verdict == "DROP" and step.note:
        text = message("{place} drops the packet: {note}.", place=place, note=step.note)
    elif why:
        text = message("{place} drops {packets}: {why}.", place=place, packets=packets_text(rule), why=why)
    else:
        text = message("{place} drops {packets}.", place=place, packets=packets_text(rule))
    text = message_sentences(text, author_text(case), own_address_text(case))
    if step.chain == "DOCKER-USER" and any(one.verdict == "DNAT" for one in case.leg.steps):
        text = message_sentences(
            text,
            message(
                "After DNAT it has the container's address and port; --ctorigdstport matches the original port."
            ),
        )
    return text


# -- outside the rules -----------------------------------------------------------------------------


def _shut_in_text(case: Case, code: ReasonCode) -> Text:
    """Return why a container has no route: no address of that family, or only internal networks."""
    named = case.host.container(case.leg.sender)
    if code is not ReasonCode.NO_ROUTE or named is None:
        return ""
    container, family = named[0], case.packet.family
    names = message_joined(", ", container.endpoints)
    if container.address(family) is None:
        if container.address(4) is None and container.address(6) is None:
            return message("{name} has no address: it is on no network.", name=container.name)
        return message(
            "{name} has no IPv{family} address: its networks ({names}) have no IPv{family}.",
            name=container.name,
            family=family,
            names=names,
        )
    if not is_shut_in(case.host, container):
        return ""
    return message(
        "{name} is only on {names}, created with --internal: since Docker 25 it gets no default route.",
        name=container.name,
        names=names,
    )


# -- policies --------------------------------------------------------------------------------------


def _policy_drop(case: Case) -> Reason:
    text, advice = deferred(_policy_text, case), deferred(_policy_advice, case)
    return Reason(ReasonCode.POLICY_DROP, text, case.step, case.leg, advice)


def _policy_text(case: Case) -> Message:
    step = case.step
    assert step is not None
    if _is_of_one_backend(case):
        return message(
            "This host has rules of iptables-nft and of iptables-legacy, and a packet passes both: "
            "one accepts it, but no rule of the other does, so its policy of {table} {chain} "
            "decides: DROP.",
            table=step.table or "",
            chain=step.chain or "",
        )
    text = message_sentences(
        message(
            "No rule accepts it, so the policy of {table} {chain} decides: DROP.",
            table=step.table or "", chain=step.chain or "",
        ),
        uncalled_text(case, frozenset({"ACCEPT"})),
        author_text(case),
        own_address_text(case),
    )  # fmt: skip
    if (step.table, step.chain) != ("filter", "FORWARD") or author_advice(case):
        return text
    docker = any(is_dockers(rule) for rule in case.rules("FORWARD"))
    if docker and (case.host.daemon is None or case.host.daemon.iptables is not False):
        text = message_sentences(text, message("Docker sets this policy when it enables ip_forward."))
    return text


def _policy_advice(case: Case) -> Text:
    step = case.step
    assert step is not None
    if _is_of_one_backend(case):
        return ""
    advice = author_advice(case)
    if (step.table, step.chain) != ("filter", "FORWARD") or advice:
        return advice
    where = "DOCKER-USER" if case.jumps_to("DOCKER-USER") else "FORWARD"
    return message("To allow it, accept it and its replies in {where}.", where=where)


def _is_of_one_backend(case: Case) -> bool:
    """Return whether a rule of the other backend accepts the packet in the hook whose policy drops it."""
    step = case.step
    if step is None or not step.backend:
        return False
    return any(
        one.verdict == "ACCEPT" and one.hook == step.hook and one.backend != step.backend
        for one in case.leg.steps
    )


# -- Docker's rules --------------------------------------------------------------------------------


def _icc_off(case: Case) -> tuple[ReasonCode, Message]:
    seen, step = case.seen, case.step
    bridge = (step.interfaces[0] if step else None) or ""
    network = network_name(case.host, bridge)
    sender, target = case.sender, case.owner(seen.dst)
    if sender is None or target is None or not case.takes_links:
        text = message("Containers on {bridge} may not talk to each other: icc is off.", bridge=network)
    elif has_link(case.host, sender, target.name) and seen.family == 6:
        text = message(
            "Containers on {bridge} may not talk to each other: icc is off, and links open ports for IPv4 only.",
            bridge=network,
        )
    elif has_link(case.host, sender, target.name):
        text = message(
            "Containers on {bridge} may not talk to each other: icc is off, "
            "and {sender}'s link to {target} does not open {what}.",
            bridge=network, sender=sender.name, target=target.name, what=port_text(seen),
        )  # fmt: skip
    else:
        text = message(
            "Containers on {bridge} may not talk to each other: icc is off, and {sender} has no link to {target}.",
            bridge=network, sender=sender.name, target=target.name,
        )  # fmt: skip
    return ReasonCode.ICC_DISABLED, message_sentences(_forwarded_text(case), text)


def _forwarded_text(case: Case) -> Text:
    """Return where a port of the host is forwarded to, if that is why another rule sees the packet."""
    seen = case.seen
    if seen.dst == case.packet.dst:
        return ""
    rule = next((step.rule for step in case.leg.steps if "dst" in step.changes and not step.maybe), None)
    if rule is None:
        return ""
    owner = case.owner(seen.dst)
    place = destination_text(seen)
    return message(
        "{rule} sends it to {place}.",
        rule=place_of(rule),
        place=f"{owner.name} {place}" if owner is not None else place,
    )


def _isolated(case: Case) -> tuple[ReasonCode, Message]:
    step = case.step
    one, other = (network_name(case.host, name or "") for name in (step.interfaces if step else (None, None)))
    return ReasonCode.ISOLATED_NETWORKS, message_sentences(
        _forwarded_text(case),
        message(
            "{one} and {other} are two Docker networks, and Docker blocks traffic between them.",
            one=one,
            other=other,
        ),
    )


def _internal(case: Case) -> tuple[ReasonCode, Message]:
    network = case.role.shown if case.role else ""
    return ReasonCode.INTERNAL_NETWORK, message(
        "{network} was created with --internal: nothing goes in or out of it.", network=network
    )


def _direct(case: Case) -> tuple[ReasonCode, Message]:
    role, step = case.role, case.step
    assert role is not None
    address = address_text(case.packet.family, case.packet.dst)
    if step is not None and step.table != "raw":
        return ReasonCode.DIRECT_ROUTE_DROP, message_if(
            role.container == address,
            (
                "{address} is a container's own address on {network}. Docker accepts packets to it only from "
                "{network}; this one arrives on {came}, and chain {chain} drops it before any other rule sees it."
            ),
            (
                "{address} is {container}'s own address on {network}. Docker accepts packets to it only from "
                "{network}; this one arrives on {came}, and chain {chain} drops it before any other rule sees it."
            ),
            address=address,
            container=role.container,
            network=role.shown,
            came=step.interfaces[0] or "",
            chain=step.chain or "",
        )
    return (
        ReasonCode.DIRECT_ROUTE_DROP,
        message_if(
            role.container == address,
            (
                "{address} is a container's own address on {network}. Docker accepts packets to it only "
                "from {network}; this one arrives on {came}, and the raw table drops it before any other "
                "rule sees it."
            ),
            (
                "{address} is {container}'s own address on {network}. Docker accepts packets to it only "
                "from {network}; this one arrives on {came}, and the raw table drops it before any other "
                "rule sees it."
            ),
            address=address,
            container=role.container,
            network=role.shown,
            came=(step.interfaces[0] if step else None) or "",
        ),
    )


def _loopback_port(case: Case) -> tuple[ReasonCode, Message]:
    return (
        ReasonCode.LOOPBACK_PORT,
        message(
            "{what} is published on {address} only, and this packet does not come from the host.",
            what=case.what,
            address=address_text(case.packet.family, case.packet.dst),
        ),
    )


def _unpublished(case: Case) -> tuple[ReasonCode, Message]:
    seen, target = case.seen, case.owner(case.seen.dst)
    network = case.role.shown if case.role else ""
    text = _forwarded_text(case)
    other = published_family(target, seen) if target is not None else None
    if other is not None:
        why = message(
            "{what} of {target} is published for IPv{family} only, so Docker blocks it for everything "
            "outside {network}.",
            what=port_text(seen),
            target=case.name(seen.dst),
            family=other,
            network=network,
        )
    else:
        why = message(
            "{what} of {target} is not published, so Docker blocks it for everything outside {network}.",
            what=port_text(seen),
            target=case.name(seen.dst),
            network=network,
        )
    return ReasonCode.UNPUBLISHED_PORT, message_sentences(text, why)


_BY_ROLE: dict[str, Callable[[Case], tuple[ReasonCode, Message]]] = {
    "icc-off": _icc_off,
    "isolation": _isolated,
    "internal": _internal,
    "direct-routing": _direct,
    ReasonCode.LOOPBACK_PORT: _loopback_port,
    "unpublished": _unpublished,
}
