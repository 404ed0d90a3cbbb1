"""Forwarded connections that leave the host by the interface on which they came, without a new source.

In namespaces of Linux 6, a client beyond a router connects to a host that forwards to another machine: if that one's
gateway is the router, the client gets no reply; if it is the host, or if the host masquerades, the connection opens.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i {name} -p tcp -m tcp --dport 8080 -j DNAT --to-destination {target}:80
{more}COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
"""
LINKS = """\
$ ip addr
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.168.61.10/24 scope global eth0
5: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420 state UNKNOWN
    inet 10.61.0.1/24 scope global wg0
"""
ROUTES = """\
$ ip route
default via 192.168.61.1 dev eth0
192.168.61.0/24 dev eth0 scope link
10.61.0.0/24 dev wg0 scope link
"""


def asked(
    path: Path, target: str, more: str = "", *, text: str = LINKS + ROUTES, name: str = "eth0", **ends: str
) -> iptsim.Explanation:
    path = path / "text"
    path.write_text(RULES.format(target=target, more=more, name=name) + text)
    return iptsim.explain(str(path), ends.get("sender", "internet"), ends.get("to", "host:8080"))


def test_a_target_beside_the_host_may_reply_by_another_gateway(tmp_path: Path) -> None:
    shown = asked(tmp_path, "192.168.61.20")
    assert shown.verdict == "ACCEPT"
    assert "the client gets the reply from 192.168.61.20:80 instead of 192.168.61.10:8080" in str(
        shown.reason
    )
    rule = "iptables -t nat -A POSTROUTING -d 192.168.61.20 -p tcp --dport 80 -j MASQUERADE"
    assert rule in shown.reason.advice


def test_the_remedy_brings_the_reply_back(tmp_path: Path) -> None:
    more = "-A POSTROUTING -d 192.168.61.20/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n"
    shown = asked(tmp_path, "192.168.61.20", more)
    assert (shown.verdict, shown.reason.advice) == ("ACCEPT", "")
    assert "own routes" not in str(shown.reason)


@pytest.mark.parametrize(
    ("target", "text"),
    [("10.77.0.9", LINKS + ROUTES), ("9.9.9.9", LINKS + ROUTES), ("9.9.9.9", "")],
)
def test_a_target_behind_the_clients_router_replies_past_the_host(
    target: str, text: str, tmp_path: Path
) -> None:
    shown = asked(tmp_path, target, text=text)
    assert (shown.verdict, shown.reason.code) == ("DROP", "reply-not-recognised")
    assert f"{target} sees the client's own address, and its reply goes past this host" in str(shown.reason)
    assert f"-d {target} -p tcp --dport 80 -j MASQUERADE" in shown.reason.advice


def test_without_routes_a_private_target_is_assumed_to_be_behind_the_host(tmp_path: Path) -> None:
    shown = asked(tmp_path, "10.77.0.9", text="")
    assert shown.verdict == "ACCEPT"
    assert "own routes" not in str(shown.reason)


def test_the_peers_of_a_vpn_have_no_link_but_the_host(tmp_path: Path) -> None:
    shown = asked(tmp_path, "10.61.0.9", name="wg0", sender="10.61.0.7", to="10.61.0.1:8080")
    assert shown.verdict == "ACCEPT"
    assert "own routes" not in str(shown.reason)
