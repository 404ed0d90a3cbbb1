"""`-m conntrack`: what connection tracking knows about the packet (net/netfilter/xt_conntrack.c)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

from iptsim.addresses import address_text
from iptsim.connection import Connection, Flow
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import (
    NOT_TRACKED,
    Constraint,
    Field,
    between,
    connection_value,
    equal,
    named,
    some_member,
)
from iptsim.extensions.context import Context
from iptsim.extensions.options import Option, Relation, Value
from iptsim.extensions.parameters import PROTOCOL, format_protocol, parse_protocol
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.values import (
    ANY_PORT_RANGE,
    Network,
    NoSuchWord,
    any_of,
    choices,
    in_network,
    number_range,
    parse_host_mask,
    range_text,
)
from iptsim.languages import Message, Text, message
from iptsim.protocols import GRE, ICMP, ICMPV6, PORT_PROTOCOLS, protocol_name
from iptsim.truth import Unknown

#: In the order in which iptables prints them, as are the statuses.
STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
STATUSES = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")


def state_of(context: Context) -> str:
    """Return the packet's state.

    Before conntrack has seen it, in the raw table, a packet is INVALID; but a CT target has given it a template, which
    counts as NEW, or exempted it from conntrack.
    """
    if context.state is not None:
        return context.state
    if context.notrack:
        return "UNTRACKED"
    return "NEW" if context.connection is not None else "INVALID"


def _states(context: Context) -> frozenset[str]:
    """Return the packet's state, with SNAT and DNAT if the connection is translated."""
    status = context.connection.status & _TRANSLATED if context.connection else frozenset()
    return status | {state_of(context)}


def _got_state(context: Context) -> Text:
    if context.state is None:
        return message("conntrack has not seen it yet, so it counts as {state}", state=state_of(context))
    status = sorted(context.connection.status & _TRANSLATED) if context.connection else []
    return message("its connection state is {values}", values=",".join([context.state, *status]))


_TRANSLATED = frozenset({"SNAT", "DNAT"})
#: The states that the packet has, for `--ctstate` and `--state`.
STATE = Field("ct.state", _states, _got_state)


def _statuses(text: str) -> tuple[str, ...]:
    """Read statuses; NONE is not a bit, and has no effect together with others."""
    found: tuple[str, ...] = _STATUS_WORDS.parse(text)
    return found if found == ("NONE",) else tuple(status for status in found if status != "NONE")


def _direction(text: str) -> str:
    if text.upper() not in ("ORIGINAL", "REPLY"):
        raise NoSuchWord(
            message("unknown direction {text!r}; choose from: ORIGINAL, REPLY", text=text),
            text,
            ("ORIGINAL", "REPLY"),
        )
    return text.upper()


_STATE_WORDS = choices(message("states of {choices}", choices=", ".join(STATES)), STATES)
_STATUS_WORDS = choices(message("statuses of {choices}", choices=", ".join(STATUSES)), STATUSES)
_ADDRESS = Value("an address, with /length or /mask", parse_host_mask, attrgetter("short"), needs_family=True)
_LIFETIME = Value(
    "seconds, or a range (60:120, 60:)", lambda text: number_range(text, 0xFFFFFFFF), range_text
)
STATE_WORDS = Phrase("whose connection state is {value}", "whose connection state is not {value}", any_of)


# -- the fields of a connection -------------------------------------------------------------------------


def _of_flow(connection: Connection, part: str, reply: bool) -> int | Unknown:
    """Return an address or port of the original or reply flow; see nf_conntrack_tuple.h for those without ports."""
    flow: Flow = connection.reply if reply else connection.original
    number: int | None = getattr(flow, part)
    if part == "dport" and flow.proto in (ICMP, ICMPV6):
        return Unknown(message("the type and code of ICMP, which conntrack keeps in place of a port"))
    if number is not None:
        return number
    if flow.proto in (*PORT_PROTOCOLS, ICMP, ICMPV6, GRE):
        return Unknown(message("a port that is picked at random"))
    return 0


def _got_flow(connection: Connection, part: str, reply: bool, name: Message) -> Text:
    number = _of_flow(connection, part, reply)
    if isinstance(number, Unknown):
        return message("its {name} is not known", name=name)
    shown = address_text(connection.family, number) if part in ("src", "dst") else number
    return message("its {name} is {value}", name=name, value=shown)


def _expires(connection: Connection) -> int | Unknown:
    if connection.expires is not None:
        return connection.expires
    if not connection.is_confirmed:
        # it has no timer yet; the kernel subtracts its clock from the timeout all the same (nf_ct_expires), which
        # gives 0 unless the machine has started a few minutes or some weeks ago
        return Unknown(message("how long the machine has been up"), "--set ct.expires=0")
    # the seconds of a conntrack -L line do not count: each packet restarts the timer before any rule sees it
    # (nf_ct_refresh_acct)
    return Unknown(message("the remaining lifetime of the connection"), "--set ct.expires=SECONDS")


