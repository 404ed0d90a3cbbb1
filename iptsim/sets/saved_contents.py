"""What a capture has saved of the state that rules read, as sets of packets: ipsets, and lists of `-m recent`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from iptsim.addresses import BITS
from iptsim.extensions.constraints import Masked
from iptsim.extensions.matches.recent import Recent, whole_mask
from iptsim.host.model import Host
from iptsim.netfilter.program import Program
from iptsim.sets.ipset_contents import known_ipsets
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.space import Known, Space


def known_contents(space: Space, program: Program, host: Host) -> Known:
    """Return what a host's saved state means for the rules of a program, for :class:`iptsim.sets.chains.Chains`."""
    return {**known_ipsets(space, program, host.ipsets), **known_lists(space, program, host.recent)}


def known_lists(
    space: Space, program: Program, lists: Mapping[str, Mapping[int, list[float]]] | None
) -> Known:
    """Return what the contents of the lists mean for the lookups of a program, by :attr:`Predicate.same`.

    Lists that rules change are left out, because they may have changed when a packet arrives.

    Args:
        space: the space of the sets.
        program: the rules.
        lists: the ages of the stamps by list and address (:attr:`iptsim.host.model.Host.recent`); None if none were
            saved.
    """
    if lists is None:
        return {}
    found: dict[Hashable, list[tuple[bool, PacketSet]]] = {}
    for match in (match for rule in program.ruleset.rules() for match in rule.matches):
        if not isinstance(match, Recent) or match.rttl:
            continue
        for predicate in match.predicates():
            if predicate.same and predicate.memory not in program.changed_memories:
                packets = _listed(space, match, lists)
                found[predicate.same] = [(True, packets), (False, ~packets)]
    return found


def _listed(space: Space, match: Recent, lists: Mapping[str, Mapping[int, list[float]]]) -> PacketSet:
    """Return the packets that a lookup finds, before its `!`."""
    _, mask = match.mask or whole_mask(space.family)
    side = "dst" if match.rdest else "src"
    entries = lists.get(match.remembered_in, {})
    addresses = [one for one, ages in entries.items() if not one >> BITS[space.family] and match.enough(ages)]
    return union(
        [space.nothing, *(space.where(side, Masked(one, mask)) for one in addresses if one & ~mask == 0)]
    )
