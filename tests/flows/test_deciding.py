"""`iptsim.flows.decide`: a batch of records is answered as `explain` answers each of them."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from iptsim.flows import decide
from iptsim.host.capture import load_host
from tests.flows.comparing import addresses_in, batch_of, differences, random_records
from tests.netfilter.random_rules import random_fields, random_host

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/captures"
CAPTURES = sorted(file.parent for file in FIXTURES.rglob("iptables-save.txt"))
PUBLISHED = FIXTURES / "docker-28.5/published"


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_captured_hosts(capture: Path) -> None:
    random, host = Random(str(capture.name)), load_host(capture)
    records = random_records(random, addresses_in(capture), 150)
    assert differences(host, records, decide(host, batch_of(records))) == []


@pytest.mark.parametrize("seed", range(12))
def test_random_rules(seed: int) -> None:
    random = Random(seed)
    host = random_host(random)
    records = [random_fields(random) for _ in range(120)]
    assert differences(host, records, decide(host, batch_of(records))) == []
