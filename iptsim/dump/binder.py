"""Finds out which option each word of a rule line belongs to, as getopt_long and xtables do.

The role of a word depends on the option words and module names before it, not on the values between them.
So the result is a :class:`~iptsim.dump.plan.Plan` that applies to every line of the same shape.

Sources: do_parse, command_match, command_jump and command_default in iptables/xshared.c,
xtables_find_match and xtables_options_xfrm in libxtables/xtables.c.
"""

from __future__ import annotations

from typing import Any

from iptsim.dump.extension_names import is_target_name
from iptsim.dump.options import (
    COMMANDS,
    LISTED,
    LONG,
    PARAMETERS,
    WITH_ARGUMENT,
    WITHOUT_ARGUMENT,
    Ambiguous,
    find_long,
    long_options,
)
from iptsim.dump.plan import BindError, Clause, Plan, Step
from iptsim.dump.recipe import Recipe, described, expected
from iptsim.dump.rule import Jump
from iptsim.dump.words import Word
from iptsim.extensions.base import Extension, Match, Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, quote
from iptsim.extensions.parameters import ANY_PROTOCOL
from iptsim.extensions.registry import (
    PROTOCOL_MATCHES,
    all_extensions,
    find_match,
    find_target,
)
from iptsim.extensions.unknown import UnknownMatch, UnknownTarget, unknown_target
from iptsim.extensions.values import any_of
from iptsim.languages import Text, message, text_of
from iptsim.suggestions import did_you_mean

#: Chains whose packets have no such interface; rules there cannot match it.
_WITHOUT = {"in_interface": ("OUTPUT", "POSTROUTING"), "out_interface": ("INPUT", "PREROUTING")}
#: Characters that are mistaken for quotes, or that word processors substitute for them.
_WRONG_QUOTES = "'‘’“”"


class Binder:
    """Makes plans for one address family and the iptables that wrote the dump, and keeps their shared parts."""

    def __init__(self, form: ListingForm) -> None:
        self.form = form
        self._jumps: dict[bool, dict[str, Jump]] = {False: {}, True: {}}
        self._recipes: dict[Any, Recipe] = {}

    def plan(self, line: list[Word]) -> Plan:
        """Determine the role of each word of a line.

        Args:
            line: the words. A value joined to its option (`--dport=80`) is split off in place.

        Raises:
            BindError: a word is not allowed at its position.
        """
        plan = _Getopt(self.form.family, line).run()
        plan.jumps = self._jumps[plan.goto]
        for step in plan.steps():
            if issubclass(step.extension, UnknownMatch | UnknownTarget):
                self._keep_words(plan, step, line)
            else:
                step.cook_by(self._recipe(step))
        return plan

    def _recipe(self, step: Step) -> Recipe:
        rows = step.rows()
        shape = (step.extension, tuple((id(row[0]), *row[1:]) for row in rows))
        recipe = self._recipes.get(shape)
        if recipe is None:
            try:
                recipe = self._recipes[shape] = Recipe(step.extension, rows, self.form)
            except ValueError as error:
                raise BindError(text_of(error), step.clauses[-1].at if step.clauses else step.at) from None
        return recipe

    def _keep_words(self, plan: Plan, step: Step, line: list[Word]) -> None:
        """Make the model of an unknown extension at once: its number of words does not follow from the shape."""
        words = tuple(line[index].raw for index in step.raw)
        model = step.extension(name=line[step.at].text, words=words)  # type: ignore[call-arg]
        step.cook_by(Recipe(step.extension, (), self.form))
        step.recipe.memo[()] = model
        plan.unknown.append(step)
        plan.cacheable = False


