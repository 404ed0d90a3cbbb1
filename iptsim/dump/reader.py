"""Reads the text of iptables-save, of files for iptables-restore, and of `iptables -S`, into a Ruleset."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path

from iptsim.dump import commands
from iptsim.dump.binder import Binder, is_target_name, nearest_match, nearest_target, target_names
from iptsim.dump.checks import Doubt, doubt, objections
from iptsim.dump.commands import CommandError
from iptsim.dump.header import guess_family, read_header, warns_of_legacy
from iptsim.dump.plan import MAX_LISTED, TOO_MANY, BindError, Bound, Hint, Plan
from iptsim.dump.ruleset import BUILTIN_CHAINS, Chain, Counters, Jump, Rule, Ruleset, Table
from iptsim.dump.syntax import Line, parse_counters, read_line
from iptsim.dump.words import Word, split
from iptsim.errors import CaptureError, DumpErrors, DumpSyntaxError, Span, printable
from iptsim.extensions.base import Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.unknown import UnknownTarget
from iptsim.grammar import terminal
from iptsim.packet import Family
from iptsim.reading import read_file

#: How the output of `iptables -L` begins a chain.
_SHOWN = re.compile(r"^Chain \S+ \((?:policy \S+|[0-9]+ references)", re.MULTILINE)
_WANTED = "expected the output of iptables-save"
#: Limits of iptables-restore: octets of a line and of a word, words of a line.
MAX_LINE, MAX_WORD, MAX_WORDS = 10239, 1023, 250
#: How many errors of one dump are shown.
MAX_ERRORS = 10
#: After how many further ones the reader gives up.
MAX_COUNTED = 1000
#: How many rules that the kernel refuses, and extensions that iptsim does not know, are named.
MAX_REFUSED = MAX_UNKNOWN = 10
DECLARED_FIRST = "declare the chain above all rules"
#: Words of a chain's line: :NAME POLICY [packets:octets].
DECLARATION = 3
#: How many line shapes are remembered.
_MAX_PLANS = 8192

#: Through how many rules the lines with -D, -C, -X and -E may look: each of them goes through all there are.
MAX_SEARCHED = 10_000_000

#: Blanks before a line.
_INDENTED = re.compile(r"(?m)^[ \t]+")


def load(
    path: str | Path,
    *,
    family: Family | None = None,
    lenient: bool = False,
    table: str = "filter",
    onto: Ruleset | None = None,
) -> Ruleset:
    """Read a dump from a file. The arguments are those of :func:`loads`.

    Raises:
        CaptureError: the file can't be read, or is no text.
        DumpSyntaxError: a line that iptables-restore would not take.
        DumpErrors: several of them.
    """
    return loads(
        decode(read_file(path), str(path), lenient),
        source=str(path),
        family=family,
        lenient=lenient,
        table=table,
        onto=onto,
    )


def decode(data: bytes, source: str, lenient: bool = False) -> str:
    """Return the text of a dump's octets; with `lenient`, U+FFFD stands for what is not UTF-8.

    Raises:
        CaptureError: not UTF-8.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CaptureError(f"{source}: the text is UTF-16, as Windows tools write it; save it as UTF-8")
    try:
        return data.decode("utf-8", "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CaptureError(
            f"{source}:{line}: octet {data[error.start]:#04x} is not UTF-8; is this a dump?"
        ) from None


def loads(
    text: str,
    *,
    source: str = "<string>",
    family: Family | None = None,
    lenient: bool = False,
    table: str | None = None,
    onto: Ruleset | None = None,
) -> Ruleset:
    """Read a dump from a text.

    Args:
        text: the output of `iptables-save`, `ip6tables-save` or `iptables -S`, or what iptables-restore takes.
        source: the file's name, for messages.
        family: 4 or 6; without it, as the header says or the addresses show.
        lenient: skip what is no line of a dump (prompts, other output) with a warning instead of an error.
            Rules that can't be read are errors all the same.
        table: the table that an `iptables -S` listing shows; without it, as the chains with a policy tell.
        onto: the rules that are loaded already: the text is taken as `iptables-restore --noflush` takes it,
            and what comes out are both together. They stay as they are.

    Raises:
        DumpSyntaxError: a line that iptables-restore would not take.
        DumpErrors: several of them.
    """
    return _Reader(source, family, lenient, table, onto).read(text)


