"""The parts of a match or target extension: options, a typed model, semantics, wording.

An extension is one module in :mod:`iptsim.extensions.matches` or :mod:`iptsim.extensions.targets`,
named like the extension in lower case. It contains

* the options, as rows of :class:`Option`: how each is written, read, printed and listed, which field of a packet it
  tests, what it allows there, and its wording,
* the model, a frozen pydantic class with one field per option, named like the option.

The conditions of a match (:meth:`Match.predicates`), its wording (:meth:`Extension.says`) and its form in a listing
(:meth:`Extension.lists`) follow from the rows; an extension overrides them only if its rows cannot express them. What a
target does is its :meth:`Target.apply`.

Names and semantics follow iptables-extensions(8) and the kernel's net/netfilter/xt_*.c.

Annotations are evaluated here (no `from __future__ import annotations`), as pydantic would evaluate those of the base
classes again for each extension.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, model_validator

from iptsim.extensions.constraints import (
    Allowed,
    Constraint,
    Field,
    Several,
    named,
)
from iptsim.extensions.listing import ListingForm, listed
from iptsim.extensions.phrases import join_phrases
from iptsim.languages import Text, message
from iptsim.packet import Context, Truth, Unknown, negate

#: The hooks of netfilter, in the order in which packets meet them.
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
#: Those at which a packet has an interface by which it arrived, and those at which it has one by which it leaves.
ARRIVING, LEAVING = frozenset(HOOKS[:3]), frozenset(HOOKS[2:])
#: Targets that decide whether a packet passes, and those that translate its addresses and ports.
DECIDING = frozenset({"ACCEPT", "DROP", "REJECT"})
TRANSLATING = frozenset({"DNAT", "SNAT", "MASQUERADE", "REDIRECT"})
#: The targets after which a packet goes no further, and those that end a chain for it.
BLOCKING = frozenset({"DROP", "REJECT"})
ENDING = DECIDING | TRANSLATING | {"RETURN"}

#: How sure the evaluation of an extension is. exact: decided from the packet and its surroundings;
#: given: decided if the capture or the question states a fact; unknown: neither a dump nor the packet decides.
Status = Literal["exact", "given", "unknown"]

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_SPECIAL = re.compile(r"[\"\\']")


def quote(text: str) -> str:
    r"""Quote a word as iptables-save does (xtables_save_string in libxtables).

    >>> quote("web"), quote("IN drop: "), quote('say "hi"')
    ('web', '"IN drop: "', '"say \\"hi\\""')
    """
    if _PLAIN.fullmatch(text):
        return text
    return in_quotes(text)


def in_quotes(text: str) -> str:
    r"""Put a word between quotes, whether it needs them or not.

    >>> in_quotes("web"), in_quotes('say "hi"')
    ('"web"', '"say \\"hi\\""')
    """
    if _SPECIAL.search(text):
        text = _SPECIAL.sub(r"\\\g<0>", text)
    return f'"{text}"'


@dataclass(frozen=True, slots=True)
class Value:
    """How the words after an option are read and printed.

    Attributes:
        expected: what is expected, for error messages: "a port or a range of ports (80, 1024:65535)".
        parse: the words -> the value; raises ValueError with a reason. With `needs_family`, the
            address family (4 or 6) is passed last.
        format: the value -> its words, quoted, as iptables-save prints them.
        words: how many words the option takes.
        optional: the words may be missing; the option then sets its field to its constant.
        form: the language of each word, a start symbol of `grammars/values.lark`, in which `{family}` is
            the address family; empty for words whose form only `parse` knows.
        plain: the language of the common words that `parse` always accepts; these are read when the value is first
            used.
    """

    expected: Text
    parse: Callable[..., Any]
    format: Callable[[Any], str] = str
    words: int = 1
    needs_family: bool = False
    optional: bool = False
    form: str = ""
    plain: str = ""

    def read(self, words: Iterable[str], family: int) -> Any:
        """Return the value that `words` mean.

        Raises:
            ValueError: they have no meaning; the text says why.
        """
        if self.needs_family:
            return self.parse(*words, family)
        return self.parse(*words)


#: The values that an option allows, from its value.
Relation = Callable[[Any], Allowed]


class Option(NamedTuple):
    """One option of an extension.

    Attributes:
        flag: as iptables-save prints it: "--dport", "-s".
        field: the model's field that it sets.
        value: how its words are read; None for an option without words, which sets the field to True.
        negatable: `!` may precede it.
        aliases: other spellings.
        constant: what an option without words sets its field to.
        idle: the value that restricts nothing, so that iptables drops the option, unless it is negated.
        reads: the field of the packet that it tests; None for an option that tests none on its own.
        relation: its value -> the values of that field that satisfy it.
        phrase: its value, and whether it is negated -> its wording, which completes "packets ...".
        listed: what `iptables -nL` prints for it: a template (:func:`~iptsim.extensions.listing.listed`), or a
            function of its value and of whether it is negated.
    """

    flag: str
    field: str
    value: Value | None = None
    negatable: bool = False
    aliases: tuple[str, ...] = ()
    constant: Any = True
    idle: Any = None
    reads: Field | None = None
    relation: Relation = named
    phrase: Callable[[Any, bool], Text] | None = None
    listed: str | Callable[[Any, bool], str] = ""

    def text(self, value: Any) -> str:
        """Return a value as iptables-save prints it, without the flag."""
        return self.value.format(value) if self.value else ""


#: Which limits of an extension iptables itself checks, rejecting a rule that breaks them; all others are checked only
#: by the kernel, when the rules are loaded. "protocols, negated too": `! -p tcp` names tcp as well.
Insists = Literal["tables", "protocols", "protocols, negated too"] | None


class Given(NamedTuple):
    """An option in a rule: the row, its value, whether a `!` precedes it."""

    option: Option
    value: Any
    negated: bool = False


class Extension(BaseModel):
    """The options that one `-m NAME` or `-j NAME` was given.

    A field is None (or False) where its option was not given. `negated` names the fields whose option
    has a `!` before it. `tables`, `hooks` and `protocols` say where the kernel accepts it (None: anywhere): in
    which tables, at which hooks, with which `-p` (by number). `insists` says which of them iptables itself checks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

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
    def gather(cls, given: Iterable[Given]) -> dict[str, Any]:
        """Return the model's fields for the options of one `-m` or `-j`, in the order written.

        Raises:
            ValueError: an option is given twice, or one that must be given is missing.
        """
        fields: dict[str, Any] = {}
        negated = set()
        for option, value, inverted in given:
            if option.field in fields:
                raise ValueError(
                    message("{flag} is given twice, or conflicts with another option", flag=option.flag)
                )
            fields[option.field] = value
            if inverted:
                negated.add(option.field)
        for option in cls.options:
            if option.field not in fields and cls.model_fields[option.field].is_required():
                raise ValueError(message("{name} needs {flag}", name=cls.name, flag=option.flag))
        return {**fields, "negated": frozenset(negated)} if negated else fields

    def check(self) -> None:
        """Check that the options go together; pydantic has checked each, or their words have been read.

        Raises:
            ValueError: they do not; the text says why.
        """

    @model_validator(mode="after")
    def _checked(self) -> Self:
        self.check()
        return self

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


