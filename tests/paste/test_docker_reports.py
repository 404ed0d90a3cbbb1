"""Reports about Docker as people paste them: shortened log lines, redacted headings, commands in sentences and logs."""

from __future__ import annotations

import pytest

import iptsim
from iptsim.addresses import parse_address
from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question

REDACTED = """\
Chain INPUT (policy DROP XXX packets, XXXXX bytes)
 pkts bytes target     prot opt in     out     source               destination
    2   104 ACCEPT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:22
"""
STUBS = """\
Chain INPUT (policy ACCEPT)
ACCEPT  state RELATED,ESTABLISHED
ACCEPT  icmp
ACCEPT  loopback
ACCEPT  tcp dpt:22
REJECT  all -- 0.0.0.0/0  0.0.0.0/0  reject-with icmp-host-prohibited
"""
WITHOUT_ADDRESSES = """\
$ iptables -t nat -L DOCKER -n -v
Chain DOCKER (2 references)
 pkts bytes target     prot opt in     out     source               destination
    0     0 RETURN     all  --  docker0 *
    9   540 DNAT       tcp  --  !docker0 *              tcp dpt:8081 to:
    7   420 DNAT       tcp  --  !docker0 *              tcp dpt:8082 to:
    3   180 DNAT       tcp  --  !docker0 *              to:
"""
UNSHOWN_NAT = """\
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
COMMIT
"""
MACVLAN = """\
$ docker network create -d macvlan --subnet=192.168.2.0/24 --gateway=192.168.2.1 -o parent=br-lan macnet
$ docker run -d --name ha --network {network} nginx
"""
IPV6 = """\
# ip6tables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
{user}-A FORWARD -o br-01cf6e25a2e5 -j DOCKER
-A FORWARD -i br-01cf6e25a2e5 ! -o br-01cf6e25a2e5 -j ACCEPT
"""
SCRIPT = """\
#!/bin/sh
iptables -I DOCKER-USER -i br-6405e832d62a -o br-ad0dfc7ef8f5 -j ACCEPT
iptables -A FORWARD -i eth0 -o tun0 -j ACCEPT
iptables -t nat -A DOCKER -p udp --dport 51822 -j DNAT --to-destination 10.0.0.4:51820
iptables -I DOCKER -p udp ! -i br-ad0dfc7ef8f5 -o br-ad0dfc7ef8f5 -d 10.0.0.4 --dport 51820 -j ACCEPT
"""
OUTPUT = """\
Docker runs here.
Chain INPUT (policy ACCEPT)
target     prot opt source               destination

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
DROP       tcp  --  anywhere             localhost            tcp dpt:http
"""
NAMES = """\
*filter
:OUTPUT ACCEPT [0:0]
-A OUTPUT ! -d 10.0.0.53/32 -p udp -m udp --dport 53 -j REJECT
COMMIT
"""


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def codes(text: str) -> list[str]:
    return [one.code for one in lint(read(text))]


def test_a_redacted_heading_is_one() -> None:
    asked = Question(sender="203.0.113.9", to="host", proto="tcp", dport=80)
    assert walk(read(REDACTED), asked).verdict == "DROP"
    assert (
        read(REDACTED.replace("Chain INPUT", "ChainINPUT")).rulesets[4].chain("filter", "INPUT") is not None
    )


def test_rules_without_columns_are_gaps_of_their_chain() -> None:
    """The last rule belongs to INPUT, so a packet that passes FORWARD does not depend on it."""
    forwarded = Question(sender="203.0.113.9", to="172.17.0.2", proto="tcp", dport=80, in_interface="eth0")
    rules = [rule for table in read(STUBS).rulesets[4].tables.values() for rule in table.rules()]
    assert {rule.chain for rule in rules if rule.target_name == "REJECT"} == {"INPUT"}
    assert walk(read(STUBS), forwarded).verdict != "REJECT"


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("[UFW BLOCK] IN=br-718950ae6f3a SRC=172.18.0.4 DST=172.17.0.1 DPT=8043 SYN", True),
        ("[UFW BLOCK] IN=docker0 OUT= SRC=172.17.0.4 DST=172.17.0.1 DPT=8043 SYN", True),
        ("[UFW BLOCK] IN=docker0 SRC=172.17.0.4 DST=172.19.0.3 DPT=8043 SYN", False),  # INPUT or FORWARD?
        ("[UFW BLOCK] IN=br- SRC=999.1.1.1 DST= DPT=", False),
    ],
)
def test_a_log_line_without_its_empty_fields(line: str, known: bool) -> None:
    """The kernel writes OUT= for what is for the host (nf_log_syslog.c); people leave it out."""
    pasted = read(f"{line}\n# iptables -P INPUT DROP\n").pasted
    assert pasted is not None
    assert bool(pasted.logged) is known
    assert {one.hook for one in pasted.logged} == ({"INPUT"} if known else set())


