"""What happens to a packet if a listing that hides interfaces means what it usually does.

`iptables -L` shows interfaces only with -v. Nearly always a rule of INPUT that seems to accept everything is for lo,
and the others name no interface. The verdict stays open; this says what it is if that holds.
"""

from __future__ import annotations

from iptsim.dump.rule import Rule
from iptsim.explanation.places import place_of, place_of_step
from iptsim.extensions.base import Match
from iptsim.extensions.hidden import hides_interfaces
from iptsim.languages import Message, message
from iptsim.netfilter.trace import Decision, Trace

#: Chains in which a rule that accepts everything is usually for lo; ufw's before.rules have it in the second one.
FOR_LO = ("INPUT", "ufw-before-input")


def is_wide(rule: Rule) -> bool:
    """Return whether a rule has no condition but the interfaces that are not shown."""
    only = len(rule.matches) == 1 and hides_interfaces(rule.matches[0])
    return only and not rule.parameters.has_predicates


def is_usually_for_lo(rule: Rule) -> bool:
    """Return whether a rule seems to accept everything, but most probably is for lo, unless there are several."""
    return rule.chain in FOR_LO and rule.target_name == "ACCEPT" and is_wide(rule)


def usual_verdict(trace: Trace) -> Message | str:
    """Return the verdict if hidden interfaces are the usual ones; "" if it also depends on something else."""
    if trace.legs[0].sender == "host" or not all(map(_is_about_interfaces, trace.hinges)):
        return ""
    if sum(hinge.rule is not None and is_usually_for_lo(hinge.rule) for hinge in trace.hinges) > 1:
        return ""  # several rules for lo are not usual
    for way in trace.branches:
        to_host = all(step.hook != "FORWARD" for leg in way.legs for step in leg.all_steps)
        if way.decisions and all(_is_usual(one, to_host=to_host) for one in way.decisions):
            return _sentence(way)
    return ""


def _is_about_interfaces(decision: Decision) -> bool:
    return decision.unknown.key[:1] == ("interfaces",)


def _is_usual(decision: Decision, *, to_host: bool) -> bool:
    """Return whether a branch decides about the interfaces of a rule as they usually are.

    A rule for all forwarded packets often names an interface: that of a VPN, or the uplink.
    """
    rule = decision.rule
    if rule is None or not _is_about_interfaces(decision):
        return False
    if is_usually_for_lo(rule):
        return not decision.value
    unsure = is_wide(rule) and (rule.chain == "OUTPUT" or not to_host)
    return decision.value and not unsure and all(map(_is_known, rule.matches))


def _is_known(match: Match) -> bool:
    return match.status == "exact" or hides_interfaces(match)


def _sentence(way: Trace) -> Message:
    step = way.deciding_leg.deciding
    verdict = (
        message("{verdict} ({place})", verdict=way.verdict, place=place_of_step(step))
        if step is not None and step.table is not None
        else way.verdict
    )
    wide = next((one.rule for one in way.decisions if one.rule and is_usually_for_lo(one.rule)), None)
    if wide is None:
        return message("If the rules are for all interfaces, as is usual: {verdict}.", verdict=verdict)
    return message(
        "If {rule} is for lo only, and the others are for all interfaces, as is usual: {verdict}.",
        rule=place_of(wide),
        verdict=verdict,
    )
