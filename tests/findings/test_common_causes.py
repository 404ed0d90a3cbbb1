"""Causes that many problem reports end with, each on such rules, and beside it rules without the finding."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from tests.findings.linting import lint

DOCKER = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
{input}{first}-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j {icc}
{last}-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
{user}-A DOCKER-USER -j RETURN
COMMIT
"""


def docker(**rules: str) -> str:
    return DOCKER.format(**{"input": "", "first": "", "last": "", "user": "", "icc": "ACCEPT", **rules})


# -- rules behind Docker's ------------------------------------------------------------------------

BAN = "-s 203.0.113.9/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP"


def test_a_rule_of_forward_behind_docker_s_accept(tmp_path: Path) -> None:
    """docs.docker.com/engine/network/packet-filtering-firewalls: rules of FORWARD come after Docker's."""
    found = lint(tmp_path, docker(last=f"-A FORWARD {BAN}\n"))["forward-rules-late"]
    assert found.shown is not None
    assert found.shown.verdict == "ACCEPT"
    assert found.commands == (f"iptables -I DOCKER-USER {BAN}",)


@pytest.mark.parametrize(
    "rules",
    [
        {"first": f"-A FORWARD {BAN}\n"},
        {"user": f"-A DOCKER-USER {BAN}\n"},
        {"last": "-A FORWARD -j DROP\n"},
        {"last": "-A FORWARD -s 203.0.113.9/32 -d 192.168.77.5/32 -j DROP\n"},
        {"last": "-A FORWARD -i wg0 -j ACCEPT\n"},
    ],
)
def test_no_rule_of_forward_is_too_late(rules: dict[str, str], tmp_path: Path) -> None:
    assert "forward-rules-late" not in lint(tmp_path, docker(**rules))


# -- the wrong chain ------------------------------------------------------------------------------


def test_a_rule_of_input_for_the_target_of_a_port_forward(tmp_path: Path) -> None:
    """iptables(8): INPUT is "for packets destined to local sockets"; DNAT made them packets for another machine."""
    found = lint(
        tmp_path,
        "iptables -P FORWARD DROP\n"
        "iptables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.8.0.2:8080\n"
        "iptables -A INPUT -p tcp -d 10.8.0.2 --dport 8080 -j ACCEPT\n",
    )["wrong-chain"]
    assert "10.8.0.2" in str(found.title)
    assert found.shown is not None
    assert "INPUT" not in {step.hook for step in found.shown.trace.legs[0].all_steps}
    assert "-I FORWARD -d 10.8.0.2/32" in str(found.remedy)


def test_a_rule_of_input_for_a_container(tmp_path: Path) -> None:
    found = lint(tmp_path, docker(input="-A INPUT -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j DROP\n"))
    assert found["wrong-chain"].commands


@pytest.mark.parametrize(
    "rule",
    ["-A INPUT -d 172.17.0.1/32 -j DROP\n", "-A INPUT -d 203.0.113.7/32 -j DROP\n", "-A INPUT -j DROP\n"],
)
def test_a_rule_of_input_for_an_address_that_may_be_the_host_s(rule: str, tmp_path: Path) -> None:
    assert "wrong-chain" not in lint(tmp_path, docker(input=rule))


# -- DOCKER-USER and bridges ----------------------------------------------------------------------

PRIVATE = "".join(
    f"-A DOCKER-USER -s {one} -j RETURN\n" for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)


def test_all_private_senders_pass_docker_user(tmp_path: Path) -> None:
    text = "Why is it still open?\n\n" + docker(user=PRIVATE + "-A DOCKER-USER -j DROP\n")
    found = lint(tmp_path, text)["docker-user-private-sources"]
    assert "192.168.0.0/16" in str(found.title)
    assert found.shown is not None
    assert found.shown.verdict == "ACCEPT"


def test_the_networks_of_containers_pass_docker_user(tmp_path: Path) -> None:
    text = "Why?\n\n" + docker(user="-A DOCKER-USER -s 172.17.0.0/16 -j RETURN\n")
    assert "docker-user-private-sources" not in lint(tmp_path, text)


