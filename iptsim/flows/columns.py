"""The columns of a record batch as numbers: addresses, ports, and codes for all other values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iptsim.addresses import parse_address
from iptsim.flows.cuts import Cuts, Kinds
from iptsim.flows.vectors import NONE

#: The columns of a record's ends: addresses, or the names of endpoints.
_ENDS = (("src", "from"), ("dst", "to"))
#: Columns that are only handed on to the result.
PASSED_ON = frozenset({"id", "error"})

#: At most this many addresses are read at once: the intermediate results fit into the processor's cache.
_AT_ONCE = 1 << 14
#: The maximum number of blocks in a table; each has 256 parts.
_BLOCKS = 1 << 14

_Int = NDArray[np.int64]


@dataclass(slots=True)
class Side:
    """The source or the destination of each record.

    Attributes:
        family: 4 or 6; 0 for the name of an endpoint, NONE for a missing value.
        place: the fine kind of an address; NONE for other values.
        value: an IPv4 address as a number; an IPv6 address or a name as a code.
    """

    family: NDArray[np.int8]
    place: _Int
    value: _Int

    def at(self, rows: _Int) -> Side:
        """Return the ends of some records."""
        return Side(self.family[rows], self.place[rows], self.value[rows])


class Places:
    """The kinds of IPv4 addresses, in tables for the first 16 bits of an address, the next 8 and the last 8.

    The further tables exist only for blocks of addresses that a range divides.
    """

    def __init__(self, kinds: Kinds) -> None:
        self._starts, self._kinds = np.array(kinds.starts, np.int64), np.array(kinds.kinds, np.int32)
        self._first, divided = self._level(np.arange(1 << 16, dtype=np.int64) << 16, 16)
        self._further = []
        for free in (8, 0):
            if len(divided) > _BLOCKS:
                break
            table, divided = self._level(_blocks(divided, free), free)
            self._further.append((table, free))

    def _level(self, begins: _Int, free: int) -> tuple[NDArray[np.int32], _Int]:
        """Return the kinds of blocks of addresses, and those that a range divides: of these, their number, inverted."""
        first = np.searchsorted(self._starts, begins, "right") - 1
        last = np.searchsorted(self._starts, begins + ((1 << free) - 1), "right") - 1
        divided = np.flatnonzero(first != last)
        table = self._kinds[first]
        table[divided] = ~np.arange(len(divided), dtype=np.int32)
        return table, begins[divided]

    def of(self, addresses: _Int) -> NDArray[np.int32]:
        """Return the kinds of addresses."""
        found: NDArray[np.int32] = self._first[addresses >> 16]
        divided = np.flatnonzero(found < 0)
        for table, free in self._further:
            parts = (addresses[divided] >> free & 0xFF).astype(np.int32)
            found[divided] = table[~found[divided] << 8 | parts]
            divided = divided[found[divided] < 0]
        if divided.size:
            found[divided] = self._kinds[np.searchsorted(self._starts, addresses[divided], "right") - 1]
        return found


def _blocks(begins: _Int, free: int) -> _Int:
    """Return the 256 blocks of each block, which leave some bits free."""
    return (begins[:, None] + (np.arange(256, dtype=np.int64) << free)).reshape(-1)


class Records(NamedTuple):
    """A batch of records, with the sources as numbers if all are IPv4 addresses: deciding and counting need both.

    Attributes:
        batch: the records as they were read.
        sources: their sources as texts; None if they have none.
        numbers: the sources as numbers; None if any is something else.
    """

    batch: pa.RecordBatch
    sources: pa.Array | None
    numbers: _Int | None

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Records:
        """Return the records of a batch."""
        name = _source_of(batch)
        values = None if name is None else _column(batch, name)
        if values is None:
            return cls(batch, None, None)
        texts = as_texts(values)
        if pa.types.is_integer(values.type):
            numbers = _numbers(values)
            good = (numbers >= 0) & (numbers < 1 << 32)
            texts = _dotted(numbers) if good.all() else texts
        else:
            numbers, good = ipv4_numbers(texts)
        return cls(batch, texts, numbers if good.all() else None)

    def questions(self, others: Collection[str] = ()) -> pa.RecordBatch:
        """Return the records for :func:`iptsim.flows.decide`, with the sources as numbers.

        Args:
            others: columns that are left out.
        """
        found = self.batch.drop_columns([name for name in others if name in self.batch.schema.names])
        name = _source_of(found)
        if self.numbers is None or name is None:
            return found
        return found.set_column(found.schema.get_field_index(name), name, pa.array(self.numbers))


def _dotted(addresses: _Int) -> pa.Array:
    """Return IPv4 addresses as texts."""
    parts = (pa.array(addresses >> shift & 0xFF).cast(pa.string()) for shift in (24, 16, 8, 0))
    return pc.binary_join_element_wise(*parts, ".")


def _source_of(batch: pa.RecordBatch) -> str | None:
    return next((name for name in _ENDS[0] if name in batch.schema.names), None)


@dataclass(slots=True)
class Codes:
    """Numbers for values that are compared as they are; the same in all batches."""

    known: dict[Any, int] = field(default_factory=dict)

    def of(self, values: list[Any]) -> _Int:
        """Return the numbers of values."""
        known = self.known
        return np.array([known.setdefault(value, len(known)) for value in values], np.int64)


class Reader:
    """Reads batches with the fine cuts of a host.

    Attributes:
        names: the codes of IPv6 addresses and of names.
    """

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self._places = Places(cuts.addresses[4])
        starts, kinds = np.array(cuts.ports.starts, np.int64), np.array(cuts.ports.kinds, np.int64)
        self._ports = kinds[np.searchsorted(starts, np.arange(1 << 16), "right") - 1]
        self.names = Codes()

    def side(self, batch: pa.RecordBatch, name: str) -> Side:
        """Return the source ("src") or the destination ("dst")."""
        column, other = next(pair for pair in _ENDS if pair[0] == name)
        values = _column(batch, column)
        if values is None or (other in batch.schema.names and values.null_count):
            further = _column(batch, other)
            if values is None:
                values = further
            elif further is not None:
                values = pc.coalesce(as_texts(values), as_texts(further))
        if values is None:
            return _nothing(batch.num_rows)
        if pa.types.is_integer(values.type):
            numbers = _numbers(values)
            return self._side(numbers, (numbers >= 0) & (numbers < 1 << 32), values)
        texts = as_texts(values)
        return self._side(*ipv4_numbers(texts), texts)

    def _side(self, numbers: _Int, good: NDArray[np.bool_], values: pa.Array) -> Side:
        if good.all():
            return Side(np.full(len(numbers), 4, np.int8), self._places.of(numbers).astype(np.int64), numbers)
        family = np.where(good, 4, NONE).astype(np.int8)
        place = np.full(len(numbers), NONE, np.int64)
        value = np.where(good, numbers, NONE)
        place[good] = self._places.of(numbers[good])
        others = np.flatnonzero(~good)
        if others.size:
            # IPv6 and names: there are few distinct ones
            coded = values.take(pa.array(others)).dictionary_encode()
            found = [self._other(text) for text in coded.dictionary.to_pylist()]
            which = coded.indices.fill_null(NONE).to_numpy(zero_copy_only=False)
            there = which != NONE
            table = np.array(found or [(NONE, NONE, NONE)], np.int64)[np.where(there, which, 0)]
            family[others] = np.where(there, table[:, 0], NONE)
            place[others] = np.where(there, table[:, 1], NONE)
            value[others] = np.where(there, table[:, 2], NONE)
        return Side(family, place, value)

    def _other(self, text: Any) -> tuple[int, int, int]:
        code = self.names.known.setdefault(text, len(self.names.known))
        try:
            family, address = parse_address(str(text))
        except ValueError:
            return 0, NONE, code
        if family == 4:
            return 0, NONE, code
        return 6, self._cuts.addresses[family].of(address), code

    def port(self, batch: pa.RecordBatch, name: str) -> tuple[_Int, _Int]:
        """Return the kind and the number of each record's port; NONE for missing and invalid ports."""
        values = _column(batch, name)
        if values is None:
            return (np.full(batch.num_rows, NONE, np.int64),) * 2
        numbers = _numbers(values) if pa.types.is_integer(values.type) else decimal_numbers(as_texts(values))
        good = (numbers >= 0) & (numbers < 1 << 16)
        if good.all():
            return self._ports[numbers], numbers
        place = np.where(good, self._ports[np.where(good, numbers, 0)], NONE)
        return place, np.where(good, numbers, NONE)


