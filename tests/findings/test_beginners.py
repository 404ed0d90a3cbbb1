"""Causes that threads of beginners end with: what `iptables -L` hides, FTP, jails, VPN clients, open policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.findings.linting import lint

LISTING = """\
Chain INPUT (policy {policy})
target     prot opt source               destination
{first}ACCEPT     all  --  anywhere             anywhere             ctstate RELATED,ESTABLISHED
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:ssh
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:http
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:https

Chain FORWARD (policy ACCEPT)
target     prot opt source               destination

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
"""
LO = "ACCEPT     all  --  anywhere             anywhere\n"


def test_what_a_listing_without_interfaces_opens(tmp_path: Path) -> None:
    found = lint(tmp_path, LISTING.format(policy="DROP", first=LO))["closed-by-default"]
    assert str(found.title) == "INPUT blocks new connections from the internet, except: tcp/22,80,443."
    assert "assumed that INPUT 1 is for lo only, and the others are for all" in str(found.consequence)


def test_two_rules_that_accept_everything_are_not_both_for_lo(tmp_path: Path) -> None:
    found = lint(tmp_path, LISTING.format(policy="DROP", first=2 * LO))["closed-by-default"]
    assert "except what rules accept that are not shown in full" in str(found.title)
    assert "is for lo only" not in str(found.consequence)


def test_rules_of_which_none_accepts_everything(tmp_path: Path) -> None:
    found = lint(tmp_path, LISTING.format(policy="DROP", first=""))["closed-by-default"]
    assert "except: tcp/22,80,443." in str(found.title)
    assert "the rules are assumed to be for all of them" in str(found.consequence)


UFW = """\
Chain INPUT (policy DROP)
target     prot opt source               destination
ufw-before-input  all  --  anywhere             anywhere

Chain ufw-before-input (1 references)
target     prot opt source               destination
ACCEPT     all  --  anywhere             anywhere
ACCEPT     all  --  anywhere             anywhere             ctstate RELATED,ESTABLISHED
ufw-user-input  all  --  anywhere             anywhere

Chain ufw-user-input (1 references)
target     prot opt source               destination
ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:6881
"""


def test_the_first_rule_of_ufw_is_for_lo(tmp_path: Path) -> None:
    """Ufw's before.rules: -A ufw-before-input -i lo -j ACCEPT."""
    found = lint(tmp_path, UFW)["closed-by-default"]
    assert "except: tcp/6881." in str(found.title)
    assert "ufw-before-input 1 is for lo only" in str(found.consequence)


@pytest.mark.parametrize(
    ("policy", "more", "expected"),
    [
        ("ACCEPT", "", True),
        ("DROP", "", False),
        ("ACCEPT", "DROP tcp -- anywhere anywhere tcp dpt:23\n", False),
    ],
)
def test_input_that_blocks_nothing(policy: str, more: str, expected: bool, tmp_path: Path) -> None:
    text = LISTING.format(policy=policy, first="").replace("\nChain FORWARD", f"{more}\nChain FORWARD")
    assert ("input-blocks-nothing" in lint(tmp_path, text)) is expected


@pytest.mark.parametrize(
    ("said", "port"),
    [
        ("nmap says that port 8443 is closed", 8443),
        ("The ports 80 and 8443 can't be reached.", 8443),
        ("Something is blocking port 20,8443.", 8443),
        ("I set up port 8443.", None),
        ("Port 8000 is closed.", None),
        ("nmap says that port 8443 is not closed", None),
        ("Anybody can reach port 8443, and I'm unable to block it.", None),
    ],
)
def test_a_port_that_no_rule_keeps_closed(said: str, port: int | None, tmp_path: Path) -> None:
    policies = "".join(f"-P {chain} ACCEPT\n" for chain in ("INPUT", "FORWARD", "OUTPUT"))
    rule = "-A INPUT -p tcp -m tcp --dport 8443 -j ACCEPT\n"
    found = lint(tmp_path, f"{said}\n\n$ iptables -S\n{policies}{rule}\n$ uptime\n")
    assert ("input-blocks-nothing" in found) is (port is not None)
    if port is not None:
        assert f"ss -lntup 'sport = :{port}'" in str(found["input-blocks-nothing"].remedy)


