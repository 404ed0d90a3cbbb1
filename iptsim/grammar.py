"""Finds the grammars and returns their parsers, loaded from stored tables or built on first use.

Tables are valid for one release of Lark and one version of a grammar, so their file is named after both
(`grammars/ready/dump-1.3.1-0123456789ab.tables`; `python -m tests.tables` writes them). If none matches, the
parser is built, which takes about ten times as long.

The patterns that the reader of dumps makes from a grammar are stored as well (`grammars/ready/dump-0123456789ab.json`):
most dumps are read without Lark, whose import takes as long as reading 10,000 rules.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iptsim.languages import Text, message

if TYPE_CHECKING:
    from lark import Lark
    from lark.grammar import Rule, Symbol

#: The grammars and their start symbols.
STARTS: dict[str, tuple[str, ...]] = {
    "sentences": ("sentence",),
    "dump": ("dump", "line"),
    "failures": ("failure",),
    "iproute": ("link", "address", "brief", "one_line", "route", "nexthop", "rule"),
    "listed": ("match", "target"),
    "listing": (
        "heading",
        "columns",
        "plain",
        "numbered",
        "verbose",
        "numbered_verbose",
        "verbose_uncounted",
        "numbered_verbose_uncounted",
    ),
    "logline": ("start",),
    "nft": ("start",),
    "nft_trace": ("start",),
    "xtables_monitor": ("start",),
    "packets": ("tcpdump", "tuple"),
    "u32": ("start",),
    "values": (
        "any_text",
        "interface",
        "mark",
        "nat_ports",
        "nat_range_4",
        "nat_range_6",
        "network",
        "plain_nat_range_4",
        "plain_nat_range_6",
        "plain_network_4",
        "plain_network_6",
        "port_list",
        "port_range",
        "rate",
        "words",
    ),
}
#: The symbols whose patterns are stored.
STORED = {"dump": ("COUNTERS", "NAME", "NOT", "OPTION", "WORD", "QUOTED"), "values": STARTS["values"]}


def folder() -> Path:
    """Return the directory of the grammars: in the package if installed, at the top level of a checkout."""
    package = Path(__file__).parent
    installed = package / "grammars"
    return installed if installed.exists() else package.parent / "grammars"


def digest(name: str) -> str:
    """Return what distinguishes a version of a grammar from others."""
    text = (folder() / f"{name}.lark").read_bytes() + " ".join(STARTS[name]).encode()
    return f"{zlib.crc32(text):08x}{len(text):04x}"


def ready_file(name: str) -> Path:
    """Return the file with the tables of a grammar, if there is one for this Lark."""
    import lark

    return folder() / "ready" / f"{name}-{lark.__version__}-{digest(name)}.tables"


def patterns_file(name: str) -> Path:
    """Return the file with the stored patterns of a grammar, if there is one."""
    return folder() / "ready" / f"{name}-{digest(name)}.json"


def build(name: str) -> Lark:
    """Build the parser of a grammar."""
    from lark import Lark

    text = (folder() / f"{name}.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", start=list(STARTS[name]), maybe_placeholders=False)


@cache
def parser(name: str) -> Lark:
    """Return the parser of a grammar."""
    from lark import Lark

    file = ready_file(name)
    if not file.exists():
        return build(name)
    with file.open("rb") as stream:
        return Lark.load(stream)


@cache
def pattern(name: str, symbol: str) -> re.Pattern[str]:
    """Return a pattern for everything that a grammar derives from a symbol.

    The symbol must not be recursive, except for the repetitions that Lark makes from `*` and `+`.
    """
    return re.compile(_stored(name).get(symbol) or expression(name, symbol))


@cache
def _stored(name: str) -> Mapping[str, str]:
    file = patterns_file(name) if name in STORED else None
    stored: dict[str, str] = json.loads(file.read_text("utf-8")) if file is not None and file.exists() else {}
    return stored


def expression(name: str, symbol: str) -> str:
    """Make the regular expression of :func:`pattern` from the grammar."""
    made = parser(name)
    if symbol.isupper():
        return made.get_terminal(symbol).pattern.to_regexp()
    rules: dict[str, list[Rule]] = {}
    for rule in made.rules:
        rules.setdefault(rule.origin.name, []).append(rule)

    def of_symbols(symbols: Sequence[Symbol]) -> str:
        return "".join(
            f"(?:{made.get_terminal(symbol.name).pattern.to_regexp()})" if symbol.is_term else of(symbol.name)
            for symbol in symbols
        )

    @cache
    def of(symbol: str) -> str:
        first = [rule for rule in rules[symbol] if [one.name for one in rule.expansion[:1]] != [symbol]]
        again = [rule for rule in rules[symbol] if rule not in first]
        found = "|".join(of_symbols(rule.expansion) for rule in first)
        more = "|".join(of_symbols(rule.expansion[1:]) for rule in again)
        return f"(?:{found})(?:{more})*" if more else f"(?:{found})"

    return of(symbol)


class Malformed(ValueError):
    """A value that is not in its language.

    Attributes:
        at: the column of the error, from 0.
    """

    def __init__(self, message: Text, at: int) -> None:
        super().__init__(message)
        self.at = at


def check_form(start: str, text: str) -> None:
    """Check that a text is in a language of values.

    A pattern made from the grammar accepts valid texts; for invalid ones, the parser finds the error.

    Raises:
        Malformed: it is not.
    """
    if pattern("values", start).fullmatch(text):
        return
    from lark.exceptions import UnexpectedInput, UnexpectedToken

    try:
        parser("values").parse(text, start=start)
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position: Any = error.pos_in_stream
        at: int = len(text) if ended else position
        rest = text[at:]
        raise Malformed(
            message("unexpected {rest!r}", rest=rest) if rest else message("the value is incomplete"),
            at,
        ) from None
