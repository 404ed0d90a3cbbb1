"""Causes that reports about hosts without Docker end with: a wrong chain, a missing DNAT, names that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from tests.findings.linting import lint

ROUTER = "iptables -t nat -A POSTROUTING -s 192.168.7.0/24 -o eth0 -j MASQUERADE\n"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("iptables -A FORWARD -p tcp -d 192.168.7.5 --dport 80 -j ACCEPT\n", True),
        ("iptables -A FORWARD -p tcp -d 192.168.7.5 --dport 80 --syn -j ACCEPT\n", True),
        # to a machine that is not masqueraded, of a known sender, or for replies
        ("iptables -A FORWARD -p tcp -d 192.168.9.5 --dport 80 -j ACCEPT\n", False),
        ("iptables -A FORWARD -p tcp -s 10.9.0.0/24 -d 192.168.7.5 --dport 80 -j ACCEPT\n", False),
        (
            "iptables -A FORWARD -p tcp -d 192.168.7.5 --dport 80 -m state --state ESTABLISHED -j ACCEPT\n",
            False,
        ),
        (
            "iptables -A FORWARD -p tcp -d 192.168.7.5 --dport 80 -j ACCEPT\n"
            "iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.168.7.5\n",
            False,
        ),
    ],
)
def test_a_port_that_forward_accepts_and_that_no_dnat_leads_to(
    rules: str, found: bool, tmp_path: Path
) -> None:
    assert ("forward-without-dnat" in lint(tmp_path, ROUTER + rules)) is found


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("iptables -A OUTPUT -s 192.168.7.31 -d 203.0.113.9 -j DROP\n", True),
        ("iptables -A OUTPUT -d 203.0.113.9 -j DROP\n", False),
        ("iptables -A OUTPUT -s 192.168.7.31 -j ACCEPT\n", False),
        ("$ ip addr\n2: eth0: <UP> mtu 1500\n    inet 192.168.7.31/24 scope global eth0\n"
         "$ sudo iptables -A OUTPUT -s 192.168.7.31 -d 203.0.113.9 -j DROP\n", False),
    ],
)  # fmt: skip
def test_a_rule_of_output_for_another_machine(rules: str, found: bool, tmp_path: Path) -> None:
    """OUTPUT sees packets that the host itself sends (iptables(8))."""
    assert ("input-not-forward" in lint(tmp_path, rules)) is found


@pytest.mark.parametrize(
    ("own", "network", "found"),
    [
        ("192.168.9.1", "-m iprange --dst-range 192.168.20.1-192.168.40.254", True),
        ("192.168.9.1", "-d 192.168.20.0/24", True),
        ("192.168.20.1", "-d 192.168.20.0/24", False),
        ("192.168.9.1", "-d 224.0.0.0/8", False),
    ],
)
def test_a_rule_of_input_for_other_networks(own: str, network: str, found: bool, tmp_path: Path) -> None:
    """INPUT sees packets to all addresses of the host (iptables(8)): a router has one in each network."""
    rules = f"-A INPUT -d {own}/32 -p udp --dport 1194 -j ACCEPT\n-A INPUT -i eth1 {network} -j REJECT\n"
    shown = lint(tmp_path, rules).get("input-not-forward")
    assert (shown is not None) is found
    if shown is not None:
        assert "only this host's own addresses there" in str(shown.title)
        assert str(shown.remedy).startswith("To block the machines there, too: iptables -I FORWARD ")


REFUSED = "putty says: Network error: Connection refused\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (REFUSED + "-P INPUT DROP\n-A INPUT -p tcp --dport 2200 -j ACCEPT\n", True),
        ("It times out.\n-P INPUT DROP\n-A INPUT -p tcp --dport 2200 -j ACCEPT\n", False),
        (REFUSED + "-P INPUT ACCEPT\n-A INPUT -p tcp --dport 2200 -j REJECT\n", False),
        (REFUSED + "-A FORWARD -i eth0 -j DROP\n", False),  # INPUT is not shown
        (REFUSED + "table inet f {\n\tchain in {\n\t\ttype filter hook input priority 0; policy accept;\n"
         "\t\ttcp dport 2200 reject\n\t}\n}\n", False),
    ],
)  # fmt: skip
def test_a_connection_that_no_rule_refuses(text: str, found: bool, tmp_path: Path) -> None:
    """A client that gets no answer to a SYN times out; a RST of the kernel is "connection refused" (tcp(7))."""
    assert ("refused-elsewhere" in lint(tmp_path, text)) is found


CLOSED = "-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n"
SSH = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"PermitRootLogin no\nPort 2222\n\n{CLOSED}{SSH}", True),
        (f"$ grep Port /etc/ssh/sshd_config\nPort 2222\n\n{CLOSED}{SSH}", True),
        (f"sshd_config:\nListenAddress 192.0.2.10:2222\n\n{CLOSED}{SSH}", True),
        (f"sshd_config:\n#Port 2222\n\n{CLOSED}{SSH}", False),  # a comment
        (f"sshd_config:\nPort 22\nPort 2222\n\n{CLOSED}{SSH}", False),  # it listens on both
        (f"sshd_config:\nPort 2222\nListenAddress ::1\nListenAddress 127.0.0.1\n\n{CLOSED}{SSH}", False),
        (f"sshd_config:\nPort 2222\n\n{CLOSED}{SSH.replace('22', '2222')}", False),
        (f"sshd_config:\nPort 2222\n\n{CLOSED}", False),  # nothing says that the port was forgotten
        (f"~/.ssh/config:\nHost gw\nPort 2222\nUser me\n\n{CLOSED}{SSH}", False),  # of a client
    ],
)
def test_a_port_of_sshd_that_the_rules_do_not_know(text: str, found: bool, tmp_path: Path) -> None:
    """Each Port, and each port of a ListenAddress, is one on which sshd listens (sshd_config(5))."""
    assert ("sshd-port-blocked" in lint(tmp_path, text)) is found


SCRIPT = """\
#!/bin/sh
WAN_IF="eth0"
LAN_NET="192.168.7.0/24"
iptables -t nat -A POSTROUTING -s $LAN_NET -o ${name} -j MASQUERADE
"""


@pytest.mark.parametrize(
    ("name", "extra", "found"),
    [
        ("WAN_FI", "", True),
        ("WAN_IF", "", False),
        ("UPLINK", "", False),  # set elsewhere
        ("WAN_FI", "read WAN_FI\n", False),
        ("WAN_FI", "read -r LAN_IF WAN_FI\n", False),
        ("WAN_FI", "mapfile -t WAN_FI < /run/uplink\n", False),
        ("WAN_FI", ": ${WAN_FI:=eth1}\n", False),
        ("WAN_FI", "export LAN_IF WAN_FI\n", False),
        ("WAN_FI", "select WAN_FI in eth0 eth1; do break; done\n", False),
        ("WAN_FI", "printf -v WAN_FI eth%d 1\n", False),
        ("WAN_FI", ". /etc/uplink.conf\n", False),
        ("WAN_FI", "[ -f /etc/uplink ] && source /etc/uplink\n", False),
        ("WAN_FI", "if true; then . /etc/uplink; fi\n", False),
        ("WAN_FI", "echo source $LAN_NET\n", True),
        ("WAN_FI", "echo $WAN_IF\n", False),
    ],
)
def test_a_variable_that_is_misspelt(name: str, extra: str, found: bool, tmp_path: Path) -> None:
    text = SCRIPT.format(name=name)
    assert ("misspelt-variable" in lint(tmp_path, text.replace("iptables", f"{extra}iptables", 1))) is found


@pytest.mark.parametrize(("name", "found"), [("all", True), ("any", True), ("lo", False)])
def test_an_interface_that_is_called_all(name: str, found: bool, tmp_path: Path) -> None:
    text = f"-P OUTPUT DROP\n-A OUTPUT -o {name} -j ACCEPT\n"
    assert ("misspelt-interface" in lint(tmp_path, text)) is found
    if found:
        status = "Status: active\n\nTo Action From\n-- ------ ----\nAnywhere  ALLOW OUT  Anywhere on all\n"
        assert "ufw allow out to any" in str(lint(tmp_path, status)["misspelt-interface"])


@pytest.mark.parametrize(
    ("row", "command"),
    [
        ("Anywhere  ALLOW OUT  Anywhere on all", "ufw allow out to any"),
        ("443/tcp  ALLOW OUT  Anywhere on all", "ufw allow out to any port 443 proto tcp"),
        ("203.0.113.7 25/tcp  DENY OUT  Anywhere on all", "ufw deny out to 203.0.113.7 port 25 proto tcp"),
        ("80/tcp on all  ALLOW IN  Anywhere", "ufw allow to any port 80 proto tcp"),
        ("22/tcp on any  ALLOW IN  10.0.0.0/8", "ufw allow from 10.0.0.0/8 to any port 22 proto tcp"),
    ],
)
def test_the_command_of_ufw_for_all_interfaces_opens_no_more(row: str, command: str, tmp_path: Path) -> None:
    status = f"Status: active\n\nTo Action From\n-- ------ ----\n{row}\n"
    assert str(lint(tmp_path, status)["misspelt-interface"].remedy) == f"Leave it out: {command}"


LISTED = """\
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
ACCEPT     all  --  anywhere             anywhere
{established}ACCEPT     tcp  --  anywhere             anywhere            tcp dpt:ftp
{last}
"""
DROP = "DROP       all  --  anywhere             anywhere"
ESTABLISHED = "ACCEPT     all  --  anywhere             anywhere            state RELATED,ESTABLISHED\n"
PASSIVE = "ACCEPT     tcp  --  anywhere             anywhere            tcp dpts:50000:51000{state}\n"


@pytest.mark.parametrize(("established", "found"), [("", True), (ESTABLISHED, False)])
def test_replies_that_a_listing_without_interfaces_drops(
    established: str, found: bool, tmp_path: Path
) -> None:
    """The first rule is usually for lo, and the last one for all interfaces."""
    text = LISTED.format(established=established, last=DROP)
    assert ("input-drops-replies" in lint(tmp_path, text)) is found


@pytest.mark.parametrize(("state", "found"), [("", False), (" state RELATED,ESTABLISHED", True)])
def test_passive_ports_of_ftp_in_a_listing_without_interfaces(
    state: str, found: bool, tmp_path: Path
) -> None:
    passive = PASSIVE.format(state=state)
    text = LISTED.format(established=ESTABLISHED + passive, last=DROP)
    assert ("ftp-without-helper" in lint(tmp_path, text)) is found


def test_a_redacted_port_that_leads_to_loopback(tmp_path: Path) -> None:
    """A packet from outside for 127.0.0.1 is dropped as martian, whatever its port was (route_localnet, ip-sysctl)."""
    text = """\
