"""The rules of dockerd 23 to 27: those of 20.10, with DOCKER-USER and (from 27) gateway modes in IPv6 too.

Source: moby v26.1.5 and v27.5.1, libnetwork/drivers/bridge/setup_ip_tables_linux.go,
port_mapping_linux.go, libnetwork/firewall_linux.go; dumps of 26.1.5.
"""

from __future__ import annotations

from dataclasses import replace

from iptsim.docker.dockerd import generation_20_10
from iptsim.docker.dockerd.templates import Fact, insert

START = (
    *generation_20_10.START,
    insert("nat DOCKER", "-d 127.0.0.0/8 -i loopback0 -j RETURN", "wsl2 proxy ipv4", "wsl2"),
)

#: In IPv6, packets within the network may have link-local addresses.
INTERNAL = (
    insert("filter DOCKER-ISOLATION-STAGE-1", "! -d {subnet} -i {bridge} -j DROP",
           "subnet internal ipv4", "internal", "--internal"),
    insert("filter DOCKER-ISOLATION-STAGE-1", "! -s {subnet} -o {bridge} -j DROP",
           "subnet internal ipv4", "internal", "--internal"),
    insert("filter DOCKER-ISOLATION-STAGE-1", "! -d {subnet} -i {bridge} ! -o {bridge} -j DROP",
           "subnet internal ipv6", "internal", "--internal"),
    insert("filter DOCKER-ISOLATION-STAGE-1", "! -s {subnet} ! -i {bridge} -o {bridge} -j DROP",
           "subnet internal ipv6", "internal", "--internal"),
)  # fmt: skip

#: Rules that a network without address translation (gateway mode "routed", 27 on) does not get.
_TRANSLATION = frozenset({"masquerade", "own-bridge"})


def _unless_routed(fact: Fact) -> Fact:
    return replace(fact, when=f"{fact.when} !routed") if fact.role in _TRANSLATION else fact


LAYOUT = replace(
    generation_20_10.LAYOUT,
    name="26",
    user_chain=frozenset({4, 6}),
    start=START,
    network=(
        *INTERNAL,
        *(_unless_routed(fact) for fact in generation_20_10.NETWORK if fact.role != "internal"),
    ),
)
