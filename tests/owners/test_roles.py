"""Roles of rules: what the program that wrote a rule says of it.

The rulesets of fixtures/captures/hosts were loaded by the programs themselves or made from their output; the lines
of the other cases are what the programs write (sources in the modules of iptsim.owners).
"""

from __future__ import annotations

import pytest

from iptsim.dump import loads
from iptsim.dump.rule import Rule
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.owners.rule_owners import authorship, policy_role
from tests.docker.hosts import FIXTURES

CAPTURED = [
    ("kube", "KUBE-SERVICES", "10.96.77.77", "service default/idle:http has no endpoints, as no pod is ready for it"),
    ("kube", "KUBE-NODEPORTS", "30080", "node port 30080/tcp of service default/web:http"),
    ("kube", "KUBE-SERVICES", "198.51.100.250", "load balancer IP 198.51.100.250 443/tcp of service default/edge:http"),
    (
        "kube",
        "KUBE-SVC-5LYAW4JWGBAXMSKN",
        "10.244.0.10",
        "service default/web:http: endpoint 10.244.0.10:8080, 1 of 2, each with the same share",
    ),
    (
        "kube",
        "KUBE-SVC-CG5I4G2RS3ZVWGLK",
        "rcheck",
        "service default/edge:http: session affinity keeps a client at 10.244.0.10:8443 for 10800 seconds",
    ),
    (
        "kube",
        "KUBE-SVL-CG5I4G2RS3ZVWGLK",
        "10.244.0.10",
        "service default/edge:http: endpoint 10.244.0.10:8443, the only one on this node (externalTrafficPolicy Local)",
    ),
    ("ufw", "ufw-user-input", "dport 80 ", "set by `ufw allow 80/tcp`"),
    ("ufw", "ufw-user-input", "-s 203", "set by `ufw deny from 203.0.113.96/27`"),
    ("ufw", "ufw-user-input", "hitcount", "set by `ufw limit 22/tcp`"),
    ("ufw", "ufw-user-input", "dports", "set by `ufw allow from 198.51.100.0/24 to any port 5432,6432 proto tcp`"),
    (
        "ufw",
        "ufw-user-forward",
        "8080",
        "set by `ufw route allow in on eth0 out on eth1 to 10.20.0.5 port 8080 proto tcp`",
    ),
    ("ufw", "ufw-user-output", "53", "set by `ufw deny out to 168.95.1.1 port 53 proto udp`"),
    (
        "ufw",
        "ufw-skip-to-policy-input",
        "DROP",
        "no `ufw allow` covers it, and the default of ufw for incoming packets is deny",
    ),
    ("firewalld", "INPUT_ZONES", "-i eth1", "eth1 is in zone internal"),
    ("firewalld", "IN_public_allow", "443", "firewalld zone public allows 443/tcp (a service or port)"),
    ("firewalld", "IN_public", "-j REJECT", "no service, port or rule of firewalld zone public allows it"),
    ("firewalld", "IN_public_deny", "203.0.113", "a rich rule of firewalld zone public blocks it"),
    ("firewalld", "FWD_lan-out", "-j ACCEPT", "the target of firewalld policy lan-out is ACCEPT"),
    ("fail2ban", "f2b-sshd", "203.0.113.99", "fail2ban's jail sshd has banned 203.0.113.99"),
    ("fail2ban", "INPUT", "match-set", "fail2ban's jail nginx-http-auth bans the addresses in its ipset"),
    (
        "libvirt",
        "LIBVIRT_FWI",
        "-o virbr0 -j REJECT",
        "the network on virbr0 is behind NAT, so only replies reach its guests",
    ),
    (
        "libvirt",
        "LIBVIRT_FWO",
        "-i virbr2 -j REJECT",
        "the network on virbr2 is isolated, so its guests cannot leave it",
    ),
    ("podman-netavark", "NETAVARK-HOSTPORT-DNAT", "dport 8080", "published port 8080/tcp of the network front"),
]  # fmt: skip


def _host(name: str) -> Host:
    return load_host(FIXTURES / "hosts" / name)


def _rule(host: Host, chain: str, words: str) -> Rule:
    rules = (rule for rule in host.rulesets[4].rules() if rule.chain == chain)
    return next(rule for rule in rules if words in f"{rule.text} ")


@pytest.mark.parametrize(("name", "chain", "words", "why"), CAPTURED)
def test_captured_rules(name: str, chain: str, words: str, why: str) -> None:
    host = _host(name)
    role = authorship(_rule(host, chain, words), host)[1]
    assert role is not None
    assert str(role.why) == why


