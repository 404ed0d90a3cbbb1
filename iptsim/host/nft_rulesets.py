"""Base chains of nftables whose rules have equivalents in iptables, as tables of iptables rules."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import lru_cache
from typing import ClassVar

from iptsim.addresses import Family
from iptsim.dump import loads
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.errors import IptsimError
from iptsim.extensions.base import Match
from iptsim.extensions.hidden import GAP, Hidden, HiddenTarget, rules_not_shown
from iptsim.extensions.predicates import Predicate
from iptsim.host.nft_chains import NftChain, NftRule
from iptsim.languages import Message, Text, message, message_joined

#: Conditions that match depending on the packets before.
_COUNTS = ("ct count", "limit", "meter", "quota")
_HASHES = ("jhash", "symhash")


class Checked(Match):
    """Conditions that a rule of nftables checked before it changed what they check; they need not match any more."""

    #: no `-m` loads it
    name: ClassVar[str] = ""

    conditions: tuple[Match, ...]

    def save(self) -> str:
        """Return nothing, as no condition is left."""
        return ""

    def predicates(self) -> tuple[Predicate, ...]:
        """Return nothing, as it matches every packet."""
        return ()

    def says(self) -> Text:
        """Return which packets there are."""
        return message_joined(", ", filter(None, (one.says() for one in self.conditions)))


@lru_cache(maxsize=512)
def ruleset_of(chain: NftChain, family: Family) -> Ruleset | None:
    """Return the rules of a base chain and of the chains that it calls, in a table named after that of nftables.

    None if its rules are not known, or have no translation for the address family.
    """
    rules = dict(chain.rules).get(family)
    if rules is None or chain.name is None or chain.policy is None or chain.hook is None:
        return None
    called = (one.called for one in rules if one.called)
    names = list(dict.fromkeys([chain.name, *(one.holder for one in rules), *called]))
    places = {name: place for place, name in enumerate(names)}
    ordered = sorted(rules, key=lambda rule: places[rule.holder])
    parts = {one.part for one in ordered}
    title = f"{chain.family} {chain.table}"
    table = Table(title)
    for name in names:
        table.chains[name] = Chain(title, name)
    try:
        loaded = loads(_dump(ordered, names, chain), family=family).tables
        rows = {kind: iter(found.rules()) for kind, found in loaded.items()}
        for of in ordered:
            rule = next(rows[_kind(of, chain)])
            table.chains[of.holder].rules.append(_placed(rule, of, title, parts, chain, family))
    except IptsimError:
        return None  # nothing that iptables accepts
    # nft_do_chain: an empty chain that is called returns
    table.chains[chain.name].policy = chain.policy.upper()
    table.chains[chain.name].attached = _hook(chain)
    return Ruleset(family=family, source=title, backend="nf_tables", tables={title: table})


def _hook(chain: NftChain) -> str:
    """Return the hook of a base chain: as iptables names it, or with what it belongs to ("egress eth0")."""
    hook = chain.hook or ""
    if chain.devices:
        return f"{hook} {', '.join(chain.devices)}"
    return f"bridge {hook}" if chain.family == "bridge" else hook.upper()


def _kind(rule: NftRule, chain: NftChain) -> str:
    """Return the table in which iptables accepts a rule: of type nat, chains of nftables may drop packets as well."""
    return "nat" if chain.type == "nat" and not rule.words.endswith("-j DROP") else "filter"


def _dump(rules: Iterable[NftRule], names: list[str], chain: NftChain) -> str:
    """Return the rules as iptables-save would print them; chains have numbers, as any name is allowed in nftables."""
    numbers = {name: f"chain-{number}" for number, name in enumerate(names)}
    tables: dict[str, list[str]] = {}
    for one in rules:
        words = one.words.removesuffix(one.called) + numbers[one.called] if one.called else one.words
        tables.setdefault(_kind(one, chain), []).append(f"-A {numbers[one.holder]} {words}")
    chains = [f":{number} - [0:0]" for number in numbers.values()]
    return "".join("\n".join([f"*{name}", *chains, *lines, "COMMIT", ""]) for name, lines in tables.items())


@lru_cache(maxsize=4096)
def _conditions(words: str, family: Family) -> tuple[Match, ...]:
    """Return the conditions of a rule with these options.

    Raises:
        IptsimError: iptables would not accept them.
    """
    (rule,) = loads(f"*filter\n:chain - [0:0]\n-A chain {words}\nCOMMIT\n", family=family).rules()
    return (rule.parameters, *rule.matches)


def _placed(
    rule: Rule, of: NftRule, title: str, parts: Container[str], chain: NftChain, family: Family
) -> Rule:
    """Return a rule with its position in nftables and its further conditions.

    Args:
        rule: as iptables has it.
        of: the rule of nftables.
        title: the name of its table.
        parts: the chains that contain statements of rules.
        chain: the base chain.
        family: the address family.
    """
    target = rule.target
    if of.gap:
        reason = rules_not_shown(title, of.chain, all_rules=of.gap == "all")
        target = HiddenTarget(
            name=GAP,
            reason=reason,
            settle=message("the output of {command}", command="nft list ruleset"),
            is_named=True,
            in_nat=chain.type == "nat",
        )
    if of.unread:
        target = HiddenTarget(
            name=of.unread,
            rewrites=True,
            reason=message("what {words} of nftables does, which iptsim does not evaluate", words=of.unread),
            settle=f"--assume {chain.family}:{chain.table}:{of.chain}:{of.position}=yes",
        )
    if isinstance(target, Jump):
        target = Jump(of.called, target.goto, within=of.called in parts)
    matches = rule.matches
    for words in of.also:
        matches += _conditions(words, family)
    if of.checked:
        matches += (
            Checked(conditions=tuple(one for words in of.checked for one in _conditions(words, family))),
        )
    if of.proxy is not None:
        from iptsim.extensions.targets.tproxy import to_proxy

        listener, hands_over = to_proxy(of.proxy.address, of.proxy.port)
        matches, target = (*matches, listener), target or hands_over
    if of.hidden:
        hidden = Hidden(
            words=of.hidden,
            reason=_reason(of.hidden),
            settle=f"--assume {chain.family}:{chain.table}:{of.chain}:{of.position}=yes",
            # elements of a map may have different conditions
            place=("nft", title, of.chain, of.position, of.hidden),
        )
        matches = (*matches, hidden)
    made = Rule(title, of.chain, of.position, rule.parameters, matches, target)
    listed = chain.listing.rules.get((of.chain, of.position))
    return made.written_as(listed.text, listed.line) if listed is not None else made


def _reason(words: str) -> Message:
    """Return what is not known of conditions, as a phrase that follows "depends on"."""
    if words.startswith(_COUNTS):
        return message("the packets that the {words} of nftables has counted so far", words=words)
    if words.startswith(_HASHES):
        return message("the hash of the packet that nftables computes for {words}", words=words)
    return message("what {words} of nftables matches, which iptsim can't read", words=words)
