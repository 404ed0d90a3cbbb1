"""How the addresses of an accepted packet are translated: its destination, and the source that the other side sees."""

from __future__ import annotations

from iptsim.addresses import address_text
from iptsim.explanation import branches
from iptsim.explanation.case import Case, destination_text
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.places import place_of
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.languages import Text, message
from iptsim.netfilter.excerpts import unseen_tables
from iptsim.netfilter.replies import is_sent_bare, is_unanswered

#: Verdicts of rules that give the packet another destination.
_MOVING = ("DNAT", "REDIRECT", "NETMAP")


def destination_change_text(case: Case) -> Text:
    """Return which rule changes the destination: "nat PREROUTING rule 1 sends it to web 10.0.0.9:80."."""
    if case.trace.branches:
        return branches.destination_text(case.trace)
    delivered = case.leg.delivered
    moving = [step for step in case.leg.steps if step.verdict in _MOVING and step.changes and not step.maybe]
    if not moving or moving[0].rule is None:
        return ""
    if delivered is not None and delivered.kind == "container":
        place = delivered_text(delivered)
    else:
        place = destination_text(delivered.packet if delivered is not None else case.seen)
    return message("{rule} sends it to {place}.", rule=place_of(moving[0].rule), place=place)


def has_undecided_source(case: Case) -> bool:
    """Return whether only some branches change the packet's source address."""
    return any(step.maybe and "src" in step.changes for step in case.leg.steps)


def astray_text(case: Case) -> Text:
    """Return a sentence if a packet to another container leaves the host instead; else ""."""
    delivered, target = case.leg.delivered, case.owner(case.packet.dst)
    if delivered is None or delivered.kind != "outside" or target is None:
        return ""
    return message(
        "The host has no route to {name}'s network, so the packet leaves by {interface} instead.",
        name=target.name,
        interface=delivered.interface or "",
    )


def source_text(case: Case) -> Text:
    """Return what happens to the source address of a packet that leaves the host."""
    if has_undecided_source(case):
        return message("On some of its possible paths its source address is translated, on others it is not.")
    for step in case.leg.steps:
        if step.verdict in TRANSLATING_SOURCE and "src" in step.changes:
            before, after = step.changes["src"]
            return message(
                "On the way out its source {before} becomes {after} ({verdict}).",
                before=before,
                after=after,
                verdict=step.verdict,
            )
    if not is_sent_bare(case.host, case.leg):
        return ""
    source = address_text(case.packet.family, case.packet.src)
    if "nat" in unseen_tables(case.host.rulesets.values()):
        return message(
            "Table nat is not shown; unless a rule there changes the source, the other side sees {source}.",
            source=source,
        )
    if is_unanswered(case.host, case.leg):
        return message(
            "No rule changes its source: the other side sees {source}, a private address. Its reply comes back only if "
            "the other side has a route to that address; the internet has none.",
            source=source,
        )
    return message(
        "No rule changes its source: the other side sees {source}, and its reply comes back only if the other "
        "side has a route to that address.",
        source=source,
    )
