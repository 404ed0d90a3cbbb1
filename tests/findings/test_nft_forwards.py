"""Findings about routers with nftables alone: port forwards, redirects, masquerading, IPv6, chains that only log."""

from __future__ import annotations

import pytest

from iptsim.findings import Finding
from tests.findings.test_nft_host import found

_HOST = """
# ip addr
1: lo: <LOOPBACK,UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 203.0.113.5/24 scope global eth0
3: lan0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.168.7.1/24 scope global lan0
# ip route
default via 203.0.113.1 dev eth0
203.0.113.0/24 dev eth0 proto kernel scope link src 203.0.113.5
192.168.7.0/24 dev lan0 proto kernel scope link src 192.168.7.1
"""
_FORWARD = ("ct state established,related accept", 'iifname "lan0" accept')


def _router(
    *, pre: str = "", post: str = 'oifname "eth0" masquerade', forward: tuple[str, ...] = _FORWARD
) -> str:
    chains = {
        "pre": ("nat hook prerouting priority dstnat; policy accept", (pre,)),
        "post": ("nat hook postrouting priority srcnat; policy accept", (post,)),
        "fwd": ("filter hook forward priority filter; policy drop", forward),
    }
    body = "".join(
        f"\tchain {name} {{\n\t\ttype {head};\n"
        + "".join(f"\t\t{rule}\n" for rule in rules if rule)
        + "\t}\n"
        for name, (head, rules) in chains.items()
    )
    return f"table ip r {{\n{body}}}\n{_HOST}"


def _one(text: str, code: str) -> Finding | None:
    return next((one for one in found(text) if one.code == code), None)


def test_a_port_forward_that_the_hook_forward_blocks() -> None:
    dnat = 'iifname "eth0" tcp dport 8080 dnat to 192.168.7.10:80'
    blocked = _one(_router(pre=dnat), "nftables-drops-forwarded")
    assert blocked is not None
    assert blocked.shown is not None
    assert blocked.shown.verdict == "DROP"
    # the remedy was tried: it would say so if it did not help
    assert str(blocked.remedy) == "nft add rule ip r fwd ip daddr 192.168.7.10 tcp dport 80 accept"
    # a rule for the port before the translation does not help, one for the port after it does
    for rule, is_found in (("tcp dport 8080 accept", True), ("tcp dport 80 accept", False),
                           ("ct status dnat accept", False)):  # fmt: skip
        text = _router(pre=dnat, forward=(*_FORWARD, rule))
        assert (_one(text, "nftables-drops-forwarded") is not None) is is_found
    before = _one(_router(pre=dnat, forward=(_FORWARD[0], "drop")), "nftables-drops-forwarded")
    assert before is not None
    assert str(before.remedy).startswith("nft insert rule ip r fwd ip daddr")


def test_a_port_forward_to_loopback() -> None:
    found_one = _one(_router(pre="tcp dport 5432 dnat to 127.0.0.1:5432"), "dnat-to-loopback")
    assert found_one is not None
    assert "ip r pre rule 1" in str(found_one.title)
    assert _one(_router(pre="tcp dport 5432 redirect to :5433"), "dnat-to-loopback") is None
    limited = _one(
        _router(pre="tcp dport 5432 limit rate 5/second dnat to 127.0.0.1:5432"), "dnat-to-loopback"
    )
    assert limited is not None
    assert limited.shown is not None
    assert limited.shown.verdict == "DROP"


@pytest.mark.parametrize(
    ("rule", "is_found"),
    [
        ("tcp dport 80 redirect to :3128", True),
        ("fib daddr type local tcp dport 80 redirect to :3128", False),
        ('iifname "lan0" tcp dport 80 redirect to :3128', False),
        ("ip daddr 203.0.113.5 tcp dport 80 redirect to :3128", False),
    ],
)
def test_a_redirect_that_takes_the_packets_of_every_host(rule: str, is_found: bool) -> None:
    found_one = _one(_router(pre=rule), "redirect-takes-every-host")
    assert (found_one is not None) is is_found
    if found_one is not None:
        command = (
            "nft replace rule ip r pre handle HANDLE fib daddr type local tcp dport 80 redirect to :3128"
        )
        assert command in str(found_one.remedy)
        handle = _one(_router(pre=f"{rule} # handle 7"), "redirect-takes-every-host")
        assert handle is not None
        assert command.replace("HANDLE", "7") in str(handle.remedy)