# iptables -t nat -L -n -v
Chain PREROUTING (policy ACCEPT 2 packets, 714 bytes)
 pkts bytes target prot opt in out source   destination
    0     0 DNAT   tcp  --  eth0 any anywhere anywhere    tcp dpt:22*** to:127.0.0.1:22
    0     0 DNAT   udp  --  eth0 any anywhere anywhere    udp dpt:22*** to:127.0.0.1:22
"""
    found = lint(tmp_path, text)["dnat-to-loopback"]
    assert found.shown is not None
    assert found.shown.verdict == "DROP"


COLUMNS = "target     prot opt source               destination\n"
NONE = "".join(f"Chain {name} (policy ACCEPT)\n{COLUMNS}\n" for name in ("INPUT", "FORWARD", "OUTPUT"))
RULES = NONE.replace(COLUMNS, f"{COLUMNS}ACCEPT     tcp  --  anywhere  anywhere  tcp dpt:22\n", 1)


@pytest.mark.parametrize(
    ("between", "later", "found"),
    [
        ("After a reboot:", NONE, True),
        ("I restarted the server:", NONE, True),
        ("On the other one:", NONE, False),
        ("After a reboot:", RULES, False),
    ],
)
def test_rules_that_are_gone_after_a_reboot(between: str, later: str, found: bool, tmp_path: Path) -> None:
    text = f"# iptables -L\n{RULES}\n{between}\n# iptables -L\n{later}"
    gone = lint(tmp_path, text).get("rules-gone")
    assert (gone is not None) is found
    if gone is not None:
        assert str(gone.remedy).startswith("Load the rules again.")  # there is nothing left to save
        assert "`netfilter-persistent save`" in str(gone.remedy)


FIRST = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
POLICIES = "-P INPUT {}\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
CHAIN = RULES[: RULES.index("Chain FORWARD")]


@pytest.mark.parametrize(
    ("command", "first", "later", "found"),
    [
        ("iptables -S", POLICIES.format("DROP") + FIRST, POLICIES.format("ACCEPT"), True),
        ("iptables -S", POLICIES.format("DROP") + FIRST, POLICIES.format("DROP") + FIRST, False),
        ("iptables -L INPUT", CHAIN, NONE[: NONE.index("Chain FORWARD")], True),
        ("iptables -L INPUT", CHAIN, CHAIN, False),
    ],
)
def test_a_later_listing_without_any_rule(
    command: str, first: str, later: str, found: bool, tmp_path: Path
) -> None:
    text = f"# {command}\n{first}\nAfter a reboot:\n\n# {command}\n{later}"
    gone = lint(tmp_path, text).get("rules-gone")
    assert (gone is not None) is found
    if gone is not None:
        assert len(gone.evidence) == 1
        assert str(gone.consequence).startswith("None of these rules is left.")


@pytest.mark.parametrize(
    ("port", "found"), [("--sport 69", True), ("--dport 69", False), ("--sport 53", False)]
)
def test_a_rule_for_the_data_of_tftp(port: str, found: bool, tmp_path: Path) -> None:
    """A TFTP server sends data from a port that it chooses (RFC 1350, section 4)."""
    rules = f"-P INPUT DROP\n-A INPUT -s 192.168.7.9 -p udp -m udp {port} -j ACCEPT\n"
    assert ("ftp-without-helper" in lint(tmp_path, rules)) is found


def test_old_names_of_ports(tmp_path: Path) -> None:
    """As IANA's registry has them."""
    row = "ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:{}\n"
    rows = "".join(row.format(name) for name in ("aol", "irc", "rsh-spx"))
    head = "Chain INPUT (policy DROP)\ntarget     prot opt source               destination\n"
    (tmp_path / "listing").write_text(head + rows)
    rules = iptsim.load(tmp_path / "listing").tables["filter"].chains["INPUT"].rules
    assert [rule.text.split("--dport ")[1].split()[0] for rule in rules] == ["5190", "194", "222"]


