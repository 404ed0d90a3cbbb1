"""The ruleset of one address family: tables, chains and rules, as typed models with source positions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from iptsim.errors import RulesetError, Span, printable
from iptsim.extensions.base import HOOKS, Match, Predicate, Target
from iptsim.extensions.hidden import GAP, is_gap
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.values import Network, bare
from iptsim.languages import Message, Text, message
from iptsim.packet import Family
from iptsim.shown import Framed, Pictured, Shown, made
from iptsim.suggestions import with_suggestion

if TYPE_CHECKING:
    from networkx import MultiDiGraph

#: The tables in the kernel's order, with their built-in chains.
BUILTIN_CHAINS: dict[str, tuple[str, ...]] = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": HOOKS,
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0}
_SECURITY_PRIORITIES = {"legacy": 50, "nf_tables": 150}


def priority_of(table: str, chain: str, backend: str = "nf_tables") -> int:
    """Return the priority of a table's built-in chain at its hook.

    The nf_tables variant of iptables gives the security table priority 150, after nat at INPUT; the legacy variant 50.
    """
    if table == "nat":
        return -100 if chain in ("PREROUTING", "OUTPUT") else 100
    return _SECURITY_PRIORITIES[backend] if table == "security" else _PRIORITIES[table]


def tool_of(family: Family) -> str:
    """Return the program that changes and prints the rules of an address family."""
    return "iptables" if family == 4 else "ip6tables"


def table_option(table: str) -> str:
    """Return the option of iptables that names a table, with a blank: `-t nat `; "" for filter, the default."""
    return "" if table == "filter" else f"-t {table} "


class Counters(NamedTuple):
    """The packet and byte counters of a rule or policy: `[packets:bytes]`."""

    packets: int
    bytes: int

    def __str__(self) -> str:
        return f"[{self.packets}:{self.bytes}]"


@dataclass(slots=True)
class Jump:
    """`-j CHAIN` or `-g CHAIN`: continue in a user chain, with return (jump) or without (goto)."""

    chain: str
    goto: bool = False

    def says(self) -> Message:
        """Return the action in words."""
        if self.goto:
            return message("go to chain {chain} without returning", chain=self.chain)
        return message("jump to chain {chain}", chain=self.chain)


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


class Plan(Protocol):
    """How to read the lines of one shape (:class:`iptsim.dump.plan.Plan`): rules of the same plan differ in values.

    Attributes:
        fields: the parameters that are given, such as "source", without those that match everything.
        names: of the matches and of the target, unless it is a chain.
        target_name: the target's; empty without a target, and for a chain.
    """

    fields: frozenset[str]
    names: frozenset[str]
    target_name: str

    def conditions_of(self, line: str) -> tuple[Parameters, tuple[Match, ...]]:
        """Return a line's parameters and matches."""

    def target_of(self, line: str) -> Target | None:
        """Return a line's target; None if it has none, or a jump."""

    def jump_to(self, name: str) -> Jump:
        """Return the jump to a chain."""

    def networks_of(self, line: str) -> list[Network]:
        """Return a line's source and destination, if they are given."""

    def saved(self, line: str) -> list[str]:
        """Return the options of a line's parameters, matches and target, as iptables-save prints them."""


class _Read(Shown):
    """A rule from a line whose values were checked. Its models are made on first use: most are never used.

    Attributes:
        plan: how the line was read; None for a rule that is not from such a line.
    """

    __slots__ = ("_begin", "_dump", "_end", "plan")
    _dump: str
    _begin: int
    _end: int
    plan: Plan | None

    @property
    def _line(self) -> str:
        """The line without counters."""
        return self._dump[self._begin : self._end]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == "plan":
                self.plan = None
            elif name in ("parameters", "matches"):
                self.parameters, self.matches = self.plan.conditions_of(self._line)
            elif name == "jump":
                self.jump = self.plan.jump_to(self.callee)
            elif name == "target":
                self.target = self.jump or self.plan.target_of(self._line)
            else:
                raise AttributeError(f"a rule has no {name}")
            return getattr(self, name)


