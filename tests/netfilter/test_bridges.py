"""Guests of a bridge that only the neighbour and forwarding tables list, in questions as users ask them.

The hosts are those of the kernel cases, where the kernel's own traces show the way.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iptsim.addresses import Family
from iptsim.api import explain
from iptsim.host import load_host
from iptsim.host.containers import Container, Network, Subnet
from iptsim.host.model import Host
from iptsim.host.namespace import RoutingRule
from iptsim.netfilter.trace import Trace
from tests.kernel.cases import FOLDER, load_case
from tests.netfilter.hosts import add_policy_route, ask, dump, nft_router, number, route_of, router

SWITCHED = ["filter:FORWARD:1=ACCEPT"]


def host_of(case: str, folder: Path, *without: str) -> Host:
    """Read the host of a kernel case, from a capture that lacks some of its files."""
    for name, text in load_case(FOLDER / f"{case}.json").capture.items():
        if name not in ("container-netns.json", *without):
            (folder / name).write_text(text)
    return load_host(folder)


def ports(trace: Trace) -> list[tuple[str, list[str]]]:
    return [(way.verdict, route_of(way.legs[0])) for way in trace.branches]


@pytest.mark.parametrize(
    ("case", "guest"),
    [
        ("guest-of-neighbour-table-is-switched-nft", "10.3.0.1"),
        ("guest-of-neighbour-table-is-switched-nft-v6", "fd00:3::1"),
    ],
)
class TestGuestsOfTheNeighbourTable:
    @pytest.mark.parametrize("arrives", [{}, {"in_": "vnet0"}, {"in_": "virbr0"}])
    def test_are_switched(self, case: str, guest: str, arrives: dict[str, str], tmp_path: Path) -> None:
        asked = (
            {"src": f"{guest}0", "dst": f"{guest}1"}
            if arrives
            else {"sender": f"{guest}0", "to": f"{guest}1"}
        )
        trace = ask(host_of(case, tmp_path), **asked, **arrives, proto="udp", reply=False)
        assert (trace.verdict, route_of(trace.legs[0])) == ("ACCEPT", SWITCHED)

    def test_isolated_ones_are_kept_apart(self, case: str, guest: str, tmp_path: Path) -> None:
        trace = ask(host_of(case, tmp_path), sender=f"{guest}2", to=f"{guest}3", proto="udp")
        assert (trace.verdict, route_of(trace.legs[0])) == ("DROP", ["BRIDGE=isolated-ports"])

    def test_without_the_tables_each_port_is_a_way_where_rules_look(
        self, case: str, guest: str, tmp_path: Path
    ) -> None:
        host = host_of(case, tmp_path, "ip-neigh.json", "bridge-fdb.json")
        trace = ask(host, in_="vnet0", src=f"{guest}0", dst=f"{guest}1", proto="udp", reply=False)
        assert trace.verdict == "DEPENDS"
        first, *others = ports(trace)
        assert first == ("ACCEPT", SWITCHED)
        assert {verdict for verdict, _ in others} == {"DROP"}


HOST = {
    "4": ("host-behind-bridged-uplink-answers", "192.0.2.10", "192.0.2.50", "198.51.100.7"),
    "6": ("host-behind-bridged-uplink-answers-v6", "2001:db8:1::10", "2001:db8:1::50", "2001:db8:9::7"),
}


@pytest.mark.parametrize("family", ["4", "6"])
class TestUplinkBehindABridge:
    """br0 over eth0 has the host's address, as KVM and LXD set it up."""

    def answer(self, family: str, folder: Path, **fields: Any) -> Trace:
        return ask(host_of(HOST[family][0], folder), **fields)

    def test_the_outside_comes_in_by_the_port(self, family: str, tmp_path: Path) -> None:
        _, own, _, outside = HOST[family]
        trace = self.answer(family, tmp_path, sender=outside, to=own)
        assert trace.verdict == "ACCEPT"
        assert route_of(trace.legs[0]) == ["filter:INPUT:1=ACCEPT"]
        assert trace.legs[0].steps[0].interfaces == ("br0", None)

    def test_the_gateway_answers(self, family: str, tmp_path: Path) -> None:
        trace = self.answer(family, tmp_path, sender="host", to=HOST[family][3])
        assert (trace.verdict, route_of(trace.legs[0])) == ("ACCEPT", ["filter:OUTPUT:1=ACCEPT"])

    def test_a_guest_uses_the_gateway_itself(self, family: str, tmp_path: Path) -> None:
        _, _, guest, outside = HOST[family]
        trace = self.answer(family, tmp_path, sender=guest, to=outside)
        assert [route_of(leg) for leg in trace.legs] == [
            ["filter:FORWARD:1=ACCEPT"],
            ["filter:FORWARD:2=ACCEPT"],
        ]
        assert [note for note in map(str, trace.assumptions) if "gateway" in note] != []

    def test_others_know_the_way_back_to_guests(self, family: str, tmp_path: Path) -> None:
        """Their addresses are those of the link that the gateway is on, not of a network behind the host."""
        _, own, guest, outside = HOST[family]
        host = host_of(HOST[family][0], tmp_path)
        version: Family = 4 if family == "4" else 6
        assert not host.is_inside(version, number(guest))
        assert not host.is_inside(version, number(own))
        trace = ask(host, sender=guest, to=outside)
        assert [note for note in map(str, trace.assumptions) if "route back" in note] == []

    def test_a_frame_to_the_host_is_routed(self, family: str, tmp_path: Path) -> None:
        _, _, guest, outside = HOST[family]
        asked = {"in_": "vnet0", "src": guest, "dst": outside, "reply": False}
        trace = self.answer(family, tmp_path, **asked, dst_mac="02:00:00:00:00:01")
        assert route_of(trace.legs[0]) == ["filter:FORWARD:3=DROP"]


