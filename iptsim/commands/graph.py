"""`iptsim graph`: which chain leads where, or how the host is wired; with a packet's path if asked."""

from __future__ import annotations

import argparse
import sys
import warnings
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    add_command,
    add_question,
    add_source,
    answer,
    asks_about_packet,
    open_source,
    question_fields,
    rules_of,
)
from iptsim.errors import UsageError
from iptsim.languages import message, say

if TYPE_CHECKING:
    from iptsim.explanation import Explanation
    from iptsim.host import Host

#: The formats of a picture, as :data:`iptsim.pictures.picture.FORMATS` has them.
FORMATS = ("text", "svg", "png", "html", "mermaid", "dot")


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "graph",
        run,
        say("draw which chain leads where, or how the host is wired"),
        epilog=say(
            "With --from and --to, the packet's path is highlighted. Without -o, a plain-text tree is printed.\n"
            ".png, and .svg and .html of the chains, need an extra: pip install 'iptsim[pictures]'"
        ),
        examples=(
            "rules.txt --from 198.51.100.7 --to host:22 -o path.svg",
            "capture.tar.gz --topology -o network.svg",
        ),
    )
    add_source(parser)
    parser.add_argument("-t", "--table", metavar="TABLE", help=say("only this table"))
    parser.add_argument(
        "--topology",
        action="store_true",
        help=say("draw namespaces, veth pairs, bridges and NAT instead of chains"),
    )
    parser.add_argument(
        "--counters", action="store_true", help=say("scale line width by the packet counters")
    )
    parser.add_argument(
        "--only-path", action="store_true", help=say("draw only the chains on the packet's path")
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help=say("{formats} (default: by the name of the file, else text)", formats=", ".join(FORMATS)),
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        default="-",
        help=say("write to FILE: .svg .png .html .mmd (Mermaid) .dot .txt; - for standard output"),
    )
    add_question(parser)
    parser.set_defaults(verbose=False)


def run(arguments: argparse.Namespace) -> int:
    """Draw the graph."""
    from iptsim.netfilter.nft_program import with_nftables
    from iptsim.pictures import chains_picture, topology_picture

    if arguments.topology and (arguments.table is not None or arguments.counters):
        raise UsageError(message("-t and --counters cannot be used with --topology"))
    fields = question_fields(arguments)
    if arguments.only_path and (arguments.topology or not asks_about_packet(fields)):
        raise UsageError(
            message(
                "--only-path requires a packet, such as --from client --to web:80, and cannot be used with --topology"
            )
        )
    host = open_source(arguments)
    explanation = _answer(host, arguments, fields)
    family = explanation.trace.legs[0].packet.family if explanation else arguments.family or 4
    if arguments.topology:
        picture = topology_picture(host, explanation, family=family)
    else:
        ruleset = rules_of(host, arguments, family)
        if arguments.table is None:
            ruleset = with_nftables(ruleset, host.namespace)
        picture = chains_picture(
            ruleset,
            arguments.table,
            explanation=explanation,
            counters=arguments.counters,
            only_path=arguments.only_path,
        )
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        picture.save(arguments.output, arguments.format)
    for warning in found:
        print(f"iptsim: warning: {warning.message}", file=sys.stderr)
    return ANSWERED


def _answer(host: Host, arguments: argparse.Namespace, fields: dict[str, Any]) -> Explanation | None:
    """Answer the question, if there is one."""
    if not asks_about_packet(fields):
        if fields.keys() - {"family"}:
            raise UsageError(message("a question about a packet requires --from or --to"))
        return None
    return answer(host, arguments, fields)
