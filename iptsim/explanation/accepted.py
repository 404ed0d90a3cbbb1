"""Why a packet is accepted, and what happens to it."""

from __future__ import annotations

from collections.abc import Callable

from iptsim.deferred import deferred
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.explanation import branches
from iptsim.explanation.authors import author_text, sent_to_text, why_text
from iptsim.explanation.bypassed import bypassed, unseen
from iptsim.explanation.case import Case, own_address_text, packets_text, port_text
from iptsim.explanation.codes import ReasonCode
from iptsim.explanation.places import place_of
from iptsim.explanation.published import forwarded, other_publication_text, proxied
from iptsim.explanation.reason import Reason
from iptsim.explanation.translation import astray_text, destination_change_text, source_text
from iptsim.explanation.uncalled import uncalled_text
from iptsim.extensions.hidden import HiddenTarget, is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.host.model import Host
from iptsim.languages import Message, message, message_sentence, message_sentences
from iptsim.netfilter.hooks import NAT_SIDE
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Leg, Trace
from iptsim.owners.docker import INGRESS, forwards_port, network_name
from iptsim.packet import is_icmp_error
from iptsim.question.model import Question


def accepted(host: Host, question: Question, trace: Trace) -> Reason:
    """Return the reason for ACCEPT."""
    leg = trace.legs[0]
    steps = accepting(leg)
    case = Case(host, question, trace, leg, steps[0] if len(steps) == 1 else None)
    forward = next((step for step in leg.steps if not step.maybe and _is_forward(step, host)), None)
    bypass = next((step for step in leg.steps if step.code == ReasonCode.BYPASSES_IPTABLES), None)
    if bypass is not None:
        return bypassed(case, bypass)
    if any(leg.proxy for leg in trace.legs):
        if any(not leg.proxy for way in trace.branches for leg in way.legs[-1:]):
            return branches.accepted_there_or_elsewhere(trace)
        return proxied(case)
    if len(steps) > 1:
        reason = branches.accepted(leg, steps)
        reason.message = message_sentences(
            sent_to_text(case), reason.message, branches.destination_text(trace), source_text(case)
        )
        return reason
    if forward is not None and leg.delivered is not None and not trace.branches:
        return forwarded(case, forward)
    if not leg.steps:
        return unseen(case)
    if case.role is not None and (maker := _BY_ROLE.get(case.role.code)):
        code, text = maker(case)
        return Reason(code, text, case.step, leg)
    if case.step is None or case.step.policy:
        return Reason(ReasonCode.POLICY_ACCEPT, deferred(_policy_text, case), case.step, leg)
    return Reason(ReasonCode.RULE_ACCEPT, deferred(_accept_text, case), case.step, leg)


def accepting(leg: Leg) -> list[Step]:
    """Return what let the packet through: the last rule of the filter table, else its policy.

    It is several steps if the branches of the trace end at different ones, and none if no table has a chain for the
    packet.
    """
    steps = [step for step in leg.steps if step.verdict == "ACCEPT" and step.table == "filter"]
    if any(step.maybe for step in steps):
        return [step for step in steps if step.maybe]
    rules = [step for step in steps if step.rule is not None]
    if accepting_steps := rules or steps:
        return accepting_steps[-1:]
    others = [step for step in leg.steps if step.verdict == "ACCEPT" and step.table]
    firm = [step for step in others if not step.maybe]
    # a rule of nftables, rather than the policy of a later chain
    foreign = [step for step in firm if step.rule is not None and step.table not in BUILTIN_CHAINS]
    return (foreign or firm)[-1:]


def _is_forward(step: Step, host: Host) -> bool:
    """Return whether a step is Docker's forwarding of a published port."""
    return step.rule is not None and forwards_port(step.rule, host)


# -- Docker's rules --------------------------------------------------------------------------------


def _icc(case: Case) -> tuple[ReasonCode, Message]:
    bridge = network_name(case.host, (case.step.interfaces[0] if case.step else None) or "")
    return (
        ReasonCode.ICC_ENABLED,
        message(
            "Both are on {bridge}, and containers there may talk to each other on all ports: icc is on.",
            bridge=bridge,
        ),
    )


def _outgoing(case: Case) -> tuple[ReasonCode, Message]:
    way = case.step.interfaces if case.step is not None else (None, None)
    if way[0] is not None and way[0] == way[1]:
        return _icc(case)
    network = case.role.shown if case.role else ""
    return ReasonCode.OUTGOING, message_sentences(
        message("Docker lets containers on {network} reach the outside.", network=network),
        astray_text(case),
        source_text(case),
    )


