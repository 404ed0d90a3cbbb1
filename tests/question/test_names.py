"""Who a name is from the sender's point of view, and containers without a network of their own."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim import Explanation, Host
from iptsim.errors import UsageError
from iptsim.reaching import reach
from tests.netfilter.hosts import ask, dump, router

FIXTURES = Path(__file__).parents[2] / "fixtures/captures"


def said(explanation: Explanation) -> list[str]:
    return [sentence for sentence in map(str, explanation.assumptions) if "could not resolve" in sentence]


@pytest.mark.parametrize(
    ("capture", "sender", "name", "known"),
    [
        # /etc/hosts of client has the link's alias and the name of its target
        ("docker-28.5/icc-off-link", "client", "db", True),
        ("docker-28.5/icc-off-link", "client", "web", True),
        ("docker-28.5/icc-off-link", "other", "web", False),
        ("docker-28.5/icc-off-link", "other", "db", False),
        ("docker-28.5/icc-on", "client", "web", False),
        ("docker-28.5/icc-on", "client", "172.17.0.2", True),
        # names are known to those who share a network, in both directions
        ("docker-20.10/two-networks", "app", "db", True),
        ("docker-20.10/two-networks", "db", "app", True),
        ("docker-20.10/two-networks", "web", "db", False),
        ("docker-20.10/two-networks", "db", "web", False),
        ("docker-20.10/two-networks", "client", "web", False),
        # only containers resolve names
        ("docker-28.5/icc-on", "host", "web", True),
        ("docker-28.5/icc-on", "internet", "web", True),
    ],
)
def test_a_name_that_the_sender_cannot_resolve_is_said_so(
    capture: str, sender: str, name: str, known: bool
) -> None:
    answer = iptsim.explain(FIXTURES / capture, sender, name, dport=80)
    assert bool(said(answer)) is not known
    assert answer.trace.legs[0].packet.dst != 0


def test_an_alias_of_another_network_still_names_its_container() -> None:
    host = iptsim.load_host(FIXTURES / "docker-20.10/two-networks")
    db = host.containers["db"]
    db.endpoints["back"] = replace(db.endpoints["back"], aliases=("database",))
    assert said(iptsim.explain(host, "app", "database")) == []
    assert iptsim.explain(host, "app", "database").target == "db 172.31.0.2"
    answer = iptsim.explain(host, "client", "database")
    assert answer.target == "db 172.31.0.2"
    assert said(answer)[0].startswith(
        "The packet goes to database's address 172.31.0.2. client itself could not resolve the name: "
    )


def test_the_name_of_a_service_names_its_container(tmp_path: Path) -> None:
    """Compose gives every container its service's name as an alias in the networks of the project."""
    (tmp_path / "compose.yml").write_text("services:\n  web: {image: nginx}\n  db: {image: postgres}\n")
    host = iptsim.load_host(tmp_path / "compose.yml")
    web, db = (next(name for name in host.containers if f"-{service}-" in name) for service in ("web", "db"))

    answer = iptsim.explain(host, "web", "db", dport=5432)
    assert answer.trace.legs[0].sender == web
    assert answer.target.startswith(f"{db} ")
    assert {one.sender for one in reach(host, "web", "db").classes} == {web}


@pytest.mark.parametrize("network", ["back", "project_back"])
def test_a_service_in_a_network_by_their_names_in_the_compose_file(tmp_path: Path, network: str) -> None:
    networks = "networks: [front, back]"
    (tmp_path / "compose.yml").write_text(
        "name: project\nnetworks: {front: {}, back: {}}\nservices:\n"
        f"  web: {{image: nginx, {networks}}}\n  db: {{image: postgres, {networks}}}\n"
    )
    host = iptsim.load_host(tmp_path / "compose.yml")
    db = next(container for name, container in host.containers.items() if "-db-" in name)

    answer = iptsim.explain(host, "web", f"db@{network}", dport=5432)
    assert answer.trace.legs[0].packet.dst == db.endpoints["project_back"].address(4)
    with pytest.raises(UsageError):
        iptsim.explain(host, "web", "db@other", dport=5432)


def test_an_alias_of_two_containers_names_neither() -> None:
    host = iptsim.load_host(FIXTURES / "docker-20.10/two-networks")
    for name in ("db", "app"):
        container = host.containers[name]
        container.endpoints["back"] = replace(container.endpoints["back"], aliases=("same",))
    with pytest.raises(
        iptsim.IptsimError, match="'same' is the name of several containers; choose one: app, db"
    ):
        iptsim.explain(host, "client", "same")


