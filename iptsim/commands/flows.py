"""`iptsim flows`: what the rules would have done with the traffic in a log."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from functools import cache
from typing import Any

from iptsim.commands.common import (
    ANSWERED,
    DIFFERS,
    add_command,
    add_source,
    open_source,
    output,
    print_json,
)
from iptsim.errors import UsageError
from iptsim.languages import message, say, say_many

#: The libraries of the extra `flows`.
_NEEDED = ("numpy", "pyarrow")


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "flows",
        run,
        say("show what the rules would have done with the traffic in logs"),
        epilog=say(
            "Logs: JSON lines and CSV with the fields of a batch line, Parquet, pcap and pcapng, conntrack -L and -E,\n"
            "the kernel's log (LOG, ufw, TRACE), AWS VPC flow logs, Zeek's conn.log, nfdump -o csv; also in gzip.\n"
            "Each record is a new connection, unless its own fields say otherwise.\n"
            "Exit status: 1 if --against finds a difference, 2 if something cannot be read, else 0."
        ),
        examples=(
            "rules.txt kern.log",
            "before.txt kern.log --against after.txt",
        ),
    )
    add_source(parser)
    parser.add_argument("log", nargs="+", metavar="LOG", help=say("a log, or - for standard input"))
    parser.add_argument(
        "-o", dest="output", metavar="FILE",
        help=say("write a result for each record: FILE.parquet (a directory), FILE.csv, FILE.jsonl; - for JSON lines"),
    )  # fmt: skip
    parser.add_argument(
        "--against",
        metavar="OTHER",
        help=say("compare with another source: only records whose result differs"),
    )
    parser.add_argument(
        "--summary", action="store_true", help=say("print the summary, which is the default without -o")
    )
    parser.add_argument("--json", action="store_true", help=say("print the summary as JSON"))
    parser.add_argument(
        "--columns", metavar="FIELD=COLUMN,...", default="",
        help=say("the columns of a CSV, JSON or Parquet log: src=SourceIP,dst=DestIP,dport=DestPort"),
    )  # fmt: skip
    parser.add_argument(
        "--resume",
        action="store_true",
        help=say("continue where an interrupted run with the same arguments stopped"),
    )
    parser.add_argument(
        "--engine", metavar="ENGINE", default="",
        help=say("processes[=N] on this machine, or dask[=ADDRESS] on a Dask cluster (default: this process)"),
    )  # fmt: skip
    parser.set_defaults(plain=False)


def run(arguments: argparse.Namespace) -> int:
    """Decide about the records of the logs."""
    _check(arguments)
    from iptsim.flows.against import Differences
    from iptsim.flows.engines import engine_of
    from iptsim.flows.logs import lines_of_host
    from iptsim.flows.running import Logs, Output, run
    from iptsim.flows.summary import Summary
    from iptsim.progress import tracked

    logged = cache(lambda: {name: text for name in arguments.log if (text := lines_of_host(name))})
    hosts = [open_source(arguments, logged=logged)]
    differences = None
    if arguments.against is not None:
        hosts.append(open_source(arguments, arguments.against, logged=logged))
        differences = Differences()
    logs, summary = Logs(arguments.log, _columns(arguments.columns)), Summary()
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(arguments.engine, hosts))
        result = (
            Output(arguments.output, _about(arguments), resume=arguments.resume) if arguments.output else None
        )
        complete = False
        try:
            for _ in tracked(run(engine, logs, result, summary, differences), "deciding"):
                pass
            complete = True
        finally:
            if result is not None:
                result.close(complete=complete)
                if not complete and result.can_resume and "-" not in arguments.log:
                    print(f"iptsim: {_done(result.done)}", file=sys.stderr)
    if arguments.summary or arguments.json or arguments.output is None:
        found = {"source": arguments.source, "logs": arguments.log, **summary.as_json(hosts[0])}
        if differences is not None:
            found |= {"against": arguments.against, "differences": differences.as_json()}
        _show(arguments, found)
    return DIFFERS if differences is not None and differences.groups else ANSWERED


def _done(records: int) -> str:
    return say_many(
        "{count:,} record is done; the same command with --resume continues",
        "{count:,} records are done; the same command with --resume continues",
        records,
    )


def _show(arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    if arguments.json:
        print_json(found)
        return
    from iptsim.render.flows import difference_lines, summary_lines

    console = output(arguments)
    for line in difference_lines(found) if "differences" in found else summary_lines(found):
        console.show(line)


def _check(arguments: argparse.Namespace) -> None:
    """Check what needs no log.

    Raises:
        UsageError: the extra is not installed, or options do not fit together.
    """
    from importlib.util import find_spec

    for name in _NEEDED:
        if find_spec(name) is None:
            raise UsageError(message("flows requires {name}: pip install 'iptsim[flows]'", name=name))
    if arguments.resume and arguments.output in (None, "-"):
        raise UsageError(message("--resume requires -o FILE"))
    if [arguments.source, arguments.against, *arguments.log].count("-") > 1:
        raise UsageError(message("only one of SOURCE, OTHER and LOG can be standard input"))
    for name in (arguments.source, arguments.against, *arguments.log):
        if (
            name not in (None, "-")
            and arguments.output not in (None, "-")
            and _is_same(name, arguments.output)
        ):
            raise UsageError(message("{name} is an input; choose another file for -o", name=name))
    if arguments.resume and "-" in arguments.log:
        raise UsageError(message("--resume does not work with standard input"))


def _is_same(one: str, other: str) -> bool:
    """Return whether both names are of the same file."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _columns(text: str) -> dict[str, str]:
    """Read `--columns`.

    Raises:
        UsageError: a part is not FIELD=COLUMN, or there is no such field.
    """
    from iptsim.flows.formats.tables import field_names

    found = {}
    for part in filter(None, text.split(",")):
        name, sign, column = part.partition("=")
        if not sign or not column:
            raise UsageError(message("--columns {part!r}: not FIELD=COLUMN", part=part))
        known = field_names() - {"error"}
        if name not in known:
            raise UsageError(
                message("--columns: unknown field {name!r}; choose from: {choices}", name=name,
                        choices=", ".join(sorted(known)))
            )  # fmt: skip
        found[name] = column
    return found


def _about(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what identifies a run: it is resumed only by one with the same."""
    return {
        name: getattr(arguments, name)
        for name in ("source", "log", "against", "columns", "extra", "docker_inspect", "noflush", "strict")
    }
