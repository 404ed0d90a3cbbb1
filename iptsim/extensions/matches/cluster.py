"""`-m cluster`: whether this node of a cluster takes the connection (net/netfilter/xt_cluster.c).

The node is a hash of the connection's original source address; of an IPv6 address, only the first four
octets take part.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from iptsim.extensions.base import Match, Option, Predicate, Value
from iptsim.extensions.checks import demand
from iptsim.extensions.jhash import jhash_words
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.values import any_of, integer, integer_value
from iptsim.languages import later, say, say_if
from iptsim.packet import Connection, Context, Truth, Unknown

_MOST_NODES = 32


def node(address: int, family: int, nodes: int, seed: int) -> int:
    """Return the node, from 0, that a source address belongs to.

    The kernel reads network byte order as a number of the host, which is taken to be a little-endian
    one, as all common machines are.
    """
    first = address.to_bytes(4 if family == 4 else 16, "big")[:4]
    return jhash_words([int.from_bytes(first, "little")], seed) * nodes >> 32


def _eight_digits(number: int) -> str:
    return f"{number:#010x}"


class Cluster(Match):
    """Whether the connection's original source hashes to this node; without a connection it never holds."""

    name: ClassVar[str] = "cluster"
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "--cluster-local-nodemask",
            "cluster_local_nodemask",
            Value("a bit mask of nodes", lambda text: integer(text, 1), _eight_digits),
            True,
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
        ),
        Option(
            "--cluster-hash-seed",
            "cluster_hash_seed",
            Value("a seed for the hash", integer, _eight_digits),
        ),
    )

    #: bit n stands for node n + 1, as iptables keeps `--cluster-local-node` too
    cluster_local_nodemask: int | None = None
    cluster_total_nodes: int | None = None
    cluster_hash_seed: int | None = None

    @model_validator(mode="after")
    def _complete(self) -> Cluster:
        demand(self, "cluster_total_nodes", "cluster_local_nodemask", "cluster_hash_seed")
        if (self.cluster_local_nodemask or 0) >> (self.cluster_total_nodes or 0):
            raise ValueError(f"the local node is not among the {self.cluster_total_nodes} nodes")
        return self

    def _node(self, connection: Connection) -> int:
        return node(
            connection.original.src,
            connection.family,
            self.cluster_total_nodes or 1,
            self.cluster_hash_seed or 0,
        )

    def predicates(self) -> tuple[Predicate, ...]:
        """Return the condition on the connection's source."""
        return (Predicate(self.save(), self._test, self._got, negated=bool(self.negated)),)

    def _test(self, context: Context) -> Truth:
        connection, mask = context.connection, self.cluster_local_nodemask or 0
        if connection is None:
            return False
        if connection.related:
            # the hash is that of the connection that expected this one
            return Unknown(
                later("the source of the connection that expected this one"),
                "--assume cluster=yes",
                ("cluster", mask, self.cluster_total_nodes, self.cluster_hash_seed),
            )
        return bool(mask >> self._node(connection) & 1) is not bool(self.negated)

    def _got(self, context: Context) -> str:
        if context.connection is None:
            return say("it belongs to no tracked connection")
        return say(
            "its connection belongs to node {connection}", connection=self._node(context.connection) + 1
        )

    def lists(self, form: ListingForm) -> str:
        """Return what a listing has for it."""
        mask = f"{self.bang('cluster_local_nodemask')}node_mask={_eight_digits(self.cluster_local_nodemask or 0)}"
        seed = _eight_digits(self.cluster_hash_seed or 0)
        return f" cluster {mask} total_nodes={self.cluster_total_nodes} hash_seed={seed}"

    def says(self) -> str:
        """Return the nodes in words."""
        mask = self.cluster_local_nodemask or 0
        nodes = tuple(str(number + 1) for number in range(_MOST_NODES) if mask >> number & 1)
        return say_if(
            self.negated,
            "whose connection is not for node {nodes} of {cluster_total_nodes}",
            "whose connection is for node {nodes} of {cluster_total_nodes}",
            nodes=any_of(nodes),
            cluster_total_nodes=self.cluster_total_nodes,
        )


EXTENSIONS = (Cluster,)
