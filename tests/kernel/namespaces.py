"""Network namespaces without a name: they live as long as this process holds them open.

A namespace that has no name can't clash with another process's, and the kernel removes it, with all that
is in it, when the process ends in whatever way (network_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """A new, empty network namespace."""

    def __init__(self) -> None:
        before = _own_namespace()
        try:
            _check(_libc.unshare(_CLONE_NEWNET))
            self._descriptor = _own_namespace()
            _check(_libc.setns(before, _CLONE_NEWNET))
        finally:
            os.close(before)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the namespace; the kernel removes it with the last socket in it."""
        os.close(self._descriptor)

    @property
    def path(self) -> str:
        """Where other programs find it, e.g. `ip link set eth0 netns PATH`."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread into the namespace: its new sockets and child processes belong there."""
        before = _own_namespace()
        _check(_libc.setns(self._descriptor, _CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_libc.setns(before, _CLONE_NEWNET))
            os.close(before)

    def run(self, command: Sequence[str], text: str = "", *, seconds: float = 20) -> str:
        """Run a command in the namespace and return its standard output.

        Raises:
            CommandError: it failed; the text holds its standard error.

        """
        with self.entered():
            done = subprocess.run(
                command, input=text, text=True, capture_output=True, timeout=seconds, check=False
            )
        if done.returncode:
            raise CommandError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


class CommandError(Exception):
    """A tool failed."""
