"""Logs in columns: CSV of any kind, AWS VPC flow logs, Zeek's conn.log, nfdump's CSV, Parquet."""

from __future__ import annotations

import io
import re
from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import chain
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from iptsim.errors import UsageError
from iptsim.flows.formats.text import batch_of
from iptsim.languages import message
from iptsim.question.model import Question

#: Bytes that are read at once, and how many of these blocks form a batch: pyarrow reads 32 blocks ahead of the records.
_BLOCK, _BLOCKS = 1 << 20, 8
#: Bytes of a column of a Parquet file that are read at once.
_PIECE = 1 << 20
#: AWS flow logs without a header have these columns (version 2).
VPC_COLUMNS = (
    "version", "account-id", "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes",
    "start", "end", "action", "log-status",
)  # fmt: skip
#: The columns of known logs -> those of a batch line.
_KNOWN: dict[str, dict[str, str]] = {
    "vpc": {"srcaddr": "src", "dstaddr": "dst", "srcport": "sport", "dstport": "dport", "protocol": "proto",
            "tcp-flags": "flags", "log-status": "status"},
    "zeek": {"id.orig_h": "src", "id.resp_h": "dst", "id.orig_p": "sport", "id.resp_p": "dport", "proto": "proto"},
    "nfdump": {"sa": "src", "da": "dst", "sp": "sport", "dp": "dport", "pr": "proto", "flg": "flags",
               "srcAddr": "src", "dstAddr": "dst", "srcPort": "sport", "dstPort": "dport", "proto": "proto",
               "flags": "flags"},
}  # fmt: skip
_ADDRESSED = ({"src", "from"}, {"dst", "to"})

Batches = Iterator[pa.RecordBatch]


def field_names() -> frozenset[str]:
    """Return the columns that a batch line can have."""
    fields = Question.__dataclass_fields__.values()
    return frozenset(one.metadata.get("alias") or one.name for one in fields) | {"error"}


def csv_batches(stream: IO[bytes], head: bytes, mapped: Mapping[str, str]) -> Batches:
    """Yield the records of a CSV with a header."""
    first = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip("\ufeff\r\n")
    delimiter = max(",;\t|", key=first.count)
    yield from _mapped(_tables(stream, delimiter), mapped)


def vpc_batches(stream: IO[bytes], head: bytes) -> Batches:
    """Yield the records of an AWS VPC flow log, version 2 to 5, with or without its header."""
    named = None if b"srcaddr" in head.split(b"\n", 1)[0] else VPC_COLUMNS
    tables = _tables(stream, " ", named)
    for batch in _mapped(
        tables, {one: other for other, one in _KNOWN["vpc"].items()}, also=("flags", "status"), only=True
    ):
        yield _without_flags(_with_flows(batch), _vpc_state)


def zeek_batches(stream: IO[bytes]) -> Batches:
    """Yield the records of Zeek's conn.log, as tab-separated values."""
    names: tuple[str, ...] = ()
    while line := stream.readline():
        if not line.startswith(b"#"):
            break
        if line.startswith(b"#fields"):
            names = tuple(line.decode("utf-8", "replace").rstrip("\r\n").split("\t")[1:])
    if not names:
        raise UsageError(message("the Zeek log has no #fields line"))
    tables = _tables(_Joined(line, stream), "\t", names, comment=b"#", nulls=("-", "(empty)"))
    for batch in _mapped(tables, {one: other for other, one in _KNOWN["zeek"].items()}, only=True):
        yield _icmp_in_ports(batch)


def nfdump_batches(stream: IO[bytes], head: bytes) -> Batches:
    """Yield the records of `nfdump -o csv`, without the summary after them."""
    names = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip().split(",")
    mapped = {_KNOWN["nfdump"][name]: name for name in names if name in _KNOWN["nfdump"]}
    for batch in _mapped(_tables(stream, ",", ragged=True), mapped, also=("flags",), only=True):
        columns = {name: pc.utf8_trim_whitespace(batch.column(name)) for name in batch.schema.names}
        yield _without_flags(_icmp_of_nfdump(pa.RecordBatch.from_pydict(columns)), _nfdump_state)


