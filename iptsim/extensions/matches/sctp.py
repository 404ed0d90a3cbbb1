"""`-m sctp` and `-m dccp`: ports, chunks and packet types (net/netfilter/xt_sctp.c, xt_dccp.c).

Keys of :attr:`Packet.extra`: `sctp_chunks`, the names of the packet's chunks in order, each with the flags
that are set, if any: `("INIT",)`, `("SACK", "DATA:BE")`, or in one text with commas. Without it, a packet
that opens an association carries INIT. `dccp_type`, a name such as "REQUEST" or its number; `dccp_options`, the
numbers of the options present (or a comma-separated text).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from iptsim.errors import UsageError
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Field, Names, one_member
from iptsim.extensions.context import Context
from iptsim.extensions.headers import presence_field
from iptsim.extensions.options import Option, Value
from iptsim.extensions.phrases import Phrase
from iptsim.extensions.ports import NATIVE_PORTS, PORTS, NativePorts, port_options
from iptsim.extensions.values import ANY_PORT_RANGE, PORT_RANGE, any_of, integer_value
from iptsim.extensions.wire import DCCP_TYPES, dccp_type
from iptsim.languages import Text, message, message_if, text_of
from iptsim.packet import Packet
from iptsim.protocols import DCCP, SCTP
from iptsim.truth import Unknown

#: Numbers of the chunk types, in the order of their numbers.
CHUNKS = {
    "DATA": 0, "INIT": 1, "INIT_ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT_ACK": 5, "ABORT": 6,
    "SHUTDOWN": 7, "SHUTDOWN_ACK": 8, "ERROR": 9, "COOKIE_ECHO": 10, "COOKIE_ACK": 11, "ECN_ECNE": 12,
    "ECN_CWR": 13, "SHUTDOWN_COMPLETE": 14, "I_DATA": 64, "ASCONF_ACK": 128, "RE_CONFIG": 130, "PAD": 132,
    "FORWARD_TSN": 192, "ASCONF": 193, "I_FORWARD_TSN": 194,
}  # fmt: skip
_NAMES = {number: name for name, number in CHUNKS.items()}
#: Letters of the flags that iptables knows, from the highest bit of four to the lowest.
_FLAGS = {"DATA": "IUBE", "I_DATA": "IUBE", "ABORT": "T", "SHUTDOWN_COMPLETE": "T"}
_MOST_WITH_FLAGS = 4
_ALL = tuple(range(256))


class Chunk(NamedTuple):
    """A chunk type, with the flags that are tested and those that must be set."""

    number: int
    mask: int = 0
    set: int = 0

    def __str__(self) -> str:
        return _NAMES.get(self.number, str(self.number)) + self._flags()

    def fits(self, carried: Chunk) -> bool:
        """Return whether a chunk of this type has the right flags."""
        return carried.set & self.mask == self.set

    def listed(self) -> str:
        """Return the chunk type by its number, as listings print it."""
        return f"0x{self.number:04X}" + self._flags()

    def _flags(self) -> str:
        letters = _FLAGS.get(_NAMES.get(self.number, ""), "")
        shown = ""
        for bit, letter in zip(reversed(range(len(letters))), letters, strict=True):
            if self.mask & 1 << bit:
                shown += letter if self.set & 1 << bit else letter.lower()
        return f":{shown}" if shown else ""


class ChunkTypes(NamedTuple):
    """What the packet's chunks must be: `all`, `any` or `only` of the listed; `every` means ALL."""

    how: str
    chunks: tuple[Chunk, ...]
    every: bool = False

    @property
    def allowed(self) -> CarriedChunks:
        """The chunks of a packet that satisfy it."""
        return CarriedChunks(self.how, tuple(map(Chunk, range(256))) if self.every else self.chunks)

    def __str__(self) -> str:
        listed = "ALL" if self.every else ",".join(map(str, self.chunks)) or "NONE"
        return f"{self.how} {listed}"


@dataclass(frozen=True, slots=True)
class CarriedChunks:
    """The condition of --chunk-types: a packet carries `any` or `all` of these chunks, or `only` these."""

    how: str
    chunks: tuple[Chunk, ...]

    def allows(self, carried: tuple[Chunk, ...]) -> bool:
        """Return whether the chunks of a packet meet the condition."""
        listed = {chunk.number: chunk for chunk in self.chunks}
        fitting = [one for one in carried if one.number in listed and listed[one.number].fits(one)]
        if self.how == "any":
            return bool(fitting)
        if self.how == "only":
            return len(fitting) == len(carried)
        return {one.number for one in fitting} == listed.keys()


