"""Findings about chains: unreachable, empty, or cut short by a rule that accepts everything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Table
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING, DECIDING, TRANSLATING_SOURCE
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import (
    SHOWN,
    Evidence,
    Finding,
    of_line,
    of_policy,
    of_rule,
    place_of_chain,
    uses,
)
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.languages import message, message_if, message_many, message_sentences
from iptsim.owners.chain_owners import chain_owners
from iptsim.passages import RESTART_DOCKER, shell

#: Chains of the filter table in which an ACCEPT of everything opens the host or its containers.
_GATES = ("INPUT", "FORWARD", "DOCKER-USER")


def accepts_all(rule: Rule) -> bool:
    """Return whether a rule accepts every packet in one of the chains that protect the host."""
    gate = rule.table == "filter" and rule.chain in _GATES
    return gate and rule.target_name == "ACCEPT" and rule.is_unconditional


def _ends(rule: Rule) -> bool:
    """Return whether no packet continues after a rule."""
    return rule.is_unconditional and rule.target_name in DECIDING | {"RETURN"}


def accept_all(scene: Scene) -> Iterator[Finding]:
    """Find an unconditional ACCEPT that is followed by rules or by a policy DROP."""
    for family in scene.families:
        for name in _GATES:
            chain = scene.table(family, "filter").chains.get(name)
            rule = next((rule for rule in chain.rules if _ends(rule)), None) if chain else None
            if chain is None or rule is None or not accepts_all(rule):
                continue
            behind = chain.rules[chain.rules.index(rule) + 1 :]
            harmless = all(one.target_name == "ACCEPT" for one in behind) and chain.policy != "DROP"
            if harmless and name != "DOCKER-USER":
                continue
            yield _accepts_all(scene, family, chain, rule, behind)


def _accepts_all(scene: Scene, family: Family, chain: Chain, rule: Rule, behind: Sequence[Rule]) -> Finding:
    if chain.name == "DOCKER-USER":
        if behind:
            lost = message("Docker's own rules, and the rules after it, are never evaluated.")
        else:
            lost = message("Docker's own rules are never evaluated.")
    elif behind:
        if chain.policy == "DROP":
            lost = message_many(
                "The rule after it and the policy DROP never apply.",
                "The {count} rules after it and the policy DROP never apply.",
                len(behind),
            )
        else:
            lost = message_many(
                "The rule after it is never evaluated.",
                "The {count} rules after it are never evaluated.",
                len(behind),
            )
    else:
        lost = message("The policy DROP never applies.")
    evidence = (of_rule(rule), *map(of_rule, behind[:SHOWN]))
    if chain.policy == "DROP":
        evidence += (of_policy(chain),)
    hook = "FORWARD" if chain.name == "DOCKER-USER" else chain.name
    shown = next(
        (
            found
            for one in (*behind, rule)
            if one is rule or one.target_name in BLOCKING
            if (found := packet_for(scene, family, one, hook)) is not None and uses(found, rule)
        ),
        None,
    )
    return Finding(
        "accept-all",
        message("{chain} rule {position} accepts every packet.", chain=chain.name, position=rule.position),
        evidence,
        lost,
        message_if(
            chain.name == "DOCKER-USER",
            "{command}, or add the missing condition to the rule; with RETURN instead of ACCEPT, Docker's rules "
            "decide.",
            "{command}, or add the missing condition to the rule (-i lo, a source).",
            command=shell(deletion(scene, family, rule)),
        ),
        shown,
        family,
    )


def accepts_interface(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a rule that accepts all that arrives on the host's interface, before a policy DROP."""
    for family in scene.families if scene.is_pasted and not scene.host.inferred else ():
        chain = scene.table(family, "filter").chains.get("INPUT")
        main, address = _main_interface(scene, family)
        if chain is None or chain.policy != "DROP" or not main:
            continue
        for rule in chain.rules:
            named = rule.parameters.in_interface == main and not rule.parameters.negated
            others = [one for one in rule.parameters.predicates() if one.field != "in_interface"]
            others += [one for match in rule.matches for one in match.predicates()]
            if not named or others or rule.target_name != "ACCEPT":
                continue
            other = address_text(family, address + (1 if address % 4 < 2 else -1))
            shown = scene.ask(other, "host", family, proto="tcp", dport=SOME_PORT, **{"in": main})
            yield Finding(
                "interface-accepted",
                message("INPUT accepts everything that arrives on {name}.", name=main),
                (of_rule(rule), of_policy(chain)),
                message(
                    "{name} is the only interface with an address, so the rules that open single ports and the policy"
                    " DROP have no effect: every port is open to all that reach it.",
                    name=main,
                ),
                message(
                    "{command}, or add a source to the rule.", command=shell(deletion(scene, family, rule))
                ),
                shown,
                family,
            )


