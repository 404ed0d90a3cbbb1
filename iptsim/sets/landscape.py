"""What is known about a host for all packets at once: its regions of addresses, and what its base chains do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from functools import cache, cached_property
from operator import attrgetter
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.chain_graph import Node
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain
from iptsim.extensions.context import Context
from iptsim.extensions.matches.conntrack import state_of
from iptsim.host.model import Host
from iptsim.languages import Text
from iptsim.netfilter.namespaces import nft_programs
from iptsim.netfilter.program import Program
from iptsim.netfilter.walk import simulator_of
from iptsim.protocols import UDPLITE
from iptsim.sets.chains import Chains
from iptsim.sets.costs import too_many
from iptsim.sets.groups import Group, groups_of
from iptsim.sets.layout import Place
from iptsim.sets.packets import TooManyNodesError, too_many_nodes
from iptsim.sets.proxied import ProxyConnections
from iptsim.sets.reception import Receptions
from iptsim.sets.regions import Prefix, Regions
from iptsim.sets.results import Results, results_of
from iptsim.sets.saved_contents import known_contents
from iptsim.sets.sources import compared_addresses
from iptsim.sets.space import Space
from iptsim.sets.summaries import Among
from iptsim.sets.translating import Bits, Fields, Header
from iptsim.truth import Unknown


class Landscape:
    """A host in one address family, prepared for the walk of sets.

    Attributes:
        host: the host.
        space: holds the sets.
        regions: the addresses that the host distinguishes; those of a group are one region.
        groups: containers that differ only in their addresses.
        namespaces: the host's and the containers' hooks.
        bits: reads and makes the bits of fields.
        receptions: what receives packets where they are delivered.
        apart: whether the results of different rules are kept apart.
        among: the packets that come to any rule; None for all.
    """

    def __init__(self, host: Host, space: Space, *, apart: bool = False, among: Among | None = None) -> None:
        self.host, self.space, self.apart, self.among = host, space, apart, among
        self.family: Family = space.family
        self.namespaces = simulator_of(host).namespaces
        self.groups = groups_of(host, self.namespaces, space.family)
        self.regions = Regions(
            host, space.family, ([member.address for member in group] for group in self.groups)
        )
        self.bits = Fields(space.layout, self.decision)
        self._results: dict[Hashable, Results | None] = {}
        self._alike: dict[Hashable, Results] = {}
        self._pulled: dict[Hashable, Callable[[Any], Any]] = {}
        self._within: dict[Hashable, Any] = {}
        self._chains: dict[int, Chains] = {}
        self.receptions = Receptions(host, ProxyConnections(host, self.namespaces))

    @cached_property
    def group_of(self) -> dict[str, Group]:
        """The groups by the names of their containers."""
        return {member.name: group for group in self.groups for member in group}

    @cached_property
    def names_udplite(self) -> bool:
        """Whether a rule of the host names UDP-Lite."""
        # rules from lines of one shape name the same protocol
        shapes = {id(rule.plan or rule): rule for rule in self._rules()}
        return any(rule.parameters.protocol == UDPLITE for rule in shapes.values())

    @cached_property
    def tells_own_addresses(self) -> bool:
        """Whether a rule treats the host's own addresses differently, by their interfaces, routes or sockets."""
        return any(
            match.name != "addrtype"
            or any(option.field in ("limit_iface_in", "limit_iface_out") for option, _ in match.given())
            for rule in self._rules()
            if not _OF_OWN_ADDRESSES.isdisjoint(rule.extension_names)
            for match in rule.matches
            if match.name in _OF_OWN_ADDRESSES
        )

    def _rules(self) -> Iterator[Rule]:
        """Yield the rules of the host."""
        for program in self._programs():
            yield from program.ruleset.rules()

    def _programs(self) -> Iterator[Program]:
        """Yield the programs of the host, those of nftables included."""
        namespace = self.host.namespace
        yield from self.namespaces.hooks_of(namespace).programs(self.family)
        yield from nft_programs(namespace, self.family)

    @cached_property
    def compared(self) -> list[int]:
        """The first addresses of the ranges that a rule distinguishes."""
        return compared_addresses(self._programs())

    def decision(self, key: Hashable, why: Text) -> Any:
        """Return the function that is true if something undecided is true."""
        return self.space.undecided(key, why).function

    def within(self, region: Prefix, key: str) -> Any:
        """Return the function that is true for addresses of a region in a field."""
        found = self._within.get((region, key))
        if found is None:
            found = self._within[region, key] = self.space.where(key, self.regions.ranges(region)).function
        return found

    def results(self, program: Program, base: Chain, hook: str) -> Results | None:
        """Return what a base chain does; None if it lets every packet continue unchanged."""
        node = Node(base.table, base.name)
        key = (id(program), node)
        if key not in self._results:
            idle = program.is_idle(*node)
            self._results[key] = (
                None
                if idle
                else results_of(self.chains_of(program), self.bits, self.regions, node, hook, self._alike)
            )
        return self._results[key]

    def chains_of(self, program: Program) -> Chains:
        """Return what the chains of a program do."""
        found = self._chains.get(id(program))
        if found is None:
            known = known_contents(self.space, program, self.host)
            found = self._chains[id(program)] = Chains(
                self.space, program, known=known, apart=self.apart, among=self.among, called=True
            )
        return found

    def pulling(self, changed: Header) -> Callable[[Any], Any]:
        """Return a function that finds the packets, as they arrived, that are in a set after fields have changed."""
        fields = tuple(changed.items())
        found = self._pulled.get(fields)
        if found is None:
            found = self._pulled[fields] = cache(self.bits.replacing(changed))
        return found

    def rules_with(self, keys: Collection[str]) -> Iterator[Rule]:
        """Yield the rules whose conditions depend on one of some fields or decisions."""
        for chains in self._chains.values():
            for _, prepared in chains.costs:
                rule = prepared.rule
                fields = chains.matching(Node(rule.table, rule.chain), prepared).fields
                if any(key in keys for key in fields):
                    yield rule

    def too_many(self) -> TooManyNodesError:
        """Return the error that the sets need too many nodes; it names the rules that create most of them."""
        return (
            too_many(one.costs for one in self._chains.values())
            if self._chains
            else too_many_nodes(self.space.most_nodes)
        )

    def value(self, place: Place, context: Context) -> Bits | None:
        """Return the value of a field for the leading packet, and thus for its class; None if it is undecided."""
        reads = _READ.get(place.key) or place.read
        if reads is None or (place.key not in _READ and not self._is_common(place.key)):
            return None
        value = reads(context)
        if isinstance(value, Unknown) or value is None:
            return None
        if place.numbering is not None or place.values:
            codes = place.codes([value])
            return self.bits.constant(place.key, codes[0][0]) if codes else None
        return self.bits.constant(place.key, int(value))

    def _is_common(self, key: str) -> bool:
        """Return whether all packets of a class have the same value in a field that is not in the header."""
        if key.startswith("undecided "):
            return key in self.space.presences
        return not key.startswith(_OF_EACH_PACKET)


#: Matches that may treat the host's own addresses differently.
_OF_OWN_ADDRESSES = frozenset({"realm", "socket", "addrtype"})
#: Fields of the header that are the same for all packets of a class.
_READ: dict[str, Callable[[Context], Any]] = {
    "in_interface": lambda context: context.in_interface or "",
    "out_interface": lambda context: context.out_interface or "",
    "physical_in": lambda context: context.physical_in or "",
    "physical_out": lambda context: context.physical_out or "",
    "ct.state": state_of,
    "ct.direction": lambda context: context.direction.upper(),
    "fragment": lambda context: context.packet.fragment or "whole",
    "local_socket": lambda context: context.packet.local_socket,
    "src_mac": lambda context: context.packet.src_mac and context.packet.src_mac.lower(),
    **{name: attrgetter(f"packet.{name}") for name in ("pkttype", "tos", "ttl", "proxied")},
}
#: Fields that are not in the header, and that packets of one class may differ in.
_OF_EACH_PACKET = ("ipset ", "ct.node.", "src.eui64", "recent")
