"""What several commands share: their sources, the question about a packet, and JSON output."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from iptsim.commands.parsing import Help
from iptsim.errors import CaptureError, UsageError, printable
from iptsim.languages import Text, json_default, message, say, sentence
from iptsim.suggestions import choose_from

if TYPE_CHECKING:
    from iptsim.addresses import Family
    from iptsim.dump.ruleset import Ruleset
    from iptsim.explanation import Explanation
    from iptsim.host import Host
    from iptsim.question.model import FieldError, Question
    from iptsim.render.console import Output

#: Exit status: answered; an expectation failed, or `lint` found something; bad usage or bad input; a defect.
ANSWERED, DIFFERS, BAD, INTERNAL = 0, 1, 2, 3


#: Whether the process gives one answer and ends, so that nothing need be freed; :func:`iptsim.cli.run` sets it.
gives_one_answer = False


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    *,
    epilog: str = "",
    examples: Sequence[str] = (),
) -> Any:
    """Add a command and return its parser.

    Args:
        text: what it does, starting in lower case.
        epilog: what its help says below the options.
        examples: commands that its help shows at the end.
    """
    below = [epilog] if epilog else []
    if examples:
        below += [" ", say("Examples:"), *(f"  iptsim {name} {example}" for example in examples)]
    parser = commands.add_parser(
        name,
        help=text,
        description=sentence(text),
        epilog="\n".join(below),
        allow_abbrev=False,
        formatter_class=Help,
    )
    parser.set_defaults(run=run, command=name)
    return parser


def complain(text: str, status: int) -> int:
    """Print an error, if standard error can be written to, and return the exit status."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        print(f"iptsim: {text}", file=sys.stderr)
    return status


def complain_of(arguments: argparse.Namespace, source: str, error: str, told: str = "") -> None:
    """Report the error of one of several sources; with JSON, also in place of its result.

    Args:
        arguments: the arguments of the command.
        source: the source.
        error: its error.
        told: the error as shown to a person, if worded differently.
    """
    complain(told or error, BAD)
    if arguments.format == "json":
        print_json({"source": source, "error": error})


def add_source(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add SOURCE (one or several) and the options for reading it."""
    parser.add_argument(
        "source",
        nargs="+" if several else None,
        metavar="SOURCE",
        help=say(
            "a file written by iptables-save, a capture (directory, .tar.gz or .zip), or any text with rules in it, "
            "as pasted into a ticket; - for standard input"
        ),
    )
    parser.add_argument(
        "--with",
        dest="extra",
        metavar="FILE",
        action="append",
        default=[],
        help=say("another text about the same host: the output of `ip addr`, `docker inspect` and so on"),
    )
    parser.add_argument(
        "--strict", action="store_true", help=say("reject a source that is not exactly a dump or a capture")
    )
    parser.add_argument("--lenient", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--docker-inspect",
        metavar="FILE",
        help=say("output of `docker inspect CONTAINER...`, if the source has none"),
    )
    parser.add_argument(
        "--noflush",
        metavar="FRAGMENT",
        help=say("add the rules in this file to the source, as iptables-restore --noflush does"),
    )
    add_language(parser)


def add_language(parser: Any) -> None:
    """Add `--lang`, which may also precede the command."""
    parser.add_argument(
        "--lang",
        metavar="LANGUAGE",
        help=say("language of the answer: en or zh-TW (default: from the locale)"),
    )


def add_teach(parser: Any) -> None:
    """Add `--teach`."""
    parser.add_argument("--teach", action="store_true", help=say("add a glossary of the terms used"))


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose rules of the source: the table and the family."""
    parser.add_argument("-t", "--table", metavar="TABLE", help=say("only this table"))
    parser.add_argument(
        "-6", dest="family", action="store_const", const=6, default=4, help=say("the IPv6 rules")
    )


def add_plain(parser: Any) -> None:
    """Add the option for plain text to paste into a ticket."""
    parser.add_argument(
        "--plain",
        action="store_true",
        help=say("plain text for a ticket: ASCII, no colours, 78 columns, headed by the command"),
    )


def add_output(parser: Any) -> None:
    """Add the option for the file to write to."""
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        default="-",
        help=say("write to this file, completely or not at all (default: -, standard output)"),
    )


