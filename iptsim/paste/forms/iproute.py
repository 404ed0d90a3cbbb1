"""The text output of `ip addr`, `ip link`, `ip route` and `ip rule`, converted to the JSON of `ip -j`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from lark import Token, Tree
from lark.exceptions import UnexpectedInput

from iptsim.grammar import parser
from iptsim.paste.addresses import is_address
from iptsim.paste.chosen_routes import CHOSEN
from iptsim.paste.hidden_addresses import hide
from iptsim.paste.interfaces import kind_of, usual_scope
from iptsim.paste.lines import Line
from iptsim.paste.pieces import Facts, Segment
from iptsim.paste.prompts import Command

_LINK = re.compile(r"\s*\d+: \S+: <[A-Z0-9_,-]*> ")
_ROUTE = re.compile(
    r"\s*(?:(?:unicast|local|broadcast|multicast|anycast|blackhole|unreachable|prohibit|throw) "
    r"(?:default|[0-9a-fA-F.:]+(?:/\d+)?)(?:\s|$)|"
    r"(?:default|[0-9a-fA-F.:]+(?:/\d+)?) (?:via|dev|proto|scope|src|metric|nhid)\b)"
)
_RULE = re.compile(r"\s*\d+:\s+(?:not )?from \S+ ")
#: `ip -brief addr` and `ip -brief link`.
_BRIEF = re.compile(
    r"\s*[^\s:<>]+\s+(?:UP|DOWN|UNKNOWN|LOWERLAYERDOWN|DORMANT|NOTPRESENT|TESTING)"
    r"(?=\s*$|\s+<|\s+[0-9a-fA-F.:/]+(?:\s|$))"
)
#: `ip -oneline addr`.
_ONE_LINE = re.compile(r"\s*\d+: \S+\s+inet6? ")
#: Addresses without their interface above, as `ip addr | grep inet` prints; the label of an IPv4 address names it.
_LABELLED = re.compile(
    r"\s*(?:inet \d[\d.]+(?:/\d+| peer [\d.]+/\d+) (?:(?:brd|metric) \S+ )*scope \w+ (?:[a-z]+ )*[\w.-]+(?::[\w.-]+)?"
    r"|inet6 [0-9a-fA-F:]+/\d+ scope \w+[a-z ]*)\s*$"
)
#: The first words of the further lines of an interface; in a forum, their indentation may be lost.
_BELOW = re.compile(
    r"\s*(?:link/\w+|inet6? (?:[0-9a-fA-F:]|\S+/\d|\S+ .*\bscope )|altname \w|valid_lft \w)"
    r"|\s+(?:link/|(?:veth|bridge|tun|wireguard|vlan|dummy|macvlan)\b)"
)


def find(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    """Return the output of ip that starts at a line, or None."""
    text = lines[at].text
    if _LINK.match(text):
        return _links(lines, at)
    for row, read in ((_BRIEF, _brief), (_ONE_LINE, _one_line), (_LABELLED, _labelled)):
        if row.match(text):
            return _rows(lines, at, row, read)
    if _ROUTE.match(text) or _CHOSEN.fullmatch(text):
        return _routes(lines, at, command)
    return _rules(lines, at, command) if _RULE.match(text) else None


def _tree(start: str, text: str) -> Tree[Token] | None:
    try:
        return parser("iproute").parse(text.strip(), start=start)
    except UnexpectedInput:
        return None


def _pairs(tree: Tree[Token]) -> dict[str, str]:
    """Return the words after keys."""
    return {str(pair.children[0]): str(pair.children[1]) for pair in tree.find_data("pair")}


def _tokens(tree: Tree[Token], kind: str) -> list[str]:
    return [str(child) for child in tree.children if isinstance(child, Token) and child.type == kind]


# -- interfaces ------------------------------------------------------------------------------------


def _links(lines: list[Line], at: int) -> Segment | None:
    entries: list[dict[str, Any]] = []
    first = last = at
    unread: list[int] = []
    has_addresses = False
    while at < len(lines):
        text = lines[at].text
        if _LINK.match(text) and (tree := _tree("link", text.partition("\\")[0])) is not None:
            entries.append(_link(tree))
            # `ip -oneline link` puts a backslash where the line would end.
            for below in text.split("\\")[1:]:
                _detail(entries[-1], below)
        elif entries and _BELOW.match(text):
            has_addresses |= text.lstrip().startswith("inet")
            if not _detail(entries[-1], text):
                unread.append(at)
        elif not lines[at].is_blank:
            break
        last = last if lines[at].is_blank else at
        at += 1
    if not entries:
        return None
    title = "ip addr" if has_addresses else "ip link"
    # a list that ends after lo breaks off: it does not tell which interfaces there are
    whole = any(entry["ifname"] != "lo" for entry in entries)
    facts = [Facts({"ip-addr.json": json.dumps(entries).encode()})] if whole else []
    return Segment(title, title, first, last, [*facts], unread)


def _rows(
    lines: list[Line], at: int, row: re.Pattern[str], read: Callable[[str, dict[str, dict[str, Any]]], bool]
) -> Segment | None:
    """Read lines of which none belongs to the one above it, as those of `ip -brief`."""
    entries: dict[str, dict[str, Any]] = {}
    first = last = at
    unread: list[int] = []
    while at < len(lines) and (row.match(lines[at].text) or (lines[at].is_blank and entries)):
        if not lines[at].is_blank:
            if not read(lines[at].text, entries):
                unread.append(at)
            last = at
        at += 1
    if not any("address" in entry or entry["addr_info"] for entry in entries.values()):
        return None
    title = "ip addr" if any(entry["addr_info"] for entry in entries.values()) else "ip link"
    facts = Facts({"ip-addr.json": json.dumps(list(entries.values())).encode()})
    return Segment(title, title, first, last, [facts], unread)


def _row(interface: str, entries: dict[str, dict[str, Any]], flags: list[str]) -> dict[str, Any]:
    """Return the entry of the interface that a row names, whose peer may follow an @."""
    name, _, peer = interface.partition("@")
    link_type = "loopback" if name == "lo" else "ether"
    return entries.setdefault(name, _entry(name, peer, len(entries) + 1, flags) | {"link_type": link_type})


def _brief(text: str, entries: dict[str, dict[str, Any]]) -> bool:
    """Read NAME STATE ADDRESS….

    The state is the operational one (RFC 2863): UNKNOWN is up, and an interface that is up without a carrier, as a
    bridge without ports, is DOWN.
    """
    tree = _tree("brief", text)
    if tree is None:
        return False
    is_idle = _tokens(tree, "STATE")[0] in ("DOWN", "NOTPRESENT", "LOWERLAYERDOWN")
    shown = _flags(flags[0]) if (flags := _tokens(tree, "FLAGS")) else ["UP"] + ["NO-CARRIER"] * is_idle
    entry = _row(_tokens(tree, "INTERFACE")[0], entries, shown)
    if macs := _tokens(tree, "MAC"):
        entry["address"] = macs[0]
    read = [_add_address(entry, address) for address in tree.find_data("brief_address")]
    return all(read)


def _one_line(text: str, entries: dict[str, dict[str, Any]]) -> bool:
    """Read NUMBER: NAME inet ADDRESS …; the flags are not shown."""
    tree = _tree("one_line", text)
    if tree is None:
        return False
    entry = _row(_tokens(tree, "INTERFACE")[0], entries, ["UP"])
    entry["ifindex"] = int(_tokens(tree, "NUMBER")[0])
    return _add_address(entry, next(tree.find_data("address")))


def _labelled(text: str, entries: dict[str, dict[str, Any]]) -> bool:
    """Read inet ADDRESS … LABEL; the address of IPv6 has no label."""
    tree = _tree("address", text)
    if tree is None or text.lstrip().startswith("inet6"):
        return False
    name = _tokens(tree, "WORD")[-1].partition(":")[0]
    return _add_address(_row(name, entries, ["UP"]), tree)


def _link(tree: Tree[Token]) -> dict[str, Any]:
    name, _, peer = _tokens(tree, "INTERFACE")[0].partition("@")
    pairs = _pairs(tree)
    entry = _entry(name, peer, int(_tokens(tree, "NUMBER")[0]), _flags(_tokens(tree, "FLAGS")[0]))
    if pairs.get("mtu", "").isdecimal():
        entry["mtu"] = int(pairs["mtu"])
    if "master" in pairs:
        entry["master"] = pairs["master"]
    return entry


def _flags(text: str) -> list[str]:
    return [flag for flag in text.strip("<>").split(",") if flag]


def _entry(name: str, peer: str, index: int, flags: list[str]) -> dict[str, Any]:
    """Return the entry of an interface; `peer` is what follows the @ in its name."""
    entry: dict[str, Any] = {"ifindex": index, "ifname": name, "flags": flags, "addr_info": []}
    if re.fullmatch(r"if\d+", peer):
        entry["link_index"] = int(peer[2:])
    kind = kind_of(name) or ("veth" if entry.get("link_index") else None)
    if kind is not None:
        entry["linkinfo"] = {"info_kind": kind}
    return entry


def _detail(entry: dict[str, Any], text: str) -> bool:
    """Read a further line of an interface; return whether it could be read."""
    words = text.split()
    if words[0].startswith("link/"):
        entry["link_type"] = words[0][5:]
        if len(words) > 1 and re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", words[1]):
            entry["address"] = words[1]
        return True
    if not words[0].startswith("inet"):
        return True
    tree = _tree("address", text)
    read = tree is not None and _add_address(entry, tree)
    if not read and words[0] == "inet":
        hide(entry)
    return read


def _add_address(entry: dict[str, Any], tree: Tree[Token]) -> bool:
    """Read ADDRESS/LENGTH and the words behind it; return whether they could be read."""
    (written, *names), pairs = _tokens(tree, "WORD"), _pairs(tree)
    local, _, length = written.partition("/")
    family = "inet6" if ":" in local else "inet"
    if "peer" in pairs:
        peer, _, length = pairs["peer"].partition("/")
        told: dict[str, Any] = {"local": local, "address": peer}
    else:
        told = {"local": local}
    if not is_address(local) or not length.isdecimal():
        return False
    told |= {"family": family, "prefixlen": int(length), "scope": pairs.get("scope", usual_scope(local))}
    if is_address(pairs.get("brd", "")):
        told["broadcast"] = pairs["brd"]
    told |= {name: True for name in names if name in ("secondary", "deprecated", "temporary", "dadfailed")}
    entry["addr_info"].append(told)
    return True


#: What `ip route get` says about an outside address: the route that the kernel chose, and the host's address there.
_CHOSEN = re.compile(
    r"\s*(?P<to>\d+\.\d+\.\d+\.\d+) (?P<way>via [0-9.]+ dev \S+ src [0-9.]+) uid \d+\s*(?:cache\b.*)?"
    r"|\s*(?P<to6>[0-9a-f:]+) (?:from :: )?(?P<way6>via [0-9a-f:]+ dev \S+ (?:proto \S+ )?src [0-9a-f:]+)"
    r" metric \d+(?: \S+ \S+)*\s*"
)
#: The words of a route -> the keys of its JSON.
_ROUTE_FIELDS = {
    "via": "gateway", "dev": "dev", "proto": "protocol", "scope": "scope", "src": "prefsrc", "table": "table",
    "pref": "pref", "from": "from",
}  # fmt: skip


# -- routes ----------------------------------------------------------------------------------------


def _routes(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    entries: list[dict[str, Any]] = []
    first = last = at
    unread: list[int] = []
    table = command.option("table", "t") if command is not None and command.program == "ip" else None
    while at < len(lines):
        text = lines[at].text
        chosen = _CHOSEN.fullmatch(text)
        if chosen is not None and _is_outside(to := chosen["to"] or chosen["to6"]):
            text = f"{to} {chosen['way'] or chosen['way6']}"
        if entries and text.strip().startswith("nexthop ") and (tree := _tree("nexthop", text)) is not None:
            pairs = _pairs(tree)
            hop = {
                key: value
                for key, value in (("gateway", pairs.get("via")), ("dev", pairs.get("dev")))
                if value
            }
            entries[-1].setdefault("nexthops", []).append({**hop, "flags": _tokens(tree, "FLAG")})
        elif _ROUTE.match(text) and (tree := _tree("route", text)) is not None:
            if (entry := _shown(_route(tree, table))) is not None:
                entries.append(entry if chosen is None else {**entry, CHOSEN: True})
            else:
                unread.append(at)
        else:
            break
        last = at
        at += 1
    if not entries:
        return None
    is_ipv6 = any(":" in entry["dst"] or ":" in entry.get("gateway", "") for entry in entries)
    name = "ip6-route.json" if is_ipv6 else "ip-route.json"
    title = "ip -6 route" if is_ipv6 else "ip route"
    return Segment("ip route", title, first, last, [Facts({name: json.dumps(entries).encode()})], unread)


def _is_outside(address: str) -> bool:
    return is_address(address) and ip_address(address).is_global


def _shown(entry: dict[str, Any]) -> dict[str, Any] | None:
    """Return a route without addresses that someone replaced; None if its destination is among them."""
    if not _is_prefix(entry["dst"]):
        return None
    if not is_address(entry.get("prefsrc", "::")):
        del entry["prefsrc"]
    if not is_address(entry.get("gateway", "::")):
        del entry["gateway"]
        if entry["dst"] == "default":
            hide(entry)
    return entry


def _route(tree: Tree[Token], table: str | None) -> dict[str, Any]:
    pairs = _pairs(tree)
    entry: dict[str, Any] = {"dst": _tokens(tree, "WORD")[0], "flags": _tokens(tree, "FLAG")}
    if types := _tokens(tree, "TYPE"):
        entry["type"] = types[0]
    entry |= {field: pairs[key] for key, field in _ROUTE_FIELDS.items() if key in pairs}
    if pairs.get("metric", "").isdecimal():
        entry["metric"] = int(pairs["metric"])
    if table and table != "all":
        entry.setdefault("table", table)
    return entry


def route_entry(text: str) -> dict[str, Any] | None:
    """Return the route that the words after `ip route add` describe; None if they can't be read."""
    tree = _tree("route", text)
    if tree is None or not _tokens(tree, "WORD"):
        return None
    entry = _route(tree, None)
    return entry if _is_prefix(entry["dst"]) else None


