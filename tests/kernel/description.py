"""The input of the laboratory: a host under test, and the packets to send. Plain data, kept as JSON in fixtures."""

from __future__ import annotations

import ipaddress
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from iptsim.protocols import PORT_PROTOCOLS, TCP_FLAGS


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Interface(_Plain):
    """An interface of the host under test.

    Attributes:
        kind: "veth" has a far end from which packets are sent; "bridge" and "dummy" have none.
        master: the bridge that it is a port of.
        isolated: an isolated port of the bridge.
        hairpin: the bridge may send a frame back out of this port.

    """

    name: str
    kind: Literal["veth", "bridge", "dummy"] = "veth"
    addresses: tuple[str, ...] = ()
    master: str | None = None
    isolated: bool = False
    hairpin: bool = False
    mtu: int = 1500

    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Return the networks of its addresses."""
        return [ipaddress.ip_interface(address).network for address in self.addresses]


class Guest(_Plain):
    """A machine at the far end of a bridge port.

    Attributes:
        saved: its own addresses and routes are in the capture; of the others only the host's neighbour and
            forwarding tables tell.
        gateway: a guest to whose hardware address it sends what is not on the link; the host by default.
        router: others are behind it.

    """

    port: str
    address: str
    mac: str
    saved: bool = True
    gateway: str | None = None
    router: bool = False


class World(_Plain):
    """The host under test.

    Attributes:
        routes: as after `ip route add`; of the family's own.
        ip_rules: as after `ip rule add`.
        sysctls: by their dotted names.
        commands: further commands on the host, after its interfaces, routes and rules are there.
        ipsets: text for `ipset restore`.
        dump: text for iptables-restore.
        other_dump: rules loaded with the other backend as well.
        other_first: they were loaded first.
        nft: tables of nftables beside those of iptables, as text for nft(8).
        traits: what is special about it, for the statistics.

    """

    family: Literal[4, 6] = 4
    backend: Literal["nft", "legacy"] = "nft"
    interfaces: tuple[Interface, ...] = ()
    guests: tuple[Guest, ...] = ()
    routes: tuple[str, ...] = ()
    ip_rules: tuple[str, ...] = ()
    sysctls: dict[str, int] = Field(default_factory=dict)
    commands: tuple[str, ...] = ()
    ipsets: str = ""
    dump: str = ""
    other_dump: str = ""
    other_first: bool = False
    nft: str = ""
    traits: tuple[str, ...] = ()

    @property
    def other_backend(self) -> Literal["nft", "legacy"]:
        """The backend that did not load `dump`."""
        return "legacy" if self.backend == "nft" else "nft"

    @property
    def nft_or_only(self) -> Literal["nft", "legacy"]:
        """The backend of steps that are not marked as those of the legacy one beside another."""
        return "nft" if self.other_dump else self.backend

    @property
    def routes_by_ports(self) -> bool:
        """Whether routing looks at protocols or ports; of the laboratory's raw sockets it does not know them."""
        return any("ipproto" in rule or "port" in rule for rule in self.ip_rules)

    @property
    def picks_next_hops(self) -> bool:
        """Whether a route has several next hops."""
        return any("nexthop" in route for route in self.routes)

    @property
    def own_addresses(self) -> frozenset[str]:
        """The host's addresses, without their lengths."""
        return frozenset(address.split("/")[0] for one in self.interfaces for address in one.addresses)

    def interface(self, name: str) -> Interface:
        """Return the interface of that name."""
        return next(interface for interface in self.interfaces if interface.name == name)

    def is_group(self, address: str) -> bool:
        """Return whether an address is a multicast group, or the first or last one of a network here.

        To Linux both are broadcast addresses in IPv4; in IPv6 the first is the routers' anycast address.
        """
        target = ipaddress.ip_address(address)
        networks = [network for one in self.interfaces for network in one.networks()]
        ends = {end for network in networks for end in (network[0], network[-1])}
        if self.family == 6:
            ends = {network[0] for network in networks}
        return target.is_multicast or target in ends or address == "255.255.255.255"

    def mac(self, name: str) -> str:
        """Return the hardware address that the laboratory gives an interface."""
        names = [interface.name for interface in self.interfaces]
        return f"02:00:00:00:00:{names.index(name) + 1:02x}"


class Flow(_Plain):
    """One direction of a connection."""

    src: str
    dst: str
    sport: int = 0
    dport: int = 0


class Entry(_Plain):
    """A connection that conntrack knows before the packet comes."""

    original: Flow
    reply: Flow
    mark: int = 0
    zone: int = 0
    seen_reply: bool = True
    assured: bool = True


class Probe(_Plain):
    """A packet to send: header fields as the sender sets them.

    Attributes:
        source: the interface that it arrives on (a bridge port for a guest), or "host".
        length: total length of the IP packet; 0 represents header and payload.
        fragment: "first", "middle" or "last"; later fragments hold payload only.
        payload: what follows the transport header, in hexadecimal.
        tcp_options: kind -> data in hexadecimal.
        extension_headers: IPv6 headers before the transport header: (protocol number, all bytes after
            the next-header field's, in hexadecimal).
        body: for ICMP the four bytes after the checksum, for other headers that have no fields here
            the whole transport header, in hexadecimal.
        bad_checksum: send it with a wrong transport checksum.
        bad_length: the UDP header names another length than the datagram has; to conntrack it is INVALID.
        connection: an entry that conntrack has when the packet comes.
        expected_by: the conntrack helper of a connection that has announced the packet's.
        socket: the host has a socket for the packet: "bound" to its address, "any" for all addresses,
            "transparent" and bound.
        dont_fragment: the DF flag of IPv4.
        before: packets that were sent before it, one by one, and what happened to them stays.
        replies: it is the reply to the packet sent before it.

    """

    source: str
    src: str
    dst: str
    proto: int = 6
    sport: int = 0
    dport: int = 0
    tcp_flags: int = TCP_FLAGS["SYN"]
    tcp_options: dict[int, str] = Field(default_factory=dict)
    icmp_type: int = 0
    icmp_code: int = 0
    ttl: int = 64
    tos: int = 0
    length: int = 0
    fragment: Literal["first", "middle", "last"] | None = None
    payload: str = ""
    extension_headers: tuple[tuple[int, str], ...] = ()
    body: str = ""
    mark: int = 0
    uid: int = 0
    gid: int = 0
    src_mac: str | None = None
    dst_mac: str | None = None
    bad_checksum: bool = False
    bad_length: bool = False
    connection: Entry | None = None
    expected_by: Literal["", "ftp", "sane"] = ""
    socket: Literal["", "bound", "any", "transparent"] = ""
    dont_fragment: bool = False
    before: tuple[Probe, ...] = ()
    replies: bool = False

    @property
    def local(self) -> bool:
        """Whether the host itself sends it."""
        return self.source == "host"

    @property
    def has_ports(self) -> bool:
        """Whether its first bytes are a source and a destination port."""
        return self.proto in PORT_PROTOCOLS and self.fragment not in ("middle", "last")
