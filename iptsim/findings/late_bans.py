"""Bans, as fail2ban writes them, that packets do not get to: behind a rule for open connections, or without a jump."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import BITS, Family
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import packet_for, states_of
from iptsim.findings.finding import Evidence, Finding, of_rule, place_of_chain, uses
from iptsim.findings.first_packets import accepts_established
from iptsim.findings.scene import Scene
from iptsim.findings.ssh import USUAL, name_port, ssh_ports
from iptsim.languages import Message, message, message_sentences

#: Names of sets and chains that hold banned addresses.
_BANS = re.compile(r"f2b|fail2ban|crowdsec|(?:^|[-_])bans?(?:$|[-_])|banned", re.IGNORECASE)
#: At most this many bans are named.
_SHOWN = 3
#: The names of the chains of sshd's jails.
_JAIL = re.compile(r"(?:f2b|fail2ban)-sshd?")


def behind_established(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, bans that packets of open connections never get to."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        rules = list(_in_order(scene, family, "INPUT", set()))
        first = next((rule for rule in rules if accepts_established(rule)), None)
        if first is None:
            continue
        earlier = rules[: rules.index(first)]
        bans = [rule for rule in rules[len(earlier) + 1 :] if _is_ban(rule)]
        shown = scene.ask("internet", "host", family, state="established") if bans else None
        if shown is not None and uses(shown, first) and not any(map(_is_ban, earlier)):
            yield _finding(family, first, bans, shown)


def unreached(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, chains of banned addresses to which no rule jumps, as a listing says."""
    for family in scene.families if scene.is_pasted else ():
        for chain in scene.table(family, "filter").chains.values():
            if chain.references == 0 and not chain.builtin and _BANS.search(chain.name):
                yield _unreached(scene, family, chain)


def _unreached(scene: Scene, family: Family, chain: Chain) -> Finding:
    bans = [rule for rule in chain.rules if _is_ban(rule)]
    shown = packet_for(scene, family, bans[0], "INPUT") if bans else None
    return Finding(
        "bans-not-reached",
        message("No rule jumps to {chain}, so its bans have no effect.", chain=chain.name),
        (
            Evidence(place_of_chain(chain), message("0 references")),
            *map(of_rule, (bans or chain.rules)[:_SHOWN]),
        ),
        message(
            "A ban blocks packets only if INPUT sends them to this chain. Another program has replaced the rules of"
            " INPUT since, or fail2ban could not insert its jump; its log says why."
        ),
        message(
            "Restart the program that writes the bans: systemctl restart fail2ban. Or add the jump: {command}",
            command=f"{tool_of(family)} -I INPUT -j {chain.name}",
        ),
        shown if shown is not None and shown.verdict == "ACCEPT" else None,
        family,
    )


def _in_order(scene: Scene, family: Family, chain: str, seen: set[str]) -> Iterator[Rule]:
    """Yield the rules of a chain in the order in which they are evaluated, each followed by those that it leads to."""
    if chain in seen:
        return
    seen.add(chain)
    for rule in scene.rules(family, "filter", chain):
        yield rule
        if isinstance(rule.target, Jump):
            yield from _in_order(scene, family, rule.target.chain, seen)


def _is_ban(rule: Rule) -> bool:
    """Return whether a rule blocks a single address, or a set or chain of banned ones."""
    if rule.target_name not in BLOCKING or any("NEW" in states_of(one) for one in rule.matches):
        return False
    source, sets = rule.parameters.source, [one for one in rule.matches if one.name == "set"]
    if any(_BANS.search(one.match_set.name) for one in sets if hasattr(one, "match_set")):
        return True
    whole = source is not None and source.mask == (1 << BITS[source.family]) - 1
    single = whole and "source" not in rule.parameters.negated
    return single and (bool(_BANS.search(rule.chain)) or not rule.conditions_on("dport"))


def _finding(family: Family, first: Rule, bans: list[Rule], shown: Explanation) -> Finding:
    return Finding(
        "bans-behind-established",
        message(
            "{accepting} accepts packets of open connections before {ban} blocks a banned address.",
            accepting=place_of(first),
            ban=place_of(bans[0]),
        ),
        (of_rule(first), *map(of_rule, bans[:_SHOWN])),
        message(
            "So a ban blocks only new connections. A client that keeps its connection open, or a telephone that goes on"
            " sending UDP, is not blocked until conntrack forgets the connection."
        ),
        message(
            "End the connections of an address when it is banned: conntrack -D -s ADDRESS. Or evaluate the bans before"
            " {accepting}.",
            accepting=place_of(first),
        ),
        shown,
        family,
    )


def for_one_port(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a jail that bans from the usual port of ssh only, where sshd listens on another one."""
    for family in scene.families if scene.is_pasted else ():
        jails: dict[str, list[Rule]] = {}
        for rule in scene.rules(family, "filter", "INPUT"):
            if rule.jump is not None and _JAIL.fullmatch(rule.jump.chain):
                jails.setdefault(rule.jump.chain, []).append(rule)
        for chain, jumps in jails.items():
            bans = [rule for rule in scene.rules(family, "filter", chain) if _blocks(rule)]
            elsewhere = _listens_elsewhere(scene, family) if bans and all(map(_is_for_ssh, jumps)) else ""
            if not elsewhere:
                continue
            yield Finding(
                "bans-one-port",
                message("The bans of {chain} cover tcp/22 only.", chain=chain),
                (*map(of_rule, jumps), *map(of_rule, bans[:_SHOWN])),
                message_sentences(
                    elsewhere,
                    message(
                        "A banned address still reaches all other ports: fail2ban takes the port from the jail, not"
                        " from sshd_config."
                    ),
                ),
                message(
                    "In jail.local, set port = PORT for this jail, or banaction = iptables-allports, then: systemctl"
                    " restart fail2ban"
                ),
                None,
                family,
            )


def _is_for_ssh(jump: Rule) -> bool:
    """Return whether a jump is for the usual port of ssh, and for no other."""
    ports = [one for one in jump.conditions_on("dport") if not one.negated]
    return [one.allowed for one in ports] == [((USUAL, USUAL),)]


def _listens_elsewhere(scene: Scene, family: Family) -> Message | str:
    """Return what shows that sshd listens on another port than the usual one; "" if nothing does."""
    if ports := ssh_ports(scene):
        others = [port for port in ports if port != USUAL]
        return (
            message("sshd listens on {ports}.", ports=f"tcp/{','.join(map(str, others))}") if others else ""
        )
    rules = [
        rule
        for name in scene.below(family, "filter", "INPUT")
        for rule in scene.rules(family, "filter", name)
    ]
    shown = scene.ask("internet", "host", family, proto="tcp", dport=USUAL)
    if shown is None or shown.verdict not in BLOCKING or name_port(rules, USUAL):
        return ""
    return message("No rule accepts tcp/22 from the internet, so sshd probably listens on another port.")


def _blocks(rule: Rule) -> bool:
    return rule.target_name in BLOCKING
