"""What ip(8) and bridge(8) print as JSON, as far as we read it.

The models take whatever else is in there without a word; a key that is there but holds something
absurd is an error that names its place.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Foreign(BaseModel):
    """A JSON object of another program; unknown keys are left alone."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, defer_build=True)


#: Programs write null where they have nothing to list.
Texts = Annotated[list[str], BeforeValidator(lambda value: [] if value is None else value)]
#: Numbers that ip prints as text where they have no name in /etc/iproute2.
NumberOrName = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class AddressEntry(Foreign):
    """An element of `addr_info` of `ip -j addr`."""

    family: str = ""
    local: str | None = None
    address: str | None = None
    prefixlen: int = 0
    broadcast: str | None = None
    scope: NumberOrName = "global"
    secondary: bool = False
    deprecated: bool = False
    temporary: bool = False
    dadfailed: bool = False


class LinkInfo(Foreign):
    """`linkinfo` of `ip -j -d link`."""

    info_kind: str | None = None
    info_data: dict[str, Any] = {}
    info_slave_kind: str | None = None
    info_slave_data: dict[str, Any] = {}


class LinkEntry(Foreign):
    """An interface as `ip -j addr`, `ip -j -d link` and `bridge -j link` print it."""

    ifindex: int | None = None
    ifname: str | None = None
    flags: Texts = []
    link: str | None = None
    link_index: int | None = None
    link_netnsid: int | None = None
    link_type: str | None = None
    master: str | None = None
    mtu: int | None = None
    address: str | None = None
    group: NumberOrName | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    linkinfo: LinkInfo | None = None
    addr_info: list[AddressEntry] = []


class ViaEntry(Foreign):
    """`via` of a route: a gateway of another family."""

    family: str
    host: str


class NextHopEntry(Foreign):
    """An element of `nexthops` of a route."""

    gateway: str | None = None
    via: ViaEntry | None = None
    dev: str | None = None
    weight: int = 1
    flags: Texts = []


class RouteEntry(NextHopEntry):
    """A route of `ip -j route show table all`."""

    dst: str = "default"
    type: str = "unicast"
    table: NumberOrName = "main"
    scope: NumberOrName = "global"
    prefsrc: str | None = None
    metric: int | None = None
    tos: NumberOrName | None = None
    protocol: NumberOrName | None = None
    pref: str | None = None
    source: str | None = Field(None, alias="from")
    nexthops: list[NextHopEntry] = []


class RuleEntry(Foreign):
    """A policy rule of `ip -j rule`. `not`, `nop` and `l3mdev` are there, holding null, or absent."""

    priority: int = 0
    src: str = "all"
    srclen: int | None = None
    dst: str = "all"
    dstlen: int | None = None
    table: NumberOrName | None = None
    iif: str | None = None
    oif: str | None = None
    fwmark: NumberOrName | None = None
    fwmask: NumberOrName | None = None
    tos: NumberOrName | None = None
    ipproto: NumberOrName | None = None
    sport: int | None = None
    sport_start: int | None = None
    sport_end: int | None = None
    dport: int | None = None
    dport_start: int | None = None
    dport_end: int | None = None
    uid_start: int | None = None
    uid_end: int | None = None
    suppress_prefixlen: int | None = None
    suppress_ifgroup: NumberOrName | None = None
    goto: NumberOrName | None = None
    action: str | None = None
    negated: Any = Field(False, alias="not")
    nop: Any = False
    l3mdev: Any = False


class NeighbourEntry(Foreign):
    """An entry of `ip -j neigh`."""

    dst: str | None = None
    dev: str | None = None
    lladdr: str | None = None
    state: Texts = []


class ForwardingEntry(Foreign):
    """An entry of `bridge -j fdb`."""

    mac: str | None = None
    ifname: str | None = None
    master: str | None = None
    state: NumberOrName | None = None


class GuestEntry(Foreign):
    """A namespace of `container-netns.json`."""

    addr: list[LinkEntry] = []
    route: list[RouteEntry] | None = None
    route6: list[RouteEntry] | None = None
    rule: list[RuleEntry] = []
    rule6: list[RuleEntry] = []
    sysctl: str | None = None
    iptables: str | None = Field(None, alias="iptables-save")
    ip6tables: str | None = Field(None, alias="ip6tables-save")
    resolv_conf: str | None = Field(None, alias="resolv.conf")
    sockets: str | None = None
