"""The question: who sends what to whom, as the command line, a batch line or Python asks it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.packet import PORT_PROTOCOLS, TCP_FLAGS, protocol_name

StateName = Literal["new", "established", "related", "invalid", "untracked"]

#: Octets that a TCP option may hold at most: the header's 40 less its kind and length.
_OPTION_ROOM = 38
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", re.ASCII)


class ConnectionFacts(BaseModel):
    """What the question says of the connection that the packet belongs to."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    orig: dict[str, Any] | None = Field(None, description="flow of its first packet: src, sport, dst, dport")
    reply: dict[str, Any] | None = Field(None, description="flow of the answers: src, sport, dst, dport")
    mark: int = Field(0, description="the connection's mark")
    zone: int = Field(0, description="conntrack zone")
    helper: str | None = Field(None, description="its helper: ftp, sip ...")
    status: tuple[str, ...] = Field((), description="SEEN_REPLY, ASSURED, EXPECTED ...")
    expires: int | None = Field(None, description="seconds until conntrack forgets it")
    labels: tuple[int, ...] = Field((), description="connection labels, by number")
    packets: int | None = Field(None, description="packets so far, in each direction")
    bytes: int | None = Field(None, description="octets so far, in each direction")


class Inner(BaseModel):
    """The packet that an ICMP error quotes, as it came to who sends the error: translated, where it was."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    src: str | None = Field(None, description="its source address; by default where the error goes")
    dst: str = Field(description="its destination address")
    proto: str | None = Field(None, description="its protocol, by name or number; tcp by default")
    sport: int | None = Field(None, ge=0, le=65535, description="its source port")
    dport: int | None = Field(None, ge=0, le=65535, description="its destination port")
    icmp_type: int | None = Field(None, ge=0, le=255, description="its ICMP type, where it is ICMP itself")
    icmp_id: int | None = Field(None, ge=0, le=65535, description="its identifier, where it is an ICMP echo")

    @field_validator("proto", mode="before")
    @classmethod
    def _protocol_number(cls, value: Any) -> Any:
        return _protocol_text(value)

    @field_validator("proto")
    @classmethod
    def _known_protocol(cls, value: str | None) -> str | None:
        return _one_protocol(value)


class Question(BaseModel):
    """One packet to follow; each field says what it means. What is None has its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    id: str | int | None = Field(None, description="comes back in the answer")
    sender: str | None = Field(
        None, alias="from", description="who sends: a container, host, localhost, internet, or an address"
    )
    to: str | None = Field(
        None,
        description="to whom: the same, or dns for the sender's resolvers; a port may follow, as in web:80",
    )
    in_interface: str | None = Field(
        None,
        alias="in",
        description="the interface or bridge port on which it arrives; then src and dst say its addresses",
    )
    family: Literal[4, 6] | None = Field(None, description="address family; by default that of the addresses")
    proto: str | None = Field(None, description="protocol, by name or number; tcp by default, but udp to dns")
    src: str | None = Field(None, description="source address, where `from` does not tell")
    dst: str | None = Field(None, description="destination address, where `to` does not tell")
    sport: int | None = Field(None, ge=0, le=65535, description="source port")
    dport: int | None = Field(
        None, ge=0, le=65535, description="destination port; by default 80 for tcp, 53 for others"
    )
    tcp_flags: str | None = Field(
        None, description="flags as SYN,ACK; SYN by default, ACK where the state is established"
    )
    tcp_options: dict[int, str] | None = Field(None, description="TCP options: number -> content in hex")
    icmp_type: int | None = Field(None, ge=0, le=255, description="ICMP type; echo request by default")
    icmp_code: int | None = Field(None, ge=0, le=255, description="ICMP code; 0 by default")
    ttl: int | None = Field(None, ge=0, le=255, description="time to live, or hop limit; 64 by default")
    tos: int | None = Field(
        None, ge=0, le=255, description="the whole TOS or traffic class octet; 0 by default"
    )
    length: int | None = Field(None, ge=0, le=65535, description="octets of the IP packet, header included")
    payload_hex: str | None = Field(None, description="what follows the transport header, in hex")
    mark: int | None = Field(None, ge=0, le=0xFFFFFFFF, description="the packet's mark; 0 by default")
    uid: int | None = Field(None, ge=0, le=0xFFFFFFFF, description="user of the local process that sends")
    gid: int | None = Field(None, ge=0, le=0xFFFFFFFF, description="group of the local process that sends")
    mss: int | None = Field(None, ge=0, le=65535, description="maximum segment size, a TCP option")
    fragment: Literal["first", "middle", "last"] | None = Field(
        None, description="which fragment it is; by default a whole packet"
    )
    src_mac: str | None = Field(None, description="source MAC address of its frame")
    dst_mac: str | None = Field(None, description="destination MAC address of its frame")
    pkttype: Literal["unicast", "broadcast", "multicast"] | None = Field(
        None, description="how its frame is addressed; by default as dst_mac says, or unicast"
    )
    state: StateName | None = Field(None, description="state of its connection; new by default")
    ct: ConnectionFacts | None = Field(None, description="more about its connection")
    conntrack: str | None = Field(
        None, description="its connection, as a line of `conntrack -L`; says its addresses and ports as well"
    )
    inner: Inner | None = Field(
        None,
        description="the packet that an ICMP error quotes: src, dst, proto, sport, dport, icmp_type, icmp_id; "
        "by default what payload_hex holds, or a packet of the connection that is told",
    )
    after: Question | None = Field(
        None,
        description="a packet that passed before, as a question: the connection that it made goes on; "
        "what a question without ends leaves out is as there",
    )
    at: datetime | None = Field(None, description="when it happens, for `-m time`: 2026-11-24T18:30")
    assume: dict[str, bool] = Field(
        {}, description="how matches go that nobody can know: module or TABLE:CHAIN:N -> true or false"
    )
    facts: dict[str, Any] = Field({}, description="facts about the world around the packet")
    extra: dict[str, Any] = Field({}, description="rare header fields")
    extension_headers: tuple[tuple[int, str], ...] = Field(
        (), description="IPv6 headers before the transport header: protocol number, content in hex"
    )
    reply: bool = Field(True, description="whether the answers are followed, too")
    verbose: bool = Field(False, description="whether the rules that did not match are told, too")

    @field_validator("*", mode="before")
    @classmethod
    def _truths_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name not in ("reply", "verbose"):
            raise ValueError("true and false make no sense here")
        return value

    @field_validator("proto", mode="before")
    @classmethod
    def _protocol_number(cls, value: Any) -> Any:
        return _protocol_text(value)

    @field_validator("state", mode="before")
    @classmethod
    def _lower_state(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("proto")
    @classmethod
    def _known_protocol(cls, value: str | None) -> str | None:
        return _one_protocol(value)

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


def _protocol_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


def _one_protocol(value: str | None) -> str | None:
    """Check a packet's protocol.

    Raises:
        ValueError: the name stands for all protocols, or for none.
    """
    if value is not None and parse_protocol(value) == 0:
        raise ValueError("a packet has one protocol: tcp, udp, icmp, or a number")
    return value


def _octets(text: str) -> bytes:
    """Read octets in hex.

    Raises:
        ValueError: the text is not hex.
    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not octets in hex, such as 05b4") from None


def _check_before(question: Question) -> None:
    """Refuse what makes no sense beside a packet before.

    Raises:
        UsageError: the packet before has another before it, or the connection is told of twice.
    """
    if question.after is None:
        return
    if question.after.after is not None:
        raise UsageError("after: the packet before can't have another one before it")
    if question.state is not None or question.ct is not None or question.conntrack is not None:
        raise UsageError("after: the packet before tells the connection; leave out state, ct and conntrack")


def parse_question(fields: dict[str, Any]) -> Question:
    """Make a question from a mapping, such as a batch line.

    Raises:
        UsageError: unknown field or bad value; the text names the field.
    """
    try:
        question = Question.model_validate(fields)
    except ValidationError as error:
        raise UsageError("; ".join(_complaint(fault) for fault in error.errors())) from None
    _check_before(question)
    return question


def _complaint(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "question"
    if fault["type"] == "extra_forbidden":
        return f"{where}: there is no such field"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
