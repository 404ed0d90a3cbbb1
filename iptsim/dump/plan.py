"""How to read the words of a rule line, once the option of each word is known.

A :class:`Plan` applies to all lines of one shape. Its steps read the values; equal values of equal steps are
read once, and the models are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import itemgetter
from typing import Any, NamedTuple

from iptsim.dump.recipe import Hint, Misread, Recipe, is_doubtful
from iptsim.dump.rule import Counters, Jump, saved
from iptsim.dump.words import split
from iptsim.extensions.base import Extension, Match, Target
from iptsim.extensions.options import Option
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.values import Network
from iptsim.languages import Text, message

#: Picks the value words of a step from a line: one word, or a tuple of them.
_Key = Callable[[Sequence[str]], Any]

#: The most digits of a counter, which has 64 bits.
_MOST_DIGITS = 20
#: The limit on rules after expanding the address lists of a dump. iptables-save prints each rule on its own
#: line; only files for iptables-restore have lists, and two lists of 511 addresses make 261,121 rules.
MAX_LISTED = 10_000
TOO_MANY = message(
    "iptsim takes at most {most:,} in a dump; name networks or an ipset, or load the file and save the rules",
    most=MAX_LISTED,
)


class BindError(Exception):
    """A word is not allowed at its position.

    Attributes:
        message: what is wrong.
        at: index of the word, from 0.
        hint: the correct form; may be empty.
        item: the wrong part of the word; empty for the whole word.
        column: the column of the error in the word; None if `item` or the whole word is wrong.
    """

    def __init__(
        self, message: Text, at: int, hint: Hint = "", item: str = "", column: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint
        self.item = item
        self.column = column


class Clause(NamedTuple):
    """One option in a rule line.

    Attributes:
        option: its row.
        negated: it follows a `!`.
        at: index of the option word.
        values: indexes of its value words.
    """

    option: Option
    negated: bool
    at: int
    values: tuple[int, ...]


@dataclass(slots=True)
class Step:
    """One extension, or the common parameters, in a rule line.

    Attributes:
        extension: its class.
        at: index of the word that loaded it.
        name: as in the rule: "-m tcp".
        clauses: its options.
        raw: indexes of the words that an unknown extension keeps.
        complete: the same match follows again, and takes any further options.
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
        """Set how the values are read, and where they are in the line."""
        self.recipe = recipe
        indexes = self.indexes()
        if indexes:
            self.key = itemgetter(*indexes)

    def indexes(self) -> list[int]:
        """Return the indexes of the value words."""
        return [index for clause in self.clauses for index in clause.values]

    def rows(self) -> tuple[tuple[Option, bool, int], ...]:
        """Return the data about the clauses that a recipe needs."""
        return tuple((clause.option, clause.negated, len(clause.values)) for clause in self.clauses)

    def model(self, words: Sequence[str]) -> Any:
        """Return the model of a line's values; equal values have the same one.

        Raises:
            BindError: as in :meth:`read`.
        """
        key = self.key(words)
        model = self.recipe.memo.get(key)
        return self.read(key) if model is None else model

    def read(self, key: Any) -> Any:
        """Read the values that :attr:`key` picks, and cache the result.

        Raises:
            BindError: a value is invalid, or the values do not go together.
        """
        recipe = self.recipe
        try:
            model = recipe.memo[key] = recipe.make((key,) if isinstance(key, str) else key)
        except Misread as error:
            raise self.error(error) from None
        return model

    def check(self, key: Any) -> None:
        """Check the values that :attr:`key` picks, for a model that can be made later.

        Raises:
            BindError: as in :meth:`read`.
        """
        try:
            self.recipe.check(key)
        except Misread as error:
            raise self.error(error) from None

    def error(self, error: Misread) -> BindError:
        """Add the position in the line to an error."""
        if error.value is not None:
            return BindError(error.message, self.indexes()[error.value], error.hint, error.item, error.column)
        return BindError(error.message, self.clauses[-1].at if self.clauses else self.at, error.hint)

    def read_all(self, key: Any) -> tuple[Parameters, ...]:
        """Read the common parameters: once per pair of a source and a destination of the lists.

        Raises:
            BindError: as in :meth:`read`.
        """
        texts = (key,) if isinstance(key, str) else key
        try:
            if "," in "".join(texts):
                models = tuple([without_idle(self.recipe.make(line)) for line in self._pairs(texts)])
            else:
                models = (without_idle(self.recipe.make(texts)),)
        except Misread as error:
            raise self.error(error) from None
        self.recipe.memo[key] = models
        return models

    def _pairs(self, texts: Sequence[str]) -> list[Sequence[str]]:
        """Expand lists of addresses: for each source, each destination."""
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
                raise BindError(
                    message("the lists of addresses expand to {made:,} rules", made=made), clause.at, TOO_MANY
                )
            if clause.negated:
                raise BindError(
                    message("! is not allowed before several addresses"),
                    clause.at,
                    message("write one rule for each address"),
                )
            lines = [
                [*line[:place], address, *line[place + 1 :]]
                for line in lines
                for address in texts[place].split(",")
            ]
        return lines


