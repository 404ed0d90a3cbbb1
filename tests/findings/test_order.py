"""Rules of a program behind another's final rule, and rules for network cards that the host does not have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import iptsim
from iptsim.addresses import address_text
from iptsim.findings import Finding

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
HEAD = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
DOCKER = "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A FORWARD -i docker0 -o docker0 -j ACCEPT\n"
REPLIES = "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
REJECT = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n"


def lint(path: Path, text: str) -> dict[str, Finding]:
    path.write_text(text)
    return {finding.code: finding for finding in iptsim.lint(path)}


def test_dockers_rules_behind_the_final_reject_of_a_firewall(tmp_path: Path) -> None:
    """As on hosts whose rules file is loaded before Docker starts, or where only IPv6 rules are appended."""
    found = lint(tmp_path / "rules", f"{HEAD}{REJECT}{REPLIES}{DOCKER}COMMIT\n")["behind-final-rule"]
    assert str(found.title).startswith("FORWARD rule 1 blocks every packet")
    assert found.shown is not None
    assert found.shown.verdict == "REJECT"
    words = REJECT.removeprefix("-A FORWARD").strip()
    assert found.commands == (f"iptables -D FORWARD {words}", f"iptables -A FORWARD {words}")
    assert "usual remedy does not help" not in str(found.remedy)


def test_the_example_is_a_packet_of_the_rule_behind(tmp_path: Path) -> None:
    rules = f"{HEAD}{REPLIES}{DOCKER.splitlines()[0]}\n{REJECT}{DOCKER.splitlines()[1]}\nCOMMIT\n"
    found = lint(tmp_path / "rules", rules)["behind-final-rule"]
    assert found.shown is not None
    packet = found.shown.trace.legs[0].packet
    assert [address_text(4, one) for one in (packet.src, packet.dst)] == ["172.17.0.2", "172.17.0.3"]
    assert "usual remedy does not help" not in str(found.remedy)


@pytest.mark.parametrize(
    "rules",
    [
        f"{REPLIES}{DOCKER}{REJECT}",  # the reject comes last
        f"-A FORWARD -i eth1 -j DROP\n{REPLIES}{DOCKER}",  # it blocks some packets only
        f"{REJECT}-A FORWARD -i eth1 -j ACCEPT\n",  # one author wrote both
    ],
)
def test_no_rule_of_a_program_is_behind_a_final_one(tmp_path: Path, rules: str) -> None:
    assert "behind-final-rule" not in lint(tmp_path / "rules", f"{HEAD}{rules}COMMIT\n")


def test_an_accept_behind_a_reject_goes_before_it(tmp_path: Path) -> None:
    rules = "-A INPUT -j REJECT\n-A INPUT -p tcp -m tcp --dport 8080 -j ACCEPT\n"
    found = lint(tmp_path / "rules", f"{HEAD}{rules}COMMIT\n")["never-matches"]
    assert found.commands == ("iptables -I INPUT 1 -p tcp -m tcp --dport 8080 -j ACCEPT",)


def moved(folder: Path, interface: str) -> dict[str, Finding]:
    """Return the findings of a host with the uplink eth0 whose INPUT has a rule for an interface."""
    shutil.copytree(CAPTURES / "docker-26.1/published", folder / "host")
    path = folder / "host/iptables-save.txt"
    rule = f"[0:0] -A INPUT -i {interface} -p tcp -m tcp --dport 443 -j ACCEPT\n[0:0] -A FORWARD"
    text = path.read_text().replace(":INPUT ACCEPT", ":INPUT DROP", 1).replace("[0:0] -A FORWARD", rule, 1)
    path.write_text(text)
    return {finding.code: finding for finding in iptsim.lint(folder / "host")}


@pytest.mark.parametrize("interface", ["ens3", "eth1", "enp+"])
def test_a_rule_for_a_network_card_that_is_not_there(tmp_path: Path, interface: str) -> None:
    found = moved(tmp_path, interface)["wrong-interface"]
    assert found.commands == ("iptables -R INPUT 1 -i eth0 -p tcp -m tcp --dport 443 -j ACCEPT",)
    assert found.shown is not None
    assert found.shown.verdict == "DROP"


@pytest.mark.parametrize("interface", ["eth0", "eth+", "wg0", "tun+", "br-0123456789ab"])
def test_interfaces_that_are_there_or_come_and_go(tmp_path: Path, interface: str) -> None:
    assert "wrong-interface" not in moved(tmp_path, interface)


def test_a_rule_with_a_hardware_address_does_not_stop_the_analysis(tmp_path: Path) -> None:
    rule = "-A INPUT -i eth0 -m mac --mac-source 02:42:ac:11:00:02 -j ACCEPT\n-A INPUT -i eth0 -j DROP\n"
    assert lint(tmp_path / "rules", f"{HEAD}{rule}COMMIT\n") is not None


def test_a_routed_network_is_not_masqueraded_on_purpose(tmp_path: Path) -> None:
    """Rules as in moby v28.5.2 (integration/network/bridge/iptablesdoc, gateway mode routed)."""
    icmp = "-A DOCKER -o br-routed -p icmp -j ACCEPT\n"
    text = (
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n"
        ":DOCKER-FORWARD - [0:0]\n-A FORWARD -j DOCKER-FORWARD\n"
        "-A DOCKER -d 10.9.0.2/32 ! -i br-routed -o br-routed -p tcp -m tcp --dport 80 -j ACCEPT\n"
        f"{icmp}-A DOCKER ! -i br-routed -o br-routed -j DROP\n"
        "-A DOCKER-FORWARD -o br-routed -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        "-A DOCKER-FORWARD -o br-routed -j DOCKER\n-A DOCKER-FORWARD -i br-routed -j ACCEPT\nCOMMIT\n"
        "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n"
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\nCOMMIT\n"
    )
    assert "not-masqueraded" not in lint(tmp_path / "rules", text)
    assert "not-masqueraded" in lint(tmp_path / "rules", text.replace(icmp, ""))


def test_a_chain_that_rules_which_are_not_shown_may_jump_to(tmp_path: Path) -> None:
    own = "-A web -p tcp -m tcp --dport 80 -j ACCEPT\n"
    head = HEAD + ":web - [0:0]\n"
    assert "unreferenced-chain" in lint(tmp_path / "rules", f"{head}{own}COMMIT\n")
    assert "unreferenced-chain" not in lint(tmp_path / "rules", f"{head}...\n{own}COMMIT\n")


PORTS = """\
2: eno1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master {master} state UP
3: {master}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 198.51.100.10/24 scope global {master}
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i eno1 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.10.10.5:80
COMMIT
"""


@pytest.mark.parametrize(("master", "found"), [("vmbr0", True), ("vrf-blue", False)])
def test_a_rule_for_the_port_of_a_bridge_never_matches(tmp_path: Path, master: str, found: bool) -> None:
    """To iptables a packet arrives by the bridge (br_nf_pre_routing); the port of a VRF is seen (l3mdev)."""
    path = tmp_path / "paste.txt"
    path.write_text(PORTS.format(master=master))
    named = [one.remedy for one in iptsim.lint(path) if one.code == "port-of-bridge"]
    assert bool(named) is found
    if found:
        assert "-t nat -R PREROUTING 1 -i vmbr0 -p tcp -m tcp --dport 80 -j DNAT" in str(named[0])


ROW = "{:10} {:4} --  {:20} 0.0.0.0/0            {}\n"
HEADING = "Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination\n"


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ((("DROP", "tcp", "0.0.0.0/0", "tcp dpt:5267"), ("ACCEPT", "tcp", "10.9.4.0/24", "tcp dpt:5267")), True),
        ((("ACCEPT", "tcp", "0.0.0.0/0", "tcp dpt:25"), ("DROP", "all", "10.9.4.7", "")), False),
        ((("ACCEPT", "all", "10.9.4.0/24", ""), ("DROP", "tcp", "10.9.4.7", "tcp dpt:25")), True),
        # a second rule that blocks, too, is no mistake
        ((("DROP", "tcp", "0.0.0.0/0", "tcp dpt:25"), ("REJECT", "tcp", "10.9.4.7", "tcp dpt:25")), False),
        # the first is usually for lo
        ((("ACCEPT", "all", "0.0.0.0/0", ""), ("DROP", "tcp", "10.9.4.7", "tcp dpt:25")), False),
    ],
)  # fmt: skip
def test_a_rule_behind_another_of_a_listing_without_interfaces(
    tmp_path: Path, rows: tuple[tuple[str, ...], ...], found: bool
) -> None:
    """If both are for all interfaces, the first takes all packets of the second (iptables(8), TARGETS)."""
    findings = lint(tmp_path / "paste", HEADING + "".join(ROW.format(*row) for row in rows))
    assert ("never-matches" in findings) is found
    if found:
        finding = findings["never-matches"]
        assert "rule 2 comes after rule 1" in str(finding.title)
        assert finding.shown is not None
        assert finding.shown.verdict == "DEPENDS"
        assert "iptables -I INPUT 1 -s 10.9.4." in str(finding.remedy)
