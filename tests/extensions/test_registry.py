"""The registry holds every match and target of iptables-extensions(8), each with a status."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import get_args

import pytest

from iptsim.extensions.base import Match, Status
from iptsim.extensions.registry import all_extensions

#: The sections of iptables-extensions(8) of iptables 1.8.9.
MATCHES = """
    addrtype ah bpf cgroup cluster comment connbytes connlabel connlimit connmark conntrack cpu dccp
    devgroup dscp dst ecn esp eui64 frag hashlimit hbh helper hl icmp icmp6 iprange ipv6header ipvs
    length limit mac mark mh multiport nfacct osf owner physdev pkttype policy quota rateest realm
    recent rpfilter rt sctp set socket state statistic string tcp tcpmss time tos ttl u32 udp
"""
TARGETS = """
    AUDIT CHECKSUM CLASSIFY CLUSTERIP CONNMARK CONNSECMARK CT DNAT DNPT DSCP ECN HL HMARK IDLETIMER LED
    LOG MARK MASQUERADE NETMAP NFLOG NFQUEUE NOTRACK RATEEST REDIRECT REJECT SECMARK SET SNAT SNPT
    SYNPROXY TCPMSS TCPOPTSTRIP TEE TOS TPROXY TRACE TTL ULOG
"""
#: What the manual does not have a section for: the verdicts, and matches that it does not list.
BESIDES = {(False, name) for name in ("ACCEPT", "DROP", "QUEUE", "RETURN")} | {
    (True, "ipcomp"),
    (True, "srh"),
}
MANUAL = Path("/usr/share/man/man8/iptables-extensions.8.gz")


def test_every_extension_of_the_manual_is_registered() -> None:
    manual = {(True, name) for name in MATCHES.split()} | {(False, name) for name in TARGETS.split()}
    assert {(issubclass(one, Match), one.name) for one in all_extensions()} == manual | BESIDES


@pytest.mark.skipif(not MANUAL.exists(), reason="the manual of iptables is not installed")
def test_this_machines_manual_has_nothing_else() -> None:
    pages = gzip.decompress(MANUAL.read_bytes()).decode().partition(".SH TARGET EXTENSIONS")
    for known, page in ((MATCHES, pages[0]), (TARGETS, pages[2])):
        assert set(re.findall(r"^\.SS (\S+)", page, re.MULTILINE)) <= set(known.split())


def test_every_extension_has_a_status() -> None:
    assert {one.status for one in all_extensions()} <= set(get_args(Status))
