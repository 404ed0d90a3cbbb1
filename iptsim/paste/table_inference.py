"""Infers the table and address family of rules that do not name them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.header import guess_family
from iptsim.dump.words import Word
from iptsim.extensions.context import HOOKS
from iptsim.extensions.registry import find_target
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING
from iptsim.paste.pieces import ChainItem, CommandItem, Item, RuleItem

#: Targets that only one table has.
TARGETS = {
    "nat": TRANSLATING | {"NETMAP"},
    "raw": frozenset({"NOTRACK", "CT"}),
    "filter": frozenset({"REJECT"}),
    "mangle": frozenset({"TPROXY", "TTL", "HL", "TOS", "DSCP", "ECN", "TCPOPTSTRIP"}),
}
#: Targets that several tables have, but that are usual in mangle.
_MANGLING = frozenset({"MARK", "CONNMARK", "TCPMSS"})
#: Chains of well-known programs that are called from nat's PREROUTING.
_OF_NAT = frozenset(
    {"DOCKER", "DOCKER-INGRESS", "KUBE-SERVICES", "NETAVARK-HOSTPORT-DNAT", "CNI-HOSTPORT-DNAT"}
)
#: Those of them that filter's OUTPUT never calls.
_OF_NAT_ONLY = _OF_NAT - {"KUBE-SERVICES"}
#: Built-in chains that are mostly used in nat.
_NAT_HOOKS = ("PREROUTING", "POSTROUTING")
#: Chains that ufw and fail2ban have in filter alone.
_OF_FILTER = re.compile(r"ufw6?-(?:before|after|user|reject|track|skip|not|logging)-|f2b-|fail2ban-")
#: Chains that kube-proxy has in nat alone.
_KUBE_NAT = re.compile(r"KUBE-(?:MARK-MASQ|MARK-DROP|(?:SVC|SEP|XLB|EXT|SVL|FW)-)")


def table_of(chains: Collection[str], targets: Iterable[str]) -> str:
    """Return the table to which chains and targets belong.

    Args:
        chains: names of built-in chains in the text, in a tuple if they are listed in their order.
        targets: names after `-j`.
    """
    shown, used = set(chains), set(targets)
    if "POSTROUTING" in shown:
        return "mangle" if "FORWARD" in shown else "nat"
    if {"FORWARD", "INPUT"} & shown:
        if "PREROUTING" not in shown:
            return "filter"
        # mangle is listed with FORWARD before OUTPUT; only nat jumps to some chains
        without = chains == ("PREROUTING", "INPUT", "OUTPUT")
        return "nat" if without or ("FORWARD" not in shown and _only_nat(used)) else "mangle"
    for table, names in TARGETS.items():
        if names & used:
            return table
    if any(_KUBE_NAT.match(name) for name in used):
        return "nat"
    if "PREROUTING" in shown:
        # nat is rarely used without one of its own targets or a chain of Docker or kube-proxy
        return "nat" if _OF_NAT & used or (not used and "OUTPUT" not in shown) else "raw"
    return "nat" if "OUTPUT" in shown and used and used <= _OF_NAT_ONLY else "filter"


def _only_nat(targets: set[str]) -> bool:
    """Return whether one of the targets can only be in nat's PREROUTING or OUTPUT."""
    return bool((TARGETS["nat"] | _OF_NAT) & targets) or any(map(_KUBE_NAT.match, targets))


def tables_of_rules(items: Sequence[Item], *, mixed: bool = False) -> dict[str, list[Item]]:
    """Return rules without a table by their table, as grep prints those of several.

    A rule whose target or chain only one table has shows that the rules are of several tables if the others are
    usually in another one.

    Args:
        items: the rules.
        mixed: `iptables-save | grep` printed them, one table after the other.
    """
    usual = table_of_rules(items)
    certain = [_certain(item) for item in items]
    is_mixed = not {None, usual}.issuperset(certain) or usual == "mangle"
    is_mixed |= usual == "nat" and any(map(_filters, items))
    is_mixed &= bool({"nat", "filter"}.intersection(certain))
    is_mixed &= not any(isinstance(item, ChainItem) for item in items)  # iptables -S prints one table
    if mixed or is_mixed:
        return _tables_in_order(items)
    found: dict[str, list[Item]] = {}
    for item, table in zip(items, certain, strict=True):
        found.setdefault(table or usual, []).append(item)
    return found


def are_of_several_tables(items: Sequence[Item]) -> bool:
    """Return whether lines of a dump must be of several tables: no one has such chains and targets, or has them twice.

    A filter such as `grep -i docker` took the lines that name the tables.
    """
    declared = [item.name for item in items if isinstance(item, ChainItem)]
    certain = {_certain(item) for item in items} - {None}
    certain |= {"nat" for item in items if _chain(item) in _NAT_HOOKS and _target(item) in _OF_NAT}
    # nat has no FORWARD
    forwards = "nat" in certain and any(_chain(item) == "FORWARD" for item in items)
    return bool(declared) and (len(set(declared)) < len(declared) or len(certain) > 1 or forwards)


