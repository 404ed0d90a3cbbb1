"""What FORWARD refuses to an interface, in a pasted text about a problem: libvirt's pair of REJECT, a closed bridge."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import SOME_GUEST, SOMEBODY, Behind, ask_outside, networks_behind
from iptsim.findings.docker_user import CHAIN
from iptsim.findings.examples import is_for_replies
from iptsim.findings.finding import SHOWN, Finding, numbers_of, of_rule, uses
from iptsim.findings.order import blocks_all_unshown
from iptsim.findings.remedy import accept_both_ways, first_that_mends
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell

_IN_ORDER = message(
    "Rules are evaluated in order, so rules that are appended behind these have no effect. libvirt writes such rules"
    " for the bridge of each of its networks, NetworkManager for the interface of a shared connection."
)


def closed(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules of FORWARD that block all that comes from an interface or goes to it."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        found: dict[str, list[Rule]] = {}
        for rule in scene.table(family, "filter").rules():
            name = _closes(rule)
            if name and scene.hooks(family, "filter").get(rule.chain) == ("FORWARD",):
                found.setdefault(name, []).append(rule)
        for name, rules in found.items():
            yield _finding(scene, family, name, rules)
        unshown = [rule for rule in scene.rules(family, "filter", "FORWARD") if blocks_all_unshown(rule)]
        if len(unshown) > 1 and not found:
            yield _unshown(family, unshown)
        if (last := _refuses_everything(scene, family)) is not None:
            yield _refused(scene, family, last)


def _refuses_everything(scene: Scene, family: Family) -> Rule | None:
    """Return the last rule of FORWARD if it blocks everything, and those shown before it accept no new connection."""
    rules = [one for one in scene.rules(family, "filter", "FORWARD") if not is_gap(one.target)]
    if not rules or rules[-1].target_name not in BLOCKING or not rules[-1].is_unconditional:
        return None
    harmless = all(
        one.target_name in (*BLOCKING, "LOG", "NFLOG") or is_for_replies(one) for one in rules[:-1]
    )
    return rules[-1] if harmless else None


def _refused(scene: Scene, family: Family, rule: Rule) -> Finding:
    shown = ask_outside(scene, family, SOMEBODY[family])
    return Finding(
        "forward-closed",
        message(
            "FORWARD rule {position} blocks everything that no rule before it accepts.",
            position=rule.position,
        ),
        (of_rule(rule),),
        message(
            "Of the rules that are shown, none before it accepts what containers, guests or clients of a VPN send to"
            " other hosts."
        )
        if scene.concerns_containers
        else message(
            "Of the rules that are shown, none before it accepts what a LAN, guests or clients of a VPN send to other"
            " hosts."
        ),
        message(
            "Insert rules before it: {commands}",
            commands=shell(*accept_both_ways(family, "FORWARD", "INTERFACE")),
        ),
        shown if shown is not None and uses(shown, rule) else None,
        family,
    )


def _closes(rule: Rule) -> str:
    """Return the interface to or from which a rule blocks everything; "" for other rules."""
    parameters = rule.parameters
    names = [one for one in (parameters.in_interface, parameters.out_interface) if one is not None]
    # what users block in DOCKER-USER is not meant to be forwarded
    if rule.target_name not in BLOCKING or len(names) != 1 or is_dockers(rule) or rule.chain == CHAIN:
        return ""
    if parameters.negated or parameters.source is not None or parameters.destination is not None:
        return ""
    if parameters.protocol is not None or any(match.predicates() for match in rule.matches):
        return ""
    return names[0]


def _unshown(family: Family, rules: list[Rule]) -> Finding:
    return Finding(
        "forward-closed",
        message(
            "FORWARD rules {numbers} block everything, probably of an interface that this listing does not show.",
            numbers=numbers_of(rules),
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        _IN_ORDER,
        message("To see the interfaces: {command}", command=shell(f"{tool_of(family)} -L FORWARD -n -v")),
        None,
        family,
    )


def _finding(scene: Scene, family: Family, name: str, rules: list[Rule]) -> Finding:
    shown = _blocked(scene, family, name, rules)
    commands = accept_both_ways(family, "FORWARD", name)
    return Finding(
        "forward-closed",
        message(
            "FORWARD blocks what is forwarded from or to {name}, unless an earlier rule accepts it.",
            name=name,
        )
        if len({rule.parameters.in_interface for rule in rules}) > 1
        else message(
            "FORWARD blocks what is forwarded from {name}, unless an earlier rule accepts it.", name=name
        )
        if rules[0].parameters.in_interface is not None
        else message(
            "FORWARD blocks what is forwarded to {name}, unless an earlier rule accepts it.", name=name
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        _IN_ORDER,
        message("Insert rules before them: {commands}", commands=shell(*commands)),
        shown,
        family,
        first_that_mends(scene, family, [commands], shown) if shown is not None else (),
    )


def _blocked(scene: Scene, family: Family, name: str, rules: list[Rule]) -> Explanation | None:
    """Return a packet from behind the interface to the internet that one of the rules blocks."""
    behind = next((one for one in networks_behind(scene, family) if one.interface == name), None)
    shown = ask_outside(
        scene, family, behind or Behind(name.rstrip("+") + "0" * name.endswith("+"), SOME_GUEST[family])
    )
    if shown is None:
        return None
    return shown if any(step.rule in rules for leg in shown.trace.legs for step in leg.all_steps) else None
