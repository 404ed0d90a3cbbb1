"""`ufw status` as rules, and the likeliest cause of what a log line shows."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.cli import main
from iptsim.host.files import Source
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.paste.forms.ufw import find
from iptsim.paste.lines import lines_of
from iptsim.paste.pieces import RuleItem, Rules
from iptsim.question.model import Question

STATUS = """\
Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
OpenSSH                    LIMIT IN    192.0.2.0/24
80,443/tcp                 ALLOW IN    Anywhere
192.0.2.10 5432/tcp        ALLOW IN    10.0.0.0/8                 # postgres
53 on docker0              ALLOW IN    172.17.0.0/16
Anywhere                   DENY IN     198.51.100.7
172.17.0.2 80/tcp          ALLOW FWD   Anywhere on eth0
Strange App                ALLOW IN    Anywhere
22/tcp (v6)                ALLOW IN    Anywhere (v6)
"""
LOG = (
    "[UFW BLOCK] IN=eth0 OUT= MAC=00:00:00:00:00:00:00:00:00:00:00:00:08:00 SRC=203.0.113.9 DST=192.0.2.10 LEN=60"
    " TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=45360 DPT=5432 WINDOW=29200 RES=0x00 SYN URGP=0\n"
)


def test_rows_are_the_rules_that_ufw_writes() -> None:
    """As `ufw --dry-run` of ufw 0.36 prints them, without its limits and its comments."""
    segment = find(lines_of(STATUS), 0, None)
    assert segment is not None
    (rules,) = segment.pieces
    assert isinstance(rules, Rules)
    made = [
        f"{item.chain} {' '.join(word.text for word in item.words)}"
        for item in rules.items
        if isinstance(item, RuleItem) and item.chain in ("ufw-user-input", "ufw-user-forward")
    ]
    assert made == [
        "ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT",
        "ufw-user-input -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -j ACCEPT",
        "ufw-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT",
        "ufw-user-input -d 192.0.2.10 -s 10.0.0.0/8 -p tcp -m tcp --dport 5432 -j ACCEPT",
        "ufw-user-input -i docker0 -s 172.17.0.0/16 -p tcp -m tcp --dport 53 -j ACCEPT",
        "ufw-user-input -i docker0 -s 172.17.0.0/16 -p udp -m udp --dport 53 -j ACCEPT",
        "ufw-user-input -s 198.51.100.7 -j DROP",
        "ufw-user-forward -d 172.17.0.2 -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT",
    ]
    assert [lines_of(STATUS)[at].text.split()[0] for at in segment.unread] == ["Strange"]


def test_a_status_answers_like_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(STATUS.replace("Strange App                ALLOW IN    Anywhere\n", ""))
    host = iptsim.load_host(path)
    assert iptsim.explain(host, "203.0.113.9", "host", dport=443).verdict == "ACCEPT"
    assert iptsim.explain(host, "203.0.113.9", "host", dport=25).verdict == "DROP"


def test_a_row_that_cannot_be_read_makes_no_answer_more_certain(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(STATUS)
    assert iptsim.explain(iptsim.load_host(path), "203.0.113.9", "host", dport=25).verdict == "DEPENDS"


def test_where_rules_are_shown_the_status_adds_none(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(
        "$ iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A FORWARD -i eth1 -j DROP\n"
        "$ ufw status\n" + STATUS
    )
    assert iptsim.explain(iptsim.load_host(path), "203.0.113.9", "host", dport=25).verdict == "ACCEPT"


def test_the_cause_names_the_rule_that_comes_near(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(LOG + STATUS.replace("Strange App                ALLOW IN    Anywhere\n", ""))
    cause = iptsim.lint(path).cause
    assert cause is not None
    assert cause.shown is not None
    assert cause.shown.verdict == "DROP"
    assert "-s 10.0.0.0/8: its source is 203.0.113.9" in str(cause.text)


@pytest.mark.parametrize("text", [STATUS, LOG.replace("[UFW BLOCK]", "seen:")])
def test_without_a_blocked_packet_there_is_no_cause(tmp_path: Path, text: str) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(text)
    assert iptsim.lint(path).cause is None


def test_a_connection_that_was_tracked_before_it_was_translated(tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    entry = (
        "udp 17 22 src={src} dst=192.0.2.53 sport=40613 dport=8125 [UNREPLIED]"
        " src=192.0.2.53 dst={reply} sport=8125 dport=40613 mark=0 use=2\n"
    )
    path.write_text(
        entry.format(src="172.17.3.166", reply="192.0.2.10")
        + entry.format(src="172.17.0.7", reply="172.17.0.7")
    )
    (found,) = [one for one in iptsim.lint(path) if one.code == "connection-not-translated"]
    assert "conntrack -D -p udp -s 172.17.0.7 -d 192.0.2.53 --dport 8125" in str(found.remedy)


@pytest.mark.parametrize(
    ("target", "flag", "others", "expected"),
    [
        ("192.0.2.10", "[UNREPLIED] ", 0, True),
        ("192.0.2.10", "", 0, False),
        # replies of a group come from the addresses of its members
        ("239.255.255.250", "[UNREPLIED] ", 0, False),
        ("192.168.1.255", "[UNREPLIED] ", 0, False),
        # in a long list, some connections always wait
        ("192.0.2.10", "[UNREPLIED] ", 10, False),
    ],
)
def test_a_connection_without_a_reply(
    tmp_path: Path, target: str, flag: str, others: int, expected: bool
) -> None:
    """Conntrack prints the flag while it has seen packets in one direction only (conntrack.8)."""
    path = tmp_path / "paste.txt"
    entry = (
        "udp 17 22 src=198.51.100.7 dst={target} sport={port} dport=5140 {flag}"
        "src=10.9.0.4 dst=10.9.0.1 sport=514 dport={port} mark=0 use=1\n"
    )
    path.write_text(
        entry.format(target=target, port=40000, flag=flag)
        + "".join(entry.format(target=target, port=port, flag="") for port in range(40001, 40001 + others))
    )
    found = [one for one in iptsim.lint(path) if one.code == "connection-unanswered"]
    assert bool(found) is expected
    if found:
        assert "host 10.9.0.4 and port 514" in str(found[0].remedy)
        assert "a reply is expected from 10.9.0.4 to 10.9.0.1" in str(found[0].evidence[0].text)


def test_rows_in_a_message_and_a_container_in_its_last_sentence() -> None:
    """Ufw's own defaults apply; Docker's published port does not pass INPUT (docs.docker.com, Docker and ufw)."""
    text = (
        "my ufw has\n22/tcp ALLOW Anywhere\n* 80/tcp                     ALLOW IN    Anywhere\n"
        "but people reach my container! I run docker run -p 8080:80 nginx\n"
    )
    host = host_of_source(Source("paste", {}, text.encode()))
    for port, verdict in ((22, "ACCEPT"), (25, "DROP"), (8080, "ACCEPT")):
        assert walk(host, Question(sender="internet", to="host", proto="tcp", dport=port)).verdict == verdict
    assert list(host.containers) == ["nginx"]


def test_a_command_that_a_sentence_rules_out_is_not_read() -> None:
    text = "22/tcp ALLOW Anywhere\nI would not use docker run -p 8080:80 nginx\n"
    assert not host_of_source(Source("paste", {}, text.encode())).containers


def test_a_later_status_replaces_an_earlier_one() -> None:
    status = "Status: active\nDefault: deny (incoming), allow (outgoing), deny (routed)\n"
    rows = "\nTo             Action      From\n--             ------      ----\n22/tcp    {}    Anywhere\n"
    text = status + rows.format("DENY IN") + "$ sudo ufw status verbose\n" + status + rows.format("ALLOW IN")
    host = host_of_source(Source("paste", {}, text.encode()))
    chain = host.rulesets[4].tables["filter"].chains["ufw-user-input"]
    assert [rule.text for rule in chain.rules] == ["-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT"]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (LOG, "ufw allow in on eth0 to any port 5432 proto tcp"),
        (
            LOG.replace("OUT=", "OUT=docker0").replace("DST=192.0.2.10", "DST=172.17.0.2"),
            "ufw route allow in on eth0 out on docker0 to 172.17.0.2 port 5432 proto tcp",
        ),
        (
            LOG.replace("UFW BLOCK", "UFW DOCKER BLOCK")
            .replace("OUT= ", "OUT=docker0 ")
            .replace("192.0.2.10", "172.17.0.2"),
            "ufw route allow proto tcp from any to any port 5432",
        ),
        (
            LOG.replace("[UFW BLOCK]", "filter_IN_public_REJECT:"),
            "firewall-cmd --permanent --zone=public --add-port=5432/tcp; firewall-cmd --reload",
        ),
        (  # k3s's documentation trusts what comes from pods
            LOG.replace("[UFW BLOCK]", "FWD_public_REJECT:").replace("IN=eth0 OUT= ", "IN=cni0 OUT=eth0 "),
            "firewall-cmd --permanent --zone=trusted --add-interface=cni0; firewall-cmd --reload",
        ),
    ],
)
def test_a_blocked_packet_comes_with_the_command_that_allows_it(
    line: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of ufw(8), and of ufw-docker's README; and nothing else was found."""
    path = tmp_path / "log"
    path.write_text(line)
    assert main(["lint", str(path)]) == 0
    printed = capsys.readouterr().out
    assert f"To allow it: {command}." in printed
    assert "Nothing found" not in printed


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        ({"proto": "tcp", "dport": 993, "state": "INVALID"}, "DROP"),
        ({"proto": "udp", "dport": 5353}, "DROP"),
        ({"proto": "udp", "sport": 67, "dport": 68}, "ACCEPT"),
    ],
)
def test_what_the_rules_before_those_of_the_user_do(packet: dict[str, object], expected: str) -> None:
    """The file conf/before.rules of ufw."""
    text = "Status: active\n\nTo       Action   From\n--       ------   ----\n993/tcp  ALLOW    Anywhere\n"
    host = host_of_source(Source("pasted", {}, text.encode()))
    question = Question(**{"src": "198.51.100.7", "dst": "192.0.2.10", "in_interface": "eth0", **packet})
    assert walk(host, question).verdict == expected


