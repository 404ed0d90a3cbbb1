"""`-m tcp`: ports, flags and options of the TCP header (net/netfilter/xt_tcpudp.c)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from iptsim.extensions.constraints import Field, Masked, look, one_member, packet_field
from iptsim.extensions.context import Context
from iptsim.extensions.listing import WHOLE_PORTS
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.ports import NATIVE_PORTS, NativePorts, port_options, transport_data, with_merged_ports
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import PORT_RANGE, NoSuchWord, integer_value
from iptsim.languages import Text, message, message_if
from iptsim.protocols import ACK, FIN, RST, SYN, TCP, TCP_FLAGS
from iptsim.truth import Unknown

_ALL = {
    **{name: TCP_FLAGS[name] for name in ("FIN", "SYN", "RST", "PSH", "ACK", "URG")},
    "NONE": 0,
    "ALL": 0x3F,
}


class TcpFlags(NamedTuple):
    """The flags that are tested, and those of them that must be set; bit masks."""

    mask: int
    set: int


#: The offset of the flags in a TCP header, in bytes.
_FLAGS_AT = 13


def _flags(text: str) -> int:
    bits = 0
    for name in text.split(","):
        if name.upper() not in _ALL:
            raise NoSuchWord(
                message(
                    "unknown TCP flag {name!r}; choose from: {choices}", name=name, choices=", ".join(_ALL)
                ),
                name,
                _ALL,
            )
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


def _flags_seen(context: Context) -> int | Unknown | None:
    """Return the flags, which a later fragment lacks.

    For a later fragment, nf_tables reads the byte at the offset of the flags; the legacy backend matches nothing.
    """
    if not context.packet.is_later_fragment:
        flags: int = look(context, "tcp_flags")
        return flags
    data = transport_data(context, _FLAGS_AT + 1) if context.backend == "nf_tables" else None
    return data[_FLAGS_AT] if isinstance(data, bytes) else data


def _got_flags(context: Context) -> Text:
    if context.packet.is_later_fragment:
        return message("a later fragment carries no TCP flags")
    return _PLAIN_FLAGS.got(context)


def _options_seen(context: Context) -> Any:
    # tcp_mt: for a later fragment no condition holds, negated or not
    return None if context.packet.is_later_fragment else look(context, "tcp_options")


def _got_options(context: Context) -> Text:
    if context.packet.is_later_fragment:
        return message("a later fragment carries no TCP options")
    present = ", ".join(map(str, context.packet.tcp_options)) or message("none")
    return message("its TCP options are: {present}", present=present)


_PLAIN_FLAGS = packet_field("tcp_flags", message("TCP flags"), flags_text)
_FLAGS = Field("tcp_flags", _flags_seen, _got_flags)
_OPTIONS = Field("tcp_options", _options_seen, _got_options)


def _says_flags(flags: TcpFlags, negated: bool) -> Text:
    if flags == _SYN_ONLY:
        return message_if(negated, "not opening a connection (SYN)", "opening a connection (SYN)")
    return message_if(
        negated,
        "not with exactly {set} set of the flags {mask}",
        "with exactly {set} set of the flags {mask}",
        set=flags_text(flags.set),
        mask=flags_text(flags.mask),
    )


def _listed_flags(flags: TcpFlags, negated: bool) -> str:
    if not flags.mask and not negated:
        return ""
    return f" flags:{'!' if negated else ''}0x{flags.mask:02X}/0x{flags.set:02X}"


class Tcp(NativePorts):
    """The TCP header. Without options it matches every TCP packet."""

    name: ClassVar[str] = "tcp"
    protocols: ClassVar[frozenset[int] | None] = frozenset({TCP})
    options: ClassVar[tuple[Option, ...]] = (
        *port_options(PORT_RANGE, fields=NATIVE_PORTS, idle=WHOLE_PORTS),
        Option(
            "--tcp-option",
            "tcp_option",
            integer_value("a TCP option's number", 1, 255),
            True,
            reads=_OPTIONS,
            relation=one_member,
            phrase=Phrase("with TCP option {value}", "without TCP option {value}"),
            listed=" option=[!]{value}",
        ),
        Option(
            "--tcp-flags",
            "tcp_flags",
            Value(
                "the flags to test and those that must be set (SYN,RST,ACK SYN)",
                _parse_flags,
                lambda flags: f"{flags_text(flags.mask)} {flags_text(flags.set)}",
                words=2,
                form="words",
            ),
            True,
            reads=_FLAGS,
            relation=lambda flags: Masked(flags.set, flags.mask),
            phrase=_says_flags,
            listed=_listed_flags,
        ),
        Option("--syn", "tcp_flags", None, True, constant=_SYN_ONLY),
    )
    listed: ClassVar[str] = " tcp"
    said: ClassVar[tuple[str, ...]] = ("source_port", "destination_port", "tcp_flags")

    tcp_option: int | None = None
    tcp_flags: TcpFlags | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        return with_merged_ports(self, super().predicates())


EXTENSIONS = (Tcp,)
