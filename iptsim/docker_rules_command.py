"""`iptsim docker-rules`: the rules that dockerd writes for its settings, printed like iptables-save."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

#: Options that change a setting, their value, and what they say.
SWITCHES = {
    "icc": "containers on the default bridge may talk to each other",
    "iptables": "dockerd writes rules",
    "ip6tables": "dockerd writes rules for IPv6",
    "ip-forward": "dockerd turns forwarding on",
    "ip-forward-no-drop": "and leaves the policy of FORWARD alone",
    "ip-masq": "packets that leave the default bridge get the host's address",
    "userland-proxy": "docker-proxy answers for published ports",
    "allow-direct-routing": "other hosts may send to containers' own addresses",
}
VALUES = {
    "ip": ("ADDRESS", "default host address of published ports on the default bridge"),
    "network-icc": ("NETWORK=true|false", "its containers may talk to each other"),
    "network-masquerade": ("NETWORK=true|false", "packets that leave it get the host's address"),
    "internal": ("NETWORK[=true|false]", "it has no way out"),
    "gateway-mode": ("NETWORK=MODE", "nat, nat-unprotected, routed or isolated"),
    "publish": ("CONTAINER:[ADDRESS:]HOST_PORT:PORT[/PROTO]", "publish a port"),
    "unpublish": ("CONTAINER[:PORT[/PROTO]]", "publish it no more"),
    "expose": ("CONTAINER:PORT[/PROTO]", "expose a port, for links"),
    "link": ("CLIENT:SERVER[:ALIAS]", "let CLIENT reach the exposed ports of SERVER"),
    "unlink": ("CLIENT:SERVER", "take the link away"),
    "connect": ("CONTAINER:NETWORK[:ADDRESS]", "connect a container to a network"),
    "disconnect": ("CONTAINER:NETWORK", "disconnect it"),
    "remove": ("CONTAINER", "stop a container"),
}


EPILOG = (
    "SOURCE may also be a daemon.json, a file with DOCKER_OPTS, the output of `docker inspect`,\n"
    "or a Compose file."
)


class _Collect(argparse.Action):
    """Keeps the changes in the order in which they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        changes = [*(getattr(namespace, "changes", None) or []), (self.metavar_name, str(values))]
        namespace.changes = changes

    @property
    def metavar_name(self) -> str:
        """The change's name: the option without its dashes."""
        return self.option_strings[0].removeprefix("--")


def add_changes(parser: Any) -> None:
    """Add the options that change Docker's settings; they end up in `changes`, in their order."""
    group = parser.add_argument_group("changes to Docker's settings")
    for name, text in SWITCHES.items():
        group.add_argument(
            f"--{name}",
            action=_Collect,
            dest="changes",
            nargs="?",
            const="true",
            metavar="true|false",
            help=text,
        )
    for name, (value, text) in VALUES.items():
        group.add_argument(f"--{name}", action=_Collect, dest="changes", metavar=value, help=text)
    group.add_argument(
        "--engine", action=_Collect, dest="changes", choices=["20.10", "26", "28", "29"],
        help="write the rules as this engine does (26: 23 to 27)",
    )  # fmt: skip


def add_command(parser: Any) -> None:
    """Add the arguments of `docker-rules` but for the source."""
    parser.add_argument(
        "-6",
        dest="family",
        action="store_const",
        const=6,
        default=4,
        help="the IPv6 rules, like ip6tables-save",
    )
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="print everybody's rules, with Docker's made new where dockerd puts them",
    )
    add_changes(parser)
    parser.set_defaults(changes=[])


def run(arguments: argparse.Namespace) -> int:
    """Print the rules and return the exit status."""
    from iptsim.docker.changes import changed
    from iptsim.docker.rules import rules_for
    from iptsim.docker.sources import read_settings
    from iptsim.dump.writer import dumps
    from iptsim.errors import UsageError, printable

    settings = read_settings(
        arguments.source, lenient=arguments.lenient, docker_inspect=arguments.docker_inspect
    )
    if settings.host is not None:
        for ruleset in settings.host.rulesets.values():
            for warning in ruleset.warnings:
                print(f"iptsim: warning: {printable(warning)}", file=sys.stderr)
        if settings.host.daemon is None and not any(settings.docker.filters(family) for family in (4, 6)):
            raise UsageError(
                f"{arguments.source} shows nothing of Docker; give a daemon.json or a Compose file"
            )
    docker = changed(settings.docker, arguments.changes)
    base = None
    if arguments.in_place:
        base = settings.host.rulesets.get(arguments.family) if settings.host is not None else None
        if base is None:
            raise UsageError(
                f"{arguments.source} holds no rules for IPv{arguments.family} to put Docker's into"
            )
    sys.stdout.write(dumps(rules_for(docker, arguments.family, base=base, before=settings.docker)))
    return 0
