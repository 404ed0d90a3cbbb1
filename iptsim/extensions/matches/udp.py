"""`-m udp`: the ports of UDP (net/netfilter/xt_tcpudp.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.constraints import Field
from iptsim.extensions.listing import WHOLE_PORTS
from iptsim.extensions.options import Option
from iptsim.extensions.ports import NATIVE_PORTS, NativePorts, port_options, with_merged_ports
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import ANY_PORT_RANGE
from iptsim.languages import message
from iptsim.protocols import UDP


class Udp(NativePorts):
    """The UDP header. Without options it matches every UDP packet except later fragments."""

    name: ClassVar[str] = "udp"
    protocols: ClassVar[frozenset[int] | None] = frozenset({UDP})
    options: ClassVar[tuple[Option, ...]] = port_options(
        ANY_PORT_RANGE, fields=NATIVE_PORTS, idle=WHOLE_PORTS
    )
    presence: ClassVar[Field | None] = Field(
        "udp",
        lambda context: not context.packet.is_later_fragment,
        lambda context: message("a later fragment carries no UDP header"),
    )
    listed: ClassVar[str] = " udp"

    def predicates(self) -> tuple[Predicate, ...]:
        return with_merged_ports(self, super().predicates())


EXTENSIONS = (Udp,)
