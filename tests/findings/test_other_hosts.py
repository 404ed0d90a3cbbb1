"""Causes on VPN servers, routers and hosts of guests, as their texts show them, each with its counterpart."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.sources import load_host
from tests.findings.linting import lint

LISTED = "{chain}\ntarget     prot opt source               destination\n{rule}\n"
BAN = "DROP       all  --  203.0.113.7          0.0.0.0/0"


@pytest.mark.parametrize(("references", "found"), [(0, True), (1, False)])
def test_bans_that_nothing_jumps_to(references: int, found: bool, tmp_path: Path) -> None:
    """Iptables -L prints how many rules jump to a chain; with none, its rules see no packet."""
    text = LISTED.format(chain=f"Chain f2b-sshd ({references} references)", rule=BAN)
    assert ("bans-not-reached" in lint(tmp_path, text)) is found


ROUTES = "default via 172.18.0.1 dev eth1\n10.13.13.2 dev wg0 scope link\n172.18.0.0/16 dev eth1 scope link\n"


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-o eth0", True),
        ("-o eth1", False),
        ("-s 10.13.13.0/24", False),
        ("! -o wg0", False),
    ],
)
def test_masquerading_by_another_card_than_the_uplink(rule: str, found: bool, tmp_path: Path) -> None:
    """A packet leaves by the device of the default route (ip-route(8)), and -o matches that device only."""
    text = f"iptables -t nat -A POSTROUTING {rule} -j MASQUERADE\n\n{ROUTES}10.0.1.0/24 dev eth0 scope link\n"
    assert bool({"masquerades-elsewhere", "not-masqueraded"} & lint(tmp_path, text).keys()) is found


FORWARD = "iptables -t nat -A PREROUTING {match} -p tcp --dport 80 -j DNAT --to-destination 10.0.3.2"


def test_a_hairpin_behind_an_interface_that_no_rule_names(tmp_path: Path) -> None:
    """The target replies to a neighbour directly; with a MASQUERADE, it replies to the host."""
    forward = FORWARD.format(match="-d 192.168.0.2")
    subnet = "iptables -t nat -A POSTROUTING -s 10.0.3.0/24 {to} -j MASQUERADE"
    broken = lint(tmp_path, f"{forward}\n{subnet.format(to='! -d 10.0.3.0/24')}\n")
    assert broken["hairpin"].shown is not None
    assert broken["hairpin"].shown.verdict == "DROP"
    assert "hairpin" not in lint(tmp_path, f"{forward}\n{subnet.format(to='-d 10.0.3.0/24')}\n")
    assert "hairpin" not in lint(tmp_path, FORWARD.format(match="-i eth0") + "\n")


def test_a_forward_for_one_interface_and_a_test_on_the_host(tmp_path: Path) -> None:
    """The host's own packets pass OUTPUT of nat; iptables refuses -i there."""
    forward = FORWARD.format(match="-i eth0")
    found = lint(tmp_path, f"{forward}\nBut on the host itself curl 192.0.2.10 fails\n")[
        "port-forward-not-for-host"
    ]
    assert "-A OUTPUT" in str(found.remedy)
    assert "-i eth0" not in str(found.remedy)
    assert "port-forward-not-for-host" not in lint(tmp_path, forward + "\n")


NFT = """table inet fw {{
	chain forward {{
		type filter hook forward priority 0; policy drop;
		iifname "wg0" oifname "{card}" accept
	}}
	chain post {{
		type nat hook postrouting priority 100; policy accept;
		oifname "{card}" masquerade
	}}
}}
"""


@pytest.mark.parametrize("card", ["enp3s0", "wan", "ppp0"])
def test_the_uplink_of_a_host_that_only_nft_shows(card: str, tmp_path: Path) -> None:
    """What rules masquerade leaves by the uplink, so the default route leads there."""
    path = tmp_path / "paste"
    path.write_text(NFT.format(card=card), "utf-8")
    host = load_host(path)
    assert {route.device for route in host.namespace.routes if not route.prefix_length} == {card}
    assert "eth0" not in host.namespace.interfaces


def test_a_prompt_below_a_listing_is_no_part_of_its_last_rule(tmp_path: Path) -> None:
    """`/app #` is the prompt of busybox; in a forum, the output of ip may lose its indentation."""
    path = tmp_path / "paste"
    path.write_text(
        "/app # iptables -t nat -L POSTROUTING -v\nChain POSTROUTING (policy ACCEPT 1 packets, 9 bytes)\n"
        "pkts bytes target prot opt in out source destination\n"
        "0 0 MASQUERADE all -- any eth0 10.8.0.0/24 anywhere\n/app # ip a\n"
        "2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP\n"
        "inet 172.18.0.3/16 brd 172.18.255.255 scope global eth0\n",
        "utf-8",
    )
    host = load_host(path)
    (rule,) = host.rulesets[4].tables["nat"].chains["POSTROUTING"].rules[:1]
    assert rule.text == "-A POSTROUTING -s 10.8.0.0/24 -o eth0 -j MASQUERADE"
    assert [one.prefix_length for one in host.namespace.interfaces["eth0"].addresses] == [16]


