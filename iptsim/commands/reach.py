"""`iptsim reach`: who can reach what, for all packets at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iptsim.commands.common import (
    ANSWERED,
    BAD,
    add_command,
    add_plain,
    add_source,
    complain_of,
    one_by_one,
    open_source,
    output,
    print_json,
    rules_of,
)
from iptsim.commands.formats import add_formats, needs_all, written
from iptsim.commands.many import add_many, reading_options, sources_of, summarise, wants_summary
from iptsim.errors import IptsimError, UsageError, printable
from iptsim.languages import Message, message, say

if TYPE_CHECKING:
    from iptsim.addresses import Family
    from iptsim.fleet import HostResult
    from iptsim.host import Host
    from iptsim.pictures.drawing import Drawing
    from iptsim.reaching import Reaching
    from iptsim.render.sheets import Sheet
    from iptsim.sets.classes import AddressClasses


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "reach",
        run,
        say("show who can reach what: all packets, all ports"),
        epilog=say(
            "ENDPOINT is a container, host, internet, an IP address or prefix, a Docker network, or an interface of\n"
            "the host; as destination also svc/NAME and nodeport/N. Without --from and --to, the command shows what\n"
            "is open from the internet, then what each endpoint can reach. Every line comes with a packet\n"
            "that shows it."
        ),
        examples=(
            "rules.txt --open",
            "capture.tar.gz --from internet --to web -p tcp",
        ),
    )
    add_source(parser, several=True)
    ask = parser.add_argument_group(say("the packets"))
    ask.add_argument("--from", dest="sender", metavar="ENDPOINT", help=say("source (default: anywhere)"))
    ask.add_argument("--to", metavar="ENDPOINT[:PORT]", help=say("destination (default: anywhere)"))
    ask.add_argument(
        "-p", "--proto", metavar="PROTO", help=say("only this protocol: tcp, udp, icmp ..., or a number")
    )
    ask.add_argument(
        "--dport", metavar="PORTS", help=say("only these destination ports: 80, http, 8000-8080, 80,443")
    )
    ask.add_argument(
        "--state",
        metavar="STATE",
        default="new",
        help=say("connection state: new (default), established, related, invalid, untracked"),
    )
    ask.add_argument("-6", dest="family", action="store_const", const=6, help=say("use IPv6"))
    ask.add_argument("--open", action="store_true", help=say("show only what gets in"))
    groups = parser.add_argument_group(say("groups of addresses"))
    groups.add_argument(
        "--classes",
        action="store_true",
        help=say(
            "group the addresses that one chain treats alike for a new connection, and show which reach which"
        ),
    )
    groups.add_argument(
        "--chain",
        metavar="[TABLE:]CHAIN",
        help=say("this chain (default: filter:FORWARD)"),
    )
    groups.add_argument(
        "--unknown",
        choices=("accept", "deny"),
        metavar="accept|deny",
        help=say("how to treat undecided matches: accept (default) or deny"),
    )
    add_plain(parser)
    add_formats(parser, "text", "json", "markdown", "csv", "html", "mermaid")
    add_many(
        parser,
        say("print a summary over all sources: what is open on how many hosts, and hosts that differ"),
    )


def run(arguments: argparse.Namespace) -> int:
    """Answer for each source."""
    _check_classes(arguments)
    arguments.source = sources_of(arguments.source)
    with written(arguments):
        if wants_summary(arguments):
            return _summarise(arguments)
        return _reach_all(arguments)


def _check_classes(arguments: argparse.Namespace) -> None:
    """Check the options of `--classes`, and those that it does not have, and fill in their defaults."""
    if arguments.classes:
        others = {
            "--from": arguments.sender,
            "--to": arguments.to,
            "--state": arguments.state != "new",
            "--open": arguments.open,
            "--summary": wants_summary(arguments),
        }
        for option, given in others.items():
            if given:
                raise UsageError(message("{option} cannot be used with --classes", option=option))
    for option, given in {"--chain": arguments.chain, "--unknown": arguments.unknown}.items():
        if given and not arguments.classes:
            raise UsageError(message("{option} requires --classes", option=option))
    arguments.chain, arguments.unknown = arguments.chain or "FORWARD", arguments.unknown or "accept"


def _summarise(arguments: argparse.Namespace) -> int:
    asked = {
        "to": arguments.to,
        "proto": arguments.proto,
        "dport": arguments.dport,
        "state": arguments.state,
        "family": arguments.family,
    }
    # without ends, what is open from the internet
    sender = arguments.sender or (None if arguments.to else "internet")
    work = partial(opened_of, sender=sender, asked=asked, options=reading_options(arguments))
    return summarise(arguments, work, arguments.source, found=ANSWERED)


def opened_of(source: str, sender: str | None, asked: dict[str, Any], options: dict[str, Any]) -> HostResult:
    """Return what is open on one source, as "internet → web: tcp/8080", and its rules."""
    from iptsim.fleet import result_of
    from iptsim.reaching import reach
    from iptsim.render.hosts import opened_labels
    from iptsim.sources import load_host

    host = load_host(source, **options)
    asked = {**asked, "family": asked["family"] or _only_family(host)}
    return result_of(source, host, tuple(opened_labels(reach(host, sender, **asked))))


def _reach_all(arguments: argparse.Namespace) -> int:
    view: _View[Any] = _CLASSES if arguments.classes else _REACHING
    found: list[tuple[str, Any]] = []
    failed = False
    console = output(arguments) if arguments.format == "text" else None
    for source in one_by_one(arguments.source):
        try:
            answer = view.find(arguments, open_source(arguments, source))
        except IptsimError as error:
            if len(arguments.source) == 1:
                raise
            failed = True
            complain_of(arguments, source, str(error))
            continue
        if needs_all(arguments):
            found.append((source, answer))
        if arguments.format in ("text", "json"):
            _show(arguments, source, answer, view, console)
    if arguments.format not in ("text", "json"):
        sys.stdout.write(_as_whole(arguments, view, found))
    return BAD if failed else ANSWERED


def _show(arguments: argparse.Namespace, source: str, answer: Any, view: _View[Any], console: Any) -> None:
    """Print the answer for one source, headed by its name if there are several sources."""
    is_one_of_several = len(arguments.source) > 1
    if console is None:
        print_json({**answer.as_json(), **({"source": source} if is_one_of_several else {})})
        return
    if is_one_of_several:
        console.print(f"== {printable(source)}", markup=False, highlight=False)
    for line in view.lines(arguments, answer):
        console.show(line)


def _as_whole(arguments: argparse.Namespace, view: _View[Any], found: list[tuple[str, Any]]) -> str:
    """Return the answers for all sources in a format that holds them together."""
    if arguments.format == "mermaid":
        from iptsim.pictures.notations import mermaid

        return "\n".join(mermaid(view.drawing(answer)) for _, answer in found)
    from iptsim.render.sheets import comma_separated, markdown, page

    sheets = [view.sheet(answer, source) for source, answer in found]
    if arguments.format == "markdown":
        return "\n".join(map(markdown, sheets))
    return comma_separated(sheets) if arguments.format == "csv" else page(sheets, str(view.title))


_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class _View(Generic[_Answer]):
    """What the command shows of a source, and how.

    Attributes:
        find: the answer for a host.
        lines / sheet / drawing: the answer as text, as a table, as a picture.
        title: of a page.
    """

    find: Callable[[argparse.Namespace, Host], _Answer]
    lines: Callable[[argparse.Namespace, _Answer], Iterable[Any]]
    sheet: Callable[[_Answer, str], Sheet]
    drawing: Callable[[_Answer], Drawing]
    title: Message


def _only_family(host: Host) -> Family | None:
    """Return 6 for a dump that has only IPv6 rules, so that -6 need not be given."""
    return 6 if host.inferred and [*host.rulesets] == [6] else None


# -- all packets -----------------------------------------------------------------------------------


def _reach(arguments: argparse.Namespace, host: Host) -> Reaching:
    from iptsim.reaching import reach

    answer = reach(
        host,
        arguments.sender,
        arguments.to,
        proto=arguments.proto,
        dport=arguments.dport,
        state=arguments.state,
        family=arguments.family or _only_family(host),
    )
    return answer.opened if arguments.open else answer


def _reach_lines(arguments: argparse.Namespace, answer: Reaching) -> Iterable[Any]:
    from iptsim.render.reach import reach_lines

    return reach_lines(answer)


def _reach_sheet(answer: Reaching, title: str) -> Sheet:
    from iptsim.render.reach import reach_sheet

    return reach_sheet(answer, title)


def _reach_drawing(answer: Reaching) -> Drawing:
    from iptsim.pictures.reaching import reaching_drawing

    return reaching_drawing(answer)


_REACHING = _View(_reach, _reach_lines, _reach_sheet, _reach_drawing, message("Who can reach what"))


# -- groups of addresses ---------------------------------------------------------------------------


def _classes(arguments: argparse.Namespace, host: Host) -> AddressClasses:
    from iptsim.netfilter.program import Program
    from iptsim.reaching.options import check_chain, read_classes
    from iptsim.sets.chains import Chains
    from iptsim.sets.classes import address_classes
    from iptsim.sets.saved_contents import known_contents
    from iptsim.sets.space import Space

    family: Family = arguments.family or 4
    table, chain, proto, port = read_classes(arguments.chain, arguments.proto, arguments.dport, family)
    arguments.table = table
    rules = Program(rules_of(host, arguments, family))
    check_chain(arguments.chain, rules.ruleset, table, chain)
    space = Space(family)
    chains = Chains(space, rules, known=known_contents(space, rules, host))
    return address_classes(chains, table, chain, proto=proto, dport=port, unknown=arguments.unknown)


def _classes_lines(arguments: argparse.Namespace, found: AddressClasses) -> Iterable[Any]:
    from iptsim.render.address_classes import classes_lines

    asked = f"{arguments.proto or 'tcp'}{f'/{arguments.dport}' if arguments.dport else ''}"
    return classes_lines(found, printable(f"{arguments.chain} {asked}"), arguments.unknown)


def _classes_sheet(found: AddressClasses, title: str) -> Sheet:
    from iptsim.render.address_classes import classes_sheet

    return classes_sheet(found, title)


def _classes_drawing(found: AddressClasses) -> Drawing:
    from iptsim.pictures.reaching import classes_drawing

    return classes_drawing(found)


_CLASSES = _View(_classes, _classes_lines, _classes_sheet, _classes_drawing, message("Address classes"))
