"""`nft list ruleset`, parts of it, and `nft add rule`: tables of iptables-nft become rules.

Tables of other programs are treated like `nft -j list ruleset` in a capture: chains that could affect a packet.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.words import Word
from iptsim.host.nft_rules import GAP
from iptsim.host.nftables import HOOKS
from iptsim.languages import message
from iptsim.paste.errors import fails, is_echo
from iptsim.paste.lines import Line
from iptsim.paste.nft_json import base_chains_to_come, elements, is_foreign, without_guesses
from iptsim.paste.nft_lines import UNNAMED, Statements, has_variables
from iptsim.paste.nft_rules import shown_rule, translated
from iptsim.paste.nft_shapes import Shapes
from iptsim.paste.pieces import (
    ChainItem,
    CommandItem,
    Facts,
    GapItem,
    Item,
    Piece,
    RuleItem,
    Rules,
    Segment,
    Warned,
)
from iptsim.paste.prompts import Command, command_of

#: What segments of commands are called; and the file of a capture with the rules of nft.
COMMANDS = "nft commands"
FILE = "nft-ruleset.json"
_TABLE = re.compile(r"\s*table\s+(?:(?P<family>ip|ip6|inet|bridge|netdev|arp)\s+)?(?P<name>[\w.-]+)\s*\{")
_SET = re.compile(r"\s*(?P<kind>set|map)\s+(?P<name>[^\s{]+)\s*\{")
#: What every set and map tells first.
_TYPE = re.compile(r"\s*type(?:of)?\s+\w")
_CHAIN = re.compile(r"\s*chain\s+(?P<name>[^\s{]+)\s*\{")
_BASE = re.compile(
    r"\s*type\s+(?P<type>\w+)\s+hook\s+(?P<hook>\w+)"
    r"(?:\s+device\s+\"?(?P<device>[\w.-]+)\"?|\s+devices\s*=\s*\{[^}]*\})?\s+priority\s+"
    r"(?P<priority>[\w +-]+?)\s*(?:;|#|$)(?:\s*policy\s+(?P<policy>\w+)\s*(?:;|$))?"
)
_POLICY = re.compile(r"policy\s+(accept|drop)\b")
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
#: The statements that represent rules which are not shown: some of a chain, those after shown ones, all of a chain.
_SOME, _REST, _ALL = ([{GAP: which}] for which in ("some", "rest", "all"))
#: Chains of firewalld with its nftables backend, whose table has this name.
_FIREWALLD = re.compile(r"\s*chain\s+(?:filter|nat|mangle|raw)_[A-Z]\w*\s*\{")
#: OpenWrt's table; fw4 begins each of its comments so (firewall4, ruleset.uc).
_FW4 = ("inet", "fw4")
#: What only rules of family inet have.
_INET = re.compile(r"\b(?:[ds]nat ip6? to|meta nfproto)\b")
#: A base chain of nft's own: those of iptables-nft have names in capital letters. And what rules of family ip have.
_OF_IPTABLES = re.compile(rf"chain\s+(?:{'|'.join(BUILTIN_CHAINS['mangle'])})\s*\{{\s*type\s+\w+\s+hook\s")
_OWN_BASE = re.compile(r"chain\s+[a-z][\w.-]*\s*\{\s*type\s+\w+\s+hook\s")
_IP = re.compile(r"\b[ds]nat to\b")
#: At most this many lines of an excerpt tell its table.
_READ = 200
#: A command of nft, or a line of a file for `nft -f`.
_COMMAND = re.compile(
    r"\s*(?:[\"'$#]+\s*)?(?:sudo\s+)?(?P<program>nft\s+)?['\"]?(?P<verb>add|insert|create|flush)\s+"
    r"(?P<what>table|chain|rule|element)\s+(?:(?P<family>inet|ip6?|bridge)\s+)?(?P<table>[\w.-]+)"
    r"(?:\s+(?P<chain>[\w.-]+)(?P<rest>.*)|[\s\"',;]*)$"
)
#: Flags of sets whose elements programs add and that go away again.
_CHANGING = re.compile(r"\bflags (?:\w+ ?, ?)*(?:dynamic|timeout)\b")
_PLACE = re.compile(r"\s*(?:position|index|handle)\s+\d+\s+")


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the nftables tables, or the command that adds a rule, that start at a line; or None."""
    if _TABLE.match(lines[at].text) or _CHAIN.match(lines[at].text) or _is_lone_set(lines, at):
        is_listing = command is not None and command.program == "nft" and "list" in command.words
        reader = _Reader(lines, at, is_listing=is_listing)
        reader.read()
        return reader.segment()
    return _commands(lines, at)


