"""Bans that do not work: in INPUT, which forwarded packets do not pass, behind what accepts all, for one port only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice, takewhile
from operator import is_not
from typing import Any, NamedTuple

from iptsim.addresses import BITS, Family, address_text, is_private
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import HiddenAddress, hides_interfaces
from iptsim.extensions.matches.set import Set
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import SOME_CONTAINER, second_address
from iptsim.findings.bypassed_firewalls import is_forwarded, is_on_purpose
from iptsim.findings.closed import at_first_sight
from iptsim.findings.examples import header, is_for_replies, packet_for, states_of
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule, place_of_chain, uses
from iptsim.findings.rate_limits import accepts_established
from iptsim.findings.scene import Scene
from iptsim.findings.ssh import USUAL, name_port, ssh_ports
from iptsim.findings.variants import with_usual_interfaces, without_rules
from iptsim.languages import Message, message, message_sentences
from iptsim.owners.chain_owners import chain_owners
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: At most this many rules are tried.
_TRIED = 20
#: The bytes that are visible of an address whose last one is redacted, and that byte of some machine.
_NETWORK, _SOME_HOST = 0xFFFFFF00, 5
#: Names of sets and chains that hold banned addresses.
_BANS = re.compile(r"f2b|fail2ban|crowdsec|(?:^|[-_])bans?(?:$|[-_])|banned", re.IGNORECASE)
#: At most this many bans are named.
_SHOWN = 3
#: The names of the chains of sshd's jails.
_JAIL = re.compile(r"(?:f2b|fail2ban)-sshd?")


class _Ban(NamedTuple):
    """A rule of INPUT that blocks senders.

    Attributes:
        sender: an address that it blocks; "internet" for one that may be in its set.
        words: the condition, for a rule elsewhere.
    """

    rule: Rule
    sender: str
    words: str
    is_set: bool


class _Port(NamedTuple):
    """A port of a container that others may connect to.

    Attributes:
        to / fields: the destination and further fields of a packet for it.
    """

    name: Message
    to: str
    proto: str
    number: int
    fields: dict[str, Any]

    def ask(self, scene: Scene, family: Family, sender: str) -> Explanation | None:
        """Walk a packet to it."""
        return scene.ask(sender, self.to, family, proto=self.proto, dport=self.number, **self.fields)


def not_for_containers(scene: Scene) -> Iterator[Finding]:
    """Find addresses that only INPUT blocks, on a host whose published ports are forwarded to containers."""
    for family in scene.families:
        if not scene.has_docker:
            yield from _beside_containers(scene, family)
            continue
        found: list[tuple[_Ban, Message, Explanation]] = []
        for ban in islice(_bans(scene, family), _TRIED):
            hit = next(_passing(scene, family, ban), None)
            if hit is not None:
                found.append((ban, *hit))
        if found:
            yield _finding(scene, family, found)


def _beside_containers(scene: Scene, family: Family) -> Iterator[Finding]:
    """Find bans in INPUT in a pasted text without rules of Docker: with published ports, or with senders to block."""
    published = scene.pasted.published
    wants_block = "docker" in scene.pasted.engines and scene.pasted.complaint.allowed
    if not (published or wants_block) or family == 6 or scene.has_no_rules:
        return
    if scene.shows(family, "filter", "FORWARD") and scene.rules(family, "filter", "FORWARD"):
        return  # without Docker's rules, as there are no others
    found = [
        one
        for one in islice(_bans(scene, family), _TRIED)
        if not one.rule.conditions_on("dport") or one.is_set
    ]
    if not found:
        return
    port: Message = message("ports of containers")
    if published:
        name, number, proto, _ = published[0]
        port = message("port {port} of {name}", port=f"{number}/{proto}", name=name)
    command = f"{tool_of(family)} -I DOCKER-USER {found[0].words} -j {found[0].rule.target_name}"
    yield Finding(
        "bans-not-for-containers",
        message(
            "INPUT blocks senders, but packets to the published {port} do not pass INPUT.",
            port=port,
        ),
        tuple(of_rule(one.rule) for one in found[:SHOWN]),
        message(
            "Docker's own rules, which are not shown, forward packets to published ports to the containers: they pass"
            " FORWARD and DOCKER-USER. Only with iptables=false does docker-proxy take them, so that INPUT decides."
        ),
        _remedy(scene, family, found[0], command),
        None,
        family,
    )


def _bans(scene: Scene, family: Family) -> Iterator[_Ban]:
    """Yield the rules that block packets by their source address, and that are reached only from INPUT."""
    hooks = scene.hooks(family, "filter")
    for rule in scene.table(family, "filter").rules():
        if hooks.get(rule.chain) != ("INPUT",) or rule.target_name not in BLOCKING:
            continue
        source = rule.parameters.source
        sets = [one for one in rule.matches if isinstance(one, Set) and _is_of_senders(one)]
        if source is not None and "source" not in rule.parameters.negated:
            address = second_address(source)
            if not is_private(family, address):
                yield _Ban(rule, address, f"-s {source.short}", False)
        elif source is None and sets:
            yield _Ban(rule, "internet", f"-m set --match-set {sets[0].match_set[0]} src", True)


def _is_of_senders(match: Set) -> bool:
    return match.match_set[1] == ("src",) and "match_set" not in match.negated


def _passing(scene: Scene, family: Family, ban: _Ban) -> Iterator[tuple[Message, Explanation]]:
    """Yield the ports of containers that a blocked sender reaches, but would not if the packets passed INPUT."""
    world = scene.suppose(
        "no nat, usual interfaces", lambda ruleset: without_rules("nat", with_usual_interfaces(ruleset))
    )
    for port in _ports(scene, family):
        shown = port.ask(scene, family, ban.sender)
        if shown is None or not _is_open(shown, port) or is_on_purpose(shown):
            continue
        if port.fields and ban.is_set and not ban.rule.conditions_on("dport"):
            yield port.name, shown  # the rule matches all ports, and it is unknown which one is published
            return
        local = scene.ask(ban.sender, "host", family, world=world, proto=port.proto, dport=port.number)
        others = scene.ask("internet", "host", family, world=world, proto=port.proto, dport=port.number)
        if local is not None and not ban.is_set:
            local = _not_forwarded(local)
        if local is None or not _decides(local, ban):
            continue
        if ban.is_set or (others is not None and others.verdict != local.verdict):
            yield port.name, shown


def _not_forwarded(shown: Explanation) -> Explanation:
    """Return what happens to a packet if rules of nat that the source does not show do not forward it."""
    if shown.verdict != "DEPENDS" or any(one.match != "unseen" for one in shown.trace.hinges):
        return shown
    return next((one for one in shown.branches if one.verdict in BLOCKING), shown)


def _ports(scene: Scene, family: Family) -> Iterator[_Port]:
    """Yield the published ports; where only table filter is shown, those that Docker's rules accept."""
    known = False
    for one in scene.publications(family):
        proto, to = protocol_name(one.port.proto), one.port.host_address or "host"
        if not one.on_loopback:
            known = True
            name = message("port {port} of {name}", port=one.outside, name=one.container.name)
            yield _Port(name, to, proto, one.port.host_port, {})
    outside = scene.outside_interface(family)
    if known or outside is None or not scene.jumps(family, "filter", "DOCKER"):
        return
    if family == 4 and not scene.shows(family, "filter", "DOCKER"):
        yield _Port(message("ports of containers"), SOME_CONTAINER, "tcp", 80, {"in": outside.name})
    for rule in scene.rules(family, "filter", "DOCKER"):
        target, fields = rule.parameters.destination, header(rule)
        if target is not None and rule.target_name == "ACCEPT" and "dport" in fields:
            address = address_text(family, target.address)
            name = message("port {port} of {name}", port=f"{fields['dport']}/{fields['proto']}", name=address)
            yield _Port(name, address, fields["proto"], fields["dport"], {"in": outside.name})


