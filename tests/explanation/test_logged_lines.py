"""What logged lines say: TRACE lines beside their rules, a LOG line without rules field by field."""

from __future__ import annotations

from pathlib import Path

import pytest

import iptsim

LOG = (
    "Nov 28 12:00:00 gw kernel: [  216.3] {prefix}IN=eth0 OUT={out} MAC=02:42:ac:11:00:02:02:42:ac:11:00:03:08:00 "
    "SRC=203.0.113.9 DST=172.17.0.2 LEN=60 TOS=0x00 PREC=0x00 TTL=51 ID=5 DF PROTO=TCP SPT=33762 DPT=80 SYN URGP=0\n"
)
RULES = (
    "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n"
    "-A FORWARD -i eth0 -p tcp -m tcp --dport 22 -j ACCEPT\n"
    "-A FORWARD -p tcp -m tcp --dport 80 -j ACCEPT\n"
)


def told(folder: Path, text: str) -> dict[str, str]:
    path = folder / "paste.txt"
    path.write_text(text)
    host = iptsim.load_host(path)
    assert host.pasted is not None
    fields = host.pasted.asked[0]
    answer = iptsim.explain(
        host, fields["from"], fields["to"], dport=fields["dport"], in_interface=fields.get("in"), proto="tcp"
    )
    return {one.shown: str(one.says) for one in answer.remarks()}


@pytest.mark.parametrize(
    ("prefix", "out", "words"),
    [
        ("[UFW BLOCK] ", "", "ufw-logging-deny"),
        ("[UFW DOCKER BLOCK] ", "docker0", "ufw-docker-logging-deny"),
        ("filter_IN_public_REJECT: ", "", "zone public"),
        ("Shorewall:net2fw:DROP:", "", "chain net2fw"),
        ("Firewall: *TCP_IN Blocked* ", "", "TCP_IN of /etc/csf/csf.conf"),
        ("Firewall: *TCP6OUT Blocked* ", "", "TCP6_OUT of /etc/csf/csf.conf"),
        ("Firewall: *ICMP_IN Blocked* ", "", "LOGDROPIN"),
        ("[gw]PASS-unknown:", "docker0", "no router statement of firehol.conf"),
        ("rpfilter_DROP: ", "", "IPv6_rpfilter"),
        ("SFW2-INext-DROP-DEFLT ", "", "FW_SERVICES_EXT_TCP"),
        ("SFW2-FWDint-DROP-DEFLT ", "docker0", "FW_FORWARD"),
        ("mine: ", "docker0", "in FORWARD"),
    ],
)
def test_the_prefix_tells_who_logged_it(prefix: str, out: str, words: str, tmp_path: Path) -> None:
    found = told(tmp_path, LOG.format(prefix=prefix, out=out))
    assert words in found[f'"{prefix.strip()}"']


def test_firehol_drops_what_it_logs_as_unknown(tmp_path: Path) -> None:
    """firehol: "PASS-unknown" precedes the action UNMATCHED_FORWARD_POLICY, which is DROP by default."""
    path = tmp_path / "paste.txt"
    path.write_text(LOG.format(prefix="PASS-unknown:", out="docker0"))
    answer = iptsim.explain(path, "203.0.113.9", "172.17.0.2", dport=80, in_interface="eth0")
    assert answer.verdict == "DROP"


MULTICAST = "kernel: {prefix}IN=eth0 OUT= SRC=192.0.2.77 DST=224.0.0.251 TTL=1 PROTO=UDP SPT=5353 DPT=5353\n"


@pytest.mark.parametrize(("prefix", "code"), [("X-DROP ", "filter"), ("", None)])
def test_input_logs_packets_only_to_groups_that_the_host_has_joined(
    prefix: str, code: str | None, tmp_path: Path
) -> None:
    """ip_route_input_mc: packets to other groups are discarded before INPUT, which could not have logged them."""
    path = tmp_path / "paste.txt"
    path.write_text(MULTICAST.format(prefix=prefix) if prefix else "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n")
    answer = iptsim.explain(path, "192.0.2.77", "224.0.0.251", proto="udp", dport=5353, in_interface="eth0")
    step = answer.reason.step
    assert answer.verdict == "DROP"
    assert (step.table if step is not None else None) == code


