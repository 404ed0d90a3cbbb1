"""`nft list ruleset`, parts of it, and `nft add rule`: tables of iptables-nft become rules.

Tables of other programs are treated like `nft -j list ruleset` in a capture: chains that could affect a packet.
"""

from __future__ import annotations

import json
import re
from typing import Any

from iptsim.dump.ruleset import BUILTIN_CHAINS
from iptsim.dump.words import Word
from iptsim.packet import Family
from iptsim.paste.lines import Line
from iptsim.paste.nft_rules import elements, translated, without_guesses
from iptsim.paste.pieces import ChainItem, CommandItem, Facts, GapItem, Piece, RuleItem, Rules, Segment
from iptsim.paste.prompts import Command, command_of

_TABLE = re.compile(r"\s*table\s+(?:(?P<family>ip|ip6|inet|bridge|netdev|arp)\s+)?(?P<name>[\w.-]+)\s*\{")
_SET = re.compile(r"\s*(?P<kind>set|map)\s+(?P<name>[^\s{]+)\s*\{")
_CHAIN = re.compile(r"\s*chain\s+(?P<name>[^\s{]+)\s*\{")
_BASE = re.compile(
    r"\s*type\s+(?P<type>\w+)\s+hook\s+(?P<hook>\w+)(?:\s+device\s+\"?(?P<device>[\w.-]+)\"?)?\s+priority\s+"
    r"(?P<priority>[\w +-]+?)\s*;(?:\s*policy\s+(?P<policy>\w+)\s*;)?"
)
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_HOOKS = ("input", "forward", "output", "prerouting", "postrouting")
#: The statements of a rule that is not shown.
_ANYTHING: list[dict[str, Any]] = [{"drop": None}, {"match": None}, {"unread": None}]
#: A command for a table that is not one of iptables.
_NATIVE = re.compile(
    r"\s*(?:[\"'$#]+\s*)?(?:sudo\s+)?(?:nft\s+)?['\"]?(?:add|insert|create|flush)\s+(?P<what>table|chain|rule)\s+"
    r"(?P<family>inet|ip6?|bridge)\s+(?P<table>[\w.-]+)(?:\s+(?P<chain>[\w.-]+)(?P<rest>.*)|[\s\"',;]*)$"
)
_COMMAND = re.compile(
    r"(?P<what>add|insert)\s+rule\s+(?:(?P<family>ip6?)\s+)?(?P<table>\w+)\s+(?P<chain>[\w.-]+)\s+"
    r"(?:(?:position|index|handle)\s+\d+\s+)?(?P<rule>.+)"
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the nftables tables, or the command that adds a rule, that start at a line; or None."""
    if _TABLE.match(lines[at].text) or _CHAIN.match(lines[at].text):
        reader = _Reader(lines, at)
        reader.read()
        return reader.segment()
    typed = command_of(lines[at].text)
    added = _added(lines[at], typed, at) if typed is not None and typed.program == "nft" else None
    return added or _commands(lines, at)


def _commands(lines: list[Line], at: int) -> Segment | None:
    """Return the commands of nft that start at a line, also those of a file for `nft -f`, or in quotes; or None."""
    objects: list[dict[str, Any]] = []
    places: list[str] = []
    last = at
    for index in range(at, len(lines)):
        line = lines[index]
        found = _NATIVE.match(line.text)
        if found is None and places and (line.is_blank or line.text.lstrip().startswith("#")):
            continue
        if found is None or (found["family"] in ("ip", "ip6") and found["table"] in BUILTIN_CHAINS):
            break
        last = index
        places.append(f"{found['family']} {found['table']}")
        if found["chain"]:
            objects += _object(found, line)
    if not places:
        return None
    names = ", ".join(dict.fromkeys(places))
    facts = Facts({"nft-ruleset.json": json.dumps({"nftables": without_guesses(objects)}).encode()})
    return Segment("nft commands", f"nft commands ({names})", at, last, [facts])


def _object(found: re.Match[str], line: Line) -> list[dict[str, Any]]:
    """Return what a command makes: a chain or a rule; where that rule's chain is not shown, anything may be in it."""
    place = {"family": found["family"], "table": found["table"]}
    rest = found["rest"].strip().rstrip(",;").strip("\"'").strip()
    if found["what"] == "chain":
        base = _BASE.match(rest.strip("'\\{ ").replace("\\", ""))
        return [{"chain": {**place, "name": found["chain"], **(_base_fields(base) if base else {})}}]
    rule = translated(rest, {"ip": 4, "ip6": 6}.get(found["family"], 0), line.number)
    made: list[dict[str, Any]] = [{"rule": {**place, "chain": found["chain"], "expr": list(rule.statements)}}]
    hook = found["chain"].lower()
    if hook in _HOOKS:
        made += [
            {"chain": {**place, "name": found["chain"], "type": "filter", "hook": hook, "guessed": True}},
            {"rule": {**place, "chain": found["chain"], "expr": _ANYTHING, "guessed": True}},
        ]
    return made


def _base_fields(found: re.Match[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": found["type"],
        "hook": found["hook"],
        "prio": _priority(found["priority"]),
        "policy": (found["policy"] or "accept").lower(),
    }
    return {**fields, "dev": found["device"]} if found["device"] else fields


def _added(line: Line, typed: Command, at: int) -> Segment | None:
    text = typed.text.removeprefix("nft").replace("'", "").strip()
    found = _COMMAND.match(text)
    if not found or found["table"] not in BUILTIN_CHAINS:
        return None
    family: Family = 6 if found["family"] == "ip6" else 4
    rule = translated(found["rule"], family, line.number)
    flag, chain = ("-I" if found["what"] == "insert" else "-A"), found["chain"]
    words = (Word(flag, flag, 0, 0), Word(chain, chain, 0, 0), *rule.words)
    rules = Rules(found["table"], family, whole=False)
    rules.items.append(CommandItem(words, line.number, text, hidden=rule.hidden))
    return Segment("nft commands", f"nft commands ({found['table']})", at, at, [rules], table=found["table"])


class _Reader:
    """Reads nftables tables line by line."""

    def __init__(self, lines: list[Line], at: int) -> None:
        self.lines, self.first, self.at, self.last = lines, at, at, at
        self.table: tuple[str, str] | None = None
        self.chain: str | None = None
        self.depth = 0
        #: the set or map that is open, and its lines
        self.open_set: tuple[re.Match[str], list[str]] | None = None
        self.rules: dict[tuple[str, str], Rules] = {}
        self.objects: list[dict[str, Any]] = []
        #: tables with base chains that are not those of iptables
        self.native: set[tuple[str, str]] = set()

    def read(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.is_blank and not self._line(line):
                return
            self.at += 1

    def _line(self, line: Line) -> bool:
        text = line.text.strip()
        if found := _TABLE.match(text):
            self.table, self.chain, self.depth = (found["family"] or "ip", found["name"]), None, 1
            self.objects.append({"table": {"family": self.table[0], "name": self.table[1]}})
        elif self.table is None and _CHAIN.match(text):
            # an excerpt of a table without the line that names it
            self.table, self.depth = ("ip", _table_of(self.lines[self.at :])), 1
            return self._line(line)
        elif self.table is None:
            return False
        elif found := _CHAIN.match(text):
            self._begin(found["name"], line)
        elif self.chain is None and (found := _SET.match(text)):
            self.depth += 1
            self.open_set = (found, [])
        elif text.startswith("}"):
            self._close_set()
            self.depth -= 1
            self.chain = None
            if self.depth <= 0:
                self.table = None
        elif self.chain is not None:
            self._in_chain(text, line)
        elif self.open_set is not None:
            self.open_set[1].append("..." if line.is_gap else text)
        elif text.endswith("{"):
            self.depth += 1
        self.last = self.at
        return True

    @property
    def _iptables(self) -> Rules | None:
        """The rules of a table that iptables-nft writes."""
        assert self.table is not None
        family, name = self.table
        if family not in ("ip", "ip6") or name not in BUILTIN_CHAINS:
            return None
        if self.table not in self.rules:
            self.rules[self.table] = Rules(name, 6 if family == "ip6" else 4, backend="nf_tables")
        return self.rules[self.table]

    def _begin(self, name: str, line: Line) -> None:
        assert self.table is not None
        self.chain, self.depth = name, self.depth + 1
        rules = self._iptables
        if rules is not None:
            rules.items.append(ChainItem(name, None, None, line.number))
        self.objects.append({"chain": {"family": self.table[0], "table": self.table[1], "name": name}})

    def _close_set(self) -> None:
        """Add the set or map that ends, unless its elements can't be read: then it may contain anything."""
        if self.open_set is None or self.table is None:
            return
        (found, lines), self.open_set = self.open_set, None
        text = " ".join(lines)
        flags = re.search(r"\bflags ([\w,]+)", text)
        listed = re.search(r"\belements = \{(.*)\}", text)
        contents = elements(listed[1].strip()) if listed and listed[1].strip() else []
        if contents is None or "..." in lines:
            return
        family, table = self.table
        about = {"family": family, "table": table, "name": found["name"], "elem": contents}
        if flags:
            about["flags"] = flags[1].split(",")
        self.objects.append({found["kind"]: about})

    def _in_chain(self, text: str, line: Line) -> None:
        assert self.table is not None
        assert self.chain is not None
        rules = self._iptables
        if found := _BASE.match(text):
            fields = _base_fields(found)
            self.objects[-1]["chain"] |= fields
            policy = fields["policy"]
            if rules is not None and self.chain not in BUILTIN_CHAINS[self.table[1]]:
                self.native.add(self.table)
            elif rules is not None:
                rules.items.append(ChainItem(self.chain, policy.upper(), None, line.number))
            return
        if line.is_gap:
            if rules is not None:
                rules.items.append(GapItem(self.chain, line.number, text))
            self._rule(_ANYTHING)
            return
        if text.startswith("#") or re.match(r"(policy|flags|comment)\b.*;?$", text):
            return
        family = {"ip": 4, "ip6": 6}.get(self.table[0], 0)
        rule = translated(text, family, line.number)
        if rules is not None:
            rules.items.append(
                RuleItem(self.chain, rule.words, line.number, text, rule.counters, None, rule.hidden)
            )
        self._rule(list(rule.statements))

    def _rule(self, statements: list[dict[str, Any]]) -> None:
        assert self.table is not None
        family, table = self.table
        self.objects.append(
            {"rule": {"family": family, "table": table, "chain": self.chain, "expr": statements}}
        )

    def segment(self) -> Segment:
        """Return what was read; a chain that is not closed may go on."""
        if self.table is not None and self.chain is not None:
            last = self.lines[self.last]
            if (rules := self._iptables) is not None:
                rules.items.append(GapItem(self.chain, last.number, last.text))
            self._rule(_ANYTHING)
        pieces: list[Piece] = [rules for table, rules in self.rules.items() if table not in self.native]
        pieces.append(Facts({"nft-ruleset.json": json.dumps({"nftables": self.objects}).encode()}))
        tables = ", ".join(
            dict.fromkeys(
                f"{one['chain']['family']} {one['chain']['table']}" for one in self.objects if "chain" in one
            )
        )
        return Segment("nft list ruleset", f"nft list ruleset ({tables})", self.first, self.last, pieces)


def _table_of(lines: list[Line]) -> str:
    """Return the table that chains are of, by what their rules do."""
    text = "\n".join(line.text for line in lines[:200])
    if re.search(r"\b(?:dnat|snat|masquerade|redirect)\b|type nat\b", text):
        return "nat"
    return "raw" if re.search(r"priority raw\b|priority -300", text) else "filter"


def _priority(text: str) -> int:
    """Return a priority as a number: "filter + 10" is 10."""
    found = re.fullmatch(r"(-?\w+)\s*(?:([+-])\s*(\d+))?", text.strip())
    if not found:
        return 0
    base = _PRIORITIES.get(found[1], int(found[1]) if re.fullmatch(r"-?\d+", found[1]) else 0)
    return base + (int(found[2] + found[3]) if found[2] else 0)
