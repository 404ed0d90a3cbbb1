"""Rules in words: what each does, who wrote it and why, and how often it matched."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.text import Text

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Counters, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.errors import UsageError, printable
from iptsim.host import Host
from iptsim.host.nft_chains import NftChain
from iptsim.languages import joined, say, say_many
from iptsim.owners.chain_owners import ChainOwners, chain_owners
from iptsim.owners.maker import role_json
from iptsim.owners.rule_owners import authorship
from iptsim.render.marks import NONE, Marks

SCHEMA = "iptsim.rules/1"
_INDENT = 7
#: At most this many chains without effect are named.
_NAMES = 10
#: Settings that the sentence about a rule already names.
_NAMED = ("--publish", "--link", "--internal")


def rule_words(rule: Rule) -> str:
    """Return a rule in words, as a sentence without a full stop."""
    conditions = [
        words for words in (rule.parameters.says(), *(match.says() for match in rule.matches)) if words
    ]
    packets = say("packets {which}", which=joined(", ", conditions)) if conditions else say("every packet")
    order = rule.target.says() if rule.target is not None else say("only count")
    if rule.refused:
        return say(
            "{packets}: {order} (the kernel would reject it: {why})",
            packets=packets,
            order=order,
            why=rule.refused,
        )
    return say("{packets}: {order}", packets=packets, order=order)


def rules_lines(
    ruleset: Ruleset,
    host: Host,
    *,
    table: str | None = None,
    chain: str | None = None,
    marks: Marks | None = None,
) -> Iterator[Text]:
    """Yield the lines that show a ruleset in words.

    Of chains without effect, only the names are shown, unless `chain` names one.

    Args:
        ruleset: the rules.
        host: their host, for the names of networks and containers in Docker's rules.
        table: show this table only.
        chain: show the chains of this name only.
        marks: the marks of a packet, shown beside the rules.

    Raises:
        UsageError: there is no such chain.
    """
    owners = chain_owners(ruleset)
    for number, (name, chains) in enumerate(
        groupby(_chains(ruleset, table, chain), key=lambda one: one.table)
    ):
        if number:
            yield Text("")
        idle = idle_chains(ruleset.tables[name])
        together = list(chains)
        unseen = idle if chain is None else ()
        shown = [one for one in together if one.name not in unseen]
        for place, found in enumerate(shown):
            if place:
                yield Text("")
            yield from chain_lines(found, host, marks, owners, idle)
        if left := [one.name for one in together if one.name in unseen]:
            if shown:
                yield Text("")
            yield _idle_line(name, left)
    if marks is not None:
        yield Text("")
        yield from marks.legend.split("\n")


def idle_chains(table: Table) -> frozenset[str]:
    """Return the chains that do nothing with any packet: they have no rules, or only jumps to such chains."""
    idle: set[str] = set()
    before = -1
    while len(idle) > before:
        before = len(idle)
        idle |= {
            name
            for name, chain in table.chains.items()
            if not chain.builtin and all(_is_idle(rule, idle) for rule in chain.rules)
        }
    return frozenset(idle)


def _is_idle(rule: Rule, idle: Container[str]) -> bool:
    return rule.jump is not None and rule.jump.chain in idle and rule.extension_names <= {"comment"}


def _idle_line(table: str, names: Sequence[str]) -> Text:
    """Return the line for the chains of a table that have no effect."""
    shown = joined(", ", map(printable, names[:_NAMES]))
    if len(names) > _NAMES:
        shown = say("{names} and {count} more", names=shown, count=len(names) - _NAMES)
    text = say_many(
        "{count} chain has no effect: {names}",
        "{count} chains have no effect: {names}",
        count=len(names),
        names=shown,
    )
    return Text.assemble((table, "bold"), (f"   {text}", "dim"))


def rules_json(
    ruleset: Ruleset, host: Host, *, table: str | None = None, chain: str | None = None
) -> dict[str, Any]:
    """Return rules as data, schema `iptsim.rules/1`.

    Raises:
        UsageError: there is no such chain.
    """
    shown = _chains(ruleset, table, chain)
    owners = chain_owners(ruleset)
    nftables = host.namespace.nftables
    bases = {(f"{one.family} {one.table}", one.name): one for one in (nftables.chains if nftables else ())}
    return {
        "schema": SCHEMA,
        "family": ruleset.family,
        "chains": [_chain_json(one, owners, bases.get((one.table, one.name))) for one in shown],
        "rules": [rule_json(rule, host) for one in shown for rule in one.rules],
    }


def _chain_json(chain: Chain, owners: ChainOwners, base: NftChain | None) -> dict[str, Any]:
    found = {
        "table": chain.table,
        "chain": chain.name,
        "policy": (chain.policy or "ACCEPT") if chain.builtin else None,
        "owner": owners.chain(chain.name),
    }
    return found if base is None else {**found, "nftables": base.as_json()}


def rule_json(rule: Rule, host: Host | None = None) -> dict[str, Any]:
    """Return a rule as data, with its words and its purpose."""
    owner, role = authorship(rule, host)
    counted = rule.counters.bytes if rule.counters is not None else None
    return {
        "table": rule.table,
        "chain": rule.chain,
        "rule": rule.position,
        "line": rule.line,
        "text": rule.shown,
        "words": rule_words(rule),
        "packets": rule.counters.packets if rule.counters is not None else None,
        "bytes": counted,
        "octets": counted,
        "owner": owner,
        **role_json(role),
    }


def _chains(ruleset: Ruleset, table: str | None, chain: str | None) -> list[Chain]:
    shown = [
        found
        for name, entry in ruleset.tables.items()
        if table in (None, name)
        for found in entry.chains.values()
        if chain in (None, found.name)
    ]
    if chain is not None and not shown:
        raise UsageError(ruleset.missing_chain(chain, table))
    return shown


def chain_text(chain: Chain, owners: ChainOwners | None = None) -> str:
    """Return what a chain is: built in, with its policy, or who made it.

    Args:
        chain: the chain.
        owners: the owners of the ruleset's chains; None to use only the chain's name.
    """
    if chain.builtin and chain.table not in BUILTIN_CHAINS:
        return say("base chain of nftables, policy {policy}", policy=chain.policy or "ACCEPT")
    if chain.builtin:
        return say("built in, policy {policy}", policy=chain.policy or "ACCEPT") + _counted(chain.counters)
    owner = (owners or ChainOwners((chain.name,))).chain(chain.name)
    if owner == "user":
        return say("created by hand or by an unknown program")
    return say("created by {owner}", owner=owner)


def chain_lines(
    chain: Chain,
    host: Host | None = None,
    marks: Marks | None = None,
    owners: ChainOwners | None = None,
    idle: Container[str] = (),
) -> Iterator[Text]:
    """Yield the lines that show a chain in words; `idle` are the chains without effect."""
    mark = f"{marks.of(chain)} " if marks is not None else ""
    name = f"{mark}{chain.table} {printable(chain.name)}"
    yield Text.assemble((name, "bold"), f"   {chain_text(chain, owners)}")
    if not chain.rules:
        yield Text("  " + say("no rules"), "dim")
    for rule in chain.rules:
        mark = marks.of(rule) if marks is not None else NONE
        yield Text.assemble((mark, "bold"), f"{rule.position or '':4}  ", (printable(rule.shown), "cyan"))
        yield Text.assemble(" " * _INDENT, printable(rule_words(rule)))
        why = why_text(rule, host) if rule.position else say("assumed: not in the source")
        if rule.jump is not None and rule.jump.chain in idle:
            why = " · ".join((why, say("no effect")))
        yield Text.assemble(" " * _INDENT, (f"{printable(why)}{_counted(rule.counters)}", "dim"))


def why_text(rule: Rule, host: Host | None = None) -> str:
    """Return who wrote a rule, and why, if a known program did."""
    owner, role = authorship(rule, host)
    if role is None:
        return _owner_text(owner)
    why = say("{owner}: {why}", owner=_owner_text(owner), why=role.why)
    if not role.setting or role.setting in _NAMED:
        return why
    return say("{does} ({why})", does=why, why=role.setting)


def _owner_text(owner: str) -> str:
    return say("by hand or by an unknown program") if owner == "user" else say("by {owner}", owner=owner)


def _counted(counters: Counters | None) -> str:
    if counters is None:
        return ""
    if counters.bytes:
        return " · " + say_many(
            "{count:,} packet, {size:,} bytes",
            "{count:,} packets, {size:,} bytes",
            count=counters.packets,
            size=counters.bytes,
        )
    return " · " + say_many("{count:,} packet", "{count:,} packets", count=counters.packets)
