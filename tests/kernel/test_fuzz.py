"""iptsim against the kernel on random rules and packets; see :mod:`tests.kernel.fuzz`."""

from __future__ import annotations

import pickle
import subprocess
import time
from pathlib import Path

import pytest

from tests.kernel.fuzz import Report, fuzz, keep_smallest, shown
from tests.kernel.laboratory import missing
from tests.kernel.selftest import FAULTS, NO_FAULT, ROOT, record, run_fault

WITHOUT = missing()
pytestmark = [pytest.mark.kernel, pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)]
PACKETS, RULESETS = 2000, 80
#: Packets of which the kernel itself says something else when the packet is sent again, and whose verdict depends on
#: the unknowable, per thousand.
UNSTEADY, OPEN = 2, 40


def _told(report: Report) -> str:
    """Return all that was found, each find in full: it can be made a case from here."""
    return "\n\n".join([str(report), *map(shown, keep_smallest(report))])


def _commit() -> str:
    """Return the commit's id: each change has packets of its own, and a run can be repeated; else the time."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or str(int(time.time()))


@pytest.mark.parametrize("kind", ["fixed", "fresh"])
def test_random_rules_and_packets(kind: str) -> None:
    seed = kind if kind == "fixed" else _commit()
    report = fuzz(PACKETS, seed, jobs=2)
    assert (report.packets >= PACKETS, report.rulesets >= RULESETS) == (True, True), str(report)
    assert not report.found, f"seed {seed!r}: {_told(report)}"
    assert not report.refused, f"seed {seed!r}: {report.refused}"
    assert len(report.unsteady) * 1000 <= UNSTEADY * report.packets, f"seed {seed!r}: {report}"
    assert report.open * 1000 <= OPEN * report.packets, f"seed {seed!r}: {report}"


def test_seeded_faults_are_noticed(tmp_path: Path) -> None:
    recorded = tmp_path / "cases"
    recorded.write_bytes(pickle.dumps(record(PACKETS, "selftest")))
    assert run_fault(NO_FAULT, recorded) == (False, f"NOT CAUGHT within {PACKETS} packets")
    assert [said for fault in FAULTS for caught, said in [run_fault(fault, recorded)] if not caught] == []
