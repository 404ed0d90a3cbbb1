"""`svc/NAME` and `nodeport/N` as destinations, and the services, zones and jails that a host lists.

The addresses are those of the rules of kube-proxy, firewalld and fail2ban in the captures.
"""

from __future__ import annotations

import pytest

import iptsim
from iptsim.errors import UsageError
from iptsim.host import load_host
from iptsim.host.kube_services import service_ports
from iptsim.owners.zones_and_jails import jails, zones
from iptsim.render.explanation import as_text
from tests.docker.hosts import FIXTURES

KUBE = FIXTURES / "hosts/kube"


@pytest.mark.parametrize(
    ("name", "dport", "destination"),
    [
        ("svc/web", None, ("10.96.12.34", 80)),
        ("svc/web", 80, ("10.96.12.34", 80)),
        ("svc/default/web:http", None, ("10.96.12.34", 80)),
        ("svc/edge", None, ("10.96.55.66", 443)),
        ("nodeport/30080", None, ("192.0.2.10", 30080)),
        ("nodeport/30099", None, ("192.0.2.10", 30099)),
    ],
)
def test_services_are_destinations(name: str, dport: int | None, destination: tuple[str, int]) -> None:
    packet = iptsim.explain(KUBE, "web1", name, dport=dport).as_json()["legs"][0]["packet"]
    assert (packet["dst"], packet["dport"]) == destination


def test_a_service_gives_the_protocol_of_its_port() -> None:
    answer = iptsim.explain(KUBE, "web1", "svc/kube-dns:53")
    assert answer.what == "udp/53"
    assert as_text(answer).splitlines()[0].endswith("udp/53, new connection")


def test_a_service_without_endpoints_rejects() -> None:
    answer = iptsim.explain(KUBE, "web1", "svc/idle")
    assert answer.verdict == "REJECT"
    assert "service default/idle:http has no endpoints" in answer.reason.text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("svc/nope", "unknown service 'nope'; choose from: svc/kube-system/kube-dns:53, svc/web:80"),
        ("svc/web:81", "unknown service 'web:81'"),
        ("nodeport/1", "unknown node port '1'; choose from: nodeport/30080, nodeport/30090, nodeport/30099"),
    ],
)
def test_unknown_services(name: str, told: str) -> None:
    to, _, port = name.partition(":")
    with pytest.raises(UsageError) as caught:
        iptsim.explain(KUBE, "web1", to, dport=int(port) if port else None)
    assert told in str(caught.value)


def test_a_host_without_services() -> None:
    with pytest.raises(UsageError, match="unknown service 'web'; the rules show none"):
        iptsim.explain(FIXTURES / "hosts/ufw", "internet", "svc/web")


def test_what_a_host_lists() -> None:
    assert {port.question for port in service_ports(load_host(KUBE))} >= {"svc/web:80", "nodeport/30080"}
    assert zones(load_host(FIXTURES / "hosts/firewalld")) == {
        "drop": ["ipset blocked"], "trusted": ["192.0.2.20"], "public": ["eth0", "default"],
        "internal": ["eth1"], "dmz": ["eth2"],
    }  # fmt: skip
    assert jails(load_host(FIXTURES / "hosts/fail2ban"))["sshd"][:2] == ["198.51.100.66", "203.0.113.99"]
