"""Sentences that help, and none that speak of Docker where there is no Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim.asking import ask
from iptsim.question.model import Question
from iptsim.sources import loads_host

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"


def text_of(capture: str, sender: str, target: str) -> str:
    return iptsim.explain(CAPTURES / capture, sender, target).reason.text


def test_a_policy_that_accepts_a_forwarded_port_says_where_it_goes() -> None:
    text = text_of("hosts/podman-netavark", "internet", "host:8080")
    assert (
        "sends it to web 10.91.0.2:80. No rule decides, and the policy of filter FORWARD is ACCEPT." in text
    )


def test_no_place_is_named_where_chance_decides() -> None:
    text = text_of("hosts/kube", "internet", "host:30080")
    assert "Where it arrives depends on chance" in text
    assert "one of 2 endpoints: 10.244.0.10:8080, 10.244.0.11:8080" in text


@pytest.mark.parametrize(
    ("capture", "sender", "target"),
    [("hosts/kube", "host", "web1:8080"), ("hosts/libvirt", "dev", "192.0.2.10:22")],
)
def test_docker_is_left_out_where_there_is_none(capture: str, sender: str, target: str) -> None:
    text = text_of(capture, sender, target)
    assert "icc" not in text
    assert "DOCKER" not in text


def test_a_rule_for_everything_says_that_it_takes_what_comes_to_it() -> None:
    assert "accepts every packet that reaches it" in text_of("hosts/ufw", "198.51.100.7", "host:22")


def test_a_container_that_asks_itself_is_both_ends() -> None:
    answer = iptsim.explain(CAPTURES / "docker-28.5/published", "client", "127.0.0.1", dport=8080)
    assert (answer.sender, answer.target) == ("client 127.0.0.1", "client 127.0.0.1")


def test_who_got_no_address_is_called_by_name() -> None:
    answer = iptsim.explain(CAPTURES / "hosts/podman-netavark", "vault", "internet", dport=443)
    assert (answer.verdict, answer.sender) == ("DROP", "vault")


def test_advice_names_only_chains_that_are_there() -> None:
    rules = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i eth1 -o eth0 -p udp -j ACCEPT\nCOMMIT\n"
    host = iptsim.load_host(CAPTURES / "hosts/ferm")
    host.rulesets = {4: iptsim.loads(rules)}
    reason = iptsim.explain(host, "internet", "10.80.0.9:80").reason
    assert reason.code == "policy-drop"
    assert reason.advice == "To allow it, accept it and its replies in FORWARD."


def test_marks_are_shown_as_rules_write_them() -> None:
    rules = (
        "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x40/0xff\n"
        "-A PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff\nCOMMIT\n"
    )
    host = iptsim.load_host(CAPTURES / "hosts/ferm")
    host.rulesets = {4: iptsim.loads(rules)}
    text = str(iptsim.explain(host, "internet", "host:22"))
    assert "mark 0x0 → 0x40" in text
    assert "ctmark 0x0 → 0x40" in text


def test_ports_stand_behind_ipv6_addresses_in_brackets() -> None:
    text = text_of("docker-28.5/ipv6", "internet", "[2001:db8:2::10]:8080")
    assert "forwards it to web [fd00:17::2]:80." in text


def test_icmp_of_ipv6_is_called_so() -> None:
    answer = iptsim.explain(CAPTURES / "docker-28.5/ipv6", "client", "web", proto="icmp", family=6)
    assert str(answer).splitlines()[0].endswith("icmpv6, new connection")


@pytest.mark.parametrize(
    ("capture", "port", "more", "text"),
    [
        # -p 8080:80 -p 127.0.0.1:8081:81 -p 5353:53/udp: nobody listens elsewhere
        ("docker-28.5/published", 5353, {}, "web's port is published for 5353/udp, not for 5353/tcp."),
        ("docker-28.5/published", 8080, {"proto": "udp"}, "published for 8080/tcp, not for 8080/udp."),
        ("docker-28.5/published", 8081, {}, "published on 127.0.0.1 only"),
        # without docker-proxy nothing listens on IPv6 for a container that has IPv4 only
        ("docker-28.5/published-no-proxy", 8080, {"family": 6}, "web's port is published for IPv4 only."),
    ],
)
def test_a_port_that_is_published_otherwise_is_pointed_out(
    capture: str, port: int, more: dict[str, Any], text: str
) -> None:
    answer = iptsim.explain(CAPTURES / capture, "internet", "host", dport=port, **more)
    assert answer.trace.legs[0].delivered is not None
    assert answer.trace.legs[0].delivered.kind == "host"
    assert text in answer.reason.text


def test_a_container_without_ipv6_is_said_to_have_none() -> None:
    answer = iptsim.explain(CAPTURES / "docker-28.5/published", "client", "2001:db8::1", dport=443)
    assert (answer.verdict, answer.sender) == ("DROP", "client")
    assert "client has no IPv6 address: its networks (bridge) have no IPv6." in answer.reason.text


def test_questions_of_internal_networks_are_not_passed_on() -> None:
    """Docker 26 on does not forward them (CVE-2024-29018); c02 is on another network as well."""
    host = iptsim.load_host(CAPTURES / "hosts/docker-many")
    assert "forwards no query to other servers" in iptsim.explain(host, "c03", "dns").reason.text
    assert "forwards no query to other servers" not in iptsim.explain(host, "c02", "dns").reason.text


def test_advice_does_not_ask_for_what_was_done() -> None:
    # asked by the host's address and the published port; with docker-proxy the kernel let it through
    answer = iptsim.explain(CAPTURES / "docker-28.5/two-networks-no-proxy", "db", "host", dport=8080)
    assert answer.reason.code == "isolated-networks"
    assert "publish" not in answer.reason.advice
    assert "userland-proxy=true" in answer.reason.advice
    assert iptsim.explain(CAPTURES / "docker-28.5/two-networks", "db", "host", dport=8080).verdict == "ACCEPT"


def test_advice_on_internal_networks_looks_at_the_direction() -> None:
    inward = iptsim.explain(CAPTURES / "docker-28.5/internal-network", "client", "db", dport=5432)
    assert inward.reason.code == "internal-network"
    assert inward.reason.advice == "To allow it, connect the sender to that network."


def test_a_forwarded_port_that_icc_blocks_names_the_container_behind_it() -> None:
    """Without docker-proxy nat rules forward the host's port, also for a container of the same bridge."""
    host = iptsim.load_host(CAPTURES / "docker-28.5/published-no-proxy")
    changed = iptsim.whatif(host, {"icc": False}, "client", "host:8080").after
    assert changed is not None
    assert changed.reason.code == "icc-disabled"
    assert "sends it to web 172.17.0.2:80" in changed.reason.text
    assert "client has no link to web" in changed.reason.text


