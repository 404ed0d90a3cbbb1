"""The tables of a text: their beginnings and ends, and the declarations of their chains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import takewhile

from iptsim.dump import commands
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.checks import Doubt, doubt, objections
from iptsim.dump.commands import CommandError
from iptsim.dump.complaints import Complaints
from iptsim.dump.edited_rules import EditedRules
from iptsim.dump.rule import Counters, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.dump.syntax import Line
from iptsim.extensions.base import Match, Target
from iptsim.extensions.registry import STANDARD
from iptsim.languages import message

DECLARED_FIRST = "declare the chain above all rules"


class Tables:
    """The tables of one reading, one of which may be open.

    Args:
        ruleset: the ruleset to which they belong.
        complaints: where errors and warnings go.
        onto: the text is added to existing rules.
        wanted: the table of a listing, or None to infer it from the policies.

    Attributes:
        table: the open one.
        listing: there was no line `*table`: the text is a listing.
        listed: the tables of listings read so far.
        foreign: the following blocks belong to the other address family.
        skipping: the open block is being skipped.
        comments: the comment lines since the last table.
        policies: the policy words in chain lines that the grammar has parsed; they determine the shape.
        edited: rules of the open table were not only appended, but also inserted, replaced or deleted.
        shared: the chains of the open table that existing rules share; they are copied before they change.
    """

    def __init__(self, ruleset: Ruleset, complaints: Complaints, onto: bool, wanted: str | None) -> None:
        self.ruleset = ruleset
        self.complaints = complaints
        self.onto = onto
        self.wanted = wanted
        self.table: Table | None = None
        self.listing = False
        self.listed: set[str] = set()
        self.foreign = False
        self.skipping = False
        self.comments: list[str] = []
        self.policies: set[str] = set()
        #: rules of the open table to check when it is complete, by the identity of the extensions in question
        self._doubts: dict[int, Doubt] = {}
        self.edited = False
        self.shared: set[str] = set()

    def begin(self, line: Line, number: int) -> None:
        """Start a table at a line `*NAME`.

        Raises:
            DumpSyntaxError: there is no such table.
        """
        name = line.words[0]
        if self.table is not None and not self.listing:
            unfinished = self.table.name
            self.close()
            self.complaints.add(
                self.complaints.error(
                    message("table {unfinished} has no COMMIT", unfinished=unfinished),
                    number,
                    hint=message("expected COMMIT before this line"),
                )
            )
        elif self.table is not None:
            self.close()
        if name.text not in BUILTIN_CHAINS:
            self.table = Table("filter")  # so that the rest of the block causes no further errors
            self.skipping = True
            raise self.complaints.error(
                message("unknown table {text}", text=name.text),
                number,
                name.columns,
                message("choose from: {choices}", choices=", ".join(BUILTIN_CHAINS)),
            )
        self.listing, self.skipping = False, self.foreign
        table = Table(name.text, comments=tuple(self.comments), line=number)
        self.comments.clear()
        if self.skipping:
            self.table = table
            return
        before = self.ruleset.tables.get(name.text)
        if before is not None and self.onto:
            self.table = dataclasses.replace(before, chains=dict(before.chains))
            self.ruleset.tables[name.text], self.edited, self.shared = self.table, True, set(before.chains)
            return
        if before is not None:
            self.complaints.warn(
                number,
                message(
                    "table {text} is given twice (first in line {line}); the second one replaces the rules of "
                    "the first",
                    text=name.text,
                    line=before.line,
                ),
            )
            table.comments = before.comments or table.comments
            if self.ruleset.backend == "legacy":
                kept = [chain for chain in before.chains.values() if chain.builtin]
                table.chains = {chain.name: dataclasses.replace(chain, rules=[]) for chain in kept}
        self.table = self.ruleset.tables[name.text] = table

    def commit(self, number: int) -> None:
        """Finish the open table.

        Raises:
            DumpSyntaxError: no table is open.
        """
        if self.table is None:
            raise self.complaints.error(
                message("COMMIT without a table"), number, hint=message("expected *TABLE before this line")
            )
        self.close()

    def close(self) -> None:
        """Finish the open table: run the checks that need the whole table."""
        table = self.table
        assert table is not None
        if self.edited:
            self._doubts = dict(enumerate(map(doubt, self._edited_rules(table))))
        found = objections(table, self._doubts.values())
        owned = self._own_rules(table, [objection.rule for objection in found])
        for rule, name, reason, early in found:
            if early and rule.source == self.complaints.source:
                text = self.complaints.lines[rule.line - 1]
                start = max(text.find(name), 0)
                self.complaints.add(self.complaints.error(reason, rule.line, (start, start + len(name))))
            elif not (refused := owned[id(rule)]).refused:
                refused.refused = reason
                self.complaints.warn_refused(refused)
        self._doubts = {}
        self.edited, self.shared = False, set()
        self.table = None
        self.listing = self.skipping = False

    def _edited_rules(self, table: Table) -> list[Rule]:
        """Return the rules of an edited table, with their numbers, whose validity the edits may have changed."""
        chains = [chain for name, chain in table.chains.items() if name not in self.shared]
        commands.renumber(chains)
        new: list[Rule] = []
        for chain in chains:
            new += chain.rules.added if isinstance(chain.rules, EditedRules) else chain.rules
        # a new call may lead from other hooks to any rule
        return list(table.rules()) if any(rule.jump is not None for rule in new) else new

    def own(self, name: str) -> None:
        """Make a chain of the open table one that may change, if there is such a chain."""
        if name in self.shared:
            assert self.table is not None
            self.shared.discard(name)
            chain = self.table.chains[name]
            self.table.chains[name] = dataclasses.replace(chain, rules=EditedRules(chain.rules))

    def own_all(self) -> None:
        """Make all chains of the open table, and their rules, such that may change."""
        assert self.table is not None
        for name in self.shared:
            chain = self.table.chains[name]
            rules = [dataclasses.replace(rule) for rule in chain.rules]
            self.table.chains[name] = dataclasses.replace(chain, rules=rules)
        self.shared = set()

    def _own_rules(self, table: Table, rules: Iterable[Rule]) -> dict[int, Rule]:
        """Return rules that may change, in the places of those that existing rules may share, by their identity."""
        owned = {id(rule): rule for rule in rules}
        if not self.onto:
            return owned
        shared = [rule for rule in owned.values() if not rule.refused]
        # all places first: a change in a chain renews the copies of the rules that have moved
        places = [
            (rule, place)
            for name in dict.fromkeys(rule.chain for rule in shared)
            for place, rule in enumerate(table.chains[name].rules)
            if id(rule) in owned and not rule.refused
        ]
        for rule, place in places:
            self.own(rule.chain)
            owned[id(rule)] = table.chains[rule.chain].rules[place] = dataclasses.replace(rule)
        return owned

    def declare(self, line: Line, number: int) -> None:
        """Declare a chain from a line `:NAME POLICY [packets:bytes]`.

        Raises:
            DumpSyntaxError: the table cannot have such a chain.
        """
        table = self.table
        if table is None:
            raise self.complaints.error(
                message("a chain outside a table"), number, hint=message("expected *TABLE before this line")
            )
        name, policy = line.words[:2]
        self.own(name.text)
        if line.counters is not None:
            self.policies.add(policy.text)
        if name.text in BUILTIN_CHAINS[table.name]:
            if policy.text not in (*commands.POLICIES, "-"):
                raise self.complaints.error(
                    message("{text} is not a policy", text=policy.text),
                    number,
                    policy.columns,
                    message("expected ACCEPT or DROP"),
                )
            chain = table.chains.get(name.text)
            if chain is None:
                chain = table.chains[name.text] = Chain(table.name, name.text, "ACCEPT")
            chain.line, chain.declared, chain.counters = number, True, line.counters
            if policy.text != "-":
                chain.policy = policy.text
            return
        legacy = self.ruleset.backend == "legacy"
        if policy.text != "-":
            if legacy:
                raise self.complaints.error(
                    message("only a built-in chain has a policy, not {text}", text=name.text),
                    number,
                    policy.columns,
                    message("expected :{text} - [0:0]", text=name.text),
                )
            self.complaints.warn(
                number, message("only a built-in chain has a policy; {text} has none", text=name.text)
            )
        before = table.chains.get(name.text)
        if before is not None and (self.onto or not legacy):
            if not self.onto:
                self.complaints.warn(
                    number,
                    message(
                        "chain {text} is declared twice (first in line {line}); the second declaration empties it",
                        text=name.text,
                        line=before.line,
                    ),
                )
            before.rules, before.line, before.counters = [], number, line.counters
            self.edited = True
            return
        try:
            if before is not None:
                raise CommandError(
                    message(
                        "chain {text} is declared twice (first in line {line})",
                        text=name.text,
                        line=before.line,
                    ),
                    hint=message("iptables-legacy-restore rejects it"),
                )
            commands.check_name(name.text)
            self.check_unused(name.text)
        except CommandError as error:
            raise self.complaints.error(error.message, number, name.columns, error.hint) from None
        table.chains[name.text] = Chain(table.name, name.text, None, line.counters, [], number)

    def declare_alike(self, name: str, policy: str, counters: Counters, number: int) -> bool:
        """Declare a chain from a line of a known shape; return whether the line is valid.

        Args:
            name: of the chain, in ASCII, with the characters and the length of a name.
            policy: as in the line.
            counters: those of the line.
            number: the line's number.
        """
        table = self.table
        assert table is not None
        builtin = name in BUILTIN_CHAINS[table.name]
        if name in table.chains or (policy == "-") is builtin or name in STANDARD or self.complaints.named:
            return False
        table.chains[name] = Chain(table.name, name, policy if builtin else None, counters, [], number)
        return True

    def doubt(self, rule: Rule, extensions: tuple[Match | Target, ...], protocol: int | None) -> None:
        """Record a rule whose validity in the kernel depends on the whole table.

        Args:
            rule: the rule.
            extensions: the extensions in question; rules of one shape share them.
            protocol: the protocol that the rule matches, without `!`.
        """
        found = self._doubts.get(id(extensions))
        if found is None:
            found = self._doubts[id(extensions)] = Doubt(extensions, protocol, [])
        found.rules.append(rule)

    def check_unused(self, name: str) -> None:
        """Reject a chain if a rule above used its name as an unknown target.

        Raises:
            CommandError: a rule did.
        """
        if f"-j {name}" in self.complaints.named:
            raise CommandError(
                message("a rule jumps to chain {name} before its declaration", name=name), hint=DECLARED_FIRST
            )

    def open_by_rule(self, text: str, number: int) -> None:
        """Ensure that a table is open for a rule: listings do not name their tables.

        Raises:
            DumpSyntaxError: the text is not a listing.
        """
        if (
            self.listing
            and text.startswith("-P ")
            and not self.complaints.lines[number - 2].startswith("-P ")
        ):
            self._end_listing(text, number)
        if self.table is None:
            name = self._listed_table(number)
            again = name in self.listed and not text.startswith("-P ")
            if self.ruleset.tables.keys() - self.listed or again or name not in BUILTIN_CHAINS:
                raise self.complaints.error(
                    message("a rule outside a table"),
                    number,
                    hint=message("expected *TABLE before this line"),
                )
            if name in self.listed:
                self.complaints.warn(
                    number,
                    message(
                        "table {name} is listed twice (first in line {line}); the second listing replaces the rules "
                        "of the first",
                        name=name,
                        line=self.ruleset.tables[name].line,
                    ),
                )
            self.listing = True
            self.listed.add(name)
            self.ruleset.listed = True
            self.table = self.ruleset.tables[name] = Table(name, line=number)

    def _listed_table(self, number: int) -> str:
        """Return the table whose listing starts at a line: its built-in chains come first, with their policies."""
        if self.wanted is not None:
            return self.wanted
        first = takewhile(lambda line: line.startswith("-P "), self.complaints.lines[number - 1 :])
        chains = {line.split()[1] for line in first if len(line.split()) > 1}
        if "POSTROUTING" in chains:
            return "mangle" if "FORWARD" in chains else "nat"
        return "raw" if "PREROUTING" in chains else "filter"

    def _end_listing(self, text: str, number: int) -> None:
        """Close the open table if another listing starts: of another table, or of the same one again."""
        table = self.table
        if table is None:
            return
        chain = table.chains.get(text.split()[1]) if len(text.split()) > 1 else None
        if self._listed_table(number) != table.name or (chain is not None and chain.declared):
            self.close()
