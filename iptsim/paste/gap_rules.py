"""Placeholders for rules that a text does not show, and rules that it may remove."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.hidden import GAP, SHOW, Hidden, HiddenEnd, HiddenTarget, is_gap, rules_not_shown
from iptsim.extensions.parameters import Parameters
from iptsim.languages import Message, message
from iptsim.paste.filters import USUAL_TABLES, grepped


def gap(
    table: str,
    chain: str,
    line: int,
    *,
    policy: bool = False,
    hidden_chain: bool = False,
    reason: Message | None = None,
) -> Rule:
    """Make a placeholder for rules that are not shown.

    Args:
        table: the table.
        chain: the chain in which they are.
        line: the line where they may be missing.
        policy: the chain's policy is not shown either.
        hidden_chain: the whole chain is unknown.
        reason: what is not known, as a phrase that follows "depends on", if it is not that they are not shown.
    """
    is_named = reason is None
    reason = reason or rules_not_shown(table, chain, policy=policy, all_rules=hidden_chain)
    # whatever the rules of a whole built-in chain are, the packet passes them or not; those of nat may translate it
    ends = policy or (hidden_chain and table != "nat" and chain in BUILTIN_CHAINS[table])
    target = (HiddenEnd if ends else HiddenTarget)(name=GAP, reason=reason, settle=SHOW, is_named=is_named)
    return Rule(table, chain, 0, Parameters(), (), target, None, line=line)


def condition_not_shown(reason: Message, told: Message, *place: str) -> Hidden:
    """Return all conditions of a rule that is not shown, as one.

    Args:
        reason: what is not known, as a phrase that follows "depends on".
        told: the same as words that complete "packets ...".
        place: conditions with equal places have the same result.
    """
    return Hidden(words="...", reason=reason, settle=SHOW, place=place, told=told)


def if_run(line: int) -> Hidden:
    """Return the condition of a rule that a command adds, if it runs."""
    return Hidden(
        words=f"(if line {line} runs)",
        reason=message("whether the shell runs the command in line {line}", line=line),
        settle=SHOW,
        place=("runs", line),
    )


def hide_tables(ruleset: Ruleset, names: Collection[str]) -> None:
    """Mark tables that may follow where a dump was cut off, or that a filter hides.

    Those of raw and mangle together let a packet pass or not.

    Args:
        ruleset: the rules.
        names: the tables, of which those that the rules have are not hidden.
    """
    missing = [name for name in USUAL_TABLES if name in names and name not in ruleset.tables]
    blocking = [name for name in missing if name in ("raw", "mangle")]
    scope = (
        message("table {table}", table=blocking[0])
        if len(blocking) == 1
        else message("tables raw and mangle")
    )
    joint = HiddenEnd(
        name=GAP,
        reason=message("the rules of {scope}, which are not shown", scope=scope),
        settle=SHOW,
        scope=scope,
        is_named=True,
    )
    for name in missing:
        table = ruleset.tables[name] = Table(name)
        for chain in BUILTIN_CHAINS[name]:
            rule = gap(name, chain, 0, hidden_chain=True)
            table.chains[chain] = Chain(name, chain, "ACCEPT", declared=False)
            table.chains[chain].rules.append(replace(rule, target=joint) if name in blocking else rule)


def open_ends(table: Table, filtered: str, policies: Collection[str], *, headless: bool = False) -> None:
    """Mark where a fragment or the output of grep may lack rules, and which policies are unknown.

    Args:
        table: the table.
        filtered: the filter through which it was piped; empty for none.
        policies: the built-in chains of which the policies are shown.
        headless: its beginning is not shown.
    """
    wanted = grepped(filtered)
    for chain in table.chains.values():
        if headless and chain.rules and not is_gap(chain.rules[0].target):
            chain.rules.insert(0, gap(table.name, chain.name, chain.rules[0].line))
        if filtered and not (wanted and wanted in chain.name):
            first, last = (
                (chain.rules[0].line, chain.rules[-1].line) if chain.rules else (chain.line, chain.line)
            )
            chain.rules.insert(0, gap(table.name, chain.name, first))
            if len(chain.rules) > 1:
                chain.rules.append(gap(table.name, chain.name, last))
        if chain.builtin and chain.name not in policies and chain.rules:
            line = chain.rules[-1].line
            if is_gap(chain.rules[-1].target):
                chain.rules.pop()
            chain.rules.append(gap(table.name, chain.name, line, policy=True))


def remove_perhaps(chain: Chain, places: Iterable[int], line: int) -> None:
    """Make it unknown whether rules are there, as a command that may not run removes them.

    Args:
        chain: their chain.
        places: their indexes.
        line: the line of the command.
    """
    unless = Hidden(
        words=f"(unless line {line} runs)",
        reason=message("whether the command in line {line} has run", line=line),
        settle=SHOW,
        place=("unless", line),
    )
    for place in places:
        rule = chain.rules[place]
        if not is_gap(rule.target):
            chain.rules[place] = replace(rule, matches=(*rule.matches, unless))
