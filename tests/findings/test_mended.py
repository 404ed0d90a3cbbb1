"""Texts that give, below the rules, the commands that helped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import iptsim
from iptsim.cli import main
from iptsim.sources import loads_host

LOGGED = (
    "FW-IN IN=eth0 OUT= MAC=02:42:c0:00:02:07:02:42:c0:00:02:01:08:00 SRC=203.0.113.40 DST=192.0.2.7 LEN=60 TOS=0x00"
    " PREC=0x00 TTL=52 ID=4021 DF PROTO=TCP SPT=40110 DPT=443 WINDOW=64240 RES=0x00 SYN URGP=0\n"
)
CLOSED = """\
-P INPUT DROP
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j LOG --log-prefix "FW-IN "
"""
OPENED = "\nI then ran\n\n# iptables -I INPUT -p tcp --dport 443 -j ACCEPT\n"
VPN = """\
# iptables -S
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
# iptables -t nat -S
-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-A POSTROUTING -s 10.9.0.0/24 -o eth0 -j MASQUERADE
# ip addr
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP
    inet 192.0.2.7/24 brd 192.0.2.255 scope global eth0
3: docker0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN
    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0
4: tun0: <POINTOPOINT,MULTICAST,NOARP,UP,LOWER_UP> mtu 1500 qdisc fq state UNKNOWN
    inet 10.9.0.1/24 scope global tun0
"""
ACCEPTED = """\

EDIT: solved, I ran

iptables -I DOCKER-USER -i tun0 -j ACCEPT
iptables -I DOCKER-USER -o tun0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
"""


def lint(text: str) -> iptsim.Findings:
    return iptsim.lint(loads_host(text))


def test_what_commands_behind_the_rules_mend_is_found() -> None:
    found = lint(VPN + ACCEPTED)
    assert "forward-drop-hits-others" not in {one.code for one in found}
    assert found.mended is not None
    assert [one.code for one in found.mended.findings] == ["forward-drop-hits-others"]
    assert str(found.mended.text) == "Before the commands in lines 28-29, which mend it:"


@pytest.mark.parametrize(
    "commands",
    [
        "",
        # another interface
        ACCEPTED.replace("tun0", "tun7"),
        # the replies are still dropped
        "\n".join(ACCEPTED.splitlines()[:-1]) + "\n",
        # they have run before the rules were listed
        f"{ACCEPTED}\nnow I have\n\n{VPN}",
    ],
)
def test_commands_that_mend_nothing(commands: str) -> None:
    found = lint(VPN + commands)
    assert found.mended is None
    assert "forward-drop-hits-others" in {one.code for one in found}


def test_a_port_that_is_closed_is_no_defect() -> None:
    """Commands that open the firewall mend nothing."""
    found = lint(CLOSED + "\nI ran\n\niptables -P INPUT ACCEPT\niptables -F INPUT\n")
    assert "closed-by-default" not in {one.code for one in found}
    assert found.mended is None


@pytest.mark.parametrize(
    "words", ["I tried this, but it does not work:", "# do NOT run these, they break everything:"]
)
def test_commands_that_did_not_help_mend_nothing(words: str) -> None:
    """They are left out, so that the finding is about the host as it is."""
    found = lint(VPN + ACCEPTED.replace("EDIT: solved, I ran", words))
    assert "forward-drop-hits-others" in {one.code for one in found}
    assert found.mended is None


def test_commands_before_the_rules_are_no_remedy() -> None:
    host = loads_host(ACCEPTED + VPN)
    assert host.before is None


def test_the_cause_is_that_of_the_time_before_the_commands() -> None:
    cause = lint(LOGGED + CLOSED + OPENED).cause
    assert cause is not None
    assert cause.shown is not None
    assert cause.shown.verdict == "DROP"
    assert "policy of filter INPUT" in str(cause.text)
    assert str(cause.text).endswith("The command in line 11 changes that.")


@pytest.mark.parametrize("text", [CLOSED + OPENED + LOGGED, LOGGED + CLOSED + OPENED.replace("443", "444")])
def test_the_cause_is_that_of_now(text: str) -> None:
    """The packet was logged after the commands, or they do not help."""
    cause = lint(text).cause
    assert cause is None or "changes that" not in str(cause.text)


def test_what_is_mended_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paste = tmp_path / "paste.txt"
    paste.write_text(VPN + ACCEPTED, "utf-8")
    main(["lint", str(paste)])
    shown = capsys.readouterr().out
    place = shown.index("Before the commands in lines 28-29, which mend it:")
    assert "forward-drop-hits-others  high" in shown[place:]
    main(["lint", "--json", str(paste)])
    printed = json.loads(capsys.readouterr().out)
    assert printed["mended"]["lines"] == [28, 29]
    assert [one["code"] for one in printed["mended"]["findings"]] == ["forward-drop-hits-others"]


@pytest.mark.parametrize(
    ("command", "mended"),
    [("-D INPUT 3", ["counted-drops"]), ("-I INPUT -p tcp --dport 443 -j ACCEPT", []), ("-D INPUT 1", [])],
)
def test_a_rule_that_counted_what_it_blocked_is_removed(command: str, mended: list[str]) -> None:
    listing = """\
Chain INPUT (policy ACCEPT 0 packets, 0 bytes)
num   pkts bytes target     prot opt in     out     source               destination
1      900  80K ACCEPT     all  --  lo     *       0.0.0.0/0            0.0.0.0/0
2        7   420 OWN_RULES  all  --  *      *       0.0.0.0/0            0.0.0.0/0
3        6   360 REJECT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            reject-with tcp-reset
"""
    report = iptsim.lint(loads_host(f"# iptables -L -n -v --line-numbers\n{listing}\n# iptables {command}\n"))
    assert [one.code for one in (report.mended.findings if report.mended else ())] == mended
