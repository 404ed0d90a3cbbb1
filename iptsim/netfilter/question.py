"""The question: who sends what to whom, as the command line, a batch line or Python asks it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.packet import PORT_PROTOCOLS, TCP_FLAGS, protocol_name

State = Literal["new", "established", "related", "invalid", "untracked"]

#: Octets that a TCP option may hold at most: the header's 40 less its kind and length.
_OPTION_ROOM = 38
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", re.ASCII)


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

    @field_validator("*", mode="before")
    @classmethod
    def _truths_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name not in ("reply", "verbose"):
            raise ValueError("true and false make no sense here")
        return value

    @field_validator("proto", mode="before")
    @classmethod
    def _protocol_number(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @field_validator("state", mode="before")
    @classmethod
    def _lower_state(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

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
            _octets(value)
        return value

    @field_validator("tcp_options")
    @classmethod
    def _known_options(cls, value: dict[int, str] | None) -> dict[int, str] | None:
        for kind, data in (value or {}).items():
            if not 0 <= kind <= 255 or len(_octets(data)) > _OPTION_ROOM:
                raise ValueError(f"an option has a kind up to 255 and up to {_OPTION_ROOM} octets")
        return value

    @field_validator("extension_headers")
    @classmethod
    def _known_headers(cls, value: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
        for kind, data in value:
            if not 0 <= kind <= 255:
                raise ValueError(f"{kind} is no protocol number (0 to 255)")
            _octets(data)
        return value

    @field_validator("src_mac", "dst_mac")
    @classmethod
    def _known_mac(cls, value: str | None) -> str | None:
        if value is not None and not _MAC.fullmatch(value):
            raise ValueError(f"{value[:40]!r} is not a MAC address, such as 02:42:ac:11:00:02")
        return value

    @property
    def protocol(self) -> int:
        """The protocol's number."""
        return parse_protocol(self.proto or ("udp" if self.to == "dns" else "tcp"))

    def what(self) -> str:
        """Return protocol and port as people write them: "tcp/80", "icmp"."""
        name = "icmpv6" if self.protocol == 58 else protocol_name(self.protocol)
        return f"{name}/{self.dport}" if self.dport is not None and self.protocol in PORT_PROTOCOLS else name


def _octets(text: str) -> bytes:
    """Read octets in hex.

    Raises:
        ValueError: the text is not hex.
    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not octets in hex, such as 05b4") from None


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
