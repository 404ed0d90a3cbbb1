"""Compares two listings in a pasted text: which counters grew, and so which rules matched packets."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Evidence, Finding, of_policy, of_rule
from iptsim.findings.scene import Scene
from iptsim.host.model import Grown
from iptsim.languages import Message, message, message_many

#: So many counters are named.
_SHOWN = 8
_BLOCKING = ("DROP", "REJECT")


def grown(scene: Scene) -> Iterator[Finding]:
    """Find the rules and policies whose counters grew between two listings of the same table."""
    pasted = scene.host.pasted
    if pasted is None or not pasted.listed_twice or not pasted.grown:
        return
    ordered = sorted(pasted.grown, key=lambda one: _verdict(scene, one) not in _BLOCKING)
    blocking = [one for one in ordered if _verdict(scene, one) in _BLOCKING]
    yield Finding(
        "counters-grew",
        message_many(
            "Between the two listings, {place} blocked {count} packet.",
            "Between the two listings, {place} blocked {count} packets.",
            blocking[0].packets,
            place=_place(blocking[0]),
        )
        if blocking
        else message("Between the two listings, no rule and no policy blocked a packet."),
        tuple(_evidence(scene, one) for one in ordered[:_SHOWN]),
        message("These rules and policies met what was tried in between, or other traffic of that time.")
        if blocking
        else message(
            "So the rules shown did not block what was tried in between: it did not arrive, or its reply was lost."
        ),
        message("To be sure, ask about the packet: iptsim explain SOURCE --from A --to B:PORT."),
        None,
        ordered[0].family,
    )


def _verdict(scene: Scene, one: Grown) -> str:
    chain = scene.table(one.family, one.table).chains[one.chain]
    if not one.position:
        return chain.policy or ""
    rule = chain.at(one.position)
    return rule.target_name if rule is not None else ""


def _place(one: Grown) -> Message:
    if one.position:
        return message("{table} {chain} rule {number}", table=one.table, chain=one.chain, number=one.position)
    return message("the policy of {table} {chain}", table=one.table, chain=one.chain)


def _evidence(scene: Scene, one: Grown) -> Evidence:
    chain = scene.table(one.family, one.table).chains[one.chain]
    rule = chain.at(one.position)
    shown = of_rule(rule) if rule is not None else of_policy(chain)
    count = message_many("{count} packet more", "{count} packets more", one.packets)
    return shown._replace(text=message("{rule}: {count}", rule=shown.text, count=count))