def test_without_an_engine_nobody_knows_who_resolves_what() -> None:
    answer = iptsim.explain(FIXTURES / "docker-28.5/icc-on/iptables-save.txt", "172.17.0.3", "172.17.0.2")
    assert said(answer) == []


def test_the_embedded_resolver_is_inside_the_senders_namespace() -> None:
    answer = iptsim.explain(FIXTURES / "docker-20.10/two-networks", "app", "dns")
    assert answer.verdict == "ACCEPT"
    assert answer.trace.legs[0].inside
    # Docker's rules in the container's own namespace send it to the port of its resolver
    changes = [step.changes.get("dport") for step in answer.trace.legs[0].own_steps if step.changes]
    assert changes == [(53, 52550)]


# -- network_mode ----------------------------------------------------------------------------------


@pytest.fixture
def modes(tmp_path: Path) -> Host:
    """icc-on with three more containers: on the host's network, on none, and in web's namespace."""
    capture = tmp_path / "capture"
    shutil.copytree(FIXTURES / "docker-28.5/icc-on", capture)
    file = capture / "docker-inspect.json"
    entries = json.loads(file.read_text())
    web = next(entry for entry in entries if entry["Name"] == "/web")

    def entry(name: str, mode: str, *networks: str) -> dict[str, Any]:
        made: dict[str, Any] = deepcopy(web)
        made |= {"Name": f"/{name}", "Id": name.encode().hex().ljust(64, "0")}
        made["HostConfig"]["NetworkMode"] = mode
        made["NetworkSettings"] = {"Networks": {network: {"IPAddress": ""} for network in networks}}
        return made

    entries += [
        entry("on-host", "host", "host"),
        entry("alone", "none", "none"),
        entry("sidecar", f"container:{web['Id']}"),
    ]
    file.write_text(json.dumps(entries))
    return iptsim.load_host(capture)


def test_on_the_hosts_network_a_container_sends_as_the_host(modes: Host) -> None:
    answer = iptsim.explain(modes, "on-host", "web:80")
    assert answer.verdict == "ACCEPT"
    assert answer.sender == "host 172.17.0.1"
    assert {step.hook for step in answer.trace.legs[0].steps} == {"OUTPUT", "POSTROUTING"}
    assert "on-host has no network of its own: it uses the host's." in map(str, answer.assumptions)
    assert iptsim.explain(modes, "client", "on-host:80").target == "host 192.0.2.10"


def test_without_a_network_a_container_is_cut_off(modes: Host) -> None:
    answer = iptsim.explain(modes, "alone", "web:80")
    assert (answer.verdict, answer.reason.code) == ("DROP", "no-route")
    assert iptsim.explain(modes, "alone", "localhost:80").verdict == "ACCEPT"
    with pytest.raises(iptsim.IptsimError, match="container alone has no IPv4 address"):
        iptsim.explain(modes, "client", "alone:80")


def test_in_anothers_namespace_a_container_is_that_one(modes: Host) -> None:
    answer = iptsim.explain(modes, "sidecar", "client:80")
    assert (answer.verdict, answer.sender) == ("ACCEPT", "web 172.17.0.2")
    assert "sidecar has no network of its own: it uses that of web." in map(str, answer.assumptions)
    assert iptsim.explain(modes, "client", "sidecar:80").target == "web 172.17.0.2"
    # the two share their loopback
    assert iptsim.explain(modes, "sidecar", "web:80").trace.legs[0].inside


def test_changes_reach_those_who_share_a_namespace(modes: Host) -> None:
    answer = iptsim.whatif(modes, {"icc": False}, "sidecar", "client")
    assert answer.before is not None
    assert answer.after is not None
    assert (answer.before.verdict, answer.after.verdict) == ("ACCEPT", "DROP")
    gone = iptsim.whatif(modes, {"ip-forward": False}, "on-host", "internet")
    assert gone.after is not None
    assert gone.after.verdict == "ACCEPT"


def beside_web(folder: Path, name: str, *, newest: bool) -> Path:
    """A copy of a capture with another container in web's namespace; Docker lists the newest container first."""
    shutil.copytree(FIXTURES / "docker-28.5" / name, folder)
    entries = json.loads((folder / "docker-inspect.json").read_text())
    web = next(entry for entry in entries if entry["Name"] == "/web")
    aside = deepcopy(web)
    aside.update(Name="/aside", Id="abc" + "0" * 61)
    aside["HostConfig"]["NetworkMode"] = f"container:{web['Id']}"
    aside["NetworkSettings"].update(Networks={}, Ports={})
    (folder / "docker-inspect.json").write_text(
        json.dumps([aside, *entries] if newest else [*entries, aside])
    )
    return folder