def _is_open(shown: Explanation, port: _Port) -> bool:
    """Return whether a packet reaches a container; where Docker's chains are not shown, whether it may."""
    if shown.verdict == "DEPENDS":
        rules = [one.rule for one in shown.trace.hinges if one.rule is not None]
        return bool(port.fields) and not any(
            isinstance(match, Set) for rule in rules for match in rule.matches
        )
    return shown.verdict == "ACCEPT" and is_forwarded(shown)


def _decides(shown: Explanation, ban: _Ban) -> bool:
    """Return whether a rule blocks a packet, or may, if the rule checks a set."""
    if ban.is_set:
        return shown.verdict == "DEPENDS" and any(_are_same(ban.rule, one.rule) for one in shown.trace.hinges)
    step = shown.trace.legs[0].deciding
    return shown.verdict in BLOCKING and step is not None and _are_same(ban.rule, step.rule)


def _are_same(own: Rule, other: Rule | None) -> bool:
    """Return whether a rule is another one, or its counterpart in a variant of the host."""
    if other is None:
        return False
    return (own.table, own.chain, own.position) == (other.table, other.chain, other.position)


def _finding(scene: Scene, family: Family, found: list[tuple[_Ban, Message, Explanation]]) -> Finding:
    ban, port, shown = found[0]
    where = "DOCKER-USER" if scene.jumps(family, "filter", "DOCKER-USER") else "FORWARD"
    command = f"{tool_of(family)} -I {where} {ban.words} -j {ban.rule.target_name}"
    return Finding(
        "bans-not-for-containers",
        message("Senders that INPUT blocks can still connect to published {port}.", port=port),
        tuple(of_rule(one.rule) for one, _, _ in found[:SHOWN]),
        message(
            "Packets to a published port are forwarded to the container: they pass FORWARD and never reach the rules"
            " of INPUT."
        ),
        _remedy(scene, family, ban, command),
        shown,
        family,
        # it is unknown whether a sender is in the set, so a trial shows nothing
        () if ban.is_set or shown.verdict == "DEPENDS" else (command,),
    )


