"""`iptsim whatif`: what happens to a packet after a change, and why."""

from __future__ import annotations

import argparse
from typing import Any

from iptsim.commands.changes import add_docker_changes, add_host_changes
from iptsim.commands.common import (
    ANSWERED,
    add_command,
    add_plain,
    add_question,
    add_source,
    add_teach,
    asks_about_packet,
    open_source,
    output,
    print_json,
    question_fields,
    question_of,
)
from iptsim.languages import message, say

_EPILOG = message(
    "Changes are applied in the order given. Docker's rules are regenerated for its new settings, as if the\n"
    "host had booted with them; all other rules stay. Without --from and --to, the command checks\n"
    "all endpoints against each other and lists the connections whose verdict changes."
)


def add(commands: Any) -> None:
    """Add the command."""
    text = say("explain what a change would do to a packet, and why")
    parser = add_command(
        commands,
        "whatif",
        run,
        text,
        epilog=str(_EPILOG),
        examples=(
            "capture.tar.gz --icc=false",
            "capture.tar.gz --link client:web --from client --to web:80",
            "rules.txt --insert 'INPUT -p tcp --dport 22 -j ACCEPT'",
            "rules.txt --delete FORWARD 3",
        ),
    )
    add_source(parser)
    add_question(parser)
    add_docker_changes(parser)
    add_host_changes(parser)
    add_plain(parser)
    add_teach(parser)
    parser.add_argument("--json", action="store_true", help=say("print JSON"))
    parser.set_defaults(verbose=False)


def run(arguments: argparse.Namespace) -> int:
    """Compare what happens to the packet, or to all checked connections, before and after the changes."""
    from iptsim.alternatives import what_if

    fields = question_fields(arguments)
    question = question_of(arguments, fields) if asks_about_packet(fields) else None
    answer = what_if(open_source(arguments), arguments.changes, question, family=fields.get("family", 4))
    if arguments.json:
        print_json(answer.as_json(teach=arguments.teach))
    else:
        from iptsim.render.whatif import print_what_if

        console = output(arguments)
        print_what_if(answer, console)
        if arguments.teach:
            from iptsim.render.glossary import print_terms

            print_terms(answer.words(), console)
    return ANSWERED
