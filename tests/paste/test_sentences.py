"""Sentences that say which connection fails become the packet in question, if nothing in them is open."""

from __future__ import annotations

from typing import Any

import pytest

import iptsim
from iptsim.addresses import address_text, parse_address
from iptsim.errors import CaptureError
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.paste.assembly import host_of_source

RULES = """
root@gw:~# iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-A FORWARD -i eth0 -o eth1 -p tcp -m tcp --dport 443 -j ACCEPT
"""


def asked(text: str) -> list[dict[str, Any]]:
    host = host_of_source(Source("paste", {}, text.encode()))
    assert host.pasted is not None
    return list(host.pasted.asked)


def packet(sender: str, to: str, port: int | None, proto: str = "tcp") -> dict[str, Any]:
    return {"from": sender, "to": to, "proto": proto, **({"dport": port} if port else {})}


@pytest.mark.parametrize(
    ("sentence", "fields"),
    [
        ("I can't reach 10.8.0.1 from 192.168.1.5 on port 80", packet("192.168.1.5", "10.8.0.1", 80)),
        ("We cannot connect to port 5432 of 10.0.0.5 from the host.", packet("host", "10.0.0.5", 5432)),
        ("From my PC (10.9.0.5) I'm not able to open http://10.8.0.1:8080", packet("10.9.0.5", "10.8.0.1", 8080)),
        ("From 192.168.1.5 we can no longer access https://10.8.0.1/login", packet("192.168.1.5", "10.8.0.1", 443)),
        ("The container 172.18.0.3 cannot ping 172.18.0.1", packet("172.18.0.3", "172.18.0.1", None, "icmp")),
        ("container a (172.18.0.2) can't reach container b (172.19.0.3:80)", packet("172.18.0.2", "172.19.0.3", 80)),
        ("web (172.18.0.2) cannot connect to db (172.18.0.3) on port 80", packet("172.18.0.2", "172.18.0.3", 80)),
        ("A ping from 10.8.0.2 to 192.168.1.10 fails", packet("10.8.0.2", "192.168.1.10", None, "icmp")),
        ("I can't ping 2001:db8::5 from 2001:db8::6", packet("2001:db8::6", "2001:db8::5", None, "icmpv6")),
        ("Since today I'm unable to reach port 80 on 10.0.0.5 from outside", packet("internet", "10.0.0.5", 80)),
        ("DNS requests from 172.17.0.2 to 8.8.8.8 on udp port 53 time out", packet("172.17.0.2", "8.8.8.8", 53, "udp")),
        ("All connections from 10.8.0.2 to 10.0.0.5 on 443/tcp are refused.", packet("10.8.0.2", "10.0.0.5", 443)),
        (
            "why can't I reach the web UI at 192.168.1.10:8080 from my laptop 192.168.1.20 any more?",
            packet("192.168.1.20", "192.168.1.10", 8080),
        ),
        ("Port 80 is not reachable from outside.", packet("internet", "host", 80)),
        ("UDP port 51820 is blocked from the internet", packet("internet", "host", 51820, "udp")),
        ("But port 8080/tcp is still closed from outside the LAN.", packet("internet", "host", 8080)),
        ("Why can't I access port 3000 from the internet?", packet("internet", "host", 3000)),
        ("Port 8080 of 192.168.1.4 is not accessible from outside", packet("internet", "192.168.1.4", 8080)),
        ("10.0.0.1 can't reach\n10.0.0.2:443 at all.", packet("10.0.0.1", "10.0.0.2", 443)),
        (
            "I'm trying to connect to 10.0.0.5:3306 from 10.0.0.9 but it times out",
            packet("10.0.0.9", "10.0.0.5", 3306),
        ),
        ("Trying to ping 10.0.0.5 from 10.0.0.9: no reply", packet("10.0.0.9", "10.0.0.5", None, "icmp")),
        ("from 10.0.0.2 I can reach 10.0.0.3 but I can't ping 10.0.0.4", packet("10.0.0.2", "10.0.0.4", None, "icmp")),
        ("I can ping 10.0.0.4 from the host but not from 10.0.0.2", packet("10.0.0.2", "10.0.0.4", None, "icmp")),
        ("SSH to the VM at 10.0.0.5 from 10.0.0.9 times out", packet("10.0.0.9", "10.0.0.5", 22)),
        ("Traffic from 10.0.0.9 never arrives at 10.0.0.1:53", packet("10.0.0.9", "10.0.0.1", 53)),
        ("The guest 10.0.0.5 has no internet access", packet("10.0.0.5", "internet", 443)),
        ("10.0.0.9 can't reach the internet", packet("10.0.0.9", "internet", 443)),
        (
            '10.0.0.9 can\'t connect to 10.0.0.5:80 ("could not connect to server")',
            packet("10.0.0.9", "10.0.0.5", 80),
        ),
        ("No one can connect to my game server on port 25565", packet("internet", "host", 25565)),
        ("I cannot access the website on port 80 from outside", packet("internet", "host", 80)),
        ("Port 8080 is still reachable from the internet, why?", packet("internet", "host", 8080)),
        ("Although ufw blocks port 8080, I can reach it from outside", packet("internet", "host", 8080)),
        ("The database is still exposed to the internet on port 5432.", packet("internet", "host", 5432)),
    ],
)  # fmt: skip
def test_a_sentence_that_names_both_ends_and_the_port_is_the_question(
    sentence: str, fields: dict[str, Any]
) -> None:
    assert asked(sentence + "\n" + RULES) == [fields]