def test_a_log_line_beside_chains_of_other_hooks(tmp_path: Path) -> None:
    """The prefix tells what INPUT does, of which the excerpt shows nothing."""
    path = tmp_path / "paste.txt"
    path.write_text(
        LOG.format(prefix="FINAL_REJECT: ", out="") + "-A mine -p udp -m udp --dport 53 -j ACCEPT\n"
    )
    answer = iptsim.explain(path, "203.0.113.9", "172.17.0.2", dport=80, in_interface="eth0")
    assert answer.verdict == "REJECT"
    path.write_text(
        LOG.format(prefix="FINAL_REJECT: ", out="") + "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"
    )
    answer = iptsim.explain(path, "203.0.113.9", "172.17.0.2", dport=80, in_interface="eth0")
    assert answer.verdict == "DEPENDS"


def test_a_line_without_addresses_is_of_ipv6_if_it_has_a_hop_limit(tmp_path: Path) -> None:
    """nf_log_syslog.c: only dump_ipv6_packet prints HOPLIMIT=."""
    path = tmp_path / "paste.txt"
    path.write_text(
        "kernel: X DROP IN=eth0 OUT= SRC=hidden DST=hidden LEN=80 TC=0 HOPLIMIT=64 FLOWLBL=1 PROTO=TCP SPT=4000"
        " DPT=8080 WINDOW=1 RES=0x00 SYN URGP=0\n"
    )
    host = iptsim.load_host(path)
    assert host.pasted is not None
    assert host.pasted.logged[0].family == 6


def test_each_field_of_use_is_told(tmp_path: Path) -> None:
    found = told(tmp_path, LOG.format(prefix="", out=""))
    assert found["IN=eth0"] == "it arrived on eth0"
    assert "INPUT" in found["OUT="]
    assert (
        found["MAC=02:42:ac:11:00:02:02:42:ac:11:00:03:08:00"]
        == "from 02:42:ac:11:00:03 to 02:42:ac:11:00:02"
    )
    assert found["SYN"] == "it opens a connection"
    assert "iptables-save -c" in found[""]
    assert not any(name.startswith(("LEN", "TOS", "PREC", "ID")) for name in found)


def test_with_rules_the_walk_tells_more(tmp_path: Path) -> None:
    assert told(tmp_path, LOG.format(prefix="", out="docker0") + RULES) == {}


def test_trace_lines_stand_beside_their_rules(tmp_path: Path) -> None:
    trace = "".join(
        LOG.format(prefix=f"TRACE: filter:FORWARD:{what} ", out="docker0") for what in ("rule:2",)
    )
    found = told(tmp_path, trace + RULES)
    assert found == {
        "filter FORWARD rule 2": "-p tcp -m tcp --dport 80 -j ACCEPT: it matches tcp packets to port 80"
    }


def test_a_trace_names_what_is_not_shown(tmp_path: Path) -> None:
    lines = ("raw:PREROUTING:policy:1", "filter:FORWARD:rule:9")
    trace = "".join(LOG.format(prefix=f"TRACE: {what} ", out="docker0") for what in lines)
    found = told(tmp_path, trace)
    assert "policy" in found["raw PREROUTING policy"]
    assert found["filter FORWARD rule 9"] == "it matched; the source does not show this rule"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("41", "its protocol, IPv6 in IPv4 (6in4, 6to4)"),
        ("47", "its protocol, GRE (PPTP)"),
        ("TCP", "its protocol"),
    ],
)
def test_protocols_that_the_kernel_logs_by_number(number: str, words: str, tmp_path: Path) -> None:
    """IANA, Assigned Internet Protocol Numbers."""
    path = tmp_path / "paste.txt"
    path.write_text(f"kernel: IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.10 LEN=100 PROTO={number}\n")
    host = iptsim.load_host(path)
    assert host.pasted is not None
    fields = host.pasted.asked[0]
    answer = iptsim.explain(
        host, fields["from"], fields["to"], proto=fields["proto"], in_interface=fields["in"]
    )
    [said] = [str(one.says) for one in answer.remarks() if one.shown.startswith("PROTO=")]
    assert said == words