OUTGOING = """Status: active
Default: deny (incoming), {default} (outgoing)

To                         Action      From
--                         ------      ----
{rows}
"""


@pytest.mark.parametrize(
    ("default", "rows", "missing"),
    [
        ("deny", "53         ALLOW OUT   Anywhere\n443/tcp    ALLOW OUT   Anywhere", "HTTP (tcp/80)"),
        ("allow", "443/tcp    ALLOW OUT   Anywhere", None),
        ("deny", "8000/tcp   ALLOW OUT   Anywhere", None),  # output-drop says it
    ],
)
def test_what_output_lets_out(default: str, rows: str, missing: str | None, tmp_path: Path) -> None:
    found = lint(tmp_path, OUTGOING.format(default=default, rows=rows)).get("output-closed-by-default")
    assert (found is None) is (missing is None)
    if found is not None and missing is not None:
        assert "tcp/53,443, udp/53." in str(found.title)
        assert missing in str(found.consequence)
        assert "DNS (udp/53)" not in str(found.consequence)
        assert str(found.remedy) == "To allow a port: ufw allow out PORT/PROTOCOL"


def test_ufw_lets_the_host_connect_to_itself(tmp_path: Path) -> None:
    """Its before.rules accept all on the loopback interface, in both directions."""
    rows = "443/tcp                    ALLOW OUT   Anywhere"
    found = lint(tmp_path, OUTGOING.format(default="deny", rows=rows))
    assert not {"output-drops-loopback", "input-drops-loopback"} & set(found)


