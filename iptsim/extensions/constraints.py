"""Conditions as data: a field, and the values of it that satisfy the condition.

The walk of a packet, the explanation of a miss and the search for rules that never match read the same data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from iptsim.connection import Connection
from iptsim.extensions.context import Context
from iptsim.languages import Message, Text, message
from iptsim.packet import PARTLY_KNOWN
from iptsim.partly_known import Bits, PartlyKnown, bits_of_range
from iptsim.truth import Truth, Unknown

#: The integers from a first to a last, both included; none if the first is greater than the last.
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Masked:
    """The integers x with x & mask == value."""

    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Names:
    """A set of words, or of other single values."""

    names: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Some:
    """Sets of words or numbers that contain at least one of these."""

    members: frozenset[Any]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The name of an interface, or a prefix of it with a `+` at the end."""

    text: str


class Values(Protocol):
    """Values of another kind, which only one extension knows; plain data that can be compared."""

    def allows(self, value: Any) -> bool:
        """Return whether a value is one of them."""


Allowed = Ranges | Masked | Names | Some | Pattern | Values


@dataclass(frozen=True, slots=True)
class Field:
    """A value that a packet has where a rule tests it.

    Attributes:
        key: its name; fields of the same name have the same value in the same packet, if it is known. In later
            fragments they may differ: how a header is read there depends on the match.
        read: returns the value; None if the packet has none, Unknown if it cannot be known.
        got: the packet's side in words, for explanations: "its TTL is 63".
        attribute: the name of the packet's attribute, if it is one.
        steady: an unknown value is the same for each rule that tests the field.
        unknown: why it is never known, if no question and no capture can state the value.
    """

    key: str
    read: Callable[[Context], Any]
    got: Callable[[Context], Text]
    attribute: str = ""
    steady: bool = True
    unknown: Unknown | None = None


def look(context: Context, field: str) -> Any:
    """Return a packet field, and note if the question left it open."""
    if field in context.packet.defaults:
        context.consulted.add(field)
    return getattr(context.packet, field)


def packet_field(attribute: str, name: Text = "", show: Callable[[Any], Any] = str) -> Field:
    """Make a field that is an attribute of the packet.

    Args:
        attribute: of :class:`~iptsim.packet.Packet`.
        name: in plain words, for "its {name} is {value}"; empty for the attribute's own name.
        show: how a value is shown.
    """
    name = name or attribute

    def got(context: Context) -> Message:
        value = getattr(context.packet, attribute)
        if value is None:
            return message("it has no {name}", name=name)
        return message("its {name} is {value}", name=name, value=show(value))

    return Field(attribute, lambda context: look(context, attribute), got, attribute)


def fact_field(name: str, unknown: Unknown, got: Callable[[Any], Text], read: Callable[[Any], Any]) -> Field:
    """Make a field that the question or the capture states (`--set cpu=2`).

    Args:
        name: the name of the fact.
        unknown: what is missing if it is not stated.
        got: the fact in words; None if it is not stated.
        read: the fact -> the value.
    """

    def value(context: Context) -> Any:
        stated = context.surroundings.fact(name)
        return unknown if stated is None else read(stated)

    return Field(f"fact.{name}", value, lambda context: got(context.surroundings.fact(name)))


#: The packet's side in words, for a packet without a connection.
NOT_TRACKED = message("it belongs to no tracked connection")


def connection_value(
    name: str, read: Callable[[Connection], Any], got: Callable[[Connection], Text], *, steady: bool = True
) -> Field:
    """Make a field of the packet's connection, which it may not have.

    Args:
        name: the name of the value.
        read: the connection -> the value.
        got: the value in words.
        steady: as for :class:`Field`.
    """
    return Field(
        f"ct.{name}",
        lambda context: None if context.connection is None else read(context.connection),
        lambda context: NOT_TRACKED if context.connection is None else got(context.connection),
        steady=steady,
    )


