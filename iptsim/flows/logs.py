"""Opens logs; the format is recognised by the content."""

from __future__ import annotations

import gzip
import io
import os
import re
import select
import signal
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import IO, Any

import pyarrow as pa

from iptsim.errors import IptsimError, UsageError
from iptsim.flows.formats import packets, tables, text
from iptsim.languages import message, text_of
from iptsim.reading import open_regular

#: Records of a batch.
SIZE = 1 << 17
#: Bytes by which the format is recognised.
_HEAD = 1 << 16

_PCAP = (
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\xc3\xd4",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    packets.PCAPNG,
)
#: How files begin that other programs than gzip compressed, and what unpacks them.
_PACKED = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}
_VPC = re.compile(rb"\d+ (?:\d{12}|unknown) \S+ [0-9a-fA-F.:-]+ [0-9a-fA-F.:-]+ ")
_KERNEL = re.compile(rb"\bIN=\S* OUT=.*\bSRC=")
#: A packet to the host itself, or from it.
_OF_HOST = re.compile(
    rb"^.*\bIN=(?P<to>\S+ OUT= .*\bDST=\S+) .*$|^.*\bIN= (?P<of>OUT=\S+ .*\bSRC=\S+) .*$", re.MULTILINE
)
#: At most so many of them tell the host's addresses, from so many bytes at the beginning.
_TELLING, _BEGINNING = 50, 4 << 20
_CONNTRACK = re.compile(rb"\bsrc=\S+ dst=\S+ .*\bsrc=\S+ dst=\S+ ")


def read_log(name: str, mapped: Mapping[str, str], size: int = SIZE) -> Iterator[pa.RecordBatch]:
    """Yield the records of a log in batches, with the columns of a batch line.

    Args:
        name: the file; "-" for standard input.
        mapped: field of a batch line -> column of the log.
        size: how many records a batch holds at most.

    Raises:
        CaptureError: the file cannot be read.
        UsageError: the format is unknown, lacks source or destination, or the file is damaged; records before the
            damage are yielded first. The error names the file.
    """
    try:
        for batch in _batches(name, mapped, size):
            for begin in range(0, batch.num_rows, size):
                yield batch.slice(begin, size)
    except UsageError as error:
        raise UsageError(message("{path}: {error}", path=name, error=text_of(error))) from None
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            message("{name}: the log is damaged: {error}", name=name, error=str(error).split("\n")[0])
        ) from None


def lines_of_host(name: str) -> str:
    """Return lines of a kernel log that tell addresses of the host, one for each; "" for any other log.

    Args:
        name: the file; of standard input, which can be read only once, there are none.
    """
    if name == "-":
        return ""
    try:
        with open_regular(name) as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            data = (gzip.GzipFile(fileobj=raw) if packed else raw).read(_BEGINNING)
    except (OSError, EOFError, zlib.error, IptsimError):
        return ""  # whoever reads the whole log reports it
    found = dict[bytes, bytes]()
    for line in _OF_HOST.finditer(data):
        words = (line["to"] or line["of"]).split()
        found.setdefault(b" ".join((words[0], words[-1])), line[0])
        if len(found) == _TELLING:
            break
    return b"\n".join(found.values()).decode("utf-8", "replace")


def _batches(name: str, mapped: Mapping[str, str], size: int) -> Iterator[pa.RecordBatch]:
    with _standard_input() if name == "-" else open_regular(name) as raw:
        stream: io.BufferedReader = io.BufferedReader(raw, 1 << 20)  # type: ignore[arg-type]
        unpacked = None
        if stream.peek(2)[:2] == b"\x1f\x8b":
            unpacked = _Unpacked(stream)
            stream = io.BufferedReader(unpacked, 1 << 20)
        head = stream.peek(_HEAD)[:_HEAD]
        if (
            program := next((one for begin, one in _PACKED.items() if head.startswith(begin)), None)
        ) is not None:
            raise UsageError(
                message(
                    "compressed; unpack it first: {program} -dc FILE | iptsim flows SOURCE -", program=program
                )
            )
        if head[:4] == b"PAR1":
            if name == "-":
                raise UsageError(message("a Parquet file can't be read from standard input; give its name"))
            yield from tables.parquet_batches(name, mapped, size)
        elif head[:4] in _PCAP:
            yield from _of_records(packets.records(stream, head[:4]), size)
        else:
            yield from _of_text(stream, head, mapped, size)
        if unpacked is not None and unpacked.fault is not None:
            raise unpacked.fault


