"""Listings in a pasted text: which rules blocked packets, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import is_gap, is_homeless
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import Evidence, Finding, of_line, of_policy, of_rule, uses
from iptsim.findings.port_forwards import Forward, forwards
from iptsim.findings.scene import Scene
from iptsim.host.pasted import Grown, Lost
from iptsim.languages import Message, message, message_many, message_sentences
from iptsim.owners.rule_owners import authorship
from iptsim.passages import RESTART_DOCKER, shell

#: At most this many counters are named.
_SHOWN = 8


def grown(scene: Scene) -> Iterator[Finding]:
    """Find the rules and policies whose counters grew between two listings of the same table."""
    pasted = scene.pasted
    if not pasted.listed_twice or not pasted.grown:
        return
    ordered = sorted(pasted.grown, key=lambda one: _verdict(scene, one) not in BLOCKING)
    blocking = [one for one in ordered if _verdict(scene, one) in BLOCKING]
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
        message(
            "These rules and policies matched packets of the attempt in between, or other traffic of that time."
        )
        if blocking
        else message(
            "So the rules shown did not block the attempt in between: its packets did not arrive, or the reply was "
            "lost."
        ),
        message("To be sure, ask about the packet: iptsim explain SOURCE --from A --to B:PORT."),
        None,
        ordered[0].family,
    )


def lost(scene: Scene) -> Iterator[Finding]:
    """Find the rules that are gone in the later of two listings of the same table."""
    gone = scene.pasted.lost
    for family in scene.families:
        rules = [one for one in gone if one.family == family]
        if not rules:
            continue
        first, empty = rules[0], _is_empty(scene, family, rules)
        yield Finding(
            "rules-gone",
            message_many(
                "A rule of the first listing is gone in the later one: {table} {rule}",
                "{count} rules of the first listing are gone in the later one, the first of them {table} {rule}",
                len(rules),
                table=first.table,
                rule=first.text,
            ),
            tuple(of_line(one.line, one.text) for one in rules[:_SHOWN]),
            _how_lost(empty),
            message(
                "Load the rules again. Then let something load them at each boot: a script that systemd or ifupdown"
                " runs, or on Debian and Ubuntu `{install}` and, after each change, `{save}`.",
                install="apt install iptables-persistent",
                save="netfilter-persistent save",
            )
            if empty
            else message(
                "To write the rules of Docker again: {command}. For others, restart the program that wrote them, or add"
                " them again at their old places.",
                command=RESTART_DOCKER,
            ),
            None,
            family,
        )


def _is_empty(scene: Scene, family: Family, gone: Sequence[Lost]) -> bool:
    """Return whether the tables of rules that are gone have no rules left."""
    tables = {one.table for one in gone}
    return all(is_gap(rule.target) for name in tables for rule in scene.table(family, name).rules())


def _how_lost(empty: bool) -> Message:
    if empty:
        return message(
            "None of these rules is left. Rules are in the memory of the kernel only, so each boot begins without them."
        )
    return message(
        "Something removed them in between: a command, a restart of the firewall, or Docker when a container stopped."
        " Or the listings are of two hosts."
    )


def dropped(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, the rules and policies that have blocked packets, and what they block."""
    if not scene.is_pasted or scene.pasted.listed_twice:
        return
    for family in scene.families:
        found: list[tuple[int, Message, Evidence, Rule | None]] = []
        for table in scene.host.rulesets[family].tables.values():
            for chain in table.chains.values():
                if chain.policy == "DROP" and (count := _packets(chain)):
                    what = message("the policy of {table} {chain}", table=table.name, chain=chain.name)
                    found.append((count, what, of_policy(chain), None))
                found += [
                    (_packets(rule), place_of(rule), _with_count(rule), rule)
                    for rule in chain.rules
                    if rule.target_name in BLOCKING and _packets(rule)
                ]
        found = _each_once(found)
        if found:
            yield _dropped(scene, family, sorted(found, key=lambda one: -one[0]))


