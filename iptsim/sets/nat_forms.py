"""The addresses and ports that some packets have on their way through nat, before and after each translation.

These sets may be too large, never too small: a rule counts for all packets that its own conditions and those of the
rules that call its chain allow, whatever earlier rules do with them, and fields other than addresses, ports and the
protocol may have any value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.extensions.constraints import Ranges
from iptsim.extensions.verdicts import TRANSLATING, TRANSLATING_DESTINATION, TRANSLATING_SOURCE, Translation
from iptsim.netfilter.prepared import Prepared
from iptsim.netfilter.program import Program
from iptsim.protocols import PORT_PROTOCOLS
from iptsim.ranges import united
from iptsim.sets.effects import Place, effects
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet, union
from iptsim.sets.rewriting import AS_IT_CAME
from iptsim.sets.summaries import Among

#: What identifies a connection.
FLOW = ("src", "dst", "sport", "dport", "proto")
#: What a reply takes from its request.
_SWAPPED = (("src", "dst"), ("dst", "src"), ("sport", "dport"), ("dport", "sport"))
#: The loopback addresses: 127.0.0.0/8, ::1.
_LOOPBACK: dict[Family, tuple[int, int]] = {4: (0x7F000000, 0x7FFFFFFF), 6: (1, 1)}
#: Callers of a chain whose conditions are read; if there are more, any packet may enter it.
_MOST_CALLERS = 100


class _Rule(NamedTuple):
    """A rule of nat that translates.

    Attributes:
        node: its chain.
        prepared: the rule.
        wanted: its translation.
    """

    node: Node
    prepared: Prepared
    wanted: Translation


class Nat:
    """What table nat of a host does to the addresses and ports of packets.

    Args:
        land: the host.
        program: its rules.
    """

    def __init__(self, land: Landscape, program: Program) -> None:
        self._land, self._program, self._space = land, program, land.space
        self._chains = land.chains_of(program)
        self._matching: dict[int, PacketSet] = {}
        self._entering: dict[Node, PacketSet] = {}
        self._known: dict[Node, bool] = {}

    def matched(self, node: Node, rules: Iterable[Rule]) -> list[PacketSet]:
        """Return which packets may come to some rules of a chain and match them, with the fields of `FLOW` alone."""
        wanted, chain = {id(rule) for rule in rules}, self._program.chain(*node)
        if not wanted or chain is None:
            return []
        entering, prepared = self.entering(node), self._program.rules(chain)
        return [
            entering & self.matching(node, prepared[place])
            for place, rule in enumerate(chain.rules)
            if id(rule) in wanted
        ]

    def matching(self, node: Node, prepared: Prepared) -> PacketSet:
        """Return the packets that satisfy the conditions of a rule."""
        key = id(prepared.rule)
        found = self._matching.get(key)
        if found is None:
            packets = self._chains.matching(node, prepared)
            found = packets.without(*(field for field in packets.fields if field not in FLOW))
            self._matching[key] = found
        return found

    def entering(self, node: Node) -> PacketSet:
        """Return the packets that may enter a chain."""
        found = self._entering.get(node)
        if found is None:
            chain = self._program.chain(*node)
            callers = self._chains.callers.of(node)
            if (chain is not None and chain.builtin) or len(callers) > _MOST_CALLERS:
                found = self._space.everything
            else:
                parts = (
                    self.entering(one) & self.matching(one, rules[place]) for one, rules, place in callers
                )
                found = union([self._space.nothing, *parts])
            self._entering[node] = found
        return found

    def sides(self, node: Node) -> frozenset[str]:
        """Return which side of packets the rules of a chain of nat may translate: "dst", "src" or both."""
        hooks = self._program.graph.reaching_hooks("nat").get(node.name, ())
        return frozenset("dst" if hook in ("PREROUTING", "OUTPUT") else "src" for hook in hooks)

    def before(self, packets: PacketSet) -> Iterator[PacketSet]:
        """Yield the packets that may be among given ones after their destination was translated."""
        for rule in self._destinations:
            if made := packets & self._place(rule.wanted):
                entered = self.entering(rule.node) & self.matching(rule.node, rule.prepared)
                yield entered & made.without("dst", "dport")

    def before_leaving(self, packets: PacketSet) -> PacketSet:
        """Return the packets that may be among given ones after their source was translated."""
        return (packets & self._sources).without("src", "sport")

    def after(self, packets: PacketSet) -> Iterator[PacketSet]:
        """Yield what packets may be after their destination was translated."""
        seen: dict[Node, PacketSet] = {}
        todo = [(Node("nat", hook), packets) for hook in ("PREROUTING", "OUTPUT")]
        while todo:
            node, here = todo.pop()
            known = seen.get(node, self._space.nothing)
            here -= known
            if not here:
                continue
            seen[node] = known | here
            for prepared in self._chains.prepared(node):
                inside = here & self.matching(node, prepared)
                if not inside:
                    continue
                if prepared.jump is not None:
                    if self._translates(called := Node("nat", prepared.jump.chain)):
                        todo.append((called, inside))
                elif (wanted := self._wanted(node, prepared)) is not None and wanted.side == "dst":
                    changed = ("dst",) if wanted.ports is None and not wanted.random else ("dst", "dport")
                    yield inside.without(*changed) & self._place(wanted)

    def after_leaving(self, packets: PacketSet) -> PacketSet:
        """Return what packets may be after their source was translated."""
        return packets.without("src", "sport") & self._sources

    # -- the rules of nat -----------------------------------------------------------------------------

    @cached_property
    def _destinations(self) -> list[_Rule]:
        """The rules that translate the destination."""
        return [one for one in self._translating(*TRANSLATING_DESTINATION) if one.wanted.side == "dst"]

    def _translates(self, node: Node) -> bool:
        """Return whether a chain of nat, or one that it calls, translates the destination."""
        found = self._known.get(node)
        if found is None:
            self._known[node] = False
            chain = self._program.chain(*node)
            found = self._known[node] = any(
                rule.target_name in TRANSLATING_DESTINATION
                if rule.jump is None
                else self._translates(Node(node.place, rule.jump.chain))
                for rule in (chain.rules if chain is not None else ())
            )
        return found

    def _translating(self, *targets: str) -> Iterator[_Rule]:
        """Yield the rules of nat with some targets."""
        table = self._program.ruleset.tables.get("nat")
        for name, chain in table.chains.items() if table is not None else ():
            node, rules = Node("nat", name), self._program.rules(chain)
            for place, rule in enumerate(chain.rules):
                if rule.target_name in targets and (wanted := self._wanted(node, rules[place])) is not None:
                    yield _Rule(node, rules[place], wanted)

    def _wanted(self, node: Node, prepared: Prepared) -> Translation | None:
        """Return the translation that a rule requests."""
        if prepared.target is None or prepared.target.name not in TRANSLATING:
            return None
        place = Place("PREROUTING", node.place, lambda: None)
        found = effects(self._space, prepared.target, place, AS_IT_CAME)
        return next((one.translation for one in found if one.translation is not None), None)

    def _place(self, wanted: Translation) -> PacketSet:
        """Return all packets with the destination that a translation gives."""
        found = self._space.where("dst", (wanted.addresses,) if wanted.addresses is not None else self._own)
        if wanted.ports is None:
            return found
        ported = self._space.where("proto", tuple((one, one) for one in sorted(PORT_PROTOCOLS)))
        return found & (self._space.where("dport", (wanted.ports,)) | ~ported)

    @cached_property
    def _own(self) -> Ranges:
        """The host's own addresses."""
        family = self._space.family
        own = (one.address for _, one in self._land.host.namespace.addresses(family))
        return united((_LOOPBACK[family], *((one, one) for one in own)))

    @cached_property
    def _sources(self) -> PacketSet:
        """All packets with a source that a translation may give."""
        wanted = [one.wanted for one in self._translating(*TRANSLATING_SOURCE) if one.wanted.side == "src"]
        if not wanted:
            return self._space.nothing
        ranges = [one.addresses for one in wanted if one.addresses is not None]
        return self._space.where("src", united((*ranges, *self._own)))


def forms(nats: Sequence[Nat], asked: PacketSet, replies: PacketSet) -> Among:
    """Return some packets in all forms that they take on their way.

    Args:
        nats: what nat does.
        asked: the packets as they are sent.
        replies: which packets may be replies to them.
    """
    opening = union([asked, *(after for nat in nats for after in nat.after(asked))])
    every = union([opening, *(nat.after_leaving(opening) for nat in nats)])
    return Among(asked, opening, every | (swapped(every) & replies))


def swapped(packets: PacketSet) -> PacketSet:
    """Return the packets whose replies are in a set: source and destination are exchanged."""
    layout = packets.layout
    return packets.substituted(
        {
            number: PacketSet(layout, layout.variable(other))
            for key, other_key in _SWAPPED
            for number, other in zip(
                layout.places[key].variables, layout.places[other_key].variables, strict=True
            )
        }
    )
