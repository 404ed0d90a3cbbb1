"""Causes that public problem reports end with, each on such rules, and beside it no false alarm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import iptsim
from iptsim.findings import Finding
from iptsim.findings.finding import Cause
from tests.findings import linting

NAT = """\
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
{more}-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""
FILTER = """\
*filter
:INPUT {input} [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-USER - [0:0]
:ufw-user-forward - [0:0]
{first}-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{docker}-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
{user}-A DOCKER-USER -j RETURN
COMMIT
"""


def lint(
    folder: Path,
    *,
    nat: str = "",
    first: str = "",
    docker: str = "-A FORWARD -o docker0 -j DOCKER\n",
    user: str = "",
    policy: str = "ACCEPT",
) -> dict[str, Finding]:
    rules = FILTER.format(first=first, docker=docker, user=user, input=policy)
    return linting.lint(folder, NAT.format(more=nat) + rules)


def helps(found: Finding) -> bool:
    return bool(found.commands) and "usual remedy does not help" not in str(found.remedy)


def test_a_masqueraded_subnet_that_the_forward_policy_drops(tmp_path: Path) -> None:
    """A VPN server beside Docker, of which only the rules are shown."""
    masquerade = "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE\n"
    found = lint(tmp_path, nat=masquerade)["forward-drop-hits-others"]
    assert "10.8.0.0/24" in str(found.title)
    assert helps(found)
    assert found.commands[0].startswith("iptables -I DOCKER-USER -s 10.8.0.0/24 ")


@pytest.mark.parametrize(
    ("masquerade", "first"),
    [
        # rules accept packets from there, or from an interface that may lead there
        (
            "-s 10.8.0.0/24 -o eth0",
            "-A FORWARD -s 10.8.0.0/24 -j ACCEPT\n-A FORWARD -d 10.8.0.0/24 -j ACCEPT\n",
        ),
        ("-s 10.8.0.0/24 -o eth0", "-A FORWARD -i vpn7 -j ACCEPT\n"),
        # a bridge that Docker has removed, an outside network, any but one network
        ("-s 172.20.0.0/16 ! -o br-0123456789ab", ""),
        ("-s 198.51.100.0/24 -o eth0", ""),
        ("! -s 10.8.0.0/24 -o eth0", ""),
    ],
)
def test_masqueraded_subnets_that_are_not_cut_off(masquerade: str, first: str, tmp_path: Path) -> None:
    found = lint(tmp_path, nat=f"-A POSTROUTING {masquerade} -j MASQUERADE\n", first=first)
    assert "forward-drop-hits-others" not in found


def test_a_port_that_a_rule_for_every_packet_refuses(tmp_path: Path) -> None:
    found = lint(tmp_path, first="-A FORWARD -i eth0 -j REJECT --reject-with icmp-host-prohibited\n")
    assert str(found["published-refused"].title).endswith("is published, but FORWARD rule 1 blocks it.")
    assert helps(found["published-refused"])


@pytest.mark.parametrize(
    ("first", "user"),
    [
        ("-A FORWARD -d 172.17.0.2/32 -j DROP\n", ""),
        ("-A FORWARD -p tcp -m tcp --dport 80 -j DROP\n", ""),
        ("-A FORWARD ! -s 10.0.0.0/8 -i eth0 -j DROP\n", ""),
        ("-A FORWARD -i eth0 -o docker0 -j DROP\n", ""),
        ("", "-A DOCKER-USER -i eth0 -j DROP\n"),
    ],
)
def test_ports_that_are_refused_on_purpose(first: str, user: str, tmp_path: Path) -> None:
    assert "published-refused" not in lint(tmp_path, first=first, user=user)


def test_a_jump_of_docker_that_another_program_removed(tmp_path: Path) -> None:
    found = lint(tmp_path, docker="")["published-without-accept"]
    assert "no packet reaches the rule that accepts 80/tcp" in str(found.title)
    assert "docker restart 172" not in str(found.remedy)


def test_a_route_rule_opens_a_port_on_purpose(tmp_path: Path) -> None:
    assert "firewall-bypassed" in lint(tmp_path, policy="DROP")
    route = (
        "-A FORWARD -j ufw-user-forward\n"
        "-A ufw-user-forward -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n"
    )
    assert "firewall-bypassed" not in lint(tmp_path, policy="DROP", first=route)


LISTING = """\
Chain INPUT (policy ACCEPT)
num  target     prot opt source               destination
1    ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            state RELATED,ESTABLISHED
{rules}
Chain OUTPUT (policy ACCEPT)
num  target     prot opt source               destination
"""
REJECT = (
    "{}    REJECT     all  --  0.0.0.0/0            0.0.0.0/0            reject-with icmp-host-prohibited\n"
)
PORT = "{}    ACCEPT     tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:8080\n"


