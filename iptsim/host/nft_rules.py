"""Rules of nftables in the notation of iptables, where both mean the same to the kernel; see libnftables-json(5).

A condition without an equivalent in iptables is unknown. A chain with a statement whose effect has no equivalent has no
translation at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

from iptsim.addresses import Family
from iptsim.extensions.targets.nfqueue import queue_words
from iptsim.host.nft_alternatives import CHANGEABLE, Action, Origin, alternatives
from iptsim.host.nft_chains import NftProxy, NftRule
from iptsim.host.nft_changes import header_change, is_constant, is_quiet, mark_change, zone_change
from iptsim.host.nft_conditions import Conditions
from iptsim.host.nft_restrictions import (
    ALWAYS,
    NEVER,
    TRANSPORTS,
    compares_bare_ports,
    reads_bare_port,
)
from iptsim.host.nft_shares import hashes, shares
from iptsim.host.nft_targets import (
    comment_of_element,
    comment_words,
    reject_words,
    synproxy_words,
)
from iptsim.host.nft_text import rule_text
from iptsim.host.nft_translations import (
    TRANSLATIONS,
    UntranslatableError,
    only_family,
    translation_words,
)
from iptsim.host.nft_values import (
    address,
    counting_words,
    is_limited,
    may_overlap,
    plain,
    shown_field,
)

#: The statement of a pasted text for rules that it does not show.
GAP = "gap"
#: Statements that only observe, or that affect later packets alone.
_QUIET = frozenset({"comment", "counter", "ct helper", "ct timeout", "dup", "last", "log"})
#: Statements that are conditions without an equivalent; some end the rule where they have no effect (NFT_BREAK).
_RATES = frozenset({"ct count", "ct expectation", "flow", "limit", "meter", "quota", "reset"})
#: Statements that change the elements of a set; each may have statements of its own, which are conditions then.
_UPDATES = frozenset({"map", "set"})
#: Statements that change packets, or where they go: what has no equivalent makes the rule undecided.
_REWRITES = frozenset({"fwd", "mangle"})
_VERDICTS = {"accept": "ACCEPT", "drop": "DROP", "return": "RETURN"}
_FIELDS: tuple[Literal["addr", "port", "value"], ...] = ("addr", "port", "value")
_FIRST_SEGMENT = "-m tcp --tcp-flags SYN,RST SYN"
#: What a statement changes that limits the segments of TCP.
_MAXSEG = {"tcp option": {"name": "maxseg", "field": "size"}}
#: Targets that read the mark of a connection; in nftables, the rule ends if there is none (nft_ct_get_eval).
_READS_CONNECTION = re.compile(r"-j CONNMARK (?:--restore|--set-xmark \S+/(?!0xffffffff$))")
_HAS_CONNECTION = "-m conntrack ! --ctstate INVALID,UNTRACKED"
#: Keys of maps that no field of the packet decides.
_BY_CHANCE = frozenset({"jhash", "numgen", "symhash"})
#: The most numbers by chance that a mark may be set to.
_MOST_NUMBERS = 64


class Translator:
    """Translates the rules of one table.

    Args:
        rules: the statements of each rule, by chain.
        sets: the elements of named sets and maps, except those whose elements change.
        hook: the hook of the base chain.
        nat: whether the base chain is one of type nat.
        full: the sets that have as many elements as they may.
    """

    def __init__(
        self,
        rules: Mapping[str, Sequence[Sequence[dict[str, Any]]]],
        sets: Mapping[str, Sequence[Any]],
        hook: str,
        *,
        nat: bool = False,
        full: Collection[str] = (),
    ) -> None:
        self.rules, self.sets, self.hook, self.nat, self.full = rules, sets, hook, nat, full
        #: whether a rule changes marks, or exempts packets from connection tracking
        self.changes = any(
            not {"mangle", "notrack"}.isdisjoint(statement)
            for chain in rules.values()
            for rule in chain
            for statement in rule
        )

    def of(self, base: str, family: Family) -> tuple[NftRule, ...] | None:
        """Return the rules of a base chain and of the chains that it calls; None if one has no translation."""
        chains, known = [base], {base}
        found: list[NftRule] = []
        try:
            for chain in chains:  # which grows: those that are called follow
                position = 0
                for statements in self.rules.get(chain, ()):
                    if (gap := gap_of(statements)) is not None:
                        found.append(NftRule(chain, 0, "", gap=gap))
                        continue
                    position += 1
                    for one in self._read(statements, family, chain, position):
                        if one.called and one.called not in known:
                            known.add(one.called)
                            chains.append(one.called)
                        found.append(one)
        except UntranslatableError:
            return None
        return tuple(found)

    def _read(
        self, statements: Sequence[dict[str, Any]], family: Family, chain: str, position: int
    ) -> Iterator[NftRule]:
        """Yield the alternatives of a rule; ports of any protocol are known only of those that have ports."""
        for has_ports in (True, False) if compares_bare_ports(statements) else (None,):
            rule = _Rule(self, family)
            if has_ports:
                rule.conditions.only(sorted(TRANSPORTS))
            elif has_ports is not None:
                rule.conditions.also += [f"! -p {name}" for name in sorted(TRANSPORTS)]
            yield from rule.read(statements, chain, position)


def gap_of(statements: Sequence[Mapping[str, Any]]) -> Literal["some", "all"] | None:
    """Return what a placeholder of a pasted text represents: "some" or "all" rules of its chain; None for a rule."""
    gap = statements[0].get(GAP) if statements else None
    return None if not isinstance(gap, str) else "all" if gap == "all" else "some"


class _Rule:
    """Translates one rule for one address family."""

    def __init__(self, table: Translator, family: Family) -> None:
        self.table, self.family = table, family
        self.conditions = Conditions(table.sets, table.hook, family)
        self.comment = ""
        #: the field that a map looked up, and the keys with which a packet continues (None: any); None without a map
        self._map_keys: tuple[Any, list[Any] | None] | None = None

    def read(self, statements: Sequence[dict[str, Any]], chain: str, position: int) -> list[NftRule]:
        """Return the alternatives of a rule.

        A statement depends on the conditions before it alone; each becomes a rule.

        Args:
            statements: of the rule.
            chain: its chain.
            position: its number there.

        Raises:
            UntranslatableError: a statement has no translation.
        """
        actions: list[Action] = []
        for statement in statements:
            if NEVER in self.conditions.options:
                break  # no packet of this family comes here
            for key, value in _without_chance(statement).items():
                if key == "comment":
                    self.comment = comment_words(value)
                if key in _QUIET or (key == "mangle" and is_quiet(value)):
                    if not is_constant(key, value):
                        self.conditions.hidden.append(key)  # a key that the map lacks ends the rule
                    continue
                self._after_map()
                if key == "match":
                    self.conditions.add(value)
                elif key in _UPDATES:
                    self.conditions.add_update(key, value, self.table.full)
                elif key in _RATES:
                    self.conditions.hidden.append(counting_words({key: value}) or key)
                elif key == "tproxy":
                    self._proxy(value)
                    actions.append(Action([], "", "", self.conditions.copy()))
                elif key == "vmap":
                    actions += self._vmap(value)
                    self._map_keys = self._continuing(value)
                elif _mapped_field(value) is not None:
                    actions += self._mapped(key, value)
                    self._map_keys = self._keys(value)
                elif key != "continue":
                    actions.append(Action(*self._action(key, value), self.conditions.copy()))
                    self._after(actions[-1].target)
            if self.conditions.unread:
                break  # what follows depends on it
        if len(actions) > 1 and any("-j TCPMSS" in one.target for one in actions):
            raise UntranslatableError  # the option that it changes may be missing
        return alternatives(actions, self._called_changes, Origin(chain, position, self.comment))

    def _after_map(self) -> None:
        """Restrict the rule to the packets that continue after a map, as a key that it lacks ends the rule."""
        if self._map_keys is None:
            return
        (key, keys), self._map_keys = self._map_keys, None
        if keys == []:
            self.conditions.options.append(NEVER)
        elif keys is None or not _BY_CHANCE.isdisjoint(key):
            raise UntranslatableError
        else:
            _restrict(self.conditions, key, "==", keys)

    def _continuing(self, value: Any) -> tuple[Any, list[Any] | None]:
        """Return what a verdict map looks up, and the keys whose verdict is `continue`; None if others may continue."""
        key, elements = self._map(value)
        continuing = [plain(one) for one, to in elements if "continue" in to]
        has_catch_all = any(plain(one) == "*" for one, _ in elements)
        return key, None if has_catch_all and continuing else continuing

    def _keys(self, value: Any) -> tuple[Any, list[Any]]:
        """Return what a map of a translation or a change looks up, and its keys."""
        field = _mapped_field(value)
        key, elements = self._map(value[field]["map"])
        return key, [plain(one) for one, _ in elements]

    def _after(self, target: str) -> None:
        """Restrict the rest of a rule that reads or changes marks of connections to packets that have one."""
        if _READS_CONNECTION.search(target):
            self.conditions.options.append([_HAS_CONNECTION])

    def _called_changes(self, action: Action) -> frozenset[str]:
        """Return what a called chain may change before it returns."""
        return (
            CHANGEABLE
            if action.called and action.target.startswith("-j") and self.table.changes
            else frozenset()
        )

    # -- statements --------------------------------------------------------------------------------

    def _action(self, key: str, value: Any) -> tuple[list[str], str, str]:
        """Return a condition of a statement's own, its target, and the chain that it calls."""
        if key in ("jump", "goto") and isinstance(value, Mapping) and value.get("target"):
            chain = str(value["target"])
            if chain in ("ACCEPT", "DROP", "REJECT", "RETURN"):
                raise UntranslatableError
            return [], f"{'-j' if key == 'jump' else '-g'} {chain}", chain
        if key == "mangle" and isinstance(value, Mapping) and value.get("key") == _MAXSEG:
            return self._maxseg(value.get("value"))
        if key == "mangle" and (changed := header_change(value)) is not None:
            family, target = changed
            if family != self.family:
                self.conditions.options.append(NEVER)  # nft adds a condition on the family
            return [], target, ""
        return [], self._target(key, value), ""

    def _target(self, key: str, value: Any) -> str:
        """Return the target of a verdict, a translation or a change."""
        if key in _VERDICTS:
            return f"-j {_VERDICTS[key]}"
        if key == "reject" and not self.table.nat:
            return f"-j REJECT{self._reject(value)}"
        if key in TRANSLATIONS and self.table.nat:
            return translation_words(key, value, self.conditions, self.table.hook)
        if key == "notrack":
            return "-j CT --notrack"
        if key == "synproxy" and self.table.hook in ("input", "forward"):
            self.conditions.only(["tcp"])
            return synproxy_words(value)
        if key == "queue" and not self.table.nat and (words := queue_words(value)) is not None:
            return words
        if key == "mangle" and (change := mark_change(value) or zone_change(value, self.table.hook)):
            return change
        if key in _REWRITES and not self.table.nat:
            self.conditions.imply(value.get("key") if isinstance(value, Mapping) else None)
            self.conditions.unread = rule_text([{key: value}])
            return ""
        raise UntranslatableError

    def _proxy(self, value: Any) -> None:
        """Add the condition that a transparent proxy serves the packet, which `tproxy` ends the rule without."""
        about = value if isinstance(value, Mapping) else {}
        to, port = address(about["addr"]) if "addr" in about else "", about.get("port", 0)
        if to is None or not {"-", "/"}.isdisjoint(to) or not isinstance(port, int):
            raise UntranslatableError
        if self.conditions.proxy is not None or self.table.hook != "prerouting":
            raise UntranslatableError
        only_family(self.conditions, about)
        self.conditions.only(["tcp", "udp"])
        self.conditions.proxy = NftProxy(to, port)

    def _maxseg(self, value: Any) -> tuple[list[str], str, str]:
        """Return the target that limits the maximum segment size, which only the first segments tell."""
        if isinstance(value, int):
            target = f"-j TCPMSS --set-mss {value}"
        elif value == {"rt": {"key": "mtu"}}:
            target = "-j TCPMSS --clamp-mss-to-pmtu"
        else:
            raise UntranslatableError
        self.conditions.only(["tcp"])
        return ([] if [_FIRST_SEGMENT] in self.conditions.options else [_FIRST_SEGMENT]), target, ""

    def _reject(self, value: Any) -> str:
        if not isinstance(value, Mapping) or not value:
            return ""
        if value.get("type") == "tcp reset" and self.conditions.protocols is None:
            self.conditions.protocols = ["tcp"]  # nft adds this condition itself
        if value.get("type") == ("icmpv6" if self.family == 4 else "icmp"):
            # nft adds a condition on the family, which it does not list (stmt_reject_gen_dependency)
            self.conditions.options.append(NEVER)
        return reject_words(value, self.family)

    def _mapped(self, key: str, value: Any) -> Iterator[Action]:
        """Yield the translations, or the changes, whose address, port or value comes from a map."""
        field = _mapped_field(value)
        if field is None or not (
            key == "mangle" if field == "value" else key in TRANSLATIONS and self.table.nat
        ):
            raise UntranslatableError
        of, elements = self._map(value[field]["map"])
        if field == "addr" and (ports := _map_of(value, "port")) is not None:
            elements = self._with_ports(of, elements, self._map(ports))
            value = {name: about for name, about in value.items() if name != "port"}
        only_family(self.conditions, value)
        if key == "mangle":
            # of several changes, the last one remains
            elements = sorted(elements, key=lambda one: plain(one[0]) != "*")
        for options, to, conditions in self._found_in(of, elements):
            both = to.get("concat") if isinstance(to, Mapping) else None
            if both is None:
                about = {**value, field: to}
            elif field == "addr" and isinstance(both, list) and len(both) == 2 and "port" not in value:
                about = {**value, "addr": both[0], "port": both[1]}
            else:
                raise UntranslatableError
            target = self._target(key, about)
            conditions.unread = self.conditions.unread
            yield Action(options, target, "", conditions)

    @staticmethod
    def _with_ports(
        key: Any, addresses: Sequence[Any], ports: tuple[Mapping[str, Any], Sequence[Any]]
    ) -> list[Any]:
        """Return the elements of two maps, of addresses and of ports, as those of one map."""
        numbers = [(plain(one), port) for one, port in ports[1]]
        if ports[0] != key or [plain(one) for one, _ in addresses] != [one for one, _ in numbers]:
            raise UntranslatableError
        pairs = zip(addresses, numbers, strict=True)
        return [[one, {"concat": [address, port]}] for (one, address), (_, port) in pairs]

    def _vmap(self, value: Any) -> Iterator[Action]:
        """Yield the elements of a verdict map."""
        if not isinstance(value, Mapping):
            raise UntranslatableError
        key, elements = self._map(value)
        keys = [plain(one) for one, _ in elements if plain(one) != "*"]
        named, others = elements[: len(keys)], elements[len(keys) :]
        # a packet may find several elements, or one by chance
        overlaps = not _BY_CHANCE.isdisjoint(key) or may_overlap(keys)
        passed = False
        for options, verdicts, conditions in self._found_in(key, named):
            if not isinstance(verdicts, Mapping) or (passed and overlaps):
                raise UntranslatableError  # a packet would be looked up again
            passed = passed or not {"continue", "jump"}.isdisjoint(verdicts)
            yield from self._verdict(options, verdicts, conditions)
        for options, verdicts, conditions in self._found_in(key, others):
            if not isinstance(verdicts, Mapping) or (passed and overlaps):
                raise UntranslatableError
            if passed:
                # those that return from a chain have found their element already
                _restrict(conditions, key, "!=", keys)
            yield from self._verdict(options, verdicts, conditions)

    def _verdict(
        self, options: list[str], verdicts: Mapping[str, Any], conditions: Conditions
    ) -> Iterator[Action]:
        """Yield what an element of a verdict map does, unless a packet continues with it."""
        for verdict, inner in verdicts.items():
            if verdict != "continue":
                _, target, called = self._action(verdict, inner)
                yield Action(options, target, called, conditions)

    def _map(self, value: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[Any]]:
        """Return what a map looks up, and its elements: last the one for all other packets."""
        key, data = value.get("key"), value.get("data")
        elements = data.get("set") if isinstance(data, Mapping) else self.conditions.named(data)
        if not isinstance(elements, list | tuple) or not isinstance(key, Mapping):
            raise UntranslatableError
        if any(not isinstance(one, list) or len(one) != 2 or is_limited(one[0]) for one in elements):
            raise UntranslatableError
        return key, sorted(elements, key=lambda one: plain(one[0]) == "*")

    def _found_in(
        self, key: Mapping[str, Any], elements: Sequence[Any]
    ) -> Iterator[tuple[list[str], Any, Conditions]]:
        """Yield the elements of a map that packets may find: options for the key, what belongs to it, conditions."""
        conditions = self.conditions
        if not _BY_CHANCE.isdisjoint(key):
            yield from self._by_chance(key, elements)
            return
        conditions.imply_protocol(key)
        for element, found in elements:
            before, wanted = conditions.protocols, plain(element)
            if wanted == "*":
                options = ALWAYS if conditions.has_field(key) else None
            else:
                options = conditions.together([(key, wanted)])
            if options is None and reads_bare_port(key):
                unknown = conditions.copy()
                unknown.hidden.append(f"{shown_field(key)} vmap")
                yield ALWAYS, found, unknown
                continue
            if options is None or conditions.protocols != before:
                raise UntranslatableError
            if options and (comment := comment_of_element(element)):
                options = [f"{one} {comment}".strip() for one in options]
            if options:
                yield options, found, conditions.copy()

    def _by_chance(
        self, key: Mapping[str, Any], elements: Sequence[Any]
    ) -> Iterator[tuple[list[str], Any, Conditions]]:
        """Yield the elements of a map whose key is a number in turn or by chance, or a hash."""
        ((kind, about),) = key.items()
        wanted = [plain(element) for element, _ in elements]
        if kind == "numgen":
            chances = shares(about, wanted)
            hidden: list[str | None] | None = [""] * len(wanted)
        else:
            is_there = kind == "symhash" or self.conditions.has_field(about.get("expr"))
            hidden = hashes(kind, about, wanted) if is_there else None
            chances = [""] * len(wanted)
        if chances is None or hidden is None:
            raise UntranslatableError
        for chance, unknown, (_, found) in zip(chances, hidden, elements, strict=True):
            if chance is not None and unknown is not None:
                conditions = self.conditions.copy()
                conditions.hidden += [unknown] * bool(unknown)
                yield [chance], found, conditions


