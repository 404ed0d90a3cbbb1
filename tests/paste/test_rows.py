"""Rows of a listing that stand alone, as grep and logs show them: their table and chain are inferred or unknown."""

from __future__ import annotations

import pytest

from iptsim.errors import CaptureError
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question

LEGACY = "# Warning: iptables-legacy tables present, use iptables-legacy to see them"
MASQUERADE = "MASQUERADE all -- 10.0.70.0/24 anywhere"
DROP = "0 0 DROP 0 -- * * 10.0.71.0/24 172.25.255.0/24"
LOG = "\n".join(f"vpn-1  | {line}" for line in ("started", LEGACY, MASQUERADE, LEGACY, DROP, "ready")) + "\n"


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def test_rows_in_the_log_of_a_service() -> None:
    """Docker compose prints the service before each line; iptables prints its warning once per run."""
    tables = read(LOG).rulesets[4].tables
    assert set(tables) == {"nat", "filter"}
    dropped = Question(sender="10.0.71.6", to="172.25.255.9", proto="tcp", dport=80)
    assert walk(read(LOG), dropped).verdict == "DEPENDS"  # the chain is not shown


def test_a_target_is_not_placed_where_the_kernel_refuses_it() -> None:
    """MASQUERADE is for POSTROUTING alone (iptables-extensions(8))."""
    nat = read(f"$ iptables -t nat -L | grep MASQ\n{MASQUERADE}\n").rulesets[4].tables["nat"]
    assert [rule.chain for rule in nat.rules() if rule.target_name == "MASQUERADE"] == ["POSTROUTING"]


@pytest.mark.parametrize(
    ("row", "family"),
    [
        ("0     0 MASQUERADE  all      *      !br-1  fd00:dead:beef::/48  ::/0", 6),  # ip6tables has no column opt
        ("REJECT     all  --  xx.xx.xx.xx  anywhere             reject-with icmp-port-unreachable", 4),
        ("DNAT       tcp  --  anywhere             MY_IP      tcp dpt:8080 to:10.0.0.5:80", 4),
        ("   12   720 DROP       tcp  --  eth0   *       203.0.113.0/24       0.0.0.0/0            tcp dpt:22", 4),
    ],
)  # fmt: skip
def test_a_row_without_anything_around_it(row: str, family: int) -> None:
    """A target, a protocol and two addresses are enough to know it."""
    assert family in read(f"{row}\n").rulesets


@pytest.mark.parametrize(
    "text", ["DROP all I think 10.0.0.1", "ACCEPT tcp -- from anywhere", "LOG all the things"]
)
def test_words_that_are_no_row(text: str) -> None:
    """Two addresses are needed."""
    with pytest.raises(CaptureError):
        read(f"{text}\n")


def test_a_prompt_without_a_machine() -> None:
    """As in `root# iptables ...`."""
    rules = read("root# iptables -t nat -N PROXY\nroot# iptables -t nat -A PROXY -d 10.0.0.0/8 -j RETURN\n")
    assert [rule.chain for rule in rules.rulesets[4].rules()] == ["PROXY"]


def test_a_chain_of_nat_that_is_not_shown_is_told() -> None:
    """No table that filters is shown, so nothing blocks the packet, wherever it is sent."""
    text = (
        "Chain PREROUTING (policy ACCEPT)\ntarget     prot opt source               destination\n"
        "HOSTPORTS  all  --  0.0.0.0/0            0.0.0.0/0            ADDRTYPE match dst-type LOCAL\n\n"
        "Chain POSTROUTING (policy ACCEPT)\ntarget     prot opt source               destination\n"
    )
    host = read(text)
    from iptsim.asking import ask
    from iptsim.netfilter.walk import simulator_of

    shown = ask(simulator_of(host), Question(sender="203.0.113.9", to="host", proto="tcp", dport=80))
    assert shown.verdict == "ACCEPT"
    assert "The rules of nat HOSTPORTS are not shown" in str(shown.reason.message)


def test_a_listing_without_the_column_opt() -> None:
    """The two addresses show where the other columns are; with `opt` in the heading alone, it is IPv6."""
    text = (
        "Chain INPUT (policy DROP)\ntarget     prot {}source               destination\n"
        "ACCEPT     tcp  {}       anywhere             tcp dpt:ssh\n"
        "           all  anywhere             anywhere\n"
    )
    found = read(text.format("", "192.168.1.0/24")).rulesets
    assert [rule.text.partition(" -i")[0] for rule in found[4].tables["filter"].chains["INPUT"].rules] == [
        "-A INPUT -s 192.168.1.0/24 -p tcp -m tcp --dport 22",
        "-A INPUT",
    ]
    assert list(read(text.format("", "anywhere")).rulesets) == [4]
    assert list(read(text.format("opt ", "anywhere")).rulesets) == [6]


def test_rows_cut_at_the_width_of_a_window() -> None:
    """`less -S` cuts all rows after the same number of characters: `dpt:80` may be the beginning of 8080."""
    rows = [
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)",
        " pkts bytes target     prot opt in     out     source               destination",
        "    0     0 ACCEPT     all  --  *      *       10.0.0.1             0.0.0.0/0            ctstate RELATED",
        "    7   420 DROP       tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:8080",
    ]
    width = rows[-1].index("80", 90) + len("80")
    asked = Question(sender="203.0.113.9", to="host", proto="tcp", dport=80)
    cut = read("\n".join(row[:width] for row in rows) + "\n")
    assert [len(row[:width]) for row in rows[2:]] == [width, width]
    assert walk(cut, asked).verdict == "DEPENDS"
    last = cut.rulesets[4].tables["filter"].chains["INPUT"].rules[-1]
    assert last.counters is not None
    assert last.counters.packets == 7


RAW = """\
    0     0 DROP       tcp  --  !br-0123456789ab *       0.0.0.0/0            172.19.0.3           tcp dpt:8443
   12   720 DROP       {proto}  --  !docker0 *       0.0.0.0/0            172.17.0.4
"""


@pytest.mark.parametrize("proto", ["all", "0  "])
def test_only_docker_drops_what_does_not_come_from_its_bridge(proto: str) -> None:
    """Moby, bridge: filterDirectAccess, in raw PREROUTING since Docker 28."""
    host = read(RAW.format(proto=proto))
    assert set(host.rulesets[4].tables) == {"raw"}
    asked = Question(sender="10.8.0.2", to="172.17.0.4", in_interface="wg0", proto="tcp", dport=80)
    assert walk(host, asked).verdict == "DROP"
    other = RAW.format(proto=proto).replace("!docker0", "eth0")
    assert "raw" not in read(other).rulesets[4].tables


def test_the_command_names_the_chain_of_rows_without_a_heading() -> None:
    rows = RAW.format(proto="all").replace("!docker0", "eth9")
    host = read(f"$ sudo iptables -t raw -nvL PREROUTING | grep DROP\n{rows}")
    assert {rule.chain for rule in host.rulesets[4].tables["raw"].rules() if rule.target_name == "DROP"} == {
        "PREROUTING"
    }