def test_an_accept_behind_the_reject_of_a_listing_without_interfaces(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(LISTING.format(rules=REJECT.format(2) + PORT.format(3)))
    found, closed = iptsim.lint(path)
    assert (found.code, closed.code) == ("never-matches", "closed-by-default")
    assert "unless it names an interface" in str(found.title)
    assert found.shown is not None
    assert found.shown.verdict == "DEPENDS"
    assert helps(found)
    path.write_text(LISTING.format(rules=PORT.format(2) + REJECT.format(3)))
    (closed,) = iptsim.lint(path)
    assert "except: tcp/8080." in str(closed.title)


def test_the_log_says_dropped_but_nothing_drops(tmp_path: Path) -> None:
    rules = (
        "*filter\n:INPUT ACCEPT [0:0]\n:LOGGING - [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
        "-A INPUT -j LOGGING\n-A LOGGING -m limit --limit 2/min -j LOG --log-prefix {prefix}\nCOMMIT\n"
    )
    path = tmp_path / "rules"
    path.write_text(rules.format(prefix='"IPTables-Dropped: "'))
    (found,) = iptsim.lint(path)
    assert found.code == "logs-only"
    assert helps(found)
    path.write_text(rules.format(prefix='"IN: "'))
    assert not iptsim.lint(path)


COUNTED = """\
Chain INPUT (policy DROP 4312 packets, 261K bytes)
 pkts bytes target     prot opt in     out     source               destination
  900  90K ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED
    0     0 DROP       udp  --  *      *       0.0.0.0/0            0.0.0.0/0            udp dpt:137
{drop}
"""


def test_counters_tell_what_has_been_dropped(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    drop = "5000 9K DROP tcp -- * * 0.0.0.0/0 0.0.0.0/0 tcp dpt:5432"
    path.write_text(COUNTED.format(drop=drop))
    (found,) = [one for one in iptsim.lint(path) if one.code == "counted-drops"]
    assert "filter INPUT rule 3: 5000 packets" in str(found.title)
    assert len(found.evidence) == 2
    assert found.shown is not None
    assert found.shown.verdict == "DROP"
    path.write_text(COUNTED.format(drop="").replace("4312", "0"))
    assert "counted-drops" not in {one.code for one in iptsim.lint(path)}


def test_dockers_rules_behind_a_chain_that_rejects_everything(tmp_path: Path) -> None:
    """As ufw's, with DEFAULT_FORWARD_POLICY="REJECT", where it is enabled after Docker started."""
    chain = "-A FORWARD -j ufw-reject-forward\n-A ufw-reject-forward {}-j REJECT\n"
    found = lint(tmp_path, first=chain.format(""))
    assert "rules 2, 3" in str(found["behind-final-rule"].title)
    assert helps(found["behind-final-rule"])
    assert "behind-final-rule" not in lint(tmp_path, first=chain.format("-s 10.0.0.0/8 "))


def test_dockers_ingress_chain_before_docker_user(tmp_path: Path) -> None:
    """What the chain accepts is known, even where only the jumps are shown."""
    path = tmp_path / "paste"
    path.write_text(
        "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "    0     0 DOCKER-INGRESS  all  --  *      *       0.0.0.0/0            0.0.0.0/0\n"
        "    0     0 DOCKER-USER  all  --  *      *       0.0.0.0/0            0.0.0.0/0\n...\n"
    )
    assert "docker-user-late" in {one.code for one in iptsim.lint(path)}


def test_nat_that_is_cut_before_postrouting_tells_nothing_of_masquerading(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "-P FORWARD ACCEPT\n-A FORWARD -s 10.8.0.0/24 -i tun0 -o eth0 -j ACCEPT\n\n"
        "$ iptables -t nat -S\n-P PREROUTING ACCEPT\n{more}"
    )
    path.write_text(path.read_text().format(more=""))
    assert "not-masqueraded" not in {one.code for one in iptsim.lint(path)}
    path.write_text(path.read_text() + "-P POSTROUTING ACCEPT\n")
    assert "not-masqueraded" in {one.code for one in iptsim.lint(path)}


HEADED = """\
Chain FORWARD (policy ACCEPT)
target     prot opt source               destination
{rejects}ACCEPT     all  --  10.42.0.0/16         anywhere

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
"""


@pytest.mark.parametrize(
    ("how", "count", "found"),
    [
        ("icmp-host-prohibited", 1, True),
        ("icmp-port-unreachable", 1, True),
        ("icmp-port-unreachable", 2, False),
    ],
)
def test_rules_behind_the_last_reject_of_forward(how: str, count: int, found: bool, tmp_path: Path) -> None:
    """Libvirt writes two rules for each of its bridges, which -L alone does not show; a firewall ends with one."""
    path = tmp_path / "paste"
    row = f"REJECT     all  --  anywhere             anywhere             reject-with {how}\n"
    path.write_text(HEADED.format(rejects=row * count))
    remedies = [str(one.remedy) for one in iptsim.lint(path) if one.code == "never-matches"]
    assert bool(remedies) is found
    assert all("-s 10.42.0.0/16 -j ACCEPT" in one for one in remedies)


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ("-A DOCKER-USER -s 192.168.1.0/24 -j ACCEPT\n-A DOCKER-USER -j DROP\n", True),
        # for packets from outside, for one port, for one container
        ("-A DOCKER-USER -i eth0 -j DROP\n", False),
        ("-A DOCKER-USER -p tcp -m tcp --dport 443 -j DROP\n", False),
        ("-A DOCKER-USER -s 172.17.0.2/32 -j DROP\n", False),
        ("-A DOCKER-USER -i docker0 -j ACCEPT\n-A DOCKER-USER -j DROP\n", False),
    ],
)
def test_a_drop_in_docker_user_for_both_directions(user: str, found: bool, tmp_path: Path) -> None:
    """All forwarded packets pass DOCKER-USER (Docker's documentation of packet filtering)."""
    shown = lint(tmp_path, user=user).get("docker-user-drops-outgoing")
    assert (shown is not None) is found
    if shown is not None:
        assert helps(shown)


FRESH = """\
Chain FORWARD (policy DROP {policy} packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
 {rule:4}     0 DOCKER-USER  all  --  *      *       0.0.0.0/0            0.0.0.0/0
    0     0 ACCEPT     all  --  *      docker0  0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED
    0     0 ACCEPT     all  --  docker0 !docker0  0.0.0.0/0            0.0.0.0/0

Chain DOCKER-USER (1 references)
 pkts bytes target     prot opt in     out     source               destination
    0     0 RETURN     all  --  *      *       0.0.0.0/0            0.0.0.0/0
"""


