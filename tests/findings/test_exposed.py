"""What is open to the internet, and which interfaces accept false sources: on hosts made for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import iptsim
from iptsim.cli import main
from iptsim.findings import Finding, Findings
from iptsim.findings.exposed import SERVICES

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
HEAD = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
REPLIES = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n"

ADDRESSES = [
    ("lo", "127.0.0.1", 8),
    ("eth0", "192.0.2.10", 24),
    ("eth1", "10.1.0.1", 16),
    ("eth2", "10.2.0.1", 16),
]


def host(folder: Path, rules: str, *, sockets: str = "", sysctls: str = "") -> Findings:
    """Return the findings of a router: the internet at eth0, two networks at eth1 and eth2."""
    folder.mkdir(exist_ok=True)
    (folder / "iptables-save.txt").write_text(f"{HEAD}{REPLIES}{rules}COMMIT\n")
    (folder / "ip-addr.json").write_text(
        json.dumps(
            [
                {
                    "ifindex": number,
                    "ifname": name,
                    "flags": ["UP"],
                    "addr_info": [
                        {"family": "inet", "local": address, "prefixlen": length, "scope": "global"}
                    ],
                }
                for number, (name, address, length) in enumerate(ADDRESSES, 1)
            ]
        )
    )
    (folder / "ip-route.json").write_text(
        json.dumps(
            [
                {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "table": "main"},
                {"dst": "192.0.2.0/24", "dev": "eth0", "scope": "link", "table": "main"},
                {"dst": "10.1.0.0/16", "dev": "eth1", "scope": "link", "table": "main"},
                {"dst": "10.2.0.0/16", "dev": "eth2", "scope": "link", "table": "main"},
                *(
                    {"type": "local", "dst": address, "dev": name, "table": "local"}
                    for name, address, _ in ADDRESSES
                ),
            ]
        )
    )
    (folder / "sysctl.txt").write_text(f"net.ipv4.ip_forward = 1\n{sysctls}")
    if sockets:
        (folder / "ss.txt").write_text(sockets)
    return iptsim.lint(folder)


def of(findings: list[Finding], code: str) -> list[Finding]:
    return [one for one in findings if one.code == code]


def test_a_database_that_a_rule_opens_to_all(tmp_path: Path) -> None:
    (found,) = of(host(tmp_path, "-A INPUT -p tcp -m tcp --dport 5432 -j ACCEPT\n"), "service-open")
    assert found.severity == "high"
    assert str(found.title) == "PostgreSQL, port 5432/tcp of the host, is open to the whole internet."
    assert [item.rule.position for item in found.evidence if item.rule] == [3]
    assert found.shown is not None
    assert (found.shown.verdict, found.shown.question.dport) == ("ACCEPT", 5432)


@pytest.mark.parametrize(
    "rule",
    [
        "-s 198.51.100.0/24 -p tcp -m tcp --dport 5432",  # for one network
        "-i eth1 -p tcp -m tcp --dport 5432",  # from the inside
        "-p tcp -m tcp --dport 443",  # meant for all
        "-p udp -m udp --dport 5432",  # another protocol
        "-p tcp -m tcp --dport 1024:65535",  # nothing says that there is a database
        "-p tcp -m tcp --dport 5432 -m limit --limit 1/sec",  # it depends
    ],
)
def test_what_is_not_open_to_all(rule: str, tmp_path: Path) -> None:
    assert not of(host(tmp_path, f"-A INPUT {rule} -j ACCEPT\n"), "service-open")


def test_single_addresses_that_are_banned_change_nothing(tmp_path: Path) -> None:
    rules = "-A INPUT -s 198.51.100.7/32 -j DROP\n-A INPUT -p tcp -m tcp --dport 6379 -j ACCEPT\n"
    assert len(of(host(tmp_path, rules), "service-open")) == 1


def test_what_listens_counts(tmp_path: Path) -> None:
    """Where the sockets are known, a wide rule opens what listens, and a rule for a port none listens on nothing."""
    line = 'tcp LISTEN 0 128 {address}:3306 0.0.0.0:* users:(("mysqld",pid=7,fd=3))\n'
    wide = "-A INPUT -p tcp -m tcp --dport 1024:65535 -j ACCEPT\n"
    (found,) = of(host(tmp_path, wide, sockets=line.format(address="0.0.0.0")), "service-open")
    assert str(found.evidence[-1].text) == "mysqld listens on 3306/tcp"
    assert not of(host(tmp_path, wide, sockets=line.format(address="127.0.0.1")), "service-open")
    narrow = "-A INPUT -p tcp -m tcp --dport 5432 -j ACCEPT\n"
    assert not of(host(tmp_path, narrow, sockets=line.format(address="0.0.0.0")), "service-open")


def test_a_port_forward_to_a_database(tmp_path: Path) -> None:
    rules = (
        "-A FORWARD -i eth0 -o eth1 -p tcp -m tcp --dport 5432 -j ACCEPT\n"
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n"
        ":MINE - [0:0]\n-A PREROUTING -i eth0 -p tcp -m tcp --dport 15432 -j MINE\n"
        "-A MINE -p tcp -j DNAT --to-destination 10.1.0.5:5432\n"
    )
    (found,) = of(host(tmp_path, rules), "service-open")
    assert str(found.title) == (
        "PostgreSQL, port 5432/tcp of a machine behind this host, is open to the whole internet as 15432/tcp."
    )


def test_a_published_database(tmp_path: Path) -> None:
    """Docker's rules of a real host, of which the published port leads to that of Redis."""
    text = (CAPTURES / "docker-28.5/published/iptables-save.txt").read_text()
    file = tmp_path / "rules"
    file.write_text(text.replace("172.17.0.2:80", "172.17.0.2:6379").replace("--dport 80 ", "--dport 6379 "))
    (found,) = of(iptsim.lint(file), "service-open")
    assert "Redis" in str(found.title)
    assert "8080/tcp" in str(found.title)
    assert "-p 127.0.0.1:8080:6379" in str(found.remedy)


