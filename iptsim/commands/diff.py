"""`iptsim diff`: which packets two hosts, or one host before and after a change, treat differently."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from iptsim.commands.changes import add_docker_changes, add_host_changes, read_change
from iptsim.commands.common import (
    ANSWERED,
    BAD,
    DIFFERS,
    add_command,
    add_plain,
    add_source,
    complain_of,
    open_source,
    output,
    print_json,
)
from iptsim.commands.formats import add_formats, written
from iptsim.commands.many import add_many, reading_options, summarise, wants_summary
from iptsim.commands.pairs import Pairs, pairs_of
from iptsim.errors import IptsimError, printable
from iptsim.languages import message, say

if TYPE_CHECKING:
    from iptsim.addresses import Family
    from iptsim.docker.sources.flag_changes import Change
    from iptsim.fleet import HostResult
    from iptsim.render.diff import Diff

_EPILOG = message(
    'All packets are compared, not samples: "no packet is treated differently" is a proof. With one SOURCE, name\n'
    "changes: iptsim diff SOURCE --whatif icc=false, or the options below, such as --engine 28 for what an\n"
    "upgrade of Docker changes. For a single packet, use iptsim whatif.\n"
    "Many hosts: two directories are compared host by host, by name; with --against BASELINE, or with changes, each\n"
    "SOURCE is compared.\n"
    "Exit status: 0 no packet is treated differently, 1 some are, 2 bad usage or input."
)


def add(commands: Any) -> None:
    """Add the command."""
    text = say("show which packets two hosts, or a host before and after a change, treat differently")
    parser = add_command(
        commands,
        "diff",
        run,
        text,
        epilog=str(_EPILOG),
        examples=(
            "before.txt after.txt",
            "capture.tar.gz --whatif icc=false",
        ),
    )
    add_source(parser, several=True)
    parser.add_argument(
        "--whatif",
        nargs="*",
        metavar="NAME=VALUE",
        help=say(
            "compare SOURCE with itself after changes: the names of the options below, such as icc=false"
        ),
    )
    parser.add_argument(
        "--against",
        metavar="BASELINE",
        help=say("compare each SOURCE with this one, taken as the host before the change"),
    )
    parser.add_argument(
        "-6", dest="family", action="store_const", const=6, default=4, help=say("change the IPv6 rules")
    )
    add_plain(parser)
    add_formats(parser, "text", "json", "markdown", "csv", "html")
    add_many(
        parser,
        say("print a summary over all hosts: how packets are treated differently on how many, and outliers"),
        engine="--cluster",
    )
    add_docker_changes(parser)
    add_host_changes(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print what differs."""
    changes = [*map(read_change, arguments.whatif or ()), *arguments.changes]
    pairs = pairs_of(arguments.source, arguments.against, changed=bool(changes))
    with written(arguments):
        if wants_summary(arguments):
            work = partial(
                differences_of,
                pairs=pairs.absolute(),
                changes=changes,
                family=arguments.family,
                options=reading_options(arguments),
            )
            return summarise(arguments, work, pairs.sources)
        return _diff_all(arguments, pairs, changes)


def differences_of(
    source: str, pairs: Pairs, changes: list[Change], family: Family, options: dict[str, Any]
) -> HostResult:
    """Return how packets are treated differently on one host, as "internet → web: ACCEPT → DROP", and its rules."""
    from iptsim.alternatives import change_host
    from iptsim.diff.comparing import compare
    from iptsim.fleet import result_of
    from iptsim.render.hosts import difference_labels
    from iptsim.sources import load_host

    before = load_host(pairs.before(source), **options)
    after = change_host(before, changes, family) if changes else load_host(source, **options)
    return result_of(source, after, tuple(difference_labels(compare(before, after))))


def _diff_all(arguments: argparse.Namespace, pairs: Pairs, changes: list[Change]) -> int:
    found: list[Diff] = []
    failed = False
    console = output(arguments) if arguments.format == "text" else None
    for source in pairs.sources:
        try:
            diff = _diff(arguments, pairs.before(source), source, changes)
        except IptsimError as error:
            if not pairs.many:
                raise
            failed = True
            complain_of(arguments, source, str(error), f"{source}: {error}")
            continue
        found.append(diff)
        if console is not None:
            if pairs.many:
                console.print(f"== {printable(source)}", markup=False, highlight=False)
            for line in diff.lines():
                console.show(line)
        elif arguments.format == "json":
            print_json(diff.as_json())
    if arguments.format in ("markdown", "csv", "html"):
        sys.stdout.write(_as_whole(arguments.format, found))
    return BAD if failed else ANSWERED if all(one.comparison.is_same for one in found) else DIFFERS


def _diff(arguments: argparse.Namespace, before_name: str, name: str, changes: list[Change]) -> Diff:
    from iptsim.alternatives import change_host
    from iptsim.diff.comparing import compare
    from iptsim.render.diff import Diff

    before = open_source(arguments, before_name)
    after = change_host(before, changes, arguments.family) if changes else open_source(arguments, name)
    return Diff(compare(before, after), (before_name, name), changes)


def _as_whole(name: str, found: list[Diff]) -> str:
    from iptsim.render.sheets import comma_separated, markdown, page

    sheets = [diff.sheet() for diff in found]
    if name == "csv":
        return comma_separated(sheets)
    return "\n".join(map(markdown, sheets)) if name == "markdown" else page(sheets, say("Diff"))
