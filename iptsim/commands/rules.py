"""`iptsim rules`: the rules in words."""

from __future__ import annotations

import argparse
from typing import Any

from iptsim.commands.common import ANSWERED, add_command, add_rules, add_source, open_rules, print_json


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "rules", run, "say in words what each rule does, and whose it is")
    add_source(parser)
    parser.add_argument("chain", metavar="CHAIN", nargs="?", help="only this chain")
    add_rules(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the rules."""
    from iptsim.render.console import Output
    from iptsim.render.rules import rules_json, rules_lines

    host, ruleset = open_rules(arguments)
    if arguments.json:
        print_json(rules_json(ruleset, host, table=arguments.table, chain=arguments.chain))
        return ANSWERED
    console = Output()
    for line in rules_lines(ruleset, host, table=arguments.table, chain=arguments.chain):
        console.print(line, soft_wrap=True)
    return ANSWERED
