"""Failed connections that the rules allow, and a list of sockets that shows no program for them.

The kernel answers a SYN without a listening socket with a RST, "connection refused" (tcp(7), tcp_v4_rcv).
"""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

RULES = """\
$ sudo iptables -S
-P INPUT DROP
-P OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m state --state ESTABLISHED -j ACCEPT
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -p tcp --dport 8080 -j ACCEPT

"""
HEADING = "State   Recv-Q  Send-Q   Local Address:Port   Peer Address:Port\n"
SSH = "LISTEN  0       128            0.0.0.0:22          0.0.0.0:*\nLISTEN 0 128 [::]:23 [::]:*\n"
APP = "LISTEN  0       128         {address}:8080        0.0.0.0:*\n"
ASKED = "\nI cannot reach my app on port 8080 from outside.\n"
REFUSED = "\n$ curl http://192.0.2.10:8080\ncurl: (7) Failed to connect to 192.0.2.10 port 8080: {error}\n"
SS = "$ ss -tln\n" + HEADING + SSH


def lint(tmp_path: Path, text: str) -> tuple[dict[str, str], str]:
    """Return the remedies of the findings by their codes, and the likeliest cause."""
    path = tmp_path / "ticket.txt"
    path.write_text(text)
    found = iptsim.lint(path)
    return {one.code: str(one.remedy) for one in found}, str(found.cause.text) if found.cause else ""


@pytest.mark.parametrize("asked", [ASKED, REFUSED.format(error="Connection refused")])
def test_an_open_port_without_a_program(tmp_path: Path, asked: str) -> None:
    found, cause = lint(tmp_path, RULES + SS + asked)
    assert "No rule blocks it, but nothing listens on 8080: connection refused." in cause
    assert cause.endswith("ss -tlnp.")
    assert "nothing-listens" in found
    assert "refused-elsewhere" not in found


def test_a_program_on_another_address(tmp_path: Path) -> None:
    addresses = (
        "$ ip -4 addr\n2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n    inet 192.0.2.10/24 scope global eth0\n"
        "3: wg0: <POINTOPOINT,NOARP,UP,LOWER_UP> mtu 1420\n    inet 10.0.0.1/24 scope global wg0\n\n"
    )
    found, cause = lint(tmp_path, addresses + RULES + SS + APP.format(address="10.0.0.1") + ASKED)
    assert "Port 8080 is bound to other addresses only: 10.0.0.1." in cause
    assert found["nothing-listens"].startswith(
        "Let the program listen on 0.0.0.0, which means all addresses, or on "
    )


@pytest.mark.parametrize(
    "text",
    [
        RULES + SS + APP.format(address="0.0.0.0") + ASKED,
        RULES + SS + APP.format(address="10.0.0.1") + ASKED,  # it may be the host's only address
        RULES + SS + APP.format(address="[::ffff:10.0.0.1]") + ASKED,
        RULES + SS + "$ systemctl start app\n" + ASKED,
        RULES + SS + ASKED + "I forward it to 192.168.1.5.\n",  # by rules that are not shown
        RULES + "$ ss -tln | grep 22\n" + HEADING + SSH + ASKED,
        RULES + "$ ss -uln\n" + HEADING + SSH.replace("LISTEN", "UNCONN") + ASKED,
        RULES + SS + REFUSED.format(error="Connection timed out"),  # the kernel would have answered
        RULES.replace("8080", "8081") + SS + ASKED,  # INPUT blocks it
        RULES + SS + "\nEverything works.\n",
        # Docker may forward the port by rules in nat, which -S without -t does not show
        RULES + SS + ASKED + "\nThe app runs in docker.\n",
    ],
)
def test_other_causes(tmp_path: Path, text: str) -> None:
    found, cause = lint(tmp_path, text)
    assert "nothing-listens" not in found
    assert "ss -tlnp" not in cause


def test_a_program_that_listens_on_localhost_in_its_container(tmp_path: Path) -> None:
    """docs.docker.com, published ports: they lead to the container's own address."""
    sockets = "$ docker exec web ss -tln\n" + HEADING + APP.format(address="127.0.0.1") + SSH
    text = f"$ docker run -d --name web -p 8080:8080 app\n{sockets}{ASKED}"
    found, cause = lint(tmp_path, text)
    assert "Port 8080 is bound to other addresses only: 127.0.0.1." in cause
    assert "docker exec web ss -tlnp" in found["nothing-listens"]


@pytest.mark.parametrize(
    ("address", "options", "found"),
    [("127.0.0.1", "", True), ("0.0.0.0", "", False), ("127.0.0.1", " | grep LISTEN", False)],
)
def test_a_published_port_of_a_program_on_localhost(
    tmp_path: Path, address: str, options: str, found: bool
) -> None:
    """Without a question, too: nothing can reach such a port."""
    sockets = f"$ docker exec web ss -tln{options}\n" + HEADING + APP.format(address=address) + SSH
    codes, _ = lint(tmp_path, f"$ docker run -d --name web -p 80:8080 app\n{sockets}")
    assert ("published-unheard" in codes) is found


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("From another machine I cannot open port 8081 of the server.", True),
        # 8080 is published on all addresses, so 8081 alone is meant for the host
        ("From another machine I cannot open port 8080 of the server.", False),
        ("From outside I cannot open port 8080. Port 8081 should only be local.", False),
        ("From outside I cannot open port 443 of the server.", False),
    ],
)
def test_a_port_published_on_localhost_that_somebody_asks_for(tmp_path: Path, said: str, found: bool) -> None:
    text = f"$ docker run -d --name web -p 8080:80 -p 127.0.0.1:8081:81 app\n\n{said}\n"
    assert ("published-on-loopback" in lint(tmp_path, text)[0]) is found


UPLINKS = """\
$ ip addr
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.0.2.10/24 scope global eth0
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 10.9.0.2/24 scope global eth1
$ ip route
default via 192.0.2.1 dev eth0
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
10.9.0.0/24 dev eth1 proto kernel scope link src 10.9.0.2
$ sysctl net.ipv4.conf.eth1.rp_filter
net.ipv4.conf.eth1.rp_filter = {value}
$ sudo iptables -S
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
"""
SEEN = "$ sudo tcpdump -ni eth1\n12:00:01.000001 IP {sender}.51000 > {to}.443: Flags [S], seq 1, win 64240, length 0\n"


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        (1, SEEN.format(sender="198.51.100.7", to="10.9.0.2"), True),
        (2, SEEN.format(sender="198.51.100.7", to="10.9.0.2"), False),
        (1, SEEN.format(sender="10.9.0.7", to="10.9.0.2"), False),
        (1, SEEN.format(sender="198.51.100.7", to="10.9.0.7"), False),  # it leaves there
        (1, "10.20.0.5 cannot reach port 443 of 10.9.0.2. The packets come in on eth1.\n", True),
        (1, "10.20.0.5 cannot reach port 443 of 10.9.0.2.\n", False),
    ],
)
def test_a_packet_seen_on_an_interface_that_rp_filter_drops(
    tmp_path: Path, value: int, text: str, found: bool
) -> None:
    """With rp_filter=1 the route back must leave by the interface on which the packet arrives (ip-sysctl.rst)."""
    _, cause = lint(tmp_path, UPLINKS.format(value=value) + text)
    assert ("The kernel drops it (rp_filter)" in cause) is found