def rule_entry(text: str) -> dict[str, Any] | None:
    """Return the policy rule that the words after `ip rule add` describe; None if they can't be read."""
    words = text.split()
    negated = words[:1] == ["not"]
    named = {"table": "lookup", "pref": "priority", "order": "priority", "preference": "priority"}
    text = " ".join(named.get(word, word) for word in words[negated:])
    tree = _tree("rule", f"0: {text}")
    if tree is None:
        return None
    entry = _rule(tree, f"0: {text}")
    del entry["priority"]
    if "table" not in entry and "action" not in entry:
        return None
    if negated:
        entry["not"] = None
    given = _pairs(tree).get("priority", "")
    return {**entry, "priority": int(given)} if given.isdecimal() else entry


def _is_prefix(text: str) -> bool:
    address, _, length = text.partition("/")
    return text == "default" or (is_address(address) and (not length or length.isdecimal()))


# -- rules -----------------------------------------------------------------------------------------


def _rules(lines: list[Line], at: int, command: Command | None) -> Segment | None:
    entries: list[dict[str, Any]] = []
    first = last = at
    while at < len(lines) and _RULE.match(lines[at].text):
        tree = _tree("rule", lines[at].text)
        if tree is None:
            break
        entries.append(_rule(tree, lines[at].text))
        last = at
        at += 1
    if not entries:
        return None
    is_ipv6 = command is not None and "-6" in command.words
    name = "ip6-rule.json" if is_ipv6 else "ip-rule.json"
    return Segment("ip rule", "ip rule", first, last, [Facts({name: json.dumps(entries).encode()})])


def _rule(tree: Tree[Token], text: str) -> dict[str, Any]:
    pairs = _pairs(tree)
    entry: dict[str, Any] = {"priority": int(_tokens(tree, "NUMBER")[0])}
    for key, field in (("from", "src"), ("to", "dst")):
        address, slash, length = pairs.get(key, "all").partition("/")
        entry[field] = address
        if slash:
            entry[f"{field}len"] = int(length)
    mark, slash, mask = pairs.get("fwmark", "").partition("/")
    if mark:
        entry["fwmark"] = mark
    if slash:
        entry["fwmask"] = mask
    for key in ("iif", "oif", "tos", "ipproto", "protocol"):
        if key in pairs:
            entry[key] = pairs[key]
    if "lookup" in pairs:
        entry["table"] = pairs["lookup"]
    if pairs.get("suppress_prefixlength", "").isdecimal():
        entry["suppress_prefixlen"] = int(pairs["suppress_prefixlength"])
    if actions := _tokens(tree, "ACTION"):
        entry["action"] = actions[0]
    if re.match(r"\s*\d+:\s+not\b", text):
        entry["not"] = None
    return entry
