"""The rule lines of a text: the grammar parses each shape once; a plan reads all further lines of that shape."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from iptsim.dump import commands
from iptsim.dump.binder import Binder
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.commands import CommandError
from iptsim.dump.complaints import Complaints
from iptsim.dump.extension_names import is_target_name, target_names
from iptsim.dump.open_tables import Tables
from iptsim.dump.plan import MAX_LISTED, TOO_MANY, BindError, Bound, Plan
from iptsim.dump.rule import Counters, Jump, Rule, rule_of_line
from iptsim.dump.ruleset import Chain, Table
from iptsim.dump.shapes import Kind, Shapes
from iptsim.dump.syntax import Line, counters_of, read_counters
from iptsim.dump.words import Word, split
from iptsim.extensions.base import Match, Target
from iptsim.extensions.hidden import Hidden, redacted_parts
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.unknown import unknown_target
from iptsim.languages import message

#: Limits of iptables-restore: bytes of a word, words of a line.
MAX_WORD, MAX_WORDS = 1023, 250
#: A line of up to this many characters has at most as many bytes as a word may have.
_SHORT = MAX_WORD // 4
#: The words of a chain's declaration: :NAME POLICY [packets:bytes].
_DECLARATION = 3
#: The number of rules that lines with -D, -C, -X and -E may search in total: each line may search all rules.
MAX_SEARCHED = 10_000_000
#: The number of line shapes that are cached.
_MAX_PLANS = 8192


class Known:
    """How to read the lines of known shapes, in dumps of one form.

    Attributes:
        binder: determines the roles of the words of a new shape.
        plans: how to read lines, by their shapes.
        keep: the words that determine a line's shape.
        shapes: the frequent shapes.
        lines: the number of lines of the texts that were read.
    """

    def __init__(self, form: ListingForm) -> None:
        self.binder = Binder(form)
        self.plans: dict[tuple[str | None, ...], Plan] = {}
        self.shapes = Shapes()
        # names of targets must be distinguished from names of chains at once
        self.keep: dict[str, str] = {word: word for word in ("!", "-", *target_names())}
        self.lines = 0


#: What earlier texts have shown, as the dumps of many hosts have the same shapes. A reading takes it out while it
#: lasts, so no two readings change it at the same time.
_KNOWN: dict[ListingForm, Known] = {}
#: It is forgotten after so many lines, as it keeps their values; at most this many forms are kept.
_MAX_LINES, _MAX_FORMS = 20_000, 8


def _known(form: ListingForm) -> Known:
    return _KNOWN.pop(form, None) or Known(form)


class RuleLines:
    """Reads the rule lines of one text into the open table.

    Args:
        form: of the dump.
        tables: the tables of the text.
        complaints: receives errors and warnings.
        redacted: whether redacted Ethernet addresses are unknown conditions, not errors.
    """

    def __init__(
        self, form: ListingForm, tables: Tables, complaints: Complaints, *, redacted: bool = False
    ) -> None:
        self.redacted = redacted
        self.tables = tables
        self.complaints = complaints
        self.targets = frozenset(target_names())
        self.form, self.known = form, _known(form)
        #: the number of rules made from lists of addresses
        self.from_lists = 0
        #: the number of rules that commands have searched
        self.searched = 0

    def use(self, form: ListingForm) -> None:
        """Read the following lines as those of a dump of this form."""
        self.keep_known(0)
        self.form, self.known = form, _known(form)

    def keep_known(self, lines: int) -> None:
        """Keep what is known about shapes for other texts, after the last line of this text, of so many lines."""
        self.known.lines += lines
        if self.known.lines <= _MAX_LINES:
            if len(_KNOWN) >= _MAX_FORMS:
                _KNOWN.clear()
            _KNOWN[self.form] = self.known

    def read_known(self, text: str, at: int, number: int) -> tuple[int, int]:
        """Read lines by the pattern of all frequent shapes.

        Args:
            text: the whole text.
            at: the start of a line.
            number: how many lines are before it.

        Returns:
            The start of the first line that is of another shape, or not valid, and how many lines are before it.
        """
        tables, source = self.tables, self.complaints.source
        table = tables.table
        assert table is not None
        chains, builtin, targets = table.chains, frozenset(BUILTIN_CHAINS[table.name]), self.targets
        shapes = self.known.shapes.by_group
        for found in self.known.shapes.lines.finditer(text, at):
            shape, end = shapes.get(found.lastindex), found.end()
            if shape is None or end - at > _SHORT:
                break
            values = shape.values(found)
            name, second, checked = values[0], values[1], values[2:]
            plan = shape.plan
            if plan is None:
                if not tables.declare_alike(name, shape.policy, counters_of(second), number + 1):
                    break
            else:
                chain, callee = chains.get(name), ""
                if chain is None or name in plan.misplaced or name in tables.shared:
                    break
                if plan.jump is not None:
                    called = chains.get(second)
                    if called is None or second in builtin or (second in targets and not plan.goto):
                        break
                    # the rules share the names of the chains
                    callee = called.name
                begin, counters = at, None
                if shape.counters:
                    begin, counters = found.end(shape.counters) + 1, counters_of(found[shape.counters])
                doubted = shape.accepted.get(checked)
                if doubted is None:
                    doubted = _accept(plan, text[begin : end - 1])
                    if doubted is None:
                        break
                    shape.accepted[checked] = doubted
                rules = chain.rules
                rule = rule_of_line(
                    chain.table, chain.name, len(rules) + 1, callee, counters, source, number + 1, plan,
                    text, begin, end - 1,
                )  # fmt: skip
                rules.append(rule)
                if doubted:
                    tables.doubt(rule, doubted, plan.protocol)
            at, number = end, number + 1
        return at, number

    def read_alike(self, line: str, number: int) -> bool:
        """Read a line by its words; return whether its shape is known and it is valid."""
        short = len(line) <= MAX_WORD and (len(line) <= _SHORT or line.isascii())
        words = split(line) if short else None
        if not words:
            return False
        if line[0] == ":":
            return self._declare_alike(words, number)
        table = self.tables.table
        assert table is not None
        counters = None
        if line[0] == "[":
            counters = read_counters(words.pop(0))
            if counters is None or not words:
                return False
            line = line.partition("]")[2]
        hidden = self._take_redacted(words, words, number)
        plan = self.known.plans.get(tuple(map(self.known.keep.get, words)))
        if plan is None:
            return False
        if hidden:
            try:
                self._command(plan, words, plan.run(words), counters, number, hidden)
            except BindError:
                return False
            return True
        name = words[plan.arguments[0]]
        self.tables.own(name)
        chain = table.chains.get(name)
        if chain is None or name in plan.misplaced:
            return False
        doubted = _accept(plan, words)
        if doubted is None:
            return False
        callee = ""
        if plan.jump is not None:
            called = table.chains.get(words[plan.jump])
            if called is None or called.name in BUILTIN_CHAINS[table.name]:
                return False
            callee = called.name
        rule = rule_of_line(
            table.name, chain.name, len(chain.rules) + 1, callee, counters, self.complaints.source, number, plan,
            line, 0, len(line),
        )  # fmt: skip
        chain.rules.append(rule)
        if doubted:
            self.tables.doubt(rule, doubted, plan.protocol)
        self.known.shapes.count(Kind(plan, counters is not None))
        return True

    def _declare_alike(self, words: list[str], number: int) -> bool:
        if len(words) != _DECLARATION or words[1] not in self.tables.policies:
            return False
        name, policy, counters = words[0][1:], words[1], read_counters(words[2])
        try:
            commands.check_name(name)
        except CommandError:
            return False
        done = counters is not None and self.tables.declare_alike(name, policy, counters, number)
        if done:
            self.known.shapes.count(Kind(None, policy=policy))
        return done

    def read(self, line: Line, text: str, number: int) -> None:
        """Apply a line that the grammar has parsed, and cache its shape.

        Raises:
            DumpSyntaxError: the line is invalid.
        """
        self.tables.open_by_rule(text, number)
        words = list(line.words)
        self._check_sizes(words, number)
        hidden = self._take_redacted(words, [word.text for word in words], number)
        try:
            plan = self.known.binder.plan(words)
            if plan.ignored:
                return
            texts = [word.text for word in words]
            bound = plan.run(texts)
            counters = plan.read_counters(texts) or line.counters
            self._command(plan, texts, bound, counters, number, hidden)
        except BindError as error:
            place = _part(words[error.at], error.item, error.column)
            raise self.complaints.error(error.message, number, place.columns, error.hint) from None
        known = self.known
        if plan.command == "A" and plan.cacheable and not plan.counters and len(known.plans) < _MAX_PLANS:
            for index in plan.keep:
                known.keep[texts[index]] = texts[index]
            plan.settle(texts, bound)
            known.plans[tuple(map(known.keep.get, texts))] = plan

    def _take_redacted(
        self, line: list[str] | list[Word], words: Sequence[str], number: int
    ) -> tuple[Hidden, ...]:
        """Remove the conditions of an appended rule that are redacted, and return them."""
        if not self.redacted or words[0] != "-A":
            return ()
        parts = redacted_parts(words, number)
        for part, _ in reversed(parts):
            del line[part]
        return tuple(condition for _, condition in parts)

    def _check_sizes(self, words: Sequence[Word], number: int) -> None:
        if len(words) > MAX_WORDS:
            raise self.complaints.error(
                message(
                    "the line has more than {max_words} words, the most that iptables-restore accepts",
                    max_words=MAX_WORDS,
                ),
                number,
                words[MAX_WORDS].columns,
            )
        for word in words:
            if len(word.text) > MAX_WORD:
                raise self.complaints.error(
                    message(
                        "the word is longer than {max_word} characters, the most that iptables-restore accepts",
                        max_word=MAX_WORD,
                    ),
                    number,
                    word.columns,
                )

    def _command(
        self,
        plan: Plan,
        words: Sequence[str],
        bound: Bound,
        counters: Counters | None,
        number: int,
        hidden: tuple[Hidden, ...],
    ) -> None:
        """Apply a line's command.

        Raises:
            BindError: it cannot be applied.
        """
        table = self.tables.table
        assert table is not None
        names = [words[index] for index in plan.arguments]
        name = names[0] if names else None
        second = names[1] if len(names) > 1 else None
        self.tables.edited = self.tables.edited or plan.command != "A"
        if plan.command in "EXFZ":
            self.tables.own_all()
        elif name is not None and plan.command != "C":
            self.tables.own(name)
        if plan.command in "DCXE":
            self._count_searched(plan, table, name or "")
        try:
            if plan.command in "ADCIR":
                assert name is not None
                chain = commands.find_chain(table, name, number)
                if chain.name in plan.misplaced:
                    at = plan.misplaced[chain.name]
                    raise BindError(
                        message("{words} can't be used in {name}", words=words[at], name=chain.name), at
                    )
                rules = self._rules(plan, bound, chain, counters, number, hidden)
                _change(plan.command, chain, rules, second)
                doubted = plan.doubts(bound)
                for rule in rules if doubted else ():
                    self.tables.doubt(rule, doubted, plan.protocol)
            elif plan.command == "P":
                commands.set_policy(table, name or "", second or "", counters, number)
            elif plan.command == "N":
                self.tables.check_unused(name or "")
                commands.new_chain(table, name or "", number)
            elif plan.command == "E":
                commands.rename_chain(table, name or "", second or "")
            elif plan.command == "X":
                commands.delete_chain(table, name)
            elif plan.command == "F":
                commands.flush(table, name)
            elif plan.command == "Z":
                commands.zero(table, name, second)
            else:
                self.complaints.warn(
                    number, message("ignored -{command}, which only lists rules", command=plan.command)
                )
        except CommandError as error:
            at = plan.command_at if error.argument is None else plan.arguments[error.argument]
            raise BindError(error.message, at, error.hint) from None

    def _count_searched(self, plan: Plan, table: Table, name: str) -> None:
        """Count the rules that a command searches for those of a chain, or for jumps to it.

        Raises:
            BindError: the lines of the dump have searched too many rules.
        """
        searched = table.chains.values() if plan.command in "XE" else filter(None, [table.chains.get(name)])
        self.searched += sum(len(chain.rules) + 1 for chain in searched)
        if self.searched > MAX_SEARCHED:
            raise BindError(
                message(
                    "the lines with -D, -C, -X and -E search more than {max_searched:,} rules",
                    max_searched=MAX_SEARCHED,
                ),
                plan.command_at,
                message("load the file, and save the rules with iptables-save"),
            )

    def _rules(
        self,
        plan: Plan,
        bound: Bound,
        chain: Chain,
        counters: Counters | None,
        number: int,
        hidden: tuple[Hidden, ...],
    ) -> list[Rule]:
        """Make the rules of a line: one per pair of source and destination."""
        target, table = bound.target, self.tables.table
        assert table is not None
        if plan.jump is not None:
            target = self._resolve(plan, plan.jump, target, number)
        for step in plan.unknown:
            name = step.name[3:]
            if step is plan.target and name in table.chains:
                raise BindError(
                    message("unknown option"),
                    step.raw[0],
                    message("{name} is a chain and takes no options", name=name),
                )
            if step.extension.status == "unknown":
                self.complaints.warn_unknown(step.name, number)
        if len(bound.parameters) > 1:
            self.from_lists += len(bound.parameters)
            if self.from_lists > MAX_LISTED:
                at = plan.parameters.clauses[0].at
                raise BindError(
                    message(
                        "the lists of addresses up to here expand to {from_lists:,} rules",
                        from_lists=self.from_lists,
                    ),
                    at,
                    TOO_MANY,
                )
        if hidden:
            self.complaints.note_redacted(number)
        return [
            Rule(
                chain.table,
                chain.name,
                0,
                model,
                (*bound.matches, *hidden),
                target,
                counters,
                self.complaints.source,
                number,
            )
            for model in bound.parameters
        ]

    def _resolve(self, plan: Plan, at: int, target: Target | Jump | None, number: int) -> Target | Jump:
        """Return the chain or unknown target for a name after `-j` or `-g`.

        Raises:
            BindError: there is none, or rules cannot jump to that chain.
        """
        table = self.tables.table
        assert table is not None
        assert isinstance(target, Jump)
        name = target.chain
        if name in BUILTIN_CHAINS[table.name]:
            raise BindError(message("{name} is a built-in chain; rules can't jump to it", name=name), at)
        if name in table.chains:
            return target
        if is_target_name(name) and not plan.goto:
            made = unknown_target(name)(name=name)
            if made.status == "unknown":
                self.complaints.warn_unknown(f"-j {name}", number)
            return made
        raise BindError(
            message("table {name2} has no chain {name}", name=name, name2=table.name),
            at,
            partial(commands.chain_hint, table, name),
        )


def _accept(plan: Plan, line: str | list[str]) -> tuple[Match | Target, ...] | None:
    """Check the values of a line, or of its words: as :meth:`Plan.accept`, but None for invalid values, too."""
    words = split(line) if isinstance(line, str) else line
    try:
        return None if words is None else plan.accept(words)
    except BindError:
        return None


def _part(word: Word, item: str, column: int | None) -> Word:
    """Return the part of a word that an error is about, such as an item of its list or its end."""
    if column is not None and word.raw == word.text:
        return word._replace(
            start=min(word.start + column, word.end), end=max(word.end, word.start + column + 1)
        )
    found = re.search(rf"(?<![^,:]){re.escape(item)}(?![^,:])", word.raw, re.IGNORECASE) if item else None
    return word._replace(start=word.start + found.start(), end=word.start + found.end()) if found else word


def _change(command: str, chain: Chain, rules: list[Rule], number: str | None) -> None:
    """Append, insert, replace, delete or look for rules of a chain (A, I, R, D or C).

    Raises:
        CommandError: it cannot be done.
    """
    if command == "A":
        for rule in rules:
            rule.position = len(chain.rules) + 1
            chain.rules.append(rule)
    elif command == "I":
        commands.insert(chain, rules, number)
    elif command == "R":
        commands.replace(chain, rules, number or "")
    elif command == "D":
        commands.delete(chain, rules, number)
    else:
        for rule in rules:
            commands.find_rule(chain, rule)
