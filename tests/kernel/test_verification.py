"""The document that a long run of the fuzzer writes, and the module that runs real dumps."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.kernel.corpus import compare_dump, invent, probes, read_rules
from tests.kernel.fuzz import Report
from tests.kernel.laboratory import missing
from tests.kernel.rules import extension_names
from tests.kernel.verification import DOCUMENT, WORTH_TELLING, document, read_counts, run_of

WITHOUT = missing()
CAPTURES = Path(__file__).resolve().parents[2] / "fixtures" / "captures"


def test_the_document_tells_of_long_runs_without_differences() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text == document(read_counts())
    (packets, found), (real, differing) = re.findall(
        r"\*\*([\d,]+) packets over [\d,]+ rulesets: ([\d,]+) differences", text
    )
    assert (int(packets.replace(",", "")) >= WORTH_TELLING, found) == (True, "0")
    assert (int(real.replace(",", "")) >= 2000, differing) == (True, "0")


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
def test_a_run_is_told_with_its_numbers() -> None:
    report = Report(
        packets=20020,
        rulesets=1001,
        verdicts=Counter(ACCEPT=20000, DROP=20),
        matched=Counter({"-m tcp": 7, "-j DROP": 5}),
    )
    text = document({"run": run_of(report, "seed", 60), "fuzz": report.matched})
    assert "**20,020 packets over 1,001 rulesets: 0 differences.**" in text
    assert "| DROP | 20 |" in text
    assert "Matches: `tcp` 7." in text
    assert "Targets: `DROP` 5." in text


def test_the_extensions_of_rules_are_read_without_their_comments_and_chains() -> None:
    rule = '-A INPUT -p tcp -m tcp --dport 1 -m comment --comment "-j X" -j C'
    dump = f"*filter\n:INPUT ACCEPT [0:0]\n:C - [0:0]\n{rule}\n-A C -j LOG\n"
    assert extension_names(dump) == {
        ("filter", "INPUT"): [frozenset({"-m tcp", "-m comment"})],
        ("filter", "C"): [frozenset({"-j LOG"})],
    }


def test_a_host_is_invented_for_the_rules_of_a_dump() -> None:
    rules = read_rules(
        "*nat\n-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
        "-A PREROUTING ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n"
    )
    scene = invent(rules, 4)
    bridge = scene.world.interface("docker0")
    assert (bridge.kind, bridge.addresses) == ("bridge", ("172.17.0.1/16",))
    assert "172.17.0.2" in [guest.address for guest in scene.world.guests]
    made = list(probes(Random(1), scene, rules, 100))
    assert {8079, 8080, 8081} <= {probe.dport for probe in made}


@pytest.mark.kernel
@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("name", ["docker-28.5/icc-off", "docker-20.10/published", "hosts/ufw", "hosts/ferm"])
def test_dumps_of_real_hosts_do_as_the_kernel_does(name: str) -> None:
    result = compare_dump(CAPTURES / name / "iptables-save.txt")
    assert not isinstance(result, str), result
    assert result == (20, [])
