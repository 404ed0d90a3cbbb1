"""What a text shows more than once, or not as it is loaded: listings, both variants of iptables, patches, log lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.addresses import address_text
from iptsim.errors import CaptureError
from iptsim.findings import lint
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question
from iptsim.sources import load_host


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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("root@alpha:~# iptables -S", "root@beta:~# iptables -S"),
        ("On server A:", "And on server B:"),
        ("Server:\n\n# iptables -S", "Client:\n\n# iptables -S"),
    ],
)
def test_lists_of_two_machines_are_not_one_host(one: str, other: str) -> None:
    with pytest.raises(CaptureError, match="table filter is listed on two machines"):
        read(f"{one}\n{FIRST}\n{other}\n{LATER}")


ADDRESSES = (
    "{}ip addr\n2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP\n"
    "    inet 192.168.9.4/24 scope global eth0\n"
)


@pytest.mark.parametrize(
    ("prompt", "is_own"),
    [("root@beta:~# ", False), ("me@alpha:/srv$ ", True), ("root@localhost:~# ", True), ("$ ", True)],
)
def test_addresses_of_another_machine_are_not_the_hosts(prompt: str, is_own: bool, tmp_path: Path) -> None:
    """Below the rules, and in a file of their own."""
    rules, shown = f"root@alpha:~# iptables -S\n{FIRST}", ADDRESSES.format(prompt)
    one, other = tmp_path / "rules", tmp_path / "addresses"
    one.write_text(rules)
    other.write_text(shown)
    for host in (read(f"{rules}\n{shown}"), load_host(one, extra=[other])):
        found = {address_text(4, own.address) for own in host.namespace.interfaces["eth0"].addresses}
        assert ("192.168.9.4" in found) is is_own


@pytest.mark.parametrize(
    ("of_rules", "of_addresses", "is_own"),
    [
        ("Server A:", "Server B:", False),
        ("", "And the client's addresses:", False),
        ("", "On the other machine (my laptop):", False),
        ("Rules of the server:", "Addresses of the server:", True),
        ("On the router:", "From my server:", True),  # one machine may be both
        ("", "On the host:", True),
        ("On the client:", "", True),
    ],
)
def test_addresses_below_a_heading(of_rules: str, of_addresses: str, is_own: bool) -> None:
    rules, shown = f"{of_rules}\n\n# iptables -S\n{FIRST}", f"{of_addresses}\n\n{ADDRESSES.format('# ')}"
    for text in (f"{rules}\n{shown}", *([f"{shown}\n{rules}"] if of_rules and of_addresses else [])):
        found = read(text).namespace.interfaces["eth0"].addresses
        assert ("192.168.9.4" in [address_text(4, own.address) for own in found]) is is_own


def test_lists_of_two_machines_in_two_files(tmp_path: Path) -> None:
    paths = tmp_path / "one", tmp_path / "two"
    for path, name, text in zip(paths, ("alpha", "beta"), (FIRST, LATER), strict=True):
        path.write_text(f"root@{name}:~# iptables -S\n{text}")
    with pytest.raises(CaptureError, match=r"two machines: alpha \(.*one\) and beta \(.*two\)"):
        load_host(paths[0], extra=[paths[1]])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("root@alpha:~# iptables -S", "me@alpha.example.net:/etc# iptables -S"),
        ("root@alpha:~# iptables -S", "root@beta:~# ip6tables -S"),
        ("On the server:", "After a restart of the server:"),
    ],
)
def test_lists_of_one_machine_are_one_host(one: str, other: str) -> None:
    assert read(f"{one}\n{FIRST}\n{other}\n{LATER}").rulesets


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


def test_before_1_8_there_was_one_variant_of_iptables() -> None:
    """A list without a version may be the same program's (iptables 1.8.0 brought iptables-nft)."""
    dump = f"# Generated by iptables-save v1.4.21 on Mon Mar  6 10:00:00 2017\n{SAVED}"
    host = read(dump + NFT.format(command="# iptables -L -n"))
    assert not host.extra_rulesets
    assert "mixed-backends" not in {one.code for one in lint(host)}


SAVED = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT
-A INPUT -i eth0 -p tcp -m tcp --dport 81 -j REJECT
COMMIT
"""


@pytest.mark.parametrize(
    ("listing", "verdict"),
    [
        ("Chain INPUT (policy DROP)\n", "ACCEPT"),
        (NFT.partition("INPUT (policy")[0].partition("\n")[2] + "INPUT (policy DROP)\n", "ACCEPT"),
        ("Chain INPUT (policy ACCEPT)\n", "DEPENDS"),  # it has changed
        ("Chain INPUT (policy DROP)\nChain WEB (1 references)\n", "DEPENDS"),
    ],
)
def test_a_listing_that_breaks_off_after_a_dump(listing: str, verdict: str) -> None:
    """If it shows nothing else, the dump holds."""
    assert ask(f"# iptables-save\n{SAVED}# iptables -L\n{listing}", 80) == verdict


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


WHOLE = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:web - [0:0]
-A INPUT -i eth0 -p tcp -m tcp --dport 80 -j web
-A web -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize("lines", [9, 10, 11])
@pytest.mark.parametrize("cut", ["", "-A INP", "-A INPUT -i eth0 -p tcp -m tcp --dp"])
@pytest.mark.parametrize("command", ["", "# iptables-save\n", "# Generated by iptables-save v1.8.7\n"])
def test_a_dump_that_breaks_off_does_not_replace_a_whole_one(command: str, cut: str, lines: int) -> None:
    again = "\n".join((*WHOLE.splitlines()[:lines], cut))
    text = f"{command}{WHOLE}\n{command}{again}"
    assert [ask(text, port) for port in (80, 81)] == ["ACCEPT", "DROP"]
    warnings = read(text).rulesets[4].warnings
    assert any("the second one breaks off, so the first one (line" in str(one) for one in warnings)


def test_a_dump_that_breaks_off_but_has_other_rules_holds_as_far_as_it_goes() -> None:
    again = "\n".join(WHOLE.replace("-j web", "-j DROP").splitlines()[:11])
    text = f"# iptables-save\n{WHOLE}\nLater:\n# iptables-save\n{again}"
    assert [ask(text, port) for port in (80, 81)] == ["DROP", "DEPENDS"]


COUNTED = """\
Chain INPUT (policy ACCEPT {} packets, 600 bytes)
 pkts bytes target     prot opt in     out     source               destination
Chain OUTPUT (policy ACCEPT {} packets, 600 bytes)
 pkts bytes target     prot opt in     out     source               destination
"""
OUTPUT = COUNTED[COUNTED.index("Chain OUTPUT") :]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"# iptables -L -n -v\n{COUNTED.format(10, 20)}# iptables -L -n -v\n{COUNTED.format(30, 40)}", True),
        (f"# iptables -L -n -v\n{COUNTED.format(10, 20)}\n{OUTPUT.format(50)}", False),  # another chain
        (f"*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n\n{COUNTED.format(10, 20)}", False),
    ],
)
def test_only_lists_of_the_same_chains_are_compared(text: str, found: bool) -> None:
    assert ("counters-grew" in [one.code for one in lint(read(text))]) is found
