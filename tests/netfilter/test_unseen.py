"""Tables that a source does not show: they are named, and what Docker's rules there could block depends on them.

Which rules Docker has in which table is seen in the whole dumps of the same hosts; the kernel's verdicts over those are
in tests/test_captures.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import iptsim

CAPTURES = Path(__file__).parents[2] / "fixtures/captures"
OUTSIDE, CLIENT, WEB = "198.51.100.7", "172.17.0.3", "172.17.0.2:80"


def part(folder: Path, capture: str, *tables: str, name: str = "iptables-save.txt") -> Path:
    """Write some tables of a captured dump, as `iptables-save -t` prints them."""
    lines, wanted = [], False
    for line in (CAPTURES / capture / name).read_text().splitlines(keepends=True):
        if line.startswith("*"):
            wanted = line[1:].strip() in tables
        if wanted:
            lines.append(line)
    path = folder / name
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (("filter",), "tables raw, mangle, nat; they are"),
        (("nat",), "tables raw, mangle, filter; they are"),
        (("raw", "nat"), "table filter; it is"),
        (("filter", "nat"), ""),
    ],
)
def test_tables_that_are_not_shown_are_named(tables: tuple[str, ...], told: str, tmp_path: Path) -> None:
    answer = iptsim.explain(part(tmp_path, "docker-28.5/published", *tables), "host", "internet:443")
    found = [one for one in map(str, answer.assumptions) if one.startswith("The source does not show")]
    assert found == ([f"The source does not show {told} assumed to be empty."] if told else [])


@pytest.mark.parametrize(
    ("sender", "target", "verdict"),
    [
        # raw PREROUTING has -d 172.17.0.2/32 ! -i docker0 -j DROP
        (OUTSIDE, WEB, "DEPENDS"),
        # filter drops it whatever raw holds
        (OUTSIDE, "172.17.0.2:9999", "DROP"),
        (OUTSIDE, "192.0.2.10:22", "ACCEPT"),
        (CLIENT, "internet:443", "ACCEPT"),
        ("host", WEB, "ACCEPT"),
    ],
)
def test_filter_alone_of_docker_28(sender: str, target: str, verdict: str, tmp_path: Path) -> None:
    answer = iptsim.explain(part(tmp_path, "docker-28.5/published", "filter"), sender, target)
    assert answer.verdict == verdict
    if verdict == "DEPENDS":
        assert "table raw" in answer.reason.text
        assert sorted(way.verdict for way in answer.branches) == ["ACCEPT", "DROP"]
        assert {way.reason.code for way in answer.branches} == {"rules-not-shown", "published-port"}


@pytest.mark.parametrize("tables", [("raw", "filter"), ("raw",)])
def test_raw_of_docker_28_proves_that_nat_may_masquerade(tables: tuple[str, ...], tmp_path: Path) -> None:
    """Over the whole dump the connection is ACCEPTed; without MASQUERADE, raw would drop its reply."""
    answer = iptsim.explain(part(tmp_path, "docker-28.5/published", *tables), CLIENT, "internet:443")
    assert answer.verdict == "DEPENDS"
    ways = {way.verdict: way for way in answer.branches}
    assert set(ways) == {"ACCEPT", "DROP"}
    assert ways["DROP"].reason.code == "reply-dropped"
    assert "table nat" in answer.reason.text


def test_what_the_answer_depends_on_is_not_assumed_away(tmp_path: Path) -> None:
    answer = iptsim.explain(part(tmp_path, "docker-28.5/published", "raw"), CLIENT, "internet:443")
    assert "nat" in answer.reason.text
    (note,) = (str(one) for one in answer.assumptions if "does not show" in str(one))
    assert "empty" not in note


def test_filter_of_docker_proves_that_nat_forwards(tmp_path: Path) -> None:
    """The whole dump forwards tcp/8080 of the host to port 80 of the container."""
    answer = iptsim.explain(part(tmp_path, "docker-28.5/published", "raw", "filter"), "internet", "host:8080")
    assert answer.verdict == "ACCEPT"
    assert "Where it arrives depends on the rules in table nat" in answer.reason.text


def test_without_docker_a_dump_of_two_tables_has_no_nat(tmp_path: Path) -> None:
    dump = tmp_path / "iptables-save.txt"
    dump.write_text(
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 203.0.113.7/32 -j DROP\nCOMMIT\n"
        "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
    )
    assert iptsim.explain(dump, "172.17.0.3", "198.51.100.7:443").verdict == "ACCEPT"


def test_ipv6_alike(tmp_path: Path) -> None:
    dump = part(tmp_path, "docker-28.5/ipv6", "filter", name="ip6tables-save.txt")
    answer = iptsim.explain(dump, "2001:db8:ffff::7", "[fd00:17::2]:80")
    assert answer.verdict == "DEPENDS"
    assert "table raw" in answer.reason.text


def test_before_docker_28_raw_holds_nothing(tmp_path: Path) -> None:
    dump = part(tmp_path, "docker-26.1/published", "filter")
    assert iptsim.explain(dump, OUTSIDE, WEB).verdict != "DEPENDS"


def test_a_whole_dump_without_raw_shows_that_there_is_none() -> None:
    host = iptsim.load_host(CAPTURES / "docker-28.5/published")
    host.rulesets[4].tables.pop("raw")
    assert iptsim.explain(host, OUTSIDE, WEB).verdict == "ACCEPT"


@pytest.mark.parametrize(
    ("sender", "target", "verdict"),
    [
        # filter DOCKER drops what is not published, and FORWARD isolates
        (OUTSIDE, WEB, "DEPENDS"),
        # Docker accepts what it forwards itself, and what leaves its networks
        (OUTSIDE, "192.0.2.10:8080", "ACCEPT"),
        (CLIENT, "internet:443", "ACCEPT"),
        # INPUT of filter, which Docker has in any case, may have rules of others
        (OUTSIDE, "192.0.2.10:22", "DEPENDS"),
    ],
)
def test_nat_alone(sender: str, target: str, verdict: str, tmp_path: Path) -> None:
    answer = iptsim.explain(part(tmp_path, "docker-28.5/published", "nat"), sender, target)
    assert answer.verdict == verdict
    if verdict == "DEPENDS":
        assert "table filter" in answer.reason.text


def test_docker_proxy_listens_where_nat_would_tell(tmp_path: Path) -> None:
    """On localhost docker-proxy takes published ports; the whole dump says that 8080 of the host is one of them."""
    text = (CAPTURES / "docker-28.5/published/iptables-save.txt").read_text()
    start = text.index("*filter")
    filter_ = text[start : text.index("COMMIT", start)]
    closed = filter_.replace(":OUTPUT ACCEPT", ":OUTPUT DROP") + "-A OUTPUT -o lo -j ACCEPT\n"
    whole, alone = tmp_path / "whole.txt", tmp_path / "filter.txt"
    whole.write_text(text.replace(filter_, closed))
    alone.write_text(f"{closed}COMMIT\n")
    known, answer = (iptsim.explain(path, "host", "127.0.0.1:8080") for path in (whole, alone))
    assert (known.verdict, known.trace.deciding_leg.proxy) == ("DROP", True)
    assert answer.verdict == "DEPENDS"
    assert "table nat" in answer.reason.text
    assert {branch.reason.text for branch in answer.branches if branch.verdict == "DROP"} == {
        known.reason.text
    }
    assert iptsim.explain(whole, "host", "127.0.0.1:22").verdict == "ACCEPT"


#: nat DOCKER has the twins of these rules: port 8080 of the host leads to web's port 80
FILTER_CLOSED = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("target", "proto", "verdict"),
    [
        ("host:8080", "tcp", "DEPENDS"),
        ("host:80", "tcp", "DEPENDS"),
        ("host:22", "tcp", "ACCEPT"),  # INPUT and DOCKER both accept it
        ("host:8080", "udp", "DROP"),  # no UDP port is published
        ("172.17.0.2:80", "tcp", "ACCEPT"),
    ],
)
def test_published_ports_depend_on_a_table_nat_that_is_not_shown(
    target: str, proto: str, verdict: str, tmp_path: Path
) -> None:
    dump = tmp_path / "rules"
    dump.write_text(FILTER_CLOSED)
    answer = iptsim.explain(dump, "internet", target, proto=proto)
    assert answer.verdict == verdict
    if verdict == "DEPENDS":
        assert "table nat" in answer.reason.text
        assert sorted(way.verdict for way in answer.branches) == ["ACCEPT", "DROP"]


def test_a_table_nat_that_is_shown_decides(tmp_path: Path) -> None:
    dump = tmp_path / "rules"
    dump.write_text(FILTER_CLOSED + "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n")
    assert iptsim.explain(dump, "internet", "host:8080").verdict == "DROP"


def test_the_engine_tells_which_ports_are_published(tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    shutil.copytree(CAPTURES / "docker-28.5/published", capture)
    part(capture, "docker-28.5/published", "filter")
    rules = (capture / "iptables-save.txt").read_text()
    (capture / "iptables-save.txt").write_text(rules.replace(":INPUT ACCEPT", ":INPUT DROP"))
    published = iptsim.explain(capture, "internet", "host:8080")
    assert published.verdict == "DEPENDS"
    assert len(published.branches) == 2
    assert iptsim.explain(capture, "internet", "host:9999").verdict == "DROP"


def test_nat_rules_that_translate_nothing_are_seen_in_an_excerpt(tmp_path: Path) -> None:
    """Whether connections are tracked is up to the tables that it does not show; only then does the kernel ask nat."""
    path = tmp_path / "commands"
    path.write_text("iptables -t nat -A POSTROUTING -d 172.16.0.0/12 -j RETURN\n")
    answer = iptsim.explain(path, "172.17.0.2", "172.18.0.3:80")
    assert [step.chain for leg in answer.trace.legs for step in leg.steps if step.rule] == ["POSTROUTING"]


HAIRPIN = """\
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 192.0.2.10/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.6:80
-A POSTROUTING -s 10.0.0.0/24 -o eth0 -j MASQUERADE
{rest}COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
$ ip addr
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0
3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth1
"""


@pytest.mark.parametrize(("rest", "verdict"), [("", "DROP"), ("...\n...\n", "DEPENDS")])
def test_a_hidden_masquerade_may_bring_the_reply_back(rest: str, verdict: str, tmp_path: Path) -> None:
    """Of two machines of one LAN, one reaches the other at the router's address only with such a rule (hairpin NAT)."""
    path = tmp_path / "rules"
    path.write_text(HAIRPIN.format(rest=rest))
    answer = iptsim.explain(path, "10.0.0.5", "192.0.2.10", dport=8080)
    assert answer.verdict == verdict
    if verdict == "DEPENDS":
        assert {branch.verdict for branch in answer.branches} == {"ACCEPT", "DROP"}
        assert len(answer.branches) == 2