@pytest.mark.parametrize(
    "other",
    [
        "-A OUTPUT -p tcp --dport 8443 -j DROP\n",
        "$ iptables -t nat -S\n-A PREROUTING -p tcp --dport 8443 -j DNAT --to-destination 10.9.0.2\n",
    ],
)
def test_a_port_that_another_chain_concerns(other: str, tmp_path: Path) -> None:
    """What OUTPUT drops, or nat forwards, is not told by whether a program of the host listens."""
    policies = "".join(f"-P {chain} ACCEPT\n" for chain in ("INPUT", "FORWARD", "OUTPUT"))
    rule = "-A INPUT -p tcp -m tcp --dport 8443 -j ACCEPT\n"
    text = f"Port 8443 is closed.\n\n$ iptables -S\n{policies}{rule}{other}\n$ uptime\n"
    assert "input-blocks-nothing" not in lint(tmp_path, text)


@pytest.mark.parametrize(
    ("ssh", "commands"),
    [
        ("", "iptables -I INPUT -p tcp --dport 22 -j ACCEPT; iptables -P INPUT DROP"),
        ("-p tcp --dport 22", "RELATED,ESTABLISHED -j ACCEPT; iptables -P INPUT DROP"),
        ("-s 10.0.0.0/8 -p tcp --dport 22", "RELATED,ESTABLISHED -j ACCEPT; iptables -P INPUT DROP"),
        ("-p udp --dport 22", "iptables -I INPUT -p tcp --dport 22 -j ACCEPT; iptables -P INPUT DROP"),
    ],
)
def test_a_policy_does_not_lock_out_who_is_logged_in(ssh: str, commands: str, tmp_path: Path) -> None:
    rules = "".join(f"-A INPUT -p tcp -m tcp --dport {port} -j ACCEPT\n" for port in (80, 443, 8080))
    more = f"-A INPUT {ssh} -j ACCEPT\n" if ssh else ""
    text = f"$ iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n{rules}{more}"
    remedy = str(lint(tmp_path, text)["input-blocks-nothing"].remedy)
    assert remedy.endswith(commands)
    assert ("SSH (tcp/22)" in remedy) is ("--dport 22 -j ACCEPT" in commands)


JAIL = """\
$ iptables -S
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-N f2b-sshd
-A INPUT -p tcp -m multiport --dports {ports} -j f2b-sshd
{ban}-A f2b-sshd -j RETURN
"""
BAN = "-A f2b-sshd -s 198.51.100.77/32 -j REJECT --reject-with icmp-port-unreachable\n"


#: What `ss -lntup` prints.
SSHD = """
$ ss -lntup
Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
udp   UNCONN 0      0          127.0.0.1:323       0.0.0.0:*     users:(("chronyd",pid=500,fd=5))
tcp   LISTEN 0      128          0.0.0.0:{port}       0.0.0.0:*     users:(("sshd",pid=700,fd=3))
"""
OTHER = SSHD.format(port=2222)


@pytest.mark.parametrize(
    ("ports", "ban", "more", "expected"),
    [
        ("22", BAN, OTHER, True),
        ("22,2222", BAN, OTHER, False),
        ("22", "", OTHER, False),
        # nothing shows another port
        ("22", BAN, "", False),
        ("22", BAN, SSHD.format(port=22), False),
    ],
)
def test_bans_for_the_usual_port_of_ssh(
    ports: str, ban: str, more: str, expected: bool, tmp_path: Path
) -> None:
    assert ("bans-one-port" in lint(tmp_path, JAIL.format(ports=ports, ban=ban) + more)) is expected


def test_bans_from_two_jumps(tmp_path: Path) -> None:
    second = "-A INPUT -p tcp -m multiport --dports 22,2222 -j f2b-sshd\n"
    text = JAIL.format(ports="22", ban=second + BAN)
    assert "bans-one-port" not in lint(tmp_path, text + OTHER)


@pytest.mark.parametrize(
    ("accepting", "expected"),
    [("--dport 2222", True), ("--dport 22", False), ("-s 10.0.0.0/8 --dport 22", False)],
)
def test_bans_where_the_rules_accept_another_port(accepting: str, expected: bool, tmp_path: Path) -> None:
    options = accepting.replace("--dport", "-p tcp -m tcp --dport")
    text = JAIL.format(ports="22", ban=f"-A INPUT {options} -j ACCEPT\n{BAN}")
    found = lint(tmp_path, text.replace("-P INPUT ACCEPT", "-P INPUT DROP"))
    assert ("bans-one-port" in found) is expected


