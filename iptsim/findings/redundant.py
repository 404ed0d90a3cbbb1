"""Finds rules that match packets for which a later rule would do the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from iptsim.addresses import Family
from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.extensions.base import Target
from iptsim.extensions.hidden import Hidden, is_gap
from iptsim.extensions.verdicts import DECIDING, ENDING
from iptsim.findings.finding import Finding, are_unshown, numbers_of, of_rule
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import Message, Text, message, message_joined, message_many
from iptsim.owners.chain_owners import chain_owners
from iptsim.passages import shell
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.summaries import RuleSets
from iptsim.sets.traffic import Traffic

#: Later rules that are compared with a rule, and how many of them at once.
_WINDOW, _BLOCK = 50, 8


def redundant(scene: Scene) -> Iterator[Finding]:
    """Find rules without which nothing would change, because a later rule does the same with all their packets."""
    for family in scene.families:
        for table in scene.host.rulesets[family].tables:
            for name in scene.hooks(family, table):
                found: Iterable[tuple[Rule, Rule]] | None = scene.boxes(family, table).repeated(name, _WINDOW)
                if found is None:
                    traffic = scene.traffic(family, table)
                    found = _repeated(traffic, name) if traffic is not None else ()
                for rule, later in found:
                    # of two that are alike, never-matches reports the later one; to delete both would be wrong
                    if is_chosen(rule, scene) and not _is_dead(scene, family, rule, later):
                        yield _finding(scene, family, rule, later)


def _is_dead(scene: Scene, family: Family, rule: Rule, later: Rule) -> bool:
    """Return whether no packet reaches the later of two rules that do the same."""
    if _conditions(rule) == _conditions(later):
        return True
    if scene.boxes(family, rule.table).are_alive:
        return False
    traffic = scene.traffic(family, rule.table)
    return traffic is not None and traffic.is_dead(later)


def _repeated(traffic: Traffic, name: str) -> Iterator[tuple[Rule, Rule]]:
    """Yield the rules of a chain for whose packets a later rule does the same, each with that rule."""
    rules = traffic.chains.summary(Node(traffic.table, name)).rules
    matches = list(map(_match, rules))
    blocks = [_together(matches[at : at + _BLOCK]) for at in range(0, len(matches), _BLOCK)]
    for number, sets in enumerate(rules):
        later = _same_later(sets, rules, matches, blocks, number + 1)
        if later is not None and traffic.taken(sets.rule):
            yield sets.rule, later


#: Chains whose rules are known to be plain even where the source does not show them.
_DOCKERS = frozenset({"DOCKER", "DOCKER-INGRESS"})
#: At most this many jumps are named.
_NAMED = 5
#: Targets between two jumps that leave a packet as it is.
_HARMLESS = DECIDING | {"RETURN", "LOG", "NFLOG", ""}


def repeated_jumps(scene: Scene) -> Iterator[Finding]:
    """Find jumps to a chain through which an earlier jump has sent the same packets already."""
    for family in scene.families:
        owners = chain_owners(scene.host.rulesets[family])
        for table in scene.host.rulesets[family].tables.values():
            # a listing without interfaces
            is_listed = any(isinstance(match, Hidden) for rule in table.rules() for match in rule.matches)
            for chain in table.chains.values():
                bans: list[tuple[Chain, list[Rule]]] = []
                for earlier, again in _again(chain.rules).values():
                    if earlier.jump is None:
                        continue
                    name = earlier.jump.chain
                    numbered = [one for one in again if one.position]
                    # the rules of fail2ban's chains only ban (action.d/iptables.conf)
                    is_ban = scene.is_pasted and owners.chain(name) == "fail2ban"
                    if is_ban and name in table.chains:
                        bans.append((table.chains[name], [earlier, *again]))
                    elif is_listed or not earlier.position or not numbered:
                        continue
                    elif _is_plain(scene, family, table.name, name):
                        yield _repeats(scene, family, earlier, numbered)
                    elif are_unshown(scene.rules(family, table.name, name)) and (
                        alike := _alike(earlier, numbered)
                    ):
                        yield _added_again(scene, family, earlier, alike)
                if bans:
                    yield _bans_added_again(family, chain, bans)


def _again(rules: Sequence[Rule]) -> dict[int, tuple[Rule, list[Rule]]]:
    """Return the jumps of a chain after which later jumps to the same chain match only packets that they matched."""
    seen: dict[str, list[Rule]] = {}
    found: dict[int, tuple[Rule, list[Rule]]] = {}
    for rule in rules:
        if rule.jump is not None and not rule.jump.goto:
            before = seen.setdefault(rule.jump.chain, [])
            earlier = next((one for one in before if _includes(one, rule)), None)
            if earlier is not None:
                found.setdefault(id(earlier), (earlier, []))[1].append(rule)
            before.append(rule)
        elif rule.jump is None and rule.target_name not in _HARMLESS:
            seen.clear()
    return found


def _includes(rule: Rule, other: Rule) -> bool:
    """Return whether a rule matches every packet that another matches: it has some of the same conditions."""
    ours, theirs = _conditions(rule), _conditions(other)
    return all(one in theirs for one in ours) and not any(match.status != "exact" for match in rule.matches)


def _conditions(rule: Rule) -> list[object]:
    parameters = rule.parameters
    given = (
        (option.field, value, option.field in parameters.negated) for option, value in parameters.given()
    )
    return [*given, *rule.matches]


def _is_plain(scene: Scene, family: Family, table: str, name: str) -> bool:
    """Return whether a packet that returns from a chain would do so again: Docker's port chains, if not shown, too."""
    rules = scene.rules_below(family, table, name)
    if all(is_gap(rule.target) for rule in rules):
        return name in _DOCKERS
    return all(rule.target_name in ENDING or rule.jump is not None for rule in rules) and not any(
        match.status != "exact" for rule in rules for match in rule.matches
    )


