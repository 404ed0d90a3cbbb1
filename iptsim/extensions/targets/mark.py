"""`-j MARK` and `-j CONNMARK`: change the mark of packet or connection (net/netfilter/xt_mark.c, xt_connmark.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.checks import demand_one, given
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.marks import (
    ALL_BITS,
    BITS,
    MarkChange,
    change_text,
    clear_and_flip,
    listed_change,
    says_change,
)
from iptsim.extensions.options import Option
from iptsim.extensions.values import MaskedNumber, integer_value
from iptsim.extensions.verdicts import CONTINUE, Verdict
from iptsim.languages import Text, message, message_if
from iptsim.partly_known import Mark as Marked


class Mark(MarkChange):
    """Change the mark that later rules, and routing by `ip rule fwmark`, use."""

    name: ClassVar[str] = "MARK"

    def check(self) -> None:
        demand_one(self, "set_xmark", "set_mark", "and_mark", "or_mark", "xor_mark")

    @property
    def _change(self) -> MaskedNumber:
        assert self.change is not None
        return self.change

    def save(self) -> str:
        """Return the change as iptables-save prints all its forms."""
        return f"--set-xmark {change_text(self._change)}"

    def apply(self, context: Context) -> Verdict:
        context.packet.mark = clear_and_flip(context.packet.mark, self._change.mask, self._change.value)
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        return f" MARK {listed_change(self._change)}"

    def says(self) -> Text:
        return says_change(self._change, message("the packet's mark"))


_SHIFT = integer_value("how many bits to shift", 0, 31)


class Connmark(MarkChange):
    """Change the mark that all packets of the connection share. A packet without a connection is not changed."""

    name: ClassVar[str] = "CONNMARK"
    options: ClassVar[tuple[Option, ...]] = (
        *MarkChange.options,
        Option("--save-mark", "save_mark"),
        Option("--restore-mark", "restore_mark"),
        Option("--nfmask", "nfmask", BITS),
        Option("--ctmask", "ctmask", BITS),
        Option("--mask", "mask", BITS),
        Option("--left-shift-mark", "left_shift_mark", _SHIFT),
        Option("--right-shift-mark", "right_shift_mark", _SHIFT),
    )

    save_mark: bool = False
    restore_mark: bool = False
    nfmask: int | None = None
    ctmask: int | None = None
    mask: int | None = None
    left_shift_mark: int | None = None
    right_shift_mark: int | None = None

    def check(self) -> None:
        demand_one(
            self, "set_xmark", "set_mark", "and_mark", "or_mark", "xor_mark", "save_mark", "restore_mark"
        )
        if self.mask is not None and given(self, "nfmask", "ctmask"):
            raise ValueError(message("--mask can't be combined with --nfmask or --ctmask"))

    @property
    def change(self) -> MaskedNumber | None:
        """The bits to clear and to flip in the connection's mark; None for a copy."""
        change = super().change
        mask = self.mask if self.mask is not None else self.ctmask
        return change if change is None or mask is None else MaskedNumber(change.value, mask)

    @property
    def masks(self) -> tuple[int, int]:
        """The bits of the packet's and of the connection's mark that are copied."""
        default = ALL_BITS if self.mask is None else self.mask
        return (
            default if self.nfmask is None else self.nfmask,
            default if self.ctmask is None else self.ctmask,
        )

    def _shifted(self, bits: Marked) -> Marked:
        # iptables keeps one shift; of two, the right one overrides
        if self.right_shift_mark:
            return bits >> self.right_shift_mark
        return bits << (self.left_shift_mark or 0) & ALL_BITS

    def save(self) -> str:
        """Return the operation as iptables-save prints it, with explicit masks."""
        if self.change is not None:
            words = f"--set-xmark {change_text(self.change)}"
        else:
            nfmask, ctmask = self.masks
            verb = "--save-mark" if self.save_mark else "--restore-mark"
            words = f"{verb} --nfmask {nfmask:#x} --ctmask {ctmask:#x}"
        if self.right_shift_mark:
            return f"{words} --right-shift-mark {self.right_shift_mark}"
        return f"{words} --left-shift-mark {self.left_shift_mark}" if self.left_shift_mark else words

    def apply(self, context: Context) -> Verdict:
        connection, packet = context.connection, context.packet
        if connection is None:
            return CONTINUE
        nfmask, ctmask = self.masks
        if self.change is not None:
            changed = clear_and_flip(connection.mark, self.change.mask, self.change.value)
            connection.mark = self._shifted(changed)
        elif self.save_mark:
            copied = self._shifted(packet.mark & nfmask)
            connection.mark = clear_and_flip(connection.mark, ctmask, copied)
        else:
            copied = self._shifted(connection.mark & ctmask)
            packet.mark = clear_and_flip(packet.mark, nfmask, copied)
        return CONTINUE

    def lists(self, form: ListingForm) -> str:
        if self.change is not None:
            text = f" CONNMARK {listed_change(self.change)}"
        else:
            nfmask, ctmask = self.masks
            text = f" CONNMARK {'save' if self.save_mark else 'restore'}"
            if nfmask != ctmask:
                masks = (("nfmask", nfmask), ("ctmask", ctmask))
                (first, cleared), (second, kept) = masks if self.save_mark else masks[::-1]
                text += f" {first} {cleared:#x} {second} ~{kept:#x}"
            elif nfmask != ALL_BITS:
                text += f" mask {nfmask:#x}"
        if self.right_shift_mark:
            return f"{text} right-shift-mark {self.right_shift_mark}"
        return f"{text} left-shift-mark {self.left_shift_mark}" if self.left_shift_mark else text

    def says(self) -> Text:
        text = self._says_change()
        if self.right_shift_mark:
            return message("{text}, shifted right by {bits} bits", text=text, bits=self.right_shift_mark)
        if self.left_shift_mark:
            return message("{text}, shifted left by {bits} bits", text=text, bits=self.left_shift_mark)
        return text

    def _says_change(self) -> Text:
        if self.change is not None:
            return says_change(self.change, message("the connection's mark"))
        nfmask, ctmask = self.masks
        taken, written = (nfmask, ctmask) if self.save_mark else (ctmask, nfmask)
        if taken == ALL_BITS:
            text = message_if(
                self.save_mark,
                "copy the packet's mark to the connection",
                "copy the connection's mark to the packet",
            )
        else:
            text = message_if(
                self.save_mark,
                "copy bits {taken:#x} of the packet's mark to the connection",
                "copy bits {taken:#x} of the connection's mark to the packet",
                taken=taken,
            )
        if written in (ALL_BITS, taken):
            return text
        return message("{text}, clearing bits {written:#x} there first", text=text, written=written)


EXTENSIONS = (Mark, Connmark)
