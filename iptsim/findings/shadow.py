"""Finds rules that no packet can match, exactly: for all packets at once, over all chains of a table.

A rule is dead if no packet that enters its chain reaches it, from any hook, in any connection state, whatever the
outcome of undecided matches (`iptsim/sets/traffic.py`). Rules that a program writes as a fixed set are not reported,
except Docker's if they are there twice.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import Hidden, is_gap
from iptsim.findings.chains import accepts_all
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import SHOWN, Finding, numbers_of, of_rule
from iptsim.findings.remedy import deletion, first_that_mends
from iptsim.findings.scene import Scene
from iptsim.languages import Message, Text, message, message_joined, message_many, message_sentences
from iptsim.owners.docker import is_dockers
from iptsim.owners.rule_owners import authorship
from iptsim.passages import shell
from iptsim.sets.space import TooManyNodesError
from iptsim.sets.traffic import DeadReason, DeadRule, Traffic

#: The number of rules from which on a chain without a caller is not analysed.
_MANY = 300
#: Who writes rules that an administrator chooses one by one.
_CHOSEN = frozenset({"user", "ufw"})


class Dead(NamedTuple):
    """Rules of one chain that are dead for the same reason.

    Attributes:
        reason: why.
        rules: the rules, in their order.
        hiders: the rules that hide all of them, in the order in which packets reach them.
    """

    reason: DeadReason
    rules: list[Rule]
    hiders: tuple[Rule, ...]

    @property
    def first(self) -> Rule:
        """The first of them."""
        return self.rules[0]

    @property
    def differing(self) -> list[Rule]:
        """Those of them that do something else than what hides them."""
        return [rule for rule in self.rules if any(rule.target != one.target for one in self.hiders)]


def never_matching(scene: Scene) -> Iterator[Finding]:
    """Find rules that no packet can match."""
    for family in scene.families:
        for table in scene.host.rulesets[family].tables:
            uncalled = list(_uncalled(scene, family, table))
            if not uncalled and scene.boxes(family, table).are_alive:
                continue
            if (traffic := scene.traffic(family, table)) is None:
                continue
            hooks = scene.hooks(family, table)
            for dead in dead_rules(scene, traffic, uncalled):
                yield _finding(scene, family, dead, hooks.get(dead.first.chain, ()))


def is_chosen(rule: Rule, scene: Scene) -> bool:
    """Return whether an administrator wrote a rule: no program that writes a fixed set, nor iptsim, for a log line."""
    if rule.line and any(one.line == rule.line and one.visit is None for one in scene.pasted.logged):
        return False
    return authorship(rule, scene.host)[0] in _CHOSEN


def _uncalled(scene: Scene, family: Family, table: str) -> Iterator[str]:
    """Yield the chains of a pasted text whose callers it does not show."""
    if not scene.is_pasted or all(scene.shows(family, table, name) for name in BUILTIN_CHAINS[table]):
        return
    chains = scene.table(family, table).chains
    called = {rule.jump.chain for chain in chains.values() for rule in chain.rules if rule.jump is not None}
    for name, chain in chains.items():
        if not chain.builtin and name not in called and chain.references != 0 and len(chain.rules) < _MANY:
            yield name


def dead_rules(scene: Scene, traffic: Traffic, uncalled: Sequence[str]) -> list[Dead]:
    """Return the dead rules that are worth a finding, also those of chains that are called from elsewhere."""
    found: dict[Hashable, Dead] = {}
    for one in (*traffic.dead(), *_dead_in(scene, traffic, uncalled)):
        if one.reason == "unreached" or not one.rule.position:
            continue
        if not is_chosen(one.rule, scene) and not _is_repeated(one):
            continue
        if any(isinstance(match, Hidden) and match.place[:1] == ("chain",) for match in one.rule.matches):
            continue  # it may be in another chain
        if any(accepts_all(rule) or _ends_docker_user(rule) for rule in one.hidden_by):
            continue  # there is a finding about that rule
        if any(is_gap(rule.target) for rule in one.hidden_by):
            continue  # rules that are not shown may be for other packets
        key = (one.reason, one.rule.chain, *map(id, one.hidden_by))
        found.setdefault(key, Dead(one.reason, [], one.hidden_by)).rules.append(one.rule)
    return list(found.values())


def _dead_in(scene: Scene, traffic: Traffic, uncalled: Sequence[str]) -> Iterator[DeadRule]:
    try:
        for name in uncalled:
            yield from traffic.dead_in(name)
    except TooManyNodesError as error:
        scene.left_out.append(error)


def _is_repeated(dead: DeadRule) -> bool:
    """Return whether a Docker rule exists twice: dockerd never adds a rule that already exists."""
    return is_dockers(dead.rule) and any(rule.text == dead.rule.text for rule in dead.hidden_by)


def _ends_docker_user(rule: Rule) -> bool:
    return is_dockers(rule) and rule.chain == "DOCKER-USER"


# -- words -----------------------------------------------------------------------------------------


def _finding(scene: Scene, family: Family, dead: Dead, hooks: Sequence[str]) -> Finding:
    differing = dead.differing
    shown = None
    if dead.first.table == "filter" and dead.reason == "hidden" and hooks:
        for rule in (differing or dead.rules)[:SHOWN]:
            found = packet_for(scene, family, rule, hooks[0])
            if found is not None and any(
                step.rule is one for one in dead.hiders for step in found.trace.legs[0].steps
            ):
                shown = found
                break
    docker = _docker_before(scene, family, dead)
    return Finding(
        "never-matches",
        title_of(dead),
        (*map(of_rule, docker or dead.hiders[:SHOWN]), *map(of_rule, dead.rules[:SHOWN])),
        message_sentences(_behind_docker() if docker else effect_of(dead, differing), *_counted(dead)),
        _remedy(scene, family, dead, differing, behind_docker=bool(docker)),
        shown,
        family,
        _first_place(scene, family, dead, differing, shown),
    )


def _docker_before(scene: Scene, family: Family, dead: Dead) -> list[Rule]:
    """Return the rule of FORWARD by which Docker's rules take all packets into a network before rules for them."""
    bridges = {network.bridge for network in scene.docker_networks()}
    own = all(
        rule.parameters.out_interface in bridges and "out_interface" not in rule.parameters.negated
        for rule in dead.rules
    )
    forward = scene.table(family, "filter").chains.get("FORWARD")
    if dead.reason != "not-entered" or not own or forward is None:
        return []
    for rule in forward.rules:
        called = rule.target_name or ""
        if is_dockers(rule, scene.host) and called != "DOCKER-USER":
            return [rule]
        if dead.first.chain in (called, *scene.below(family, "filter", called)):
            return []
    return []