def test_a_rule_between_containers_needs_br_netfilter(tmp_path: Path) -> None:
    assert "icc-off-unchecked" in lint(tmp_path, "They still talk:\n\n" + docker(icc="DROP"))
    alone = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A FORWARD -i docker0 -o docker0 -j DROP\n"
    assert "icc-off-unchecked" in lint(tmp_path, alone)
    settled = "# sysctl net.bridge.bridge-nf-call-iptables\nnet.bridge.bridge-nf-call-iptables = 1\n\n"
    assert "icc-off-unchecked" not in lint(tmp_path, settled + docker(icc="DROP"))
    assert "icc-off-unchecked" not in lint(tmp_path, "They talk:\n\n" + docker())
    swarm = docker(icc="DROP").replace("docker0", "docker_gwbridge")
    assert "icc-off-unchecked" not in lint(tmp_path, "They still talk:\n\n" + swarm)


ISOLATION = """\
Chain DOCKER-ISOLATION-STAGE-1 (1 references)
 pkts bytes target     prot opt in     out     source               destination
{first}  796 53728 DROP       0    --  *      br-73d147f51290 !fd00:1::/64  ::/0
 5388  388K DROP       0    --  br-73d147f51290 *       ::/0                !fd00:1::/64
"""


def test_an_internal_network_blocks_neighbour_discovery(tmp_path: Path) -> None:
    """RFC 4861, 4.3: a solicitation goes to the solicited-node multicast address, in ff02::/16."""
    found = lint(tmp_path, ISOLATION.format(first=""))["neighbour-discovery-blocked"]
    assert found.family == 6
    accepts = "    0     0 ACCEPT     0    --  br-73d147f51290 br-73d147f51290  ::/0  ::/0\n"
    assert "neighbour-discovery-blocked" not in lint(tmp_path, ISOLATION.format(first=accepts))


def test_a_logged_neighbour_solicitation(tmp_path: Path) -> None:
    line = (
        "kernel: OUT-world: IN= OUT=eth0 MAC= SRC=2001:db8::7 DST=ff02::1:ff00:9 LEN=72 TC=0 HOPLIMIT=255 FLOWLBL=0"
        " PROTO=ICMPv6 TYPE={kind} CODE=0\n"
    )
    found = lint(tmp_path, line.format(kind=135))["neighbour-discovery-logged"]
    assert "eth0" in str(found.title)
    assert "neighbour-discovery-logged" not in lint(tmp_path, line.format(kind=128))


# -- FORWARD and POSTROUTING of other hosts -------------------------------------------------------

LIBVIRT = """\
That prevents my rules from working:

-A FORWARD -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -i virbr0 -j REJECT --reject-with icmp-port-unreachable
"""


def test_forward_is_closed_to_a_bridge(tmp_path: Path) -> None:
    found = lint(tmp_path, LIBVIRT)["forward-closed"]
    assert "virbr0" in str(found.title)
    assert found.shown is not None
    assert found.shown.verdict == "REJECT"
    assert found.commands[0] == "iptables -I FORWARD -i virbr0 -j ACCEPT"
    assert "forward-closed" not in lint(tmp_path, LIBVIRT.replace("virbr0 -j", "virbr0 -d 10.9.0.0/24 -j"))


def test_forward_is_closed_to_an_interface_that_is_not_shown(tmp_path: Path) -> None:
    rows = "REJECT     all  --  anywhere   anywhere   reject-with icmp-port-unreachable\n"
    head = "Chain FORWARD (policy ACCEPT)\ntarget     prot opt source               destination\n"
    assert "forward-closed" in lint(tmp_path, head + 2 * rows)
    # a single one is probably for all interfaces
    accept = "ACCEPT     all  --  anywhere   anywhere\n"
    assert "never-matches" in lint(tmp_path, head + rows + accept)


MASQUERADE = """\
Clients have no internet any more:

# iptables -t nat -S
-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-A POSTROUTING {words}-j MASQUERADE
"""


def test_masquerading_for_one_subnet_and_interface(tmp_path: Path) -> None:
    found = lint(tmp_path, MASQUERADE.format(words="-s 10.8.0.0/24 -o wlan0 "))["masquerades-some"]
    assert "what 10.8.0.0/24 sends by wlan0" in str(found.title)
    assert found.shown is not None
    assert not any(step.verdict == "MASQUERADE" for step in found.shown.trace.legs[0].all_steps)
    assert "masquerades-some" not in lint(tmp_path, MASQUERADE.format(words=""))


