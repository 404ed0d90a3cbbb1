"""Listings of `iptables -S` that end behind the policies: of an empty table, or cut off.

`iptables -S` prints the policies, then the other chains, then the rules (iptables.c, do_list_rules); dockerd always has
chains of its own, and calls them in FORWARD (docs.docker.com, packet filtering and firewalls).
"""

from __future__ import annotations

import pytest

from iptsim.netfilter.walk import walk
from iptsim.question.model import Question
from iptsim.sources import loads_host

EMPTY = "$ sudo iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
PS = (
    "$ docker ps\nCONTAINER ID   IMAGE   COMMAND   CREATED      STATUS      PORTS                  NAMES\n"
    '0b1c2d3e4f5a   nginx   "nginx"   5 days ago   Up 5 days   0.0.0.0:8080->80/tcp   web\n'
)
FULL = (
    "$ sudo iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N LOGDROP\n"
    "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -j LOGDROP\n-A LOGDROP -j DROP\n"
)
UFW = "Status: active\n\nTo                         Action      From\n--                         ------      ----\n"
UFW += "22/tcp                     ALLOW       Anywhere\n"
USER = (
    "$ sudo iptables -L DOCKER-USER -n\nChain DOCKER-USER (1 references)\n"
    "target     prot opt source               destination\nRETURN     all  --  0.0.0.0/0            0.0.0.0/0\n"
)


def verdict(text: str, dport: int = 8081) -> str:
    fields = {"from": "198.51.100.7", "to": "host", "proto": "tcp", "dport": dport}
    return walk(loads_host(text), Question(**fields)).verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EMPTY, "ACCEPT"),
        (EMPTY.split("\n", 1)[1], "ACCEPT"),
        (f"{EMPTY}$ uname -r\n6.1.0-18-amd64\n", "ACCEPT"),
        (f"{PS}{EMPTY}", "DEPENDS"),
        (f"{EMPTY}{PS}", "DEPENDS"),
        (f"{EMPTY}{USER}", "DEPENDS"),
        (f"{EMPTY}\nThe chain DOCKER-USER has no rule of mine.\n", "DEPENDS"),
        (f"{EMPTY}\nThe port is open in ufw-user-input.\n", "DEPENDS"),
        (f"{EMPTY}$ sudo ufw status\n{UFW}", "DEPENDS"),
        (f"{EMPTY}$ sudo ufw status\nStatus: inactive\n", "ACCEPT"),
        # it was flushed, or Docker leaves iptables alone
        (f"$ sudo iptables -F\n$ sudo iptables -X\n{PS}{EMPTY}", "ACCEPT"),
        (f'$ cat /etc/docker/daemon.json\n{{"iptables": false}}\n{PS}{EMPTY}', "ACCEPT"),
    ],
)
def test_policies_alone(text: str, expected: str) -> None:
    assert verdict(text) == expected


def test_a_command_that_names_a_later_place_shows_that_rules_precede() -> None:
    text = f"{EMPTY}$ sudo iptables -I INPUT 4 -p tcp --dport 8081 -j DROP\n"
    assert verdict(text) == "DEPENDS"
    assert verdict(f"{EMPTY}$ sudo iptables -I INPUT 1 -p tcp --dport 8081 -j DROP\n") == "DROP"


@pytest.mark.parametrize(
    "between", ["", "Then I flushed all of it:\n", "$ sudo iptables -F\n$ sudo iptables -X\n"]
)
def test_policies_that_changed_replace_an_earlier_listing(between: str) -> None:
    assert verdict(FULL) == "DROP"
    assert verdict(f"{FULL}{between}{EMPTY}") == "ACCEPT"
