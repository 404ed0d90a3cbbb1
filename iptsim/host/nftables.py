"""nftables base chains, from `nft -j list ruleset`.

This module determines whether a chain could affect a packet: by its policy, its rules, the chains they jump to and
the verdict maps they use (libnftables-json(5)). Rules with a translation are evaluated (:mod:`iptsim.host.nft_rules`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated, Any

from pydantic import BeforeValidator

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS, priority_of
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.context import HOOKS as IPTABLES_HOOKS
from iptsim.host.foreign import Foreign
from iptsim.host.nft_chains import (
    ALL_EFFECTS,
    NftChain,
    NftEffect,
    NftListed,
    NftListing,
    NftRule,
    NftRuleset,
)
from iptsim.host.nft_connection import BRIDGE, OF_IP
from iptsim.host.nft_rules import GAP, Translator, gap_of
from iptsim.host.nft_text import rule_text
from iptsim.host.nft_values import gives_limits, keys_of

#: Statements that neither end a packet's path through the hooks nor change it for later rules.
_HARMLESS = frozenset({
    "accept", "comment", "continue", "counter", "ct count", "ct timeout", "dup", "flow", "last", "limit", "log", "map",
    "match", "meter", "quota", "reset", "return", "set",
})  # fmt: skip
#: What `mangle` may write without consequences: a trace flag, the queueing priority, notes about a connection.
_HARMLESS_KEYS = frozenset({"event", "label", "nftrace", "priority"})
#: Targets of iptables (`xt`) without consequences.
_HARMLESS_TARGETS = frozenset({"AUDIT", "CHECKSUM", "CLASSIFY", "LED", "LOG", "NFLOG", "TRACE"})
#: Statements that match every packet: a rule with only these before its verdict applies to all packets.
_FOR_ALL = frozenset({"comment", "counter", "log"})
_ENDS = frozenset({"accept", "drop", "reject", "queue", "return", "goto"})
_TRACKING = frozenset(
    {"ct", "ct count", "ct helper", "ct timeout", "dnat", "masquerade", "redirect", "snat", "synproxy"}
)
#: Statements that translate the source of packets.
_LEAVING = frozenset({"masquerade", "snat"})
#: The name of one interface (dev_valid_name, net/core/dev.c), without what would be a pattern or a set.
_INTERFACE = re.compile(r"[^\s/:*+@]{1,15}")
_FAMILIES: dict[str, frozenset[Family]] = {
    "ip": frozenset({4}),
    "ip6": frozenset({6}),
    "inet": frozenset({4, 6}),
}

#: Hooks of IP, as nft names them.
HOOKS = tuple(hook.lower() for hook in IPTABLES_HOOKS)
#: The statement that changes a map, which nft prints as text in JSON before 1.0.9.
_UPDATE = re.compile(r"(?:add|update|delete) (@\S+) \{")


def _statement(value: Any) -> Any:
    """Return a statement, also one for which nft has no JSON: it prints its text then (stmt_print_json)."""
    if not isinstance(value, str):
        return value
    updated = _UPDATE.match(value)
    return {"map": {"map": updated[1]}} if updated else {"unread": None}


class ChainEntry(Foreign):
    """`chain` of `nft -j list ruleset`; those without a hook are only jumped to."""

    family: str
    table: str
    name: str
    type: str = "filter"
    hook: str | None = None
    prio: int = 0
    policy: str = "accept"
    dev: str | list[str] | None = None


class RuleEntry(Foreign):
    """`rule` of `nft -j list ruleset`."""

    family: str
    table: str
    chain: str
    expr: tuple[Annotated[dict[str, Any], BeforeValidator(_statement)], ...] = ()
    comment: str = ""
    handle: int | None = None
    # of a pasted text
    text: str = ""
    line: int = 0


class MapEntry(Foreign):
    """`map` of `nft -j list ruleset`."""

    family: str
    table: str
    name: str
    elem: tuple[Any, ...] = ()
    # of a pasted text that does not show all elements
    partial: bool = False
    size: Any = None
    stmt: Any = None


class SetEntry(MapEntry):
    """`set` of `nft -j list ruleset`."""


class ItemEntry(Foreign):
    """An object of `nft -j list ruleset`; other kinds do not affect verdicts."""

    chain: ChainEntry | None = None
    rule: RuleEntry | None = None
    map: MapEntry | None = None
    set: SetEntry | None = None


class RulesetEntry(Foreign):
    """The output of `nft -j list ruleset`."""

    nftables: list[ItemEntry]


@dataclass
class _Table:
    """What a source shows of one table.

    Attributes:
        rules: the statements of each rule, by chain.
        counts: the number of rules that are shown, by chain.
        listing: how the source shows the rules.
        sets: the elements of sets and maps, by name.
        maps: those of maps alone.
        full: the sets that have as many elements as they may.
        changing: the sets and maps whose elements a rule changes.
    """

    rules: dict[str, list[Sequence[dict[str, Any]]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    listing: NftListing = field(default_factory=NftListing)
    sets: dict[str, Sequence[Any]] = field(default_factory=dict)
    maps: dict[str, Sequence[Any]] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    changing: set[str] = field(default_factory=set)

    def add_rule(self, rule: RuleEntry) -> None:
        """Add a rule, or a placeholder for rules that are not shown, to its chain."""
        comment = ({"comment": rule.comment},) if rule.comment else ()
        rules = self.rules.setdefault(rule.chain, [])
        rules.append((*comment, *rule.expr))
        if gap_of(rule.expr) is None:
            self.counts[rule.chain] += 1
            self.listing.rules[rule.chain, self.counts[rule.chain]] = _listed(rule, rules[-1])
        self.changing.update(_updated(rule.expr))

    def add_set(self, found: MapEntry, *, is_map: bool) -> None:
        """Add a set or a map; without elements that are known for each packet, it may contain anything."""
        if isinstance(found.size, int) and len(found.elem) >= found.size:
            self.full.add(found.name)
        if found.partial or gives_limits(found.stmt):
            self.sets.pop(found.name, None)
            self.maps.pop(found.name, None)
            return
        self.sets[found.name] = found.elem
        if is_map:
            self.maps[found.name] = found.elem

    def chain(self, chain: ChainEntry) -> NftChain:
        """Return a base chain, with the rules that it and the chains which it calls have."""
        return NftChain(
            family=chain.family,
            table=chain.table,
            name=chain.name,
            type=chain.type,
            hook=chain.hook,
            priority=chain.prio,
            policy=chain.policy,
            devices=_devices(chain.dev),
            listing=self.listing,
            effects=_Effects(self).of(chain),
            rules=tuple(_translated(chain, self)),
        )


def read_nftables(entry: RulesetEntry) -> NftRuleset:
    """Return the base chains of all tables, including those of iptables-nft, and what each could do."""
    tables: dict[tuple[str, str], _Table] = defaultdict(_Table)
    tracked: set[Family] = set()
    named: dict[str, None] = {}
    uplinks: dict[str, None] = {}
    for item in entry.nftables:
        if (rule := item.rule) is not None:
            tables[rule.family, rule.table].add_rule(rule)
            arriving, leaving = (list(_interfaces(rule.expr, side)) for side in "io")
            named |= dict.fromkeys((*arriving, *leaving))
            if any(_LEAVING & statement.keys() for statement in rule.expr):
                uplinks |= dict.fromkeys(leaving)
            if any(map(_tracks, rule.expr)):
                tracked |= _FAMILIES.get(rule.family, frozenset())
        elif (found := item.map or item.set) is not None:
            tables[found.family, found.table].add_set(found, is_map=item.map is not None)
    for table in tables.values():
        for name in table.changing:
            table.sets.pop(name, None)
    chains = (item.chain for item in entry.nftables if item.chain is not None)
    return NftRuleset(
        chains=tuple(tables[one.family, one.table].chain(one) for one in chains if one.hook is not None),
        tracked=frozenset(tracked),
        interfaces=tuple(named),
        uplinks=tuple(uplinks),
    )


def _tracks(statement: Mapping[str, Any]) -> bool:
    """Return whether a statement enables connection tracking; what was not read of a rule is the text of a key."""
    return any(not _TRACKING.isdisjoint((key, *key.split())) for key in keys_of(statement))


def _listed(rule: RuleEntry, statements: Sequence[Mapping[str, Any]]) -> NftListed:
    return NftListed(rule.text or rule_text(statements), rule.line, rule.handle)


def _updated(statements: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names of the sets and maps whose elements a rule changes."""
    for statement in statements:
        for kind in ("set", "map"):
            about = statement.get(kind)
            name = about.get(kind) if isinstance(about, Mapping) else None
            if isinstance(name, str):
                yield name.removeprefix("@")


