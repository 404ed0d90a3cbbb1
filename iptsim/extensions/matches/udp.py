"""`-m udp`: the ports of UDP (net/netfilter/xt_tcpudp.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Match, Option, Predicate
from iptsim.extensions.listing import WHOLE_PORTS, ListingForm, listed_ports
from iptsim.extensions.ports import port_predicates, port_says
from iptsim.extensions.values import ANY_PORT_RANGE
from iptsim.languages import joined, say
from iptsim.packet import UDP


class Udp(Match):
    """The UDP header. Without options it holds for every UDP packet but later fragments."""

    name: ClassVar[str] = "udp"
    protocols: ClassVar[frozenset[int] | None] = frozenset({UDP})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--sport", "source_port", ANY_PORT_RANGE, True, ("--source-port",), idle=WHOLE_PORTS),
        Option(
            "--dport", "destination_port", ANY_PORT_RANGE, True, ("--destination-port",), idle=WHOLE_PORTS
        ),
    )

    source_port: tuple[int, int] | None = None
    destination_port: tuple[int, int] | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition a port; without any, that the header is there."""
        return tuple(port_predicates(self)) or (
            Predicate(
                "-m udp",
                lambda context: context.packet.fragment not in ("middle", "last"),
                lambda context: say("a later fragment carries no UDP header"),
            ),
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        return f" udp{listed_ports(self.source_port, self.destination_port, self.negated)}"

    def says(self) -> str:
        """Return the ports in words."""
        return joined(
            " ", filter(None, (port_says(self, "source_port"), port_says(self, "destination_port")))
        )


EXTENSIONS = (Udp,)