def _behind_docker() -> Message:
    return message(
        "Docker's rules precede it in FORWARD and decide all packets into its networks: published ports are open, the "
        "others closed. Rules for these packets work in DOCKER-USER."
    )


def _first_place(
    scene: Scene, family: Family, dead: Dead, differing: Sequence[Rule], shown: Explanation | None
) -> tuple[str, ...]:
    """Return the command that puts a rule before those that hide it, if that changes what happens to the packet."""
    insert = _insertion(dead, differing, tool_of(family))
    return first_that_mends(scene, family, [(insert,)], shown) if insert and shown is not None else ()


def title_of(dead: Dead) -> Message:
    """Return which rules never match, and why, in one sentence."""
    where = {"table": dead.first.table, "chain": dead.first.chain, "numbers": numbers_of(dead.rules)}
    count = len(dead.rules)
    if dead.reason == "contradiction" and all(rule.parameters.fragment for rule in dead.rules):
        return message_many(
            "{table} {chain} rule {numbers} never matches: conntrack has put fragments together before.",
            "{table} {chain} rules {numbers} never match: conntrack has put fragments together before.",
            count, **where,
        )  # fmt: skip
    if dead.reason == "contradiction":
        return message_many(
            "{table} {chain} rule {numbers} never matches: its conditions contradict each other.",
            "{table} {chain} rules {numbers} never match: their conditions contradict each other.",
            count, **where,
        )  # fmt: skip
    if dead.reason == "not-entered":
        return message_many(
            "{table} {chain} rule {numbers} never matches: no packet that enters the chain satisfies its conditions.",
            "{table} {chain} rules {numbers} never match: no packet that enters the chain satisfies their conditions.",
            count, **where,
        )  # fmt: skip
    if len(dead.hiders) == 1 and dead.hiders[0].chain == dead.first.chain:
        return message_many(
            "{table} {chain} rule {numbers} never matches: rule {taker} handles all its packets first.",
            "{table} {chain} rules {numbers} never match: rule {taker} handles all their packets first.",
            count, **where, taker=dead.hiders[0].position,
        )  # fmt: skip
    if len(dead.hiders) == 1:
        return message_many(
            "{table} {chain} rule {numbers} never matches: {taker} handles all its packets first.",
            "{table} {chain} rules {numbers} never match: {taker} handles all their packets first.",
            count, **where, taker=place_of(dead.hiders[0]),
        )  # fmt: skip
    return message_many(
        "{table} {chain} rule {numbers} never matches: {takers} together handle all its packets first.",
        "{table} {chain} rules {numbers} never match: {takers} together handle all their packets first.",
        count, **where, takers=_takers(dead),
    )  # fmt: skip


