"""The address and port ranges of the nat targets: `10.0.0.1-10.0.0.9:80-90`, `[2001:db8::1]:80`."""

from __future__ import annotations

from typing import NamedTuple

from iptsim.extensions.base import Value
from iptsim.extensions.values import integer, one_address, port, range_text
from iptsim.packet import address_text


class NatRange(NamedTuple):
    """Where to translate to.

    Attributes:
        addresses: first and last address, None to keep the packet's.
        ports: first and last port, None to keep the packet's.
        base_port: what the port range is shifted from (`5000-5010/4000`), else None.
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


def parse_ports(text: str) -> tuple[tuple[int, int], int | None]:
    """Read `80`, `80-90` or `80-90/70`.

    Raises:
        ValueError: not ports.
    """
    span, slash, base = text.partition("/")
    first, dash, last = span.partition("-")
    low = port(first)
    high = port(last) if dash else low
    if low > high:
        raise ValueError(f"the port range {text} ends before it starts")
    return (low, high), integer(base, 0, 65535) if slash else None


def parse_nat_range(text: str, family: int) -> NatRange:
    """Read the value of `--to-destination` or `--to-source`.

    Raises:
        ValueError: not an address range with ports.
    """
    if family == 6:
        if text.startswith("["):
            addresses_text, _, rest = text[1:].partition("]")
            if rest and not rest.startswith(":"):
                raise ValueError(f"{rest!r} behind the address is not :port")
            port_text = rest[1:]
        elif text.startswith(":") and not text.startswith("::"):
            addresses_text, port_text = "", text[1:]
        else:
            addresses_text, port_text = text, ""
    else:
        addresses_text, _, port_text = text.partition(":")
    addresses = None
    if addresses_text:
        first, dash, last = addresses_text.partition("-")
        low = one_address(first, family)
        addresses = (low, one_address(last, family) if dash else low)
        if addresses[1] < addresses[0]:
            raise ValueError(f"the address range {addresses_text} ends before it starts")
    elif not port_text:
        raise ValueError("neither an address nor a port")
    ports, base = parse_ports(port_text) if port_text else (None, None)
    return NatRange(addresses, ports, base, family)


NAT_RANGE = Value(
    "an address or range with optional ports (10.0.0.5, 10.0.0.5-10.0.0.9:80, :8080)",
    parse_nat_range,
    needs_family=True,
)
