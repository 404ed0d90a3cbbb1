"""A limit on how many ways packets may take, where something undecided divides them again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from iptsim.dump.rule import Rule
from iptsim.errors import IptsimError
from iptsim.languages import Text, message, message_joined
from iptsim.sets.layout import Layout
from iptsim.sets.packets import PacketSet

#: The limit on ways, unless fewer are allowed. A real host has few; so many take about half a minute.
MOST_WAYS = 10_000
#: Ways on which packets stay together count as one.
_TOGETHER = 4
#: The number of rules that the error names.
_NAMED = 3
#: The number of sets of packets whose decisions it considers.
_LOOKED_AT = 200


class TooManyWaysError(IptsimError):
    """What is undecided divides the packets into more ways than allowed."""


class Ways:
    """Counts the ways that depend on something undecided.

    Args:
        layout: of the sets of packets.
        most: the limit.
        rules_with: returns the rules whose conditions depend on one of some decisions, for the error.
    """

    def __init__(
        self, layout: Layout, most: int, rules_with: Callable[[Collection[str]], Iterable[Rule]]
    ) -> None:
        self.layout, self.most, self.rules_with = layout, most, rules_with
        self._count = 0

    def add(self, packets: Any, parts: Sequence[Any], sender: Text) -> None:
        """Count the ways of a class of packets.

        Args:
            packets: the class: a function.
            parts: those of its packets that rules changed in different ways, where there are most.
            sender: where they come from.

        Raises:
            TooManyWaysError: there are too many; the error names rules that divide these packets.
        """
        ways = sum(map(self._depends, parts))
        if self._depends(packets):
            ways = max(ways, 1)
        elif ways:
            # they end alike, and take less time
            ways = ways // _TOGETHER + 1
        self._count += ways
        if self._count > self.most:
            raise self._too_many([packets, *parts[:_LOOKED_AT]], sender)

    def _depends(self, packets: Any) -> bool:
        found = PacketSet(self.layout, packets)
        return found.may != found

    def _too_many(self, divided: Iterable[Any], sender: Text) -> TooManyWaysError:
        keys = {key for packets in divided for key in PacketSet(self.layout, packets).fields}
        undecided = {key for key in keys if self.layout.places[key].why is not None}
        rules = (f"{one.table} {one.chain} rule {one.position}" for one in self.rules_with(undecided))
        return TooManyWaysError(
            message(
                "packets from {sender} take more than {most} different ways through the rules, depending on matches "
                "that are unknown, so they were not followed further; most ways differ in {rules}",
                sender=sender,
                most=self.most,
                rules=message_joined(", ", list(dict.fromkeys(rules))[:_NAMED]),
            )
        )
