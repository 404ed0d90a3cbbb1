"""Lines that the kernel logged: by a LOG rule of iptables or nftables, or by TRACE."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.grammar import parser
from iptsim.host.logged_lines import LoggedLine, Visit
from iptsim.languages import message
from iptsim.owners.log_prefixes import verdict_of
from iptsim.paste.addresses import is_address
from iptsim.paste.lines import Line, continued
from iptsim.paste.pieces import Ask, Segment, Warned
from iptsim.paste.prompts import Command
from iptsim.protocols import TCP_FLAGS

#: The kernel adds no space behind a rule's prefix: `DROPIN=eth0 OUT=`.
_LINE = re.compile(r"(?P<before>.*?)(?P<fields>(?<!PHYS)IN=\S* OUT=\S*(?: .*)?$)")
#: People leave out empty fields: a packet to the first address of a bridge's subnet is for the host.
_TO_BRIDGE = re.compile(
    r"(?P<before>.*?)(?P<fields>\bIN=(?:docker\d+|br-\w+) (?:.* )?SRC=\d[\d.]+ DST=\d+\.\d+\.\d+\.1(?: .*)?$)"
)
#: The text before a rule's own prefix: the time, the machine, the timestamp of the ring buffer.
_STAMP = re.compile(
    r"^.*?(?:kernel:\s*)?(?:\[\s*[0-9]+\.[0-9]+\]\s*)|^.*?\bkernel:\s*|^<[0-9]+>"
    r"|^\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]+ [0-9]{4}\]\s*"  # dmesg -T
)
_TRACE = re.compile(
    r"TRACE: (?P<table>raw|mangle|nat|filter|security):(?P<chain>[^\s:]+):(?P<kind>rule|policy|return):(?P<number>\d+)"
)
#: The last value of a line that breaks off may be cut, too; the kernel writes others after these.
_CUT_VALUE = re.compile(r"\s(?:SRC|DST|SPT|DPT|TYPE|CODE)=\S*$")
#: A line goes over at most this many lines.
_WRAPPED = 8
#: Further lines of a log are not read: that is what `iptsim flows` is for.
MOST_LINES = 10_000
_UNREAD = message(
    "only {count:,} lines of a log are read here; iptsim flows SOURCE LOG... reads all lines",
    count=MOST_LINES,
)
#: A value that someone replaced: `SRC=[redacted]`.
_REDACTED = re.compile(r"=\[([A-Za-z][\w-]*)\]")
#: Fields that someone wrote in bold: `PROTO=TCP **SPT=40000** DPT=80`; stars within an address replace its bytes.
_BOLD = re.compile(r"(?<![.*])\*\*(\s*[A-Z]{2,}=[^*]*[^.*])\*\*(?![.*])")


class Record(NamedTuple):
    """The contents of a logged line.

    Attributes:
        prefix: the rule's prefix before the packet.
        pairs: the fields, by the kernel's names.
        flags: the flags of TCP, DF and similar ones.
        visit: the chain and rule that TRACE names.
    """

    prefix: str
    pairs: dict[str, str]
    flags: tuple[str, ...]
    visit: Visit | None

    @property
    def hook(self) -> str:
        """The hook, inferred from its interfaces."""
        if not self.pairs.get("IN"):
            return "OUTPUT"
        return "FORWARD" if self.pairs.get("OUT") else "INPUT"

    @property
    def family(self) -> Family:
        """The address family: nf_log_syslog.c writes HOPLIMIT only for IPv6, where someone replaced the addresses."""
        addresses = self.pairs.get("SRC", "") + self.pairs.get("DST", "")
        return 6 if ":" in addresses or "HOPLIMIT" in self.pairs else 4

    @property
    def identity(self) -> tuple[str, ...]:
        """What all lines about one packet have in common, even if its addresses are translated."""
        number = self.pairs.get("ID", "0")
        # a host may give several packets the ID 0; a line that is cut may lack the port
        names = ("SRC", "FLOWLBL", "SPT") if number == "0" else ("SRC",)
        return (number, *(self.pairs.get(name, "") for name in names))

    def logged(self, line: int) -> LoggedLine:
        """Return the packet that a line logs."""
        return LoggedLine(
            line=line,
            family=self.family,
            hook=self.hook,
            prefix=self.prefix,
            verdict=verdict_of(self.prefix),
            fields=question_of(self),
            pairs=tuple(self.pairs.items()),
            flags=self.flags,
            visit=self.visit,
            conditions=_conditions(self),
            packet=self.identity,
        )


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the logged lines that start at a line, or None."""
    records: list[tuple[Record, int]] = []
    end = at
    while end < len(lines) and len(records) < MOST_LINES:
        text, last = continued(lines, end, _WRAPPED)
        line = lines[last]._replace(text=text)
        if (record := _read(line, records[-1][0] if records else None)) is None:
            break
        records.append((record, lines[end].number))
        end = last + 1
    if not records:
        return None
    traced = any(record.visit for record, _ in records)
    pieces: list[Ask | LoggedLine] = []
    asked: set[tuple[tuple[str, Any], ...]] = set()
    for record, number in records:
        logged = record.logged(number)
        if (key := tuple(sorted(logged.fields.items()))) not in asked:
            asked.add(key)
            pieces.append(Ask(logged.fields, number))
        pieces.append(logged)
    form = "TRACE lines" if traced else "kernel log lines" if len(records) > 1 else "kernel log line"
    unread = list(_further(lines, end)) if len(records) == MOST_LINES else []
    warned = [Warned(_UNREAD, lines[unread[0]].number)] if unread else []
    return Segment(form, form, at, end - 1 + len(unread), [*pieces, *warned], unread)