def test_a_port_that_is_an_uplink_leads_outside() -> None:
    assert router(dump(filter=":FORWARD ACCEPT")).is_inside(4, number("10.9.0.77"))
    host = router(dump(filter=":FORWARD ACCEPT"))
    uplink = host.namespace.interfaces["eth1"]
    host.namespace.interfaces["eth1"] = replace(uplink, master="br0")
    assert not host.is_inside(4, number("10.9.0.77"))


def test_whoever_asked_gets_the_reply() -> None:
    """An address of docker0's subnet that is in no file has sent the packet, so somebody there has it."""
    host = router(dump(filter=":FORWARD ACCEPT"))
    host.networks["br0"] = Network(
        name="br0", bridge="br0", subnets=(Subnet(family=4, address=number("10.9.0.0"), prefix_length=24),)
    )
    trace = ask(host, sender="10.9.0.77", to="10.2.0.9")
    assert [leg.verdict for leg in trace.legs] == ["ACCEPT", "ACCEPT"]
    lost = ask(host, sender="10.2.0.9", to="10.9.0.77")
    assert [route_of(leg)[-1] for leg in lost.legs] == ["ROUTING=no-neighbour"]


def test_an_address_is_the_owners_of_the_network_namespace() -> None:
    host = router(dump(filter=":FORWARD ACCEPT"))
    owner = host.containers["a"]
    member = Container(
        "sidecar", namespace=owner.namespace, endpoints=owner.endpoints, network_mode="container:a"
    )
    host.containers = {"sidecar": member, **host.containers}
    trace = ask(host, sender="10.1.0.9", to="10.9.0.2")
    assert trace.legs[0].delivered is not None
    assert trace.legs[0].delivered.name == "a"


@pytest.mark.parametrize("family", ["", "-v6"])
def test_docker_is_not_named_where_there_is_none(family: str, tmp_path: Path) -> None:
    guest = "fd00:3::1" if family else "10.3.0.1"
    host = host_of(f"guest-of-neighbour-table-is-switched-nft{family}", tmp_path)
    host.namespace.sysctls[f"net.bridge.bridge-nf-call-ip{'6' if family else ''}tables"] = "0"
    answer = explain(host, f"{guest}0", f"{guest}1", proto="udp", dport=53)
    assert answer.reason.code == "bypasses-iptables"
    assert "icc" not in answer.reason.text


_ESTABLISHED = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "established"}}


