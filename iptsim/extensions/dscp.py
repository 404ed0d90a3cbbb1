"""DSCP values as `-m dscp` and `-j DSCP` write them: numbers and DiffServ classes."""

from __future__ import annotations

from iptsim.extensions.base import Value
from iptsim.extensions.values import NoSuchWord, integer
from iptsim.languages import message

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