#: `ufw status` shows no defaults; `ufw status verbose` does.
OUTGOING = """\
Status: active
{default}
To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere

10.20.0.0/16               {action} OUT   192.0.2.10
"""


@pytest.mark.parametrize(
    ("action", "default", "verdict"),
    [
        ("ALLOW", "", "DEPENDS"),  # an allowed destination suggests that the others are denied
        ("DENY", "", "ACCEPT"),
        ("ALLOW", "Default: deny (incoming), allow (outgoing), disabled (routed)", "ACCEPT"),
        ("ALLOW", "Default: deny (incoming), deny (outgoing), disabled (routed)", "DROP"),
    ],
)
def test_the_default_for_outgoing_packets(action: str, default: str, verdict: str, tmp_path: Path) -> None:
    path = tmp_path / "paste.txt"
    path.write_text(OUTGOING.format(action=action, default=default))
    assert iptsim.explain(path, "host", "203.0.113.9", dport=443).verdict == verdict
    found = [one.code for one in iptsim.lint(path)]
    assert ("output-allows-some" in found) is (verdict == "DEPENDS")
    if action == "ALLOW":
        assert iptsim.explain(path, "host", "10.20.3.4", dport=443).verdict == "ACCEPT"


LOADED = """\
Status: loaded

To                         Action  From
--                         ------  ----
( Rules left out )
8000/tcp                   ALLOW   10.20.0.0/16
"""