def _chunk(text: str) -> Chunk:
    name, _, letters = text.partition(":")
    name = name.upper()
    if name not in CHUNKS:
        raise ValueError(
            message(
                "unknown chunk type {text!r}; choose from: {choices}", text=text, choices=", ".join(CHUNKS)
            )
        )
    known = _FLAGS.get(name, "")
    mask = required = 0
    for letter in letters:
        if letter.upper() not in known:
            raise ValueError(
                message_if(
                    known,
                    "unknown flag {letter!r} of {name}; choose from: {choices}",
                    "unknown flag {letter!r}: {name} has no flags{choices}",
                    letter=letter,
                    name=name,
                    choices=", ".join(known),
                )
            )
        bit = 1 << len(known) - 1 - known.index(letter.upper())
        mask |= bit
        required |= bit if letter.isupper() else 0
    return Chunk(CHUNKS[name], mask, required)


def _chunk_types(how: str, text: str) -> ChunkTypes:
    if how.lower() not in ("all", "any", "only"):
        raise ValueError(message("unknown word {how!r}; choose from: all, any, only", how=how))
    if text.upper() in ("ALL", "NONE"):
        return ChunkTypes(how.lower(), (), text.upper() == "ALL")
    chunks: dict[int, Chunk] = {}
    for part in text.split(","):
        chunk = _chunk(part)
        before = chunks.get(chunk.number, chunk)
        chunks[chunk.number] = Chunk(chunk.number, chunk.mask | before.mask, chunk.set | before.set)
    if len([chunk for chunk in chunks.values() if chunk.mask]) > _MOST_WITH_FLAGS:
        raise ValueError(
            message("more than {most_with_flags} chunk types with flags", most_with_flags=_MOST_WITH_FLAGS)
        )
    return ChunkTypes(how.lower(), tuple(chunks[number] for number in sorted(chunks)))


def carried_chunks(context: Context) -> tuple[Chunk, ...] | None:
    """Return the chunks of the packet, with their set flags; None if they were not stated.

    Raises:
        UsageError: the question states an unknown chunk.
    """
    chunks = context.packet.extra.get("sctp_chunks")
    if chunks is None:
        return (Chunk(CHUNKS["INIT"]),) if context.state == "NEW" else None
    try:
        return tuple(_chunk(part) for part in (chunks.split(",") if isinstance(chunks, str) else chunks))
    except ValueError as error:
        raise UsageError(message("sctp_chunks: {error}", error=text_of(error))) from None


def _carried(context: Context) -> tuple[Chunk, ...] | Unknown | None:
    if context.packet.is_later_fragment:
        return None
    chunks = carried_chunks(context)
    return _NO_CHUNKS if chunks is None else chunks


def _got_chunks(context: Context) -> Text:
    if context.packet.is_later_fragment:
        return message("a later fragment carries no SCTP header")
    chunks = carried_chunks(context)
    shown = message("not known") if chunks is None else ", ".join(map(str, chunks))
    return message("its SCTP chunks are {chunks}", chunks=shown)


def _listed_chunks(types: ChunkTypes, negated: bool) -> str:
    chunks = "ALL" if types.every else ",".join(chunk.listed() for chunk in types.chunks) or "NONE"
    return f"{' !' if negated else ''} {types.how} {chunks}"


_NO_CHUNKS = Unknown(message("the SCTP chunks that it carries"), "--set sctp_chunks=DATA")


class Sctp(NativePorts):
    """The SCTP header and its chunks. Without options it matches every SCTP packet."""

    name: ClassVar[str] = "sctp"
    protocols: ClassVar[frozenset[int] | None] = frozenset({SCTP})
    options: ClassVar[tuple[Option, ...]] = (
        *port_options(PORT_RANGE, fields=NATIVE_PORTS),
        Option(
            "--chunk-types",
            "chunk_types",
            Value("all, any or only, and the chunk types (any DATA:Be,INIT)", _chunk_types, words=2),
            True,
            reads=Field("sctp_chunks", _carried, _got_chunks),
            relation=lambda types: types.allowed,
            phrase=Phrase("carrying {value} SCTP chunks", "not carrying {value} SCTP chunks"),
            listed=_listed_chunks,
        ),
    )
    listed: ClassVar[str] = " sctp"

    chunk_types: ChunkTypes | None = None