class _Reader:
    """The state of one reading."""

    def __init__(
        self, source: str, family: Family | None, lenient: bool, table: str | None, onto: Ruleset | None
    ) -> None:
        self.source = source
        self.wanted = onto.family if onto else family
        #: what the text says is added to rules that are there
        self.onto = onto is not None
        self.lenient = lenient
        #: the table of a listing, None: as its policies tell
        self.wanted_table = table
        self.ruleset = commands.copy(onto) if onto else Ruleset(source=source)
        self.warnings = self.ruleset.warnings
        self.errors: list[DumpSyntaxError] = []
        self.more_errors = 0
        self.comments: list[str] = []
        self.table: Table | None = None
        #: the open table was not named by a line `*table`: the text is a listing
        self.listing = False
        #: the tables that listings showed
        self.listed: set[str] = set()
        #: the blocks that follow belong to the other address family
        self.foreign = False
        #: the open block is passed over
        self.skipping = False
        #: rules of the open table of which only the whole table shows whether the kernel takes them
        self.doubtful: list[Doubt] = []
        #: rules that the kernel refuses
        self.refused = 0
        #: how many rules the lists of addresses made
        self.from_lists = 0
        #: through how many rules commands have looked
        self.searched = 0
        #: how many extensions are unknown
        self.unknown = 0
        #: the open table's rules are not just appended
        self.edited = False
        #: lines that are none of a dump were passed over
        self.skipped = False
        self.named: set[str] = set()
        #: how lines are read, by their shapes; None for the declaration of a chain
        self.plans: dict[tuple[str | None, ...], Plan | None] = {}
        #: the words that make a line's shape; names of targets must be told from names of chains at once
        self.keep: dict[str, str] = {word: word for word in ("!", "-", *target_names())}
        self.is_counters = terminal("dump", "COUNTERS").fullmatch

    def read(self, text: str) -> Ruleset:
        text = self._clean(text)
        lines = text.split("\n")
        if lines[-1] == "":
            lines.pop()
        self.lines = lines
        self.ruleset.family = self.wanted or guess_family(text)
        self.binder = Binder(self._form())
        self._read_lines()
        if self.table is not None:
            if not self.listing:
                self._fail(
                    f"table {self.table.name} is not finished",
                    len(lines),
                    lines[-1],
                    hint="expected COMMIT; was the file cut off?",
                )
            self._close()
        if self.skipped and not self.ruleset.tables:
            self._fail("none of the lines is one of a dump", 1, lines[0], hint=_WANTED)
        if not self.onto:
            self.ruleset.trailer = tuple(self.comments)
        if self.refused > MAX_REFUSED:
            self.warnings.append(f"... and {self.refused - MAX_REFUSED} more rules that the kernel refuses")
        if self.unknown > MAX_UNKNOWN:
            more = self.unknown - MAX_UNKNOWN
            self.warnings.append(f"... and {more} more extensions that iptsim does not know")
        self.errors.sort(key=lambda error: error.span.line)
        if len(self.errors) == 1 and not self.more_errors:
            raise self.errors[0]
        if self.errors:
            raise DumpErrors(self.errors, self.more_errors)
        return self.ruleset

    # -- errors -----------------------------------------------------------------------------------

    def _fail(
        self, message: str, number: int, line: str, start: int = 0, end: int | None = None, hint: str = ""
    ) -> None:
        span = Span(self.source, number, start, len(line) if end is None else end)
        self._add(DumpSyntaxError(message, span, line, hint))

    def _warn(self, number: int, text: str) -> None:
        self.warnings.append(printable(f"line {number}: {text}"))

    def _add(self, error: DumpSyntaxError) -> None:
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(error)
        else:
            self.more_errors += 1

    def _clean(self, text: str) -> str:
        """Refuse, or with `lenient` repair, what no line of a dump can hold."""
        nul = text.find("\0")
        if nul >= 0:
            number = text.count("\n", 0, nul) + 1
            raise DumpSyntaxError("a NUL character: this is no text", Span(self.source, number))
        if text.startswith("\ufeff"):
            if not self.lenient:
                raise DumpSyntaxError(
                    "the text begins with a byte order mark",
                    Span(self.source, 1),
                    hint="iptables-restore refuses it; save the file as UTF-8 without BOM",
                )
            self._warn(1, "the text began with a byte order mark")
            text = text[1:]
        at = text.find("\r\n")
        if at >= 0:
            number = text.count("\n", 0, at) + 1
            if not self.lenient:
                line = text[text.rfind("\n", 0, at) + 1 : at]
                raise DumpSyntaxError(
                    "the line ends with a carriage return, as Windows tools write it",
                    Span(self.source, number, len(line), len(line) + 1),
                    line,
                    "iptables-restore refuses such a file; convert it with dos2unix, or read it with --lenient",
                )
            self._warn(number, "this line and others ended with a carriage return")
            text = text.replace("\r\n", "\n")
        # looking for the word first is faster by far
        shown = _SHOWN.search(text) if "Chain " in text and not self.lenient else None
        if shown:
            number = text.count("\n", 0, shown.start()) + 1
            raise DumpSyntaxError(
                "this is what iptables -L prints; it leaves out parts of the rules",
                Span(self.source, number, 0, len(shown.group())),
                text[shown.start() :].partition("\n")[0],
                _WANTED,
            )
        indented = _INDENTED.search(text) if self.lenient else None
        if indented:
            self._warn(text.count("\n", 0, indented.start()) + 1, "this line and others began with blanks")
            text = _INDENTED.sub("", text)
        return text

    def _form(self) -> ListingForm:
        return ListingForm.of(self.ruleset.version, self.ruleset.backend, self.ruleset.family)

    # -- lines ------------------------------------------------------------------------------------

    def _read_lines(self) -> None:
        for number, line in enumerate(self.lines, 1):
            first = line[:1]
            if (
                first in "-:["
                and line
                and self.table is not None
                and not self.skipping
                and self._known_shape(self.table, line, number)
            ):
                continue
            if first == "#":
                self._comment(line, number)
            elif self.lenient and line and first not in "*:[-" and line != "COMMIT":
                self.skipped = True
                self._warn(number, "skipped, for it is no line of a dump")
            elif first == "*" or line == "COMMIT" or (line and not self.skipping):
                self._by_grammar(line, number)
            if self.more_errors >= MAX_COUNTED:
                return

    def _known_shape(self, table: Table, line: str, number: int) -> bool:
        """Read a line of a shape that was parsed before; return whether there is one and that went well."""
        if len(line) > MAX_WORD or (len(line) > MAX_WORD // 4 and not line.isascii()):
            return False
        words = split(line)
        if words is None:
            return False
        counters = None
        if line[0] == "[":
            if not self.is_counters(words[0]):
                return False
            counters = parse_counters(words.pop(0))
        shape = tuple(map(self.keep.get, words))
        plan = self.plans.get(shape, self)
        if plan is self:
            return False
        if not isinstance(plan, Plan):
            return line[0] == ":" and self._declared(table, words, number)
        name = words[plan.arguments[0]]
        chain = table.chains.get(name)
        if chain is None or name in plan.misplaced:
            return False
        try:
            accepted = plan.accept(words)
        except BindError:
            return False
        if accepted is None:
            return False
        target, doubted = accepted
        if type(target) is Jump and (
            target.chain not in table.chains or target.chain in BUILTIN_CHAINS[table.name]
        ):
            return False
        if counters is not None:
            line = line.partition("]")[2]
        rules = chain.rules
        place, origin = (table.name, name, len(rules) + 1), (self.source, number)
        rule = Rule.of_line(place, target, counters, origin, plan, line)
        rules.append(rule)
        if doubted:
            self.doubtful.append(Doubt(rule, doubted, plan.protocol))
        return True

    def _declared(self, table: Table, words: list[str], number: int) -> bool:
        """Declare a chain by a line of a known shape; return whether it can be declared so."""
        name, policy, counters = words
        name = name[1:]
        if name in table.chains or (policy == "-") is (name in BUILTIN_CHAINS[table.name]) or self.named:
            return False
        try:
            commands.check_name(name)
        except CommandError:
            return False
        if not self.is_counters(counters):
            return False
        chain = Chain(
            table.name, name, None if policy == "-" else policy, parse_counters(counters), [], number
        )
        table.chains[name] = chain
        return True

    def _comment(self, line: str, number: int) -> None:
        header = read_header(line)
        if header is not None:
            self.foreign = header.family not in (None, self.ruleset.family)
            if self.foreign and "family" not in self.named:
                self.named.add("family")
                self._warn(
                    number,
                    f"the tables of IPv{header.family} that begin here were left out;"
                    f" this is the IPv{self.ruleset.family} ruleset",
                )
            if not self.foreign and self.ruleset.version is None and not self.onto:
                self.ruleset.version, self.ruleset.backend = header.version, header.backend
                self.binder.form = self._form()
        elif warns_of_legacy(line):
            self._warn(
                number, "the host also has rules of iptables-legacy; they apply too and are not in this dump"
            )
        if self.table is None and not self.foreign and not self.onto:
            self.comments.append(line)

    def _by_grammar(self, text: str, number: int) -> None:
        """Read one line with the grammar, and note what is wrong with it."""
        try:
            if len(text) > MAX_LINE:
                raise DumpSyntaxError(
                    f"the line is longer than the {MAX_LINE} characters that iptables-restore reads",
                    Span(self.source, number, MAX_LINE, MAX_LINE + 1),
                    text[: MAX_LINE + 1],
                )
            line = read_line(text, self.source, number)
            if line.kind == "table":
                self._begin(line, text, number)
            elif line.kind == "commit":
                self._commit(text, number)
            elif self.skipping:
                return
            elif line.kind == "chain":
                self._chain(line, text, number)
                if line.counters is not None and len(text.split()) == DECLARATION:
                    self.plans[None, self.keep.get(line.words[1].text), None] = None
            elif line.kind == "rule":
                self._rule(line, text, number)
        except DumpSyntaxError as error:
            self._add(error)

    def _error(
        self, message: str, text: str, number: int, word: Word | None = None, hint: Hint = ""
    ) -> DumpSyntaxError:
        start, end = (word.start, word.end) if word else (0, len(text))
        if not isinstance(hint, str):
            hint = hint() if len(self.errors) < MAX_ERRORS else ""
        return DumpSyntaxError(message, Span(self.source, number, start, end), text, hint)

    # -- tables -----------------------------------------------------------------------------------

    def _begin(self, line: Line, text: str, number: int) -> None:
        name = line.words[0]
        if self.table is not None and not self.listing:
            unfinished = self.table.name
            self._close()
            self._add(
                self._error(
                    f"table {unfinished} is not finished", text, number, hint="expected COMMIT before"
                )
            )
        elif self.table is not None:
            self._close()
        if name.text not in BUILTIN_CHAINS:
            self.table = Table("filter")  # so that the rest of the block makes no further errors
            self.skipping = True
            raise self._error(
                f"there is no table {name.text}",
                text,
                number,
                name,
                f"expected one of {', '.join(BUILTIN_CHAINS)}",
            )
        self.listing, self.skipping = False, self.foreign
        table = Table(name.text, comments=tuple(self.comments), line=number)
        self.comments.clear()
        if self.skipping:
            self.table = table
            return
        before = self.ruleset.tables.get(name.text)
        if before is not None and self.onto:
            self.table, self.edited = before, True
            return
        if before is not None:
            self._warn(
                number,
                f"table {name.text} stands twice (before in line {before.line});"
                " the second one replaces the rules of the first",
            )
            table.comments = before.comments or table.comments
            if self.ruleset.backend == "legacy":
                kept = [chain for chain in before.chains.values() if chain.builtin]
                table.chains = {chain.name: dataclasses.replace(chain, rules=[]) for chain in kept}
        self.table = self.ruleset.tables[name.text] = table

    def _commit(self, text: str, number: int) -> None:
        if self.table is None:
            raise self._error("COMMIT without a table", text, number, hint="expected *TABLE before")
        self._close()

    def _close(self) -> None:
        """Finish the open table: check what only the whole table shows."""
        table = self.table
        assert table is not None
        if self.edited:
            commands.renumber(table)
            self.doubtful = [doubt(rule) for rule in table.rules()]
        for rule, name, reason, early in objections(table, self.doubtful) if self.doubtful else ():
            if early and rule.source == self.source:
                text = self.lines[rule.line - 1]
                start = max(text.find(name), 0)
                self._fail(reason, rule.line, text, start, start + len(name))
            elif not rule.refused:
                rule.refused = reason
                self._warn_refused(rule)
        self.doubtful = []
        self.edited = False
        self.table = None
        self.listing = self.skipping = False

    def _warn_refused(self, rule: Rule) -> None:
        """Say that a rule is none for the kernel, of the first few."""
        self.refused += 1
        if self.refused <= MAX_REFUSED:
            self._warn(
                rule.line,
                f"{rule.refused}; the kernel refuses such a rule, and iptables-restore fails;"
                " here packets pass the rule by",
            )

    def _chain(self, line: Line, text: str, number: int) -> None:
        table = self.table
        if table is None:
            raise self._error("a chain outside a table", text, number, hint="expected *TABLE before")
        name, policy = line.words[:2]
        if name.text in BUILTIN_CHAINS[table.name]:
            if policy.text not in (*commands.POLICIES, "-"):
                raise self._error(
                    f"{policy.text} is no policy", text, number, policy, "expected ACCEPT or DROP"
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
                raise self._error(
                    f"only a built-in chain has a policy, not {name.text}",
                    text,
                    number,
                    policy,
                    f"expected :{name.text} - [0:0]",
                )
            self._warn(number, f"only a built-in chain has a policy; {name.text} has none")
        before = table.chains.get(name.text)
        if before is not None and (self.onto or not legacy):
            if not self.onto:
                self._warn(
                    number,
                    f"chain {name.text} is declared twice (before in line {before.line});"
                    " the second time empties it",
                )
            before.rules, before.line, before.counters = [], number, line.counters
            self.edited = True
            return
        try:
            if before is not None:
                raise CommandError(
                    f"chain {name.text} is declared twice (before in line {before.line})",
                    hint="iptables-legacy-restore refuses that",
                )
            commands.check_name(name.text)
            self._check_unused(name.text)
        except CommandError as error:
            raise self._error(error.message, text, number, name, error.hint) from None
        table.chains[name.text] = Chain(table.name, name.text, None, line.counters, [], number)

    def _check_unused(self, name: str) -> None:
        """Refuse a chain that a rule above took for an unknown target.

        Raises:
            CommandError: it did.
        """
        if f"-j {name}" in self.named:
            raise CommandError(f"a rule leads to chain {name} before it is declared", hint=DECLARED_FIRST)

    # -- rules ------------------------------------------------------------------------------------

    def _rule(self, line: Line, text: str, number: int) -> None:
        if self.listing and text.startswith("-P ") and not self.lines[number - 2].startswith("-P "):
            self._end_listing(text, number)
        if self.table is None:
            name = self._listed_table(number)
            again = name in self.listed and not text.startswith("-P ")
            if self.ruleset.tables.keys() - self.listed or again or name not in BUILTIN_CHAINS:
                raise self._error("a rule outside a table", text, number, hint="expected *TABLE before")
            if name in self.listed:
                self._warn(
                    number,
                    f"a listing of table {name} stands twice (before in line {self.ruleset.tables[name].line});"
                    " the second one replaces the rules of the first",
                )
            self.listing = True
            self.listed.add(name)
            self.ruleset.listed = True
            self.table = self.ruleset.tables[name] = Table(name, line=number)
        words = list(line.words)
        self._check_sizes(words, text, number)
        try:
            plan = self.binder.plan(words)
            if plan.ignored:
                return
            texts = [word.text for word in words]
            bound = plan.run(texts)
            counters = plan.read_counters(texts) or line.counters
            self._command(plan, texts, bound, counters, number)
        except BindError as error:
            place = _part(words[error.at], error.item, error.column)
            raise self._error(error.message, text, number, place, error.hint) from None
        if plan.command == "A" and plan.cacheable and not plan.counters and len(self.plans) < _MAX_PLANS:
            for index in plan.keep:
                self.keep[texts[index]] = texts[index]
            plan.settle(bound)
            self.plans[tuple(map(self.keep.get, texts))] = plan

    def _listed_table(self, number: int) -> str:
        """Return the table whose listing begins in a line: its built-in chains stand first, with their policies."""
        if self.wanted_table is not None:
            return self.wanted_table
        first = takewhile(lambda line: line.startswith("-P "), self.lines[number - 1 :])
        chains = {line.split()[1] for line in first if len(line.split()) > 1}
        if "POSTROUTING" in chains:
            return "mangle" if "FORWARD" in chains else "nat"
        return "raw" if "PREROUTING" in chains else "filter"

    def _end_listing(self, text: str, number: int) -> None:
        """Close the open table where another listing begins: of another table, or of this one once more."""
        table = self.table
        if table is None:
            return
        chain = table.chains.get(text.split()[1]) if len(text.split()) > 1 else None
        if self._listed_table(number) != table.name or (chain is not None and chain.declared):
            self._close()

    def _check_sizes(self, words: Sequence[Word], text: str, number: int) -> None:
        if len(words) > MAX_WORDS:
            raise self._error(
                f"the line has over {MAX_WORDS} words, more than iptables-restore takes",
                text,
                number,
                words[MAX_WORDS],
            )
        for word in words:
            if len(word.text) > MAX_WORD:
                raise self._error(
                    f"the word is longer than the {MAX_WORD} characters that iptables-restore takes",
                    text,
                    number,
                    word,
                )

    def _command(
        self, plan: Plan, words: Sequence[str], bound: Bound, counters: Counters | None, number: int
    ) -> None:
        """Carry out a line's command.

        Raises:
            BindError: it can't be.
        """
        table = self.table
        assert table is not None
        names = [words[index] for index in plan.arguments]
        name = names[0] if names else None
        second = names[1] if len(names) > 1 else None
        self.edited = self.edited or plan.command != "A"
        if plan.command in "DCXE":
            self.searched += sum(len(chain.rules) + 1 for chain in table.chains.values())
            if self.searched > MAX_SEARCHED:
                raise BindError(
                    f"the lines with -D, -C, -X and -E look through more than {MAX_SEARCHED:,} rules",
                    plan.command_at,
                    "load the file, and save the rules with iptables-save",
                )
        try:
            if plan.command in "ADCIR":
                assert name is not None
                chain = commands.find_chain(table, name, number)
                if chain.name in plan.misplaced:
                    at = plan.misplaced[chain.name]
                    raise BindError(f"{words[at]} can't be used in {chain.name}", at)
                rules = self._rules(plan, bound, chain, counters, number)
                if plan.command == "A":
                    for rule in rules:
                        rule.position = len(chain.rules) + 1
                        chain.rules.append(rule)
                elif plan.command == "I":
                    commands.insert(chain, rules, second)
                elif plan.command == "R":
                    commands.replace(chain, rules, second or "")
                elif plan.command == "D":
                    commands.delete(chain, rules, second)
                else:
                    for rule in rules:
                        commands.find_rule(chain, rule)
                doubted = plan.doubts(bound)
                if doubted:
                    self.doubtful += [Doubt(rule, doubted, plan.protocol) for rule in rules]
            elif plan.command == "P":
                commands.set_policy(table, name or "", second or "", counters, number)
            elif plan.command == "N":
                self._check_unused(name or "")
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
                self._warn(number, f"-{plan.command} only lists rules and was passed over")
        except CommandError as error:
            at = plan.command_at if error.argument is None else plan.arguments[error.argument]
            raise BindError(error.message, at, error.hint) from None

    def _rules(
        self, plan: Plan, bound: Bound, chain: Chain, counters: Counters | None, number: int
    ) -> list[Rule]:
        """Make the rules of a line: one per pair of addresses."""
        target = bound.target
        if plan.jump is not None:
            target = self._resolve(plan, plan.jump, target, number)
        for step in plan.unknown:
            name = step.name[3:]
            if self.table is not None and step is plan.target and name in self.table.chains:
                raise BindError("unknown option", step.raw[0], f"{name} is a chain, and takes no options")
            self._warn_unknown(step.name, number)
        if len(bound.parameters) > 1:
            self.from_lists += len(bound.parameters)
            if self.from_lists > MAX_LISTED:
                at = plan.parameters.clauses[0].at
                raise BindError(
                    f"the lists of addresses up to here stand for {self.from_lists:,} rules", at, TOO_MANY
                )
        return [
            Rule(chain.table, chain.name, 0, model, bound.matches, target, counters, self.source, number)
            for model in bound.parameters
        ]

    def _resolve(self, plan: Plan, at: int, target: Target | Jump | None, number: int) -> Target | Jump:
        """Return what a name after `-j` or `-g` that is no known target stands for.

        Raises:
            BindError: nothing, or a chain that can't be jumped to.
        """
        table = self.table
        assert table is not None
        assert isinstance(target, Jump)
        name = target.chain
        if name in BUILTIN_CHAINS[table.name]:
            raise BindError(f"{name} is a built-in chain; only a hook leads there", at)
        if name in table.chains:
            return target
        if is_target_name(name) and not plan.goto:
            self._warn_unknown(f"-j {name}", number)
            return UnknownTarget(name=name)
        raise BindError(
            f"there is no chain {name} in table {table.name}", at, partial(commands.chain_hint, table, name)
        )

    def _warn_unknown(self, name: str, number: int) -> None:
        """Say once that an extension is unknown."""
        if name in self.named:
            return
        self.named.add(name)
        self.unknown += 1
        if self.unknown > MAX_UNKNOWN:
            return
        hint = nearest_match(name[3:]) if name.startswith("-m") else nearest_target(name[3:])
        text = f"iptsim does not know {name}; what it does stays open"
        self._warn(number, f"{text} ({hint})" if hint else text)


def _part(word: Word, item: str, column: int | None) -> Word:
    """Return the part of a word, such as an item of its list or its end, that an error is about."""
    if column is not None and word.raw == word.text:
        return word._replace(
            start=min(word.start + column, word.end), end=max(word.end, word.start + column + 1)
        )
    found = re.search(rf"(?<![^,:]){re.escape(item)}(?![^,:])", word.raw, re.IGNORECASE) if item else None
    return word._replace(start=word.start + found.start(), end=word.start + found.end()) if found else word