def _main_interface(scene: Scene, family: Family) -> tuple[str, int]:
    """Return the only interface of the host that has an address, except the loopback, and this; "" for others."""
    found = [
        (name, one.address)
        for name, interface in scene.host.namespace.interfaces.items()
        for one in interface.addresses
        if name != "lo" and (one.family, one.scope) == (family, "global")
    ]
    return found[0] if len({name for name, _ in found}) == 1 else ("", 0)


def unused(scene: Scene) -> Iterator[Finding]:
    """Find hand-written chains that no rule jumps to."""
    for family in scene.families:
        owners = chain_owners(scene.host.rulesets[family])
        for table in scene.host.rulesets[family].tables.values():
            if not any(chain.builtin for chain in table.chains.values()):
                continue  # a fragment for iptables-restore --noflush: rules elsewhere jump to its chains
            if any(is_gap(rule.target) for rule in table.rules()):
                continue  # rules that are not shown may jump there
            reached = scene.hooks(family, table.name)
            for chain in table.chains.values():
                if (
                    chain.builtin
                    or not chain.rules
                    or chain.name in reached
                    or owners.chain(chain.name) != "user"
                ):
                    continue
                yield _unused(scene, family, chain)


#: Names of chains whose packets are meant to be blocked, and words in the log about such packets.
BLOCKING_WORDS = re.compile(r"drop|reject|den(y|ied)|block|ban", re.IGNORECASE)
LOGS = ("LOG", "NFLOG", "ULOG")


def logs_only(scene: Scene) -> Iterator[Finding]:
    """Find hand-written chains whose name or log prefix says that they block, although they only log and return."""
    for family in scene.families:
        owners = chain_owners(scene.host.rulesets[family])
        hooks = scene.hooks(family, "filter")
        for chain in scene.table(family, "filter").chains.values():
            if chain.builtin or not chain.rules or owners.chain(chain.name) != "user":
                continue
            if any(rule.target_name not in (*LOGS, "RETURN") for rule in chain.rules):
                continue
            prefixes = (getattr(rule.target, "log_prefix", None) or "" for rule in chain.rules)
            if not any(map(BLOCKING_WORDS.search, (chain.name, *prefixes))):
                continue
            found = _let_through(scene, family, chain, hooks.get(chain.name, ()))
            if found is not None:
                caller, shown = found
                evidence = (of_rule(caller), *map(of_rule, chain.rules[:SHOWN]))
                command = f"{tool_of(family)} -A {chain.name} -j DROP"
                yield logs_only_finding(family, chain.name, evidence, command, shown)


def _let_through(
    scene: Scene, family: Family, chain: Chain, hooks: tuple[str, ...]
) -> tuple[Rule, Explanation] | None:
    """Return a rule that sends packets into a chain, and a packet that passes it and is accepted all the same."""
    for caller in scene.jumps(family, "filter", chain.name):
        for hook in hooks:
            shown = packet_for(scene, family, caller, hook)
            if shown is None or shown.verdict != "ACCEPT":
                continue
            if uses(shown, caller):
                return caller, shown
    return None


def logs_only_finding(
    family: Family, chain: str, evidence: tuple[Evidence, ...], command: str, shown: Explanation
) -> Finding:
    """Return the finding about a chain that logs and blocks nothing.

    Args:
        family: the address family.
        chain: its name.
        evidence: the rule that jumps to it, and its own.
        command: what makes it block.
        shown: a packet that it logs.
    """
    return Finding(
        "logs-only",
        message("Chain {chain} only logs: it blocks nothing.", chain=chain),
        evidence,
        message(
            "LOG lets each packet continue, so packets return from the chain, and later rules accept them."
        ),
        message("To block them: {command}", command=shell(command)),
        shown,
        family,
        (command,),
    )


def _unused(scene: Scene, family: Family, chain: Chain) -> Finding:
    callers = scene.jumps(family, chain.table, chain.name)
    own = Evidence(place_of_chain(chain), message("no rule of a chain that packets traverse jumps here"))
    tool = tool_of(family)
    shown = None
    for rule in chain.rules:
        if chain.table == "filter" and rule.target_name in BLOCKING:
            found = packet_for(scene, family, rule, "INPUT")
            if found is not None and found.verdict == "ACCEPT":
                shown = found
                break
    return Finding(
        "unreferenced-chain",
        message("No packet reaches {table} {chain}.", table=chain.table, chain=chain.name),
        (own, *map(of_rule, callers[:SHOWN] or chain.rules[:SHOWN])),
        message("Only chains that no packet reaches jump to it.")
        if callers
        else message_many(
            "Nothing jumps to it, so its rule has no effect.",
            "Nothing jumps to it, so its {count} rules have no effect.",
            len(chain.rules),
        ),
        message(
            "To use it, from this chain or another: {use}. To remove it: {remove}.",
            use=shell(f"{tool} -t {chain.table} -I {_hook_for(chain)} -j {chain.name}"),
            remove=shell(
                f"{tool} -t {chain.table} -F {chain.name}", f"{tool} -t {chain.table} -X {chain.name}"
            ),
        ),
        shown,
        family,
    )


