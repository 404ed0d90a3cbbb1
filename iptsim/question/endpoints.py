"""Endpoints: where a packet comes from and where it goes, as a question names them.

An endpoint is a value of one of a few classes. :func:`parse_endpoint` reads the text of one, `str` writes it.
:mod:`iptsim.question.places` finds the container, address or interface on a given host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import TypeAlias

from iptsim.addresses import Family, address_text, parse_address
from iptsim.errors import UsageError
from iptsim.languages import message, text_of
from iptsim.question import values


@dataclass(frozen=True, slots=True)
class Machine:
    """The host itself, in its own network namespace."""

    def __str__(self) -> str:
        return "host"


@dataclass(frozen=True, slots=True)
class Loopback:
    """The loopback address: of the host as a source, of the sender as a destination."""

    def __str__(self) -> str:
        return "localhost"


@dataclass(frozen=True, slots=True)
class Internet:
    """An address outside, reached by the default route."""

    def __str__(self) -> str:
        return "internet"


@dataclass(frozen=True, slots=True)
class Resolver:
    """The name server of the sender's resolv.conf; it can only be a destination."""

    def __str__(self) -> str:
        return "dns"


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address: a container's, the host's, or of another machine."""

    family: Family
    value: int

    def __str__(self) -> str:
        return address_text(self.family, self.value)


@dataclass(frozen=True, slots=True)
class Prefix:
    """The addresses of a network; valid only in a question about all of them."""

    family: Family
    value: int
    length: int

    def __str__(self) -> str:
        return f"{address_text(self.family, self.value)}/{self.length}"


@dataclass(frozen=True, slots=True)
class Named:
    """A container: by its name, the start of its id, a link's alias, or an alias in a network.

    Attributes:
        name: the name.
        network: the network of the container's address; "" for any.
    """

    name: str
    network: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.network}" if self.network else self.name


@dataclass(frozen=True, slots=True)
class Service:
    """A service of Kubernetes; it can only be a destination.

    Attributes:
        name: the service with or without its namespace and the name of its port: "web", "default/web:http".
    """

    name: str

    def __str__(self) -> str:
        return f"svc/{self.name}"


@dataclass(frozen=True, slots=True)
class NodePort:
    """A port of the host that leads to a service of Kubernetes; it can only be a destination."""

    number: int

    def __str__(self) -> str:
        return f"nodeport/{self.number}"


Endpoint: TypeAlias = Machine | Loopback | Internet | Resolver | Address | Prefix | Named | Service | NodePort
DestinationOnly: TypeAlias = Resolver | Service | NodePort

#: The endpoints that are one word. A container with the same name is written NAME@NETWORK.
KEYWORDS: dict[str, Callable[[], Endpoint]] = {
    str(kind()): kind for kind in (Machine, Loopback, Internet, Resolver)
}


@lru_cache(maxsize=4096)
def parse_endpoint(text: str) -> Endpoint:
    """Read an endpoint.

    >>> parse_endpoint("host"), parse_endpoint("web@back")
    (Machine(), Named(name='web', network='back'))
    >>> str(parse_endpoint("2001:DB8::1"))
    '2001:db8::1'

    Raises:
        UsageError: the text is not an endpoint.
    """
    if text in KEYWORDS:
        return KEYWORDS[text]()
    try:
        return Address(*parse_address(text))
    except ValueError:
        pass
    if "/" in text and (prefix := _network(text)) is not None:
        return prefix
    kind, _, rest = text.partition("/")
    if kind == "svc" and rest:
        return Service(rest)
    if kind == "nodeport" and rest:
        return NodePort(values.port(rest))
    name, _, network = text.partition("@")
    if not name:
        raise UsageError(
            message(
                "{text} is not an endpoint; give a container, host, internet or an IP address",
                text=values.quoted(text),
            )
        )
    return Named(name, network)


def _network(text: str) -> Address | Prefix | None:
    """Read a network, whose host bits are cleared as in a rule; None for another text."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    family: Family = 4 if network.version == 4 else 6
    if network.num_addresses == 1:
        return Address(family, int(network.network_address))
    return Prefix(family, int(network.network_address), network.prefixlen)


def parse_ip(value: object) -> Address:
    """Read an IP address.

    Raises:
        UsageError: the value is not one.
    """
    if isinstance(value, Address):
        return value
    try:
        return Address(*parse_address(values.text(value)))
    except ValueError:
        raise UsageError(message("{value} is not an IP address", value=values.quoted(value))) from None


#: Protocols that Docker names after a port.
_WITH_PORTS = frozenset({"tcp", "udp", "sctp"})


def split_protocol(text: str) -> tuple[str, str]:
    """Split the protocol from a port, as Docker writes it.

    >>> split_protocol("web:53/udp"), split_protocol("svc/web:80")
    (('web:53', 'udp'), ('svc/web:80', ''))
    """
    end, _, proto = text.rpartition("/")
    return (end, proto.lower()) if ":" in end and proto.lower() in _WITH_PORTS else (text, "")


def split_port(text: str) -> tuple[str, int | None]:
    """Split `ENDPOINT[:PORT]`; an IPv6 address with a port is in brackets.

    >>> split_port("web:80"), split_port("2001:db8::1"), split_port("[2001:db8::1]:80")
    (('web', 80), ('2001:db8::1', None), ('2001:db8::1', 80))
    >>> split_port("svc/web:80"), split_port("svc/web:http")
    (('svc/web', 80), ('svc/web:http', None))

    Raises:
        UsageError: the text after the colon is not a port.
    """
    if "://" in text:
        raise UsageError(
            message(
                "{name} is a URL, not an endpoint; write CONTAINER:PORT or ADDRESS:PORT",
                name=values.quoted(text),
            )
        )
    if text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise UsageError(message("{text}: write it as [ADDRESS] or [ADDRESS]:PORT", text=text))
        port = rest[1:]
    elif text.count(":") == 1 and not _names_port(text):
        name, _, port = text.partition(":")
    else:
        return text, None
    try:
        return name, values.port(port) if port else None
    except UsageError as error:
        end, proto = split_protocol(text)
        if proto:
            raise UsageError(
                message(
                    "{text}: give the protocol on its own: {end} -p {proto}", text=text, end=end, proto=proto
                )
            ) from None
        raise UsageError(message("{text}: {error}", text=text, error=text_of(error))) from None


def _names_port(text: str) -> bool:
    """Return whether a service's port is given by its name: "svc/web:http"."""
    return text.startswith("svc/") and not text.rpartition(":")[2].isdecimal()


def with_port(endpoint: Endpoint | None, port: int | None) -> str:
    """Return `ENDPOINT[:PORT]`, as :func:`split_port` reads it.

    >>> with_port(parse_endpoint("2001:db8::1"), 80)
    '[2001:db8::1]:80'
    """
    text = "" if endpoint is None else str(endpoint)
    if port is None:
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