def test_a_forward_in_a_chain_of_the_uplink_is_not_for_every_host() -> None:
    """What the machines behind the host send does not arrive by eth0."""
    called = """table ip r {
\tchain pre {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\tiifname "eth0" jump from_outside
\t}
\tchain from_outside {
\t\ttcp dport 80 dnat to 192.168.7.10:80
\t}
}
"""
    assert _one(called + _HOST, "redirect-takes-every-host") is None


@pytest.mark.parametrize(
    ("post", "forward", "is_found"),
    [
        ('oifname "eth9" masquerade', _FORWARD, True),
        ('ip saddr 192.168.99.0/24 oifname "eth0" masquerade', _FORWARD, True),
        ('oifname "eth0" masquerade', _FORWARD, False),
        ("ip saddr 192.168.0.0/16 snat to 203.0.113.5", _FORWARD, False),
        # it may be a router inside a network that knows its LANs
        ("", _FORWARD, False),
        # the LAN is not meant to reach the internet
        ('oifname "eth9" masquerade', _FORWARD[:1], False),
    ],
)
def test_a_lan_that_is_not_masqueraded(post: str, forward: tuple[str, ...], is_found: bool) -> None:
    found_one = _one(_router(post=post, forward=forward), "not-masqueraded")
    assert (found_one is not None) is is_found
    if found_one is not None:
        assert str(found_one.remedy).startswith(
            'nft add rule ip r post ip saddr 192.168.7.0/24 oifname "eth0" masquerade'
        )


_IPV6 = """
# ip addr
1: lo: <LOOPBACK,UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
    inet6 ::1/128 scope host
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 203.0.113.5/24 scope global eth0
    inet6 2001:db8::5/64 scope global
# ip route
default via 203.0.113.1 dev eth0
# ip -6 route
2001:db8::/64 dev eth0 proto kernel metric 256
default via fe80::1 dev eth0 metric 1024
"""
_INPUT = """\
table ip fw {
\tchain in {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\tiif "lo" accept
\t}
}
"""


def test_a_table_for_ipv4_alone_leaves_ipv6_open() -> None:
    codes = [one.code for one in found(_INPUT + _IPV6)]
    assert codes.count("ipv6-open") == 1
    open_ = _one(_INPUT + _IPV6, "ipv6-open")
    assert open_ is not None
    assert "ip fw in" in str(open_.title)
    assert _one(_INPUT.replace("table ip ", "table inet ") + _IPV6, "ipv6-open") is None
    assert _one(_INPUT + _INPUT.replace("table ip ", "table ip6 ") + _IPV6, "ipv6-open") is None
    assert _one(_INPUT + _IPV6.replace("    inet6 2001:db8::5/64 scope global\n", ""), "ipv6-open") is None


def test_a_chain_that_only_logs() -> None:
    text = """\
table inet fw {
\tchain logdrop {
\t\tlog prefix "dropped: "
\t\tDROP
\t}
\tchain in {
\t\ttype filter hook input priority filter; policy accept;
\t\ttcp dport 23 jump logdrop
\t}
}
"""
    logs = _one(text.replace("\t\tDROP\n", ""), "logs-only")
    assert logs is not None
    assert str(logs.remedy) == "To block them: nft add rule inet fw logdrop drop"
    assert _one(text.replace("DROP", "drop"), "logs-only") is None
    assert _one(text.replace("\t\tDROP\n", "").replace("drop", "seen"), "logs-only") is None
