"""The address and port ranges of the nat targets: `10.0.0.1-10.0.0.9:80-90`, `[2001:db8::1]:80`."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from iptsim.addresses import address_text
from iptsim.extensions.options import Value
from iptsim.extensions.values import full_address, integer, port, range_text
from iptsim.languages import message
from iptsim.protocols import DCCP, ICMP, SCTP, TCP, UDP


class NatRange(NamedTuple):
    """Where to translate to.

    Attributes:
        addresses: first and last address, None to keep the packet's.
        ports: first and last port, None to keep the packet's.
        base_port: the port from which the range is shifted (`5000-5010/4000`), else None.
        family: of the addresses.
    """

    addresses: tuple[int, int] | None = None
    ports: tuple[int, int] | None = None
    base_port: int | None = None
    family: int = 4

    def __str__(self) -> str:
        text = ""
        if self.addresses:
            first, last = (address_text(self.family, address) for address in self.addresses)
            text = first if first == last else f"{first}-{last}"
            if self.family == 6 and self.ports:
                text = f"[{text}]"
        if self.ports:
            text += f":{range_text(self.ports, '-')}"
            if self.base_port is not None:
                text += f"/{self.base_port}"
        return text


#: What a rule must name by `-p` when a nat target has ports; iptables lets ICMP pass too.
NAT_PORT_PROTOCOLS = frozenset({ICMP, TCP, UDP, DCCP, SCTP})


def parse_ports(text: str) -> tuple[tuple[int, int], int | None]:
    """Read `80`, `http`, `80-90` or `80-90/70`.

    Raises:
        ValueError: not ports.
    """
    span, slash, base = text.partition("/")
    first, dash, last = span.partition("-")
    if not first[:1].isdigit():
        # a service name, which may hold dashes, is a single port
        first, dash, last = span, "", ""
    low = port(first)
    high = integer(last, 0, 65535) if dash else low
    if low > high:
        raise ValueError(message("the port range {text} ends before it starts", text=text))
    if slash and not dash:
        raise ValueError(message("only a port range can be shifted, not {span}", span=span))
    return (low, high), port(base) if slash else None


def parse_plain_ports(text: str) -> tuple[int, int]:
    """Read the value of `--to-ports`: `80`, `http` or `80-90`.

    Raises:
        ValueError: not ports, or a shifted range.
    """
    ports, base = parse_ports(text)
    if base is not None:
        raise ValueError(message("shifted port ranges work only with DNAT"))
    return ports


def _parse_range(text: str, family: int) -> NatRange:
    if family == 6 and text.startswith("["):
        addresses_text, bracket, rest = text[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise ValueError(message("{text!r} is not [address]:port", text=text))
        colon, port_text = rest[:1], rest[1:]
    elif family == 6 and (text.startswith("::") or not text.startswith(":")):
        addresses_text, colon, port_text = text, "", ""
    else:
        addresses_text, colon, port_text = text.partition(":")
    addresses = None
    if addresses_text:
        first, dash, last = addresses_text.partition("-")
        low = full_address(first, family)
        addresses = (low, full_address(last, family) if dash else low)
    elif not colon:
        raise ValueError(message("neither an address nor a port"))
    ports, base = parse_ports(port_text) if colon else (None, None)
    return NatRange(addresses, ports, base, family)


def parse_nat_range(text: str, family: int) -> NatRange:
    """Read the value of `--to-destination`.

    Raises:
        ValueError: not an address range with ports.
    """
    wanted = _parse_range(text, family)
    if wanted.base_port == 0:
        raise ValueError(message("a shifted port range can't start from port 0"))
    return wanted


NAT_RANGE = Value(
    "an address or range with optional ports (10.0.0.5, 10.0.0.5-10.0.0.9:80-90, :8080)",
    parse_nat_range,
    needs_family=True,
    form="nat_range_{family}",
    plain="plain_nat_range_{family}",
)


def parse_source(text: str, family: int) -> NatRange:
    """Read the value of `--to-source`. iptables accepts a shifted range there, but always from port 0.

    Raises:
        ValueError: not an address range with ports.
    """
    wanted = _parse_range(text, family)
    return wanted if wanted.base_port is None else wanted._replace(base_port=0)


NAT_SOURCE = Value(
    NAT_RANGE.expected, parse_source, needs_family=True, form=NAT_RANGE.form, plain=NAT_RANGE.plain
)
NAT_PORTS = Value(
    "a port or a range of ports (8080, 1024-2048, http)",
    parse_plain_ports,
    partial(range_text, joiner="-"),
    form="nat_ports",
)
