"""`-m conntrack`: what connection tracking knows of the packet's flow (net/netfilter/xt_conntrack.c)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any, ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value, fact_predicate
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
from iptsim.packet import Connection, Context, Flow, Truth, Unknown, address_text, protocol_name

#: In the order in which iptables prints them, as are the statuses.
STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED", "SNAT", "DNAT")
STATUSES = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")


def state_holds(context: Context, states: tuple[str, ...]) -> bool:
    """Tell whether the packet is in one of the ctstates; SNAT and DNAT look at the connection."""
    if state_of(context) in states:
        return True
    status: frozenset[str] = context.connection.status if context.connection else frozenset()
    return any(state in status for state in ("SNAT", "DNAT") if state in states)


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


def state_got(context: Context) -> str:
    """Return the packet's state for explanations."""
    if context.state is None:
        return say("conntrack has not seen it yet, so it counts as {context}", context=state_of(context))
    status = sorted(context.connection.status & {"SNAT", "DNAT"}) if context.connection else []
    return say("its connection state is {values}", values=",".join([context.state, *status]))


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
                make = _PREDICATES.get(option.field, _flow_predicate)
                text = self.clause(option, value)
                predicate = make(text, option.field, value, option.field in self.negated)
                if self.ctstate is not None and option.field != "ctstate":
                    predicate = _unless_without_entry(predicate)
                found.append(predicate)
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


def _state_predicate(text: str, field: str, value: tuple[str, ...], negated: bool) -> Predicate:
    return fact_predicate(text, lambda context: state_holds(context, value), state_got, negated=negated)


def _entry_predicate(
    text: str,
    negated: bool,
    test: Callable[[Connection, Context], Truth],
    shown: Callable[[Connection, Context], str],
) -> Predicate:
    def whole(context: Context) -> Truth:
        return False if context.connection is None else test(context.connection, context)

    def got(context: Context) -> str:
        if context.connection is None:
            return say("it belongs to no tracked connection")
        return shown(context.connection, context)

    return Predicate(text, whole, got, negated=negated)


def _unless_without_entry(predicate: Predicate) -> Predicate:
    """Make a condition that holds for packets without an entry."""

    def test(context: Context) -> Truth:
        return True if context.connection is None else predicate.test(context)

    return replace(predicate, test=test)


def _flow_predicate(text: str, field: str, value: Network | tuple[int, int], negated: bool) -> Predicate:
    """Make a condition on an address or port of the original or reply flow."""
    reply, side = field.startswith("ctrepl"), "src" if "src" in field else "dst"
    part = side[0] + "port" if field.endswith("port") else side

    def flow_value(connection: Connection) -> int | None:
        flow: Flow = connection.reply if reply else connection.original
        found: int | None = getattr(flow, part)
        return found

    def test(connection: Connection, context: Context) -> Truth:
        number = flow_value(connection)
        if number is None:
            return Unknown(later("a port that is picked at random"), "", (field, value))
        inside = number in value if isinstance(value, Network) else value[0] <= number <= value[1]
        return inside is not negated

    def shown(connection: Connection, context: Context) -> str:
        number = flow_value(connection)
        is_address = part in ("src", "dst") and number is not None
        return say(
            "its {word} is {value}",
            word=told(_NAMES[field]),
            value=address_text(connection.family, number or 0) if is_address else number,
        )

    return _entry_predicate(text, negated, test, shown)


def _proto_predicate(text: str, field: str, value: int, negated: bool) -> Predicate:
    return _entry_predicate(
        text,
        negated,
        lambda connection, context: (connection.original.proto == value) is not negated,
        lambda connection, context: say(
            "its connection's protocol is {proto}", proto=protocol_name(connection.original.proto)
        ),
    )


def _status_predicate(text: str, field: str, value: tuple[str, ...], negated: bool) -> Predicate:
    return _entry_predicate(
        text,
        negated,
        lambda connection, context: (not connection.status.isdisjoint(value)) is not negated,
        lambda connection, context: say(
            "its connection's status is {status}", status=",".join(sorted(connection.status)) or say("empty")
        ),
    )


def _expire_predicate(text: str, field: str, value: tuple[int, int], negated: bool) -> Predicate:
    def test(connection: Connection, context: Context) -> Truth:
        # a connection that is not confirmed yet has no timer: 0
        expires = 0 if "CONFIRMED" not in connection.status else connection.expires
        if expires is None:
            return Unknown(
                later("the remaining lifetime of the connection"),
                later("a line of conntrack -L"),
                (field, value),
            )
        return (value[0] <= expires <= value[1]) is not negated

    return _entry_predicate(
        text,
        negated,
        test,
        lambda connection, context: say("its connection expires in {expires}", expires=connection.expires),
    )


def _direction_predicate(text: str, field: str, value: str, negated: bool) -> Predicate:
    return _entry_predicate(
        text,
        negated,
        lambda connection, context: context.direction.upper() == value,
        lambda connection, context: say("it goes in the {direction} direction", direction=context.direction),
    )


_PREDICATES: dict[str, Callable[..., Predicate]] = {
    "ctstate": _state_predicate,
    "ctproto": _proto_predicate,
    "ctstatus": _status_predicate,
    "ctexpire": _expire_predicate,
    "ctdir": _direction_predicate,
}

EXTENSIONS = (Conntrack,)