def test_a_borrowed_network_is_told_once_by_whatever_name(tmp_path: Path) -> None:
    where = beside_web(tmp_path / "capture", "published", newest=False)
    told = "aside has no network of its own: it uses that of web."
    for sender, target in (("abc", "client"), ("aside", "aside")):
        assert [*map(str, iptsim.explain(where, sender, target, dport=80).assumptions)].count(told) == 1


def test_a_namespace_saved_under_the_name_of_one_that_shares_it(tmp_path: Path) -> None:
    """`iptsim collect` saves each namespace once."""
    where = beside_web(tmp_path / "capture", "listening", newest=True)
    namespaces = (where / "container-netns.json").read_text()
    for saved in ('"web":', '"aside":'):
        (where / "container-netns.json").write_text(namespaces.replace('"web":', saved))
        for name in ("web", "aside"):
            legs = [iptsim.explain(where, "client", name, dport=port).trace.legs[0] for port in (80, 82)]
            assert [leg.listening for leg in legs] == [True, False]


def test_a_port_behind_a_bare_ipv6_address_is_pointed_out() -> None:
    host = iptsim.load_host(FIXTURES / "docker-28.5/ipv6")
    told = "fd00:17::2:80 was read as an address; to give a port, write [fd00:17::2]:80."
    assert told in map(str, iptsim.explain(host, "client", "fd00:17::2:80").assumptions)
    assert not any(
        "was read as an address" in text
        for text in map(str, iptsim.explain(host, "client", "fd00:17::2").assumptions)
    )


@pytest.mark.parametrize(("asked", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_the_unspecified_address_is_the_sender_itself(asked: str, reached: str) -> None:
    """In a network namespace, connect() to it met a listener on 127.0.0.1, and on ::1."""
    answer = iptsim.explain(FIXTURES / "docker-28.5/published", "host", asked, dport=8080)
    assert (answer.verdict, answer.reason.code) == ("ACCEPT", "docker-proxy")
    assert answer.target == f"host {reached}"
    assert f"The destination {asked} is the sender itself: {reached}." in map(str, answer.assumptions)


def test_the_unspecified_address_is_the_one_that_the_sender_is_bound_to() -> None:
    """A socket that is bound to an address and connects to 0.0.0.0 has that address for its peer."""
    answer = iptsim.explain(FIXTURES / "docker-28.5/published", "172.17.0.1", "0.0.0.0", dport=8080)
    assert answer.target == "host 172.17.0.1"


def test_a_source_of_zeros_is_kept() -> None:
    """A DHCP client sends from 0.0.0.0 (RFC 2131, 4.1)."""
    host = router(dump(filter=":FORWARD ACCEPT"))
    trace = ask(host, sender="a", src="0.0.0.0", to="255.255.255.255", proto="udp", sport=68, dport=67)
    assert trace.legs[0].packet.src == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bridge", "'bridge' is a network, not an endpoint; choose one of its containers: client, web"),
        ("docker0", "'docker0' is an interface of the host"),
        ("example.com", "names of other hosts are not looked up"),
    ],
)
def test_what_is_no_party_is_told_from_what_is_unknown(name: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        iptsim.explain(FIXTURES / "docker-28.5/published", name, "web", dport=80)
    assert told in str(caught.value)


def test_a_second_address_of_a_container_is_the_one_that_is_used(tmp_path: Path) -> None:
    """Whoever names an address sends from it, and to it, though the interface's first address is another."""
    where = tmp_path / "capture"
    shutil.copytree(FIXTURES / "docker-28.5/icc-on", where)
    namespaces = json.loads((where / "container-netns.json").read_text())
    interface = next(one for one in namespaces["web"]["addr"] if one["ifname"] == "eth0")
    first = next(one for one in interface["addr_info"] if one["family"] == "inet")
    interface["addr_info"].append({**first, "local": "172.17.0.50", "secondary": True})
    (where / "container-netns.json").write_text(json.dumps(namespaces))
    sent = iptsim.explain(where, "172.17.0.50", "client:80")
    assert (sent.sender, sent.verdict) == ("web 172.17.0.50", "ACCEPT"), str(sent.reason.text)
    received = iptsim.explain(where, "client", "172.17.0.50:80")
    assert (received.target, received.verdict) == ("web 172.17.0.50", "ACCEPT")
