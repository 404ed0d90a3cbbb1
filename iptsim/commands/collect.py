"""`iptsim collect`: the script that captures a host."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from iptsim.commands.common import ANSWERED, add_command


def add(commands: Any) -> None:
    """Add the command."""
    add_command(
        commands,
        "collect",
        run,
        "print the shell script that captures a host",
        epilog="Run it on the host as root: sh collect.sh. It only reads, and leaves a .tar.gz to give as SOURCE.",
    )


def run(_: argparse.Namespace) -> int:
    """Print the script."""
    from iptsim.host.collect import script

    sys.stdout.write(script())
    return ANSWERED
