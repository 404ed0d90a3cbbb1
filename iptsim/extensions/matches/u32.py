"""`-m u32`: tests on numbers of four bytes anywhere in the packet (net/netfilter/xt_u32.c).

The grammar of the tests is `grammars/u32.lark`. Reading beyond the packet's end makes the whole match
false, before negation. Unknown bits are followed through the arithmetic, so that a test is decided if they make no
difference.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from lark import Token, Transformer
from lark.exceptions import UnexpectedInput, VisitError

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate, fact_predicate
from iptsim.extensions.values import integer
from iptsim.extensions.wire import WireBytes, wire_bytes
from iptsim.grammar import parser
from iptsim.languages import Text, message, message_if, message_joined, text_of
from iptsim.ranges import complement
from iptsim.truth import Truth, Unknown

_MOST = 10
_LAST = 0xFFFFFFFF


class Step(NamedTuple):
    """An operator with its number: `&`, `<<`, `>>`, or `@`, which moves on and reads again."""

    operator: str
    number: int


class U32Test(NamedTuple):
    """A test: the number at an offset, after the steps, must be in one of the ranges."""

    offset: int
    steps: tuple[Step, ...]
    ranges: Ranges

    def __str__(self) -> str:
        steps = "".join(f"{step.operator}{step.number:#x}" for step in self.steps)
        ranges = (f"{low:#x}" if low == high else f"{low:#x}:{high:#x}" for low, high in self.ranges)
        return f"{self.offset:#x}{steps}={','.join(ranges)}"


class _Tests(Transformer[Token, tuple[U32Test, ...]]):
    """Builds the tests from the parse tree, within the limits of iptables."""

    def NUMBER(self, token: Token) -> int:  # noqa: N802 - the name of the terminal
        return integer(str(token))

    def range(self, numbers: list[int]) -> tuple[int, int]:
        return numbers[0], numbers[-1]

    def values(self, ranges: list[tuple[int, int]]) -> Ranges:
        return tuple(_limited(ranges, "ranges in a value"))

    def step(self, parts: list[Any]) -> Step:
        return Step(str(parts[0]), parts[1])

    def location(self, parts: list[Any]) -> tuple[int, tuple[Step, ...]]:
        _limited(parts, "numbers in a location")
        for step in parts[1:]:
            if step.operator in ("<<", ">>") and step.number > 31:
                raise ValueError(message("a 32-bit number can't be shifted by {number}", number=step.number))
        return parts[0], tuple(parts[1:])

    def test(self, parts: list[Any]) -> U32Test:
        (offset, steps), ranges = parts
        return U32Test(offset, steps, ranges)

    def start(self, tests: list[U32Test]) -> tuple[U32Test, ...]:
        return tuple(_limited(tests, "tests"))


def _limited(items: list[Any], what: str) -> list[Any]:
    if len(items) > _MOST:
        raise ValueError(message("more than {most} {what}", most=_MOST, what=what))
    return items


def parse_tests(text: str) -> tuple[U32Test, ...]:
    """Read the tests of `--u32`.

    Raises:
        ValueError: they break the grammar or iptables' limits; the text says where or how.

    >>> " && ".join(map(str, parse_tests("6 & 0xFF = 6 && 4 = 1,2:3")))
    '0x6&0xff=0x6 && 0x4=0x1,0x2:0x3'
    """
    try:
        tests: Any = _Tests().transform(parser("u32").parse(text))
    except UnexpectedInput as error:
        position: Any = error.pos_in_stream
        at = position or 0
        raise ValueError(
            message("the u32 test is invalid at character {at}: {text!r}", at=at + 1, text=text[at:])
        ) from None
    except VisitError as error:
        raise ValueError(text_of(error.orig_exc)) from None
    found: tuple[U32Test, ...] = tests
    return found


class U32(Match):
    """Numbers in the packet's data."""

    name: ClassVar[str] = "u32"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--u32",
            "u32",
            Value(
                'tests on the packet\'s data ("6&0xFF=17")',
                parse_tests,
                lambda tests: '"' + "&&".join(map(str, tests)) + '"',
            ),
            True,
        ),
    )

    u32: tuple[U32Test, ...]

    def predicates(self) -> tuple[Predicate, ...]:
        key = ("u32", self.u32)
        unknown = Unknown(message("data of the packet that was not stated"), "--set payload_hex=...", key)

        def test(context: Context) -> Truth:
            data = wire_bytes(context.packet)
            undecided = False
            for one in self.u32:
                truth = _holds(one, data, context)
                if truth is False:
                    return False
                undecided = undecided or truth is None
            return unknown if undecided else True

        def got(context: Context) -> Text:
            shown = []
            for one in self.u32:
                result = _run(one, wire_bytes(context.packet), context)
                shown.append(_PLACES.get(result, "") if isinstance(result, str) else _shown(*result))
            return message("the data there is {shown}", shown=message_joined(", ", shown))

        return (fact_predicate(self.save(), test, got, negated=bool(self.negated), same=key),)

    def lists(self, form: ListingForm) -> str:
        return f' u32{self.bang("u32", " !")} "{"&&".join(map(str, self.u32))}"'

    def says(self) -> Text:
        return message_if(
            self.negated,
            "whose data does not pass the u32 test {u32}",
            "whose data passes the u32 test {u32}",
            u32=" && ".join(map(str, self.u32)),
        )


