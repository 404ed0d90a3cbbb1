"""The packets that a change of some rules can concern, where that is known without following any.

Packets that no changed rule matches, and whose replies none matches, pass both rulesets alike: a rule that does not
match does nothing. Where nat translates packets on their path, that holds for all forms that they take. Most rulesets
accept replies first; then no reply comes to a changed rule, and only requests are concerned.

Where many rules changed, these packets are a larger set than any that the rules make, and to follow all is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.addresses import Family
from iptsim.diff.texts import TextDifference
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.constraints import Names
from iptsim.extensions.hidden import Hidden, HiddenTarget
from iptsim.extensions.verdicts import TRANSLATING
from iptsim.host.model import Host
from iptsim.netfilter.program import Program
from iptsim.protocols import ICMP, ICMPV6
from iptsim.sets.landscape import Landscape
from iptsim.sets.nat_forms import Nat, forms, swapped
from iptsim.sets.packets import PacketSet, TooManyNodesError, union
from iptsim.sets.space import Space
from iptsim.sets.summaries import Among
from iptsim.sets.traffic import Traffic

#: Targets that leave addresses, ports and the protocol of a packet as they are, and those whose translation is known.
_KEEPING = TRANSLATING | frozenset({
    "", "ACCEPT", "DROP", "REJECT", "RETURN", "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "MARK", "CONNMARK", "SECMARK",
    "CONNSECMARK", "CT", "NOTRACK", "TOS", "DSCP", "ECN", "TTL", "HL", "TCPMSS", "CHECKSUM", "CLASSIFY",
})  # fmt: skip
#: Differences that leave all chains and policies in place.
_OF_RULES = frozenset({"counters", "comments", "order", "rules"})
#: Changed rules that are few; and in larger rulesets, the share of the rules of both that is. Measured: with more, to
#: follow all packets is faster; of 1,600 rules of which all differ, 17 times.
_FEW, _SHARE = 60, 0.01
#: The states of replies and of ICMP errors, and the targets by which they may have others.
_OF_REPLIES, _UNTRACKING = Names(frozenset({"ESTABLISHED", "RELATED"})), frozenset({"CT", "NOTRACK"})


def concerned(texts: TextDifference, before: Host, after: Host, space: Space) -> Among | None:
    """Return the packets that a difference of rules may concern; None if many or if that can't be told in advance.

    Args:
        texts: the differences between two hosts.
        before / after: the hosts.
        space: of the sets.
    """
    family = space.family
    if not _OF_RULES.issuperset(texts.kinds) or not all(_keeps(host, family) for host in (before, after)):
        return None
    if _are_many(texts, before.rulesets[family], after.rulesets[family]):
        return None
    lands = Landscape(before, space), Landscape(after, space)
    programs = [one.namespaces.hooks_of(one.host.namespace).programs(family) for one in lands]
    if any(len(one) != 1 for one in programs):
        return None
    (old,), (new,) = programs
    alike = (old.tracks, old.names_ports, old.version) == (new.tracks, new.names_ports, new.version)
    if not alike or _shape(old.ruleset) != _shape(new.ruleset) or old.changed_memories | new.changed_memories:
        return None
    nats = Nat(lands[0], old), Nat(lands[1], new)
    #: what changed rules see: of nat, before and after the translation of the destination; of other tables
    arriving, leaving, others = [space.nothing], [space.nothing], [space.nothing]
    removed, added = list[Rule](), list[Rule]()
    for change in texts.chains:
        if change.family != family:
            continue
        node = Node(change.table, change.chain)
        for nat, rules, changed in zip(
            nats, (change.removed, (*change.added, *change.moved)), (removed, added), strict=True
        ):
            sets = nat.matched(node, rules)
            if change.table != "nat":
                others += sets
                changed += rules
            else:
                sides = nat.sides(node)
                arriving += sets if "dst" in sides else ()
                leaving += sets if "src" in sides else ()
    matching = union(others)
    replies = space.where("ct.state", _OF_REPLIES)
    may_matter = any(
        _may_match(
            Landscape(one.host, space, among=Among(matching, matching, matching)), program, rules, replies
        )
        for one, program, rules in zip(lands, (old, new), (removed, added), strict=True)
    )
    return _followed(
        nats, union(arriving), union(leaving), matching, space.everything if may_matter else replies
    )


def _are_many(texts: TextDifference, before: Ruleset, after: Ruleset) -> bool:
    """Return whether so many rules differ that the packets that they concern are a large set."""
    changes = [one for one in texts.chains if one.family == before.family]
    changed = sum(len(one.removed) + len(one.added) + len(one.moved) for one in changes)
    return changed > _FEW and changed > _SHARE * sum(
        1 for ruleset in (before, after) for _ in ruleset.rules()
    )


def _may_match(land: Landscape, program: Program, changed: Sequence[Rule], replies: PacketSet) -> bool:
    """Return whether some changed rules may match what answers a packet that opens a connection.

    Args:
        land: the host, with the packets that satisfy the conditions of changed rules.
        program: its rules.
        changed: the changed rules of other tables than nat.
        replies: all packets in the states of replies and of ICMP errors.
    """
    if not changed or not program.tracks or land.names_udplite:
        # conntrack takes the checksum of UDP-Lite for wrong, in replies as well
        return True
    if any(rule.table == "raw" or rule.target_name in _UNTRACKING for rule in program.ruleset.rules()):
        # there, or behind it, a reply may have no state
        return True
    chains = land.chains_of(program)
    try:
        passing = {table: Traffic(chains, table) for table in {rule.table for rule in changed}}
        return any(passing[rule.table].taken(rule).meets(replies) for rule in changed)
    except TooManyNodesError:
        return True


def _followed(
    nats: tuple[Nat, Nat], arriving: PacketSet, leaving: PacketSet, others: PacketSet, replies: PacketSet
) -> Among:
    """Return the packets that changed rules see, as they are sent and in all forms that they take on their way.

    Args:
        nats: what nat of both hosts does.
        arriving / leaving: what changed rules of nat match, which translate the destination and the source.
        others: what changed rules of other tables match.
        replies: everything if these may match replies; otherwise, of which replies are.
    """
    nothing, seen = others - others, others
    if replies == ~nothing:
        seen = union([others, swapped(others), *_reported(others)])
    seen = union([seen, *(nat.before_leaving(seen) for nat in nats)]) | leaving
    asked = union([nothing, seen, arriving, *(before for nat in nats for before in nat.before(seen))])
    return forms(nats, asked, replies)


def _keeps(host: Host, family: Family) -> bool:
    """Return whether packets keep their addresses and ports on a host, or get others by rules that can be read."""
    ruleset, nftables = host.rulesets.get(family), host.namespace.nftables
    if ruleset is None or host.extra_rulesets.get(family) or host.containers or host.networks:
        return False
    if nftables is not None and any("change" in chain.effects for chain in nftables.chains):
        return False
    # whether the kernel rejects a rule may depend on others
    return all(not rule.refused and _is_known(rule) for rule in ruleset.rules())


def _is_known(rule: Rule) -> bool:
    """Return whether it is known what a rule does to addresses and ports; two rules that a text cuts off may differ."""
    if rule.plan is None and (
        isinstance(rule.target, HiddenTarget) or any(isinstance(one, Hidden) for one in rule.matches)
    ):
        return False
    return rule.jump is not None or rule.target_name in _KEEPING


def _shape(ruleset: Ruleset) -> dict[str, set[str]]:
    """Return the base chains of a ruleset, by table."""
    return {name: {*table.chains} & {*BUILTIN_CHAINS[name]} for name, table in ruleset.tables.items()}


def _reported(packets: PacketSet) -> Iterator[PacketSet]:
    """Yield the packets for which an ICMP error may be among some: it goes to the source of what it reports."""
    number = ICMP if packets.layout.family == 4 else ICMPV6
    receivers = packets.at("proto", number).only("dst")
    if receivers:
        yield receivers
        yield swapped(receivers)
