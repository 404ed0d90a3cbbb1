"""Reads untrusted files, streams and JSON: never more than a limit, and never from a device.

The limits are documented in docs/reference/limits.md.
"""

from __future__ import annotations

import codecs
import errno
import os
import re
import stat
from itertools import islice
from pathlib import Path
from reprlib import Repr
from typing import IO, Any

from iptsim.errors import CaptureError, FileSyntaxError, Span
from iptsim.languages import Text, message
from iptsim.suggestions import with_suggestion

MIB = 1 << 20
#: The limits, in bytes, of a stored file, of a file in an archive, and of a whole capture.
FILE_LIMIT = 128 * MIB
TOTAL_LIMIT = 256 * MIB
#: The limit, in bytes, of a JSON text; its values take up to 25 times that in memory.
JSON_LIMIT = 32 * MIB
#: The limit, in bytes, of a text that is neither a dump nor a file of a capture; its lines take up to 15 times that.
TEXT_LIMIT = 32 * MIB

#: At most this many names of a folder are compared with the name of a file that does not exist.
_MOST_BESIDE = 1000

_BOM = codecs.BOM_UTF8
#: Files that a shell has opened: standard input, and the pipe of `<(command)`.
_OPENED = re.compile(r"/dev/stdin|(?:/dev|/proc/self)/fd/[0-9]+")
#: What pydantic-core's JSON parser finds wrong (its JsonErrorType), in our words.
_JSON_FAULTS = {
    "recursion limit exceeded": message("nested more than 200 deep"),
    "EOF while parsing a list": message("the text ends inside a list: the closing bracket is missing"),
    "EOF while parsing an object": message("the text ends inside an object: the closing brace is missing"),
    "EOF while parsing a string": message("the text ends inside a string: a quote is missing"),
    "EOF while parsing a value": message("the text ends where a value is expected"),
    "expected `:`": message("expected a colon after the key"),
    "expected `,` or `]`": message("expected a comma or the closing bracket of the list"),
    "expected `,` or `}`": message("expected a comma or the closing brace of the object"),
    "expected ident": message("expected true, false or null"),
    "expected value": message("expected a value"),
    "invalid escape": message("invalid escape in a string"),
    "invalid number": message("invalid number"),
    "key must be a string": message("a key must be in quotes"),
    "trailing comma": message("no comma is allowed after the last element"),
    "trailing characters": message("more text follows the end of the JSON"),
}
#: The position of an error in that parser's messages.
_PLACE = re.compile(r"(.*) at line ([0-9]+) column ([0-9]+)", re.DOTALL)


def is_utf16(data: bytes) -> bool:
    """Return whether a text begins with the mark of UTF-16, in which `>` of Windows PowerShell writes files."""
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def is_binary(data: bytes) -> bool:
    """Return whether a file is no text: a picture, a program."""
    return b"\0" in data and not is_utf16(data) and not data.startswith(_BOM)


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file, or one opened by the shell under /dev/fd, without blocking on a device or a named pipe.

    Raises:
        CaptureError: it does not exist, cannot be read, or is neither of these.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        fault = message("{path}: {error}", path=str(path), error=fault_of(error))
        raise CaptureError(with_suggestion(fault, os.path.basename(path), _beside(path))) from None
    except OSError as error:
        raise CaptureError(message("{path}: {error}", path=str(path), error=fault_of(error))) from None
    except ValueError:
        raise CaptureError(message("{path}: not a valid file name", path=str(path))) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or (_OPENED.fullmatch(str(path)) and not stat.S_ISDIR(mode)):
        if not stat.S_ISREG(mode):
            os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kind = message("a directory") if stat.S_ISDIR(mode) else message("not a regular file")
    raise CaptureError(
        message(
            "{path}: {kind}; give a regular file, or - for standard input where it is accepted",
            path=str(path),
            kind=kind,
        )
    )


def _beside(path: str | Path) -> list[str]:
    """Return the names in the folder of a path, if it can be read: the first ones."""
    try:
        with os.scandir(os.path.dirname(path) or ".") as found:
            return [one.name for one in islice(found, _MOST_BESIDE)]
    except OSError:
        return []


def read_file(path: str | Path) -> bytes:
    """Return the contents of a regular file.

    Raises:
        CaptureError: it cannot be read, or is larger than :data:`FILE_LIMIT`.
    """
    with open_regular(path) as stream:
        try:
            return bounded(stream, str(path), os.fstat(stream.fileno()).st_size)
        except OSError as error:
            raise CaptureError(message("{path}: {error}", path=str(path), error=fault_of(error))) from None