def zeek_json(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of Zeek's conn.log in JSON with the names of a batch line."""
    found = {own: record[name] for name, own in _KNOWN["zeek"].items() if name in record}
    if found.get("proto") == "icmp":
        found["icmp_type"], found["icmp_code"] = found.pop("sport", None), found.pop("dport", None)
    return found


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of columns, with a number after those that occur again.

    Raises:
        UsageError: a field of a record would be in two columns.
    """
    found: list[str] = []
    counts: Counter[str] = Counter()
    for name in names:
        counts[name] += 1
        if counts[name] > 1 and name in field_names():
            raise UsageError(message("the log has more than one column {name!r}", name=name))
        found.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return tuple(found)


def parquet_batches(name: str, mapped: Mapping[str, str], size: int) -> Batches:
    """Yield the records of a Parquet file."""
    import pyarrow.parquet as pq

    # pre-buffered, all that was read would stay in memory
    with pq.ParquetFile(name, buffer_size=_PIECE, pre_buffer=False) as file:
        names = _distinct(file.schema_arrow.names)
        # a log without rows has its columns checked, too
        empty = pa.RecordBatch.from_arrays([pa.array([], kind) for kind in file.schema_arrow.types], names)
        read = (pa.RecordBatch.from_arrays(one.columns, names) for one in file.iter_batches(batch_size=size))
        yield from _mapped(chain((empty,), read), mapped)


# -- columns ---------------------------------------------------------------------------------------


def _mapped(
    batches: Batches, mapped: Mapping[str, str], also: tuple[str, ...] = (), *, only: bool = False
) -> Batches:
    """Yield batches with the columns of a batch line.

    Args:
        mapped: column of a batch line -> that of the log; others keep their names.
        also: further columns that are kept.
        only: others are left out, as their names may mean something else.

    Raises:
        UsageError: there is no source, or no destination.
    """
    known = {"error", *also} | (frozenset() if only else field_names())
    checked = False
    for batch in batches:
        names = batch.schema.names
        if not checked:
            for name, column in mapped.items():
                if column not in names and name not in ("flags", "status"):
                    raise UsageError(
                        message(
                            "the log has no column {column!r} for {name}; choose from: {choices}",
                            column=column,
                            name=name,
                            choices=", ".join(names),
                        )
                    )
            own = {*names} | {*mapped}
            if not all(own & ends for ends in _ADDRESSED):
                raise UsageError(
                    message(
                        "the log has no columns src and dst, but: {names}; name them, as in "
                        "--columns src=SourceAddress,dst=DestinationAddress",
                        # the reader adds the column of errors
                        names=", ".join(name for name in names if name != "error"),
                    )
                )
            checked = True
        if not batch.num_rows:
            continue
        columns = {name: batch.column(column) for name, column in mapped.items() if column in names}
        columns |= {
            name: batch.column(name)
            for name in names
            if name in known and name not in columns and name not in mapped.values()
        }
        yield pa.RecordBatch.from_pydict(columns)


class _Joined(io.RawIOBase):
    """A stream whose first line was already read, with that line put back."""

    def __init__(self, begin: bytes, rest: IO[bytes]) -> None:
        self._begin, self._rest = begin, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._begin[: len(buffer)] or self._rest.read(len(buffer)) or b""
        self._begin = self._begin[len(data) :]
        buffer[: len(data)] = data
        return len(data)


class _Utf8(io.RawIOBase):
    """A stream in which bytes that are not UTF-8 are replaced: pyarrow cannot report a wrong row that has some."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._held = stream, b""
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        is_whole = False
        while not self._held and not is_whole:
            data = self._stream.read(len(buffer))
            is_whole = not data
            if data.isascii() and not self._decoder.getstate()[0]:
                self._held = data
            else:
                self._held = self._decoder.decode(data, final=is_whole).encode()
        text, self._held = self._held[: len(buffer)], self._held[len(buffer) :]
        buffer[: len(text)] = text
        return len(text)


def _tables(
    stream: Any,
    delimiter: str,
    names: tuple[str, ...] | None = None,
    *,
    comment: bytes = b"",
    nulls: tuple[str, ...] = ("", "-"),
    ragged: bool = False,
) -> Batches:
    """Yield the rows of a text in columns as texts; first none, as a log without rows has its columns checked, too.

    Args:
        names: of the columns; None if the first line has them.
        comment: what begins a line that is left out.
        nulls: what represents a missing value.
        ragged: rows with another number of columns are left out; else each is a record with an error.
    """
    wrong: list[dict[str, Any]] = []

    def invalid(row: Any) -> str:
        is_comment = comment and str(row.text).startswith(comment.decode())
        if not ragged and not is_comment:
            first, *others = str(row.text).splitlines() or [""]
            text = message(
                "the row has {count} columns instead of {wanted}: {text!r}",
                count=row.actual_columns,
                wanted=row.expected_columns,
                text=first[:80],
            )
            wrong.append({"error": str(text)})
            # an unclosed quote swallows what follows
            wrong.extend({"error": str(message("a quote before this row is not closed"))} for _ in others)
        return "skip"

    if names is None:
        header = stream.readline().decode("utf-8", "replace").strip("\ufeff\r\n")
        names = _distinct(name.strip().strip('"') for name in header.split(delimiter))
    empty = pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in names})
    yield empty
    read = pyarrow.csv.ReadOptions(column_names=names, block_size=_BLOCK, use_threads=False)
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=invalid)
    convert = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()), null_values=list(nulls), strings_can_be_null=True
    )
    try:
        whole = io.BufferedReader(_Utf8(stream), _BLOCK)
        reader = pyarrow.csv.open_csv(whole, read_options=read, parse_options=parse, convert_options=convert)
        for read_batch in _joined(reader):
            batch = _texts(read_batch)
            if comment:
                batch = batch.filter(
                    pc.invert(pc.starts_with(batch.column(0).fill_null(""), comment.decode()))
                )
            if wrong:
                rows, wrong[:] = batch_of(wrong), []
                yield _side_by_side(batch, rows)
            elif batch.num_rows:
                yield batch
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            raise UsageError(message("a row is longer than {size:,} bytes", size=_BLOCK)) from None
        if "Empty CSV" not in str(error):
            raise UsageError(
                message("the log cannot be read as a table: {error}", error=str(error))
            ) from None
    if wrong:
        yield _side_by_side(empty, batch_of(wrong))