@pytest.mark.parametrize(
    ("words", "within"),
    [
        ("-s 10.8.0.0/24 -j SNAT --to-source 192.0.2.9", True),
        ("-s 10.8.0.0/24 -o eth0 -j SNAT --to-source 192.0.2.9", False),
        ("-s 10.8.0.0/24 ! -d 10.8.0.0/24 -j SNAT --to-source 192.0.2.9", False),
        ("-s 10.8.0.0/24 -j MASQUERADE", False),  # the address of the interface by which they leave
    ],
)
def test_a_source_that_is_translated_wherever_it_sends(words: str, within: bool, tmp_path: Path) -> None:
    rules = MASQUERADE.replace("{words}-j MASQUERADE", words)
    found = lint(tmp_path, rules)["masquerades-some"]
    assert ("send to each other" in str(found.consequence)) is within


SNAT = """\
Chain POSTROUTING (policy ACCEPT)
target     prot opt source               destination
SNAT       all  --  10.8.0.0/24         !10.8.0.0/24          to:192.0.2.1
SNAT       all  --  {source}         !10.8.0.0/24          to:{to}
"""


def test_a_second_translation_of_the_same_packets(tmp_path: Path) -> None:
    found = lint(tmp_path, SNAT.format(source="10.8.0.0/24", to="192.0.2.2"))["never-matches"]
    assert "rule 2" in str(found.title)
    assert "unless" in str(found.title)
    assert "never-matches" not in lint(tmp_path, SNAT.format(source="10.9.0.0/24", to="192.0.2.2"))


# -- small mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"), [("etn0", "eth0"), ("ehtO0", ""), ("teh0", "eth0"), ("eht0", "eth0"), ("eth", "eth0")]
)
def test_a_misspelt_interface(name: str, meant: str, tmp_path: Path) -> None:
    found = lint(tmp_path, f"-A INPUT -i eth0 -j ACCEPT\n-A OUTPUT -o {name} -j DROP\n")
    assert ("misspelt-interface" in found) == bool(meant)
    if meant:
        assert f"{name}; others name {meant}" in str(found["misspelt-interface"].title)


@pytest.mark.parametrize("name", ["eth1", "eth+", "ens3", "eno1", "mybridge", "wg0"])
def test_an_interface_with_its_own_name(name: str, tmp_path: Path) -> None:
    found = lint(
        tmp_path, f"-A INPUT -i eth0 -j ACCEPT\n-A INPUT -i ens2 -j ACCEPT\n-A OUTPUT -o {name} -j DROP\n"
    )
    assert "misspelt-interface" not in found


PINGS = """\
iptables -A INPUT {first}
iptables -A INPUT {second}
iptables -A INPUT -p icmp -j DROP
"""
ESTABLISHED = "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
LIMIT = "-p icmp -m limit --limit 6/minute -j ACCEPT"


def test_a_limit_behind_established(tmp_path: Path) -> None:
    """Conntrack keeps an ICMP entry by its identifier: later echo requests of a ping are ESTABLISHED."""
    found = lint(tmp_path, PINGS.format(first=ESTABLISHED, second=LIMIT))["limit-sees-first-only"]
    assert found.shown is not None
    assert found.shown.verdict == "ACCEPT"
    assert "limit-sees-first-only" not in lint(tmp_path, PINGS.format(first=LIMIT, second=ESTABLISHED))


def test_a_redirect_of_every_host_s_port(tmp_path: Path) -> None:
    rule = (
        "iptables -t nat -A PREROUTING {words}-p udp --dport 53 -j DNAT --to-destination 192.168.1.1:5353\n"
    )
    found = lint(tmp_path, rule.format(words=""))["redirect-takes-every-host"]
    assert found.shown is not None
    assert "udp/53" in str(found.title)
    for words in ("-i eth0 ", "-d 192.0.2.10 "):
        assert "redirect-takes-every-host" not in lint(tmp_path, rule.format(words=words))