def _nothing(count: int) -> Side:
    none = np.full(count, NONE, np.int64)
    return Side(none.astype(np.int8), none, none)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    """Return a column, decoded if it is dictionary-encoded; None if it is missing or empty."""
    if name not in batch.schema.names:
        return None
    values = batch.column(name)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return None if pa.types.is_null(values.type) or values.null_count == len(values) else values


def _numbers(values: pa.Array) -> _Int:
    """Return integers of any type; NONE for missing ones."""
    found: _Int = values.cast(pa.int64(), safe=False).fill_null(NONE).to_numpy()
    return found


def as_texts(values: pa.Array) -> pa.Array:
    """Return values of any type as texts."""
    if pa.types.is_string(values.type):
        return values
    try:
        return values.cast(pa.string())
    except pa.ArrowException:
        texts = (None if one is None else str(plain_value(one)) for one in values.to_pylist())
        return pa.array(texts, pa.string())


def plain_value(value: Any) -> Any:
    """Return a value of a record in the form that a question takes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def ipv4_numbers(texts: pa.Array) -> tuple[_Int, NDArray[np.bool_]]:
    """Return IPv4 addresses as numbers, and which of the texts are such addresses, as inet_pton(3) takes them."""
    parts = [_ipv4_numbers(texts.slice(begin, _AT_ONCE)) for begin in range(0, len(texts), _AT_ONCE)]
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    numbers, good = zip(*parts, strict=True)
    return np.concatenate(numbers), np.concatenate(good)


def _ipv4_numbers(texts: pa.Array) -> tuple[_Int, NDArray[np.bool_]]:
    count = len(texts)
    numbers, good = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    _, offsets_buffer, data_buffer = texts.buffers()
    if not count or data_buffer is None or not data_buffer.size:
        return numbers, good
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + count + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    # padding, since up to three bytes before the end of a number are read
    part = np.zeros(last - first + 3, np.uint8)
    part[3:] = np.frombuffer(data_buffer, np.uint8)[first:last]
    starts, ends = offsets[:-1] - first, offsets[1:] - first
    dots = np.flatnonzero(part[3:] == ord(".")).astype(np.int32)
    rows: Any = slice(None)
    stops = dots
    if len(dots) != 3 * count or not _are_within(dots, starts, ends):
        before = np.searchsorted(dots, starts)
        rows = np.flatnonzero(np.searchsorted(dots, ends) - before == 3)
        if not rows.size:
            return numbers, good
        stops = dots[before[rows][:, None] + np.arange(3)].reshape(-1)
        starts, ends = starts[rows], ends[rows]
    fine = np.ones(len(starts), np.bool_)
    whole = np.zeros(len(starts), np.uint32)
    begin = starts
    for octet in range(4):
        end = stops[octet::3] if octet < 3 else ends
        value, valid = _byte_numbers(part, begin, end)
        fine &= valid
        whole = whole << np.uint32(8) | value
        begin = end + 1
    numbers[rows] = np.where(fine, whole, 0)
    good[rows] = fine
    if texts.null_count:
        good &= texts.is_valid().to_numpy(zero_copy_only=False)
    return numbers, good


#: The most digits of a port.
_DIGITS = 5


def decimal_numbers(texts: pa.Array) -> _Int:
    """Return texts of one to five decimal digits as numbers, and NONE for all others."""
    count = len(texts)
    plain = _plain_numbers(texts)
    if plain is not None:
        return plain
    _, offsets_buffer, data_buffer = texts.buffers()
    if not count or data_buffer is None or not data_buffer.size:
        return np.full(count, NONE, np.int64)
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + count + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    # padding, since up to five bytes before the end of a number are read
    part = np.zeros(last - first + _DIGITS, np.uint8)
    part[_DIGITS:] = np.frombuffer(data_buffer, np.uint8)[first:last]
    part -= np.uint8(ord("0"))
    ends, lengths = offsets[1:] - first, np.diff(offsets)
    numbers, valid = np.zeros(count, np.int32), (lengths > 0) & (lengths <= _DIGITS)
    for place in range(_DIGITS):
        digits = part.take(ends + place)
        # a digit that is not there counts as 0
        digits *= lengths >= _DIGITS - place
        valid &= digits < 10  # as unsigned numbers, characters other than digits give 10 or more
        numbers *= 10
        numbers += digits
    if texts.null_count:
        valid &= texts.is_valid().to_numpy(zero_copy_only=False)
    return np.where(valid, numbers, NONE).astype(np.int64)


def _plain_numbers(texts: pa.Array) -> _Int | None:
    """Return the same if pyarrow reads all texts alike: it takes signs, hexadecimal and longer numbers as well."""
    _, offsets_buffer, data_buffer = texts.buffers()
    if texts.null_count or data_buffer is None:
        return None
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    written = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    if not (written - np.uint8(ord("0")) < 10).all() or np.diff(offsets).max(initial=0) > _DIGITS:
        return None
    try:
        numbers: _Int = texts.cast(pa.uint16()).to_numpy().astype(np.int64)
    except pa.ArrowInvalid:
        return None
    return numbers


def _are_within(dots: NDArray[np.int32], starts: NDArray[np.int32], ends: NDArray[np.int32]) -> bool:
    """Return whether each text has three of the dots."""
    return bool((dots[::3] >= starts).all() and (dots[2::3] < ends).all())


#: The least number with so many digits; no valid number has none, or more than three.
_LEAST = np.array([1000, 0, 10, 100, 1000], np.uint16)


def _byte_numbers(
    part: NDArray[np.uint8], begin: NDArray[np.int32], end: NDArray[np.int32]
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Return the numbers between positions in the texts, and which of them are valid bytes.

    Args:
        part: the bytes of the texts, preceded by three others.
    """
    length, zero = end - begin, np.uint8(ord("0"))
    # as unsigned numbers, characters other than digits give 10 or more
    ones, tens, hundreds = part.take(end + 2) - zero, part.take(end + 1) - zero, part.take(end) - zero
    tens *= length > 1
    hundreds *= length > 2
    value = hundreds.astype(np.uint16)
    for digits in (tens, ones):
        value *= np.uint16(10)
        value += digits
    valid = (ones < 10) & (tens < 10) & (hundreds < 10)
    return value, valid & (value < 256) & (value >= _LEAST.take(length, mode="clip"))
