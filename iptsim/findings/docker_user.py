"""Findings about DOCKER-USER: whether it is evaluated, and whether its rules do what they seem to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.behind import SOME_CONTAINER
from iptsim.findings.finding import SHOWN, Evidence, Finding, blocked_at, of_line, of_rule
from iptsim.findings.remedy import deletion, outcome
from iptsim.findings.scene import Scene
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.languages import message, message_many
from iptsim.owners.docker import docker_role, is_dockers
from iptsim.passages import shell

CHAIN = "DOCKER-USER"
#: At most this many rules are listed.
_SHOWN = 10
#: Roles of Docker rules that accept no new connections.
_HARMLESS = frozenset({"answers", "isolation", "internal", "icc-off", "unpublished"})


#: Chains in which Docker accepts new connections.
_ACCEPTING = frozenset({"DOCKER", "DOCKER-FORWARD", "DOCKER-INGRESS"})


def asked(scene: Scene) -> Iterator[Finding]:
    """Find a DOCKER-USER that FORWARD does not jump to, or jumps to too late."""
    for family in scene.families:
        if CHAIN not in scene.table(family, "filter").chains:
            continue
        own = [rule for rule in scene.rules(family, "filter", CHAIN) if not is_dockers(rule)]
        jumps = [rule for rule in scene.jumps(family, "filter", CHAIN) if rule.chain == "FORWARD"]
        others = [rule for rule in scene.rules(family, "filter", "FORWARD") if is_dockers(rule)]
        if not jumps:
            alone = scene.rules(family, "filter", "FORWARD") and not _docker_chains(scene, family) - {CHAIN}
            to_docker = any(rule.callee in DOCKER_CHAINS for rule in scene.rules(family, "filter", "FORWARD"))
            if others or (own and (alone or to_docker)):  # otherwise docker-rules-flushed reports it
                yield _not_asked(scene, family, own)
            continue
        before = [
            rule for rule in others if rule.position < jumps[0].position and _may_accept(scene, family, rule)
        ]
        if before:
            yield _late(scene, family, jumps[0], before)


def _docker_chains(scene: Scene, family: Family) -> frozenset[str]:
    """Return the chains of Docker that the filter table has."""
    return DOCKER_CHAINS & scene.table(family, "filter").chains.keys()


def _may_accept(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether a Docker rule, or the chains it jumps to, may accept a new connection."""
    jump = rule.jump
    for one in scene.rules_below(family, "filter", jump.chain) if jump is not None else [rule]:
        if is_gap(one.target) and one.chain in _ACCEPTING:
            return True  # what Docker writes there is known, even where the source does not show it
        role = docker_role(one)
        if one.target_name == "ACCEPT" and (role is None or role.code not in _HARMLESS):
            return True
    return False


def _not_asked(scene: Scene, family: Family, own: list[Rule]) -> Finding:
    command = f"{tool_of(family)} -I FORWARD -j {CHAIN}"
    return Finding(
        "docker-user-not-asked",
        message("No rule in FORWARD jumps to DOCKER-USER."),
        (
            Evidence("filter FORWARD", message("no rule jumps to {chain}", chain=CHAIN))
            if scene.shows(family, "filter", "FORWARD")
            else Evidence(f"filter {CHAIN}", message("0 references")),
            *map(of_rule, own[:SHOWN]),
        ),
        message_many(
            "The chain is never evaluated, so its rule has no effect.",
            "The chain is never evaluated, so its {count} rules have no effect.",
            len(own),
        )
        if own
        else message("Rules added to the chain have no effect."),
        message("{command}; restarting Docker does the same.", command=shell(command)),
        _against(scene, family, scene.suppose("evaluated first", _asked_first)),
        family,
        (command,),
    )


def _late(scene: Scene, family: Family, jump: Rule, before: list[Rule]) -> Finding:
    commands = tuple(f"{tool_of(family)} {option} FORWARD -j {CHAIN}" for option in ("-D", "-I"))
    return Finding(
        "docker-user-late",
        message(
            "FORWARD jumps to DOCKER-USER only at rule {position}, after Docker's own rules.",
            position=jump.position,
        ),
        (*(of_rule(rule) for rule in before[:3]), of_rule(jump)),
        message("Packets that those rules accept never reach DOCKER-USER."),
        shell(*commands),
        _against(scene, family, scene.suppose("evaluated first", _asked_first)),
        family,
        commands,
    )


