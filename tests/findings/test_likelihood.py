"""Which finding is the likeliest cause of what a text complains of."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim
from iptsim.findings.codes import CODES
from iptsim.host.pasted import NO_COMPLAINT, Complaint

RSYNC_OPEN = """\
Chain INPUT (policy DROP 7 packets, 420 bytes)
 pkts bytes target     prot opt in     out     source               destination
   90  7000 ACCEPT     all  --  lo     *       0.0.0.0/0            0.0.0.0/0
 4000  300K ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            state RELATED,ESTABLISHED
    0     0 ACCEPT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:873

Chain FORWARD (policy DROP {forwarded} packets, 0 bytes)
 pkts bytes target     prot opt in     out     source               destination

Chain OUTPUT (policy DROP 61 packets, 3660 bytes)
 pkts bytes target     prot opt in     out     source               destination
 3000  200K ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            state RELATED,ESTABLISHED
  100  8000 ACCEPT     all  --  *      lo      0.0.0.0/0            0.0.0.0/0
   44  3000 ACCEPT     udp  --  *      *       0.0.0.0/0            0.0.0.0/0            udp dpt:53
  220 13000 ACCEPT     tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:80
"""


def cause_of(folder: Path, text: str) -> str:
    path = folder / "paste"
    path.write_text(text, "utf-8")
    cause = iptsim.lint(path).cause
    return str(cause.text) if cause is not None else ""


@pytest.mark.parametrize(
    ("said", "forwarded", "expected"),
    [
        ("My torrent program never connects to any peer.", 0, "policy of filter OUTPUT: 61 packets"),
        (
            "Machines in the LAN behind this router can't reach the internet.",
            900,
            "The FORWARD policy is DROP",
        ),
        # a policy that has blocked nothing explains no failure
        ("Machines in the LAN behind this router can't reach the internet.", 0, "policy of filter OUTPUT"),
        (
            "I want to block rsync, but everybody still reaches it.",
            0,
            "rsync, port 873/tcp of the host, is open",
        ),
        ("These are my rules.", 0, ""),
    ],
)
def test_the_cause_fits_what_the_text_complains_of(
    tmp_path: Path, said: str, forwarded: int, expected: str
) -> None:
    cause = cause_of(tmp_path, f"{said}\n\n{RSYNC_OPEN.format(forwarded=forwarded)}")
    assert expected in cause
    assert bool(cause) is bool(expected)


@pytest.mark.parametrize(
    ("said", "allowed"),
    [("Only the office should reach 2525, but everyone still can.", True), ("Mail gets no reply.", False)],
)
def test_what_the_rules_allow_explains_no_failure(tmp_path: Path, said: str, allowed: bool) -> None:
    rules = "-P INPUT ACCEPT\n-A INPUT -s 192.0.2.77 -p tcp -m tcp --dport 2525 -j ACCEPT\n"
    cause = cause_of(tmp_path, f"{said}\n\n# iptables -S INPUT\n{rules}")
    assert ("tcp/2525 from all" in cause) is allowed


def test_zeros_of_a_rules_file_are_no_evidence(tmp_path: Path) -> None:
    rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT DROP [0:0]\n-A OUTPUT -o lo -j ACCEPT\nCOMMIT\n"
    assert "OUTPUT" in cause_of(tmp_path, f"The server cannot reach any mirror.\n\n{rules}")


def test_a_rule_that_is_never_reached_has_counted_nothing(tmp_path: Path) -> None:
    """So the zero is no evidence against it, but for it."""
    rules = (
        "Chain INPUT (policy ACCEPT 10 packets, 500 bytes)\n"
        " pkts bytes target     prot opt in     out     source               destination\n"
        "   90  7000 ACCEPT     all  --  eth0   *       0.0.0.0/0            0.0.0.0/0\n"
        "    0     0 DROP       tcp  --  eth0   *       0.0.0.0/0            0.0.0.0/0            tcp dpt:443\n"
        "    5   300 DROP       all  --  wlan0  *       0.0.0.0/0            0.0.0.0/0\n"
    )
    cause = cause_of(tmp_path, f"I want to block https, but pages still open.\n\n{rules}")
    assert "rule 2 never matches" in cause


def test_what_the_text_shows_precedes_what_the_rules_suggest(tmp_path: Path) -> None:
    """The doubled rule is a mistake, but of no effect on a connection that was refused."""
    rules = (
        "-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state ESTABLISHED -j ACCEPT\n"
        "-A INPUT -p tcp --dport 2100 -j ACCEPT\n-A INPUT -p tcp --dport 2100 -j ACCEPT\n"
    )
    cause = cause_of(tmp_path, f"connection refused on port 2100\n\n# iptables -S INPUT\n{rules}")
    assert "none of them refuses the connection" in cause


SOME_RULES = "# iptables -S\n-P INPUT ACCEPT\n-A INPUT -p tcp -j ACCEPT\n"


def complaint_of(text: str) -> Complaint:
    host = iptsim.loads_host(text)
    assert host.pasted is not None
    return host.pasted.complaint


@pytest.mark.parametrize(
    ("said", "fails", "allowed", "forwarded"),
    [
        ("I can't connect to the server", True, False, False),
        ("the connection is not\nworking at all", True, False, False),
        ("requests from clients time out", True, False, True),
        ("伺服器無法連線", True, False, False),
        ("the port is still reachable, how do I block it?", False, True, False),
        ("it does not block the address", False, True, False),
        ("still failing to connect", True, False, False),
        ("my gateway does the routing", False, False, True),
        ("I set up a server with these rules", False, False, False),
    ],
)
def test_complaints(said: str, fails: bool, allowed: bool, forwarded: bool) -> None:
    assert complaint_of(f"{said}\n\n{SOME_RULES}")[:3] == (fails, allowed, forwarded)


@pytest.mark.parametrize(
    ("said", "senders"),
    [
        ("I permit port 80 for web traffic, but no page loads", set()),
        ("Port 80 for the web does not answer", {"outside"}),
        ("my web server can't be reached from outside", {"outside"}),
        ("from another machine I can't connect", {"outside", "guests"}),
        ("the server itself can't reach any mirror", {"host"}),
        ("apt update hangs, but VPN clients work", {"host", "guests"}),
        ("DNS from containers fails", {"containers"}),
        ("my containers have no internet", {"containers"}),
        ("ping to the server doesn't work", set()),
        ("another web server of mine is not running", set()),
        ("I cannot connect from my laptop", set()),
    ],
)
def test_who_fails_to_connect(said: str, senders: set[str]) -> None:
    assert complaint_of(f"{said}\n\n{SOME_RULES}").senders == senders


SSH_ONLY = "# iptables -S INPUT\n-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("The server cannot download anything.", "drops the replies to the host's own connections"),
        ("Nothing works.", "drops the replies to the host's own connections"),
        ("My web page can't be reached from outside.", ""),
        ("I see brute force attempts on ssh.", ""),
    ],
)
def test_the_host_s_own_connections_are_the_cause_only_of_its_own_failures(
    tmp_path: Path, said: str, expected: str
) -> None:
    cause = cause_of(tmp_path, f"{said}\n\n{SSH_ONLY}")
    assert expected in cause
    assert bool(cause) is bool(expected)


def test_connections_of_a_host_to_itself_are_named(tmp_path: Path) -> None:
    rules = "# iptables -S INPUT\n-P INPUT DROP\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n"
    assert not cause_of(tmp_path, f"Port 8443 cannot be reached.\n\n{rules}")
    assert "the host to itself" in cause_of(tmp_path, f"I cannot connect to localhost.\n\n{rules}")


def test_docker_s_policy_is_no_cause_of_what_its_rules_accept(tmp_path: Path) -> None:
    text = (
        "The page times out from outside, curl on the host works.\n\n"
        "# ufw status\nStatus: active\n\nTo                         Action      From\n"
        "--                         ------      ----\n22/tcp                     ALLOW       Anywhere\n\n"
        "# docker ps\nCONTAINER ID   IMAGE   COMMAND   CREATED   STATUS   PORTS   NAMES\n"
        '1a2b3c4d5e6f   nginx   "/start"   2 hours ago   Up 2 hours   127.0.0.1:8080->80/tcp   web\n'
    )
    assert "published on 127.0.0.1 only" in cause_of(tmp_path, text)
    assert "FORWARD policy" in cause_of(tmp_path, text.replace("from outside", "for VPN clients"))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("DROP", "ACCEPT", True), ("ACCEPT", "DROP", False), ("ACCEPT", "ACCEPT", False)],
)
def test_a_rule_that_would_change_nothing_is_no_cause(
    tmp_path: Path, first: str, second: str, *, expected: bool
) -> None:
    rules = "".join(f"-A INPUT -p tcp -m tcp --dport 443 -j {target}\n" for target in (first, second))
    cause = cause_of(tmp_path, f"I cannot connect.\n\n# iptables -S INPUT\n-P INPUT ACCEPT\n{rules}")
    assert ("never matches" in cause) is expected


def test_words_in_output_are_no_complaint() -> None:
    text = "# iptables -S\n-P INPUT ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-unreachable\n"
    assert complaint_of(text) == NO_COMPLAINT


def test_only_findings_about_some_senders_are_seldom_meant() -> None:
    assert all(kind.sender for kind in CODES.values() if kind.seldom)
