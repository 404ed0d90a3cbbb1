"""Routes, policy rules and addresses that commands and WireGuard's settings give to a host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar

from iptsim.addresses import Family, parse_address
from iptsim.host import fib, iproute
from iptsim.host.connected_routes import connected_routes
from iptsim.host.foreign import RouteEntry, RuleEntry
from iptsim.host.model import Host
from iptsim.host.namespace import Interface, InterfaceAddress, Route, RoutingRule
from iptsim.host.routing_policy import DEFAULT_RULES
from iptsim.languages import message
from iptsim.paste.forms.iproute import route_entry, rule_entry
from iptsim.paste.interfaces import kind_of
from iptsim.paste.lines import Line
from iptsim.paste.prompts import command_of, prompt_of
from iptsim.paste.shell import FWMARK, Script, is_down, steps_of
from iptsim.paste.undoing import NOT_SO

#: At most this many commands are followed.
_MOST = 200
#: A command within a sentence that says that it was run.
_SPOKEN = re.compile(r"(?P<before>.*)`(?:sudo\s+)?(?P<command>ip\s+(?:-[46]\s+)?r(?:o|oute)?\s+add\s[^`]+)`")
#: The prompt of a shell in a container.
_CONTAINER = re.compile(r"\w+@[0-9a-f]{12}\b")
_SECTION = re.compile(r"\s*\[(Interface|Peer)\]\s*$", re.IGNORECASE)
_SETTING = re.compile(r"\s*(Address|AllowedIPs|Table)\s*=\s*([^#]*)", re.IGNORECASE)
_FILE = re.compile(r"\b(wg\d+|[A-Za-z][\w-]{0,14}(?=\.conf\b))")
#: The table of the routes that `wg-quick up` adds for a peer that gets all traffic.
_TABLE = "51820"

_Effect = Literal["adds", "removes", "replaces", "changes"]
#: What the actions of `ip route` do to a route.
_EFFECTS: dict[str, _Effect] = {
    **dict.fromkeys(("add", "a"), "adds"),
    **dict.fromkeys(("del", "delete"), "removes"),
    "replace": "replaces",
    "change": "changes",
}
_ROUTE = ("r", "ro", "route")
_LIKELY = re.compile(
    rf"\bip\s+(?:-[46]\s+)?(?:{'|'.join(_ROUTE)}|ru|rule|l|link|a|addr|address)\s+(?:{'|'.join(_EFFECTS)})\s"
)

E = TypeVar("E", RouteEntry, RuleEntry)
F = TypeVar("F")


class Change(NamedTuple):
    """A command that adds, removes or replaces a route: its line, and the route as in the JSON of ip."""

    line: int
    what: _Effect
    family: Family
    route: dict[str, Any]


class GivenRule(NamedTuple):
    """A routing rule as in the JSON of ip, and the line of the command that adds it: 0 for one of WireGuard."""

    family: Family
    entry: dict[str, Any]
    line: int = 0


@dataclass(slots=True)
class Given:
    """What a text gives to the host.

    Attributes:
        routes: as in the JSON of ip, with their address family.
        rules: the routing rules.
        changes: the routes that commands add or remove, in order.
        addresses: by interface.
        added: the addresses of those that commands add: the line, the interface and the address.
        beside: interfaces of the kinds macvlan and ipvlan, and their kinds.
        lines: the numbers of the lines that give them.
    """

    routes: list[tuple[Family, dict[str, Any]]] = field(default_factory=list)
    rules: list[GivenRule] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    addresses: dict[str, list[InterfaceAddress]] = field(default_factory=dict)
    added: list[tuple[int, str, InterfaceAddress]] = field(default_factory=list)
    beside: dict[str, Literal["macvlan", "ipvlan"]] = field(default_factory=dict)
    lines: set[int] = field(default_factory=set)

    def add(self, other: Given) -> None:
        """Add what another text gives."""
        self.routes += other.routes
        self.changes += other.changes
        self.rules += other.rules
        for name, addresses in other.addresses.items():
            self.addresses.setdefault(name, []).extend(addresses)
        self.added += other.added
        self.beside |= other.beside
        self.lines |= other.lines

    def own(self, known: Mapping[str, list[InterfaceAddress]]) -> Mapping[str, list[InterfaceAddress]]:
        """Return addresses of the host, together with those that something else shows."""
        return {**self.addresses, **known}


def given_by(lines: Sequence[Line]) -> Given:
    """Return what the commands and settings of a text give to the host."""
    given = Given()
    _read_commands(lines, given)
    _read_wireguard(lines, given)
    return given


def _read_commands(lines: Sequence[Line], given: Given) -> None:
    if not any(_LIKELY.search(line.text) for line in lines):
        return
    script = Script(None)
    read = 0
    for line in lines:
        if script.assigns(line.text) or not _LIKELY.search(line.text) or is_down(line.text) or read > _MOST:
            continue
        if _CONTAINER.search(prompt_of(line.text) or "") or line.text.lstrip().startswith("#!"):
            continue
        for step in _steps(line.text):
            command = command_of(script.filled(step))
            if (
                command is not None
                and command.program == "ip"
                and _read_command(command.words, given, line.number)
            ):
                given.lines.add(line.number)
                read += 1


def _steps(text: str) -> list[str]:
    """Return the commands of a line; of a sentence, the one in backticks if it says that it was run."""
    spoken = _SPOKEN.match(text)
    if spoken is None:
        return steps_of(text)
    return [] if NOT_SO.search(spoken["before"]) else [spoken["command"]]


def _read_command(words: Sequence[str], given: Given, line: int) -> bool:
    family: Family = 6 if "-6" in words[:1] else 4
    left = [word for word in words if word not in ("-4", "-6")]
    if len(left) < 3:
        return False
    what, action, *rest = left
    effect = _EFFECTS.get(action)
    if effect is None or (effect == "removes" and what not in _ROUTE):
        return False
    if what.startswith("l"):
        return _add_beside(given, rest)
    if any(":" in word for word in rest):
        family = 6
    if what.startswith("a"):
        name = next((rest[at + 1] for at, word in enumerate(rest[:-1]) if word == "dev"), None)
        if name is None or not _add_address(given, name, rest[0]):
            return False
        given.added.append((line, name, given.addresses[name][-1]))
        return True
    if what in _ROUTE:
        route = route_entry(" ".join(rest))
        if route is None:
            return False
        given.changes.append(Change(line, effect, family, route))
        return True
    rule = rule_entry(" ".join(rest))
    if rule is None:
        return False
    given.rules.append(GivenRule(family, rule, line))
    return True


def _add_beside(given: Given, words: Sequence[str]) -> bool:
    """Note what `ip link add NAME link PARENT type macvlan` makes."""
    named = words[words.index("name") + 1 :] if "name" in words else words
    kind = words[words.index("type") + 1 :][:1] if "type" in words else []
    for one in ("macvlan", "ipvlan"):
        if kind == [one] and named and re.fullmatch(r"[\w.-]{1,15}", named[0]):
            given.beside[named[0]] = one
            return True
    return False


def _add_address(given: Given, name: str, text: str) -> bool:
    try:
        family, address, length = iproute.prefix(text, 6 if ":" in text else 4)
        local = parse_address(text.partition("/")[0])[1]
        own = InterfaceAddress(family=family, address=local, prefix_length=length)
    except ValueError:
        return False
    if not re.fullmatch(r"[\w.:-]{1,15}", name):
        return False
    given.addresses.setdefault(name, []).append(own)
    return address >= 0


# -- WireGuard -------------------------------------------------------------------------------------


def _read_wireguard(lines: Sequence[Line], given: Given) -> None:
    """Read the settings of an interface, as wg-quick(8) applies them; of several, none."""
    heads = [
        line for line in lines if (found := _SECTION.match(line.text)) and found[1].lower() == "interface"
    ]
    if len(heads) != 1:
        return
    names = {found[1] for line in lines for found in _FILE.finditer(line.text)}
    if len(names) != 1:
        return
    name = names.pop()
    section, managed = "", True
    for line in lines:
        if head := _SECTION.match(line.text):
            section = head[1].lower()
        found = _SETTING.match(line.text) if section else None
        if found is None:
            continue
        key, values = found[1].lower(), [value.strip() for value in found[2].split(",")]
        if key == "table":
            managed = values[0].lower() in ("auto", "main")
        elif (key == "address") is not (section == "interface"):
            continue
        elif key == "address":
            given.lines.add(line.number)
            for value in values:
                _add_address(given, name, value)
        elif managed:
            given.lines.add(line.number)
            for value in values:
                _allow(given, name, value)


def _allow(given: Given, name: str, text: str) -> None:
    """Add the route to the addresses of a peer."""
    try:
        family, _, length = iproute.prefix(text, 6 if ":" in text else 4)
    except ValueError:
        return
    if length:
        given.routes.append((family, {"dst": text, "dev": name, "scope": "link"}))
        return
    given.routes.append((family, {"dst": "default", "dev": name, "table": _TABLE, "scope": "link"}))
    lower = {"priority": 32765, "src": "all", "fwmark": FWMARK, "not": None, "table": _TABLE}
    given.rules.append(GivenRule(family, lower))
    upper = {"priority": 32764, "src": "all", "table": "main", "suppress_prefixlen": 0}
    given.rules.append(GivenRule(family, upper))


# -- the host --------------------------------------------------------------------------------------


class Until(NamedTuple):
    """The last lines that show routes, routing rules and addresses: commands below them are not in what these show.

    None if nothing shows them, 0 if they are not in the text.
    """

    routes: int | None
    rules: int | None
    addresses: int | None


def give(host: Host, given: Given, until: Until) -> None:
    """Add to a host what a text gives it.

    Args:
        host: the host.
        given: the additions.
        until: up to which lines the text shows what it has.
    """
    namespace = host.namespace
    for name, beside in given.beside.items():
        namespace.interfaces.setdefault(name, Interface(name=name, kind=beside))
    for name, addresses in given.addresses.items():
        known = namespace.interfaces.get(name)
        if known is None:
            kind = kind_of(name)
            known = Interface(name=name, kind="wireguard" if kind == "wireguard" else "other")
        if not known.addresses:
            namespace.interfaces[name] = replace(known, addresses=tuple(addresses))
    for line, name, address in given.added:
        known = namespace.interfaces[name]
        if until.addresses and line > until.addresses and address not in known.addresses:
            own = (*known.addresses, address)
            namespace.interfaces[name] = replace(known, addresses=own)
    namespace.cache.clear()
    added = _add_routes(host, given.routes) if until.routes is None else False
    made = set[tuple[Family, str]]()
    for change in given.changes:
        if not _lacks(until.routes, change.line):
            continue
        if change.what in ("replaces", "changes"):
            replaced = _remove_route(host, change)
            if change.what == "changes" and not replaced and until.routes is not None:
                continue  # the command fails
        if change.what != "removes":
            made.add((change.family, change.route["dst"]))
            added |= _add_routes(host, [(change.family, change.route)])
        elif until.routes is not None or (change.family, change.route["dst"]) in made:
            # routes that the text does not show are assumed; it need not be about these
            added |= _remove_route(host, change)
    added |= _add_rules(host, [one for one in given.rules if _lacks(until.rules, one.line)])
    namespace.cache.clear()
    if added:
        host.assumptions.append(
            message(
                "The host has the routes and routing rules that the text sets up, besides its usual ones."
            )
        )


def _lacks(until: int | None, line: int) -> bool:
    """Return whether what is shown up to a line (see `Until`) lacks what the command in another one changes."""
    return until is None or (until != 0 and line > until)


def _add_routes(host: Host, entries: Iterable[tuple[Family, dict[str, Any]]]) -> bool:
    """Add routes; return whether there are any.

    One by a gateway that is the host itself is for the machines or containers behind it.
    """
    namespace = host.namespace
    added = False
    for family, entry in entries:
        gateway = entry.get("gateway")
        if gateway:
            try:
                way = fib.lookup(namespace, family, parse_address(gateway)[1])
            except ValueError:
                continue
            if way.type == "local" or (way.device is None and "dev" not in entry):
                continue
            entry = {"dev": way.device, **entry}
        for route in _valid(iproute.routes, RouteEntry, entry, family):
            if route.device is not None:
                namespace.interfaces.setdefault(route.device, Interface(name=route.device))
            if not any((one.family, one.table) == (family, route.table) for one in namespace.routes):
                own = (one for one in connected_routes(namespace, family) if one.table == route.table)
                namespace.routes += own  # a table with routes counts as known as a whole
            namespace.routes.append(route)
            namespace.cache.clear()
            added = True
    return added


def _remove_route(host: Host, change: Change) -> bool:
    """Remove the first route that fits what a command names; return whether there is one.

    A route is replaced by one for the same destination, whatever its gateway is (NLM_F_REPLACE in fib_table_insert).
    """
    namespace = host.namespace
    wanted = next(iter(_valid(iproute.routes, RouteEntry, change.route, change.family)), None)
    if wanted is None:
        return False
    for at, one in enumerate(namespace.routes):
        same = (one.family, one.destination, one.prefix_length, one.table) == (
            change.family,
            wanted.destination,
            wanted.prefix_length,
            wanted.table,
        )
        if same and (_has_hop(one, wanted) if change.what == "removes" else one.metric == wanted.metric):
            del namespace.routes[at]
            namespace.cache.clear()
            return True
    return False


def _has_hop(route: Route, wanted: Route) -> bool:
    return wanted.gateway in (None, route.gateway) and wanted.device in (None, route.device)


def _add_rules(host: Host, given: Sequence[GivenRule]) -> bool:
    namespace = host.namespace
    added = False
    for family, entry, _ in given:
        taken = [one.priority for one in namespace.rules if one.family == family and one.priority]
        # the kernel puts a rule before all others but that of the local table (fib_default_rule_pref)
        first = min(taken, default=DEFAULT_RULES[family][1][0]) - 1
        for rule in _valid(iproute.rules, RuleEntry, {"priority": first, **entry}, family):
            if not any(one.family == family for one in namespace.rules):
                namespace.rules += [
                    RoutingRule(family=family, priority=priority, table=table)
                    for priority, table in DEFAULT_RULES[family]
                ]
            namespace.rules.append(rule)
            added = True
    return added


def _valid(
    read: Callable[[list[E], Family], list[F]], model: type[E], entry: dict[str, Any], family: Family
) -> list[F]:
    """Return what an entry describes; nothing if a value is impossible."""
    try:
        return read([model(**entry)], family)
    except ValueError:
        return []
