"""Errors of nft, ufw and firewall-cmd in pasted texts: the finding, its advice, and no effect on the rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim import lint as lint_source
from iptsim.findings import Finding
from iptsim.sources import loads_host

PROCESS = "Error: Could not process rule:"
ENOENT = f"{PROCESS} No such file or directory\n"


def refused(tmp_path: Path, text: str) -> Finding | None:
    """Return the finding about a command that a tool refuses."""
    (tmp_path / "paste.txt").write_text(text, encoding="utf-8")
    found = [one for one in lint_source(tmp_path / "paste.txt") if one.code == "refused-command"]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        # nft 0.9.0 on Linux 4.15; nft 1.0.9 in a kernel without nft_queue; a chain that does not exist
        (
            "Error: NAT is only supported for IPv4/IPv6\nadd rule inet t c oifname e masquerade\n"
            "                         ^^^^^^^^^^\n",
            2,
            "Linux 5.2",
        ),
        (
            f"{ENOENT}        tcp flags syn queue num 512 bypass;\n                      ^^^^^\n",
            2,
            "nft_queue",
        ),
        (
            f"# nft add rule ip t c accept\n{ENOENT}add rule ip t c accept\n              ^\n",
            3,
            "nft list tables",
        ),
        (
            "/etc/nftables.conf:5:9-12: Error: Interface does not exist\n        iif wg0 accept\n            ^^^\n",
            2,
            "iifname",
        ),
        # nft 0.9.0, which knows no names of priorities
        (
            "# nft -f fw\nfw:3:43-48: Error: syntax error, unexpected string, expecting -/number\n"
            "type nat hook postrouting priority srcnat;\n                                   ^^^^^^\n",
            3,
            "srcnat is 100",
        ),
        # nft 1.0.6
        (
            "Error: transport protocol mapping is only valid after transport protocol match\n"
            "add rule ip t c dnat to 10.0.0.2:80\n                ~~~~             ^^\n",
            2,
            "meta l4proto udp",
        ),
        (f"{PROCESS} Operation not permitted\nadd table ip t\n^^^^^^^^^^^^^^^\n", 2, "as root"),
        (
            f"{PROCESS} Device or resource busy\ndelete chain ip t c\n                  ^\n",
            2,
            "Delete these rules",
        ),
        (f"{PROCESS} File exists\ncreate table ip t\n                ^\n", 2, "use add"),
        ("$ sudo ufw allow 8008-8009/tcp\nERROR: Bad port '8008-8009'\n", 1, "8008:8009"),
        (
            "[#] firewall-cmd --add-port 51820/udp\nFirewallD is not running\n",
            1,
            "systemctl enable --now firewalld",
        ),
    ],
)
def test_errors_with_their_advice(text: str, line: int, advice: str, tmp_path: Path) -> None:
    found = refused(tmp_path, text)
    assert found is not None
    assert str(found.evidence[0].place) == f"line {line}"
    assert advice in str(found.remedy)


@pytest.mark.parametrize(
    "text",
    [
        "# firewall-cmd --list-all\nFirewallD is not running\n\n# iptables -S\n-P INPUT ACCEPT\n",
        "Error: the website says so\nadd rule ip filter INPUT accept\n",
        "ERROR: Bad port '1-2'\n# iptables -S\n-P INPUT ACCEPT\n",
    ],
)
def test_what_is_no_refused_command(text: str, tmp_path: Path) -> None:
    """A command that only lists changes nothing anyway; an error of another program is not about a command."""
    assert refused(tmp_path, text) is None


def test_a_refused_command_adds_no_rule() -> None:
    """Nft prints the command that it refuses again, with marks; neither this nor the typed one has any effect."""
    failed = f"# nft add rule ip filter INPUT tcp dport 22 drop\n{ENOENT}add rule ip filter INPUT tcp dport 22 drop\n"
    host = loads_host(
        f"# nft add rule ip filter INPUT tcp dport 80 drop\n\n{failed}                   ^^^^^\n"
    )
    rules = [
        rule.specification
        for rule in host.rulesets[4].tables["filter"].chains["INPUT"].rules
        if rule.position
    ]
    assert rules == ["-p tcp -m tcp --dport 80 -j DROP"]


@pytest.mark.parametrize(
    "text", ["Error: \n^\n" * 50, "/a:999999999999:1: Error: x\n", "^" * 5000, "ERROR: Bad port \n" * 9]
)
def test_hostile_texts(text: str, tmp_path: Path) -> None:
    rules = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    refused(tmp_path, text + rules)


@pytest.mark.parametrize("tool", ["ebtables", "arptables"])
def test_a_kernel_without_tables_for_bridges(tool: str, tmp_path: Path) -> None:
    """What ebtables 2.0.11 prints without its module, as a program logs it."""
    text = f"pve-firewall[9]: {tool}_restore_cmdlist: The kernel doesn't support the {tool} 'filter' table.\n"
    found = refused(tmp_path, text)
    assert found is not None
    assert f"modprobe {tool[:-1]}_filter" in str(found.remedy)
