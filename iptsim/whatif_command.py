"""The options of `iptsim whatif` that change a host."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from iptsim import docker_rules_command

EPILOG = (
    "Changes are made one after the other, in the order in which they are given. Docker's rules are made\n"
    "new for its new settings, as if the host had been booted with them; all other rules stay.\n"
    "Without --from and --to: what has another verdict, of all that containers can ask of each other."
)
VALUES = {
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


def add_changes(parser: Any) -> None:
    """Add the options that change a host; they end up in `changes`, in their order."""
    docker_rules_command.add_changes(parser)
    group = parser.add_argument_group("changes to the host")
    for name, (value, text) in VALUES.items():
        group.add_argument(f"--{name}", action=_Collect, dest="changes", metavar=value, help=text)
    group.add_argument(
        "--delete",
        action=_Collect,
        dest="changes",
        nargs="+",
        metavar=("CHAIN", "N"),
        help="delete a rule by its number; in another table: '-t TABLE CHAIN N' (give SOURCE before it)",
    )
    parser.set_defaults(changes=[])
