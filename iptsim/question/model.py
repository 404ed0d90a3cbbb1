"""The question: one packet, from where to where, and what is known about it.

The command line, a batch line and Python all make a :class:`Question`, which checks itself.
"""

# ruff: noqa: RUF009 -- _field() makes a dataclass field each time
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from iptsim.addresses import Family
from iptsim.errors import UsageError
from iptsim.extensions.parameters import parse_protocol
from iptsim.languages import Message, Text, message, text_of
from iptsim.protocols import ICMPV6
from iptsim.question import values
from iptsim.question.derived import ENDS_OF_ENTRY, take_entry, take_icmp_type, take_port
from iptsim.question.endpoints import (
    Address,
    DestinationOnly,
    Endpoint,
    Prefix,
    Resolver,
    parse_endpoint,
    parse_ip,
)
from iptsim.question.facts import FACTS, RARE_FIELDS, read_fact
from iptsim.question.values import BITS8, BITS16, BITS32, BITS64
from iptsim.reading import parse_json
from iptsim.suggestions import suggest_or_list

#: Fields of a question that `--set` does not take: they have options of their own, or parts (`ct.mark`).
_NOT_SET = frozenset({"id", "assume", "facts", "extra", "reply", "verbose", "ct", "inner"})
#: The fields that give the packet's source or destination.
ENDS = ("sender", "to", "in_interface", "src", "dst")
#: The fields that the next packet of a connection does not inherit from an earlier one.
_OF_ONE_PACKET = frozenset({
    "id", "after", "tcp_flags", "tcp_options", "mss", "length", "payload_hex", "fragment", "extra",
    "inner", "state", "ct", "conntrack", "reply", "verbose",
})  # fmt: skip

_State: TypeAlias = Literal["new", "established", "related", "invalid", "untracked"]
#: The states that a connection may have.
STATES: tuple[str, ...] = get_args(_State)
_Fragment: TypeAlias = Literal["first", "middle", "last"]
_FrameKind: TypeAlias = Literal["unicast", "broadcast", "multicast"]
_Part = TypeVar("_Part")


# -- fields and their readers ----------------------------------------------------------------------


def _field(
    read: Callable[[Any], object], text: str, *, alias: str = "", default: Any = None, made: Any = MISSING
) -> Any:
    """Return a field of a question.

    Args:
        read: reads and checks a value.
        text: what the field means, for the documentation.
        alias: its name in a batch line, where that is not a name in Python.
        default: its value if it is not given; MISSING if it must be.
        made: makes the value if it is not given.
    """
    metadata = {"read": read, "text": text, "alias": alias}
    if made is not MISSING:
        return field(default_factory=made, metadata=metadata)
    return field(default=default, metadata=metadata)


