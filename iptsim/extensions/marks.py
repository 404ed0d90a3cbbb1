"""The options by which MARK and CONNMARK change a mark: all of them clear bits and flip others."""

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.options import Option, Value
from iptsim.extensions.values import MARK, MaskedNumber, integer
from iptsim.languages import Message, message
from iptsim.partly_known import Mark

ALL_BITS = 0xFFFFFFFF
BITS = Value("a 32-bit number (0xff)", integer, hex)


def clear_and_flip(mark: Mark, mask: int, value: Mark) -> Mark:
    """Return a mark with the bits of the mask cleared, and then those of the value flipped.

    >>> clear_and_flip(0x0F, 0x3, 0x1) == 0xD
    True
    """
    return (mark & ~mask & ALL_BITS) ^ value


def change_text(change: MaskedNumber) -> str:
    """Print a change as `--set-xmark` does, always with its mask."""
    return f"{change.value:#x}/{change.mask:#x}"


class MarkChange(Target):
    """A target that changes a mark by `--set-xmark` or one of the mnemonics for it."""

    options: ClassVar[tuple[Option, ...]] = (
        Option("--set-xmark", "set_xmark", MARK),
        Option("--set-mark", "set_mark", MARK),
        Option("--and-mark", "and_mark", BITS),
        Option("--or-mark", "or_mark", BITS),
        Option("--xor-mark", "xor_mark", BITS),
    )

    set_xmark: MaskedNumber | None = None
    set_mark: MaskedNumber | None = None
    and_mark: int | None = None
    or_mark: int | None = None
    xor_mark: int | None = None

    @property
    def change(self) -> MaskedNumber | None:
        """The bits to clear and to flip, to which iptables reduces all five options; None without any of them."""
        if self.set_xmark is not None:
            return self.set_xmark
        if self.set_mark is not None:
            return MaskedNumber(self.set_mark.value, self.set_mark.mask | self.set_mark.value)
        if self.and_mark is not None:
            return MaskedNumber(0, ~self.and_mark & ALL_BITS)
        if self.or_mark is not None:
            return MaskedNumber(self.or_mark, self.or_mark)
        if self.xor_mark is not None:
            return MaskedNumber(self.xor_mark, 0)
        return None


def listed_change(change: MaskedNumber) -> str:
    """Return a change as listings print it.

    >>> listed_change(MaskedNumber(0x4000, 0x4000)), listed_change(MaskedNumber(7))
    ('or 0x4000', 'set 0x7')
    """
    value, mask = change
    if value == 0:
        return f"and {~mask & ALL_BITS:#x}"
    if value == mask:
        return f"or {value:#x}"
    if mask == 0:
        return f"xor {value:#x}"
    return f"set {value:#x}" if mask == ALL_BITS else f"xset {change_text(change)}"


def says_change(change: MaskedNumber, what: Message) -> Message:
    """Return a change of a mark in plain words; `what` names the mark.

    >>> str(says_change(MaskedNumber(0x4000, 0x4000), message("the packet's mark")))
    "set bits 0x4000 of the packet's mark"
    """
    value, mask = change
    if mask == ALL_BITS:
        return message("set {what} to {value:#x}", what=what, value=value)
    if mask == 0 and not value:
        return message("leave {what} as it is", what=what)
    if mask == 0:
        return message("flip bits {value:#x} of {what}", value=value, what=what)
    if value == 0:
        return message("clear bits {mask:#x} of {what}", mask=mask, what=what)
    if value == mask:
        return message("set bits {value:#x} of {what}", value=value, what=what)
    if value & ~mask == 0:
        return message("set bits {mask:#x} of {what} to {value:#x}", mask=mask, what=what, value=value)
    return message(
        "clear bits {mask:#x} of {what}, then flip bits {value:#x}", mask=mask, what=what, value=value
    )