def _interfaces(statements: Iterable[Mapping[str, Any]], side: str) -> Iterator[str]:
    """Yield the interfaces by which a rule's packets arrive ("i") or leave ("o"), without patterns and exceptions."""
    for statement in statements:
        value = statement.get("match")
        left = value.get("left") if isinstance(value, Mapping) else None
        meta = left.get("meta") if isinstance(left, Mapping) else None
        if not isinstance(value, Mapping) or not isinstance(meta, Mapping) or value.get("op") == "!=":
            continue
        if meta.get("key") not in (f"{side}if", f"{side}ifname"):
            continue
        right = value.get("right")
        found = right.get("set") if isinstance(right, Mapping) else right
        for name in found if isinstance(found, list) else [found]:
            if isinstance(name, str) and _INTERFACE.fullmatch(name):
                yield name


def _translated(chain: ChainEntry, table: _Table) -> Iterator[tuple[Family, tuple[NftRule, ...]]]:
    """Yield the rules of a base chain for each of its address families, where they have a translation."""
    # where nft does not print the interface (in JSON before 1.0.9), the chain may be for another one
    hook = chain.hook or ""
    is_of_device = hook in ("ingress", "egress") and bool(chain.dev)
    if chain.type not in ("filter", "nat", "route") or not (hook in HOOKS or is_of_device):
        return
    is_bridge = chain.family == "bridge"
    if is_bridge and any(_needs_ip(rule) for found in table.rules.values() for rule in found):
        return
    hook = BRIDGE + hook if is_bridge else hook
    for family in sorted(_FAMILIES["inet"] if is_of_device or is_bridge else _FAMILIES.get(chain.family, ())):
        translator = Translator(table.rules, table.sets, hook, nat=chain.type == "nat", full=table.full)
        translated = translator.of(chain.name, family)
        if translated is not None:
            yield family, translated


