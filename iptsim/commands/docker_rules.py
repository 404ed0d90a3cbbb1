"""`iptsim docker-rules`: the rules that dockerd writes for its settings, printed like iptables-save or nft."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from iptsim.commands.changes import add_docker_changes
from iptsim.commands.common import ANSWERED, add_command, add_source, open_source
from iptsim.errors import printable
from iptsim.languages import message, say

_EPILOG = message(
    "SOURCE may also be a daemon.json, a file with DOCKER_OPTS, the output of `docker inspect`,\n"
    "a Compose file, or commands of docker."
)


def add(commands: Any) -> None:
    """Add the command."""
    text = say("print the rules that dockerd writes for its settings, as iptables-save or nft prints them")
    parser = add_command(
        commands,
        "docker-rules",
        run,
        text,
        epilog=str(_EPILOG),
        examples=(
            "daemon.json",
            "capture.tar.gz --icc=false --engine 28",
        ),
    )
    add_source(parser)
    parser.add_argument(
        "-6",
        dest="family",
        action="store_const",
        const=6,
        default=4,
        help=say("print the IPv6 rules"),
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        help=say("print all rules of the source, with Docker's rules regenerated in place"),
    )
    add_docker_changes(parser)
    parser.set_defaults(changes=[])


def run(arguments: argparse.Namespace) -> int:
    """Print the rules and return the exit status."""
    from iptsim.addresses import FAMILIES
    from iptsim.docker.dockerd.rulesets import nft_table, rules_for
    from iptsim.docker.sources.files import settings_of_file
    from iptsim.docker.sources.flag_changes import changed
    from iptsim.docker.sources.host import docker_host
    from iptsim.dump.writer import dumps
    from iptsim.errors import UsageError

    host = None
    before = None if arguments.extra or arguments.noflush else settings_of_file(arguments.source)
    if before is None:
        host = open_source(arguments)
        before = docker_host(host)
        if host.daemon is None and not any(map(before.protects, FAMILIES)):
            raise UsageError(
                message(
                    "{source} has no trace of Docker; give a daemon.json or a Compose file",
                    source=arguments.source,
                )
            )
    docker = changed(before, arguments.changes)
    if docker.daemon.refusal is not None:
        raise UsageError(docker.daemon.refusal)
    if docker.uses_nftables and not arguments.in_place:
        return _print(nft_table(docker, arguments.family), arguments.family)
    base = None
    if arguments.in_place:
        base = host.rulesets.get(arguments.family) if host is not None else None
        if base is None:
            raise UsageError(
                message(
                    "--in-place requires IPv{family} rules; {source} has none",
                    family=arguments.family,
                    source=arguments.source,
                )
            )
    text = dumps(rules_for(docker, arguments.family, base=base, before=before))
    return _print(text, arguments.family)


def _print(text: str, family: int) -> int:
    if not text:
        print(f"iptsim: with these settings dockerd writes no IPv{family} rules", file=sys.stderr)
    # rules of others may contain control characters: a terminal gets them escaped, a file unchanged
    sys.stdout.write("\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text)
    return ANSWERED
