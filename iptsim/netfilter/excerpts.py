"""Excerpts: the tables and chains that a source does not show.

`iptables-save -t TABLE`, `iptables -S` and pasted excerpts contain only some of the tables, listings only some of the
chains.
"""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.dump.builtin_chains import usual_chains
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.hidden import SHOW, SHOW_IPV6, is_gap
from iptsim.languages import (
    Message,
    Text,
    message,
    message_if,
    message_joined,
    message_many,
    message_sentences,
)

#: The tables that rules are usually in, in the order in which a packet meets them.
_TABLES = ("raw", "mangle", "nat", "filter")
#: What shows all of them, by address family.
WHOLE = {4: SHOW, 6: SHOW_IPV6[SHOW]}


def unseen_tables(rulesets: Iterable[Ruleset]) -> list[str]:
    """Return the tables that a source does not show, although they may contain rules.

    A dump with several tables was made without `-t`, so tables that it lacks do not exist; only filter always does.
    """
    found = list(rulesets)
    shown = {table for ruleset in found for table in ruleset.tables}
    if len(shown) == 1 or any(ruleset.listed for ruleset in found):
        return [table for table in _TABLES if table not in shown]
    return ["filter"] if shown and "filter" not in shown else []


def unseen_chains(rulesets: Iterable[Ruleset], *, unknown: bool = False) -> list[tuple[str, str]]:
    """Return the built-in chains, as table and name, that listings of their tables leave out.

    Args:
        rulesets: the rules of the source.
        unknown: also those whose rules are unknown; else only those that are assumed to be empty.
    """
    found = [ruleset for ruleset in rulesets if ruleset.listed]
    shown = {
        (name, chain.name)
        for ruleset in found
        for name, table in ruleset.tables.items()
        for chain in table.chains.values()
        if any(not is_gap(rule.target) for rule in chain.rules)
        or (chain.declared and not chain.rules)
        or (chain.rules and name != "filter" and not unknown)
    }
    tables = {name for ruleset in found for name in ruleset.tables}
    return [
        (table, chain)
        for table in _TABLES
        if table in tables
        for chain in usual_chains(table)
        if (table, chain) not in shown
    ]


def unseen_places(rulesets: Iterable[Ruleset]) -> tuple[str, ...]:
    """Return the tables and chains that a source with rules does not show, such as "nat" and "filter OUTPUT"."""
    found = [ruleset for ruleset in rulesets if any(not is_gap(rule.target) for rule in ruleset.rules())]
    chains = unseen_chains(found, unknown=True)
    ruled = {rule.table for ruleset in found for rule in ruleset.rules() if not is_gap(rule.target)}
    hidden = {
        table
        for table in _TABLES
        if table not in ruled and all((table, chain) in chains for chain in usual_chains(table))
    }
    tables = hidden.union(unseen_tables(found))
    return (
        *(table for table in _TABLES if table in tables),
        *(f"{table} {chain}" for table, chain in chains if table not in hidden),
    )


def _unset_policies(rulesets: Iterable[Ruleset]) -> list[str]:
    """Return the built-in chains of filter that have rules, but neither a policy nor rules that are not shown.

    Files for iptables-restore may set none: iptables-nft then makes the chain with ACCEPT, iptables-legacy keeps the
    policy from before. Commands without -P keep it, too.
    """
    return [
        chain.name
        for ruleset in rulesets
        for chain in (ruleset.tables["filter"].chains.values() if "filter" in ruleset.tables else ())
        if chain.builtin and not chain.declared and chain.rules and not is_gap(chain.rules[-1].target)
    ]


def _is_declared(rulesets: Iterable[Ruleset], name: str) -> bool:
    """Return whether a source shows a chain of filter with its policy."""
    chains = (ruleset.tables["filter"].chains.get(name) for ruleset in rulesets if "filter" in ruleset.tables)
    return any(chain is not None and chain.declared and chain.policy is not None for chain in chains)


def unseen_note(rulesets: Iterable[Ruleset], *, depends: bool = False) -> Text:
    """Return what is assumed about tables and chains that a source does not show; "" if it shows all.

    Args:
        rulesets: the rules of the source.
        depends: the answer depends on some rules that are not shown.
    """
    found = list(rulesets)
    tables = unseen_tables(found)
    chains = unseen_chains(found)
    others = [f"{table} {chain}" for table, chain in chains if table != "filter"]
    notes: list[Message] = []
    if depends and (tables or others):
        places = message_joined(", ", [*tables, *others])
        notes.append(
            message(
                "The source does not show {places}; no rules are assumed there, apart from those that the answer"
                " depends on.",
                places=places,
            )
        )
    elif tables:
        notes.append(
            message_many(
                "The source does not show table {tables}; it is assumed to be empty.",
                "The source does not show tables {tables}; they are assumed to be empty.",
                len(tables),
                tables=message_joined(", ", tables),
            )
        )
    if others and not depends:
        notes.append(
            message_many(
                "The source does not show chain {chains}; it is assumed to be empty.",
                "The source does not show chains {chains}; they are assumed to be empty.",
                len(others),
                chains=message_joined(", ", others),
            )
        )
    if unset := [f"filter {chain}" for chain in _unset_policies(found)]:
        notes.append(
            message_many(
                "The source does not show the policy of {chains}; it is assumed to be ACCEPT.",
                "The source does not show the policies of {chains}; they are assumed to be ACCEPT.",
                len(unset),
                chains=message_joined(", ", unset),
            )
        )
    if ("filter", "OUTPUT") in chains:
        notes.append(
            message_if(
                _is_declared(found, "OUTPUT"),
                "The source shows the policy of filter OUTPUT, but perhaps not its rules; they are assumed to accept"
                " the host's replies.",
                "The source does not show chain filter OUTPUT; it is assumed to accept the host's replies.",
            )
        )
    return message_sentences(*notes) if notes else ""