class _Getopt:
    """One pass over the words of a line."""

    def __init__(self, family: int, line: list[Word]) -> None:
        self.family = family
        self.line = line
        self.words = [word.text for word in line]
        self.plan = Plan()
        #: extension classes, latest loaded first
        self.loaded: list[type[Extension]] = []
        self.at = 0
        self.protocol: str | None = None
        self.jumped = False
        #: index of a word that is the argument of an option -> index of the option
        self.taken: dict[int, int] = {}
        #: index of a value that was split off from its option
        self.glued: int | None = None

    def run(self) -> Plan:
        words, plan = self.words, self.plan
        negated = False
        while self.at < len(words):
            at, word = self.at, words[self.at]
            self.at += 1
            plan.keep.add(at)
            if word == "!":
                if negated:
                    raise BindError(message("! is given twice"), at)
                negated = True
                continue
            if word == "--":
                raise BindError(message("-- ends the options, but words follow"), at)
            if word[:2] == "--":
                self._long(word, at, negated)
            elif word[:1] == "-" and word != "-":
                self._short(word, at, negated)
            else:
                raise self._stray(at)
            if plan.ignored:
                return plan
            negated = False
        if negated:
            raise BindError(message("nothing follows !"), len(words) - 1)
        if not plan.command:
            raise BindError(
                message("the line has no command"),
                0,
                message("expected -A CHAIN, -I CHAIN, -N CHAIN, -P CHAIN POLICY ..."),
            )
        found = [clause.at for clause in plan.parameters.clauses]
        found += [step.at for step in plan.steps()[1:]] + ([] if plan.jump is None else [plan.jump])
        if found and plan.command not in "ADCIR":
            raise BindError(
                message("-{command} takes no conditions or target", command=plan.command),
                min(found),
                message("only -A -I -R -D -C do"),
            )
        return plan

    def _stray(self, at: int) -> BindError:
        """Explain a word where only an option is allowed."""
        word = self.words[at]
        before = self.words[at - 1] if at else ""
        if at - 1 in self.taken and before[:1] == "-":
            hint: Text = message(
                "{option} took {before} as its argument", option=self.words[self.taken[at - 1]], before=before
            )
        elif any(
            one[:1] in _WRONG_QUOTES or one[-1:] in _WRONG_QUOTES for one in self.words[: at + 1] if one
        ):
            hint = message('only straight double quotes hold words together: "a b"')
        elif before[:1] == "-" and at - 1 not in self.taken:
            hint = message("{before} takes no argument", before=before)
        else:
            hint = ""
        return BindError(message("{word!r} is not an option", word=word), at, hint)

    # -- looking up -------------------------------------------------------------------------------

    def _long(self, word: str, at: int, negated: bool) -> None:
        name, equals, _ = word[2:].partition("=")
        try:
            found = find_long(name, self.loaded)
            if found is None and self._load_protocol(name):
                found = find_long(name, self.loaded)
            if found is not None and not self._spelled_out(name) and self._unknown_option(at, negated):
                return
        except Ambiguous as error:
            if self._unknown_option(at, negated):
                return
            names = ", ".join(f"--{full}" for full in error.names)
            raise BindError(
                message("--{name} is an ambiguous abbreviation", name=name),
                at,
                message("it can mean {names}", names=names),
            ) from None
        if found is None:
            if not self._unknown_option(at, negated):
                raise self._unknown_option_error(f"--{name}", at)
            return
        extension, option = found
        if equals:
            takes = option in WITH_ARGUMENT | LISTED if isinstance(option, str) else option.value is not None
            if not takes:
                raise BindError(message("--{name} takes no value", name=name), at)
            self._split_off(at, len(name) + 2, 1)
        if extension is None:
            assert isinstance(option, str)
            self._common(option, at, negated)
        else:
            assert isinstance(option, Option)
            self._extension_option(extension, option, at, negated)

    def _short(self, word: str, at: int, negated: bool) -> None:
        letter, rest = word[1], word[2:]
        if letter not in WITH_ARGUMENT and letter not in LISTED and letter not in WITHOUT_ARGUMENT:
            if not self._unknown_option(at, negated):
                raise self._unknown_option_error(word, at)
            return
        if rest:
            if word[1:] in LONG or any(word[1:] in long_options(extension) for extension in all_extensions()):
                raise BindError(
                    message("{word} needs two dashes", word=word),
                    at,
                    message("write -{word}", word=word),
                )
            if letter not in WITH_ARGUMENT | LISTED:
                raise BindError(
                    message("{word} is not an option", word=word),
                    at,
                    message("a long option begins with two dashes"),
                )
            self._split_off(at, 2, 0)
        self._common(letter, at, negated)

    def _split_off(self, at: int, length: int, gap: int) -> None:
        """Split the value off in `--option=value` or `-ovalue`, as a word of its own."""
        word = self.line[at]
        value = word.text[length + gap :]
        start = min(word.start + length + gap, word.end - 1)
        self.line[at : at + 1] = [
            Word(word.text[:length], word.text[:length], word.start, start),
            Word(quote(value), value, start, word.end),
        ]
        self.words[at : at + 1] = [word.text[:length], value]
        self.plan.cacheable = False
        self.glued = at + 1

    def _argument(self, at: int, wanted: Text) -> int:
        """Consume the next word, whatever it looks like."""
        if self.at >= len(self.words):
            raise BindError(
                message("{words} requires an argument", words=self.words[at]),
                at,
                message("expected {wanted}", wanted=wanted),
            )
        self.taken[self.at] = at
        self.at += 1
        return self.at - 1

    def _old_negation(self, at: int) -> bool:
        """Return whether an argument is a `!` before the real one, as iptables wrote it before 1.4.3."""
        following = self.words[at + 1] if at + 1 < len(self.words) else "-"
        if self.words[at] != "!" or following[:1] in ("-", "!"):
            return False
        self.plan.cacheable = False
        return True

    def _optional(self) -> int | None:
        """Consume the next word if it does not look like an option."""
        if self.at < len(self.words) and (self.at == self.glued or self.words[self.at][:1] not in ("-", "!")):
            self.at += 1
            return self.at - 1
        return None

    # -- options that need no extension -----------------------------------------------------------

    def _common(self, letter: str, at: int, negated: bool) -> None:
        plan = self.plan
        if letter in COMMANDS:
            if negated:
                raise BindError(message("! is not allowed before -{letter}", letter=letter), at)
            self._command(letter, at)
        elif letter in PARAMETERS:
            self._parameter(PARAMETERS[letter], at, negated)
        elif negated:
            raise BindError(message("! is not allowed before {words}", words=self.words[at]), at)
        elif letter == "m":
            self._match(self._argument(at, message("the name of a match")))
        elif letter in "jg":
            if self.jumped:
                raise BindError(message("a rule has only one target"), at)
            self.jumped = True
            self._jump(self._argument(at, message("a target or a chain")), letter == "g")
        elif letter == "c":
            first = self._argument(at, message("packets and bytes"))
            second = None if "," in self.words[first] else self._optional()
            plan.counters = (first,) if second is None else (first, second)
            if second is None:
                plan.cacheable = False
                if "," not in self.words[first]:
                    raise BindError(
                        message("-c requires packets and bytes"), at, message("expected -c PACKETS BYTES")
                    )
        elif letter in "46":
            plan.ignored = int(letter) != self.family
        elif letter == "t":
            raise BindError(
                message("-t is not allowed in a dump"),
                at,
                message("the line *TABLE above names the table"),
            )
        elif letter != "v":  # -v only makes iptables-restore more verbose
            raise BindError(message("{words} is not allowed in a dump", words=self.words[at]), at)

    def _command(self, letter: str, at: int) -> None:
        plan = self.plan
        if plan.command:
            raise BindError(
                message("-{letter} cannot be combined with -{command}", letter=letter, command=plan.command),
                at,
                message("one command per line"),
            )
        plan.command, plan.command_at = letter, at
        if letter in LISTED:
            chain = self._optional()
            plan.arguments = [] if chain is None else [chain]
        else:
            plan.arguments = [self._argument(at, message("the name of a chain"))]
        if letter in "IDRPELSZ" and plan.arguments:
            second = self._optional()
            if second is not None:
                plan.arguments.append(second)
            elif letter in "RPE":
                wanted = {
                    "R": message("the rule's number"),
                    "P": message("a policy, ACCEPT or DROP"),
                    "E": message("the new name"),
                }[letter]
                raise BindError(
                    message("-{letter} requires two arguments", letter=letter),
                    at,
                    message("expected {wanted} after the chain", wanted=wanted),
                )

    def _parameter(self, option: Option, at: int, negated: bool) -> None:
        clauses = self.plan.parameters.clauses
        if any(clause.option is option for clause in clauses):
            raise BindError(message("{flag} is given twice", flag=option.flag), at)
        values: tuple[int, ...] = ()
        if option.value is not None:
            value = self._argument(at, described(option.value))
            if not negated and self._old_negation(value):
                negated = True
                value = self._argument(at, described(option.value))
            values = (value,)
        elif self.family == 6:
            raise BindError(message("-f does not exist for IPv6"), at, message("use -m frag"))
        if option.field == "protocol":
            self.protocol = self.words[values[0]].lower()
            self.plan.keep.add(values[0])
            if negated and self.protocol in ANY_PROTOCOL:
                raise BindError(message("! -p {protocol} matches no packet", protocol=self.protocol), at)
        for chain in _WITHOUT.get(option.field, ()):
            self.plan.misplaced[chain] = at
        clauses.append(Clause(option, negated, at, values))

    # -- extensions -------------------------------------------------------------------------------

    def _match(self, at: int) -> None:
        name = self.words[at]
        self.plan.keep.add(at)
        extension: type[Match] | None = find_match(name, self.family)
        self._load(extension or UnknownMatch, at, name)

    def _load(self, extension: type[Match], at: int, name: str) -> None:
        for step in self.plan.matches:
            if step.extension is extension:
                step.complete = True
        self.plan.matches.append(Step(extension, at, f"-m {name}"))
        if extension not in self.loaded:
            self.loaded.insert(0, extension)

    def _jump(self, at: int, goto: bool) -> None:
        plan, name = self.plan, self.words[at]
        plan.goto = goto
        target = None if goto else find_target(name, self.family)
        if target is None:
            plan.jump = at
            return
        plan.keep.add(at)
        plan.target = Step(target, at, f"-j {name}")
        self.loaded.insert(0, target)

    def _load_protocol(self, name: str) -> bool:
        """Load the match of the rule's protocol, as xtables does for an unknown option."""
        if self.protocol is None or self.protocol not in PROTOCOL_MATCHES:
            return False
        extension = find_match(PROTOCOL_MATCHES[self.protocol], self.family)
        if extension is None or extension in self.loaded:
            return False
        if not any(full.startswith(name) for full in long_options(extension)):
            return False
        self._load(extension, self.at - 1, extension.name)
        return True

    def _extension_option(self, extension: type[Extension], option: Option, at: int, negated: bool) -> None:
        plan = self.plan
        if plan.target is not None and plan.target.extension is extension:
            step = plan.target
        else:
            step = next(one for one in plan.matches if one.extension is extension and not one.complete)
        values: list[int] = []
        if option.value is not None:
            if option.value.optional:
                first = self._optional()
                if first is not None:
                    values.append(first)
                plan.cacheable = False
            else:
                first = self._argument(at, described(option.value))
                if not negated and option.negatable and self._old_negation(first):
                    negated = True
                    first = self._argument(at, described(option.value))
                values.append(first)
            while values and len(values) < option.value.words:
                value = self._optional()
                if value is None:
                    raise BindError(
                        message("{flag} takes {words} arguments", flag=option.flag, words=option.value.words),
                        at,
                        expected(option),
                    )
                values.append(value)
        if negated and not option.negatable:
            raise BindError(message("! is not allowed before {flag}", flag=option.flag), at)
        step.clauses.append(Clause(option, negated, at, tuple(values)))

    def _unknown_option(self, at: int, negated: bool) -> bool:
        """Assign an unknown option to the unknown extension that was loaded last."""
        plan = self.plan
        step = next((one for one in reversed(plan.matches) if issubclass(one.extension, UnknownMatch)), None)
        if plan.target is not None and issubclass(plan.target.extension, UnknownTarget):
            step = plan.target
        elif plan.jump is not None and is_target_name(self.words[plan.jump]) and not plan.goto:
            name = self.words[plan.jump]
            step = plan.target = Step(unknown_target(name), plan.jump, f"-j {name}")
            plan.keep.add(plan.jump)
            plan.jump = None
        if step is None:
            return False
        if negated:
            step.raw.append(at - 1)
        step.raw.append(at)
        while (value := self._optional()) is not None:
            step.raw.append(value)
        return True

    def _spelled_out(self, name: str) -> bool:
        """Return whether a long option is written in full. An abbreviation may belong to an unknown extension."""
        return name in LONG or any(name in long_options(extension) for extension in self.loaded)

    def _unknown_option_error(self, flag: str, at: int) -> BindError:
        known = [f"--{name}" for extension in self.loaded for name in long_options(extension)]
        if self.protocol in PROTOCOL_MATCHES:
            extension = find_match(PROTOCOL_MATCHES[self.protocol], self.family)
            known += [f"--{name}" for name in long_options(extension)] if extension else []
        homes = [
            f"-{'j' if issubclass(extension, Target) else 'm'} {extension.name}"
            for extension in all_extensions()
            if flag.lstrip("-") in long_options(extension) and extension.family in (None, self.family)
        ]
        if homes:
            return BindError(
                message("unknown option {flag}", flag=flag),
                at,
                message("it belongs to {homes}", homes=any_of(tuple(homes))),
            )
        hint = did_you_mean(flag, known, 0.75) or message("no extension has it")
        return BindError(message("unknown option {flag}", flag=flag), at, hint)
