"""The text of a dump before its lines are read: decoding, and rejecting or repairing what a dump cannot contain."""

from __future__ import annotations

import re

from iptsim.dump.complaints import Complaints
from iptsim.errors import CaptureError, DumpSyntaxError, Span
from iptsim.languages import message
from iptsim.reading import is_utf16

#: The start of a chain in the output of `iptables -L`.
_SHOWN = re.compile(r"^Chain \S+ \((?:policy \S+|[0-9]+ references)", re.MULTILINE)
#: The hint for a text that is not a dump at all.
WANTED = message("expected the output of iptables-save")
#: Leading blanks of a line.
_INDENTED = re.compile(r"(?m)^[ \t]+")


def decode(data: bytes, source: str, lenient: bool = False) -> str:
    """Decode a dump; with `lenient`, U+FFFD replaces bytes that are not UTF-8.

    Raises:
        CaptureError: it is not UTF-8.
    """
    if is_utf16(data):
        raise CaptureError(
            message(
                "{source}: the text is UTF-16, as Windows tools write it; save it as UTF-8", source=source
            )
        )
    try:
        return data.decode("utf-8", "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CaptureError(
            message(
                "{source}:{line}: byte {data:#04x} is not UTF-8; is this a dump?",
                source=source,
                line=line,
                data=data[error.start],
            )
        ) from None


def clean(text: str, complaints: Complaints, lenient: bool) -> str:
    """Reject characters that a dump cannot contain, or with `lenient` repair them with a warning.

    Raises:
        DumpSyntaxError: there is such a character.
    """
    nul = text.find("\0")
    if nul >= 0:
        number = text.count("\n", 0, nul) + 1
        raise DumpSyntaxError(message("a NUL character: this is not text"), Span(complaints.source, number))
    if text.startswith("\ufeff"):
        if not lenient:
            raise DumpSyntaxError(
                message("the text begins with a byte order mark"),
                Span(complaints.source, 1),
                hint=message("iptables-restore rejects it; save the file as UTF-8 without BOM"),
            )
        complaints.warn(1, message("the text began with a byte order mark"))
        text = text[1:]
    # searching for one character first is much faster
    at = text.find("\r\n") if "\r" in text else -1
    if at >= 0:
        number = text.count("\n", 0, at) + 1
        if not lenient:
            line = text[text.rfind("\n", 0, at) + 1 : at]
            raise DumpSyntaxError(
                message("the line ends with a carriage return, as written by Windows tools"),
                Span(complaints.source, number, len(line), len(line) + 1),
                line,
                message(
                    "iptables-restore rejects such a file; convert it with dos2unix, or read it with --lenient"
                ),
            )
        complaints.warn(number, message("this line and others ended with a carriage return"))
        text = text.replace("\r\n", "\n")
    indented = _INDENTED.search(text) if lenient else None
    if indented:
        complaints.warn(
            text.count("\n", 0, indented.start()) + 1, message("this line and others began with blanks")
        )
        text = _INDENTED.sub("", text)
    return text


def reject_listing(text: str, source: str) -> None:
    """Reject the output of `iptables -L` as a whole; no line of it belongs to a dump.

    Raises:
        DumpSyntaxError: the text contains such output.
    """
    shown = _SHOWN.search(text)
    if shown:
        raise DumpSyntaxError(
            message("this is the output of iptables -L, which omits parts of the rules"),
            Span(source, text.count("\n", 0, shown.start()) + 1, 0, len(shown.group())),
            text[shown.start() :].partition("\n")[0],
            WANTED,
        )
