"""How the words of a rule line are read, once it is known which option each of them belongs to.

A :class:`Plan` serves all lines of one shape. Its steps read the values; equal values of equal steps are
read once, and the models are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from pydantic import ValidationError

from iptsim.dump.ruleset import Counters, Jump
from iptsim.extensions.base import Extension, Given, Match, Option, Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.values import NoSuchWord

#: Picks the value words of a step from a line; one word, or a tuple of them.
_Key = Callable[[Sequence[str]], Any]
#: Looks up what was read from them before.
_Known = Callable[[Any], Any]
_Parse = Callable[..., Any]


#: What would be right, for an error; a function where it is costly to find out.
Hint = str | Callable[[], str]


#: How many rules the lists of addresses of one dump may stand for. iptables-save prints each rule on a line
#: of its own, so only a file for iptables-restore has lists, and two of 511 addresses make 261,121 rules.
MAX_LISTED = 10_000
TOO_MANY = (
    f"iptsim takes {MAX_LISTED:,} in a dump; name networks or an ipset, or load the file and save the rules"
)


class BindError(Exception):
    """A word that can't stand where it stands.

    Attributes:
        message: what is wrong.
        at: index of the word, from 0.
        hint: what would be right; may be empty.
        item: the part of the word that is wrong; empty for all of it.
    """

    def __init__(self, message: str, at: int, hint: Hint = "", item: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint
        self.item = item


class Reading(NamedTuple):
    """What a step makes of its values.

    Attributes:
        model: the match, target or parameters.
        protocols: those of which the rule must name one, or None.
        placed: whether it is restricted to some tables or hooks.
    """

    model: Any
    protocols: frozenset[int] | None = None
    placed: bool = False


class Clause(NamedTuple):
    """One option in a rule line.

    Attributes:
        option: its row.
        negated: it stands behind a `!`.
        at: index of the option word.
        values: indexes of its value words.
    """

    option: Option
    negated: bool
    at: int
    values: tuple[int, ...]


class Misread(Exception):
    """A value that means nothing.

    Attributes:
        message, hint, item: as in :class:`BindError`.
        value: its place among the values of the step, None for the options as a whole.
    """

    def __init__(self, message: str, value: int | None = None, hint: Hint = "", item: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.value = value
        self.hint = hint
        self.item = item


class Recipe:
    """Makes the model of an extension from the values of given options.

    Args:
        extension: the model's class.
        rows: the options in the order written, and whether each is negated and how many words it has.
        form: the address family, and the iptables whose dump it is.

    Raises:
        ValueError: the options do not go together.
    """

    def __init__(
        self, extension: type[Extension], rows: tuple[tuple[Option, bool, int], ...], form: ListingForm
    ) -> None:
        self.extension = extension
        self.form = form
        self.rows = rows
        self.memo: dict[Any, Any] = {}
        self.limits = _limits(extension)
        #: for each option: its field, parser, the parser's arguments besides the words, how many words, constant
        self.readers: list[tuple[str, _Parse, tuple[int, ...], int, Any]] = [
            (
                option.field,
                option.value.parse if option.value else str,
                (form.family,) if option.value and option.value.needs_family else (),
                count,
                option.constant,
            )
            for option, _, count in rows
        ]
        #: the extension's own gather() sees the values, so it must be asked each time
        self.gathers = extension.gather.__func__ is not Extension.gather.__func__  # type: ignore[attr-defined]
        #: the fields that a value leaves without a condition
        self.idle = [(row[0].field, row[0].idle) for row in rows if row[0].idle is not None and not row[1]]
        #: the class says what a version of iptables keeps of it
        self.kept = extension.kept_by is not Extension.kept_by
        #: the fields that do not depend on words
        self.fixed: dict[str, Any] = {}
        if not self.gathers:
            fields = extension.gather(Given(option, option.constant, negated) for option, negated, _ in rows)
            self.fixed = {name: fields[name] for name in fields if name == "negated"}

    def make(self, texts: Sequence[str]) -> Reading:
        """Read the values.

        Raises:
            Misread: one means nothing, or they do not go together.
        """
        values: list[Any] = []
        fields = self.fixed.copy()
        at = 0
        try:
            for name, parse, more, count, constant in self.readers:
                if count == 1:
                    value = parse(texts[at], *more)
                elif count:
                    words = texts[at : at + count]
                    if any(word[:1] in ("-", "!") for word in words[1:]):
                        raise ValueError(f"{count} words belong here")
                    value = parse(*words, *more)
                else:
                    value = constant
                at += count
                values.append(value)
                fields[name] = value
        except NoSuchWord as error:
            wanted, near = expected(self.rows[len(values)][0]), error.nearest
            raise Misread(str(error), at, lambda: near() or wanted, error.word) from None
        except ValueError as error:
            raise Misread(str(error), at, expected(self.rows[len(values)][0])) from None
        try:
            if self.gathers:
                given = (Given(row[0], value, row[1]) for row, value in zip(self.rows, values, strict=True))
                fields = self.extension.gather(given)
            for name, idle in self.idle:
                if fields.get(name) == idle:
                    fields[name] = None
            model = self.extension(**fields)
            if self.kept:
                model = model.kept_by(self.form)
        except ValidationError as error:
            raise Misread(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        except ValueError as error:
            raise Misread(str(error)) from None
        return self.limits(model)


#: The methods by which an extension's options may have a say in where it can stand.
_LIMITS = ("allowed_tables", "allowed_hooks", "allowed_protocols")


def _limits(extension: type[Extension]) -> Callable[[Any], Reading]:
    """Return how a model becomes a reading, with what restricts it."""
    if extension is Parameters:
        return Reading
    assert issubclass(extension, Match | Target)
    kind = Target if issubclass(extension, Target) else Match
    if all(getattr(extension, name, None) is getattr(kind, name, None) for name in _LIMITS):
        protocols, placed = extension.protocols, extension.tables is not None or extension.hooks is not None
        return lambda model: Reading(model, protocols, placed)
    if kind is Target:
        return lambda model: Reading(
            model,
            model.allowed_protocols(),
            model.allowed_tables() is not None or model.allowed_hooks() is not None,
        )
    return lambda model: Reading(
        model, model.allowed_protocols(), model.tables is not None or model.allowed_hooks() is not None
    )


def expected(option: Option) -> str:
    """Return a hint at what an option's value looks like."""
    return f"expected {option.value.expected}" if option.value else ""


