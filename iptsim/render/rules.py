"""Rules in words: what each does, who wrote it, and how often it matched."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from iptsim.docker.roles import role_of
from iptsim.dump.owners import chain_owner, rule_owner
from iptsim.dump.ruleset import Chain, Counters, Rule, Ruleset
from iptsim.errors import UsageError, printable
from iptsim.host import Host

_INDENT = 7


def rule_words(rule: Rule) -> str:
    """Return what a rule says, as a sentence without its full stop."""
    conditions = [
        words for words in (rule.parameters.says(), *(match.says() for match in rule.matches)) if words
    ]
    packets = f"packets {', '.join(conditions)}" if conditions else "every packet"
    order = rule.target.says() if rule.target is not None else "only count"
    return f"{packets}: {order}"


def rules_lines(
    ruleset: Ruleset, host: Host, *, table: str | None = None, chain: str | None = None
) -> Iterator[Text]:
    """Yield the lines that show a ruleset in words.

    Args:
        ruleset: the rules.
        host: where they hold; its networks and containers name what a rule of Docker's is for.
        table: show this table only.
        chain: show the chains of this name only.

    Raises:
        UsageError: there is no such chain.
    """
    shown = [
        found
        for name, entry in ruleset.tables.items()
        if table in (None, name)
        for found in entry.chains.values()
        if chain in (None, found.name)
    ]
    if chain is not None and not shown:
        where = f"table {table}" if table else "any table"
        raise UsageError(f"there is no chain {chain} in {where}")
    for number, found in enumerate(shown):
        if number:
            yield Text("")
        yield from _chain_lines(found, host)


def _chain_lines(chain: Chain, host: Host) -> Iterator[Text]:
    if chain.builtin:
        policy = f"policy {chain.policy or 'ACCEPT'}"
        about = f"built in, {policy}{_counted(chain.counters)}"
    else:
        about = f"made {_owner_text(chain_owner(chain.name))}"
    yield Text.assemble((f"{chain.table} {printable(chain.name)}", "bold"), f"   {about}")
    if not chain.rules:
        yield Text("  no rules", "dim")
    for rule in chain.rules:
        role = role_of(rule, host)
        owner = "docker" if role is not None else rule_owner(rule)
        if role is None and owner == "docker":
            owner = "user"  # in a chain of Docker's, but in no form that dockerd writes
        yield Text.assemble(f"{rule.position:5}  ", (printable(rule.text), "cyan"))
        yield Text.assemble(" " * _INDENT, printable(rule_words(rule)))
        why = f"{_owner_text(owner)}: {role.text}" if role is not None else _owner_text(owner)
        yield Text.assemble(" " * _INDENT, (f"{printable(why)}{_counted(rule.counters)}", "dim"))


def _owner_text(owner: str) -> str:
    return "by hand, or by an unknown program" if owner == "user" else f"by {owner}"


def _counted(counters: Counters | None) -> str:
    if counters is None:
        return ""
    return f" · {counters.packets:,} packets" + (f", {counters.octets:,} octets" if counters.octets else "")