def _against(scene: Scene, family: Family, world: str) -> Explanation | None:
    """Return a packet that passes now, but would not if DOCKER-USER were evaluated properly."""
    for publication in scene.publications(family):
        shown, other = scene.ask_port(publication), scene.ask_port(publication, world)
        if _differ(shown, other):
            return shown
    for container in scene.first_members(family):
        shown = scene.ask(container.name, "internet", family, proto="tcp", dport=443)
        other = scene.ask(container.name, "internet", family, world=world, proto="tcp", dport=443)
        if _differ(shown, other):
            return shown
    return None


def _differ(shown: Explanation | None, other: Explanation | None) -> bool:
    if shown is None or other is None or shown.verdict != "ACCEPT":
        return False
    return other.verdict in BLOCKING


def _asked_first(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset in which FORWARD starts with the jump to DOCKER-USER."""
    jump = Rule("filter", "FORWARD", 1, Parameters(), target=Jump(CHAIN))
    return _with_rules(ruleset, "FORWARD", lambda rules: [jump, *rules])


def _without_return(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset in which no RETURN ends DOCKER-USER early."""
    return _with_rules(ruleset, CHAIN, lambda rules: [rule for rule in rules if not is_dockers(rule)])


def _with_rules(ruleset: Ruleset, name: str, change: Callable[[Sequence[Rule]], list[Rule]]) -> Ruleset:
    table = ruleset.tables.get("filter")
    chain = table.chains.get(name) if table else None
    if table is None or chain is None:
        return ruleset
    chains = {**table.chains, name: replace(chain, rules=change(chain.rules))}
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(table, chains=chains)})


def after_return(scene: Scene) -> Iterator[Finding]:
    """Find rules that were appended after the RETURN at the end of DOCKER-USER (up to Docker 27)."""
    for family in scene.families:
        rules = scene.rules(family, "filter", CHAIN)
        end = next((rule for rule in rules if is_dockers(rule)), None)
        # by place, not by number: a pasted text may have left out rules before it
        place = next((place for place, rule in enumerate(rules) if rule is end), 0)
        behind = [rule for rule in rules[place + 1 :] if not is_gap(rule.target)] if end is not None else []
        if end is None or not behind:
            continue
        tool = tool_of(family)
        # all of them, in the same order, before the RETURN
        commands = tuple(
            command
            for number, rule in enumerate(behind, end.position)
            for command in (
                deletion(scene, family, rule),
                f"{tool} -I {CHAIN} {number} {rule.specification}",
            )
        )
        yield Finding(
            "docker-user-after-return",
            message_many(
                "{count} rule in DOCKER-USER comes after the RETURN that ends it.",
                "{count} rules in DOCKER-USER come after the RETURN that ends it.",
                len(behind),
            ),
            (of_rule(end), *map(of_rule, behind)),
            message(
                "Every packet leaves the chain at the RETURN; rules appended with -A are never evaluated."
            ),
            message(
                "Move them before it: {commands}",
                commands=shell(*commands),
            ),
            _against(scene, family, scene.suppose("no return", _without_return)),
            family,
            commands,
        )