def _hook_for(chain: Chain) -> str:
    """Return the built-in chain from which a chain is most often called."""
    if chain.table == "filter":
        return "INPUT"
    source = chain.table == "nat" and any(rule.target_name in TRANSLATING_SOURCE for rule in chain.rules)
    return "POSTROUTING" if source else "PREROUTING"


def empty(scene: Scene) -> Iterator[Finding]:
    """Find jumps to hand-written chains that have no rules."""
    for family in scene.families:
        owners = chain_owners(scene.host.rulesets[family])
        for table in scene.host.rulesets[family].tables.values():
            for chain in table.chains.values():
                callers = scene.jumps(family, table.name, chain.name) if not chain.rules else []
                if chain.builtin or not callers or owners.chain(chain.name) != "user":
                    continue
                if _may_be_cut(scene, family, table, chain):
                    continue
                tool = tool_of(family)
                yield Finding(
                    "empty-chain",
                    message(
                        "{table} {chain} has no rules, but packets are sent to it.",
                        table=table.name,
                        chain=chain.name,
                    ),
                    tuple(map(of_rule, callers[:SHOWN])),
                    message(
                        "Every packet returns from it unchanged. If it should have rules, they were lost."
                    ),
                    message(
                        "Reload its rules, or remove the jump: {command}",
                        command=shell(f"{tool} -t {table.name} -D {callers[0].text.removeprefix('-A ')}"),
                    ),
                    None,
                    family,
                )


def _may_be_cut(scene: Scene, family: Family, table: Table, chain: Chain) -> bool:
    """Return whether the rules of a chain may follow where the source ends: `iptables -S` marks no end."""
    forms = [one.form for one in scene.pasted.segments] if scene.is_pasted else ["iptables -S"]
    if not scene.host.rulesets[family].listed or not any(" -S" in form for form in forms):
        return False
    names = list(table.chains)
    return not any(table.chains[name].rules for name in names[names.index(chain.name) + 1 :])


def nat_empty(scene: Scene) -> Iterator[Finding]:
    """Tell, of a pasted text, that table nat has no rules."""
    daemon = scene.host.daemon
    is_off = daemon is not None and daemon.iptables is False  # which is a finding of its own
    for family in scene.families if scene.is_pasted else ():
        nat = scene.table(family, "nat")
        whole = all(
            name in nat.chains and scene.shows(family, "nat", name) for name in ("PREROUTING", "POSTROUTING")
        )
        if not whole or any(True for _ in nat.rules()) or any(not one.builtin for one in nat.chains.values()):
            continue
        masquerade = f"{tool_of(family)} -t nat -A POSTROUTING -s NETWORK -o UPLINK -j MASQUERADE"
        yield Finding(
            "nat-empty",
            message("Table nat has no rules, so the host translates no addresses."),
            tuple(of_policy(nat.chains[name]) for name in ("PREROUTING", "POSTROUTING")),
            message_sentences(
                message(
                    "Nothing masquerades what containers, guests or VPN clients send to the outside, and no port is"
                    " forwarded to them."
                ),
                ""
                if is_off
                else message(
                    "Docker writes rules there, unless iptables is false in its settings, or another program has"
                    " removed them."
                ),
            ),
            shell(masquerade)
            if is_off
            else message(
                "For Docker: remove iptables=false, and restart it: {restart}. For others: {command}",
                restart=RESTART_DOCKER,
                command=shell(masquerade),
            ),
            None,
            family,
        )


def uncreated(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, chains that commands add rules to, but do not create, unlike others."""
    for one in scene.pasted.uncreated:
        if chain_owners(scene.host.rulesets[scene.families[0]]).chain(one.name) != "user":
            continue  # its program creates it
        yield Finding(
            "uncreated-chain",
            message("No command creates the chain {chain}, which rules are added to.", chain=one.name),
            (of_line(one.line, one.text),),
            message(
                "Unless it existed before, iptables rejects these commands (No chain/target/match by that name), and"
                " the rules do not exist. Other chains are created with -N; perhaps the name is misspelt."
            ),
            message(
                "Create it first: {command}",
                command=shell(f"{tool_of(scene.families[0])} -t {one.table} -N {one.name}"),
            ),
            None,
            scene.families[0],
        )