def _read(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Read the values of fields; None counts as not given.

    Raises:
        UsageError: a value is not valid; the text names the field.
    """
    found = {}
    known = _fields(kind)
    for name, value in given.items():
        if value is None:
            continue
        try:
            found[name] = known[name].metadata["read"](value)
        except _PartError as error:
            raise UsageError(message("{field}.{error}", field=name, error=text_of(error))) from None
        except UsageError as error:
            shown = known[name].metadata["alias"] or name
            raise FieldError(shown, text_of(error)) from None
    return found


def _fields(kind: Any) -> dict[str, Field[Any]]:
    """Return the fields of a class by name."""
    known: dict[str, Field[Any]] = kind.__dataclass_fields__
    return known


class FieldError(UsageError):
    """The value of a field is not valid.

    Attributes:
        field: the field, by its name in a batch line.
        fault: what is wrong.
    """

    def __init__(self, field: str, fault: Text) -> None:
        super().__init__(message("{field}: {error}", field=field, error=fault))
        self.field, self.fault = field, fault


class _PartError(UsageError):
    """An error whose text begins with the name of a part: "dst: ..."."""


def _part(kind: Callable[[], type[_Part]], *, ignored: bool = False) -> Callable[[Any], _Part]:
    """Return a reader of a field with parts.

    Args:
        kind: returns the class.
        ignored: whether unknown parts are ignored.
    """

    def read(value: Any) -> _Part:
        made = kind()
        if isinstance(value, made):
            return value
        known = _fields(made)
        given = {name: part for name, part in values.mapping(value).items() if not ignored or name in known}
        try:
            for name in given:
                if name not in known:
                    raise _PartError(
                        message(
                            "{field}: unknown field; choose from: {choices}",
                            field=str(name),
                            choices=", ".join(known),
                        )
                    )
            found = _read(made, given)
        except UsageError as error:
            raise _PartError(text_of(error)) from None
        for name, one in known.items():
            if name not in found and one.default is MISSING and one.default_factory is MISSING:
                raise _PartError(message("{field}: a value is needed", field=name))
        return made(**found)

    return read


def _endpoint(value: Any) -> Endpoint:
    return value if isinstance(value, Endpoint) else parse_endpoint(values.text(value))


def _family(value: Any) -> Family:
    if str(value) not in ("4", "6"):
        raise UsageError(message("{value} is not an address family; give 4 or 6", value=values.quoted(value)))
    return 4 if str(value) == "4" else 6


# -- the models ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedFlow:
    """One direction of a connection."""

    src: Address = _field(parse_ip, "source address", default=MISSING)
    dst: Address = _field(parse_ip, "destination address", default=MISSING)
    sport: int | None = _field(values.port, "source port")
    dport: int | None = _field(values.port, "destination port")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedConnection:
    """What the question states about the connection that the packet belongs to."""

    orig: StatedFlow | None = _field(
        _part(lambda: StatedFlow, ignored=True),
        "addresses and ports of its first packet: src, sport, dst, dport",
    )
    reply: StatedFlow | None = _field(
        _part(lambda: StatedFlow, ignored=True),
        "addresses and ports of its replies: src, sport, dst, dport",
    )
    mark: int = _field(values.whole(BITS32), "the connection's mark", default=0)
    zone: int = _field(values.whole(BITS16), "conntrack zone", default=0)
    helper: str | None = _field(values.text, "its helper: ftp, sip ...")
    status: tuple[str, ...] = _field(
        values.tuple_of(values.text), "SEEN_REPLY, ASSURED, EXPECTED ...", default=()
    )
    expires: int | None = _field(values.whole(BITS32), "seconds until conntrack deletes it")
    labels: tuple[int, ...] = _field(
        values.tuple_of(values.whole(BITS16)), "connection labels, by number", default=()
    )
    packets: int | None = _field(values.whole(BITS64), "packets so far, in each direction")
    bytes: int | None = _field(values.whole(BITS64), "bytes so far, in each direction")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedPacket:
    """The packet that an ICMP error quotes, as the sender of the error received it: after any NAT on its path."""

    src: Address | None = _field(parse_ip, "its source address; by default the destination of the error")
    dst: Address = _field(parse_ip, "its destination address", default=MISSING)
    proto: str | None = _field(values.protocol, "its protocol, by name or number; tcp by default")
    sport: int | None = _field(values.port, "its source port")
    dport: int | None = _field(values.port, "its destination port")
    icmp_type: int | None = _field(values.whole(BITS8), "its ICMP type, if it is ICMP itself")
    icmp_id: int | None = _field(values.whole(BITS16), "its identifier, if it is an ICMP echo")


def _question(value: Any) -> Question:
    """Read a question about an earlier packet; it may be JSON."""
    if isinstance(value, Question):
        return value
    if isinstance(value, str):
        try:
            value = parse_json(value.encode("utf-8", "replace"))
        except ValueError as error:
            raise UsageError(text_of(error)) from None
    if not isinstance(value, Mapping):
        raise UsageError(message('expected a question, such as {{"from": "client", "to": "web:80"}}'))
    return Question(**value)


@dataclass(frozen=True, slots=True, init=False)
class Question:
    """One packet to follow; None means the default of a field.

    Facts and rare header fields are given like the other fields: `Question(sender="web", to="db:5432", cpu=1)`.

    Raises:
        UsageError: a field is unknown, its value is not valid, or two fields contradict each other.
    """

    id: str | int | None = _field(values.identifier, "returned in the answer")
    sender: Endpoint | None = _field(
        _endpoint,
        "source: a container, host, localhost, internet, an IP address, or a network such as 10.0.0.0/8",
        alias="from",
    )
    to: Endpoint | None = _field(
        _endpoint,
        "destination: the same, dns for the sender's name server, or svc/NAME and nodeport/N of Kubernetes; a port may "
        "follow, as in web:80",
    )
    in_interface: str | None = _field(
        values.text,
        "the interface or bridge port on which the packet arrives; src and dst are then its addresses",
        alias="in",
    )
    family: Family | None = _field(_family, "address family; by default that of the addresses")
    proto: str | None = _field(values.protocol, "protocol, by name or number; by default tcp, but udp to dns")
    src: Address | None = _field(parse_ip, "source address, if it does not follow from `from`")
    dst: Address | None = _field(parse_ip, "destination address, if it does not follow from `to`")
    sport: int | None = _field(values.port, "source port")
    dport: int | None = _field(values.port, "destination port; by default 80 for tcp, 53 for other protocols")
    tcp_flags: str | None = _field(
        values.tcp_flags, "TCP flags, as in SYN,ACK; by default SYN, or ACK if the state is established"
    )
    tcp_options: dict[int, str] | None = _field(values.tcp_options, "TCP options: number -> content in hex")
    icmp_type: int | None = _field(
        values.whole(BITS8), "ICMP type, by number or name; echo request by default"
    )
    icmp_code: int | None = _field(values.whole(BITS8), "ICMP code; 0 by default")
    ttl: int | None = _field(values.whole(BITS8), "time to live, or hop limit; 64 by default")
    tos: int | None = _field(values.whole(BITS8), "the whole TOS or traffic class byte; 0 by default")
    length: int | None = _field(values.whole(BITS16), "length of the IP packet in bytes, header included")
    payload_hex: str | None = _field(values.hex_bytes, "the bytes after the transport header, in hex")
    mark: int | None = _field(values.whole(BITS32), "the packet's mark; 0 by default")
    uid: int | None = _field(values.whole(BITS32), "user of the local process that sends the packet")
    gid: int | None = _field(values.whole(BITS32), "group of the local process that sends the packet")
    mss: int | None = _field(values.whole(BITS16), "maximum segment size, a TCP option")
    fragment: _Fragment | None = _field(
        values.one_of("first", "middle", "last"), "which fragment the packet is; by default it is whole"
    )
    src_mac: str | None = _field(values.mac, "source MAC address of its frame")
    dst_mac: str | None = _field(values.mac, "destination MAC address of its frame")
    pkttype: _FrameKind | None = _field(
        values.one_of("unicast", "broadcast", "multicast"),
        "how its frame is addressed; by default according to dst_mac, or unicast",
    )
    state: _State | None = _field(
        values.one_of("new", "established", "related", "invalid", "untracked"),
        "state of its connection; new by default",
    )
    ct: StatedConnection | None = _field(_part(lambda: StatedConnection), "more about its connection")
    conntrack: str | None = _field(
        values.text, "its connection, as a line of `conntrack -L`; gives its addresses and ports as well"
    )
    inner: QuotedPacket | None = _field(
        _part(lambda: QuotedPacket),
        "the packet that an ICMP error quotes: src, dst, proto, sport, dport, icmp_type, icmp_id; "
        "by default from payload_hex, or a packet of the connection that is given",
    )
    after: Question | None = _field(
        _question,
        "an earlier packet of the same connection, as a question; fields that describe the connection are taken from "
        "it if this question has no endpoints",
    )
    at: datetime | None = _field(values.moment, "when the packet is sent, for `-m time`: 2026-11-24T18:30")
    assume: dict[str, bool] = _field(
        values.assumptions,
        "results of matches that cannot be computed: module or TABLE:CHAIN:N -> true or false",
        made=dict,
    )
    facts: dict[str, Any] = _field(values.mapping, "facts about the surroundings of the packet", made=dict)
    extra: dict[str, Any] = _field(values.mapping, "rare header fields", made=dict)
    extension_headers: tuple[tuple[int, str], ...] = _field(
        values.extension_headers,
        "IPv6 headers before the transport header: protocol number, content in hex",
        default=(),
    )
    reply: bool = _field(values.truth, "whether the reply is followed as well", default=True)
    verbose: bool = _field(
        values.truth, "whether the rules that did not match are listed as well", default=False
    )

    def __init__(self, **given: Any) -> None:
        plain, makers = _defaults()
        made = {name: make() for name, make in makers.items()}
        setting = object.__setattr__
        for name, value in (plain | made | _read(Question, _settled(given))).items():
            setting(self, name, value)
        self._check()

    def _lacks_endpoint(self) -> Message:
        """Return the error for a question without a source or a destination."""
        if self.in_interface is not None:
            return message(
                "a packet that arrives on an interface (-i) needs a source and a destination: "
                "give src and dst, or from and to"
            )
        if self.sender is not None:
            return message("the destination is missing; give --to, such as --to host:80 or --to internet:443")
        if self.to is not None and self.src is None:
            return message("the source is missing; give --from, such as --from internet")
        return message(
            "a source and a destination are needed: give --from and --to, or -i INTERFACE with src and dst"
        )

    def _check(self) -> None:
        """Check that the fields fit together.

        Raises:
            UsageError: an endpoint is missing, or two fields contradict each other.
        """
        if isinstance(self.sender, DestinationOnly):
            raise UsageError(
                message('from: "{endpoint}" can only be a destination (to)', endpoint=str(self.sender))
            )
        if None in (self.sender or self.src, self.to or self.dst) or not (self.sender or self.in_interface):
            raise UsageError(self._lacks_endpoint())
        if isinstance(self.sender, Address) and self.src not in (None, self.sender):
            raise UsageError(
                message(
                    "from {sender} and src {src} are two source addresses: give one of them",
                    sender=str(self.sender),
                    src=str(self.src),
                )
            )
        for name, address in (("src", self.src), ("dst", self.dst)):
            if address is not None:  # few questions state one
                check_family(name, address, self.stated_family)
        if self.after is None:
            return
        if self.after.after is not None:
            raise UsageError(message("after: the earlier packet can't have an 'after' of its own"))
        if self.state is not None or self.ct is not None or self.conntrack is not None:
            raise UsageError(
                message(
                    "after: the earlier packet determines the connection; leave out state, ct and conntrack"
                )
            )

    @property
    def stated_family(self) -> Family | None:
        """The address family that the fields give, None if they give none."""
        if self.family is not None:
            return self.family
        for endpoint in (self.dst, self.src, self.to, self.sender):
            if isinstance(endpoint, Address | Prefix):
                return endpoint.family
        return 6 if self.protocol == ICMPV6 else None

    @property
    def protocol(self) -> int:
        """The protocol's number."""
        return parse_protocol(self.proto or ("udp" if isinstance(self.to, Resolver) else "tcp"))


def check_family(name: str, address: Address | None, family: Family | None) -> None:
    """Check that an address is of the packet's family.

    Raises:
        UsageError: the address is of the other family; the text names the field.
    """
    if address is not None and address.family != family:
        raise UsageError(
            message(
                "{field}: {address} is an IPv{own} address, but the packet is IPv{family}",
                field=name,
                address=str(address),
                own=address.family,
                family=str(family),
            )
        )


# -- the names of the fields -----------------------------------------------------------------------


@cache
def field_names() -> dict[str, str]:
    """Return the names and aliases of the fields, each with the field's name."""
    known = _fields(Question)
    return {name: name for name in known} | {
        one.metadata["alias"]: name for name, one in known.items() if one.metadata["alias"]
    }


@cache
def packet_fields() -> frozenset[str]:
    """Return the names that `--set` takes for ordinary fields."""
    return frozenset(name for name, own in field_names().items() if own not in _NOT_SET)


def settable() -> list[str]:
    """Return every name that `--set` takes."""
    parts = ("ct.mark", "ct.zone", "ct.helper", "ct.orig.src", "inner.src")
    return sorted({*packet_fields(), *FACTS, *RARE_FIELDS, *parts})


def unknown_field(name: str) -> Message:
    """Return the error for a field that does not exist."""
    return suggest_or_list(message("unknown field {name}", name=values.quoted(name)), name, settable())


@cache
def _defaults() -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Return the defaults of a question's fields, and what makes the others."""
    known = _fields(Question).items()
    plain = {name: one.default for name, one in known if one.default_factory is MISSING}
    return plain, {name: one.default_factory for name, one in known if one.default_factory is not MISSING}


def _settled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a question by name, with those that follow from others.

    Facts and rare header fields may be given like the other fields.
    """
    found: dict[str, Any] = {}
    beside: dict[str, dict[str, Any]] = {"facts": {}, "extra": {}}
    names = field_names()
    for name, value in given.items():
        if name in names:
            found[names[name]] = value
        elif name in FACTS:
            beside["facts"][name] = value
        elif name in RARE_FIELDS:
            beside["extra"][name] = value
        else:
            raise UsageError(unknown_field(name))
    if isinstance(found.get("to"), str) and ":" in found["to"]:
        found.update(_read(Question, {name: found.get(name) for name in ("dport", "proto")}))
        take_port(found)
    if found.get("after") is not None:
        found.update(_read(Question, {"after": found["after"]}))
        _inherit(found, found["after"])
    if found.get("conntrack") is not None:
        found.update(_read(Question, {name: found.get(name) for name in ("conntrack", *ENDS_OF_ENTRY)}))
        take_entry(found)
    take_icmp_type(found)
    for group, stated in beside.items():
        every = {**_read(Question, {group: found.get(group)}).get(group, {}), **stated}
        found[group] = {name: read_fact(name, value) for name, value in every.items()} if every else None
    return found


def _inherit(found: dict[str, Any], earlier: Question) -> None:
    """Take the connection's fields from an earlier packet, if no endpoint is given."""
    if any(found.get(name) is not None for name in ENDS):
        return
    for name in _fields(Question).keys() - _OF_ONE_PACKET:
        if found.get(name) is None:
            found[name] = getattr(earlier, name)
