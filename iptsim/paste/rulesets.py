"""Combines the rules of a pasted text: tables may be incomplete, and parts of rules may be unknown."""

from __future__ import annotations

from collections.abc import Sequence

from iptsim.addresses import Family
from iptsim.dump import commands
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.checks import doubt, objections
from iptsim.dump.options import command_letter
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.dump.words import Word
from iptsim.extensions.hidden import SHOW, Hidden, is_gap
from iptsim.extensions.registry import find_target
from iptsim.host.pasted import Grown, Lost
from iptsim.languages import Text, message
from iptsim.paste.binding import RuleBinder
from iptsim.paste.callers import callers, conditions_of_jump
from iptsim.paste.filters import tables_to_hide
from iptsim.paste.gap_rules import gap, hide_tables, open_ends, remove_perhaps
from iptsim.paste.grown import grown_counters, lost_rules
from iptsim.paste.jumps import jumps, make_unknown, open_beginnings, unknown_chains, without_offloading
from iptsim.paste.kube_marks import rules_of_marks
from iptsim.paste.listed_again import (
    breaks_off,
    by_backend,
    lists_again,
    place_beyond,
    shows_chains,
    without_repeated,
)
from iptsim.paste.marks_elsewhere import rules_of_hidden_marks
from iptsim.paste.pieces import ChainItem, CommandItem, GapItem, Item, RuleItem, Rules, plain_words
from iptsim.paste.rule_maker import RuleMaker
from iptsim.paste.table_inference import may_stand_in

#: What distinguishes other packets from replies.
_NO_REPLY = ("-m", "conntrack", "!", "--ctstate", "RELATED,ESTABLISHED")
#: Chains to which a rule without a chain may belong.
_ANY_CHAIN = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "POSTROUTING")}