# -- DCCP -----------------------------------------------------------------------------------------------


def _parse_types(text: str) -> tuple[str, ...]:
    words = {word.upper() for word in text.split(",")}
    for word in words:
        if word not in DCCP_TYPES:
            raise ValueError(
                message(
                    "unknown DCCP packet type {word!r}; choose from: {choices}",
                    word=word,
                    choices=", ".join(DCCP_TYPES),
                )
            )
    return tuple(name for name in DCCP_TYPES if name in words)


def _listed_types(types: tuple[str, ...], negated: bool) -> str:
    # every number without a name is INVALID
    known = [str(DCCP_TYPES.index(name)) for name in types if name != "INVALID"]
    others = map(str, range(DCCP_TYPES.index("INVALID"), 16))
    numbers = [*known, *(others if "INVALID" in types else ())]
    return f"{' !' if negated else ''} {','.join(numbers)}"


def _has_header(packet: Packet) -> bool:
    return packet.proto == DCCP and not packet.is_later_fragment


def _type_name(number: int) -> str:
    # every number without a name is INVALID
    return DCCP_TYPES[min(number, len(DCCP_TYPES) - 1)]


def _type_seen(context: Context) -> str | Unknown | None:
    if not _has_header(context.packet):
        return None
    number = dccp_type(context.packet)
    return _NO_TYPE if number is None else _type_name(number)


def _got_type(context: Context) -> Text:
    if not _has_header(context.packet):
        return message("it has no DCCP header")
    number = dccp_type(context.packet)
    if number is None:
        return message("its DCCP type was not stated")
    return message("its DCCP type is {number}", number=_type_name(number))


def _present_options(packet: Packet) -> frozenset[int] | None:
    stated = packet.extra.get("dccp_options")
    if stated is None:
        return None
    if isinstance(stated, str):
        stated = [int(number) for number in stated.split(",") if number]
    return frozenset([stated] if isinstance(stated, int) else stated)


def _options_seen(context: Context) -> frozenset[int] | Unknown | None:
    if not _has_header(context.packet):
        return None
    present = _present_options(context.packet)
    return _NO_OPTIONS if present is None else present


def _got_options(context: Context) -> Text:
    present = _present_options(context.packet)
    if present is None:
        return message("its DCCP options were not stated")
    return message(
        "its DCCP options are: {present}", present=", ".join(map(str, sorted(present))) or message("none")
    )


_NO_TYPE = Unknown(message("the packet's DCCP type"), "--set dccp_type=REQUEST")
_NO_OPTIONS = Unknown(message("the packet's DCCP options"), "--set dccp_options=N")
_TYPE = Field("dccp_type", _type_seen, _got_type)
_OPTIONS = Field("dccp_options", _options_seen, _got_options)


class Dccp(Match):
    """The header of a DCCP packet."""

    name: ClassVar[str] = "dccp"
    options: ClassVar[tuple[Option, ...]] = (
        *port_options(ANY_PORT_RANGE, fields=PORTS),
        Option(
            "--dccp-types",
            "dccp_types",
            Value("DCCP packet types", _parse_types, ",".join),
            True,
            reads=_TYPE,
            relation=lambda types: Names(frozenset(types)),
            phrase=Phrase("of DCCP type {value}", "not of DCCP type {value}", any_of),
            listed=_listed_types,
        ),
        Option(
            "--dccp-option",
            "dccp_option",
            integer_value("a DCCP option's number", 1, 255),
            True,
            reads=_OPTIONS,
            relation=one_member,
            phrase=Phrase("with DCCP option {value}", "without DCCP option {value}"),
            listed=" option=[!]{value}",
        ),
    )
    protocols: ClassVar[frozenset[int] | None] = frozenset({DCCP})
    presence: ClassVar[Field | None] = presence_field(_has_header, "DCCP header")
    listed: ClassVar[str] = " dccp"
    alone: ClassVar[Text] = message("with a DCCP header")

    source_port: tuple[int, int] | None = None
    destination_port: tuple[int, int] | None = None
    dccp_types: tuple[str, ...] | None = None
    dccp_option: int | None = None


EXTENSIONS = (Sctp, Dccp)
