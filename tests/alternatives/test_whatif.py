"""What changes do to a packet, and to all checked connections."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import iptsim
from iptsim import Host, IptsimError, WhatIf
from iptsim.alternatives import change_host
from iptsim.netfilter.walk import walk
from iptsim.question.model import Question

FIXTURES = Path(__file__).parents[2] / "fixtures/captures"


@cache
def host(capture: str) -> Host:
    return iptsim.load_host(FIXTURES / capture)


def verdicts(answer: WhatIf) -> tuple[str | None, str | None]:
    before, after = answer.before, answer.after
    return before.verdict if before else None, after.verdict if after else None


def ask(changed: Host, sender: str, to: str, **fields: Any) -> str:
    return walk(changed, Question(**{"from": sender, "to": to, **fields})).verdict


def shifted(answer: WhatIf) -> list[tuple[str, str, str, str]]:
    return sorted((shift.kind, shift.row.sender, shift.row.to, shift.row.what) for shift in answer.shifts)


# -- one packet ------------------------------------------------------------------------------------


def test_both_answers_and_where_they_part() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-on"), {"icc": False}, "client", "web", dport=80)
    assert verdicts(answer) == ("ACCEPT", "DROP")
    place = answer.parting
    assert place is not None
    assert place.leg == 0
    assert place.before is not None
    assert place.after is not None
    assert place.before.rule is not None
    assert place.after.rule is not None
    assert place.before.rule.text == "-A DOCKER-FORWARD -i docker0 -j ACCEPT"
    assert place.after.rule.text == "-A DOCKER-FORWARD -i docker0 -o docker0 -j DROP"
    assert "filter DOCKER-FORWARD rule 4 drops the packet" in str(answer.why)
    assert str(answer.why).startswith("With --icc=false, ")
    assert answer.after is not None
    assert answer.after.reason.code == "icc-disabled"


def test_a_rule_that_only_moved_is_no_parting() -> None:
    change = [("insert", "DOCKER-USER 1 -s 10.0.0.1 -j DROP")]
    answer = iptsim.whatif(host("docker-28.5/docker-user"), change, "internet", "host", dport=8443)
    assert verdicts(answer) == ("DROP", "DROP")
    assert answer.parting is None
    assert "the same path as before: DROP" in str(answer.why)


def test_a_longer_way_parts_where_the_shorter_one_ends() -> None:
    """Without docker-proxy the host's own nat rules take what it sends to its loopback address."""
    answer = iptsim.whatif(
        host("docker-28.5/published"), {"userland-proxy": False}, "host", "localhost", dport=8080
    )
    assert verdicts(answer) == ("ACCEPT", "ACCEPT")
    assert answer.parting is not None
    assert answer.parting.after is not None
    assert answer.parting.after.verdict == "JUMP:DOCKER"
    assert "nat OUTPUT rule 1 jumps to DOCKER" in str(answer.why)


def test_where_one_way_has_a_chain_more_the_sentence_names_what_decided() -> None:
    """Docker 28 drops it in a table that 20.10 does not have; there, its rule for the published port lets it in."""
    answer = iptsim.whatif(host("docker-20.10/published"), {"engine": "28"}, "internet", "web", dport=80)
    assert str(answer.why).startswith("With --engine 28, raw PREROUTING rule 1 drops the packet")
    assert "without the change, filter DOCKER rule 2 accepts the packet" in str(answer.why)


def test_the_reply_alone_may_part() -> None:
    change = [("insert", "DOCKER-USER 1 -i eth0 -j DROP")]
    answer = iptsim.whatif(host("docker-28.5/published"), change, "client", "internet", dport=443)
    assert verdicts(answer) == ("ACCEPT", "DROP")
    assert answer.parting is not None
    assert answer.parting.leg == 1
    assert "the request takes the same path, but then filter DOCKER-USER rule 1 drops the packet" in str(
        answer.why
    )


def test_who_is_not_there_before_or_after_can_still_be_asked_about() -> None:
    gone = iptsim.whatif(host("docker-28.5/icc-on"), {"remove": "web"}, "client", "web", dport=80)
    assert verdicts(gone) == ("ACCEPT", None)
    assert "web is not running" in str(gone.why)
    with pytest.raises(IptsimError, match="unknown endpoint 'nobody'"):
        iptsim.whatif(host("docker-28.5/icc-on"), {"icc": False}, "client", "nobody")


