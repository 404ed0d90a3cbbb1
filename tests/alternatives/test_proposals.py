"""What would let a packet through, or keep it out."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

import iptsim
from iptsim import Host
from iptsim.alternatives import Proposal, change_host, proposals
from iptsim.alternatives.shifts import outcome_of
from iptsim.netfilter.walk import walk

FIXTURES = Path(__file__).parents[2] / "fixtures/captures"


@cache
def host(capture: str) -> Host:
    return iptsim.load_host(FIXTURES / capture)


def propose(capture: str, sender: str, to: str, dport: int) -> dict[str, Proposal]:
    answer = iptsim.explain(host(capture), sender, to, dport=dport)
    return {proposal.options: proposal for proposal in proposals(host(capture), answer)}


def also(proposal: Proposal) -> set[tuple[str, str, str, str]]:
    return {(shift.kind, shift.row.sender, shift.row.to, shift.row.what) for shift in proposal.also}


def test_icc_off_a_link_is_the_smallest() -> None:
    found = propose("docker-28.5/icc-off", "client", "web", dport=80)
    assert next(iter(found)) == "--link client:web"
    assert found["--link client:web"].also == ()
    assert also(found["--icc=true"]) == {
        ("opens", "client", "web", "other ports"),
        ("opens", "web", "client", "other ports"),
    }
    # a published port is open to the world
    assert ("opens", "internet", "host", "80/tcp") in also(found["--publish web:80:80/tcp"])


def test_a_link_needs_an_exposed_port() -> None:
    found = propose("docker-28.5/icc-off", "client", "web", dport=81)
    assert "--link client:web" not in found
    assert also(found["--expose web:81/tcp --link client:web"]) == {("opens", "client", "web", "80/tcp")}
    linked = propose("docker-28.5/icc-off-link", "client", "web", dport=81)
    assert next(iter(linked)) == "--expose web:81/tcp"


@pytest.mark.parametrize("capture", ["docker-20.10/two-networks", "docker-28.5/two-networks"])
def test_between_networks_a_common_one_helps(capture: str) -> None:
    found = propose(capture, "web", "db", dport=5432)
    assert {"--connect web:back", "--connect db:front"} <= set(found)
    assert ("opens", "web", "db", "other ports") in also(found["--connect web:back"])


def test_a_published_port_is_told_by_the_port_that_was_asked() -> None:
    """In DOCKER-USER, --dport would be the container's: DNAT came before."""
    found = propose("docker-28.5/published", "internet", "host", dport=8080)
    rule = next(proposal for proposal in found.values() if proposal.command)
    assert rule.command == (
        "iptables -I DOCKER-USER 1 -i eth0 -p tcp -m conntrack --ctorigdst 192.0.2.10 --ctorigdstport 8080 "
        "--ctdir ORIGINAL -j DROP"
    )
    assert rule.also == ()
    assert "--unpublish web:80/tcp" in found
    assert "--unpublish web:80/tcp --publish web:127.0.0.1:8080:80/tcp" in found


def test_icc_on_it_can_be_turned_off() -> None:
    found = propose("docker-28.5/icc-on", "client", "web", dport=80)
    assert found["--icc=false"].after.verdict == "DROP"
    assert "--disconnect client:bridge" not in found


def test_a_link_can_be_taken_away() -> None:
    found = propose("docker-28.5/icc-off-link", "client", "web", dport=80)
    assert also(found["--unlink client:web"]) == {("closes", "client", "web", "53/udp")}


def test_the_users_own_rule_can_go() -> None:
    found = propose("docker-28.5/host-firewall", "internet", "host", dport=9999)
    assert found["--delete 'INPUT 6'"].command == "iptables -D INPUT 6"
    closed = propose("docker-28.5/docker-user", "internet", "host", dport=8443)
    assert "--delete 'DOCKER-USER 4'" in closed


def test_forwarding_and_internal_networks() -> None:
    assert "--ip-forward=true" in propose("docker-28.5/forward-off", "internet", "host", dport=8080)
    for capture in ("docker-28.5/internal-network", "docker-20.10/internal-network"):
        if (FIXTURES / capture).is_dir():
            assert "--internal secret=false" in propose(capture, "app", "internet", dport=443)


def test_without_docker_there_are_rules() -> None:
    found = propose("hosts/ufw", "internet", "host", dport=9999)
    assert [proposal.command for proposal in found.values()] == [
        "iptables -I INPUT 1 -i eth0 -d 192.0.2.10/32 -p tcp --dport 9999 -j ACCEPT"
    ]


