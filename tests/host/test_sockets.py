"""Listening sockets: as ss prints them, and which of them the kernel gives a connection to."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from iptsim.addresses import parse_address
from iptsim.host.namespace import Listener
from iptsim.host.sockets import find_listener, read_listeners
from iptsim.protocols import TCP, UDP
from tests.host.laboratory import NEEDS_KERNEL
from tests.kernel.namespaces import Namespace

#: Printed by ss of iproute2 6.1.
PRINTED = """\
udp UNCONN 0      0              0.0.0.0%lo:87 0.0.0.0:* users:(("dnsmasq",pid=1585,fd=9))
tcp LISTEN 0      128          127.0.0.1%lo:84 0.0.0.0:* users:(("python3",pid=1585,fd=6))
tcp LISTEN 0      128               0.0.0.0:81 0.0.0.0:* users:(("python3",pid=1585,fd=3))
tcp LISTEN 0      128    [::ffff:127.0.0.1]:85       *:* users:(("java",pid=1585,fd=7))
tcp LISTEN 0      128                  [::]:83    [::]:* users:(("sshd",pid=7,fd=5),("systemd",pid=1,fd=9))
tcp LISTEN 0      128                     *:82       *:*
"""
#: The same wildcards as iproute2 4.3 and 4.11 printed them: IPv4, IPv6; all alike.
OLD = """\
Netid  State      Recv-Q Send-Q Local Address:Port               Peer Address:Port
tcp    LISTEN     0      128       *:22                    *:*
tcp    LISTEN     0      128      :::23                   :::*
tcp    ESTAB      0      0      10.0.0.1:22            10.0.0.2:5000
"""


def heard(text: str, address: str, port: int, proto: int = TCP, interface: str | None = "lo") -> str | None:
    """Return the program that gets a connection; "nothing", or None where that is unknown."""
    family, number = parse_address(address)
    found = find_listener(read_listeners(text), family, proto, number, port, interface)
    if isinstance(found, Listener):
        return found.program
    return None if found is None else "nothing"


@pytest.mark.parametrize(
    ("address", "port", "program"),
    [
        ("10.0.0.1", 81, "python3"), ("::1", 81, "nothing"),
        ("10.0.0.1", 82, ""), ("::1", 82, ""),
        ("10.0.0.1", 83, "nothing"), ("::1", 83, "sshd"),
        ("127.0.0.1", 84, "python3"), ("127.0.0.2", 84, "nothing"),
        ("127.0.0.1", 85, "java"), ("::1", 85, "nothing"), ("127.0.0.2", 85, "nothing"),
        ("10.0.0.1", 86, "nothing"),
    ],
)  # fmt: skip
def test_bound_addresses_and_families(address: str, port: int, program: str) -> None:
    assert heard(PRINTED, address, port) == program


def test_an_interface_counts_and_may_be_unknown() -> None:
    assert heard(PRINTED, "10.0.0.1", 87, UDP) == "dnsmasq"
    assert heard(PRINTED, "10.0.0.1", 87, UDP, "eth0") == "nothing"
    assert heard(PRINTED, "10.0.0.1", 87, UDP, None) is None
    assert heard(PRINTED, "10.0.0.1", 87, TCP) == "nothing"


def test_an_old_ss_leaves_families_open() -> None:
    assert heard(OLD, "10.0.0.1", 22) == ""
    assert heard(OLD, "fd00::1", 22) is None
    assert heard(OLD, "fd00::1", 23) == ""
    assert heard(OLD, "10.0.0.1", 23) is None
    assert heard(OLD, "10.0.0.1", 24) == "nothing"


def test_the_most_specific_socket_gets_it() -> None:
    text = (
        'tcp LISTEN 0 1 *:80 *:* users:(("both",pid=1,fd=1))\n'
        'tcp LISTEN 0 1 0.0.0.0:80 0.0.0.0:* users:(("any",pid=1,fd=1))\n'
        'tcp LISTEN 0 1 10.0.0.1:80 0.0.0.0:* users:(("one",pid=1,fd=1))\n'
    )
    assert heard(text, "10.0.0.1", 80) == "one"
    assert heard(text, "10.0.0.2", 80) == "any"
    assert heard(text, "fd00::1", 80) == "both"


@pytest.mark.parametrize(
    "line", ["bash: line 1: ss: command not found", "tcp LISTEN 0 0 0.0.0.0:ssh 0.0.0.0:*", "tcp LISTEN"]
)
def test_what_is_not_of_ss_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="line 1 is not output of ss"):
        read_listeners(line + "\n")


# -- the kernel ------------------------------------------------------------------------------------

#: Sockets: family, address, port, IPV6_V6ONLY, interface.
SOCKETS: list[tuple[int, str, int, int | None, bytes | None]] = [
    (socket.AF_INET, "0.0.0.0", 81, None, None),
    (socket.AF_INET6, "::", 82, 0, None),
    (socket.AF_INET6, "::", 83, 1, None),
    (socket.AF_INET, "127.0.0.1", 84, None, None),
    (socket.AF_INET6, "::ffff:127.0.0.1", 85, 0, None),
    (socket.AF_INET6, "::1", 86, 1, None),
    (socket.AF_INET, "0.0.0.0", 87, None, b"lo"),
    (socket.AF_INET, "0.0.0.0", 88, None, b"other"),
    (socket.AF_INET6, "::", 89, 0, b"other"),
    (socket.AF_INET6, "::", 91, 1, b"lo"),
    (socket.AF_INET, "10.7.0.1", 90, None, None),
]


@pytest.mark.kernel
class TestKernel:
    pytestmark = NEEDS_KERNEL

    def test_a_connection_is_refused_where_no_socket_is_found(self) -> None:
        with Namespace() as namespace, ExitStack() as stack:
            namespace.run(["ip", "link", "set", "lo", "up"])
            namespace.run(["ip", "link", "add", "other", "type", "veth", "peer", "name", "far"])
            namespace.run(["ip", "addr", "add", "10.7.0.1/24", "dev", "other"])
            namespace.run(["ip", "addr", "add", "fd00:7::1/64", "dev", "other", "nodad"])
            namespace.run(["ip", "link", "set", "other", "up"])
            with namespace.entered():
                for wanted in SOCKETS:
                    stack.enter_context(_listen(*wanted))
            listeners = read_listeners(namespace.run(["ss", "-H", "-lntup"]))
            for port in range(80, 93):
                for text in ("127.0.0.1", "127.0.0.2", "10.7.0.1", "::1", "fd00:7::1"):
                    family, address = parse_address(text)
                    with namespace.entered():
                        accepted = _connects(text, port)
                    # sockets see it come in by the interface with the address
                    interface = "other" if text in ("10.7.0.1", "fd00:7::1") else "lo"
                    found = find_listener(listeners, family, TCP, address, port, interface)
                    assert isinstance(found, Listener) is accepted, (text, port)


def _listen(
    family: int, address: str, port: int, v6only: int | None, interface: bytes | None
) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    if v6only is not None:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    if interface is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface)
    opened.bind((address, port))
    opened.listen()
    return opened


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True
