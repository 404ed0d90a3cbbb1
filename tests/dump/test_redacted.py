"""Ethernet addresses that were redacted before a dump was published: conditions of which nothing is known."""

from __future__ import annotations

import pytest

import iptsim
from iptsim.dump import loads
from iptsim.errors import DumpSyntaxError
from iptsim.sources import loads_host

#: As in the dumps of diekmann/net-network, which anonymize_mac_addresses.sh wrote.
DUMP = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:macs - [0:0]
-A INPUT -j macs
-A macs -s 10.0.0.7/32 -m mac --mac-source XX:XX:XX:XX:XX:XX -j RETURN
-A macs -s 10.0.0.7/32 -m mac --mac-source XX:XX:XX:XX:XX:XX -j RETURN
-A macs -s 10.0.0.8/32 -p tcp -m mac ! --mac-source 02:42:xx:xx:xx:xx -m tcp --dport 80 -j DROP
-A macs -s 10.0.0.9/32 -m mac --mac-source 02:42:AC:11:00:02 -j DROP
-A macs -s 10.0.0.7/32 -j DROP
COMMIT
"""


def test_redacted_addresses_are_unknown() -> None:
    host = loads_host(DUMP)
    assert host.pasted is None
    assert [warning.line for warning in host.rulesets[4].warnings] == [7]
    rules = host.rulesets[4].tables["filter"].chains["macs"].rules
    assert [rule.position for rule in rules] == [1, 2, 3, 4, 5]
    assert "! --mac-source 02:42:xx:xx:xx:xx" in rules[2].text
    # the two may have been different addresses
    assert rules[0].matches != rules[1].matches
    assert iptsim.explain(host, "10.0.0.7", "host:80").verdict == "DEPENDS"
    assert iptsim.explain(host, "10.0.0.8", "host:80").verdict == "DEPENDS"
    assert iptsim.explain(host, "10.0.0.8", "host:81").verdict == "ACCEPT"


def test_they_are_read_alike_in_a_pasted_text() -> None:
    rulesets = [loads_host(text).rulesets[4] for text in (DUMP, f"the rules of my host:\n{DUMP}")]
    dumped, pasted = ([rule.text for rule in one.tables["filter"].rules()] for one in rulesets)
    assert dumped == pasted


@pytest.mark.parametrize("command", ["-I", "-A"])
def test_iptables_restore_would_reject_them(command: str) -> None:
    with pytest.raises(DumpSyntaxError, match="not an Ethernet address"):
        loads_host(
            DUMP.replace("-A macs -s 10.0.0.8/32", f"{command} macs -s 10.0.0.8/32").replace("XX", "02"),
            strict=True,
        )


def test_counters_alone_are_an_error_with_a_place() -> None:
    with pytest.raises(DumpSyntaxError, match="12:8: the line ends too early"):
        loads(DUMP.replace("COMMIT", "[1:60] \nCOMMIT"), redacted=True)


@pytest.mark.parametrize(
    "address", ["XX", "XX:XX:XX:XX:XX", "XX:XX:XX:XX:XX:XX:XX", "XX:XX:XX:XX:XX:999", ""]
)
def test_other_texts_are_no_redacted_addresses(address: str) -> None:
    """They are read as pasted text, in which any part may be unreadable."""
    line = f"-A INPUT -m mac --mac-source {address} -j DROP".replace("  ", " ")
    host = loads_host(DUMP.replace("-A INPUT -j macs", line))
    assert host.pasted is not None