def _port(number: int) -> dict[str, object]:
    left = {"payload": {"protocol": "tcp", "field": "dport"}}
    return {"match": {"op": "==", "left": left, "right": number}}


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        ([_port(80)], "DROP"),
        # whether a bridge tracks connections depends on its own rules, so their states are unknown
        ([_ESTABLISHED], "DEPENDS"),
        ([_port(81), _ESTABLISHED], "ACCEPT"),
        ([_port(80), _ESTABLISHED], "DEPENDS"),
    ],
)
def test_only_what_meets_a_condition_on_connections_depends_on_it(
    conditions: list[dict[str, object]], verdict: str
) -> None:
    base = {
        "family": "bridge",
        "name": "c",
        "type": "filter",
        "hook": "forward",
        "prio": 0,
        "policy": "accept",
    }
    host = nft_router(base, *conditions, {"drop": None})
    assert ask(host, sender="a", to="10.9.0.3", dport=80, reply=False).verdict == verdict


class TestBridgeThatIsDown:
    """Measured with `ip link set br0 down`: its ports are disabled, and no hook of the bridge or of IP sees a frame."""

    def host(self, name: str = "br0") -> Host:
        host = router(dump(filter="-A FORWARD -j ACCEPT\n-A INPUT -j ACCEPT"))
        host.namespace.interfaces[name] = replace(host.namespace.interfaces[name], up=False)
        return host

    @pytest.mark.parametrize("to", ["b", "host", "10.2.0.7", "10.9.0.255"])
    def test_takes_no_frame_from_its_ports(self, to: str) -> None:
        trace = ask(self.host(), sender="a", to=to, proto="udp", dport="53")
        assert (trace.verdict, route_of(trace.legs[0])) == ("DROP", ["BRIDGE=interface-down"])

    def test_nothing_passes_between_its_ports_if_one_is_down(self) -> None:
        assert route_of(ask(self.host("veth-a"), sender="a", to="b").legs[0]) == ["LINK=interface-down"]
        assert route_of(ask(self.host("veth-b"), sender="a", to="b").legs[0]) == ["LINK=interface-down"]

    def test_the_reason_says_how_to_set_it_up(self) -> None:
        reason = explain(self.host(), "a", "b").reason
        assert reason.code == "interface-down"
        assert "br0 is down." in reason.text
        assert reason.advice == "To set it up: ip link set br0 up"


@pytest.mark.parametrize(("strict", "steps"), [("1", ["ROUTING=rp-filter"]), ("2", None), ("0", None)])
def test_strict_rp_filter_drops_arp_requests_for_the_gateway(strict: str, steps: list[str] | None) -> None:
    """Measured: a rule sends the container's subnet to a table with a default route alone, as for a VPN.

    With the gateway's MAC address set by hand, packets to other machines pass. Replies need no ARP request.
    """
    host = router(dump(filter="-A FORWARD -j ACCEPT"), sysctls={"net.ipv4.conf.all.rp_filter": strict})
    rule = RoutingRule(family=4, priority=100, src=number("10.9.0.0"), src_length=24, table="100")
    add_policy_route(host, rule, "eth0", "10.1.0.254")
    trace = ask(host, sender="a", to="10.1.0.7", proto="udp", dport="53", reply=False)
    assert trace.verdict == ("DROP" if steps else "ACCEPT")
    assert steps is None or route_of(trace.legs[0]) == steps
    back = ask(host, sender="10.1.0.7", to="a", proto="tcp", dport="80")
    assert back.legs[1].verdict == "ACCEPT"


@pytest.mark.parametrize(
    ("filters", "asked", "notes"),
    [
        (1, {"sender": "10.3.0.10", "to": "10.3.0.11"}, 1),
        (1, {"sender": "host", "to": "10.3.0.10"}, 1),
        (1, {"sender": "host", "to": "127.0.0.1"}, 0),
        (0, {"sender": "10.3.0.10", "to": "10.3.0.11"}, 0),
    ],
)
def test_ports_of_a_bridge_that_separates_vlans_are_assumed_to_be_in_one(
    filters: int, asked: dict[str, str], notes: int, tmp_path: Path
) -> None:
    """`bridge vlan` is not in a capture; `ip -d link` shows that it would matter (bridge(8), vlan_filtering)."""
    host_of("guest-of-neighbour-table-is-switched-nft", tmp_path)
    links = json.loads((tmp_path / "ip-link.json").read_text())
    for link in links:
        if link.get("linkinfo", {}).get("info_kind") == "bridge":
            link["linkinfo"]["info_data"]["vlan_filtering"] = filters
    (tmp_path / "ip-link.json").write_text(json.dumps(links))
    trace = ask(load_host(tmp_path), **asked, proto="udp")
    assert sum("separates VLANs" in str(note) for note in trace.assumptions) == notes