def test_ports_of_services_are_those_of_their_manuals() -> None:
    assert {SERVICES[6, port] for port in (3306, 5432, 6379, 27017)} == {
        "MySQL",
        "PostgreSQL",
        "Redis",
        "MongoDB",
    }


# -- false sources ---------------------------------------------------------------------------------

#: eth1 is trusted by its addresses alone
TRUSTED = "-A INPUT -s 10.1.0.0/16 -p udp -m udp --dport 514 -j ACCEPT\n"


def test_a_rule_that_trusts_addresses_by_whatever_interface(tmp_path: Path) -> None:
    found = of(host(tmp_path, TRUSTED), "spoofing-gains-access")
    assert [str(one.title).split()[4] for one in found] == ["eth0", "eth2"]
    shown = found[0].shown
    assert shown is not None
    assert (shown.verdict, shown.question.in_interface, shown.question.dport) == ("ACCEPT", "eth0", 514)
    assert "a source in 10.1.0.0/16 are accepted" in str(found[0].title)
    assert "udp/514" in str(found[0].consequence)


@pytest.mark.parametrize(
    ("rules", "sysctls"),
    [
        (TRUSTED.replace("INPUT", "INPUT -i eth1"), ""),  # the rule names the interface
        ("-A INPUT -p udp -m udp --dport 514 -j ACCEPT\n", ""),  # all may do it
        ("-A INPUT ! -i eth1 -s 10.1.0.0/16 -j DROP\n" + TRUSTED, ""),  # a rule against it
        ("-A INPUT -s 198.51.100.0/24 -j ACCEPT\n", ""),  # a network outside, from the inside
        (TRUSTED, "net.ipv4.conf.all.rp_filter = 1\n"),  # strict reverse path filter (RFC 3704)
    ],
)
def test_no_gain_from_false_sources(rules: str, sysctls: str, tmp_path: Path) -> None:
    assert not of(host(tmp_path, rules, sysctls=sysctls), "spoofing-gains-access")


def test_forwarding_by_source_alone(tmp_path: Path) -> None:
    rules = "-A FORWARD -s 10.1.0.0/16 -d 10.2.0.0/16 -j ACCEPT\n"
    (found,) = of(host(tmp_path, rules), "spoofing-gains-access")
    assert "eth0" in str(found.title)


