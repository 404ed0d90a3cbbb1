"""Many sources at once: finding them, and the summary over all of them."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import ANSWERED, BAD, DIFFERS, output, print_json
from iptsim.commands.working import each
from iptsim.errors import CaptureError, UsageError
from iptsim.languages import message, say

if TYPE_CHECKING:
    from iptsim.fleet import HostResult

#: The formats of a summary over many sources.
_FORMATS = ("text", "json", "markdown", "csv", "html")


def add_many(parser: Any, summary: str, *, engine: str = "--engine") -> None:
    """Add the options for many sources.

    Args:
        summary: what `--summary` prints.
        engine: the option for the engine, if `--engine` means Docker's.
    """
    group = parser.add_argument_group(
        say("many sources"),
        say(
            "SOURCE may also be a pattern ('hosts/*.txt'), a directory of dumps and captures, or @FILE, "
            "a file with a source on each line."
        ),
    )
    group.add_argument("--summary", action="store_true", help=summary)
    group.add_argument(
        "--parquet", metavar="FILE", help=say("write a row for each source to this Parquet file")
    )
    group.add_argument(
        "--jobs", metavar="N", type=int, default=0,
        help=say("processes for --summary and --parquet (default: one per processor)"),
    )  # fmt: skip
    group.add_argument(
        engine, dest="work_engine", metavar="dask[=ADDRESS]", default="",
        help=say("do the work of --summary and --parquet on a Dask cluster (default: processes of this machine)"),
    )  # fmt: skip


def wants_summary(arguments: argparse.Namespace) -> bool:
    """Return whether a summary over all sources is wanted instead of an answer for each.

    Raises:
        UsageError: there are options that only make sense with it.
    """
    if arguments.summary or arguments.parquet:
        return True
    if arguments.work_engine or arguments.jobs:
        raise UsageError(message("--jobs and a Dask cluster require --summary or --parquet"))
    return False


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options for :func:`iptsim.sources.load_host`, with absolute paths for remote workers."""

    def place(name: str | None) -> str | None:
        return os.path.abspath(name) if arguments.work_engine and name and os.path.exists(name) else name

    return {
        "strict": arguments.strict,
        "extra": [place(name) for name in arguments.extra],
        "docker_inspect": place(arguments.docker_inspect),
        "noflush": place(arguments.noflush),
    }


def summarise(
    arguments: argparse.Namespace,
    work: Callable[[str], HostResult],
    sources: list[str],
    *,
    found: int = DIFFERS,
) -> int:
    """Run a function on each source, and print the summary over all.

    Args:
        arguments: the arguments of the command.
        work: returns what was found in a source; see :func:`iptsim.commands.working.each`.
        sources: the sources; those of hosts that differ are read again for their rules.
        found: the exit status if anything was found.

    Returns:
        The exit status: 2 if a source could not be read, else `found` if anything was, else 0.

    Raises:
        UsageError: the format is not one of a summary, or a file cannot be written; the summary was printed.
    """
    from iptsim.fleet import HostResult, group_of, summary_of
    from iptsim.sources import load_host

    if arguments.format not in _FORMATS:
        raise UsageError(
            message("--summary: unknown format {name!r}; choose from: {choices}", name=arguments.format,
                    choices=", ".join(_FORMATS))
        )  # fmt: skip
    if arguments.parquet:
        _check_parquet(arguments.parquet)
    hosts = []
    for one in each(sources, work, arguments.jobs, arguments.work_engine):
        host = one.value or HostResult(one.source, error=one.error)
        host.source = one.source
        hosts.append(host)
    options = reading_options(arguments)
    summary = summary_of(hosts, lambda name: load_host(name, **options))
    rows = [
        {"source": one.source, "group": group_of(one.source), "rules": one.count, "findings": list(one.findings),
         "error": one.error or None, "cut_off": one.cut_off, "warnings": list(one.warnings)}
        for one in hosts
    ]  # fmt: skip
    if arguments.summary or not arguments.parquet:
        _print(arguments, summary, rows)
        sys.stdout.flush()
    if arguments.parquet:
        from iptsim.flows.sinks import save_rows

        outliers = {one["source"] for one in summary["outliers"]}
        try:
            save_rows(arguments.parquet, [{**row, "differs": row["source"] in outliers} for row in rows])
        except UsageError:
            if not arguments.summary:
                _print(arguments, summary, rows)  # the work is not lost
            raise
    return BAD if summary["errors"] else found if summary["findings"] else ANSWERED


def _check_parquet(name: str) -> None:
    """Check before the work that a Parquet file can be written.

    Raises:
        UsageError: its folder does not exist, or the extra is not installed.
    """
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise UsageError(message("--parquet requires pyarrow: pip install 'iptsim[flows]'"))
    folder = Path(name).absolute().parent
    if not folder.is_dir():
        raise UsageError(message("{path}: no such directory", path=str(folder)))


def _print(arguments: argparse.Namespace, summary: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    from iptsim.render.hosts import hosts_lines, hosts_sheets
    from iptsim.render.sheets import comma_separated, markdown, page

    if arguments.format == "json":
        print_json({**summary, "results": rows})
    elif arguments.format == "text":
        console = output(arguments)
        for line in hosts_lines(summary, rows):
            console.show(line)
    else:
        sheets = hosts_sheets(summary, rows)
        if arguments.format == "markdown":
            sys.stdout.write("\n".join(map(markdown, sheets)))
        else:
            sys.stdout.write(
                page(sheets, say("Hosts")) if arguments.format == "html" else comma_separated(sheets[-1:])
            )


def sources_of(given: Iterable[str]) -> list[str]:
    """Return the sources that the words of a command line represent.

    A pattern such as `hosts/*.txt` means all matching files, `@FILE` the sources in the lines of a file, and a
    directory that is not a capture the captures, archives and dumps in it.

    Raises:
        UsageError: a pattern matches no file, or a directory or a list is empty.
        CaptureError: a list cannot be read.
    """
    return [source for word in given for source in _meant(word)]


def _meant(word: str) -> list[str]:
    if word.startswith("@") and not os.path.exists(word):
        return _listed(word[1:])
    if any(mark in word for mark in "*?[") and not os.path.exists(word):
        found = sorted(glob.glob(word, recursive=True))
        if not found:
            raise UsageError(message("{word}: no file matches this pattern", word=word))
        return found
    path = Path(word)
    if os.path.isdir(path) and not is_capture(path):
        try:
            inside = inside_of(path)
        except CaptureError:
            return [word]  # the error is that of this source, not of the others
        if any(os.path.isdir(one) and is_capture(one) for one in inside) or len(inside) > 1:
            return [str(one) for one in inside]
    return [word]


def _listed(name: str) -> list[str]:
    from iptsim.reading import read_file

    lines = read_file(name).decode("utf-8", "surrogateescape").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise UsageError(message("{name}: the list is empty", name=name))
    folder = Path(name).parent
    return [one if os.path.isabs(one) or one == "-" else str(folder / one) for one in found]


def is_capture(folder: Path) -> bool:
    """Return whether a directory is the capture of one host."""
    from iptsim.host.files import FILES

    # an unreadable directory is not expanded: reading it raises the error
    return any(os.path.exists(folder / name) for name in FILES)


def inside_of(folder: Path) -> list[Path]:
    """Return what is in a directory, in the order of the names, except what is hidden.

    Raises:
        CaptureError: it cannot be read.
    """
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        from iptsim.reading import fault_of

        raise CaptureError(message("{path}: {error}", path=str(folder), error=fault_of(error))) from None
