"""Finds rules that the kernel rejects: loops, calls nested too deeply, misplaced targets and matches.

Most errors in a single rule (wrong table, hook or protocol) are found only by the kernel, when the rules are really
loaded: xt_check_target and xt_check_match in net/netfilter/x_tables.c. `iptables-restore --test` accepts such rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache, partial
from typing import NamedTuple

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import ChainGraph
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Table
from iptsim.errors import RulesetError, printable
from iptsim.extensions.base import Match, Target
from iptsim.extensions.context import HOOKS
from iptsim.extensions.parameters import format_protocol
from iptsim.extensions.values import any_of
from iptsim.languages import Message, Text, message, message_if

#: Up to this many protocols are listed; more would be nearly all.
_LISTED = 10
#: The maximum nesting of jumps and gotos: nf_tables walks a base chain and 15 levels below it
#: (NFT_JUMP_STACK_SIZE, nft_chain_validate in nf_tables_api.c). The legacy backend makes its stack as large as
#: the table requires (translate_table in ip_tables.c).
DEEPEST = {"nf_tables": 15}


def legal_graph(tables: Collection[Table], backend: str, followed: int | None = None) -> ChainGraph:
    """Return the graph of some tables, in which chains call each other only as the kernel allows.

    Both backends reject a loop of jumps and gotos if a packet can reach it from a hook
    (mark_source_chains in net/ipv4/netfilter/ip_tables.c, nft_chain_validate in nf_tables_api.c).

    Args:
        tables: the tables.
        backend: "nf_tables" or "legacy".
        followed: the maximum nesting that the caller can follow; None for any.

    Raises:
        RulesetError: there is a loop, or the nesting is too deep; the message lists the rules with their lines.
    """
    graph = ChainGraph(tables)
    nesting = graph.nesting()
    if nesting is None:
        loop = graph.loop()
        raise RulesetError(
            message(
                "table {table} has a loop, so the kernel would reject it: {way}{lines}",
                table=loop[0].table,
                way=_way(loop),
                lines=_lines(loop),
            )
        )
    deepest = DEEPEST.get(backend)
    if deepest is not None and nesting > deepest:
        raise RulesetError(
            message(
                "table {table} nests {count} calls from {chain}, but with {backend} the kernel allows "
                "{deepest}: {way}{lines}",
                backend=backend,
                deepest=deepest,
                **_calls(graph.deepest()),
            )
        )
    if followed is not None and nesting > followed:
        raise RulesetError(
            message(
                "table {table} nests {count} calls from {chain}, but iptsim follows at most {deepest}: {way}{lines}",
                deepest=followed,
                **_calls(graph.deepest()),
            )
        )
    return graph


def _calls(rules: list[Rule]) -> dict[str, str | int]:
    """Return what a message says about calls that nest."""
    return {
        "table": rules[0].table,
        "count": len(rules),
        "chain": rules[0].chain,
        "way": _way(rules),
        "lines": _lines(rules),
    }


#: The maximum number of rules of a path that are shown.
_SHOWN = 20


def _way(rules: list[Rule]) -> str:
    names = [rules[0].chain, *(rule.target_name for rule in rules)]
    return printable(" → ".join(names[:_SHOWN] + ["..."] * (len(names) > _SHOWN)))


def _lines(rules: list[Rule]) -> str:
    return "".join(f"\n    {rule.source}:{rule.line}: {printable(rule.text)}" for rule in rules[:_SHOWN])


class Objection(NamedTuple):
    """The reason why a rule cannot be loaded.

    Attributes:
        rule: the rule.
        name: the misplaced extension, as in the rule: "-j DNAT".
        reason: a sentence that starts with the name.
        early: iptables itself rejects it, not only the kernel.
    """

    rule: Rule
    name: str
    reason: Message
    early: bool


class Doubt(NamedTuple):
    """Rules whose validity in the kernel depends on the whole table.

    Attributes:
        extensions: the extensions in question.
        protocol: the protocol that the rules match, without `!`.
        rules: the rules; they are alike except in their values.
    """

    extensions: tuple[Match | Target, ...]
    protocol: int | None
    rules: list[Rule]


def doubt(rule: Rule) -> Doubt:
    """Return a doubt about a single rule with all its extensions."""
    target = () if rule.target is None or isinstance(rule.target, Jump) else (rule.target,)
    parameters = rule.parameters
    protocol = None if "protocol" in parameters.negated else parameters.protocol
    return Doubt((*rule.matches, *target), protocol, [rule])


def objections(table: Table, doubts: Collection[Doubt]) -> list[Objection]:
    """Find rules of a table that cannot be loaded, in the order of their lines.

    Args:
        table: the whole table.
        doubts: the rules to check.
    """
    graph = ChainGraph([table])

    @cache
    def reached(hooks: tuple[str, ...]) -> frozenset[str]:
        return frozenset(graph.reached(table.name, *hooks))

    hooks = cache(partial(graph.reaching_hooks, table.name))
    found: list[Objection] = []
    for extensions, protocol, rules in doubts:
        forbidden = reached(_forbidden_hooks(table, extensions))
        #: a rule in another chain is valid, and so are all others there, as they are alike
        valid = False
        for rule in rules:
            misplaced = rule.chain in forbidden
            if valid and not misplaced:
                continue
            where = hooks()[rule.chain] if misplaced else ()
            objected = [one for each in extensions if (one := _objection(each, rule, protocol, where))]
            found += objected
            valid = valid or not objected
    return sorted(found, key=lambda objection: objection.rule.line)


def _forbidden_hooks(table: Table, extensions: Iterable[Match | Target]) -> tuple[str, ...]:
    """Return the built-in chains of a table from which packets must not reach rules with some extensions."""
    allowed = [hooks for each in extensions if (hooks := each.allowed_hooks()) is not None]
    return tuple(
        hook
        for hook in BUILTIN_CHAINS[table.name]
        if hook in table.chains and any(hook not in hooks for hooks in allowed)
    )


def _objection(
    extension: Match | Target, rule: Rule, protocol: int | None, hooks: tuple[str, ...]
) -> Objection | None:
    tables = extension.allowed_tables()
    if tables is not None and rule.table not in tables:
        reason = message(
            "{name} works only in table {tables}", name=_name(extension), tables=any_of(tuple(sorted(tables)))
        )
        return _refusal(extension, rule, reason, "tables")
    protocols = extension.allowed_protocols()
    if protocols is not None and (protocol is None or protocol not in protocols):
        parameters = rule.parameters
        named = "protocol" not in parameters.negated or "negated too" in (extension.insists or "")
        if parameters.protocol not in protocols or not named:
            reason = message_if(
                extension.protocols == protocols,
                "{name} works only in a rule with -p {protocols}",
                "{name} with these options works only in a rule with -p {protocols}",
                name=_name(extension),
                protocols=_any_protocol(protocols),
            )
            return _refusal(extension, rule, reason, "protocols")
    wrong = _wrong_hook(extension, rule, hooks)
    return _refusal(extension, rule, wrong, "hooks") if wrong is not None else None


def _name(extension: Match | Target) -> str:
    return f"-{'m' if isinstance(extension, Match) else 'j'} {extension.name}"


def _refusal(extension: Match | Target, rule: Rule, reason: Message, limit: str) -> Objection:
    return Objection(rule, _name(extension), reason, limit in (extension.insists or ""))


def _any_protocol(protocols: frozenset[int]) -> Text:
    if len(protocols) > _LISTED:
        return "PROTOCOL"
    return any_of(tuple(format_protocol(number) for number in sorted(protocols)))


def _wrong_hook(extension: Match | Target, rule: Rule, hooks: tuple[str, ...]) -> Message | None:
    """Return why an extension is not allowed in the chain of a rule, or ""."""
    allowed = extension.allowed_hooks()
    wrong = next((hook for hook in hooks if hook not in allowed), None) if allowed is not None else None
    if allowed is None or wrong is None:
        return None
    reason = message_if(
        allowed == extension.hooks,
        "{name} works only in {hooks}",
        "{name} with these options works only in {hooks}",
        name=_name(extension),
        hooks=any_of(tuple(place for place in HOOKS if place in allowed)),
    )
    if rule.chain == wrong:
        return reason
    return message(
        "{reason}; chain {chain} is reached from {hook}", reason=reason, chain=rule.chain, hook=wrong
    )