def test_a_bracketed_prompt_is_no_json() -> None:
    text = (
        '`[root@node01 ~]# docker network inspect lan\n[\n    {\n        "Name": "lan",\n        "Driver": "macvlan",\n'
        '        "IPAM": {\n            "Config": [\n                {"Subnet": "192.168.1.0/24"}\n'
    )
    assert read(text).networks["lan"].driver == "macvlan"


def test_post_down_in_a_sentence_undoes_nothing() -> None:
    text = "PostUp : `iptables -A FORWARD -i wg0 -j DROP`\nPostDown: `iptables -D FORWARD -i wg0 -j DROP`\n"
    chain = read(text).rulesets[4].chain("filter", "FORWARD")
    assert chain is not None
    assert len(chain.rules) == 1


def test_commands_in_the_log_of_dockerd() -> None:
    text = (
        "DEBU[2019-08-14T20:12:22.1-04:00] /sbin/iptables, [--wait -t filter -C FORWARD -o docker0 -j DOCKER]\n"
        'time="2019" level=debug msg="/sbin/iptables, [--wait -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE]"\n'
    )
    chain = read(text).rulesets[4].chain("nat", "POSTROUTING")
    assert chain is not None
    assert [rule.target_name for rule in chain.rules] == ["MASQUERADE"]


@pytest.mark.parametrize(
    ("sender", "to", "interface", "verdict"),
    [
        ("172.18.0.2", "172.18.0.1", "br-1234567890ab", "DROP"),
        ("172.17.0.2", "172.17.0.1", "docker0", "DROP"),
        ("172.18.0.2", "172.18.0.3", "br-1234567890ab", "ACCEPT"),
        ("203.0.113.9", "203.0.113.1", "eth0", "DEPENDS"),
    ],
)
def test_the_first_address_behind_a_bridge_is_the_hosts(
    sender: str, to: str, interface: str, verdict: str
) -> None:
    """Dockerd gives a bridge the first address of its subnet (libnetwork, ipam)."""
    text = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    asked = Question(sender=sender, to=to, proto="tcp", dport=80, in_interface=interface)
    trace = walk(read(text), asked)
    assert trace.legs[0].verdict == verdict
    stated = [one for one in map(str, trace.assumptions) if "own address" in one]
    assert len(stated) == (verdict == "DROP")
    assert not read(text).namespace.has_address(*parse_address(to))


def test_a_table_that_is_not_shown_may_masquerade() -> None:
    reason = iptsim.explain(
        read(UNSHOWN_NAT), "172.17.0.2", "internet", in_interface="docker0", dport=443
    ).reason
    assert "No rule changes its source" not in str(reason.text)
    assert "nat" in str(reason.text)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        (MACVLAN.format(network="macnet"), True),
        (MACVLAN.format(network="bridge"), False),
        (
            MACVLAN.format(network="macnet") + "$ ip link add shim link br-lan type macvlan mode bridge\n",
            False,
        ),
    ],
)
def test_the_host_of_a_macvlan_network(more: str, found: bool) -> None:
    """Docker's documentation of macvlan: containers cannot reach the host's interface below."""
    shown = [one for one in lint(read(more)) if one.code == "macvlan-host"]
    assert bool(shown) is found
    assert all(one.shown is not None and one.shown.verdict == "DROP" for one in shown)


@pytest.mark.parametrize(
    ("user", "found"), [("", True), ("-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n", False)]
)
def test_ipv6_without_docker_user(user: str, found: bool) -> None:
    """https://github.com/docker/for-linux/issues/1248."""
    assert ("docker-user-not-ipv6" in codes(IPV6.format(user=user))) is found
    of_ipv6nat = IPV6.format(user="-A FORWARD -j DOCKER-ISOLATION\n")
    assert "docker-user-not-ipv6" not in codes(of_ipv6nat)


def test_a_script_for_dockers_chains_shows_no_rules_of_docker() -> None:
    assert not {"docker-rules-flushed", "container-port-open", "subnet-overlaps"} & set(codes(SCRIPT))


def test_output_to_the_host_itself() -> None:
    """Such packets leave by lo, and containers send none there."""
    assert "output-drops-some" in codes(OUTPUT)
    assert "output-not-for-containers" not in codes(OUTPUT)


@pytest.mark.parametrize(
    ("rules", "found"), [(NAMES, False), (NAMES.replace("! -d 10.0.0.53/32 ", ""), True)]
)
def test_queries_to_one_name_server(rules: str, found: bool) -> None:
    """The rule for all others does not tell which name server the host has."""
    assert ("host-without-names" in codes(rules)) is found


