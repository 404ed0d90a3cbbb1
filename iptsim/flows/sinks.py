"""Outputs for results: a folder of Parquet files, CSV or JSON lines; each can be resumed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from iptsim.errors import UsageError
from iptsim.languages import message
from iptsim.reading import fault_of
from iptsim.saving import save


class Sink(Protocol):
    """Receives batches of results."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a batch durably, even if the program is then killed."""

    def position(self) -> int:
        """Return how much was written: bytes, or files."""

    def close(self) -> None:
        """Stop writing."""


def open_sink(name: str, position: int | None) -> Sink:
    """Open a file for results, in the format of its extension; "-" is standard output, in JSON lines.

    Args:
        position: how much of the file is valid, to continue there; None to start afresh.

    Raises:
        UsageError: the extension is unknown, there are files that would be replaced, or what was written is gone.
    """
    if name == "-":
        return _Printed()
    ending = Path(name).suffix.lower()
    if ending == ".parquet":
        return _Parts(Path(name), position)
    if ending not in (".csv", ".jsonl"):
        raise UsageError(message("{name}: unknown format; choose from: .parquet, .csv, .jsonl", name=name))
    try:
        # unbuffered, so that what is written is in the file
        file = open(name, "r+b" if position is not None else "wb", buffering=0)  # noqa: SIM115 -- closed by the sink
    except OSError as error:
        raise _cannot_write(name, error) from None
    if position is not None:
        if os.fstat(file.fileno()).st_size < position:
            file.close()
            raise _changed(name)
        file.truncate(position)
        file.seek(position)
    return _Csv(file, position or 0) if ending == ".csv" else _Lines(file, position or 0)


def _cannot_write(name: str, error: OSError) -> UsageError:
    return UsageError(message("{path}: {error}", path=str(name), error=fault_of(error)))


def _changed(name: str) -> UsageError:
    return UsageError(
        message(
            "{path} no longer has all results of the interrupted run; start again without --resume",
            path=name,
        )
    )


def save_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as one Parquet file, completely or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    table = pa.Table.from_pylist([{name: _encodable(value) for name, value in row.items()} for row in rows])
    pq.write_table(table, buffer)
    save(name, bytes(buffer.getvalue()))


def _encodable(value: Any) -> Any:
    """Return a value; of a text, bytes of a file name that are not UTF-8 are escaped."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class _Lines:
    """JSON lines."""

    def __init__(self, file: FileIO, position: int) -> None:
        self._file, self._position = file, position

    def write(self, batch: pa.RecordBatch) -> None:
        text = self._text(batch)
        try:
            rest = memoryview(text)
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            # leave no partial line when the disk is full, or on Ctrl-C
            with suppress(OSError):
                self._file.truncate(self._position)
            if isinstance(error, OSError):
                raise _cannot_write(self._file.name, error) from None
            raise
        self._position += len(text)

    def _text(self, batch: pa.RecordBatch) -> bytes:
        return _json_lines(batch)

    def position(self) -> int:
        return self._position

    def close(self) -> None:
        self._file.close()


class _Printed:
    """JSON lines on standard output."""

    def write(self, batch: pa.RecordBatch) -> None:
        sys.stdout.write(_json_lines(batch).decode())
        sys.stdout.flush()

    def position(self) -> int:
        return 0

    def close(self) -> None:
        return


#: Records whose lines are made at once.
_AT_ONCE = 1 << 14
#: The bytes that JSON cannot have as they are in a text (RFC 8259, section 7).
_ESCAPED = np.array([byte < 0x20 or byte in b'"\\' for byte in range(256)])
_BETWEEN = ", "
_json = json.JSONEncoder(ensure_ascii=False).encode


def _json_lines(batch: pa.RecordBatch) -> bytes:
    """Return a line for each record, without the values that are missing."""
    parts = (batch.slice(begin, _AT_ONCE) for begin in range(0, batch.num_rows, _AT_ONCE))
    return b"".join(map(_lines_of, parts))


def _lines_of(batch: pa.RecordBatch) -> memoryview:
    columns = [(name, batch.column(name)) for name in batch.schema.names]
    shown = [(name, *_shown(values)) for name, values in columns if values.null_count < len(values)]
    is_first_given = bool(shown) and not shown[0][1].null_count
    parts: list[Any] = []
    before = "{" if is_first_given else ""
    for name, texts, quote in shown:
        key = f"{_json(name)}: {quote}"
        if texts.null_count:
            # together with its name, it is missing where the value is
            member = pc.binary_join_element_wise(f"{_BETWEEN}{key}", texts, quote, "")
            parts += [before, member]
            before = ""
        else:
            parts += [f"{before}{_BETWEEN if parts or not is_first_given else ''}{key}", texts]
            before = quote
    if not shown:
        return memoryview(b"{}\n" * batch.num_rows)
    parts.append(f"{before}}}\n" if is_first_given else before)
    lines = pc.binary_join_element_wise(*parts, "", null_handling="replace")
    if not is_first_given:
        # which member is the first differs; each has a comma before it
        lines = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(lines, len(_BETWEEN)), "}\n", "")
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset :]
    return memoryview(data)[ends[0] : ends[len(lines)]]


def _shown(values: pa.Array) -> tuple[pa.Array, str]:
    """Return values as JSON, or as texts that must be put into the quotes that are returned with them."""
    if pa.types.is_boolean(values.type):
        return pc.if_else(values, "true", "false"), ""
    if not pa.types.is_string(values.type):
        return values.cast(pa.string()), ""
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    written = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    if not _ESCAPED.take(written).any():
        return values, '"'
    coded = values.dictionary_encode()
    texts = pa.array(map(_json, coded.dictionary.to_pylist()), pa.string())
    return texts.take(coded.indices), ""


class _Csv(_Lines):
    """CSV with a header."""

    def _text(self, batch: pa.RecordBatch) -> bytes:
        buffer = pa.BufferOutputStream()
        options = pyarrow.csv.WriteOptions(include_header=self._position == 0, quoting_style="needed")
        pyarrow.csv.write_csv(batch, buffer, options)
        return bytes(buffer.getvalue())


class _Parts:
    """A folder of Parquet files, one per batch."""

    def __init__(self, folder: Path, position: int | None) -> None:
        self._folder = folder
        self._count = position or 0
        for begun in folder.glob("part-*.begun"):
            begun.unlink()  # of a run that was killed
        if position is None and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                message("{folder} is not empty; remove it, or continue with --resume", folder=str(folder))
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(str(folder), error) from None
        if not all(self._part(number).exists() for number in range(self._count)):
            raise _changed(str(folder))
        for part in folder.glob("part-*.parquet"):
            number = part.stem.partition("-")[2]
            if number.isdecimal() and int(number) >= self._count:
                part.unlink()

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:06}.parquet"

    def write(self, batch: pa.RecordBatch) -> None:
        import pyarrow.parquet as pq  # on use: it takes as long to import as pyarrow itself

        part = self._part(self._count)
        begun = part.with_suffix(".begun")
        try:
            pq.write_table(pa.Table.from_batches([batch]), begun)
            os.replace(begun, part)
        except OSError as error:
            raise _cannot_write(str(part), error) from None
        finally:
            begun.unlink(missing_ok=True)
        self._count += 1

    def position(self) -> int:
        return self._count

    def close(self) -> None:
        return
