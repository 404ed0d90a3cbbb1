"""Chains of ufw to which nothing jumps any more."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.ruleset import Chain
from iptsim.extensions.hidden import is_gap
from iptsim.findings.finding import Evidence, Finding, place_of_chain
from iptsim.findings.scene import Scene
from iptsim.languages import message, message_sentences
from iptsim.passages import shell

_OWN = re.compile(r"ufw6?-before-input")


def flushed(scene: Scene) -> Iterator[Finding]:
    """Find ufw's chains that INPUT does not call, although ufw is active, or the policy of INPUT is ufw's.

    `ufw disable` leaves its chains, empty and without callers, but sets the policies to ACCEPT (ufw-init-functions).
    """
    statuses = [one.form for one in scene.pasted.segments if one.form.startswith("ufw status")]
    if statuses and all("inactive" in one for one in statuses):
        return
    for family in scene.families:
        chains = scene.table(family, "filter").chains
        own = next((chain for name, chain in chains.items() if _OWN.fullmatch(name)), None)
        known = chains.get("INPUT")
        if (
            own is None
            or known is None
            or not known.declared
            or any(is_gap(one.target) for one in known.rules)
        ):
            continue
        drops = known.policy == "DROP"
        if (statuses or drops) and not scene.jumps(family, "filter", own.name):
            yield _finding(scene, family, own, drops=drops)


def _finding(scene: Scene, family: Family, own: Chain, *, drops: bool) -> Finding:
    return Finding(
        "ufw-rules-flushed",
        message("Nothing jumps to ufw's chains, so its rules have no effect."),
        (Evidence(place_of_chain(own), message("no rule of a chain that packets traverse jumps here")),),
        message_sentences(
            message(
                "ufw's rules in the built-in chains are missing: these chains were flushed or overwritten after ufw"
                " wrote its rules."
            ),
            message("The policy of INPUT is still DROP, which blocks what the remaining rules do not accept.")
            if drops
            else message("What the remaining rules do not block is accepted."),
        ),
        message("To write them again: {command}", command=shell("ufw reload")),
        scene.ask("internet", "host", family, proto="tcp", dport=22),
        family,
    )