@pytest.mark.parametrize(("policy", "rule", "found"), [(0, 0, True), (9, 9, True), (0, 9, False)])
def test_counters_of_dockers_forward_policy(policy: int, rule: int, found: bool, tmp_path: Path) -> None:
    """Packets were forwarded, and the policy dropped none: then it is not what drops them."""
    path = tmp_path / "listing"
    path.write_text(FRESH.format(policy=policy, rule=rule))
    assert ("forward-drop" in {one.code for one in iptsim.lint(path)}) is found


def test_settings_show_no_policy(tmp_path: Path) -> None:
    """Nothing is found about rules that the text does not show."""
    path = tmp_path / "run"
    path.write_text("docker run -d -p 80:80 nginx\n")
    assert not iptsim.lint(path)


#: `iptables -L -n` of a Docker host: no interfaces, no table nat.
LISTED = """\
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
ACCEPT     tcp  --  203.0.113.5          0.0.0.0/0            tcp dpt:{port}
DROP       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:{port}

Chain FORWARD (policy DROP)
target     prot opt source               destination
DOCKER-USER  all  --  0.0.0.0/0            0.0.0.0/0
DOCKER     all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination

Chain DOCKER (1 references)
target     prot opt source               destination
{rows}
Chain DOCKER-USER (1 references)
target     prot opt source               destination
RETURN     all  --  0.0.0.0/0            0.0.0.0/0
"""
ROW = "ACCEPT     tcp  --  0.0.0.0/0            172.17.0.{last}           tcp dpt:80\n"
RUN = "docker run -d --name web -p 8080:80 nginx\n"
PS = """\
CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         PORTS                  NAMES
3f1c2d4e5f6a   nginx     "/docker-entrypoint.…"   2 hours ago     Up 2 hours     0.0.0.0:8080->80/tcp   web
"""


@pytest.mark.parametrize(
    ("container", "port", "addresses", "expected"),
    [
        (RUN, 8080, [2], True),
        (PS, 8080, [2], True),
        (RUN, 9090, [2], False),  # not the published port
        (RUN, 80, [2], False),  # the container's port, which packets to the host do not have
        (RUN.replace("-p ", "-p 127.0.0.1:"), 8080, [2], False),
        (RUN, 8080, [2, 3], False),  # which of them publishes the port is unknown
        ("", 8080, [2], False),
    ],
)
def test_rules_of_input_for_a_published_port_of_a_plain_listing(
    container: str, port: int, addresses: list[int], expected: bool, tmp_path: Path
) -> None:
    """Docker's documentation, "Packet filtering and firewalls": published ports bypass the rules of INPUT."""
    path = tmp_path / "paste"
    rows = "".join(ROW.format(last=last) for last in addresses)
    path.write_text(f"{container}\n{LISTED.format(port=port, rows=rows)}", "utf-8")
    found = [one for one in iptsim.lint(path) if one.code == "firewall-bypassed"]
    assert bool(found) is expected
    for one in found:
        assert "8080/tcp (web)" in str(one.title)
        assert any("filter INPUT rule 2" in str(evidence.place) for evidence in one.evidence)


BRIDGED = """\
-P FORWARD DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-N DOCKER-USER
{more}-A DOCKER-USER -j RETURN

net.bridge.bridge-nf-call-iptables = {seen}

bridge name	bridge id		STP enabled	interfaces
br0		8000.0cc47a7c1a2b	no		eno1
							{port}
docker0		8000.0242f1b6c3a1	no
"""


@pytest.mark.parametrize(
    ("more", "seen", "port", "expected"),
    [
        ("", 1, "vnet0", True),
        ("", 0, "vnet0", False),  # iptables does not see what the bridge switches
        ("", 1, "eno2", False),  # a bridge without guests
        ("-A DOCKER-USER -i br0 -o br0 -j ACCEPT\n", 1, "vnet0", False),
    ],
)
def test_guests_beside_the_uplink(more: str, seen: int, port: str, expected: bool, tmp_path: Path) -> None:
    """The kernel's documentation of br_netfilter: with bridge-nf-call-iptables, iptables sees bridged packets."""
    path = tmp_path / "paste"
    path.write_text(BRIDGED.format(more=more, seen=seen, port=port), "utf-8")
    found = [one for one in iptsim.lint(path) if one.code == "forward-drop-hits-others"]
    assert bool(found) is expected
    assert all(helps(one) for one in found)


@pytest.mark.parametrize(
    ("forwarding", "rules", "example"),
    [
        (0, "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE", "10.8.0.2"),
        (0, "-A POSTROUTING -o eth0 -j MASQUERADE\n-A FORWARD -i wlan0 -o eth0 -j ACCEPT", "wlan0"),
        (0, "-A PREROUTING -i eth0 -p tcp --dport 443 -j DNAT --to-destination 192.168.1.50:443", "443"),
        (1, "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE", ""),
        (0, "-A INPUT -p tcp --dport 22 -j ACCEPT", ""),  # a host that is no router
    ],
)
def test_a_router_that_does_not_route(forwarding: int, rules: str, example: str, tmp_path: Path) -> None:
    """Documentation/networking/ip-sysctl.rst: without ip_forward, packets are not forwarded between interfaces."""
    path = tmp_path / "paste"
    path.write_text(f"{rules}\n\nnet.ipv4.ip_forward = {forwarding}\n", "utf-8")
    found = [one for one in iptsim.lint(path) if one.code == "ip-forward-off"]
    assert bool(found) is bool(example)
    for one in found:
        assert helps(one)
        assert example in one.command("paste")


