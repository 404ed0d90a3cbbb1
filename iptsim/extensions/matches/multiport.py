"""`-m multiport`: up to 15 ports, a range counting two (net/netfilter/xt_multiport.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Insists, Match
from iptsim.extensions.checks import given
from iptsim.extensions.constraints import Constraint, Ranges, Several
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.ports import PORTS, got_port
from iptsim.extensions.predicates import Predicate, combined
from iptsim.extensions.values import any_of, port, range_text, range_words
from iptsim.languages import Text, message, message_joined
from iptsim.protocols import PORT_PROTOCOLS

_MOST = 15


def _parse(text: str) -> Ranges:
    ports, count = [], 0
    for part in text.split(","):
        first, colon, last = part.partition(":")
        low = port(first)
        high = port(last) if colon else low
        if colon and low >= high:
            raise ValueError(message("the range {part} must end after it starts", part=part))
        ports.append((low, high))
        count += 2 if colon else 1
    if count > _MOST:
        raise ValueError(message("more than {most} ports (a range counts as two)", most=_MOST))
    return tuple(ports)


def _any_port(ports: Ranges) -> Text:
    return any_of(tuple(range_words(pair) for pair in ports))


def _as_they_are(ports: Ranges) -> Ranges:
    return ports


PORT_LIST = Value(
    message("up to {most} ports and ranges (80,443,8000:8100)", most=_MOST),
    _parse,
    lambda ports: ",".join(range_text(pair) for pair in ports),
    form="port_list",
)


class Multiport(Match):
    """A list of source ports, of destination ports, or (`--ports`) of either."""

    name: ClassVar[str] = "multiport"
    protocols: ClassVar[frozenset[int] | None] = PORT_PROTOCOLS
    insists: ClassVar[Insists] = "protocols"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--sports", "source_ports", PORT_LIST, True, ("--source-ports",), reads=PORTS["sport"],
            relation=_as_they_are, phrase=Phrase("from port {value}", show=_any_port),
            listed=" multiport sports [ !]{value}",
        ),
        Option(
            "--dports", "destination_ports", PORT_LIST, True, ("--destination-ports",), reads=PORTS["dport"],
            relation=_as_they_are, phrase=Phrase("to port {value}", show=_any_port),
            listed=" multiport dports [ !]{value}",
        ),
        Option(
            "--ports", "ports", PORT_LIST, True, phrase=Phrase("from or to port {value}", show=_any_port),
            listed=" multiport ports [ !]{value}",
        ),
    )  # fmt: skip

    source_ports: Ranges | None = None
    destination_ports: Ranges | None = None
    ports: Ranges | None = None

    def check(self) -> None:
        if len(given(self, "source_ports", "destination_ports", "ports")) != 1:
            raise ValueError(message("multiport needs exactly one of --sports, --dports and --ports"))

    def predicates(self) -> tuple[Predicate, ...]:
        if self.ports is None:
            return super().predicates()
        negated = bool(self.negated)
        sides = tuple(Constraint(field, self.ports, negated) for field in PORTS.values())
        return (combined(self.save(), Several(sides, every=negated), _got_ports, negated=negated),)


def _got_ports(context: Context) -> Text:
    if context.packet.is_later_fragment:
        return got_port(context, "sport")
    return message_joined(" and ", (got_port(context, field) for field in PORTS))


EXTENSIONS = (Multiport,)
