"""Address types and reverse paths against `-m addrtype`, `-m rpfilter` and rp_filter of the kernel.

Packets with chosen addresses are put on the far end of a veth pair; rule counters tell what the kernel
made of them.
"""

from __future__ import annotations

import json

import pytest

from iptsim.addresses import Family, parse_address
from iptsim.host import fib
from tests.host.laboratory import NEEDS_KERNEL, counters, run, send

pytestmark = NEEDS_KERNEL

#: What BASE does not have: local routes, refusals, a prefix of its own.
MORE = """
ip addr add 2001:db8:2::11/64 dev lan
ip route add local 10.5.0.0/16 dev lo
ip route add 10.5.1.0/24 via 192.0.2.1
ip route add unreachable 10.2.0.0/16
ip route add blackhole 10.4.0.0/16
ip route add broadcast 10.77.0.0/16 dev eth1 table local
ip -6 route add unreachable fd00:2::/64
ip -6 route add local fd00:5::/64 dev lo
sysctl -qw net.ipv4.conf.eth0.route_localnet=1
"""
TYPES = {
    4: (
        "UNSPEC",
        "UNICAST",
        "LOCAL",
        "BROADCAST",
        "ANYCAST",
        "MULTICAST",
        "BLACKHOLE",
        "UNREACHABLE",
        "PROHIBIT",
    ),
    6: ("UNSPEC", "UNICAST", "LOCAL", "ANYCAST", "MULTICAST", "UNREACHABLE"),
}
ADDRESSES: dict[Family, list[str]] = {
    4: [
        "192.0.2.10", "192.0.2.11", "192.0.2.1", "192.0.2.255", "198.51.100.10", "198.51.100.127",
        "10.1.0.1", "10.1.255.255", "10.9.0.1", "10.9.0.2", "127.0.0.1", "127.9.9.9", "10.5.3.4", "10.5.1.4",
        "10.2.3.4", "10.4.3.4", "10.77.1.1", "8.8.8.8", "224.0.0.1", "239.1.1.1", "255.255.255.255",
        "0.0.0.0", "240.1.1.1",
    ],
    6: [
        "2001:db8:2::10", "2001:db8:2::11", "2001:db8:2::1", "2001:db8:2::", "2001:db8:51::10", "fd00:1::1",
        "fd00:1::9", "fd00:2::1", "fd00:5::7", "2001:4860::1", "ff02::1", "ff0e::5", "2002:1::1",
    ],
}  # fmt: skip
TOOL = {4: "iptables", 6: "ip6tables"}


@pytest.mark.parametrize(
    "rules", ["", "ip rule add pref 1000 fwmark 0x77 table 77"], ids=["plain", "with rules"]
)
@pytest.mark.parametrize("family", [4, 6])
def test_address_types(family: Family, rules: str) -> None:
    tool, addresses = TOOL[family], ADDRESSES[family]
    setup = [MORE, rules, f"{tool}-restore <<'EOF'", "*raw", ":PREROUTING ACCEPT"]
    for address in addresses:
        for kind in TYPES[family]:
            for limit in ("", "--limit-iface-in"):
                setup.append(
                    f"-A PREROUTING -i eth0 -d {address} -m addrtype --dst-type {kind} {limit} "
                    f"-m comment --comment {address}/{kind}/{limit}"
                )
    setup += ["COMMIT", "EOF"]
    source = "192.0.2.77" if family == 4 else "2001:db8:2::77"
    namespace, (_, saved) = run(
        "\n".join(setup),
        [send("eth0", [(source, address) for address in addresses]), f"{tool}-save -c -t raw"],
    )
    counted = counters(saved)
    different = []
    for address in addresses:
        number = parse_address(address)[1]
        for limit, interface in (("", None), ("--limit-iface-in", "eth0")):
            theirs = {kind for kind in TYPES[family] if counted[f"{address}/{kind}/{limit}"]}
            ours = fib.address_types(namespace, family, number, interface)
            if theirs != ours & set(TYPES[family]):
                different.append(f"{address} {limit}: {sorted(theirs)}, we say {sorted(ours)}")
    assert not different, "\n".join(different)