def test_a_port_forward_into_the_only_lan_does_not_work_from_there(tmp_path: Path) -> None:
    """The NAT HOWTO, "Destination NAT Onto the Same Network", without the addresses of the interfaces."""
    path = tmp_path / "paste"
    path.write_text(
        "-A PREROUTING -d 203.0.113.10 -p tcp --dport 443 -j DNAT --to-destination 192.168.1.50:443\n"
        "-A POSTROUTING -o eth0 -j MASQUERADE\n"
        "-A FORWARD -i eth1 -j ACCEPT\n"
        "-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT\n",
        "utf-8",
    )
    found = {one.code: one for one in iptsim.lint(path)}
    assert helps(found["hairpin"])


FORWARDING = """\
$ docker run -d -p 8080:80 nginx

Chain FORWARD (policy ACCEPT 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
{rows}    0     0 ACCEPT     all  --  *      *       0.0.0.0/0    0.0.0.0/0    ctstate RELATED,ESTABLISHED
   12   720 REJECT     all  --  *      *       0.0.0.0/0    0.0.0.0/0    reject-with icmp-host-prohibited
"""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("", True),
        ("    0     0 DOCKER-USER  all  --  *      *       0.0.0.0/0            0.0.0.0/0\n", False),
        ("    0     0 ACCEPT  all  --  docker0 !docker0  0.0.0.0/0            0.0.0.0/0\n", False),
        ("...\n", False),  # Docker's may be among those left out
    ],
)
def test_a_chain_forward_without_docker(rows: str, expected: bool, tmp_path: Path) -> None:
    """Docker's documentation, "Integration with firewalld": a reload removes rules of others."""
    path = tmp_path / "paste"
    path.write_text(FORWARDING.format(rows=rows), "utf-8")
    assert any(one.code == "docker-rules-flushed" for one in iptsim.lint(path)) is expected
    path.write_text(FORWARDING.format(rows=rows).partition("\n")[2], "utf-8")
    assert not any(one.code == "docker-rules-flushed" for one in iptsim.lint(path))


WEB_ONLY = """\
-P INPUT {input}
-P FORWARD ACCEPT
-P OUTPUT {output}
-A INPUT -p tcp --sport 443 -m state --state ESTABLISHED -j ACCEPT
-A OUTPUT -p tcp --dport 443 -j ACCEPT
{more}
"""


@pytest.mark.parametrize(
    ("input_", "output", "more", "expected"),
    [
        ("DROP", "DROP", "", "OUTPUT blocks its DNS queries"),
        ("DROP", "ACCEPT", "", "INPUT blocks the replies of DNS"),
        ("ACCEPT", "DROP", "-A OUTPUT -d 10.0.0.2 -p udp --dport 53 -j ACCEPT", ""),  # its name server
        ("ACCEPT", "DROP", "-A OUTPUT -p udp --dport 53 -j ACCEPT", ""),
        ("DROP", "DROP", "-A OUTPUT -p udp --dport 53 -j ACCEPT", "INPUT blocks the replies of DNS"),
        ("ACCEPT", "ACCEPT", "", ""),
    ],
)
def test_a_host_that_may_ask_web_servers_but_no_name_server(
    input_: str, output: str, more: str, expected: str, tmp_path: Path
) -> None:
    """RFC 1035, section 4.2: name servers use udp/53."""
    path = tmp_path / "paste"
    path.write_text(WEB_ONLY.format(input=input_, output=output, more=more), "utf-8")
    found = [one for one in iptsim.lint(path) if one.code == "host-without-names"]
    assert bool(found) is bool(expected)
    assert all(expected in str(one.title) for one in found)
    assert all(helps(one) for one in found)


ROUTED = """\
Status: active
Default: deny (incoming), allow (outgoing), {routed} (routed)

To                         Action      From
--                         ------      ----
51820/udp                  ALLOW IN    Anywhere
{more}
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.66.66.0/24 -o eth0 -j MASQUERADE
COMMIT
"""


@pytest.mark.parametrize(
    ("routed", "more", "expected"),
    [
        ("deny", "", True),
        ("allow", "", False),
        ("deny", "Anywhere                   ALLOW FWD   10.66.66.0/24\n", False),
    ],
)
def test_a_vpn_beside_ufw(routed: str, more: str, expected: bool, tmp_path: Path) -> None:
    """ufw(8), "Routing": the default policy for routed packets, and `ufw route allow`."""
    path = tmp_path / "paste"
    path.write_text(ROUTED.format(routed=routed, more=more), "utf-8")
    found = [one for one in iptsim.lint(path) if one.code == "forward-drop-hits-others"]
    assert bool(found) is expected
    assert all(helps(one) and "ufw route allow from 10.66.66.0/24" in str(one.remedy) for one in found)