class Builder:
    """Builds the rulesets of one text.

    Args:
        source: the text's name.
        rulesets: the rulesets that the text changes.

    Attributes:
        rulesets: by address family.
        besides: those of the other variant of iptables, if the text shows both.
        policies: the built-in chains whose policies the text shows: family, table and name.
        maker: makes the rules; it knows those that iptables refuses, and what is odd in the text.
    """

    def __init__(self, source: str, rulesets: dict[Family, Ruleset] | None = None) -> None:
        self.maker = RuleMaker(source)
        self.rulesets: dict[Family, Ruleset] = {} if rulesets is None else rulesets
        self.besides: dict[Family, Ruleset] = {}
        self._fragments: dict[tuple[Family, str], Rules] = {}
        self._files: set[tuple[Family, str]] = set()
        self._traced = False
        #: the chain within which the last piece of a table ends
        self._broken: dict[tuple[Family, str], str] = {}
        self._before: dict[tuple[Family, str], Table] = {}
        self._printed: set[tuple[Family, str]] = set()
        self._dumped: set[tuple[Family, str]] = set()
        #: tables that iptables -S printed
        self._listed: set[tuple[Family, str]] = set()
        self._homeless: list[tuple[Family, str, RuleItem]] = []
        #: tables with a place among rules, just before, where rules may be missing, and its line
        self._later: dict[str, int] = {}
        self.policies: set[tuple[Family, str, str]] = set()
        #: the tables that commands have changed
        self._changed: set[tuple[Family, str]] = set()
        #: commands that may set the policy of a chain
        self._perhaps: dict[tuple[Family, str, str], CommandItem] = {}
        #: tables, and chains without rules at first ("" for all), of which commands know all rules
        self._known = {(family, name, "") for family, one in self.rulesets.items() for name in one.tables}

    def build(self, pieces: Sequence[Rules]) -> dict[Family, Ruleset]:
        """Return the rulesets made from the pieces of a text, in order."""
        known: Family = next((piece.family for piece in pieces if piece.family), 4)
        pieces, besides = by_backend(pieces)
        if besides:
            self.besides = Builder(self.maker.source).build(besides)
        for piece in pieces:
            self._add(piece, piece.family or known)
        for piece in pieces:
            hide_tables(self.rulesets[piece.family or known], tables_to_hide(piece, pieces))
        for family, name in sorted(self._changed):
            self._check(self.rulesets[family].tables[name])
        for family, ruleset in self.rulesets.items():
            if (nat := ruleset.tables.get("nat")) is not None:
                self._ends(family, nat)
            marking = rules_of_marks(ruleset)
            if any(table for one, table in self._printed if one == family):
                marking += rules_of_hidden_marks(ruleset)
            for table, item in marking:
                self._rule(item, table, self.maker.binder(ruleset))
            for table in ruleset.tables.values():
                if table is not nat:
                    self._ends(family, table)
                self._finish(family, table)
        for ruleset in list(self.rulesets.values())[:1]:
            ruleset.warnings += self.maker.warnings()
        return self.rulesets

    @property
    def listed_twice(self) -> bool:
        """Whether the text shows a table twice, with counters."""
        return any(
            chain.counters is not None or any(rule.counters is not None for rule in chain.rules)
            for table in self._before.values()
            for chain in table.chains.values()
        )

    def changes(self) -> tuple[tuple[Grown, ...], tuple[Lost, ...]]:
        """Return the counters that grew, and the rules that are gone, from the first listing of a table to the last."""
        both = self._before, self.rulesets
        return tuple(grown_counters(*both)), tuple(lost_rules(*both))

    # -- pieces ------------------------------------------------------------------------------------

    def _add(self, piece: Rules, family: Family) -> None:
        ruleset = self.rulesets.get(family)
        if ruleset is None:
            ruleset = self.rulesets[family] = Ruleset(family=family, source=self.maker.source, listed=True)
        if piece.version is not None and ruleset.version is None:
            ruleset.version = piece.version
        if piece.backend is not None:
            ruleset.backend = piece.backend
        table = ruleset.tables.get(piece.table)
        line = piece.items[0].line if piece.items else 0
        items = piece.items
        is_again = table is not None and piece.whole and not piece.traced
        again = self._alone(piece, family) if is_again and (piece.printed or piece.unfinished) else None
        if table is not None and line and again is not None and breaks_off(piece, again, table):
            self.maker.warn(
                line,
                message(
                    "table {table} appears twice; the second one breaks off, so the first one (line {line}) is used",
                    table=piece.table,
                    line=table.line,
                ),
            )
            return
        if table is not None and line and lists_again(piece, table):
            self._before.setdefault((family, piece.table), table)
            self.maker.warn(
                line,
                message(
                    "table {table} appears twice (first at line {line}); the second one is used",
                    table=piece.table,
                    line=table.line,
                ),
            )
            table = None
        elif table is not None and (family, piece.table) in self._broken:
            chain = table.chains[self._broken[family, piece.table]]
            chain.rules.append(gap(table.name, chain.name, line))
        elif table is not None and again is not None and piece.printed:
            items = without_repeated(piece, again, table)
        if table is None:
            table = ruleset.tables[piece.table] = Table(piece.table, line=line)
            self._changed.discard((family, piece.table))
        if piece.is_open:
            self._fragments[family, piece.table] = piece
        if piece.named:
            (self._dumped if piece.printed else self._files).add((family, piece.table))
        if piece.printed:
            self._printed.add((family, piece.table))
        if piece.printed and piece.fragment and not piece.named and shows_chains(piece):
            self._listed.add((family, piece.table))
        if shows_chains(piece):
            self._known.add((family, piece.table, ""))
        binder = self.maker.binder(ruleset)
        self._traced = piece.traced
        for item in items:
            self._item(item, table, family, binder)
        self._later.clear()
        self._broken.pop((family, piece.table), None)
        if piece.broken and table.chains:
            self._broken[family, piece.table] = list(table.chains)[-1]
        if any(isinstance(item, CommandItem) for item in piece.items):
            self._changed.add((family, piece.table))

    def _alone(self, piece: Rules, family: Family) -> Table:
        """Return the table of a piece as if nothing else were shown."""
        builder = Builder(self.maker.source)
        builder._add(piece, family)
        return builder.rulesets[family].tables[piece.table]

    def _item(self, item: Item, table: Table, family: Family, binder: RuleBinder) -> None:
        if isinstance(item, ChainItem):
            self._chain(item, table, family)
        elif isinstance(item, RuleItem):
            if item.chain is None:
                self._homeless.append((family, table.name, item))
            else:
                self._rule(item, table, binder)
        elif isinstance(item, CommandItem):
            try:
                self._command(item, table, family, binder)
            except commands.CommandError as error:
                if "/dev/null" not in item.text:  # otherwise it may fail, in the eyes of whoever wrote it
                    self.maker.warn(
                        item.line, message("{error}: {rule}", error=error.message, rule=item.text)
                    )
        else:
            self._gap(item, table, family)
            return
        # the rules from here on are shown in a row
        self._later.pop(table.name, None)

    def _gap(self, item: GapItem, table: Table, family: Family) -> None:
        """Mark a place where rules may be missing."""
        names = [] if item.chain is None else [self._home(table, item.chain, item.line).name]
        if item.later:
            if any(chain.rules for chain in table.chains.values()):
                self._later[table.name] = item.line
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
                else self._hidden(table, chain, item.line, family)
            )

    def _chain(self, item: ChainItem, table: Table, family: Family) -> None:
        chain = table.chains.get(item.name)
        builtin = item.name in BUILTIN_CHAINS[table.name]
        if chain is None:
            chain = table.chains[item.name] = Chain(
                table.name, item.name, "ACCEPT" if builtin else None, line=item.line
            )
        chain.counters, chain.declared, chain.references = item.counters, True, item.references
        if builtin and item.policy in commands.POLICIES:
            chain.policy = item.policy
            self.policies.add((family, table.name, item.name))

    def _home(self, table: Table, name: str, line: int) -> Chain:
        """Return a chain; it is created at its first mention."""
        chain = table.chains.get(name)
        if chain is None:
            builtin = name in BUILTIN_CHAINS[table.name]
            policy = "ACCEPT" if builtin else None
            chain = table.chains[name] = Chain(table.name, name, policy, line=line, declared=False)
            if table.name in self._later:
                chain.rules.append(gap(table.name, name, self._later[table.name]))
        return chain

    def _rule(self, item: RuleItem, table: Table, binder: RuleBinder) -> None:
        assert item.chain is not None
        chain = self._home(table, item.chain, item.line)
        last = chain.rules[-1].position if chain.rules else 0
        missing = item.position and item.position > last + 1 and (not chain.rules or last)
        if missing and not self._traced:
            chain.rules.append(gap(table.name, chain.name, item.line))
        words = [Word("-A", "-A", 0, 0), Word(chain.name, chain.name, 0, 0), *item.words]
        by_hand = (binder.family, table.name) in self._files
        why = self.maker.refusal(item, binder.family, table) if by_hand else ""
        for rule in self.maker.rules(words, chain, item, binder, item.hidden, why):
            rule.position = last + 1 if item.position is None else item.position
            last = rule.position
            chain.rules.append(rule)

    def _command(self, item: CommandItem, table: Table, family: Family, binder: RuleBinder) -> None:
        """Apply a command.

        Raises:
            commands.CommandError: it cannot be applied.
        """
        action, *arguments = (word.text for word in item.words)
        letter = command_letter(action)
        name = arguments[0] if arguments else None
        # iptables itself never prints a rule that it refuses
        by_hand = not item.text.startswith("-") or (family, table.name) in self._files
        why = self.maker.refusal(item, family, table) if by_hand else ""
        if letter == "P" and len(arguments) > 1 and item.hidden:
            if self._home(table, arguments[0], item.line).policy != arguments[1]:
                self._perhaps[family, table.name, arguments[0]] = item
        elif letter == "P" and len(arguments) > 1:
            self._perhaps.pop((family, table.name, arguments[0]), None)
            self._chain(ChainItem(arguments[0], arguments[1], None, item.line), table, family)
        elif letter == "N" and name:
            self._home(table, name, item.line).declared = True
            self._known.add((family, table.name, name))
        elif letter == "F":
            self._known.add((family, table.name, name or ""))
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
            self._change(letter, name, item, table, family, binder, why)

    def _change(
        self,
        letter: str,
        name: str,
        item: CommandItem,
        table: Table,
        family: Family,
        binder: RuleBinder,
        refused: Text,
    ) -> None:
        """Append, insert, delete or replace (A, I, D or R) a rule of a chain.

        Raises:
            commands.CommandError: it cannot be done.
        """
        words, number = list(item.words), None
        base = name.removesuffix("_direct")
        if base != name and base in BUILTIN_CHAINS[table.name] and name not in table.chains:
            if name in jumps(table):
                self._gap(GapItem(name, item.line, ""), table, family)
            else:  # firewalld's chain is not shown
                name, words[1] = base, Word(base, base, 0, 0)
        chain = self._home(table, name, item.line)
        if letter in "IDR" and len(words) > 2 and words[2].text.isdecimal():
            number = words.pop(2).text
        beyond = number is not None and int(number) > len(chain.rules) + (letter == "I")
        beyond = beyond and self._known.isdisjoint({(family, table.name, one) for one in ("", name)})
        hides_policy = (family, table.name, name) not in self.policies
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
        made = self.maker.rules(added, chain, item, binder, hidden, refused)
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

    def _check(self, table: Table) -> None:
        """Set the numbers of the rules made by commands, and mark those that the kernel would reject."""
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

    # -- what is not shown -------------------------------------------------------------------------

    def _ends(self, family: Family, table: Table) -> None:
        """Complete the chains that the text shows in part."""
        self._place_homeless(family, table)
        if (piece := self._fragments.get((family, table.name))) is not None:
            shown = {chain for one, name, chain in self.policies if (one, name) == (family, table.name)}
            open_ends(table, piece.filtered, shown, headless=piece.headless)

    def _finish(self, family: Family, table: Table) -> None:
        """Add what the chains of a table call, and what calls them."""
        piece = self._fragments.get((family, table.name))
        for chain in table.chains.values():
            item = self._perhaps.get((family, table.name, chain.name))
            if item is not None:
                reason = item.hidden[0].reason
                chain.rules.append(gap(table.name, chain.name, item.line, policy=True, reason=reason))
        if (family, table.name) in self._listed and table.lacks_rules:
            last = next(chain for chain in reversed(table.chains.values()) if chain.rules)
            self._gap(GapItem(last.name, last.rules[-1].line, "", later=True), table, family)
        self._callers(family, table)
        if (family, table.name) in self._printed:
            self._hide_chains(family, table)
        without_offloading(table)
        for name in [name for name in jumps(table) if name not in table.chains]:
            if find_target(name, 4) or find_target(name, 6):
                make_unknown(table, name)
            else:
                chain = table.chains[name] = Chain(table.name, name, declared=False)
                if piece is None or not piece.traced:
                    chain.rules.append(gap(table.name, name, 0, hidden_chain=True))

    def _place_homeless(self, family: Family, table: Table) -> None:
        """Put rules without a chain where they may belong: into each of the built-in chains."""
        items = [item for one, name, item in self._homeless if (one, name) == (family, table.name)]
        if not items:
            return
        binder = self.maker.binder(self.rulesets[family])
        built_in = _ANY_CHAIN.get(table.name, BUILTIN_CHAINS[table.name])
        free = [name for name in built_in if name not in table.chains]
        for name in free:
            fitting = [item for item in items if may_stand_in(name, item, family)]
            if not fitting:
                continue
            chain = self._home(table, name, items[0].line)
            chain.rules.append(gap(table.name, name, items[0].line))
            unknown = Hidden(
                words="in ?",
                reason=message("the chain of the rule, which is not shown"),
                settle=SHOW,
                place=("chain", name),
                told=message("if the rule is in this chain"),
            )
            for item in fitting:
                hidden = item.hidden if free == [name] else (*item.hidden, unknown)
                placed = item._replace(chain=name, hidden=hidden, position=item.position or 0)
                self._rule(placed, table, binder)
            chain.rules.append(gap(table.name, name, items[-1].line, policy=True))

    def _callers(self, family: Family, table: Table) -> None:
        """Make chains of well-known programs reachable if the rules that call them are not shown."""
        if (family, table.name) in self._files:
            return  # a file for iptables-restore is complete
        called, added = set(jumps(table)), set[str]()
        for name, places in list(callers(table)):
            chain = table.chains[name]
            if name in called or chain.references == 0:
                continue
            options, hidden = conditions_of_jump(table.name, name)
            words = plain_words((*options, "-j", name))
            for place in places:
                jump = RuleItem(place, words, chain.line, f"-j {name}", position=0, hidden=hidden)
                self._call(jump, table, self.maker.binder(self.rulesets[family]))
                added.add(place)
        open_beginnings(table, added)

    def _call(self, jump: RuleItem, table: Table, binder: RuleBinder) -> None:
        """Add a rule that calls a chain, unless the chain where it should be is shown as a whole."""
        assert jump.chain is not None
        known = table.chains.get(jump.chain)
        if known is None:
            self._rule(jump, table, binder)
            if table.name != "nat":
                table.chains[jump.chain].rules.append(gap(table.name, jump.chain, jump.line, policy=True))
        elif known.rules and is_gap(known.rules[-1].target):
            rest = known.rules.pop()
            self._rule(jump, table, binder)
            known.rules.append(rest)
            if known.rules and not is_gap(known.rules[0].target):
                known.rules.insert(0, gap(table.name, known.name, jump.line))
        elif not known.declared and known.name not in BUILTIN_CHAINS[table.name]:
            self._rule(jump, table, binder)  # only a part of a dump shows the chain

    def _hide_chains(self, family: Family, table: Table) -> None:
        for name in unknown_chains(table, dumped=(family, table.name) in self._dumped):
            chain = table.chains[name] = Chain(table.name, name, "ACCEPT", declared=False)
            chain.rules.append(self._hidden(table, chain, 0, family, hidden_chain=True))

    def _hidden(
        self, table: Table, chain: Chain, line: int, family: Family, *, hidden_chain: bool = False
    ) -> Rule:
        """Make the placeholder for a chain without rules; OUTPUT is assumed to accept the host's replies."""
        hidden = gap(table.name, chain.name, line, hidden_chain=hidden_chain)
        if (table.name, chain.name) != ("filter", "OUTPUT") or chain.policy == "DROP":
            return hidden
        words = plain_words(_NO_REPLY)
        item = RuleItem(chain.name, words, line, hidden.text, position=0)
        self._rule(item, table, self.maker.binder(self.rulesets[family]))
        hidden.matches = chain.rules.pop().matches
        return hidden
