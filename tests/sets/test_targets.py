"""Which destinations are followed together: those that neither the sender nor the host tells apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iptsim.addresses import address_text, parse_address
from iptsim.dump import loads
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.host.namespace import Listener, RoutingRule
from iptsim.protocols import TCP
from iptsim.sets.landscape import Landscape
from iptsim.sets.space import Space
from iptsim.sets.targets import Targets

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"
#: The host's addresses: of eth0, and of the bridges of the networks bridge, front and back.
ETH0, BRIDGE, FRONT, BACK = "192.0.2.10", "172.17.0.1", "172.30.0.1", "172.31.0.1"


#: The networks of docker0, front, back and eth0 without the host's addresses, which have routes of their own.
ON_BRIDGE, ON_FRONT = {"172.17.0.0", "172.17.0.2"}, {"172.30.0.0", "172.30.0.2", "172.30.0.3"}
ON_BACK, ON_ETH0 = {"172.31.0.0", "172.31.0.2", "172.31.0.3"}, {"192.0.2.0", "192.0.2.1"}


def groups(host: Host, sender: str | None, interface: str = "eth0") -> list[set[str]]:
    """Return the groups of more than one destination, by the first address of each region."""
    namespace = None if sender is None else host.containers[sender].namespace
    found = Targets(Landscape(host, Space(4))).of(namespace, "" if namespace is not None else interface)
    return [{address_text(4, one.address) for one in group} for group in found if len(group) > 1]


def together(host: Host, sender: str | None) -> list[set[str]]:
    """Return the groups of the host's own addresses."""
    return [group for group in groups(host, sender) if group & {ETH0, BRIDGE, FRONT, BACK}]


def captured() -> Host:
    return load_host(CAPTURES / "docker-28.5/two-networks")


def test_by_which_bridge_the_host_gets_them() -> None:
    """A host takes packets to any of its addresses on any interface (ip_route_input_slow)."""
    assert together(captured(), None) == [{ETH0, BRIDGE, FRONT, BACK}]
    assert together(captured(), "client") == [{ETH0, BRIDGE, FRONT, BACK}]
    # its default route leads by back
    assert together(captured(), "app") == [{ETH0, BRIDGE, BACK}]


def test_what_tells_them_apart() -> None:
    host = captured()
    space = host.namespace
    listener = Listener(
        proto=TCP, port=80, address=parse_address(FRONT)[1], families={4: True}, interface=None
    )
    assert together(replace(host, namespace=replace(space, listeners=(listener,))), None) == [
        {ETH0, BRIDGE, BACK}
    ]
    rule = RoutingRule(family=4, priority=100, table="100", iif="eth0")
    assert together(replace(host, namespace=replace(space, rules=[rule], cache={})), None) == []
    limited = "*raw\n-A PREROUTING -m addrtype --dst-type LOCAL --limit-iface-in -j DROP\nCOMMIT\n"
    assert together(replace(host, rulesets={4: loads(limited)}), None) == []


def test_what_one_route_leads_to_is_told_apart_after_forward() -> None:
    """The kernel decides by the route until FORWARD; a neighbour on a link gets the frame itself."""
    host = captured()
    own = {ETH0, BRIDGE, FRONT, BACK}
    assert [one for one in groups(host, None) if not one & own] == [ON_BRIDGE, ON_FRONT, ON_BACK, ON_ETH0]
    # client is on docker0, app on front and back
    assert [one for one in groups(host, "client") if not one & own] == [ON_FRONT, ON_BACK, ON_ETH0]
    assert [one for one in groups(host, "app") if not one & own] == [ON_BRIDGE, ON_ETH0]
    # the port of a bridge may lead to a neighbour without the host
    assert [one for one in groups(host, None, "br-front") if not one & own] == []
    rule = RoutingRule(family=4, priority=100, table="100", iif="eth0")
    assert groups(replace(host, namespace=replace(host.namespace, rules=[rule], cache={})), None) == []


def test_where_a_sender_has_no_route() -> None:
    """A container of an internal network has a route to that network alone; elsewhere, its kernel sends nothing."""
    host = load_host(CAPTURES / "docker-28.5/internal-network")
    assert groups(host, "client") == [{BRIDGE, FRONT, ETH0}, {"172.30.0.0", "172.30.0.3"}, ON_ETH0]
    (unsent,) = groups(host, "app")
    assert {ETH0, BRIDGE, "172.17.0.2", "192.0.2.1"} < unsent
    assert not {"127.0.0.0", "172.30.0.2", "172.30.0.3", FRONT} & unsent
    # a policy rule may route some of the packets
    rule = RoutingRule(family=4, priority=100, table="100")
    app = host.containers["app"]
    space = replace(app.namespace, rules=[rule], cache={})
    host = replace(host, containers={**host.containers, "app": replace(app, namespace=space)})
    assert groups(host, "app") == []