# -- audit -----------------------------------------------------------------------------------------


def test_an_audit_lists_what_is_open(tmp_path: Path) -> None:
    rules = (
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"
        "-A INPUT -s 198.51.100.0/24 -p tcp -m tcp --dport 9100 -j ACCEPT\n"
        "-A FORWARD -i eth1 -j ACCEPT\n"
    )
    assert host(tmp_path, rules) == []
    found = iptsim.lint(tmp_path, audit=True)
    (opened,) = of(found, "open-to-internet")
    assert str(opened.title) == "host is open to the internet: tcp/22,9100."
    assert str(opened.consequence) == "From every address: tcp/22. Only from 198.51.100.0/24: tcp/9100."
    titles = [str(one.title) for one in of(found, "source-not-checked")]
    assert titles[0].startswith("eth1 accepts packets from addresses that are not behind it: 1.0.0.0-")
    assert {one.severity for one in found} == {"info"}


def test_audit_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    source = str(CAPTURES / "docker-28.5/icc-on")
    assert main(["lint", source, "--audit"]) == 1
    assert "open-to-internet  info   host is open to the internet: all ports." in capsys.readouterr().out


def test_too_many_nodes_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("iptsim.findings.scene.MOST_NODES", 3000)
    rules = "".join(
        f"-A INPUT -s 203.0.{n}.{n * 7 % 256}/32 -p tcp -m tcp --dport {n * 37} -j ACCEPT\n"
        for n in range(1, 200)
    )
    (found,) = of(host(tmp_path, rules), "not-checked")
    assert "need more than 3,000 nodes" in str(found.evidence[0].text)


def test_an_audit_says_which_rules_divide_packets_too_often(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # each of these lists takes an unknown part of what is left
    rules = "".join(
        f"-A INPUT -p tcp -m set --match-set list{n} src -j {('ACCEPT', 'DROP')[n % 2]}\n" for n in range(6)
    )
    assert host(tmp_path, rules) == []
    assert not of(iptsim.lint(tmp_path, audit=True), "not-checked")
    monkeypatch.setattr("iptsim.findings.exposed.MOST_WAYS", 3)
    (found,) = of(iptsim.lint(tmp_path, audit=True), "not-checked")
    (reason,) = found.evidence
    assert str(reason.text).startswith("packets from internet take more than 3 different ways")
    # the helper's own rules come first
    assert re.search(r"most ways differ in filter INPUT rule [3-8]\b", str(reason.text))
    assert "iptsim reach SOURCE --from internet --open" in str(found.remedy)


ROUTER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i eth0 -p tcp -m tcp --dport 2211 -j ACCEPT
-A INPUT -i tun0 -j ACCEPT
-A INPUT -i br0 -j ACCEPT
-A INPUT -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 25 -j DNAT --to-destination 192.168.1.1:25
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
"""


def audited(folder: Path, rules: str) -> dict[str, Finding]:
    """Return what a dump opens to the internet, by title."""
    (folder / "rules").write_text(rules)
    return {
        str(one.title): one
        for one in iptsim.lint(folder / "rules", audit=True)
        if one.code == "open-to-internet"
    }


def test_the_target_of_a_port_forward_is_not_the_host_itself(tmp_path: Path) -> None:
    """iptables-extensions(8): REDIRECT, not DNAT, is for the machine itself."""
    assert [*audited(tmp_path, ROUTER)] == [
        "host is open to the internet: tcp/2211.",
        "192.168.1.1 is open to the internet: tcp/25.",
    ]


def test_the_evidence_of_an_open_host_is_the_policy_of_filter(tmp_path: Path) -> None:
    """netfilter.h: nat INPUT comes after filter INPUT, but does not filter."""
    (found,) = audited(
        tmp_path, ROUTER.replace("-A INPUT -j DROP\n", "").split("-A PREROUTING")[0] + "COMMIT\n"
    ).values()
    assert [str(one.place).partition(" (")[0] for one in found.evidence] == ["filter INPUT"]
