"""`iptsim whatif`: what becomes of a packet when something is changed, and why."""

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
)

_EPILOG = (
    "Changes are made one after the other, in the order in which they are given. Docker's rules are made\n"
    "new for its new settings, as if the host had been booted with them; all other rules stay.\n"
    "Without --from and --to: what has another verdict, of all that containers can ask of each other."
)


def add(commands: Any) -> None:
    """Add the command."""
    text = "say what becomes of a packet when something is changed, and why"
    parser = add_command(commands, "whatif", run, text, epilog=_EPILOG)
    add_source(parser)
    add_question(parser)
    add_docker_changes(parser)
    add_host_changes(parser)
    add_plain(parser)
    add_teach(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(verbose=False)


def run(arguments: argparse.Namespace) -> int:
    """Compare what becomes of the packet, or of all that can be asked, before and after the changes."""
    from iptsim.alternatives import what_if
    from iptsim.fields import make_question

    fields = question_fields(arguments)
    question = make_question(fields) if asks_about_packet(fields) else None
    answer = what_if(open_source(arguments), arguments.changes, question, family=fields.get("family", 4))
    if arguments.json:
        print_json(answer.as_json(teach=arguments.teach))
    else:
        from iptsim.render.whatif import print_what_if

        console = output(arguments)
        print_what_if(answer, console)
        if arguments.teach:
            from iptsim.render.teaching import print_words

            print_words(answer.words(), console)
    return ANSWERED
