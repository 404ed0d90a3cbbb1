"""The command line: the program around the commands of :mod:`iptsim.commands`.

Exit status: 0 answered, 1 an expectation failed or `lint` found something, 2 bad usage or bad input.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import iptsim
from iptsim.commands import collect, completion, docker_rules, explain, graph, lint, report, rules, whatif
from iptsim.commands.common import BAD
from iptsim.errors import IptsimError, printable
from iptsim.languages import language, language_of_locale

#: In the order in which `iptsim --help` lists them.
_COMMANDS = (explain, whatif, lint, report, rules, graph, collect, docker_rules, completion)
#: What a shell reports of a program that SIGPIPE or SIGINT ended.
_BROKEN_PIPE, _INTERRUPTED = 141, 130


def run() -> NoReturn:
    """Run the command line as a program.

    It lives for one answer. So garbage is looked for rarely, plug-ins of pydantic's in the environment are
    not looked for at all, and it ends without taking its data apart first: for a large ruleset that alone
    takes a tenth of the time.
    """
    gc.set_threshold(100_000)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    status = main()
    sys.stderr.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _arguments(argv)
        run: Callable[[argparse.Namespace], int] = arguments.run
        with language(getattr(arguments, "lang", None) or language_of_locale(os.environ)):
            status = run(arguments)
        sys.stdout.flush()
    except IptsimError as error:
        print("iptsim: " + "\n".join(map(printable, str(error).split("\n"))), file=sys.stderr)
        return BAD
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        # inputs that can't be read are errors of their own above: this is an output that can't be written;
        # keep the interpreter from flushing into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _BROKEN_PIPE
        print(f"iptsim: the output can't be written: {error.strerror or error}", file=sys.stderr)
        return BAD
    return status


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments. CHAIN may stand behind options, which argparse can't do by itself."""
    parser = make_parser()
    completion.answer_shell(parser)
    arguments, left = parser.parse_known_args(argv)
    arguments.program = f"iptsim {iptsim.__version__}"
    arguments.words = sys.argv[1:] if argv is None else list(argv)
    if len(left) == 1 and not left[0].startswith("-") and getattr(arguments, "chain", "") is None:
        arguments.chain = left.pop()
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    return arguments


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="iptsim",
        description="Simulate and explain iptables: what happens to a packet, which rule decides, and why.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"iptsim {iptsim.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
