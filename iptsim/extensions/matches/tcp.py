"""`-m tcp`: ports, flags and options of the TCP header (net/netfilter/xt_tcpudp.c)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from iptsim.extensions.base import Match, Option, Predicate, Value, constrained
from iptsim.extensions.constraints import Constraint, Field, Masked, Some, look, packet_field
from iptsim.extensions.listing import WHOLE_PORTS, ListingForm, listed_ports
from iptsim.extensions.ports import port_predicates, port_says, transport_data
from iptsim.extensions.values import PORT_RANGE, NoSuchWord, integer_value
from iptsim.languages import joined, later, say, say_if
from iptsim.packet import ACK, FIN, RST, SYN, TCP, TCP_FLAGS, Context, Unknown

_ALL = {
    **{name: TCP_FLAGS[name] for name in ("FIN", "SYN", "RST", "PSH", "ACK", "URG")},
    "NONE": 0,
    "ALL": 0x3F,
}


class TcpFlags(NamedTuple):
    """The flags that are looked at, and those of them that must be set; bit masks."""

    mask: int
    set: int


#: Where the flags stand in a TCP header, in octets.
_FLAGS_AT = 13


def _flags(text: str) -> int:
    bits = 0
    for name in text.split(","):
        if name.upper() not in _ALL:
            raise NoSuchWord(f"{name!r} is not a TCP flag: one of {', '.join(_ALL)}", name, _ALL)
        bits |= _ALL[name.upper()]
    return bits


def flags_text(bits: int) -> str:
    """Print TCP flags as iptables-save does.

    >>> flags_text(0x17), flags_text(0)
    ('FIN,SYN,RST,ACK', 'NONE')
    """
    return ",".join(name for name, bit in TCP_FLAGS.items() if bits & bit and bit <= 0x20) or "NONE"


def _parse_flags(mask: str, required: str) -> TcpFlags:
    return TcpFlags(_flags(mask), _flags(required))


_SYN_ONLY = TcpFlags(FIN | SYN | RST | ACK, SYN)


class Tcp(Match):
    """The TCP header. Without options it holds for every TCP packet."""

    name: ClassVar[str] = "tcp"
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--sport", "source_port", PORT_RANGE, True, ("--source-port",), idle=WHOLE_PORTS),
        Option("--dport", "destination_port", PORT_RANGE, True, ("--destination-port",), idle=WHOLE_PORTS),
        Option("--tcp-option", "tcp_option", integer_value("a TCP option's number", 1, 255), True),
        Option(
            "--tcp-flags",
            "tcp_flags",
            Value(
                "the flags to look at and those that must be set (SYN,RST,ACK SYN)",
                _parse_flags,
                lambda flags: f"{flags_text(flags.mask)} {flags_text(flags.set)}",
                words=2,
                form="words",
            ),
            True,
        ),
        Option("--syn", "tcp_flags", None, True, constant=_SYN_ONLY),
    )

    source_port: tuple[int, int] | None = None
    destination_port: tuple[int, int] | None = None
    tcp_option: int | None = None
    tcp_flags: TcpFlags | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the conditions in the kernel's order: source port, destination port, flags, option."""
        found = port_predicates(self)
        for option in self.options[2:-1]:
            value = getattr(self, option.field)
            if value is None:
                continue
            text, negated = self.clause(option, value), option.field in self.negated
            if option.field == "tcp_flags":
                constraint = Constraint(_FLAGS, Masked(value.set, value.mask), negated)
            else:
                constraint = Constraint(_OPTIONS, Some(frozenset((value,))), negated)
            found.append(constrained(text, constraint))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f" tcp{listed_ports(self.source_port, self.destination_port, self.negated)}"
        if self.tcp_option is not None:
            text += f" option={self.bang('tcp_option')}{self.tcp_option}"
        flags = self.tcp_flags
        if flags is not None and (flags.mask or self.bang("tcp_flags")):
            text += f" flags:{self.bang('tcp_flags')}0x{flags.mask:02X}/0x{flags.set:02X}"
        return text

    def says(self) -> str:
        """Return the ports and flags in words."""
        phrases = [port_says(self, "source_port"), port_says(self, "destination_port")]
        if self.tcp_flags is not None:
            if self.tcp_flags == _SYN_ONLY:
                phrases.append(
                    say_if(
                        "tcp_flags" in self.negated,
                        "not opening a connection (SYN)",
                        "opening a connection (SYN)",
                    )
                )
            else:
                phrases.append(
                    say_if(
                        "tcp_flags" in self.negated,
                        "not with {set} set of the flags {mask}",
                        "with {set} set of the flags {mask}",
                        set=flags_text(self.tcp_flags.set),
                        mask=flags_text(self.tcp_flags.mask),
                    )
                )
        if self.tcp_option is not None:
            phrases.append(
                say_if(
                    "tcp_option" in self.negated,
                    "without TCP option {tcp_option}",
                    "with TCP option {tcp_option}",
                    tcp_option=self.tcp_option,
                )
            )
        return joined(" ", filter(None, phrases))


def _flags_seen(context: Context) -> int | Unknown | None:
    """Return the flags, which a later fragment lacks.

    There the nf_tables backend reads what stands where a TCP header has them; legacy matches nothing.
    """
    if context.packet.fragment not in ("middle", "last"):
        flags: int = look(context, "tcp_flags")
        return flags
    data = transport_data(context, _FLAGS_AT + 1) if context.backend == "nf_tables" else None
    return data[_FLAGS_AT] if isinstance(data, bytes) else data


def _got_flags(context: Context) -> str:
    if context.packet.fragment in ("middle", "last"):
        return say("a later fragment carries no TCP flags")
    return _PLAIN_FLAGS.got(context)


def _options_seen(context: Context) -> Any:
    # tcp_mt: of a later fragment no condition holds, negated or not
    later_fragment = context.packet.fragment in ("middle", "last")
    return None if later_fragment else look(context, "tcp_options")


def _got_options(context: Context) -> str:
    if context.packet.fragment in ("middle", "last"):
        return say("a later fragment carries no TCP options")
    present = ", ".join(map(str, context.packet.tcp_options)) or say("none")
    return say("its TCP options are: {present}", present=present)


_PLAIN_FLAGS = packet_field("tcp_flags", later("TCP flags"), flags_text)
_FLAGS = Field("tcp_flags", _flags_seen, _got_flags)
_OPTIONS = Field("tcp_options", _options_seen, _got_options)

EXTENSIONS = (Tcp,)
