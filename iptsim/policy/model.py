"""A policy: expectations for packets between endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from iptsim.errors import FileSyntaxError, Span
from iptsim.findings.codes import Severity
from iptsim.languages import Text
from iptsim.protocols import protocol_name
from iptsim.question.endpoints import Endpoint
from iptsim.yaml_file import Document


class Everywhere(Enum):
    """All endpoints."""

    ANY = "any"


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint or network of an expectation.

    Attributes:
        value: the endpoint, or all of them.
        text: as written in the policy.
        span: its place in the policy.
    """

    value: Endpoint | Everywhere
    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Service:
    """A protocol and, if it has ports, destination ports; for ICMP, types.

    Attributes:
        proto: the protocol's number; None for all protocols.
        low / high: the first and the last port or ICMP type; None for all.
    """

    proto: int | None = None
    low: int | None = None
    high: int | None = None

    def __str__(self) -> str:
        """Return it as a policy spells it.

        >>> [str(one) for one in (Service(6, 80, 80), Service(17, 1000, 2000), Service(1), Service(200), Service())]
        ['80/tcp', '1000-2000/udp', 'icmp', '200/ip', 'any']
        """
        if self.proto is None:
            return "any"
        name = protocol_name(self.proto)
        if self.low is None:
            return f"{name}/ip" if name.isdecimal() else name
        return f"{self.low}/{name}" if self.low == self.high else f"{self.low}-{self.high}/{name}"


#: All protocols and ports.
ANY_SERVICE = Service()
Side: TypeAlias = tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected for all packets from some endpoints to others.

    Attributes:
        name: a short name.
        senders / targets: the endpoints.
        not_senders: addresses among those of the senders that it is not about.
        services: the protocols and ports.
        excepted: those among them that it is not about.
        sports: the source ports, as ranges; empty for all.
        expect: one of the words of `iptsim explain --expect`.
        severity: how serious it is if the expectation fails.
        because: why it is expected; may be empty.
        span: its place in the policy.
        is_default: it applies only to packets that no other expectation covers.
    """

    name: str
    senders: Side
    targets: Side
    services: tuple[Service, ...]
    excepted: tuple[Service, ...]
    sports: tuple[tuple[int, int], ...]
    expect: str
    severity: Severity
    because: str
    span: Span = field(compare=False)
    is_default: bool = False
    not_senders: Side = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """The expectations of a file.

    Attributes:
        source: the file's name.
        expectations: in the order of the file, those that are defaults last.
        document: the file, for errors about its parts.
    """

    source: str
    expectations: tuple[Expectation, ...]
    document: Document = field(compare=False, repr=False)

    def error(self, span: Span, what: Text, hint: Text = "") -> FileSyntaxError:
        """Return an error about a part of the file."""
        return self.document.error(span, what, hint)
