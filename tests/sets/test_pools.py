"""Translations that differ only in the new address, followed together and one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from iptsim.addresses import Family
from iptsim.diff.comparing import compare
from iptsim.host import load_host
from iptsim.reaching import reach
from iptsim.sets import results

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"
#: Three services: pods that a service leads back to themselves, a port that fits already, protocols without ports.
CLUSTER = """\
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:SERVICES - [0:0]
-A PREROUTING -j SERVICES
-A OUTPUT -j SERVICES
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
-A SERVICES ! -s 10.244.0.0/16 -d 10.96.0.0/24 -j MARK --set-xmark 0x4000/0x4000
-A SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -m statistic --mode random --probability 0.5 -j DNAT \
--to-destination 10.244.0.5:8080
-A SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.0.6:8080
-A SERVICES -d 10.96.0.2/32 -p udp -m udp --dport 53:63 -j DNAT --to-destination 10.244.0.7:53
-A SERVICES -d 10.96.0.3/32 -p tcp -m tcp -j DNAT --to-destination 10.244.0.8
-A SERVICES -d 10.96.0.4/32 -j DNAT --to-destination 10.244.0.9
-A SERVICES -d 10.244.0.10/31 -j DNAT --to-destination 10.244.0.10
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -d 10.244.0.6/32 -p tcp -m tcp --dport 8080 -j DROP
-A FORWARD -s 10.244.0.5/32 -d 10.244.0.5/32 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -m conntrack --ctorigdst 10.96.0.3/32 -m conntrack --ctstate DNAT -j DROP
COMMIT
"""


@pytest.mark.parametrize(("capture", "family"), [("hosts/kube", 4), ("docker-28.5/ipv6", 6), (None, 4)])
def test_a_pool_does_what_its_translations_do_one_by_one(
    capture: str | None, family: Family, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = CAPTURES / capture if capture is not None else tmp_path / "cluster.txt"
    if capture is None:
        source.write_text(CLUSTER)
    found = []
    for many in (1, 1_000):
        monkeypatch.setattr(results, "MANY", many)
        found.append(reach(load_host(source), family=family).as_json())
    together, alone = found
    assert together == alone
    assert any(one["translated"] for one in alone["classes"])


def test_a_diff_sees_which_address_of_a_pool_a_packet_gets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(results, "MANY", 1)
    hosts = []
    for name, pod in (("before", "10.244.0.8"), ("after", "10.244.0.18")):
        (tmp_path / name).write_text(
            CLUSTER.replace("--to-destination 10.244.0.8\n", f"--to-destination {pod}\n")
        )
        hosts.append(load_host(tmp_path / name))
    found = compare(*hosts)
    assert found.differences
    assert {text for one in found.differences for text in one.packets.addresses("dst").texts()} == {
        "10.96.0.3"
    }
    assert {one.before.by_arrival()[0][1]["dst"] for one in found.differences} == {"10.244.0.8"}
    assert {one.after.by_arrival()[0][1]["dst"] for one in found.differences} == {"10.244.0.18"}