@dataclass(slots=True)
class Step:
    """One extension, or the common parameters, in a rule line.

    Attributes:
        extension: its class.
        at: index of the word that loaded it.
        name: as the rule names it: "-m tcp".
        clauses: its options.
        raw: indexes of the words that an unknown extension keeps.
        complete: the same match follows once more, and takes the further options.
    """

    extension: type[Extension]
    at: int
    name: str
    clauses: list[Clause] = field(default_factory=list)
    raw: list[int] = field(default_factory=list)
    complete: bool = False
    key: _Key = field(default=lambda words: ())
    recipe: Recipe = field(init=False)

    def cook_by(self, recipe: Recipe) -> None:
        """Set how the values are read, and where they stand."""
        self.recipe = recipe
        indexes = self.indexes()
        if indexes:
            self.key = itemgetter(*indexes)

    def indexes(self) -> list[int]:
        """Return the indexes of the value words."""
        return [index for clause in self.clauses for index in clause.values]

    def rows(self) -> tuple[tuple[Option, bool, int], ...]:
        """Return what a recipe needs to know of the clauses."""
        return tuple((clause.option, clause.negated, len(clause.values)) for clause in self.clauses)

    def read(self, key: Any) -> Reading:
        """Read the values, as :attr:`key` picks them, and remember the outcome.

        Raises:
            BindError: one means nothing, or they do not go together.
        """
        recipe = self.recipe
        try:
            reading = recipe.make((key,) if isinstance(key, str) else key)
        except Misread as error:
            raise self.error(error) from None
        recipe.memo[key] = reading
        return reading

    def error(self, error: Misread) -> BindError:
        """Give an error its place in the line."""
        if error.value is not None:
            return BindError(error.message, self.indexes()[error.value], error.hint, error.item)
        return BindError(error.message, self.clauses[-1].at if self.clauses else self.at, error.hint)

    def read_all(self, key: Any) -> tuple[Parameters, ...]:
        """Read the common parameters: once per pair of a source and a destination of the lists.

        Raises:
            BindError: as in :meth:`read`.
        """
        texts = (key,) if isinstance(key, str) else key
        try:
            if "," in "".join(texts):
                models = tuple([without_idle(self.recipe.make(line).model) for line in self._pairs(texts)])
            else:
                models = (without_idle(self.recipe.make(texts).model),)
        except Misread as error:
            raise self.error(error) from None
        self.recipe.memo[key] = models
        return models

    def _pairs(self, texts: Sequence[str]) -> list[Sequence[str]]:
        """Take lists of addresses apart: for each source, each destination."""
        lines: list[Sequence[str]] = [texts]
        places = {
            clause.option.field: place for place, clause in enumerate(c for c in self.clauses if c.values)
        }
        for name in ("source", "destination"):
            place = places.get(name)
            if place is None or "," not in texts[place]:
                continue
            clause = next(clause for clause in self.clauses if clause.option.field == name)
            made = len(lines) * (texts[place].count(",") + 1)
            if made > MAX_LISTED:
                raise BindError(f"the lists of addresses stand for {made:,} rules", clause.at, TOO_MANY)
            if clause.negated:
                raise BindError("! can't stand before several addresses", clause.at, "write a rule for each")
            lines = [
                [*line[:place], address, *line[place + 1 :]]
                for line in lines
                for address in texts[place].split(",")
            ]
        return lines


