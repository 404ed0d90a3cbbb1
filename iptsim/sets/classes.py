"""Address classes: addresses that one chain treats alike as sources and as destinations, and which reach which.

They are the service matrices of fffuu (Diekmann et al., "Verified iptables Firewall Analysis", 2016) for one chain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from iptsim.address_sets import AddressSet
from iptsim.dump.chain_graph import Node
from iptsim.errors import UsageError
from iptsim.extensions.constraints import Masked, named
from iptsim.languages import message
from iptsim.protocols import ACK, FIN, PORT_PROTOCOLS, RST, SYN, TCP
from iptsim.sets.chains import Chains
from iptsim.sets.packets import PacketSet, spans_of

Unsure = Literal["accept", "deny"]
#: The fields of a connection; whatever else rules ask for is undecided here.
_STATED = ("out_interface", "dst", "proto", "dport", "sport", "in_interface", "src", "ct.state", "tcp_flags")
_LOOPBACK = {4: Masked(127 << 24, 0xFF << 24), 6: Masked(1, (1 << 128) - 1)}


class AddressClasses(NamedTuple):
    """Groups of addresses that are treated alike, and which of them reach which.

    Attributes:
        classes: the groups: disjoint, together all addresses, the largest last.
        edges: pairs of indexes in `classes`: addresses of the first group can reach those of the second.
    """

    classes: tuple[AddressSet, ...]
    edges: tuple[tuple[int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, schema `iptsim.classes/1`."""
        return {
            "schema": "iptsim.classes/1",
            "classes": [list(one.texts()) for one in self.classes],
            "edges": [list(edge) for edge in self.edges],
        }


def address_classes(
    chains: Chains,
    table: str,
    chain: str,
    *,
    proto: int = TCP,
    dport: int | None = None,
    sport: int | None = None,
    unknown: Unsure = "accept",
) -> AddressClasses:
    """Return the address classes of one chain for new connections, over all interfaces.

    Args:
        chains: the summaries.
        table: the chain's table.
        chain: the chain.
        proto: the protocol.
        dport: the destination port; None for any.
        sport: the source port; None for any.
        unknown: what to assume for packets that depend on something undecided: a rate, an Ethernet address ...

    Raises:
        UsageError: there is no such chain.
        TooManyNodesError: the sets grow beyond what is allowed.
    """
    if chains.program.chain(table, chain) is None:
        raise UsageError(message("table {table} has no chain {chain}", table=table, chain=chain))
    known: dict[str, int | str] = {"proto": proto, "ct.state": "NEW"}
    if proto in PORT_PROTOCOLS:
        known |= {key: port for key, port in (("dport", dport), ("sport", sport)) if port is not None}
    return classes_of(_accepted(chains, Node(table, chain), known, unknown))


def _accepted(chains: Chains, node: Node, known: Mapping[str, int | str], unknown: Unsure) -> PacketSet:
    """Return the pairs of addresses between which a chain accepts a new connection with these fields."""
    space = chains.space
    asked = chains.summary(node).packets("ACCEPT").having(known)
    if known["proto"] == TCP:
        opening = space.where("tcp_flags", Masked(SYN, SYN | ACK | RST | FIN))
        asked = (asked & opening).without("tcp_flags")
    # only the host's own packets come by lo
    loopback = space.where("src", _LOOPBACK[space.family])
    asked -= space.where("in_interface", named("lo")) - loopback
    unsure = [key for key in space.layout.places if key not in _STATED]
    decided = asked.without(*unsure) if unknown == "accept" else ~(~asked).without(*unsure)
    # a packet that comes by no interface, or leaves by none, is not between two of them
    for key in ("in_interface", "out_interface"):
        decided -= (
            space.where(key, named(""))
            if decided.depends_on(key) and node.name == "FORWARD"
            else space.nothing
        )
    return decided.only("src", "dst")


def classes_of(pairs: PacketSet) -> AddressClasses:
    """Return the address classes of a set that depends only on source and destination."""
    layout = pairs.layout
    to_sources = spans_of(pairs, "dst")
    ids: dict[Any, int] = {}
    targets = [(first, ids.setdefault(rest, len(ids))) for first, _, rest in to_sources]
    sources = [_starts(PacketSet(layout, one)) if one is not None else [] for one in ids]
    end = 1 << layout.places["src"].bits
    bounds = sorted({first for first, _ in targets} | {first for spans in sources for first, _ in spans})
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    target_starts = [first for first, _ in targets]
    starts = [[first for first, _ in spans] for spans in sources]
    for first, after in pairwise([*bounds, end]):
        target = targets[bisect_right(target_starts, first) - 1][1]
        opens = sum(
            1 << number
            for number, spans in enumerate(sources)
            if spans and spans[bisect_right(starts[number], first) - 1][1]
        )
        groups.setdefault((target, opens), []).append((first, after - 1))
    ordered = sorted(groups.items(), key=lambda group: _size(group[1]))
    edges = (
        (place, other)
        for place, ((_, opens), _) in enumerate(ordered)
        for other, ((target, _), _) in enumerate(ordered)
        if opens >> target & 1
    )
    return AddressClasses(tuple(AddressSet.of(layout.family, spans) for _, spans in ordered), tuple(edges))


def _starts(packets: PacketSet) -> list[tuple[int, bool]]:
    """Return where each range of sources begins, and whether those are in a set."""
    return [(first, rest is not None) for first, _, rest in spans_of(packets, "src")]


def _size(spans: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in spans)