def test_a_rule_for_a_card_that_ifconfig_does_not_show(tmp_path: Path) -> None:
    """A rule for ens3 matches no packet of a host whose card is enp0s3."""
    cards = (
        "enp0s3: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 9000\n        inet 10.0.0.5  netmask 255.255.255.0\n\n"
        "lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 65536\n        inet 127.0.0.1  netmask 255.0.0.0\n"
    )
    rule = "-A INPUT -i {card} -p udp -m udp --dport 51820 -j ACCEPT\n\n"
    assert "wrong-interface" in lint(tmp_path, rule.format(card="ens3") + cards)
    assert "wrong-interface" not in lint(tmp_path, rule.format(card="enp0s3") + cards)


def test_open_ports_are_those_for_most_senders(tmp_path: Path) -> None:
    """A rule for one sender opens no port to the internet; WireGuard (UDP) is not among the open ones."""
    head = "-P INPUT DROP\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -s 203.0.113.7 -j ACCEPT\n"
    found = lint(tmp_path, head + "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n")["closed-by-default"]
    assert "tcp/22." in str(found.title)
    assert "no UDP port" in str(found.consequence)
    assert "more from some senders or source ports" in str(found.consequence)
    by_source = (
        "-A INPUT -p tcp -m tcp --sport 8080 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n"
    )
    assert "except: tcp/8080." in str(lint(tmp_path, head + by_source)["closed-by-default"].title)
    found = lint(tmp_path, head + "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n")["closed-by-default"]
    assert "no UDP port" not in str(found.consequence)


def test_an_error_of_iptables_nft(tmp_path: Path) -> None:
    """The message of iptables 1.8 (nft.c) if the kernel refuses a chain; libvirt prints it after the command."""
    text = (
        "error: internal error: Failed to apply firewall rules /sbin/iptables --table filter --insert INPUT"
        " --in-interface virbr0 --protocol tcp --destination-port 67 --jump ACCEPT: iptables v1.8.2 (nf_tables):"
        " CHAIN_ADD failed (No such file or directory): chain INPUT\n"
    )
    assert "nf_tables" in str(lint(tmp_path, text)["refused-command"].remedy)


def test_a_rule_that_blocks_by_source_port(tmp_path: Path) -> None:
    """A client's source port is a high one (ip_local_port_range), so --sport 80 does not match what it sends."""
    rule = "iptables -A INPUT -s 172.16.0.0/24 -p tcp {flag} 80 -j DROP\n"
    found = lint(tmp_path, rule.format(flag="--sport"))["source-port-blocked"]
    assert "--dport 80" in str(found.remedy)
    assert found.shown is None or found.shown.verdict == "ACCEPT"
    assert "source-port-blocked" not in lint(tmp_path, rule.format(flag="--dport"))


@pytest.mark.parametrize(
    ("said", "served", "flag", "expected"),
    [
        ("Updates fail.", 22, "--sport", True),
        ("Updates fail.", 22, "--dport", False),
        ("Updates fail.", 443, "--sport", False),  # for the replies of the web server
        ("Updates come at night.", 22, "--sport", False),
        ("Updates fail.", 22, "-m state --state ESTABLISHED --sport", False),
    ],
)
def test_a_rule_that_accepts_by_source_port(
    said: str, served: int, flag: str, expected: bool, tmp_path: Path
) -> None:
    """What the host sends to port 443 has it as the destination port; so iptables(8) reads --sport."""
    policies = "".join(f"-P {chain} DROP\n" for chain in ("INPUT", "FORWARD", "OUTPUT"))
    rules = (
        f"-A INPUT -p tcp -m tcp --dport {served} -j ACCEPT\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n"
        f"-A OUTPUT -p tcp {flag} 443 -j ACCEPT\n"
    )
    found = lint(tmp_path, f"{said}\n\n$ iptables -S\n{policies}{rules}")
    assert ("source-port-accepted" in found) is expected
    if expected:
        assert str(found["source-port-accepted"].remedy).endswith("-p tcp -m tcp --dport 443 -j ACCEPT")