def test_a_status_of_an_old_ufw_with_rows_left_out(tmp_path: Path) -> None:
    """The first versions of ufw say "loaded" for "active"."""
    path = tmp_path / "paste.txt"
    path.write_text(LOADED)
    assert iptsim.explain(path, "10.20.3.4", "host", dport=8000).verdict == "ACCEPT"
    assert iptsim.explain(path, "10.20.3.4", "host", dport=8001).verdict == "DEPENDS"
    path.write_text(LOADED.replace("( Rules left out )\n", ""))
    assert iptsim.explain(path, "10.20.3.4", "host", dport=8001).verdict == "DROP"


def test_rules_of_ufw_beside_one_of_nat_are_in_filter(tmp_path: Path) -> None:
    """A rule of before.rules and one of nat, and what ufw logged: its rules have dropped the packet."""
    path = tmp_path / "paste.txt"
    path.write_text(
        "I added\n-A PREROUTING -i eth0 -p tcp --dport 1723 -j DNAT --to-destination 192.168.1.10:1723\nand\n"
        f"-A ufw-before-input -p 47 -j ACCEPT\nThe log says:\n{LOG}"
    )
    host = iptsim.load_host(path)
    assert "ufw-before-input" in host.rulesets[4].tables["filter"].chains
    assert (
        iptsim.explain(host, "203.0.113.9", "192.0.2.10", dport=5432, in_interface="eth0").verdict
        == "DEPENDS"
    )


LOGGED = LOG.replace("IN=eth0 OUT= MAC=00:00:00:00:00:00:00:00:00:00:00:00:08:00", "IN= OUT=eth0")
ALLOWED = (
    "Status: active\nTo                         Action      From\n22/tcp                     {}    Anywhere\n"
)


@pytest.mark.parametrize(
    ("row", "log", "verdict"),
    [
        ("ALLOW IN ", LOGGED, "DROP"),
        ("ALLOW IN ", LOG, "ACCEPT"),
        ("DENY OUT ", LOGGED, "ACCEPT"),  # such a rule may have logged it
        ("ALLOW IN ", f'DEFAULT_OUTPUT_POLICY="DROP"\n{LOG}', "DROP"),
        ("ALLOW IN ", f'#DEFAULT_OUTPUT_POLICY="DROP"\n{LOG}', "ACCEPT"),
    ],
)
def test_a_default_that_the_log_or_the_settings_show(
    row: str, log: str, verdict: str, tmp_path: Path
) -> None:
    """The tool ufw logs outgoing packets as blocked where its default denies them (after.rules of ufw 0.36)."""
    (tmp_path / "paste").write_text(f"{ALLOWED.format(row)}\n{log}")
    assert (
        iptsim.explain(iptsim.load_host(tmp_path / "paste"), "host", "198.51.100.7", dport=9999).verdict
        == verdict
    )


