"""Senders that INPUT blocks, beside published ports that are forwarded to containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.findings import Finding
from tests.findings.linting import lint

RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:8080
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:f2b-web - [0:0]
{input}-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8080 -j ACCEPT
{user}-A DOCKER-USER -j RETURN
-A f2b-web -s 198.51.100.77/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-web -j RETURN
COMMIT
"""
JAIL = "-A INPUT -p tcp -m multiport --dports {ports} -j f2b-web\n"
#: as CrowdSec's bouncer and fail2ban's iptables-ipset actions write it
SET = "-A {chain} -m set --match-set crowdsec-blacklists src -j DROP\n"


def found(folder: Path, text: str) -> Finding | None:
    return lint(folder, text).get("bans-not-for-containers")


@pytest.mark.parametrize(
    ("rules", "remedy"),
    [
        (JAIL.format(ports="80,443"), "iptables -I DOCKER-USER -s 198.51.100.77 -j REJECT"),
        (
            SET.format(chain="INPUT"),
            "iptables -I DOCKER-USER -m set --match-set crowdsec-blacklists src -j DROP",
        ),
        ("-A INPUT -s 198.51.100.0/24 -j DROP\n", "iptables -I DOCKER-USER -s 198.51.100.0/24 -j DROP"),
    ],
)
def test_a_ban_of_input_does_not_apply_to_a_published_port(tmp_path: Path, rules: str, remedy: str) -> None:
    """A packet that nat PREROUTING redirects to another host is forwarded (iptables(8))."""
    one = found(tmp_path, RULES.format(input=rules, user=""))
    assert one is not None
    assert "80/tcp" in str(one.title)
    assert str(one.remedy).startswith(remedy)
    assert one.shown is not None
    assert one.shown.verdict == "ACCEPT"


@pytest.mark.parametrize(
    ("rules", "user"),
    [
        (JAIL.format(ports="22"), ""),  # of a port that is not published
        (JAIL.format(ports="80,443"), "-A DOCKER-USER -j f2b-web\n"),
        (SET.format(chain="INPUT"), SET.format(chain="DOCKER-USER")),
        ("-A INPUT -s 192.168.7.0/24 -j DROP\n", ""),  # a neighbour, not an attacker
        ("-A INPUT ! -s 198.51.100.0/24 -p tcp -m tcp --dport 22 -j DROP\n", ""),
        ("", ""),
    ],
)
def test_bans_that_apply_or_are_not_for_the_port(tmp_path: Path, rules: str, user: str) -> None:
    """No alarm for them."""
    assert found(tmp_path, RULES.format(input=rules, user=user)) is None


LISTING = """\
Chain INPUT (policy DROP)
target     prot opt source               destination
DROP       all  --  anywhere             anywhere             match-set crowdsec-blacklists src
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:ssh

Chain FORWARD (policy DROP)
target     prot opt source               destination
{forward}DOCKER-USER  all  --  anywhere             anywhere
DOCKER     all  --  anywhere             anywhere
"""


def test_a_listing_without_the_chains_of_docker(tmp_path: Path) -> None:
    """Whatever port is published there, the set does not match it."""
    assert found(tmp_path, LISTING.format(forward="")) is not None
    asked = (
        "DROP       all  --  anywhere             anywhere             match-set crowdsec-blacklists src\n"
    )
    assert found(tmp_path, LISTING.format(forward=asked)) is None


@pytest.mark.parametrize(
    ("said", "more", "found"),
    [
        ("nginx runs in docker, and its log still shows requests of 198.51.100.77.", "", True),
        ("nginx still shows requests of 198.51.100.77.", "", False),
        # all rules of FORWARD, and none of Docker
        ("I have docker, too.", "-P FORWARD DROP\n-A FORWARD -i lo -j ACCEPT\n", False),
    ],
)
def test_a_ban_in_a_text_that_only_names_docker(tmp_path: Path, said: str, more: str, found: bool) -> None:
    text = f"{said}\n\n$ iptables -S\n-P INPUT ACCEPT\n{more}-A INPUT -s 198.51.100.77/32 -j DROP\n"
    assert ("bans-not-for-containers" in lint(tmp_path, text)) is found


def test_a_ban_of_a_listing_that_hides_interfaces(tmp_path: Path) -> None:
    """The rules of ACCEPT and DROP without interfaces are those of dockerd 26 for docker0."""
    text = """\
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
{jail}
Chain FORWARD (policy DROP)
target     prot opt source               destination
DOCKER-USER  all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED
DOCKER     all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER (1 references)
target     prot opt source               destination
ACCEPT     tcp  --  0.0.0.0/0            172.17.0.2           tcp dpt:80

Chain DOCKER-USER (1 references)
target     prot opt source               destination
RETURN     all  --  0.0.0.0/0            0.0.0.0/0

Chain f2b-web (1 references)
target     prot opt source               destination
REJECT     all  --  198.51.100.77        0.0.0.0/0            reject-with icmp-port-unreachable
"""
    jail = "f2b-web    tcp  --  0.0.0.0/0            0.0.0.0/0            multiport dports {ports}\n"
    one = found(tmp_path, text.format(jail=jail.format(ports="80,443")))
    assert one is not None
    assert str(one.remedy).startswith("iptables -I DOCKER-USER -s 198.51.100.77 -j REJECT")
    assert found(tmp_path, text.format(jail=jail.format(ports="22"))) is None


def test_a_ban_behind_an_open_port_whose_address_is_redacted(tmp_path: Path) -> None:
    status = (
        "Status: active\n\nTo                         Action      From\n--                         ------      ----\n"
        "22                         ALLOW IN    Anywhere\nAnywhere                   DENY IN     203.0.113.xx\n"
    )
    found = lint(tmp_path, status)["bans-behind-accepted"]
    assert "ufw insert 1 deny from 203.0.113.xx" in str(found)
    first = status.replace("22  ", "443 ").replace("ALLOW IN    Anywhere", "ALLOW IN    203.0.114.9")
    assert "bans-behind-accepted" not in lint(tmp_path, first)