@pytest.mark.parametrize(
    ("inbound", "outbound", "expected"),
    [
        ("-p udp --sport 53", "-p udp --sport 53", True),
        (
            "-p udp --sport 68",
            "-p udp --sport 68",
            False,
        ),  # DHCP: a client sends from port 68 (RFC 2131, 4.1)
        ("-p udp --sport 500", "-p udp --sport 500", False),  # IKE (RFC 7296, 2)
        ("-s 203.0.113.0/24", "-p tcp --sport 80", False),  # replies of a web server for some clients
        ("-i lo", "-p tcp --sport 80", True),
    ],
)
def test_rules_by_source_port_that_are_right(
    inbound: str, outbound: str, expected: bool, tmp_path: Path
) -> None:
    policies = "".join(f"-P {chain} DROP\n" for chain in ("INPUT", "FORWARD", "OUTPUT"))
    rules = f"-A INPUT {inbound} -j ACCEPT\n-A OUTPUT {outbound} -j ACCEPT\n"
    found = lint(tmp_path, f"Updates fail.\n\n$ iptables -S\n{policies}{rules}")
    assert ("source-port-accepted" in found) is expected


ZONES = (
    "public (active)\n  target: default\n  interfaces: ens3\n  services: ssh\n  masquerade: {masquerade}\n\n"
    "vpn (active)\n  target: {target}\n  interfaces: wg0\n  services:\n  masquerade: no\n"
)


@pytest.mark.parametrize(
    ("masquerade", "target", "found"),
    [("no", "default", True), ("yes", "default", False), ("no", "ACCEPT", False)],
)
def test_a_zone_that_forwards_nothing(masquerade: str, target: str, found: bool, tmp_path: Path) -> None:
    """firewalld.zone(5): target default rejects what is forwarded to another zone."""
    text = ZONES.format(masquerade=masquerade, target=target)
    assert ("zone-not-forwarded" in lint(tmp_path, text)) is found


RICH = '  masquerade: no\n  rich rules:\n\trule family="ipv4" source address="10.9.0.0/24" masquerade\n'


@pytest.mark.parametrize(
    ("target", "masquerade", "found"),
    [
        ("DROP", "  masquerade: yes\n", True),
        ("%%REJECT%%", RICH, True),
        ("default", "  masquerade: yes\n", False),
        ("DROP", "  masquerade: no\n", False),
    ],
)  # fmt: skip
def test_a_zone_whose_target_blocks_what_another_one_masquerades(
    target: str, masquerade: str, found: bool, tmp_path: Path
) -> None:
    """The chain filter_FWDI_internal ends with the target before filter_FWDO_external is evaluated."""
    text = (
        f"external (active)\n  target: default\n  interfaces: eth1\n  services:\n{masquerade}\n"
        f"internal (active)\n  target: {target}\n  interfaces: eth0\n  services: ssh\n  masquerade: no\n"
    )
    findings = lint(tmp_path, text)
    assert ("zone-not-forwarded" in findings) is found
    if found:
        assert "zone internal" in str(findings["zone-not-forwarded"].title)


def test_a_table_that_only_nft_can_change(tmp_path: Path) -> None:
    """The message of iptables 1.8 (xtables-translate's nft.c) about a table with other chains."""
    error = "iptables v1.8.2 (nf_tables): table `nat' is incompatible, use 'nft' tool."
    text = f"{error}\n\n-P INPUT ACCEPT\n-A INPUT -j DROP\n"
    assert "nft" in str(lint(tmp_path, text)["refused-command"].remedy)


def test_a_port_forward_to_loopback_leads_to_no_lan(tmp_path: Path) -> None:
    """127.0.0.0/8 is the host's own."""
    path = tmp_path / "paste"
    path.write_text(
        "iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 127.0.0.1:8080\n", "utf-8"
    )
    assert not any("here called" in str(one) for one in load_host(path).assumptions)


TWO_ZONES = "".join(
    f"{zone} (active)\n  target: default\n  interfaces: {card}\n  sources:\n  services:\n  ports:\n"
    f"  masquerade: {masquerade}\n"
    "  forward-ports:\n  rich rules:\n\n"
    for zone, card, masquerade in (("external", "enp3s0", "yes"), ("internal", "br0", "no"))
)
REFUSED = "kernel: filter_FWD_internal_REJECT: "
REFUSED += "IN=br0 OUT={out} SRC=192.168.3.105 DST=1.1.1.1 PROTO=ICMP TYPE=8 CODE=0\n"


@pytest.mark.parametrize(("out", "found"), [("enp3s0", True), ("br0", False), ("eth9", False)])
def test_a_packet_that_firewalld_logged_between_zones(out: str, found: bool, tmp_path: Path) -> None:
    """Since firewalld 1.0 only a policy lets packets pass to another zone, even one that masquerades."""
    findings = lint(tmp_path, TWO_ZONES + REFUSED.format(out=out))
    assert ("zone-not-forwarded" in findings) is found
    if found:
        remedy = str(findings["zone-not-forwarded"].remedy)
        assert "--add-ingress-zone=internal --add-egress-zone=external" in remedy
        assert "masquerade" not in remedy


