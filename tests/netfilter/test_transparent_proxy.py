"""Packets that a transparent proxy takes; expected outcomes from connections in namespaces, with and without `ip rule`.

A client behind the router opens connections to a server; on the router a program with IP_TRANSPARENT listens or not.
"""

from __future__ import annotations

import pytest

from iptsim.host import Host
from iptsim.host.namespace import Route, RoutingRule
from iptsim.netfilter.trace import Trace
from tests.netfilter.hosts import ask, dump, nft_router, number, router

_TO_PROXY = dump(mangle="-A PREROUTING -p tcp -j TPROXY --on-port 7893 --on-ip 127.0.0.1 --tproxy-mark 1")
_LOCAL = [
    RoutingRule(family=4, priority=0, table="local"),
    RoutingRule(family=4, priority=32766, table="main"),
]
_MARKED = RoutingRule(family=4, priority=100, fwmark=1, table="100")


def routed(host: Host, *, to_proxy: bool) -> Host:
    host.namespace.rules += [*_LOCAL, _MARKED] if to_proxy else _LOCAL
    host.namespace.routes.append(
        Route(family=4, destination=0, prefix_length=0, type="local", device="lo", table="100")
    )
    return host


def nft(*statements: dict[str, object]) -> Host:
    tcp = {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}
    return nft_router({"name": "p", "type": "filter", "hook": "prerouting", "prio": -150}, tcp, *statements)


def through(host: Host, *, listens: bool) -> Trace:
    return ask(
        host, sender="10.1.0.9", to="10.2.0.9", dport=80, facts={"tproxy_listener": listens}, in_="eth0"
    )


def receiver(trace: Trace) -> str:
    delivered = trace.legs[0].delivered
    return delivered.kind if delivered is not None else trace.verdict


@pytest.mark.parametrize(("to_proxy", "expected"), [(True, "host"), (False, "DROP")])
def test_the_kernel_does_not_forward_what_a_proxy_has_taken(expected: str, *, to_proxy: bool) -> None:
    assert receiver(through(routed(router(_TO_PROXY), to_proxy=to_proxy), listens=True)) == expected


@pytest.mark.parametrize(
    ("to_proxy", "filters", "expected", "forgotten"),
    [
        (False, "1", "outside", True),
        (True, "1", "host", True),
        (True, "0", "host", False),
        (False, "0", "DROP", False),
    ],
)
def test_a_bridge_loses_the_socket_of_the_proxy(
    filters: str, expected: str, *, to_proxy: bool, forgotten: bool
) -> None:
    """In namespaces, connections of a guest timed out with bridge-nf-call-iptables=1, and were made with 0.

    Without the routing rule, the packet was forwarded with 1, and dropped with 0.
    """
    sysctls = {"net.bridge.bridge-nf-call-iptables": filters}
    host = routed(router(_TO_PROXY, sysctls=sysctls), to_proxy=to_proxy)
    trace = ask(host, sender="a", to="10.2.0.9", dport=80, facts={"tproxy_listener": True})
    assert receiver(trace) == expected
    notes = (str(note) for note in trace.assumptions)
    assert any("forgets the proxy's socket" in note for note in notes) == forgotten


def test_an_ordinary_program_cannot_reply_from_an_address_that_the_host_does_not_have() -> None:
    """A connection to it timed out in namespaces; with IP_TRANSPARENT on the listening socket, it was made."""
    host = routed(router(dump(mangle="-A PREROUTING -p tcp -j MARK --set-mark 1")), to_proxy=True)
    trace = through(host, listens=True)
    assert receiver(trace) == "host"
    assert any("IP_TRANSPARENT" in str(note) for note in trace.assumptions)


@pytest.mark.parametrize(("table", "expected"), [("100", "no-source"), ("local", "")])
def test_the_kernel_replies_to_pings_only_from_addresses_in_table_local(table: str, expected: str) -> None:
    """In namespaces, only addresses of `ip route add local` replied to pings, not one that `ip rule` leads here."""
    host = router(dump(filter=":INPUT ACCEPT"))
    host.namespace.rules += [*_LOCAL, RoutingRule(family=4, priority=100, iif="eth0", table="100")]
    host.namespace.routes.append(
        Route(
            family=4,
            destination=number("203.0.113.0"),
            prefix_length=24,
            type="local",
            device="lo",
            table=table,
        )
    )
    trace = ask(host, in_="eth0", src="10.1.0.9", dst="203.0.113.5", proto="icmp")
    assert [leg.verdict for leg in trace.legs] == ["ACCEPT", "DROP" if expected else "ACCEPT"]
    assert "".join(step.code for step in trace.legs[1].steps) == expected


_PROXY: dict[str, object] = {"tproxy": {"addr": "127.0.0.1", "port": 7893}}
_MARK: dict[str, object] = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": 1}}
_DROP: dict[str, object] = {"drop": None}
_ACCEPT: dict[str, object] = {"accept": None}


@pytest.mark.parametrize(
    ("statements", "to_proxy", "listens", "expected"),
    [
        ((_PROXY, _MARK, _ACCEPT), True, True, "host"),
        ((_PROXY, _MARK, _ACCEPT), False, True, "DROP"),
        ((_PROXY, _MARK, _DROP), True, False, "outside"),
        ((_PROXY, _DROP), True, True, "DROP"),
    ],
)
def test_tproxy_of_nftables(
    statements: tuple[dict[str, object], ...], expected: str, *, to_proxy: bool, listens: bool
) -> None:
    assert receiver(through(routed(nft(*statements), to_proxy=to_proxy), listens=listens)) == expected


def test_a_route_to_the_proxy_is_assumed_where_no_policy_rules_are_known() -> None:
    trace = through(router(_TO_PROXY), listens=True)
    assert receiver(trace) == "host"
    assert any("ip rule" in str(note) for note in trace.assumptions)


@pytest.mark.parametrize(("kind", "expected"), [("route", "DROP"), ("filter", "ACCEPT")])
def test_only_a_chain_of_type_route_routes_the_hosts_own_packets_again(kind: str, expected: str) -> None:
    host = nft_router({"name": "o", "type": kind, "hook": "output", "prio": -150}, _MARK)
    host.namespace.rules += [*_LOCAL, _MARKED]
    host.namespace.routes.append(
        Route(family=4, destination=0, prefix_length=0, type="blackhole", table="100")
    )
    assert ask(host, sender="host", to="10.2.0.9", dport=80).verdict == expected
