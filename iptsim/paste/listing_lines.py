"""Single lines of a listing of `iptables -L`: the heading of a chain, the names of the columns, a rule."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.commands import POLICIES
from iptsim.dump.rule import Counters
from iptsim.extensions.parameters import parse_protocol
from iptsim.extensions.registry import find_target
from iptsim.grammar import parser
from iptsim.paste.placeholders import is_cut

#: The layouts of rules that can be told from a row alone, the most specific first.
LAYOUTS = ("numbered_verbose", "verbose", "numbered", "plain")
_UNITS = {"K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
#: Names of the chains that Docker, kube-proxy, CNI plugins and fail2ban create.
_CHAIN = re.compile(r"DOCKER|(?:DOCKER|KUBE|CNI|NETAVARK|f2b|fail2ban)-[\w-]+")
#: What a row begins with, and an address in it.
_ROW = re.compile(
    r"\s*(?:\d+\s+)?(?:\d+[KMGT]?\s+\d+[KMGT]?\s+)?"
    rf"(?:[A-Z]{{2,}}|{_CHAIN.pattern})\s+!?(?:[a-z][\w-]*|\d+)\s"
)
_END = re.compile(r"!?(?:anywhere|[\dxX.*]+\.[\dxX.*/]+|[0-9a-fA-F]*:[0-9a-fA-F:/]*)")
#: A placeholder or a name for an address, but no word of a sentence.
_NAME = re.compile(r"!?(?:[A-Z][A-Z0-9_-]{2,}|[\w-]+(?:\.[\w-]+)+)")

#: What the columns `in` and `out` hold.
_INTERFACE = re.compile(r"\*|!?[A-Za-z][\w.@+-]{0,15}")

#: A heading, as far as it is there.
_CUT_HEADING = re.compile(
    r"\s*Chain (?P<name>[^\s()]+) \((?:(?P<references>\d+)(?= *r)|policy\b ?(?P<policy>[A-Z]*))?"
)
#: A heading whose counters are redacted.
_UNCOUNTED_HEADING = re.compile(
    r"\s*Chain (?P<name>[^\s()]+) \(policy (?P<policy>[A-Z]+) [^\s()]{1,20} packets, [^\s()]{1,20} bytes\)\s*"
)
_BEGINNING = re.compile(
    r"\s*(?:\d+\s+)?(?P<counters>\d+[KMGT]?\s+\d+[KMGT]?\s+)?[A-Za-z][\w-]*\s+(?:all|tcp|udp|icmp|\d+)\s+--(?=\s|$)"
)


#: A row that breaks off before `opt`, as far as it is there.
_CUT_ROW = re.compile(
    r"\s*(?P<numbers>(?:\d+[KMGT]?(?:\s+|$)){0,3})"
    r"(?P<target>[A-Za-z][\w-]*)?(?:\s+(?:all|tcp|udp|icmp|\d+)(?:\s+-)?)?\s*"
)

_STATES = re.compile(r"\b(?:ct)?state ([A-Z,]*)$")
_STATE_NAMES = {"NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "SNAT", "DNAT"}

#: The time in a line of a log, whose words otherwise look like the columns of a rule.
_TIME = re.compile(r"\d\d:\d\d:\d\d(?:[.,]\d+)?")
#: The mark of a column that is not there.
MISSING = "?"
#: At least this many blanks are an empty column.
_WIDE = 11
#: What follows the addresses of a row, and is no address.
_PHRASE = re.compile(
    r"(?:tcp|udp|sctp)\s+!?(?:[sd]pts?:|flags:)|icmp\s?type|(?:ct)?state\s+[A-Z]|/\*|to:|reject-with\s|match-set\s"
    r"|ADDRTYPE\s|multiport\s|LOG\s|limit:|mark match\s|PHYSDEV\s|redir\s|recent:\s|owner\s"
)
_PORTS = re.compile(r"[sd]pts?:")
#: A placeholder with blanks, `{my address}`, and a comment, in which there is none.
_HOLDER = re.compile(
    r"/\*.*?\*/|\{[A-Za-z][\w'/ -]{0,40}\}|<[A-Za-z][\w'/ -]{0,40}>|\([A-Za-z][\w' -]{0,40}\)(?=  )"
)
#: What DNAT and SNAT print before the new address.
_NO_DESTINATION = re.compile(r"(?:^|\s)to:$")


class Columns(NamedTuple):
    """The columns of a rule, as printed.

    Attributes:
        interfaces: in and out; None if the listing was made without -v.
        rest: what follows the addresses.
    """

    position: int | None
    counters: Counters | None
    target: str
    protocol: str
    options: str
    interfaces: tuple[str, str] | None
    source: str
    destination: str
    rest: str


#: The comment of a rule of kube-proxy that refuses what is for a service; it never names interfaces (proxier.go).
_REFUSED_SERVICE = re.compile(r"/\* \S+ has no (?:local )?endpoints \*/")


def leads_on(target: str, family: Family) -> bool:
    """Return whether a target is a chain."""
    return bool(target) and find_target(target, family) is None


def is_for_all_interfaces(columns: Columns, family: Family) -> bool:
    """Return whether unknown interfaces of a rule do not matter: it calls a chain, whose rules decide, or has none."""
    return leads_on(columns.target, family) or _REFUSED_SERVICE.search(columns.rest) is not None


def is_row(text: str) -> bool:
    """Return whether a line that stands alone is a rule of a listing: it has a known target, and addresses.

    One end may be a name or a placeholder, unless the target is a chain of a well-known program.
    """
    columns = columns_of(text) if _ROW.match(text) else None
    if columns is None:
        return False
    unknown = [end for end in (columns.source, columns.destination) if not _END.fullmatch(end)]
    if find_target(columns.target, 4) is None:
        return not unknown and _CHAIN.fullmatch(columns.target) is not None
    return len(unknown) < 2 and all(map(_NAME.fullmatch, unknown))


@lru_cache(maxsize=4096)
def _parsed(text: str, start: str) -> Tree[Token] | None:
    try:
        return parser("listing").parse(text, start=start)
    except UnexpectedInput:
        return None


def heading_of(text: str) -> tuple[str, str | None, Counters | None, int | None] | None:
    """Return a chain's name, and its policy with counters or its number of references; None for another line."""
    tree = _parsed(text.strip(), "heading")
    if tree is None:
        uncounted = _UNCOUNTED_HEADING.fullmatch(text)
        known = uncounted is not None and uncounted["policy"] in POLICIES
        return (uncounted["name"], uncounted["policy"], None, None) if uncounted and known else None
    name, what = tree.children
    assert isinstance(what, Tree)
    tokens = [str(token) for token in what.children]
    if what.data == "references":
        return str(name), None, None, int(tokens[0]) if tokens and tokens[0].isdecimal() else None
    counters = Counters(_number(tokens[1]), _number(tokens[2])) if len(tokens) > 2 else None
    return str(name), "" if is_cut(tokens[0]) else tokens[0], counters, None