def _tables_in_order(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Return the lines that a filter left of a whole dump by their table.

    A rule of a chain that is not built in is in the table of the rules that jump there. If they are in several tables,
    or not shown, it accepts and blocks in filter, and else is in the table of the line before. So is a rule of a
    built-in chain that jumps where another chain of that table jumps.
    """
    headings = dict(_tables_of_headings(items))
    found: dict[str, list[Item]] = {}
    called: dict[str, dict[str, set[str]]] = {}
    table, headed = "filter", ""
    for number, item in enumerate(items):
        name, target = _chain(item), _target(item)
        callers = called.setdefault(target, {})
        headed = headings.get(number, headed)
        is_chain = bool(target) and find_target(target, 4) is None
        calls_again = is_chain and callers.get(table, set()) - {name}
        is_headed = name in _NAT_HOOKS and name in BUILTIN_CHAINS.get(headed, ())
        # nat's chains may not drop
        if number in headings or (is_headed and not (headed == "nat" and target in BLOCKING)):
            table = headed
        elif name in _OF_NAT and target == "RETURN":
            table = "nat"
        elif name not in HOOKS and len(called.get(name, ())) == 1:
            (table,) = called[name]
        elif name not in HOOKS and target in ("ACCEPT", *BLOCKING):
            table = "filter"
        elif not (calls_again and name in BUILTIN_CHAINS[table]):
            table = _likely(item) or table
        table = _certain(item) or table
        found.setdefault(table, []).append(item)
        callers.setdefault(table, set()).add(name)
    return found


def _tables_of_headings(items: Sequence[Item]) -> Iterator[tuple[int, str]]:
    """Yield the numbers of the built-in chains that a dump declares, and their tables.

    Those of one table follow each other in the order in which a packet traverses them; before Linux 2.6.36, nat had
    OUTPUT as its last one.
    """
    run: dict[int, str] = {}
    for number, item in enumerate((*items, None)):
        name = item.name if isinstance(item, ChainItem) else ""
        names = (*run.values(), name)
        ordered = name in HOOKS and [*names] == sorted({*names}, key=HOOKS.index)
        if run and not ordered and names != ("PREROUTING", "POSTROUTING", "OUTPUT"):
            yield from ((at, table_of(names[:-1], ())) for at in run)
            run = {}
        if name in HOOKS:
            run[number] = name


def _certain(item: Item) -> str | None:
    """Return the only table that can have a rule, as far as its chain and target show."""
    names = _target(item), _chain(item)
    for table, targets in TARGETS.items():
        if names[0] in targets:
            return table
    if any(map(_OF_FILTER.match, names)):
        return "filter"
    return "nat" if any(map(_KUBE_NAT.match, names)) else None


def _filters(item: Item) -> bool:
    """Return whether a rule of a built-in chain of nat does what is hardly ever done, or not allowed, there."""
    chain, target = _chain(item), _target(item)
    return target in BLOCKING if chain == "OUTPUT" else chain == "INPUT" and target in ("ACCEPT", *BLOCKING)


def _likely(item: Item) -> str | None:
    """Return the table in which such rules usually are; None for those of chains that are not built in."""
    chain = _chain(item)
    if chain == "OUTPUT" and _target(item) in _OF_NAT_ONLY:
        return "nat"
    if chain in ("INPUT", "FORWARD", "OUTPUT"):
        return "mangle" if _target(item) in _MANGLING else "filter"
    if chain in _NAT_HOOKS:
        # nat's chains may not drop
        return "mangle" if _target(item) in _MANGLING else "raw" if _target(item) == "DROP" else "nat"
    return None


def _chain(item: Item) -> str:
    return (item.chain if isinstance(item, CommandItem) else None) or ""


def _target(item: Item) -> str:
    return next(_targets(item.words), "") if isinstance(item, CommandItem) else ""


def _targets(words: Iterable[Word]) -> Iterator[str]:
    return (following.text for word, following in pairwise(words) if word.text == "-j")


def may_stand_in(chain: str, item: RuleItem, family: Family) -> bool:
    """Return whether the kernel accepts a rule's target in a built-in chain."""
    target = find_target(next(_targets(item.words), ""), family)
    return target is None or target.hooks is None or chain in target.hooks


def table_of_rules(items: Sequence[Item]) -> str:
    """Return the table of rules, inferred from their chains and targets."""
    chains: set[str] = set()
    targets: set[str] = set()
    for item in items:
        if isinstance(item, ChainItem) and item.policy:
            chains.add(item.name)
        elif not isinstance(item, ChainItem) and item.chain:
            chains.add(item.chain)
        if isinstance(item, CommandItem):
            targets.update(_targets(item.words))
    return table_of(chains, targets)


def family_of_text(program: str | None, texts: Sequence[str]) -> Family | None:
    """Return the address family of rules, from the program or their addresses."""
    if program is not None and program.startswith("ip"):
        return 6 if program.startswith("ip6") else 4
    return 6 if guess_family("\n".join(texts)) == 6 else None
