"""Routes, policy rules and addresses that commands and WireGuard's settings set up (ip-route(8), wg-quick(8))."""

from __future__ import annotations

import pytest

from iptsim.addresses import parse_address
from iptsim.host import fib
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question
from iptsim.sources import loads_host

RULE = "iptables -A FORWARD -i wg0 -j ACCEPT\n"


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def device(host: Host, to: str, source: str | None = None) -> str | None:
    family, address = parse_address(to)
    return fib.lookup(
        host.namespace, family, address, source=None if source is None else parse_address(source)[1]
    ).device


def test_routes_and_rules_of_a_script() -> None:
    """A rule without a priority precedes the main table (fib_default_rule_pref)."""
    host = read(
        "#!/bin/sh\nGW=10.1.1.1\nip route add default via $GW dev eth1 table 100\n"
        "ip rule add from 192.168.50.0/24 table 100\n" + RULE
    )
    assert device(host, "8.8.8.8") == "eth0"
    assert device(host, "8.8.8.8", "192.168.50.7") == "eth1"
    assert host.pasted is not None
    assert not host.pasted.left_out


def test_the_settings_of_a_wireguard_server() -> None:
    host = read(
        "# /etc/wireguard/wg0.conf\n[Interface]\nAddress = 10.66.66.1/24, fd42::1/64\nListenPort = 51820\n"
        f"PostUp = {RULE}[Peer]\nAllowedIPs = 10.66.66.2/32, 192.168.40.0/24\n"
    )
    assert host.namespace.has_address(*parse_address("10.66.66.1"))
    assert (device(host, "192.168.40.9"), device(host, "10.66.66.7")) == ("wg0", "wg0")


def test_the_settings_of_a_client_that_sends_everything() -> None:
    """wg-quick routes all packets without WireGuard's mark into the tunnel, except for more specific routes."""
    host = read(
        f"# wg0.conf\n[Interface]\nAddress = 10.9.0.2/32\nPostUp = {RULE}[Peer]\nAllowedIPs = 0.0.0.0/0\n"
    )
    assert (device(host, "8.8.8.8"), device(host, "192.0.2.77")) == ("wg0", "eth0")


@pytest.mark.parametrize(
    "line",
    [
        "ip route add 999.1.1.1/99 via 300.0.0.1",
        "ip route add 10.0.0.0/99 dev eth0",
        "ip route add",
        "ip rule add from 10.0.0.0/77 table 100 priority 99999999999999999999",
        "ip rule add fwmark 0xzz table 7",
        "ip addr add 10.0.0.1/40 dev x",
        "[Interface]\nAddress = ,, 10.0.0.1/99\nAllowedIPs = \n[Peer]\nAllowedIPs = x/y, 1.2.3.4/, ::/0",
        "root@0123456789ab:/# ip route add 10.4.0.0/16 dev eth7",
    ],
)
def test_what_can_not_be_read_gives_nothing(line: str) -> None:
    host = read(f"{line}\n{RULE}")
    assert device(host, "10.4.0.1") == "eth0"


def test_a_route_in_the_local_table_leaves_the_addresses_of_the_host() -> None:
    """Seen in a namespace: `ip route show table local` lists it beside them."""
    host = read(f"ip route add 10.4.0.0/16 dev eth7 table local\n{RULE}")
    assert device(host, "10.4.0.1") == "eth7"
    assert device(host, "192.0.2.10") == "lo"


def test_a_route_by_the_host_is_not_one_of_the_host() -> None:
    host = loads_host(
        "`ip route add 192.168.0.0/16 via 172.17.0.1` mends it.\n\ndocker run -d -p 1080:1080 --name proxy socks\n"
    )
    assert device(host, "192.168.7.1") == "eth0"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("replace default via 10.9.0.1 dev tun0", "DROP"),
        ("change default via 10.9.0.1 dev tun0", "DROP"),
        # another metric, another route; there is none to change
        ("replace default via 10.9.0.1 dev tun0 metric 50", "ACCEPT"),
        ("change default via 10.9.0.1 dev tun0 metric 50", "ACCEPT"),
        (
            "replace default via 192.0.2.1 dev eth0 metric 50\nroot@r:~# ip route add default dev tun0 metric 20",
            "ACCEPT",
        ),
        ("change 8.8.0.0/16 via 10.9.0.1 dev tun0", "ACCEPT"),
    ],
)
def test_a_route_that_a_command_replaces(command: str, expected: str) -> None:
    """The kernel has one default route after it, unless the metric differs (ip-route(8); seen in a namespace)."""
    host = loads_host(
        "root@r:~# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A OUTPUT -o tun0 -j DROP\n"
        "root@r:~# ip route\ndefault via 192.0.2.1 dev eth0\n"
        "192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10\n"
        f"10.9.0.0/24 dev tun0 proto kernel scope link src 10.9.0.2\nroot@r:~# ip route {command}\n"
    )
    fields = {"from": "host", "to": "8.8.8.8", "proto": "udp", "dport": 53}
    assert walk(host, Question(**fields)).verdict == expected
