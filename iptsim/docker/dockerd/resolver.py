"""Docker's own resolver in containers on user-defined networks: resolv.conf, and the rules that lead to it."""

from __future__ import annotations

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
