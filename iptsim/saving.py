"""Writes a file completely or not at all."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from iptsim.errors import UsageError
from iptsim.languages import message
from iptsim.reading import fault_of


def save(path: str | Path, content: str | bytes) -> None:
    """Write a file, completely or not at all; devices and pipes are written directly.

    Args:
        path: the file; "-" for standard output.
        content: its content.

    Raises:
        UsageError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    if path == "-":
        sys.stdout.flush()
        if isinstance(content, str) and not hasattr(sys.stdout, "buffer"):
            sys.stdout.write(content)  # replaced by a program or a notebook
        else:
            sys.stdout.buffer.write(data)
        return
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            Path(path).write_bytes(data)
            return
        _replace(os.path.realpath(path), data)
    except OSError as error:
        raise UsageError(message("{path}: {error}", path=str(path), error=fault_of(error))) from None


def _replace(target: str, data: bytes) -> None:
    """Write a new file next to the target of a symbolic link, so that the link stays, then replace the target."""
    import tempfile

    number, name = tempfile.mkstemp(prefix=".iptsim-", dir=os.path.dirname(target))
    try:
        with open(number, "wb") as file:
            file.write(data)
        os.chmod(name, _mode(target))
        os.replace(name, target)
    except BaseException:
        # Ctrl-C may come when it has replaced the target already
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _mode(path: str) -> int:
    """Return the permissions of a file, or for a new file those that the umask allows."""
    if os.path.exists(path):
        return os.stat(path).st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
