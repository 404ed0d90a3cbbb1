"""The stable codes of findings, most serious first, each with what its findings have in common.

Each severity has a module, and each new code an entry in one of them.
"""

from __future__ import annotations

from iptsim.findings.codes import critical, high, info, low, medium
from iptsim.findings.codes.kind import SEVERITIES, Kind, Severity

__all__ = ["CODES", "SEVERITIES", "Kind", "Severity"]

#: All codes, most serious first. `docs/findings.md` is made from this table.
CODES: dict[str, Kind] = {
    **critical.KINDS,
    **high.KINDS,
    **medium.KINDS,
    **low.KINDS,
    **info.KINDS,
}
