"""Matches and targets: typed models with options, semantics and wording.

An extension is one module in :mod:`iptsim.extensions.matches` or :mod:`iptsim.extensions.targets`,
named like the extension in lower case. It contains

* the options, as rows of :class:`~iptsim.extensions.options.Option`: how each is written, read, printed and listed,
  which field of a packet it tests, what it allows there, and its wording,
* the model, a frozen dataclass with one field per option, named like the option.

The conditions of a match (:meth:`Match.predicates`), its wording (:meth:`Extension.says`) and its form in a listing
(:meth:`Extension.lists`) follow from the rows; an extension overrides them only if its rows cannot express them. What a
target does is its :meth:`Target.apply`.

Names and semantics follow iptables-extensions(8) and the kernel's net/netfilter/xt_*.c.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Literal, Self

from iptsim.extensions.constraints import Constraint, Field, named
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm, listed
from iptsim.extensions.options import Given, Option
from iptsim.extensions.phrases import join_phrases
from iptsim.extensions.predicates import Predicate, constrained
from iptsim.extensions.verdicts import CONTINUE, Translation, Verdict
from iptsim.frozen import Frozen
from iptsim.languages import Text, message
from iptsim.truth import Unknown

#: How sure the evaluation of an extension is. exact: decided from the packet and its surroundings;
#: given: decided if the capture or the question states a fact; unknown: neither a dump nor the packet decides.
Status = Literal["exact", "given", "unknown"]


#: Which limits of an extension iptables itself checks, rejecting a rule that breaks them; all others are checked only
#: by the kernel, when the rules are loaded. "protocols, negated too": `! -p tcp` names tcp as well.
Insists = Literal["tables", "protocols", "protocols, negated too"] | None


class Extension(Frozen):
    """The options that one `-m NAME` or `-j NAME` was given.

    A field is None (or False) where its option was not given. `negated` names the fields whose option
    has a `!` before it. `tables`, `hooks` and `protocols` say where the kernel accepts it (None: anywhere): in
    which tables, at which hooks, with which `-p` (by number). `insists` says which of them iptables itself checks.
    """

    name: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    #: 4 or 6 where the extension exists for one family only
    family: ClassVar[int | None] = None
    status: ClassVar[Status] = "exact"
    tables: ClassVar[frozenset[str] | None] = None
    hooks: ClassVar[frozenset[str] | None] = None
    protocols: ClassVar[frozenset[int] | None] = None
    insists: ClassVar[Insists] = None
    #: with one of these protocols, whether its options are compatible and where it is allowed depends only on which
    #: options are given, not on their values, although it has checks of its own
    alike_beside: ClassVar[frozenset[int]] = frozenset()
    #: the text before the options in a listing, and the words before theirs in its wording
    listed: ClassVar[str] = ""
    lead: ClassVar[Text] = ""
    #: its wording if no option has any
    alone: ClassVar[Text] = ""
    #: the text between the words of two options, itself a message
    joint: ClassVar[str] = " "
    #: the fields whose words come first, if that is not the order of `options`
    said: ClassVar[tuple[str, ...]] = ()

    negated: frozenset[str] = frozenset()

    @property
    def changes_memory(self) -> frozenset[Hashable]:
        """The state that it changes and that outlives a packet; see :class:`Predicate`."""
        return frozenset()

    def allowed_tables(self) -> frozenset[str] | None:
        """Return the tables in which the kernel accepts it with these options; None for any."""
        return self.tables

    def allowed_hooks(self) -> frozenset[str] | None:
        """Return the hooks at which the kernel accepts it with these options; None for any."""
        return self.hooks

    def allowed_protocols(self) -> frozenset[int] | None:
        """Return the protocols of which the rule must name one with these options; None for any."""
        return self.protocols

    @classmethod
    def required(cls) -> frozenset[str]:
        """Return the fields without which it cannot be made."""
        return frozenset(
            one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING
        )

    @classmethod
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields for the options of one `-m` or `-j`, in the order written.

        Raises:
            ValueError: an option is given twice, or one that must be given is missing.
        """
        found: dict[str, Any] = {}
        negated = set()
        for option, value, inverted in given:
            if option.field in found:
                raise ValueError(
                    message("{flag} is given twice, or conflicts with another option", flag=option.flag)
                )
            found[option.field] = value
            if inverted:
                negated.add(option.field)
        required = cls.required()
        for option in cls.options:
            if option.field not in found and option.field in required:
                raise ValueError(message("{name} needs {flag}", name=cls.name, flag=option.flag))
        return {**found, "negated": frozenset(negated)} if negated else found

    def check(self) -> None:
        """Check that the options go together; each has been checked when its words were read.

        Raises:
            ValueError: they do not; the text says why.
        """

    def __post_init__(self) -> None:
        self.check()

    def kept_by(self, form: ListingForm) -> Self:
        """Return the extension as a version of iptables stores it: with what it adds, without what it drops."""
        return self

    def save(self) -> str:
        """Return the options as iptables-save prints them, without `-m NAME`; may be empty."""
        return " ".join(self.clauses())

    def given(self, first: tuple[str, ...] = ()) -> Iterator[tuple[Option, Any]]:
        """Yield the options that were given, each with its value, in the order of `options`.

        Args:
            first: fields whose options come before the others.
        """
        seen = set()
        options = self.options
        if first:
            options = tuple(
                sorted(options, key=lambda one: first.index(one.field) if one.field in first else len(first))
            )
        for option in options:
            value = getattr(self, option.field)
            if value is None or value is False or option.field in seen:
                continue
            if option.value is None and value != option.constant:
                continue
            seen.add(option.field)
            yield option, value

    def clauses(self) -> list[str]:
        """Return one string for each given option, `!` included, in the order of `options`."""
        return [self.clause(option, value) for option, value in self.given()]

    def clause(self, option: Option, value: Any) -> str:
        """Return one option with its value as iptables-save prints it."""
        words = option.flag if option.value is None else f"{option.flag} {option.value.format(value)}"
        return f"! {words}" if option.field in self.negated else words

    def bang(self, field: str, mark: str = "!") -> str:
        """Return `mark` if a `!` precedes the option of a field, else an empty text."""
        return mark if field in self.negated else ""

    def lists(self, form: ListingForm) -> str:
        """Return the text that `iptables -nL` prints for it after the addresses, including the leading space."""
        text = self.listed
        for option, value in self.given():
            negated = option.field in self.negated
            if callable(option.listed):
                text += option.listed(value, negated)
            elif option.listed:
                text += listed(option.listed, option.text(value), value, negated)
        return text

    def says(self) -> Text:
        """Return the meaning in words: for a match, words that complete "packets ..."; for a target, an imperative."""
        phrases = [
            option.phrase(value, option.field in self.negated)
            for option, value in self.given(self.said)
            if option.phrase is not None
        ]
        if not phrases and not self.lead:
            return self.alone
        return join_phrases(self.joint, self.lead, *phrases)


