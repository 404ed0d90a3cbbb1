"""A rule: its conditions, its target, its counters, and where it was read."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from iptsim.dump.tool import table_option
from iptsim.errors import Span, printable
from iptsim.extensions.base import Match, Target
from iptsim.extensions.hidden import GAP, is_gap
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import Network, bare
from iptsim.languages import Message, Text, message
from iptsim.shown import Shown


class Counters(NamedTuple):
    """The packet and byte counters of a rule or policy: `[packets:bytes]`."""

    packets: int
    bytes: int

    def __str__(self) -> str:
        return f"[{self.packets}:{self.bytes}]"


@dataclass(slots=True)
class Jump:
    """`-j CHAIN` or `-g CHAIN`: continue in a user chain, with return (jump) or without (goto).

    Attributes:
        within: the chain contains the statements of the rule itself, which is one of nftables.
    """

    chain: str
    goto: bool = False
    within: bool = False

    def says(self) -> Message:
        """Return the action in words."""
        if self.within:
            return message("continue with its statements (chain {chain})", chain=self.chain)
        if self.goto:
            return message("go to chain {chain} without returning", chain=self.chain)
        return message("jump to chain {chain}", chain=self.chain)


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


def rule_of_line(
    table: str,
    chain: str,
    position: int,
    callee: str,
    counters: Counters | None,
    source: str,
    number: int,
    plan: Plan,
    text: str,
    begin: int,
    end: int,
) -> Rule:
    """Make the rule of a line; its parameters, matches and target are made on first use.

    Args:
        table, chain, position: where the rule is.
        callee: the chain to which it jumps; empty for none.
        counters: as in the dump.
        source: the file's name.
        number: the line's number.
        plan: makes them from the line.
        text, begin, end: the dump, and where the line is in it, without counters; its values are valid.
    """
    rule = _new(Rule)
    rule.table, rule.chain, rule.position = table, chain, position
    rule.callee, rule.counters = callee, counters
    if not callee:
        rule.jump = None
    rule.source, rule.line = source, number
    read: _Read = rule
    read.plan, read._dump, read._begin, read._end = plan, text, begin, end
    rule.refused = rule._text = rule._shown = ""
    return rule


def saved(extension: Match | Target) -> str:
    """Return a match or a target with its options, as iptables-save prints it."""
    if isinstance(extension, Target):
        words = f"-j {extension.name}", extension.save()
    else:
        words = f"-m {bare(extension.name)}" if extension.name else "", extension.save()
    return " ".join(filter(None, words))