NFT_QUEUE = """table inet filter {{
	chain input {{
		type filter hook input priority filter; policy drop;
		{accepted}
	}}
	chain output {{
		type filter hook output priority filter; policy accept;
		ct state new queue num 0 bypass
	}}
}}
"""


@pytest.mark.parametrize(
    ("accepted", "found"), [("tcp dport 22 accept", True), ("ct state established accept", False)]
)
def test_replies_are_dropped_whatever_the_program_behind_a_queue_decides(
    accepted: str, found: bool, tmp_path: Path
) -> None:
    assert ("input-drops-replies" in lint(tmp_path, NFT_QUEUE.format(accepted=accepted))) is found


TAILSCALE = """# iptables -L -n -v
Chain INPUT (policy ACCEPT 0 packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination
  100 10000 ts-input   all  --  *      *       0.0.0.0/0            0.0.0.0/0

Chain ts-input (1 references)
 pkts bytes target     prot opt in     out     source               destination
   50  5000 {accept}
   {count}   0 DROP       all  --  !tailscale0 *    100.64.0.0/10        0.0.0.0/0

$ ip route
default via 192.0.2.1 dev ens5
192.0.2.0/24 dev ens5 proto kernel scope link src 192.0.2.10
{route}
"""
OWN = "ACCEPT     all  --  tailscale0 *       0.0.0.0/0            0.0.0.0/0"


