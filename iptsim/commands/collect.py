"""`iptsim collect`: the script that captures a host."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from iptsim.commands.common import ANSWERED, add_command
from iptsim.languages import say


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "collect",
        run,
        say("print the shell script that captures a host"),
        epilog=say(
            "Run it as root on the host: sh collect.sh. It only reads, and writes a .tar.gz to use as SOURCE."
        ),
        examples=("> collect.sh",),
    )
    parser.add_argument(
        "--redact",
        action="store_true",
        help=say("replace addresses, names and MACs on the host, which needs Python there"),
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from iptsim.host.collect import script

    sys.stdout.write(script(redact=arguments.redact))
    return ANSWERED