def test_a_redirect_of_all_tcp_takes_its_own(tmp_path: Path) -> None:
    rule = "iptables -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 7892\n"
    found = lint(tmp_path, rule)["redirect-takes-own"]
    assert "--uid-owner USER" in str(found.remedy)
    spared = "iptables -t nat -A OUTPUT -m owner --uid-owner 1000 -j RETURN\n"
    assert "redirect-takes-own" not in lint(tmp_path, spared + rule)


def test_a_rejected_rule_in_the_chain_where_it_works(tmp_path: Path) -> None:
    """xt_MASQUERADE's checkentry: POSTROUTING only."""
    found = lint(tmp_path, "iptables -t nat -A PREROUTING -j MASQUERADE\n")["rejected-rule"]
    assert "iptables -t nat -A POSTROUTING -j MASQUERADE" in str(found.remedy)


def test_a_rule_that_is_rejected_for_several_reasons(tmp_path: Path) -> None:
    """No chain takes it: -m tcp needs -p tcp (xt_tcpudp's checkentry, proto = IPPROTO_TCP)."""
    rule = "-A PREROUTING -p udp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.7"
    found = lint(tmp_path, f"*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n")
    assert str(found["rejected-rule"].remedy) == "Correct the rule, or remove it."


@pytest.mark.parametrize(("target", "found"), [("REJCT", True), ("MASQARADE", False), ("SYSRQ", False)])
def test_a_misspelt_target_in_a_dump(target: str, found: bool, tmp_path: Path) -> None:
    """iptables-restore: "Couldn't load target"; another name may be that of an extension."""
    rule = f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j {target}\nCOMMIT\n"
    assert ("rejected-rule" in lint(tmp_path, rule)) is found


def test_containers_and_input_of_a_host_with_rules_of_docker_only_in_forward(tmp_path: Path) -> None:
    text = (
        "-P FORWARD ACCEPT\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n"
        "-P INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j {target}\n"
    )
    text = "My rules:\n\n" + text
    assert "host-closed-to-containers" in lint(tmp_path, text.format(target="REJECT"))
    assert "host-closed-to-containers" not in lint(tmp_path, text.format(target="ACCEPT"))


# -- other rules loaded ---------------------------------------------------------------------------

RUN = "$ sudo docker run -d --name web -p 8080:80 nginx\n"


@pytest.mark.parametrize(
    "command",
    [
        "systemctl restart iptables",
        "service iptables restart",
        "iptables-restore < /etc/iptables/rules.v4",
        "netfilter-persistent reload",
    ],
)
def test_a_command_that_replaces_docker_s_rules(command: str, tmp_path: Path) -> None:
    """Moby 12294: the service iptables of Red Hat loads its own file; dockerd does not notice."""
    found = lint(tmp_path, f"{RUN}$ sudo {command}\n")["docker-rules-flushed"]
    assert command in str(found.title)


@pytest.mark.parametrize(
    "text",
    [
        f"{RUN}$ sudo systemctl restart iptables\n$ sudo systemctl restart docker\n",
        f"$ sudo systemctl restart iptables\n$ sudo apt-get -y install docker-ce\n{RUN}",
        f"{RUN}$ sudo iptables-restore --noflush < more\n",
        f"{RUN}$ sudo systemctl status iptables\n",
        "$ sudo systemctl restart iptables\n$ sudo iptables -A INPUT -j DROP\n",
        # a script that makes chains before Docker starts does not show what is missing later
        "#!/bin/sh\niptables -N DOCKER-FORWARD\niptables -N DOCKER-USER\niptables -I FORWARD -j DOCKER-USER\n",
    ],
)
def test_no_command_that_replaces_docker_s_rules(text: str, tmp_path: Path) -> None:
    assert "docker-rules-flushed" not in lint(tmp_path, text)


# -- log lines without rules ----------------------------------------------------------------------

LOGGED = (
    "kernel: {prefix}IN=eth0 OUT= SRC=192.0.2.7 DST=192.0.2.1 LEN=60 TOS=0x00 "
    "PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=40000 DPT=5432 WINDOW=64240 RES=0x00 SYN URGP=0\n"
)