_FW3 = ":zone_wan_input - [0:0]\n:zone_wan_src_REJECT - [0:0]\n:reject - [0:0]\n:input_wan_rule - [0:0]\n"
#: (owner, the line of the role, all lines of the table, why)
WRITTEN = [
    (
        "openwrt",
        '-A zone_wan_input -m comment --comment "!fw3" -j zone_wan_src_REJECT',
        _FW3,
        "zone wan: the default for packets to the router is REJECT",
    ),
    (
        "openwrt",
        '-A zone_wan_src_REJECT -i eth1 -m comment --comment "!fw3" -j reject',
        _FW3,
        "zone wan blocks what no rule allows",
    ),
    (
        "openwrt",
        '-A zone_wan_input -p icmp -m icmp --icmp-type 8 -m comment --comment "!fw3: Allow-Ping" -j ACCEPT',
        _FW3,
        "the rule Allow-Ping of zone wan",
    ),
    (
        "openwrt",
        '-A zone_lan_forward -m comment --comment "!fw3: Zone lan to wan forwarding policy" -j zone_wan_dest_ACCEPT',
        ":zone_lan_forward - [0:0]\n:zone_wan_dest_ACCEPT - [0:0]\n",
        "zone lan may forward to zone wan",
    ),
    (
        "shorewall",
        "-A net-fw -j DROP",
        ":shorewall - [0:0]\n:net-fw - [0:0]\n-A INPUT -i eth0 -j net-fw\n",
        "no rule accepts it, and Shorewall's policy from zone net to zone fw blocks it",
    ),
    (
        "calico",
        '-A cali-tw-cali95aa86cbb2a -m comment --comment "cali:FUDVBYh1Yr6tVRgq" -m comment --comment '
        '"Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP',
        ":cali-tw-cali95aa86cbb2a - [0:0]\n",
        "no ingress network policy of the pod behind cali95aa86cbb2a allows it",
    ),
    # with the deny action Reject, and tiers (felix/rules/endpoints.go)
    (
        "calico",
        '-A cali-fw-cali0123456789a -m comment --comment "cali:AbCdEfGhIjKlMnOp" -m comment --comment '
        '"End of tier default. Reject if no policies passed packet" -m mark --mark 0x0/0x20000 -j REJECT '
        "--reject-with icmp-port-unreachable",
        ":cali-fw-cali0123456789a - [0:0]\n",
        "no egress network policy of the pod behind cali0123456789a allows it",
    ),
    (
        "cilium",
        '-A CILIUM_FORWARD -o cilium_host -m comment --comment "cilium: any->cluster on cilium_host forward accept" '
        "-j ACCEPT",
        ":CILIUM_FORWARD - [0:0]\n",
        "Cilium: any->cluster on cilium_host forward accept",
    ),
    (
        "tailscale",
        "-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP",
        ":ts-input - [0:0]\n",
        "packets from addresses of the tailnet must arrive on tailscale0",
    ),
    (
        "tailscale",
        "-A ts-input -s 100.101.102.103/32 -i lo -j ACCEPT",
        ":ts-input - [0:0]\n",
        "accepts the host's own packets to its address in the tailnet",
    ),
    (
        "tailscale",
        "-A ts-forward -o tailscale0 -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP",
        ":ts-forward - [0:0]\n",
        "Tailscale's stateful filtering: no new connections from here into the tailnet",
    ),
    (
        "lxd",
        '-A FORWARD -o lxdbr0 -m comment --comment "generated for LXD network lxdbr0" -j ACCEPT',
        "",
        "packets may reach instances on lxdbr0",
    ),
    ("lxd", "-A INPUT -i lxcbr0 -p udp -m udp --dport 53 -j ACCEPT", "", "DNS for instances on lxcbr0"),
    ("user", "-A FORWARD -i wg0 -j ACCEPT", "", "clients of the VPN on wg0 may connect through this host"),
    ("user", "-A INPUT -p udp -m udp --dport 51820 -j ACCEPT", "", "the port of the WireGuard server"),
    ("user", "-A FORWARD -i tun0 -o eth0 -j ACCEPT", "", "clients of the VPN on tun0 may connect through this host"),
    (
        "crowdsec",
        "-A CROWDSEC_CHAIN -m set --match-set crowdsec-blacklists-0 src -j DROP",
        ":CROWDSEC_CHAIN - [0:0]\n",
        "CrowdSec has banned the source (ipset crowdsec-blacklists-0)",
    ),
    (
        "csf",
        "-A LOGDROPIN -j DROP",
        ":LOCALINPUT - [0:0]\n:LOGDROPIN - [0:0]\n",
        "no port list of CSF allows it (TCP_IN, UDP_IN)",
    ),
    ("csf", "-A DENYIN -s 203.0.113.9/32 -j DROP", ":LOCALINPUT - [0:0]\n:LOGDROPIN - [0:0]\n:DENYIN - [0:0]\n",
     "CSF denies 203.0.113.9 (csf.deny)"),
    ("csf", "-A ALLOWOUT -d 203.0.113.9/32 ! -o lo -j ACCEPT",
     ":LOCALINPUT - [0:0]\n:LOGDROPIN - [0:0]\n:ALLOWOUT - [0:0]\n",
     "CSF allows 203.0.113.9 (csf.allow)"),
    ("shorewall", "-A net-fw -p tcp -m tcp --dport 25 -g ~log0",
     ":shorewall - [0:0]\n:net-fw - [0:0]\n:~log0 - [0:0]\n",
     "a rule from zone net to zone fw"),
    ("shorewall", "-A FORWARD -g reject", ":shorewall - [0:0]\n:reject - [0:0]\n",
     "Shorewall blocks packets that belong to no pair of zones"),
    ("firewalld", "-A FWDI_docker -j ACCEPT", ":FWDI_docker - [0:0]\n:FWDI_docker_allow - [0:0]\n",
     "dockerd puts its bridges into firewalld zone docker, whose target is ACCEPT"),
    # chains of firewalld 1.3
    ("firewalld", "-A FWD_lan -j DROP", ":FWD_lan - [0:0]\n:FWD_lan_allow - [0:0]\n",
     "no rule or policy allows forwarding from firewalld zone lan, and the target of the zone is DROP"),
    ("firewalld", "-A IN_lan -j DROP", ":IN_lan - [0:0]\n:IN_lan_allow - [0:0]\n",
     "no service, port or rule of firewalld zone lan allows it, and the target of the zone is DROP"),
    ("firewalld", "-A FWD_out -j REJECT --reject-with icmp-port-unreachable",
     ":FWD_out - [0:0]\n:FWD_out_deny - [0:0]\n:FORWARD_POLICIES_pre - [0:0]\n-A FORWARD_POLICIES_pre -j FWD_out\n",
     "the target of firewalld policy out is REJECT"),
    # fragments
    ("csf", "-A DENYIN -s 203.0.113.9/32 -j DROP", ":LOCALINPUT - [0:0]\n:DENYIN - [0:0]\n",
     "CSF denies 203.0.113.9 (csf.deny)"),
    (
        "shorewall",
        "-A net2fw -j DROP",
        ":net2fw - [0:0]\n",
        "no rule accepts it, and Shorewall's policy from zone net to zone fw blocks it",
    ),
    (
        "kubernetes",
        '-A KUBE-POD-FW-ABCDEFGHIJKLMNOP -m comment --comment "rule to REJECT traffic destined for POD name:web-0 '
        'namespace: default" -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable',
        ":KUBE-POD-FW-ABCDEFGHIJKLMNOP - [0:0]\n",
        "no network policy of pod default/web-0 allows it",
    ),
    (
        "kubernetes",
        '-A KUBE-FW-ABCDEFGHIJKLMNOP -m comment --comment "default/edge:http loadbalancer IP" -j KUBE-MARK-DROP',
        ":KUBE-FW-ABCDEFGHIJKLMNOP - [0:0]\n:KUBE-MARK-DROP - [0:0]\n",
        "the source is in none of the loadBalancerSourceRanges of service default/edge:http",
    ),
    ("docker", "-A DOCKER-INGRESS -j RETURN", ":DOCKER-INGRESS - [0:0]\n", "the end of swarm's published ports"),
    ("user", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "", None),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "line", "before", "why"), WRITTEN)
def test_written_rules(owner: str, line: str, before: str, why: str | None) -> None:
    ruleset = loads(f"*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n{before}{line}\nCOMMIT\n")
    host = Host(rulesets={4: ruleset})
    rule = next(one for one in ruleset.rules() if one.text == line)
    found, role = authorship(rule, host)
    assert (found, str(role.why) if role is not None else None) == (owner, why)


def test_policies_of_ufw() -> None:
    """ufw-default-input-policy deny is the policy DROP of INPUT (ufw's backend_iptables.py)."""
    found = policy_role(_host("ufw"), 4, "filter", "INPUT")
    assert found is not None
    assert (
        str(found[1].why) == "no `ufw allow` covers it, and the default of ufw for incoming packets is deny"
    )
    assert policy_role(_host("fail2ban"), 4, "filter", "INPUT") is None