def _further(lines: list[Line], at: int) -> Iterator[int]:
    """Yield the indexes of the logged lines from one on."""
    while at < len(lines) and _LINE.match(lines[at].text):
        yield at
        at += 1


def _read(line: Line, before: Record | None) -> Record | None:
    """Return the contents of a logged line; of one that breaks off, only what is certain."""
    if line.ended:
        return record_of(line.text)
    text = _CUT_VALUE.sub("", line.text)
    return record_of(text) or (_cut_short(text, before) if before is not None else None)


def _cut_short(text: str, before: Record) -> Record | None:
    """Return a TRACE line that breaks off before its addresses, if all of it fits the packet of the line before."""
    traced = re.search(_TRACE.pattern + r"\s", text)
    if traced is None or before.visit is None or traced["table"] not in BUILTIN_CHAINS:
        return None
    shown = (word.partition("=") for word in text[traced.end() :].split()[:-1])
    if any(before.pairs.get(key) != value for key, _, value in shown):
        return None
    return before._replace(
        visit=Visit(traced["table"], traced["chain"], traced["kind"], int(traced["number"]))
    )


def record_of(text: str) -> Record | None:
    """Return the contents of a logged line; None for any other line."""
    found = _LINE.match(text) or ("OUT=" not in text and _TO_BRIDGE.match(text))
    if not found or ("SRC=" not in text and "PROTO=" not in text):
        return None
    try:
        fields = _REDACTED.sub(r"=<\1>", re.sub(r"\s+", " ", _BOLD.sub(r"\1", found["fields"])).strip())
        tree = parser("logline").parse(fields)
    except UnexpectedInput:
        return None
    pairs: dict[str, str] = {}
    flags = []
    for child in tree.children:
        if isinstance(child, Tree) and child.data == "pair":
            key, *value = map(str, child.children)
            pairs.setdefault(key, value[0] if value else "")
        elif isinstance(child, Token) and child.type == "FLAG":
            flags.append(str(child))
    before = found["before"]
    traced = _TRACE.search(before)
    visit = None
    if traced and traced["table"] in BUILTIN_CHAINS:
        visit = Visit(traced["table"], traced["chain"], traced["kind"], int(traced["number"]))
    prefix = "" if traced else _STAMP.sub("", before).strip()
    return Record(prefix, pairs, tuple(flags), visit)


def question_of(record: Record) -> dict[str, Any]:
    """Return the packet of a logged line as a question."""
    pairs = record.pairs
    fields: dict[str, Any] = {}
    source, destination = pairs.get("SRC", ""), pairs.get("DST", "")
    if record.hook == "OUTPUT":
        fields["from"] = "host"
    else:
        fields["in"] = pairs["IN"]
        fields["from"] = source if is_address(source) else "internet"
    fields["to"] = (
        destination if is_address(destination) else "host" if record.hook == "INPUT" else "internet"
    )
    if record.family == 6 and ":" not in fields["from"] + fields["to"]:
        fields["family"] = 6
    fields["proto"] = pairs.get("PROTO", "tcp").lower()
    for name, key in (("sport", "SPT"), ("dport", "DPT"), ("ttl", "TTL"), ("length", "LEN")):
        if pairs.get(key, "").isdecimal():
            fields[name] = int(pairs[key])
    if pairs.get("TYPE", "").isdecimal():
        fields["icmp_type"] = int(pairs["TYPE"])
        if pairs.get("CODE", "").isdecimal():
            fields["icmp_code"] = int(pairs["CODE"])
    flags = [flag for flag in record.flags if flag in TCP_FLAGS]
    if fields["proto"] == "tcp" and flags and flags != ["SYN"]:
        fields["tcp_flags"] = ",".join(flags)
    if pairs.get("MARK", "").startswith("0x"):
        fields["mark"] = pairs["MARK"]
    return fields


def _conditions(record: Record) -> tuple[str, ...]:
    """Return the options of a rule that only packets like the logged one match."""
    pairs = record.pairs
    words: list[str] = []
    for flag, key in (("-s", "SRC"), ("-d", "DST")):
        if is_address(pairs.get(key, "")):
            words += [flag, pairs[key]]
    for flag, key in (("-i", "IN"), ("-o", "OUT")):
        if pairs.get(key):
            words += [flag, pairs[key]]
    protocol = pairs.get("PROTO", "").lower()
    if protocol:
        words += ["-p", protocol]
    if protocol in ("tcp", "udp") and pairs.get("DPT", "").isdecimal():
        words += ["-m", protocol, "--dport", pairs["DPT"]]
    return tuple(words)