@pytest.mark.parametrize(
    ("chains", "program"),
    [
        (("PREROUTING_ZONES", "POSTROUTING_ZONES"), "firewalld"),
        (("zone_wan_prerouting", "zone_wan_postrouting"), "OpenWrt"),
    ],
)
def test_nat_alone_of_programs_that_close_input_and_forward(
    chains: tuple[str, str], program: str, tmp_path: Path
) -> None:
    """Firewalld ends INPUT and FORWARD with REJECT, fw3 with the default; both accept what DNAT made."""
    dump = tmp_path / "nat.txt"
    dump.write_text(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        f":{chains[0]} - [0:0]\n:{chains[1]} - [0:0]\n-A PREROUTING -j {chains[0]}\n-A POSTROUTING -j {chains[1]}\n"
        f"-A {chains[0]} -i eth0 -p tcp --dport 8080 -j DNAT --to-destination 192.168.5.2:80\nCOMMIT\n"
    )
    answers = [
        iptsim.explain(dump, sender, target)
        for sender, target in ((OUTSIDE, "host:22"), (OUTSIDE, "host:8080"), ("host", "host:22"))
    ]
    assert [answer.verdict for answer in answers] == ["DEPENDS", "ACCEPT", "ACCEPT"]
    assert f"the rules of {program} in table filter" in answers[0].reason.text