@pytest.mark.parametrize(
    ("name", "found"), [("wlan", True), ("tun", True), ("wlan+", False), ("wlan0", False), ("lan", False)]
)
def test_an_interface_without_its_number(name: str, found: bool, tmp_path: Path) -> None:
    """Iptables(8): -i matches the whole name, unless it ends in +."""
    text = f"*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i {name} -j ACCEPT\n"
    assert ("misspelt-interface" in lint(tmp_path, f"# my rules.v4\n\nfile:\n{text}COMMIT\n")) is found


LIMITED = """table inet filter {{
	chain input {{
		type filter hook input priority filter; policy {policy};
		ct state established,related accept
		{rate} reject
	}}
}}
"""


@pytest.mark.parametrize(
    ("policy", "rate", "found"),
    [
        ("accept", "limit rate 5/second", True),
        ("drop", "limit rate 5/second", False),
        ("accept", "counter", False),
    ],
)
def test_a_reject_with_a_limit_before_policy_accept(
    policy: str, rate: str, found: bool, tmp_path: Path
) -> None:
    """A limit matches up to its rate (nft(8)); what exceeds it meets the policy."""
    text = LIMITED.format(policy=policy, rate=rate)
    assert ("rate-limit-inverted" in lint(tmp_path, text)) is found


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("-A OUTPUT -p tcp --dport 7199 -j REDIRECT --to-ports 12345", True),
        ("-A PREROUTING -p tcp --dport 7199 -j REDIRECT --to-ports 12345", False),
        ("-A OUTPUT -d 127.0.0.11/32 -p tcp -j DNAT --to-destination 127.0.0.11:40000", False),
        ("-A OUTPUT -p tcp -d 192.0.2.9 -j DNAT --to-destination 192.0.2.8", False),
    ],
)
def test_redirects_for_the_host_alone(rules: str, found: bool, tmp_path: Path) -> None:
    """The packets of other machines pass PREROUTING of nat, not OUTPUT (iptables(8))."""
    assert ("redirects-own-only" in lint(tmp_path, f"sudo iptables -t nat {rules}\n")) is found


def test_what_arrives_cannot_be_sent_to_loopback(tmp_path: Path) -> None:
    """A packet that arrives for 127.0.0.1 is dropped as martian, unless route_localnet is on."""
    rule = "-A OUTPUT -p tcp --dport 443 ! -d 192.0.2.1 -j DNAT --to-destination 127.0.0.1:8080"
    found = lint(tmp_path, f"sudo iptables -t nat {rule}\n")["redirects-own-only"]
    assert "-j REDIRECT --to-ports 8080" in str(found)


def test_a_redirect_to_a_port_that_no_shown_rule_accepts(tmp_path: Path) -> None:
    """INPUT comes after PREROUTING of nat; what chains that are not shown accept stays open."""
    nat = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-port 8080\nCOMMIT\n\n"
    listed = "Chain INPUT (policy DROP)\ntarget     prot opt source               destination\n"
    rows = "ssh        all  --  anywhere             anywhere\n"
    web = "ACCEPT     tcp  --  anywhere             anywhere             tcp dpt:{}\n"
    found = lint(tmp_path, nat + listed + rows + web.format("http"))["forward-names-old-port"]
    assert "no rule of INPUT that is shown" in str(found.title)
    assert "forward-names-old-port" not in lint(
        tmp_path, nat + listed + rows + web.format("http") + web.format(8080)
    )


@pytest.mark.parametrize(
    ("rules", "remedy"),
    [
        ("-A INPUT -j IN_public\n-A IN_public -j REJECT\n", "firewall-cmd --permanent"),
        ("-A INPUT -j ufw-user-input\n-A INPUT -j DROP\n", "ufw allow"),
        ("-A INPUT -j DROP\n", "iptables -I INPUT"),
    ],
)
def test_how_to_open_a_port(rules: str, remedy: str, tmp_path: Path) -> None:
    """The firewall that closes the port would remove a rule of iptables, or ignore it."""
    chains = "".join(f":{name} - [0:0]\n" for name in ("IN_public", "ufw-user-input") if name in rules)
    head = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    established = "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
    found = lint(
        tmp_path, f"# iptables-save\n\n$ sudo iptables-save\n{head}{chains}{established}{rules}COMMIT\n"
    )
    assert remedy in str(found["closed-by-default"].remedy)
