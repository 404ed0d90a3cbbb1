"""Networks behind the host whose packets FORWARD lets out, but whose replies it blocks."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import Behind, ask_outside, networks_behind
from iptsim.findings.finding import Finding, of_policy, of_rule
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.netfilter.steps import Step

_STATES = "-m conntrack --ctstate RELATED,ESTABLISHED"


def blocked(scene: Scene) -> Iterator[Finding]:
    """Find tunnels, bridges and guests whose connections FORWARD accepts, while it blocks the replies to them."""
    for family in scene.families:
        if not scene.shows(family, "filter", "FORWARD"):
            continue
        for behind in networks_behind(scene, family):
            shown = ask_outside(scene, family, behind)
            if shown is not None and (step := _blocking(shown)) is not None:
                yield _finding(scene, family, behind, step, shown)


def _blocking(shown: Explanation) -> Step | None:
    """Return the step of FORWARD that certainly blocks the reply to a packet that was delivered."""
    if shown.verdict not in BLOCKING or len(shown.trace.legs) < 2:
        return None
    there, back = shown.trace.legs[:2]
    step = back.deciding
    if there.verdict != "ACCEPT" or step is None or (step.table, step.hook) != ("filter", "FORWARD"):
        return None
    return step


def _finding(scene: Scene, family: Family, behind: Behind, step: Step, shown: Explanation) -> Finding:
    tool, chain = tool_of(family), scene.table(family, "filter").chains["FORWARD"]
    command = f"{tool} -I FORWARD {behind.leaving} {_STATES} -j ACCEPT"
    return Finding(
        "forward-blocks-replies",
        message(
            "FORWARD lets packets from behind {name} out, but blocks the replies to them.", name=behind.name
        ),
        (of_rule(step.rule) if step.rule is not None else of_policy(chain),),
        message(
            "A rule for one direction does not cover the other: replies arrive on the uplink, and another rule has to"
            " accept them, best by their state."
        ),
        message("Accept the replies: {command}", command=command),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown),
    )
