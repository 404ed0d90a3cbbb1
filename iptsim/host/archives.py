"""Reads the members of tar and zip archives one by one, in bounded memory.

A tar archive is read here rather than by tarfile, which keeps extended headers (pax, GNU long names, maps of
sparse files) of any size in memory. Formats: POSIX.1-2024 pax, and GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from typing import IO, Any

from iptsim.errors import CaptureError
from iptsim.languages import message
from iptsim.reading import MIB, bounded, check_size, check_total

#: The most members of an archive that are read.
MEMBER_LIMIT = 10_000
#: The most bytes of an extended header of a tar archive: a name has at most 4,096 (PATH_MAX).
HEADER_LIMIT = 64 * 1024
#: The exceptions that unpacking damaged data raises.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError,
    MemoryError, ValueError,
)  # fmt: skip

#: Opens a compressed stream.
Opener = Callable[[IO[bytes]], Any]
#: The first bytes of compressed files, and what opens them.
PACKED: dict[bytes, Opener] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
_BLOCK = 512
#: Types of members: regular files, and headers that describe the next member.
_REGULAR, _GNU_NAME, _PAX = (b"0", b"\0", b"7"), b"L", b"x"


def is_packed(data: bytes) -> bool:
    """Return whether a file is compressed by gzip, bzip2 or xz."""
    return data.startswith(tuple(PACKED))


def unpacked(data: bytes) -> IO[bytes]:
    """Return a file's contents as a stream, decompressed if necessary."""
    opener = next((found for mark, found in PACKED.items() if data.startswith(mark)), None)
    stream: IO[bytes] = io.BytesIO(data) if opener is None else opener(io.BytesIO(data))
    return stream


def is_tar(data: bytes) -> bool:
    """Return whether a file, compressed or not, is a tar archive.

    Raises:
        any of :data:`DAMAGED`: it cannot be decompressed.
    """
    return unpacked(data).read(_BLOCK)[257:262] == b"ustar"


def tar_members(data: bytes, archive: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield the regular files of a tar archive, compressed or not.

    Args:
        data: the archive.
        archive: its name, for errors.
        wanted: returns whether to read the member with a name; others are skipped.

    Raises:
        CaptureError: it exceeds iptsim's limits.
        any of :data:`DAMAGED`: it is damaged.
    """
    stream = _Blocks(unpacked(data), archive)
    extended: dict[str, str] = {}
    for number in count():
        header = stream.block()
        if header is None:
            return
        _check_count(number, archive)
        kind, size = header[156:157], _number(header[124:136])
        if kind in (_GNU_NAME, _PAX):
            if size > HEADER_LIMIT:
                raise ValueError(message("its extended header of {size} bytes is too long", size=size))
            text = stream.read(size).decode("utf-8", "replace")
            extended |= {"path": text.partition("\0")[0]} if kind == _GNU_NAME else dict(_records(text))
            continue
        name = extended.get("path") or _name(header)
        size = int(extended["size"]) if "size" in extended else size
        extended = {}
        if kind in _REGULAR and wanted(name):
            check_size(size, f"{archive}: {name}")
            yield name, stream.read(size)
        else:
            stream.skip(size)


class _Blocks:
    """Reads a tar archive in blocks of 512 bytes, up to a limit on the unpacked size."""

    def __init__(self, stream: IO[bytes], archive: str) -> None:
        self.stream = stream
        self.archive = archive
        self.total = 0

    def block(self) -> bytes | None:
        """Return the header of the next member, or None at the end."""
        found = self._take(_BLOCK, short=True)
        if not found.strip(b"\0"):
            return None
        expected = _number(found[148:156])
        if len(found) < _BLOCK or expected != sum(found) - sum(found[148:156]) + 8 * ord(" "):
            raise ValueError(message("the checksum of a member is wrong"))
        return found

    def read(self, size: int) -> bytes:
        """Return the contents of a member."""
        return self._take(size + -size % _BLOCK)[:size]

    def skip(self, size: int) -> None:
        """Skip the contents of a member."""
        left = size + -size % _BLOCK
        while left:
            left -= len(self._take(min(left, MIB)))

    def _take(self, size: int, *, short: bool = False) -> bytes:
        self.total += size
        check_total(self.total, self.archive)
        found = self.stream.read(size)
        if len(found) < size and not short:
            raise EOFError(message("it is truncated"))
        return found


def _check_count(number: int, archive: str) -> None:
    if number >= MEMBER_LIMIT:
        raise CaptureError(
            message(
                "{archive}: more than {member_limit:,} files; give an archive of the capture alone",
                archive=archive,
                member_limit=MEMBER_LIMIT,
            )
        )


def _name(header: bytes) -> str:
    name, folder = (
        part.partition(b"\0")[0].decode("utf-8", "replace") for part in (header[:100], header[345:500])
    )
    # GNU tar stores times where POSIX has the directory
    return f"{folder}/{name}" if folder and header[257:263] == b"ustar\0" else name


def _number(field: bytes) -> int:
    """Read a number: octal digits, or GNU tar's base 256.

    Raises:
        ValueError: it is negative or not a number.
    """
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ") or b"0"
    if not digits.isdigit():
        raise ValueError(message("the header of a member has an invalid number"))
    return int(digits, 8)


def _records(text: str) -> Iterator[tuple[str, str]]:
    """Yield the keywords and values of a pax header: lines `LENGTH KEYWORD=VALUE`.

    Raises:
        ValueError: the lengths are wrong.
    """
    for line in text.splitlines():
        keyword, equals, value = line.partition(" ")[2].partition("=")
        if equals and keyword in ("path", "size"):
            if keyword == "size" and not value.isdecimal():
                raise ValueError(message("the size of a member is not a number"))
            yield keyword, value


def zip_members(data: bytes, archive: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted files of a zip archive.

    Raises:
        CaptureError: it exceeds iptsim's limits.
        any of :data:`DAMAGED`: it is damaged.
    """
    # zipfile creates an object for every directory entry at once
    _check_count(data.count(b"PK\1\2") - 1, archive)
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        for member in opened.infolist():
            if not member.is_dir() and wanted(member.filename):
                with opened.open(member) as stream:
                    yield member.filename, bounded(stream, f"{archive}: {member.filename}")