def cut_heading_of(text: str) -> tuple[str, str | None, Counters | None, int | None] | None:
    """Return the same for a heading of which a part was cut out: `Chain FORWARD (policy DROP 0 pack...`.

    The policy is "" if it is that of a built-in chain, but not shown.
    """
    found = _CUT_HEADING.match(text)
    if found is None or not any(is_cut(word.strip("()")) or word.endswith("...") for word in text.split()):
        return None
    if found["references"]:
        return found["name"], None, None, int(found["references"])
    policy = found["policy"] if found["policy"] in POLICIES else ""
    return found["name"], policy, None, None


def begins_table(chain: str, above: Sequence[str]) -> bool:
    """Return whether a built-in chain is the first of a table, below the built-in chains of another one.

    INPUT is that of filter where it follows all chains of raw, or of nat before kernel 2.6.36, which lack it.
    """
    if chain == "INPUT" and ("POSTROUTING" in above or list(above) == ["PREROUTING", "OUTPUT"]):
        return True
    return chain in above or (chain == "PREROUTING" and bool(above))


def begins_row(text: str, layout: str | None) -> bool:
    """Return whether a line has the first columns of a rule up to `opt`, so that it is not the rest of another one."""
    found = _BEGINNING.match(text)
    return found is not None and (layout is None or bool(found["counters"]) is layout.endswith("verbose"))


