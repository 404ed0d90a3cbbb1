"""The rules in a listing of `iptables -L`, from the columns of their rows, and the chain of rows without one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.extensions.hidden import SHOW, Hidden
from iptsim.extensions.parameters import ANY_PROTOCOL
from iptsim.host.docker_defaults import OWN_BRIDGES
from iptsim.languages import message
from iptsim.paste.addresses import address_option
from iptsim.paste.jumps import OFFLOADING
from iptsim.paste.listed import Phrases, read_phrases
from iptsim.paste.listing_lines import MISSING, Columns, is_for_all_interfaces
from iptsim.paste.pieces import RuleItem, made_words
from iptsim.paste.prompts import Command

_ANY_INTERFACE = ("*", "any")
_NOT_FROM_BRIDGE = re.compile(rf"!(?:{OWN_BRIDGES.pattern})")


class ListedRule(NamedTuple):
    """A row of a listing.

    Attributes:
        columns: what its columns contain.
        phrases: what follows them.
        line: its line, from 1.
        text: the line.
        chain: its chain, if the listing shows a heading above it.
    """

    columns: Columns
    phrases: Phrases
    line: int
    text: str
    chain: str | None


def is_bare(listed: ListedRule, family: Family) -> bool:
    """Return whether a rule accepts all packets, as far as a listing without -v shows it."""
    columns, phrases = listed.columns, listed.phrases
    is_open = columns.target == "ACCEPT" and not phrases.matches and not phrases.unread
    return is_open and not list(_parameters(columns, family, []))


def rule_of(
    listed: ListedRule, chain: str | None, family: Family, table: str, *, for_lo: bool = False
) -> RuleItem:
    """Return a rule of a listing; the conditions that the listing does not show are unknown.

    Args:
        listed: the rule.
        chain: its chain, None if it is not known.
        family: the address family.
        table: its table.
        for_lo: it is the first rule of INPUT that accepts all packets, as far as the listing shows it.
    """
    columns, phrases, line = listed.columns, listed.phrases, listed.line
    hidden: list[Hidden] = []
    words = list(_parameters(columns, family, hidden))
    for match in phrases.matches:
        words += match
    offloads = (OFFLOADING, f"{OFFLOADING} hw") if columns.target == OFFLOADING else ()
    hidden += [_unread(part) for part in phrases.unread if part not in offloads]
    if columns.interfaces is None and not is_for_all_interfaces(columns, family):
        reason = message("the interfaces of the rule, which -L shows only with -v")
        if for_lo:
            reason = message("the interface of the rule (usually lo), which -L shows only with -v")
        hidden.append(
            Hidden(
                words="-i ? -o ?",
                reason=reason,
                settle=SHOW,
                place=("interfaces", table, chain, line),
                told=message("on interfaces that are not shown"),
            )
        )
    if columns.target:
        words += ["-g" if phrases.goto else "-j", columns.target, *phrases.target]
    return RuleItem(
        chain,
        made_words(words),
        line,
        listed.text.strip(),
        columns.counters,
        columns.position,
        tuple(hidden),
    )


def _unread(part: str) -> Hidden:
    return Hidden(
        words=f'"{part}"',
        reason=message("what {words} means, which iptsim can't read", words=f'"{part}"'),
        settle=SHOW,
        place=("unread", part),
    )


def _parameters(columns: Columns, family: Family, hidden: list[Hidden]) -> Iterator[str]:
    """Yield the options in the columns of a rule; unknown conditions go to `hidden`."""
    for flag, text in (("-s", columns.source), ("-d", columns.destination)):
        words, unknown = address_option(flag, text, family)
        yield from words
        if unknown is not None:
            hidden.append(unknown)
    for flag, text in zip(("-i", "-o"), columns.interfaces or (), strict=False):
        if text == MISSING:
            hidden.append(_unread(f"{flag} {text}"))
        elif text not in _ANY_INTERFACE:
            yield from (["!"] if text.startswith("!") else [])
            yield from (flag, text.lstrip("!"))
    protocol = columns.protocol.lstrip("!")
    if protocol.lower() not in ANY_PROTOCOL:
        yield from (["!"] if columns.protocol.startswith("!") else [])
        yield from ("-p", protocol)
    if "f" in columns.options:
        yield from (["!"] if columns.options.startswith("!") else [])
        yield "-f"


#: The end of a row in the middle of a word, and targets whose options iptables always lists.
_CUT_WORD = re.compile(r"[a-z][a-z-]{1,11}|/\* .*")
_ANYWHERE = ("anywhere", "0.0.0.0/0", "::/0")
_LISTED = ("DNAT", "SNAT", "REJECT", "LOG")


def without_cut_end(listed: ListedRule) -> ListedRule | None:
    """Return a row that breaks off behind its interfaces, with what is missing unknown; None for a whole one."""
    columns, phrases = listed.columns, listed.phrases
    address = columns.destination
    if not columns.rest and any(whole.startswith(address) and whole != address for whole in _ANYWHERE):
        return listed._replace(columns=columns._replace(destination=MISSING))
    if phrases.unread:
        ends = listed.text.rstrip().endswith(phrases.unread[-1])
        return listed if ends and _CUT_WORD.fullmatch(phrases.unread[-1]) else None
    if columns.target in _LISTED and not phrases.target:
        return listed._replace(phrases=read_phrases(f"{columns.rest} ...", columns.target))
    return None


def chain_of_rows(command: Command | None, table: str, rows: Sequence[Columns]) -> str | None:
    """Return the chain that a command lists, or the one in which only Docker has such rows; None if it is unknown."""
    listed = command.option("-L", "--list") if command is not None else None
    if listed is not None and not listed.startswith("-"):
        return listed
    return "PREROUTING" if table == "raw" and are_dockers_drops(rows) else None


def are_dockers_drops(rows: Sequence[Columns]) -> bool:
    """Return whether rows are those of Docker 28 and later in table raw: to a container, but not from its bridge."""
    return bool(rows) and all(
        row.target == "DROP"
        and row.interfaces is not None
        and _NOT_FROM_BRIDGE.fullmatch(row.interfaces[0]) is not None
        and row.interfaces[1] in _ANY_INTERFACE
        for row in rows
    )