@dataclass(frozen=True, slots=True)
class Constraint:
    """A condition on one field.

    Attributes:
        field: what it tests.
        allowed: the values that satisfy it, before negation.
        negated: whether all other values do.
        absent: the result for a packet that has no such field, after negation.
    """

    field: Field
    allowed: Allowed
    negated: bool = False
    absent: Truth = False

    @property
    def meaning(self) -> tuple[Any, ...]:
        """A key that is equal for conditions that hold for the same packets."""
        return self.field.key, self.allowed, self.negated, self.absent

    def tester(self) -> Callable[[Context], Truth]:
        """Return the test on a packet."""
        inside, negated, absent = membership(self.allowed), self.negated, self.absent
        read, attribute, steady = self.field.read, self.field.attribute, self.field.steady

        def test_packet(context: Context) -> Truth:
            packet = context.packet
            if attribute in packet.defaults:
                context.consulted.add(attribute)
            value = getattr(packet, attribute)
            return absent if value is None else inside(value) is not negated

        def test(context: Context) -> Truth:
            value = read(context)
            if value is None:
                return absent
            if isinstance(value, Unknown):
                return (
                    value if value.key or not steady else value._replace(key=(self.field.key, self.allowed))
                )
            if isinstance(value, PartlyKnown):
                return self._test_bits(value)
            return inside(value) is not negated

        return test_packet if attribute and attribute not in PARTLY_KNOWN else test

    def _test_bits(self, number: PartlyKnown) -> Truth:
        """Return the test on a number that is partly known."""
        wanted, negated = _bits(self.allowed), self.negated
        result = None if wanted is None else number.test(wanted)
        if isinstance(result, bool):
            return result is not negated
        reason = number.reason
        learn = None if result is None else lambda truth: result(truth is not negated)
        return Unknown(reason.reason, reason.decide, learn=learn)

    def implies(self, other: Constraint | Several) -> bool:
        """Return whether every packet that satisfies this condition certainly satisfies another."""
        if isinstance(other, Several):
            return (all if other.every else any)(map(self.implies, other.parts))
        if self.field.key != other.field.key:
            return False
        if self.meaning == other.meaning:
            return True
        if self.negated is not other.negated or (self.absent is not False and other.absent is not True):
            return False
        wide, narrow = (self, other) if self.negated else (other, self)
        return _includes(wide.allowed, narrow.allowed)


@dataclass(frozen=True, slots=True)
class Several:
    """Several conditions combined into one.

    Attributes:
        parts: the conditions.
        every: whether all of them must hold, or at least one.
    """

    parts: tuple[Constraint | Several, ...]
    every: bool

    @property
    def meaning(self) -> tuple[Any, ...]:
        """A key that is equal for conditions that hold for the same packets."""
        return self.every, tuple(part.meaning for part in self.parts)

    def tester(self) -> Callable[[Context], Truth]:
        """Return the test on a packet. If several parts are unknown, the last one gives the reason."""
        tests, every = tuple(part.tester() for part in self.parts), self.every

        def test(context: Context) -> Truth:
            open_parts = []
            for one in tests:
                truth = one(context)
                if truth is not every:
                    if not isinstance(truth, Unknown):
                        return truth
                    open_parts.append(truth)
            return _together(open_parts, every) if open_parts else every

        return test

    def implies(self, other: Constraint | Several) -> bool:
        """Return whether every packet that satisfies this condition certainly satisfies another."""
        if self.meaning == other.meaning:
            return True
        if isinstance(other, Several):
            if other.every:
                return all(map(self.implies, other.parts))
            if any(map(self.implies, other.parts)):
                return True
        return (any if self.every else all)(part.implies(other) for part in self.parts)


def _together(parts: list[Unknown], every: bool) -> Unknown:
    """Return what several unknown parts are together, of which every one must hold, or at least one."""
    answer = parts[-1]
    if len(parts) == 1 or all(part.learn is None for part in parts):
        return answer

    def learn(truth: bool) -> None:
        if truth is every:
            for part in parts:
                if part.learn is not None:
                    part.learn(truth)

    return answer._replace(learn=learn)


def all_of(*parts: Constraint | Several) -> Several:
    """Return the condition that all parts hold."""
    return Several(parts, every=True)


