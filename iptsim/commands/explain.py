"""`iptsim explain`: what happens to a packet, and why; or to many, one JSON object per line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    add_command,
    add_plain,
    add_question,
    add_source,
    add_teach,
    answer,
    asks_about_packet,
    open_source,
    output,
    print_json,
    question_fields,
)
from iptsim.commands.expecting import assume_listening, expected
from iptsim.languages import say

if TYPE_CHECKING:
    from iptsim.alternatives import Proposal
    from iptsim.host import Host
    from iptsim.render.console import Output
    from iptsim.render.explanation import Level


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "explain",
        run,
        say("explain what happens to a packet, and why"),
        epilog=say(
            "ENDPOINT is a container's name or the start of its ID, container@network, host, localhost,\n"
            "internet (all public addresses), an IP address or a network such as 10.0.0.0/8; as destination also\n"
            "dns, svc/NAME and nodeport/N (Kubernetes). Without --from and --to, the command lists the endpoints\n"
            "you can ask about."
        ),
        examples=(
            "rules.txt",
            "capture.tar.gz --from client --to web:80",
            "rules.txt --from 198.51.100.7 --to host:22 --expect drop",
            "ticket.txt --from internet --to host:8080 --proposals",
        ),
    )
    add_source(parser)
    ask = add_question(parser)
    ask.add_argument(
        "--batch", metavar="FILE", help=say("read questions from a file (or -), one JSON object per line")
    )
    show = parser.add_argument_group(say("the answer"))
    level = show.add_mutually_exclusive_group()
    level.add_argument(
        "-v", "--verbose", action="store_true", help=say("also show the rules that did not match")
    )
    level.add_argument("-q", "--quiet", action="store_true", help=say("show only the verdict"))
    add_plain(show)
    add_teach(show)
    show.add_argument(
        "--json", action="store_true", help=say("print JSON; with --batch, one object per line")
    )
    show.add_argument(
        "--proposals",
        action="store_true",
        help=say("also suggest small changes that would allow the packet, or block it"),
    )
    show.add_argument(
        "--expect",
        metavar="WORD",
        help=say(
            "exit with status 1 unless the answer is WORD: accept, drop, reject, depends, open, refused (no program "
            "listens) or closed (blocked or refused)"
        ),
    )


def run(arguments: argparse.Namespace) -> int:
    """Answer the question, or list the endpoints to ask about."""
    wanted = expectation(arguments)
    if arguments.batch is not None:
        from iptsim.commands.batch import answer_batch

        return answer_batch(arguments, wanted)
    fields = question_fields(arguments)
    host = open_source(arguments)
    own = not asks_about_packet(fields)
    if own:
        if host.pasted is None or not host.pasted.asked:
            return _list_endpoints(arguments, host)
        fields = {**host.pasted.asked[0], **fields}
    explanation = answer(host, arguments, fields)
    if wanted is not None:
        assume_listening(wanted, explanation)
    found: list[Proposal] = []
    if arguments.proposals:
        from iptsim.alternatives import proposals

        found = proposals(host, explanation)
    if arguments.json:
        out = explanation.as_json(verbose=arguments.verbose, teach=arguments.teach)
        if arguments.proposals:
            out["proposals"] = [proposal.as_json() for proposal in found]
        print_json(out)
    elif arguments.quiet and not arguments.proposals:
        print(explanation.verdict)
    else:
        from iptsim.render.explanation import print_explanation

        console = output(arguments)
        level: Level = "quiet" if arguments.quiet else "verbose" if arguments.verbose else "normal"
        print_explanation(explanation, console, level=level)
        if own:
            _show_cause(host, console)
        if arguments.proposals:
            from iptsim.render.whatif import proposals_lines

            for line in proposals_lines(found, explanation):
                console.show(line)
        if arguments.teach:
            from iptsim.render.glossary import print_terms

            print_terms(explanation.words(), console)
    return expected(wanted, explanation)


def expectation(arguments: argparse.Namespace) -> str | None:
    """Return the word given to `--expect`, or None.

    Raises:
        UsageError: the word is unknown.
    """
    if arguments.expect is None:
        return None
    from iptsim.explanation.expectation import check_expectation

    return check_expectation(arguments.expect)


def _list_endpoints(arguments: argparse.Namespace, host: Host) -> int:
    """List the endpoints to ask about."""
    from iptsim.render.endpoints import endpoints_json, endpoints_lines

    if arguments.json:
        print_json(endpoints_json(host))
    else:
        console = output(arguments)
        _show_cause(host, console)
        for line in endpoints_lines(host):
            console.show(line)
    return ANSWERED


def _show_cause(host: Host, console: Output) -> None:
    """Show why the connection of a pasted text failed, if no rule of the host sees it."""
    pasted = host.pasted
    if pasted is None or not (
        pasted.unpublished or pasted.stopped or pasted.engine_errors or pasted.own_loopbacks
    ):
        return
    from iptsim.findings.cause import unseen
    from iptsim.render.findings import cause_line

    cause = unseen(pasted, likely=True)
    if cause is not None:
        console.show(cause_line(cause))
        console.print()
