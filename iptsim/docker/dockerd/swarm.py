"""The rules of swarm's routing mesh: ports that services publish on every node, IPv4 only.

dockerd writes them when the first service with a published port reaches the node. Packets go to the ingress sandbox, a
network namespace on docker_gwbridge, which balances them among the tasks. Source: moby v20.10.24, v26.1.5 and v28.5.2,
libnetwork/service_linux.go (programIngress, initIngressConfiguration); the dumps of 28.5 and 29 in
integration/network/bridge/iptablesdoc.
"""

from __future__ import annotations

from iptsim.docker.dockerd.templates import append, insert, top

_JUMPS = (
    top("nat OUTPUT", "-m addrtype --dst-type LOCAL -j DOCKER-INGRESS", "ipv4"),
    top("nat PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER-INGRESS", "ipv4"),
)
_CHAINS = (
    append("nat DOCKER-INGRESS", "-j RETURN", "ipv4"),
    append("filter DOCKER-INGRESS", "-j RETURN", "ipv4"),
)
_LOCAL = (
    insert("nat POSTROUTING", "-o {bridge} -m addrtype --src-type LOCAL -j MASQUERADE",
           "ipv4", "host-masquerade"),
)  # fmt: skip

_FORWARD = (
    insert("nat DOCKER-INGRESS", "-p {proto} -m {proto} --dport {host_port} -j DNAT --to-destination {target}",
           "ipv4", "port-forward", "--publish"),
)  # fmt: skip
_ACCEPT = (
    insert("filter DOCKER-INGRESS", "-p {proto} -m {proto} --dport {host_port} -j ACCEPT",
           "ipv4", "published-port", "--publish"),
)  # fmt: skip

START_20_10 = (*_CHAINS, *_JUMPS, top("filter FORWARD", "-j DOCKER-INGRESS", "ipv4"), *_LOCAL)
PORT_20_10 = (
    *_FORWARD,
    insert("filter DOCKER-INGRESS", "-p {proto} -m state --state RELATED,ESTABLISHED -m {proto} "
           "--sport {host_port} -j ACCEPT", "ipv4", "answers", "--publish"),
    *_ACCEPT,
)  # fmt: skip

START_28 = (*_CHAINS, *_JUMPS, top("filter DOCKER-FORWARD", "-j DOCKER-INGRESS", "ipv4"), *_LOCAL)
PORT_28 = (
    *_FORWARD,
    insert("filter DOCKER-INGRESS", "-p {proto} -m {proto} --sport {host_port} -m conntrack "
           "--ctstate RELATED,ESTABLISHED -j ACCEPT", "ipv4", "answers", "--publish"),
    *_ACCEPT,
)  # fmt: skip
