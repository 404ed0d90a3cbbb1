"""Values of the flags of `docker run`: published ports, exposed ports, links."""

from __future__ import annotations

import re
from ipaddress import ip_address

from iptsim.docker.model.settings import Publication
from iptsim.host.containers import ExposedPort, Link
from iptsim.languages import message
from iptsim.protocols import PROTOCOLS

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PROTOCOLS = ("tcp", "udp", "sctp")


def read_publish(text: str) -> list[Publication]:
    """Read `--publish`: `[[ADDRESS:]HOST_PORT:]PORT[/PROTO]`; ports may be ranges.

    >>> read_publish("127.0.0.1:8080:80")
    [Publication(proto=6, container_port=80, address='127.0.0.1', host_port=8080, requested=None)]

    Raises:
        ValueError: the value is invalid.
    """
    rest, proto = _protocol(text)
    address, rest = _address(rest, text)
    host, colon, inside = rest.rpartition(":")
    ports = _range(inside, text)
    if not colon or not host:
        return [
            Publication(proto=proto, container_port=port, address=address, requested="") for port in ports
        ]
    hosts = _range(host, text)
    if len(ports) == 1 and len(hosts) > 1:
        return [
            Publication(
                proto=proto, container_port=ports[0], address=address, host_port=hosts[0], requested=host
            )
        ]
    if len(hosts) != len(ports):
        raise ValueError(
            message(
                "{text!r} publishes {count} ports on {count2}: the ranges must have the same length",
                text=text,
                count=len(ports),
                count2=len(hosts),
            )
        )
    return [
        Publication(proto=proto, container_port=inner, address=address, host_port=outer)
        for inner, outer in zip(ports, hosts, strict=True)
    ]


def read_expose(text: str) -> list[ExposedPort]:
    """Read `--expose`: `PORT[/PROTO]`, where the port may be a range.

    Raises:
        ValueError: the value is invalid.
    """
    rest, proto = _protocol(text)
    return [ExposedPort(proto=proto, port=port) for port in _range(rest, text)]


def read_link(text: str) -> Link:
    """Read `--link`: `CONTAINER[:ALIAS]`.

    Raises:
        ValueError: the value is invalid.
    """
    target, _, alias = text.partition(":")
    if not target or ":" in alias:
        raise ValueError(message("{text!r} is not CONTAINER or CONTAINER:ALIAS", text=text))
    return Link(target=target, alias=alias or target)


def _protocol(text: str) -> tuple[str, int]:
    rest, slash, name = text.partition("/")
    name = name.lower() if slash else "tcp"
    if name not in _PROTOCOLS:
        raise ValueError(
            message(
                "{text!r}: unknown protocol {name!r}; choose from: {choices}",
                text=text,
                name=name,
                choices=", ".join(_PROTOCOLS),
            )
        )
    return rest, PROTOCOLS[name]


def _address(rest: str, text: str) -> tuple[str, str]:
    """Split off the host address; IPv6 addresses are in brackets."""
    if rest.startswith("["):
        address, bracket, rest = rest[1:].partition("]:")
        if not bracket:
            raise ValueError(message("{text!r} has no port after its address", text=text))
    elif rest.count(":") == 2:
        address, _, rest = rest.partition(":")
    else:
        return "", rest
    if not address:
        return "", rest
    try:
        return str(ip_address(address)), rest
    except ValueError:
        raise ValueError(
            message("{text!r}: {address!r} is not an address", text=text, address=address)
        ) from None


def _range(ports: str, text: str) -> range:
    found = _PORTS.fullmatch(ports)
    if found is None:
        raise ValueError(
            message("{text!r}: {ports!r} is neither a port nor a port range", text=text, ports=ports)
        )
    first = int(found[1])
    last = int(found[2] or first)
    if not 1 <= first <= last <= 65535:
        raise ValueError(message("{text!r}: {ports} is not between 1 and 65535", text=text, ports=ports))
    return range(first, last + 1)
