"""`xtables-monitor --event`: changes of rules as commands, and the programs that made them.

Rules that were there before are not shown, and an inserted rule is printed like an appended one (rule_cb and chain_cb,
iptables/xtables-monitor.c).
"""

from __future__ import annotations

import re

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.paste.lines import Line
from iptsim.paste.pieces import ChainItem, CommandItem, Rules, Segment, made_words
from iptsim.paste.prompts import Command, words_of

_CHANGE = re.compile(r"\s*EVENT: -(?P<family>[46]) -t (?P<table>\w+) (?P<command>-[ADNX] \S.*)")
_BASE = re.compile(
    r"\s*EVENT: # nft: (?P<family>ip6?) (?P<table>\w+) (?P<chain>\S+) use \d+ type \w+ hook \w+ .*?"
    r"policy (?P<policy>accept|drop)"
)
_OTHER = re.compile(r"\s*(?:EVENT: |NEWGEN: GENID=)")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the events that start at a line, or None."""
    if not _OTHER.match(lines[at].text):
        return None
    tables: dict[tuple[Family, str], Rules] = {}
    end = at
    while end < len(lines) and _OTHER.match(lines[end].text):
        line = lines[end]
        end += 1
        found = _CHANGE.match(line.text) or _BASE.match(line.text)
        if found is None or found["table"] not in BUILTIN_CHAINS:
            continue
        family: Family = 6 if found["family"] in ("6", "ip6") else 4
        rules = tables.setdefault((family, found["table"]), _rules(family, found["table"]))
        if found.re is _BASE:
            rules.items.append(ChainItem(found["chain"], found["policy"].upper(), None, line.number))
        else:
            words = made_words(words_of(found["command"]))
            rules.items.append(CommandItem(words, line.number, found["command"]))
    if not any(rules.items for rules in tables.values()):
        return None
    names = ", ".join(dict.fromkeys(table for _, table in tables))
    title = f"xtables-monitor --event ({names})"
    return Segment("xtables-monitor", title, at, end - 1, [*tables.values()])


def _rules(family: Family, table: str) -> Rules:
    return Rules(
        table, family, whole=False, fragment=True, backend="nf_tables", filtered="xtables-monitor -e"
    )