def one_of(*parts: Constraint | Several) -> Several:
    """Return the condition that at least one part holds."""
    return Several(parts, every=False)


def membership(allowed: Allowed) -> Callable[[Any], bool]:
    """Return the test whether a value is allowed."""
    if isinstance(allowed, Masked):
        wanted, mask = allowed.value, allowed.mask
        return lambda value: bool(value & mask == wanted)
    if isinstance(allowed, Names):
        return allowed.names.__contains__
    if isinstance(allowed, Some):
        members = allowed.members
        return lambda value: not members.isdisjoint(value)
    if isinstance(allowed, Pattern):
        return lambda value: interface_matches(allowed.text, value)
    if not isinstance(allowed, tuple):
        return allowed.allows
    if len(allowed) == 1:
        ((low, high),) = allowed
        return lambda value: low <= value <= high
    return lambda value: any(low <= value <= high for low, high in allowed)


def _bits(allowed: Allowed) -> list[Bits] | None:
    """Return the 32-bit numbers that are allowed; None if they are described in another way."""
    if isinstance(allowed, Masked):
        return [] if allowed.value & ~allowed.mask else [Bits(allowed.value, allowed.mask)]
    if isinstance(allowed, tuple):
        return [bits for low, high in allowed for bits in bits_of_range(low, high)]
    if isinstance(allowed, Names):
        return [bits for number in allowed.names for bits in bits_of_range(number, number)]
    return None


def _includes(wide: Allowed, narrow: Allowed) -> bool:
    """Return whether one set contains all values of another set of the same kind."""
    if isinstance(wide, Masked) and isinstance(narrow, Masked):
        return narrow.mask & wide.mask == wide.mask and narrow.value & wide.mask == wide.value
    if isinstance(wide, Names) and isinstance(narrow, Names):
        return narrow.names <= wide.names
    if isinstance(wide, Some) and isinstance(narrow, Some):
        return narrow.members <= wide.members
    if isinstance(wide, Pattern) and isinstance(narrow, Pattern):
        return wide.text.endswith("+") and narrow.text.startswith(wide.text[:-1])
    if isinstance(wide, tuple) and isinstance(narrow, tuple):
        return all(any(low <= first and last <= high for low, high in wide) for first, last in narrow)
    return False


def unsteady(constraint: Constraint | Several) -> Constraint | Several:
    """Return a condition whose unknown value need not be the same for each rule."""
    if isinstance(constraint, Several):
        return replace(constraint, parts=tuple(map(unsteady, constraint.parts)))
    return replace(constraint, field=replace(constraint.field, steady=False))


def interface_matches(pattern: str, interface: str | None) -> bool:
    """Return whether an interface matches a pattern; no interface counts as an empty name.

    >>> interface_matches("eth+", "eth0"), interface_matches("eth", "eth0"), interface_matches("+", None)
    (True, False, True)
    """
    name = interface or ""
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def undecided(key: str, unknown: Unknown, got: Text) -> Constraint:
    """Make a condition that cannot be decided; without a key in `unknown`, each evaluation may have another result."""
    field = Field(key, lambda context: unknown, lambda context: got, steady=False, unknown=unknown)
    return Constraint(field, named(True))


def equal(value: int) -> Ranges:
    """Return the integers that are equal to a value."""
    return ((value, value),)


def below(value: int) -> Ranges:
    """Return the integers from 0 to below a value."""
    return ((0, value - 1),)


def above(value: int) -> Ranges:
    """Return the integers that are above a value."""
    return ((value + 1, _GREATEST),)


def between(span: tuple[int, int]) -> Ranges:
    """Return the integers of a range."""
    return (span,)


def named(name: Any) -> Names:
    """Return the one name that is allowed."""
    return Names(frozenset((name,)))


def one_member(member: Any) -> Some:
    """Return the sets that have a member."""
    return Some(frozenset((member,)))


def some_member(members: tuple[Any, ...]) -> Some:
    """Return the sets that have at least one of these members."""
    return Some(frozenset(members))


#: No number in a packet is greater.
_GREATEST = (1 << 128) - 1
