"""`iptsim check`: whether hosts meet a policy."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    BAD,
    DIFFERS,
    add_command,
    add_plain,
    add_source,
    complain_of,
    json_text,
    one_by_one,
    open_source,
    output,
    print_json,
)
from iptsim.commands.formats import add_formats, needs_all, write_beside, written
from iptsim.commands.many import add_many, reading_options, sources_of, summarise, wants_summary
from iptsim.errors import FileSyntaxError, IptsimError, UsageError
from iptsim.languages import message, say

if TYPE_CHECKING:
    from iptsim.fleet import HostResult
    from iptsim.policy.model import Policy
    from iptsim.render.policy import Checked

_EPILOG = message(
    "A policy is a YAML file of expectations: from, to, ports, expect. `iptsim check --init SOURCE` writes one from\n"
    "what is open today. Each expectation is checked for all packets, not for samples.\n"
    "Exit status: 2 if the policy or a source cannot be read, else 1 if an expectation fails, else 0."
)
#: Failed expectations for which a change is sought.
_MOST_MENDED = 5
#: How the names of policies end.
_SUFFIXES = (".yaml", ".yml")


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "check",
        run,
        say("check hosts against a policy, for all packets"),
        epilog=str(_EPILOG),
        examples=(
            "--init capture.tar.gz > policy.yaml",
            "policy.yaml capture.tar.gz",
        ),
    )
    parser.add_argument(
        "policy", metavar="POLICY", nargs="?", help=say("the file with the expectations (not with --init)")
    )
    add_source(parser, several=True)
    parser.add_argument(
        "--init", action="store_true", help=say("write a first policy from what is open on SOURCE today")
    )
    parser.add_argument(
        "--schema",
        action=_PrintSchema,
        nargs=0,
        help=say("print the JSON Schema of policies, for editors, and exit"),
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=say("leave out what passed"))
    add_plain(parser)
    add_formats(parser, "text", "json", "markdown", "csv", "html", "github", "sarif", "junit")
    add_many(
        parser,
        say(
            "print a summary over all sources: failed expectations by the number of hosts, and hosts that differ"
        ),
    )


class _PrintSchema(argparse.Action):
    """Prints the schema of policies and ends the program, as `--version` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.resources import files

        sys.stdout.write((files("iptsim") / "schemas/policy-1.json").read_text("utf-8"))
        parser.exit()


def run(arguments: argparse.Namespace) -> int:
    """Check each source, or write a first policy."""
    with written(arguments):
        if arguments.init:
            return _init(arguments)
        if arguments.policy is None:
            raise UsageError(message("give a policy and a source: iptsim check POLICY.yaml SOURCE"))
        return _check(arguments)


def _init(arguments: argparse.Namespace) -> int:
    from iptsim.policy.first import first_policy

    sources = sources_of(one for one in (arguments.policy, *arguments.source) if one is not None)
    sys.stdout.write(first_policy([(source, open_source(arguments, source)) for source in sources]))
    return ANSWERED


def _check(arguments: argparse.Namespace) -> int:
    policy = _policy(arguments)
    arguments.source = sources_of(arguments.source)
    if wants_summary(arguments):
        work = partial(failed_of, policy=policy, options=reading_options(arguments))
        return summarise(arguments, work, arguments.source)
    checked: list[Checked] = []
    has_failed = False
    errors: dict[str, str] = {}
    console = output(arguments) if arguments.format == "text" else None
    several = len(arguments.source) > 1
    for source in one_by_one(arguments.source):
        try:
            one = _checked(arguments, policy, source)
        except FileSyntaxError as error:
            if not several or error.span.source == policy.source:
                raise
            errors[source] = str(error)
        except IptsimError as error:
            if not several:
                raise
            errors[source] = str(error)
        else:
            has_failed |= bool(one.failed)
            if needs_all(arguments):
                checked.append(one)
            if console is not None:
                for line in one.lines(heading=several, quiet=arguments.quiet):
                    console.show(line)
            elif arguments.format == "json":
                print_json(one.as_json(policy.source))
            continue
        complain_of(arguments, source, errors[source])
    if arguments.format not in ("text", "json"):
        sys.stdout.write(_as_whole(arguments, arguments.format, checked, errors))
    write_beside(arguments, lambda name: _as_whole(arguments, name, checked, errors))
    return BAD if errors else DIFFERS if has_failed else ANSWERED


def _policy(arguments: argparse.Namespace) -> Policy:
    """Read the policy; the error for a source in its place says so."""
    from iptsim.policy.reader import read_policy

    try:
        return read_policy(arguments.policy)
    except IptsimError:
        first, *_ = arguments.source
        if first.endswith(_SUFFIXES) and not arguments.policy.endswith(_SUFFIXES):
            raise UsageError(
                message(
                    "{given} is not a policy; the policy comes first: iptsim check {first} {given}",
                    given=arguments.policy,
                    first=first,
                )
            ) from None
        raise


def failed_of(source: str, policy: Policy, options: dict[str, Any]) -> HostResult:
    """Return the names of the expectations that fail on one source, and its rules."""
    from iptsim.fleet import result_of
    from iptsim.policy.checking import check
    from iptsim.sources import load_host

    host = load_host(source, **options)
    failed = dict.fromkeys(one.expectation.name for one in check(policy, host) if not one.passed)
    return result_of(source, host, tuple(failed))


def _checked(arguments: argparse.Namespace, policy: Policy, source: str) -> Checked:
    from iptsim.policy.checking import Grounds, Spaces, check
    from iptsim.policy.mending import mending
    from iptsim.render.policy import Checked

    host = open_source(arguments, source)
    spaces = Spaces()
    results = check(policy, host, Grounds(host, spaces))
    failed = [number for number, result in enumerate(results) if not result.passed]
    found = {number: mending(policy, host, results, number, spaces) for number in failed[:_MOST_MENDED]}
    return Checked(source, host, results, {number: one for number, one in found.items() if one is not None})


def _as_whole(
    arguments: argparse.Namespace, name: str, checked: list[Checked], errors: dict[str, str]
) -> str:
    """Return the results of all sources in a format that holds them together."""
    from iptsim.render.annotations import github, junit, sarif
    from iptsim.render.sheets import comma_separated, markdown, page

    if name in ("markdown", "csv", "html"):
        sheets = [one.sheet() for one in checked]
        if name == "markdown":
            return "\n".join(map(markdown, sheets))
        return comma_separated(sheets) if name == "csv" else page(sheets, say("Policy"))
    annotations = [annotation for one in checked for annotation in one.annotations()]
    if name == "github":
        return "".join(f"{line}\n" for line in github(annotations))
    if name == "junit":
        return junit(annotations, errors)
    meanings = {"policy": say("A host does not treat packets as its policy expects.")}
    return json_text(sarif(annotations, meanings, arguments.program, [*errors.values()]), indent=2) + "\n"