#: What :func:`_run` may return instead of a number.
_PLACES = {"end": message("beyond its end"), "open": message("at an unknown place")}


def _shown(value: int, known: int) -> Text:
    return f"{value:#x}" if known == _LAST else message("{value:#x} with unknown bits", value=value)


def _run(test: U32Test, data: WireBytes, context: Context) -> tuple[int, int] | str:
    """Return the number that a test's location yields, with the mask of its known bits.

    "end" if it is beyond the packet, "open" if its position is unknown.
    """
    at = 0
    found = data.number(context, test.offset, 4)
    for operator, number in test.steps:
        if found is None:
            return "end"
        value, known = found
        if operator == "&":
            found = value & number, known | ~number & _LAST
        elif operator == "<<":
            found = value << number & _LAST, (known << number | (1 << number) - 1) & _LAST
        elif operator == ">>":
            found = value >> number, known >> number | ~(_LAST >> number) & _LAST
        elif known != _LAST:
            return "open"
        else:
            at += value
            found = data.number(context, at + number, 4)
    return "end" if found is None else found


def _holds(test: U32Test, data: WireBytes, context: Context) -> bool | None:
    """Return whether a test holds; None if it depends on unknown bits."""
    result = _run(test, data, context)
    if isinstance(result, str):
        return False if result == "end" else None
    if not any(_may_lie(low, high, *result) for low, high in test.ranges):
        return False
    ordered = tuple(pair for pair in test.ranges if pair[0] <= pair[1])
    return None if any(_may_lie(low, high, *result) for low, high in complement(ordered, _LAST)) else True


def _may_lie(low: int, high: int, value: int, known: int) -> bool:
    """Return whether a number with these known bits may be between `low` and `high`."""
    least = _least(low, value, known)
    return least is not None and least <= high


def _least(low: int, value: int, known: int) -> int | None:
    """Return the least number from `low` on that has the known bits; None if there is none."""
    if low & known == value:
        return low
    for bit in range(32):
        # a number that agrees with `low` above this bit, is greater in it, and is as small as can be below
        above = ~((2 << bit) - 1) & _LAST
        can_be_set = not low >> bit & 1 and (value | ~known) >> bit & 1
        if can_be_set and not (low ^ value) & known & above:
            return low & above | 1 << bit | value & (1 << bit) - 1
    return None


EXTENSIONS = (U32,)