def unreached(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text with counters, port forwards that no connection has reached, while others have come in."""
    for family in scene.families if scene.is_pasted else ():
        chain = scene.table(family, "nat").chains.get("PREROUTING")
        forwarding = [one for one in forwards(scene, family) if one.rule.chain == "PREROUTING"]
        unused = [
            one
            for one in forwarding
            if one.rule.counters is not None and not _packets(one.rule) and _is_reached(scene, family, one)
        ]
        if chain is None or not unused or not scene.shows(family, "nat", "PREROUTING"):
            continue
        others = max(_packets(chain), *map(_packets, chain.rules))
        if others:
            yield _unreached(scene, family, unused, others)


def _is_reached(scene: Scene, family: Family, forward: Forward) -> bool:
    """Return whether a connection from outside reaches a port forward, past the rules before it."""
    shown = scene.ask("internet", forward.at, family, **forward.fields)
    return shown is not None and uses(shown, forward.rule)


def _unreached(scene: Scene, family: Family, unused: list[Forward], others: int) -> Finding:
    rule, fields = unused[0].rule, unused[0].fields
    ports = dict.fromkeys(f"{one.fields['proto']}/{one.fields['dport']}" for one in unused)
    uplink = scene.outside_interface(family)
    name = rule.parameters.in_interface or (uplink.name if uplink is not None else "INTERFACE")
    return Finding(
        "port-forward-not-reached",
        message("No connection to {ports} has come in, according to the counters.", ports=", ".join(ports)),
        tuple(_with_count(one.rule) for one in unused[:_SHOWN]),
        message(
            "The chain has counted others ({count}), so these packets do not arrive as the rules expect. Another router"
            " or the provider in front of this host stops them, they come by another interface or for another address,"
            " or the test was made on this host or in its own network. The counters start when the rules are loaded.",
            count=others,
        ),
        message(
            "Try it from another network, and see whether the packets arrive: {command}",
            command=shell(f"tcpdump -ni {name} {fields['proto']} port {fields['dport']}"),
        ),
        None,
        family,
    )


def _each_once(
    found: list[tuple[int, Message, Evidence, Rule | None]],
) -> list[tuple[int, Message, Evidence, Rule | None]]:
    """Return what was found with each rule whose chain is not shown once, by its line: it may be in any chain."""
    kept: dict[object, tuple[int, Message, Evidence, Rule | None]] = {}
    for one in found:
        count, _, evidence, rule = one
        if rule is not None and is_homeless(rule.matches):
            place = message("the rule in line {line}", line=rule.line)
            kept.setdefault(rule.line, (count, place, evidence._replace(place=place), None))
        else:
            kept[id(evidence)] = one
    return list(kept.values())


def _dropped(
    scene: Scene, family: Family, found: list[tuple[int, Message, Evidence, Rule | None]]
) -> Finding:
    count, what, _, rule = found[0]
    role = authorship(rule, scene.host)[1] if rule is not None else None
    hooks = scene.hooks(family, rule.table).get(rule.chain, ()) if rule is not None else ()
    shown = packet_for(scene, family, rule, hooks[0]) if rule is not None and hooks else None
    return Finding(
        "counted-drops",
        message_many(
            "Most of the blocked packets were blocked by {what}: {count} packet.",
            "Most of the blocked packets were blocked by {what}: {count} packets.",
            count,
            what=what,
        )
        if 2 * count > sum(one for one, *_ in found)
        else message(
            "Of the rules and policies shown, {what} has blocked the most packets: {count}.",
            what=what,
            count=count,
        ),
        tuple(evidence for _, _, evidence, _ in found[:_SHOWN]),
        message_sentences(
            message("The purpose of that rule: {why}.", why=role.why) if role is not None else "",
            message(
                "According to their counters, these rules and policies have blocked packets since the last reset."
            ),
        ),
        message(
            "List them again while trying the connection ({command}): the rule whose counter grows blocks it.",
            command=f"{tool_of(family)} -L -n -v",
        ),
        shown if shown is not None and rule is not None and uses(shown, rule) else None,
        family,
    )


def _packets(counted: Chain | Rule) -> int:
    return counted.counters.packets if counted.counters is not None else 0


def _with_count(rule: Rule) -> Evidence:
    shown = of_rule(rule)
    count = message_many("{count} packet", "{count} packets", _packets(rule))
    return shown._replace(text=message("{rule}: {count}", rule=shown.text, count=count))


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
