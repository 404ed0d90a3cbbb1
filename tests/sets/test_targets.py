"""Which of the host's own addresses are followed together: those that neither the sender nor the host tells apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iptsim.dump import loads
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.host.namespace import Listener, RoutingRule
from iptsim.packet import TCP, address_text, parse_address
from iptsim.sets.landscape import Landscape
from iptsim.sets.space import Space
from iptsim.sets.targets import Targets

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"
#: The host's addresses: of eth0, and of the bridges of the networks bridge, front and back.
ETH0, BRIDGE, FRONT, BACK = "192.0.2.10", "172.17.0.1", "172.30.0.1", "172.31.0.1"


def together(host: Host, sender: str | None) -> list[set[str]]:
    """Return the groups of more than one destination."""
    namespace = None if sender is None else host.containers[sender].namespace
    groups = Targets(Landscape(host, Space(4))).of(namespace)
    return [{address_text(4, one.address) for one in group} for group in groups if len(group) > 1]


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