def test_nat_alone_of_libvirt(tmp_path: Path) -> None:
    """In filter, LIBVIRT_FWI rejects what is not a reply to a guest."""
    dump = tmp_path / "nat.txt"
    dump.write_text(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:LIBVIRT_PRT - [0:0]\n"
        "-A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to-destination 192.168.122.5:80\n"
        "-A POSTROUTING -j LIBVIRT_PRT\n"
        "-A LIBVIRT_PRT -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE\nCOMMIT\n"
    )
    assert iptsim.explain(dump, OUTSIDE, "host:8080").verdict == "DEPENDS"
    assert iptsim.explain(dump, OUTSIDE, "host:22").verdict == "ACCEPT"


def test_what_dnat_sends_past_docker(tmp_path: Path) -> None:
    """Docker's policy of FORWARD is DROP; only its own DNAT has a twin in filter that accepts the packet."""
    dump = part(tmp_path, "docker-28.5/published", "nat")
    text = dump.read_text().replace(
        "COMMIT", "-A PREROUTING -i eth0 -p tcp --dport 9000 -j DNAT --to-destination 192.168.5.2:80\nCOMMIT"
    )
    dump.write_text(text)
    assert iptsim.explain(dump, OUTSIDE, "192.0.2.10:9000").verdict == "DEPENDS"
    assert iptsim.explain(dump, OUTSIDE, "192.0.2.10:8080").verdict == "ACCEPT"