def appended(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, commands that append rules to DOCKER-USER, where Docker up to 27 has a RETURN."""
    pasted = scene.pasted
    if not pasted.appended:
        return
    yield Finding(
        "docker-user-appended",
        message(
            "A rule that is appended to DOCKER-USER comes after the RETURN with which Docker up to 27 ends it."
        ),
        tuple(of_line(line, text) for line, text in pasted.appended[:_SHOWN]),
        message(
            "Every packet leaves the chain at that RETURN, so the rule is never evaluated. Since Docker 28 the chain is"
            " empty at first, and the rule takes effect."
        ),
        message(
            "Insert it instead: {command}. iptables -S DOCKER-USER shows whether the RETURN is there.",
            command=shell(pasted.appended[0][1].replace("-A ", "-I ", 1).replace("--append ", "-I ", 1)),
        ),
        None,
        4,
    )


def replies(scene: Scene) -> Iterator[Finding]:
    """Find rules in DOCKER-USER that drop replies of connections that they allowed."""
    for family in scene.families:
        if CHAIN not in scene.table(family, "filter").chains:
            continue
        chains = set(scene.below(family, "filter", CHAIN))
        reported: set[int] = set()
        for shown in _conversations(scene, family):
            rule = _blocks_reply(shown)
            if rule is None or rule.chain not in chains or id(rule) in reported:
                continue
            reported.add(id(rule))
            command = _let_replies_pass(family)
            yield Finding(
                "docker-user-blocks-replies",
                message(
                    "{chain} rule {position} also drops the replies of connections that were accepted.",
                    chain=rule.chain,
                    position=rule.position,
                ),
                (of_rule(rule),),
                message("The first packet of the connection is accepted, but the rule drops the reply."),
                shell(command),
                shown,
                family,
                (command,),
            )


def _blocks_reply(shown: Explanation) -> Rule | None:
    """Return the rule that drops the reply to a packet, at least if what is not shown lets the packet itself pass."""
    if shown.verdict not in BLOCKING:
        return None
    for trace in (shown.trace, *shown.trace.branches):
        leg = trace.deciding_leg
        if leg.direction == "reply" and not leg.proxy:
            return leg.deciding.rule if leg.deciding is not None else None
    return None


def _let_replies_pass(family: Family) -> str:
    return f"{tool_of(family)} -I {CHAIN} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"


def outgoing(scene: Scene) -> Iterator[Finding]:
    """Find rules in DOCKER-USER that block what containers send: for any interface, and all sources or all but some."""
    for family in scene.families:
        if not scene.jumps(family, "filter", CHAIN):
            continue
        for sender, fields in _senders(scene, family):
            shown = scene.ask(sender, "internet", family, proto="tcp", dport=443, **fields)
            step = blocked_at(shown, "FORWARD") if shown is not None else None
            rule = step.rule if step is not None else None
            if shown is None or rule is None or rule.chain != CHAIN:
                continue
            named = rule.parameters.source is not None and "source" not in rule.parameters.negated
            if rule.matches or rule.parameters.in_interface or named:
                continue  # it is meant for only some packets
            yield _drops_outgoing(scene, family, rule, shown)
            break


def _senders(scene: Scene, family: Family) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield containers; where none is known, an address that Docker usually gives the first one."""
    known = list(scene.first_members(family))
    yield from ((container.name, {}) for container in known)
    if not known and family == 4 and scene.host.inferred:
        yield SOME_CONTAINER, {"in": DEFAULT_BRIDGE}


def _drops_outgoing(scene: Scene, family: Family, rule: Rule, shown: Explanation) -> Finding:
    outside = scene.outside_interface(family)
    way_out = outside.name if outside else "eth0"
    commands = (f"{tool_of(family)} -I {CHAIN} ! -i {way_out} -j RETURN", _let_replies_pass(family))
    after = outcome(scene, family, commands, shown)
    return Finding(
        "docker-user-drops-outgoing",
        message(
            "{chain} rule {position} also drops what containers send.",
            chain=rule.chain,
            position=rule.position,
        ),
        (of_rule(rule),),
        message(
            "All forwarded packets pass DOCKER-USER, in both directions. The rule names no interface, so it also drops"
            " the containers' own connections, and replies that no earlier rule accepts."
        ),
        shell(*commands),
        shown,
        family,
        # if rules are not shown, they may still block it
        () if after is not None and after.verdict == "DEPENDS" else commands,
    )


def _conversations(scene: Scene, family: Family) -> Iterator[Explanation]:
    for sender, fields in _senders(scene, family):
        if (found := scene.ask(sender, "internet", family, proto="tcp", dport=443, **fields)) is not None:
            yield found
    for publication in scene.publications(family):
        if (found := scene.ask_port(publication)) is not None:
            yield found
