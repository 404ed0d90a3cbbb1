"""The question: one packet, from where to where, and what is known about it.

The command line, a batch line and Python all make a :class:`Question`, which checks itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.host.flows import entry_of_line
from iptsim.packet import ICMP, ICMPV6, PORT_PROTOCOLS, Family, protocol_name
from iptsim.question import values
from iptsim.question.endpoints import Address, Endpoint, Resolver, parse_endpoint, parse_ip, split_port
from iptsim.question.facts import FACTS, RARE_FIELDS, read_fact
from iptsim.reading import parse_json

#: Fields of a question that `--set` does not take: they have options of their own, or parts (`ct.mark`).
_NOT_SET = frozenset({"id", "assume", "facts", "extra", "reply", "verbose", "ct", "inner"})
#: The fields that say where the packet comes from or goes to.
ENDS = ("from", "sender", "to", "in", "in_interface", "src", "dst")
#: The fields that the next packet of a connection does not take over from the one before.
_OF_ONE_PACKET = frozenset({
    "id", "after", "tcp_flags", "tcp_options", "mss", "length", "payload_hex", "fragment", "extra",
    "inner", "state", "ct", "conntrack", "reply", "verbose",
})  # fmt: skip
#: Names of the protocols that have ICMP types.
_ICMP_NAMES, _ICMPV6_NAMES = frozenset({"icmp", "1"}), frozenset({"icmpv6", "ipv6-icmp", "58"})
#: A field's name is shown in errors up to this length.
_LONGEST = 40


def _endpoint(value: Any) -> Endpoint:
    return value if isinstance(value, Endpoint) else parse_endpoint(values.text(value))


def _ip(value: Any) -> Address:
    return value if isinstance(value, Address) else parse_ip(values.text(value))


def _family(value: Any) -> Family:
    number = values.whole(6, 4)(value)
    if number == 5:
        raise UsageError("5 is not an address family; give 4 or 6")
    return 4 if number == 4 else 6


#: The fields that a connection has as well, and how they are read.
_ENDS_READ: tuple[tuple[str, Callable[[Any], object]], ...] = (
    ("src", _ip), ("dst", _ip), ("sport", values.port), ("dport", values.port),
)  # fmt: skip

EndpointField = Annotated[Endpoint, PlainValidator(_endpoint)]
AddressField = Annotated[Address, PlainValidator(_ip)]
String = Annotated[str, PlainValidator(values.text)]
Protocol = Annotated[str, PlainValidator(values.protocol)]
Port = Annotated[int, PlainValidator(values.port)]
Byte = Annotated[int, PlainValidator(values.whole(values.BITS8))]
Short = Annotated[int, PlainValidator(values.whole(values.BITS16))]
Word = Annotated[int, PlainValidator(values.whole(values.BITS32))]
Count = Annotated[int, PlainValidator(values.whole(2**64 - 1))]
HexBytes = Annotated[str, PlainValidator(values.hex_bytes)]
Mac = Annotated[str, PlainValidator(values.mac)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class StatedFlow(_Part):
    """One direction of a connection; other fields, such as the protocol, are ignored."""

    model_config = ConfigDict(extra="ignore")

    src: AddressField = Field(description="source address")
    dst: AddressField = Field(description="destination address")
    sport: Port | None = Field(None, description="source port")
    dport: Port | None = Field(None, description="destination port")


class StatedConnection(_Part):
    """What the question states about the connection that the packet belongs to."""

    orig: StatedFlow | None = Field(
        None, description="addresses and ports of its first packet: src, sport, dst, dport"
    )
    reply: StatedFlow | None = Field(
        None, description="addresses and ports of its replies: src, sport, dst, dport"
    )
    mark: Word = Field(0, description="the connection's mark")
    zone: Short = Field(0, description="conntrack zone")
    helper: String | None = Field(None, description="its helper: ftp, sip ...")
    status: tuple[String, ...] = Field((), description="SEEN_REPLY, ASSURED, EXPECTED ...")
    expires: Word | None = Field(None, description="seconds until conntrack deletes it")
    labels: tuple[Short, ...] = Field((), description="connection labels, by number")
    packets: Count | None = Field(None, description="packets so far, in each direction")
    bytes: Count | None = Field(None, description="bytes so far, in each direction")


class QuotedPacket(_Part):
    """The packet that an ICMP error quotes, as the sender of the error received it: after any NAT on its path."""

    src: AddressField | None = Field(
        None, description="its source address; by default the destination of the error"
    )
    dst: AddressField = Field(description="its destination address")
    proto: Protocol | None = Field(None, description="its protocol, by name or number; tcp by default")
    sport: Port | None = Field(None, description="its source port")
    dport: Port | None = Field(None, description="its destination port")
    icmp_type: Byte | None = Field(None, description="its ICMP type, if it is ICMP itself")
    icmp_id: Short | None = Field(None, description="its identifier, if it is an ICMP echo")


class Question(BaseModel):
    """One packet to follow; a field that is None has its default.

    Facts and rare header fields are given like the other fields: `Question(sender="web", to="db:5432", cpu=1)`.

    Raises:
        UsageError: a field is unknown, its value is not valid, or two fields contradict each other.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)

    id: Annotated[str | int, PlainValidator(values.identifier)] | None = Field(
        None, description="returned in the answer"
    )
    sender: EndpointField | None = Field(
        None, alias="from", description="source: a container, host, localhost, internet, or an IP address"
    )
    to: EndpointField | None = Field(
        None,
        description="destination: the same, dns for the sender's name server, or svc/NAME and nodeport/N of "
        "Kubernetes; a port may follow, as in web:80",
    )
    in_interface: String | None = Field(
        None,
        alias="in",
        description="the interface or bridge port on which the packet arrives; src and dst are then its addresses",
    )
    family: Annotated[Family, PlainValidator(_family)] | None = Field(
        None, description="address family; by default that of the addresses"
    )
    proto: Protocol | None = Field(
        None, description="protocol, by name or number; by default tcp, but udp to dns"
    )
    src: AddressField | None = Field(None, description="source address, if it does not follow from `from`")
    dst: AddressField | None = Field(None, description="destination address, if it does not follow from `to`")
    sport: Port | None = Field(None, description="source port")
    dport: Port | None = Field(
        None, description="destination port; by default 80 for tcp, 53 for other protocols"
    )
    tcp_flags: Annotated[str, PlainValidator(values.tcp_flags)] | None = Field(
        None, description="TCP flags, as in SYN,ACK; by default SYN, or ACK if the state is established"
    )
    tcp_options: Annotated[dict[int, str], PlainValidator(values.tcp_options)] | None = Field(
        None, description="TCP options: number -> content in hex"
    )
    icmp_type: Byte | None = Field(None, description="ICMP type, by number or name; echo request by default")
    icmp_code: Byte | None = Field(None, description="ICMP code; 0 by default")
    ttl: Byte | None = Field(None, description="time to live, or hop limit; 64 by default")
    tos: Byte | None = Field(None, description="the whole TOS or traffic class byte; 0 by default")
    length: Short | None = Field(None, description="length of the IP packet in bytes, header included")
    payload_hex: HexBytes | None = Field(None, description="the bytes after the transport header, in hex")
    mark: Word | None = Field(None, description="the packet's mark; 0 by default")
    uid: Word | None = Field(None, description="user of the local process that sends the packet")
    gid: Word | None = Field(None, description="group of the local process that sends the packet")
    mss: Short | None = Field(None, description="maximum segment size, a TCP option")
    fragment: (
        Annotated[
            Literal["first", "middle", "last"], PlainValidator(values.one_of("first", "middle", "last"))
        ]
        | None
    ) = Field(None, description="which fragment the packet is; by default it is whole")
    src_mac: Mac | None = Field(None, description="source MAC address of its frame")
    dst_mac: Mac | None = Field(None, description="destination MAC address of its frame")
    pkttype: (
        Annotated[
            Literal["unicast", "broadcast", "multicast"],
            PlainValidator(values.one_of("unicast", "broadcast", "multicast")),
        ]
        | None
    ) = Field(None, description="how its frame is addressed; by default according to dst_mac, or unicast")
    state: (
        Annotated[
            Literal["new", "established", "related", "invalid", "untracked"],
            PlainValidator(values.one_of("new", "established", "related", "invalid", "untracked")),
        ]
        | None
    ) = Field(None, description="state of its connection; new by default")
    ct: StatedConnection | None = Field(None, description="more about its connection")
    conntrack: String | None = Field(
        None, description="its connection, as a line of `conntrack -L`; gives its addresses and ports as well"
    )
    inner: QuotedPacket | None = Field(
        None,
        description="the packet that an ICMP error quotes: src, dst, proto, sport, dport, icmp_type, icmp_id; "
        "by default from payload_hex, or a packet of the connection that is given",
    )
    after: Question | None = Field(
        None,
        description="an earlier packet of the same connection, as a question; "
        "fields that describe the connection are taken from it if this question has no endpoints",
    )
    at: datetime | None = Field(None, description="when the packet is sent, for `-m time`: 2026-11-24T18:30")
    assume: Annotated[dict[str, bool], PlainValidator(values.assumptions)] = Field(
        {}, description="results of matches that cannot be computed: module or TABLE:CHAIN:N -> true or false"
    )
    facts: dict[str, Any] = Field({}, description="facts about the surroundings of the packet")
    extra: dict[str, Any] = Field({}, description="rare header fields")
    extension_headers: Annotated[tuple[tuple[int, str], ...], PlainValidator(values.extension_headers)] = (
        Field((), description="IPv6 headers before the transport header: protocol number, content in hex")
    )
    reply: bool = Field(True, description="whether the reply is followed as well")
    verbose: bool = Field(False, description="whether the rules that did not match are listed as well")

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**_settled(fields))
        except ValidationError as error:
            raise UsageError("; ".join(map(_fault_text, error.errors()))) from None
        self._check()

    def _check(self) -> None:
        """Refuse fields that contradict each other.

        Raises:
            UsageError: an endpoint is missing, or two fields contradict each other.
        """
        if isinstance(self.sender, Resolver):
            raise UsageError('from: "dns" can only be a destination (to)')
        if self.in_interface is not None:
            if (self.dst or self.to) is None or (self.src or self.sender) is None:
                raise UsageError(
                    "a packet that arrives on an interface (-i) needs a source and a destination: "
                    "give src and dst, or from and to"
                )
        elif self.sender is None or (self.to or self.dst) is None:
            raise UsageError(
                "a question needs a source and a destination: give --from and --to, or -i INTERFACE with src and dst"
            )
        if isinstance(self.sender, Address) and self.src not in (None, self.sender):
            raise UsageError(
                f"from {self.sender} and src {self.src} are two source addresses: give one of them"
            )
        self._check_families()
        if self.after is None:
            return
        if self.after.after is not None:
            raise UsageError("after: the earlier packet can't have an earlier one itself")
        if self.state is not None or self.ct is not None or self.conntrack is not None:
            raise UsageError(
                "after: the earlier packet determines the connection; leave out state, ct and conntrack"
            )

    def _check_families(self) -> None:
        family = self.stated_family
        for name, address in (("src", self.src), ("dst", self.dst)):
            if address is not None and address.family != family:
                raise UsageError(
                    f"{name}: {address} is an IPv{address.family} address, but the question is about IPv{family}"
                )

    @property
    def stated_family(self) -> Family | None:
        """The address family that the fields give, None where they give none."""
        if self.family is not None:
            return self.family
        for endpoint in (self.dst, self.src, self.to, self.sender):
            if isinstance(endpoint, Address):
                return endpoint.family
        return 6 if self.protocol == ICMPV6 else None

    @property
    def protocol(self) -> int:
        """The protocol's number."""
        return parse_protocol(self.proto or ("udp" if isinstance(self.to, Resolver) else "tcp"))

    def what(self) -> str:
        """Return protocol and port as people write them: "tcp/80", "icmp"."""
        name = "icmpv6" if self.protocol == ICMPV6 else protocol_name(self.protocol)
        return f"{name}/{self.dport}" if self.dport is not None and self.protocol in PORT_PROTOCOLS else name


