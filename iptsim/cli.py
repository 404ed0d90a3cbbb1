"""The command line: the program around the commands of :mod:`iptsim.commands`.

Exit status: 0 answered, 1 an expectation failed or `lint` found something, 2 bad usage or bad input,
3 an internal error; 130 and 141 for Ctrl-C and a reader that went away.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import iptsim
from iptsim.commands import collect, completion, docker_rules, explain, graph, lint, report, rules, whatif
from iptsim.commands.common import BAD, INTERNAL, complain
from iptsim.errors import IptsimError, printable
from iptsim.languages import language, language_of_locale

__all__ = ["main", "make_parser", "run"]

#: In the order in which `iptsim --help` lists them.
_COMMANDS = (explain, whatif, lint, report, rules, graph, collect, docker_rules, completion)
#: What a shell reports of a program that SIGINT ended, and SIGPIPE.
INTERRUPTED, BROKEN_PIPE = 128 + 2, 128 + 13
#: Set to 1, it shows where an internal error happened.
DEBUG = "IPTSIM_DEBUG"
#: Longest part of an internal error that is shown, in characters.
_LONGEST = 200


def run() -> NoReturn:
    """Run the command line as a program; :mod:`iptsim.__main__` starts it, and so do scripts installed before that.

    It lives for one answer. So garbage is looked for rarely, plug-ins of pydantic's in the environment are
    not looked for at all, and it ends without taking its data apart first: for a large ruleset that alone
    takes a tenth of the time.
    """
    gc.set_threshold(100_000)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    at_once = signal.getsignal(signal.SIGINT)
    try:
        if callable(at_once):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as ended:
        # after a help text, or an error in the words
        status = ended.code if isinstance(ended.code, int) else BAD
    if callable(at_once):
        signal.signal(signal.SIGINT, at_once)
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = _arguments(argv)
        command: Callable[[argparse.Namespace], int] = arguments.run
        with language(getattr(arguments, "lang", None) or language_of_locale(os.environ)):
            status = command(arguments)
        sys.stdout.flush()
    except IptsimError as error:
        return complain(str(error), BAD)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # inputs that can't be read are errors of their own above: this is an output that can't be written
        return _output_failed(error)
    except Exception as error:
        return _internal(error)
    return status


def _output_failed(error: OSError) -> int:
    """Return the exit status of a program whose output can't be written."""
    with suppress(OSError, ValueError):
        # keep the interpreter from flushing into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    return complain(f"the output can't be written: {error.strerror or error}", BAD)


def _internal(error: Exception) -> int:
    """Return the exit status of a program with a defect, and ask to report it."""
    if os.environ.get(DEBUG) == "1":
        with suppress(OSError, ValueError):
            traceback.print_exception(error, file=sys.stderr)
    what = printable(f"{type(error).__name__}: {error}"[:_LONGEST])
    return complain(
        f"internal error ({what}); please report it with the command and, if you may share it, its input"
        f" ({DEBUG}=1 shows where it happened)",
        INTERNAL,
    )


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


class _Parser(argparse.ArgumentParser):
    """A parser whose texts are inert on a terminal, and which does not pass over what can't be printed."""

    def _print_message(self, message: str, file: Any = None) -> None:
        stream = file or sys.stderr
        stream.write("\n".join(map(printable, message.split("\n"))))
        stream.flush()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="iptsim",
        description="Simulate and explain iptables: what happens to a packet, which rule decides, and why.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"iptsim {iptsim.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