@pytest.mark.parametrize(
    ("count", "route", "title"),
    [
        (0, "100.99.0.0/24 via 192.0.2.1 dev ens5", "to which a route leads by ens5"),
        (7, "", "has dropped 7 packets from 100.64.0.0/10"),
        (0, "", None),
        (0, "100.99.0.0/24 dev tailscale0", None),
    ],
)
def test_another_network_in_the_range_of_tailscale(
    count: int, route: str, title: str | None, tmp_path: Path
) -> None:
    found = lint(tmp_path, TAILSCALE.format(accept=OWN, count=count, route=route)).get(
        "tailscale-drops-range"
    )
    assert (found is None) is (title is None)
    if found is not None and title is not None:
        assert title in str(found.title)
        assert found.shown is not None
        assert found.shown.verdict == "DROP"


def test_a_rule_before_that_accepts_the_range(tmp_path: Path) -> None:
    first = "ACCEPT     all  --  ens5   *       100.64.0.0/10        0.0.0.0/0"
    route = "100.99.0.0/24 via 192.0.2.1 dev ens5"
    assert "tailscale-drops-range" not in lint(tmp_path, TAILSCALE.format(accept=first, count=0, route=route))


ADDRESSED = """-P INPUT DROP
-A INPUT -i lo -j ACCEPT
-A INPUT -i {name} {more}-j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT

$ ip -4 addr
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN
    inet 127.0.0.1/8 scope host lo
2: eno1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP
    inet 192.0.2.10/24 brd 192.0.2.255 scope global eno1
{others}"""
TUNNEL = """3: tun5: <POINTOPOINT,UP,LOWER_UP> mtu 1500 qdisc mq state UNKNOWN
    inet 10.9.9.1/24 scope global tun5
"""


@pytest.mark.parametrize(
    ("name", "more", "others", "found"),
    [
        ("eno1", "", "", True),
        ("eno1", "-s 192.0.2.0/24 ", "", False),
        ("tun5", "", TUNNEL, False),
        ("eno1", "", TUNNEL, False),
    ],
)
def test_a_rule_for_everything_on_the_only_interface(
    name: str, more: str, others: str, found: bool, tmp_path: Path
) -> None:
    text = ADDRESSED.format(name=name, more=more, others=others)
    one = lint(tmp_path, text).get("interface-accepted")
    assert (one is not None) is found
    if one is not None:
        assert one.shown is not None
        assert one.shown.verdict == "ACCEPT"


@pytest.mark.parametrize(("dnat", "found"), [(True, True), (False, False)])
def test_a_forwarded_port_and_no_rule_that_accepts_it(dnat: bool, found: bool, tmp_path: Path) -> None:
    """Ufw's own chains are not shown, so only the port forward shows that packets must pass FORWARD."""
    rule = (
        "-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.7.7.7:80\n"
        if dnat
        else ""
    )
    forward = "-P FORWARD DROP\n-A FORWARD -j ufw-before-forward\n-A FORWARD -j ufw-after-forward\n"
    text = f"# iptables -t nat -S PREROUTING\n-P PREROUTING ACCEPT\n{rule}\n# iptables -S FORWARD\n{forward}"
    assert ("forward-drop" in lint(tmp_path, text)) is found


SMTP = """# iptables -S INPUT
-P INPUT {policy}
-A INPUT {source}-p tcp -m tcp --dport 2525 -j ACCEPT
{last}
"""


