"""Namespaces for tests: set up with shell commands, saved as a capture would, asked by programs in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from pydantic import TypeAdapter

from iptsim.host import iproute
from iptsim.host.foreign import LinkEntry, RouteEntry, RuleEntry
from iptsim.host.namespace import Namespace

NEEDS_KERNEL = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and ip(8)"),
]

#: Two links to the outside, a bridge-like LAN, and the settings that let `ip route get ... iif` pass.
BASE = """
ip link set lo up
sysctl -qw net.ipv6.conf.default.accept_dad=0
for d in eth0 eth1 lan; do
  ip link add $d type veth peer name p$d
  sysctl -qw net.ipv4.conf.$d.rp_filter=0
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

#: Sends UDP packets from the far end of `port`: argv = port, then SOURCE DESTINATION pairs.
SENDER = """
import fcntl, ipaddress, socket, struct, sys
port, pairs = sys.argv[1], sys.argv[2:]
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind(("p" + port, 0))
mac = fcntl.ioctl(out, 0x8927, struct.pack("256s", port.encode()))[18:24]  # SIOCGIFHWADDR
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 65535) + (total >> 16)
    return ~total & 65535
for source, destination in zip(pairs[::2], pairs[1::2]):
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if src.version == 4:
        head = struct.pack("!BBHHHBBH4s4s", 69, 0, 28, 1, 0, 64, 17, 0, src.packed, dst.packed)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        frame, kind = head + struct.pack("!HHHH", 1, 2, 8, 0), 0x0800
    else:
        udp = struct.pack("!HHHH", 1, 2, 8, 0)
        pseudo = src.packed + dst.packed + struct.pack("!IxxxB", 8, 17)
        udp = struct.pack("!HHHH", 1, 2, 8, checksum(pseudo + udp))
        frame, kind = struct.pack("!IHBB", 6 << 28, 8, 17, 64) + src.packed + dst.packed + udp, 0x86DD
    out.send(mac + b"\\2\\0\\0\\0\\0\\1" + struct.pack("!H", kind) + frame)
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


def send(port: str, pairs: list[tuple[str, str]]) -> str:
    """Return the command that makes packets arrive on an interface of BASE."""
    words = " ".join(f"{source} {destination}" for source, destination in pairs)
    return f"{sys.executable} - {port} {words} <<'EOF'\n{SENDER}\nEOF\nsleep 0.2"


def counters(text: str) -> dict[str, int]:
    """Read `iptables-save -c`: the comment of a rule -> its packets."""
    found = re.findall(r'^\[([0-9]+):[0-9]+\] .*--comment "?([^ "]+)', text, re.MULTILINE)
    return {name: int(packets) for packets, name in found}
