"""Values of the TOS byte (IPv6: traffic class) and its six DSCP bits, as the TOS and DSCP extensions write them."""

from __future__ import annotations

from typing import NamedTuple

from iptsim.extensions.options import Value
from iptsim.extensions.values import NoSuchWord, integer
from iptsim.languages import message

#: Symbolic names that iptables knows, by their value.
TOS_NAMES = {
    "Minimize-Delay": 0x10,
    "Maximize-Throughput": 0x08,
    "Maximize-Reliability": 0x04,
    "Minimize-Cost": 0x02,
    "Normal-Service": 0x00,
}
#: The mask that a symbolic name implies: all but the ECN bits, as in iptables.
SYMBOLIC_MASK = 0x3F


class Tos(NamedTuple):
    """A TOS value and the bits that count.

    Attributes:
        value: the bits.
        mask: which bits are tested or set.
    """

    value: int
    mask: int = 0xFF

    def __str__(self) -> str:
        return f"{self.value:#04x}/{self.mask:#04x}"

    def says(self) -> str:
        """Return the value in words: its name where it has one.

        >>> Tos(0x10, 0x3F).says(), Tos(0x10).says()
        ('0x10 (Minimize-Delay)', '0x10')
        """
        if self.mask == SYMBOLIC_MASK:
            for name, value in TOS_NAMES.items():
                if value == self.value:
                    return f"{self.value:#04x} ({name})"
        return f"{self.value:#04x}" if self.mask == 0xFF else str(self)


def parse_tos(text: str) -> Tos:
    """Read `value`, `value/mask` or a symbolic name.

    Raises:
        ValueError: neither.

    >>> str(parse_tos("minimize-delay")), str(parse_tos("16"))
    ('0x10/0x3f', '0x10/0xff')
    """
    if text[:1].isdigit():
        value, slash, mask = text.partition("/")
        return Tos(integer(value, 0, 0xFF), integer(mask, 0, 0xFF) if slash else 0xFF)
    for name, number in TOS_NAMES.items():
        if name.lower() == text.lower():
            return Tos(number, SYMBOLIC_MASK)
    raise ValueError(
        message(
            "unknown TOS {text!r}; choose from: a number, {choices}", text=text, choices=", ".join(TOS_NAMES)
        )
    )


TOS = Value("a TOS value with or without /mask (0x10/0x3f), or a name (Minimize-Delay)", parse_tos)


# -- DSCP -----------------------------------------------------------------------------------------------

#: DiffServ classes by name (extensions/dscp_helper.c).
CLASSES: dict[str, int] = {
    **{f"CS{number}": number << 3 for number in range(8)},
    "BE": 0,
    **{f"AF{number}{drop}": number << 3 | drop << 1 for number in range(1, 5) for drop in range(1, 4)},
    "EF": 0x2E,
}


def dscp_text(dscp: int) -> str:
    """Show a DSCP, with its class.

    >>> dscp_text(0x0A), dscp_text(3)
    ('0x0a (AF11)', '0x03')
    """
    name = next((name for name, value in CLASSES.items() if value == dscp), None)
    return f"{dscp:#04x} ({name})" if name else f"{dscp:#04x}"


def _parse_class(text: str) -> int:
    if text.upper() not in CLASSES:
        raise NoSuchWord(
            message(
                "unknown DiffServ class {text!r}; choose from: {choices}",
                text=text,
                choices=", ".join(CLASSES),
            ),
            text,
            CLASSES,
        )
    return CLASSES[text.upper()]


DSCP = Value("a DSCP from 0 to 63", lambda text: integer(text, 0, 63), lambda value: f"{value:#04x}")
DSCP_CLASS = Value("a DiffServ class (AF11, CS1, EF, BE)", _parse_class, DSCP.format)