def without_idle(model: Parameters) -> Parameters:
    """Remove parameters that match everything, as iptables-save does: `-s 0.0.0.0/0`, `-i +`, `-p all`."""
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
    dropped: dict[str, Any] = {name: None for name in idle if name not in model.negated}
    return replace(model, **dropped) if dropped else model


class Bound(NamedTuple):
    """The contents of a rule line, apart from its command.

    Attributes:
        parameters: one per rule of the line; `-s a,b` makes two rules.
        matches: the matches in the order of testing.
        target: a target's model, a jump, or None.
    """

    parameters: tuple[Parameters, ...]
    matches: tuple[Match, ...]
    target: Target | Jump | None


def _words(line: str) -> list[str]:
    words = split(line)
    assert words is not None
    return words


@dataclass(slots=True, eq=False)
class Plan:
    """How to read the words of all lines of one shape.

    Attributes:
        command: the command's letter, "A" for `-A`.
        command_at: index of its word.
        arguments: indexes of the command's own arguments.
        parameters, matches, target: the steps.
        jump: index of the chain name after `-j` or `-g`, or None.
        goto: it was `-g`.
        counters: indexes of the two words of `-c`, or of the single word with both numbers.
        ignored: the line is for the other address family.
        keep: indexes of the words that determine the shape.
        cacheable: whether this plan may read other lines of the shape.
        misplaced: chain in which the line is not allowed -> index of the word responsible (`-o` in INPUT).
        unknown: the steps of unknown extensions.
        jumps: chain names -> jumps, shared by all plans of a reader with the same `goto`.
        waiting: the steps whose models can be made on first use.
        made: the other steps.
        doubted: those models of the waiting steps, for the first line, whose validity depends on the whole table.
            The validity is the same for other lines.
        protocol: the protocol that the rule matches, without `!`; part of the shape.
        words: of the first line.
        ends: the source and the destination: the index of each word, and what reads it.
        fields, names, target_name: as in :class:`iptsim.dump.rule.Plan`.
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
    jumps: dict[str, Jump] = field(default_factory=dict)
    waiting: tuple[Step, ...] = ()
    made: tuple[Step, ...] = ()
    doubted: tuple[Match | Target, ...] = ()
    protocol: int | None = None
    words: tuple[str, ...] = ()
    ends: tuple[tuple[int, Callable[..., Network]], ...] = ()
    fields: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    target_name: str = ""

    def steps(self) -> list[Step]:
        """Return all steps: parameters, matches, target."""
        return [self.parameters, *self.matches, *([self.target] if self.target else [])]

    def run(self, words: Sequence[str]) -> Bound:
        """Read the values of one line.

        Raises:
            BindError: a value is invalid.
        """
        parameters = self._parameters(words)
        matches = tuple(step.model(words) for step in self.matches)
        if self.target is not None:
            return Bound(parameters, matches, self.target.model(words))
        return Bound(parameters, matches, self.jump_of(words))

    def _parameters(self, words: Sequence[str]) -> tuple[Parameters, ...]:
        values = self.parameters.key(words)
        found: tuple[Parameters, ...] | None = self.parameters.recipe.memo.get(values)
        return self.parameters.read_all(values) if found is None else found

    def doubts(self, bound: Bound) -> tuple[Match | Target, ...]:
        """Return the extensions of a line whose validity in the kernel depends on the whole table."""
        model = bound.parameters[0]
        self.protocol = None if "protocol" in model.negated else model.protocol
        found: list[Match | Target] = [*bound.matches]
        if isinstance(bound.target, Target):
            found.append(bound.target)
        return tuple(one for one in found if is_doubtful(one, self.protocol))

    def settle(self, words: Sequence[str], bound: Bound) -> None:
        """Prepare :meth:`accept`, after :meth:`run` has read a line."""
        self.words = tuple(words)
        self.fields = frozenset(clause.option.field for clause in self.parameters.clauses)
        self.ends = tuple(
            (clause.values[0], clause.option.value.parse)
            for clause in self.parameters.clauses
            if clause.option.field in ("source", "destination") and clause.option.value is not None
        )
        self.names = frozenset(step.extension.name for step in self.steps()[1:])
        self.target_name = "" if self.target is None else self.target.extension.name
        steps = [*self.matches, *([self.target] if self.target else [])]
        models: list[Any] = [*bound.matches, *([bound.target] if self.target else [])]
        waits = [step.recipe.can_wait(self.protocol) for step in steps]
        self.waiting = tuple(compress(steps, waits))
        self.made = tuple(step for step, late in zip(steps, waits, strict=True) if not late)
        self.doubted = tuple(model for model in compress(models, waits) if is_doubtful(model, self.protocol))

    def accept(self, words: Sequence[str]) -> tuple[Match | Target, ...] | None:
        """Check the values of a line, and make the models that are needed at once.

        Returns:
            The result of :meth:`doubts`; None for lists of addresses.

        Raises:
            BindError: a value is invalid.
        """
        values = self.parameters.key(words)
        if values not in self.parameters.recipe.checked:
            if "," in (values if isinstance(values, str) else "".join(values)):
                return None
            self.parameters.check(values)
        for step in self.waiting:
            values = step.key(words)
            if values not in step.recipe.checked:
                step.check(values)
        doubted = self.doubted
        for step in self.made:
            model = step.model(words)
            if is_doubtful(model, self.protocol):
                doubted += (model,)
        return doubted

    def jump_of(self, words: Sequence[str]) -> Jump | None:
        """Return the jump of a line, or None."""
        return None if self.jump is None else self.jump_to(words[self.jump])

    def jump_to(self, name: str) -> Jump:
        """Return the jump to a chain."""
        found = self.jumps.get(name)
        if found is None:
            found = self.jumps[name] = Jump(name, self.goto)
        return found

    def languages(self) -> dict[int, str]:
        """Return the languages of those values that are always valid, by the indexes of their words; "" for none."""
        found: dict[int, str] = {}
        for step in self.steps():
            for clause, language in zip(step.clauses, step.recipe.plain, strict=True):
                found |= dict.fromkeys(clause.values, "" if step in self.made else language)
        return {at: language for at, language in found.items() if at not in self.keep}

    def conditions_of(self, line: str) -> tuple[Parameters, tuple[Match, ...]]:
        """Make the parameters and the matches of an accepted line."""
        words = _words(line)
        return self._parameters(words)[0], tuple([step.model(words) for step in self.matches])

    def networks_of(self, line: str) -> list[Network]:
        """Read the source and the destination of an accepted line."""
        words, family = _words(line), self.parameters.recipe.form.family
        return [read(words[at], family) for at, read in self.ends]

    def target_of(self, line: str) -> Target | None:
        """Make the target of an accepted line; None if it has none, or a jump."""
        model: Target | None = None if self.target is None else self.target.model(_words(line))
        return model

    def saved(self, line: str) -> list[str]:
        """Return the options of an accepted line's parameters, matches and target, as iptables-save prints them.

        Equal options are printed once, as the rules of many hosts are alike.
        """
        words, found = _words(line), []
        for step in self.steps():
            key, texts = step.key(words), step.recipe.saved
            text = texts.get(key)
            if text is None:
                model = self._parameters(words)[0] if step is self.parameters else step.model(words)
                text = texts[key] = saved(model)
            found.append(text)
        return found

    def read_counters(self, words: Sequence[str]) -> Counters | None:
        """Return the counters that `-c` sets, if the line has it.

        Raises:
            BindError: they are not numbers.
        """
        if not self.counters:
            return None
        texts = [words[index] for index in self.counters]
        if len(texts) == 1:
            texts = texts[0].split(",", 1)
        if not all(text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS for text in texts):
            raise BindError(
                message("the counters are not two numbers"),
                self.counters[0],
                message("expected -c PACKETS BYTES"),
            )
        return Counters(int(texts[0]), int(texts[1]))
