"""The question: who sends what to whom, as the command line, a batch line or Python asks it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.packet import TCP_FLAGS, protocol_name

State = Literal["new", "established", "related", "invalid", "untracked"]


class ConnectionFacts(BaseModel):
    """What the question says of the connection that the packet belongs to.

    `original` and `reply` are flows as `SRC:PORT>DST:PORT` or as objects with src, sport, dst, dport.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    orig: dict[str, Any] | None = None
    reply: dict[str, Any] | None = None
    mark: int = 0
    zone: int = 0
    helper: str | None = None
    status: tuple[str, ...] = ()
    expires: int | None = None
    labels: tuple[int, ...] = ()
    packets: int | None = None
    bytes: int | None = None


class Question(BaseModel):
    """One packet to follow.

    Attributes:
        sender / to: a container, "host", "localhost", "internet", "dns" (`to` only), or an address.
        in_interface: the interface on which the packet arrives; then `src` and `dst` say its addresses.
        proto: protocol name or number; TCP where it is left open, and UDP to a resolver.
        assume: how undecided matches go: module name or TABLE:CHAIN:N -> yes or no.
        facts: what `--set NAME=VALUE` says beyond header fields ("cpu", "tproxy_listener" ...).
        extra: rare header fields ("ah_spi", "sctp_chunks" ...), see the extensions that look at them.
        extension_headers: IPv6 headers before the transport header, as protocol number and hex content.
        reply: whether answers are followed too.
        verbose: keep the rules that were looked at in vain.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    id: str | int | None = None
    sender: str | None = Field(None, alias="from")
    to: str | None = None
    in_interface: str | None = Field(None, alias="in")
    family: Literal[4, 6] | None = None
    proto: str | None = None
    src: str | None = None
    dst: str | None = None
    sport: int | None = Field(None, ge=0, le=65535)
    dport: int | None = Field(None, ge=0, le=65535)
    tcp_flags: str | None = None
    tcp_options: dict[int, str] | None = None
    icmp_type: int | None = Field(None, ge=0, le=255)
    icmp_code: int | None = Field(None, ge=0, le=255)
    ttl: int | None = Field(None, ge=0, le=255)
    tos: int | None = Field(None, ge=0, le=255)
    length: int | None = Field(None, ge=0, le=65535)
    payload_hex: str | None = None
    mark: int | None = Field(None, ge=0, le=0xFFFFFFFF)
    uid: int | None = Field(None, ge=0, le=0xFFFFFFFF)
    gid: int | None = Field(None, ge=0, le=0xFFFFFFFF)
    mss: int | None = Field(None, ge=0, le=65535)
    fragment: Literal["first", "middle", "last"] | None = None
    src_mac: str | None = None
    dst_mac: str | None = None
    pkttype: Literal["unicast", "broadcast", "multicast"] | None = None
    state: State | None = None
    ct: ConnectionFacts | None = None
    at: datetime | None = None
    assume: dict[str, bool] = {}
    facts: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    extension_headers: tuple[tuple[int, str], ...] = ()
    reply: bool = True
    verbose: bool = False

    @field_validator("proto")
    @classmethod
    def _known_protocol(cls, value: str | None) -> str | None:
        if value is not None and parse_protocol(value) == 0:
            raise ValueError("a packet has one protocol: tcp, udp, icmp, or a number")
        return value

    @field_validator("tcp_flags")
    @classmethod
    def _known_flags(cls, value: str | None) -> str | None:
        for name in (value or "").replace("NONE", "").split(","):
            if name and name.strip().upper() not in TCP_FLAGS:
                raise ValueError(f"{name!r} is not a TCP flag: {', '.join(TCP_FLAGS)}")
        return value

    @field_validator("payload_hex")
    @classmethod
    def _hex(cls, value: str | None) -> str | None:
        if value is not None:
            bytes.fromhex(value)
        return value

    @property
    def protocol(self) -> int:
        """The protocol's number."""
        return parse_protocol(self.proto or ("udp" if self.to == "dns" else "tcp"))

    def what(self) -> str:
        """Return protocol and port as people write them: "tcp/80", "icmp"."""
        name = "icmpv6" if self.protocol == 58 else protocol_name(self.protocol)
        return f"{name}/{self.dport}" if self.dport is not None else name


def parse_question(fields: dict[str, Any]) -> Question:
    """Make a question from a mapping, such as a batch line.

    Raises:
        UsageError: unknown field or bad value; the text names the field.
    """
    try:
        return Question.model_validate(fields)
    except ValidationError as error:
        raise UsageError("; ".join(_complaint(fault) for fault in error.errors())) from None


def _complaint(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "question"
    if fault["type"] == "extra_forbidden":
        return f"{where}: there is no such field"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
