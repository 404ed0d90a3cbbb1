"""Subnets and addresses that dockerd assigns unless the user gives them."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_interface, ip_network

from iptsim.addresses import Family
from iptsim.docker.model.settings import DockerNetwork
from iptsim.errors import CaptureError
from iptsim.host.containers import Subnet
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DEFAULT_NETWORK, DEFAULT_POOLS
from iptsim.host.dockerd import DockerDaemon
from iptsim.languages import message


def subnet_of(text: str, gateway: str | None = None) -> Subnet:
    """Make a subnet; its gateway is the first address unless given.

    Raises:
        ValueError: the text is not a subnet.
    """
    network = ip_network(text, strict=False)
    first = int(network.network_address) + 1
    family: Family = 4 if network.version == 4 else 6
    return Subnet(
        family=family,
        address=int(network.network_address),
        prefix_length=network.prefixlen,
        gateway=int(ip_interface(gateway).ip) if gateway else first,
    )


def free_subnet(daemon: DockerDaemon, networks: Collection[DockerNetwork]) -> Subnet:
    """Return the first IPv4 subnet of the daemon's pools that overlaps with no network.

    Raises:
        CaptureError: every subnet is taken.
    """
    return free_in_pools(
        daemon,
        [ip_network(str(subnet)) for network in networks for subnet in network.subnets if subnet.family == 4],
    )


def free_in_pools(daemon: DockerDaemon, taken: Collection[IPv4Network | IPv6Network]) -> Subnet:
    """Return the first IPv4 subnet of the daemon's pools that overlaps with no network of a list.

    Raises:
        CaptureError: every subnet is taken.
    """
    for text, length in daemon.default_address_pools or DEFAULT_POOLS:
        pool = ip_network(text, strict=False)
        if isinstance(pool, IPv4Network):
            address = pool.network_address
            while address in pool:
                candidate = IPv4Network((address, length))
                other = next((one for one in taken if candidate.overlaps(one)), None)
                if other is None:
                    return subnet_of(str(candidate))
                # the next of its size after the overlap
                last = max(int(candidate.broadcast_address), int(other.broadcast_address))
                behind = (last | (1 << 32 - length) - 1) + 1
                if behind >> 32:
                    break
                address = IPv4Address(behind)
    raise CaptureError(message("default-address-pools: all subnets are taken; give the network a subnet"))


def free_address(network: DockerNetwork, family: Family, taken: Collection[int]) -> int | None:
    """Return the lowest free address of a network, None if it has none of that family."""
    subnet = network.subnet(family)
    if subnet is None:
        return None
    address = subnet.address + 1
    while address in taken or address == subnet.gateway:
        address += 1
    return address if subnet.covers(family, address) else None


def default_network(daemon: DockerDaemon) -> DockerNetwork | None:
    """Make the default bridge from the daemon's settings, None with `--bridge=none`."""
    if daemon.bridge == "none":
        return None
    subnets = [subnet_of(daemon.bip, daemon.bip) if daemon.bip else free_subnet(daemon, ())]
    given6 = daemon.bip6 or daemon.fixed_cidr_v6
    if daemon.ipv6 and given6:
        subnets.append(subnet_of(given6, daemon.bip6))
    return DockerNetwork(
        name=DEFAULT_NETWORK,
        bridge=daemon.bridge or DEFAULT_BRIDGE,
        subnets=tuple(subnets),
        icc=daemon.icc is not False,
        masquerade=daemon.ip_masq is not False,
        host_binding=daemon.host_binding,
        default=True,
    )


def bridge_name(network: str) -> str:
    """Return a name for the bridge of a network whose id is unknown; the engine would choose it at random."""
    return f"br-{sha256(network.encode()).hexdigest()[:12]}"