def _alike(rule: Rule, others: Sequence[Rule]) -> list[Rule]:
    return [one for one in others if _conditions(one) == _conditions(rule)]


def _added_again(scene: Scene, family: Family, earlier: Rule, again: list[Rule]) -> Finding:
    to = earlier.jump.chain if earlier.jump is not None else ""
    return _same_jumps(
        scene,
        family,
        [earlier, *again],
        message_many(
            "{table} {chain} rule {numbers} is the same jump to {to} as rule {earlier}.",
            "{table} {chain} rules {numbers} are the same jump to {to} as rule {earlier}.",
            len(again),
            table=earlier.table, chain=earlier.chain, numbers=numbers_of(again), earlier=earlier.position, to=to,
        ),
        message(
            "A program that adds its jump at every start, without removing the old one, leaves such rules. Packets that"
            " come back from {to} pass it again, which changes something only if its rules count or limit packets.",
            to=to,
        ),
    )  # fmt: skip


def _repeats(scene: Scene, family: Family, earlier: Rule, again: list[Rule]) -> Finding:
    to = earlier.jump.chain if earlier.jump is not None else ""
    return _same_jumps(
        scene,
        family,
        [earlier, *again],
        message_many(
            "{table} {chain} rule {numbers} changes nothing: rule {earlier} already sends all its packets to {to}.",
            "{table} {chain} rules {numbers} change nothing: rule {earlier} already sends all their packets to {to}.",
            len(again),
            table=earlier.table, chain=earlier.chain, numbers=numbers_of(again), earlier=earlier.position, to=to,
        ),
        message(
            "Packets that return from {to} only meet the same rules there again. A rule that should limit what reaches"
            " {to} must come before rule {earlier}.",
            to=to, earlier=earlier.position,
        ),
    )  # fmt: skip


def _same_jumps(scene: Scene, family: Family, rules: list[Rule], title: Message, why: Message) -> Finding:
    """Return the finding about jumps of one chain, of which the first makes the others unnecessary."""
    return Finding(
        "redundant-rule",
        title,
        tuple(map(of_rule, rules)),
        why,
        shell(deletion(scene, family, *rules[1:])),
        None,
        family,
    )


def _bans_added_again(family: Family, chain: Chain, bans: Sequence[tuple[Chain, list[Rule]]]) -> Finding:
    shown: list[Text] = [
        message("{chain} {count} times", chain=to.name, count=max(len(jumps), to.references or 0))
        for to, jumps in bans[:_NAMED]
    ]
    return Finding(
        "redundant-rule",
        message(
            "{table} {chain} jumps to the same chains of fail2ban again and again: {chains}.",
            table=chain.table,
            chain=chain.name,
            chains=message_joined(", ", shown),
        ),
        tuple(of_rule(rule) for _, jumps in bans[:_NAMED] for rule in jumps[:2]),
        message(
            "The other jumps change nothing. fail2ban adds its rules when it starts; the old ones remain if they are"
            " saved and loaded by another program (iptables-save, netfilter-persistent), or if it was killed."
        ),
        message(
            "Stop fail2ban, delete what is left of {command}, and start it again; clean the saved file, too.",
            command=f"{tool_of(family)} -S | grep -e f2b- -e fail2ban-",
        ),
        None,
        family,
    )


def _same_later(
    sets: RuleSets,
    rules: Sequence[RuleSets],
    matches: Sequence[PacketSet | None],
    blocks: Sequence[PacketSet | None],
    first: int,
) -> Rule | None:
    """Return the later rule that would do the same with all packets of a rule, if no rule between takes any of them.

    Args:
        sets: the rule.
        rules: of its chain.
        matches: what matches each of them.
        blocks: what matches any rule of each block of rules, so that whole blocks can be skipped.
        first: the index of the first rule after it.
    """
    target = sets.rule.target
    if not isinstance(target, Target) or target.name not in DECIDING or len(sets.takes) != 1:
        return None
    (taken,) = sets.takes.values()
    if not taken:
        return None
    place, end = first, min(first + _WINDOW, len(rules))
    while place < end:
        block = blocks[place // _BLOCK] if place % _BLOCK == 0 else None
        if block is not None and not taken.meets(block):
            place += _BLOCK
            continue
        match, other = matches[place], rules[place].rule
        if match is None:
            return None
        if taken.meets(match):
            return other if other.target == target and taken <= match else None
        place += 1
    return None


def _together(matches: Sequence[PacketSet | None]) -> PacketSet | None:
    """Return what matches any of some rules; None if that of one is not known."""
    known = [match for match in matches if match is not None]
    return union(known) if len(known) == len(matches) else None


def _match(sets: RuleSets) -> PacketSet | None:
    """Return the packets that match a rule; None if that depends on what earlier rules have rewritten."""
    return next(iter(sets.matches.values())) if len(sets.matches) == 1 else None


def _finding(scene: Scene, family: Family, rule: Rule, later: Rule) -> Finding:
    return Finding(
        "redundant-rule",
        message(
            "{table} {chain} rule {number} changes nothing: rule {later} does the same with all its packets.",
            table=rule.table, chain=rule.chain, number=rule.position, later=later.position,
        ),
        (of_rule(rule), of_rule(later)),
        message("No rule between the two matches any of these packets, so they all meet the same verdict there."),
        shell(deletion(scene, family, rule)),
        None,
        family,
    )  # fmt: skip
