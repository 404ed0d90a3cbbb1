"""dockerd 20.10: rules directly in FORWARD, isolation in two stages, IPv6 rules only as an experiment.

Source: moby v20.10.24, libnetwork's drivers/bridge/setup_ip_tables.go, iptables/iptables.go and
firewall_linux.go; dumps of 20.10.24.
"""

from __future__ import annotations

from iptsim.docker.dockerd import swarm
from iptsim.docker.dockerd.templates import Layout, append, insert, top

START = (
    append("filter DOCKER-ISOLATION-STAGE-1", "-j RETURN"),
    append("filter DOCKER-ISOLATION-STAGE-2", "-j RETURN"),
)

#: In the order of dockerd's commands: a rule inserted later precedes one inserted earlier.
NETWORK = (
    # addresses
    insert("nat POSTROUTING", "-s {subnet} ! -o {bridge} -j MASQUERADE",
           "subnet masquerade !snat !internal", "masquerade", "--ip-masq=true"),
    insert("nat POSTROUTING", "-s {subnet} ! -o {bridge} -j SNAT --to-source {snat}",
           "subnet masquerade snat !internal", "masquerade", "com.docker.network.host_ipv4"),
    insert("nat DOCKER", "-i {bridge} -j RETURN",
           "subnet masquerade proxy !internal", "own-bridge", "--userland-proxy=true"),
    insert("nat POSTROUTING", "-o {bridge} -m addrtype --src-type LOCAL -j MASQUERADE",
           "subnet !proxy !snat !internal", "host-masquerade", "--userland-proxy=false"),
    insert("nat POSTROUTING", "-o {bridge} -m addrtype --src-type LOCAL -j SNAT --to-source {snat}",
           "subnet !proxy snat !internal", "host-masquerade", "--userland-proxy=false"),
    # an internal network is isolated by its addresses
    insert("filter DOCKER-ISOLATION-STAGE-1", "! -d {subnet} -i {bridge} -j DROP",
           "subnet internal", "internal", "--internal"),
    insert("filter DOCKER-ISOLATION-STAGE-1", "! -s {subnet} -o {bridge} -j DROP",
           "subnet internal", "internal", "--internal"),
    # forwarding
    append("filter FORWARD", "-i {bridge} -o {bridge} -j DROP", "subnet !icc", "icc-off", "--icc=false"),
    insert("filter FORWARD", "-i {bridge} -o {bridge} -j ACCEPT", "subnet icc", "icc-on", "--icc=true"),
    insert("filter FORWARD", "-i {bridge} ! -o {bridge} -j ACCEPT", "subnet !internal", "outgoing"),
    append("nat PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER", "subnet !internal"),
    append("nat OUTPUT", "! -d {loopback} -m addrtype --dst-type LOCAL -j DOCKER",
           "subnet proxy !internal", setting="--userland-proxy=true"),
    append("nat OUTPUT", "-m addrtype --dst-type LOCAL -j DOCKER",
           "subnet !proxy !internal", setting="--userland-proxy=false"),
    insert("filter FORWARD", "-o {bridge} -j DOCKER", "subnet !internal"),
    insert("filter FORWARD", "-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
           "subnet !internal", "answers"),
    top("filter FORWARD", "-j DOCKER-ISOLATION-STAGE-1", "subnet"),
    # isolation does not depend on whether the network has addresses of the family
    insert("filter DOCKER-ISOLATION-STAGE-1", "-i {bridge} ! -o {bridge} -j DOCKER-ISOLATION-STAGE-2",
           "isolating !internal"),
    insert("filter DOCKER-ISOLATION-STAGE-2", "-o {bridge} -j DROP", "isolating !internal", "isolation"),
)  # fmt: skip

USER = (
    append("filter DOCKER-USER", "-j RETURN", "user-chain"),
    top("filter FORWARD", "-j DOCKER-USER", "user-chain"),
)

PORT = (
    append("nat DOCKER", "{host}! -i {bridge} -p {proto} -m {proto} --dport {host_port} "
           "-j DNAT --to-destination {target}", "nat proxy", "port-forward", "--publish"),
    append("nat DOCKER", "{host}-p {proto} -m {proto} --dport {host_port} "
           "-j DNAT --to-destination {target}", "nat !proxy", "port-forward", "--publish"),
    append("filter DOCKER", "-d {address} ! -i {bridge} -o {bridge} -p {proto} -m {proto} "
           "--dport {container_port} -j ACCEPT", "", "published-port", "--publish"),
    append("nat POSTROUTING", "-s {address} -d {address} -p {proto} -m {proto} "
           "--dport {container_port} -j MASQUERADE", "nat", "hairpin-masquerade", "--publish"),
    append("mangle POSTROUTING", "-p sctp -m sctp --sport {container_port} -j CHECKSUM --checksum-fill",
           "sctp", "checksum", "--publish"),
)  # fmt: skip

LINK = (
    append("filter DOCKER", "-s {client} -d {server} -i {bridge} -o {bridge} -p {proto} -m {proto} "
           "--dport {container_port} -j ACCEPT", "", "link", "--link"),
    append("filter DOCKER", "-s {server} -d {client} -i {bridge} -o {bridge} -p {proto} -m {proto} "
           "--sport {container_port} -j ACCEPT", "", "link-answer", "--link"),
)  # fmt: skip

CHAINS = (
    ("nat", "DOCKER"),
    ("filter", "DOCKER"),
    ("filter", "DOCKER-ISOLATION-STAGE-1"),
    ("filter", "DOCKER-ISOLATION-STAGE-2"),
)

LAYOUT = Layout(
    name="20.10",
    chains=CHAINS,
    user_chain=frozenset({4}),
    start=START,
    network=NETWORK,
    settled=USER,
    endpoint=(),
    trusted=(),
    port=PORT,
    link=LINK,
    ingress=swarm.START_20_10,
    ingress_port=swarm.PORT_20_10,
    drop_always=frozenset({6}),
    drop_per_network=False,
)