def test_as_json() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-on"), {"icc": False}, "client", "web", dport=80)
    out = json.loads(json.dumps(answer.as_json()))
    assert out["schema"] == "iptsim.whatif/1"
    assert out["changes"] == [["icc", "false"]]
    assert [out[name]["verdict"] for name in ("before", "after")] == ["ACCEPT", "DROP"]
    assert out["parting"]["after"]["chain"] == "DOCKER-FORWARD"
    table = json.loads(json.dumps(iptsim.whatif(host("docker-28.5/icc-on"), {"icc": False}).as_json()))
    assert {
        "from": "client", "to": "web", "proto": "tcp", "dport": 80, "change": "closes",
        "before": {"verdict": "ACCEPT", "at": "web", "unanswered": False},
        "after": {"verdict": "DROP", "at": "", "unanswered": False},
    } in table["shifts"]  # fmt: skip


def test_side_by_side_as_text() -> None:
    lines = str(iptsim.whatif(host("docker-28.5/icc-on"), {"icc": False}, "client", "web")).splitlines()
    assert lines[0] == "What if  --icc=false"
    marked = [line for line in lines if "≠" in line]
    assert "ACCEPT" in marked[0].split("≠")[0]
    assert "DROP" in marked[0].split("≠")[1]


def test_what_is_printed_is_inert(tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_text(
        '*filter\n:FORWARD ACCEPT\n-A FORWARD -m comment --comment "\x1b[31m [bold]x" -j DROP\nCOMMIT\n'
    )
    text = str(iptsim.whatif(dump, {"policy": "FORWARD=DROP"}, "10.0.0.1", "10.1.0.1"))
    assert "\x1b" not in text
    assert "[bold]x" in text


# -- changes ---------------------------------------------------------------------------------------


def test_connecting_brings_interface_route_and_resolver() -> None:
    changed = change_host(host("docker-20.10/two-networks"), [("connect", "client:back")])
    client = changed.containers["client"]
    assert client.endpoints["back"].interface == "eth1"
    port = changed.namespace.interfaces[client.endpoints["back"].bridge_port or ""]
    assert port.master == "br-back"
    assert client.namespace.nameservers() == ["127.0.0.11"]
    # "back" comes before "bridge", so it has the default route
    default = next(route for route in client.namespace.routes if route.prefix_length == 0)
    assert (default.device, default.gateway) == ("eth1", 0xAC1F0001)
    for sender, to in (("client", "db"), ("db", "client")):
        assert ask(changed, sender, to, dport=5432) == "ACCEPT"
    assert ask(changed, "client", "internet", dport=443) == "ACCEPT"
    assert ask(changed, "client", "web", dport=80) == "DROP"


def test_disconnecting_takes_them_away() -> None:
    given = host("docker-28.5/two-networks")
    changed = change_host(given, [("disconnect", "app:back")])
    app = changed.containers["app"]
    assert list(app.endpoints) == ["front"]
    assert not {route.device for route in app.namespace.routes} - {"eth0"}
    assert given.containers["app"].endpoints["back"].bridge_port not in changed.namespace.interfaces
    assert ask(changed, "app", "db", dport=5432) == "DROP"
    assert ask(changed, "app", "web", dport=80) == "ACCEPT"
    assert ask(changed, "app", "internet", dport=443) == "ACCEPT"


def test_a_changed_host_can_be_changed_again() -> None:
    changes = [("connect", "client:back"), ("icc", "false"), ("connect", "web:bridge")]
    step_by_step = host("docker-28.5/two-networks")
    for change in changes:
        step_by_step = change_host(step_by_step, [change])
    at_once = change_host(host("docker-28.5/two-networks"), changes)
    for family in (4, 6):
        assert [rule.text for rule in step_by_step.rulesets[family].rules()] == [
            rule.text for rule in at_once.rulesets[family].rules()
        ]


def test_the_last_cable_takes_the_carrier_along() -> None:
    changed = change_host(host("docker-28.5/two-networks"), [("disconnect", "client:bridge")])
    assert not changed.namespace.interfaces["docker0"].carrier
    assert all(
        "linkdown" in r.flags for r in changed.namespace.routes if r.device == "docker0" and r.table == "main"
    )
    back = change_host(changed, [("connect", "client:bridge")])
    assert back.namespace.interfaces["docker0"].carrier
    assert ask(back, "client", "internet", dport=443) == "ACCEPT"


def test_an_internal_network_has_no_default_route_from_25_on() -> None:
    new = change_host(
        host("docker-28.5/two-networks"), [("internal", "back=true"), ("disconnect", "app:front")]
    )
    assert not any(route.prefix_length == 0 for route in new.containers["app"].namespace.routes)
    old = change_host(
        host("docker-20.10/two-networks"), [("internal", "back=true"), ("disconnect", "app:front")]
    )
    assert any(route.prefix_length == 0 for route in old.containers["app"].namespace.routes)
    for changed in (new, old):
        assert ask(changed, "app", "internet", dport=443) == "DROP"


def test_without_docker_proxy_bridges_get_hairpin_mode_and_loopback() -> None:
    changed = change_host(host("docker-28.5/published"), [("userland-proxy", "false")])
    assert all(port.hairpin for port in changed.namespace.ports("docker0"))
    assert changed.namespace.sysctl("net.ipv4.conf.docker0.route_localnet") == "1"
    assert ask(changed, "web", "host", dport=8080) == "ACCEPT"
    back = change_host(changed, [("userland-proxy", "true")])
    assert not any(port.hairpin for port in back.namespace.ports("docker0"))


def test_turning_icc_off_makes_iptables_see_the_bridge() -> None:
    """It sets bridge-nf-call-iptables for a network with icc off (setup_bridgenetfiltering.go)."""
    blind = change_host(host("docker-28.5/icc-on"), [("bridge-nf", "false")])
    assert ask(blind, "client", "web", dport=80) == "ACCEPT"
    assert ask(change_host(blind, [("icc", "false")]), "client", "web", dport=80) == "DROP"
    assert ask(change_host(host("docker-28.5/icc-off"), [("bridge-nf", "0")]), "client", "web") == "ACCEPT"


@pytest.mark.parametrize("change", [("icc", "false"), ("engine", "20.10"), ("publish", "client:9000:80")])
def test_the_users_rules_stay(change: tuple[str, str]) -> None:
    given = host("docker-28.5/docker-user")
    changed = change_host(given, [change])
    chain, kept = (one.rulesets[4].chain("filter", "DOCKER-USER") for one in (given, changed))
    assert chain is not None
    assert kept is not None
    end = ["-A DOCKER-USER -j RETURN"] if change[0] == "engine" else []
    assert [rule.text for rule in kept.rules] == [*(rule.text for rule in chain.rules), *end]


def test_rules_by_hand() -> None:
    given = host("docker-28.5/published")
    changed = change_host(
        given,
        [
            ("insert", "DOCKER-USER -s 172.17.0.3 -j DROP"),
            ("append", "DOCKER-USER -j RETURN"),
            ("insert", "DOCKER-USER 2 -p tcp -m conntrack --ctorigdstport 8080 -j DROP"),
            ("insert", "-t nat PREROUTING 1 -p tcp --dport 81 -j ACCEPT"),
            ("insert", "-t raw PREROUTING -s 192.0.2.99 -j DROP"),
        ],
    )
    ruleset = changed.rulesets[4]
    user = ruleset.chain("filter", "DOCKER-USER")
    assert user is not None
    assert [(rule.position, rule.text) for rule in user.rules] == [
        (1, "-A DOCKER-USER -s 172.17.0.3/32 -j DROP"),
        (2, "-A DOCKER-USER -p tcp -m conntrack --ctorigdstport 8080 -j DROP"),
        (3, "-A DOCKER-USER -j RETURN"),
    ]
    assert ruleset.rule("nat", "PREROUTING", 1).text == "-A PREROUTING -p tcp -m tcp --dport 81 -j ACCEPT"
    assert ask(changed, "internet", "host", dport=8080) == "DROP"
    fewer = change_host(changed, [("delete", "DOCKER-USER 2"), ("delete", "-t nat PREROUTING 1")])
    assert ask(fewer, "internet", "host", dport=8080) == "ACCEPT"
    assert fewer.rulesets[4].rule("filter", "DOCKER-USER", 2).text == "-A DOCKER-USER -j RETURN"


def test_rules_by_hand_of_the_other_family() -> None:
    changed = change_host(host("docker-28.5/ipv6"), [("insert", "DOCKER-USER -j DROP")], family=6)
    assert ask(changed, "client", "web", family=6, dport=80) == "DROP"
    assert ask(changed, "client", "web", family=4, dport=80) == "ACCEPT"
    answer = iptsim.whatif(
        host("docker-28.5/ipv6"), [("insert", "DOCKER-USER -j DROP")], "client", "fd00:17::2"
    )
    assert verdicts(answer) == ("ACCEPT", "DROP")


@pytest.mark.parametrize("name", ["net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"])
def test_parameters_of_a_vlan_interface_are_set_as_sysctl_names_them(name: str) -> None:
    changed = change_host(host("docker-28.5/icc-on"), [("sysctl", f"{name}=2")])
    assert changed.namespace.interface_sysctl(4, "eth0.100", "rp_filter") == 2


def test_policies_and_kernel_parameters() -> None:
    given = host("docker-28.5/icc-on")
    assert ask(change_host(given, [("policy", "INPUT=DROP")]), "client", "host") == "DROP"
    assert ask(change_host(given, [("sysctl", "net.ipv4.ip_forward=0")]), "client", "internet") == "DROP"
    changed = change_host(given, [("ip-forward", "0")])
    assert changed.namespace.sysctl("net.ipv4.ip_forward") == "0"
    # dockerd sets the policy of FORWARD only where it turns forwarding on
    chain = changed.rulesets[4].chain("filter", "FORWARD")
    assert chain is not None
    assert chain.policy == "ACCEPT"


def test_a_bare_dump_can_be_changed() -> None:
    dump = FIXTURES / "docker-28.5/icc-on/iptables-save.txt"
    answer = iptsim.whatif(dump, {"icc": False}, "172.17.0.3", "172.17.0.2", dport=80)
    assert verdicts(answer) == ("ACCEPT", "DROP")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("nonsense", "1"), "unknown change 'nonsense'; choose from: allow-direct-routing"),
        (("icc", "perhaps"), "--icc: 'perhaps' is neither true nor false"),
        (("link", "client:nobody"), "no container 'nobody' is running"),
        (("publish", "web"), "'web' is not CONTAINER:"),
        # docker-proxy: listen tcp4 192.0.2.99:9000: bind: cannot assign requested address
        (("publish", "web:192.0.2.99:9000:80"), "192.0.2.99 is not an address of the host"),
        (("bridge-nf", "2"), "--bridge-nf '2': '2' is neither true nor false"),
        (("policy", "DOCKER=DROP"), "DOCKER is not a built-in chain"),
        (("policy", "FORWARD=MAYBE"), "expected CHAIN=ACCEPT or CHAIN=DROP"),
        (("policy", "FORWARDS=DROP"), "table filter has no chain FORWARDS"),
        (
            ("insert", "DOCKER-USER 9 -j DROP"),
            "DOCKER-USER has 0 rules, so a rule cannot be inserted as number 9",
        ),
        (("insert", "-t nats INPUT -j DROP"), "table nats has no chain INPUT"),
        (("insert", "DOCKER-USER -j DORP"), "iptsim does not know -j DORP"),
        (("insert", "DOCKER-USER --dprot 80 -j DROP"), "--dprot"),
        (("delete", "FORWARD 7"), "chain FORWARD has 2 rules, so there is no rule 7"),
        (("delete", "FORWARD"), "expected a chain and a rule number"),
        (("sysctl", "net.ipv4.ip_forward"), "expected NAME=VALUE"),
        (("sysctl", "net.ipv4.ip_forward=yes"), "net.ipv4.ip_forward must be a number, not 'yes'"),
        # sysctl: cannot stat /proc/sys/net/ipv4/conf/eth0/100/rp_filter
        (("sysctl", "net.ipv4.conf.eth0.100.rp_filter=1"), "did you mean net.ipv4.conf.eth0/100.rp_filter?"),
        (("engine", "19.03"), "the rules of Docker '19.03' are unknown; give a version from 20.10 to 29"),
    ],
)
def test_what_cannot_be_changed_is_said(change: tuple[str, str], message: str) -> None:
    with pytest.raises(IptsimError) as raised:
        change_host(host("docker-28.5/icc-on"), [change])
    assert message in str(raised.value)


