"""Reads the conditions of nftables rules, with the options of iptables that are their like.

Addresses, interfaces, protocols and ports keep the words of the text, which may have placeholders for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from lark import Token, Tree

from iptsim.addresses import Family
from iptsim.host import nft_conditions
from iptsim.host.nft_names import bits_named
from iptsim.paste.nft_json import (
    entry,
    json_value,
    limit_of,
    looked_up,
    map_of,
    number,
    port_of,
    state_names,
)

#: What nft prints for whether a route was found; before 0.8.2 only 0 for none.
_FOUND = {"exists": True, "missing": False, "0": False}
_COMPARISONS = frozenset({"<", "<=", ">", ">="})


def _flag_names(text: str) -> list[str]:
    """Return flags of TCP by their names, also those of a numeric listing."""
    found = re.split("[,|]", text.replace(" ", ""))
    return [
        name
        for one in found
        for name in ((bits_named("tcp flags", int(one, 16)) or [one]) if one.startswith("0x") else [one])
    ]


def mark_of(text: str) -> dict[str, Any]:
    """Return the mark of the packet or of the connection in the form of libnftables-json(5)."""
    return {"ct" if text.startswith("ct") else "meta": {"key": "mark"}}


#: Tokens of comparisons: `!` means that none of some bits is set.
_OPERATORS = ("OPERATOR", "NONE_OF")


class Conditions:
    """The conditions of one rule; each method reads one form of the grammar.

    Args:
        family: the address family for which iptables would have the rule.

    Attributes:
        conditions: the options of iptables.
        protocol: whether they name a protocol.
        unread: conditions without such options.
        statements: all statements in the form of libnftables-json(5).
    """

    def __init__(self, family: Family) -> None:
        self.family: Family = family
        self.conditions: list[str] = []
        self.protocol = False
        self.unread: list[str] = []
        self.statements: list[dict[str, Any]] = []

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
            elif child.type == "NONE_OF":
                negated = True
            elif str(child) == "set":
                values.append("?")
                self.statements.append({"unread": None})  # a change rather than a condition
            elif child.type not in ("IP", "TRANSPORT", "SIDE"):
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
        operators = [str(one) for one in tree.children if isinstance(one, Token) and one.type in _OPERATORS]
        operator = operators[0] if operators else ""
        if operator in _COMPARISONS and not is_set:
            self.statements.append({"match": {"op": operator, "left": left, "right": json_value(values[-1])}})
            return
        is_name = str(left.get("meta", {}).get("key")).endswith("ifname")
        found = [one if is_name else json_value(one) for one in values]
        right = {"set": found} if is_set else found if flags else found[0]
        if "?" in values or (len(found) > 1 and not (is_set or flags)):
            self.statements.append({"match": {"left": left}})
        else:
            op = operator if operator == "!" else "!=" if negated else "in" if flags and not is_set else "=="
            self.statements.append({"match": {"op": op, "left": left, "right": right}})

    def _condition(self, text: str, *words: str, negated: bool) -> None:
        if "?" in words[-1] or (negated and "," in words[-1] and words[-2].startswith("-s")):
            self.unread.append(text)
        else:
            self.conditions += [*(["!"] if negated else []), *words]

    def _translate(self, shown: str) -> None:
        """Add the options of iptables for the condition that was read last; without such options it is not read.

        Args:
            shown: the condition as the text shows it.
        """
        about = self.statements[-1].get("match", {})
        # iptables allows a chain of its own at any hook
        found = nft_conditions.Conditions({}, "", self.family)
        options = found.of(about["left"], about.get("op", "=="), about["right"]) if "right" in about else None
        if options is None or len(options) != 1 or found.also:
            self.unread.append(shown)
            return
        if found.protocols and not self.protocol:
            self.protocol = True
            self.conditions += ["-p", found.protocols[0]]
        self.conditions += options[0].split()

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

    def _masked_address(self, tree: Tree[Token]) -> None:
        protocol, side, mask, operator, value = map(str, tree.children)
        left = {"&": [{"payload": {"protocol": protocol, "field": side}}, mask]}
        self.statements.append({"match": {"op": operator, "left": left, "right": value}})
        self._translate(f"{protocol} {side} & {mask} {operator} {value}")

    def _concat(self, tree: Tree[Token]) -> None:
        fields, *values = tree.children
        negated = isinstance(values[0], Token) and str(values[0]) == "!="
        values = [one for one in values if not (isinstance(one, Token) and one.type == "OPERATOR")]
        left = {"concat": [looked_up(one) for one in str(fields).split(" . ")]}
        right: Any = str(values[0])
        if isinstance(values[0], Tree):
            right = {"set": [entry(one) for one in values]}
        self.statements.append({"match": {"op": "!=" if negated else "==", "left": left, "right": right}})
        self._translate(str(fields))

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

    def _field(
        self,
        tree: Tree[Token],
        name: str = "",
        *,
        left: dict[str, Any] | None = None,
        read: Callable[[str], str] = str,
        flags: bool = False,
    ) -> None:
        """Read a condition on a field.

        Args:
            tree: the condition.
            name: the field, which is the first token otherwise.
            left: the field in the form of libnftables-json(5), if its name does not tell that.
            read: reads a value.
            flags: of several values, any may be set.
        """
        if not name:
            name, tree = str(tree.children[0]), Tree(tree.data, tree.children[1:])
        negated, values = self._value(tree)
        found = looked_up(name) if left is None else left
        self._compare(found, tree, list(map(read, values)), negated=negated, flags=flags)
        self._translate(f"{name} {', '.join(values)}")

    _icmp = _nfproto = _chance = _field

    def _tuple(self, tree: Tree[Token]) -> None:
        self._field(tree, read=port_of)

    def _header(self, tree: Tree[Token]) -> None:
        is_option = "option" in str(tree.children[0])
        self._field(tree, left={"tcp option": {"name": "maxseg", "field": "size"}} if is_option else None)

    def _exthdr(self, tree: Tree[Token]) -> None:
        kind, _, field = str(tree.children[0]).removeprefix("exthdr ").partition(" ")
        self._field(tree, left={"exthdr": {"name": kind, "field": field} if field else {"name": kind}})

    def _status(self, tree: Tree[Token]) -> None:
        self._field(tree, "ct status", flags=True)

    def _pkttype(self, tree: Tree[Token]) -> None:
        self._field(tree, "meta pkttype")

    def _direction(self, tree: Tree[Token]) -> None:
        self._field(tree, "ct direction")

    def _ether(self, tree: Tree[Token]) -> None:
        self._field(tree, "ether saddr")

    def _state(self, tree: Tree[Token]) -> None:
        if isinstance(tree.children[-1], Tree) and tree.children[-1].data == "bits":
            self._state_bits(tree)
            return
        negated, values = self._value(tree)
        values = [name for value in values for name in state_names(value)] or values
        self._compare({"ct": {"key": "state"}}, tree, values, negated=negated, flags=True)
        self._translate(f"ct state {'!= ' if negated else ''}{' '.join(values)}")

    def _state_bits(self, tree: Tree[Token]) -> None:
        """Read which bits of the state are set of those that are compared."""
        *first, bits = tree.children
        negated, values = self._value(Tree("state", first))
        _, compared = self._value(Tree("state", [bits]))
        left = {"&": [{"ct": {"key": "state"}}, [json_value(one) for one in compared]]}
        right = [json_value(one) for one in values]
        self.statements.append({"match": {"op": "!=" if negated else "==", "left": left, "right": right}})
        self._translate(f"ct state {','.join(values)} / {','.join(compared)}")

    def _vmap(self, tree: Tree[Token]) -> None:
        self.statements.append({"vmap": map_of(tree)})
        self.unread.append(f"{str(tree.children[0]).removeprefix('meta ')} vmap")

    def _limit(self, tree: Tree[Token]) -> None:
        words = " ".join(map(str, tree.children))
        self.statements.append(limit_of(words))
        self.unread.append(words)

    def _fib(self, tree: Tree[Token]) -> None:
        words, *rest = tree.children
        negated, values = self._value(Tree("", rest))
        fields, _, result = str(words).removeprefix("fib ").rpartition(" ")
        sides = fields.split(" . ")
        left = {"fib": {"result": result, "flags": sides}}
        if result == "oif" and values[-1] in _FOUND:
            op = "!=" if negated else "=="
            self.statements.append({"match": {"op": op, "left": left, "right": _FOUND[values[-1]]}})
        else:
            self._compare(left, tree, values, negated=negated)
        self._translate(f"{words} {', '.join(values)}")

    def _mark_match(self, tree: Tree[Token]) -> None:
        name, *rest = tree.children
        left = mark_of(str(name))
        shown = str(name)
        if isinstance(first := rest[0], Tree) and first.data == "mask":
            mask, rest = str(first.children[0]), rest[1:]
            left = {"&": [left, number(mask)]}
            shown = f"{name} & {mask}"
        negated, values = self._value(Tree("", rest))
        self._compare(left, Tree("", rest), values, negated=negated)
        self._translate(f"{shown} {', '.join(values)}")

    def _flags(self, tree: Tree[Token]) -> None:
        tokens = list(tree.scan_values(lambda one: isinstance(one, Token)))
        operator = next((str(one) for one in tokens if one.type in _OPERATORS), "")
        if any(isinstance(one, Tree) and one.data == "any_flags" for one in tree.children):
            self._any_flags(tree, str(tokens[-1]))
            return
        first, *second = [_flag_names(one) for one in tokens if one.type == "FLAGS"]
        if any(one.type == "NO_FLAG" for one in tokens):
            second = [[]]
        flags: dict[str, Any] = {"payload": {"protocol": "tcp", "field": "flags"}}
        if second and operator in _COMPARISONS:
            self.statements.append({"match": {"left": flags}})
            self.unread.append("tcp flags")
            return
        if not second:
            right: Any = first if len(first) > 1 else first[0]
            if operator in ("==", "!=") and len(first) > 1:
                right = {"|": first}
            self.statements.append({"match": {"op": operator or "in", "left": flags, "right": right}})
            self._translate(f"tcp flags {operator} {','.join(first)}")
            return
        is_first = isinstance(tree.children[0], Tree)
        mask, wanted = (first, second[0]) if is_first else (second[0], first)
        op = "!=" if operator == "!=" else "=="
        self.statements.append({"match": {"op": op, "left": {"&": [flags, mask]}, "right": wanted or 0}})
        self._translate("tcp flags")

    def _any_flags(self, tree: Tree[Token], text: str) -> None:
        """Read a set of flags, each of which is the value of all flags of a segment."""
        names = [_flag_names(one) for one in text.split(",")]
        values = [one[0] if len(one) == 1 else {"|": one} for one in names]
        left = {"payload": {"protocol": "tcp", "field": "flags"}}
        op = "!=" if any(str(one) == "!=" for one in tree.children) else "=="
        self.statements.append({"match": {"op": op, "left": left, "right": {"set": values}}})
        self._translate(f"tcp flags {{ {text} }}")

    def _meta(self, tree: Tree[Token]) -> None:
        name, *rest = tree.children
        negated, values = self._value(Tree("", rest))
        kind, _, key = str(name).rpartition(" ")
        left = {kind or "meta": {"key": key}}
        if sum(isinstance(one, Token) and one.type == "QUOTED" for one in rest) > 1:
            op = "!=" if negated else "=="
            self.statements.append({"match": {"op": op, "left": left, "right": {"range": values}}})
        elif key == "ipsec" and values[-1] in _FOUND:
            op = "!=" if negated else "=="
            self.statements.append({"match": {"op": op, "left": left, "right": _FOUND[values[-1]]}})
        else:
            self._compare(left, tree, values, negated=negated)
        self._translate(f"{name} {', '.join(values)}")

    def _meter(self, tree: Tree[Token]) -> None:
        text = str(tree.children[0])
        self.statements.append({"meter": {"stmt": limit_of(text)} if "limit rate " in text else None})
        self.unread.append(text)

    def _count(self, tree: Tree[Token]) -> None:
        *over, most = map(str, tree.children)
        self.statements.append({"ct count": {"val": number(most), **({"inv": True} if over else {})}})
        self.unread.append(" ".join(("ct count", *over, most)))

    def _quota(self, tree: Tree[Token]) -> None:
        self.statements.append({"quota": {"val": number(str(tree.children[1]))}})
        self.unread.append(" ".join(map(str, tree.children)))

    def _object(self, tree: Tree[Token]) -> None:
        kind, _, name = str(tree.children[0]).split()
        self.statements.append({kind: name.strip('"')})
        self.unread.append(str(tree.children[0]))

    def _fragment(self, tree: Tree[Token]) -> None:
        operator, value = tree.children
        offset = {"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 0x1FFF]}
        self.statements.append({"match": {"op": str(operator), "left": offset, "right": number(str(value))}})
        self._translate("ip frag-off")

    def _transparent(self, tree: Tree[Token]) -> None:
        value = number(str(tree.children[-1]))
        self.statements.append(
            {"match": {"op": "==", "left": {"socket": {"key": "transparent"}}, "right": value}}
        )
        self.unread.append("socket transparent")
