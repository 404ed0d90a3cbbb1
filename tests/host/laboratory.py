"""Namespaces for tests: set up with shell commands, saved as a capture would, asked by programs in them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from pydantic import TypeAdapter

from iptsim.host import iproute
from iptsim.host.foreign import LinkEntry, RouteEntry, RuleEntry
from iptsim.host.model import Namespace

NEEDS_KERNEL = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and ip(8)"),
]

#: Two links to the outside, a bridge-like LAN, and the settings that let `ip route get ... iif` pass.
BASE = """
ip link set lo up
for d in eth0 eth1 lan; do
  ip link add $d type veth peer name p$d
  sysctl -qw net.ipv6.conf.$d.accept_dad=0 net.ipv4.conf.$d.rp_filter=0
  ip link set $d up; ip link set p$d up
done
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0
ip addr add 192.0.2.10/24 dev eth0
ip addr add 192.0.2.11/24 dev eth0
ip addr add 198.51.100.10/25 dev eth1
ip addr add 10.1.0.1/16 brd + dev lan
ip addr add 10.9.0.1 peer 10.9.0.2/32 dev lan
ip addr add 2001:db8:2::10/64 dev eth0
ip addr add 2001:db8:51::10/64 dev eth1
ip addr add fd00:1::1/64 dev lan
ip route add default via 192.0.2.1
ip -6 route add default via 2001:db8:2::1
"""

_SAVED = (
    "ip -j addr",
    "ip -j -d link",
    "ip -j route show table all",
    "ip -j -6 route show table all",
    "ip -j rule",
    "ip -j -6 rule",
    "sysctl -a 2>/dev/null | grep -E '^net.ipv[46].conf'",
)


def run(setup: str, commands: list[str]) -> tuple[Namespace, list[str]]:
    """Set a namespace up after BASE, and return it as a capture shows it and what the commands printed."""
    script = [BASE, setup, "sleep 0.2", *(f"echo; echo @@; {command}" for command in (*_SAVED, *commands))]
    done = subprocess.run(
        ["unshare", "-n", "sh"],
        input="\n".join(script),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    parts = [part.strip() for part in done.stdout.split("@@\n")[1:]]
    assert len(parts) == len(_SAVED) + len(commands), done.stderr
    links, route, rule = (
        TypeAdapter(list[LinkEntry]),
        TypeAdapter(list[RouteEntry]),
        TypeAdapter(list[RuleEntry]),
    )
    namespace = Namespace(
        interfaces=iproute.interfaces(links.validate_json(parts[0]), links.validate_json(parts[1])),
        routes=[
            *(found for found in iproute.routes(route.validate_json(parts[2])) if found.family == 4),
            *iproute.routes(route.validate_json(parts[3]), 6),
        ],
        rules=[*iproute.rules(rule.validate_json(parts[4])), *iproute.rules(rule.validate_json(parts[5]), 6)],
        sysctls=iproute.sysctls(parts[6]),
    )
    return namespace, parts[len(_SAVED) :]