@pytest.mark.parametrize(("proto", "found"), [("tcp", True), ("udp", False)])
def test_queries_over_tcp_alone(proto: str, found: bool) -> None:
    """A resolver asks over UDP first (resolv.conf(5), use-vc)."""
    rules = (
        f"*filter\n:INPUT ACCEPT\n:FORWARD DROP\n:OUTPUT DROP\n-A OUTPUT -p {proto} -m {proto} --dport 53 -j ACCEPT\n"
        "-A OUTPUT -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n"
    )
    assert ("host-without-names" in codes(rules)) is found


def test_what_docker_user_blocks_is_not_meant_to_be_forwarded() -> None:
    text = "# docker ps\n# iptables -I DOCKER-USER -i eth0 -j DROP 2>/dev/null || true\n"
    assert "forward-closed" not in codes(text)


def test_a_deletion_that_may_fail_is_no_warning() -> None:
    ruleset = read(
        "iptables -D DOCKER-USER -i eth0 -j DROP 2>/dev/null || true\niptables -I DOCKER-USER -i eth0 -j DROP\n"
    ).rulesets[4]
    assert not ruleset.warnings


def test_a_cut_nft_listing_hides_masquerading() -> None:
    text = (
        "$ ip link\n2: enp2s0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500\n4: docker0: <BROADCAST,UP> mtu 1500\n\n"
        'table ip nat {\n\tchain DOCKER {\n\t\tiifname != "docker0" tcp dport 80 counter dnat to 172.17.0.2:80\n'
    )
    assert "not-masqueraded" not in codes(text)


@pytest.mark.parametrize(
    "error",
    [
        "iptables v1.8.2 (nf_tables): Chain 'MASQUERADE' does not exist\nTry 'iptables -h' for more information.",
        "failed to create NAT chain DOCKER: iptables failed: iptables -t nat -N DOCKER: iptables v1.8.7 (legacy): "
        "can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
    ],
)
def test_what_the_kernel_lacks(error: str) -> None:
    """Xtables_find_target_revision: iptables finds no such target in the kernel, and takes it for a chain."""
    found = next(one for one in lint(read(f"{error}\n")) if one.code == "refused-command")
    assert "kernel lacks" in str(found.remedy)


def test_an_extension_that_the_kernel_lacks() -> None:
    """Only dockerd 28.0.0 needs xt_set: https://github.com/moby/moby/pull/49530."""
    error = (
        "iptables failed: iptables --wait -I FORWARD -m set --match-set {name} dst -j DOCKER: Warning: Extension set "
        "revision 0 not supported, missing kernel module?\n"
        "iptables v1.8.10 (nf_tables):  RULE_INSERT failed (No such file or directory): rule in chain FORWARD\n"
    )
    for name, dockers in (("docker-ext-bridges-v4", True), ("mine", False)):
        found = next(one for one in lint(read(error.format(name=name))) if one.code == "refused-command")
        assert "the kernel has no extension set" in str(found.title)
        assert "modprobe -a xt_set ip_set" in str(found.remedy)
        assert ("upgrade Docker" in str(found.remedy)) is dockers


def test_a_hint_of_iptables_is_no_command() -> None:
    text = (
        "Try 'iptables -h' or 'iptables --help' for more information.\n"
        "iptables v1.8.2 (nf_tables): Couldn't load match 'state':No such file or directory\n"
    )
    found = next(one for one in lint(read(text)) if one.code == "refused-command")
    assert not any("--help" in str(one.text) for one in found.evidence)


#: What iptables -S prints, after the commands that made some of it.
SET_UP = "iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o end0 -j MASQUERADE\n"
PRINTED = """\
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -i wg9 -j ACCEPT
-A DOCKER-USER -j RETURN
"""


def test_a_full_listing_after_commands_shows_what_they_made() -> None:
    ruleset = read(f"This is what it runs:\n\n{SET_UP}\nbut I see:\n\n{PRINTED}").rulesets[4]
    forward = ruleset.tables["filter"].chains["FORWARD"].rules
    assert [rule.text for rule in forward] == [
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -i wg9 -j ACCEPT",
    ]
    assert len(ruleset.tables["nat"].chains["POSTROUTING"].rules) == 1  # the other table is not listed


def test_commands_in_a_setting_of_json() -> None:
    text = '{\n "post_up": "iptables -A FORWARD -i wg0 -j ACCEPT; iptables -A FORWARD -o wg0 -j ACCEPT; ",\n'
    undone = ' "post_down": "iptables -D FORWARD -i wg0 -j ACCEPT;"\n'
    rules = read(text + undone).rulesets[4].tables["filter"].chains["FORWARD"].rules
    assert [rule.specification for rule in rules[:2]] == ["-i wg0 -j ACCEPT", "-o wg0 -j ACCEPT"]


