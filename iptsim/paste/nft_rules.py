"""Translates nftables rules into iptables rules; conditions without an iptables equivalent stay unknown."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.dump.ruleset import Counters
from iptsim.dump.words import Word
from iptsim.extensions.base import quote
from iptsim.extensions.hidden import SHOW_BOTH, Hidden
from iptsim.extensions.targets.nfqueue import queue_words
from iptsim.grammar import parser
from iptsim.host.nft_marks import mark_change
from iptsim.host.nft_rules import REJECTS
from iptsim.languages import message
from iptsim.paste.nft_json import (
    entry,
    json_value,
    looked_up,
    map_of,
    number,
    port_of,
    state_names,
    translation_of,
    update_of,
)
from iptsim.paste.nft_lines import has_variables

#: Words of statements that do more than compare.
_ACTIONS = frozenset({
    "set", "notrack", "tproxy", "dup", "fwd", "queue", "synproxy", "flow", "add", "update", "jump", "goto", "vmap",
    "map",
})  # fmt: skip
#: Flags that are all of a packet's or connection's, rather than some of them.
_EXACT = re.compile(r"\bct (?:status ==|state (?:[!=]= ?)?\w+ ?(?:[|]|or )|state == ?\w+ ?,)")
#: What a statement changes in a mark.
_OPERATORS = {"kept": "&", "added": "|", "inverted": "^"}
#: Statements after which an unknown word may belong to what they change.
_CHANGES = frozenset({"mangle", "dnat", "snat", "masquerade", "redirect"})
_VERDICTS = {"accept": "ACCEPT", "drop": "DROP", "return": "RETURN", "queue": "NFQUEUE"}


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


def translated(text: str, family: int, line: int) -> Translated:
    """Return an nftables rule as an iptables rule."""
    text = re.sub(r"\s+# handle \d+$", "", text.strip()).rstrip("; ")
    try:
        tree = None if has_variables(text) or _EXACT.search(text) else parser("nft").parse(text)
    except UnexpectedInput:
        tree = None
    if tree is None:
        return _unreadable(text, line)
    return _Rule(family, line).read(tree)


def _unreadable(text: str, line: int) -> Translated:
    words = re.sub(r'"[^"]*"', "", text).split()
    does = [
        word
        for word in ("drop", "reject", "accept", "dnat", "snat", "masquerade", "redirect")
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


class _Rule:
    """Translates the statements of one rule."""

    def __init__(self, family: int, line: int) -> None:
        self.family, self.line = family, line
        self.conditions: list[str] = []
        self.protocol = False
        self.target: list[str] = []
        self.unread: list[str] = []
        #: words of no known statement
        self.others: list[str] = []
        self.counters: Counters | None = None
        self.statements: list[dict[str, Any]] = []

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

    # -- conditions --------------------------------------------------------------------------------

    def _value(self, tree: Tree[Token]) -> tuple[bool, list[str]]:
        """Return whether a condition is negated, and its values, with ranges in iptables notation."""
        values: list[str] = []
        negated = False
        for child in tree.children:
            if isinstance(child, Tree):
                values += [str(one).strip('"') for one in child.children]
            elif child.type == "OPERATOR":
                negated = str(child) == "!="
                if str(child) not in ("==", "!="):
                    values.append("?")
            elif child.type not in ("IP", "TRANSPORT", "SIDE", "SIDE_ADDRESS", "ICMP"):
                values.append(str(child).strip('"'))
        return negated, values

    def _compare(
        self,
        left: dict[str, Any],
        tree: Tree[Token],
        values: list[str],
        *,
        negated: bool,
        flags: bool = False,
    ) -> None:
        """Add a condition as a statement; of flags, which are one value, any may be set."""
        is_set = any(isinstance(child, Tree) for child in tree.children)
        is_name = str(left.get("meta", {}).get("key")).endswith("ifname")
        found = [one if is_name else json_value(one) for one in values]
        right = {"set": found} if is_set else found if flags else found[0]
        if "?" in values or (len(found) > 1 and not (is_set or flags)):
            self.statements.append({"match": {"left": left}})
        else:
            op = "!=" if negated else "in" if flags and not is_set else "=="
            self.statements.append({"match": {"op": op, "left": left, "right": right}})

    def _condition(self, text: str, *words: str, negated: bool) -> None:
        if "?" in words[-1] or (negated and "," in words[-1] and words[-2].startswith("-s")):
            self.unread.append(text)
        else:
            self.conditions += [*(["!"] if negated else []), *words]

    def _saddr(self, tree: Tree[Token]) -> None:
        self._address(tree, "-s", "saddr")

    def _daddr(self, tree: Tree[Token]) -> None:
        self._address(tree, "-d", "daddr")

    def _address(self, tree: Tree[Token], flag: str, name: str) -> None:
        negated, values = self._value(tree)
        protocol = str(tree.children[0])
        self._compare({"payload": {"protocol": protocol, "field": name}}, tree, values, negated=negated)
        shown = f"{protocol} {name} {'!= ' if negated else ''}{', '.join(values)}"
        if any("-" in value or value.startswith("@") for value in values) or (negated and len(values) > 1):
            self.unread.append(shown)
        else:
            self._condition(shown, flag, ",".join(values), negated=negated)

    def _concat(self, tree: Tree[Token]) -> None:
        fields, *values = tree.children
        negated = isinstance(values[0], Token) and str(values[0]) == "!="
        values = [one for one in values if not (isinstance(one, Token) and one.type == "OPERATOR")]
        left = {"concat": [looked_up(one) for one in str(fields).split(" . ")]}
        right: Any = str(values[0])
        if isinstance(values[0], Tree):
            right = {"set": [entry(one) for one in values]}
        self.statements.append({"match": {"op": "!=" if negated else "==", "left": left, "right": right}})
        self.unread.append(str(fields))

    def _iifname(self, tree: Tree[Token]) -> None:
        self._interface(tree, "-i", "iifname")

    def _oifname(self, tree: Tree[Token]) -> None:
        self._interface(tree, "-o", "oifname")

    def _interface(self, tree: Tree[Token], flag: str, name: str) -> None:
        negated, values = self._value(tree)
        self._compare({"meta": {"key": name}}, tree, values, negated=negated)
        if len(values) != 1 or values[0].startswith("@"):
            self.unread.append(f"{name} {', '.join(values)}")
        else:
            self._condition(name, flag, values[0].replace("*", "+"), negated=negated)

    def _protocol(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        left: dict[str, Any] = {"meta": {"key": "l4proto"}}
        if (of := str(tree.children[0])) in ("ip", "ip6"):
            left = {"payload": {"protocol": of, "field": "protocol" if of == "ip" else "nexthdr"}}
        self._compare(left, tree, values, negated=negated)
        if len(values) != 1:
            self.unread.append(f"meta l4proto {{ {', '.join(values)} }}")
        elif not self.protocol:
            self.protocol = True
            self._condition("l4proto", "-p", values[0], negated=negated)

    def _port(self, tree: Tree[Token]) -> None:
        transport, side = str(tree.children[0]), str(tree.children[1])
        negated, values = self._value(tree)
        self._compare(
            {"payload": {"protocol": transport, "field": side}},
            tree,
            [port_of(one) for one in values],
            negated=negated,
        )
        ports = [value.replace("-", ":") if value[:1].isdigit() else value for value in values]
        if transport == "th" or any(value.startswith("@") or value == "?" for value in values):
            self.unread.append(f"{transport} {side} {', '.join(values)}")
            return
        if not self.protocol:
            self.protocol = True
            self.conditions += ["-p", transport]
        many = len(ports) > 1
        module, flag = ("multiport", f"--{side}s") if many else (transport, f"--{side}")
        self.conditions += ["-m", module, *(["!"] if negated else []), flag, ",".join(ports)]

    def _icmp(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        protocol = str(tree.children[0])
        self._compare({"payload": {"protocol": protocol, "field": "type"}}, tree, values, negated=negated)
        self.unread.append(f"{protocol} type {', '.join(values)}")

    def _nfproto(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self._compare({"meta": {"key": "nfproto"}}, tree, values, negated=negated)
        self.unread.append(f"meta nfproto {', '.join(values)}")

    def _state(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        values = [name for value in values for name in state_names(value)] or values
        self._compare({"ct": {"key": "state"}}, tree, values, negated=negated, flags=True)
        if negated and len(values) > 1 and not isinstance(tree.children[-1], Tree):
            self.unread.append(f"ct state != {' '.join(values)}")  # is not all of them at once
        else:
            sign = ["!"] if negated else []
            self.conditions += ["-m", "conntrack", *sign, "--ctstate", ",".join(values).upper()]

    def _vmap(self, tree: Tree[Token]) -> None:
        self.statements.append({"vmap": map_of(tree)})
        self.unread.append(f"{str(tree.children[0]).removeprefix('meta ')} vmap")

    def _status(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self._compare({"ct": {"key": "status"}}, tree, values, negated=negated, flags=True)
        self.unread.append(f"ct status {', '.join(values)}")

    def _limit(self, tree: Tree[Token]) -> None:
        self.statements.append({"limit": None})
        self.unread.append(" ".join(["limit rate", *map(str, tree.children)]))

    def _addrtype(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        side = str(tree.children[0])
        self._compare({"fib": {"result": "type", "flags": [side]}}, tree, values, negated=negated)
        if len(values) > 1:
            self.unread.append(f"fib {side} type {{ {', '.join(values)} }}")
            return
        flag = "--src-type" if side == "saddr" else "--dst-type"
        self.conditions += ["-m", "addrtype", *(["!"] if negated else []), flag, values[0].upper()]

    def _pkttype(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self._compare({"meta": {"key": "pkttype"}}, tree, values, negated=negated)
        self.unread.append(f"meta pkttype {', '.join(values)}")

    def _tuple(self, tree: Tree[Token]) -> None:
        name, *rest = tree.children
        negated, values = self._value(Tree("", rest))
        _, direction, *key = str(name).split()
        left = {"ct": {"key": " ".join(key), "dir": direction}}
        self._compare(left, tree, [port_of(one) for one in values], negated=negated)
        self.unread.append(f"{name} {', '.join(values)}")

    def _mark_match(self, tree: Tree[Token]) -> None:
        name, *rest = tree.children
        negated, values = self._value(Tree("", rest))
        mark, module = _mark(str(name)), "connmark" if "ct" in str(name) else "mark"
        if isinstance(rest[-1], Tree) and rest[-1].data == "set":
            self._compare(mark, Tree("", rest), values, negated=negated)
            self.unread.append(f"{name} {{ {', '.join(values)} }}")
            return
        *mask, value = values
        left = {"&": [mark, number(mask[0])]} if mask else mark
        op = "!=" if negated else "=="
        self.statements.append({"match": {"op": op, "left": left, "right": number(value)}})
        self.conditions += ["-m", module, *(["!"] if negated else []), "--mark", "/".join((value, *mask))]

    def _flags(self, tree: Tree[Token]) -> None:
        tokens = list(tree.scan_values(lambda one: isinstance(one, Token)))
        operator = next((str(one) for one in tokens if one.type == "OPERATOR"), "")
        first, *second = [re.split("[,|]", one.replace(" ", "")) for one in tokens if one.type == "FLAGS"]
        flags: dict[str, Any] = {"payload": {"protocol": "tcp", "field": "flags"}}
        if not second:
            right = first if len(first) > 1 else first[0]
            self.statements.append({"match": {"op": operator or "in", "left": flags, "right": right}})
            self.unread.append(f"tcp flags {operator} {','.join(first)}")
            return
        is_first = isinstance(tree.children[0], Tree)
        mask, wanted = (first, second[0]) if is_first else (second[0], first)
        negated = operator == "!="
        left = {"&": [flags, mask]}
        self.statements.append({"match": {"op": "!=" if negated else "==", "left": left, "right": wanted}})
        self.conditions += [
            *([] if self.protocol else ["-p", "tcp"]),
            *("-m", "tcp", *(["!"] if negated else []), "--tcp-flags"),
            *(",".join(mask).upper(), ",".join(wanted).upper()),
        ]
        self.protocol = True

    def _direction(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self._compare({"ct": {"key": "direction"}}, tree, values, negated=negated)
        self.unread.append(f"ct direction {values[0]}")

    def _ether(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self._compare({"payload": {"protocol": "ether", "field": "saddr"}}, tree, values, negated=negated)
        self.unread.append(f"ether saddr {', '.join(values)}")

    def _way_back(self, tree: Tree[Token]) -> None:
        fields, found = map(str, tree.children)
        flags = ["saddr", *(["mark"] if "mark" in fields else []), "iif"]
        left = {"fib": {"result": "oif", "flags": flags}}
        self.statements.append({"match": {"op": "==", "left": left, "right": found == "exists"}})
        self.unread.append(f"{fields} {found}")

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
        self.statements.append({"jump": {"target": chain}})
        self.target = ["-j", chain]

    def _goto(self, tree: Tree[Token]) -> None:
        chain = str(tree.children[0])
        self.statements.append({"goto": {"target": chain}})
        self.target = ["-g", chain]

    def _reject(self, tree: Tree[Token]) -> None:
        words = str(tree.children[0]).split() if tree.children else ["icmpx", "port-unreachable"]
        if words == ["tcp", "reset"]:
            self.statements.append({"reject": {"type": "tcp reset"}})
            known: str | None = "tcp-reset"
        else:
            self.statements.append({"reject": {"type": words[0], "expr": words[-1]}})
            known = REJECTS[6 if self.family == 6 else 4].get(words[-1])
        self.target = ["-j", "REJECT", *(["--reject-with", known] if known else [])]

    def _dnat(self, tree: Tree[Token]) -> None:
        self._translation("dnat", "DNAT", "--to-destination", tree)

    def _snat(self, tree: Tree[Token]) -> None:
        self._translation("snat", "SNAT", "--to-source", tree)

    def _redirect(self, tree: Tree[Token]) -> None:
        self._translation("redirect", "REDIRECT", "--to-ports", tree)

    def _masquerade(self, tree: Tree[Token]) -> None:
        self._translation("masquerade", "MASQUERADE", "", tree)

    def _translation(self, name: str, target: str, flag: str, tree: Tree[Token]) -> None:
        to = next((str(one) for one in tree.children if isinstance(one, Token)), "")
        if tree.children and isinstance(tree.children[-1], Tree):
            found = {"map": map_of(tree.children[-1])}
            about = {**(translation_of(to.rstrip(":"), redirects=False) or {}), "port": found}
            self.statements.append({name: about if to else {"addr": found}})
            self.unread.append(f"{tree.children[-1].children[0]} map")
            self.target = ["-j", target]
            return
        self.statements.append({name: translation_of(to, redirects=name == "redirect")})
        self.target = ["-j", target]
        if tree.children and flag:
            self.target += [flag, to.lstrip(":") if target == "REDIRECT" else to]

    def _mark_set(self, tree: Tree[Token]) -> None:
        name, first, *changes = tree.children
        value: Any = number(str(first)) if str(first)[:1].isdigit() else _mark(str(first))
        for change in changes:
            assert isinstance(change, Tree)
            value = {_OPERATORS[str(change.data)]: [value, number(str(change.children[0]))]}
        statement = {"key": _mark(str(name)), "value": value}
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
        ends = next((kind for kind in ("ct expectation", "flow") if word.startswith(kind)), "log")
        self.statements.append({ends: None})

    def _notrack(self, tree: Tree[Token]) -> None:
        self.statements.append({"notrack": None})
        self.target = ["-j", "CT", "--notrack"]


def _mark(text: str) -> dict[str, Any]:
    return {"ct" if text.startswith("ct") else "meta": {"key": "mark"}}