def test_of_a_logged_packet_without_rules_the_hook_is_told(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(LOGGED.format(prefix="IN-world:"), "utf-8")
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert "A rule of INPUT logged the packet of line 1." in str(cause.text)
    assert str(cause.text).endswith("no rule before it accepted the packet.")


# -- bans behind established connections ----------------------------------------------------------

BANS = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:bans - [0:0]
{first}-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -j bans
-A bans {ban}
COMMIT
"""


@pytest.mark.parametrize(
    ("ban", "found"),
    [
        ("-p tcp -m multiport --dports 80,443 -m set --match-set fail2ban-nginx src -j REJECT", True),
        ("-s 203.0.113.9/32 -j REJECT", True),
        ("-s 203.0.113.0/24 -j DROP", False),
        ("-s 203.0.113.9/32 -p tcp -m conntrack --ctstate NEW -j DROP", False),
        ("-p tcp -m set --match-set allowed src -j ACCEPT", False),
    ],
)
def test_bans_behind_a_rule_for_established_connections(ban: str, found: bool, tmp_path: Path) -> None:
    """fail2ban 1609, 2545: a banned address keeps its open connections."""
    text = "My rules:\n\n" + BANS.format(first="", ban=ban)
    assert ("bans-behind-established" in lint(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("first", "ban", "found"),
    [
        ("-p tcp --dport 80 -j ACCEPT", "-s 203.0.113.9 -j DROP", True),
        ("-p tcp --dport 80 -j ACCEPT", "-s 203.0.113.9 -p tcp --dport 22 -j DROP", False),
        ("-p tcp --dport 80 -j ACCEPT", "-s 203.0.113.0/24 -j DROP", False),
        ("-s 10.0.0.0/8 -p tcp --dport 80 -j ACCEPT", "-s 203.0.113.9 -j DROP", False),
        ("-p tcp --dport 80 -m state --state ESTABLISHED -j ACCEPT", "-s 203.0.113.9 -j DROP", False),
        ("-s 203.0.113.9 -j DROP", "-p tcp --dport 80 -j ACCEPT", False),
    ],
)
def test_bans_behind_a_rule_that_accepts_a_port(first: str, ban: str, found: bool, tmp_path: Path) -> None:
    """The first rule that matches decides (iptables(8)); the remedy puts the ban before it."""
    text = f"# iptables -S INPUT\n-P INPUT ACCEPT\n-A INPUT {first}\n-A INPUT {ban}\n"
    problems = lint(tmp_path, text)
    assert ("bans-behind-accepted" in problems) is found
    if found:
        command = str(problems["bans-behind-accepted"].remedy).partition("iptables ")[2]
        assert "bans-behind-accepted" not in lint(tmp_path, f"{text}# iptables {command}\n")


LISTED_BAN = """\
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:http
DROP       all  --  203.0.113.9          anywhere
"""


def test_a_ban_that_only_a_log_line_shows(tmp_path: Path) -> None:
    text = "kernel: [UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.8 DST=192.0.2.10 LEN=100 TTL=50 PROTO=41\n"
    assert "bans-behind-accepted" not in lint(tmp_path, text)


def test_a_ban_behind_a_rule_in_a_listing_without_interfaces(tmp_path: Path) -> None:
    assert "bans-behind-accepted" in lint(tmp_path, LISTED_BAN)


def test_bans_before_a_rule_for_established_connections(tmp_path: Path) -> None:
    text = "My rules:\n\n" + BANS.format(
        first="-A INPUT -s 203.0.113.7/32 -j DROP\n", ban="-s 203.0.113.9/32 -j DROP"
    )
    assert "bans-behind-established" not in lint(tmp_path, text)


# -- what is shown of a closed FORWARD ------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n", True),
        ("-A FORWARD -m state --state ESTABLISHED -j ACCEPT\n-A FORWARD -j DROP\n", True),
        ("-A FORWARD -i wg0 -j ACCEPT\n-A FORWARD -j DROP\n", False),
        ("-A FORWARD -i eth0 -p tcp -j DROP\n", False),
    ],
)
def test_a_forward_that_refuses_everything(rules: str, found: bool, tmp_path: Path) -> None:
    assert ("forward-closed" in lint(tmp_path, f"Fedora has these rules:\n\n{rules}")) is found


def test_a_redirect_with_a_destination_that_is_not_shown_takes_not_every_host(tmp_path: Path) -> None:
    text = "iptables -t nat -A PREROUTING {to}-p tcp --dport 443 -j DNAT --to-destination 192.168.42.10:443\n"
    assert "redirect-takes-every-host" in lint(tmp_path, text.format(to=""))
    assert "redirect-takes-every-host" not in lint(tmp_path, text.format(to="-d $(my public ip) "))


def test_the_ports_of_replies_are_not_those_of_containers(tmp_path: Path) -> None:
    """The rule of ufw-docker for replies of name servers."""
    text = (
        "Mine:\n\n-A DOCKER-USER -p udp -m udp --sport 53 --dport 1024:65535 -j RETURN\n"
        "-A DOCKER-USER -p tcp{rest} -j DROP\n"
    )
    assert "docker-user-port" not in lint(tmp_path, text.format(rest=""))
    assert "docker-user-port" in lint(tmp_path, text.format(rest=" --dport 8080"))
    assert "docker-user-port" not in lint(tmp_path, text.format(rest=" --dport 0:32767"))  # of ufw-docker
    for elsewhere in (
        " -i docker0 --dport 53",
        " -i wg0 -o tun0 --dport 22",
    ):  # from containers; to none of them
        assert "docker-user-port" not in lint(tmp_path, text.format(rest=elsewhere))


def test_a_rule_that_should_name_the_port_of_the_host_is_replaced(tmp_path: Path) -> None:
    text = "iptables -I DOCKER-USER -i eth0 -p tcp --dport 8080 ! -s 203.0.113.50 -j DROP\n"
    rule = "! -s 203.0.113.50/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP"
    assert str(lint(tmp_path, text)["docker-user-port"].remedy).endswith(f"iptables -R DOCKER-USER 1 {rule}")


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-p tcp --dport 22 -j DNAT --to-destination 172.106.4.3:22", True),
        ("-p tcp --dport 22 -j REDIRECT --to-ports 2222", True),
        ("-p tcp --dport 2222 -j DNAT --to-destination 172.106.4.3:22", False),
        ("-d 192.0.2.9 -p tcp --dport 22 -j DNAT --to-destination 172.106.4.3:22", False),
        ("-i docker0 -p tcp --dport 22 -j DNAT --to-destination 172.106.4.3:22", False),
    ],
)
def test_a_port_forward_takes_ssh(rule: str, found: bool, tmp_path: Path) -> None:
    """Moby 30558: a rule that was left over took the port of SSH."""
    assert ("ssh-forwarded" in lint(tmp_path, f"iptables -t nat -A PREROUTING {rule}\n")) is found


def test_a_port_forward_of_ssh_of_which_the_chain_is_not_shown(tmp_path: Path) -> None:
    row = "DNAT       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:22 to:172.106.4.3:22\n"
    found = lint(tmp_path, f'# iptables -t nat -nL | grep "dpt:22"\n...\n{row}')["ssh-forwarded"]
    assert "may not be reached" in str(found.title)
    assert "-D" not in str(found.remedy)


def test_a_network_that_is_not_masqueraded_is_named_once(tmp_path: Path) -> None:
    """The guess about other networks adds nothing to it."""
    interfaces = (
        "\n# cat /etc/network/interfaces\nauto vmbr0\niface vmbr0 inet static\n    address 192.0.2.10/24\n"
        "    gateway 192.0.2.1\n    bridge-ports eno1\nauto vmbr1\niface vmbr1 inet static\n"
        "    address 10.8.0.1/24\n    bridge-ports none\n"
    )
    found = lint(tmp_path, MASQUERADE.format(words="-s 10.8.0.0/24 -o eno1 ") + interfaces)
    assert "not-masqueraded" in found
    assert "masquerades-some" not in found


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        ("-s 10.8.0.0/24 ", "What comes from another subnet keeps"),
        ("-o wlan0 ", "What leaves by another interface keeps"),
        ("-s 10.8.0.0/24 -o wlan0 ", "What comes from another subnet, or leaves by another interface,"),
    ],
)
def test_what_is_left_out_of_masquerading(words: str, left_out: str, tmp_path: Path) -> None:
    found = lint(tmp_path, MASQUERADE.format(words=words))["masquerades-some"]
    assert left_out in str(found.consequence)


def test_a_list_of_containers_shows_which_port_a_rule_of_docker_user_should_name(tmp_path: Path) -> None:
    """The packets of a connection to the published port 13306 have port 3306 in FORWARD (Docker's packet flow)."""
    text = (
        "CONTAINER ID   IMAGE     COMMAND   CREATED       STATUS       PORTS                     NAMES\n"
        "3f1d2c4b5a6e   mysql:8   mysqld    2 hours ago   Up 2 hours   0.0.0.0:13306->3306/tcp   db\n\n"
        "Chain DOCKER-USER (1 references)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 DROP       tcp  --  eth0   *      !10.0.0.0/8           0.0.0.0/0            tcp dpt:{port}\n"
        " 1234  567K RETURN     all  --  *      *       0.0.0.0/0            0.0.0.0/0\n"
    )
    path = tmp_path / "paste.txt"
    path.write_text(text.format(port=13306))
    (finding,) = iptsim.lint(path)
    assert finding.code == "docker-user-host-port"
    assert str(finding.remedy) == (
        "iptables -R DOCKER-USER 1 ! -s 10.0.0.0/8 -i eth0 -p tcp -m conntrack --ctorigdstport 13306"
        " --ctdir ORIGINAL -j DROP"
    )
    path.write_text(text.format(port=3306))  # the container's port, as it should be
    assert not iptsim.lint(path)
    path.write_text(text.format(port=8080))
    assert [one.code for one in iptsim.lint(path)] == ["docker-user-port"]


def test_a_listing_without_interfaces_in_which_nothing_jumps_to_docker_user(tmp_path: Path) -> None:
    heading = "target     prot opt source               destination\n"
    text = (
        f"Chain FORWARD (policy DROP)\n{heading}"
        "{jump}DOCKER     all  --  0.0.0.0/0            0.0.0.0/0\n\n"
        f"Chain DOCKER (1 references)\n{heading}"
        "ACCEPT     tcp  --  0.0.0.0/0            172.17.0.2           tcp dpt:80\n\n"
        f"Chain DOCKER-USER ({{count}} references)\n{heading}"
        "DROP       all  -- !10.0.0.0/8           0.0.0.0/0\n"
    )
    assert "docker-user-not-asked" in lint(tmp_path, text.format(jump="", count=0))
    jump = "DOCKER-USER  all  --  0.0.0.0/0            0.0.0.0/0\n"
    assert "docker-user-not-asked" not in lint(tmp_path, text.format(jump=jump, count=1))


def test_what_no_rule_masquerades_though_rules_of_filter_are_not_shown() -> None:
    """Rules of filter may block a packet; they translate nothing."""
    text = (
        "My container can't reach the internet.\n\n# iptables -S FORWARD\n-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n"
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n# iptables -t nat -S POSTROUTING\n-P POSTROUTING ACCEPT\n"
        "# docker run --rm -it alpine sh\n"
    )
    found = iptsim.lint(iptsim.loads_host(text))
    assert "not-masqueraded" in {one.code for one in found}
    assert found.cause is not None
    assert "no rule masquerades them" in str(found.cause.text)
    masqueraded = text.replace(
        "ACCEPT\n# docker", "ACCEPT\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\n# docker"
    )
    assert "not-masqueraded" not in {one.code for one in iptsim.lint(iptsim.loads_host(masqueraded))}


@pytest.mark.parametrize(
    ("before", "policy", "jump", "found"),
    [
        ("", "DROP", "", True),
        ("Status: active\n\n", "ACCEPT", "", True),
        ("", "ACCEPT", "", False),  # `ufw disable` leaves its chains
        ("Status: inactive\n\n", "ACCEPT", "", False),
        ("Status: inactive\n\n", "DROP", "", False),  # the policy is somebody else's
        ("", "DROP", "-A INPUT -j ufw-before-input\n", False),
    ],
)
def test_chains_of_ufw_that_nothing_calls(
    before: str, policy: str, jump: str, found: bool, tmp_path: Path
) -> None:
    """After `ufw disable`, ufw 0.36 has left its chains, without rules and callers, and the policies are ACCEPT."""
    rules = f"*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:ufw-before-input - [0:0]\n"
    (tmp_path / "paste").write_text(f"{before}{rules}{jump}COMMIT\n")
    host = iptsim.load_host(tmp_path / "paste")
    assert ("ufw-rules-flushed" in {one.code for one in iptsim.lint(host)}) is found