def test_no_engine_no_settings() -> None:
    with pytest.raises(IptsimError, match="no Docker daemon runs"):
        change_host(host("hosts/ufw"), [("icc", "false")])
    assert ask(change_host(host("hosts/ufw"), [("policy", "INPUT=ACCEPT")]), "internet", "host", dport=22)
    with pytest.raises(IptsimError, match="no change given"):
        iptsim.whatif(host("hosts/ufw"), {})


# -- the table -------------------------------------------------------------------------------------


def test_without_a_question_all_that_shifts_is_told() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-on"), {"icc": False})
    assert shifted(answer) == [
        ("closes", "client", "web", "80/tcp"),
        ("closes", "client", "web", "other ports"),
        ("closes", "web", "client", "other ports"),
    ]
    assert str(answer.why) == "It closes 3 of the checked connections."


def test_without_masquerading_the_internet_cannot_reply_to_containers() -> None:
    # a private source has no route back on the internet (RFC 1918, section 3)
    answer = iptsim.whatif(host("docker-28.5/icc-on"), {"iptables": False})
    lost = {shift.row.sender: shift for shift in answer.shifts if shift.row.to == "internet"}
    assert {name: (shift.kind, shift.after.verdict) for name, shift in lost.items()} == {
        "client": ("closes", "ACCEPT"),
        "web": ("closes", "ACCEPT"),
    }
    assert "The internet can no longer reply to client and web" in str(answer.why)
    assert "ACCEPT at outside, no reply\n" in str(answer)
    assert not any(line.endswith(" ") for line in str(answer).splitlines())