def test_the_likeliest_cause_names_a_rule_for_another_interface(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "-A FORWARD -i br-lan -o eth0 -j ACCEPT\n"
        "-A FORWARD -i docker0 -o docker0 -j ACCEPT\n"
        '-A FORWARD -j LOG --log-prefix "FWD: "\n-A FORWARD -j DROP\n\n'
        "FWD: IN=br-lan OUT=eth1 SRC=192.168.1.33 DST=198.51.100.34 PROTO=TCP SPT=51000 DPT=443 SYN\n",
        "utf-8",
    )
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert "filter FORWARD rule 1 accepts such packets, but only with -o eth0" in str(cause.text)
    assert "rule 2" not in str(cause.text)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("DROP       all  --  eth0   *      !203.0.113.7          0.0.0.0/0", "docker-user-blocks-replies"),
        ("DROP       all  --  *      *      !203.0.113.7          0.0.0.0/0", "docker-user-drops-outgoing"),
        ("DROP       all  --  eth1   *      !203.0.113.7          0.0.0.0/0", ""),
    ],
)
def test_a_listing_of_docker_user_alone(row: str, code: str, tmp_path: Path) -> None:
    """Docker's documentation, "Restrict external connections to containers": replies arrive from other addresses."""
    path = tmp_path / "paste"
    path.write_text(
        "Chain DOCKER-USER (1 references)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        f"  123  7380 {row}\n"
        "    0     0 RETURN     all  --  *      *       0.0.0.0/0            0.0.0.0/0\n\n"
        "default via 192.0.2.1 dev eth0\n",
        "utf-8",
    )
    found = [one for one in iptsim.lint(path) if one.code.startswith("docker-user-")]
    assert [one.code for one in found] == ([code] if code else [])
    assert all("DOCKER-USER rule 1" in str(one.title) for one in found)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", True),
        ("iptables -t nat -A OUTPUT -o lo -p tcp --dport 80 -j REDIRECT --to-ports 8080\n", False),
    ],
)
def test_a_redirect_that_the_host_itself_does_not_use(more: str, expected: bool, tmp_path: Path) -> None:
    """iptables(8): PREROUTING is for packets as they come in, OUTPUT for locally-generated ones."""
    path = tmp_path / "paste"
    path.write_text(
        f"iptables -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080\n{more}", "utf-8"
    )
    found = [one for one in iptsim.lint(path) if one.code == "port-forward-not-for-host"]
    assert bool(found) is expected


def test_settings_that_make_docker_write_no_rules(tmp_path: Path) -> None:
    """Docker's documentation of `iptables`: without it, containers are not masqueraded, and nothing isolates them."""
    path = tmp_path / "paste"
    path.write_text('{\n  "iptables": false\n}\n\n$ docker run -d --name web -p 8080:80 nginx\n', "utf-8")
    found = {one.code: one for one in iptsim.lint(path)}
    assert {"container-port-open", "not-masqueraded"} <= found.keys()
    assert "-s 172.17.0.0/16 -o eth0 -j MASQUERADE" in str(found["not-masqueraded"].remedy)
    assert (
        iptsim.explain(iptsim.load_host(path), sender="web", to="198.51.100.7", dport=443).verdict == "ACCEPT"
    )


def test_a_name_server_without_an_address_is_passed_over(tmp_path: Path) -> None:
    """A mistyped address in resolv.conf, which the resolver of the C library ignores."""
    path = tmp_path / "paste"
    rules = WEB_ONLY.format(input="ACCEPT", output="DROP", more="")
    path.write_text(f"nameserver 999.1.1.1\nnameserver 10.0.0.2\n\n{rules}", "utf-8")
    (found,) = [one for one in iptsim.lint(path) if one.code == "host-without-names"]
    assert "10.0.0.2" in found.command("paste")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-p tcp --sport 22 -j ACCEPT", True),
        ("-p udp --sport 53 -m comment --comment 'a -j b' -j ACCEPT", True),
        ("-p tcp --sport 22 -m conntrack --ctstate ESTABLISHED -j ACCEPT", False),
        ("-p udp --sport 67 --dport 68 -j ACCEPT", False),
        ("-s 192.0.2.1 -p udp --sport 53 -j ACCEPT", False),
        ("-p tcp --dport 22 -j ACCEPT", False),
    ],
)
def test_a_source_port_that_opens_all_ports(options: str, expected: bool, tmp_path: Path) -> None:
    """nmap(1), --source-port: firewalls that trust traffic based only on the source port number."""
    path = tmp_path / "paste"
    path.write_text(f"iptables -P INPUT DROP\niptables -A INPUT {options}\n", "utf-8")
    found = [one for one in iptsim.lint(path) if one.code == "source-port-trusted"]
    assert bool(found) is expected
    for one in found:
        # the remedy was tried: then only replies pass
        assert one.commands[0].endswith(" -m conntrack --ctstate ESTABLISHED -j ACCEPT")
        assert not str(one.remedy).startswith("The usual remedy does not help")


@pytest.mark.parametrize(
    ("options", "expected"),
    [("", True), ("-m comment --comment all ", True), ("-o eth0 ", False), ("-s 10.8.0.0/24 ", False)],
)
def test_a_rule_that_masquerades_clients_of_containers(options: str, expected: bool, tmp_path: Path) -> None:
    """iptables-extensions(8), MASQUERADE: the address of the interface by which a packet goes out, here docker0."""
    path = tmp_path / "paste"
    path.write_text(
        "-P POSTROUTING ACCEPT\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
        f"-A POSTROUTING {options}-j MASQUERADE\n",
        "utf-8",
    )
    assert ("clients-masqueraded" in {one.code for one in iptsim.lint(path)}) is expected


def test_a_vpn_whose_subnet_only_a_route_tells(tmp_path: Path) -> None:
    """OpenVPN's route to its clients; the router of the LAN knows none to them."""
    path = tmp_path / "paste"
    path.write_text(
        "root@vpn:~# ip r\ndefault via 192.168.10.1 dev eth0\n10.8.0.0/24 via 10.8.0.2 dev tun0\n"
        "10.8.0.2 dev tun0 proto kernel scope link src 10.8.0.1\n"
        "192.168.10.0/24 dev eth0 proto kernel scope link src 192.168.10.5\n"
        "root@vpn:~# iptables -t nat -S\n-P PREROUTING ACCEPT\n-P POSTROUTING ACCEPT\n",
        "utf-8",
    )
    (found,) = [one for one in iptsim.lint(path) if one.code == "not-masqueraded"]
    assert "-s 10.8.0.2 -o eth0 -j MASQUERADE" in str(found.remedy)


