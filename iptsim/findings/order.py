"""Rules of one program behind a rule of another that ends the chain: a firewall's final REJECT before Docker's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from iptsim.addresses import Family
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import hides_interfaces
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING
from iptsim.findings.behind import SOME_GUEST, Behind, ask_outside
from iptsim.findings.chains import LOGS
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import SHOWN, Finding, numbers_of, of_rule, uses
from iptsim.findings.remedy import deletion, first_that_mends
from iptsim.findings.scene import Scene, some_address
from iptsim.findings.shadow import dead_rules
from iptsim.findings.variants import with_usual_interfaces
from iptsim.languages import Message, message, message_many
from iptsim.owners.rule_owners import authorship
from iptsim.passages import shell


def behind_final_rule(scene: Scene) -> Iterator[Finding]:
    """Find rules of a program that no packet reaches, because an earlier rule of another blocks everything."""
    for family in scene.families:
        for name in ("INPUT", "FORWARD", "OUTPUT"):
            chain = scene.table(family, "filter").chains.get(name)
            final = (
                next((rule for rule in chain.rules if _blocks_all(scene, family, rule)), None)
                if chain
                else None
            )
            if chain is None or final is None:
                continue
            author = authorship(final, scene.host)[0]
            behind = [
                rule
                for rule in chain.rules[chain.rules.index(final) + 1 :]
                if authorship(rule, scene.host)[0] not in (author, "user") and _lets_through(rule)
            ]
            shown = _example(scene, family, final, behind) if behind else None
            if shown is not None:
                yield _finding(scene, family, chain, final, behind, shown)


def behind_unshown(scene: Scene) -> Iterator[Finding]:
    """Find rules behind a rule that blocks everything, as far as a listing without interfaces shows.

    In FORWARD, libvirt writes such rules for bridges, two for each; so a rule that has a double does not count.
    """
    for family, name in product(scene.families, ("INPUT", "FORWARD")):
        rules = scene.rules(family, "filter", name)
        final = next((rule for rule in rules if blocks_all_unshown(rule)), None)
        if final is None or authorship(final, scene.host)[0] != "user":
            continue
        doubles = sum(blocks_all_unshown(rule) and rule.target == final.target for rule in rules)
        if name == "FORWARD" and doubles > 1:
            continue
        behind = [rule for rule in rules[rules.index(final) + 1 :] if rule.target_name == "ACCEPT"]
        shown = _example(scene, family, final, behind) if behind else None
        if shown is not None:
            title = message_many(
                "{chain} rule {numbers} comes after rule {final}, which blocks every packet unless it names an"
                " interface.",
                "{chain} rules {numbers} come after rule {final}, which blocks every packet unless it names an"
                " interface.",
                len(behind),
                chain=name,
                numbers=numbers_of(behind),
                final=final.position,
            )
            yield _too_late(scene, family, title, [final], behind, shown)


def covered_unshown(scene: Scene) -> Iterator[Finding]:
    """Find rules of INPUT whose packets an earlier rule takes, if neither is for one interface.

    A listing without interfaces suggests that, but does not show it.
    """
    for family in scene.families if scene.is_pasted else ():
        usual = with_usual_interfaces(scene.host.rulesets[family])
        if usual.tables.get("filter") == scene.host.rulesets[family].tables.get("filter"):
            continue
        world = Scene(replace(scene.host, rulesets={**scene.host.rulesets, family: usual}))
        traffic = world.traffic(family, "filter")
        for dead in dead_rules(world, traffic, ()) if traffic is not None else ():
            if dead.reason == "hidden" and scene.hooks(family, "filter").get(dead.first.chain) == ("INPUT",):
                hiders, behind = (
                    [_same(scene, family, rule) for rule in some] for some in (dead.hiders, dead.differing)
                )
                yield from _covered(scene, family, hiders, behind)


def _same(scene: Scene, family: Family, rule: Rule) -> Rule:
    """Return the rule of the host that a rule of a variant with as many rules was made from."""
    found = scene.table(family, rule.table).chains[rule.chain].at(rule.position)
    assert found is not None
    return found


def _covered(scene: Scene, family: Family, hiders: list[Rule], behind: list[Rule]) -> Iterator[Finding]:
    first = hiders[0]
    behind = [one for one in behind if (one.target_name in BLOCKING) is not (first.target_name in BLOCKING)]
    hidden = [any(map(hides_interfaces, rule.matches)) for rule in hiders]
    if not behind or not any(hidden) or any(map(blocks_all_unshown, hiders)):
        return
    title = message_many(
        "{chain} rule {numbers} comes after rule {first}, which takes all its packets, unless it is for another"
        " interface.",
        "{chain} rules {numbers} come after rule {first}, which takes all their packets, unless it is for another"
        " interface.",
        len(behind),
        chain=first.chain,
        numbers=numbers_of(behind),
        first=first.position,
    )
    yield _too_late(scene, family, title, hiders, behind, _example(scene, family, first, behind))


def _too_late(
    scene: Scene,
    family: Family,
    title: Message,
    hiders: list[Rule],
    behind: list[Rule],
    shown: Explanation | None,
) -> Finding:
    """Return the finding that rules come after others of their chain, in a listing without interfaces."""
    tool, first = tool_of(family), hiders[0]
    command = f"{tool} -I {first.chain} {first.position} {_without_interfaces(behind[0])}"
    return Finding(
        "never-matches",
        title,
        (*map(of_rule, hiders[:SHOWN]), *map(of_rule, behind[:SHOWN])),
        message(
            "Rules are evaluated in order. This listing does not show the interfaces; {command} does.",
            command=f"{tool} -L {first.chain} -n -v",
        ),
        message("Put the rule before it: {command}", command=shell(command)),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown) if shown is not None else (),
    )


def blocks_all_unshown(rule: Rule) -> bool:
    """Return whether a rule blocks every packet, if it names no interface, which its listing does not show."""
    return (
        rule.target_name in BLOCKING
        and not rule.parameters.predicates()
        and len(rule.matches) == 1
        and hides_interfaces(rule.matches[0])
    )


def alike_unshown(scene: Scene) -> Iterator[Finding]:
    """Find rules of nat with the conditions of an earlier one, as far as a listing without interfaces shows them."""
    for family in scene.families:
        for chain in scene.table(family, "nat").chains.values():
            if chain.name in DOCKER_CHAINS:
                continue  # forwarded-twice
            first: dict[str, Rule] = {}
            behind: dict[int, list[Rule]] = {}
            for rule in chain.rules:
                if rule.target_name not in TRANSLATING or not any(map(hides_interfaces, rule.matches)):
                    continue
                if authorship(rule, scene.host)[0] != "user":
                    continue
                words = _without_interfaces(rule).partition("-j ")[0]
                earlier = first.setdefault(words, rule)
                if earlier is not rule and earlier.target != rule.target:
                    behind.setdefault(id(earlier), []).append(rule)
            for rule in first.values():
                if id(rule) in behind:
                    yield _alike(scene, family, rule, behind[id(rule)])


def _alike(scene: Scene, family: Family, first: Rule, behind: list[Rule]) -> Finding:
    tool = tool_of(family)
    return Finding(
        "never-matches",
        message_many(
            "nat {chain} rule {numbers} has the conditions of rule {first}, which takes all its packets, unless their"
            " interfaces differ.",
            "nat {chain} rules {numbers} have the conditions of rule {first}, which takes all their packets, unless"
            " their interfaces differ.",
            len(behind),
            chain=first.chain,
            numbers=numbers_of(behind),
            first=first.position,
        ),
        (of_rule(first), *map(of_rule, behind[:SHOWN])),
        message(
            "The first rule of nat that matches decides. This listing does not show the interfaces; {command} does.",
            command=f"{tool} -t nat -L {first.chain} -n -v",
        ),
        message(
            "Delete the one that is wrong: {command}",
            command=shell(deletion(scene, family, first)),
        ),
        None,
        family,
    )


def _without_interfaces(rule: Rule) -> str:
    """Return a rule's text after its chain, without the interfaces that its listing does not show."""
    shown = tuple(match for match in rule.matches if not hides_interfaces(match))
    return replace(rule, matches=shown).specification