def _needs_ip(rule: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a rule of a bridge does what belongs to the host's IP stack; conditions on that are unknown."""
    done = (statement for statement in rule if "match" not in statement)
    return any(not OF_IP.isdisjoint(keys_of(statement)) for statement in done)


def _devices(value: str | list[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


class _Effects:
    """Finds what the rules of one table can do to a packet in a base chain."""

    def __init__(self, table: _Table) -> None:
        self.table = table
        self.found: set[NftEffect] = set()
        self.chains: list[str] = []
        self.known: set[str] = set()

    def of(self, chain: ChainEntry) -> tuple[NftEffect, ...]:
        """Return what a base chain could do; empty if it can only let packets continue."""
        self.chains, self.known = [chain.name], {chain.name}
        if self._passes_on(chain.name) and chain.policy == "drop":
            self.found.add("drop")
        # the list grows by the chains that are jumped to
        for name in islice(self.chains, 1, None):
            self._passes_on(name)
        return tuple(effect for effect in ALL_EFFECTS if effect in self.found)

    def _passes_on(self, chain: str) -> bool:
        """Inspect a chain's rules. Return whether a packet may reach its end, or leave it undecided.

        What a chain leaves undecided to which a base chain goes, the policy of the base chain decides (nft_do_chain).
        """
        leaves = False
        for rule in self.table.rules.get(chain, ()):
            for statement in rule:
                for key, value in statement.items():
                    self._look(key, value)
                    verdicts = self._verdicts(value) if key == "vmap" else [key]
                    leaves = leaves or not {"goto", "return"}.isdisjoint(verdicts)
            if self._ends_all(rule):
                return leaves
        return True

    @staticmethod
    def _ends_all(rule: Sequence[dict[str, Any]]) -> bool:
        """Return whether no packet continues to the next rule."""
        keys = [key for statement in rule for key in statement]
        return any(key in _ENDS for key in keys) and all(key in _ENDS or key in _FOR_ALL for key in keys)

    def _look(self, key: str, value: Any) -> None:
        if key in ("drop", "queue"):
            self.found.add("drop")
        elif key == "reject":
            self.found.add("reject")
        elif key in ("jump", "goto"):
            target = str(value.get("target", "")) if isinstance(value, Mapping) else ""
            if target not in self.known:
                self.known.add(target)
                self.chains.append(target)
        elif key == "vmap":
            for verdict, inner in self._of_map(value):
                self._look(verdict, inner)
        elif key == "mangle":
            if not _HARMLESS_KEYS & set(_named_keys(value)):
                self.found.add("change")
        elif key == "xt":
            self._look_at_extension(value)
        elif key == GAP:
            self.found |= {*ALL_EFFECTS}
        elif key == "synproxy":
            self.found |= {"drop", "change"}
        elif key not in _HARMLESS:
            self.found.add("change")

    def _verdicts(self, value: Any) -> list[str]:
        return [key for key, _ in self._of_map(value)]

    def _of_map(self, value: Any) -> Iterator[tuple[str, Any]]:
        """Yield the verdicts of a map, with what belongs to them."""
        data = value.get("data") if isinstance(value, Mapping) else None
        inner = data.get("set") if isinstance(data, Mapping) else None
        elements: Sequence[Any] = inner if isinstance(inner, list) else ()
        if isinstance(data, str):
            # a map that is not listed may contain anything
            name = data.removeprefix("@")
            if name not in self.table.maps:
                self.found |= {*ALL_EFFECTS}
            elements = self.table.maps.get(name, ())
        for element in elements:
            verdict = element[-1] if isinstance(element, list) and element else None
            for key, inner in verdict.items() if isinstance(verdict, Mapping) else ():
                yield str(key), inner

    def _look_at_extension(self, value: Any) -> None:
        """Inspect a match or target of iptables; before 1.0.3, nft does not print which one it is."""
        if not isinstance(value, Mapping):
            self.found |= {*ALL_EFFECTS}
        elif value.get("type") == "target":
            name = str(value.get("name"))
            if name == "REJECT":
                self.found.add("reject")
            elif name not in _HARMLESS_TARGETS:
                self.found.add("change")


def _named_keys(value: Any) -> Iterator[str]:
    """Yield the fields that a `mangle` statement writes: "mark", "nftrace", "dscp" ..."""
    key = value.get("key") if isinstance(value, Mapping) else None
    for inner in key.values() if isinstance(key, Mapping) else ():
        if isinstance(inner, Mapping):
            yield str(inner.get("key", inner.get("field", "")))


# -- chains that iptables did not create ----------------------------------------------------------------


def without_iptables(nftables: NftRuleset, rulesets: Iterable[Ruleset]) -> NftRuleset:
    """Return the base chains without those of iptables-nft that a dump shows."""
    shown = [ruleset for ruleset in rulesets if ruleset.backend == "nf_tables"]
    chains = tuple(chain for chain in nftables.chains if not any(_is_of(chain, one) for one in shown))
    return replace(nftables, chains=chains)


def _is_of(chain: NftChain, ruleset: Ruleset) -> bool:
    """Return whether iptables-nft created a chain, by its name, type, hook and priority (nft_is_chain_compatible)."""
    table, name = chain.table, chain.name or ""
    if chain.family != ("ip" if ruleset.family == 4 else "ip6") or ruleset.chain(table, name) is None:
        return False
    kind = "nat" if table == "nat" else "route" if (table, name) == ("mangle", "OUTPUT") else "filter"
    return (
        name in BUILTIN_CHAINS.get(table, ())
        and (chain.type, chain.hook) == (kind, name.lower())
        and chain.priority in {priority_of(table, name, backend) for backend in ("nf_tables", "legacy")}
    )
