"""Where results go: a folder of Parquet files, CSV or JSON lines; each can be continued where it was left."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from iptsim.errors import UsageError
from iptsim.languages import message
from iptsim.saving import save


class Sink(Protocol):
    """Takes batches of results."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a batch, so that it is there if the program ends."""

    def position(self) -> int:
        """Return how much was written: bytes, or files."""

    def close(self) -> None:
        """Stop writing."""


def open_sink(name: str, position: int | None) -> Sink:
    """Open a file for results by its ending; "-" is standard output, in JSON lines.

    Args:
        position: how much of it is valid and is continued; None to begin.

    Raises:
        UsageError: the ending is not known, or there are files that are not replaced.
    """
    if name == "-":
        return _Lines(sys.stdout.buffer, 0)
    ending = Path(name).suffix.lower()
    if ending == ".parquet":
        return _Parts(Path(name), position)
    if ending not in (".csv", ".jsonl"):
        raise UsageError(message("{name}: unknown format; choose from: .parquet, .csv, .jsonl", name=name))
    file = open(name, "r+b" if position is not None else "wb")  # noqa: SIM115 -- closed by the sink
    if position is not None:
        file.truncate(position)
        file.seek(position)
    return _Csv(file, position or 0) if ending == ".csv" else _Lines(file, position or 0)


def save_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as one Parquet file, completely or not at all.

    Raises:
        UsageError: it cannot be written.
    """
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
    save(name, bytes(buffer.getvalue()))


class _Lines:
    """JSON lines."""

    def __init__(self, file: IO[bytes], position: int) -> None:
        self._file, self._position = file, position

    def write(self, batch: pa.RecordBatch) -> None:
        text = self._text(batch)
        self._file.write(text)
        self._file.flush()
        self._position += len(text)

    def _text(self, batch: pa.RecordBatch) -> bytes:
        import json

        dumps = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": ")).encode
        lines = (
            dumps({name: value for name, value in row.items() if value is not None})
            for row in batch.to_pylist()
        )
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")

    def position(self) -> int:
        return self._position

    def close(self) -> None:
        if self._file is not sys.stdout.buffer:
            self._file.close()


class _Csv(_Lines):
    """CSV with a header."""

    def _text(self, batch: pa.RecordBatch) -> bytes:
        buffer = pa.BufferOutputStream()
        options = pyarrow.csv.WriteOptions(include_header=self._position == 0, quoting_style="needed")
        pyarrow.csv.write_csv(batch, buffer, options)
        return bytes(buffer.getvalue())


class _Parts:
    """A folder of Parquet files, one a batch."""

    def __init__(self, folder: Path, position: int | None) -> None:
        self._folder = folder
        self._count = position or 0
        if position is None and folder.is_dir() and any(folder.iterdir()):
            raise UsageError(
                message("{folder} is not empty; remove it, or go on with --resume", folder=str(folder))
            )
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("part-*.parquet"):
            if int(part.stem.partition("-")[2]) >= self._count:
                part.unlink()

    def write(self, batch: pa.RecordBatch) -> None:
        part = self._folder / f"part-{self._count:06}.parquet"
        begun = part.with_suffix(".begun")
        try:
            pq.write_table(pa.Table.from_batches([batch]), begun)
            os.replace(begun, part)
        finally:
            begun.unlink(missing_ok=True)
        self._count += 1

    def position(self) -> int:
        return self._count

    def close(self) -> None:
        return