def _link(case: Case) -> tuple[ReasonCode, Message]:
    packet, role = case.packet, case.role
    sender, target = case.name(packet.src), case.name(packet.dst)
    port = role.port if role else case.what
    if role is not None and role.container == sender:
        text = message(
            "{target} has a link to {sender} (--link). The rule for replies matches the source port alone, so {sender} "
            "can also open connections to {target} from {port}.",
            sender=sender,
            target=target,
            port=port,
        )
    else:
        text = message(
            "{sender} has a link to {target} (--link), which opens {port} between the two although icc is off.",
            sender=sender,
            target=target,
            port=port,
        )
    drop = case.icc_drop(case.step.interfaces[0] if case.step else None)
    if drop is not None:
        text = message_sentences(
            text,
            message(
                "Its rule precedes the DROP ({chain} rule {position}).",
                chain=drop.chain,
                position=drop.position,
            ),
        )
    reply = next((leg for leg in case.trace.legs if leg.direction == "reply"), None)
    twins = accepting(reply) if reply is not None else []
    if len(twins) == 1 and twins[0].rule is not None:
        text = message_sentences(
            text,
            message(
                "{chain} rule {position} accepts the reply.",
                chain=twins[0].rule.chain,
                position=twins[0].rule.position,
            ),
        )
    return ReasonCode.LINK, text


def _published_direct(case: Case) -> tuple[ReasonCode, Message]:
    target = case.name(case.seen.dst)
    rule = case.step.rule if case.step is not None else None
    if rule is not None and rule.chain == INGRESS:
        return (
            ReasonCode.PUBLISHED_PORT,
            message(
                "A service of the swarm publishes {what}; its rule accepts all forwarded packets to that port, not "
                "only those to the routing mesh.",
                what=port_text(case.seen),
            ),
        )
    return (
        ReasonCode.PUBLISHED_PORT,
        message(
            "{what} of {target} is published, so Docker also accepts packets to the container's own address.",
            what=port_text(case.seen),
            target=target,
        ),
    )


def _reply(case: Case) -> tuple[ReasonCode, Message]:
    if is_icmp_error(case.packet):
        return ReasonCode.RULE_ACCEPT, message("The ICMP error refers to a packet of a known connection.")
    return ReasonCode.RULE_ACCEPT, message("The packet belongs to a connection that is already established.")


def _routed(case: Case) -> tuple[ReasonCode, Message]:
    return ReasonCode.RULE_ACCEPT, message_sentence(case.role.why if case.role else "")


_BY_ROLE: dict[str, Callable[[Case], tuple[ReasonCode, Message]]] = {
    "icc-on": _icc,
    "outgoing": _outgoing,
    "link": _link,
    "link-answer": _link,
    "published-port": _published_direct,
    "answers": _reply,
    "routed": _routed,
}


# -- other rules, and policies ---------------------------------------------------------------------


def _policy_text(case: Case) -> Message:
    step = case.step
    if hidden := _hidden_translation(case):
        text = hidden
    elif step is None:
        text = message("No rule blocks it.")
    elif any(step.rule is not None and step.verdict != "CONTINUE" for step in case.leg.steps):
        text = message(
            "No rule decides, and the policy of {table} {chain} is ACCEPT.",
            table=step.table or "",
            chain=step.chain or "",
        )
    else:
        text = message(
            "No rule matches, and the policy of {table} {chain} is ACCEPT.",
            table=step.table or "",
            chain=step.chain or "",
        )
    delivered = case.leg.delivered
    if case.leg.sender == "host" and delivered is not None and delivered.kind == "container":
        if case.host.daemon is not None:
            own = message("The host itself sends it, so FORWARD, and with it icc, does not apply.")
        else:
            own = message("The host itself sends it, so FORWARD does not apply.")
        text = message_sentences(text, own)
    return message_sentences(
        sent_to_text(case),
        destination_change_text(case),
        text,
        uncalled_text(case, BLOCKING),
        author_text(case),
        other_publication_text(case),
        astray_text(case),
        source_text(case),
    )


def _hidden_translation(case: Case) -> Message | None:
    """Return a note about the destination if a nat chain that the packet passes, or a rule's target, is not shown."""
    for step in case.leg.steps:
        if step.table == "nat" and step.rule is not None and _is_unread_dnat(step.rule):
            return message(
                "No rule that is shown blocks it. {place} may send it to another destination, which is not shown.",
                place=place_of(step.rule),
            )
        is_hidden = step.table == "nat" and step.rule is not None and is_gap(step.rule.target)
        if is_hidden and NAT_SIDE.get(step.hook) == "dst":
            return message(
                "No rule that is shown blocks it. The rules of nat {chain} are not shown; they may send it to another"
                " destination.",
                chain=step.chain or "",
            )
    return None


def _is_unread_dnat(rule: Rule) -> bool:
    """Return whether a rule is a DNAT to an address that is redacted, left out, or the value of a variable."""
    return isinstance(rule.target, HiddenTarget) and rule.target.name == "DNAT"


def _accept_text(case: Case) -> Message:
    step = case.step
    assert step is not None
    assert step.rule is not None
    place, packets, why = place_of(step.rule), packets_text(step.rule), why_text(case)
    if is_gap(step.rule.target):
        text = message("Rules of {place} that are not shown let it pass.", place=place)
    elif why:
        text = message("{place} accepts {packets}: {why}.", place=place, packets=packets, why=why)
    else:
        text = message("{place} accepts {packets}.", place=place, packets=packets)
    return message_sentences(
        sent_to_text(case),
        destination_change_text(case),
        text,
        author_text(case),
        own_address_text(case),
        other_publication_text(case),
        astray_text(case),
        source_text(case),
    )
