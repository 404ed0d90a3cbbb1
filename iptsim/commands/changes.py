"""The options that change a host or Docker's settings; `changes` collects them in the order given."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

from iptsim.errors import UsageError
from iptsim.languages import message, say

#: Docker's settings that are on or off, and what each does.
_DOCKER_SWITCHES = {
    "icc": message("allow containers on the default bridge to talk to each other"),
    "iptables": message("let dockerd write IPv4 rules"),
    "ip6tables": message("let dockerd write IPv6 rules"),
    "ip-forward": message("let dockerd enable IP forwarding"),
    "ip-forward-no-drop": message("keep the FORWARD policy when enabling IP forwarding"),
    "ip-masq": message("masquerade traffic leaving the default bridge"),
    "userland-proxy": message("run docker-proxy for published ports"),
    "allow-direct-routing": message("allow other hosts to reach containers by their own addresses"),
}
#: Docker's other settings: the form of the value, and what each does.
_DOCKER_VALUES = {
    "ip": ("ADDRESS", message("set the default host address for ports published on the default bridge")),
    "dns": ("ADDRESS", message("set the DNS server of the containers; repeat it for more than one")),
    "network-icc": ("NETWORK=true|false", message("allow containers of a network to talk to each other")),
    "network-masquerade": ("NETWORK=true|false", message("masquerade traffic leaving a network")),
    "internal": ("NETWORK[=true|false]", message("make a network internal: no external access")),
    "gateway-mode": (
        "NETWORK=MODE",
        message("set the gateway mode: nat, nat-unprotected, routed or isolated"),
    ),
    "publish": ("CONTAINER:[ADDRESS:]HOST_PORT:PORT[/PROTO]", message("publish a port")),
    "unpublish": ("CONTAINER[:PORT[/PROTO]]", message("remove a published port")),
    "expose": ("CONTAINER:PORT[/PROTO]", message("expose a port, for links")),
    "link": ("CLIENT:SERVER[:ALIAS]", message("allow CLIENT to reach the exposed ports of SERVER")),
    "unlink": ("CLIENT:SERVER", message("remove a link")),
    "connect": ("CONTAINER:NETWORK[:ADDRESS]", message("connect a container to a network")),
    "disconnect": ("CONTAINER:NETWORK", message("disconnect a container from a network")),
    "remove": ("CONTAINER", message("stop and remove a container")),
}
#: Options that change the host itself.
_HOST_VALUES = {
    "bridge-nf": ("0|1", message("set whether iptables sees bridged packets")),
    "sysctl": ("NAME=VALUE", message("set a kernel parameter")),
    "policy": ("'[-t TABLE] CHAIN=POLICY'", message("set the policy of a chain: ACCEPT or DROP")),
    "insert": ("'[-t TABLE] CHAIN [N] RULE'", message("insert a rule")),
    "append": ("'[-t TABLE] CHAIN RULE'", message("append a rule")),
}


class _Collect(argparse.Action):
    """Collects the changes in the order given."""

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
    group = parser.add_argument_group(say("changes to Docker's settings"))
    for name, text in _DOCKER_SWITCHES.items():
        group.add_argument(
            f"--{name}",
            action=_Collect,
            dest="changes",
            nargs="?",
            const="true",
            metavar="true|false",
            help=str(text),
        )
    for name, (value, text) in _DOCKER_VALUES.items():
        group.add_argument(f"--{name}", action=_Collect, dest="changes", metavar=value, help=str(text))
    group.add_argument(
        "--engine", action=_Collect, dest="changes", metavar="VERSION",
        help=say("write the rules of this Docker version, from 20.10 to 29"),
    )  # fmt: skip
    parser.set_defaults(changes=[])


def add_host_changes(parser: Any) -> None:
    """Add the options that change the host itself."""
    group = parser.add_argument_group(say("changes to the host"))
    for name, (value, text) in _HOST_VALUES.items():
        group.add_argument(f"--{name}", action=_Collect, dest="changes", metavar=value, help=str(text))
    group.add_argument(
        "--delete",
        action=_Collect,
        dest="changes",
        nargs="+",
        metavar=("CHAIN", "N"),
        help=say("delete rule N of CHAIN; '-t TABLE CHAIN N' for another table; give it after SOURCE"),
    )


def read_change(text: str) -> tuple[str, str]:
    """Read a change as one text: NAME=VALUE or NAME VALUE, where NAME is one of the options.

    >>> read_change("icc=false"), read_change("--insert FORWARD -j DROP"), read_change("engine=28")
    (('icc', 'false'), ('insert', 'FORWARD -j DROP'), ('engine', '28'))

    Raises:
        UsageError: it is not of this form.
    """
    found = re.fullmatch(r"(?:--)?([\w-]+)(?:[=\s]\s*(.*))?", text.strip(), re.DOTALL)
    if found is None:
        raise UsageError(message("{text!r} is not a change; write NAME=VALUE, such as icc=false", text=text))
    name, value = found[1], found[2]
    return name, "true" if value is None and name in _DOCKER_SWITCHES else value or ""