def _joined(blocks: Batches) -> Batches:
    """Yield the rows of some blocks as one batch; those before damage precede the error."""
    held: list[pa.RecordBatch] = []
    fault = None
    try:
        for block in blocks:
            held.append(block)
            if len(held) == _BLOCKS:
                yield _as_one(held)
                held = []
    except pa.ArrowInvalid as error:
        fault = error
    if held:
        yield _as_one(held)
    if fault is not None:
        raise fault


def _as_one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches).combine_chunks()
    return next(iter(table.to_batches()), batches[0])


def _texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return columns of bytes as texts; what is not UTF-8 is replaced."""
    return pa.RecordBatch.from_pydict({name: _text(batch.column(name)) for name in batch.schema.names})


def _text(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        texts = (None if one is None else one.decode("utf-8", "replace") for one in values.to_pylist())
        return pa.array(texts, pa.string())


def _side_by_side(batch: pa.RecordBatch, errors: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows, and after them the errors of those that could not be read."""
    columns = {
        name: pa.concat_arrays([batch.column(name), pa.nulls(errors.num_rows, pa.string())])
        for name in batch.schema.names
    }
    columns["error"] = pa.concat_arrays([pa.nulls(batch.num_rows, pa.string()), errors.column("error")])
    return pa.RecordBatch.from_pydict(columns)


