"""Decides about whole logs, batch by batch, with an output file that can be resumed."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from iptsim.errors import UsageError
from iptsim.flows.against import Differences
from iptsim.flows.columns import Records
from iptsim.flows.deciding import Part, result_batch
from iptsim.flows.engines import Engine
from iptsim.flows.logs import read_log
from iptsim.flows.sinks import Sink, open_sink
from iptsim.flows.summary import Summary
from iptsim.languages import message
from iptsim.saving import save

#: Columns that are added to the records of a log.
ADDED = ("record", "log")


@dataclass(slots=True)
class Logs:
    """The logs whose records are read.

    Attributes:
        names: the files; "-" for standard input.
        columns: field of a batch line -> column of the logs.
    """

    names: Sequence[str]
    columns: Mapping[str, str] = field(default_factory=dict)

    def batches(self, done: int = 0) -> Iterator[pa.RecordBatch]:
        """Yield all records after the first few, with the number of each in its log and the log's name.

        Args:
            done: how many records to skip.
        """
        for name in self.names:
            number = 0
            for batch in read_log(name, self.columns):
                count = batch.num_rows
                if done >= count:
                    done, number = done - count, number + count
                    continue
                rest = _numbered(batch.slice(done), name, number + done, several=len(self.names) > 1)
                number, done = number + count, 0
                yield rest


def _numbered(batch: pa.RecordBatch, name: str, before: int, *, several: bool) -> pa.RecordBatch:
    columns = {"record": pa.array(np.arange(before + 1, before + 1 + batch.num_rows), pa.int64())}
    if several:
        columns["log"] = pa.array([name] * batch.num_rows)
    return pa.RecordBatch.from_pydict({**columns, **{one: batch.column(one) for one in batch.schema.names}})


def with_answers(batch: pa.RecordBatch, part: Part) -> pa.RecordBatch:
    """Return records with the columns of their results added."""
    found = result_batch(part)
    columns = {name: batch.column(name) for name in batch.schema.names if name != "error"}
    return pa.RecordBatch.from_pydict(
        {**columns, **{name: found.column(name) for name in found.schema.names}}
    )


#: The types of columns in the output.
_KINDS = {"number": pa.int64(), "text": pa.string(), "truth": pa.bool_()}


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "number"
    return "truth" if pa.types.is_boolean(kind) else "text"


def _is_note(noted: object) -> bool:
    """Return whether something that was read has the form of a progress file."""
    return (
        isinstance(noted, dict)
        and all(type(noted.get(name)) is int and noted[name] >= 0 for name in ("done", "position"))
        and isinstance(noted.get("state"), dict)
        and isinstance(noted.get("columns"), list)
        and all(isinstance(one, list) and len(one) == 2 and one[1] in _KINDS for one in noted["columns"])
    )


def _has_content(path: Path) -> bool:
    """Return whether a file exists and is not empty; a directory, whether it contains anything."""
    try:
        return any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0
    except OSError:
        return False


class Output:
    """A file for results, with a progress file beside it until all is written.

    Args:
        name: the file; its extension determines the format.
        about: a description of the logs and hosts; a run can be resumed only with the same.
        resume: continue where an earlier run ended; start if none has left anything.

    Attributes:
        done: how many records an earlier run has handled.
        state: the other state of that run.

    Raises:
        UsageError: what is there is complete, or about other logs.
    """

    def __init__(self, name: str, about: dict[str, Any], *, resume: bool = False) -> None:
        self._note = Path(f"{name.rstrip(os.sep)}.progress")
        self._about = json.loads(json.dumps(about))
        self.done, self.state = 0, dict[str, Any]()
        position = None
        noted_columns: list[list[str]] = []
        resume = resume and (self._note.exists() or _has_content(Path(name)))
        if resume:
            noted = self._read(name)
            self.done, position, self.state = noted["done"], noted["position"], noted["state"]
            noted_columns = noted["columns"]
        self._sink: Sink = open_sink(name, position)
        self._keeps_note = name != "-"
        #: the columns of the first batch are those of the whole output
        self._columns: list[list[str]] = noted_columns
        if not resume:
            # a run that is killed before its first results can be resumed as well
            self._keep_note({})

    def _read(self, name: str) -> dict[str, Any]:
        try:
            noted = json.loads(self._note.read_text())
        except OSError:
            text = message(
                "nothing to resume: without {note}, {name} is complete, or from something else",
                note=str(self._note),
                name=name,
            )
            raise UsageError(text) from None
        except (ValueError, RecursionError):
            noted = None
        if not _is_note(noted):
            raise UsageError(message("{note} is damaged; start again without --resume", note=str(self._note)))
        if noted.get("about") != self._about:
            raise UsageError(
                message(
                    "{note} belongs to a run with another source, other logs or other options",
                    note=str(self._note),
                )
            )
        found: dict[str, Any] = noted
        return found

    def write(self, batch: pa.RecordBatch, records: int, state: dict[str, Any]) -> None:
        """Write results, and update the progress file.

        Args:
            records: the number of records that they cover.
            state: the other state to save.
        """
        if batch.num_rows:
            self._sink.write(self._aligned(batch))
        self.done += records
        self._keep_note(state)

    def _keep_note(self, state: dict[str, Any]) -> None:
        """Write the progress file."""
        if self._keeps_note:
            noted = {
                "about": self._about, "done": self.done, "position": self._sink.position(),
                "columns": self._columns, "state": state,
            }  # fmt: skip
            save(self._note, json.dumps(noted))

    def _aligned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch with the columns of the first one: a column that is new is left out."""
        if not self._columns:
            self._columns = [[one.name, _kind(one.type)] for one in batch.schema]
        found = {}
        for name, kind in self._columns:
            wanted = _KINDS[kind]
            if name not in batch.schema.names:
                found[name] = pa.nulls(batch.num_rows, wanted)
                continue
            values = batch.column(name)
            try:
                found[name] = values.cast(wanted)
            except pa.ArrowException:
                found[name] = pa.nulls(batch.num_rows, wanted)
        return pa.RecordBatch.from_pydict(found)

    @property
    def can_resume(self) -> bool:
        """Whether a later run can continue from here."""
        return self._keeps_note and self._note.exists()

    def close(self, *, complete: bool) -> None:
        """Close the file; the progress file stays if some but not all is done."""
        self._sink.close()
        if self._keeps_note and (complete or not self.done):
            self._note.unlink(missing_ok=True)


def run(
    engine: Engine,
    logs: Logs,
    output: Output | None,
    summary: Summary,
    differences: Differences | None = None,
) -> Iterator[int]:
    """Decide about all records of logs, and yield how many are done after each batch.

    Args:
        engine: decides, on one host, or on two whose results are compared.
        output: receives the results.
        summary: counts those of the first host.
        differences: compares both hosts; the output then receives only the records that differ.
    """
    done = 0
    if output is not None:
        done = output.done
        if output.state:
            summary.restore(output.state["summary"])
            if differences is not None:
                differences.restore(output.state["differences"])
    kept: deque[Records] = deque()

    def questions() -> Iterator[pa.RecordBatch]:
        for batch in logs.batches(done):
            records = Records.of(batch)
            kept.append(records)
            yield records.questions(ADDED)

    for parts in engine(questions()):
        records = kept.popleft()
        batch = records.batch
        summary.add(records, parts[0])
        different = differences.add(batch, parts[0], parts[1]) if differences is not None else None
        if output is not None:
            state = {"summary": summary.state(), "differences": differences.state() if differences else None}
            result = with_answers(batch, parts[0]) if different is None else different
            output.write(result, batch.num_rows, state)
        yield batch.num_rows