def test_a_port_that_is_published_for_the_other_family_is_not_called_unpublished() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/ipv6")
    web = host.containers["web"]
    web.published = [port for port in web.published if port.family == 4]
    # without the rules in raw and the ACCEPT for the port: as dockerd writes them for IPv4 only
    rules = host.rulesets[6]
    rules.tables.pop("raw")
    chain = rules.tables["filter"].chains["DOCKER"]
    chain.rules = [rule for rule in chain.rules if rule.target_name != "ACCEPT"]
    arrives: dict[str, Any] = {"in": "eth0"}
    answer = iptsim.explain(host, "2001:db8:2::99", "web:80", **arrives)
    assert answer.reason.code == "unpublished-port"
    assert "80/tcp of web is published for IPv4 only" in answer.reason.text
    assert answer.reason.advice == "To open it, publish the port for IPv6 as well."


def test_advice_on_forwarding_is_for_the_family() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/ipv6")
    host.namespace.sysctls["net.ipv6.conf.all.forwarding"] = "0"
    answer = iptsim.explain(host, "client", "2001:db8::1", dport=443)
    assert answer.reason.code == "ip-forward-off"
    assert "net.ipv6.conf.all.forwarding=1" in answer.reason.advice


def test_a_link_lets_the_server_connect_from_the_linked_port() -> None:
    """The rule for replies matches the source port (drivers/bridge/link.go); the link is client's, not web's."""
    text = iptsim.explain(
        CAPTURES / "docker-28.5/icc-off-link", "web", "client", dport=40000, sport=80
    ).reason.text
    assert text.startswith("client has a link to web (--link).")
    assert "web can also open connections to client from 80/tcp" in text


def test_the_resolver_asks_the_servers_that_are_set_from_the_container() -> None:
    """As traced with dockerd 20.10, 25.0, 26.1, 27.5, 28.5 and 29.7: the queries pass FORWARD of the host."""
    text = text_of("docker-28.5/dns", "app", "dns")
    assert "it asks 168.95.1.1, 8.8.8.8. That query comes from app's own address" in text
    assert "--to 168.95.1.1:53 -p udp" in text


