"""`-m conntrack`: what connection tracking knows of the packet's flow (net/netfilter/xt_conntrack.c)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value, constrained
from iptsim.extensions.constraints import (
    Allowed,
    Constraint,
    Field,
    Masked,
    Some,
    between,
    connection_value,
    equal,
    named,
)
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.parameters import PROTOCOL, format_protocol, parse_protocol
from iptsim.extensions.values import (
    ANY_PORT_RANGE,
    Network,
    NoSuchWord,
    any_of,
    choices,
    number_range,
    parse_host_mask,
    range_text,
)
from iptsim.languages import joined, later, say, say_if, told
from iptsim.packet import Connection, Context, Flow, Unknown, address_text, protocol_name

#: In the order in which iptables prints them, as are the statuses.
STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
STATUSES = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")


def state_of(context: Context) -> str:
    """Return the packet's state.

    Before conntrack has seen it, in the raw table, a packet is INVALID; but a CT target has given it a
    template, which counts as NEW, or told conntrack to leave it alone.
    """
    if context.state is not None:
        return context.state
    if context.notrack:
        return "UNTRACKED"
    return "NEW" if context.connection is not None else "INVALID"


def _states(context: Context) -> frozenset[str]:
    """Return the packet's state; SNAT and DNAT look at the connection."""
    status = context.connection.status & _TRANSLATED if context.connection else frozenset()
    return status | {state_of(context)}


def _got_state(context: Context) -> str:
    if context.state is None:
        return say("conntrack has not seen it yet, so it counts as {context}", context=state_of(context))
    status = sorted(context.connection.status & _TRANSLATED) if context.connection else []
    return say("its connection state is {values}", values=",".join([context.state, *status]))


_TRANSLATED = frozenset({"SNAT", "DNAT"})
#: The states that the packet has, for `--ctstate` and `--state`.
STATE = Field("ct.state", _states, _got_state)


def _statuses(text: str) -> tuple[str, ...]:
    """Read statuses; NONE is no bit, and is lost beside others."""
    found: tuple[str, ...] = _STATUS_WORDS.parse(text)
    return found if found == ("NONE",) else tuple(status for status in found if status != "NONE")


def _direction(text: str) -> str:
    if text.upper() not in ("ORIGINAL", "REPLY"):
        raise NoSuchWord(f"{text!r} is not one of ORIGINAL, REPLY", text, ("ORIGINAL", "REPLY"))
    return text.upper()


_STATUS_WORDS = choices(f"statuses of {', '.join(STATUSES)}", STATUSES)
_ADDRESS = Value("an address, with /length or /mask", parse_host_mask, attrgetter("short"), needs_family=True)
_LIFETIME = Value(
    "seconds, or a range (60:120, 60:)", lambda text: number_range(text, 0xFFFFFFFF), range_text
)


