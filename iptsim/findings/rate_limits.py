"""Rate limits that do not limit: the flood passes, they drop what keeps to the rate, or see the first packets only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.base import Match
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.matches.recent import Recent
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import header, packet_for, states_of
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.remedy import deletion, outcome
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import Message, message, message_joined
from iptsim.passages import shell
from iptsim.protocols import ICMP


def inverted(scene: Scene) -> Iterator[Finding]:
    """Find rules that block packets up to a rate, where those beyond it are accepted."""
    for family in scene.families:
        for rule in scene.table(family, "filter").rules():
            if rule.target_name not in BLOCKING or not any(map(_is_up_to_rate, rule.matches)):
                continue
            if rule.refused or not is_chosen(rule, scene):
                continue
            for hook in scene.hooks(family, "filter").get(rule.chain, ()):
                shown = packet_for(scene, family, rule, hook)
                if shown is not None and (
                    _lets_the_rest_pass(shown, rule) or _is_last_shown(scene, family, rule)
                ):
                    yield _finding(scene, family, rule, shown)
                    break


def beyond_limit(scene: Scene) -> Iterator[Finding]:
    """Find input chains of nftables that block only some packets of a second, and whose policy accepts the rest."""
    if scene.host.namespace.nftables is None:
        return
    for family in scene.families:
        shown = scene.ask("internet", "host", family, proto="tcp", dport=SOME_PORT)
        for branch in shown.branches if shown is not None else ():
            step = branch.reason.step
            rule = step.rule if step is not None else None
            if branch.verdict not in BLOCKING or rule is None or rule.table in BUILTIN_CHAINS:
                continue
            if (
                not any(isinstance(one, Hidden) and "limit" in one.words.split() for one in rule.matches)
                or rule.target_name not in BLOCKING
            ):
                continue
            if shown is not None and any(_passes_beyond(one, rule) for one in shown.branches):
                yield _beyond(family, rule, shown)
                return


def _passes_beyond(branch: Explanation, rule: Rule) -> bool:
    """Return whether the policy of a rule's chain accepts a packet if the rule does not match."""
    step = branch.trace.legs[0].deciding
    left = any(one.rule is rule and not one.value for one in branch.trace.decisions)
    return left and step is not None and step.policy and step.verdict == "ACCEPT"


def _beyond(family: Family, rule: Rule, shown: Explanation) -> Finding:
    return _inverted(
        family,
        rule,
        shown,
        message(
            "A limit matches as long as the rate is not exceeded. So the rule blocks the first packets, and the"
            " policy of the chain accepts the others: a few attempts open a connection to any port."
        ),
        message(
            "Let the policy drop what exceeds the rate, after making sure that what you need is accepted: {command}",
            command=shell(f"nft chain {rule.table} {rule.chain} '{{ policy drop; }}'"),
        ),
    )


def _is_up_to_rate(match: Match) -> bool:
    """Return whether a match holds while a rate is not exceeded, as -m limit and --hashlimit-upto do."""
    if match.negated:
        return False
    return match.name == "limit" or (match.name == "hashlimit" and "--hashlimit-above" not in match.save())


def _lets_the_rest_pass(shown: Explanation, rule: Rule) -> bool:
    """Return whether the rate alone decides: the rule blocks what keeps to it, and the rest is accepted."""
    decided = {id(one.rule) for branch in shown.branches for one in branch.trace.decisions}
    if shown.verdict != "DEPENDS" or decided != {id(rule)}:
        return False
    blocked = [one for one in shown.branches if one.verdict != "ACCEPT"]
    return len(blocked) < len(shown.branches) and all(
        one.reason.step is not None and one.reason.step.rule is rule for one in blocked
    )


