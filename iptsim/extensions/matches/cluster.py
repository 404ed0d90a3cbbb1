"""`-m cluster`: whether this node of a cluster takes the connection (net/netfilter/xt_cluster.c).

The node is a hash of the connection's original source address; of an IPv6 address, only the first four
bytes take part.
"""

from __future__ import annotations

from typing import ClassVar

from iptsim.connection import Connection
from iptsim.extensions.base import Match
from iptsim.extensions.constraints import Constraint, Names, connection_value
from iptsim.extensions.jhash import jhash_words
from iptsim.extensions.options import Option, Value
from iptsim.extensions.predicates import Predicate
from iptsim.extensions.values import any_of, integer, integer_value
from iptsim.languages import Text, message, message_if
from iptsim.truth import Unknown

_MOST_NODES = 32


def node(address: int, family: int, nodes: int, seed: int) -> int:
    """Return the node, from 0, that a source address belongs to.

    The kernel reads the bytes in network order as a native number; the host is assumed to be little-endian, as all
    common machines are.
    """
    first = address.to_bytes(4 if family == 4 else 16, "big")[:4]
    return jhash_words([int.from_bytes(first, "little")], seed) * nodes >> 32


def _eight_digits(number: int) -> str:
    return f"{number:#010x}"


class Cluster(Match):
    """Whether the connection's original source hashes to this node; without a connection it never matches."""

    name: ClassVar[str] = "cluster"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--cluster-local-nodemask",
            "cluster_local_nodemask",
            Value("a bit mask of nodes", lambda text: integer(text, 1), _eight_digits),
            True,
            listed=" cluster [!]node_mask={value}",
        ),
        Option(
            "--cluster-local-node",
            "cluster_local_nodemask",
            Value("a node from 1 to 32", lambda text: 1 << integer(text, 1, _MOST_NODES) - 1),
            True,
        ),
        Option(
            "--cluster-total-nodes",
            "cluster_total_nodes",
            integer_value("a number of nodes from 1 to 32", 1, _MOST_NODES),
            listed=" total_nodes={value}",
        ),
        Option(
            "--cluster-hash-seed",
            "cluster_hash_seed",
            Value("a seed for the hash", integer, _eight_digits),
            listed=" hash_seed={value}",
        ),
    )

    #: bit n is node n + 1, as iptables keeps `--cluster-local-node` too
    cluster_local_nodemask: int
    cluster_total_nodes: int
    cluster_hash_seed: int

    def check(self) -> None:
        if self.cluster_local_nodemask >> self.cluster_total_nodes:
            raise ValueError(
                message(
                    "the local node is not among the {cluster_total_nodes} nodes",
                    cluster_total_nodes=self.cluster_total_nodes,
                )
            )

    @property
    def _nodes(self) -> tuple[int, ...]:
        """The nodes that take the connection, from 0."""
        return tuple(number for number in range(_MOST_NODES) if self.cluster_local_nodemask >> number & 1)

    def predicates(self) -> tuple[Predicate, ...]:
        nodes, seed = self.cluster_total_nodes, self.cluster_hash_seed

        def node_of(connection: Connection) -> int:
            return node(connection.original.src, connection.family, nodes, seed)

        def read(connection: Connection) -> int | Unknown:
            # for an expected connection the kernel hashes the source of the one that expected it
            return _NOT_KNOWN if connection.related else node_of(connection)

        def got(connection: Connection) -> Text:
            return message("its connection belongs to node {node}", node=node_of(connection) + 1)

        field = connection_value(f"node.{nodes}.{seed}", read, got)
        return self.one(Constraint(field, Names(frozenset(self._nodes)), bool(self.negated)))

    def says(self) -> Text:
        return message_if(
            self.negated,
            "whose connection is not for node {nodes} of {total}",
            "whose connection is for node {nodes} of {total}",
            nodes=any_of(tuple(str(number + 1) for number in self._nodes)),
            total=self.cluster_total_nodes,
        )


_NOT_KNOWN = Unknown(message("the source of the connection that expected this one"), "--assume cluster=yes")

EXTENSIONS = (Cluster,)