def _blocks_all(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether a rule blocks every packet, itself or by a chain that only logs before it blocks."""
    if not rule.is_unconditional:
        return False
    if not isinstance(rule.target, Jump):
        return rule.target_name in BLOCKING
    for one in scene.rules(family, rule.table, rule.target.chain):
        if one.target_name in BLOCKING and one.is_unconditional:
            return True
        if one.target_name not in ("", *LOGS):
            return False
    return False


def _lets_through(rule: Rule) -> bool:
    return rule.target_name == "ACCEPT" or isinstance(rule.target, Jump)


def _example(scene: Scene, family: Family, final: Rule, behind: list[Rule]) -> Explanation | None:
    """Return a packet that one of the rules matches, but the final rule blocks."""
    for rule in behind:
        arriving = rule.parameters.in_interface
        shown = packet_for(scene, family, rule, rule.chain)
        if shown is None and arriving and "in_interface" not in rule.parameters.negated:
            shown = _from_guest(scene, family, rule, arriving)
        if shown is not None and uses(shown, final):
            return shown
    bridges = [network.bridge or "" for network in scene.docker_networks()]
    for bridge in (*bridges, "tun0") if final.chain == "FORWARD" else ():
        shown = ask_outside(scene, family, Behind(bridge, _guest(scene, family, bridge)))
        if shown is not None and uses(shown, final):
            return shown
    return None


def _from_guest(scene: Scene, family: Family, rule: Rule, arriving: str) -> Explanation | None:
    """Return a packet from behind an interface: to another container if the rule is for such, else outside."""
    leaving = rule.parameters.out_interface
    to_bridge = leaving is not None and "out_interface" not in rule.parameters.negated
    if leaving is not None and to_bridge and scene.host.network_of_bridge(leaving) is not None:
        ends = _guest(scene, family, arriving), _guest(scene, family, leaving, 3)
        return scene.ask(*ends, family, proto="tcp", dport=80, **{"in": arriving})
    return ask_outside(scene, family, Behind(arriving, _guest(scene, family, arriving)))


def _guest(scene: Scene, family: Family, interface: str, number: int = 2) -> str:
    """Return an address behind an interface: in the subnet of the Docker bridge, by its number, else a made-up one."""
    network = scene.host.network_of_bridge(interface)
    address = some_address(network, family, number) if network is not None else None
    return address or SOME_GUEST[family]


def _finding(
    scene: Scene, family: Family, chain: Chain, final: Rule, behind: list[Rule], shown: Explanation
) -> Finding:
    tool = tool_of(family)
    commands = (
        deletion(scene, family, final),
        f"{tool} -A {chain.name} {final.specification}",
    )
    return Finding(
        "behind-final-rule",
        message_many(
            "{chain} rule {final} blocks every packet that reaches it, so rule {numbers} ({program}) has no effect.",
            "{chain} rule {final} blocks every packet that reaches it, so rules {numbers} ({program}) have no effect.",
            len(behind),
            chain=chain.name,
            final=final.position,
            numbers=numbers_of(behind),
            program=authorship(behind[0], scene.host)[0],
        ),
        (of_rule(final), *map(of_rule, behind[:SHOWN])),
        message(
            "Rules are evaluated in order. Those that were appended behind the {target} never see a packet.",
            target=final.target_name,
        ),
        message(
            "Move the {target} to the end: {commands}. The firewall's own configuration may restore the old order.",
            target=final.target_name,
            commands=shell(*commands),
        ),
        shown,
        family,
        () if shown.verdict == "DEPENDS" else commands,
    )
