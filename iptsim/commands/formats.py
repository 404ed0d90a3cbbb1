"""The formats of a command's output: `--format`, `--json`, `-o FILE`, `--sarif FILE` and `--junit FILE`.

A command passes its formats to :func:`add_formats`, runs within :func:`written`, and prints the format in
`arguments.format`.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from iptsim.commands.common import add_output
from iptsim.errors import UsageError
from iptsim.languages import say

#: All formats; `--help` lists those of a command.
FORMATS = ("text", "json", "markdown", "csv", "html", "mermaid", "github", "sarif", "junit")
#: Formats that can also be written to a file beside the output, by an option of that name.
_BESIDE = ("sarif", "junit")


def add_formats(parser: Any, *formats: str) -> None:
    """Add the options that choose the format of the output and where it goes.

    Args:
        parser: the parser of the command.
        formats: some of :data:`FORMATS`; the first is the default.
    """
    group = parser.add_argument_group(say("output"))
    group.add_argument(
        "--format",
        choices=formats,
        default=formats[0],
        metavar="FORMAT",
        help=say("{default} (default), or: {others}", default=formats[0], others=", ".join(formats[1:])),
    )
    if "json" in formats:
        group.add_argument(
            "--json", dest="format", action="store_const", const="json", help=say("short for --format json")
        )
    add_output(group)
    for name in _BESIDE:
        if name in formats:
            group.add_argument(
                f"--{name}",
                action=_Beside,
                metavar="FILE",
                help=say("also write {format} to this file", format=name.upper() if name == "sarif" else "JUnit XML"),
            )  # fmt: skip


class _Beside(argparse.Action):
    """The option for the file of a further format; with "-", this format is printed instead."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        if values == "-":
            namespace.format = self.dest
        else:
            setattr(namespace, self.dest, values)


@contextmanager
def written(arguments: argparse.Namespace) -> Iterator[None]:
    """Write what is printed within the block to the file of `-o`, once it is complete.

    Raises:
        UsageError: the file cannot be written; its content was printed, so that the work is not lost.
    """
    if arguments.output == "-":
        yield
        return
    held = io.StringIO()
    with redirect_stdout(held):
        yield
    try:
        _save(arguments.output, held.getvalue())
    except UsageError:
        sys.stdout.write(held.getvalue())
        raise


def needs_all(arguments: argparse.Namespace) -> bool:
    """Return whether an output holds the results of all sources together, so that they must be kept."""
    return arguments.format not in ("text", "json") or any(getattr(arguments, name, None) for name in _BESIDE)


def write_beside(arguments: argparse.Namespace, content: Callable[[str], str]) -> None:
    """Write the files of `--sarif` and `--junit`.

    Args:
        arguments: the arguments of the command.
        content: returns the content for the name of a format.

    Raises:
        UsageError: a file cannot be written.
    """
    for name in _BESIDE:
        if (file := getattr(arguments, name, None)) is not None:
            _save(file, content(name))


def _save(file: str, text: str) -> None:
    from iptsim.saving import save

    save(file, text.encode("utf-8", "backslashreplace"))