@dataclass(slots=True)
class Rule(_Read):
    """One rule. Treat it as immutable.

    Attributes:
        table: the table's name.
        chain: the chain's name.
        position: its number in the chain, from 1, as in `iptables -L --line-numbers`.
        parameters: the conditions without `-m`.
        matches: the `-m` matches in the order in which they are tested.
        target: the action; None for a rule that only counts.
        counters: as in the dump; None if the dump has none.
        source: name of the file from which it was read.
        line: its line there, from 1; 0 for a rule created in memory.
        jump: the target, if it is a jump to a chain.
        callee: that chain's name; empty for any other target.
        refused: why the kernel would reject it although iptables accepts it; such rules are ignored.
    """

    table: str
    chain: str
    position: int
    parameters: Parameters
    matches: tuple[Match, ...] = ()
    target: Target | Jump | None = None
    counters: Counters | None = None
    source: str = field(default="<memory>", compare=False)
    line: int = field(default=0, compare=False)
    refused: Text = field(default="", compare=False)
    jump: Jump | None = field(init=False, compare=False, repr=False)
    callee: str = field(init=False, compare=False, repr=False)
    _text: str = field(default="", init=False, compare=False, repr=False)
    _shown: str = field(default="", init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.jump = self.target if isinstance(self.target, Jump) else None
        self.callee = self.jump.chain if self.jump is not None else ""

    def __getstate__(self) -> tuple[Any, ...]:
        """Return what is copied and pickled: the models, but not the plan that makes them from a line."""
        return tuple(getattr(self, one.name) for one in fields(self))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for one, value in zip(fields(self), state, strict=True):
            setattr(self, one.name, value)

    def __repr__(self) -> str:
        return printable(f"<Rule {self.table} {self.chain} {self.position}: {self.text}>")

    @property
    def text(self) -> str:
        """The rule as iptables-save prints it, without counters: `-A FORWARD -j DOCKER-USER`.

        `-A FORWARD ...` represents rules that are not shown.
        """
        if not self._text:
            words = [f"-A {bare(self.chain)}"]
            words += self.plan.saved(self._line) if self.plan is not None else self._saved()
            if self.jump is not None:
                words.append(f"-{'g' if self.jump.goto else 'j'} {bare(self.jump.chain)}")
            self._text = " ".join(filter(None, words))
        return self._text

    def written_as(self, text: str, line: int) -> Rule:
        """Return it as equivalent of a rule that is not one of iptables, with the text and the line of that one."""
        self._shown, self.line = text, line
        return self

    @property
    def shown(self) -> str:
        """The rule as its source has it: in the language of nft for a rule of nftables, else :attr:`text`."""
        return self._shown or self.text

    @property
    def shown_specification(self) -> str:
        """What is shown of it besides its chain."""
        return self._shown or self.specification

    def _saved(self) -> list[str]:
        if is_gap(self.target):
            return [GAP]
        words = [self.parameters.save(), *map(saved, self.matches)]
        return [*words, saved(self.target)] if isinstance(self.target, Target) else words

    @property
    def specification(self) -> str:
        """The text after the chain, a rule-specification in terms of iptables(8): `-p tcp -j ACCEPT`."""
        return self.text.removeprefix(f"-A {bare(self.chain)}").lstrip()

    @property
    def table_option(self) -> str:
        """The option of iptables that names its table (:func:`table_option`)."""
        return table_option(self.table)

    @property
    def extension_names(self) -> frozenset[str]:
        """The names of its matches and of its target, unless that is a chain; found without making the models."""
        if self.plan is not None:
            return self.plan.names
        names = {match.name for match in self.matches}
        return frozenset(names | {self.target.name} if isinstance(self.target, Target) else names)

    @property
    def networks(self) -> list[Network]:
        """Its source and destination, also where `!` precedes them; found without making the models."""
        if self.plan is not None:
            return self.plan.networks_of(self._line)
        return [end for end in (self.parameters.source, self.parameters.destination) if end is not None]

    def is_written_like(self, other: Rule) -> bool:
        """Return whether both were read from equal lines, which mean the same to equal versions of iptables."""
        return self.plan is not None and other.plan is not None and self._line == other._line

    @property
    def is_unconditional(self) -> bool:
        """Whether it matches every packet."""
        return not self.parameters.has_predicates and not any(match.has_predicates for match in self.matches)

    def conditions_on(self, field: str) -> list[Predicate]:
        """Return the conditions of its matches on one field, such as "dport"."""
        return [one for match in self.matches for one in match.predicates() if one.field == field]

    @property
    def span(self) -> Span:
        """The position of the rule in its source."""
        return Span(self.source, self.line, 0, len(self.text))

    @property
    def target_name(self) -> str:
        """Name of the extension or chain after `-j`/`-g`, empty for a rule without a target."""
        if self.callee:
            return self.callee
        if self.plan is not None:
            return self.plan.target_name
        return self.target.name if isinstance(self.target, Target) else ""


#: Makes a rule without its models.
_new = Rule.__new__


def saved(extension: Match | Target) -> str:
    """Return a match or a target with its options, as iptables-save prints it."""
    if isinstance(extension, Target):
        words = f"-j {extension.name}", extension.save()
    else:
        words = f"-m {bare(extension.name)}" if extension.name else "", extension.save()
    return " ".join(filter(None, words))


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


def add_line(
    chain: Chain,
    callee: str,
    counters: Counters | None,
    source: str,
    number: int,
    plan: Plan,
    text: str,
    begin: int,
    end: int,
) -> Rule:
    """Append the rule of a line to a chain; its parameters, matches and target are made on first use.

    Args:
        chain: the chain.
        callee: the chain to which it jumps; empty for none.
        counters: as in the dump.
        source: the file's name.
        number: the line's number.
        plan: makes them from the line.
        text, begin, end: the dump, and where the line is in it, without counters; its values are valid.
    """
    rule = _new(Rule)
    rules = chain.rules
    rule.table, rule.chain, rule.position = chain.table, chain.name, len(rules) + 1
    rule.callee, rule.counters = callee, counters
    if not callee:
        rule.jump = None
    rule.source, rule.line = source, number
    read: _Read = rule
    read.plan, read._dump, read._begin, read._end = plan, text, begin, end
    rule.refused = rule._text = rule._shown = ""
    rules.append(rule)
    return rule


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