def filled_row(text: str, layout: str | None) -> str | None:
    """Return a row that breaks off, with a mark for each column that is missing; the last word may be cut."""
    if not begins_row(text, layout):
        return None
    begun, behind = text.split(" --", 1)
    words = behind.split() if text.endswith(" ") else behind.split()[:-1]
    expected = 4 if layout is not None and "verbose" in layout else 2
    if len(words) >= expected:
        return None
    return f"{begun} -- {' '.join([*words, *[MISSING] * (expected - len(words))])} ..."


def breaks_off(text: str, layout: str | None) -> bool:
    """Return whether a line is a row that breaks off before `opt`: its counters, target and protocol, or some of them.

    Without counters, only a known target tells it from other words.

    >>> breaks_off("   12   840 DROP       all", "verbose"), breaks_off("   12   8", "verbose")
    (True, True)
    >>> breaks_off("ACCEPT     tcp", "plain"), breaks_off("thanks", "plain")
    (True, False)
    """
    found = _CUT_ROW.fullmatch(text)
    if found is None or layout is None:
        return False
    if "verbose" in layout:
        return len(found["numbers"].split()) > 1
    return found["target"] is not None and find_target(found["target"], 4) is not None


def with_blank_column(text: str, places: tuple[int, int] | None) -> str | None:
    """Return a row with a mark for an address that was taken out, as the names of the columns show; else None."""
    if places is None or places[1] - places[0] < _WIDE:
        return None
    source, destination = places
    for start, end, other in ((source, destination, destination), (destination, destination + _WIDE, source)):
        aligned = re.fullmatch(r" \S", text[other - 1 : other + 1])  # long names shift the columns
        if aligned and not text[start - 1 : end - 1].strip() and text[end:].strip():
            columns = columns_of(text)
            if columns and all(map(_END.fullmatch, (columns.source, columns.destination))):
                return None  # a long name has shifted the columns; none is blank
            return f"{text[:start]}{MISSING}{text[start + 1 :]}"
    return None


def without_addresses(text: str, layout: str | None, *, blank: bool) -> str | None:
    """Return a row with marks for both addresses, which were taken out, and for that of a target; None for another row.

    Args:
        text: the row.
        layout: the layout of the listing.
        blank: other rows of the listing lack their addresses, so one that ends before them is no cut one.
    """
    if layout is None or not begins_row(text, layout):
        return None
    begun, behind = text.split(" --", 1)
    words = behind.split(None, 2) if "verbose" in layout else ["", "", behind.strip()]
    if len(words) < (2 if blank else 3) or (len(words) > 2 and not _PHRASE.match(words[2])):
        return None
    rest = _NO_DESTINATION.sub(rf"\g<0>{MISSING}", "".join(words[2:]))
    return f"{begun} -- {words[0]} {words[1]} {MISSING} {MISSING} {rest}".rstrip()


def ends_cut(text: str) -> bool:
    """Return whether the last word is the beginning of a longer one, which iptables would print.

    >>> ends_cut("... ctstate RELATED,ESTA"), ends_cut("... tcp dpt:80")
    (True, False)
    """
    found = _STATES.search(text)
    return found is not None and not set(found[1].split(",")) <= _STATE_NAMES


def cut_width(rows: Sequence[tuple[int, bool]]) -> int | None:
    """Return the number of characters after which rows were cut, as a pager or a narrow window does; else None.

    Args:
        rows: the length of each row, and whether its end can't be read.
    """
    width = max((length for length, _ in rows), default=0)
    ends = [unread for length, unread in rows if length == width]
    return width if len(ends) > 1 and any(ends) else None