def _got_status(connection: Connection) -> Text:
    return message(
        "its connection's status is {status}",
        status=",".join(sorted(connection.status)) or message("empty"),
    )


def _got_direction(context: Context) -> Text:
    if context.connection is None:
        return NOT_TRACKED
    return message("it goes in the {direction} direction", direction=context.direction)


_PROTO = connection_value(
    "proto",
    lambda connection: connection.original.proto,
    lambda connection: message(
        "its connection's protocol is {proto}", proto=protocol_name(connection.original.proto)
    ),
)
_STATUS = connection_value("status", lambda connection: connection.status, _got_status)
_EXPIRES = connection_value(
    "expires",
    _expires,
    lambda connection: message("its connection expires in {expires}", expires=str(connection.expires)),
    steady=False,  # it changes with each packet
)
_DIRECTION = Field(
    "ct.direction",
    lambda context: None if context.connection is None else context.direction.upper(),
    _got_direction,
)


#: The keys of the fields that hold a port of a connection.
FLOW_PORTS = frozenset(f"ct.ct{way}{end}port" for way in ("orig", "repl") for end in ("src", "dst"))


# -- the options ----------------------------------------------------------------------------------------


def _option(
    name: str, value: Value, reads: Field, relation: Relation, phrase: Phrase, *, negatable: bool = True
) -> Option:
    """Make an option; a listing prints it under its own name."""
    return Option(
        f"--{name}", name, value, negatable, reads=reads, relation=relation, phrase=phrase,
        listed=f"[ !] {name} {{value}}",
    )  # fmt: skip


def _is_not(name: Message, show: Callable[[Any], str]) -> Phrase:
    return Phrase("whose {name} is {value}", "whose {name} is not {value}", show, name)


def _flow_option(name: str, part: str, called: Message) -> Option:
    """Make an option on an address or port of the original or reply flow."""
    reply = name.startswith("ctrepl")
    got = partial(_got_flow, part=part, reply=reply, name=called)
    field = connection_value(name, partial(_of_flow, part=part, reply=reply), got)
    value, relation = (_ADDRESS, in_network) if part in ("src", "dst") else (ANY_PORT_RANGE, between)
    return _option(name, value, field, relation, _is_not(called, value.format))


class Conntrack(Match):
    """State, direction and original or reply addresses of the packet's connection.

    For a packet without an entry, the kernel evaluates only `--ctstate`; without that option, nothing matches, with or
    without `!`.
    """

    name: ClassVar[str] = "conntrack"
    options: ClassVar[tuple[Option, ...]] = (
        _option("ctstate", _STATE_WORDS, STATE, some_member, STATE_WORDS),
        _option(
            "ctproto", Value(PROTOCOL.expected, parse_protocol), _PROTO, equal,
            _is_not(message("connection's protocol"), format_protocol),
        ),
        _flow_option("ctorigsrc", "src", message("original source")),
        _flow_option("ctorigdst", "dst", message("original destination")),
        _flow_option("ctreplsrc", "src", message("reply source")),
        _flow_option("ctrepldst", "dst", message("reply destination")),
        _flow_option("ctorigsrcport", "sport", message("original source port")),
        _flow_option("ctorigdstport", "dport", message("original destination port")),
        _flow_option("ctreplsrcport", "sport", message("reply source port")),
        _flow_option("ctrepldstport", "dport", message("reply destination port")),
        _option(
            "ctstatus", Value(_STATUS_WORDS.expected, _statuses, ",".join), _STATUS, some_member,
            Phrase("whose connection is {value}", "whose connection is not {value}", any_of),
        ),
        _option(
            "ctexpire", _LIFETIME, _EXPIRES, between,
            _is_not(message("connection's remaining lifetime in seconds"), range_text),
        ),
        _option(
            "ctdir", Value("ORIGINAL or REPLY", _direction), _DIRECTION, named,
            Phrase("in the {value} direction", show=str.lower), negatable=False,
        ),
    )  # fmt: skip

    ctstate: tuple[str, ...] | None = None
    ctproto: int | None = None
    ctorigsrc: Network | None = None
    ctorigdst: Network | None = None
    ctreplsrc: Network | None = None
    ctrepldst: Network | None = None
    ctorigsrcport: tuple[int, int] | None = None
    ctorigdstport: tuple[int, int] | None = None
    ctreplsrcport: tuple[int, int] | None = None
    ctrepldstport: tuple[int, int] | None = None
    ctstatus: tuple[str, ...] | None = None
    ctexpire: tuple[int, int] | None = None
    ctdir: str | None = None

    def check(self) -> None:
        if not self.clauses():
            raise ValueError(message("conntrack needs an option, such as --ctstate"))

    def constraint(self, field: Field, option: Option, value: Any) -> Constraint:
        # together with --ctstate, a packet without an entry passes the other options
        passes = self.ctstate is not None and option.field != "ctstate"
        return Constraint(field, option.relation(value), option.field in self.negated, passes)


EXTENSIONS = (Conntrack,)