@contextmanager
def _standard_input() -> Iterator[IO[bytes] | io.RawIOBase]:
    """Open standard input so that Ctrl-C ends it: pyarrow reads it in a thread, and waits for that before anything."""
    try:
        source = sys.stdin.buffer.fileno()
    except (OSError, AttributeError):
        source = None
    if source is None or os.name != "posix" or current_thread() is not main_thread():
        yield sys.stdin.buffer
        return
    signals, written = os.pipe()
    os.set_blocking(written, False)
    before = signal.set_wakeup_fd(written)
    try:
        yield _UntilInterrupted(source, io.FileIO(signals))
    finally:
        signal.set_wakeup_fd(before)
        os.close(written)


class _UntilInterrupted(io.RawIOBase):
    """A file that ends at Ctrl-C.

    Args:
        source: its descriptor.
        signals: the numbers of the signals that arrive.
    """

    def __init__(self, source: int, signals: io.FileIO) -> None:
        self._source, self._signals = source, signals
        self._interrupted = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._interrupted:
            waiting: list[Any] = [self._source, self._signals]
            ready, _, _ = select.select(waiting, [], [])
            if self._signals not in ready:
                return os.readv(self._source, [buffer])
            self._interrupted = self._signals.read(1) in (b"", bytes([signal.SIGINT]))
        return 0


class _Unpacked(io.RawIOBase):
    """The contents of a gzip file; if the file is damaged, they end with the last whole line.

    Attributes:
        fault: what is wrong with it.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=packed)
        self._held, self._more = b"", True
        self.fault: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._more and len(self._held) < len(buffer):
            self._fill()
        end = min(len(self._held), len(buffer))
        if self._more:
            # the beginning of a line stays here until its end is known, unless the line is longer than the buffer
            end = self._held.rfind(b"\n", 0, end) + 1 or end
        buffer[:end], self._held = self._held[:end], self._held[end:]
        return end

    def _fill(self) -> None:
        try:
            part = self._file.read1(1 << 20)
        except (EOFError, OSError, zlib.error) as error:
            self.fault, self._more = OSError(str(error)), False
            self._held = self._held[: self._held.rfind(b"\n") + 1]
            return
        self._more = bool(part)
        self._held += part


def _of_records(records: Iterator[text.Fields], size: int) -> Iterator[pa.RecordBatch]:
    held: list[text.Fields] = []
    fault = None
    try:
        for record in records:
            held.append(record)
            if len(held) >= size:
                yield text.batch_of(held)
                held = []
    except (UsageError, OSError) as error:
        fault = error
    if held:
        yield text.batch_of(held)
    if fault is not None:
        raise fault


def _of_text(
    stream: io.BufferedReader, head: bytes, mapped: Mapping[str, str], size: int
) -> Iterator[pa.RecordBatch]:
    lines = [line for line in head.split(b"\n") if line.strip()]
    first = lines[0].lstrip(b"\xef\xbb\xbf \t") if lines else b""
    if not lines:
        return
    if first.startswith(b"{"):
        read = _json_reader(first, mapped)
        yield from _of_records(_read(stream, read), size)
    elif first.startswith((b"#separator", b"#fields", b"#set_separator")):
        yield from tables.zeek_batches(stream)
    elif any(map(_CONNTRACK.search, lines)):
        yield from _of_records(_read(stream, text.conntrack_line), size)
    elif any(map(_KERNEL.search, lines)):
        yield from _of_records(_read(stream, text.kernel_line), size)
    elif _VPC.match(first) or (b"srcaddr" in first and b"dstaddr" in first and b"," not in first):
        yield from tables.vpc_batches(stream, head)
    elif re.match(rb"(?:ts,te,td,sa,da,|(?:cnt,af,)?first[sS]een,)", first):
        yield from tables.nfdump_batches(stream, head)
    elif b"\0" not in first and any(mark in first for mark in (b",", b";", b"\t")):
        yield from tables.csv_batches(stream, head, mapped)
    else:
        raise UsageError(
            message(
                "not a log of a known format: JSON lines, CSV with a header, Parquet, pcap, conntrack -L or -E, the "
                "kernel's log, AWS VPC flow logs, Zeek's conn.log or nfdump -o csv"
            )
        )


def _read(stream: io.BufferedReader, read: text.Line) -> Iterator[text.Fields]:
    for line in text.lines_of(stream):
        record = read(line)
        if record is not None:
            yield record


def _json_reader(first: bytes, mapped: Mapping[str, str]) -> text.Line:
    """Return the function that reads a line of JSON; Zeek has its own field names."""
    zeek = b'"id.orig_h"' in first
    known = tables.field_names()

    def read(line: str) -> text.Fields | None:
        record = text.json_line(line)
        if record is None or record.keys() == {"error"}:
            return record
        if zeek:
            return tables.zeek_json(record)
        found = {name: record[column] for name, column in mapped.items() if column in record}
        own = {name: value for name, value in record.items() if name in known and name not in mapped}
        return {**own, **found}

    return read