# -- what a flow is --------------------------------------------------------------------------------


def _with_flows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows of a VPC flow log that hold a flow, or an error.

    Those without data have a status, and no addresses.
    """
    names = batch.schema.names
    if "status" not in names:
        given = (batch.column(name).is_valid() for name in ("src", "dst", "error") if name in names)
        return batch.filter(reduce(pc.or_, given))
    status = batch.column("status").fill_null("OK")
    kept = pc.invert(pc.is_in(status, pa.array(["NODATA", "SKIPDATA"])))
    return batch.filter(kept).drop_columns(["status"])


def _without_flags(
    batch: pa.RecordBatch, state: Callable[[str | None, str | None], str | None]
) -> pa.RecordBatch:
    """Return a batch in which the TCP flags are replaced by the state that they imply."""
    if "flags" not in batch.schema.names:
        return batch
    texts = (batch.column(name).cast(pa.string()).fill_null("") for name in ("proto", "flags"))
    pairs = pc.binary_join_element_wise(*texts, " ").dictionary_encode()
    states = pa.array([state(*pair.split(" ", 1)) for pair in pairs.dictionary.to_pylist()], pa.string())
    columns = {name: batch.column(name) for name in batch.schema.names if name != "flags"}
    if states.null_count < len(states):
        columns["state"] = states.take(pairs.indices)
    return pa.RecordBatch.from_pydict(columns)


def _vpc_state(proto: str | None, flags: str | None) -> str | None:
    """Return the state of a flow: one with SYN and ACK is the reply of a connection (AWS: tcp-flags)."""
    if proto != "6" or not flags or not flags.isdecimal():
        return None
    return "established" if int(flags) & 18 in (18, 16) else None


def _nfdump_state(proto: str | None, flags: str | None) -> str | None:
    """Return the state of a flow: a TCP flow without SYN began earlier."""
    if (proto or "").upper() not in ("TCP", "6") or not flags:
        return None
    if flags.startswith("0x"):
        return None if int(flags, 16) & 2 else "established"
    return None if "S" in flags or not re.search("[A-Z]", flags) else "established"


def _icmp_of_nfdump(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch of nfdump, which has the type and the code of ICMP as destination port: 8.0."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    proto = pc.utf8_lower(columns["proto"].fill_null("")) if "proto" in columns else None
    if proto is None or "dport" not in columns:
        return batch
    icmp = pc.is_in(proto, pa.array(["icmp", "icmp6", "1", "58"]))
    if not pc.any(icmp).as_py():
        return batch
    found = pc.extract_regex(columns["dport"].fill_null(""), r"^(?P<kind>[0-9]+)\.(?P<code>[0-9]+)$")
    for name, place in (("icmp_type", 0), ("icmp_code", 1)):
        columns[name] = pc.if_else(icmp, pc.struct_field(found, place), None)
    for name in ("sport", "dport"):
        if name in columns:
            columns[name] = pc.if_else(icmp, None, columns[name])
    columns["proto"] = pc.if_else(pc.equal(proto, "icmp6"), "ipv6-icmp", columns["proto"])
    return pa.RecordBatch.from_pydict(columns)


def _icmp_in_ports(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch of Zeek, which has the type and the code of ICMP in place of ports."""
    if "proto" not in batch.schema.names:
        return batch
    icmp = pc.equal(batch.column("proto"), "icmp").fill_null(False)
    if not pc.any(icmp).as_py():
        return batch
    columns = {name: batch.column(name) for name in batch.schema.names}
    for port, kind in (("sport", "icmp_type"), ("dport", "icmp_code")):
        if port in columns:
            columns[kind] = pc.if_else(icmp, columns[port], None)
            columns[port] = pc.if_else(icmp, None, columns[port])
    return pa.RecordBatch.from_pydict(columns)
