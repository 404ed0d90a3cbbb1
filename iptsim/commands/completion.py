"""`iptsim completion`: the script for shell completion, and the completions themselves."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

from iptsim.commands.common import ANSWERED, add_command
from iptsim.errors import MissingExtraError
from iptsim.languages import message, say

_EPILOG = message(
    "Needs the extra 'completion'. Add one of these lines to the start-up file of your shell:\n"
    '  bash  ~/.bashrc                     eval "$(iptsim completion bash)"\n'
    '  zsh   ~/.zshrc, after compinit      eval "$(iptsim completion zsh)"\n'
    "  fish  ~/.config/fish/config.fish    iptsim completion fish | source"
)
_TABLES = ("filter", "nat", "mangle", "raw", "security")
_STATES = ("new", "established", "related", "invalid", "untracked")
_PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "sctp")
#: Names that Docker allows; no other name from a capture reaches a shell.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def add(commands: Any) -> None:
    """Add the command."""
    text = say("print the script for shell completion of commands, options and names")
    parser = add_command(commands, "completion", run, text, epilog=str(_EPILOG))
    parser.add_argument(
        "shell", metavar="SHELL", choices=["bash", "zsh", "fish"], help=say("bash, zsh or fish")
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise MissingExtraError(
            message("shell completion needs argcomplete; install it with: pip install 'iptsim[completion]'")
        ) from None
    sys.stdout.write(shellcode(["iptsim"], shell=arguments.shell))
    return ANSWERED


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """Print the completions that a shell asks for, and exit; do nothing if argcomplete is missing."""
    try:
        import argcomplete
    except ImportError:
        return
    for action in _actions(parser):
        completer = _COMPLETERS.get(action.dest)
        if completer is not None:
            vars(action)["completer"] = completer
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)


def _senders(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return [*_containers(getattr(parsed_args, "source", None)), "host", "localhost", "internet"]


def _receivers(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    return [*_senders(parsed_args), "dns"]


def _containers(source: str | None) -> list[str]:
    """Return the containers that a source names, without loading its rules: a shell should not wait for that."""
    from iptsim.reading import parse_json

    found: list[str] = []
    for name in ("docker-inspect.json", "podman-inspect.json"):
        try:
            entries = parse_json(_read(source or "", name))
            found += [entry["Name"].lstrip("/") for entry in entries]
        except Exception:  # noqa: S112  # a completion has no place for an error message
            continue
    return [name for name in found if _NAME.fullmatch(name)]


def _read(source: str, name: str) -> bytes:
    if os.path.isdir(source):
        from iptsim.reading import read_file

        return read_file(os.path.join(source, name))
    from iptsim.host.files import read_source

    return read_source(source).files[name]


_COMPLETERS: dict[str, Any] = {
    "sender": _senders,
    "to": _receivers,
    "table": lambda **_: _TABLES,
    "state": lambda **_: _STATES,
    "proto": lambda **_: _PROTOCOLS,
}
