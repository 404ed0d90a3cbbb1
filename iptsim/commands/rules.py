"""`iptsim rules`: the rules in words, or as iptables lists them."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from iptsim.commands.common import (
    ANSWERED,
    add_command,
    add_plain,
    add_question,
    add_rules,
    add_source,
    add_teach,
    answer,
    asks_about_packet,
    open_rules,
    output,
    print_json,
    question_fields,
)
from iptsim.errors import UsageError
from iptsim.languages import message, say

if TYPE_CHECKING:
    from iptsim.host import Host
    from iptsim.render.marks import Marks

_EPILOG = message(
    "Of chains without effect (no rules, or only jumps to such chains), only the names are shown, unless\n"
    "CHAIN names one.\n"
    "With --from, --to or another packet option, > marks the rule that decides, and + each other rule that\n"
    "the packet matches. --like-iptables lists table filter unless -t names another, in the format of the\n"
    "iptables version that wrote the dump."
)


def add(commands: Any) -> None:
    """Add the command."""
    text = say("explain what each rule does, and who created it")
    parser = add_command(
        commands,
        "rules",
        run,
        text,
        epilog=str(_EPILOG),
        examples=(
            "rules.txt -t nat",
            "capture.tar.gz DOCKER-USER --from internet --to web:80",
        ),
    )
    add_source(parser)
    parser.add_argument("chain", metavar="CHAIN", nargs="?", help=say("only this chain"))
    add_rules(parser)
    add_plain(parser)
    add_teach(parser)
    parser.add_argument("--json", action="store_true", help=say("print JSON"))
    like = parser.add_argument_group(say("the listing of iptables"))
    like.add_argument(
        "--like-iptables", action="store_true", help=say("print what iptables -t TABLE -nL [CHAIN] prints")
    )
    like.add_argument(
        "-v", "--verbose", action="store_true", help=say("show counters and interfaces, like iptables -nvL")
    )
    like.add_argument(
        "-x", "--exact", action="store_true", help=say("show exact counters, like iptables -nvxL")
    )
    like.add_argument("--line-numbers", action="store_true", help=say("number the rules"))
    add_question(parser, family=False)


def run(arguments: argparse.Namespace) -> int:
    """Print the rules."""
    if arguments.like_iptables:
        return _list(arguments)
    for option, given in (("-v", arguments.verbose), ("-x", arguments.exact)):
        if given:
            raise UsageError(message("{option} requires --like-iptables", option=option))
    from iptsim.glossary import terms_in
    from iptsim.netfilter.nft_program import with_nftables
    from iptsim.render.rules import rules_json, rules_lines

    host, ruleset = open_rules(arguments)
    if arguments.table is None and arguments.chain is None:
        ruleset = with_nftables(ruleset, host.namespace)
    if arguments.json:
        out = rules_json(ruleset, host, table=arguments.table, chain=arguments.chain)
        if arguments.teach:
            words = rules_lines(ruleset, host, table=arguments.table, chain=arguments.chain)
            out["teach"] = [term.as_json() for term in terms_in(line.plain for line in words)]
        print_json(out)
        return ANSWERED
    marks = _marks(arguments, host)
    console = output(arguments)
    shown = []
    for line in rules_lines(ruleset, host, table=arguments.table, chain=arguments.chain, marks=marks):
        console.show(line)
        shown.append(line.plain)
    if arguments.teach:
        from iptsim.render.glossary import print_terms

        print_terms(terms_in(shown), console)
    return ANSWERED


def _list(arguments: argparse.Namespace) -> int:
    """Print the rules as iptables lists them, without wrapping lines at the width of the terminal."""
    from iptsim.render.listing import listing, listing_lines

    if arguments.teach:
        raise UsageError(message("--teach cannot be used with --like-iptables"))
    if arguments.json:
        raise UsageError(message("--json cannot be used with --like-iptables"))
    table, arguments.table = arguments.table or "filter", None
    host, ruleset = open_rules(arguments)
    lines = listing(
        ruleset,
        table,
        arguments.chain,
        verbose=arguments.verbose,
        numbers=arguments.line_numbers,
        exact=arguments.exact,
    )
    marks = _marks(arguments, host)
    if marks is None:
        for line in lines:
            sys.stdout.write(f"{line.inert}\n")
        return ANSWERED
    console = output(arguments)
    for marked in listing_lines(lines, marks):
        console.print(marked, soft_wrap=True, highlight=False)
    return ANSWERED


def _marks(arguments: argparse.Namespace, host: Host) -> Marks | None:
    """Return the marks of the rules that the packet matches; None without a question."""
    fields = {**question_fields(arguments), "family": arguments.family, "verbose": None}
    fields = {name: value for name, value in fields.items() if value is not None}
    if not asks_about_packet(fields):
        return None
    from iptsim.render.marks import marks_of

    return marks_of(answer(host, arguments, fields))