def test_the_policy_for_forwarded_packets_in_the_settings(tmp_path: Path) -> None:
    settings = 'DEFAULT_FORWARD_POLICY="ACCEPT"\n'
    for text, policy in ((settings, "ACCEPT"), ("", "DROP")):
        (tmp_path / "paste").write_text(f"{text}{ALLOWED.format('ALLOW IN ')}")
        assert iptsim.load(tmp_path / "paste").tables["filter"].chains["FORWARD"].policy == policy


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (LOG.replace("DST=192.0.2.10", "DST=239.255.255.250"), True),
        (LOG.replace("MAC=00:00:00:00:00:00", "MAC=ff:ff:ff:ff:ff:ff"), True),
        (LOG.replace("SRC=203.0.113.9 DST=192.0.2.10", "SRC=SOMEBODY DST=MYHOST"), False),
        (LOG, False),
        (LOG.replace("IN=eth0 OUT=", "IN= OUT=eth0").replace("DST=192.0.2.10", "DST=239.255.255.250"), False),
    ],
)  # fmt: skip
def test_logged_broadcasts_are_told_as_such(
    line: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paste").write_text(line)
    main(["lint", str(tmp_path / "paste")])
    assert ("broadcast or multicast" in capsys.readouterr().out) is told


ROUTES = (
    "Status: active\nDefault: deny (incoming), allow (outgoing), deny (routed)\n\nTo    Action    From\n"
    "51820/udp    ALLOW IN    Anywhere\n"
)
MASQUERADES = (
    "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n"
    "-A POSTROUTING -s 10.9.0.0/24 -o eth0 -j MASQUERADE\n"
)


@pytest.mark.parametrize(
    ("rules", "chains"),
    [
        ("# iptables -t nat -S\n" + MASQUERADES, True),
        ("# iptables -t nat -S\n" + MASQUERADES + "-N DOCKER\n", False),  # Docker has rules in filter, too
        (
            "# iptables -S\n-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n",
            False,
        ),
    ],
)
def test_a_status_is_read_where_iptables_shows_other_tables_only(rules: str, chains: bool) -> None:
    read = host_of_source(Source("paste", {}, f"{rules}\n{ROUTES}".encode())).rulesets[4]
    assert ("filter" in read.tables and "ufw-user-forward" in read.tables["filter"].chains) is chains


@pytest.mark.parametrize(
    ("sentence", "verdict"),
    [
        ("", "DROP"),
        ('I put DEFAULT_FORWARD_POLICY="ACCEPT" into /etc/default/ufw.', "DEPENDS"),
        ("and changed DEFAULT_FORWARD_POLICY from DROP to ACCEPT,", "DEPENDS"),
        ("sed -i 's/DEFAULT_FORWARD_POLICY=\"DROP\"/DEFAULT_FORWARD_POLICY=\"ACCEPT\"/' /etc/default/ufw", "DEPENDS"),
        ('# DEFAULT_FORWARD_POLICY="ACCEPT"', "DROP"),
        ("My DEFAULT_FORWARD_POLICY is DROP.", "DROP"),
    ],
)  # fmt: skip
def test_a_sentence_about_a_default_leaves_it_open(sentence: str, verdict: str, tmp_path: Path) -> None:
    (tmp_path / "paste").write_text(f"{ALLOWED.format('ALLOW IN ')}\n{sentence}\n")
    host = iptsim.load_host(tmp_path / "paste")
    assert (
        iptsim.explain(host, "192.168.77.5", "198.51.100.7", dport=443, **{"in": "eth1"}).verdict == verdict
    )


@pytest.mark.parametrize(("sender", "told"), [("1900", True), ("40000", False)])
def test_the_answer_to_a_search_is_told_as_such(
    sender: str, told: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """UPnP Device Architecture 2.0, 1.3.3: devices answer M-SEARCH from their own address, from port 1900."""
    line = LOG.replace("TCP SPT=45360 DPT=5432 WINDOW=29200 RES=0x00 SYN", f"UDP SPT={sender} DPT=50123")
    (tmp_path / "paste").write_text(line)
    main(["lint", str(tmp_path / "paste")])
    out = capsys.readouterr().out
    assert ("answers a multicast search (SSDP)" in out, "ufw allow" in out.split("multicast")[-1]) == (
        told,
        not told,
    )