def layout_of(text: str) -> str | None:
    """Return the layout of the rules below the names of the columns; None for another line."""
    tree = _parsed(text.strip(), "columns")
    if tree is None:
        return None
    shown = {child.data for child in tree.children if isinstance(child, Tree)}
    if "counters" in shown and "interfaces" not in shown:
        return None
    parts = (
        ("numbered", "numbers" in shown),
        ("verbose", "interfaces" in shown),
        ("uncounted", "interfaces" in shown and "counters" not in shown),
    )
    return "_".join(name for name, is_shown in parts if is_shown) or "plain"


def columns_of(text: str, layout: str | None = None) -> Columns | None:
    """Return the columns of a rule; without a layout, try each of them."""
    text = _HOLDER.sub(_as_word, text.strip())
    for start in (layout,) if layout else LAYOUTS:
        tree = _parsed(text, start)
        if tree is None:
            continue
        columns = _with_destination(_with_interfaces(_columns(tree, start)))
        if _is_protocol(columns.protocol) and not _TIME.fullmatch(columns.source):
            return columns
    return None


def _as_word(found: re.Match[str]) -> str:
    """Return a placeholder as one word; a comment stays as it is."""
    return found[0] if found[0].startswith("/*") else re.sub(r"[\s/]", "_", found[0])


def _with_interfaces(columns: Columns) -> Columns:
    """Return the columns of a row of -v without its counters, in which interfaces come before the addresses."""
    first, second = columns.source, columns.destination
    behind = columns.rest.split(None, 2)
    if columns.interfaces or len(behind) < 2 or not all(map(_END.fullmatch, behind[:2])):
        return columns
    if not all(_INTERFACE.fullmatch(one) and not _END.fullmatch(one) for one in (first, second)):
        return columns
    return columns._replace(
        interfaces=(first, second), source=behind[0], destination=behind[1], rest="".join(behind[2:])
    )


def _with_destination(columns: Columns) -> Columns:
    """Return the columns of a row without its destination, as its ports show that follow the source."""
    is_left_out = columns.destination == columns.protocol and _PORTS.match(columns.rest) is not None
    if not is_left_out:
        return columns
    return columns._replace(destination=MISSING, rest=f"{columns.destination} {columns.rest}")


def _columns(tree: Tree[Token], layout: str) -> Columns:
    *numbers, rule = tree.children
    assert isinstance(rule, Tree)
    figures = [_number(str(number)) for number in numbers]
    position = figures.pop(0) if layout.startswith("numbered") else None
    words = list(rule.children)
    rest = str(words.pop()) if words[-1].type == "REST" else ""  # type: ignore[union-attr]
    texts = [str(word) for word in words]
    target = texts.pop(0) if rule.data == "targeted" else ""
    options = next((str(word) for word in words if word.type == "OPT"), "")  # type: ignore[union-attr]
    if options:
        texts.remove(options)
    protocol, *between, source, destination = texts
    return Columns(
        position,
        Counters(*figures) if figures else None,
        target,
        protocol,
        options,
        (between[0], between[1]) if between else None,
        source,
        destination,
        rest,
    )


def _is_protocol(text: str) -> bool:
    try:
        parse_protocol(text.lstrip("!"))
    except ValueError:
        return False
    return True


def _number(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)


def lacks_chains(table: str, shown: Sequence[str], called: Collection[str], *, whole_line: bool) -> bool:
    """Return whether a listing of a table that a text ends with lacks chains.

    Args:
        table: the table.
        shown: the chains that it shows, in order.
        called: the chains to which its rules jump.
        whole_line: its last line has an end. Then iptables must list the missing chains later: the built-in ones in the
            order of the hooks, then all others by name. A command may have listed one chain alone.
    """
    builtin = [one for one in BUILTIN_CHAINS[table] if (table, one) != ("nat", "INPUT")]
    missing = {*builtin, *called} - {*shown}
    if not whole_line:
        return bool(missing)
    order = [*BUILTIN_CHAINS[table], *sorted({*shown, *missing} - {*BUILTIN_CHAINS[table]})]
    last = order.index(shown[-1]) if shown[1:] else len(order)
    return any(order.index(one) > last for one in missing)
