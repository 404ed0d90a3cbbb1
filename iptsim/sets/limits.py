"""A limit on how many ways packets may take, where something undecided divides them again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from iptsim.errors import IptsimError
from iptsim.languages import message, message_joined
from iptsim.sets.layout import Layout
from iptsim.sets.packets import PacketSet
from iptsim.sets.senders import Class

#: The number of rules that the error names.
_NAMED = 3


class TooManyWaysError(IptsimError):
    """What is undecided divides the packets into more ways than allowed."""


def limited(classes: Iterable[Class], layout: Layout, most: int | None) -> Iterator[Class]:
    """Yield classes of packets until something undecided has divided them too often.

    Args:
        layout: of their sets.
        most: the maximum number of classes that depend on something undecided; None for no limit.

    Raises:
        TooManyWaysError: there are more; the error names the rules that divide them most evenly.
    """
    unsure: list[Class] = []
    for one in classes:
        packets = PacketSet(layout, one.packets)
        if most is not None and packets.may != packets:
            unsure.append(one)
            if len(unsure) > most:
                raise _too_many(unsure, most)
        yield one


def _too_many(classes: list[Class], most: int) -> TooManyWaysError:
    passed = Counter(
        f"{rule.table} {rule.chain} rule {rule.position}"
        for one in classes
        for rule in {id(step.rule): step.rule for leg in one.trace.legs for step in leg.steps}.values()
        if rule is not None
    )
    dividing = sorted(passed, key=lambda name: abs(2 * passed[name] - len(classes)))[:_NAMED]
    return TooManyWaysError(
        message(
            "packets from {sender} take more than {most} different ways through the rules, depending on matches that "
            "are unknown, so they were not followed further; most ways differ in {rules}",
            sender=classes[0].sender.name or classes[0].sender.interface,
            most=most,
            rules=message_joined(", ", dividing),
        )
    )