def _is_last_shown(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether a pasted text shows no rule of the chain that may block the rest, but not the whole chain."""
    if not scene.is_pasted or scene.shows(family, "filter", rule.chain):
        return False
    rules = scene.rules(family, "filter", rule.chain)
    return not any(
        one.position and (one.target_name in BLOCKING or one.jump is not None)
        for one in rules[rules.index(rule) + 1 :]
    )


def _finding(scene: Scene, family: Family, rule: Rule, shown: Explanation) -> Finding:
    rest = replace(rule, matches=tuple(one for one in rule.matches if not _is_up_to_rate(one)))
    limited, blocked = rule.specification, rest.specification
    accepted = limited.rpartition(f"-j {rule.target_name}")[0] + "-j ACCEPT"
    tool, number = tool_of(family), rule.position
    commands = (
        f"{tool} -R {rule.chain} {number} {accepted}",
        f"{tool} -I {rule.chain} {number + 1} {blocked}",
    )
    return _inverted(
        family,
        rule,
        shown,
        message(
            "A rate limit matches as long as the rate is not exceeded. So the first packets are blocked, and a flood"
            " is not."
        ),
        message("Accept packets within the rate, and block the rest: {commands}", commands=shell(*commands))
        if _blocks_the_rest(scene, family, rule, shown, commands)
        else message("Write the limit into a rule that accepts, and block the rest behind it."),
    )


def _inverted(family: Family, rule: Rule, shown: Explanation, why: Message, remedy: Message) -> Finding:
    return Finding(
        "rate-limit-inverted",
        message(
            "{place} blocks packets while they keep to its rate, and lets those beyond it pass.",
            place=place_of(rule),
        ),
        (of_rule(rule),),
        why,
        remedy,
        shown,
        family,
    )


def _blocks_the_rest(
    scene: Scene, family: Family, rule: Rule, shown: Explanation, commands: tuple[str, ...]
) -> bool:
    """Return whether, after commands, the packet is accepted or blocked by the two rules that they write."""
    after = outcome(scene, family, commands, shown)
    if after is None or after.verdict != "DEPENDS":
        return False
    places = (rule.position, rule.position + 1)
    decided = {
        (one.verdict == "ACCEPT", one.reason.step.rule.position)
        for one in after.branches
        if one.reason.step is not None
        and one.reason.step.rule is not None
        and one.reason.step.rule.chain == rule.chain
    }
    return {(True, places[0]), (False, places[1])} <= decided


def after_first_packet(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, limits for ICMP behind a rule that accepts established connections."""
    if not scene.is_pasted or 4 not in scene.families:
        return
    for name in ("INPUT", "FORWARD"):
        rules = scene.rules(4, "filter", name)
        established = next((rule for rule in rules if accepts_established(rule)), None)
        if established is None:
            continue
        for rule in rules[rules.index(established) + 1 :]:
            if rule.parameters.protocol == ICMP and any(
                one.name in ("limit", "hashlimit") for one in rule.matches
            ):
                yield _sees_first_only(scene, established, rule)
                break


def accepts_established(rule: Rule) -> bool:
    """Return whether a rule accepts all packets of established connections."""
    states = [states_of(match) for match in rule.matches if match.predicates()]
    alone = replace(rule, matches=()).is_unconditional
    return rule.target_name == "ACCEPT" and alone and len(states) == 1 and "ESTABLISHED" in states[0]


def _sees_first_only(scene: Scene, established: Rule, rule: Rule) -> Finding:
    # a later echo request of a ping that was replied to
    ping: dict[str, Any] = {"proto": "icmp", "icmp_type": 8, "state": "established"}
    limited = f"iptables -I {rule.chain} {established.position} {rule.specification}"
    return Finding(
        "limit-sees-first-only",
        message(
            "The limit of {place} sees only the first packet of a ping: {earlier} accepts the rest.",
            place=place_of(rule),
            earlier=place_of(established),
        ),
        (of_rule(established), of_rule(rule)),
        message(
            "conntrack treats a ping that got a reply as an established connection, as long as it continues. So"
            " the limit counts pings, not their packets."
        ),
        message(
            "Put the limit first: {commands}",
            commands=shell(deletion(scene, 4, rule), limited),
        ),
        scene.ask("internet", "host", 4, **ping) if rule.chain == "INPUT" else None,
        4,
    )


def shared_list(scene: Scene) -> Iterator[Finding]:
    """Find rules of recent for several ports that count connections in the same list, as none of them names one."""
    for family in scene.families:
        counting: dict[int, Rule] = {}
        limiting: list[Rule] = []
        for rule in scene.table(family, "filter").rules():
            for match in rule.matches:
                if not isinstance(match, Recent) or match.remembered_in != "DEFAULT":
                    continue
                port = header(rule).get("dport") if match.set else None
                if port is not None:
                    counting.setdefault(port, rule)
                elif match.hitcount:
                    limiting.append(rule)
        if len(counting) > 1 and limiting:
            yield _shared(family, counting, limiting[0])


def _shared(family: Family, counting: dict[int, Rule], limiting: Rule) -> Finding:
    ports = [str(port) for port in counting]
    return Finding(
        "recent-list-shared",
        message(
            "Connections to ports {ports} are counted together: their rules of recent use the list DEFAULT.",
            ports=message_joined(", ", ports),
        ),
        (*map(of_rule, list(counting.values())[:SHOWN]), of_rule(limiting)),
        message(
            "Without --name, recent uses the list DEFAULT. A client that connects to one of these ports reaches the"
            " hitcount of the others, too."
        ),
        message("Give the rules of each port their own list, such as --name port{port}.", port=ports[0]),
        None,
        family,
    )
