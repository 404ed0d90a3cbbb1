"""`-j NFQUEUE`: let a program decide (net/netfilter/xt_NFQUEUE.c)."""

from __future__ import annotations

from typing import Any, ClassVar

from iptsim.extensions.base import Status, Target
from iptsim.extensions.context import Context
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.stated import stated
from iptsim.extensions.values import integer_value, number_range, range_text, range_words
from iptsim.extensions.verdicts import Verdict
from iptsim.languages import Message, Text, message
from iptsim.truth import Unknown

#: The last queue of an open-ended range (since iptables 1.8.11; one more before that).
_LAST_OPEN = 65534


def parse_balance(text: str) -> tuple[int, int]:
    """Read `first:last`, two queues.

    Raises:
        ValueError: not two queues in ascending order, or more than the kernel can spread over.
    """
    first, last = number_range(text, 0xFFFF)
    if text.endswith(":"):
        last = _LAST_OPEN
    if ":" not in text:
        raise ValueError(message("{text!r} is not a range of queues such as 0:3", text=text))
    if first >= last:
        raise ValueError(message("{first} is not less than {last}", first=first, last=last))
    if last - first == 0xFFFF:
        raise ValueError(message("at most 65535 queues can share the load"))
    return first, last


class Nfqueue(Target):
    """Hand the packet to the program that reads a queue. No later rule of the chain is evaluated."""

    name: ClassVar[str] = "NFQUEUE"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--queue-num", "queue_num", integer_value("a queue's number, 0 to 65535", 0, 0xFFFF)),
        Option("--queue-balance", "queue_balance", Value("two queues (0:3)", parse_balance, range_text)),
        Option("--queue-bypass", "queue_bypass"),
        Option("--queue-cpu-fanout", "queue_cpu_fanout"),
    )
    status: ClassVar[Status] = "given"
    terminal: ClassVar[bool] = True

    queue_num: int | None = None
    queue_balance: tuple[int, int] | None = None
    queue_bypass: bool = False
    queue_cpu_fanout: bool = False

    def check(self) -> None:
        if self.queue_num is not None and self.queue_balance is not None:
            raise ValueError(message("--queue-num and --queue-balance are mutually exclusive"))
        if self.queue_cpu_fanout and self.queue_balance is None:
            raise ValueError(message("--queue-cpu-fanout needs --queue-balance"))

    @property
    def _queues(self) -> Message:
        if self.queue_balance is not None:
            return message("queues {queues}", queues=range_words(self.queue_balance))
        return message("queue {number}", number=self.queue_num or 0)

    def save(self) -> str:
        """Return the options as iptables-save prints them, always with the queue."""
        clauses = self.clauses()
        if self.queue_num is None and self.queue_balance is None:
            clauses.insert(0, "--queue-num 0")
        return " ".join(clauses)

    def apply(self, context: Context) -> Verdict | Unknown:
        # without a program that reads the queue the packet is lost, or with --queue-bypass accepted
        read = stated(context, "nfqueue_reader")
        if read is False:
            return Verdict(
                "ACCEPT" if self.queue_bypass else "DROP",
                detail=message("no program reads {queues}", queues=self._queues),
            )
        if read is None and self.queue_bypass:
            return Unknown(
                message("whether a program reads {queues}", queues=self._queues), "--set nfqueue_reader=yes"
            )
        return Verdict("QUEUE", detail=self._queues)

    def lists(self, form: ListingForm) -> str:
        balance = self.queue_balance
        text = (
            f" NFQUEUE num {self.queue_num or 0}"
            if balance is None
            else f" NFQUEUE balance {range_text(balance)}"
        )
        text += " bypass" if self.queue_bypass else ""
        return text + (" cpu-fanout" if self.queue_cpu_fanout else "")

    def says(self) -> Text:
        text = message("hand to the program that reads {queues}", queues=self._queues)
        return message("{text}, or accept if there is none", text=text) if self.queue_bypass else text


def queue_words(statement: Any) -> str | None:
    """Return the target that does the same as a statement `queue` of nftables, in the form of libnftables-json(5).

    None if it takes the number of the queue from the packet.

    >>> queue_words({"num": {"range": [1, 3]}, "flags": "bypass"})
    '-j NFQUEUE --queue-balance 1:3 --queue-bypass'
    """
    about = statement if isinstance(statement, dict) else {}
    number, flags = about.get("num", 0), about.get("flags", ())
    flags = [flags] if isinstance(flags, str) else flags
    if not isinstance(flags, (list, tuple)) or not {"bypass", "fanout"}.issuperset(map(str, flags)):
        return None
    ends = number.get("range") if isinstance(number, dict) else [number]
    if not isinstance(ends, list) or not all(type(one) is int and 0 <= one <= 0xFFFF for one in ends):
        return None
    if len(ends) == 1 or (len(ends) == 2 and ends[0] == ends[1]):
        words = f"-j NFQUEUE --queue-num {ends[0]}"
    elif len(ends) == 2 and ends[0] < ends[1]:
        words = f"-j NFQUEUE --queue-balance {ends[0]}:{ends[1]}"
    else:
        return None
    words += " --queue-bypass" if "bypass" in flags else ""
    return words + (" --queue-cpu-fanout" if "fanout" in flags and len(ends) == 2 else "")


EXTENSIONS = (Nfqueue,)
