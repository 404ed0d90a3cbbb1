"""The real iptables reads the same dumps: what it prints after a restore is what the reader makes of them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from iptsim.dump import dumps, loads
from iptsim.errors import IptsimError
from tests.dump.test_errors import KERNEL_REFUSES, LINES, REFUSED

NEEDED = (
    "unshare",
    "iptables-nft-restore",
    "iptables-nft-save",
    "iptables-legacy-restore",
    "iptables-legacy-save",
)
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, NEEDED)),
        reason="needs root and the iptables tools",
    ),
]


def restored(text: str, backend: str) -> str | None:
    """Return what iptables-save prints after a restore in a network namespace of its own; None if it was refused."""
    script = f"iptables-{backend}-restore -c && iptables-{backend}-save -c"
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], input=text, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def passes_test(text: str, backend: str) -> bool:
    """Return whether `iptables-restore --test` takes a text."""
    command = ["unshare", "-n", f"iptables-{backend}-restore", "--test"]
    return subprocess.run(command, input=text, capture_output=True, text=True).returncode == 0


def without_comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


WRITTEN = """\
*filter
:INPUT DROP [1:2]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:c1 - [0:0]
:c2 - [0:0]
[3:4] -A INPUT -j ACCEPT -p 6 --dport 22 --source 10.1.2.3/8
-p udp -A INPUT -s 192.0.2.1,192.0.2.2 -d 198.51.100.1,198.51.100.2 -g c1
--append INPUT ! --in-i lo -m comment -m conntrack --comment "a \\"b\\" 'c'" --ctstate NEW,RELATED -j DROP
-A c1 -m comment --comment -A -m comment --comment ! -m comment --comment a"b c" -m comment --comment ""
-A c1 -p all -i + -s 0/0
-I c1 2 -p tcp --syn -j RETURN
-I c1 -s 192.0.2.3,192.0.2.4 -j c2
-A c2 -j LOG --log-prefix "x y: "
-A c2 -p icmp -m icmp --icmp-type 8 -j REJECT
-A c2 -4 -p tcp -m multiport --dports 80,443,8000:8080 -m tcp ! --sport 1024: -j c1x
-D c1 1
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp --dport 80 -j DNAT --to 10.0.0.5:8080
-A POSTROUTING ! -d 10.0.0.0/255.0.0.0 -o eth+ -j MASQUERADE
COMMIT
""".replace(" -j c1x", "")


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_hand_written_file(backend: str) -> None:
    printed = restored(WRITTEN, backend)
    assert printed is not None
    ours = loads(WRITTEN)

    theirs = loads(printed)
    assert {(rule.table, rule.chain, rule.position): rule.text for rule in ours.rules()} == {
        (rule.table, rule.chain, rule.position): rule.text for rule in theirs.rules()
    }
    for table in ours.tables.values():
        for chain in table.chains.values():
            other = theirs.chain(table.name, chain.name)
            assert other is not None
            assert (chain.policy, chain.counters) == (other.policy, other.counters)
    assert without_comments(dumps(theirs)) == without_comments(printed)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize(
    "lines",
    [
        "-A INPUT -j c1\n-R INPUT 1 -s 10.0.0.1 -j c1",
        "-A INPUT -s 1.1.1.1 -j c1\n-A INPUT -j c1\n-D INPUT -s 1.1.1.1/32 -j c1",
        "-A INPUT -j DROP\n-A INPUT -j c1\n-I INPUT 2 -s 1.1.1.1,2.2.2.2 -d 3.3.3.3,4.4.4.4 -j ACCEPT",
        "-P INPUT DROP\n-N c2\n-A c2 -j c1",
        "-A INPUT -j c1\n-C INPUT -j c1",
        "-A INPUT -j c1\n-X c2\n-A c1 -j RETURN",
        "-A INPUT -j c1\n-A INPUT -6 -j c1",
        "-A INPUT -p tcp --dport 80 -m tcp --dport 81",
    ],
)
def test_commands(lines: str, backend: str) -> None:
    text = f"*filter\n:INPUT ACCEPT [0:0]\n:c1 - [0:0]\n:c2 - [0:0]\n{lines}\nCOMMIT\n"
    if "-R " in lines and backend == "nft":
        pytest.skip("iptables-nft-restore 1.8.9 crashes on it")
    if "-N c2" in lines:
        text = text.replace(":c2 - [0:0]\n", "")
    if "--dport 81" in lines and backend == "nft":
        pytest.skip("iptables-nft merges the two matches")
    printed = restored(text, backend)
    assert printed is not None

    assert [rule.text for rule in loads(text).rules()] == [rule.text for rule in loads(printed).rules()]


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("line", [*(line for line, _ in LINES), *REFUSED])
def test_what_the_reader_refuses_is_refused(line: str, backend: str) -> None:
    if "--dport=" in line or "example.com" in line:
        pytest.skip("asks the host for names")
    if '"open' in line:
        pytest.skip("iptables reads on into the line end and keeps it in the comment")
    text = f"*filter\n:INPUT ACCEPT [0:0]\n:c1 - [0:0]\n{line}\nCOMMIT\n"

    assert restored(text, backend) is None
    with pytest.raises(IptsimError):
        loads(text)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize(("table", "lines", "reason"), KERNEL_REFUSES)
def test_only_the_kernel_refuses_them(table: str, lines: str, reason: str, backend: str) -> None:
    text = f"*{table}\n:c1 - [0:0]\n:c2 - [0:0]\n{lines}\nCOMMIT\n"

    assert passes_test(text, backend)
    assert restored(text, backend) is None


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("nat", "-A PREROUTING ! -p tcp -j DNAT --to-destination 10.0.0.1:80"),
        ("nat", "-A POSTROUTING ! -p udp -j MASQUERADE --to-ports 80"),
        ("raw", "-A PREROUTING -j CT --notrack --helper ftp"),
    ],
)
def test_the_kernel_takes_what_looks_wrong(table: str, line: str, backend: str) -> None:
    text = f"*{table}\n{line}\nCOMMIT\n"

    assert restored(text, backend) is not None
    assert loads(text).warnings == []