@pytest.mark.parametrize(
    "sentence",
    [
        "I can reach 10.8.0.1 from 192.168.1.5 on port 80",
        "I can't reach 10.8.0.1 on port 80",  # from where?
        "I can't reach 10.8.0.1 from 192.168.1.5",  # which port?
        "I can't reach 10.8.0.1 from 192.168.1.5 on port 99999",
        "I can't reach 999.8.0.1 from 192.168.1.5 on port 80",
        "I can't connect to port 80 from the container web",  # of which machine?
        "Port 5432 should be closed from outside",
        "Port 99999 is closed from outside",
        # no person writes so much
        "can't reach ping from " * 20_000,
        "ping " * 40_000,
        "I want that users can't reach 10.8.0.1 from 192.168.1.5 on port 80",
        "Users should not be able to reach 10.8.0.1 from 192.168.1.5 on port 80",
        "Without this rule I can't reach 10.8.0.1 from 192.168.1.5 on port 80",
        "I couldn't reach 10.8.0.1 from 192.168.1.5 on port 80, now it works",
        "If I flush it, I can't reach 10.8.0.1 from 192.168.1.5 on port 80",
        "I can't reach 10.0.0.0/24 from 192.168.1.5 on port 80",  # not one address
        "I can't reach 10.8.0.1:80 from 192.168.1.5 on port 8080",  # which of the two?
        "I can't ping from A to B",
        "the container shop cannot reach 10.0.0.5:5432",  # no such container is known
        "I can ping 10.0.0.4 from 10.0.0.2 but curl fails",  # to which port?
        "Even ufw cannot block port 8080 from outside",
        "How can I reach port 80 from the internet?",
        "the forwarding from 10.0.0.1:2222 to 10.0.0.5:22 doesn't work",  # who sends?
    ],
)
def test_a_sentence_that_leaves_something_open_is_no_question(sentence: str) -> None:
    assert asked(sentence + "\n" + RULES) == []


def test_what_was_taken_is_said_and_decided() -> None:
    told = "I can't reach 10.8.0.1 from 192.168.1.5 on port 80."
    host = host_of_source(Source("paste", {}, (told + "\n" + RULES).encode()))
    assert host.pasted is not None
    assert host.pasted.summary().startswith(
        "read: lines 1 a sentence about a failed connection, 3-7 iptables -S"
    )
    answer = iptsim.explain(host, **host.pasted.asked[0])
    assert answer.verdict == "DROP"


def test_a_question_alone_is_nothing_to_read() -> None:
    with pytest.raises(CaptureError, match="no rules and no data about a host"):
        asked("I can't reach 10.8.0.1 from 192.168.1.5 on port 80.\n")


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (
            "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n",
            "DROP",
        ),  # it is the host's address
        (
            "-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A FORWARD -s 10.1.0.0/16 -j DROP\n",
            "ACCEPT",
        ),  # it may be behind it
    ],
)
def test_rules_for_the_host_alone_are_those_of_the_machine_that_does_not_answer(
    rules: str, verdict: str
) -> None:
    text = f"I can't reach 10.0.0.5 from 10.0.0.9 on port 80.\n\n$ iptables -S\n{rules}"
    host = host_of_source(Source("paste", {}, text.encode()))
    assert host.pasted is not None
    assert iptsim.explain(host, **host.pasted.asked[0]).verdict == verdict


