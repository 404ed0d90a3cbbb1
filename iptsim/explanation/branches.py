"""Answers with several branches: what a verdict depends on, and branches with the same verdict but different steps."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.addresses import Family
from iptsim.explanation.codes import ReasonCode
from iptsim.explanation.places import place_of, place_of_step
from iptsim.explanation.reason import Reason
from iptsim.explanation.usual import usual_verdict
from iptsim.extensions.hidden import SHOW, SHOW_BOTH, SHOW_IPV6, HiddenTarget, is_gap
from iptsim.languages import (
    Message,
    Text,
    message,
    message_joined,
    message_list,
    message_many,
    message_sentence,
    message_sentences,
)  # fmt: skip
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Decision, Leg, Trace

#: The maximum number of undecided matches that a sentence names.
_SHOWN = 3


def depends(trace: Trace) -> Reason:
    """Return the reason for DEPENDS: the undecided matches."""
    hinges = trace.hinges
    if not hinges:
        return _rewritten(trace)
    rule, chain, step = hinges[0].rule, hinges[0].nftables, None
    if chain is not None:
        step = next((step for leg in trace.legs for step in leg.all_steps if step.nftables == chain), None)
    elif rule is not None:
        step = next((step for leg in trace.legs for step in leg.steps if step.rule is rule), None)
        step = step or Step("", "", rule.table, rule.chain, rule)
    advice = message_sentences(usual_verdict(trace), _advice(hinges, trace.legs[0].packet.family))
    texts = hinge_texts(hinges)
    text, more = _on(texts), len(texts) - _SHOWN
    if more > 0:
        text = message("It depends on {on}, and {count} more.", on=text, count=more)
    else:
        text = message("It depends on {on}.", on=text)
    code = ReasonCode.UNDECIDED_MATCH if chain is None else ReasonCode.NFT_CHAIN
    return Reason(code, text, step, trace.legs[0], advice)


def _advice(hinges: list[Decision], family: Family) -> Text:
    """Return what would decide all undecided matches, each command once."""
    decide = dict.fromkeys(hinge.unknown.decide for hinge in hinges if hinge.unknown.decide)
    if SHOW_BOTH in decide:
        decide.pop(SHOW, None)
    if family == 6:
        decide = dict.fromkeys(SHOW_IPV6.get(one, one) if isinstance(one, Message) else one for one in decide)
    if not decide:
        return ""
    return message("To decide it, ask again with {decide}.", decide=message_joined(", and ", decide))


def _rewritten(trace: Trace) -> Reason:
    """Return why it is unknown what happens to a packet that an nftables chain changed."""
    leg = trace.deciding_leg
    step = leg.deciding
    text = message_sentence(step.note) if step is not None else ""
    unknown = message("What happens to the packet after that is unknown.")
    return Reason(ReasonCode.NFT_CHAIN, message_sentences(text, unknown), step, leg)


def _on(texts: Sequence[Text]) -> Text:
    """Return what a verdict or a destination depends on, in one phrase."""
    return message_joined("; on ", texts[:_SHOWN])


def hinge_texts(hinges: Sequence[Decision]) -> list[Text]:
    """Return what is undecided, each as a phrase that follows "depends on"; rules that are not shown in one phrase."""
    chains = list(dict.fromkeys(filter(None, map(_unshown_chain, hinges))))
    are_several = len(chains) > 1
    texts = [_hinge_text(one) for one in hinges if not (are_several and _unshown_chain(one))]
    if are_several:
        texts.insert(0, _chains_text(chains))
    return list({str(text): text for text in texts}.values())


def _unshown_chain(hinge: Decision) -> str:
    """Return the chain whose rules are not shown, if those are undecided; else ""."""
    rule = hinge.rule
    if rule is None or not isinstance(rule.target, HiddenTarget) or not rule.target.is_named:
        return ""
    return f"{rule.table} {rule.chain}" if is_gap(rule.target) and not rule.target.scope else ""


def _chains_text(chains: Sequence[str]) -> Message:
    more = len(chains) - _SHOWN
    if more <= 0:
        return message("rules that the text does not show: those of {chains}", chains=message_list(chains))
    return message_many(
        "rules that the text does not show: those of {chains} and {count} more chain",
        "rules that the text does not show: those of {chains} and {count} more chains",
        more,
        chains=message_joined(", ", chains[:_SHOWN]),
    )


def _hinge_text(hinge: Decision) -> Text:
    """Return what is undecided, with its place."""
    what, rule = hinge.unknown.reason, hinge.rule
    if rule is None or (isinstance(rule.target, HiddenTarget) and rule.target.is_named):
        return what
    return message("{what} ({place})", what=what, place=place_of(rule))


def destination_text(trace: Trace) -> Text:
    """Return what the destination depends on, if the branches have the same verdict but not the same destination."""
    if not trace.branches:
        return ""
    on = _on(hinge_texts(trace.hinges))
    if differ_in_source(trace.branches):
        return message("The source address with which it arrives depends on {on}.", on=on)
    return message("Where it arrives depends on {on}.", on=on)


def differ_in_source(branches: Sequence[Trace]) -> bool:
    """Return whether the requests of branches arrive at the same place, but with different source addresses."""
    arrived = [one.legs[0].delivered for one in branches]
    packets = [one.packet for one in arrived if one is not None]
    places = {(one.dst, one.dport) for one in packets}
    return len(packets) == len(branches) and len(places) == 1 and len({one.src for one in packets}) > 1


def _by(step: Step) -> Text:
    """Return what ended a branch: "by filter FORWARD rule 4", or what the kernel did."""
    return message("by {place}", place=place_of_step(step)) if step.table is not None else step.note


def blocked(leg: Leg, steps: list[Step]) -> Reason:
    """Return the reason for a packet that every branch blocks, at one step or another."""
    places = message_joined(" or ", dict.fromkeys(map(_by, steps)))
    if leg.verdict == "REJECT":
        text = message("It is rejected in any case: {places}.", places=places)
        return Reason(ReasonCode.RULE_REJECT, text, None, leg)
    text = message("It is dropped in any case: {places}.", places=places)
    return Reason(
        ReasonCode.POLICY_DROP if all(step.policy for step in steps) else ReasonCode.RULE_DROP,
        text,
        None,
        leg,
    )


def blocked_there_or_back(trace: Trace) -> Reason:
    """Return the reason for a connection that fails in every branch, at its request or at a later packet."""
    steps = {step.key(): step for way in trace.branches for step in way.deciding_leg.ends}
    places = message_joined(" or ", dict.fromkeys(map(place_of_step, steps.values())))
    text = message("The request or its reply is blocked in any case, by {places}.", places=places)
    code = ReasonCode.POLICY_DROP if all(step.policy for step in steps.values()) else ReasonCode.RULE_DROP
    return Reason(ReasonCode.RULE_REJECT if trace.verdict == "REJECT" else code, text, None, trace.legs[0])


def accepted_there_or_elsewhere(trace: Trace) -> Reason:
    """Return the reason for a connection that every branch accepts, but that only some hand to docker-proxy."""
    text = message_sentences(message("It is accepted in any case."), destination_text(trace))
    return Reason(ReasonCode.RULE_ACCEPT, text, None, trace.legs[0])


def accepted(leg: Leg, steps: list[Step]) -> Reason:
    """Return the reason for a packet that every branch accepts, at one step or another."""
    places = message_joined(" or ", dict.fromkeys(map(_by, steps)))
    text = message("It is accepted in any case: {places}.", places=places)
    return Reason(
        ReasonCode.POLICY_ACCEPT if all(step.policy for step in steps) else ReasonCode.RULE_ACCEPT,
        text,
        None,
        leg,
    )
