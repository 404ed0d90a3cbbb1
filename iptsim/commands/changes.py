"""The options that change a host or Docker's settings; they end up in `changes`, in their order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

#: Options that turn a setting of Docker's on or off, and what it does.
_DOCKER_SWITCHES = {
    "icc": "containers on the default bridge may talk to each other",
    "iptables": "dockerd writes rules",
    "ip6tables": "dockerd writes rules for IPv6",
    "ip-forward": "dockerd turns forwarding on",
    "ip-forward-no-drop": "and leaves the policy of FORWARD alone",
    "ip-masq": "packets that leave the default bridge get the host's address",
    "userland-proxy": "docker-proxy answers for published ports",
    "allow-direct-routing": "other hosts may send to containers' own addresses",
}
#: Options that change another setting of Docker's: their value, and what they do.
_DOCKER_VALUES = {
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
#: Options that change the host itself.
_HOST_VALUES = {
    "bridge-nf": ("0|1", "whether iptables sees what bridges switch"),
    "sysctl": ("NAME=VALUE", "set a kernel parameter"),
    "policy": ("'[-t TABLE] CHAIN=POLICY'", "set the policy of a chain: ACCEPT or DROP"),
    "insert": ("'[-t TABLE] CHAIN [N] RULE'", "insert a rule"),
    "append": ("'[-t TABLE] CHAIN RULE'", "append a rule"),
}


class _Collect(argparse.Action):
    """Keeps the changes in the order in which they were given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        text = values if isinstance(values, str) else " ".join(map(str, values or ()))
        name = self.option_strings[0].removeprefix("--")
        namespace.changes = [*(getattr(namespace, "changes", None) or []), (name, text)]


def add_docker_changes(parser: Any) -> None:
    """Add the options that change Docker's settings."""
    group = parser.add_argument_group("changes to Docker's settings")
    for name, text in _DOCKER_SWITCHES.items():
        group.add_argument(
            f"--{name}",
            action=_Collect,
            dest="changes",
            nargs="?",
            const="true",
            metavar="true|false",
            help=text,
        )
    for name, (value, text) in _DOCKER_VALUES.items():
        group.add_argument(f"--{name}", action=_Collect, dest="changes", metavar=value, help=text)
    group.add_argument(
        "--engine", action=_Collect, dest="changes", choices=["20.10", "26", "28", "29"],
        help="write the rules as this engine does (26: 23 to 27)",
    )  # fmt: skip
    parser.set_defaults(changes=[])


def add_host_changes(parser: Any) -> None:
    """Add the options that change the host itself."""
    group = parser.add_argument_group("changes to the host")
    for name, (value, text) in _HOST_VALUES.items():
        group.add_argument(f"--{name}", action=_Collect, dest="changes", metavar=value, help=text)
    group.add_argument(
        "--delete",
        action=_Collect,
        dest="changes",
        nargs="+",
        metavar=("CHAIN", "N"),
        help="delete a rule by its number; in another table: '-t TABLE CHAIN N' (give SOURCE before it)",
    )