#: Sources that may come in by eth0, and how the way back to them leads.
SOURCES: dict[Family, list[str]] = {
    4: [
        "192.0.2.77", "8.8.8.8", "198.51.100.77", "10.1.77.77", "10.1.0.1", "192.0.2.10", "10.2.1.1",
        "10.5.3.4", "10.5.1.4", "10.9.0.2", "203.0.113.7",
    ],
    6: [
        "2001:db8:2::77", "2001:4860::8", "2001:db8:51::77", "fd00:1::77", "fd00:1::1", "2001:db8:2::10",
        "fd00:2::1", "fd00:5::7", "2001:db8:9::7",
    ],
}  # fmt: skip
BACK = """
ip route add 203.0.113.0/24 nexthop via 198.51.100.1 dev eth1 nexthop via 192.0.2.1 dev eth0
ip -6 route add 2001:db8:9::/64 via 2001:db8:51::1 metric 10
ip -6 route add 2001:db8:9::/64 via 2001:db8:2::1 metric 20
"""


@pytest.mark.parametrize("family", [4, 6])
def test_reverse_paths(family: Family) -> None:
    tool, sources = TOOL[family], SOURCES[family]
    setup = [MORE, BACK, f"{tool}-restore <<'EOF'", "*raw", ":PREROUTING ACCEPT"]
    options = ["", "--loose", "--accept-local", "--loose --accept-local"]
    for source in sources:
        for option in options:
            name = json.dumps(f"{source}/{option}".replace(" ", "_"))
            setup.append(
                f"-A PREROUTING -s {source} -i eth0 -m rpfilter {option} -m comment --comment {name}"
            )
    setup += ["COMMIT", "EOF"]
    destination = "192.0.2.10" if family == 4 else "2001:db8:2::10"
    namespace, (_, saved) = run(
        "\n".join(setup),
        [send("eth0", [(source, destination) for source in sources]), f"{tool}-save -c -t raw"],
    )
    counted = counters(saved)
    different = []
    for source in sources:
        for option in options:
            ours = fib.reverse_path(
                namespace,
                family,
                parse_address(source)[1],
                "eth0",
                strict="--loose" not in option,
                destination=parse_address(destination)[1],
                accept_local="--accept-local" in option,
            )
            theirs = bool(counted[f"{source}/{option}".replace(" ", "_")])
            if ours != theirs:
                different.append(f"{source} {option}: {theirs}")
    assert not different, "\n".join(different)


RP_FILTER = {
    "off": "",
    "strict": "sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
    "loose": "sysctl -qw net.ipv4.conf.all.rp_filter=2",
    "loose wins over strict": "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=2",
    "accept_local": "sysctl -qw net.ipv4.conf.eth0.accept_local=1",
    "strict, accept_local": "sysctl -qw net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.all.accept_local=1",
    "rules": "ip rule add pref 500 from 192.0.2.10 to 8.8.8.8 table 50; ip route add 8.8.8.8 dev eth1 table 50; "
    "sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
    "without local routes": "ip route del local 10.5.0.0/16 dev lo",
}


@pytest.mark.parametrize("setting", RP_FILTER)
def test_source_validation(setting: str) -> None:
    sources = SOURCES[4]
    setup = [MORE, BACK, RP_FILTER[setting], "iptables-restore <<'EOF'", "*mangle"]
    for chain in ("INPUT", "FORWARD"):
        setup += [
            f"-A {chain} -s {source} -i eth0 -m comment --comment {source}/{chain}" for source in sources
        ]
    setup += ["COMMIT", "EOF"]
    namespace, (_, saved) = run(
        "\n".join(setup),
        [send("eth0", [(source, "192.0.2.10") for source in sources]), "iptables-save -c -t mangle"],
    )
    counted = counters(saved)
    destination = parse_address("192.0.2.10")[1]
    for source in sources:
        arrived = bool(counted[f"{source}/INPUT"] + counted[f"{source}/FORWARD"])
        problem = fib.source_problem(namespace, parse_address(source)[1], destination, "eth0")
        assert (problem is None) == arrived, f"{source}: arrived is {arrived}, we say {problem}"