def test_what_both_answers_assume_about_nftables_is_one_sentence() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-on"), {"iptables": False}, "internet", "web", dport=80)
    assert len([line for line in str(answer).splitlines() if "nft-ruleset.json" in line]) == 1


def test_a_link_opens_the_exposed_port_one_way() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-off"), {"link": "client:web"})
    assert shifted(answer) == [("opens", "client", "web", "80/tcp")]


def test_a_port_is_published_to_everybody() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-off"), {"publish": "web:8080:80"})
    assert shifted(answer) == [
        ("opens", who, "host", "8080/tcp") for who in ("client", "host", "internet", "web")
    ]
    gone = iptsim.whatif(host("docker-28.5/icc-off-published"), {"unpublish": "web"})
    assert shifted(gone) == [
        ("closes", who, "host", "8080/tcp") for who in ("client", "host", "internet", "web")
    ]


def test_a_change_of_nothing_shifts_nothing() -> None:
    answer = iptsim.whatif(host("docker-28.5/icc-on"), {"icc": True})
    assert answer.shifts == []
    assert str(answer.why) == "No checked connection changes its outcome."


# -- DNS servers -----------------------------------------------------------------------------------


def test_dns_servers_of_the_daemon_are_those_of_its_containers() -> None:
    """Dockerd 20.10, 26.1 and 28.5 write them into resolv.conf when a container starts."""
    changes = [("dns", "168.95.1.1"), ("dns", "8.8.8.8")]
    changed = change_host(host("docker-28.5/icc-on"), changes)
    assert changed.containers["client"].namespace.nameservers() == ["168.95.1.1", "8.8.8.8"]
    assert changed.daemon is not None
    assert changed.daemon.dns == ("168.95.1.1", "8.8.8.8")
    answer = iptsim.whatif(host("docker-28.5/icc-on"), changes, "client", "dns")
    assert verdicts(answer) == ("ACCEPT", "ACCEPT")
    assert "goes to dns 168.95.1.1 instead of dns 10.255.255.53" in str(answer.why)


def test_docker_s_own_resolver_stays_on_networks() -> None:
    changed = change_host(host("docker-20.10/two-networks"), [("dns", "8.8.8.8")])
    assert changed.containers["web"].namespace.nameservers() == ["127.0.0.11"]
    assert changed.containers["client"].namespace.nameservers() == ["8.8.8.8"]


def test_a_container_with_servers_of_its_own_keeps_them() -> None:
    one = iptsim.load_host(FIXTURES / "docker-28.5/icc-on")
    one.containers["client"].dns = ["1.1.1.1"]
    changed = change_host(one, [("dns", "8.8.8.8")])
    assert changed.containers["client"].namespace.nameservers() == ["10.255.255.53"]
    assert changed.containers["web"].namespace.nameservers() == ["8.8.8.8"]


def test_a_dns_server_is_an_address() -> None:
    with pytest.raises(IptsimError, match=r"--dns: '168\.95\.1' is not an IP address"):
        change_host(host("docker-28.5/icc-on"), [("dns", "168.95.1")])
