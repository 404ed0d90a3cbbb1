"""Translates nftables rules into iptables rules; conditions without an iptables equivalent stay unknown."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.dump.ruleset import Counters
from iptsim.dump.words import Word
from iptsim.extensions.base import quote
from iptsim.extensions.hidden import Hidden
from iptsim.grammar import parser
from iptsim.languages import message

SHOW = "nft list ruleset, and iptables-save -c"
_REJECTS = {
    "tcp reset": "tcp-reset",
    "port-unreachable": "icmp-port-unreachable",
    "host-unreachable": "icmp-host-unreachable",
    "net-unreachable": "icmp-net-unreachable",
    "prot-unreachable": "icmp-proto-unreachable",
    "net-prohibited": "icmp-net-prohibited",
    "host-prohibited": "icmp-host-prohibited",
    "admin-prohibited": "icmp-admin-prohibited",
}
_REJECTS6 = {
    "tcp reset": "tcp-reset",
    "port-unreachable": "icmp6-port-unreachable",
    "no-route": "icmp6-no-route",
    "addr-unreachable": "icmp6-addr-unreachable",
    "admin-prohibited": "icmp6-adm-prohibited",
}
_VERDICTS = {"accept": "ACCEPT", "drop": "DROP", "return": "RETURN", "queue": "NFQUEUE"}


class Translated(NamedTuple):
    """An nftables rule.

    Attributes:
        words: the options of the iptables rule.
        hidden: conditions without an iptables equivalent.
        counters: its counter.
        does: the statements that show its effect, by their names in libnftables-json(5): "drop", "jump" ...
        target: the chain of a jump or goto.
    """

    words: tuple[Word, ...]
    hidden: tuple[Hidden, ...]
    counters: Counters | None
    does: tuple[str, ...]
    target: str | None


def translated(text: str, family: int, line: int) -> Translated:
    """Return an nftables rule as an iptables rule."""
    text = re.sub(r"\s+# handle \d+$", "", text.strip())
    try:
        tree = parser("nft").parse(text)
    except UnexpectedInput:
        return _unreadable(text, line)
    return _Rule(family, line).read(tree)


def _unreadable(text: str, line: int) -> Translated:
    words = re.sub(r'"[^"]*"', "", text).split()
    does = [
        word
        for word in ("drop", "reject", "accept", "dnat", "snat", "masquerade", "redirect")
        if word in words
    ]
    verdict = next((_VERDICTS[word] for word in words if word in _VERDICTS), None)
    target = tuple(_words("-j", verdict)) if verdict else ()
    return Translated(target, (_hidden(text, line),), None, ("match", *does), None)


def _hidden(text: str, line: int) -> Hidden:
    return Hidden(
        words=text,
        reason=message("what {words} of nftables matches, which iptsim can't read", words=text),
        settle=SHOW,
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
        self.counters: Counters | None = None
        self.does: list[str] = []
        self.chain: str | None = None

    def read(self, tree: Tree[Token]) -> Translated:
        """Translate a rule."""
        for child in tree.children:
            assert isinstance(child, Tree)
            getattr(self, f"_{child.data}")(child)
        hidden = (_hidden(" ".join(self.unread), self.line),) if self.unread else ()
        words = tuple(_words(*self.conditions, *self.target))
        return Translated(words, hidden, self.counters, tuple(self.does), self.chain)

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
            elif child.type not in ("TRANSPORT", "SIDE", "SIDE_ADDRESS"):
                values.append(str(child).strip('"'))
        return negated, values

    def _condition(self, tree: Tree[Token], text: str, *words: str, negated: bool) -> None:
        self.does.append("match")
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
        shown = f"ip {name} {'!= ' if negated else ''}{', '.join(values)}"
        if any("-" in value or value.startswith("@") for value in values) or (negated and len(values) > 1):
            self.does.append("match")
            self.unread.append(shown)
        else:
            self._condition(tree, shown, flag, ",".join(values), negated=negated)

    def _iifname(self, tree: Tree[Token]) -> None:
        self._interface(tree, "-i", "iifname")

    def _oifname(self, tree: Tree[Token]) -> None:
        self._interface(tree, "-o", "oifname")

    def _interface(self, tree: Tree[Token], flag: str, name: str) -> None:
        negated, values = self._value(tree)
        if len(values) != 1 or values[0].startswith("@"):
            self.does.append("match")
            self.unread.append(f"{name} {', '.join(values)}")
        else:
            self._condition(tree, name, flag, values[0].replace("*", "+"), negated=negated)

    def _protocol(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        if len(values) != 1:
            self.does.append("match")
            self.unread.append(f"meta l4proto {{ {', '.join(values)} }}")
        elif not self.protocol:
            self.protocol = True
            self._condition(tree, "l4proto", "-p", values[0], negated=negated)

    def _port(self, tree: Tree[Token]) -> None:
        transport, side = str(tree.children[0]), str(tree.children[1])
        negated, values = self._value(tree)
        ports = [value.replace("-", ":") if value[:1].isdigit() else value for value in values]
        if transport == "th" or any(value.startswith("@") or value == "?" for value in values):
            self.does.append("match")
            self.unread.append(f"{transport} {side} {', '.join(values)}")
            return
        if not self.protocol:
            self.protocol = True
            self.conditions += ["-p", transport]
        many = len(ports) > 1
        module, flag = ("multiport", f"--{side}s") if many else (transport, f"--{side}")
        self.does.append("match")
        self.conditions += ["-m", module, *(["!"] if negated else []), flag, ",".join(ports)]

    def _state(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self.does.append("match")
        self.conditions += [
            "-m",
            "conntrack",
            *(["!"] if negated else []),
            "--ctstate",
            ",".join(values).upper(),
        ]

    def _addrtype(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        side = "--src-type" if str(tree.children[0]) == "saddr" else "--dst-type"
        self.does.append("match")
        self.conditions += ["-m", "addrtype", *(["!"] if negated else []), side, values[0].upper()]

    def _mark_match(self, tree: Tree[Token]) -> None:
        negated, values = self._value(tree)
        self.does.append("match")
        self.conditions += ["-m", "mark", *(["!"] if negated else []), "--mark", values[0]]

    def _comment(self, tree: Tree[Token]) -> None:
        self.conditions += ["-m", "comment", "--comment", str(tree.children[0]).strip('"')]

    def _extension(self, tree: Tree[Token]) -> None:
        name = re.sub(r'# ?xt_|xt (?:target|match) |"', "", str(tree.children[0]))
        if name.isupper():
            self.does.append("xt")
            self.target = ["-j", name]
        else:
            self.does.append("match")
            self.unread.append(str(tree.children[0]))

    def _other(self, tree: Tree[Token]) -> None:
        self.does.append("match")
        self.unread += [
            "{ " + ", ".join(map(str, child.children)) + " }" if isinstance(child, Tree) else str(child)
            for child in tree.children
        ]

    # -- statements --------------------------------------------------------------------------------

    def _counter(self, tree: Tree[Token]) -> None:
        numbers = [int(str(child)) for child in tree.children]
        self.counters = Counters(numbers[0], numbers[1]) if len(numbers) == 2 else None

    def _log(self, tree: Tree[Token]) -> None:
        prefix = next((str(child).strip('"') for child in tree.children if str(child).startswith('"')), "")
        self.target = self.target or ["-j", "LOG", *(["--log-prefix", prefix[:29]] if prefix else [])]

    def _verdict(self, tree: Tree[Token]) -> None:
        word = str(tree.children[0])
        self.does.append(word)
        if word in _VERDICTS:
            self.target = ["-j", _VERDICTS[word]]

    def _jump(self, tree: Tree[Token]) -> None:
        self.does.append("jump")
        self.chain = str(tree.children[0])
        self.target = ["-j", self.chain]

    def _goto(self, tree: Tree[Token]) -> None:
        self.does.append("goto")
        self.chain = str(tree.children[0])
        self.target = ["-g", self.chain]

    def _reject(self, tree: Tree[Token]) -> None:
        self.does.append("reject")
        kind = str(tree.children[0]).rpartition("type ")[2] if tree.children else "port-unreachable"
        known = (_REJECTS6 if self.family == 6 else _REJECTS).get(
            kind.removeprefix("icmp ").removeprefix("icmpx ")
        )
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
        self.does.append(name)
        self.target = ["-j", target]
        if tree.children and flag:
            self.target += [
                flag,
                str(tree.children[0]).lstrip(":") if target == "REDIRECT" else str(tree.children[0]),
            ]

    def _mark_set(self, tree: Tree[Token]) -> None:
        self.does.append("mangle")
        self.target = ["-j", "MARK", "--set-mark", str(tree.children[0])]


def json_of(rule: Translated) -> list[dict[str, Any]]:
    """Return the statements of a rule in the form of libnftables-json(5), reduced to their names."""
    named = {"jump": {"target": rule.target}, "goto": {"target": rule.target}}
    return [{name: named.get(name)} for name in rule.does]