CONTAINERS = """
$ docker ps
CONTAINER ID   IMAGE     COMMAND   CREATED       STATUS       PORTS                NAMES
0123456789ab   shop      "x"       2 hours ago   Up 2 hours   8080/tcp, 9090/tcp   app
0123456789ac   postgres  "x"       2 hours ago   Up 2 hours   5432/tcp             db
$ docker network inspect mynet -f '{{json .Containers}}'
{"01": {"Name": "app", "IPv4Address": "172.20.0.3/16"}, "02": {"Name": "db", "IPv4Address": "172.20.0.4/16"}}
"""


@pytest.mark.parametrize(
    ("sentence", "fields"),
    [
        ("From app (172.20.0.3) I can't reach db.", packet("172.20.0.3", "db", 5432)),
        ("The app container is unable to connect to the db service.", packet("app", "db", 5432)),
        ("Why can't app reach db?", packet("app", "db", 5432)),
        ("I can't ping the db container from app", packet("app", "db", None, "icmp")),
        ("app cannot connect to db:5433", packet("app", "db", 5433)),
        ("db can't reach app on port 8080", packet("db", "app", 8080)),
        ("db can't reach app", None),  # on which of its ports?
        ("Why is app able to ping db, but can't connect to port 5432 of it?", packet("app", "db", 5432)),
        ("shop can't reach db", None),  # no container
        ("I can't reach db", None),
        ("app can't reach it", None),
    ],
)
def test_containers_by_their_names_alone(sentence: str, fields: dict[str, Any] | None) -> None:
    """A name that nothing else shows is a word; a port that is the only one of a container need not be said."""
    assert asked(f"{sentence}\n{CONTAINERS}{RULES}") == ([fields] if fields else [])


SERVICES = """
services:
  web:
    image: nginx
    ports: ["8080:80"]
    networks: [front]
  db:
    image: postgres
    networks: [back]
networks:
  front:
  back:
"""


@pytest.mark.parametrize(
    ("sentence", "fields"),
    [
        ("web can't connect to db:5432.", packet("project-web-1", "project-db-1", 5432)),
        ("I can't open the web container from outside.", packet("internet", "host", 8080)),
    ],
)
def test_services_of_a_compose_file(sentence: str, fields: dict[str, Any]) -> None:
    assert asked(f"{SERVICES}\n{sentence}\n") == [fields]


def test_a_connection_that_should_fail_is_told_by_what_accepts_it() -> None:
    """Rules that block it, but are not all, tell nothing."""
    text = f"Port 443 is still reachable from the internet.\n{RULES}"
    cause = iptsim.lint(iptsim.loads_host(text)).cause
    assert cause is not None
    assert cause.shown is not None
    assert cause.shown.verdict == "ACCEPT"
    blocked = text.replace("-P INPUT ACCEPT", "-P INPUT DROP")
    other = iptsim.lint(iptsim.loads_host(blocked)).cause
    assert other is None or other.shown is None


def test_the_name_of_a_network_before_an_option() -> None:
    assert set(iptsim.loads_host(f"{CONTAINERS}{RULES}").networks) == {"mynet"}


def addresses_of(host: Host) -> dict[str, str]:
    return {name: address_text(4, one.address(4) or 0) for name, one in host.containers.items()}


LISTED = """
$ docker ps
CONTAINER ID   IMAGE     COMMAND   CREATED       STATUS       PORTS                    NAMES
0123456789ab   shop      "x"       2 hours ago   Up 2 hours   0.0.0.0:8000->8000/tcp   front
0123456789ac   mariadb   "x"       2 hours ago   Up 2 hours   3306/tcp                 sql
"""
OF_BRIDGE = "-P FORWARD DROP\n-A FORWARD -i br-0123456789ab ! -o br-0123456789ab -j ACCEPT\n"


