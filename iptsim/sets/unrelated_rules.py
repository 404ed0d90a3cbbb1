"""Which rules are about none of some packets: told by their addresses and ports, as sets take much longer to make."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from iptsim.extensions.constraints import Constraint, Ranges
from iptsim.netfilter.chain_index import ranges_of
from iptsim.netfilter.prepared import Prepared
from iptsim.sets.packets import PacketSet

_KEYS = ("src", "dst", "proto", "sport", "dport")
#: Packets are compared as at most so many boxes; a larger function is not divided into any.
_MOST_BOXES, _MOST_NODES = 8, 1000


class UnrelatedRules:
    """Tells of rules that they match none of some packets.

    Args:
        packets: the packets.
    """

    def __init__(self, packets: PacketSet) -> None:
        layout = packets.layout
        self._widths = {key: layout.places[key].bits for key in _KEYS}
        known = packets.only(*_KEYS)
        small = layout.engine.size(known.function) <= _MOST_NODES
        boxes: list[Mapping[str, Any]] = list(known.lines()) if small else []
        #: values of fields that the packets have; together, boxes contain all packets
        self._boxes = boxes if 0 < len(boxes) <= _MOST_BOXES else []

    def __call__(self, prepared: Prepared, changed: Container[str]) -> bool:
        """Return whether a rule certainly matches none of the packets.

        Args:
            prepared: the rule.
            changed: the fields that rules have changed before.
        """
        if not self._boxes:
            return False
        wanted = [
            (constraint.field.key, ranges)
            for condition in prepared.conditions
            if isinstance(constraint := condition.predicate.constraint, Constraint)
            and constraint.absent is False
            and (width := self._widths.get(constraint.field.key)) is not None
            and constraint.field.key not in changed
            and (ranges := ranges_of(constraint, width)) is not None
        ]
        return all(
            any(key in box and _are_apart(ranges, box[key]) for key, ranges in wanted) for box in self._boxes
        )


def _are_apart(ranges: Ranges, others: Ranges) -> bool:
    return all(last < low or high < first for first, last in ranges for low, high in others)
