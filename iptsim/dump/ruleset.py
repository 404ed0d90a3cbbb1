"""The ruleset of one address family: tables, chains and rules, as typed models with source positions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Counters, Rule
from iptsim.errors import RulesetError, printable
from iptsim.languages import Message, Text, message
from iptsim.shown import Framed, Pictured, made
from iptsim.suggestions import with_suggestion

if TYPE_CHECKING:
    from networkx import MultiDiGraph


@dataclass(frozen=True, slots=True)
class DumpWarning:
    """Something odd in a dump.

    Attributes:
        text: what is odd.
        line: its line number, from 1; 0 for none.
    """

    text: Text
    line: int = 0

    def __str__(self) -> str:
        return str(message("line {line}: {text}", line=self.line, text=self.text) if self.line else self.text)


@dataclass(slots=True)
class Chain(Framed):
    """A chain and its rules in order.

    Attributes:
        policy: ACCEPT or DROP for a built-in chain, None for a user chain.
        declared: the dump has a `:CHAIN` line for it (which hand-written files may omit).
        references: the number of rules that jump to it, if a listing shows it.
        attached: the hook of a base chain of nftables.
    """

    table: str
    name: str
    policy: str | None = None
    counters: Counters | None = None
    rules: MutableSequence[Rule] = field(default_factory=list)
    line: int = field(default=0, compare=False)
    declared: bool = True
    references: int | None = field(default=None, compare=False)
    attached: str = field(default="", compare=False)

    def __repr__(self) -> str:
        policy = f" policy {self.policy}" if self.policy else ""
        return printable(f"<Chain {self.table} {self.name}{policy}: {len(self.rules)} rules>")

    @property
    def builtin(self) -> bool:
        """Whether the chain is attached to a hook; in a table of nftables it has a policy then."""
        names = BUILTIN_CHAINS.get(self.table)
        return self.policy is not None if names is None else self.name in names

    @property
    def hook(self) -> str:
        """The hook of a built-in chain."""
        return self.attached or self.name

    def at(self, position: int) -> Rule | None:
        """Return the rule with a number, or None; placeholders for rules that are not shown have no number."""
        if 1 <= position <= len(self.rules) and self.rules[position - 1].position == position:
            return self.rules[position - 1]
        return next((rule for rule in self.rules if rule.position == position > 0), None)


_RULES = attrgetter("rules")


@dataclass(slots=True)
class Table(Framed):
    """A table: its chains by name, in the order of the dump.

    Attributes:
        comments: the comment lines before `*table`, without the line end.
    """

    name: str
    chains: dict[str, Chain] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)

    def __repr__(self) -> str:
        return printable(
            f"<Table {self.name}: {len(self.chains)} chains, {sum(1 for _ in self.rules())} rules>"
        )

    def rules(self) -> Iterator[Rule]:
        """Yield all rules, chain by chain."""
        return itertools.chain.from_iterable(map(_RULES, self.chains.values()))

    @property
    def lacks_rules(self) -> bool:
        """Whether a listing of it was cut off before the rules of the chains that it declares.

        A policy drops, rules jump to several of these chains, and none has a rule: no firewall leaves that behind.
        """
        own = {chain.name for chain in self.chains.values() if not chain.builtin}
        if not any(chain.policy == "DROP" for chain in self.chains.values()):
            return False
        used = {rule.callee for rule in self.rules()} & own
        return len(used) > 1 and not any(self.chains[name].rules for name in own)


@dataclass(slots=True)
class Ruleset(Pictured):
    """All tables of one address family and one backend.

    Attributes:
        family: 4 or 6.
        tables: by name, in the order of the dump.
        backend: "nf_tables" or "legacy", from the dump's header; nf_tables if the header does not name
            it and the version is at least 1.8.
        version: of the iptables that wrote the dump, e.g. "1.8.9", or None.
        source: the file's name.
        listed: it was read from listings of single tables (`iptables -S`): other tables may have rules too.
        trailer: the comment lines after the last COMMIT.
        warnings: oddities that do not prevent reading, one sentence each.
    """

    family: Family = 4
    tables: dict[str, Table] = field(default_factory=dict)
    backend: str = "nf_tables"
    version: str | None = None
    source: str = field(default="<memory>", compare=False)
    listed: bool = field(default=False, compare=False)
    trailer: tuple[str, ...] = ()
    warnings: list[DumpWarning] = field(default_factory=list, compare=False)

    def __repr__(self) -> str:
        chains = sum(len(table.chains) for table in self.tables.values())
        holds = f"{len(self.tables)} tables, {chains} chains, {sum(1 for _ in self.rules())} rules"
        return printable(f"<Ruleset IPv{self.family} {self.backend} from {self.source}: {holds}>")

    def chain(self, table: str, name: str) -> Chain | None:
        """Return a chain, or None."""
        found = self.tables.get(table)
        return found.chains.get(name) if found else None

    def rules(self) -> Iterator[Rule]:
        """Yield all rules, table by table and chain by chain."""
        return itertools.chain.from_iterable(map(Table.rules, self.tables.values()))

    def missing_chain(self, chain: str, table: str | None = None) -> Message:
        """Return the error message for a chain that is missing in one table, or in all tables."""
        known = {name for one, entry in self.tables.items() if table in (None, one) for name in entry.chains}
        missing = (
            message("table {table} has no chain {chain}", table=table, chain=chain)
            if table
            else message("no table has a chain {chain}", chain=chain)
        )
        return with_suggestion(missing, chain, known)

    def rule(self, table: str, chain: str, position: int) -> Rule:
        """Return a rule by table, chain and position.

        Raises:
            RulesetError: there is no such rule.
        """
        found = self.chain(table, chain)
        if found is None:
            raise RulesetError(self.missing_chain(chain, table))
        rule = found.at(position)
        if rule is None:
            raise RulesetError(
                message(
                    "chain {chain} of table {table} has {count} rules, not {position}",
                    chain=chain,
                    table=table,
                    count=len(found.rules),
                    position=position,
                )
            )
        return rule

    def graph(self) -> MultiDiGraph[Any]:
        """Return the chains as a networkx graph; see :mod:`iptsim.graph`."""
        graph: MultiDiGraph[Any] = made("graph", self)
        return graph