def add_question(parser: argparse.ArgumentParser, *, family: bool = True) -> Any:
    """Add the options that ask about a packet, and return their group.

    Args:
        family: add `-6` too; False where :func:`add_rules` has already done so.
    """
    ask = parser.add_argument_group(say("the packet"))
    ask.add_argument(
        "--packet",
        metavar="LINE",
        help=say("the packet in a line of the kernel's log, of conntrack -L or of tcpdump"),
    )
    ask.add_argument("--from", dest="sender", metavar="ENDPOINT", help=say("source"))
    ask.add_argument("--to", metavar="ENDPOINT[:PORT]", help=say("destination; for IPv6 [ADDRESS]:PORT"))
    ask.add_argument("-p", "--proto", metavar="PROTO", help=say("tcp (default), udp, icmp ..., or a number"))
    ask.add_argument("--sport", metavar="N", help=say("source port: a number or a service name"))
    ask.add_argument("--dport", metavar="N", help=say("destination port: a number or a service name (http)"))
    ask.add_argument("--port", dest="dport", help=argparse.SUPPRESS)
    ask.add_argument(
        "-i",
        dest="in_interface",
        metavar="IFACE",
        help=say("interface or bridge port where the packet arrives"),
    )
    ask.add_argument(
        "--state",
        metavar="STATE",
        help=say("connection state: new (default), established, related, invalid, untracked"),
    )
    ask.add_argument(
        "--set", dest="settings", metavar="FIELD=VALUE", action="append", default=[],
        help=say(
            "set any other field: mark=7, uid=33, tcp_flags=SYN,ACK, icmp_type=echo-request, ttl=1, ct.mark=1 ..."
        ),
    )  # fmt: skip
    ask.add_argument(
        "--assume", dest="assumptions", metavar="WHAT=yes|no", action="append", default=[],
        help=say(
            "assume the result of a match that cannot be computed (limit=yes), of one rule (filter:INPUT:7=no), of an "
            "nftables chain (inet:fw:input=yes) or of all of them (nftables=yes)"
        ),
    )  # fmt: skip
    ask.add_argument(
        "--after", metavar="QUESTION",
        help=say("an earlier packet of the same connection (JSON, as in --batch)"),
    )  # fmt: skip
    ask.add_argument("--at", metavar="TIME", help=say("date and time of the packet: 2026-11-24T18:30"))
    if family:
        ask.add_argument("-6", dest="family", action="store_const", const=6, help=say("use IPv6"))
    ask.add_argument("--no-reply", action="store_true", help=say("follow only the packet, not the reply"))
    return ask


def question_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values given to the options of :func:`add_question`, under their names in a batch line."""
    from iptsim.question.options import read_assumptions, read_settings

    given = {field: getattr(arguments, name) for field, (_, name) in _OPTIONS.items()}
    given |= {
        "state": arguments.state and arguments.state.lower(),
        "family": arguments.family,
        "assume": read_assumptions(arguments.assumptions) or None,
        "reply": False if arguments.no_reply else None,
        "verbose": arguments.verbose or None,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    for name, value in read_settings(arguments.settings).items():
        if fields.setdefault(name, value) != value:
            raise UsageError(
                message(
                    "--set {name}={value} contradicts another option, which gives {fields}",
                    name=name,
                    value=value,
                    fields=fields[name],
                )
            )
    if arguments.packet is None:
        return fields
    from iptsim.paste.packet_from_line import fields_of_line

    return {**fields_of_line(arguments.packet), **fields}


def _option_fault(arguments: argparse.Namespace, error: FieldError) -> Text:
    """Return an error in a field of the question, with the option that gave its value and a caret below it."""
    from iptsim.reaching.options import with_option

    option, name = _OPTIONS.get(error.field, ("", ""))
    value = getattr(arguments, name, None)
    setting = next((one for one in arguments.settings if one.partition("=")[0] == error.field), None)
    if setting is not None:
        return with_option(error.fault, "--set", setting, len(error.field) + 1)
    if isinstance(value, str):
        return with_option(error.fault, option, value)
    return message("{field}: {error}", field=option or error.field, error=error.fault)


#: The options of :func:`add_question` by the fields that they give, and the attributes that hold their values.
_OPTIONS = {
    "from": ("--from", "sender"),
    "to": ("--to", "to"),
    "in": ("-i", "in_interface"),
    "proto": ("-p", "proto"),
    "sport": ("--sport", "sport"),
    "dport": ("--dport", "dport"),
    "state": ("--state", "state"),
    "after": ("--after", "after"),
    "at": ("--at", "at"),
    "assume": ("--assume", "assumptions"),
}


def asks_about_packet(fields: dict[str, Any]) -> bool:
    """Return whether the fields of a question give the packet's source or destination."""
    return bool(fields.keys() & {"from", "to", "in", "src", "dst", "after"})


def answer(host: Host, arguments: argparse.Namespace, fields: dict[str, Any]) -> Explanation:
    """Return what happens to the packet that the fields of a question describe."""
    from iptsim.asking import ask_all

    return ask_all(host, question_of(arguments, fields))


def question_of(arguments: argparse.Namespace, fields: dict[str, Any]) -> Question:
    """Return the question with the fields; its errors name the options of :func:`add_question`."""
    from iptsim.question.model import FieldError, Question

    try:
        return Question(**fields)
    except FieldError as error:
        raise UsageError(_option_fault(arguments, error)) from None


