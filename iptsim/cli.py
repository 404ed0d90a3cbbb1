"""The command line: `iptsim explain`, `whatif`, `lint`, `rules`, `graph`, `collect`.

Exit status: 0 answered, 1 an expectation failed or `lint` found something, 2 bad usage or bad input.
Everything heavy is imported where it is used, so that `iptsim --help` is quick.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import iptsim
from iptsim.errors import CaptureError, IptsimError, UsageError, printable

if TYPE_CHECKING:
    from iptsim.dump.ruleset import Ruleset
    from iptsim.host import Host
    from iptsim.render.explanation import Level

ANSWERED, DIFFERS, BAD = 0, 1, 2
#: What a shell reports of a program that SIGPIPE or SIGINT ended.
_BROKEN_PIPE, _INTERRUPTED = 141, 130
#: Octets of a batch that are read at once; answers are flushed after each piece.
_PIECE = 1 << 16


def run() -> NoReturn:
    """Run the command line as a program.

    It ends without taking its data apart first: for a large ruleset that alone takes a tenth of the time.
    """
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


# -- arguments -------------------------------------------------------------------------------------


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments. CHAIN may stand behind options, which argparse can't do by itself."""
    parser = _parser()
    arguments, left = parser.parse_known_args(argv)
    if len(left) == 1 and not left[0].startswith("-") and getattr(arguments, "chain", "") is None:
        arguments.chain = left.pop()
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="iptsim",
        description="Simulate and explain iptables: what happens to a packet, which rule decides, and why.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"iptsim {iptsim.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_explain(commands)
    _add_whatif(commands)
    _add_lint(commands)
    _add_rules(commands)
    _add_graph(commands)
    _add_collect(commands)
    _add_docker_rules(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, **more: Any
) -> Any:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    parser.set_defaults(run=run)
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a capture (directory, .tar.gz or .zip), a file made by iptables-save, or - for standard input",
    )
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="skip lines of the dump that are none, such as prompts, with a warning",
    )
    parser.add_argument(
        "--docker-inspect",
        metavar="FILE",
        help="output of `docker inspect CONTAINER...`, where the source has none",
    )


def _add_explain(commands: Any) -> None:
    parser = _command(
        commands,
        "explain",
        _explain,
        "say what becomes of a packet, and why",
        epilog="WHO is a container's name or the start of its id, container@network, host, localhost,\n"
        "internet, dns (--to only), or any IP address. Without --from and --to: list whom one can ask about.",
    )
    _add_source(parser)
    ask = _add_question(parser)
    ask.add_argument(
        "--batch", metavar="FILE", help="read questions from a file or -, one JSON object a line"
    )
    show = parser.add_argument_group("the answer")
    level = show.add_mutually_exclusive_group()
    level.add_argument("-v", "--verbose", action="store_true", help="show the rules that did not match, too")
    level.add_argument("-q", "--quiet", action="store_true", help="show the verdict only")
    show.add_argument("--json", action="store_true", help="print JSON; with --batch one object a line")
    show.add_argument(
        "--proposals", action="store_true", help="try small changes that would let it through, or keep it out"
    )
    show.add_argument(
        "--expect",
        choices=["accept", "drop", "reject", "depends"],
        help="exit with status 1 on any other verdict",
    )


def _add_question(parser: argparse.ArgumentParser) -> Any:
    """Add the options that ask about a packet, and return their group."""
    ask = parser.add_argument_group("the packet")
    ask.add_argument("--from", dest="sender", metavar="WHO", help="who sends it")
    ask.add_argument("--to", metavar="WHO[:PORT]", help="to whom; [ADDRESS]:PORT for IPv6")
    ask.add_argument("-p", "--proto", metavar="PROTO", help="tcp (default), udp, icmp ..., or a number")
    ask.add_argument("--sport", metavar="N", help="source port")
    ask.add_argument("--dport", metavar="N", help="destination port")
    ask.add_argument(
        "-i", dest="in_interface", metavar="IFACE", help="interface or bridge port on which it arrives"
    )
    ask.add_argument(
        "--state",
        metavar="STATE",
        help="of its connection: new (default), established, related, invalid, untracked",
    )
    ask.add_argument(
        "--set", dest="settings", metavar="FIELD=VALUE", action="append", default=[],
        help="any other field: mark=7, uid=33, tcp_flags=SYN,ACK, icmp_type=3, ttl=1, ct.mark=1 ...",
    )  # fmt: skip
    ask.add_argument(
        "--assume", dest="assumptions", metavar="WHAT=yes|no", action="append", default=[],
        help="decide a match that nobody can know: limit=yes, or one rule: filter:INPUT:7=no",
    )  # fmt: skip
    ask.add_argument("--at", metavar="TIME", help="when it happens: 2026-11-24T18:30")
    ask.add_argument("-6", dest="family", action="store_const", const=6, help="ask about IPv6")
    ask.add_argument("--no-reply", action="store_true", help="follow the packet alone, not the answer to it")
    return ask