# -- from the fields that people write to those of a question --------------------------------------


@cache
def _names() -> dict[str, str]:
    """Return each name of a field, and the name of the field."""
    fields = Question.model_fields
    return {name: name for name in fields} | {
        field.alias: name for name, field in fields.items() if field.alias
    }


@cache
def packet_fields() -> frozenset[str]:
    """Return the names that `--set` takes for ordinary fields."""
    return frozenset(name for name, field in _names().items() if field not in _NOT_SET)


def settable() -> list[str]:
    """Return every name that `--set` takes."""
    parts = ("ct.mark", "ct.zone", "ct.helper", "ct.orig.src", "inner.src")
    return sorted({*packet_fields(), *FACTS, *RARE_FIELDS, *parts})


def unknown_field(name: str) -> str:
    """Return the error for a field that does not exist."""
    near = difflib.get_close_matches(name[:_LONGEST], settable(), 1)
    hint = f"did you mean {near[0]}?" if near else f"choose from: {', '.join(settable())}"
    return f"unknown field {name[:_LONGEST]!r}; {hint}"


def _settled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a question from what was given.

    Facts and rare header fields are given like the others, a port may follow `to` ("web:80"), an ICMP type may be a
    name, an earlier packet and a line of `conntrack -L` represent what follows from them.
    """
    known: dict[str, Any] = {}
    beside: dict[str, dict[str, Any]] = {"facts": {}, "extra": {}}
    names = _names()
    for name, value in given.items():
        if name in names:
            known[names[name]] = value
        elif name in FACTS:
            beside["facts"][name] = value
        elif name in RARE_FIELDS:
            beside["extra"][name] = value
        else:
            raise UsageError(unknown_field(name))
    if isinstance(known.get("to"), str) and ":" in known["to"]:
        _settle_port(known)
    if known.get("after") is not None:
        _settle_after(known)
    if isinstance(known.get("conntrack"), str):
        _settle_conntrack(known)
    if known.get("icmp_type") is not None:
        _settle_icmp(known)
    for group, found in beside.items():
        stated = known.get(group) or {}
        if not isinstance(stated, dict):
            raise UsageError(f"{group}: {values.quoted(stated)} is not an object")
        if found or stated:
            known[group] = {name: read_fact(name, value) for name, value in {**stated, **found}.items()}
    return known


def _settle_port(known: dict[str, Any]) -> None:
    """Take the port off the destination."""
    known["to"], port = split_port(known["to"])
    if port is None:
        return
    stated = known.get("dport")
    if stated is not None and values.port(stated) != port:
        raise UsageError(f"to and dport give two destination ports: {port} and {stated}")
    known["dport"] = port


def _settle_after(known: dict[str, Any]) -> None:
    """Read the question about the earlier packet; a question without endpoints is about the same connection.

    Raises:
        UsageError: the earlier packet is not a valid question.
    """
    earlier = known["after"]
    if isinstance(earlier, str):
        try:
            earlier = parse_json(earlier.encode("utf-8", "replace"))
        except ValueError as error:
            raise UsageError(f"after: {error}") from None
    if isinstance(earlier, Mapping):
        try:
            earlier = Question(**earlier)
        except UsageError as error:
            raise UsageError(f"after: {error}") from None
    if not isinstance(earlier, Question):
        raise UsageError('after: expected a question, such as {"from": "client", "to": "web:80"}')
    known["after"] = earlier
    if all(known.get(name) is None for name in ENDS):
        for name in earlier.model_fields_set - _OF_ONE_PACKET:
            if known.get(name) is None:
                known[name] = getattr(earlier, name)


def _settle_conntrack(known: dict[str, Any]) -> None:
    """Fill in addresses and ports from a line of `conntrack -L`: of the first direction that fits the other fields."""
    connection = entry_of_line(known["conntrack"]).connection
    for flow in (connection.original, connection.reply):
        stated: dict[str, Any] = {
            "src": Address(connection.family, flow.src), "dst": Address(connection.family, flow.dst),
            "proto": str(flow.proto), "sport": flow.sport, "dport": flow.dport,
        }  # fmt: skip
        if flow.proto in (ICMP, ICMPV6):
            del stated["sport"], stated["dport"]
            known["extra"] = {"icmp_id": flow.sport, **(known.get("extra") or {})}
        if all(
            stated.get(name) == read(known[name]) for name, read in _ENDS_READ if known.get(name) is not None
        ):
            break
    else:
        return
    if known.get("in_interface") is None:
        stated = {**stated, "sender": stated.pop("src"), "to": stated.pop("dst")}
    for name, value in stated.items():
        if known.get(name) is None:
            known[name] = value


def _settle_icmp(known: dict[str, Any]) -> None:
    """Read an ICMP type by name, or as type/code; a packet that has one is ICMP.

    Raises:
        UsageError: there is no such type, or the packet is not ICMP.
    """
    proto = str(known.setdefault("proto", "icmp")).lower()
    if proto not in _ICMP_NAMES | _ICMPV6_NAMES:
        raise UsageError(f"icmp_type: a packet of protocol {proto} has none; give -p icmp as well")
    name = known["icmp_type"]
    if not isinstance(name, str):
        return
    ends = (str(known.get(end) or "") for end in ("sender", "to", "src", "dst"))
    v6 = proto in _ICMPV6_NAMES or str(known.get("family")) == "6" or any(end.count(":") > 1 for end in ends)
    from iptsim.extensions.matches.icmp import Icmp
    from iptsim.extensions.matches.icmp6 import Icmp6

    option = (Icmp6 if v6 else Icmp).options[0]
    assert option.value is not None
    try:
        found = option.value.read([name], 6 if v6 else 4)
    except ValueError as error:
        raise UsageError(f"icmp_type: {error}") from None
    known["icmp_type"] = found.type
    if found.code is not None and known.setdefault("icmp_code", found.code) != found.code:
        raise UsageError(f"icmp_code: {known['icmp_code']}, but {name} has code {found.code}")


def _fault_text(fault: Any) -> str:
    """Return a fault that pydantic found in one field: the field, and what is wrong."""
    name, *parts = fault["loc"]
    where = ".".join(map(str, (Question.model_fields[name].alias or name, *parts)))
    if fault["type"] == "extra_forbidden":
        return f"unknown field {where!r}"
    if fault["type"] == "missing":
        return f"{where}: a value is needed"
    cause = fault.get("ctx", {}).get("error")
    return f"{where}: {cause if isinstance(cause, UsageError) else fault['msg']}"
