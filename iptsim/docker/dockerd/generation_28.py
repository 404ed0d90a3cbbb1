"""dockerd 28: Docker's own chains below DOCKER-FORWARD, unpublished ports closed, drops in the raw table.

Source: moby v28.5.2, libnetwork/drivers/bridge/internal/iptabler (iptabler.go, network.go, endpoint.go,
port.go, link.go, wsl2.go), libnetwork/firewall_linux.go; dumps of 28.5.2.
"""

from __future__ import annotations

from iptsim.docker.dockerd import generation_20_10, generation_26, swarm
from iptsim.docker.dockerd.templates import Layout, append, insert, top

START = (
    append("nat PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER"),
    append("nat OUTPUT", "! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER",
           "proxy", setting="--userland-proxy=true"),
    append("nat OUTPUT", "-m addrtype --dst-type LOCAL -j DOCKER",
           "!proxy", setting="--userland-proxy=false"),
    top("filter FORWARD", "-j DOCKER-FORWARD"),
    top("filter DOCKER-FORWARD", "-j DOCKER-BRIDGE"),
    top("filter DOCKER-FORWARD", "-j DOCKER-ISOLATION-STAGE-1"),
    top("filter DOCKER-FORWARD", "-j DOCKER-CT"),
    insert("nat DOCKER", "-d 127.0.0.0/8 -i loopback0 -j RETURN", "wsl2 proxy ipv4", "wsl2"),
    top("filter FORWARD", "-j DOCKER-USER", "user-chain"),
)  # fmt: skip

INTERNAL = (
    *generation_26.INTERNAL,
    append("filter DOCKER-FORWARD", "-i {bridge} -o {bridge} -j ACCEPT",
           "subnet internal icc", "icc-on", "--icc=true"),
    append("filter DOCKER-FORWARD", "-i {bridge} -o {bridge} -j DROP",
           "subnet internal !icc", "icc-off", "--icc=false"),
)  # fmt: skip

NAT = (
    insert("nat POSTROUTING", "-s {subnet} ! -o {bridge} -j MASQUERADE",
           "subnet masquerade !routed !snat !internal", "masquerade", "--ip-masq=true"),
    insert("nat POSTROUTING", "-s {subnet} ! -o {bridge} -j SNAT --to-source {snat}",
           "subnet masquerade !routed snat !internal", "masquerade", "com.docker.network.host_ipv4"),
    insert("nat DOCKER", "-i {bridge} -j RETURN",
           "subnet masquerade proxy !internal", "own-bridge", "--userland-proxy=true"),
    insert("nat POSTROUTING", "-o {bridge} -m addrtype --src-type LOCAL -j MASQUERADE",
           "subnet !proxy !snat !internal", "host-masquerade", "--userland-proxy=false"),
    insert("nat POSTROUTING", "-o {bridge} -m addrtype --src-type LOCAL -j SNAT --to-source {snat}",
           "subnet !proxy snat !internal", "host-masquerade", "--userland-proxy=false"),
)  # fmt: skip

FORWARDING = (
    append("filter DOCKER-FORWARD", "-i {bridge} -o {bridge} -j DROP",
           "subnet !icc !internal", "icc-off", "--icc=false"),
    append("filter DOCKER", "-o {bridge} -p {icmp} -j ACCEPT", "subnet routed !internal", "routed",
           "gateway_mode=routed"),
    append("filter DOCKER-FORWARD", "-i {bridge} -j ACCEPT",
           "subnet icc !internal", "outgoing", "--icc=true"),
    append("filter DOCKER-FORWARD", "-i {bridge} ! -o {bridge} -j ACCEPT",
           "subnet !icc !internal", "outgoing", "--icc=false"),
    append("filter DOCKER", "! -i {bridge} -o {bridge} -j DROP",
           "subnet !unprotected !internal", "unpublished"),
    append("filter DOCKER", "! -i {bridge} -o {bridge} -j ACCEPT",
           "subnet unprotected !internal", "routed", "gateway_mode=nat-unprotected"),
    append("filter DOCKER-CT", "-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
           "subnet !internal", "answers"),
    append("filter DOCKER-BRIDGE", "-o {bridge} -j DOCKER", "subnet !internal"),
)  # fmt: skip

ISOLATION = (
    insert("filter DOCKER-ISOLATION-STAGE-1", "-o {bridge} -j RETURN",
           "subnet routed !internal", "routed", "gateway_mode=routed"),
    insert("filter DOCKER-ISOLATION-STAGE-1",
           "-i {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
           "subnet routed !internal", "answers", "gateway_mode=routed"),
    append("filter DOCKER-ISOLATION-STAGE-1", "-i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2",
           "subnet !internal"),
    insert("filter DOCKER-ISOLATION-STAGE-2", "-o {bridge} -j DROP", "subnet !internal", "isolation"),
)  # fmt: skip

TRUSTED = (
    append("raw PREROUTING", "-d {address} -i {trusted} -j ACCEPT",
           "!direct !internal !routed !unprotected", "trusted", "trusted_host_interfaces"),
)  # fmt: skip

ENDPOINT = (
    append("raw PREROUTING", "-d {address} ! -i {bridge} -j DROP",
           "!direct !internal !routed !unprotected", "direct-routing", "--allow-direct-routing=false"),
)  # fmt: skip

PORT = (
    append("raw PREROUTING", "-d {host_loopback} -i loopback0 -p {proto} -m {proto} --dport {host_port} -j ACCEPT",
           "nat loopback wsl2", "wsl2", "--publish"),
    append("raw PREROUTING", "-d {host_loopback} ! -i lo -p {proto} -m {proto} --dport {host_port} -j DROP",
           "nat loopback", "loopback-port", "--publish"),
    append("nat DOCKER", "{link_local}{host}! -i {bridge} -p {proto} -m {proto} --dport {host_port} "
           "-j DNAT --to-destination {target}", "nat proxy", "port-forward", "--publish"),
    append("nat DOCKER", "{link_local}{host}-p {proto} -m {proto} --dport {host_port} "
           "-j DNAT --to-destination {target}", "nat !proxy", "port-forward", "--publish"),
    append("nat POSTROUTING", "-s {address} -d {address} -p {proto} -m {proto} "
           "--dport {container_port} -j MASQUERADE", "nat !proxy", "hairpin-masquerade",
           "--userland-proxy=false"),
    insert("filter DOCKER", "-d {address} ! -i {bridge} -o {bridge} -p {proto} -m {proto} "
           "--dport {container_port} -j ACCEPT", "!unprotected", "published-port", "--publish"),
)  # fmt: skip

LAYOUT = Layout(
    name="28",
    chains=(
        ("nat", "DOCKER"),
        ("filter", "DOCKER"),
        ("filter", "DOCKER-FORWARD"),
        ("filter", "DOCKER-BRIDGE"),
        ("filter", "DOCKER-CT"),
        ("filter", "DOCKER-ISOLATION-STAGE-1"),
        ("filter", "DOCKER-ISOLATION-STAGE-2"),
    ),
    user_chain=frozenset({4, 6}),
    start=START,
    network=(*INTERNAL, *NAT, *FORWARDING, *ISOLATION),
    settled=(),
    endpoint=ENDPOINT,
    trusted=TRUSTED,
    port=PORT,
    link=generation_20_10.LINK,
    ingress=swarm.START_28,
    ingress_port=swarm.PORT_28,
    drop_always=frozenset(),
    drop_per_network=True,
)
