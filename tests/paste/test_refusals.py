"""Commands that iptables refuses: iptables 1.8.9 (nf_tables and legacy) refused each, and took its correction."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import iptsim
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.paste.refusals import command_text, refusal
from tests.findings.linting import lint

REFUSED = [
    ("-A INPUT -p tcp --dport 22,80 -j ACCEPT", "-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT"),
    ("-A INPUT -p tcp --dports 22,80 -j ACCEPT", "-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT"),
    ("-A INPUT --dport 22 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT --dport 22 -p tcp -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -m tcp --dport 22 -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -p all --dport 22 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -p icmp --dport 22 -j ACCEPT", ""),
    ("-A INPUT -p tcp -dport 22 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -p tcp --dport 22-80 -j ACCEPT", "-A INPUT -p tcp --dport 22:80 -j ACCEPT"),
    ("-A INPUT -p tcp --dport 70000 -j ACCEPT", ""),
    ("-A INPUT -s 1.2.3.4:80 -j ACCEPT", "-A INPUT -p tcp -s 1.2.3.4 --sport 80 -j ACCEPT"),
    ("-A INPUT -p tcp --dport 80 -d 1.2.3.4:80 -j ACCEPT", "-A INPUT -p tcp --dport 80 -d 1.2.3.4 -j ACCEPT"),
    ("-t nat -A POSTROUTING -s 10.0.0.0/8 -j SNAT", ""),
    ("-t nat -A PREROUTING -p tcp -j DNAT <address>", ""),
    ("-A INPUT -s 10.0.0.1-10.0.0.9 -j DROP", "-A INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 -j DROP"),
    ("-A INPUT -m state --state ESTABLISED -j ACCEPT", "-A INPUT -m state --state ESTABLISHED -j ACCEPT"),
    ("-A INPUT -m state --state NEW, RELATED -j DROP", "-A INPUT -m state --state NEW,RELATED -j DROP"),
    ("-A INPUT --state NEW -j ACCEPT", "-A INPUT -m state --state NEW -j ACCEPT"),
    ("-A INPUT -m conntrack --state NEW -j DROP", "-A INPUT -m conntrack --ctstate NEW -j DROP"),
    ("-A INPUT -p tcp,udp --dport 53 -j ACCEPT", "-A INPUT -p tcp --dport 53 -j ACCEPT"),
    ("-A INPUT -p tcp -p udp --dport 53 -j ACCEPT", ""),
    ("-A INPUT -o eth0 -j ACCEPT", "-A INPUT -i eth0 -j ACCEPT"),
    ("-A INPUT tcp --dport 22 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -p tcp --dport 22 ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -p tcp -j accept", "-A INPUT -p tcp -j ACCEPT"),
    ("-A INPUT -p tcp -j ACCPET", "-A INPUT -p tcp -j ACCEPT"),
    ("-A INPUT -p tcp -j ACEPT", "-A INPUT -p tcp -j ACCEPT"),
    ("-A INPUT -p tcp -j DROPP", "-A INPUT -p tcp -j DROP"),
    ("-A input -j ACCEPT", "-A INPUT -j ACCEPT"),
    ("-A INPTU -j ACCEPT", "-A INPUT -j ACCEPT"),
    ("-A INPUT -p tpc --dport 22 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -p tcp --dprt 22 -j ACCEPT", "-A INPUT -p tcp --dport 22 -j ACCEPT"),
    ("-A INPUT -m conntrack --ctsate NEW -j DROP", "-A INPUT -m conntrack --ctstate NEW -j DROP"),
    ("-P INPUT drop", "-P INPUT DROP"),
    ("-A PREROUTING -p tcp -j REDIRECT --to-ports 8080", "-t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 8080"),
    ("-t nat -A POSTROUTING eth0 -j MASQUERADE", "-t nat -A POSTROUTING -o eth0 -j MASQUERADE"),
    ("-t nat -A POSTROUTING -i eth0 -j MASQUERADE", "-t nat -A POSTROUTING -o eth0 -j MASQUERADE"),
    ("-t nat -A OUTPUT -p tcp --to-ports 8 -j REDIRECT", "-t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 8"),
    (
        "-t nat -A PREROUTING -j DNAT --to-destination 1.2.3.4:80",
        "-t nat -A PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4:80",
    ),
    (
        "-t nat -A POSTROUTING -j SNAT --to-destination 1.2.3.4",
        "-t nat -A POSTROUTING -j SNAT --to-source 1.2.3.4",
    ),
    (
        "-t nat -A PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4/24:80",
        "-t nat -A PREROUTING -p tcp -j DNAT --to-destination 1.2.3.4:80",
    ),
    (
        "-t nat -A POSTROUTING -j SNAT --to-source 1.2.3.4/32",
        "-t nat -A POSTROUTING -j SNAT --to-source 1.2.3.4",
    ),
]  # fmt: skip
#: iptables takes these, or it is unknown what they are.
TAKEN = [
    # abbreviations (getopt_long(3)); tried with iptables 1.8.9
    "-A INPUT -p tcp --dpor 22 -j ACCEPT",
    "-A INPUT -m state --stat NEW -j ACCEPT",
    "-A INPUT -p tcp --dport=22 -j ACCEPT",
    "-A INPUT -p tcp -m multiport --dport 22,80 -j ACCEPT",
    "-A INPUT -m multiport --dports 22,80 -p tcp -j ACCEPT",
    "-A INPUT -p tcp --dport $PORTS -j ACCEPT",
    "-A INPUT -p tcp --dport <port> -j ACCEPT",
    "-A INPUT ... --dport 22 -j ACCEPT",
    "-A INPUT -m state --state established,new -j ACCEPT",
    "-A INPUT -i eth0,eth1 -j ACCEPT",
    "-A INPUT -j drop_all",
    "-A INPUT -j DROPS",
    "-I INPUT 3 -p tcp -m tcp ! --dport 22 -j DROP",
    '-A INPUT -m comment --comment "a tcp port" -j ACCEPT',
    "-A INPUT -s 999.1.1.1/99 -j ACCEPT",
    "-p tcp -A INPUT --dport 22 -j ACCEPT",
    "-A INPUT",
    "-A",
]


def refused(command: str) -> tuple[str, str] | None:
    words, table = shlex.split(command), "filter"
    if words[0] == "-t":
        table, words = words[1], words[2:]
    found = refusal(words, f"iptables {command}", table, BUILTIN_CHAINS[table])
    if found is None:
        return None
    mended = command_text(4, found.table or table, found.mended) if found.mended else ""
    return str(found.why), mended.removeprefix("iptables ")


@pytest.mark.parametrize(("command", "mended"), REFUSED)
def test_iptables_refuses_it(command: str, mended: str) -> None:
    found = refused(command)
    assert found is not None
    assert found[1] == mended


@pytest.mark.parametrize("command", TAKEN)
def test_iptables_takes_it(command: str) -> None:
    assert refused(command) is None


def test_a_refused_rule_does_not_exist(tmp_path: Path) -> None:
    """Port 80 stays closed; the cause says why."""
    path = tmp_path / "paste.txt"
    path.write_text("iptables -P INPUT DROP\niptables -A INPUT -p tcp --dport 22,80 -j ACCEPT\n")
    assert iptsim.explain(iptsim.load_host(path), "internet", "host", dport=80).verdict == "DROP"
    found = iptsim.lint(path)
    (one,) = [finding for finding in found if finding.code == "refused-command"]
    assert "-m multiport --dports 22,80" in str(one.remedy)
    assert found.cause is not None
    assert "line 2" in str(found.cause.text)


@pytest.mark.parametrize(
    "text",
    [
        "# iptables -t nat -L\niptables v1.4.7: can't initialize iptables table `nat': Table does not exist\n",
        "# iptables -A INPUT -p tcp -m geo --src DE -j ACCEPT\niptables v1.8.7 (nf_tables): Couldn't load match `geo':"
        "No such file or directory\n",
    ],
)  # fmt: skip
def test_errors_that_iptables_printed(tmp_path: Path, text: str) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(f"{text}# iptables -S\n-P INPUT DROP\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n")
    found = [finding for finding in iptsim.lint(path) if finding.code == "refused-command"]
    assert [len(one.evidence) for one in found] == [1]


def test_a_set_that_did_not_exist(tmp_path: Path) -> None:
    text = "-A INPUT -m set --match-set spam src -j DROP\niptables-restore v1.8.7: Set spam doesn't exist.\n"
    found = lint(tmp_path, text)["refused-command"]
    assert "Set spam doesn't exist" in str(found.title)
    assert "ipset create" in str(found.remedy)
