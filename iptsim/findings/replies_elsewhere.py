"""Replies of the host that leave by the tunnel of a VPN, though the request came by another interface.

The kernel routes a reply by its destination, not by where the request came from (ip-route(8)). So a VPN that takes the
default route also takes the replies of the host's services to clients outside: they leave with the address of the other
interface, and the client gets no reply. Only a routing rule sends them back the way they came: for that address, or for
a mark that the connection got when it arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from iptsim.addresses import BITS, Family, address_text, is_private
from iptsim.dump.ruleset import Ruleset
from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.host_traffic import TUNNEL
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.namespace import Interface, Route
from iptsim.languages import message
from iptsim.passages import shell


def by_tunnel(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, interfaces with a gateway to the internet, whose clients a tunnel keeps from replies."""
    for family in scene.families if scene.is_pasted else ():
        main = scene.outside_interface(family)
        if main is None or not _is_of_vpn(main, family):
            continue
        seen: set[str] = set()
        for route in scene.host.namespace.routes:
            name = route.device or ""
            if route.family != family or name == main.name or name in seen or not _leads_out(route, main):
                continue
            address = _own_address(scene, family, name)
            seen.add(name)
            if address is None:
                continue
            if _replies_by(scene, family, name, address) == {main.name}:
                yield _finding(scene, family, route, main.name, address)


def _is_of_vpn(main: Interface, family: Family) -> bool:
    """Return whether an interface is the tunnel of a VPN, not the uplink of a router, which has a public address."""
    own = (one for one in main.addresses if one.family == family and one.scope == "global")
    is_inner = all(is_private(family, address_text(family, one.address)) for one in own)
    return is_inner and TUNNEL.fullmatch(main.name) is not None


def _leads_out(route: Route, main: Interface) -> bool:
    """Return whether a route shows that its interface has a gateway to the internet, besides the main one.

    It is a default route that another one replaces, or the route to the server of the VPN. PPP also dials in to
    providers, so beside it only a default route counts.
    """
    if route.gateway is None or route.prefix_length not in (0, BITS[route.family]):
        return False
    to_server = not main.name.startswith("ppp") and not is_private(
        route.family, address_text(route.family, route.destination)
    )
    return route.prefix_length == 0 or to_server


def _own_address(scene: Scene, family: Family, name: str) -> int | None:
    """Return the host's address on an interface, None if it has none that others can reach."""
    interface = scene.host.namespace.interfaces.get(name)
    own = [
        one.address
        for one in (interface.addresses if interface is not None else ())
        if one.family == family and one.scope == "global"
    ]
    return own[0] if own else None


def _replies_by(scene: Scene, family: Family, name: str, own: int) -> set[str | None]:
    """Return the interfaces by which replies leave to clients outside that connect to an address of an interface.

    Table filter is left out, because it may block the port. There are none if rules that the text does not show may
    mark the replies.
    """
    marks = any(one.family == family and one.fwmark and not one.negated for one in scene.host.namespace.rules)
    if marks and not scene.shows(family, "mangle", "OUTPUT"):
        return set()
    to, world = address_text(family, own), scene.suppose("no table filter", _without_filter)
    shown = scene.ask("internet", to, family, world=world, proto="tcp", dport=SOME_PORT, **{"in": name})
    if shown is None:
        return set()
    ends = (one.legs[-1] for one in shown.trace.branches or [shown.trace])
    return {one.delivered.interface for one in ends if one.delivered and one.direction == "reply"}


def _without_filter(ruleset: Ruleset) -> Ruleset:
    return replace(ruleset, tables={name: one for name, one in ruleset.tables.items() if name != "filter"})


def _finding(scene: Scene, family: Family, route: Route, tunnel: str, address: int) -> Finding:
    name, own = route.device or "", address_text(family, address)
    shown = scene.ask("internet", own, family, proto="tcp", dport=SOME_PORT, **{"in": name})
    gateway = address_text(family, route.gateway or 0)
    ip = "ip" if family == 4 else "ip -6"
    return Finding(
        "replies-leave-by-vpn",
        message(
            "Connections from the internet that arrive on {name} get no reply: the replies leave by {tunnel}.",
            name=name,
            tunnel=tunnel,
        ),
        (
            Evidence(tunnel, message("the default route leaves by it")),
            Evidence(name, message("a route through the gateway {gateway} leaves by it", gateway=gateway)),
        ),
        message(
            "The kernel routes a reply by its destination, wherever the request came from. So the host answers clients"
            " outside through {tunnel}, with the address {address}, which is not the one of the VPN. Clients of the LAN"
            " are answered by {name}.",
            tunnel=tunnel,
            address=own,
            name=name,
        ),
        message(
            "Send these replies back by {name}, with a table of its own: {commands}",
            name=name,
            commands=shell(
                f"{ip} route add default via {gateway} dev {name} table 100",
                f"{ip} rule add from {own} table 100",
            ),
        ),
        shown if shown is not None and shown.trace.legs[0].verdict == "ACCEPT" else None,
        family,
    )
