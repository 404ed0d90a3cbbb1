"""The faults that the comparison with the kernel seeds are changes of text that is there."""

from __future__ import annotations

from tests.kernel.selftest import FAULTS, ROOT


def test_what_each_fault_changes_is_there() -> None:
    missing = [fault.name for fault in FAULTS if fault.old not in (ROOT / "iptsim" / fault.file).read_text()]
    assert missing == []