def test_a_long_name_that_shifts_the_columns_leaves_no_address_blank() -> None:
    text = """\
Chain FORWARD (policy DROP 89 packets, 7924 bytes)
 pkts bytes target     prot opt in     out     source               destination
15926   40M DOCKER-USER  0    --  *      *       ::/0                 ::/0
15926   40M DOCKER-ISOLATION-STAGE-1  0    --  *      *       ::/0                 ::/0
"""
    rules = read(text).rulesets[6].tables["filter"].chains["FORWARD"].rules
    assert [rule.text for rule in rules[:2]] == [
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    ]


def test_ports_forwarded_to_docker0_show_no_other_network() -> None:
    text = (
        "$ iptables -t nat -vnL | grep 18968\n"
        " 5322  319K DNAT       tcp  --  !docker0 *       0.0.0.0/0            0.0.0.0/0            "
        "tcp dpt:18968 to:172.17.0.17:18968\n"
    )
    host = read(text)
    assert "lan0" not in host.namespace.interfaces
    # filter is not shown, so nothing is known about unpublished ports
    assert "container-port-open" not in {one.code for one in lint(host)}


def test_a_chain_that_is_listed_again_belongs_to_another_listing() -> None:
    chain = "Chain DOCKER-ISOLATION-STAGE-1 (1 references)\ntarget     prot opt source               destination\n"
    drops = "DROP       all  -- !192.168.5.0/24       anywhere", "DROP       all      anywhere  anywhere"
    rulesets = read(f"{chain}{drops[0]}\n\n{chain}{drops[1]}\n").rulesets
    shown = [rulesets[family].chain("filter", "DOCKER-ISOLATION-STAGE-1") for family in (4, 6)]
    assert [len(chain.rules) if chain else 0 for chain in shown] == [1, 1]


def test_new_addresses_that_were_taken_out() -> None:
    """What iptables prints as the new address is behind `to:`."""
    rules = read(WITHOUT_ADDRESSES).rulesets[4].tables["nat"].chains["DOCKER"].rules[1:]
    assert ["--to-destination" in rule.text for rule in rules] == [True] * 3
    assert ["-d ? " in rule.text for rule in rules] == [True] * 3


def test_a_port_forward_to_a_variable_may_lead_elsewhere() -> None:
    host = read("iptables -t nat -A PREROUTING -p tcp --dport 3389 -j DNAT --to-destination $target:3389\n")
    found = iptsim.explain(host, "internet", "host:3389")
    assert "may send it to another destination" in str(found.reason)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("-d macvlan --subnet 192.168.1.0/24", True),
        ("-d ipvlan --subnet 192.168.1.0/24", True),
        ("-d macvlan -o parent=eth0 --subnet 192.168.1.0/24", False),
        ("-d macvlan --internal --subnet 192.168.1.0/24", False),
        ("-d bridge --subnet 192.168.1.0/24", False),
        # its options are those of another network
        (
            "--config-only -o parent=eth0 --subnet 192.168.1.0/24 base\n"
            "$ docker network create -d macvlan --config-from base",
            False,
        ),
        ("-d macvlan --config-from elsewhere", False),
    ],
)
def test_a_network_that_leads_nowhere(options: str, found: bool) -> None:
    """Without a parent, the driver makes a dummy link: moby, drivers/macvlan/macvlan_network.go."""
    text = (
        f"$ docker network create {options} --gateway 192.168.1.1 lan\n"
        "$ docker run -d --net lan --ip 192.168.1.10 --name web nginx\n"
    )
    host = iptsim.loads_host(text)
    assert any(one.code == "without-parent" for one in iptsim.lint(host)) is found
    assert "base" not in host.networks


@pytest.mark.parametrize(
    ("gateway", "found"),
    [("10.8.0.1", "gateway-outside-subnet"), ("10.9.0.254", None), ("10.9.0.1", None)],
)
@pytest.mark.parametrize("driver", ["bridge", "macvlan"])
def test_a_gateway_outside_the_subnet(driver: str, gateway: str, found: str | None) -> None:
    """Dockerd 20.10.24: "no matching subnet for gateway 10.8.0.1", "failed to allocate gateway (10.8.0.1)"."""
    text = (
        f"networks:\n  lan:\n    driver: {driver}\n    driver_opts:\n      parent: eth0\n    ipam:\n      config:\n"
        f"        - subnet: 10.9.0.0/24\n          gateway: {gateway}\n"
    )
    codes = {one.code for one in iptsim.lint(iptsim.loads_host(text))}
    assert codes & {"gateway-outside-subnet", "macvlan-host"} == {
        *([found] if found else []),
        *(["macvlan-host"] if driver == "macvlan" else []),
    }
