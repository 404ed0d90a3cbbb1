"""ICMP types and codes by number and by name, for `-m icmp` and `-m icmp6`."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Field, Masked
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.values import NoSuchWord, integer
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown

#: Type and code by name; the code is None where a name means every code of its type.
Names = Mapping[str, tuple[int, int | None]]
_NO_TYPE = Unknown(message("the packet's ICMP type"), "--set icmp_type=N")
#: The type that `any` means in `-m icmp`: every ICMP packet has it.
ANY = 255


class IcmpType(NamedTuple):
    """The value of `--icmp-type`.

    Attributes:
        type: the ICMP type.
        code: the code, None for any.
    """

    type: int
    code: int | None = None

    def __str__(self) -> str:
        return str(self.type) if self.code is None else f"{self.type}/{self.code}"


def icmp_value(names: Names, expected: Text) -> Value:
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
                message("unknown ICMP type {text!r}; give a name, a number or TYPE/CODE", text=text),
                text,
                names,
            )
        if len(exact) > 1:
            raise ValueError(
                message("ambiguous ICMP type {text!r}: {choices}", text=text, choices=" or ".join(exact))
            )
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


class IcmpMatch(Match):
    """A match on the type and code of ICMP. A later fragment has neither, so it never matches, even with `!`."""

    #: the protocol's number, and the names of its types
    protocol: ClassVar[int]
    names: ClassVar[Names]

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        """Return the condition on type and code, one byte each."""
        field = Field(
            field.key,
            partial(self._read, wanted=value),
            partial(self._got, with_code=value.code is not None),
        )
        if self._is_any(value):
            allowed = Masked(0, 0)
        elif value.code is None:
            allowed = Masked(value.type << 8, 0xFF00)
        else:
            allowed = Masked(value.type << 8 | value.code, 0xFFFF)
        return Constraint(field, allowed, option.field in self.negated)

    @classmethod
    def _is_any(cls, value: IcmpType) -> bool:
        return value.type == ANY and "any" in cls.names

    @classmethod
    def _read(cls, context: Context, wanted: IcmpType) -> int | Unknown | None:
        """Return type and code, one byte each, as far as they matter to a condition."""
        packet = context.packet
        if packet.proto != cls.protocol or packet.is_later_fragment:
            return None
        if cls._is_any(wanted):
            return (packet.icmp_type or 0) << 8 | (packet.icmp_code or 0)
        context.consulted.update(packet.defaults & {"icmp_type", "icmp_code"})
        if packet.icmp_type is None:
            return _NO_TYPE
        if packet.icmp_code is None and wanted.code is not None and packet.icmp_type == wanted.type:
            return Unknown(message("the packet's ICMP code"), "--set icmp_code=N", ("icmp", wanted))
        return packet.icmp_type << 8 | (packet.icmp_code or 0)

    @classmethod
    def _got(cls, context: Context, with_code: bool) -> Text:
        packet = context.packet
        if packet.proto != cls.protocol:
            return message("it is not an ICMP packet")
        if packet.is_later_fragment:
            return message("a later fragment carries no ICMP type")
        if packet.icmp_type is None:
            return message("its ICMP type was not stated")
        shown = icmp_text(cls.names, packet.icmp_type, packet.icmp_code if with_code else None)
        return message("its ICMP type is {shown}", shown=shown)


def icmp_option(flag: str, field: str, names: Names, expected: Text) -> Option:
    """Make the option of a match on ICMP."""
    reads = Field("icmp_type", lambda context: context.packet.icmp_type, lambda context: "")
    return Option(
        flag, field, icmp_value(names, expected), True, reads=reads, phrase=partial(_says, names=names),
        listed=_listed,
    )  # fmt: skip


def _says(wanted: IcmpType, negated: bool, names: Names) -> Text:
    if wanted.type == ANY and "any" in names:
        return message_if(negated, "of no ICMP type", "of any ICMP type")
    return message_if(
        negated,
        "not of ICMP type {value}",
        "of ICMP type {value}",
        value=icmp_text(names, wanted.type, wanted.code),
    )


def _listed(wanted: IcmpType, negated: bool) -> str:
    code = "" if wanted.code is None else f" code {wanted.code}"
    return f"{' !' if negated else ''}type {wanted.type}{code}"
