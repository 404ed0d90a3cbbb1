"""What a text shows more than once, or not as it is loaded: listings, both variants of iptables, patches, log lines."""

from __future__ import annotations

import pytest

from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question


def read(text: str) -> Host:
    return host_of_source(Source("paste", {}, text.encode()))


def ask(text: str, port: int) -> str:
    fields = {"from": "198.51.100.7", "to": f"host:{port}", "proto": "tcp", "in": "eth0"}
    return walk(read(text), Question(**fields)).verdict


FIRST = "-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A INPUT -p tcp --dport 80 -j ACCEPT\n"
LATER = "-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A INPUT -p tcp --dport 81 -j ACCEPT\n"


@pytest.mark.parametrize("between", ["# iptables -S\n", "After a restart:\n\n", "\n"])
def test_the_later_of_two_lists_holds(between: str) -> None:
    """What iptables -S prints is a whole table: what the second list lacks is gone."""
    text = f"# iptables -S\n{FIRST}{between}{LATER}"
    assert [ask(text, port) for port in (80, 81)] == ["DROP", "ACCEPT"]


def test_lists_of_single_chains_make_a_table() -> None:
    """With the name of a chain, iptables -S prints only that chain."""
    text = "# iptables -S INPUT\n-P INPUT DROP\n-A INPUT -p tcp --dport 80 -j WEB\n"
    text += "# iptables -S WEB\n-N WEB\n-A WEB -j ACCEPT\n"
    assert ask(text, 80) == "ACCEPT"


COMMAND = "iptables -I INPUT 3 -p tcp --dport 81 -j ACCEPT\niptables -I INPUT 4 -p tcp --dport 82 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        ("", "DEPENDS"),  # iptables(8), -I: a rule number of at most one more than there are rules
        ("iptables -P INPUT DROP\n", "DEPENDS"),
        ("iptables -F INPUT\niptables -P INPUT DROP\n", "DROP"),
        ("iptables -F\niptables -P INPUT DROP\n", "DROP"),
        (FIRST, "DROP"),
    ],
)
def test_a_place_behind_rules_that_are_not_shown(before: str, verdict: str) -> None:
    """A number that is too big for the rules of a text shows that there are others, unless it shows all of them."""
    assert ask(before + COMMAND, 82) == verdict


def test_rules_that_are_not_shown_hide_no_others() -> None:
    """What comes before the first rule may be for other packets."""
    host = read(COMMAND + "iptables -A INPUT -p tcp --dport 83 -j ACCEPT\n")
    assert "never-matches" not in {one.code for one in lint(host)}


LEGACY = """\
# iptables-legacy -L -n
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
DROP       tcp  --  198.51.100.0/24      0.0.0.0/0            tcp dpt:80

Chain FORWARD (policy ACCEPT)
target     prot opt source               destination

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
"""
NFT = """\
{command}
Chain INPUT (policy ACCEPT)
target     prot opt source               destination
ACCEPT     tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:80
ACCEPT     tcp  --  0.0.0.0/0            0.0.0.0/0            tcp dpt:81

Chain FORWARD (policy ACCEPT)
target     prot opt source               destination

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
"""


@pytest.mark.parametrize(
    "command", ["# iptables-nft -L -n", "# iptables -L -n", "# docker exec a iptables-nft -nL"]
)
def test_both_variants_of_iptables(command: str) -> None:
    """The kernel evaluates the rules of both (iptables-nft(8)), whatever the other one accepts."""
    assert ask(LEGACY + NFT.format(command=command), 80) == "DEPENDS"  # on the interface, without -v
    assert ask(LEGACY.replace("--  198", "--  203") + NFT.format(command=command), 80) == "ACCEPT"


PATCH = """\
--- /etc/ufw/after.rules
+++ /tmp/after.rules
@@ -1,2 +1,6 @@
 # the end
 COMMIT
+*filter
+:DOCKER-USER - [0:0]
+-A DOCKER-USER -j DROP
+COMMIT
"""
EMPTY = """\
# iptables -nL DOCKER-USER
Chain DOCKER-USER (1 references)
target     prot opt source               destination

"""


@pytest.mark.parametrize(("text", "rules"), [(EMPTY + PATCH, 0), (PATCH + EMPTY, 0), (PATCH, 1)])
def test_a_patch_is_not_what_is_loaded(text: str, rules: int) -> None:
    """It is about a file; what iptables printed is loaded."""
    chains = read(text).rulesets[4].tables["filter"].chains
    assert sum(rule.target_name == "DROP" for rule in chains["DOCKER-USER"].rules) == rules


def test_a_line_of_a_log_is_no_rule() -> None:
    """Its words look like columns: `May 12 11:45:55 fw kernel:`."""
    text = EMPTY.replace("\n\n", "\nREJECT     all  --  10.0.0.0/8  anywhere\n")
    text += "May 12 11:45:55 fw kernel: X: IN=ens33 OUT=docker0 SRC=192.168.51.236 DST=172.17.0.2 PROTO=TCP DPT=80\n"
    host = read(text)
    assert list(host.rulesets) == [4]
    assert host.pasted is not None
    assert host.pasted.segments[-1].form == "kernel log line"
