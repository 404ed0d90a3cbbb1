"""Chains and rules as `iptables -nL` prints them, in the form of the version that wrote the dump."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.text import Text

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Counters, Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.errors import UsageError, printable
from iptsim.extensions.base import Target
from iptsim.extensions.listing import ListingForm
from iptsim.languages import message
from iptsim.render.marks import DECIDES, NONE, Marks

_ZERO = Counters(0, 0)
#: Protocols that iptables names even with `-n` (xtables_chain_protos in libxtables).
_PROTOCOLS = {
    0: "all", 1: "icmp", 6: "tcp", 17: "udp", 50: "esp", 51: "ah", 58: "ipv6-icmp", 132: "sctp",
    135: "mobility-header", 136: "udplite",
}  # fmt: skip
_OLD_PROTOCOLS = {**_PROTOCOLS, 58: "icmpv6", 135: "ipv6-mh"}
_NEW_PROTOCOLS = {**_PROTOCOLS, 33: "dccp", 108: "ipcomp"}
_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
#: Counters of more digits are shortened; then each further step begins at this number.
_WHOLE, _STEP = 99_999, 9_999


class ListedLine(NamedTuple):
    """A line of a listing.

    Attributes:
        text: the line, without the line end.
        chain: the chain whose heading it is, else None.
        rule: the rule that it shows, else None.
    """

    text: str
    chain: Chain | None = None
    rule: Rule | None = None

    @property
    def inert(self) -> str:
        """The line with control characters made visible, except the NUL that `-m bpf` prints."""
        return "\0".join(map(printable, self.text.split("\0")))


def listing(
    ruleset: Ruleset,
    table: str = "filter",
    chain: str | None = None,
    *,
    verbose: bool = False,
    numbers: bool = False,
    exact: bool = False,
) -> Iterator[ListedLine]:
    """Yield the lines that `iptables -t TABLE -nL [CHAIN]` prints.

    Rules and chains without counters are listed with zeros, as after a fresh restore.

    Args:
        ruleset: the rules; its version and backend determine the format of the listing.
        table: the table.
        chain: only this chain.
        verbose: as with `-v`: counters and interfaces.
        numbers: as with `--line-numbers`.
        exact: as with `-x`: whole counters.

    Raises:
        UsageError: there is no such table or chain.
    """
    form = ListingForm.of(ruleset.version, ruleset.backend, ruleset.family)
    references = Counter(
        rule.target.chain
        for found in _chains(ruleset, table)
        for rule in found.rules
        if isinstance(rule.target, Jump)
    )
    shown = [found for found in _chains(ruleset, table) if chain in (None, found.name)]
    if not shown:
        raise UsageError(ruleset.missing_chain(chain or "", table))
    for place, found in enumerate(shown):
        if place:
            yield ListedLine("")
        yield ListedLine(_heading(found, references[found.name], verbose, exact), chain=found)
        yield ListedLine(_columns(verbose, numbers, exact))
        for rule in found.rules:
            yield ListedLine(_line(rule, form, verbose, numbers, exact), rule=rule)


def listing_lines(lines: Iterable[ListedLine], marks: Marks) -> Iterator[Text]:
    """Yield the lines of a listing with a column of marks in front, then a legend."""
    for line in lines:
        place = line.rule or line.chain
        mark = marks.of(place) if place is not None else NONE
        style = "bold" if mark == DECIDES else "dim" if line.rule and mark == NONE else ""
        yield Text(f"{mark} {line.inert}" if line.text else "", style)
    yield Text("")
    yield marks.legend


def _chains(ruleset: Ruleset, table: str) -> list[Chain]:
    """Return a table's chains as the kernel has them: the built-in ones, in the order of their hooks, first.

    iptables-save prints them in that order; of a file that something else wrote, the chains are put in
    the order in which a restore leaves them.
    """
    entry = ruleset.tables.get(table)
    if entry is None and (table not in BUILTIN_CHAINS or ruleset.listed):
        raise UsageError(
            message(
                "unknown table {table}; choose from: {choices}",
                table=table,
                choices=", ".join(ruleset.tables),
            )
        )
    chains = dict(entry.chains) if entry else {}
    builtin = BUILTIN_CHAINS.get(table, ())
    own = [chain for name, chain in chains.items() if name not in builtin]
    if ruleset.version is None:
        own.sort(key=lambda chain: chain.name.encode(errors="surrogateescape"))
    return [*(chains.get(name) or Chain(table, name, "ACCEPT") for name in builtin), *own]


def _heading(chain: Chain, references: int, verbose: bool, exact: bool) -> str:
    if not chain.builtin:
        return f"Chain {chain.name} ({references} references)"
    counted = ""
    if verbose:
        packets, size = (_number(number, exact).strip() for number in chain.counters or _ZERO)
        counted = f" {packets} packets, {size} bytes"
    return f"Chain {chain.name} (policy {chain.policy or 'ACCEPT'}{counted})"


def _columns(verbose: bool, numbers: bool, exact: bool) -> str:
    text = "num  " if numbers else ""
    if verbose:
        text += f"{'pkts':>8} {'bytes':>10} " if exact else f"{'pkts':>5} {'bytes':>5} "
    text += f"{'target':<9}  prot opt"
    if verbose:
        text += f" {'in':<6} {'out':<6} "
    return f"{text} {'source':<19}  {'destination':<19} "


def _line(rule: Rule, form: ListingForm, verbose: bool, numbers: bool, exact: bool) -> str:
    given = rule.parameters
    text = f"{rule.position:<4} " if numbers else ""
    if verbose:
        packets, size = rule.counters or _ZERO
        text += f"{_number(packets, exact)} {_number(size, exact)} "
    target = rule.target_name
    if isinstance(rule.target, Target):
        target = rule.target.listed_name or target
    text += f"{target:<9} {given.bang('protocol') or ' '}{_protocol(given.protocol or 0, form)}"
    text += _fragment(rule, form)
    if verbose:
        interfaces = (
            given.bang(field) + (getattr(given, field) or "*") for field in ("in_interface", "out_interface")
        )
        text += "".join(f" {interface:<6}" for interface in interfaces) + " "
    for field in ("source", "destination"):
        network = getattr(given, field)
        shown = _ANYWHERE[form.family] if network is None else network.short
        text += f"{given.bang(field) or ' '}{shown:<19} "
    if isinstance(rule.target, Jump) and rule.target.goto:
        text += "[goto] "
    text += "".join(match.lists(form) for match in rule.matches)
    if rule.target is not None and not isinstance(rule.target, Jump):
        text += rule.target.lists(form)
    return text


def _fragment(rule: Rule, form: ListingForm) -> str:
    if form.family == 6:
        return "-- " if form.since(1, 8, 9) else "   "
    given = rule.parameters
    return f"{given.bang('fragment') or '-'}{'f' if given.fragment else '-'} "


def _protocol(number: int, form: ListingForm) -> str:
    """Return a protocol: by name, but by number in 1.8.9 and 1.8.10."""
    if form.since(1, 8, 11):
        return f"{_NEW_PROTOCOLS.get(number, number):<4} "
    if form.since(1, 8, 9):
        return f"{number:<4} "
    known = _PROTOCOLS if form.since(1, 8, 8) else _OLD_PROTOCOLS
    return f"{known.get(number, number):<5}"


def _number(number: int, exact: bool) -> str:
    """Return a counter as xtables_print_num prints it.

    >>> _number(99999, False), _number(100000, False), _number(9999500, False), _number(7, True)
    ('99999', ' 100K', '  10M', '       7')
    """
    if exact:
        return f"{number:>8}"
    if number <= _WHOLE:
        return f"{number:>5}"
    for unit in "KMG":
        number = (number + 500) // 1000
        if number <= _STEP:
            return f"{number:>4}{unit}"
    return f"{(number + 500) // 1000:>4}T"