@pytest.mark.parametrize(
    ("told", "addresses"),
    [
        ("front (172.22.0.6) can't reach sql (172.22.0.8).", {"front": "172.22.0.6", "sql": "172.22.0.8"}),
        ("The `front` container (172.22.0.6) is slow.", {"front": "172.22.0.6", "sql": "172.22.0.2"}),
        # as ping and psql print them
        (
            'PING front (172.22.0.6): 56 data bytes\nconnection to server at "sql" (172.22.0.8), port 3306 failed',
            {"front": "172.22.0.6", "sql": "172.22.0.8"},
        ),
        # the gateway, another network than Docker's, two addresses, and one of two containers
        ("front (172.22.0.1) and sql (192.168.1.9)", {"front": "172.17.0.2", "sql": "172.17.0.3"}),
        ("front (172.22.0.6), now front (172.22.0.7)", {"front": "172.17.0.2", "sql": "172.17.0.3"}),
        ("front (172.22.0.6) and sql (172.22.0.6)", {"front": "172.17.0.2", "sql": "172.17.0.3"}),
    ],
)
def test_containers_have_the_addresses_behind_their_names(told: str, addresses: dict[str, str]) -> None:
    host = iptsim.loads_host(f"{told}\n{LISTED}")
    assert addresses_of(host) == addresses


def test_told_addresses_beside_rules() -> None:
    text = f"From front (172.22.0.6) I can't reach sql.\n{LISTED}\nsql (172.22.0.8)\n\n{OF_BRIDGE}"
    host = iptsim.loads_host(text)
    assert addresses_of(host) == {
        "front": "172.22.0.6",
        "sql": "172.22.0.8",
    }
    assert asked(text) == [packet("172.22.0.6", "sql", 3306)]
    assert iptsim.explain(host, "front", "sql:3306").verdict == "DROP"


COMPOSED = "services:\n  front:\n    image: shop\n  sql:\n    image: mariadb\n"
OF_DOCKER = "-A DOCKER -d 172.22.0.8/32 ! -i br-0123456789ab -o br-0123456789ab -p tcp -m tcp --dport 3306 -j ACCEPT\n"


@pytest.mark.parametrize("rules", ["", f"\n{OF_BRIDGE}{OF_DOCKER}"])
def test_services_of_compose_have_the_addresses_behind_their_names(rules: str) -> None:
    text = f"{COMPOSED}\nFrom front (172.22.0.6) I can't reach sql (172.22.0.8) on port 3306.\n{rules}"
    host = iptsim.loads_host(text)
    assert addresses_of(host) == {
        "project-front-1": "172.22.0.6",
        "project-sql-1": "172.22.0.8",
    }


def test_a_service_keeps_the_address_that_its_file_gives_it() -> None:
    text = COMPOSED.replace(
        "shop\n", "shop\n    networks:\n      default:\n        ipv4_address: 172.22.0.9\n"
    )
    host = iptsim.loads_host(f"{text}\nI can't reach front (172.22.0.6) from outside.\n")
    assert host.containers["project-front-1"].address(4) == parse_address("172.22.0.9")[1]


@pytest.mark.parametrize("told", ["on the host with address 192.168.9.4:", "My server's IP is 192.168.9.4"])
def test_the_host_has_the_address_in_a_sentence_beside_its_containers(told: str) -> None:
    host = iptsim.loads_host(f"{told}\n{LISTED}")
    [interface] = [one for one in host.namespace.interfaces.values() if one.kind == "physical"]
    assert [address_text(4, one.address) for one in interface.addresses if one.family == 4] == ["192.168.9.4"]


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ("eth1: 192.168.9.4 (LAN)", "DROP"),
        ("the LAN is behind enp2s0, which you see: enp2s0 has ip 192.168.9.4/24", "DROP"),
        # the router, a network, and an address that an interface does not have alone: the host may have it or not
        ("eth1 with default gw 192.168.9.4", "DEPENDS"),
        ("eth1 is 192.168.9.0/24", "DEPENDS"),
        ("eth1: 192.168.9.4 or eth1: 192.168.9.5", "DEPENDS"),
    ],
)
def test_an_interface_has_the_address_in_a_sentence(told: str, verdict: str) -> None:
    text = f"{told}\n*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    shown = iptsim.explain(iptsim.loads_host(text), "192.168.9.77", "192.168.9.4:22", in_interface="eth1")
    assert shown.verdict == verdict


def test_an_address_in_a_sentence_replaces_the_one_assumed_for_a_route() -> None:
    routes = (
        "Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n"
        "0.0.0.0         203.0.113.1     0.0.0.0         UG    0      0        0 eth0\n"
        "192.168.9.0     0.0.0.0         255.255.255.0   U     0      0        0 eth1\n"
    )
    host = iptsim.loads_host(f"my router, eth1 ip: 192.168.9.4\n\n{routes}\n{OF_BRIDGE}")
    assert [address_text(4, one.address) for one in host.namespace.interfaces["eth1"].addresses] == [
        "192.168.9.4"
    ]
