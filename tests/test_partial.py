"""Captures that lack a file: what can be told from the others is, and what can't is stated."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import iptsim

CAPTURES = Path(__file__).parent.parent / "fixtures/captures"

#: capture, the file that is missing, sender, target, and how the kernel answered with all files there
CASES = [
    ("docker-28.5/bridge-nf-off", "container-netns.json", "client", "web:80", "bypasses-iptables"),
    ("docker-28.5/forward-off", "container-netns.json", "client", "web:80", "icc-enabled"),
    ("docker-28.5/published", "docker-inspect.json", "client", "192.0.2.10:8080", "docker-proxy"),
    ("docker-28.5/published", "docker-inspect.json", "host", "localhost:8081", "docker-proxy"),
    ("docker-28.5/published-no-proxy", "ip-link.json", "web", "192.0.2.10:8080", "published-port"),
    ("docker-28.5/published-no-proxy", "sysctl.txt", "host", "localhost:8081", "published-port"),
    ("hosts/libvirt", "ip-addr.json", "web", "internet:443", "rule-accept"),
    ("hosts/libvirt", "ip-addr.json", "web", "rt:80", "rule-accept"),
    ("hosts/kube", "ip-addr.json", "web1", "internet:443", "rule-accept"),
]


@pytest.mark.parametrize(("capture", "missing", "sender", "target", "code"), CASES)
def test_the_other_files_tell(
    capture: str, missing: str, sender: str, target: str, code: str, tmp_path: Path
) -> None:
    whole = iptsim.explain(CAPTURES / capture, sender, target)
    left = tmp_path / "capture"
    shutil.copytree(CAPTURES / capture, left, ignore=shutil.ignore_patterns(missing))
    answer = iptsim.explain(left, sender, target)
    assert (whole.verdict, whole.reason.code) == ("ACCEPT", code)
    assert (answer.verdict, answer.reason.code) == ("ACCEPT", code)
    assert answer.assumptions


def test_addresses_told_by_routes_are_the_real_ones(tmp_path: Path) -> None:
    for capture in ("hosts/libvirt", "docker-28.5/ipv6"):
        left = tmp_path / capture
        shutil.copytree(CAPTURES / capture, left, ignore=shutil.ignore_patterns("ip-addr.json"))
        found = {}
        for path in (CAPTURES / capture, left):
            interfaces = iptsim.load_host(path).namespace.interfaces.values()
            found[path] = {
                (one.name, address.family, address.address, address.prefix_length)
                for one in interfaces
                for address in one.addresses
                if address.scope == "global"
            }
        assert found[left] == found[CAPTURES / capture]


def test_interfaces_without_an_address_are_one_sentence_if_they_are_many(tmp_path: Path) -> None:
    rules = "".join(f"-A FORWARD -i vlan{number} -j ACCEPT\n" for number in range(12))
    dump = tmp_path / "iptables-save.txt"
    dump.write_text(f"*filter\n:FORWARD DROP [0:0]\n{rules}COMMIT\n")
    names = ", ".join(f"vlan{number}" for number in range(10))
    about = [one for one in map(str, iptsim.load_host(dump).assumptions) if one.startswith("Rules name")]
    assert about == [f"Rules name {names} and 2 more interfaces, whose addresses are not known."]
