"""A table as far as a text shows it: its chains and rules, and the commands that change them."""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import Family
from iptsim.dump import commands
from iptsim.dump.builtin_chains import BUILTIN_CHAINS, usual_chains
from iptsim.dump.checks import doubt, objections
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.dump.words import Word
from iptsim.extensions.hidden import is_gap
from iptsim.languages import Text, message
from iptsim.paste.binding import RuleBinder
from iptsim.paste.gap_rules import gap, remove_perhaps
from iptsim.paste.jumps import jumps
from iptsim.paste.listed_again import (
    breaks_off,
    counts_again,
    lists_again,
    place_beyond,
    shows_chains,
    without_repeated,
)
from iptsim.paste.pieces import ChainItem, CommandItem, GapItem, Item, RuleItem, Rules, plain_words
from iptsim.paste.rule_maker import RuleMaker

#: What distinguishes other packets from replies.
_NO_REPLY = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")


class ShownTable:
    """Builds one table from the pieces of a text, in order.

    Args:
        maker: makes the rules.
        ruleset: the ruleset of the table.
        name: the table's name.

    Attributes:
        piece: the last piece that may lack rules.
        is_file: a file for iptables-restore shows it.
        is_dump: a dump shows it.
        is_printed: a program printed it.
        is_listed: iptables -S printed it.
        is_changed: commands change it.
        before: the first of its listings, if there are several.
        policies: its built-in chains whose policies are shown.
        homeless: its rules whose chain is not shown.
        perhaps: the commands that may set the policy of a chain, by the chain.
        known: its chains without rules at first ("" for all), of which commands show all rules.
    """

    def __init__(self, maker: RuleMaker, ruleset: Ruleset, name: str) -> None:
        self.maker, self.ruleset, self.name = maker, ruleset, name
        self.piece: Rules | None = None
        self.is_file = self.is_dump = self.is_printed = self.is_listed = self.is_changed = False
        self.before: Table | None = None
        self.policies = set[str]()
        self.homeless: list[RuleItem] = []
        self.perhaps: dict[str, CommandItem] = {}
        self.known = set[str]()
        self._traced = False
        #: the chain within which the last piece ends
        self._broken = ""
        #: the line of the place just before, if rules may be missing there
        self._later = 0

    @property
    def family(self) -> Family:
        """The address family of the ruleset."""
        return self.ruleset.family

    @property
    def table(self) -> Table:
        """The table as built so far."""
        return self.ruleset.tables[self.name]

    @property
    def is_unlisted(self) -> bool:
        """Whether only commands show it, which do not remove all rules first."""
        is_shown = self.is_file or self.is_printed or "" in self.known or self.piece is not None
        return self.is_changed and not is_shown

    @property
    def binder(self) -> RuleBinder:
        """What reads its rules."""
        return self.maker.binder(self.ruleset)

    def add(self, piece: Rules) -> None:
        """Add a piece."""
        table = self.ruleset.tables.get(self.name)
        line = piece.items[0].line if piece.items else 0
        items = piece.items
        is_again = table is not None and piece.whole and not piece.traced
        again = self._alone(piece) if is_again and (piece.printed or piece.unfinished) else None
        if table is not None and line and again is not None and breaks_off(piece, again, table):
            self.maker.warn(
                line,
                message(
                    "table {table} appears twice; the second one breaks off, so the first one (line {line}) is used",
                    table=self.name,
                    line=table.line,
                ),
            )
            return
        if table is not None and line and lists_again(piece, table):
            if self.is_printed and counts_again(piece, table):
                self.before = self.before or table
            self.maker.warn(
                line,
                message(
                    "table {table} appears twice (first at line {line}); the second one is used",
                    table=self.name,
                    line=table.line,
                ),
            )
            table = None
        elif table is not None and self._broken:
            table.chains[self._broken].rules.append(gap(self.name, self._broken, line))
        elif table is not None and again is not None and piece.printed:
            _remove_made(piece, table)
            items = without_repeated(piece, again, table)
        if table is None:
            table = self.ruleset.tables[self.name] = Table(self.name, line=line)
            self.is_changed = False
        self._note(piece)
        last: Item | None = None
        for last in items:
            self._item(last)
        if isinstance(last, GapItem) and last.later and last.chain is None:
            self._hide_missing(last.line)
        self._later = 0
        self._broken = list(table.chains)[-1] if piece.broken and table.chains else ""
        if any(isinstance(item, CommandItem) for item in piece.items):
            self.is_changed = True

    def _alone(self, piece: Rules) -> Table:
        """Return the table of a piece as if nothing else were shown."""
        alone = ShownTable(RuleMaker(self.maker.source), replace(self.ruleset, tables={}), self.name)
        alone.add(piece)
        return alone.table

    def _note(self, piece: Rules) -> None:
        """Note what a piece shows of the table."""
        if piece.is_open:
            self.piece = piece
        if piece.named and piece.printed:
            self.is_dump = True
        elif piece.named:
            self.is_file = True
        if piece.printed:
            self.is_printed = True
        if shows_chains(piece):
            self.known.add("")
            self.is_listed = self.is_listed or (piece.printed and piece.fragment and not piece.named)
        self._traced = piece.traced

    def _item(self, item: Item) -> None:
        if isinstance(item, ChainItem):
            self._chain(item)
        elif isinstance(item, RuleItem):
            if item.chain is None:
                self.homeless.append(item)
            else:
                self.add_rule(item)
        elif isinstance(item, CommandItem):
            try:
                self._command(item)
            except commands.CommandError as error:
                if "/dev/null" not in item.text:  # otherwise it may fail, in the eyes of whoever wrote it
                    self.maker.warn(
                        item.line, message("{error}: {rule}", error=error.message, rule=item.text)
                    )
        else:
            self.add_gap(item)
            return
        # the rules from here on are shown in a row
        self._later = 0

    def add_gap(self, item: GapItem) -> None:
        """Mark a place where rules may be missing."""
        table = self.table
        names = [] if item.chain is None else [self.home(item.chain, item.line).name]
        if item.later:
            if any(chain.rules for chain in table.chains.values()):
                self._later = item.line
            all_names = list(table.chains)
            behind = all_names[all_names.index(names[0]) + 1 :] if names else all_names
            names += [name for name in behind if not table.chains[name].rules]
        for name in names:
            chain = table.chains[name]
            if chain.rules and is_gap(chain.rules[-1].target):
                continue  # it may hold any number of rules
            chain.rules.append(
                gap(table.name, name, item.line)
                if chain.rules
                else self.hidden(chain, item.line, hidden_chain=table.name == "nat")
            )

    def _hide_missing(self, line: int) -> None:
        """Make the built-in chains unknown of which the lines are missing, as a text ends before them."""
        for name in usual_chains(self.name):
            if name not in self.table.chains:
                chain = self.home(name, line)
                chain.rules.append(self.hidden(chain, line, hidden_chain=self.name == "nat"))

    def _chain(self, item: ChainItem) -> None:
        table = self.table
        chain = table.chains.get(item.name)
        builtin = item.name in BUILTIN_CHAINS[table.name]
        if chain is None:
            chain = table.chains[item.name] = Chain(table.name, item.name, "ACCEPT" if builtin else None)
        chain.line, chain.declared = item.line, True
        chain.counters, chain.references = item.counters, item.references
        if builtin and item.policy in commands.POLICIES:
            chain.policy = item.policy
            self.policies.add(item.name)

    def home(self, name: str, line: int) -> Chain:
        """Return a chain; it is created at its first mention."""
        table = self.table
        chain = table.chains.get(name)
        if chain is None:
            builtin = name in BUILTIN_CHAINS[table.name]
            policy = "ACCEPT" if builtin else None
            chain = table.chains[name] = Chain(table.name, name, policy, line=line, declared=False)
            if self._later:
                chain.rules.append(gap(table.name, name, self._later))
        return chain

    def add_rule(self, item: RuleItem) -> None:
        """Add a rule at the end of its chain."""
        assert item.chain is not None
        table = self.table
        chain = self.home(item.chain, item.line)
        last = chain.rules[-1].position if chain.rules else 0
        missing = item.position and item.position > last + 1 and (not chain.rules or last)
        if missing and not self._traced:
            chain.rules.append(gap(table.name, chain.name, item.line))
        for rule in self.made(item, chain):
            rule.position = last + 1 if item.position is None else item.position
            last = rule.position
            chain.rules.append(rule)

    def made(self, item: RuleItem, chain: Chain) -> list[Rule]:
        """Return the rules of a chain that an item stands for."""
        words = [Word("-A", "-A", 0, 0), Word(chain.name, chain.name, 0, 0), *item.words]
        why = self.maker.refusal(item, self.family, self.table) if self.is_file else ""
        return self.maker.rules(words, chain, item, self.binder, item.hidden, why)

    def _command(self, item: CommandItem) -> None:
        """Apply a command.

        Raises:
            commands.CommandError: it cannot be applied.
        """
        table = self.table
        arguments, letter = item.texts[1:], item.letter
        name = arguments[0] if arguments else None
        # iptables itself never prints a rule that it refuses
        by_hand = not item.text.startswith("-") or self.is_file
        why = self.maker.refusal(item, self.family, table) if by_hand else ""
        if letter == "P" and len(arguments) > 1 and item.hidden:
            if self.home(arguments[0], item.line).policy != arguments[1]:
                self.perhaps[arguments[0]] = item
        elif letter == "P" and len(arguments) > 1:
            self.perhaps.pop(arguments[0], None)
            self._chain(ChainItem(arguments[0], arguments[1], None, item.line))
        elif letter == "N" and name:
            self.home(name, item.line).declared = True
            self.known.add(name)
        elif letter == "F":
            self.known.add(name or "")
            for chain in (
                [table.chains[name]] if name in table.chains else [] if name else table.chains.values()
            ):
                if item.hidden:
                    remove_perhaps(chain, range(len(chain.rules)), item.line)
                else:
                    chain.rules.clear()
        elif letter == "X" and item.hidden:
            pass  # an empty chain does nothing
        elif letter == "X" and name is None:
            table.chains = {one: chain for one, chain in table.chains.items() if chain.builtin}
        elif letter == "X":
            commands.delete_chain(table, name)
        elif letter == "E" and len(arguments) > 1:
            commands.rename_chain(table, arguments[0], arguments[1])
        elif letter in "AIDR" and name:
            self._change(letter, name, item, why)

    def _change(
        self,
        letter: str,
        name: str,
        item: CommandItem,
        refused: Text,
    ) -> None:
        """Append, insert, delete or replace (A, I, D or R) a rule of a chain.

        Raises:
            commands.CommandError: it cannot be done.
        """
        table = self.table
        words, number = list(item.words), None
        base = name.removesuffix("_direct")
        if base != name and base in BUILTIN_CHAINS[table.name] and name not in table.chains:
            if name in jumps(table):
                self.add_gap(GapItem(name, item.line, ""))
            else:  # firewalld's chain is not shown
                name, words[1] = base, Word(base, base, 0, 0)
        chain = self.home(name, item.line)
        if letter in "IDR" and len(words) > 2 and words[2].text.isdecimal():
            number = words.pop(2).text
        beyond = number is not None and int(number) > len(chain.rules) + (letter == "I")
        beyond = beyond and self.known.isdisjoint(("", name))
        hides_policy = name not in self.policies
        if beyond and letter == "D":
            place_beyond(chain, [], item.line, policy=hides_policy)
            return
        if letter == "D" and number is not None:
            if item.hidden:
                remove_perhaps(chain, [commands.rule_number(number, len(chain.rules)) - 1], item.line)
            else:
                commands.delete(chain, (), number)
            return
        hidden = item.hidden if letter != "D" else ()
        added = [Word("-A", "-A", 0, 0), *words[1:]]
        made = self.maker.rules(added, chain, item, self.binder, hidden, refused)
        if beyond:
            place_beyond(chain, made, item.line, policy=hides_policy)
        elif letter == "A":
            chain.rules += made
        elif letter == "I":
            commands.insert(chain, made, number)
        elif letter == "R" and item.hidden:
            place = commands.rule_number(number or "", len(chain.rules)) - 1
            remove_perhaps(chain, [place], item.line)
            chain.rules[place:place] = made
        elif letter == "R":
            commands.replace(chain, made, number or "")
        elif item.hidden:
            remove_perhaps(chain, [commands.find_rule(chain, rule) for rule in made], item.line)
        else:
            commands.delete(chain, made, None)

    def check(self) -> None:
        """Set the numbers of the rules made by commands, and mark those that the kernel would reject."""
        table = self.table
        for chain in table.chains.values():
            position = 0
            for rule in chain.rules:
                if not is_gap(rule.target):
                    position += 1
                    rule.position = position
        for rule, _, reason, _ in objections(table, [doubt(rule) for rule in table.rules()]):
            if not rule.refused:
                rule.refused = reason
                self.maker.warn(
                    rule.line,
                    message("{reason}; the kernel would reject this rule, so it is ignored", reason=reason),
                )

    def hidden(self, chain: Chain, line: int, *, hidden_chain: bool = False) -> Rule:
        """Make the placeholder for a chain without rules; OUTPUT is assumed to accept the host's replies."""
        hidden = gap(chain.table, chain.name, line, hidden_chain=hidden_chain)
        if (chain.table, chain.name) != ("filter", "OUTPUT") or chain.policy == "DROP":
            return hidden
        words = plain_words(_NO_REPLY)
        item = RuleItem(chain.name, words, line, hidden.text, position=0)
        self.add_rule(item)
        hidden.matches = chain.rules.pop().matches
        return hidden


def _remove_made(piece: Rules, table: Table) -> None:
    """Remove the rules of commands from a table where a list shows their chain from its policy on: what they made."""
    for item in piece.items if not piece.filtered else ():
        chain = table.chains.get(item.name) if isinstance(item, ChainItem) else None
        if chain is not None and not chain.declared:
            chain.rules.clear()