def _restrict(conditions: Conditions, key: Any, op: str, keys: list[Any]) -> None:
    """Add a condition on what a map looks up.

    Raises:
        UntranslatableError: it has no translation.
    """
    unread = len(conditions.hidden)
    conditions.add({"op": op, "left": key, "right": {"set": keys}})
    if len(conditions.hidden) > unread:
        raise UntranslatableError


def _mapped_field(value: Any) -> Literal["addr", "port", "value"] | None:
    """Return which part of a translation or a change comes from a map: "addr", "port" or "value"; None for none."""
    if isinstance(value, Mapping):
        for field in _FIELDS:
            if _map_of(value, field) is not None:
                return field
    return None


def _map_of(value: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
    """Return the map from which a field of a translation or a change comes."""
    found = value[field].get("map") if isinstance(value.get(field), Mapping) else None
    return found if isinstance(found, Mapping) else None


def _without_chance(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a statement with a map instead of a number by chance, or of a hash, that it writes."""
    about = statement.get("mangle")
    new = about.get("value") if isinstance(about, Mapping) else None
    if not isinstance(about, Mapping) or not isinstance(new, Mapping) or _BY_CHANCE.isdisjoint(new):
        return statement
    (number,) = new.values()
    mod, offset = (number.get("mod"), number.get("offset", 0)) if isinstance(number, Mapping) else (None, 0)
    if not isinstance(mod, int) or not isinstance(offset, int) or mod > _MOST_NUMBERS:
        return statement
    elements = [[one, one] for one in range(offset, offset + mod)]
    return {"mangle": {**about, "value": {"map": {"key": new, "data": {"set": elements}}}}}