def bounded(stream: IO[bytes], name: str, expected: int = 0) -> bytes:
    """Return the rest of a stream.

    Args:
        stream: the stream.
        name: its name, for the error.
        expected: its size in bytes, as far as it is known; saves time only.

    Raises:
        CaptureError: it is larger than :data:`FILE_LIMIT`.
        OSError: it cannot be read.
    """
    pieces: list[bytes] = []
    left = FILE_LIMIT + 1
    # a piece at a time: a stream allocates memory for the whole requested size
    while left and (piece := stream.read(min(left, max(expected, MIB)))):
        pieces.append(piece)
        left -= len(piece)
        expected = 0
    check_size(FILE_LIMIT + 1 - left, name)
    return b"".join(pieces)


def check_size(size: int, name: str) -> None:
    """Check the size of a file.

    Raises:
        CaptureError: it is more than :data:`FILE_LIMIT`.
    """
    if size > FILE_LIMIT:
        raise CaptureError(
            message(
                "{name}: larger than {file_limit}, the most that iptsim reads from one file",
                name=name,
                file_limit=_size(FILE_LIMIT),
            )
        )


def check_text_size(size: int, name: str) -> None:
    """Check the size of a text that is not a valid dump.

    Raises:
        CaptureError: it is more than :data:`TEXT_LIMIT`.
    """
    if size > TEXT_LIMIT:
        raise CaptureError(
            message(
                "{name}: larger than {text_limit}, the most that iptsim reads of a text that is not a complete dump "
                "of rules; for the errors of a dump: --strict",
                name=name,
                text_limit=_size(TEXT_LIMIT),
            )
        )


def check_total(total: int, name: str) -> None:
    """Check the size of a capture's files together.

    Raises:
        CaptureError: it is more than :data:`TOTAL_LIMIT`.
    """
    if total > TOTAL_LIMIT:
        raise CaptureError(
            message(
                "{name}: contains more than {total_limit}, the most that iptsim reads from a capture",
                name=name,
                total_limit=_size(TOTAL_LIMIT),
            )
        )


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"


def fault_of(error: OSError) -> Text:
    """Return the reason of an operating system error."""
    text = _FAULTS.get(error.errno or 0)
    return text if text is not None else error.strerror or str(error)


#: The usual reasons; of others the system's own words are used.
_FAULTS = {
    errno.ENOENT: message("No such file or directory"),
    errno.EACCES: message("Permission denied"),
    errno.EPERM: message("Operation not permitted"),
    errno.EISDIR: message("Is a directory"),
    errno.ENOTDIR: message("Not a directory"),
    errno.ENAMETOOLONG: message("File name too long"),
    errno.ENOSPC: message("No space left on device"),
    errno.EROFS: message("Read-only file system"),
    errno.ELOOP: message("Too many levels of symbolic links"),
    errno.EIO: message("Input/output error"),
}


class JsonFault(ValueError):
    """What is wrong with a JSON text, and where; its message gives the line and column.

    Attributes:
        reason: what is wrong.
        line: the number of the line, from 1.
        column: the byte in it, from 1.
    """

    def __init__(self, reason: Text, line: int, column: int) -> None:
        place = message("line {line}, column {column}", line=line, column=column)
        super().__init__(message("{place}: {text}", place=place, text=reason))
        self.reason, self.line, self.column = reason, line, column

    def pointed(self, data: bytes, source: str, hint: Text = "") -> FileSyntaxError:
        """Return the error that shows the line of a text, with a caret below the place.

        Args:
            data: the text.
            source: the name of its file.
            hint: what to do.
        """
        lines = data.removeprefix(_BOM).split(b"\n")
        row = lines[self.line - 1].rstrip(b"\r") if self.line <= len(lines) else b""
        start = len(row[: self.column - 1].decode("utf-8", "replace"))
        return FileSyntaxError(
            self.reason, Span(source, self.line, start), row.decode("utf-8", "replace"), hint
        )


def parse_json(data: bytes) -> Any:
    """Return the value of a JSON text (RFC 8259: no NaN, no lone surrogates), nested at most 200 deep.

    Raises:
        JsonFault: it is not JSON, is too deep, or has an integer of more than 4,300 digits.
        ValueError: it is too long.
    """
    from pydantic_core import from_json

    if len(data) > JSON_LIMIT:
        raise ValueError(
            message(
                "larger than {json_limit}, the most that iptsim reads from a JSON file",
                json_limit=_size(JSON_LIMIT),
            )
        )
    try:
        return from_json(data.removeprefix(_BOM), allow_inf_nan=False)
    except ValueError as error:
        found = _PLACE.fullmatch(str(error))
        what = found[1] if found else str(error)
        reason: Text = _JSON_FAULTS.get(what, what)
        if found is None:
            raise ValueError(reason) from None
        raise JsonFault(reason, int(found[2]), int(found[3])) from None


def brief(value: Any) -> str:
    """Return an untrusted value for an error message, in at most 80 characters.

    >>> brief("x" * 100)[-10:], brief([1, "a"])
    ("xxxxxxxxx'", "[1, 'a']")
    """
    text = _REPR.repr(value)
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 4]} ..."


_BRIEF = 80
_REPR = Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxlong, _REPR.maxother = 3, _BRIEF, _BRIEF, _BRIEF