class Match(Extension):
    """A `-m NAME` with its options."""

    #: the fields whose conditions the kernel tests first, if that is not the order of `options`
    tested: ClassVar[tuple[str, ...]] = ()
    #: whether the packet has what the match is about: the condition if no option is one
    presence: ClassVar[Field | None] = None

    @property
    def unread(self) -> Text:
        """Its text in the rule, if its meaning is not known; else empty."""
        return ""

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions, in the order in which the kernel tests them; all must hold."""
        found = tuple(
            constrained(self.clause(option, value), self.constraint(option.reads, option, value))
            for option, value in self.given(self.tested)
            if option.reads is not None
        )
        if found or self.presence is None:
            return found
        return self.one(Constraint(self.presence, named(True)))

    @property
    def has_predicates(self) -> bool:
        """Whether it has conditions, found without making them if it can be."""
        if type(self).predicates is Match.predicates and self.presence is None:
            return any(option.reads is not None for option, _ in self.given())
        return bool(self.predicates())

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        """Return the condition of an option that tests a field."""
        return Constraint(field, option.relation(value), option.field in self.negated)

    def one(self, constraint: Constraint) -> tuple[Predicate, ...]:
        """Return the single condition that all options form together."""
        return (constrained(self.save() or f"-m {self.name}", constraint),)


class Target(Extension):
    """A `-j NAME` with its options.

    `changes` says whether it alters the packet, the connection or the surroundings, so that a rule with
    an undecided match and this target makes a difference. `terminal` says that no later rule of the
    chain is evaluated.
    """

    changes: ClassVar[bool] = True
    terminal: ClassVar[bool] = False
    #: the target that a listing shows instead of this name; empty for the target's own name
    listed_name: ClassVar[str] = ""

    def apply(self, context: Context) -> Verdict | Translation | Unknown:
        """Apply the target to the packet in `context` like the kernel, and return the result; by default, continue."""
        return CONTINUE