@pytest.mark.parametrize(("port", "expected"), [("2222", True), ("ssh", False)])
def test_bans_in_a_listing_without_interfaces(port: str, expected: bool, tmp_path: Path) -> None:
    """People read the rule that accepts everything as that for lo."""
    text = f"""\
Chain INPUT (policy DROP)
target     prot opt source               destination
fail2ban-ssh  tcp  --  anywhere             anywhere            multiport dports ssh
ACCEPT     all  --  anywhere             anywhere
ACCEPT     tcp  --  anywhere             anywhere            tcp dpt:{port}

Chain fail2ban-ssh (1 references)
target     prot opt source               destination
DROP       all  --  192.0.2.77           anywhere
RETURN     all  --  anywhere             anywhere
"""
    assert ("bans-one-port" in lint(tmp_path, text)) is expected


FTP = """\
$ iptables -S
-P INPUT DROP
-P FORWARD ACCEPT
-P OUTPUT {output}
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{more}"""
SERVER = "-A INPUT -p tcp -m tcp --dport 21 -j ACCEPT\n"
CLIENT = (
    "-A OUTPUT -p udp -m udp --dport 53 -j ACCEPT\n-A OUTPUT -p tcp -m tcp --dport 21 -j ACCEPT\n"
    "-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
)
PASSIVE = "-A INPUT -p tcp -m tcp --dport 50000:50100 -j ACCEPT\n"
HELPER = (
    "$ iptables -t raw -S\n-P PREROUTING ACCEPT\n-A PREROUTING -p tcp -m tcp --dport 21 -j CT --helper ftp\n"
)
FORWARD = (
    "$ iptables -t nat -S\n-P PREROUTING ACCEPT\n"
    "-A PREROUTING -p tcp -m tcp --dport 21 -j DNAT --to-destination 10.9.0.7\n"
)
DATA = "-A PREROUTING -p tcp -m tcp --dport 30000:30009 -j DNAT --to-destination {to}\n"
WHOLE = "-A PREROUTING -d 203.0.113.6/32 -j DNAT --to-destination 10.9.0.7\n"


@pytest.mark.parametrize(
    ("output", "more", "words"),
    [
        ("ACCEPT", SERVER, "INPUT accepts FTP's commands"),
        ("DROP", CLIENT, "OUTPUT accepts FTP's commands"),
        ("ACCEPT", FORWARD, "The port forward for FTP"),
        # the target gets the data connections, too
        ("ACCEPT", FORWARD + DATA.format(to="10.9.0.7"), ""),
        ("ACCEPT", FORWARD + WHOLE, ""),
        ("ACCEPT", FORWARD + DATA.format(to="10.9.0.8"), "The port forward for FTP"),
        ("ACCEPT", SERVER + PASSIVE, ""),
        ("ACCEPT", SERVER + PASSIVE.replace("50000:50100", "30000:30004"), ""),
        ("ACCEPT", SERVER + HELPER, ""),
        # helpers are used without a rule
        (
            "ACCEPT",
            SERVER + "# sysctl net.netfilter.nf_conntrack_helper\nnet.netfilter.nf_conntrack_helper = 1\n",
            "",
        ),
        ("ACCEPT", SERVER + "# uname -r\n3.10.0-1160.el7.x86_64\n", ""),
        ("ACCEPT", SERVER + "$ uname -a\nLinux ftp 4.4.0-210-generic #242-Ubuntu SMP x86_64 GNU/Linux\n", ""),
        ("ACCEPT", SERVER + "It is CentOS release 6.10.\n", ""),
        ("ACCEPT", SERVER + "# uname -r\n5.14.0-427.el9.x86_64\n", "INPUT accepts FTP's commands"),
        ("ACCEPT", SERVER + "It is CentOS 7 with kernel 5.4 of ELRepo.\n", "INPUT accepts FTP's commands"),
        ("ACCEPT", "", ""),
    ],
)
def test_data_connections_of_ftp(output: str, more: str, words: str, tmp_path: Path) -> None:
    found = lint(tmp_path, FTP.format(output=output, more=more)).get("ftp-without-helper")
    assert (found is not None) is bool(words)
    if found is not None:
        assert words in str(found.title)