def _takers(dead: Dead) -> Text:
    """Return the rules that hide others: "rules 2 and 5", or with their chains."""
    if all(rule.chain == dead.first.chain for rule in dead.hiders):
        return message("rules {numbers}", numbers=numbers_of(dead.hiders))
    return message_joined(", ", map(place_of, dead.hiders))


def effect_of(dead: Dead, differing: Sequence[Rule]) -> Message:
    """Return what happens to the packets instead.

    Args:
        dead: the rules.
        differing: those that do something else than what hides them.
    """
    if dead.reason == "contradiction" and all(rule.parameters.fragment for rule in dead.rules):
        return message(
            "Where connections are tracked, as NAT and --state need, rules only see whole packets."
        )
    if dead.reason != "hidden":
        return message_many(
            "The rule has no effect, so what it was written for does not happen.",
            "These rules have no effect, so what they were written for does not happen.",
            len(dead.rules),
        )
    if differing:
        meant = differing[0].target_name or message("a count")
        caller = next((rule for rule in dead.hiders if rule.jump is not None), None)
        if caller is not None and caller.jump is not None:
            return message(
                "Packets meant for rule {number} are decided in chain {chain} instead, so {meant} does not happen.",
                number=differing[0].position,
                chain=caller.jump.chain,
                meant=meant,
            )
        same = next((rule for rule in dead.hiders if rule.target_name == differing[0].target_name), None)
        if same is not None:
            return message(
                "Packets meant for rule {number} get the {target} of {taker} instead.",
                number=differing[0].position,
                target=same.target_name,
                taker=place_of(same),
            )
        return message(
            "Packets meant for rule {number} get {taken} instead of {meant}.",
            number=differing[0].position,
            taken=message_joined(", ", dict.fromkeys(rule.target_name for rule in dead.hiders)),
            meant=meant,
        )
    return message_many(
        "Both do the same, so the rule is only redundant.",
        "They do the same, so these rules are only redundant.",
        len(dead.rules) + len(dead.hiders) - 1,
    )


def _counted(dead: Dead) -> Iterator[Message]:
    """Yield what the counters show: a rule that has counted packets was not always dead."""
    for rule in dead.rules:
        if rule.counters is not None and rule.counters.packets:
            yield message_many(
                "Rule {number} has counted {count} packet: it matched until other rules were placed above it.",
                "Rule {number} has counted {count} packets: it matched until other rules were placed above it.",
                rule.counters.packets, number=rule.position,
            )  # fmt: skip
            return


def _remedy(
    scene: Scene, family: Family, dead: Dead, differing: Sequence[Rule], *, behind_docker: bool
) -> Message:
    delete = deletion(scene, family, *dead.rules)
    if dead.reason == "contradiction" and all(rule.parameters.fragment for rule in dead.rules):
        return message("delete it: {delete}", delete=shell(delete))
    if behind_docker:
        return message("put it into DOCKER-USER, or delete it: {delete}", delete=shell(delete))
    if dead.reason != "hidden":
        return message("correct its conditions, or delete it: {delete}", delete=shell(delete))
    insert = _insertion(dead, differing, tool_of(family))
    if not insert:
        return shell(delete)
    if len(dead.rules) > 1:
        return message(
            "{delete}; or, if rule {number} should come first: {insert}",
            delete=shell(delete),
            number=differing[0].position,
            insert=shell(insert),
        )
    return message(
        "{delete}; or, if it should come first: {insert}", delete=shell(delete), insert=shell(insert)
    )


def _insertion(dead: Dead, differing: Sequence[Rule], tool: str) -> str:
    """Return the command that puts a rule before those that hide it; "" if they are in other chains, or do the same."""
    first = dead.first
    before = [rule.position for rule in dead.hiders if rule.chain == first.chain]
    if dead.reason != "hidden" or not differing or not before:
        return ""
    return f"{tool} {first.table_option}-I {first.chain} {min(before)} {differing[0].specification}"