def _is_lone_set(lines: list[Line], at: int) -> bool:
    """Return whether a set or a map begins at a line, without its table."""
    return _SET.match(lines[at].text) is not None and any(
        _TYPE.match(part) for line in lines[at : at + 2] for part in re.split("[{;]", line.text)
    )


def _commands(lines: list[Line], at: int) -> Segment | None:
    """Return the commands of nft that start at a line, also those of a file for `nft -f`, or in quotes; or None."""
    #: what commands make, those that insert with the last one first
    objects: deque[dict[str, Any]] = deque()
    rules: dict[tuple[str, str], Rules] = {}
    places: list[str] = []
    last = at
    for index in range(at, len(lines)):
        line = lines[index]
        found = None if is_echo(lines, index) or fails(lines, index) else _command_in(line)
        if found is None and places and (line.is_blank or line.text.lstrip().startswith("#")):
            continue
        if found is None:
            break
        last = index
        family, table = found["family"] or "ip", found["table"]
        places.append(f"{family} {table}")
        if _of_iptables(family, table, found["chain"]):
            of = rules.setdefault(
                (family, table), Rules(table, 6 if family == "ip6" else 4, whole=False, backend="nf_tables")
            )
            of.items += _items(found, line, of)
        elif found["chain"]:
            made = _object(found, line)
            if found["verb"] == "insert":
                objects.extendleft(reversed(made))
            else:
                objects.extend(made)
    if not places:
        return None
    names = ", ".join(dict.fromkeys(places))
    pieces: list[Piece] = [one for one in rules.values() if one.items]
    if objects:
        pieces.append(Facts({FILE: json.dumps({"nftables": without_guesses([*objects])}).encode()}))
    tables = {table for _, table in rules}
    table = next(iter(tables)) if len(tables) == 1 and not objects else None
    return Segment(COMMANDS, f"{COMMANDS} ({names})", at, last, pieces, table=table)


def _command_in(line: Line) -> re.Match[str] | None:
    """Return the command of nft in a line; without its name, a line must tell the address family."""
    typed = command_of(line.text)
    text = typed.text if typed is not None and typed.program == "nft" else line.text
    found = _COMMAND.match(text)
    return found if found is not None and (found["program"] or found["family"]) else None


def _of_iptables(family: str, table: str, chain: str | None) -> bool:
    """Return whether a chain is, or may be called by, one of iptables-nft; its base chains are in capital letters."""
    if family not in ("ip", "ip6") or table not in BUILTIN_CHAINS:
        return False
    return chain is None or chain in BUILTIN_CHAINS[table] or chain.lower() not in HOOKS


def _rest(found: re.Match[str]) -> str:
    """Return what follows the chain in a command, without the quotation mark that ends the whole command."""
    rest = (found["rest"] or "").strip().rstrip(",;").strip()
    return rest[:-1].rstrip() if rest[-1:] in ("'", '"') and rest.count(rest[-1]) % 2 else rest


def _items(found: re.Match[str], line: Line, of: Rules) -> Iterator[CommandItem]:
    """Yield what a command for a table of iptables does, as commands of iptables."""
    chain, rest = found["chain"], _rest(found)
    if found["verb"] == "flush":
        yield _item(line, "-F", *([chain] if chain else []))
    elif found["what"] == "chain" and chain:
        base = _BASE.match(rest.strip("'\\{ ").replace("\\", ""))
        if base is None or chain not in BUILTIN_CHAINS[of.table]:
            yield _item(line, "-N", chain)
        else:
            yield _item(line, "-P", chain, (base["policy"] or "accept").upper())
    elif found["what"] == "rule" and chain:
        rule = translated(_PLACE.sub("", rest), of.family or 4, line.number)
        item = _item(line, "-I" if found["verb"] == "insert" else "-A", chain)
        yield item._replace(words=(*item.words, *rule.words), hidden=rule.hidden)


