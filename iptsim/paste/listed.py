"""Converts the text of extensions in a listing back into the options of a rule, with the grammar `listed.lark`.

`tcp dpt:80 ctstate NEW to:172.17.0.2:80` becomes `-m tcp --dport 80 -m conntrack --ctstate NEW` and, for the target
DNAT, `--to-destination 172.17.0.2:80`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from lark import Token, Tree

from iptsim.grammar import parser, pattern
from iptsim.protocols import TCP_FLAGS

#: The start of a remark after a rule.
REMARK = re.compile(r" *(?:<+[-=]|<<|←|#|//|--> |=> |\*\*+|\((?!policy)).*$")


#: How iptables-nft lists `-j NOTRACK`, as the target CT.
_NOTRACK = re.compile(r"NOTRACK(?= |$)")


class Phrases(NamedTuple):
    """The text after the addresses of a listed rule.

    Attributes:
        goto: the rule uses `-g`.
        matches: one list of words per match: `-m tcp --dport 80`.
        target: the target's options.
        unread: the remaining pieces.
    """

    goto: bool
    matches: tuple[tuple[str, ...], ...]
    target: tuple[str, ...]
    unread: tuple[str, ...]


@lru_cache(maxsize=8192)
def read_phrases(text: str, target: str) -> Phrases:
    """Read the text after the addresses in a listing.

    Args:
        text: that text.
        target: the name in the rule's column `target`; empty for none.
    """
    rest = text.replace("\t", " ").strip(" ")
    goto = rest.startswith("[goto]")
    if goto:
        rest = rest.removeprefix("[goto]").strip(" ")
    matches: list[tuple[str, ...]] = []
    unread: list[str] = []
    options: tuple[str, ...] = ()
    begun = False
    while rest:
        found = None if goto else _target_options(rest, target)
        if found is not None:
            options = found
            break
        phrase = _phrase_at(rest)
        if phrase is not None:
            end, words = phrase
            matches.append(words)
            rest, begun = rest[end:].lstrip(" "), False
            continue
        if REMARK.match(rest):
            break
        word, _, rest = rest.partition(" ")
        if begun:
            unread[-1] += f" {word}"
        else:
            unread.append(word)
        rest, begun = rest.lstrip(" "), True
    return Phrases(goto, tuple(matches), options, tuple(unread))


@cache
def _symbols(start: str) -> tuple[str, ...]:
    """Return the symbols of all extensions of a kind, "match" or "target"."""
    return tuple(rule.expansion[0].name for rule in parser("listed").rules if rule.origin.name == start)


@cache
def _at(symbol: str) -> re.Pattern[str]:
    """Return the pattern of a phrase that ends at a word boundary."""
    return re.compile(pattern("listed", symbol).pattern + r"(?= |$)")


def _phrase_at(text: str) -> tuple[int, tuple[str, ...]] | None:
    """Return the end and the words of the longest match phrase at the start of a text."""
    ends = [
        (found.end(), symbol)
        for symbol in _symbols("match")
        if (found := _at(symbol).match(text)) is not None
    ]
    if not ends:
        return None
    end, symbol = max(ends)
    tree = _parsed(text[:end], "match")
    return None if tree is None else (end, _match_words(symbol, tree))


def _target_options(text: str, target: str) -> tuple[str, ...] | None:
    """Return the target options of a text, or None."""
    if target == "CT" and _NOTRACK.match(text) and _ends_at(text, len("NOTRACK")):
        return ("--notrack",)
    symbol = f"{'nat' if target in _NAT else target.lower()}_target"
    if symbol not in _symbols("target"):
        return None
    found = _at(symbol).match(text)
    if found is None or not _ends_at(text, found.end()):
        return None
    tree = _parsed(found.group(), "target")
    if tree is None:
        return None
    return tuple(word for option in _trees(tree) for word in _option(option, target))


def _ends_at(text: str, end: int) -> bool:
    """Return whether nothing but a remark follows."""
    return not text[end:].strip() or REMARK.fullmatch(text, end) is not None


def _parsed(text: str, start: str) -> Tree[Token] | None:
    from lark.exceptions import UnexpectedInput

    try:
        whole = parser("listed").parse(text, start=start)
    except UnexpectedInput:
        return None
    tree = whole.children[0]
    assert isinstance(tree, Tree)
    return tree


def _trees(tree: Tree[Token]) -> Iterator[Tree[Token]]:
    return (child for child in tree.children if isinstance(child, Tree))


def _tokens(tree: Tree[Token]) -> list[str]:
    return [str(child) for child in tree.children if isinstance(child, Token)]


# -- from a tree to words ------------------------------------------------------------------------------------


def _match_words(symbol: str, tree: Tree[Token]) -> tuple[str, ...]:
    own = _MATCHES.get(symbol)
    name = _NAMES.get(symbol, symbol.replace("_", "-"))
    words = own(tree) if own else [word for option in _trees(tree) for word in _option(option, "")]
    return ("-m", name, *words)


def _option(tree: Tree[Token], target: str) -> Sequence[str]:
    """Return the words of one option, after a `!` if it is negated."""
    own = _OPTIONS.get(tree.data)
    words = _tokens(tree)
    negated = ["!"] if "!" in words else []
    values = [word for word in words if word != "!"]
    flag = (_NAT.get(target) or "--to") if tree.data == "to" else f"--{tree.data.replace('_', '-')}"
    words = own(flag, values) if own else [flag, *values]
    return [*negated, *words] if words else []


def _unquoted(text: str) -> str:
    inner = text[1:-1] if text[:1] in "\"'`" and len(text) > 1 else text
    return re.sub(r"\\(.)", r"\1", inner)


def _quoted_value(flag: str, values: list[str]) -> list[str]:
    return [flag, _unquoted(values[0])]


def _flag_names(text: str) -> str:
    """Return TCP flags by their names, `0x17` as `FIN,SYN,RST,ACK`."""
    if not re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        return text
    bits = int(text, 16)
    return ",".join(name for name, bit in TCP_FLAGS.items() if bits & bit) or "NONE"


def _tcp_flags(flag: str, values: list[str]) -> list[str]:
    mask, _, wanted = values[0].partition("/")
    return [flag, _flag_names(mask), _flag_names(wanted)]


def _icmp_type(flag: str, values: list[str]) -> list[str]:
    found = re.fullmatch(r"type ([0-9]+)(?: code ([0-9]+)(?:-[0-9]+)?)?", values[0])
    if not found:
        return [flag, values[0]]
    return [flag, found[1] if found[2] is None else f"{found[1]}/{found[2]}"]


def _change(flag: str, values: list[str]) -> list[str]:
    how, value = values[0], "/".join(values[1:])
    return ["--set-xmark" if how == "xset" else f"--{how}-mark", value]


def _log_flags(flag: str, values: list[str]) -> list[str]:
    bits = int(values[0])
    return [option for bit, option in _LOG_BITS.items() if bits & bit]


def _days(flag: str, values: list[str]) -> list[str]:
    if values[0][:1].isdigit():
        return ["--monthdays", re.sub(r"(?<=[0-9])(st|nd|rd|th)", "", values[0])]
    return ["--weekdays", values[0]]


def _pattern(flag: str, values: list[str]) -> list[str]:
    text = _unquoted(values[0])
    return ["--hex-string" if text.startswith("|") else "--string", text]


def _recent(tree: Tree[Token]) -> list[str]:
    *negated, action = _tokens(tree)
    words = [*negated, f"--{'rcheck' if action == 'CHECK' else action.lower()}"]
    return words + [word for option in _trees(tree) for word in _option(option, "")]


def _connlimit(tree: Tree[Token]) -> list[str]:
    *side, mask = _tokens(tree)
    words = [word for option in _trees(tree) for word in _option(option, "")]
    return [*words, "--connlimit-mask", mask, f"--connlimit-{'daddr' if side == ['dst'] else 'saddr'}"]


def _hops(name: str) -> Callable[[Tree[Token]], list[str]]:
    def words(tree: Tree[Token]) -> list[str]:
        relation, value = _tokens(tree)
        negated = ["!"] if relation == "!=" else []
        return [*negated, f"--{name}-{ {'<': 'lt', '>': 'gt'}.get(relation, 'eq') }", value]

    return words


def _comment(tree: Tree[Token]) -> list[str]:
    return [
        "--comment",
        _tokens(tree)[0].removeprefix("/*").removesuffix("*/").removeprefix(" ").removesuffix(" "),
    ]


def _hashlimit(tree: Tree[Token]) -> list[str]:
    words = [word for option in _trees(tree) for word in _option(option, "")]
    return [*words, "--hashlimit-name", "not-shown"]


def _time(tree: Tree[Token]) -> list[str]:
    words = [word for option in _trees(tree) for word in _option(option, "")]
    return (
        words
        if any(option.data in ("utc", "kerneltz") for option in _trees(tree))
        else [*words, "--kerneltz"]
    )


_NAT = {"DNAT": "--to-destination", "SNAT": "--to-source", "NETMAP": "--to", "MASQUERADE": "", "REDIRECT": ""}
_NAMES = {"match_set": "set"}
_LOG_BITS = {
    1: "--log-tcp-sequence", 2: "--log-tcp-options", 4: "--log-ip-options", 8: "--log-uid", 32: "--log-macdecode",
}  # fmt: skip
_MATCHES: dict[str, Callable[[Tree[Token]], list[str]]] = {
    "recent": _recent,
    "connlimit": _connlimit,
    "ttl": _hops("ttl"),
    "hl": _hops("hl"),
    "comment": _comment,
    "hashlimit": _hashlimit,
    "time": _time,
}
_OPTIONS: dict[str, Callable[[str, list[str]], list[str]]] = {
    "tcp_flags": _tcp_flags,
    "icmp_type": _icmp_type,
    "icmpv6_type": _icmp_type,
    "change": _change,
    "flags": _log_flags,
    "log_prefix": _quoted_value,
    "nflog_prefix": _quoted_value,
    "ulog_prefix": _quoted_value,
    "helper": lambda flag, values: [flag, values[0].strip('"')],
    "u32": _quoted_value,
    "label": lambda flag, values: [flag, values[0].strip("'")],
    "text": _pattern,
    "days": _days,
    "timespan": lambda flag, values: ["--timestart", values[0], "--timestop", values[1]],
    "utc": lambda flag, values: [],
    "strip_options": lambda flag, values: [flag, values[0]],
    "chunk_types": lambda flag, values: [flag, *values],
    "pkt_type": lambda flag, values: [flag, *[value for value in values if value != "="]],
    "mode_random": lambda flag, values: ["--mode", "random"],
    "mode_nth": lambda flag, values: ["--mode", "nth"],
    "save_mark": lambda flag, values: [flag],
}
