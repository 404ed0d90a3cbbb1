"""Commands of ufw: what they allow and deny, with ufw's defaults for everything else."""

from __future__ import annotations

import pytest

from iptsim import explain, loads_host
from iptsim.host.files import Source
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.paste.forms.ufw_rows import row_of
from iptsim.question.model import Question

COMMANDS = """
I typed
$ sudo ufw default deny incoming
$ sudo ufw allow ssh
$ sudo ufw deny from 203.0.113.0/24 to any port 80 proto tcp
$ sudo ufw allow 80/tcp comment 'web'
$ sudo ufw route allow in on wg0 out on eth0
$ sudo ufw enable
"""


def verdict(text: str, **question: object) -> str:
    host = host_of_source(Source("pasted", {}, text.encode()))
    return walk(host, Question(**{"proto": "tcp", **question})).verdict


@pytest.mark.parametrize(
    ("src", "dport", "expected"),
    [
        ("8.8.8.8", 22, "ACCEPT"),
        ("8.8.8.8", 80, "ACCEPT"),
        ("203.0.113.9", 80, "DROP"),
        ("8.8.8.8", 443, "DROP"),
    ],
)
def test_what_the_commands_allow(src: str, dport: int, expected: str) -> None:
    assert verdict(COMMANDS, in_interface="eth0", src=src, dst="192.0.2.10", dport=dport) == expected


def test_later_commands_add_rules() -> None:
    text = f"{COMMANDS}\nThen, as it did not work,\n\n$ sudo ufw allow 443/tcp\n"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert [verdict(text, **packet, dport=port) for port in (22, 443, 444)] == ["ACCEPT", "ACCEPT", "DROP"]


@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("ufw allow 53", "53 ALLOW IN Anywhere"),
        ("ufw allow from 10.0.0.0/8", "Anywhere ALLOW IN 10.0.0.0/8"),
        ("ufw allow in on eth0 to any port 80 proto tcp", "80/tcp on eth0 ALLOW IN Anywhere"),
        ("ufw deny out 25/tcp", "25/tcp DENY OUT Anywhere"),
        (
            "ufw route allow proto tcp from any to 172.17.0.2 port 80",
            "172.17.0.2 80/tcp ALLOW FWD Anywhere",
        ),
        (
            "ufw route allow in on wg0 out on eth0 from 10.8.0.0/24",
            "Anywhere on eth0 ALLOW FWD 10.8.0.0/24 on wg0",
        ),
        ("ufw status verbose", None),
        ("ufw allow rules are ignored", None),
        ("ufw insert 1 allow 22", None),
    ],
)
def test_the_row_of_a_command(command: str, row: str | None) -> None:
    assert row_of(command) == row


def test_the_status_counts_more_than_the_commands_that_led_to_it() -> None:
    status = "Status: active\n\nTo  Action  From\n--  ------  ----\n443/tcp  ALLOW IN  Anywhere\n"
    text = f"{COMMANDS}\n$ sudo ufw status\n{status}"
    packet = {"in_interface": "eth0", "src": "8.8.8.8", "dst": "192.0.2.10"}
    assert [verdict(text, **packet, dport=port) for port in (22, 443)] == ["DROP", "ACCEPT"]


def test_later_commands_repeat_no_rule_of_ufw() -> None:
    host = host_of_source(
        Source("pasted", {}, f"{COMMANDS}\nThen, as it did not work,\n\n$ sudo ufw allow 443/tcp\n".encode())
    )
    table = host.rulesets[4].tables["filter"]
    texts = [rule.text for rule in table.chains["INPUT"].rules]
    assert texts[0] == "-A INPUT -i lo -j ACCEPT"
    assert texts[-1] == "-A INPUT -j ufw-user-input"
    assert len(set(texts)) == len(texts)
    assert table.chains["ufw-user-input"].rules[-1].text == (
        "-A ufw-user-input -p tcp -m tcp --dport 443 -j ACCEPT"
    )


def test_later_commands_keep_the_policies_that_they_do_not_set() -> None:
    text = "$ sudo ufw default allow incoming\n$ sudo ufw deny 22\n\nand then\n\n$ sudo ufw default deny routed\n"
    host = host_of_source(Source("pasted", {}, text.encode()))
    chains = host.rulesets[4].tables["filter"].chains
    assert [chains[name].policy for name in ("INPUT", "FORWARD")] == ["ACCEPT", "DROP"]


def test_a_command_beside_the_rows_that_it_made() -> None:
    """`ufw status` shows the result of the command, here without its first lines."""
    rows = "To              Action      From\n--              ------      ----\n8000/tcp        ALLOW       Anywhere\n"
    host = host_of_source(Source("pasted", {}, f"$ sudo ufw allow 8000/tcp\n\n{rows}".encode()))
    assert len(host.rulesets[4].tables["filter"].chains["ufw-user-input"].rules) == 1


STATUS = (
    "root@h:~# ufw status\nStatus: active\n\nTo                         Action      From\n"
    "--                         ------      ----\n22/tcp                     ALLOW       Anywhere\n"
    "3306/tcp                   DENY        Anywhere\n\n"
)


@pytest.mark.parametrize(
    ("commands", "port", "expected"),
    [
        ("root@h:~# ufw allow 8080/tcp\nRule added\n", 8080, "ACCEPT"),
        ("ufw allow 8080/tcp\nRule added\nRule added (v6)\n", 8080, "ACCEPT"),
        # the same conditions: the new action replaces the old one
        ("root@h:~# ufw deny 22/tcp\nRule updated\n", 22, "DROP"),
        ("root@h:~# ufw allow from 203.0.113.9 to any port 3306 proto tcp\nRule added\n", 3306, "DROP"),
        ("root@h:~# ufw insert 1 allow from 203.0.113.9 to any port 3306 proto tcp\n", 3306, "ACCEPT"),
        ("root@h:~# ufw delete allow 22/tcp\nRule deleted\n", 22, "DROP"),
        ("root@h:~# ufw delete 1\n", 22, "DROP"),
        ("root@h:~# ufw default allow incoming\n", 9000, "ACCEPT"),
        ("root@h:~# ufw allow 'Some App'\n", 9000, "DEPENDS"),
        # it need not have run
        ("You could try:\n\nufw allow 8080/tcp\n", 8080, "DROP"),
    ],
)
def test_commands_below_the_status(commands: str, port: int, expected: str) -> None:
    """Ufw appends rules, and replaces one that differs in its action alone (backend.py, set_rule)."""
    answer = explain(loads_host(STATUS + commands), "203.0.113.9", "host", proto="tcp", dport=port)
    assert answer.verdict == expected
