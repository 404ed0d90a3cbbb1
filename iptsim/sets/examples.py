"""Chooses one packet of a set as an example: the most usual one."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from iptsim.protocols import TCP
from iptsim.question.header import DEFAULT_SPORT
from iptsim.question.internet import outside_address
from iptsim.sets.landscape import Landscape
from iptsim.sets.sources import picked

#: The fields of the header that a packet is chosen by.
_CHOSEN = ("src", "dst", "proto", "sport", "dport", "tcp_flags", "icmp_type")


class Examples:
    """Chooses examples among the packets of a host.

    Args:
        land: the host.
    """

    def __init__(self, land: Landscape) -> None:
        self._land, self._space = land, land.space
        outside = outside_address(land.host, land.family)
        facing = picked(land.host.namespace, land.family, outside)
        header = [("proto", TCP), ("sport", DEFAULT_SPORT), ("dport", 80)]
        own = [] if facing is None else [self._point(("dst", facing))]
        #: no machine has the first address of a network, the last bits of which are 0
        odd = {key: self._space.engine.variable(self._space.bits(key)[-1]) for key in ("src", "dst")}
        #: by whether the sender's kernel picks the source; otherwise the source is the outside address, too
        self._ends = {
            True: [*own, self._point(("dst", outside)), odd["dst"]],
            False: [*own, self._point(("dst", outside ^ 1)), odd["dst"], odd["src"]],
        }
        #: no program can listen on port 0
        self._listened = ~self._space.point({"dport": 0}).function
        #: with and without the source: all fields at once, and one by one
        self._with_source = self._points([*header, ("src", outside)])
        self._without_source = self._points(header)

    def _points(self, fields: list[tuple[str, int]]) -> tuple[Any, list[Any]]:
        return self._point(*fields), [self._point(field) for field in fields]

    def _point(self, *fields: tuple[str, int]) -> Any:
        return self._space.point(dict(fields)).function

    def usual(self, packets: Any, *, picks_source: bool) -> Any:
        """Return the most usual ones of some packets.

        Args:
            packets: the packets, as a function.
            picks_source: whether the kernel of their sender picks the source, so that there is no choice.
        """
        nothing = self._land.bits.false
        at_once, fields = self._without_source if picks_source else self._with_source
        # this is faster, and mostly possible
        likely = packets & at_once
        if likely != nothing:
            packets, fields = likely, []
        for usual in (*fields, self._listened, *self._ends[picks_source]):
            likely = packets & usual
            if likely != nothing:
                packets = likely
        return packets

    def values(self, packets: Any) -> dict[str, Any]:
        """Return the header of one of some packets, which are a function."""
        numbers = dict.fromkeys(_CHOSEN, 0)
        for variable in self._space.engine.pick(packets) & self._weights.keys():
            key, weight = self._weights[variable]
            numbers[key] += weight
        numberings = ((key, self._space.layout.places[key].numbering) for key in _CHOSEN)
        return {
            key: numbers[key] if numbering is None else numbering.example(numbers[key])
            for key, numbering in numberings
        }

    @cached_property
    def _weights(self) -> dict[int, tuple[str, int]]:
        """The field to which a variable belongs, and its weight in that field."""
        found: dict[int, tuple[str, int]] = {}
        for key in _CHOSEN:
            bits = list(self._space.bits(key))
            found |= {bit: (key, 1 << len(bits) - place) for place, bit in enumerate(bits, 1)}
        return found