def _item(line: Line, *words: str) -> CommandItem:
    return CommandItem(tuple(Word(word, word, 0, 0) for word in words), line.number, line.text.strip())


def _object(found: re.Match[str], line: Line) -> list[dict[str, Any]]:
    """Return what a command makes: a chain or a rule; where that rule's chain is not shown, anything may be in it."""
    family = found["family"] or "ip"
    place = {"family": family, "table": found["table"]}
    rest = _rest(found)
    if found["what"] == "chain":
        inner = rest.strip("'\\{ ").replace("\\", "")
        base, policy = _BASE.match(inner), _POLICY.match(inner)
        fields = _base_fields(base) if base else {"policy": policy[1]} if policy else {}
        return [{"chain": {**place, "name": found["chain"], **fields}}]
    if found["what"] == "element":
        # what the set contained before is not known
        return [{"set": {**place, "name": found["chain"], "partial": True}}]
    rule = translated(_PLACE.sub("", rest), {"ip": 4, "ip6": 6}.get(family, 0), line.number)
    first = {"inserted": True} if found["verb"] == "insert" else {}
    made: list[dict[str, Any]] = [
        {
            "rule": {
                **place,
                "chain": found["chain"],
                "expr": list(rule.statements),
                **first,
                **shown_rule(_PLACE.sub("", rest), line.number),
            }
        }
    ]
    hook = found["chain"].lower()
    if hook in HOOKS:
        made = [
            {"chain": {**place, "name": found["chain"], "type": "filter", "hook": hook, "guessed": True}},
            {"rule": {**place, "chain": found["chain"], "expr": _SOME, "guessed": True}},
            *made,
            {"rule": {**place, "chain": found["chain"], "expr": _REST, "guessed": True}},
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


class _Reader:
    """Reads nftables tables line by line.

    Args:
        lines: the lines.
        at: the first one.
        is_listing: nft has printed them.
    """

    def __init__(self, lines: list[Line], at: int, *, is_listing: bool = False) -> None:
        self.is_listing = is_listing
        self.lines, self.first, self.at, self.last = lines, at, at, at
        self.statements = Statements(lines[:at])
        self.shapes = Shapes()
        self.table: tuple[str, str] | None = None
        self.chain: str | None = None
        #: the chains of the rules in which the chain is, if it has no name
        self.outer: list[str] = []
        self.depth = 0
        #: the chains are a part of a table, whose heading and end are not shown
        self.part = False
        #: the line of a part of which the address family is not known
        self.guessed: int | None = None
        #: the set or map that is open, and its lines
        self.open_set: tuple[re.Match[str], list[str]] | None = None
        self.rules: dict[tuple[str, str], Rules] = {}
        self.objects: list[dict[str, Any]] = []
        #: tables with base chains that are not those of iptables
        self.native: set[tuple[str, str]] = set()

    def read(self) -> None:
        while self.at < len(self.lines):
            for line in self.statements.of(self.lines[self.at]):
                if not self._line(line):
                    return
            self.at += 1
        self.at -= 1
        for line in self.statements.rest(self.lines[self.at]):
            self._line(line)

    def _line(self, line: Line) -> bool:
        text = line.text.strip()
        if self.statements.define(text):
            pass
        elif found := _TABLE.match(text):
            self.table, self.chain, self.depth = (found["family"] or "ip", found["name"]), None, 1
            self.outer.clear()
            self.part = False
            self.objects.append({"table": {"family": self.table[0], "name": self.table[1]}})
        elif self.table is None and _SET.match(text) and self.at == self.first:
            # a set or a map alone, of a table that is not shown
            self.table, self.depth, self.part = ("inet", "?"), 1, True
            return self._line(line)
        elif self.table is None and _CHAIN.match(text):
            # an excerpt of a table without the line that names it
            self.table, self.depth = _place_of(self.lines, self.at), 1
            self.part = True
            self.guessed = line.number if _may_be_of_both(_excerpt(self.lines, self.at)) else None
            self.objects += base_chains_to_come([], *_FW4) if self.table == _FW4 else []
            return self._line(line)
        elif self.table is None:
            return False
        elif found := _CHAIN.match(text):
            if self.chain is not None and found["name"].startswith(UNNAMED):
                self.outer.append(self.chain)
            self._begin(found["name"], line)
        elif self.chain is None and (found := _SET.match(text)):
            self.depth += 1
            self.open_set = (found, [])
        elif text.startswith("}"):
            self._close_set()
            self.depth -= 1
            self.chain = self.outer.pop() if self.outer else None
            if self.depth <= 0:
                self.table = None
        elif self.chain is not None:
            self._in_chain(text, line)
        elif self.open_set is not None:
            self.open_set[1].append("..." if line.is_gap else text)
        elif text.endswith("{"):
            self.depth += 1
        elif self.part and self.depth == 1 and not line.is_gap and not text.startswith("#"):
            return False  # no table has such a line between its chains
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
            own: Family = 6 if family == "ip6" else 4
            self.rules[self.table] = Rules(name, own, backend="nf_tables", printed=self.part)
        return self.rules[self.table]

    def _begin(self, name: str, line: Line) -> None:
        assert self.table is not None
        self.chain, self.depth = name, self.depth + 1
        rules = self._iptables
        if rules is not None:
            # a chain that is listed again
            rules.items[:] = [one for one in rules.items if _chain_of(one) != name]
            rules.items.append(ChainItem(name, None, None, line.number))
        self.objects.append(
            {"chain": {"family": self.table[0], "table": self.table[1], "name": name, "listed": True}}
        )

    def _close_set(self) -> None:
        """Add the set or map that ends, unless its elements can't be read: then it may contain anything."""
        if self.open_set is None or self.table is None:
            return
        (found, lines), self.open_set = self.open_set, None
        text = " ".join(lines)
        if re.search(r"\b(?:limit rate|quota|ct count)\b", text.partition("elements =")[0]):
            return  # each element matches only some packets
        size = re.search(r"\bsize ([0-9]{1,10})\b", text)
        listed = re.search(r"\belements = \{(.*)\}", text)
        contents = elements(listed[1].strip()) if listed and listed[1].strip() else []
        if contents is None or "..." in lines or has_variables(text):
            return
        family, table = self.table
        about = {"family": family, "table": table, "name": found["name"], "elem": contents}
        if size:
            about["size"] = int(size[1])
        if _CHANGING.search(text) and not (self.is_listing or " expires " in text):
            about["partial"] = True  # what a file fills is filled later
        self.objects.append({found["kind"]: about})

    def _in_chain(self, text: str, line: Line) -> None:
        assert self.table is not None
        assert self.chain is not None
        rules = self._iptables
        if found := _BASE.match(text):
            fields = _base_fields(found)
            next(one["chain"] for one in reversed(self.objects) if "chain" in one).update(fields)
            policy = fields["policy"]
            if rules is not None and self.chain not in BUILTIN_CHAINS[self.table[1]]:
                self.native.add(self.table)
            elif rules is not None:
                rules.items.append(ChainItem(self.chain, policy.upper(), None, line.number))
            return
        if found := _POLICY.match(text):
            next(one["chain"] for one in reversed(self.objects) if "chain" in one)["policy"] = found[1]
            if rules is not None and self.chain in BUILTIN_CHAINS[self.table[1]]:
                rules.items.append(ChainItem(self.chain, found[1].upper(), None, line.number))
            return
        if line.is_gap:
            if rules is not None:
                rules.items.append(GapItem(self.chain, line.number, text))
            self._rule(_SOME)
            return
        if text.startswith("#") or re.match(r"(flags|comment)\b.*;?$", text):
            return
        family = {"ip": 4, "ip6": 6}.get(self.table[0], 0)
        rule = translated(text, family, line.number, is_listing=self.is_listing, shapes=self.shapes)
        if rules is not None and is_foreign(rule.statements):
            self.native.add(self.table)
        if rules is not None:
            rules.items.append(
                RuleItem(self.chain, rule.words, line.number, text, rule.counters, None, rule.hidden)
            )
        self._rule(list(rule.statements), **shown_rule(text, line.number))

    def _rule(self, statements: list[dict[str, Any]], **shown: Any) -> None:
        assert self.table is not None
        family, table = self.table
        self.objects.append(
            {"rule": {"family": family, "table": table, "chain": self.chain, "expr": statements, **shown}}
        )

    def _called(self) -> None:
        """Add a placeholder for each chain that rules jump to and the text does not show."""
        of = [next(iter(entry.values())) for entry in self.objects if "table" not in entry]
        shown = {(one["family"], one["table"], one.get("name", one.get("chain"))) for one in of}
        for rule in of:
            for target in (*_targets(rule.get("expr", ())), *_targets_of_elements(rule.get("elem", ()))):
                place = (rule["family"], rule["table"], target)
                if place not in shown:
                    shown.add(place)
                    where = {"family": place[0], "table": place[1], "chain": target}
                    self.objects.append({"rule": {**where, "expr": _ALL, "guessed": True}})

    def segment(self) -> Segment:
        """Return what was read; a chain that is not closed may go on."""
        if self.table is not None and self.chain is not None:
            last = self.lines[self.last]
            if (rules := self._iptables) is not None:
                rules.items.append(GapItem(self.chain, last.number, last.text))
            self._rule(_SOME)
        if self.table is not None and not (self.part and self.depth == 1):
            self.objects += base_chains_to_come(self.objects, *self.table)
        self._called()
        pieces: list[Piece] = [rules for table, rules in self.rules.items() if table not in self.native]
        self.objects = without_guesses(self.objects)
        pieces.append(Facts({FILE: json.dumps({"nftables": self.objects}).encode()}))
        if self.guessed is not None:
            told = message(
                "the table of the chain is not shown; it is assumed to be for IPv4 and IPv6 (family inet)"
            )
            pieces.append(Warned(told, self.guessed))
        tables = ", ".join(
            dict.fromkeys(
                f"{one['chain']['family']} {one['chain']['table']}" for one in self.objects if "chain" in one
            )
        ) or ", ".join(
            f"{kind} {one[kind]['name']}" for one in self.objects for kind in ("set", "map") if kind in one
        )
        return Segment("nft list ruleset", f"nft list ruleset ({tables})", self.first, self.last, pieces)


def _chain_of(item: Item) -> str | None:
    return None if isinstance(item, CommandItem) else item.name if isinstance(item, ChainItem) else item.chain


def _targets(statements: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the chains that a rule jumps or goes to."""
    for statement in statements:
        for key, value in statement.items():
            if key in ("jump", "goto") and isinstance(value, dict):
                yield str(value["target"])
            elif key == "vmap" and isinstance(value, dict) and isinstance(value["data"], dict):
                yield from _targets_of_elements(value["data"]["set"])


def _targets_of_elements(elements: Iterable[Any]) -> Iterator[str]:
    """Yield the chains that a verdict map leads to."""
    for element in elements:
        if isinstance(element, list) and isinstance(element[-1], dict):
            yield from _targets([element[-1]])


def _excerpt(lines: list[Line], at: int) -> str:
    return "\n".join(line.text for line in lines[at : at + _READ])


def _may_be_of_both(text: str) -> bool:
    """Return whether chains may be for IPv4 and IPv6: they are nft's own, and no rule tells their address family."""
    is_told = any(one.search(text) for one in (_OF_IPTABLES, _INET, _IP))
    return _OWN_BASE.search(text) is not None and not is_told


def _place_of(lines: list[Line], at: int) -> tuple[str, str]:
    """Return the family and the name of the table that chains are of, by what their rules do.

    The heading of the chain before the first one may be missing.
    """
    text = _excerpt(lines, at)
    if _FIREWALLD.match(lines[at].text):
        return ("inet", "firewalld")
    if any('"!fw4: ' in line.text for line in lines[max(at - _READ, 0) : at + _READ]):
        return _FW4
    family = "inet" if _INET.search(text) or _may_be_of_both(text) else "ip"
    if re.search(r"\b(?:dnat|snat|masquerade|redirect)\b|type nat\b", text):
        return (family, "nat")
    return (family, "raw" if re.search(r"priority raw\b|priority -300", text) else "filter")


def _priority(text: str) -> int:
    """Return a priority as a number: "filter + 10" is 10."""
    found = re.fullmatch(r"(-?\w+)\s*(?:([+-])\s*([0-9]{1,10}))?", text.strip())
    if not found:
        return 0
    base = _PRIORITIES.get(found[1], int(found[1]) if re.fullmatch(r"-?[0-9]{1,10}", found[1]) else 0)
    return base + (int(found[2] + found[3]) if found[2] else 0)