def test_where_there_is_no_docker_nothing_of_it_is_proposed() -> None:
    found = propose("hosts/podman-netavark", "internet", "host", dport=80)
    assert all(proposal.command for proposal in found.values())


def test_a_port_that_is_published_already_only_has_to_be_asked_for() -> None:
    found = propose("docker-28.5/icc-off-published", "client", "web", dport=80)
    proposal = next(one for one in found.values() if not one.changes)
    assert (str(proposal.asked.to), proposal.asked.dport) == ("host", 8080)
    assert proposal.also == ()


@pytest.mark.parametrize(
    ("capture", "sender", "to", "dport"),
    [
        ("docker-28.5/icc-off", "client", "web", 80),
        ("docker-28.5/icc-off-link", "other", "web", 80),
        ("docker-28.5/icc-on", "client", "web", 80),
        ("docker-28.5/published", "internet", "host", 8080),
        ("docker-20.10/published", "client", "host", 8080),
        ("docker-28.5/two-networks", "client", "db", 5432),
        ("docker-26.1/two-networks", "web", "db", 5432),
        ("docker-28.5/host-firewall", "internet", "host", 9999),
        ("docker-28.5/ipv6", "client", "fd00:17::2", 80),
        ("hosts/docker-many", "internet", "host", 8080),
    ],
)
def test_every_proposal_does_what_it_says(capture: str, sender: str, to: str, dport: int) -> None:
    answer = iptsim.explain(host(capture), sender, to, dport=dport)
    found = proposals(host(capture), answer)
    assert found
    for proposal in found:
        family = answer.trace.legs[0].packet.family
        changed = change_host(host(capture), proposal.changes, family)
        outcome = outcome_of(changed, walk(changed, proposal.asked))
        if answer.verdict == "ACCEPT":
            assert outcome != outcome_of(answer.host, answer.trace)
        else:
            assert outcome.verdict == "ACCEPT"
        json.dumps(proposal.as_json())


@pytest.mark.parametrize(("capture", "keeper"), [("hosts/ufw", "ufw"), ("hosts/firewalld", "firewalld")])
def test_a_rule_in_a_kept_chain_names_who_keeps_it(capture: str, keeper: str) -> None:
    found = propose(capture, "internet", "host", dport=9999)
    rule = next(proposal for proposal in found.values() if proposal.command)
    assert f"to keep it, also add it to {keeper}" in str(rule.text)


def test_where_a_reply_needs_a_rule_as_well_both_are_proposed() -> None:
    rules = iptsim.loads("*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\nCOMMIT\n")
    ferm = iptsim.load_host(FIXTURES / "hosts/ferm")
    ferm.rulesets = {4: rules}
    for target in ("host:22", "10.80.0.9:80"):
        answer = iptsim.explain(ferm, "internet", target)
        assert answer.verdict == "DROP"
        (proposal,) = proposals(ferm, answer)
        assert proposal.after.verdict == "ACCEPT"
        assert proposal.command.count("iptables -I ") == 2
        assert "RELATED,ESTABLISHED" in proposal.command


@pytest.mark.thorough
def test_what_opens_to_the_internet_is_always_checked() -> None:
    """30 containers: more connections than are checked, but never those from the internet and the host."""
    found = propose("hosts/docker-many", "c02", "c05", dport=80)
    assert found
    for proposal in found.values():
        published = [value for name, value in proposal.changes if name == "publish"]
        opened = [shift for shift in proposal.also if (shift.kind, shift.row.sender) == ("opens", "internet")]
        assert bool(published) == bool(opened)


def test_opening_to_the_internet_is_said_so() -> None:
    from iptsim.render.whatif import proposals_lines

    capture = host("docker-28.5/icc-off")
    answer = iptsim.explain(capture, "client", "web", dport=80)
    text = "\n".join(line.plain for line in proposals_lines(proposals(capture, answer), answer))
    assert "opens to the internet: host 80/tcp" in text


def test_proposals_for_ipv6_are_checked_by_ipv6() -> None:
    capture = host("docker-28.5/ipv6")
    answer = iptsim.explain(capture, "internet", "host", dport=8080, family=6)
    assert answer.verdict == "ACCEPT"
    for proposal in proposals(capture, answer):
        for shift in proposal.also:
            assert shift.row.port is not None or shift.row.proto == "icmpv6"
