"""Translates nftables rules into iptables rules; conditions without an iptables equivalent stay unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import and_, lshift, or_, rshift, xor
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.dump.rule import Counters
from iptsim.dump.words import Word
from iptsim.extensions.hidden import SHOW_BOTH, Hidden
from iptsim.extensions.options import quote
from iptsim.extensions.targets.nfqueue import queue_words
from iptsim.host.nft_changes import header_change, mark_change
from iptsim.host.nft_targets import reject_words, synproxy_words
from iptsim.host.nft_translations import TRANSLATIONS
from iptsim.languages import message
from iptsim.paste.nft_conditions import Conditions, mark_of
from iptsim.paste.nft_json import (
    bare_sets,
    json_value,
    literal,
    looked_up,
    map_of,
    number,
    plain,
    translation_of,
    update_of,
    with_numbers,
)
from iptsim.paste.nft_lines import has_variables
from iptsim.paste.nft_shapes import Shapes

#: Words of statements that do more than compare.
_ACTIONS = frozenset({
    "set", "notrack", "tproxy", "dup", "fwd", "queue", "synproxy", "flow", "add", "update", "jump", "goto", "vmap",
    "map",
})  # fmt: skip
#: Flags that are all of a packet's or connection's, rather than some of them.
_EXACT = re.compile(r"\bct (?:status ==|state (?:[!=]= ?)?\w+ ?(?:[|]|or )|state == ?\w+ ?,)")
#: Headers of a packet within the packet, and fields of a tunnel, a route or a socket.
_INNER = re.compile(
    r"\b(?:(?<!proto )(?<!protocol )(?<!nexthdr )(?:vxlan|geneve|gre|gretap) (?:ip6?|tcp|udp|ether|icmp)"
    r"|ipsec (?:in|out)|rt (?:ip6?|nexthop)|socket (?!transparent )\w+) "
)
#: What `nft -a` adds to a rule.
_HANDLE = re.compile(r"\s+# handle (\d{1,18})$")
#: What nft 1.0.6 prints after a port of a connection in a set.
_UNTYPED = re.compile(r"(?<=[0-9a-f]) \[invalid type\]")
_COUNTED = re.compile(r"counter packets \d+ bytes \d+")
#: How a mark is computed from another one and a number.
_OPERATORS: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "kept": ("&", and_),
    "added": ("|", or_),
    "inverted": ("^", xor),
    "left": ("<<", lshift),
    "right": (">>", rshift),
}
#: Statements after which an unknown word may belong to what they change.
_CHANGES = frozenset({"mangle", "dnat", "snat", "masquerade", "redirect"})
_VERDICTS = {"accept": "ACCEPT", "drop": "DROP", "return": "RETURN", "queue": "NFQUEUE"}


def _computed(value: Tree[Token] | Token) -> Any:
    """Return the value of a mark in the form of libnftables-json(5)."""
    if isinstance(value, Tree):
        first, second = map(_computed, value.children)
        operator, calculate = _OPERATORS[str(value.data)]
        if isinstance(first, int) and isinstance(second, int):
            return calculate(first, min(second, 32) if operator in ("<<", ">>") else second) & 0xFFFFFFFF
        return {operator: [first, second]}
    if value.type == "CHANCED":
        return looked_up(str(value))
    return number(str(value)) if str(value)[:1].isdigit() else mark_of(str(value))


class Translated(NamedTuple):
    """An nftables rule.

    Attributes:
        words: the options of the iptables rule.
        hidden: conditions without an iptables equivalent.
        counters: its counter.
        statements: its statements in the form of libnftables-json(5); "unread" for those that may do anything.
    """

    words: tuple[Word, ...]
    hidden: tuple[Hidden, ...]
    counters: Counters | None
    statements: tuple[dict[str, Any], ...]


def translated(
    text: str, family: int, line: int, *, is_listing: bool = False, shapes: Shapes | None = None
) -> Translated:
    """Return an nftables rule as an iptables rule.

    Args:
        text: the rule.
        family: of its table: 4 or 6; 0 for both.
        line: the number of its line.
        is_listing: nft has printed it; otherwise it may be what someone wrote for nft to read.
        shapes: of the rules of the same text.
    """
    text = bare_sets(plain(text))
    if is_listing or _HANDLE.search(text):
        text = literal(text)
    text = with_numbers(_UNTYPED.sub("", _HANDLE.sub("", text.strip()).rstrip("; ")))
    try:
        unclear = has_variables(text) or _EXACT.search(text) or _INNER.search(text)
        tree = None if unclear else (shapes or Shapes()).parse(text)
        # digits that are no number (0x, ²) are a ValueError
        return _unreadable(text, line) if tree is None else _Rule(family, line).read(tree)
    except (UnexpectedInput, ValueError):
        return _unreadable(text, line)


def shown_rule(text: str, line: int) -> dict[str, Any]:
    """Return how a rule is shown, as fields of its object: its text without counters, its line and its handle."""
    handle = _HANDLE.search(text)
    shown = _COUNTED.sub("counter", _HANDLE.sub("", plain(text)).strip().rstrip("; "))
    number = int(handle[1]) if handle else None
    return {"text": shown, "line": line, **({"handle": number} if number is not None else {})}


def _unreadable(text: str, line: int) -> Translated:
    words = re.sub(r'"[^"]*"', "", text).split()
    does = [
        word
        for word in ("drop", "reject", "accept", "return", "dnat", "snat", "masquerade", "redirect")
        if word in words
    ]
    statements: list[dict[str, Any]] = [{"match": {"left": {text: {}}}}]
    statements += [{word: None} for word in does]
    if not does or _ACTIONS & set(words):
        statements.append({"unread": None})
    verdict = next((_VERDICTS[word] for word in words if word in _VERDICTS), None)
    target = tuple(_words("-j", verdict)) if verdict else ()
    return Translated(target, (_hidden(text, line),), None, tuple(statements))


def _hidden(text: str, line: int) -> Hidden:
    return Hidden(
        words=text,
        reason=message("what {words} of nftables matches, which iptsim can't read", words=text),
        settle=SHOW_BOTH,
        place=("nft", line, text),
    )


def _words(*texts: str) -> list[Word]:
    return [Word(quote(text), text, 0, 0) for text in texts]


class _Rule(Conditions):
    """Translates the statements of one rule."""

    def __init__(self, family: int, line: int) -> None:
        super().__init__(6 if family == 6 else 4)
        self.line = line
        self.target: list[str] = []
        #: words of no known statement
        self.others: list[str] = []
        self.counters: Counters | None = None

    def read(self, tree: Tree[Token]) -> Translated:
        """Translate a rule."""
        for child in tree.children:
            assert isinstance(child, Tree)
            getattr(self, f"_{child.data}")(child)
        hidden = (_hidden(" ".join(self.unread), self.line),) if self.unread else ()
        does = {key for one in self.statements for key in one}
        if self.others and (
            _ACTIONS & set(self.others) or not does - {"comment", "match", "limit", "counter", "log"}
        ):
            self.statements.append({"unread": None})
        words = tuple(_words(*self.conditions, *self.target))
        return Translated(words, hidden, self.counters, tuple(self.statements))

    def _comment(self, tree: Tree[Token]) -> None:
        text = str(tree.children[0]).strip('"')
        self.statements.append({"comment": text})
        self.conditions += ["-m", "comment", "--comment", text]

    def _extension(self, tree: Tree[Token]) -> None:
        name = re.sub(r'# ?xt_|xt (?:target|match) |"', "", str(tree.children[0]))
        if name.isupper():
            self.statements.append({"xt": None})
            self.target = ["-j", name]
        else:
            self.statements.append({"match": {"left": {str(tree.children[0]): {}}}})
            self.unread.append(str(tree.children[0]))

    def _other(self, tree: Tree[Token]) -> None:
        words = [
            "{ " + ", ".join(map(str, child.children)) + " }" if isinstance(child, Tree) else str(child)
            for child in tree.children
        ]
        if self.statements and _CHANGES & self.statements[-1].keys():
            self.statements.append({"unread": None})
        self.statements.append({"match": {"left": {" ".join(words): {}}}})
        self.others += words
        self.unread += words

    # -- statements --------------------------------------------------------------------------------

    def _counter(self, tree: Tree[Token]) -> None:
        numbers = [number(str(child)) for child in tree.children]
        self.counters = Counters(numbers[0], numbers[1]) if len(numbers) == 2 else None

    def _log(self, tree: Tree[Token]) -> None:
        prefix = next((str(child).strip('"') for child in tree.children if str(child).startswith('"')), "")
        # iptables cuts what it prints (libxt_LOG.c); nft does not (NF_LOG_PREFIXLEN)
        self.target = self.target or ["-j", "LOG", *(["--log-prefix", prefix[:29]] if prefix else [])]

    def _verdict(self, tree: Tree[Token]) -> None:
        word = str(tree.children[0])
        self.statements.append({word: None})
        if word in _VERDICTS:
            self.target = ["-j", _VERDICTS[word]]

    def _queue(self, tree: Tree[Token]) -> None:
        """Translate `queue num 0 bypass`, or since nftables 0.9.9 `queue flags bypass to 0`."""
        words = [str(one) for one in tree.children]
        ends = [int(one) for one in next((word for word in words if word[0].isdigit()), "0").split("-")]
        flags = [word for word in words if not word[0].isdigit()]
        about = {"num": {"range": ends} if len(ends) == 2 else ends[0], "flags": flags}
        self.statements.append({"queue": about})
        self.target = (queue_words(about) or "-j NFQUEUE").split()

    def _jump(self, tree: Tree[Token]) -> None:
        chain = str(tree.children[0])
        self.statements.append({tree.data: {"target": chain}})
        self.target = [f"-{tree.data[0]}", chain]

    _goto = _jump

    def _reject(self, tree: Tree[Token]) -> None:
        words = str(tree.children[0]).split() if tree.children else ["icmpx", "port-unreachable"]
        about = {"type": words[0], "expr": words[-1]}
        if words == ["tcp", "reset"]:
            about = {"type": "tcp reset"}
        self.statements.append({"reject": about})
        self.target = ["-j", "REJECT", *reject_words(about, self.family).split()]

    def _translation(self, tree: Tree[Token]) -> None:
        name = str(tree.data)
        target, flag = TRANSLATIONS[name]
        tokens = [one for one in tree.children if isinstance(one, Token)]
        to = with_numbers(next((str(one) for one in tokens if one.type in ("WORD", "AT")), ""))
        flags = [str(one) for one in tokens if one.type == "NAT_FLAG"]
        if any(one.type == "NETMAP" and one == "prefix" for one in tokens):
            flags.append("netmap")
        extra: dict[str, Any] = {"flags": flags} if flags else {}
        family = next((str(one) for one in tokens if one.type == "FAMILY"), "")
        extra |= {"family": family} if family else {}
        self.target = ["-j", target]
        maps = [one for one in tree.children if isinstance(one, Tree)]
        if len(maps) > 1:
            fields = {field: {"map": map_of(one)} for field, one in zip(("addr", "port"), maps, strict=True)}
            self.statements.append({name: {**fields, **extra}})
            self.unread.append(f"{maps[0].children[0]} map")
            return
        for mapped in maps:
            found = {"map": map_of(mapped)}
            about = {**(translation_of(to.rstrip(":"), redirects=False) or {}), "port": found}
            self.statements.append({name: {**(about if to else {"addr": found}), **extra}})
            self.unread.append(f"{mapped.children[0]} map")
            return
        about = translation_of(to, redirects=name == "redirect") or {}
        self.statements.append({name: {**about, **extra} or None})
        if to and "netmap" in flags:
            self.target = ["-j", "NETMAP", "--to", to]
        elif to:
            self.target += [flag, to.lstrip(":") if flag == "--to-ports" else to]

    _dnat = _snat = _redirect = _masquerade = _translation

    def _mark_set(self, tree: Tree[Token]) -> None:
        name, new = tree.children
        key = mark_of(str(name))
        if isinstance(new, Tree) and new.data == "looked_up":
            self.statements.append({"mangle": {"key": key, "value": {"map": map_of(new)}}})
            self.unread.append(f"{new.children[0]} map")
            self.target = ["-j", "MARK" if key == mark_of("mark") else "CONNMARK"]
            return
        statement = {"key": key, "value": _computed(new)}
        self.statements.append({"mangle": statement})
        target = mark_change(statement)
        self.target = target.split() if target is not None else ["-j", "MARK"]

    def _maxseg(self, tree: Tree[Token]) -> None:
        size = str(tree.children[0])
        value = number(size) if size != "rt mtu" else {"rt": {"key": "mtu"}}
        key = {"tcp option": {"name": "maxseg", "field": "size"}}
        self.statements.append({"mangle": {"key": key, "value": value}})
        option = ["--set-mss", str(value)] if size != "rt mtu" else ["--clamp-mss-to-pmtu"]
        self.target = ["-j", "TCPMSS", *option]

    def _update(self, tree: Tree[Token]) -> None:
        text = str(tree.children[0])
        statement = update_of(text)
        self.statements.append(statement)
        if any("stmt" in about for about in statement.values()):
            self.unread.append(text)

    def _quiet(self, tree: Tree[Token]) -> None:
        word = str(tree.children[0])
        ends = next((kind for kind in ("ct expectation", "flow", "reset") if word.startswith(kind)), "log")
        self.statements.append({ends: None})

    def _header_set(self, tree: Tree[Token]) -> None:
        name, value = map(str, tree.children)
        protocol, _, field = name.rpartition(" ")
        statement = {"key": {"payload": {"protocol": protocol, "field": field}}, "value": json_value(value)}
        self.statements.append({"mangle": statement})
        if (changed := header_change(statement)) is not None:
            self.target = changed[1].split()

    def _rewrite(self, tree: Tree[Token]) -> None:
        first, *values = tree.children
        kind, *about, field = str(first).split()
        key: dict[str, Any] = {"payload": {"protocol": kind, "field": field}}
        if kind in ("ct", "meta"):
            key = {kind: {"key": field, **({"dir": about[0]} if about else {})}}
        new: Any
        if isinstance(values[0], Tree):
            new = {"map": map_of(values[0])}
        else:
            found = [json_value(str(one)) for one in values]
            new = found[0] if len(found) == 1 else {"|": found}
        self.statements.append({"mangle": {"key": key, "value": new}})

    def _fwd(self, tree: Tree[Token]) -> None:
        words = str(tree.children[0]).replace('"', "").split()
        family, to = words[1] if words[1] != "to" else "", words[words.index("to") + 1]
        about = {"family": family, "addr": to, "dev": words[-1]} if family else {"dev": to}
        self.statements.append({"fwd": about})

    def _tproxy(self, tree: Tree[Token]) -> None:
        (_, *family), to = str(tree.children[0]).split(), str(tree.children[1])
        about = translation_of(to, redirects=False) or {}
        self.statements.append({"tproxy": {**about, "family": family[0]} if family else about})
        self.unread.append(f"tproxy to {to}")

    def _synproxy(self, tree: Tree[Token]) -> None:
        words = [str(one) for one in tree.children]
        at = words.index("mss") + 1 if "mss" in words else len(words)
        about = {"mss": number(words[at])} if at < len(words) and words[at].isdigit() else {}
        self.statements.append({"synproxy": about or None})
        self.target = synproxy_words(about).split()

    def _notrack(self, tree: Tree[Token]) -> None:
        self.statements.append({"notrack": None})
        self.target = ["-j", "CT", "--notrack"]
