"""The command line: the program around the commands of :mod:`iptsim.commands`.

Exit status: 0 success, 1 an expectation failed or `lint` found something, 2 bad usage or bad input,
3 an internal error; 130 for Ctrl-C, 141 for a closed pipe.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import NoReturn

import iptsim
from iptsim.commands import common
from iptsim.commands.common import BAD, INTERNAL, add_language, complain
from iptsim.commands.parsing import Help, Parser
from iptsim.errors import IptsimError, printable
from iptsim.languages import Message, known_language, language, language_of_locale, message, say
from iptsim.suggestions import with_suggestion

__all__ = ["main", "make_parser", "run"]

#: The commands in the order in which `iptsim --help` lists them. Their modules are loaded on use.
_COMMANDS = (
    "explain",
    "whatif",
    "reach",
    "diff",
    "check",
    "lint",
    "flows",
    "report",
    "rules",
    "graph",
    "collect",
    "redact",
    "docker-rules",
    "completion",
)
#: Set by a shell when it asks for completions.
_COMPLETING = "_ARGCOMPLETE"
#: The commands to begin with.
_TO_BEGIN = message(
    "To begin, with a capture, a dump or any text with rules as SOURCE:\n"
    "  iptsim explain SOURCE --from client --to web:80    what happens to a packet\n"
    "  iptsim reach SOURCE                                who can reach what\n"
    "  iptsim lint SOURCE                                 likely problems"
)
#: The complaint about a command line without a command.
_FIRST_COMMANDS = message(
    "no command given. {to_begin}\niptsim --help lists all commands", to_begin=_TO_BEGIN
)
#: What a shell reports for a program that SIGINT or SIGPIPE ended.
INTERRUPTED, BROKEN_PIPE = 128 + 2, 128 + 13
#: When set to 1, an internal error prints its traceback.
DEBUG = "IPTSIM_DEBUG"
#: An internal error is shown up to this many characters.
_LONGEST = 200


def run() -> NoReturn:
    """Run the command line as a program, from :mod:`iptsim.__main__` or from scripts of earlier installations.

    The process gives one answer and ends. So it rarely collects garbage, does not search the environment for
    pydantic plug-ins, and exits without freeing its data, which would take a tenth of the time for a large ruleset.
    """
    gc.set_threshold(100_000)
    common.gives_one_answer = True
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    at_once = signal.getsignal(signal.SIGINT)
    try:
        if callable(at_once):
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = main()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as ended:
        # argparse ends the program after a help text or a usage error
        status = ended.code if isinstance(ended.code, int) else BAD
    if callable(at_once):
        signal.signal(signal.SIGINT, at_once)
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


_DEPTH = 5_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    # chains that call each other nest up to 500 deep, and what follows them several times that
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEPTH))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else list(argv)
    with language(_asked_language(words) or language_of_locale(os.environ)):
        return _main(words)


def _asked_language(words: Sequence[str]) -> str | None:
    """Return the language of `--lang`, before the options are read: help and errors are in it, too."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word == "--lang" or word.startswith("--lang="):
            return known_language(word.partition("=")[2] or following)
    return None


def _main(words: list[str]) -> int:
    try:
        arguments = _arguments(words)
        command: Callable[[argparse.Namespace], int] = arguments.run
        with language(getattr(arguments, "lang", None)):
            status = command(arguments)
        sys.stdout.flush()
    except IptsimError as error:
        return complain(str(error), BAD)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # an unreadable input raises an IptsimError: this is an output that cannot be written
        return _output_failed(error)
    except Exception as error:
        return _internal(error)
    return status


def _output_failed(error: OSError) -> int:
    """Report that the output cannot be written, and return the exit status."""
    with suppress(OSError, ValueError):
        # keep the interpreter from flushing into it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    return complain(say("cannot write the output: {error}", error=error.strerror or error), BAD)


def _internal(error: Exception) -> int:
    """Ask the user to report an internal error, and return the exit status."""
    if os.environ.get(DEBUG) == "1":
        import traceback

        with suppress(OSError, ValueError):
            traceback.print_exception(error, file=sys.stderr)
    what = printable(f"{type(error).__name__}: {error}"[:_LONGEST])
    return complain(
        say(
            "internal error ({what}); please report it with the command and, if you may share it, its input "
            "({variable}=1 shows where it happened)",
            what=what,
            variable=DEBUG,
        ),
        INTERNAL,
    )


def _arguments(words: list[str]) -> argparse.Namespace:
    """Parse the arguments. CHAIN may follow options, which argparse alone does not support."""
    if _COMPLETING in os.environ:
        from iptsim.commands import completion

        completion.answer_shell(make_parser())
    command, needed = _needed(words)
    parser = make_parser(needed)
    if command and command not in _COMMANDS:
        parser.error(str(_unknown_command(command)))
    arguments, left = parser.parse_known_args(words)
    if not hasattr(arguments, "run"):
        parser.error(str(_FIRST_COMMANDS))
    arguments.program = f"iptsim {iptsim.__version__}"
    arguments.words = words
    if len(left) == 1 and not left[0].startswith("-") and getattr(arguments, "chain", "") is None:
        arguments.chain = left.pop()
    if left:
        parser.reject(words, left, make_parser)
    return arguments


def _needed(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the command that a command line names, and the commands whose arguments are needed to read the line."""
    rest = iter(words)
    for word in rest:
        if word == "--lang":
            next(rest, None)
        elif word in ("-h", "--help"):
            break
        elif word == "--version":
            return "", ()
        elif not word.startswith("-"):
            return word, (word,) if word in _COMMANDS else _COMMANDS
    return "", _COMMANDS


def _unknown_command(word: str) -> Message:
    """Return the complaint about a word in place of a command."""
    if os.path.exists(word):
        return message("a command must precede {source}: iptsim explain {source}", source=printable(word))
    help_ = message("see {command} --help", command="iptsim")
    return with_suggestion(message("unknown command {word}", word=repr(word)), word, _COMMANDS, help_)


def make_parser(needed: Sequence[str] = _COMMANDS) -> Parser:
    """Return the parser of the command line.

    Args:
        needed: the commands whose arguments it reads, by default all.
    """
    parser = Parser(
        prog="iptsim",
        description=say(
            "Simulate and explain iptables: what happens to a packet, which rule decides, and why."
        ),
        epilog=str(_TO_BEGIN),
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"iptsim {iptsim.__version__}",
        help=say("show the version and exit"),
    )
    add_language(parser)
    commands = parser.add_subparsers(title=say("commands"), metavar="COMMAND", prog=parser.prog)
    for name in needed:
        import_module(f"iptsim.commands.{name.replace('-', '_')}").add(commands)
    return parser
