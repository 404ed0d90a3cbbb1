"""The commands of a rule line, applied to a table: -A -I -D -R -N -X -E -F -Z -P -C (iptables(8), COMMANDS)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.edited_rules import EditedRules
from iptsim.dump.recipe import Hint
from iptsim.dump.rule import Counters, Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.registry import STANDARD, find_target
from iptsim.extensions.values import any_of
from iptsim.languages import Message, Text, message, message_if
from iptsim.suggestions import did_you_mean

#: Longest chain name, in bytes (XT_EXTENSION_MAXNAMELEN - 1).
MAX_CHAIN_NAME = 28
_BLANKS = frozenset(" \t\n\v\f\r")
POLICIES = ("ACCEPT", "DROP")


class CommandError(Exception):
    """A command cannot be applied.

    Attributes:
        message: what is wrong.
        argument: the index of the wrong word of the command, from 0; None for the command itself.
        hint: the correct form; may be empty.
    """

    def __init__(self, message: Text, argument: int | None = 0, hint: Hint = "") -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.hint = hint


def copy(ruleset: Ruleset) -> Ruleset:
    """Return a copy to which tables may be added; it shares the tables."""
    return dataclasses.replace(ruleset, tables=dict(ruleset.tables), warnings=list(ruleset.warnings))


def find_chain(table: Table, name: str, line: int) -> Chain:
    """Return a chain; built-in chains are created when they are first named.

    Raises:
        CommandError: it is a user chain that is not declared.
    """
    chain = table.chains.get(name)
    if chain is None:
        if name not in BUILTIN_CHAINS[table.name]:
            raise CommandError(
                message("table {name2} has no chain {name}", name=name, name2=table.name),
                hint=partial(chain_hint, table, name),
            )
        chain = table.chains[name] = Chain(table.name, name, "ACCEPT", line=line, declared=False)
    return chain


def chain_hint(table: Table, name: str) -> Text:
    """Return a hint about a chain with a similar name."""
    hint = did_you_mean(name, [*BUILTIN_CHAINS[table.name], *table.chains], 0.75)
    if hint:
        return hint
    others = tuple(other for other, chains in BUILTIN_CHAINS.items() if name in chains)
    if others:
        return message("{name} is a chain of table {tables}", name=name, tables=any_of(others))
    return message("declare a chain with a line :{name} - [0:0] before its first use", name=name)


def check_name(name: str, argument: int = 0) -> None:
    """Reject names that a chain cannot have.

    Raises:
        CommandError: it is too long, starts with - or !, contains blanks, or is the name of a verdict.
    """
    if len(name.encode("utf-8", "surrogateescape")) > MAX_CHAIN_NAME:
        raise CommandError(
            message(
                "the chain name has more than {max_chain_name} characters", max_chain_name=MAX_CHAIN_NAME
            ),
            argument,
        )
    if name[:1] in ("-", "!", ""):
        raise CommandError(message("a chain name can't begin with - or ! or be empty"), argument)
    if not _BLANKS.isdisjoint(name):
        raise CommandError(message("a chain name can't contain blanks"), argument)
    if name in STANDARD:
        raise CommandError(
            message("{name} is a verdict, so it can't be the name of a chain", name=name), argument
        )


def check_target_name(name: str, argument: int = 0) -> None:
    """Reject the name of a target.

    Raises:
        CommandError: it is the name of a target.
    """
    if find_target(name, 4) or find_target(name, 6):
        raise CommandError(
            message("{name} is a target, so it can't be the name of a chain", name=name), argument
        )


def new_chain(table: Table, name: str, line: int) -> Chain:
    """Apply `-N`.

    Raises:
        CommandError: the chain exists, or the name is not allowed.
    """
    check_name(name)
    check_target_name(name)
    if name in table.chains or name in BUILTIN_CHAINS[table.name]:
        raise CommandError(message("chain {name} already exists", name=name))
    chain = table.chains[name] = Chain(table.name, name, line=line)
    return chain


def set_policy(table: Table, name: str, policy: str, counters: Counters | None, line: int) -> None:
    """Apply `-P`.

    Raises:
        CommandError: the chain is not built-in, or the policy is invalid.
    """
    if name not in BUILTIN_CHAINS[table.name]:
        raise CommandError(
            message("{name} is not a built-in chain of table {name2}", name=name, name2=table.name),
            hint=message("only built-in chains have a policy"),
        )
    if policy not in POLICIES:
        raise CommandError(
            message("{policy} is not a policy", policy=policy), 1, message("expected ACCEPT or DROP")
        )
    if table.name == "nat" and policy == "DROP":
        raise CommandError(
            message("DROP is not allowed in table nat, which is not for filtering"),
            1,
            message("drop in table filter"),
        )
    chain = find_chain(table, name, line)
    chain.policy, chain.counters, chain.declared = policy, counters, True


def rule_number(text: str, last: int) -> int:
    """Read a rule's number.

    Raises:
        CommandError: it is not a number from 1 to `last`.
    """
    digits = text.lstrip("0")
    if not (digits and text.isascii() and text.isdigit()):
        raise CommandError(
            message("{text!r} is not a rule number", text=text), 1, message("rules are counted from 1")
        )
    if len(digits) > len(str(last)) or int(digits) > last:
        raise CommandError(
            message("rule number {text} is too big", text=text),
            1,
            message("the highest is {last}", last=last),
        )
    return int(digits)


def insert(chain: Chain, rules: Iterable[Rule], number: str | None) -> None:
    """Apply `-I`: each rule is inserted at the same position, so that the last one ends up first.

    Raises:
        CommandError: there is no such position.
    """
    place = rule_number(number, len(chain.rules) + 1) if number else 1
    for rule in rules:
        chain.rules.insert(place - 1, rule)


def replace(chain: Chain, rules: list[Rule], number: str) -> None:
    """Apply `-R`.

    Raises:
        CommandError: there is no such rule, or there are several addresses.
    """
    if len(rules) != 1:
        raise CommandError(
            message("a rule can't be replaced by several"),
            None,
            message("give one source and one destination"),
        )
    chain.rules[rule_number(number, len(chain.rules)) - 1] = rules[0]


def delete(chain: Chain, rules: Iterable[Rule], number: str | None) -> None:
    """Apply `-D`: by number, or the first equal rule.

    Raises:
        CommandError: there is no such rule.
    """
    if number is not None:
        del chain.rules[rule_number(number, len(chain.rules)) - 1]
    else:
        for rule in rules:
            del chain.rules[find_rule(chain, rule)]


def find_rule(chain: Chain, wanted: Rule) -> int:
    """Return the index of the first equal rule: one that is printed the same, except for counters.

    Raises:
        CommandError: there is none.
    """
    for index, rule in enumerate(chain.rules):
        if rule.text == wanted.text:
            return index
    raise CommandError(message("chain {name} has no such rule", name=chain.name), None)


def renumber(chains: Iterable[Chain]) -> None:
    """Update the positions of the rules of some chains."""
    for chain in chains:
        if not isinstance(chain.rules, EditedRules):  # these number themselves
            for position, rule in enumerate(chain.rules, 1):
                rule.position = position


def delete_chain(table: Table, name: str | None) -> None:
    """Apply `-X`: delete one chain, or all empty chains that are not referenced.

    Raises:
        CommandError: the chain is built-in, has rules or is referenced.
    """
    used = {rule.target.chain for rule in table.rules() if isinstance(rule.target, Jump)}
    if name is None:
        for chain in [chain for chain in table.chains.values() if not chain.builtin]:
            if chain.rules or chain.name in used:
                raise CommandError(_not_deletable(chain), None)
            del table.chains[chain.name]
        return
    found = table.chains.get(name)
    if found is None or found.builtin:
        raise CommandError(
            message("table {name2} has no user chain {name}", name=name, name2=table.name),
            hint=partial(chain_hint, table, name),
        )
    if found.rules or name in used:
        raise CommandError(_not_deletable(found))
    del table.chains[name]


def _not_deletable(chain: Chain) -> Message:
    return message_if(chain.rules, "chain {name} is not empty", "chain {name} is in use", name=chain.name)


def rename_chain(table: Table, old: str, new: str) -> None:
    """Apply `-E`: rules that jump to the chain are updated.

    Raises:
        CommandError: there is no user chain `old`, or `new` exists.
    """
    found = table.chains.get(old)
    if found is None or found.builtin:
        raise CommandError(
            message("table {name} has no user chain {old}", old=old, name=table.name),
            hint=partial(chain_hint, table, old),
        )
    check_name(new, 1)
    check_target_name(new, 1)
    if new in table.chains or new in BUILTIN_CHAINS[table.name]:
        raise CommandError(message("chain {new} already exists", new=new), 1)
    table.chains = {new if name == old else name: chain for name, chain in table.chains.items()}
    found.name = new
    for rule in found.rules:
        rule.chain = new
    for chain in table.chains.values():
        for index, rule in enumerate(chain.rules):
            target = rule.target
            if isinstance(target, Jump) and target.chain == old:
                target = Jump(new, target.goto)
            chain.rules[index] = dataclasses.replace(rule, target=target)


def flush(table: Table, name: str | None) -> None:
    """Apply `-F`: remove the rules of one chain or of all chains.

    Raises:
        CommandError: there is no such chain.
    """
    if name is None:
        for chain in table.chains.values():
            chain.rules.clear()
    else:
        find_chain(table, name, 0).rules.clear()


def zero(table: Table, name: str | None, number: str | None) -> None:
    """Apply `-Z`: set counters to zero.

    Raises:
        CommandError: there is no such chain or rule.
    """
    chains = list(table.chains.values()) if name is None else [find_chain(table, name, 0)]
    if number is not None:
        rule = chains[0].rules[rule_number(number, len(chains[0].rules)) - 1]
        rule.counters = rule.counters and Counters(0, 0)
        return
    for chain in chains:
        chain.counters = chain.counters and Counters(0, 0)
        for rule in chain.rules:
            rule.counters = rule.counters and Counters(0, 0)