def test_the_likeliest_cause_behind_chains_that_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "paste"
    path.write_text(
        "Chain FORWARD (policy DROP)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "   84  7056 DOCKER-USER  all  --  *      *       0.0.0.0/0            0.0.0.0/0\n"
        "   84  7056 DROP       all  --  docker0 docker0  0.0.0.0/0            0.0.0.0/0\n\n"
        "172.17.0.2 cannot ping 172.17.0.3\n",
        "utf-8",
    )
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert cause.shown is not None
    assert cause.shown.verdict == "DROP"
    assert "the rules of filter DOCKER-USER that are not shown let it continue" in str(cause.text)


def test_a_grave_problem_is_likelier_than_what_is_not_shown(tmp_path: Path) -> None:
    """Without -v, it is not known which interfaces INPUT accepts; but Docker's rules are gone."""
    path = tmp_path / "paste"
    path.write_text(
        "$ iptables -nL\n"
        "Chain INPUT (policy DROP)\ntarget prot opt source destination\n"
        "ACCEPT all -- 0.0.0.0/0 0.0.0.0/0\nREJECT all -- 0.0.0.0/0 0.0.0.0/0 reject-with icmp-host-prohibited\n\n"
        "Chain FORWARD (policy DROP)\ntarget prot opt source destination\n\n"
        "Chain OUTPUT (policy ACCEPT)\ntarget prot opt source destination\n\n"
        "$ docker ps\n"
        "CONTAINER ID   IMAGE   COMMAND   CREATED         STATUS         PORTS                NAMES\n"
        '1a2b3c4d5e6f   nginx   "nginx"   2 minutes ago   Up 2 minutes   0.0.0.0:80->80/tcp   web\n'
        "$ curl -m 5 http://192.0.2.10/\ncurl: (7) Failed connect to 192.0.2.10:80; No route to host\n",
        "utf-8",
    )
    findings = iptsim.lint(path)
    assert findings[0].code == "docker-rules-flushed"
    assert findings.cause is not None
    assert str(findings.cause.text) == str(findings[0].title)


V6 = """\
Chain INPUT (policy DROP 91 packets, 6488 bytes)
 pkts bytes target     prot opt in     out     source               destination
 4664  331K OWN        all      *      *       ::/0                 ::/0
{more} 1198  154K ACCEPT     all      *      *       ::/0                 ::/0                 state RELATED,ESTABLISHED
    0     0 ACCEPT     all      lo     *       ::/0                 ::/0
"""


def test_neighbour_discovery_that_only_an_unshown_chain_may_accept(tmp_path: Path) -> None:
    """RFC 4861: it is ICMPv6, which conntrack leaves untracked; a rule for it, or for everything, may accept it."""
    assert "neighbour-discovery-blocked" in linting.lint(tmp_path, V6.format(more=""))
    row = " 1198  154K ACCEPT     {}      *      *       ::/0                 ::/0\n"
    for protocol in ("icmpv6", "all"):
        assert "neighbour-discovery-blocked" not in linting.lint(
            tmp_path, V6.format(more=row.format(protocol))
        )


def test_a_jump_that_was_added_again(tmp_path: Path) -> None:
    """Only of a chain that is not shown: of others, the rules tell. After Docker's rules it is no late one."""
    row = "    0     0 {}    all  --  *      *       0.0.0.0/0            0.0.0.0/0\n"
    text = (
        "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
    )
    found = linting.lint(
        tmp_path, text + row.format("OWN") + row.format("DOCKER-FORWARD") + row.format("OWN")
    )
    assert [one.place for one in found["redundant-rule"].evidence][1:]
    assert "forward-rules-late" not in found
    assert "redundant-rule" not in linting.lint(tmp_path, text + row.format("OWN") + row.format("OTHER"))


def test_subnets_that_dockerd_could_not_use(tmp_path: Path) -> None:
    """Before Docker 1.9, the daemon tries one after another; with some only, the next may have been free."""
    line = "[debug] driver.go:254 10.{}.42.1/16 requested network overlaps with existing network\n"
    routes = "$ ip route\nunreachable 10.0.0.0/8\ndefault via 192.0.2.1 dev eth0\n"
    assert "address-pool-full" in linting.lint(tmp_path, "".join(map(line.format, range(4))) + routes)
    assert "address-pool-full" not in linting.lint(tmp_path, line.format(0) + routes)


def test_an_error_without_its_command_is_shown_once(tmp_path: Path) -> None:
    error = "iptables v1.8.10 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)"
    found = linting.lint(tmp_path, f"The container logs:\n{error}\n$ iptables -S FORWARD\n-P FORWARD DROP\n")
    assert [str(one.text) for one in found["refused-command"].evidence] == [error]
    assert "--cap-add NET_ADMIN" in str(found["refused-command"].remedy)


def test_a_command_that_failed_comes_before_the_packet_of_a_log_line() -> None:
    """A log has lines about any packets; which of them the author means is not known."""
    error = (
        "# nft add rule inet filter input tcp dport 8443 acept\n"
        "Error: syntax error, unexpected string, expecting end of file or newline or semicolon\n"
        "add rule inet filter input tcp dport 8443 acept\n"
        "                                          ^^^^^\n"
    )
    line = (
        "[UFW BLOCK] IN=eth0 OUT= MAC=02:42:c0:00:02:07:02:42:c0:00:02:01:08:00 SRC=203.0.113.99 DST=192.0.2.7 LEN=40"
        " TOS=0x00 PREC=0x00 TTL=240 ID=5411 PROTO=TCP SPT=51000 DPT=23 WINDOW=1024 RES=0x00 SYN URGP=0\n"
    )
    cause = iptsim.lint(iptsim.loads_host(line + error)).cause
    assert cause is not None
    assert str(cause.text).startswith("nft rejects the command of line 4")
    assert "tcp/23: DROP" in str(cause.text)