def open_source(
    arguments: argparse.Namespace,
    source: str | None = None,
    *,
    logged: Callable[[], Mapping[str, str]] | None = None,
) -> Host:
    """Read the source, or one of several; its warnings go to standard error.

    Args:
        arguments: those of the command.
        source: one of several sources.
        logged: as for :func:`iptsim.load_host`; without it, the line of `--packet`.
    """
    from iptsim.sources import load_host

    path = arguments.source if source is None else source
    with collector_paused():
        try:
            host = load_host(
                path,
                strict=arguments.strict,
                extra=arguments.extra,
                docker_inspect=arguments.docker_inspect,
                noflush=arguments.noflush,
                logged=logged or partial(_logged_line, arguments),
            )
        except CaptureError:
            _check_order(arguments, path)
            raise
    for ruleset in (*host.rulesets.values(), *host.extra_rulesets.values()):
        warn_of(ruleset)
    if host.pasted is not None:
        print(f"iptsim: {printable(host.pasted.summary())}", file=sys.stderr)
    return host


def _check_order(arguments: argparse.Namespace, source: str) -> None:
    """Check that a source that cannot be read was not given in place of an endpoint.

    Raises:
        UsageError: there is no such file, but one with the name of an endpoint.
    """
    for option, name in (("--from", "sender"), ("--to", "to")):
        given = getattr(arguments, name, None)
        if isinstance(given, str) and os.path.exists(given) and not os.path.exists(source):
            raise UsageError(
                message(
                    "there is no file {source}, but {option} names one; the file comes first: "
                    "iptsim {command} {given} {option} {source}",
                    source=source,
                    option=option,
                    given=given,
                    command=arguments.command,
                )
            )


def _logged_line(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the line of `--packet` by the option's name, if the kernel logged it."""
    line: str | None = getattr(arguments, "packet", None)
    if line is None:
        return {}
    from iptsim.paste.packet_from_line import is_logged

    return {"--packet": line} if is_logged(line) else {}


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause garbage collection while many long-lived objects are created.

    In a process that gives one answer, these are exempt from collection afterwards, which becomes rare: large answers
    create millions of objects that all live until the end. Not in other processes, such as a program that calls
    :func:`iptsim.cli.main` many times: hosts contain cycles, and would never be freed.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gives_one_answer:
            gc.freeze()
            gc.set_threshold(1_000_000, 50, 50)
        if was_on:
            gc.enable()


def one_by_one(sources: Sequence[str]) -> Iterator[str]:
    """Yield the sources of a command that answers for each, and free what the answer before has left.

    Hosts and their sets of packets contain cycles, and the collector does not know how much memory diagrams take.
    """
    global gives_one_answer
    if len(sources) > 1 and gives_one_answer:
        gives_one_answer = False
        gc.freeze()  # the modules
    for number, source in enumerate(sources):
        if number:
            gc.collect()
        yield source


def warn_of(ruleset: Ruleset) -> None:
    """Print a ruleset's warnings to standard error."""
    for warning in ruleset.warnings:
        print(f"iptsim: warning: {printable(ruleset.source)}: {printable(warning)}", file=sys.stderr)


def open_rules(arguments: argparse.Namespace) -> tuple[Host, Ruleset]:
    """Read the source and return the rules that the options of :func:`add_rules` choose."""
    host = open_source(arguments)
    return host, rules_of(host, arguments, arguments.family)


def rules_of(host: Host, arguments: argparse.Namespace, family: Family) -> Ruleset:
    """Return a host's rules for a family.

    Raises:
        UsageError: the host has none, or lacks the table of `--table`.
    """
    found = host.rulesets.get(family)
    if found is None:
        held = " and ".join(f"IPv{known}" for known in host.rulesets) or "no"
        raise UsageError(
            message(
                "{source} has no IPv{family} rules, only {held}",
                source=arguments.source,
                family=family,
                held=held,
            )
        )
    if arguments.table is not None and arguments.table not in found.tables:
        fault = message("unknown table {table!r}", table=arguments.table)
        raise UsageError(choose_from(fault, arguments.table, found.tables))
    return found


def output(arguments: argparse.Namespace) -> Output:
    """Return where the answer is printed, as plain text with `--plain`."""
    from iptsim.render.console import Output

    return Output(arguments.words if arguments.plain else None, arguments.program)


def print_json(value: Any) -> None:
    """Print JSON, indented on a terminal."""
    print(json_text(value, indent=2 if sys.stdout.isatty() else None))


def json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON in ASCII. A lone surrogate, from a file name or an argument, becomes U+FFFD."""
    import json

    text = json.dumps(value, indent=indent, default=json_default)
    if "\\ud" not in text:
        return text
    raw = json.dumps(value, ensure_ascii=False, default=json_default)
    whole = raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.dumps(json.loads(whole), indent=indent)


def json_object(members: Mapping[str, str]) -> str:
    """Return a JSON object in the form of :func:`json_text`.

    Args:
        members: for each name, the value as JSON text.
    """
    return f"{{{', '.join(f'{json_text(name)}: {value}' for name, value in members.items())}}}"
