"""`iptsim redact`: removes from captures and pastes what identifies their owner."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import ANSWERED, add_command
from iptsim.errors import UsageError
from iptsim.languages import message, say

if TYPE_CHECKING:
    from iptsim.host.files import Source

_EPILOG = message(
    "Every packet still takes the same path. Addresses keep the prefixes that they share; private, loopback, multicast"
    " and link-local addresses stay in their range. MACs are replaced, and the names of containers, networks and"
    " hosts. Environment variables, labels and commands of containers are left out.\n"
    "The names of interfaces, chains and sets stay, and so does the text of comments and log prefixes, except for"
    " those names: read them before you share the result."
)


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "redact",
        run,
        say("replace addresses, names and MACs, so that a capture can be shared"),
        epilog=str(_EPILOG),
        examples=("ticket.txt -o public.txt",),
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help=say("a capture (directory, .tar.gz or .zip), a file of text, or - for standard input"),
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="OUT",
        help=say(
            "where to write: a file, - for standard output; for a capture or several files, a new directory, - for "
            "an archive (.tar.gz) on standard output"
        ),
    )
    parser.add_argument(
        "--key",
        default=None,
        help=say("your own secret: the same key always gives an address the same replacement"),
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the files with what identifies their owner replaced."""
    import secrets

    from iptsim.host.files import read_source
    from iptsim.redaction import key_of, redact_files
    from iptsim.saving import save

    sources = [read_source(file) for file in arguments.files]
    files: dict[str, bytes] = {}
    for source in sources:
        for name, data in _members(source, alone=len(sources) == 1):
            if name in files:
                raise UsageError(message("two sources contain {name}; redact them one at a time", name=name))
            files[name] = data
    done = redact_files(key_of(arguments.key or secrets.token_hex()), files)
    if len(sources) == 1 and sources[0].dump is not None:
        (data,) = done.values()
        save(arguments.output or "-", data)
    elif arguments.output is None:
        raise UsageError(
            message("give a new directory for the files: -o DIRECTORY; or -o - for an archive (.tar.gz)")
        )
    elif arguments.output == "-":
        save("-", _archive(done))
    else:
        _save_all(arguments.output, done)
    return ANSWERED


def _members(source: Source, *, alone: bool) -> list[tuple[str, bytes]]:
    """Return the files of a source, below its name where it is one of several."""
    base = os.path.basename(source.name.rstrip("/")) or source.name
    if source.dump is not None:
        return [(base, source.dump)]
    return [(name if alone else f"{base}/{name}", data) for name, data in source.files.items()]


def _archive(files: dict[str, bytes]) -> bytes:
    """Return files as a .tar.gz, without the time and the user that made it."""
    import gzip
    import io
    import tarfile

    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def _save_all(output: str, files: dict[str, bytes]) -> None:
    """Write files into a new directory.

    Raises:
        UsageError: it is there already, or can't be written.
    """
    from iptsim.reading import fault_of
    from iptsim.saving import save

    try:
        os.mkdir(output)
        for folder in {os.path.dirname(name) for name in files} - {""}:
            os.mkdir(Path(output, folder))
    except OSError as error:
        raise UsageError(message("{path}: {error}", path=str(output), error=fault_of(error))) from None
    for name, data in files.items():
        save(Path(output, name), data)