VPN = """\
$ ip addr
2: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.168.77.61/24 scope global eth1
3: tun0: <POINTOPOINT,UP,LOWER_UP> mtu 1400 state UNKNOWN
    inet 10.8.0.6/24 scope global tun0
$ ip route
{default}
192.168.77.0/24 dev eth1 scope link
10.8.0.0/24 dev tun0 scope link
{more}
$ iptables -S
-P INPUT ACCEPT
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
"""
INTO_VPN = "default via 10.8.0.1 dev tun0\n203.0.113.5 via 192.168.77.1 dev eth1"
HALVES = (
    "0.0.0.0/1 via 10.8.0.1 dev tun0\n128.0.0.0/1 via 10.8.0.1 dev tun0\ndefault via 192.168.77.1 dev eth1"
)
BACK = (
    "$ ip rule\n0: from all lookup local\n100: from 192.168.77.61 lookup 100\n32766: from all lookup main\n"
)
TABLE = "$ ip route show table 100\ndefault via 192.168.77.1 dev eth1 table 100\n"
BY_MARK = BACK.replace("from 192.168.77.61", "from all fwmark 0x7")
MARKED = (
    "$ iptables -t mangle -S\n-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n"
    "-A PREROUTING -i eth1 -m conntrack --ctstate NEW -j CONNMARK --set-mark 0x7\n"
)
RESTORED = "-A OUTPUT -j CONNMARK --restore-mark\n"


@pytest.mark.parametrize(
    ("default", "more", "expected"),
    [
        (INTO_VPN, "", True),
        (HALVES, "", True),
        ("default via 192.168.77.1 dev eth1", "", False),
        (INTO_VPN, BACK + TABLE, False),
        # rules that are not shown may mark the replies
        (INTO_VPN, BY_MARK + TABLE, False),
        (INTO_VPN, BY_MARK + TABLE + MARKED, True),
        (INTO_VPN, BY_MARK + TABLE + MARKED + RESTORED, False),
    ],
)
def test_a_vpn_that_takes_the_replies(default: str, more: str, expected: bool, tmp_path: Path) -> None:
    found = lint(tmp_path, VPN.format(default=default, more=more)).get("replies-leave-by-vpn")
    assert (found is not None) is expected
    if found is not None:
        assert "arrive on eth1 get no reply: the replies leave by tun0" in str(found.title)
        assert "ip rule add from 192.168.77.61 table 100" in str(found.remedy)


THROUGH_VPN = VPN.format(default=INTO_VPN, more="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (THROUGH_VPN.replace("tun0", "ppp0"), False),
        # a second default route: that of a VPN over PPP replaces it
        (THROUGH_VPN.replace("tun0", "ppp0").replace("203.0.113.5 via", "default metric 100 via"), True),
        # PPP to the provider
        (THROUGH_VPN.replace("10.8.0.6/24", "203.0.113.77 peer 10.8.0.1/32"), False),
        # a route to another network of the LAN
        (THROUGH_VPN.replace("203.0.113.5 via", "10.20.30.40 via"), False),
    ],
)
def test_routes_that_show_a_second_uplink(text: str, expected: bool, tmp_path: Path) -> None:
    assert ("replies-leave-by-vpn" in lint(tmp_path, text)) is expected


def test_replies_leave_by_the_vpn_whatever_the_rules_accept(tmp_path: Path) -> None:
    text = VPN.format(default=INTO_VPN, more="").replace("-P INPUT ACCEPT", "-P INPUT DROP")
    text += "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -m limit --limit 5/min -j LOG\n"
    assert "replies-leave-by-vpn" in lint(tmp_path, text)


WORDS = """\
$ iptables -S
-P INPUT DROP
-P FORWARD DROP
-P OUTPUT DROP
-A INPUT -i lo -j ACCEPT
{more}"""


@pytest.mark.parametrize(
    ("more", "of_containers"),
    [("", False), ("$ docker ps\nCONTAINER ID   IMAGE   COMMAND   PORTS   NAMES\n", True)],
)
def test_who_has_no_containers_reads_nothing_about_them(
    more: str, of_containers: bool, tmp_path: Path
) -> None:
    found = lint(tmp_path, WORDS.format(more=more))
    told = [f"{found[code].consequence}" for code in ("output-drop", "closed-by-default")]
    assert [("containers" in text) for text in told] == [of_containers] * 2


POLICY = "$ iptables -S\n-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n{}"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("-A INPUT -i wg0 -j ACCEPT\n-A INPUT -i eth0 -j ACCEPT\n", "forward-drop"),
        (
            "$ iptables -t nat -S\n-P POSTROUTING ACCEPT\n-A POSTROUTING -o eth0 -j MASQUERADE\n",
            "forward-drop",
        ),
        # nothing shows that it forwards packets
        ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n", "forward-closed"),
        # no packet reaches the policy
        ("-A FORWARD -j DROP\n", "forward-closed"),
    ],
)
def test_a_policy_that_drops_all_that_is_forwarded(more: str, code: str, tmp_path: Path) -> None:
    found = lint(tmp_path, POLICY.format(more))
    assert [
        one for one in found if one in ("forward-drop", "forward-closed", "forward-drop-hits-others")
    ] == [code]
