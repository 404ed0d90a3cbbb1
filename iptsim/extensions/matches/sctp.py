"""`-m sctp`: ports and chunks of SCTP (net/netfilter/xt_sctp.c).

Key of :attr:`Packet.extra`: `sctp_chunks`, the names of the packet's chunks in order, each with the flags
that are set, if any: `("INIT",)`, `("SACK", "DATA:BE")`, or in one text with commas. Without it, a packet
that opens an association carries INIT.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from iptsim.errors import UsageError
from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.listing import ListingForm, listed_ports
from iptsim.extensions.ports import port_predicate, port_says
from iptsim.extensions.values import PORT_RANGE
from iptsim.languages import joined, later, say, say_if
from iptsim.packet import SCTP, Context, Truth, Unknown

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
    """A chunk type, and the flags of it that are looked at and must be set."""

    number: int
    mask: int = 0
    set: int = 0

    def __str__(self) -> str:
        return _NAMES.get(self.number, str(self.number)) + self._flags()

    def listed(self) -> str:
        """Return the chunk type as a listing has it, by its number."""
        return f"0x{self.number:04X}" + self._flags()

    def _flags(self) -> str:
        letters = _FLAGS.get(_NAMES.get(self.number, ""), "")
        shown = ""
        for bit, letter in zip(reversed(range(len(letters))), letters, strict=True):
            if self.mask & 1 << bit:
                shown += letter if self.set & 1 << bit else letter.lower()
        return f":{shown}" if shown else ""


class ChunkTypes(NamedTuple):
    """What the packet's chunks must be: `all`, `any` or `only` of the listed; `every` stands for ALL."""

    how: str
    chunks: tuple[Chunk, ...]
    every: bool = False

    def __str__(self) -> str:
        listed = "ALL" if self.every else ",".join(map(str, self.chunks)) or "NONE"
        return f"{self.how} {listed}"


def _chunk(text: str) -> Chunk:
    name, _, letters = text.partition(":")
    name = name.upper()
    if name not in CHUNKS:
        raise ValueError(f"{text!r} is not a chunk type: {', '.join(CHUNKS)}")
    known = _FLAGS.get(name, "")
    mask = required = 0
    for letter in letters:
        if letter.upper() not in known:
            raise ValueError(
                f"{letter!r} is not a flag of {name}" + (f": {', '.join(known)}" if known else "")
            )
        bit = 1 << len(known) - 1 - known.index(letter.upper())
        mask |= bit
        required |= bit if letter.isupper() else 0
    return Chunk(CHUNKS[name], mask, required)


def _chunk_types(how: str, text: str) -> ChunkTypes:
    if how.lower() not in ("all", "any", "only"):
        raise ValueError(f"{how!r} is not one of all, any, only")
    if text.upper() in ("ALL", "NONE"):
        return ChunkTypes(how.lower(), (), text.upper() == "ALL")
    chunks: dict[int, Chunk] = {}
    for part in text.split(","):
        chunk = _chunk(part)
        before = chunks.get(chunk.number, chunk)
        chunks[chunk.number] = Chunk(chunk.number, chunk.mask | before.mask, chunk.set | before.set)
    if len([chunk for chunk in chunks.values() if chunk.mask]) > _MOST_WITH_FLAGS:
        raise ValueError(f"more than {_MOST_WITH_FLAGS} chunk types with flags")
    return ChunkTypes(how.lower(), tuple(chunks[number] for number in sorted(chunks)))


def carried_chunks(context: Context) -> tuple[Chunk, ...] | None:
    """Return the chunks of the packet, with their set flags; None where nobody said.

    Raises:
        UsageError: the question names a chunk that there is none of.
    """
    chunks = context.packet.extra.get("sctp_chunks")
    if chunks is None:
        return (Chunk(CHUNKS["INIT"]),) if context.state == "NEW" else None
    try:
        return tuple(_chunk(part) for part in (chunks.split(",") if isinstance(chunks, str) else chunks))
    except ValueError as error:
        raise UsageError(f"sctp_chunks: {error}") from None


class Sctp(Match):
    """The SCTP header and its chunks. Without options it holds for every SCTP packet."""

    name: ClassVar[str] = "sctp"
    protocols: ClassVar[frozenset[int] | None] = frozenset({SCTP})
    options: ClassVar[tuple[Option, ...]] = (
        Option("--sport", "source_port", PORT_RANGE, True, ("--source-port",)),
        Option("--dport", "destination_port", PORT_RANGE, True, ("--destination-port",)),
        Option(
            "--chunk-types",
            "chunk_types",
            Value("all, any or only, and the chunk types (any DATA:Be,INIT)", _chunk_types, words=2),
            True,
        ),
    )

    source_port: tuple[int, int] | None = None
    destination_port: tuple[int, int] | None = None
    chunk_types: ChunkTypes | None = None

    def predicates(self) -> tuple[Predicate, ...]:
        """Return one condition an option."""
        found = []
        for option in self.options:
            value = getattr(self, option.field)
            if value is None:
                continue
            text, negated = self.clause(option, value), option.field in self.negated
            if option.field == "chunk_types":
                found.append(_chunks_predicate(text, value, negated))
            else:
                found.append(port_predicate(text, option.field, value, negated))
        return tuple(found)

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        text = f" sctp{listed_ports(self.source_port, self.destination_port, self.negated)}"
        if self.chunk_types is not None:
            types = self.chunk_types
            chunks = "ALL" if types.every else ",".join(chunk.listed() for chunk in types.chunks) or "NONE"
            text += f"{self.bang('chunk_types', ' !')} {types.how} {chunks}"
        return text

    def says(self) -> str:
        """Return ports and chunks in words."""
        phrases = [port_says(self, "source_port"), port_says(self, "destination_port")]
        if self.chunk_types is not None:
            phrases.append(
                say_if(
                    "chunk_types" in self.negated,
                    "not carrying {chunk_types} SCTP chunks",
                    "carrying {chunk_types} SCTP chunks",
                    chunk_types=self.chunk_types,
                )
            )
        return joined(" ", filter(None, phrases))


def _chunks_predicate(text: str, wanted: ChunkTypes, negated: bool) -> Predicate:
    listed = (
        {number: Chunk(number) for number in _ALL} if wanted.every else {c.number: c for c in wanted.chunks}
    )

    def fits(carried: Chunk) -> bool:
        chunk = listed.get(carried.number)
        return chunk is not None and carried.set & chunk.mask == chunk.set

    def test(context: Context) -> Truth:
        if context.packet.fragment in ("middle", "last"):
            return False
        chunks = carried_chunks(context)
        if chunks is None:
            return Unknown(
                later("the SCTP chunks that it carries"), "--set sctp_chunks=DATA", ("sctp_chunks", wanted)
            )
        if wanted.how == "any":
            holds = any(map(fits, chunks))
        elif wanted.how == "only":
            holds = all(map(fits, chunks))
        else:
            holds = {chunk.number for chunk in chunks if fits(chunk)} == set(listed)
        return holds is not negated

    def got(context: Context) -> str:
        if context.packet.fragment in ("middle", "last"):
            return say("a later fragment carries no SCTP header")
        chunks = carried_chunks(context)
        shown = say("not known") if chunks is None else ", ".join(map(str, chunks))
        return say("its SCTP chunks are {chunks}", chunks=shown)

    return Predicate(text, test, got, negated=negated)


EXTENSIONS = (Sctp,)