@pytest.mark.parametrize("options", ["", " --iptables=false"])
def test_an_empty_nat_of_a_docker_that_writes_no_rules(options: str) -> None:
    """The second finding says that of Docker, where the text shows its options."""
    chains = "".join(f"-P {name} ACCEPT\n" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"))
    host = iptsim.loads_host(
        f"ExecStart=/usr/bin/dockerd -H fd://{options} --ip-masq=false\n\n# iptables -t nat -S\n{chains}"
    )
    assert host.daemon is not None
    assert set(host.daemon.sources.values()) == {"dockerd"}
    found = {one.code: one for one in iptsim.lint(host)}
    assert ("docker-writes-no-rules" in found) is bool(options)
    assert ("Docker" in str(found["nat-empty"].consequence)) is not bool(options)


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (0, "The counter of filter INPUT shows 12 packets."),
        (15, "The counter of filter INPUT grew by 3 packets between the two listings."),
    ],
)
def test_counters_of_what_decides_are_evidence(later: int, told: str) -> None:
    line = (
        "IN=eth0 OUT= MAC=02:42:c0:00:02:07:02:42:c0:00:02:01:08:00 SRC=203.0.113.40 DST=192.0.2.7 LEN=60 TOS=0x00"
        " PREC=0x00 TTL=52 ID=4021 DF PROTO=TCP SPT=40110 DPT=443 WINDOW=64240 RES=0x00 SYN URGP=0\n"
    )
    columns = " pkts bytes target     prot opt in     out     source               destination\n"
    listed = "".join(
        f"# iptables -nvL INPUT\nChain INPUT (policy DROP {count} packets, 720 bytes)\n{columns}"
        "   40  2400 ACCEPT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:22\n"
        for count in (12, later)
        if count
    )
    cause = iptsim.lint(iptsim.loads_host(line + listed)).cause
    assert cause is not None
    assert told in str(cause.text)


@pytest.mark.parametrize(("icc", "port_of"), [("false", "db"), ("true", "db"), ("false", "172.22.0.1")])
def test_a_network_without_icc_whose_rules_are_not_shown(icc: str, port_of: str) -> None:
    """Docker's documentation of the bridge driver: com.docker.network.bridge.enable_icc."""
    members = {
        f"{number}a" * 32: {"Name": name, "IPv4Address": f"172.22.0.{number}/16"}
        for name, number in (("api", "2"), ("db", "3"))
    }
    network = {
        "Name": "quiet",
        "Id": "9f2b6c1d7e8a4b5c6d7e8f9a0b1c2d3e",
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": "172.22.0.0/16", "Gateway": "172.22.0.1"}]},
        "Containers": members,
        "Options": {"com.docker.network.bridge.enable_icc": icc},
    }
    text = (
        f"$ docker network inspect quiet\n{json.dumps([network], indent=4)}\n"
        f"$ docker exec api curl http://{port_of}:5432\n"
        f"curl: (28) Failed to connect to {port_of} port 5432 after 130000 ms: Connection timed out\n"
    )
    cause = iptsim.lint(iptsim.loads_host(text)).cause
    is_told = cause is not None and "icc is off on quiet" in str(cause.text)
    assert is_told is ((icc, port_of) == ("false", "db"))


@pytest.mark.parametrize(
    ("to", "error", "told"),
    [
        ("192.168.7.9", "Connection refused", "nothing listens"),
        ("192.168.7.9", "Connection timed out", "a rule that the source does not show"),
        ("192.168.7.9", "No route to host", "or that no machine has the address"),
        # INPUT of the host, whose address it is
        ("172.17.0.1", "No route to host", "a rule of INPUT rejected"),
    ],
)
def test_the_error_of_a_connection_that_the_rules_allow(to: str, error: str, told: str) -> None:
    """Net/ipv4/icmp.c, icmp_err_convert: which error follows from which ICMP message."""
    text = (
        "$ docker run -d --name api nginx\n"
        f"$ docker exec api curl http://{to}:80\ncurl: (7) Failed to connect to {to} port 80: {error}\n"
    )
    cause = iptsim.lint(iptsim.loads_host(text)).cause
    assert cause is not None
    assert told in str(cause.text)


def test_what_is_known_comes_before_what_may_be() -> None:
    rules = "# iptables -S\n-P FORWARD ACCEPT\n-A FORWARD -m set --match-set strangers dst -j DROP\n"
    shown = iptsim.explain(iptsim.loads_host(rules), "192.168.6.3", "192.168.7.9:80")
    assert shown.verdict == "DEPENDS"
    text = str(Cause(shown, meaning="A timeout means more.").text)
    assert text.index("It depends on") < text.index("A timeout means")


UFW_CUT = """\
$ sudo ufw status verbose
Status: active
Default: {incoming} (incoming), allow (outgoing), deny (routed)

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
{rows}
$ docker run -d -p 8080:80 nginx
"""


@pytest.mark.parametrize(
    ("incoming", "rows", "expected"),
    [
        ("deny", "", "is open from outside although ufw in INPUT denies it"),
        ("deny", "...\n", "is published, so ufw in INPUT does not protect it"),  # they may allow 8080
        ("allow", "...\n", ""),
        ("deny", "172.17.0.2 80/tcp          ALLOW FWD   Anywhere\n...\n", ""),
    ],
)
def test_no_hidden_row_of_ufw_makes_input_see_a_published_port(
    incoming: str, rows: str, expected: str, tmp_path: Path
) -> None:
    """Docker's documentation, "Docker and ufw": packets of published ports never pass the chains that ufw uses."""
    path = tmp_path / "paste"
    path.write_text(UFW_CUT.format(incoming=incoming, rows=rows), "utf-8")
    titles = [str(one.title) for one in iptsim.lint(path) if one.code == "firewall-bypassed"]
    assert len(titles) == bool(expected)
    assert all(expected in title for title in titles)


