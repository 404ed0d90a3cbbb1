"""The packets that a change of some rules can concern, where that is known without following any.

Packets that no changed rule matches, and whose replies none matches, pass both rulesets alike: a rule that does not
match does nothing. That holds for the packets as they arrive where nothing rewrites addresses or ports on their path.
"""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.diff.texts import TextDifference
from iptsim.dump.chain_graph import Node
from iptsim.dump.ruleset import BUILTIN_CHAINS, Rule, Ruleset
from iptsim.extensions.hidden import Hidden, HiddenTarget
from iptsim.host.model import Host
from iptsim.packet import ICMP, ICMPV6, Family
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.space import Space

#: Targets that leave addresses, ports and the protocol of a packet as they are.
_KEEPING = frozenset({
    "", "ACCEPT", "DROP", "REJECT", "RETURN", "LOG", "NFLOG", "ULOG", "AUDIT", "TRACE", "MARK", "CONNMARK", "SECMARK",
    "CONNSECMARK", "CT", "NOTRACK", "TOS", "DSCP", "ECN", "TTL", "HL", "TCPMSS", "CHECKSUM", "CLASSIFY",
})  # fmt: skip
#: Differences that leave all chains and policies in place.
_OF_RULES = frozenset({"counters", "comments", "order", "rules"})
#: What a reply has from its request.
_SWAPPED = (("src", "dst"), ("dst", "src"), ("sport", "dport"), ("dport", "sport"))


def concerned(texts: TextDifference, before: Host, after: Host, space: Space) -> PacketSet | None:
    """Return the packets that a difference of rules may concern; None if that can't be told in advance.

    Args:
        texts: the differences between two hosts.
        before / after: the hosts.
        space: of the set.
    """
    family = space.family
    if not _OF_RULES.issuperset(texts.kinds) or not all(_keeps(host, family) for host in (before, after)):
        return None
    lands = Landscape(before, space), Landscape(after, space)
    programs = [one.namespaces.hooks_of(one.host.namespace).programs(family) for one in lands]
    if any(len(one) != 1 for one in programs):
        return None
    (old,), (new,) = programs
    alike = (old.tracks, old.names_ports, old.version) == (new.tracks, new.names_ports, new.version)
    if not alike or _shape(old.ruleset) != _shape(new.ruleset) or old.changed_memories | new.changed_memories:
        return None
    found = [space.nothing]
    for change in texts.chains:
        if change.family == family:
            node = Node(change.table, change.chain)
            found += (lands[0].chains_of(old).matching(node, rule) for rule in change.removed)
            found += (lands[1].chains_of(new).matching(node, rule) for rule in (*change.added, *change.moved))
    matched = union(found).only("src", "dst", "sport", "dport", "proto")
    return union([matched, _swapped(matched), *_reported(matched)])


def _keeps(host: Host, family: Family) -> bool:
    """Return whether packets keep their addresses and ports on a host, as far as rules and programs can tell."""
    ruleset, nftables = host.rulesets.get(family), host.namespace.nftables
    if ruleset is None or host.extra_rulesets.get(family) or host.containers or host.networks:
        return False
    if nftables is not None and any("change" in chain.effects for chain in nftables.chains):
        return False
    # whether the kernel rejects a rule may depend on others
    return all(not rule.refused and _is_known(rule) for rule in ruleset.rules())


def _is_known(rule: Rule) -> bool:
    """Return whether a rule leaves addresses and ports alone; two that are not shown in full may be different."""
    if rule.plan is None and (
        isinstance(rule.target, HiddenTarget) or any(isinstance(one, Hidden) for one in rule.matches)
    ):
        return False
    return rule.jump is not None or rule.target_name in _KEEPING


def _shape(ruleset: Ruleset) -> dict[str, set[str]]:
    """Return the base chains of a ruleset, by table."""
    return {name: {*table.chains} & {*BUILTIN_CHAINS[name]} for name, table in ruleset.tables.items()}


def _swapped(packets: PacketSet) -> PacketSet:
    """Return the packets whose replies are among some."""
    layout = packets.layout
    return packets.substituted(
        {
            number: PacketSet(layout, layout.variable(other))
            for key, swapped in _SWAPPED
            for number, other in zip(
                layout.places[key].variables, layout.places[swapped].variables, strict=True
            )
        }
    )


def _reported(packets: PacketSet) -> Iterator[PacketSet]:
    """Yield the packets for which an ICMP error may be among some: it goes to the source of what it reports."""
    number = ICMP if packets.layout.family == 4 else ICMPV6
    receivers = packets.at("proto", number).only("dst")
    if receivers:
        yield receivers
        yield _swapped(receivers)
