"""Containers on macvlan and overlay networks, without a network, and in another one's: on top of a real capture.

That macvlan and overlay traffic passes no hook of the host was measured; a macvlan interface and the interface that
carries it do not hear each other (Documentation/networking, macvlan_hard_start_xmit).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.errors import UsageError
from iptsim.sources import loads_host

CAPTURE = Path(__file__).parent.parent / "fixtures/captures/docker-26.1/two-networks"


def endpoint(network: str, address: str) -> dict[str, Any]:
    gateway = "192.0.2.1" if network == "mv" else ""
    return {
        network: {"IPAddress": address, "IPPrefixLen": 24, "Gateway": gateway, "NetworkID": network[0] * 64}
    }


#: name, network mode, endpoints, running
CONTAINERS: list[tuple[str, str, dict[str, Any], bool]] = [
    ("mac1", "mv", endpoint("mv", "192.0.2.101"), True),
    ("mac2", "mv", endpoint("mv", "192.0.2.102"), True),
    ("task1", "ov", endpoint("ov", "10.0.1.3"), True),
    ("task2", "ov", endpoint("ov", "10.0.1.4"), True),
    ("alone", "none", {}, True),
    ("hosty", "host", {}, True),
    ("side", "container:web", {}, True),
    ("ring1", "container:ring2", {}, True),
    ("ring2", "container:ring1", {}, True),
    ("off", "bridge", {}, False),
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> iptsim.Host:
    path = tmp_path_factory.mktemp("networks") / "capture"
    shutil.copytree(CAPTURE, path)
    containers = json.loads((path / "docker-inspect.json").read_text())
    for number, (name, mode, networks, running) in enumerate(CONTAINERS):
        containers.append(
            {
                "Id": f"{number:064x}",
                "Name": f"/{name}",
                "State": {"Running": running},
                "HostConfig": {"NetworkMode": mode},
                "NetworkSettings": {"Networks": networks},
            }
        )
    (path / "docker-inspect.json").write_text(json.dumps(containers))
    networks = json.loads((path / "docker-network-inspect.json").read_text())
    for name, driver, subnet, gateway in (
        ("mv", "macvlan", "192.0.2.0/24", "192.0.2.1"),
        ("ov", "overlay", "10.0.1.0/24", "10.0.1.1"),
    ):
        pool = {"Config": [{"Subnet": subnet, "Gateway": gateway}]}
        networks.append({"Id": name[0] * 64, "Name": name, "Driver": driver, "IPAM": pool})
    (path / "docker-network-inspect.json").write_text(json.dumps(networks))
    return iptsim.load_host(path)


@pytest.mark.parametrize(
    ("sender", "target", "verdict", "code"),
    [
        ("mac1", "mac2:80", "ACCEPT", "bypasses-iptables"),
        ("mac1", "internet:443", "ACCEPT", "bypasses-iptables"),
        ("internet", "mac1:80", "ACCEPT", "bypasses-iptables"),
        ("mac1", "mac1:80", "ACCEPT", "inside-namespace"),
        # its gateway outside may send it back to this host, or elsewhere
        ("mac1", "app:80", "DEPENDS", "undecided-match"),
        ("mac1", "host:22", "DROP", "macvlan-host"),
        ("host", "mac1:80", "DROP", "macvlan-host"),
        # forwarded by the host, it would leave by the interface that carries mac1
        ("app", "mac1:80", "DROP", "macvlan-host"),
        ("task1", "task1:80", "ACCEPT", "inside-namespace"),
        ("task1", "task2:80", "ACCEPT", "bypasses-iptables"),
        ("host", "task1:80", "DROP", "no-route"),
        ("app", "task1:80", "DROP", "no-route"),
        ("alone", "internet:80", "DROP", "no-route"),
        ("hosty", "internet:80", "ACCEPT", "policy-accept"),
        ("side", "internet:80", "ACCEPT", "outgoing"),
        ("ring1", "internet:80", "DROP", "no-route"),
    ],
)
def test_where_packets_go(host: iptsim.Host, sender: str, target: str, verdict: str, code: str) -> None:
    answer = iptsim.explain(host, sender, target)
    assert (answer.verdict, answer.reason.code) == (verdict, code)


@pytest.mark.parametrize(("sender", "target"), [("off", "internet"), ("internet", "off"), ("host", "alone")])
def test_who_has_no_address_can_not_be_asked(host: iptsim.Host, sender: str, target: str) -> None:
    with pytest.raises(UsageError, match=r"not running|has no IPv4 address"):
        iptsim.explain(host, sender, target)


SHIM = """\
PARENT=eth0
docker network create -d macvlan --subnet 192.168.1.0/24 --gateway 192.168.1.1 -o parent=$PARENT lan
docker run -d --name web --network lan --ip 192.168.1.193 nginx
ip link add shim link $PARENT type macvlan mode bridge
ip addr add 192.168.1.210/32 dev shim
"""


@pytest.mark.parametrize(
    ("more", "sender", "target", "verdict"),
    [
        ("ip route add 192.168.1.192/27 dev shim\n", "host", "web:80", "ACCEPT"),
        ("ip route add 192.168.1.192/27 dev shim\n", "web", "192.168.1.210:53", "ACCEPT"),
        # the host answers ARP requests for its other addresses on each interface
        ("ip route add 192.168.1.192/27 dev shim\n", "web", "192.168.1.254:53", "ACCEPT"),
        # without the route, its replies leave by eth0
        ("", "web", "192.168.1.254:53", "DROP"),
        ("", "host", "web:80", "DROP"),
    ],
)
def test_an_interface_of_the_host_beside_the_containers(
    more: str, sender: str, target: str, verdict: str
) -> None:
    """Measured with pings, in the kernel."""
    host = loads_host(SHIM + more)
    assert host.networks["lan"].options["parent"] == "eth0"
    answer = iptsim.explain(host, sender, target)
    assert answer.verdict == verdict
    if (sender, verdict) == ("web", "ACCEPT"):
        assert any(
            step.interfaces[0] == "shim" for step in answer.trace.legs[0].steps if step.hook == "INPUT"
        )
