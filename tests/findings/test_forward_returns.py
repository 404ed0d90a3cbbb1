"""Port forwards whose replies do not come back through the host (iptables-extensions(8): DNAT, MASQUERADE)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.findings.linting import lint

TEXT = """\
The forward does not work.
$ ip addr
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 198.51.100.10/24 scope global eth0
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.168.77.1/24 scope global eth1
4: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420 state UNKNOWN
    inet 10.8.0.1/24 scope global wg0
$ ip route
default via 198.51.100.1 dev eth0
198.51.100.0/24 dev eth0 scope link
192.168.77.0/24 dev eth1 scope link
10.8.0.0/24 dev wg0 scope link
$ iptables -t nat -S
-P PREROUTING ACCEPT
-P POSTROUTING ACCEPT
-A PREROUTING -i eth0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {target}
{more}"""
OUT = "-A POSTROUTING -o eth0 -j MASQUERADE\n"
ALL = "-A POSTROUTING -d {target} -j MASQUERADE\n"


@pytest.mark.parametrize(
    ("target", "more", "code"),
    [
        ("9.9.9.9", "", "forward-without-return"),
        # it may use this host as its gateway
        ("198.51.100.30", "", "forward-needs-return"),
        # the target sees the host's address
        ("9.9.9.9", ALL, None),
        ("9.9.9.9", OUT, None),
        ("192.168.77.5", "", "forward-needs-return"),
        # the host masquerades for the LAN, so it is the gateway there
        ("192.168.77.5", OUT, None),
        ("10.8.0.2", OUT, "forward-needs-return"),
        ("10.8.0.2", ALL, None),
    ],
)
def test_replies_of_the_target(target: str, more: str, code: str | None, tmp_path: Path) -> None:
    found = lint(tmp_path, TEXT.format(target=target, more=more.format(target=target)))
    assert [one for one in found if one.startswith("forward-")] == [code] * bool(code)
    if code is not None:
        assert f"-A POSTROUTING -d {target} -j MASQUERADE" in str(found[code].remedy)


def test_several_ports_to_one_target_are_one_finding(tmp_path: Path) -> None:
    more = "-A PREROUTING -i eth0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 192.168.77.5\n"
    path = tmp_path / "several"
    path.mkdir()
    found = lint(path, TEXT.format(target="192.168.77.5", more=more))
    assert len(found["forward-needs-return"].evidence) == 2
    text = TEXT.format(target="192.168.77.5", more=more).replace("-i eth0 ", "")
    assert len(lint(path, text)["hairpin"].evidence) == 2


SAVED = """\
{shown}$ iptables-save -t nat
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8443 -j DNAT --to-destination {target}:443
{more}COMMIT
"""
CARD = "$ ip -br addr\neth0 UP 192.168.77.2/24\n"
ROUTES = "$ ip route\ndefault via 192.168.77.1 dev eth0\n192.168.77.0/24 dev eth0 scope link\n"
ROUTED = "10.44.0.0/16 via 192.168.77.9 dev eth0\n"


@pytest.mark.parametrize(
    ("shown", "target", "code"),
    [
        # the interface and the routes are inferred
        ("", "10.44.0.7", "forward-needs-return"),
        (CARD, "10.44.0.7", "forward-needs-return"),
        (CARD, "192.168.77.7", "forward-needs-return"),
        (CARD + ROUTES, "192.168.77.7", "forward-needs-return"),
        # the router in between may use this host as its gateway
        (CARD + ROUTES + ROUTED, "10.44.0.7", "forward-needs-return"),
        (CARD + ROUTES, "10.44.0.7", "forward-without-return"),
    ],
)
def test_only_shown_routes_make_it_certain(shown: str, target: str, code: str, tmp_path: Path) -> None:
    more = "-A PREROUTING -p tcp -m tcp --dport 8444 -j DNAT --to-destination 10.55.0.8:443\n"
    found = lint(tmp_path, SAVED.format(shown=shown, target=target, more="" if shown else more))
    assert [one for one in found if one.startswith("forward-")] == [code]


def test_netmap_changes_the_source_too(tmp_path: Path) -> None:
    more = "-A POSTROUTING -d 10.44.0.7/32 -j NETMAP --to 192.168.77.2/32\n"
    found = lint(tmp_path, SAVED.format(shown=CARD + ROUTES, target="10.44.0.7", more=more))
    assert not [one for one in found if one.startswith("forward-")]


BRIDGE = CARD + "{name} UP 10.61.0.1/24\n" + ROUTES + "10.61.0.0/24 dev {name} scope link\n"


@pytest.mark.parametrize("name", ["docker0", "lxcbr0", "virbr0", "br-0123456789ab"])
def test_the_host_is_the_gateway_of_its_containers_and_guests(name: str, tmp_path: Path) -> None:
    found = lint(tmp_path, SAVED.format(shown=BRIDGE.format(name=name), target="10.61.0.7", more=""))
    assert not [one for one in found if one.startswith("forward-")]


def test_the_usual_address_of_a_container(tmp_path: Path) -> None:
    text = SAVED.format(shown="", target="172.17.0.2", more="")
    assert not [one for one in lint(tmp_path, text) if one.startswith("forward-")]
    # an address of the LAN, if the text shows no bridge
    text = SAVED.format(shown=CARD + ROUTES, target="172.17.0.2", more="")
    assert "forward-without-return" in lint(tmp_path, text)
