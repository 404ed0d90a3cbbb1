"""dockerd 23 to 27: the rules of 20.10, with DOCKER-USER in IPv6 as well and (since 27) gateway modes.

Source: moby v26.1.5 and v27.5.1, libnetwork/drivers/bridge/setup_ip_tables_linux.go,
port_mapping_linux.go, libnetwork/firewall_linux.go; dumps of 26.1.5.
"""

from __future__ import annotations

from dataclasses import replace

from iptsim.docker.dockerd import generation_20_10
from iptsim.docker.dockerd.templates import RuleTemplate, insert

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

#: Roles of rules that a network without address translation (gateway mode "routed", since 27) does not have.
_TRANSLATION = frozenset({"masquerade", "own-bridge"})


def _unless_routed(template: RuleTemplate) -> RuleTemplate:
    return replace(template, when=f"{template.when} !routed") if template.role in _TRANSLATION else template


LAYOUT = replace(
    generation_20_10.LAYOUT,
    name="26",
    user_chain=frozenset({4, 6}),
    start=START,
    network=(
        *INTERNAL,
        *(_unless_routed(template) for template in generation_20_10.NETWORK if template.role != "internal"),
    ),
)
