"""Commands of other programs than iptables below the rules of a text: what they change, and what was before them."""

from __future__ import annotations

import pytest

from iptsim.asking import ask_all
from iptsim.findings import lint
from iptsim.question.model import Question
from iptsim.sources import loads_host

LISTED = """\
# iptables -S
-P INPUT DROP
-P FORWARD ACCEPT
-P OUTPUT ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT

$ ip addr
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN
    inet 127.0.0.1/8 scope host lo
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 192.0.2.10/24 scope global eth0
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP
    inet 10.9.0.1/24 scope global eth1
"""
ROUTES = """
$ ip route
default via 192.0.2.1 dev eth0
10.9.0.0/24 dev eth1 proto kernel scope link src 10.9.0.1
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
"""
OFF = "\n$ sysctl net.ipv4.ip_forward\nnet.ipv4.ip_forward = 0\n"
NFT = """\
# nft list ruleset
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        tcp dport 22 accept
    }
}
"""
RAN = "\nThen I ran\n"
OUT = {"from": "10.9.0.5", "to": "203.0.113.5"}
SENT = {"from": "host", "to": "203.0.113.5"}
IN = {"from": "internet", "to": "host"}


def verdicts(text: str, ends: dict[str, str], port: int = 80) -> tuple[str | None, str]:
    """Return the answer before the commands, if there is one, and after them."""
    shown = ask_all(loads_host(text), Question(**ends, proto="tcp", dport=port))
    return shown.before.verdict if shown.before is not None else None, shown.verdict


@pytest.mark.parametrize(
    ("text", "command", "ends", "expected"),
    [
        (LISTED + OFF, "$ sudo sysctl -w net.ipv4.ip_forward=1\n", OUT, ("DROP", "ACCEPT")),
        (
            LISTED + OFF,
            "$ sudo sysctl -w net.ipv4.ip_forward=1\nnet.ipv4.ip_forward = 1\n",
            OUT,
            ("DROP", "ACCEPT"),
        ),
        (LISTED + OFF, "root@gw:~# echo 1 > /proc/sys/net/ipv4/ip_forward\n", OUT, ("DROP", "ACCEPT")),
        (LISTED + ROUTES, "$ sudo ip route del default\n", SENT, ("ACCEPT", "DROP")),
        (LISTED + ROUTES, "$ sudo ip route add blackhole 203.0.113.0/24\n", SENT, ("ACCEPT", "DROP")),
        (LISTED + ROUTES, "$ sudo ip rule add to 203.0.113.0/24 prohibit\n", SENT, ("ACCEPT", "DROP")),
        (NFT, "$ sudo nft add rule inet filter input tcp dport 80 accept\n", IN, ("DROP", "ACCEPT")),
        (NFT, "$ sudo nft insert rule inet filter input tcp dport 80 accept\n", IN, ("DROP", "ACCEPT")),
        (LISTED, "$ sudo nft insert rule ip filter INPUT tcp dport 80 accept\n", IN, ("DROP", "ACCEPT")),
    ],
)
def test_before_and_after(text: str, command: str, ends: dict[str, str], expected: tuple[str, str]) -> None:
    assert verdicts(text + RAN + command, ends) == expected


def test_an_address_that_a_command_adds() -> None:
    added = LISTED + ROUTES + RAN + "$ sudo ip addr add 192.0.2.77/24 dev eth0\n"
    assert verdicts(added, {"from": "internet", "to": "192.0.2.77"}, 22)[1] == "ACCEPT"
    host = loads_host(added)
    assert [len(host.namespace.interfaces[name].addresses) for name in ("eth0", "eth1")] == [2, 1]


def test_a_rule_below_listed_ones_precedes_them() -> None:
    """Below `ip rule`, too, a rule goes before all but the first one (fib_default_rule_pref)."""
    rules = (
        "\n$ ip rule\n0: from all lookup local\n100: from 10.0.0.0/8 lookup 7\n32766: from all lookup main\n"
    )
    text = LISTED + ROUTES + rules + RAN + "$ sudo ip rule add to 203.0.113.0/24 prohibit\n"
    assert verdicts(text, SENT) == ("ACCEPT", "DROP")
    assert sorted(one.priority for one in loads_host(text).namespace.rules) == [0, 99, 100, 32766]


@pytest.mark.parametrize(
    "text",
    [
        # what the parameter was before is not shown
        LISTED + RAN + "$ sudo sysctl -w net.ipv4.ip_forward=1\n",
        # the text shows what they led to
        LISTED + OFF + RAN + "$ sudo sysctl -w net.ipv4.ip_forward=1\n"
        "$ cat /etc/hostname\ngw\n$ sysctl net.ipv4.ip_forward\nnet.ipv4.ip_forward = 1\n",
        LISTED + RAN + "$ sudo ip route add blackhole 203.0.113.0/24\n" + ROUTES,
        # they are above the rules
        "$ sudo sysctl -w net.ipv4.ip_forward=1\n" + LISTED,
    ],
)
def test_no_answer_before(text: str) -> None:
    assert verdicts(text, OUT)[0] is None


def test_what_a_parameter_mended() -> None:
    text = (
        LISTED + "# iptables -t nat -S\n-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n"
        "-P POSTROUTING ACCEPT\n-A PREROUTING -i eth0 -p tcp --dport 80 -j DNAT --to-destination 10.9.0.5\n"
        "-A POSTROUTING -s 10.9.0.0/24 -o eth0 -j MASQUERADE\n" + OFF
    )
    command = RAN + "$ sudo sysctl -w net.ipv4.ip_forward=1\n"
    assert "ip-forward-off" in {one.code for one in lint(loads_host(text))}
    found = lint(loads_host(text + command))
    assert "ip-forward-off" not in {one.code for one in found}
    assert found.mended is not None
    assert [one.code for one in found.mended.findings] == ["ip-forward-off"]


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("ufw", "sudo ufw allow 80/tcp"),
        ("ufw", "sudo ufw route allow in on eth0 out on eth1"),
        ("firewall-cmd", "sudo firewall-cmd --add-port=80/tcp"),
    ],
)
def test_commands_that_are_not_applied_are_told(program: str, command: str) -> None:
    below = loads_host(LISTED + RAN + f"$ {command}\n")
    number = (LISTED + RAN).count("\n") + 1
    assert below.pasted is not None
    assert number in range(below.pasted.left_out[-1].first, below.pasted.left_out[-1].last + 1)
    warned = [one for one in below.rulesets[4].warnings if "not applied" in str(one)]
    assert [program in str(one) for one in warned] == [True]
    above = loads_host(f"$ {command}\n\n" + LISTED)
    assert not any("not applied" in str(one) for one in above.rulesets[4].warnings)