def test_the_resolver_asks_the_hosts_servers_from_the_host() -> None:
    """resolv.conf says `ExtServers: [host(10.255.255.53)]` (libnetwork/internal/resolvconf of 28.5)."""
    text = text_of("docker-28.5/dns-of-the-host", "app", "dns")
    assert "it asks the host's DNS servers 10.255.255.53, from the host itself" in text


def test_links_open_no_ports_for_ipv6() -> None:
    """Libnetwork's links know IPv4 addresses only (drivers/bridge/link.go)."""
    host = iptsim.load_host(CAPTURES.parent / "docker/20.10-v6")
    reason = iptsim.explain(host, "app", "db", dport=53, proto="udp", family=6).reason
    assert reason.code == "icc-disabled"
    assert "links open ports for IPv4 only" in reason.text


def test_a_closed_port_that_is_published_is_reached_by_the_host() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/published")
    reason = iptsim.explain(host, "198.51.100.7", "172.17.0.2:80").reason
    assert (reason.code, reason.advice) == (
        "direct-route-drop",
        "To reach it, use port 8080 of the host: it is published there.",
    )
    # published on 127.0.0.1 only: no way for others
    assert "port 8081" not in iptsim.explain(host, "198.51.100.7", "172.17.0.2:81").reason.advice


def test_advice_speaks_of_docker_proxy_only_where_it_is() -> None:
    host = iptsim.load_host(CAPTURES / "hosts/libvirt")
    reason = iptsim.explain(host, "web", "host:8080").reason
    assert (reason.code, reason.advice) == (
        "hairpin-off",
        "Use web's own address, or enable hairpin mode on the bridge port.",
    )


def test_addresses_of_ipv6_with_ports_have_brackets_in_notes() -> None:
    host = iptsim.load_host(CAPTURES.parent / "docker/20.10-v6")
    reason = iptsim.explain(host, "cf", "2001:db8:2::10", dport=53, proto="udp").reason
    assert reason.code == "reply-not-recognised"
    assert "[fd00:30::1]:53" in reason.text
    assert "[2001:db8:2::10]:53" in reason.text


def test_a_listing_hides_whether_docker_proxy_gets_the_connection(tmp_path: Path) -> None:
    """Without -v, the RETURN for packets from a bridge looks as if it were for all; here, the bridges are unknown."""
    rules = {
        "PREROUTING": "DOCKER     all  --  0.0.0.0/0            0.0.0.0/0            ADDRTYPE match dst-type LOCAL\n",
        "OUTPUT": "",
        "POSTROUTING": "MASQUERADE  all  --  172.17.0.0/16        0.0.0.0/0\n",
        "DOCKER": "RETURN     all  --  0.0.0.0/0            0.0.0.0/0\n" * 2
        + "DNAT       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:8080 to:172.17.0.2:80\n",
    }

    def listed(chain: str) -> str:
        heading = "2 references" if chain == "DOCKER" else "policy ACCEPT"
        columns = "target     prot opt source               destination\n"
        return f"Chain {chain} ({heading})\n{columns}{rules.get(chain, '')}\n"

    nat = "".join(map(listed, ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING", "DOCKER")))
    path = tmp_path / "listing"
    path.write_text(
        f"# iptables -t nat -nL\n{nat}# iptables -nL\n{''.join(map(listed, ('INPUT', 'FORWARD', 'OUTPUT')))}# \n"
    )
    shown = iptsim.explain(iptsim.load_host(path), "internet", "host:8080")
    assert shown.verdict == "ACCEPT"
    assert shown.reason.text.startswith(
        "It is accepted in any case. Where it arrives depends on the interfaces"
    )


def test_chains_that_are_not_shown_are_named_in_one_sentence() -> None:
    names = ("apples", "pears", "plums", "figs", "dates")
    rows = "".join(f"{name}  all  --  0.0.0.0/0  0.0.0.0/0\n" for name in names)
    heading = "Chain INPUT (policy DROP)\ntarget     prot opt source               destination\n"
    answer = ask(loads_host(heading + rows), Question(sender="internet", to="host", dport=22))
    sentence = (
        "It depends on rules that the text does not show: "
        "those of filter apples, filter pears, filter plums and 2 more chains."
    )
    assert str(answer.reason.text) == sentence
    assert sentence in str(answer).splitlines()
