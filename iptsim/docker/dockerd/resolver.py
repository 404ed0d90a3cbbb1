"""resolv.conf of containers, and the rules that lead to Docker's own resolver on user-defined networks."""

from __future__ import annotations

from iptsim.addresses import is_loopback, parse_address
from iptsim.host.namespace import Namespace

RESOLV_CONF = "nameserver 127.0.0.11\noptions ndots:0\n"
#: The rules that dockerd adds in a container on a user-defined network (libnetwork/resolver_unix.go). The
#: resolver's ports are random; these are placeholders.
RESOLVER_RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER_OUTPUT - [0:0]
:DOCKER_POSTROUTING - [0:0]
-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT
-A POSTROUTING -d 127.0.0.11/32 -j DOCKER_POSTROUTING
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p tcp -m tcp --dport 53 -j DNAT --to-destination 127.0.0.11:35053
-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:45053
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport 35053 -j SNAT --to-source :53
-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport 45053 -j SNAT --to-source :53
COMMIT
"""
#: systemd-resolved on the host; dockerd then reads the file with the servers that this one asks (resolvconf.Path).
_STUB = "127.0.0.53"
#: Without any other server (libnetwork/internal/resolvconf, defaultIPv4NSs and defaultIPv6NSs), by address family.
_DEFAULTS = {4: ("8.8.8.8", "8.8.4.4"), 6: ("2001:4860:4860::8888", "2001:4860:4860::8844")}


def inherited(text: str, *, ipv6: bool) -> str | None:
    """Return the resolv.conf that a container on the default bridge gets from that of the host.

    Without the servers on loopback addresses, which are the container itself, and without those that it cannot reach
    (TransformForLegacyNw in libnetwork/internal/resolvconf).

    Args:
        text: the host's file.
        ipv6: the container has an IPv6 address.

    Returns:
        the file; None if it is made from another one of the host, that of systemd-resolved.
    """
    host = Namespace(resolv_conf=text)
    if host.nameservers() == [_STUB]:
        return None
    families = (4, 6) if ipv6 else (4,)
    servers: list[str] = []
    for server in host.nameservers():
        try:
            family, address = parse_address(server)
        except ValueError:
            continue
        if family in families and not is_loopback(family, address):
            servers.append(server)
    servers = servers or [server for family in families for server in _DEFAULTS[family]]
    return "".join(f"nameserver {server}\n" for server in servers)
