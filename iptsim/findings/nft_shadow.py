"""Rules of nftables that no packet can match: their conditions exclude each other, or rules before them take all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.constraints import Names
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.native_chains import handle_of, has_only_nftables
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import Dead, effect_of, is_chosen, title_of
from iptsim.host.nft_chains import NftChain
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.languages import Message, message
from iptsim.netfilter.program import Program
from iptsim.passages import shell
from iptsim.sets.chains import Chains
from iptsim.sets.engines import MOST_NODES
from iptsim.sets.space import Space, TooManyNodesError
from iptsim.sets.traffic import Traffic

#: Chains with more rules are written by programs.
_MOST = 300
_HOOKS = {"input": "INPUT", "forward": "FORWARD", "output": "OUTPUT"}


def never_matching(scene: Scene) -> Iterator[Finding]:
    """Find rules of base chains of type filter, and of the chains that these call, that no packet can match."""
    seen: set[Message] = set()
    for family in scene.families:
        for chain in scene.base_chains if has_only_nftables(scene, family) else ():
            if chain.type != "filter" or chain.hook not in _HOOKS:
                continue
            for found in _of_chain(scene, family, chain):
                if found.title not in seen:  # a chain of family inet has rules for both address families
                    seen.add(found.title)
                    yield found


def _of_chain(scene: Scene, family: Family, chain: NftChain) -> Iterator[Finding]:
    ruleset = ruleset_of(chain, family)
    if ruleset is None or not 1 < sum(1 for _ in ruleset.rules()) <= _MOST:
        return
    try:
        dead = _dead(ruleset, chain, family)
    except TooManyNodesError as error:
        scene.left_out.append(error)
        return
    for rules in _whole(ruleset, dead):
        if all(is_chosen(one, scene) for one in rules):
            yield _finding(chain, family, dead[id(rules[0])], rules)


def _whole(ruleset: Ruleset, dead: Mapping[int, Sequence[Rule]]) -> Iterator[list[Rule]]:
    """Yield the rules of which every alternative is dead, those together that the same rules hide."""
    alternatives: dict[tuple[str, int], list[Rule]] = {}
    for rule in ruleset.rules():
        alternatives.setdefault((rule.chain, rule.position), []).append(rule)
    found: dict[tuple[Any, ...], list[Rule]] = {}
    for (chain, position), rules in alternatives.items():
        if position and all(id(one) in dead for one in rules):
            hiders = dict.fromkeys((one.chain, one.position) for one in dead[id(rules[0])])
            found.setdefault((chain, *hiders), []).append(rules[0])
    yield from found.values()


def _dead(ruleset: Ruleset, chain: NftChain, family: Family) -> dict[int, list[Rule]]:
    """Return the rules that never match, by identity, with those that hide them: none if their conditions conflict.

    Packets enter the base chain as they enter the chain of iptables at its hook.

    Raises:
        TooManyNodesError: the sets of packets grow too large.
    """
    (table,) = ruleset.tables.values()
    names = {name: _HOOKS[chain.hook or ""] if name == chain.name else f"{name}-" for name in table.chains}
    copied, originals = Table("filter"), dict[int, Rule]()
    for name, one in table.chains.items():
        copies = [_copy(rule, names) for rule in one.rules]
        originals |= {id(copy): rule for copy, rule in zip(copies, one.rules, strict=True)}
        copied.chains[names[name]] = Chain("filter", names[name], one.policy, rules=copies)
    space = Space(family, most_nodes=MOST_NODES, small=True)
    whole = ~space.where("fragment", Names(frozenset({"middle", "last"})))
    program = Program(
        Ruleset(family=family, source=ruleset.source, backend="nf_tables", tables={"filter": copied})
    )
    found = Traffic(Chains(space, program), "filter", whole).dead()
    return {
        id(originals[id(one.rule)]): [originals[id(hider)] for hider in one.hidden_by]
        for one in found
        if one.reason in ("hidden", "contradiction")
    }


def _copy(rule: Rule, names: Mapping[str, str]) -> Rule:
    """Return a rule for the table filter, with its chain and the one that it calls renamed."""
    target = rule.target
    if isinstance(target, Jump):
        target = Jump(names[target.chain], target.goto)
    return Rule("filter", names[rule.chain], rule.position, rule.parameters, rule.matches, target)


def _finding(base: NftChain, family: Family, hiders: Sequence[Rule], rules: list[Rule]) -> Finding:
    takers = {(one.chain, one.position): one for one in reversed(hiders)}
    dead = Dead("hidden" if hiders else "contradiction", rules, tuple(reversed(takers.values())))
    chain, differing = f"{dead.first.table} {dead.first.chain}", dead.differing
    return Finding(
        "never-matches",
        title_of(dead),
        (*map(of_rule, dead.hiders[:SHOWN]), *map(of_rule, rules[:SHOWN])),
        effect_of(dead, differing),
        _remedy(base, dead, chain, differing),
        None,
        family,
    )


def _remedy(base: NftChain, dead: Dead, chain: str, differing: Sequence[Rule]) -> Message:
    if not dead.hiders:
        return message(
            "All conditions of a rule must be true. Where one of several should be, write a set, or a rule for each: "
            "{ports}; {protocols}.",
            ports="tcp dport { 80, 443 }",
            protocols="meta l4proto { tcp, udp } th dport 53",
        )
    if differing:
        return message(
            "Place it before rule {number}: {command}; {list} shows the handles.",
            number=dead.hiders[0].position,
            command=shell(f"nft insert rule {chain} handle {handle_of(base, dead.hiders[0])} ..."),
            list=f"nft -a list chain {chain}",
        )
    return message(
        "Delete it: {command}", command=shell(f"nft delete rule {chain} handle {handle_of(base, dead.first)}")
    )