LINKED = """\
$ sudo iptables -L -n
Chain INPUT (policy ACCEPT)
target     prot opt source               destination

Chain FORWARD (policy ACCEPT)
target     prot opt source               destination
ACCEPT     tcp  --  172.17.0.3           172.17.0.2           tcp dpt:6379
ACCEPT     tcp  --  172.17.0.2           172.17.0.3           tcp spt:6379
ACCEPT     tcp  --  0.0.0.0/0            172.17.0.2           tcp dpt:5000

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination

$ docker ps
CONTAINER ID  IMAGE      COMMAND         CREATED        STATUS        PORTS                   NAMES
5f1e2d3c4b5a  shop:2     "python app.py" 2 minutes ago  Up 2 minutes  0.0.0.0:5000->5000/tcp  web
1a2b3c4d5e6f  redis:2.8  "redis-server"  3 minutes ago  Up 3 minutes  6379/tcp                web/cache,cache
"""
LINKED_NAT = """
$ sudo iptables -t nat -L -n
Chain PREROUTING (policy ACCEPT)
target     prot opt source               destination
DOCKER     all  --  0.0.0.0/0            0.0.0.0/0            ADDRTYPE match dst-type LOCAL

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
DOCKER     all  --  0.0.0.0/0           !127.0.0.0/8          ADDRTYPE match dst-type LOCAL

Chain POSTROUTING (policy ACCEPT)
target     prot opt source               destination
MASQUERADE  all  --  172.17.0.0/16       !172.17.0.0/16

Chain DOCKER (2 references)
target     prot opt source               destination
DNAT       tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:5000 to:172.17.0.2:5000
"""


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", False),
        ("spt:6379", "spt:6380", True),  # no pair
        ("172.17.0.3", "10.1.0.3", True),  # not in the subnet of docker0
        (
            "Chain OUTPUT",
            "Chain DOCKER (0 references)\ntarget  prot opt source  destination\n\nChain OUTPUT",
            True,
        ),
    ],
)
def test_rules_of_links_in_forward_are_rules_of_docker(
    before: str, after: str, expected: bool, tmp_path: Path
) -> None:
    """Before Docker 1.6 (LinkContainers of 1.0), links were in FORWARD itself, and filter had no chain DOCKER."""
    text = LINKED.replace(before, after) if before else LINKED
    assert ("docker-rules-flushed" in linting.lint(tmp_path, text)) is expected


@pytest.mark.parametrize("last", ["", "DROP       all  --  0.0.0.0/0            0.0.0.0/0\n"])  # icc=false
def test_with_links_in_forward_no_chain_of_docker_is_missing_there(last: str, tmp_path: Path) -> None:
    published = next(line for line in LINKED.splitlines(keepends=True) if "dpt:5000" in line)
    text = LINKED.replace(published, last or published) + LINKED_NAT
    assert "docker-rules-flushed" not in linting.lint(tmp_path, text)


@pytest.mark.parametrize(
    ("rule", "near"), [("-p udp -m udp --dport 5514", True), ("-p udp -m udp --dport 53", False)]
)
def test_a_rule_for_the_same_port_of_another_protocol_comes_near(rule: str, near: bool) -> None:
    """nc(1) sends TCP unless -u is given, so it does not test a port of UDP."""
    text = (
        f"root@gate:~# iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-A INPUT {rule} -j ACCEPT\n\n"
        "joe@laptop:~$ nc -vz 192.0.2.10 5514\n"
        "nc: connect to 192.0.2.10 port 5514 (tcp) failed: Connection timed out\n"
    )
    cause = iptsim.lint(iptsim.loads_host(text)).cause
    assert cause is not None
    assert ("INPUT rule 1 accepts such packets, but only with -p udp" in str(cause.text)) is near


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("From 192.0.2.50 icmp_seq=1 Destination Host Prohibited", "from 192.0.2.50: a rule there rejected"),
        ("From 192.0.2.254 icmp_seq=1 Packet filtered", "from 192.0.2.254: a rule there rejected"),
        (
            "From gate (192.0.2.1) icmp_seq=1 Destination Port Unreachable",
            "from 192.0.2.1, this host: one of its rules",
        ),
        # the neighbour does not answer ARP
        ("From 192.0.2.1 icmp_seq=1 Destination Host Unreachable", "no machine has the address"),
    ],
)
def test_the_sender_of_an_icmp_error_has_rejected_a_ping(error: str, said: str) -> None:
    """What ping of iputils printed in namespaces for the types of REJECT, on the target and in OUTPUT."""
    text = (
        "root@gate:~# ip addr\n"
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN\n    inet 127.0.0.1/8 scope host lo\n"
        "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP\n"
        "    inet 192.0.2.1/24 scope global eth0\n"
        "root@gate:~# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n\n"
        f"root@gate:~# ping 192.0.2.50\nPING 192.0.2.50 (192.0.2.50) 56(84) bytes of data.\n{error}\n"
    )
    cause = iptsim.lint(iptsim.loads_host(text)).cause
    assert cause is not None
    assert said in str(cause.text)


def test_rules_that_a_log_line_proves_are_not_said_to_be_superfluous(tmp_path: Path) -> None:
    """They stand for rules of ufw in other chains; nobody can delete them."""
    line = (
        "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.44 DST=192.0.2.10 LEN=60 TTL=51 ID=5 DF PROTO=TCP SPT=33762 DPT=8123"
        " SYN URGP=0\n"
    )
    found = linting.lint(tmp_path, f"{line}\niptables -I INPUT -p tcp --dport 8123 -j ACCEPT\n")
    assert "never-matches" not in found
