"""ICMP types and codes by number and by name, for `-m icmp` and `-m icmp6`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from iptsim.extensions.base import Predicate, Value, constrained
from iptsim.extensions.constraints import Constraint, Field, equal
from iptsim.extensions.headers import is_later_fragment
from iptsim.extensions.values import NoSuchWord, integer
from iptsim.languages import later, say, say_if
from iptsim.packet import Context, Truth, Unknown

#: Type and code by name; the code is None where a name stands for every code of its type.
Names = Mapping[str, tuple[int, int | None]]
_NOT_STATED = Unknown(later("the packet's ICMP type"), "--set icmp_type=N")
#: The type that `any` stands for in `-m icmp`: it fits every ICMP packet.
ANY = 255


class IcmpType(NamedTuple):
    """What `--icmp-type` asks for.

    Attributes:
        type: the ICMP type.
        code: the code, None for any.
    """

    type: int
    code: int | None = None

    def __str__(self) -> str:
        return str(self.type) if self.code is None else f"{self.type}/{self.code}"


def icmp_value(names: Names, expected: str) -> Value:
    """Make the value of an option that takes an ICMP type: a number, `type/code` or a name."""

    def parse(text: str) -> IcmpType:
        if text[:1].isdigit():
            type_text, slash, code_text = text.partition("/")
            number = integer(type_text, 0, 255)
            code = integer(code_text, 0, 255) if slash and code_text != "0:255" else None
            return IcmpType(number, code)
        found = [name for name in names if name.lower().startswith(text.lower())]
        exact = [name for name in found if len(name) == len(text)] or found
        if not exact:
            raise NoSuchWord(
                f"{text!r} is not an ICMP type: its number or type/code works as well", text, names
            )
        if len(exact) > 1:
            raise ValueError(f"{text!r} may be {' or '.join(exact)}")
        return IcmpType(*names[exact[0]])

    def text(icmp_type: IcmpType) -> str:
        return "any" if icmp_type == (ANY, None) and "any" in names else str(icmp_type)

    return Value(expected, parse, text)


def icmp_text(names: Names, number: int, code: int | None) -> str:
    """Show a type and code with their name.

    >>> icmp_text({"echo-request": (8, None)}, 8, 0)
    '8/0 (echo-request)'
    """
    numbers = str(number) if code is None else f"{number}/{code}"
    for wanted in (code, None):
        for name, known in names.items():
            if known == (number, wanted):
                return f"{numbers} ({name})"
    return numbers


def listed_icmp(icmp_type: IcmpType | None, not_: str) -> str:
    """Return a type and code as a listing has them, behind the protocol's name and `not_`."""
    if icmp_type is None:
        return ""
    return f"{not_}type {icmp_type.type}" + ("" if icmp_type.code is None else f" code {icmp_type.code}")


def icmp_predicate(text: str, wanted: IcmpType, protocol: int, names: Names, negated: bool) -> Predicate:
    """Make a predicate on type and code; a later fragment has neither, and it is false, negated or not."""
    fits_all = wanted.type == ANY and "any" in names

    def test(context: Context) -> Truth:
        kind, code = read(context), context.packet.icmp_code
        if kind != wanted.type:
            return plain.test(context)
        if code is None:
            return Unknown(later("the packet's ICMP code"), "--set icmp_code=N", ("icmp", wanted))
        return (code == wanted.code) is not negated

    def read(context: Context) -> int | Unknown | None:
        if context.packet.proto != protocol or is_later_fragment(context.packet):
            return None
        if fits_all:
            return ANY
        context.consulted.update(context.packet.defaults & {"icmp_type", "icmp_code"})
        return _NOT_STATED if context.packet.icmp_type is None else context.packet.icmp_type

    def got(context: Context) -> str:
        packet = context.packet
        if packet.proto != protocol:
            return say("it is no ICMP packet")
        if is_later_fragment(packet):
            return say("a later fragment carries no ICMP type")
        if packet.icmp_type is None:
            return say("its ICMP type was not stated")
        shown = icmp_text(names, packet.icmp_type, packet.icmp_code if wanted.code is not None else None)
        return say("its ICMP type is {shown}", shown=shown)

    allowed = ((0, ANY),) if fits_all else equal(wanted.type)
    plain = constrained(text, Constraint(Field("icmp_type", read, got), allowed, negated))
    return plain if wanted.code is None or fits_all else Predicate(text, test, got, negated=negated)


def icmp_says(wanted: IcmpType, names: Names, negated: bool) -> str:
    """Return the type in words."""
    if wanted.type == ANY and "any" in names:
        return say("of no ICMP type at all") if negated else say("of any ICMP type")
    return say_if(
        negated,
        "not of ICMP type {names}",
        "of ICMP type {names}",
        names=icmp_text(names, wanted.type, wanted.code),
    )