@pytest.mark.parametrize(
    ("policy", "source", "last", "found"),
    [
        ("ACCEPT", "-s 192.0.2.77 -i eth0 ", "", True),
        ("DROP", "-s 192.0.2.77 -i eth0 ", "", False),
        ("ACCEPT", "", "", False),
        ("ACCEPT", "-s 192.0.2.77 -i eth0 ", "-A INPUT -p tcp -m tcp --dport 2525 -j DROP", False),
        ("ACCEPT", "-s 192.0.2.77 ! -i lo ", "", True),
        ("ACCEPT", "-s 192.0.2.77 -i enp+ ", "", True),
    ],
)
def test_a_port_that_is_open_to_others_than_a_rule_names(
    policy: str, source: str, last: str, found: bool, tmp_path: Path
) -> None:
    text = SMTP.format(policy=policy, source=source, last=last)
    one = lint(tmp_path, text).get("open-despite-source")
    assert (one is not None) is found
    if one is not None:
        assert str(one.title) == "INPUT accepts tcp/2525 from all, not only from 192.0.2.77."
        assert one.shown is not None
        assert one.shown.question.in_interface not in ("lo", "enp+")
        mended = SMTP.format(policy=policy, source=source, last=f"-A{str(one.remedy).partition(' -A')[2]}")
        assert "open-despite-source" not in lint(tmp_path, mended)


BOTH_WAYS = """iptables -t nat -A POSTROUTING -o eth4 -j MASQUERADE
{inner}
iptables -t nat -A PREROUTING -i eth4 -p tcp --dport 8080 -j DNAT --to-destination 10.66.0.8
iptables -A FORWARD -i eth4 -o eth5 -j ACCEPT
"""


@pytest.mark.parametrize(
    ("inner", "found"),
    [
        ("iptables -t nat -A POSTROUTING -o eth5 -j MASQUERADE", True),
        ("iptables -t nat -A POSTROUTING -o eth5 -s 10.66.0.0/24 -j MASQUERADE", False),
        ("", False),
    ],
)
def test_masquerading_by_each_interface_hides_the_clients(inner: str, found: bool, tmp_path: Path) -> None:
    one = lint(tmp_path, BOTH_WAYS.format(inner=inner)).get("clients-masqueraded")
    assert (one is not None) is found
    if one is not None:
        assert "eth5: 10.66.0.8" in str(one.title)
        assert "eth4" not in str(one.remedy)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("iptables -A OUTPUT -d www.wikipedia.org -j DROP", True),
        ("iptables -A OUTPUT -d 192.0.2.80 -j DROP", False),
        ("iptables -A OUTPUT -d your.server.net -j DROP", False),
        (
            "Chain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination\n"
            "DROP       all  --  anywhere             www.wikipedia.org",
            False,
        ),
    ],
)
def test_a_name_in_a_rule_but_not_in_a_listing(text: str, found: bool, tmp_path: Path) -> None:
    """The manual page of iptables: a host name is resolved once, before the rule goes to the kernel."""
    assert ("name-in-rule" in lint(tmp_path, f"{text}\n")) is found


@pytest.mark.parametrize(
    ("rule", "found"),
    [("-s 0.0.0.0 -j DROP", True), ("-s 0.0.0.0/0 -j DROP", False), ("-s 0.0.0.0/8 -j DROP", False)],
)
def test_an_address_of_zeros_is_not_any_address(rule: str, found: bool, tmp_path: Path) -> None:
    text = f"iptables -A INPUT -s 10.1.1.4 -j ACCEPT\niptables -A INPUT {rule}\n"
    findings = lint(tmp_path, text)
    assert ("zero-address" in findings) is found
    assert not found or "iptables -R INPUT 2 -s 0.0.0.0/0 -j DROP" in str(findings["zero-address"])
    # before others, it is one of the sources that nobody should have
    assert "zero-address" not in lint(tmp_path, f"{text}iptables -A INPUT -p tcp --dport 22 -j ACCEPT\n")


def test_the_unspecified_address_in_a_list_of_blocked_sources(tmp_path: Path) -> None:
    """RFC 1122, 3.2.1.3: no packet may arrive from it; without -s, the rule would drop everything."""
    text = "iptables -A INPUT -s 127.0.0.0/8 -j DROP\niptables -A INPUT -s 0.0.0.0 -j DROP\n"
    assert "zero-address" not in lint(tmp_path, text)
