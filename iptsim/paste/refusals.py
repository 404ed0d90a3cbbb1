"""Commands that iptables refuses because of well-known mistakes, with the command that was probably meant.

Each was tried with iptables 1.8.9, nf_tables and legacy, as was each correction. Only what every version refuses is
listed, so that the rule certainly does not exist.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.options import command_letter
from iptsim.dump.tool import table_option, tool_of
from iptsim.extensions.parameters import SPELLINGS
from iptsim.host.pasted import RefusedCommand
from iptsim.languages import Message, Text, message
from iptsim.paste.binding import JUMPS
from iptsim.paste.pieces import CommandItem, RuleItem
from iptsim.paste.placeholders import is_cut, is_placeholder
from iptsim.suggestions import is_slip, nearest, slip_of

#: At most this many mistakes of one command are corrected.
_MOST = 6
#: Longer commands are not checked.
_LONGEST = 100
_MATCH = frozenset({"-m", "--match"})
_PROTOCOL = frozenset(word for word, flag in SPELLINGS.items() if flag == "-p")
#: Options of which a rule has one at most, by their short names.
_ONCE = {word: flag for word, flag in SPELLINGS.items() if flag != "-f"}
_PORT = {
    "--dport": "--dports",
    "--sport": "--sports",
    "--destination-port": "--dports",
    "--source-port": "--sports",
}
_PORTS = frozenset({"--dports", "--sports", "--ports", "--destination-ports", "--source-ports"})
_WITH_PORTS = frozenset({"tcp", "udp", "udplite", "sctp", "dccp", "6", "17", "136", "132", "33"})
_ADDRESSES = {
    word: "--sport" if flag == "-s" else "--dport" for word, flag in SPELLINGS.items() if flag in ("-s", "-d")
}
_STATES = ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED")
#: Options whose value may be any text.
_WITH_TEXT = frozenset({"--comment", "--log-prefix", "--nflog-prefix", "--string", "--hex-string"})
_MATCH_OF = {"--state": "state", "--ctstate": "conntrack"}
_TARGETS = ("ACCEPT", "DROP", "REJECT", "RETURN", "LOG", "MASQUERADE", "REDIRECT", "DNAT", "SNAT")
#: The options of targets that translate addresses, and those that others of these have.
_TRANSLATE = {"REDIRECT": "--to-ports", "DNAT": "--to-destination", "SNAT": "--to-source"}
_OF_TARGETS = frozenset({*_TRANSLATE.values(), "--to-port", "--reject-with", "--log-prefix"})
#: Long options that are often written with one dash.
_LONG = frozenset({
    "dport", "sport", "dports", "sports", "state", "ctstate", "to-destination", "to-source", "to-ports", "to-port",
})  # fmt: skip
#: Options that people misspell, and those which only look like a slip of one.
_MISSPELT = tuple(f"--{word}" for word in sorted(_LONG))
_SPELT = frozenset({*_MISSPELT, *_PORTS, *SPELLINGS, "--port"})
_ADDRESS = r"\d{1,3}(?:\.\d{1,3}){3}"
_WITH_PORT = re.compile(rf"({_ADDRESS}(?:/\d+)?):(\d{{1,5}})")
_RANGE = re.compile(rf"{_ADDRESS}-{_ADDRESS}")
_INTERFACE = re.compile(r"(?:eth|en[opsx]|wl[opsx]?|wlan|wg|tun|tap|ppp|br|docker|venet|lo)[-.\w]*\d|lo")
_ORDERED = re.compile(
    r"\bip6?tables\S*\s+(?:(?:-t|--table)[\s=]\S+\s+|-w\s+(?:\d+\s+)?|--wait\s+)*-", re.IGNORECASE
)


class Refusal(NamedTuple):
    """Why iptables refuses a command.

    Attributes:
        why: the reason, as a clause.
        mended: the words that were probably meant, from the action on; empty if unknown.
        table: the table that was meant, if it is another one.
    """

    why: Message
    mended: tuple[str, ...] = ()
    table: str = ""


def refusal(words: Sequence[str], text: str, table: str, chains: Collection[str]) -> Refusal | None:
    """Return why iptables refuses a command; None if it does not, or if that is not certain.

    Args:
        words: the words of the command, from its action (`-A`) on.
        text: the whole command.
        table: its table.
        chains: the chains that the table has before the command, as far as known.
    """
    begins = _ORDERED.search(text)
    if len(words) > _LONGEST or any(is_cut(word) for word in words):
        return None
    if begins is None or not text[begins.end() - 1 :].startswith(words[0]):
        return None  # other options precede the action: their order is not known here
    found = first = _first(list(words), table, chains)
    for _ in range(_MOST):
        if found is None or not found.mended or found.table:
            break
        more = _first(list(found.mended), table, chains)
        if more is None:
            break
        found = more
    if first is None or found is None:
        return None
    return Refusal(first.why, found.mended, found.table)


def note(
    found: list[RefusedCommand],
    item: CommandItem | RuleItem,
    family: Family,
    table: str,
    chains: Collection[str],
) -> Text:
    """Add a command, or a line of a file, to those found if iptables refuses it; return why it adds no rule, or "".

    A line of a file may add one: whoever loads the file corrects the line first, as iptables-restore takes all or none.
    """
    words = [word.text for word in item.words]
    if isinstance(item, RuleItem):
        words = ["-A", item.chain or "", *words]
    of_file = isinstance(item, RuleItem) or item.text.startswith("-")
    refused = refusal(words, f"iptables {' '.join(words)}" if of_file else item.text, table, chains)
    if refused is None:
        return ""
    mended = command_text(family, refused.table or table, refused.mended) if refused.mended else ""
    found.append(RefusedCommand(item.line, family, item.text, refused.why, mended))
    return "" if of_file else refused.why


def command_text(family: Family, table: str, words: Sequence[str]) -> str:
    """Return a command: `iptables -t nat -A POSTROUTING ...`."""
    return f"{tool_of(family)} {table_option(table)}{shlex.join(words)}"


def _first(words: list[str], table: str, chains: Collection[str]) -> Refusal | None:
    """Return the first mistake of a command."""
    letter = command_letter(words[0])
    if letter == "P":
        return _policy(words, chains)
    if letter not in ("A", "I", "R") or len(words) < 2:
        return None
    for check in _CHECKS:
        if (found := check(words)) is not None:
            return found
    return _chain(words, table, chains) or _target(words, chains)


def _policy(words: list[str], chains: Collection[str]) -> Refusal | None:
    if len(words) != 3 or not words[2].isalpha():
        return None
    _, chain, policy = words
    if policy not in ("ACCEPT", "DROP") and policy.upper() in ("ACCEPT", "DROP", "REJECT", "DENY", "RETURN"):
        meant = policy.upper() if policy.upper() in ("ACCEPT", "DROP") else "DROP"
        return Refusal(message("the policy can only be ACCEPT or DROP"), ("-P", chain, meant))
    return None


def _one_dash(words: list[str]) -> Refusal | None:
    """Find `-dport`: iptables reads `-d port`."""
    for at, word in enumerate(words):
        if word[:1] == "-" and word[1:] in _LONG:
            why = message("{option} needs two dashes", option=word)
            return Refusal(why, _put(words, at, f"-{word}", instead=1))
    return None


def _misspelt_option(words: list[str]) -> Refusal | None:
    for at, word in enumerate(words):
        if not word.startswith("--") or word in _SPELT or words[at - 1] in _WITH_TEXT:
            continue
        near = slip_of(word, _MISSPELT)
        if near and not near.startswith(word):  # getopt_long(3) takes abbreviations
            why = message("there is no option {option}; {near} is probably meant", option=word, near=near)
            return Refusal(why, _put(words, at, near, instead=1))
    return None


def _twice(words: list[str]) -> Refusal | None:
    seen: set[str] = set()
    for word in words:
        name = _ONCE.get(word)
        if name in seen:
            return Refusal(message("a rule can have only one {option}", option=name))
        if name is not None:
            seen.add(name)
    return None


def _protocols(words: list[str]) -> Refusal | None:
    at, value = _protocol(words, len(words))
    near = slip_of(value.lower(), ("tcp", "udp", "icmp"))
    if near and words[at] == value:
        why = message("there is no protocol {name}; {near} is probably meant", name=value, near=near)
        return Refusal(why, _put(words, at, near, instead=1))
    names = re.split(r"[,/]", value.lower())
    if len(names) > 1 and all(name in _WITH_PORTS or name in ("icmp", "all") for name in names):
        why = message("-p takes one protocol, and each other one needs its own rule")
        return Refusal(why, _put(words, at, names[0], instead=1))
    return None


def _ports(words: list[str]) -> Refusal | None:
    for at, word in enumerate(words[:-1]):
        several = word in _PORTS
        if not several and word not in _PORT and word != "--port":
            continue
        value, matches = words[at + 1], _matches(words, at)
        if is_placeholder(value) or value in ("!", "...") or re.search(r"[$<>{}%]", value):
            continue
        if "multiport" in matches:
            if _protocol(words, len(words))[1]:
                continue
            return Refusal(message("-m multiport needs -p tcp or -p udp"), _with_protocol(words))
        if word == "--port":
            return Refusal(message("the option is called --dport"), _put(words, at, "--dport", instead=1))
        if several:
            why = message("{option} exists only after -m multiport", option=word)
            return Refusal(why, _put(words, at - _is_negated(words, at), "-m", "multiport"))
        found = _port(words, at, matches & _WITH_PORTS) or _value_of_port(words, at)
        if found is not None:
            return found
    return None


def _port(words: list[str], at: int, loaded: set[str]) -> Refusal | None:
    """Find `--dport` without the protocol that it belongs to; `-m tcp` may be given instead before it."""
    option = words[at]
    place, proto = _protocol(words, at if not loaded else len(words))
    if loaded:
        match = min(loaded)
        why = message("-m {match} needs -p {match}", match=match)
        return None if proto else Refusal(why, _with_protocol(words, match))
    if proto.lower() in _WITH_PORTS or is_placeholder(proto):
        return None
    later, behind = _protocol(words, len(words))
    if not proto and behind:
        if behind.lower() not in _WITH_PORTS:
            return None
        left = [*words[: later - 1], *words[later + 1 :]]
        why = message("{option} must come after -p {proto}", option=option, proto=behind)
        return Refusal(why, _with_protocol(left, behind))
    if not proto:
        why = message("{option} exists only after -p tcp or -p udp", option=option)
        return Refusal(why, _with_protocol(words))
    if proto.lower() in ("all", "0", "any", "ip"):
        why = message(
            "{option} exists only after -p tcp or -p udp, not with -p {proto}", option=option, proto=proto
        )
        return Refusal(why, _put(words, place, "tcp", instead=1))
    if proto.lower() in ("icmp", "1", "icmpv6", "ipv6-icmp", "58"):
        return Refusal(message("-p {proto} has no ports", proto=proto))
    return None


def _value_of_port(words: list[str], at: int) -> Refusal | None:
    option, value = words[at : at + 2]
    if re.fullmatch(r"[\w-]+(?:[:,][\w-]+)+", value, re.ASCII) and "," in value:
        ports = _PORT[option]
        why = message(
            "{option} takes one port; several need -m multiport {options}", option=option, options=ports
        )
        mended = _put(words, at, ports, instead=1)
        return Refusal(why, _put(mended, at - _is_negated(words, at), "-m", "multiport"))
    if re.fullmatch(r"\d+-\d+", value, re.ASCII):
        spanned = value.replace("-", ":")
        why = message("a range of ports has a colon: {ports}", ports=spanned)
        return Refusal(why, _put(words, at + 1, spanned, instead=1))
    numbers = re.fullmatch(r"(\d+)(?::(\d+))?", value, re.ASCII)
    if numbers is not None and any(len(one) > 5 or int(one) > 65535 for one in numbers.groups() if one):
        return Refusal(message("there is no port {port}", port=value))
    return None


def _addresses(words: list[str]) -> Refusal | None:
    for at, word in enumerate(words[:-1]):
        if word not in _ADDRESSES:
            continue
        value = words[at + 1]
        if (found := _WITH_PORT.fullmatch(value)) is not None:
            why = message(
                "{option} takes no port: it is {port} {number}",
                option=word,
                port=_ADDRESSES[word],
                number=found[2],
            )
            left = _put(words, at + 1, found[1], instead=1)
            left = left if _protocol(left, len(left))[1] else _with_protocol(left)
            named = _ADDRESSES[word] in left
            return Refusal(why, left if named else _put(left, _jump_at(left), _ADDRESSES[word], found[2]))
        if _RANGE.fullmatch(value):
            option = "--src-range" if _ADDRESSES[word] == "--sport" else "--dst-range"
            why = message("a range of addresses needs -m iprange {option}", option=option)
            mended = _put(words, at, option, instead=1)
            return Refusal(why, _put(mended, at - _is_negated(words, at), "-m", "iprange"))
    return None


def _states(words: list[str]) -> Refusal | None:
    for at, word in enumerate(words[:-1]):
        if word not in _MATCH_OF:
            continue
        value, rest = words[at + 1], words[at + 2 :]
        if is_placeholder(value) or value == "!":
            continue
        if value.endswith(",") and rest and rest[0].rstrip(",").upper() in _STATES:
            why = message("the list of states must not contain spaces")
            return Refusal(why, _put(words, at + 1, value + rest[0], instead=2))
        matches = _matches(words, at)
        if _MATCH_OF[word] not in matches:
            other = next((one for one, match in _MATCH_OF.items() if match in matches), None)
            why = message("{option} exists only after -m {match}", option=word, match=_MATCH_OF[word])
            if other is not None:
                return Refusal(why, _put(words, at, other, instead=1))
            return Refusal(why, _put(words, at - _is_negated(words, at), "-m", _MATCH_OF[word]))
        parts = value.split(",")
        for part in parts:
            near = nearest(part, _STATES, 0.75)
            if part.upper() not in (*_STATES, "SNAT", "DNAT") and near and part.isalpha():
                fixed = ",".join(near if one == part else one for one in parts)
                why = message("there is no state {state}; {near} is probably meant", state=part, near=near)
                return Refusal(why, _put(words, at + 1, fixed, instead=1))
    return None


def _stray(words: list[str]) -> Refusal | None:
    """Find a word that belongs to no option: the name of an interface, a protocol, or a target."""
    at = _begin(words)
    word = words[at] if at < len(words) else ""
    why = message("{word} belongs to no option", word=word)
    if word in ("tcp", "udp", "icmp"):
        return Refusal(why, _put(words, at, "-p"))
    if _INTERFACE.fullmatch(word):
        option = {"INPUT": "-i", "PREROUTING": "-i", "OUTPUT": "-o", "POSTROUTING": "-o"}.get(words[1])
        return Refusal(why, _put(words, at, option) if option else ())
    last = words[-1]
    if last in _TARGETS and len(words) > at + 2 and not JUMPS & {*words} and not words[-2].startswith("-"):
        return Refusal(message("{word} belongs to no option", word=last), _put(words, len(words) - 1, "-j"))
    return None


def _before_target(words: list[str]) -> Refusal | None:
    """Find options of the target before `-j`, where iptables does not know them."""
    jump = _jump_at(words)
    for at, word in enumerate(words[: jump if jump < len(words) else 0]):
        if word in _OF_TARGETS and at + 1 < jump and words[at - 1] not in _WITH_TEXT:
            moved = (*words[:at], *words[at + 2 :], word, words[at + 1])
            why = message("{option} must come after -j {target}", option=word, target=_target_of(words))
            return Refusal(why, moved)
    return None


def _translation(words: list[str]) -> Refusal | None:
    """Find the option of another target, and ports without a protocol."""
    jump = _jump_at(words)
    target = _target_of(words)
    own = _TRANSLATE.get(target)
    for at, word in enumerate(words[jump + 2 : -1], jump + 2) if own is not None else ():
        value = words[at + 1]
        if word in _TRANSLATE.values() and word != own:
            why = message("-j {target} has no option {option}", target=target, option=word)
            if target == "REDIRECT" and word == "--to-destination":
                return Refusal(why, _put(words, jump + 1, "DNAT", instead=1))
            swapped = target != "REDIRECT" and word != "--to-ports"
            return Refusal(why, _put(words, at, own or "", instead=1) if swapped else ())
        if word == own and (prefix := re.fullmatch(rf"({_ADDRESS})/\d+((?::.*)?)", value)) is not None:
            why = message("{option} takes an address without a prefix length", option=word)
            return Refusal(why, _put(words, at + 1, "".join(prefix.groups()), instead=1))
        with_port = re.fullmatch(rf"(?:{_ADDRESS}(?:-{_ADDRESS})?)?:\d+(?:-\d+)?", value) is not None
        if (with_port or own == "--to-ports") and word == own and not _protocol(words, len(words))[1]:
            why = message("-j {target} with a port needs -p tcp or -p udp", target=target)
            return Refusal(why, _with_protocol(words))
    return None


def _interfaces(words: list[str]) -> Refusal | None:
    wrong = {"INPUT": "-o", "PREROUTING": "-o", "OUTPUT": "-i", "POSTROUTING": "-i"}.get(words[1])
    for at, word in enumerate(words):
        if wrong is not None and _ONCE.get(word) == wrong:
            meant = "-i" if wrong == "-o" else "-o"
            why = message("{chain} takes no {option}", chain=words[1], option=wrong)
            there = {_ONCE.get(one) for one in words}
            return Refusal(why, () if meant in there else _put(words, at, meant, instead=1))
    return None


def _chain(words: list[str], table: str, chains: Collection[str]) -> Refusal | None:
    """Find a built-in chain in small letters or misspelt, or one that only another table has."""
    name = words[1]
    if name in chains or name in BUILTIN_CHAINS[table]:
        return None
    upper = name.upper()
    if upper != name and upper in BUILTIN_CHAINS[table]:
        why = message("there is no chain {name}; it is called {meant}", name=name, meant=upper)
        return Refusal(why, _put(words, 1, upper, instead=1))
    near = slip_of(name, BUILTIN_CHAINS[table]) if name.isupper() else ""
    if near:
        why = message("there is no chain {name}; {near} is probably meant", name=name, near=near)
        return Refusal(why, _put(words, 1, near, instead=1))
    if name in BUILTIN_CHAINS["nat"]:
        why = message("table {table} has no chain {name}", table=table, name=name)
        return Refusal(why, tuple(words), "nat")
    return None


def _target(words: list[str], chains: Collection[str]) -> Refusal | None:
    """Find a misspelt target."""
    jump = _jump_at(words)
    name = _target_of(words)
    if not name.isalpha() or name in chains or name in _TARGETS or words[jump] not in ("-j", "--jump"):
        return None
    near = name.upper() if name.upper() in _TARGETS else nearest(name, _TARGETS, 0.8)
    # a chain that the text does not show may have another name
    if not near or (name.upper() != near and not (name.isupper() and is_slip(name, near))):
        return None
    why = message("there is no target {name}; {near} is probably meant", name=name, near=near)
    return Refusal(why, _put(words, jump + 1, near, instead=1))


def _without_address(words: list[str]) -> Refusal | None:
    """Find SNAT and DNAT without an address, or with a placeholder in place of the option, too."""
    target, rest = _target_of(words), words[_jump_at(words) + 2 :]
    is_named = any(word.startswith("--to") for word in words)
    if target not in ("SNAT", "DNAT") or is_named or (rest and rest[0][:1] != "<"):
        return None
    return Refusal(message("{target} needs {option}", target=target, option=_TRANSLATE[target]))


#: The checks, in the order in which iptables would notice.
_CHECKS: tuple[Callable[[list[str]], Refusal | None], ...] = (
    _one_dash,
    _misspelt_option,
    _stray,
    _protocols,
    _ports,
    _addresses,
    _states,
    _twice,
    _before_target,
    _without_address,
    _translation,
    _interfaces,
)


def _begin(words: Sequence[str]) -> int:
    """Return where the options of a rule begin: after its chain and its number."""
    return 3 if len(words) > 2 and words[2].isdecimal() else 2


def _jump_at(words: Sequence[str]) -> int:
    return next((place for place, word in enumerate(words) if word in JUMPS), len(words))


def _is_negated(words: Sequence[str], at: int) -> bool:
    """Return whether `!` stands before an option."""
    return words[at - 1] == "!"


def _matches(words: Sequence[str], end: int) -> set[str]:
    """Return the matches that are loaded before a word."""
    return {words[at + 1].lower() for at in range(end - 1) if words[at] in _MATCH}


def _protocol(words: Sequence[str], end: int) -> tuple[int, str]:
    """Return the protocol that is given before a word, and its place; "" without one."""
    for at in range(min(end, len(words) - 1)):
        if words[at] in _PROTOCOL:
            return at + 1, words[at + 1]
        if words[at].startswith(("--protocol=", "--proto=")) or re.fullmatch(
            r"-p(?:tcp|udp|icmp)", words[at]
        ):
            return at, re.split(r"=|-p", words[at])[-1]
    return 0, ""


def _target_of(words: Sequence[str]) -> str:
    """Return the target of a rule; "" without one."""
    return next(iter(words[_jump_at(words) + 1 :]), "")


def _put(words: Sequence[str], at: int, *put: str, instead: int = 0) -> tuple[str, ...]:
    """Return the words of a command with others put in at a place, instead of some that stand there."""
    return (*words[:at], *put, *words[at + instead :])


def _with_protocol(words: Sequence[str], protocol: str = "tcp") -> tuple[str, ...]:
    return _put(words, _begin(words), "-p", protocol)