def _add_whatif(commands: Any) -> None:
    from iptsim import whatif_command

    text = "say what becomes of a packet when something is changed, and why"
    parser = _command(commands, "whatif", _whatif, text, epilog=whatif_command.EPILOG)
    _add_source(parser)
    _add_question(parser)
    whatif_command.add_changes(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(verbose=False)


def _add_lint(commands: Any) -> None:
    parser = _command(
        commands,
        "lint",
        _lint,
        "find what is probably wrong with a host",
        epilog="Each finding has a stable code (docs/findings.md lists them), what shows it, what it does to a\n"
        "packet, and a remedy. Exit status: 0 nothing found, 1 something found, 2 bad usage or bad input.",
    )
    _add_source(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_rules(commands: Any) -> None:
    parser = _command(commands, "rules", _rules, "say in words what each rule does, and whose it is")
    _add_source(parser)
    parser.add_argument("chain", metavar="CHAIN", nargs="?", help="only this chain")
    parser.add_argument("-t", "--table", metavar="TABLE", help="only this table")
    parser.add_argument("-6", dest="family", action="store_const", const=6, default=4, help="the IPv6 rules")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_graph(commands: Any) -> None:
    parser = _command(commands, "graph", _graph, "draw which chain leads where")
    _add_source(parser)
    parser.add_argument("-t", "--table", metavar="TABLE", help="only this table")
    parser.add_argument("-6", dest="family", action="store_const", const=6, default=4, help="the IPv6 rules")
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="write to a file: .txt (a tree), .mmd (Mermaid) or .dot (Graphviz)",
    )


def _add_collect(commands: Any) -> None:
    _command(
        commands,
        "collect",
        _collect,
        "print the shell script that captures a host",
        epilog="Run it on the host as root: sh collect.sh. It only reads, and leaves a .tar.gz to give as SOURCE.",
    )


def _add_docker_rules(commands: Any) -> None:
    from iptsim import docker_rules_command

    text = "print the rules that dockerd writes for its settings, like iptables-save"
    parser = _command(
        commands, "docker-rules", docker_rules_command.run, text, epilog=docker_rules_command.EPILOG
    )
    _add_source(parser)
    docker_rules_command.add_command(parser)


# -- sources ---------------------------------------------------------------------------------------


def _open(arguments: argparse.Namespace) -> Host:
    """Read the source; what is odd about it goes to standard error."""
    from iptsim.host import load_host

    if arguments.source == "-" and getattr(arguments, "batch", None) == "-":
        raise UsageError("the rules and the questions can't both come from standard input")
    host = load_host(arguments.source, lenient=arguments.lenient, docker_inspect=arguments.docker_inspect)
    # the host stays until the end: looking through it for garbage again and again is wasted
    gc.freeze()
    for ruleset in (*host.rulesets.values(), *host.extra_rulesets.values()):
        for warning in ruleset.warnings:
            print(f"iptsim: warning: {printable(warning)}", file=sys.stderr)
    return host


def _ruleset(arguments: argparse.Namespace) -> tuple[Host, Ruleset]:
    """Read the source and return its rules of the wanted family."""
    host = _open(arguments)
    found = host.rulesets.get(arguments.family)
    if found is None:
        held = " and ".join(f"IPv{family}" for family in host.rulesets) or "no"
        raise UsageError(f"{arguments.source} holds {held} rules, none for IPv{arguments.family}")
    if arguments.table is not None and arguments.table not in found.tables:
        raise UsageError(f"there is no table {arguments.table}; known are {', '.join(found.tables)}")
    return host, found


# -- commands --------------------------------------------------------------------------------------


def _explain(arguments: argparse.Namespace) -> int:
    if arguments.batch is not None:
        return _batch(arguments)
    fields = _fields(arguments)
    if not fields.keys() & {"from", "to", "in", "src", "dst"}:
        return _list_people(arguments)
    from iptsim.explanation import explain_trace
    from iptsim.fields import make_question
    from iptsim.netfilter.walk import walk

    host = _open(arguments)
    question = make_question(fields)
    explanation = explain_trace(host, question, walk(host, question))
    found = []
    if arguments.proposals:
        from iptsim.alternatives import proposals

        found = proposals(host, explanation)
    if arguments.json:
        import json

        out = explanation.as_json(verbose=arguments.verbose)
        if arguments.proposals:
            out["proposals"] = [proposal.as_json() for proposal in found]
        print(json.dumps(out, indent=2 if sys.stdout.isatty() else None))
    elif arguments.quiet and not arguments.proposals:
        print(explanation.verdict)
    else:
        from iptsim.render.console import Output
        from iptsim.render.explanation import print_explanation

        console = Output()
        level: Level = "quiet" if arguments.quiet else "verbose" if arguments.verbose else "normal"
        print_explanation(explanation, console, level=level)
        if arguments.proposals:
            from iptsim.render.whatif import proposals_lines

            for line in proposals_lines(found, explanation):
                console.print(line, soft_wrap=True)
    return _status(arguments, explanation.verdict)


def _whatif(arguments: argparse.Namespace) -> int:
    from iptsim.alternatives import what_if
    from iptsim.fields import make_question

    fields = _fields(arguments)
    asks = fields.keys() & {"from", "to", "in", "src", "dst"}
    question = make_question(fields) if asks else None
    answer = what_if(_open(arguments), arguments.changes, question, family=fields.get("family", 4))
    if arguments.json:
        import json

        print(json.dumps(answer.as_json(), indent=2 if sys.stdout.isatty() else None))
    else:
        from iptsim.render.console import Output
        from iptsim.render.whatif import print_what_if

        print_what_if(answer, Output())
    return ANSWERED


def _status(arguments: argparse.Namespace, verdict: str) -> int:
    if arguments.expect is None or arguments.expect == verdict.lower():
        return ANSWERED
    print(f"iptsim: expected {arguments.expect.upper()}, but the verdict is {verdict}", file=sys.stderr)
    return DIFFERS


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of the question, by the names of a batch line."""
    from iptsim.fields import read_assumptions, read_settings

    given = {
        "from": arguments.sender,
        "to": arguments.to,
        "in": arguments.in_interface,
        "proto": arguments.proto,
        "sport": arguments.sport,
        "dport": arguments.dport,
        "state": arguments.state and arguments.state.lower(),
        "family": arguments.family,
        "at": arguments.at,
        "assume": read_assumptions(arguments.assumptions) or None,
        "reply": False if arguments.no_reply else None,
        "verbose": arguments.verbose or None,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    for name, value in read_settings(arguments.settings).items():
        if fields.setdefault(name, value) != value:
            raise UsageError(f"--set {name}={value} contradicts another option, which says {fields[name]}")
    return fields


def _list_people(arguments: argparse.Namespace) -> int:
    """Say whom one can ask about."""
    from iptsim.render.console import Output
    from iptsim.render.people import people_json, people_lines

    host = _open(arguments)
    if arguments.json:
        import json

        print(json.dumps(people_json(host)))
    else:
        console = Output()
        for line in people_lines(host):
            console.print(line, soft_wrap=True)
    return ANSWERED


def _batch(arguments: argparse.Namespace) -> int:
    """Answer one question a line. A line that can't be answered gives an error in its place."""
    import gc
    import json

    from iptsim.explanation import explain_trace
    from iptsim.fields import make_question
    from iptsim.netfilter.walk import Simulator

    if not arguments.json:
        raise UsageError("--batch prints JSON: give --json as well")
    defaults = _fields(arguments)
    host = _open(arguments)
    simulator = Simulator(host)
    # the rules stay for good: no use in looking at them again in every collection
    gc.freeze()
    status = ANSWERED

    def answer(line: bytes) -> dict[str, Any]:
        nonlocal status
        name = None
        try:
            fields = _batch_fields(line)
            name = fields.get("id") if isinstance(fields.get("id"), str | int) else None
            question = make_question(_merged(defaults, fields))
            explanation = explain_trace(host, question, simulator.walk(question))
        except IptsimError as error:
            return {"id": name, "error": str(error)}
        if arguments.expect is not None:
            status = max(status, _status(arguments, explanation.verdict))
        out = explanation.as_json(verbose=question.verbose)
        return out if name is None else {**out, "id": name}

    with _batch_stream(arguments.batch) as stream:
        for lines in _pieces(stream):
            for line in lines:
                if line.strip():
                    sys.stdout.write(json.dumps(answer(line)) + "\n")
            sys.stdout.flush()
    return status


def _batch_fields(line: bytes) -> dict[str, Any]:
    """Read a batch line."""
    import json

    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the line is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError('a question is a JSON object: {"from": "client", "to": "web"}')
    return fields


def _merged(defaults: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return a batch line's fields over those of the command line."""
    if not defaults:
        return fields
    merged = {**defaults, **fields}
    if "assume" in defaults and isinstance(fields.get("assume"), dict):
        merged["assume"] = {**defaults["assume"], **fields["assume"]}
    return merged


def _batch_stream(name: str) -> BinaryIO:
    if name == "-":
        # a copy of the descriptor, so that closing it leaves sys.stdin alone
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    try:
        return open(name, "rb")
    except OSError as error:
        raise CaptureError(f"{name}: {error.strerror or error}") from None


def _pieces(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield the lines that are there, as they come: whoever waits for an answer before asking on gets it."""
    begun: list[bytes] = []
    while piece := stream.read1(_PIECE):  # type: ignore[attr-defined]
        *lines, rest = piece.split(b"\n")
        if lines:
            lines[0] = b"".join([*begun, lines[0]])
            begun = []
            yield lines
        begun.append(rest)
    yield [b"".join(begun)]


def _lint(arguments: argparse.Namespace) -> int:
    from iptsim.findings import lint

    found = lint(_open(arguments))
    if arguments.json:
        import json

        out = {"schema": "iptsim.findings/1", "findings": [finding.as_json() for finding in found]}
        print(json.dumps(out, indent=2 if sys.stdout.isatty() else None))
    else:
        from iptsim.render.console import Output
        from iptsim.render.findings import findings_lines

        console = Output()
        for line in findings_lines(found, arguments.source):
            console.print(line, soft_wrap=True)
    return DIFFERS if found else ANSWERED


def _rules(arguments: argparse.Namespace) -> int:
    from iptsim.render.console import Output
    from iptsim.render.rules import rules_json, rules_lines

    host, ruleset = _ruleset(arguments)
    if arguments.json:
        import json

        out = rules_json(ruleset, host, table=arguments.table, chain=arguments.chain)
        print(json.dumps(out, indent=2 if sys.stdout.isatty() else None))
        return ANSWERED
    console = Output()
    for line in rules_lines(ruleset, host, table=arguments.table, chain=arguments.chain):
        console.print(line, soft_wrap=True)
    return ANSWERED


def _graph(arguments: argparse.Namespace) -> int:
    from iptsim.render.graph import FORMATS

    suffix = os.path.splitext(arguments.output)[1] if arguments.output else ".txt"
    if suffix not in FORMATS:
        raise UsageError(f"{arguments.output}: the name must end in one of {', '.join(FORMATS)}")
    _, ruleset = _ruleset(arguments)
    text = FORMATS[suffix](ruleset, arguments.table)
    if arguments.output is None:
        sys.stdout.write(text)
        return ANSWERED
    try:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{arguments.output}: {error.strerror or error}") from None
    return ANSWERED


def _collect(arguments: argparse.Namespace) -> int:
    from iptsim.host.collect import script

    sys.stdout.write(script())
    return ANSWERED