def without_idle(model: Parameters) -> Parameters:
    """Leave out parameters that restrict nothing, as iptables-save does: `-s 0.0.0.0/0`, `-i +`, `-p all`."""
    source, destination = model.source, model.destination
    idle = []
    if source is not None and not source.mask:
        idle.append("source")
    if destination is not None and not destination.mask:
        idle.append("destination")
    if model.in_interface == "+":
        idle.append("in_interface")
    if model.out_interface == "+":
        idle.append("out_interface")
    if model.protocol == 0:
        idle.append("protocol")
    if not idle:
        return model
    idle = [name for name in idle if name not in model.negated]
    return model.model_copy(update=dict.fromkeys(idle)) if idle else model


class Bound(NamedTuple):
    """What a rule line says, apart from its command.

    Attributes:
        parameters: one per rule that the line stands for; `-s a,b` makes two.
        matches: the matches in the order of testing.
        target: a target's model, a jump, or None.
        doubtful: whether an extension is restricted to some tables or hooks, or is not for the rule's
            protocol; the whole table shows whether the kernel takes it.
    """

    parameters: tuple[Parameters, ...]
    matches: tuple[Match, ...]
    target: Target | Jump | None
    doubtful: bool


@dataclass(slots=True)
class Plan:
    """How the words of all lines of one shape are read.

    Attributes:
        command: the command's letter, "A" for `-A`.
        command_at: index of its word.
        arguments: indexes of the words that the command itself takes.
        parameters, matches, target: the steps.
        jump: index of the chain name after `-j` or `-g`, or None.
        goto: it was `-g`.
        counters: indexes of the two words of `-c`, or of the one that holds both.
        ignored: the line is for the other address family.
        keep: indexes of the words that make the shape.
        cacheable: whether another line of the shape may be read by this plan.
        misplaced: chains that the line can't be for -> index of the word that says so (`-o` in INPUT).
        unknown: the steps of extensions that iptsim does not know.
        jumps: chain names -> jumps, shared by all plans of a reader.
        key, known, tests: of the steps, what :meth:`run` looks at.
    """

    command: str = ""
    command_at: int = 0
    arguments: list[int] = field(default_factory=list)
    parameters: Step = field(default_factory=lambda: Step(Parameters, 0, ""))
    matches: list[Step] = field(default_factory=list)
    target: Step | None = None
    jump: int | None = None
    goto: bool = False
    counters: tuple[int, ...] = ()
    ignored: bool = False
    keep: set[int] = field(default_factory=set)
    cacheable: bool = True
    misplaced: dict[str, int] = field(default_factory=dict)
    unknown: list[Step] = field(default_factory=list)
    jumps: dict[tuple[str, bool], Jump] = field(default_factory=dict)
    key: _Key = field(init=False)
    known: _Known = field(init=False)
    tests: tuple[tuple[_Key, _Known, Step], ...] = field(init=False)

    def steps(self) -> list[Step]:
        """Return all steps: parameters, matches, target."""
        return [self.parameters, *self.matches, *([self.target] if self.target else [])]

    def make_ready(self) -> None:
        """Lay out for :meth:`run` what the steps have."""
        (self.key, self.known, _), *tests = ((step.key, step.recipe.memo.get, step) for step in self.steps())
        self.tests = tuple(tests)

    def run(self, words: Sequence[str]) -> Bound:
        """Read the values of one line.

        Raises:
            BindError: a value means nothing.
        """
        values = self.key(words)
        parameters = self.known(values)
        if parameters is None:
            parameters = self.parameters.read_all(values)
        model: Parameters = parameters[0]
        matches, doubtful = [], False
        for key, known, step in self.tests:
            values = key(words)
            reading = known(values)
            if reading is None:
                reading = step.read(values)
            found, protocols, somewhere = reading
            matches.append(found)
            if somewhere or (
                protocols is not None and (model.protocol not in protocols or "protocol" in model.negated)
            ):
                doubtful = True
        target: Target | Jump | None = None
        if self.target is not None:
            target = matches.pop()
        elif self.jump is not None:
            name = words[self.jump]
            target = self.jumps.get((name, self.goto))
            if target is None:
                target = self.jumps[name, self.goto] = Jump(name, self.goto)
        return Bound(parameters, tuple(matches), target, doubtful)

    def read_counters(self, words: Sequence[str]) -> Counters | None:
        """Return what `-c` sets, if the line has it.

        Raises:
            BindError: not numbers.
        """
        if not self.counters:
            return None
        texts = [words[index] for index in self.counters]
        if len(texts) == 1:
            texts = texts[0].split(",", 1)
        if not all(text.isascii() and text.isdigit() for text in texts):
            raise BindError(
                "the counters are not two numbers", self.counters[0], "expected -c PACKETS OCTETS"
            )
        return Counters(int(texts[0]), int(texts[1]))
