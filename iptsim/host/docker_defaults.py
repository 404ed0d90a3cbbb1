"""Names and subnets that Docker uses unless its settings give others, and subnets guessed from addresses.

Source: moby, daemon/libnetwork/ipamutils (localScopeDefaultNetworks).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import IPv4Network

from iptsim.host.members import Prefix
from iptsim.host.namespace import prefix_mask

#: The default network, and its bridge.
DEFAULT_NETWORK, DEFAULT_BRIDGE = "bridge", "docker0"
#: The table of nftables that dockerd writes, in either address family.
NFT_TABLE = "docker-bridges"
#: The bridge by which the containers on overlay networks reach other networks; they do not reach each other there.
GATEWAY_BRIDGE = "docker_gwbridge"
#: The namespace of swarm's routing mesh, a member of that bridge.
MESH = "ingress-sbox"
#: Names that only Docker gives to bridges.
OWN_BRIDGES = re.compile(r"docker[0-9]+|docker_gwbridge|br-[0-9a-f]{12}")
#: (prefix, length of a network's subnet) of each pool, in the order in which dockerd uses them.
DEFAULT_POOLS = (
    *((f"172.{second}.0.0/16", 16) for second in range(17, 32)),
    ("192.168.0.0/16", 20),
)
#: The subnet of the default bridge, the first of the pools.
DOCKER0 = Prefix(4, 0xAC110000, 16)


def default_subnet(address: int) -> Prefix | None:
    """Return the subnet of an IPv4 address that dockerd chose, None if it is in none of the default pools."""
    for text, length in DEFAULT_POOLS:
        pool = IPv4Network(text)
        if int(pool.network_address) <= address <= int(pool.broadcast_address):
            return _subnet(address, length)
    return None


def free_subnet(taken: Collection[Prefix]) -> Prefix | None:
    """Return the subnet that dockerd would choose first for a new network beside others; None if all are taken."""
    pools = (IPv4Network(text) for text, length in DEFAULT_POOLS if text.endswith(f"/{length}"))
    free = (Prefix(4, int(pool.network_address), pool.prefixlen) for pool in pools)
    return next(
        (
            one
            for one in free
            if not any(one.covers(4, other.address) or other.covers(4, one.address) for other in taken)
        ),
        None,
    )


def guessed_subnet(address: int) -> Prefix:
    """Return the likely subnet of an IPv4 address if users or other programs may have chosen it.

    It has length 16 where Docker's usual subnets have that length; else 24.
    """
    subnet = default_subnet(address)
    return subnet if subnet is not None and subnet.length == DOCKER0.length else _subnet(address, 24)


def _subnet(address: int, length: int) -> Prefix:
    return Prefix(4, address & prefix_mask(4, length), length)
