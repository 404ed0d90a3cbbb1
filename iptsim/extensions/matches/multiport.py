"""`-m multiport`: up to 15 ports, a range counting two (net/netfilter/xt_multiport.c)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Insists, Match, Option, Predicate, Value
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.ports import ports_predicate
from iptsim.extensions.values import any_of, not_if, port, range_text, range_words
from iptsim.languages import say
from iptsim.packet import PORT_PROTOCOLS

_MOST = 15


def _parse(text: str) -> Ranges:
    ports, count = [], 0
    for part in text.split(","):
        first, colon, last = part.partition(":")
        low = port(first)
        high = port(last) if colon else low
        if colon and low >= high:
            raise ValueError(f"the range {part} must end after it starts")
        ports.append((low, high))
        count += 2 if colon else 1
    if count > _MOST:
        raise ValueError(f"more than {_MOST} ports, a range counting as two")
    return tuple(ports)


PORT_LIST = Value(
    f"up to {_MOST} ports and ranges (80,443,8000:8100)",
    _parse,
    lambda ports: ",".join(range_text(pair) for pair in ports),
    form="port_list",
)
_FIELDS = {"source_ports": ("sport",), "destination_ports": ("dport",), "ports": ("sport", "dport")}


class Multiport(Match):
    """A list of source ports, of destination ports, or of ports of which either may be one."""

    name: ClassVar[str] = "multiport"
    protocols: ClassVar[frozenset[int] | None] = PORT_PROTOCOLS
    insists: ClassVar[Insists] = "protocols"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--sports", "source_ports", PORT_LIST, True, ("--source-ports",)),
        Option("--dports", "destination_ports", PORT_LIST, True, ("--destination-ports",)),
        Option("--ports", "ports", PORT_LIST, True),
    )

    source_ports: Ranges | None = None
    destination_ports: Ranges | None = None
    ports: Ranges | None = None

    @model_validator(mode="after")
    def _check(self) -> Multiport:
        if len([field for field in _FIELDS if getattr(self, field) is not None]) != 1:
            raise ValueError("multiport needs exactly one of --sports, --dports and --ports")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the ports."""
        return tuple(
            ports_predicate(self.save(), names, getattr(self, field), bool(self.negated))
            for field, names in _FIELDS.items()
            if getattr(self, field) is not None
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        field = next(field for field in _FIELDS if getattr(self, field) is not None)
        word = {"source_ports": "sports", "destination_ports": "dports"}.get(field, field)
        return f" multiport {word} {self.bang(field, ' !')}{PORT_LIST.format(getattr(self, field))}"

    def says(self) -> str:
        """Return the ports in words."""
        if self.source_ports is not None:
            phrase = say("from port {ports}", ports=_any_port(self.source_ports))
        elif self.destination_ports is not None:
            phrase = say("to port {ports}", ports=_any_port(self.destination_ports))
        else:
            phrase = say("from or to port {ports}", ports=_any_port(self.ports or ()))
        return not_if(bool(self.negated), phrase)


def _any_port(ports: Ranges) -> str:
    return any_of(tuple(range_words(pair) for pair in ports))


EXTENSIONS = (Multiport,)