class Conntrack(Match):
    """State, direction and original or reply addresses of the packet's connection."""

    name: ClassVar[str] = "conntrack"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--ctstate", "ctstate", choices(f"states of {', '.join(STATES)}", STATES), True),
        Option("--ctproto", "ctproto", Value(PROTOCOL.expected, parse_protocol), True),
        Option("--ctorigsrc", "ctorigsrc", _ADDRESS, True),
        Option("--ctorigdst", "ctorigdst", _ADDRESS, True),
        Option("--ctreplsrc", "ctreplsrc", _ADDRESS, True),
        Option("--ctrepldst", "ctrepldst", _ADDRESS, True),
        Option("--ctorigsrcport", "ctorigsrcport", ANY_PORT_RANGE, True),
        Option("--ctorigdstport", "ctorigdstport", ANY_PORT_RANGE, True),
        Option("--ctreplsrcport", "ctreplsrcport", ANY_PORT_RANGE, True),
        Option("--ctrepldstport", "ctrepldstport", ANY_PORT_RANGE, True),
        Option("--ctstatus", "ctstatus", Value(_STATUS_WORDS.expected, _statuses, ",".join), True),
        Option("--ctexpire", "ctexpire", _LIFETIME, True),
        Option("--ctdir", "ctdir", Value("ORIGINAL or REPLY", _direction)),
    )

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

    @model_validator(mode="after")
    def _something(self) -> Conntrack:
        if not self.clauses():
            raise ValueError("conntrack needs an option, such as --ctstate")
        return self

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option.

        For a packet without an entry the kernel looks at `--ctstate` alone; where that is not given,
        nothing holds, negated or not.
        """
        found = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is not None:
                field, allows = _CONDITIONS[option.field]
                # beside --ctstate a packet without an entry passes the other options
                passes = self.ctstate is not None and option.field != "ctstate"
                constraint = Constraint(field, allows(value), option.field in self.negated, passes)
                found.append(constrained(self.clause(option, value), constraint))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = ""
        for option in self.options:
            value = getattr(self, option.field)
            if value is not None:
                text += f"{self.bang(option.field, ' !')} {option.field} {_listed(value)}"
        return text

    def says(self) -> str:
        """Return the conditions in words."""
        phrases = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is None:
                continue
            if option.field == "ctstate":
                phrases.append(
                    say_if(
                        option.field in self.negated,
                        "whose connection state is not {value}",
                        "whose connection state is {value}",
                        value=any_of(value),
                    )
                )
            elif option.field == "ctdir":
                phrases.append(say("in the {value} direction", value=value.lower()))
            elif option.field == "ctstatus":
                phrases.append(
                    say_if(
                        option.field in self.negated,
                        "whose connection is not {value}",
                        "whose connection is {value}",
                        value=any_of(value),
                    )
                )
            else:
                shown = option.value.format(value) if option.value else value
                phrases.append(
                    say_if(
                        option.field in self.negated,
                        "whose {word} is not {shown}",
                        "whose {word} is {shown}",
                        word=told(_NAMES[option.field]),
                        shown=shown if option.field != "ctproto" else format_protocol(value),
                    )
                )
        return joined(" ", phrases)


_NAMES = {
    "ctproto": later("connection's protocol"), "ctorigsrc": later("original source"),
    "ctorigdst": later("original destination"),
    "ctreplsrc": later("answering address"), "ctrepldst": later("address answered to"),
    "ctorigsrcport": later("original source port"), "ctorigdstport": later("original destination port"),
    "ctreplsrcport": later("answering port"), "ctrepldstport": later("port answered to"),
    "ctexpire": later("connection's remaining lifetime in seconds"),
}  # fmt: skip


def _listed(value: Any) -> str:
    if isinstance(value, Network):
        return value.short
    if isinstance(value, tuple) and isinstance(value[0], int):
        return range_text((value[0], value[1]))
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _of_flow(connection: Connection, field: str) -> int | Unknown:
    """Return an address or port of the original or reply flow."""
    flow: Flow = connection.reply if field.startswith("ctrepl") else connection.original
    number: int | None = getattr(flow, _PARTS[field.removeprefix("ctrepl").removeprefix("ctorig")])
    return Unknown(later("a port that is picked at random")) if number is None else number


def _got_flow(connection: Connection, field: str) -> str:
    number = _of_flow(connection, field)
    shown: object = None if isinstance(number, Unknown) else number
    if not field.endswith("port") and isinstance(number, int):
        shown = address_text(connection.family, number)
    return say("its {word} is {value}", word=told(_NAMES[field]), value=shown)


#: The options that look at an address or port of a flow.
_FLOWS = tuple(
    f"ct{flow}{side}{part}" for flow in ("orig", "repl") for side in ("src", "dst") for part in ("", "port")
)
_PARTS = {"src": "src", "dst": "dst", "srcport": "sport", "dstport": "dport"}


def _network(network: Network) -> Masked:
    return Masked(network.address & network.mask, network.mask)


def _expires(connection: Connection) -> int | Unknown:
    # a connection that is not confirmed yet has no timer: 0
    if "CONFIRMED" not in connection.status:
        return 0
    if connection.expires is None:
        return Unknown(later("the remaining lifetime of the connection"), later("a line of conntrack -L"))
    return connection.expires


_PROTO = connection_value(
    "proto",
    lambda connection: connection.original.proto,
    lambda connection: say(
        "its connection's protocol is {proto}", proto=protocol_name(connection.original.proto)
    ),
)
_STATUS = connection_value(
    "status",
    lambda connection: connection.status,
    lambda connection: say(
        "its connection's status is {status}", status=",".join(sorted(connection.status)) or say("empty")
    ),
)
_EXPIRES = connection_value(
    "expires",
    _expires,
    lambda connection: say("its connection expires in {expires}", expires=connection.expires),
)
_DIRECTION = Field(
    "ct.direction",
    lambda context: None if context.connection is None else context.direction.upper(),
    lambda context: (
        say("it belongs to no tracked connection")
        if context.connection is None
        else say("it goes in the {direction} direction", direction=context.direction)
    ),
)
#: What each option looks at, and the values that it allows.
_CONDITIONS: dict[str, tuple[Field, Callable[[Any], Allowed]]] = {
    "ctstate": (STATE, lambda states: Some(frozenset(states))),
    "ctproto": (_PROTO, equal),
    "ctstatus": (_STATUS, lambda statuses: Some(frozenset(statuses))),
    "ctexpire": (_EXPIRES, between),
    "ctdir": (_DIRECTION, named),
    **{
        field: (
            connection_value(field, partial(_of_flow, field=field), partial(_got_flow, field=field)),
            between if field.endswith("port") else _network,
        )
        for field in _FLOWS
    },
}

EXTENSIONS = (Conntrack,)