def _remedy(scene: Scene, family: Family, ban: _Ban, command: str) -> Message:
    owner = chain_owners(scene.host.rulesets[family]).rule(ban.rule)
    if owner == "fail2ban":
        return message(
            "{command}; for later bans set chain = DOCKER-USER in the jail.", command=shell(command)
        )
    if ban.is_set:
        return message(
            "{command}; or let the program that writes the rule insert it there, too (CrowdSec: DOCKER-USER in"
            " iptables_chains).",
            command=shell(command),
        )
    return shell(command)


def behind_established(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, bans that packets of open connections never get to."""
    for family in scene.families if scene.is_pasted else ():
        rules = list(_in_order(scene, family, "INPUT", set()))
        first = next((rule for rule in rules if accepts_established(rule)), None)
        if first is None:
            continue
        earlier = rules[: rules.index(first)]
        bans = [rule for rule in rules[len(earlier) + 1 :] if _is_ban(rule)]
        shown = scene.ask("internet", "host", family, state="established") if bans else None
        if shown is not None and uses(shown, first) and not any(map(_is_ban, earlier)):
            yield _late(family, first, bans, shown)


def behind_accepted(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, banned addresses that connect to a port which an earlier rule accepts from everybody."""
    for family in scene.families if scene.is_pasted else ():
        for ban in filter(_is_ban, _in_order(scene, family, "INPUT", set())):
            for rule, shown in _accepting_before(scene, family, ban):
                yield _accepted(scene, family, ban, rule, shown)
                return


def _accepting_before(scene: Scene, family: Family, ban: Rule) -> Iterator[tuple[Rule, Explanation]]:
    """Yield the rules before a ban, in its chain, that accept a port from its address, each with such a packet."""
    sender = _sender(family, ban)
    if sender is None:
        return
    world = scene.suppose("usual interfaces", with_usual_interfaces)
    chain = scene.rules(family, "filter", ban.chain)
    for rule in filter(_accepts_port, takewhile(partial(is_not, ban), chain)):
        shown = scene.ask(sender, "host", family, world=world, **header(rule))
        step = shown.trace.legs[0].deciding if shown is not None else None
        if (
            shown is not None
            and step is not None
            and shown.verdict == "ACCEPT"
            and _are_same(rule, step.rule)
        ):
            yield rule, shown


def _sender(family: Family, ban: Rule) -> str | None:
    """Return an address that a ban blocks, or may block if some of its bytes are redacted; None if it names none."""
    source, hidden = ban.parameters.source, _redacted(ban)
    if source is not None:
        return address_text(family, source.address)
    return None if hidden is None else address_text(family, hidden.address | ~hidden.mask & _SOME_HOST)


def _redacted(rule: Rule) -> HiddenAddress | None:
    """Return the source address of a rule if it is redacted, but for its last byte: `203.0.113.xxx`."""
    found = (one for one in rule.matches if isinstance(one, HiddenAddress) and one.side == "src")
    return next((one for one in found if one.mask == _NETWORK and not one.negated), None)


def _accepts_port(rule: Rule) -> bool:
    """Return whether a rule accepts new connections to a port."""
    return (
        rule.target_name == "ACCEPT"
        and bool(rule.conditions_on("dport"))
        and not rule.conditions_on("sport")
        and not is_for_replies(rule)
    )


def _accepted(scene: Scene, family: Family, ban: Rule, rule: Rule, shown: Explanation) -> Finding:
    ufw = chain_owners(scene.host.rulesets[family]).rule(ban) == "ufw"
    hidden = _redacted(ban)
    sender = (
        address_text(family, shown.trace.legs[0].packet.src) if hidden is None else hidden.words.split()[-1]
    )
    return Finding(
        "bans-behind-accepted",
        message(
            "{accepting} accepts a port before {ban} blocks {sender}.",
            accepting=place_of(rule),
            ban=place_of(ban),
            sender=sender,
        ),
        (of_rule(rule), of_rule(ban)),
        message_sentences(
            message(
                "The first rule that matches decides: {sender} can still connect to this port.", sender=sender
            ),
            message("iptables -L hides interfaces without -v; the rules are assumed to be for all of them.")
            if any(map(hides_interfaces, rule.matches))
            else "",
        ),
        message(
            "Insert it before the others: {command}",
            command=shell(
                f"ufw insert 1 deny from {sender}"
                if ufw
                else f"{tool_of(family)} -I {ban.chain} {rule.position} -s {sender} -j {ban.target_name}"
            ),
        ),
        shown,
        family,
    )


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
            "Restart the program that writes the bans: {restart}. Or add the jump: {command}",
            restart=shell("systemctl restart fail2ban"),
            command=shell(f"{tool_of(family)} -I INPUT -j {chain.name}"),
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
    if any(isinstance(one, Set) and _BANS.search(one.match_set.name) for one in rule.matches):
        return True
    source = rule.parameters.source
    whole = source is not None and source.mask == (1 << BITS[source.family]) - 1 and source.address != 0
    single = (whole and "source" not in rule.parameters.negated) or _redacted(rule) is not None
    return single and (bool(_BANS.search(rule.chain)) or not rule.conditions_on("dport"))


def _late(family: Family, first: Rule, bans: list[Rule], shown: Explanation) -> Finding:
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
            bans = [rule for rule in scene.rules(family, "filter", chain) if rule.target_name in BLOCKING]
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
    rules = scene.rules_below(family, "filter", "INPUT")
    read = at_first_sight(scene, family) or scene
    shown = read.ask("internet", "host", family, proto="tcp", dport=USUAL)
    if shown is None or shown.verdict not in BLOCKING or name_port(rules, USUAL):
        return ""
    return message("No rule accepts tcp/22 from the internet, so sshd probably listens on another port.")