@dataclass(frozen=True, slots=True)
class Predicate:
    """One condition of a rule, evaluated in three-valued logic.

    Attributes:
        text: as the rule writes it, `!` included: "! -i docker0".
        stated: the condition as a function; None for that of the constraint. It may change only `consulted` of the
            context.
        got: the packet's side, for explanations: "arrives on eth0", "its destination port is 81".
        constraint: the equivalent constraint, if the predicate is nothing more.
        negated: whether a `!` precedes it.
        effect: what the kernel does to the connection or the surroundings after evaluating it, whatever the result;
            None for nothing.
        same: a key for a condition that is not a constraint: conditions with equal keys hold for the same packets,
            apart from negation; empty if the result may change for the same packet.
        memory: the state that it checks, if this outlives a packet and rules may change it; None for nothing.
    """

    text: str
    stated: Callable[[Context], Truth] | None
    got: Callable[[Context], Text]
    constraint: Constraint | Several | None = None
    negated: bool = False
    effect: Callable[[Context], None] | None = None
    same: tuple[Any, ...] = ()
    memory: Hashable = None

    @property
    def test(self) -> Callable[[Context], Truth]:
        """The condition as a function; for a constraint, a new one each time."""
        if self.stated is not None:
            return self.stated
        assert self.constraint is not None
        return self.constraint.tester()

    @property
    def field(self) -> str | None:
        """The name of the field that it tests, where it is a constraint on one."""
        return self.constraint.field.key if isinstance(self.constraint, Constraint) else None

    @property
    def allowed(self) -> Allowed | None:
        """The values of the field that satisfy it before negation, where it is a constraint on one."""
        return self.constraint.allowed if isinstance(self.constraint, Constraint) else None


def constrained(text: str, constraint: Constraint) -> Predicate:
    """Make a predicate from a constraint alone."""
    return Predicate(text, None, constraint.field.got, constraint, constraint.negated)


def combined(
    text: str, several: Several, got: Callable[[Context], Text], *, negated: bool = False
) -> Predicate:
    """Make a predicate of several constraints; arguments as the attributes of :class:`Predicate`."""
    return Predicate(text, None, got, several, negated)


def fact_predicate(
    text: str,
    test: Callable[[Context], Truth],
    got: Callable[[Context], Text],
    *,
    negated: bool = False,
    same: tuple[Any, ...] = (),
) -> Predicate:
    """Make a predicate from any function; `negated` inverts what `test` returns. See :class:`Predicate` for `same`."""
    if not negated:
        return Predicate(text, test, got, same=same)
    return Predicate(text, lambda context: negate(test(context)), got, negated=True, same=same)


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


VerdictKind = Literal["CONTINUE", "ACCEPT", "DROP", "REJECT", "RETURN", "JUMP", "GOTO", "QUEUE", "STOLEN"]


class Verdict(NamedTuple):
    """What a target decides.

    Attributes:
        kind: what the walk does next. QUEUE: handed to user space; STOLEN: the target keeps the packet
            and replies itself.
        chain: where to, for JUMP and GOTO.
        detail: a few words for the trace on what the target did ("icmp-port-unreachable").
    """

    kind: VerdictKind
    chain: str | None = None
    detail: Text = ""


class Translation(NamedTuple):
    """A network address translation that a nat target requests; the walk carries it out.

    Attributes:
        target: DNAT, SNAT, MASQUERADE, REDIRECT, NETMAP.
        side: "dst" or "src": the address and port that are rewritten.
        addresses: first and last address, or None to keep (MASQUERADE and REDIRECT: the host's own).
        ports: first and last port, or None to keep.
        base_port: the port that the range is shifted from (`5000-5010/4000`).
        netmap: prefix mask, where the host part is kept.
        random: the kernel picks the port at random.
        persistent: the address choice depends on the source alone.
    """

    target: str
    side: Literal["dst", "src"]
    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    base_port: int | None = None
    netmap: int | None = None
    random: bool = False
    persistent: bool = False


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


CONTINUE = Verdict("CONTINUE")
